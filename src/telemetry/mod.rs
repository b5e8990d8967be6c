//! What the node says about itself.

pub mod file;
pub mod logging;
pub mod record;
