//! Supervision: children are ended and replaced, the node goes on (promise 3).
//!
//! * [`policy`]: what to do, as a pure state machine; [`event`] has its inputs and outputs, `limits` its numbers.
//! * `supervisor`: the shell that an owner actor keeps in its state, between ractor and the policy.
//! * `identity`, `child`, `address`: what is supervised, and how other actors reach it across restarts.
//! * `crash`: crash reports. [`watch`]: the watchdog thread, for when supervision itself has stopped.
//!
//! Nothing in here knows what the children do, awaits a child inside the owner, or uses ractor's registry names.

mod address;
pub mod backoff;
pub mod budget;
mod child;
mod child_state;
mod crash;
pub mod event;
mod identity;
mod limits;
pub mod policy;
mod spawn;
mod supervisor;
pub mod watch;

pub use address::{Address, CallError};
pub use child::ChildSpec;
pub use crash::{CrashLog, CrashReport};
pub use event::SupervisorEvent;
pub use identity::{ChildClass, ChildEnd, ChildId, Generation};
pub use limits::{BeyondBudget, Limits};
pub use supervisor::{Notice, Supervisor, SupervisorSettings};
