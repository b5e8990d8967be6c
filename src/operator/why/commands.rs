//! What an operator has had done between two slots.

use std::fmt::Write as _;
use std::time::Duration;

use sentinel_actors::domain::action::Receipt;
use sentinel_actors::domain::intent::Intent;
use sentinel_actors::domain::order::Role;
use sentinel_actors::domain::time::UtcMs;

use super::{halts, intents};
use crate::journal::{Filter, JournalError, JournalReader, Stored};
use crate::operator::flattening;

/// A time without fractions means the whole second.
const SECOND: Duration = Duration::from_millis(999);

/// The orders that an operator asked for at this time; `None`: there is none.
pub(super) fn explain(reader: &JournalReader, pipeline: &str, at: UtcMs) -> Result<Option<String>, JournalError> {
    let until = if at.0 % 1000 == 0 { at.plus(SECOND) } else { at };
    let mut asked = reader.intents_between(pipeline, at, until)?;
    asked.retain(|intent| !intent.record.basis.is_of_slot());
    let Some(first) = asked.first().map(|intent| &intent.record) else { return Ok(None) };
    let mut text = format!(
        "{pipeline}, {}: an operator had everything closed (`sentinel flatten`). No slot decided it, and none reports it.\n\n",
        first.slot
    );
    let (account, symbol) = (&first.account, first.action.symbol());
    halts::describe(reader, |halt| flattening::is_of(&halt.raised, account, symbol), &mut text)?;
    for intent in &asked {
        text.push('\n');
        intents::describe(reader, intent, &mut text)?;
    }
    Ok(Some(text))
}

/// That an operator had the position of a confirmed order closed.
pub(super) fn closed_by(reader: &JournalReader, opened: &Intent, text: &mut String) -> Result<(), JournalError> {
    let is_opening = opened.order().is_some_and(|order| order.role == Role::Open);
    let Some(ticket) = opened.receipt.as_ref().and_then(Receipt::ticket).filter(|_| is_opening) else { return Ok(()) };
    let filter = Filter { pipeline: Some(&opened.pipeline), since: Some(opened.slot), ..Filter::default() };
    reader.each_intent_of::<JournalError>(&filter, |Stored { record: close, .. }| {
        let is_its = close.order().is_some_and(|order| order.role == Role::Close(ticket));
        if is_its && !close.basis.is_of_slot() && (close.mode, &close.account) == (opened.mode, &opened.account) {
            let _ = writeln!(
                text,
                "  At {} an operator had its position closed; that order is {}: `sentinel why {} {}`.",
                close.slot, close.state, close.pipeline, close.slot
            );
        }
        Ok(())
    })
}
