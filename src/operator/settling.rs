//! How an operator settles an intent that the node cannot settle: the same rules on a running and on a stopped node.
//!
//! The node never ends such an intent by itself (promise 2), so this is the one way out. It adds what the operator saw to the
//! intent's history.

use rust_decimal::Decimal;
use sentinel_actors::domain::action::{Action, Inclusion, Receipt};
use sentinel_actors::domain::intent::{Intent, IntentEvent, IntentKey, IntentState};
use sentinel_actors::domain::order::{Fill, Ticket};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{JournalWrite, Written};
use serde::{Deserialize, Serialize};

use crate::exit::{self, ExitError};
use crate::journal::{JournalError, JournalReader};

/// With fewer characters several keys could match by chance.
const KEY_CHARS_MIN: usize = 6;

/// What an operator saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The intent's key, or its first characters.
    pub key: String,
    pub what: SeenThere,
    /// Who looked, where, and what was seen.
    pub evidence: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SeenThere {
    /// The order was filled; all of it when no volume is given, in lots.
    Filled { ticket: u64, volume: Option<Decimal>, price: Option<Decimal> },
    /// The forecast is in this transaction of a block.
    Included { hash: String, height: u64 },
    /// It is not there, and never was filled or included.
    Absent,
}

/// Why an intent cannot be settled.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("'{0}' is not a key: at least {KEY_CHARS_MIN} of its 32 characters a-z and 2-7")]
    NoKey(String),
    #[error("no intent begins with '{0}'")]
    NotFound(String),
    #[error("{count} intents begin with '{prefix}'")]
    Ambiguous { prefix: String, count: usize },
    #[error("the intent {key} is {state}: only an open order can be settled")]
    NotOpen { key: String, state: IntentState },
    /// Of a running node, which is about to do something with it.
    #[error("the intent {key} is {state}: the running node is at work on it")]
    AtWork { key: String, state: IntentState },
    #[error("the intent {0} is planned: nothing of it ever left the node, so it is --absent")]
    NeverLeft(String),
    #[error("{0} lots: the volume is above 0, at most what was ordered, and in steps of 0.01")]
    Volume(Decimal),
    #[error("the intent is {what}: settle it with {with}, or with --absent")]
    Kind { what: &'static str, with: &'static str },
    #[error("--evidence is empty: say who looked, where, and what was seen")]
    NoEvidence,
    #[error("ticket {ticket} is that of the order {owner} already: one ticket confirms one order")]
    TicketTaken { ticket: Ticket, owner: IntentKey },
    #[error("the journal refused: {0}")]
    Refused(String),
}

impl SettleError {
    fn code_and_advice(&self) -> (u8, Option<String>) {
        match self {
            Self::Journal(error) => (error.exit_code(), error.advice()),
            Self::NoKey(_) | Self::Volume(_) | Self::NoEvidence | Self::NeverLeft(_) | Self::Kind { .. } => {
                (exit::USAGE, None)
            }
            Self::NotFound(_) | Self::Ambiguous { .. } | Self::NotOpen { .. } => {
                (exit::FAILED, Some("`sentinel journal intents` shows the keys and their states".to_owned()))
            }
            Self::AtWork { .. } => {
                (exit::FAILED, Some("wait until it is unknown or held, then give this command again".to_owned()))
            }
            Self::TicketTaken { .. } => {
                (exit::FAILED, Some("check in the terminal which ticket has this order's comment".to_owned()))
            }
            Self::Refused(_) => (exit::FAILED, None),
        }
    }
}

impl ExitError for SettleError {
    fn exit_code(&self) -> u8 {
        self.code_and_advice().0
    }

    fn advice(&self) -> Option<String> {
        self.code_and_advice().1
    }
}

/// What has to be written, in one transaction, and how the intent ends.
#[derive(Debug)]
pub struct Settlement {
    pub intent: Intent,
    pub writes: Vec<JournalWrite>,
    pub ends: IntentState,
}

impl Settlement {
    /// Of the intent that `seen` is about. A running node may be about to hand over what is planned or sent.
    ///
    /// # Errors
    /// When it cannot be settled so.
    pub fn of(reader: &JournalReader, seen: &Seen, node_runs: bool, at: UtcMs) -> Result<Self, SettleError> {
        if seen.evidence.trim().is_empty() {
            return Err(SettleError::NoEvidence);
        }
        let intent = find(reader, &seen.key)?;
        if node_runs && !matches!(intent.state, IntentState::Unknown | IntentState::Held) {
            return Err(SettleError::AtWork { key: intent.key.to_string(), state: intent.state });
        }
        let ending = ending(seen, &intent)?;
        if let Some(ticket) = ending.receipt().and_then(Receipt::ticket).filter(|_| !intent.is_seen_closed(&ending)) {
            refuse_taken(reader, &intent, ticket)?;
        }
        let ends = if ending.receipt().is_some() { IntentState::Acked } else { IntentState::Absent };
        let steps = steps(intent.state, ending, &seen.evidence).into_iter();
        let writes = steps.map(|event| JournalWrite::Advance { key: intent.key.clone(), event, at }).collect();
        Ok(Self { intent, writes, ends })
    }

    /// Whether the journal has done all of it.
    ///
    /// # Errors
    /// When the intent has moved meanwhile.
    pub fn accept(&self, written: &[Written]) -> Result<(), SettleError> {
        match written.iter().find(|written| **written != Written::Done) {
            None => Ok(()),
            Some(Written::Refused(why)) => Err(SettleError::Refused(why.clone())),
            Some(other) => Err(SettleError::Refused(format!("{other:?}"))),
        }
    }
}

fn find(reader: &JournalReader, prefix: &str) -> Result<Intent, SettleError> {
    let prefix = prefix.strip_prefix("sn:").unwrap_or(prefix).to_ascii_lowercase();
    if !(KEY_CHARS_MIN..=32).contains(&prefix.len()) || !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(SettleError::NoKey(prefix));
    }
    let mut found: Vec<Intent> = Vec::new();
    reader.each_intent::<JournalError>(None, None, |stored| {
        if stored.record.key.as_str().starts_with(&prefix) {
            found.push(stored.record);
        }
        Ok(())
    })?;
    match (found.len(), found.pop()) {
        (1, Some(intent)) if is_open(intent.state) => Ok(intent),
        (1, Some(intent)) => Err(SettleError::NotOpen { key: intent.key.to_string(), state: intent.state }),
        (0, _) => Err(SettleError::NotFound(prefix)),
        (count, _) => Err(SettleError::Ambiguous { prefix, count }),
    }
}

/// The journal would refuse it too, but only after some of the steps were written.
fn refuse_taken(reader: &JournalReader, intent: &Intent, ticket: Ticket) -> Result<(), SettleError> {
    let mut owner = None;
    reader.each_intent::<JournalError>(None, None, |stored| {
        owner = owner.take().or(intent.ticket_owner(ticket, &[stored.record]).map(|owner| owner.key.clone()));
        Ok(())
    })?;
    owner.map_or(Ok(()), |owner| Err(SettleError::TicketTaken { ticket, owner }))
}

const fn is_open(state: IntentState) -> bool {
    !state.is_final()
}

fn ending(seen: &Seen, intent: &Intent) -> Result<IntentEvent, SettleError> {
    let evidence = seen.evidence.clone();
    if seen.what == SeenThere::Absent {
        return Ok(IntentEvent::SettledAbsent { evidence });
    }
    if intent.state == IntentState::Planned {
        return Err(SettleError::NeverLeft(intent.key.to_string()));
    }
    let text = "confirmed by the operator".to_owned();
    let receipt = match (&intent.action, &seen.what) {
        (Action::Order(order), SeenThere::Filled { ticket, volume, price }) => {
            let volume_lots = volume.unwrap_or(order.volume_lots);
            // A gateway writes two decimals: a finer volume could never be closed.
            let is_fine = volume_lots.normalize().scale() > order.volume_lots.normalize().scale().max(2);
            if volume_lots <= Decimal::ZERO || volume_lots > order.volume_lots || is_fine {
                return Err(SettleError::Volume(volume_lots));
            }
            Receipt::Fill(Fill { ticket: Ticket(*ticket), volume_lots, price: *price, text })
        }
        (Action::Forecast(_), SeenThere::Included { hash, height }) => {
            Receipt::Inclusion(Inclusion { hash: hash.clone(), height: *height, text })
        }
        (Action::Order(_), _) => return Err(SettleError::Kind { what: "an order", with: "--ticket" }),
        (Action::Forecast(_), _) => return Err(SettleError::Kind { what: "a forecast", with: "--hash and --height" }),
    };
    Ok(IntentEvent::SettledAcked { receipt, evidence })
}

/// The events from the intent's state to its end: an order that the node still asks about may be settled too.
fn steps(from: IntentState, ending: IntentEvent, evidence: &str) -> Vec<IntentEvent> {
    if from == IntentState::Planned {
        return vec![IntentEvent::Abandon];
    }
    let evidence = format!("settled by hand: {evidence}");
    let mut steps = Vec::new();
    if from == IntentState::Sent {
        steps.push(IntentEvent::LostTrack { evidence: evidence.clone() });
    }
    if from != IntentState::Held {
        steps.push(IntentEvent::Hold { evidence });
    }
    steps.push(ending);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_open_state_has_a_way_to_both_endings() {
        for from in IntentState::ALL.into_iter().filter(|state| is_open(*state)) {
            let absent = IntentEvent::SettledAbsent { evidence: "looked".to_owned() };
            let end = steps(from, absent, "looked").iter().try_fold(from, |state, event| state.after(event));
            assert_eq!(end, Ok(IntentState::Absent));
        }
    }
}
