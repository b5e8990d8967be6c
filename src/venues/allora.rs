//! The Allora network: forecasts go there as signed transactions of a worker.
//!
//! * [`address`], [`decimal`]: texts that the chain takes in one spelling only.
//! * [`messages`]: the protobuf messages of a transaction, written by hand from the chain's definitions.
//! * [`signing`]: from a forecast to the bytes that are broadcast.
//! * [`wallet`]: the key, where it comes from, and what keeps it out of every text.
//! * [`decoding`]: a transaction read back, for people.
//!
//! Nothing here asks for the time or for chance: the same input gives the same bytes (signatures follow RFC 6979).

pub mod address;
pub mod decimal;
pub mod decoding;
mod derivation;
pub mod messages;
pub mod signing;
pub mod wallet;
