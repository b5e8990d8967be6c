//! What the node says about itself.

mod cycle_span;
pub mod file;
mod logfmt;
pub mod logging;
pub mod modes;
pub mod record;
