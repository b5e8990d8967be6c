//! The `sentinel` node: what the tree of `sentinel-actors` is plugged into.
//!
//! * [`config`]: the typed configuration and everything that can be wrong with it.
//! * [`cli`]: one file per subcommand.
//! * [`venues`]: where orders go.
//! * [`telemetry`]: what the node says about itself.

#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod telemetry;
pub mod venues;
