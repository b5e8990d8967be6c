//! Orders, fills and positions: what is exchanged with a venue.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::time::UtcMs;

/// Direction of an order or a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Buy,
    Sell,
}

impl Side {
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A venue's number for a position or order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticket(pub u64);

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What an order is for within one decision. Part of the intent key, so that a decision that closes one position and
/// opens another derives the same keys when it is run again after the first of them was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// New exposure.
    Open,
    /// Ends the position with this ticket.
    Close(Ticket),
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Close(ticket) => write!(f, "close/{ticket}"),
        }
    }
}

/// A market order, complete before its intent is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What it is for.
    pub role: Role,
    pub symbol: String,
    /// Direction of the order itself: closing a long position sells.
    pub side: Side,
    pub volume_lots: Decimal,
    /// Price that ends the position at a loss; `None`: no stop.
    pub stop_price: Option<Decimal>,
    /// Price that ends it at a profit; `None`: no target.
    pub target_price: Option<Decimal>,
    /// Close of the newest bar at the decision; paper venues fill around it, live venues at the market.
    pub reference_price: Decimal,
}

/// What confirms an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// The venue's number.
    pub ticket: Ticket,
    /// Filled volume in lots; less than ordered after a partial fill.
    pub volume_lots: Decimal,
    /// Fill price; `None` when the venue does not report it.
    pub price: Option<Decimal>,
    /// What the venue answered, shortened.
    pub text: String,
}

/// An open position as the venue reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The venue's number.
    pub ticket: Ticket,
    pub symbol: String,
    pub side: Side,
    pub volume_lots: Decimal,
    pub open_price: Decimal,
    /// `None` when the venue does not report it.
    pub opened_at: Option<UtcMs>,
}
