//! The node where it lives: under a real supervisord, behind systemd's unit file and socket, and seen from outside.
//!
//! A test whose outside program is missing is ignored and says so; with SENTINEL_MUST_RUN in the environment of the build, as
//! in CI, it fails instead.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking too")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test of real processes waits in real time and reads its own settings"
)]

mod completions;
mod health;
mod log_file;
#[path = "../process/node.rs"]
#[allow(dead_code, reason = "shared with the tests of the process, which need more of it")]
mod node;
mod notify;
mod outside;
mod site;
mod supervisord;
mod systemd;
