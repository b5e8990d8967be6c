//! Wallet, messages, signatures and offline commands of Allora, against vectors of the official SDK and as real processes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking too")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test of real processes waits in real time and reads its own settings"
)]

mod canary;
mod canonical;
mod commands;
mod decoding;
#[path = "../process/node.rs"]
#[allow(dead_code, reason = "shared with the tests of the process, which need more of it")]
mod node;
mod vectors;
mod wallets;
