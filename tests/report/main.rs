//! `sentinel report` as a document and as tables: what it says is worked out again here, from the files alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a failing test should panic, and processes and browsers run on the real clock"
)]

mod agrees;
#[path = "../page/chromium.rs"]
#[allow(dead_code, reason = "shared with the tests of the page, which need more of it")]
mod chromium;
#[path = "../process/config.rs"]
#[allow(dead_code, reason = "shared with the tests of the process, which need more of it")]
mod config;
#[path = "../process/evidence.rs"]
#[allow(dead_code, reason = "shared with the tests of the process, which need more of it")]
mod evidence;
#[path = "../process/facts.rs"]
#[allow(dead_code, reason = "shared with the tests of the process, which need more of it")]
mod facts;
mod figures;
mod files;
mod looks;
#[path = "../process/node.rs"]
#[allow(dead_code, reason = "shared with the tests of the process, which need more of it")]
mod node;
mod read;
mod year;
