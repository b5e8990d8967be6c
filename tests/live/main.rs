//! Live bars: the node against vendors that keep their own record, over real sockets, on a clock of its own.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test should panic")]

mod bad_week;
mod bars;
mod commands;
mod connections;
mod figures;
mod killed;
mod overload;
mod revisions;
mod sources;
mod support;
mod transport;
