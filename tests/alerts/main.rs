//! Alerts over real sockets: what is sent, what each answer means, and what a restart repeats.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking too")]
#![allow(clippy::disallowed_methods, reason = "a test of real sockets waits in real time")]

mod courier;
mod server;
mod service;
