//! What the node says about itself.

pub mod logging;
pub mod record;
