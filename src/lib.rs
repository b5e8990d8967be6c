//! What a sentinel node is wired into: the adapters behind the ports of `sentinel-actors`, and the command line.
//!
//! * [`config`]: the typed configuration and everything that can be wrong with it.
//! * [`node`]: configuration → ports → tree; two runtimes; signals; the watchdog that aborts a stalled process.
//! * [`features`]: what a model is asked about, computed from closed bars.
//! * [`models`]: what answers, and the checks that it is the model it should be.
//! * [`sources`]: where bars come from.
//! * [`venues`]: where orders go.
//! * [`http`]: the HTTP client that adapters share, and the secrets that it keeps.
//! * [`journal`]: the SQLite journal, the state directory, and what can be asked of them.
//! * [`telemetry`]: what the node says about itself.
//! * [`system`]: the wall clock and other plain adapters.
//! * [`files`]: replacing a file as a whole.
//! * [`exit`]: exit codes, and errors that know theirs.
//! * [`cli`]: one file per subcommand.
//!
//! Arrows go one way: `cli → node → adapters → ports`, and no adapter knows another; those that speak HTTP share [`http`].
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod exit;
pub mod features;
pub mod files;
pub mod http;
pub mod journal;
pub mod models;
pub mod node;
pub mod sources;
pub mod system;
pub mod telemetry;
pub mod venues;
