//! What a sentinel node is wired into: the adapters behind the ports of `sentinel-actors`, and the command line.
//!
//! * [`config`]: the typed configuration and everything that can be wrong with it.
//! * [`node`]: configuration → ports → tree; two runtimes; signals; the watchdog that aborts a stalled process.
//! * [`operator`]: the control socket, and what is said and asked there.
//! * [`features`]: what a model is asked about, computed from closed bars.
//! * [`models`]: what answers, and the checks that it is the model it should be.
//! * [`sources`]: where bars come from.
//! * [`venues`]: where orders go.
//! * [`http`]: the HTTP client that adapters share, and the secrets that it keeps.
//! * [`arming`]: what an operator confirms before anything goes live, and what ends that.
//! * [`backtest`]: what a node would have decided on recorded bars, without a node.
//! * [`backup`]: a copy of the state directory of one instant, and what a node is restored from.
//! * [`bundle`]: what is sent with a question, and without any secret.
//! * [`journal`]: the SQLite journal, the state directory, and what can be asked of them.
//! * [`kill_file`]: a file that halts everything, with or without a node.
//! * [`telemetry`]: what the node says about itself.
//! * [`system`]: the wall clock and other plain adapters.
//! * [`files`]: replacing a file as a whole.
//! * [`exit`]: exit codes, and errors that know theirs.
//! * [`cli`]: one file per subcommand.
//!
//! Arrows go one way: `cli → node → adapters → ports`, and no adapter knows another; those that speak HTTP share [`http`].
#![forbid(unsafe_code)]

pub mod arming;
pub mod backtest;
pub mod backup;
pub mod bundle;
pub mod cli;
pub mod config;
pub mod exit;
pub mod features;
pub mod files;
pub mod http;
pub mod journal;
pub mod kill_file;
pub mod models;
pub mod node;
pub mod operator;
pub mod sources;
pub mod system;
pub mod telemetry;
pub mod venues;
