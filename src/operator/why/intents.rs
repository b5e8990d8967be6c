//! Intents, event by event.

use std::fmt::Write as _;

use sentinel_actors::domain::action::{Action, Receipt};
use sentinel_actors::domain::intent::{Intent, IntentEvent, Mode};
use sentinel_actors::domain::position_delta::listing;

use crate::journal::{JournalError, JournalReader, Stored};

/// An intent, and what has happened to it.
pub(super) fn describe(
    reader: &JournalReader,
    Stored { record: intent, is_intact }: &Stored<Intent>,
    text: &mut String,
) -> Result<(), JournalError> {
    let steps = reader.steps(&intent.key)?;
    let kind = if intent.mode == Mode::DryRun { "Dry-run intent" } else { "Intent" };
    let _ = writeln!(text, "{kind} {} is {}.", intent.key, intent.state);
    match &intent.action {
        Action::Order(order) => {
            let _ = write!(
                text,
                "  {} {} lots of {} on account {} ({}), reference price {}",
                order.side, order.volume_lots, order.symbol, intent.account, order.role, order.reference_price
            );
            for (name, price) in [("stop", order.stop_price), ("target", order.target_price)] {
                if let Some(price) = price {
                    let _ = write!(text, ", {name} {price}");
                }
            }
        }
        Action::Forecast(forecast) => {
            let _ = write!(
                text,
                "  forecast {forecast} to {}, reference price {}",
                intent.account, forecast.reference_price
            );
        }
    }
    text.push_str(".\n");
    if !is_intact || steps.iter().any(|step| !step.is_intact) {
        text.push_str("  DAMAGED ROW: a checksum does not fit.\n");
    }
    for step in steps {
        let at = step.record.at.map_or_else(|| "first".to_owned(), |at| format!("at {at}"));
        let _ = writeln!(text, "  {at}: {}", describe_step(step.record.event.as_ref()));
    }
    Ok(())
}

fn describe_step(event: Option<&IntentEvent>) -> String {
    use IntentEvent as E;
    match event {
        None => "planned; nothing had left the node.".to_owned(),
        Some(E::Send) => "about to be handed over.".to_owned(),
        Some(E::SendAfter { listed, .. }) => format!("about to be handed over; open before it: {}.", listing(listed)),
        Some(E::Abandon) => "given up before anything was sent.".to_owned(),
        Some(E::NeverLeft { evidence }) => format!("provably never left the node: {evidence}"),
        Some(E::Acked { receipt }) => {
            let said = if receipt.text().is_empty() { String::new() } else { format!(": {}", receipt.text()) };
            format!("confirmed as {}{said}", confirmed(receipt, true))
        }
        Some(E::Found { receipt, grade }) => {
            let said = if receipt.text().is_empty() { String::new() } else { format!(": {}", receipt.text()) };
            format!("confirmed as {}, by the evidence '{grade}'{said}", confirmed(receipt, true))
        }
        Some(E::Rejected { code, text }) => {
            format!("refused{}: {text}", code.map(|code| format!(" with code {code}")).unwrap_or_default())
        }
        Some(E::LostTrack { evidence }) => format!("its outcome became unknown: {evidence}"),
        Some(E::FoundAbsent { evidence }) => format!("the venue does not have it: {evidence}"),
        Some(E::Hold { evidence }) => format!("held for the operator to settle: {evidence}"),
        Some(E::SettledAcked { receipt, evidence }) => {
            format!("settled by the operator as {}: {evidence}", confirmed(receipt, false))
        }
        Some(E::Noted { fact }) => fact.to_string(),
        Some(E::SettledAbsent { evidence }) => format!("settled by the operator as not done: {evidence}"),
    }
}

fn confirmed(receipt: &Receipt, with_price: bool) -> String {
    match receipt {
        Receipt::Fill(fill) => {
            let price = fill.price.filter(|_| with_price).map(|price| format!(" at {price}")).unwrap_or_default();
            format!("ticket {}, {} lots{price}", fill.ticket, fill.volume_lots)
        }
        Receipt::Inclusion(_) => receipt.to_string(),
    }
}
