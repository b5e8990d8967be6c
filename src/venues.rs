//! Where orders go. Each adapter implements [`sentinel_actors::ports::Sink`] and
//! [`sentinel_actors::ports::PositionBook`].

pub mod book;
pub mod book_reader;
mod exits;
pub mod gateway;
mod ledger;
pub mod paper;
