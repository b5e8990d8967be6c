//! Parity: recorded slots computed again from the bars that are kept, and compared value by value with their rows.
//!
//! * [`engine`]: computes the slots of a pipeline again, and names what differs.
//! * [`limits`]: which values of a row follow from bars and model, and which from what only the running node knew.
//! * [`record`]: `parity.json` in the state directory, the last verdict.
//!
//! Promise 5 is checked by what keeps it: the stages are the tree's own ([`sentinel_actors::walk`]), and values are compared as the proof
//! of a backtest compares them. Each slot is decided on an account on which nothing has happened; what follows from the account's
//! past is taken from the record. Journal and bar cache are only read.

pub mod engine;
pub mod limits;
pub mod record;
