//! Which slots are due: a grid, or what is announced from outside.

use std::sync::Arc;
use std::time::Duration;

use super::PortFuture;
use crate::domain::announced::{AnnouncedSlot, Announcement};
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
    /// Schedule time.
    pub now: UtcMs,
    /// The whole call must end within this.
    pub deadline: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedAnswer {
    /// At least everything that opens after `since`, also what is over by now: the node may have been down. Repeating an
    /// announcement changes nothing.
    pub announced: Vec<Announcement>,
    /// Which of the slots in `open` must not be worked on any more, by id.
    pub withdrawn: Vec<String>,
    /// When to ask again.
    pub ask_again: Duration,
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
