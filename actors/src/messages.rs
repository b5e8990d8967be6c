//! The messages that actors of this crate send to each other in both directions: in a file of their own, so that sender and
//! receiver need not know each other.

use ractor::RpcReplyPort;
use tokio::time::Instant;

use crate::admission::Turn;
use crate::cycle_flow::Holder;
use crate::domain::announced::FeedNews;
use crate::domain::cycle::{SlotRecord, Stage};
use crate::domain::flatten::{Flattened, NotFlattened};
use crate::domain::time::UtcMs;
use crate::ports::Recovery;
use crate::supervision::{ChildId, Notice};

pub enum PipelineMsg {
    Child(Notice),
    /// The journal has answered at its start.
    Recovered(Recovery),
    /// What announces slots was asked; everything in it is durable.
    Announced(Box<FeedNews>),
    /// Schedule time may have reached the next slot.
    Wake,
    /// The turn of this pipeline to work on a cycle.
    Turn(Turn),
    /// Check whether a stage holds the cycle in flight for too long.
    CheckCycle,
    /// A stage that is overdue was given its grace, in turns of the runtime that it runs on.
    GraceOver {
        attempt: u32,
        holder: Holder,
        /// Whether the runtime ran meanwhile; otherwise something blocks its thread.
        has_run: bool,
    },
    /// Send unconfirmed rows again if the journal was replaced.
    CheckRows,
    /// A stage ended the cycle.
    CycleEnded {
        attempt: u32,
        /// The complete row.
        record: Box<SlotRecord>,
    },
    /// A cycle was handed to a stage that is not running.
    StageNotRunning {
        slot: UtcMs,
        attempt: u32,
        stage: Stage,
    },
    /// A row is durable.
    Recorded {
        number: u64,
    },
    /// Take no new slot, finish the one in flight, end.
    Close,
    /// The competition is over: give each of its slots its end, then end.
    WindowOver,
    /// For fault injection: end a stage as if from outside.
    Kill(ChildId),
    Ping(RpcReplyPort<()>),
}

#[derive(Debug)]
pub enum CompetitionMsg {
    Check,
    /// A pipeline has no slot left; check it at once.
    WindowPassed {
        pipeline: String,
    },
    Ping(RpcReplyPort<()>),
}

/// An operator's command to close everything, for an Executor between two cycles.
#[derive(Debug)]
pub struct Flatten {
    /// Nothing is sent after this, and it is answered by then.
    pub until: Instant,
    pub reply: RpcReplyPort<Result<Flattened, NotFlattened>>,
}
