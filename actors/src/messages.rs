//! The messages that actors of this crate send to each other in both directions: in a file of their own, so that sender and
//! receiver need not know each other.

use ractor::RpcReplyPort;

use crate::domain::cycle::{SlotRecord, Stage};
use crate::domain::time::UtcMs;
use crate::ports::Recovery;
use crate::supervision::{ChildId, Notice};

pub enum PipelineMsg {
    /// From its supervision.
    Child(Notice),
    /// Where it stands.
    Recovered(Recovery),
    /// Schedule time may have reached the next slot.
    Wake,
    /// Look after the cycle in flight.
    CheckCycle,
    /// Look after unconfirmed rows.
    CheckRows,
    /// A stage ended the cycle.
    CycleEnded {
        attempt: u32,
        /// The complete row.
        record: Box<SlotRecord>,
    },
    /// A cycle was handed to a stage that is not there.
    NobodyThere {
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
    /// End a stage as an outside hand would; for fault injection.
    Kill(ChildId),
    Ping(RpcReplyPort<()>),
}

#[derive(Debug)]
pub enum CompetitionMsg {
    Look,
    /// A pipeline has no slot left; look at it at once.
    WindowPassed {
        pipeline: String,
    },
    Ping(RpcReplyPort<()>),
}
