//! What a sentinel node is plugged into: the adapters behind the ports of `sentinel-actors`, and the command line.
//!
//! * [`features`]: what a model is asked about, computed from closed bars.
//! * [`models`]: what answers, and the checks that it is the model it should be.
//! * [`sources`]: where bars come from.
//! * [`cli`]: one file per subcommand.
//!
//! Arrows go one way: the command line uses adapters, adapters use ports, and no adapter knows another.

pub mod cli;
pub mod features;
pub mod models;
pub mod sources;
