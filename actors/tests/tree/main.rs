//! The real tree between fakes, one question at a time: which orders leave, when, and what the slot's row says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test should panic"
)]

mod announced;
mod clock;
mod exits;
mod forecasts;
mod harness;
mod incomplete_bars;
mod journal;
mod load;
mod once;
mod outage;
mod replay;
mod sizes;
mod source_errors;
mod stray_bars;
mod test_pipeline;
