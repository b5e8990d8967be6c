//! Supervision as a whole: properties of the policy, and the shell with real ractor actors. Time is paused except where a
//! thread is really blocked, and there the tests wait for what happens, never for time to pass.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod blocked;
mod harness;
mod policy;
mod properties;
mod shell;
