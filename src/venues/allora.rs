//! The Allora network: forecasts go there as signed transactions of a worker.
//!
//! * [`address`], [`decimal`]: texts that the chain takes in one spelling only.
//! * [`messages`]: the protobuf messages of a transaction, written by hand from the chain's definitions.
//! * [`signing`]: from a forecast to the bytes that are broadcast.
//! * [`wallet`]: the key, where it comes from, and what keeps it out of every text.
//! * [`decoding`]: a transaction read back, for people.
//! * [`rpc`]: one CometBFT node over JSON-RPC.
//! * [`health`], [`endpoints`]: several nodes as one, and which of them can be believed.
//! * [`clocks`]: whether this machine, the endpoints and the chain agree on the time.
//! * [`chain_clock`]: the chain's time, for schedules.
//! * [`client`], [`queries`]: what the chain's application is asked, in the version that it speaks.
//! * [`chain_events`]: what a block announces about windows.
//! * [`report`]: what became of all windows of a worker.
//! * [`errors`]: what an answer of the chain means, and what to do about it.
//! * [`windows`]: which windows a topic has, and when to ask for them; [`money`]: what they cost.
//! * [`announcer`]: announces windows, registers the worker, and says by [`proof`] what counted; [`worker`]: the sink.
//! * [`broadcaster`]: the one place that sends, once and provably; [`outbox`], [`fees`] and [`wallet_lock`] are its own.
//!
//! What makes bytes asks neither for the time nor for chance: the same input gives the same bytes (signatures follow RFC 6979).

pub mod address;
pub mod announcer;
pub mod broadcaster;
pub mod chain_clock;
pub mod chain_events;
pub mod client;
pub mod clocks;
pub mod decimal;
pub mod decoding;
mod derivation;
pub mod endpoints;
pub mod errors;
pub mod fees;
pub mod health;
pub mod messages;
pub mod money;
pub mod outbox;
mod pool;
pub mod proof;
pub mod queries;
mod query_messages;
pub mod report;
pub mod rpc;
pub mod signing;
pub mod wallet;
pub mod wallet_lock;
pub mod windows;
mod wire;
pub mod worker;
