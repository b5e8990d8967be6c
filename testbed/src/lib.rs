//! The world outside a node, played for its demo and its tests, and their judge.
//!
//! Nothing here shares code with the clients that it judges: it is written from the protocols alone, and what it notes down
//! about the orders that reached it is what really happened.

#![allow(missing_docs, reason = "only the command line and tests of this repository use it, and the names say enough")]

mod fault_rule;
pub mod gateway;
pub mod hub;
mod shutdown;

pub use fault_rule::{FaultRule, FaultRuleError};
pub use shutdown::shutdown_on_signal;
