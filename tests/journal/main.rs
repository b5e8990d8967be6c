//! The journal on real files: what it keeps, what it refuses, and what is left after a crash.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

mod accounts;
mod announced;
mod bytes;
mod commands;
mod compatibility;
mod evidence;
mod failures;
mod forecasts;
mod halts;
mod lost;
mod readback;
mod refusals;
mod retention;
mod speed;
mod state;
mod support;
mod worker_report;
mod writes;
