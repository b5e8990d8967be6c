//! One wallet's broadcaster on a chain that judges it: one effect and one fee per submission, whatever is lost, late or refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops at the first surprise; clippy exempts the tests but not their helpers"
)]

mod doubt;
mod money;
mod refusals;
mod support;
