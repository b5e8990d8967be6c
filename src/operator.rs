//! The operator's side of a node: what is asked of it, and what it says.
//!
//! A leaf: it reads the board and the journal's reader, asks the journal for what an operator may change, and knows no other adapter.
//! It runs on a thread of its own, so that nothing here can delay a cycle; a panic or a hang of it costs no slot.

mod serving;

pub mod alerts;
pub mod control;
pub mod flattening;
pub mod live_node;
pub mod metrics;
pub mod page;
pub mod report;
pub mod settling;
pub mod status;
pub mod web;
pub mod why;
