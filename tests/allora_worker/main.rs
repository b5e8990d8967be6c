//! A worker's announcer and sink on a chain that judges them: every window once, never a wrong one, and proof of what counted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise; clippy exempts the tests but not their helpers"
)]

mod announcing;
mod doctor;
mod ends;
mod pace;
mod proving;
mod registering;
mod site;
mod submitting;
mod waiting;
