//! The parts that a `sentinel` node is plugged into, and its command line. What the node is lives in `sentinel-actors`.
#![forbid(unsafe_code)]

pub mod models;
