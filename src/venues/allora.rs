//! The Allora network: forecasts go there as signed transactions of a worker.
//!
//! * [`address`], [`decimal`]: texts that the chain takes in one spelling only.
//! * [`messages`]: the protobuf messages of a transaction, written by hand from the chain's definitions.
//! * [`signing`]: from a forecast to the bytes that are broadcast.
//! * [`wallet`]: the key, where it comes from, and what keeps it out of every text.
//! * [`decoding`]: a transaction read back, for people.
//! * [`rpc`]: one CometBFT node over JSON-RPC.
//! * [`health`], [`endpoints`]: several nodes as one, and which of them can be believed.
//! * [`client`], [`queries`]: what the chain's application is asked, in the version that it speaks.
//! * [`errors`]: what an answer of the chain means, and what to do about it.
//! * [`broadcaster`]: the one place that sends, once and provably; [`outbox`], [`fees`] and [`wallet_lock`] are its own.
//!
//! What makes bytes asks neither for the time nor for chance: the same input gives the same bytes (signatures follow RFC 6979).

pub mod address;
pub mod broadcaster;
pub mod client;
pub mod decimal;
pub mod decoding;
mod derivation;
pub mod endpoints;
pub mod errors;
pub mod fees;
pub mod health;
pub mod messages;
pub mod outbox;
mod pool;
pub mod queries;
mod query_messages;
pub mod rpc;
pub mod signing;
pub mod wallet;
pub mod wallet_lock;
mod wire;
