//! What the node says about itself.

pub mod logging;
