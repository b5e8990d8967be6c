//! What a sentinel node *is*: the rules, the ports it needs from outside, and the supervision tree.
//!
//! * [`domain`]: plain data and pure rules. No actors, no clock, no I/O.
//! * [`ports`]: what the node needs from outside: bars, features, a model, a venue, a journal, time and chance.
//! * [`supervision`]: children are ended and replaced, the node goes on.
//!
//! This crate names no vendor: no HTTP, no SQL, no ZeroMQ, no ONNX.

#[cfg(panic = "abort")]
compile_error!(
    "sentinel survives panics by unwinding and restarting; panic = \"abort\" would turn each of them into a crash"
);

pub mod domain;
pub mod ports;
pub mod supervision;
