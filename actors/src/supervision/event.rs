//! The types that go into the restart policy (events) and come out of it (commands, and events for the owner).

use std::time::Duration;

use super::identity::{ChildClass, ChildEnd, ChildId, Generation};

/// What the policy knows about a child.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Name, unique inside one supervisor.
    pub id: ChildId,
    /// Decides which budget counts.
    pub class: ChildClass,
    /// Start in ascending order, stop in descending order.
    pub tier: u8,
    /// Time between `stop` and `kill`.
    pub grace: Duration,
    pub pinged: bool,
    /// The newest generation of earlier owners; the first one here is the next.
    pub last: Generation,
}

/// What happened. Events of any but the live generation change nothing.
#[derive(Debug, Clone)]
pub enum Event {
    /// The owner is ready: start the first tier.
    Start,
    /// The incarnation runs.
    Started {
        id: ChildId,
        generation: Generation,
    },
    /// The incarnation failed to start and has released its resources.
    StartFailed {
        id: ChildId,
        generation: Generation,
        cause: ChildEnd,
    },
    /// The incarnation is ending by itself and takes no more messages.
    Ending {
        id: ChildId,
        generation: Generation,
    },
    /// The incarnation has ended and has released its resources.
    Ended {
        id: ChildId,
        generation: Generation,
        cause: ChildEnd,
    },
    /// A request to the incarnation was not answered in time.
    DeadlineMissed {
        id: ChildId,
        generation: Generation,
        what: String,
    },
    PingAnswered {
        id: ChildId,
        generation: Generation,
    },
    /// A ping was not answered in time.
    PingMissed {
        id: ChildId,
        generation: Generation,
    },
    /// Time has passed: the time of a `WakeAt`, or any other moment.
    Tick,
    /// End everything, in order.
    Shutdown,
}

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Start a new incarnation; answered by `Started` or `StartFailed`.
    Spawn {
        id: ChildId,
        generation: Generation,
    },
    /// Ask it to end; answered by `Ended`.
    Stop {
        id: ChildId,
        generation: Generation,
    },
    /// End it, or its start, by force; answered by `Ended` or `StartFailed`.
    Kill {
        id: ChildId,
        generation: Generation,
    },
    /// Ask whether it is alive; answered by `PingAnswered` or `PingMissed`.
    Ping {
        id: ChildId,
        generation: Generation,
    },
    /// Send a `Tick` at this time; replaces the wake asked for before.
    WakeAt(Duration),
    Notify(SupervisorEvent),
}

/// What the owner is notified of, in the order in which it happened.
#[derive(Debug, Clone, PartialEq)]
pub enum SupervisorEvent {
    /// It runs, and its address points at it.
    Up { id: ChildId, generation: Generation },
    /// It has ended. Follows a failed start too, then without an `Up` before.
    Down { id: ChildId, generation: Generation, cause: ChildEnd },
    /// It was killed and does not end: its thread is blocked. It is not replaced before it has ended.
    Stuck { id: ChildId, generation: Generation },
    /// It will be started again.
    Restarting { id: ChildId, after: Duration },
    /// A pipeline is beyond its budget, or failed its probe. `until` counts from the creation of the supervisor.
    Parked { id: ChildId, until: Duration },
    /// A probed pipeline stayed up.
    Unparked { id: ChildId },
    /// A child is beyond its restart budget: the owner must fail.
    Escalate { id: ChildId, cause: ChildEnd },
    /// The process must end and be started again. Sent once.
    Meltdown { why: String },
    /// A pipeline ended by itself and is not restarted.
    Finished { id: ChildId },
    /// The shutdown is complete.
    AllStopped,
}
