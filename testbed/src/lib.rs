//! The world outside a node, played for its demo and its tests, and their judge.
//!
//! Nothing here shares code with the clients that it judges: it is written from the protocols alone, and what it notes down
//! about the orders that reached it is what really happened.

pub mod gateway;
pub mod hub;
