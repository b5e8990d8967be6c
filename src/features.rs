//! Feature sets: closed bars in, numbers out.
//!
//! One implementation serves the live node, a replay and the training export, so that a model is asked about what it was
//! trained on (promise 5). Nothing here reads a clock, fills a hole, or keeps state between two calls.

pub mod fx23;
pub mod indicators;
