//! The journal against a gateway's ledger, in both directions.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use sentinel_actors::domain::intent::{Intent, IntentState, Mode};
use sentinel_actors::domain::netting::net_position;
use sentinel_actors::domain::order::Side;

use super::ProofError;
use super::ledger::{Filled, Ledger};
use crate::journal::{JournalError, JournalReader};

/// Every order of the ledger has its intent, every acked intent its order, with the same ticket, nothing came twice, and
/// both sides count the same position.
pub fn compare(reader: &JournalReader, ledger: &Ledger) -> Result<Vec<String>, ProofError> {
    let mut intents: BTreeMap<String, Intent> = BTreeMap::new();
    reader.each_intent::<JournalError>(None, None, |stored| {
        // Earlier versions of the demo were dry runs: the gateway knows nothing of those.
        if stored.record.mode == Mode::Live {
            intents.insert(comment(&stored.record), stored.record);
        }
        Ok(())
    })?;
    let mut wrong = Vec::new();
    let mut orders: BTreeMap<String, Filled> = BTreeMap::new();
    for order in ledger.filled()? {
        let state = intents.get(&order.comment).map(|intent| intent.state);
        if !state.is_some_and(|state| state.may_have_left() && state != IntentState::Rejected) {
            let state = state.map_or("missing", IntentState::code);
            wrong.push(format!("lost: the gateway filled {}, but its intent is {state}", order.comment));
        }
        if let Some(first) = orders.insert(order.comment.clone(), order) {
            wrong.push(format!("doubled: {} was filled twice, first as {}", first.comment, first.ticket));
        }
    }
    let (acked, open): (Vec<&Intent>, Vec<&Intent>) =
        intents.values().filter(|intent| intent.state.may_have_left()).partition(|i| i.state.is_final());
    let acked: Vec<Intent> = acked.into_iter().filter(|i| i.state == IntentState::Acked).cloned().collect();
    for intent in &acked {
        let ticket = intent.receipt.as_ref().map(|receipt| receipt.ticket.0);
        match orders.get(&comment(intent)) {
            None => wrong.push(format!("invented: {} is acked, but the gateway has no such order", intent.key)),
            Some(order) if Some(order.ticket) != ticket || order.side != intent.order.side.code() => {
                wrong.push(format!("{} is acked as ticket {ticket:?}, the gateway says {order:?}", intent.key));
            }
            Some(_) => {}
        }
    }
    let counted = net_position(&acked).unwrap_or_else(|fault| {
        wrong.push(fault.to_string());
        None
    });
    let counted = counted.map_or(Decimal::ZERO, |net| match net.side {
        Side::Buy => net.volume_lots,
        Side::Sell => -net.volume_lots,
    });
    let net = ledger.net_lots()?;
    if open.is_empty() && counted != net {
        wrong.push(format!("the journal counts a position of {counted} lots, the gateway has {net}"));
    }
    Ok(wrong)
}

/// What an order of this intent says in the terminal (gateway.md: `sn:` and 20 characters of the key).
fn comment(intent: &Intent) -> String {
    intent.key.as_str().get(..20).map_or_else(String::new, |short| format!("sn:{short}"))
}
