//! The paper gateway against its protocol: the pure core message by message, and the server through real sockets.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking too")]
#![expect(clippy::disallowed_methods, reason = "tests of a server wait in real time and start processes")]

mod command;
mod faults;
mod order_send;
mod positions;
mod process;
mod properties;
mod server;
mod signal;
mod socket;
mod test_gateway;
mod traps;
