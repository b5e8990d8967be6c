//! What a sentinel node *is*: the rules, the ports it needs from outside, and the supervision tree.
//!
//! * [`domain`]: plain data and pure rules. No actors, no clock, no I/O.
//! * [`ports`]: what the node needs from outside: bars, features, a model, a sink for effects, a position book, a journal, time and chance.
//! * [`supervision`]: a pure restart policy and its ractor shell; crash reports; watchdog.
//! * [`node`] builds the tree from its [`settings`]: [`root_supervisor`], `journal`, `competition_clock`, `heartbeat`, `pipeline`.
//! * `cycle_flow` and `stage`: how a cycle passes through `data_fetcher`, `feature_builder`, `predictor` and `executor`.
//! * `slot_feeder` asks for announced slots and for what became of forecasts; `warm_up` rehearses a cycle before its slot opens.
//! * [`halts`]: what keeps effects here until an operator lifts it. [`admission`]: how many cycles are at work at the same time.
//! * `messages`: what actors send to each other. `clock_watch`: detects that the wall clock was set, or that the machine slept.
//! * [`walk`]: the same stages without the tree, slot after slot, for a backtest.
//! * [`flattener`]: closes everything when an operator says so, through the executor of a running node or without a node.
//! * [`status`] and [`events`]: what the node shows and logs; [`meters`]: what it counts for that; [`closes`]: prices for its charts. [`error_chain`]: an error with its causes, in one line.
//!
//! Arrows go one way: actor files → supervision, ports → domain. This crate names no vendor: no HTTP, no SQL, no ZeroMQ, no
//! ONNX.

#[cfg(panic = "abort")]
compile_error!(
    "sentinel survives panics by unwinding and restarting; panic = \"abort\" would turn each of them into a crash"
);

pub mod admission;
mod clock_watch;
pub mod closes;
mod competition_clock;
mod cycle_flow;
mod data_fetcher;
pub mod domain;
pub mod error_chain;
pub mod events;
mod executor;
mod feature_builder;
pub mod flattener;
pub mod halts;
mod heartbeat;
mod journal;
mod messages;
pub mod meters;
pub mod node;
mod pipeline;
pub mod ports;
mod predictor;
pub mod root_supervisor;
pub mod settings;
mod slot_feeder;
mod stage;
pub mod status;
pub mod supervision;
pub mod walk;
mod warm_up;
