//! The fake chain: that it takes what the official SDK signs, that it refuses everything else with the chain's code and text, and
//! that each of its faults is what its name says. The wallet and the wire format here are written for these tests alone.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking too")]

mod ante;
mod delivery;
mod faults;
mod grpc;
mod nodes;
mod payload;
mod process;
mod proto;
mod queries;
mod rpc;
mod support;
mod upgrade;
mod vectors;
mod wallet;
mod windows;
