//! The page's server on real sockets, over a board that the tests write: what it answers to whom, and what it does not stand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

mod admission;
mod api;
mod live;
mod patience;
mod probes;
mod support;
