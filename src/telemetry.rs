//! What the node says about itself.

pub mod file;
mod logfmt;
pub mod logging;
pub mod modes;
pub mod record;
