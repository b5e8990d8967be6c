//! What a scrape gets, and that metrics, rules, dashboard and their document speak of the same things.
//!
//! A test whose outside program is missing is ignored and says so; with SENTINEL_MUST_RUN in the environment of the build, as
//! in CI, it fails instead.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking too")]
#![expect(clippy::disallowed_methods, reason = "figures are taken in real time, and a test reads its own settings")]

mod exposition;
mod figures;
mod live;
#[path = "../process/node.rs"]
#[allow(dead_code, reason = "shared with the tests of the process, which need more of it")]
mod node;
#[path = "../deploy/outside.rs"]
#[allow(dead_code, reason = "shared with the tests of deployment, which need more of it")]
mod outside;
mod rules;
mod samples;
mod served;
mod together;
