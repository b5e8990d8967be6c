//! Where effects go. Each adapter implements [`sentinel_actors::ports::Sink`]; one for orders
//! [`sentinel_actors::ports::PositionBook`] too.

pub mod allora;
pub mod book;
pub mod book_reader;
mod exits;
mod fills;
pub mod forecasts;
pub mod gateway;
mod ledger;
pub mod memory;
pub mod paper;
