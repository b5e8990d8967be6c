//! Recorded slots computed again: an untouched state differs in nothing, and what was touched is named.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test should panic")]

mod cached;
mod command;
mod replayed;
mod support;
