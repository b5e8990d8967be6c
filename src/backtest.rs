//! A backtest: what a node would have decided on recorded bars, by the functions that decide in a node.
//!
//! * [`plan`]: which pipeline is walked through, on which bars; the same plan runs in the real tree too.
//! * [`engine`]: walks through the slots of a plan, with an intent table and a paper book in memory.
//! * [`verify`]: the same plan in the real tree, in a directory of its own, compared row by row.
//!
//! Promise 5 is kept by structure: the stages are the tree's own ([`sentinel_actors::walk`]), and what the paper book answers is shared
//! with the book on the disk. Nothing leaves: there is no venue here that could take anything.

pub mod engine;
mod journal;
pub mod plan;
pub mod verify;
