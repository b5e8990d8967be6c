//! What becomes of a message: what is written down about it, what is replied, and what the server does, step after step.

use std::time::Duration;

use rust_decimal::Decimal;

use super::book::Change;
use super::clock::Now;
use super::fault::Fault;
use super::reply::Answer;
use super::request::{Order, Parsed};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderState {
    /// Filled whole.
    Filled,
    /// Filled in part, the rest cancelled.
    Partial,
    /// Accepted and never filled.
    Placed,
}

impl OrderState {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Filled => "filled",
            Self::Partial => "partial",
            Self::Placed => "placed",
        }
    }
}

/// An order that the market has seen.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderRow {
    pub ticket: i64,
    pub order: Order,
    pub filled: Decimal,
    /// The price; `None` when nothing was filled.
    pub price: Option<Decimal>,
    pub state: OrderState,
    /// Market time.
    pub market_ms: i64,
}

/// What the server does about an outcome, one step after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Commit,
    Reply,
    /// Do nothing for this long, and read nothing.
    Wait(Duration),
    /// Close the socket, wait, and bind a new one: a REP socket that owes a reply can do nothing else.
    Reopen(Duration),
    /// SIGSTOP to the own process, and SIGCONT after this long.
    Freeze(Duration),
    /// SIGKILL to the own process.
    Die,
}

/// What becomes of one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Number of the message, from 1, over the ledger's whole life.
    pub seq: i64,
    /// Wall time of its arrival.
    pub arrived_ms: i64,
    /// Market time of its arrival, in the symbol that it wants to trade.
    pub market_ms: Option<i64>,
    /// The message, as far as it could be understood.
    pub parsed: Parsed,
    pub fault: Option<Fault>,
    /// The answer; `None` when the process dies first.
    pub answer: Option<Answer>,
    /// An order that reached the market.
    pub order: Option<OrderRow>,
    pub changes: Vec<Change>,
    pub reply: Vec<u8>,
    pub steps: Vec<Step>,
}

/// A message that was received and not processed yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    pub(super) seq: i64,
    pub(super) parsed: Parsed,
    pub(super) fault: Option<Fault>,
    pub(super) now: Now,
}

impl Arrival {
    /// What the server does before the message is processed.
    #[must_use]
    pub const fn first_step(&self) -> Option<Step> {
        match self.fault {
            Some(Fault::Slow(wait)) => Some(Step::Wait(wait)),
            Some(Fault::Frozen(wait)) => Some(Step::Freeze(wait)),
            _ => None,
        }
    }
}

/// What follows the outcome of an order that met this fault.
pub(super) fn steps(fault: Option<Fault>) -> Vec<Step> {
    match fault {
        Some(Fault::Delay(wait)) => vec![Step::Commit, Step::Wait(wait), Step::Reply],
        Some(Fault::LostReply) => vec![Step::Commit, Step::Reopen(Duration::ZERO)],
        Some(Fault::Deaf(wait)) => vec![Step::Commit, Step::Reply, Step::Wait(wait)],
        Some(Fault::Away(wait)) => vec![Step::Commit, Step::Reopen(wait)],
        Some(Fault::Die | Fault::DieBefore) => vec![Step::Commit, Step::Die],
        None
        | Some(
            Fault::Slow(_)
            | Fault::Frozen(_)
            | Fault::Garbage
            | Fault::StrangerId
            | Fault::PreviousReply
            | Fault::ReusedTicket
            | Fault::Refuse(_)
            | Fault::Placed
            | Fault::Partial,
        ) => vec![Step::Commit, Step::Reply],
    }
}
