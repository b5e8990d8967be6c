//! Supervision: children are ended and replaced, the node goes on (promise 3).
//!
//! * [`policy`]: what to do, as a pure state machine; [`event`] is its vocabulary, [`limits`] its numbers.
//! * [`supervisor`]: the thin shell that an owner actor keeps in its state; it translates between ractor and the policy.
//! * [`identity`], [`child`], [`address`]: what is supervised, and how the others reach it across restarts.
//! * [`crash`]: what a panic left behind. [`watch`]: the thread that notices when nothing can be supervised any more.
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
