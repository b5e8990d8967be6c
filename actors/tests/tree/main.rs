//! The real tree between fakes, one question at a time: which orders leave, when, and what the slot's row says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test should panic"
)]

mod account;
mod announced;
mod arming;
mod by_hand;
mod by_positions;
mod clock;
mod competition_end;
mod disk;
mod exits;
mod flatten;
mod forecasts;
mod halts;
mod harness;
mod incomplete_bars;
mod journal;
mod load;
mod needs;
mod once;
mod outage;
mod replay;
mod sizes;
mod source_errors;
mod stalls;
mod stray_bars;
mod test_pipeline;
mod year;
