//! The paper gateway: a real ZeroMQ REP server that speaks what gateways beside MetaTrader 5 speak, and trades on paper.
//!
//! It promises what they promise and no more: an id memory that knows only whole fills and dies with the process, a partial
//! fill that comes as an error, replies without an id. It can misbehave, order by order ([`Fault`]), lie
//! in every message as the public ones do ([`Trap`]), or play an [`Advisor`] instead. Its
//! [ledger](SCHEMA) is durable before each reply, and crash tests believe it; it must never share code with a client.
//!
//! - [`Core`]: a message and the state give an [`Outcome`]. Pure; the rest of the files feed it.
//! - [`Now`]: the market's own time, which no message changes.
//! - `ledger`: makes an outcome durable. `server`: the socket.

mod advisor;
mod book;
mod clock;
pub mod codes;
mod core;
mod fault;
mod ledger;
mod market;
mod memory;
mod options;
mod outcome;
mod reply;
mod request;
mod server;
mod trap;

pub use self::core::{Core, Numbers};
pub use advisor::Advisor;
pub use book::{AccountMode, Book, Change, Closing, Deal, POSITIONS_MAX, Position};
pub use clock::Now;
pub use fault::{Fault, FaultError};
pub use ledger::{RAW_MAX, SCHEMA};
pub use market::{Bar, Exit, ExitLevels, Market, PRICE_MAX, Prices, Quote, Side, digits, read_bars, rounded};
pub use memory::{IDS_MAX, REMEMBERED_MS};
pub use options::{GatewayError, GatewayOptions};
pub use outcome::{Arrival, OrderRow, OrderState, Outcome, Step};
pub use reply::{AccountView, Answer, FOREIGN_ID, PositionView};
pub use request::{Dialect, Order, Parsed, Request, RequestError, SIGNAL_VOLUME, parse};
pub use server::{Gateway, serve};
pub use trap::{NoTrap, Trap};
