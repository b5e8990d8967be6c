//! The operator's page in a real browser.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a failing test should panic, and a browser runs on the real clock"
)]

mod chromium;
mod looks;
mod reading;
mod site;
mod trouble;
