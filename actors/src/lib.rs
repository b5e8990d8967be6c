//! What a sentinel node *is*: the rules, the ports it needs from outside, and the supervision tree.
//!
//! * [`domain`]: plain data and pure rules. No actors, no clock, no I/O.
//! * [`ports`]: what the node needs from outside: bars, features, a model, a venue, a journal, time and chance.
//! * [`supervision`]: a pure restart policy behind a thin ractor shell; crash reports; watchdog.
//! * [`node`]: the tree put together. [`root_supervisor`], [`journal`], [`competition_clock`], [`heartbeat`], [`pipeline`].
//! * [`cycle_flow`] and [`stage`]: one cycle on its way through [`data_fetcher`], [`feature_builder`], [`predictor`] and
//!   [`executor`].
//! * [`clock_watch`]: whether the wall clock was set, or the machine slept.
//! * [`status`] and [`events`]: what the node shows of itself; [`error_chain`]: how it tells an error with its causes.
//!
//! Arrows go one way: actor files → supervision, ports → domain. This crate names no vendor: no HTTP, no SQL, no ZeroMQ, no
//! ONNX.

#[cfg(panic = "abort")]
compile_error!(
    "sentinel survives panics by unwinding and restarting; panic = \"abort\" would turn each of them into a crash"
);

pub mod clock_watch;
pub mod competition_clock;
pub mod cycle_flow;
pub mod data_fetcher;
pub mod domain;
pub mod error_chain;
pub mod events;
pub mod executor;
pub mod feature_builder;
pub mod heartbeat;
pub mod journal;
pub mod messages;
pub mod node;
pub mod pipeline;
pub mod ports;
pub mod predictor;
pub mod root_supervisor;
pub mod settings;
pub mod stage;
pub mod status;
pub mod supervision;
