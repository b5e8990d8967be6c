//! `sentinel settle`: the operator's confirmation of an order that the node cannot settle.

use std::path::Path;

use rust_decimal::Decimal;
use sentinel_actors::ports::Clock as _;

use super::stopped::{self, StoppedError};
use super::{Ended, Failure, StateFlag, exit, unanswered};
use crate::journal::JournalError;
use crate::operator::control::client::{self, ClientError};
use crate::operator::control::messages::{Answer, AskSettle, SETTLE};
use crate::operator::settling::{Seen, SeenThere, SettleError, Settlement};
use crate::system::{WallClock, random_id};

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

/// Settles one intent: through the node while it runs, in its journal when it does not.
///
/// # Errors
/// When the key is not that of an open order, or the journal cannot be written.
pub fn run(args: &SettleArgs) -> Ended {
    let state = args.state.dir()?;
    let seen = seen(args);
    match client::post::<Answer>(&state, SETTLE, &AskSettle { id: random_id(), seen: seen.clone() }) {
        Ok(answer) => println!("{}; the node takes it up before its next decision", answer.text),
        Err(ClientError::NotThere(_)) => {
            let Settlement { intent, ends, .. } = settle(&seen, &state)?;
            println!("{} is settled as {ends}; start the node again", intent.key);
        }
        Err(error) => return Err(unanswered(&error)),
    }
    Ok(exit::OK)
}

fn seen(args: &SettleArgs) -> Seen {
    let what = match (args.ticket, &args.hash, args.height) {
        (Some(ticket), _, _) => SeenThere::Filled { ticket, volume: args.volume, price: args.price },
        (None, Some(hash), Some(height)) => SeenThere::Included { hash: hash.clone(), height },
        _ => SeenThere::Absent,
    };
    Seen { key: args.key.clone(), what, evidence: args.evidence.clone() }
}

/// Why an intent of a stopped node was not settled.
enum NotSettled {
    Refused(SettleError),
    Stopped(StoppedError),
}

impl From<SettleError> for NotSettled {
    fn from(error: SettleError) -> Self {
        Self::Refused(error)
    }
}

impl From<JournalError> for NotSettled {
    fn from(error: JournalError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<StoppedError> for NotSettled {
    fn from(error: StoppedError) -> Self {
        Self::Stopped(error)
    }
}

impl From<NotSettled> for Failure {
    fn from(error: NotSettled) -> Self {
        match error {
            NotSettled::Refused(error) => error.into(),
            NotSettled::Stopped(error) => error.into(),
        }
    }
}

fn settle(seen: &Seen, state: &Path) -> Result<Settlement, NotSettled> {
    if seen.evidence.trim().is_empty() {
        return Err(SettleError::NoEvidence.into());
    }
    let reader = stopped::read(state)?;
    let settlement = Settlement::of(&reader, seen, false, WallClock.now())?;
    drop(reader);
    let written = stopped::write(state, settlement.writes.clone())?;
    settlement.accept(&written)?;
    Ok(settlement)
}
