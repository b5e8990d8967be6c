//! A backtest beside the real tree: the same rows on the same bars, and what differs is named.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test should panic")]
#![expect(clippy::disallowed_methods, reason = "a test reads its own settings, and measures")]

mod cache;
mod command;
mod damage;
mod figures;
mod made;
mod support;
mod verify;
