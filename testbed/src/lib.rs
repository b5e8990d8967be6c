//! Servers that stand in for those outside a node, for its demo and its tests: a model hub, a paper trade
//! gateway, vendors of bars, and an Allora chain.
//!
//! Nothing here shares code with the clients that it tests: it is written from the protocols alone, and what it records
//! about the orders that reached it is what really happened.

#![allow(missing_docs, reason = "only the command line and tests of this repository use it, and the names say enough")]

pub mod chain;
mod fault_rule;
pub mod gateway;
pub mod hub;
mod shutdown;
pub mod vendors;

pub use fault_rule::{FaultRule, FaultRuleError, Shadowed};
pub use shutdown::shutdown_on_signal;
pub use tokio_util::sync::CancellationToken;
