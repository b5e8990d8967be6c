//! What the venue needs of a dialect. Each dialect says in its own file which bytes ask for what, and what a reply is worth. Pure.
//!
//! What a dialect cannot do it has no function for: the venue asks for [`Speech::by_id`] and [`Speech::reports`] and knows no
//! names.

use std::fmt;

use rust_decimal::Decimal;
use sentinel_actors::domain::account::AccountReport;
use sentinel_actors::domain::intent::{Intent, IntentKey};
use sentinel_actors::domain::order::{Order, Position, Ticket};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Evidence, Submission};
use uuid::Uuid;

use super::Exits;

/// What an order carries besides itself.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The pipeline's number.
    pub magic: u32,
    pub exits: Exits,
    /// Schedule time of the decision.
    pub now: UtcMs,
}

/// Why a dialect cannot carry an order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// Lots go out with two decimals.
    #[error("a volume of {0} lots is not between 0.01 and 100.00 in steps of 0.01")]
    Volume(Decimal),
    /// Only an opposite order ends a position, and only where positions net.
    #[error("this dialect closes a position by an opposite order, on a netting account only; ticket {0} stays open")]
    Close(Ticket),
    /// 0 says "none" here, and a negative price nothing.
    #[error("a stop or target at {0} is no price")]
    Level(Decimal),
    /// A position that ends at the broker unseen cannot be counted.
    #[error("positions are counted from confirmed orders here, so an order may have no stop and no target")]
    Levels,
    /// The far side would take it for something else.
    #[error("'{0}' holds a word that the far side reads as a command")]
    Word(String),
    #[error("the message would have {0} bytes, and the far side reads 1,023")]
    TooLong(usize),
}

/// What a reply says about the order that it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// It answers this order.
    Own {
        submission: Submission,
        /// The ticket that it names, whatever it is worth.
        ticket: Option<Ticket>,
    },
    /// The gateway knew the order's id before the order was handed over: what it says is about an order of an earlier life.
    Remembered(String),
    /// It answers another request.
    Stranger(String),
    /// It is no reply of this dialect.
    Unreadable(String),
}

/// How orders are written in a dialect, and how replies are read.
pub trait Speech: fmt::Debug + Send + Sync {
    /// The request for an order.
    ///
    /// # Errors
    /// When the dialect has no words for it.
    fn order(&self, key: &IntentKey, order: &Order, terms: &Terms) -> Result<String, Unsendable>;

    /// What a reply to the request for an order is worth.
    fn judge(&self, reply: &[u8], key: &IntentKey, order: &Order, exits: Exits) -> Reading;

    /// Whether a reply can be read and may answer the request with this id. Only then its connection is used again.
    fn is_sound(&self, reply: &[u8], id: Uuid) -> bool;

    /// How to ask what became of an order by its id.
    fn by_id(&self) -> Option<&dyn AsksById> {
        None
    }

    /// How to ask what the account holds.
    fn reports(&self) -> Option<&dyn ReportsAccount> {
        None
    }
}

/// A dialect in which the id of an order can be asked about without any effect.
pub trait AsksById: Send + Sync {
    fn question(&self, key: &IntentKey) -> String;

    /// What the answer says about the order. `ticket` is what an earlier reply named.
    fn answer(&self, reply: &[u8], intent: &Intent, magic: u32, ticket: Option<Ticket>) -> Evidence;

    /// What the answer says, when it names an order at all.
    fn names_an_order(&self, reply: &[u8]) -> Option<String>;
}

/// A dialect that tells which positions are open, and what the account is.
pub trait ReportsAccount: Send + Sync {
    /// Asks for all open positions of the account.
    fn positions_request(&self, id: Uuid, now: UtcMs) -> String;

    /// All open positions. An empty list proves nothing: it is also what a gateway answers that cannot see.
    ///
    /// # Errors
    /// The text says why it is no list of positions that answers this id.
    fn read_positions(&self, reply: &[u8], id: Uuid) -> Result<Vec<Position>, String>;

    fn account_request(&self, id: Uuid, now: UtcMs) -> String;

    /// What the account is, and which part of that can be believed.
    ///
    /// # Errors
    /// The text says why it does not tell.
    fn read_account(&self, reply: &[u8], id: Uuid) -> Result<AccountReport, String>;
}
