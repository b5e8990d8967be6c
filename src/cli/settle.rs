//! `sentinel settle`: the operator's confirmation of an order that the node cannot settle.
//!
//! The node never ends such an order by itself (promise 2), so this is the one way out. It adds what the operator saw to
//! the intent's history.

use std::path::Path;
use std::sync::Arc;

use rust_decimal::Decimal;
use sentinel_actors::domain::action::{Action, Inclusion, Receipt};
use sentinel_actors::domain::intent::{Intent, IntentEvent, IntentKey, IntentState};
use sentinel_actors::domain::order::{Fill, Ticket};
use sentinel_actors::ports::{Clock as _, JournalFatal, JournalStore as _, JournalWrite, NoFaults, Written};

use super::{Ended, StateFlag, exit};
use crate::exit::ExitError;
use crate::journal::{
    JournalError, JournalReader, SqliteJournal, StateDir, StateError, how_to_stop, process, require_remembered,
};
use crate::system::WallClock;

/// With fewer characters several keys could match by chance.
const KEY_CHARS_MIN: usize = 6;

/// Settles a held order.
#[derive(Debug, Clone, clap::Args)]
#[command(override_usage = "sentinel settle [OPTIONS] --evidence TEXT --ticket TICKET KEY\n       \
                      sentinel settle [OPTIONS] --evidence TEXT --hash HASH --height HEIGHT KEY\n       \
                      sentinel settle [OPTIONS] --evidence TEXT --absent KEY")]
#[command(group(clap::ArgGroup::new("seen").required(true).args(["ticket", "hash", "absent"])))]
pub struct SettleArgs {
    /// The intent's key, or its first characters; an order's comment in the terminal shows twenty of them after 'sn:'.
    pub key: String,
    /// The order was filled, as this ticket.
    #[arg(long, value_name = "TICKET", value_parser = clap::value_parser!(u64).range(1..))]
    pub ticket: Option<u64>,
    /// What of it was filled, in lots; all of it when left out.
    #[arg(long, value_name = "LOTS", requires = "ticket")]
    pub volume: Option<Decimal>,
    /// Its price.
    #[arg(long, value_name = "PRICE", requires = "ticket")]
    pub price: Option<Decimal>,
    /// The forecast was included, in the transaction with this hash.
    #[arg(long, value_name = "HASH", requires = "height")]
    pub hash: Option<String>,
    /// The height of the block that has it.
    #[arg(long, value_name = "HEIGHT", requires = "hash")]
    pub height: Option<u64>,
    /// It is not at the venue, and never was filled or included.
    #[arg(long)]
    pub absent: bool,
    /// Who looked, where, and what was seen; kept in the journal.
    #[arg(long, value_name = "TEXT")]
    pub evidence: String,
    /// Whose journal.
    #[command(flatten)]
    pub state: StateFlag,
}

/// Why an intent could not be settled.
#[derive(Debug, thiserror::Error)]
enum SettleError {
    #[error("the node on {dir} is running ({}), and only a stopped node's orders can be settled", process(*pid))]
    NodeRuns { dir: String, pid: Option<u32> },
    #[error(transparent)]
    State(StateError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Write(#[from] JournalFatal),
    #[error("'{0}' is not a key: at least {KEY_CHARS_MIN} of its 32 characters a-z and 2-7")]
    NoKey(String),
    #[error("no intent begins with '{0}'")]
    NotFound(String),
    #[error("{count} intents begin with '{prefix}'")]
    Ambiguous { prefix: String, count: usize },
    #[error("the intent {key} is {state}: only an open order can be settled")]
    NotOpen { key: String, state: IntentState },
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
    #[error("no runtime could be started")]
    Runtime(#[from] std::io::Error),
}

impl From<StateError> for SettleError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Locked { dir, pid } => Self::NodeRuns { dir: dir.display().to_string(), pid },
            error @ StateError::Unusable { .. } => Self::State(error),
        }
    }
}

impl SettleError {
    fn code_and_advice(&self) -> (u8, Option<String>) {
        match self {
            Self::NodeRuns { pid, .. } => {
                let stop = how_to_stop(*pid);
                let advice = format!("stop it ({stop}), give this command again, then start the node");
                (exit::TEMPORARY, Some(advice))
            }
            Self::State(error) => (error.exit_code(), error.advice()),
            Self::Journal(error) => (error.exit_code(), error.advice()),
            Self::Write(_) => (exit::IO, None),
            Self::NoKey(_) | Self::Volume(_) | Self::NoEvidence | Self::NeverLeft(_) | Self::Kind { .. } => {
                (exit::USAGE, None)
            }
            Self::NotFound(_) | Self::Ambiguous { .. } | Self::NotOpen { .. } => {
                (exit::FAILED, Some("`sentinel journal intents` shows the keys and their states".to_owned()))
            }
            Self::TicketTaken { .. } => {
                (exit::FAILED, Some("check in the terminal which ticket has this order's comment".to_owned()))
            }
            Self::Refused(_) => (exit::FAILED, None),
            Self::Runtime(_) => (exit::SOFTWARE, None),
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

/// Settles one intent.
///
/// # Errors
/// When the node runs, the key is not that of an open order, or the journal cannot be written.
pub fn run(args: &SettleArgs) -> Ended {
    let intent = settle(args, &args.state.dir()?)?;
    let what = if args.absent { "absent" } else { "acked" };
    println!("{} is settled as {what}; start the node again", intent.key);
    Ok(exit::OK)
}

fn settle(args: &SettleArgs, state: &Path) -> Result<Intent, SettleError> {
    if args.evidence.trim().is_empty() {
        return Err(SettleError::NoEvidence);
    }
    require_remembered(state)?;
    // Before anything is opened for writing: a mistyped directory must not become a node's.
    let reader = JournalReader::open(state)?;
    let intent = find(&reader, &args.key)?;
    let ending = ending(args, &intent)?;
    if let Some(ticket) = ending.receipt().and_then(Receipt::ticket) {
        refuse_taken(&reader, &intent, ticket)?;
    }
    drop(reader);
    let state = StateDir::open(state)?;
    let (journal, _) = SqliteJournal::open(&state, Arc::new(NoFaults))?;
    let at = WallClock.now();
    let batch = steps(intent.state, ending, &args.evidence)
        .into_iter()
        .map(|event| JournalWrite::Advance { key: intent.key.clone(), event, at })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for written in runtime.block_on(journal.commit(batch))? {
        if written != Written::Done {
            return Err(SettleError::Refused(format!("{written:?}")));
        }
    }
    Ok(intent)
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

fn ending(args: &SettleArgs, intent: &Intent) -> Result<IntentEvent, SettleError> {
    let evidence = args.evidence.clone();
    if args.absent {
        return Ok(IntentEvent::SettledAbsent { evidence });
    }
    if intent.state == IntentState::Planned {
        return Err(SettleError::NeverLeft(intent.key.to_string()));
    }
    let text = "confirmed by the operator".to_owned();
    let receipt = match (&intent.action, args.ticket, &args.hash, args.height) {
        (Action::Order(order), Some(ticket), None, None) => {
            let volume_lots = args.volume.unwrap_or(order.volume_lots);
            // A gateway writes two decimals: a finer volume could never be closed.
            let is_fine = volume_lots.normalize().scale() > order.volume_lots.normalize().scale().max(2);
            if volume_lots <= Decimal::ZERO || volume_lots > order.volume_lots || is_fine {
                return Err(SettleError::Volume(volume_lots));
            }
            Receipt::Fill(Fill { ticket: Ticket(ticket), volume_lots, price: args.price, text })
        }
        (Action::Forecast(_), None, Some(hash), Some(height)) => {
            Receipt::Inclusion(Inclusion { hash: hash.clone(), height, text })
        }
        (Action::Order(_), ..) => return Err(SettleError::Kind { what: "an order", with: "--ticket" }),
        (Action::Forecast(_), ..) => return Err(SettleError::Kind { what: "a forecast", with: "--hash and --height" }),
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
