//! Which slots are due: a grid, or what is announced from outside.

use std::sync::Arc;
use std::time::Duration;

use super::PortFuture;
use crate::domain::announced::{AnnouncedSlot, Announcement};
use crate::domain::fact::Fact;
use crate::domain::intent::{Intent, IntentKey};
use crate::domain::schedule::Schedule;
use crate::domain::time::UtcMs;

/// Which slots of a pipeline are due.
#[derive(Clone)]
pub enum SlotFeed {
    /// A function of time.
    Grid(Schedule),
    /// Whatever is announced from outside.
    Announced(Arc<dyn Announcer>),
}

/// Question to an [`Announcer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedRequest {
    /// The newest slot that was announced so far. `None`: none was yet, and what opened before `now` and is over is not due.
    pub since: Option<UtcMs>,
    /// Announced slots that have not ended.
    pub open: Vec<AnnouncedSlot>,
    /// Ids of the newest announced slots, oldest first: what is missing among them passed while nobody asked. Only in the first
    /// question of a feeder's life and after an answer with announcements: those that are neither here nor in `open` are not durable.
    pub known: Vec<String>,
    /// Live effects of the pipeline whose outcome nobody knows yet, oldest first. One that ends as confirmed is in `awaiting` then.
    pub unsettled: Vec<Intent>,
    /// Confirmed forecasts about which the ledger has more to say; not always all of them. Those that await only their
    /// score come last.
    pub awaiting: Vec<Intent>,
    /// Schedule time.
    pub now: UtcMs,
    /// The whole call must end within this.
    pub deadline: Duration,
}

/// The default knows of nothing, and is to be asked again in a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedAnswer {
    /// At least everything that opens after `since`, also what is over by now: the node may have been down. Repeating an
    /// announcement changes nothing.
    pub announced: Vec<Announcement>,
    /// Which of the slots in `open` must not be worked on any more, by id.
    pub withdrawn: Vec<String>,
    /// What the ledger says about forecasts in `awaiting`.
    pub facts: Vec<(IntentKey, Fact)>,
    /// Every slot that opened until then is known; `None`: until the question was asked.
    pub as_of: Option<UtcMs>,
    /// Why no slot can be used at present, and what to do. Safe to print.
    pub waits_for: Option<String>,
    /// When the next slot is expected to open.
    pub next: Option<UtcMs>,
    /// For how long the account can pay for every slot; `None`: nothing new is known of it, or nothing is to be paid.
    pub runway: Option<Duration>,
    /// When to ask again.
    pub ask_again: Duration,
}

impl Default for FeedAnswer {
    fn default() -> Self {
        Self {
            announced: Vec::new(),
            withdrawn: Vec::new(),
            facts: Vec::new(),
            as_of: None,
            waits_for: None,
            next: None,
            runway: None,
            ask_again: Duration::from_secs(1),
        }
    }
}

/// The announcer could not be asked. The text is safe to print.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what announces slots cannot be asked: {0}")]
pub struct FeedError(pub String);

/// Announces slots from outside, such as the windows that a chain opens.
pub trait Announcer: Send + Sync {
    /// What is announced, and what of it was withdrawn.
    fn ask<'a>(&'a self, request: &'a FeedRequest) -> PortFuture<'a, Result<FeedAnswer, FeedError>>;
}
