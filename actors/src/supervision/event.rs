//! The vocabulary of the restart policy: what it is told, what it orders, and what it lets the owner know.

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
    /// The incarnation passed its start.
    Started {
        id: ChildId,
        generation: Generation,
    },
    /// The incarnation did not pass its start; nothing of it is left.
    StartFailed {
        id: ChildId,
        generation: Generation,
        cause: ChildEnd,
    },
    /// The incarnation is ending by itself; nothing more can be asked of it.
    Dying {
        id: ChildId,
        generation: Generation,
    },
    /// Nothing of the incarnation is left.
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
    /// Time has passed: a wake that was asked for, or any other moment.
    Tick,
    /// End everything, in order.
    Shutdown,
}

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Start a new incarnation; answered by `Started` or `StartFailed`.
    Spawn { id: ChildId, generation: Generation },
    /// Ask it to end; answered by `Ended`.
    Stop { id: ChildId, generation: Generation },
    /// End it, or its start, by force; answered by `Ended` or `StartFailed`.
    Kill { id: ChildId, generation: Generation },
    /// Ask whether it is alive; answered by `PingAnswered` or `PingMissed`.
    Ping { id: ChildId, generation: Generation },
    /// Send a `Tick` at this time; replaces the wake asked for before.
    WakeAt(Duration),
    /// Let the owner know.
    Notify(SupervisorEvent),
}

/// What the owner should know, in the order in which it happened.
#[derive(Debug, Clone, PartialEq)]
pub enum SupervisorEvent {
    /// It runs, and its address points at it.
    Up { id: ChildId, generation: Generation },
    /// Nothing of it is left. Follows a failed start too, then without an `Up` before.
    Down { id: ChildId, generation: Generation, cause: ChildEnd },
    /// It does not end: its thread is blocked. It gets no successor until it does.
    Stuck { id: ChildId, generation: Generation },
    /// It will be started again.
    Restarting { id: ChildId, after: Duration },
    /// A pipeline is beyond its budget, or failed its probe. `until` counts from the creation of the supervisor.
    Parked { id: ChildId, until: Duration },
    /// A probed pipeline stayed up.
    Unparked { id: ChildId },
    /// A child is beyond its budget: the owner must fail.
    Escalate { id: ChildId, cause: ChildEnd },
    /// The process must end and be started afresh. Told once.
    Meltdown { why: String },
    /// A pipeline ended by itself and is not restarted.
    Finished { id: ChildId },
    /// The shutdown is complete.
    AllStopped,
}
