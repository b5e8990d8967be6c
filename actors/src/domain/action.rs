//! What a decision does in the world: an order, or a forecast. And what confirms it: a fill, or an inclusion.

use std::fmt;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::order::{Fill, Order, Role, Ticket};
use super::reason::Reason;
use super::time::UtcMs;

/// One effect, complete before its intent is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Order(Order),
    Forecast(Forecast),
}

/// What a symbol's price is expected to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    pub symbol: String,
    /// ln of the price after `horizon_s`, less ln of `reference_price`.
    pub log_return: Decimal,
    /// How far the forecast reaches beyond the close of the newest bar, in seconds.
    pub horizon_s: u32,
    /// Close of the newest bar at the decision.
    pub reference_price: Decimal,
    /// Open time of that bar; the horizon counts from its close.
    pub reference_time: UtcMs,
}

impl Forecast {
    /// The role of a forecast within its decision: there is only one.
    pub const ROLE: &'static str = "forecast";

    #[must_use]
    pub const fn horizon(&self) -> Duration {
        Duration::from_secs(self.horizon_s as u64)
    }
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = Decimal::from(self.horizon_s) / Decimal::from(3600);
        write!(f, "{} {} over {} h", self.symbol, self.log_return.normalize(), hours.normalize())
    }
}

impl Action {
    /// What it is for within its decision; part of the intent key.
    #[must_use]
    pub fn role(&self) -> String {
        match self {
            Self::Order(order) => order.role.to_string(),
            Self::Forecast(_) => Forecast::ROLE.to_owned(),
        }
    }

    #[must_use]
    pub fn symbol(&self) -> &str {
        match self {
            Self::Order(order) => &order.symbol,
            Self::Forecast(forecast) => &forecast.symbol,
        }
    }

    #[must_use]
    pub const fn order(&self) -> Option<&Order> {
        match self {
            Self::Order(order) => Some(order),
            Self::Forecast(_) => None,
        }
    }

    #[must_use]
    pub const fn forecast(&self) -> Option<&Forecast> {
        match self {
            Self::Order(_) => None,
            Self::Forecast(forecast) => Some(forecast),
        }
    }

    /// Whether it only ends what an earlier effect began.
    #[must_use]
    pub const fn only_closes(&self) -> bool {
        matches!(self, Self::Order(Order { role: Role::Close(_), .. }))
    }

    /// The reason of a slot whose effect ended like this.
    #[must_use]
    pub const fn reason(&self, end: EffectEnd) -> Reason {
        match (self, end) {
            (Self::Order(_), EffectEnd::Acked) => Reason::OrderAcked,
            (Self::Order(_), EffectEnd::Rejected) => Reason::OrderRejected,
            (Self::Order(_), EffectEnd::Unknown) => Reason::OrderUnknown,
            (Self::Order(_), EffectEnd::NeverLeft) => Reason::OrderNeverLeft,
            (Self::Forecast(_), EffectEnd::Acked) => Reason::ForecastAcked,
            (Self::Forecast(_), EffectEnd::Rejected) => Reason::ForecastRejected,
            (Self::Forecast(_), EffectEnd::Unknown) => Reason::ForecastUnknown,
            (Self::Forecast(_), EffectEnd::NeverLeft) => Reason::ForecastNeverLeft,
        }
    }
}

impl From<Order> for Action {
    fn from(order: Order) -> Self {
        Self::Order(order)
    }
}

impl From<Forecast> for Action {
    fn from(forecast: Forecast) -> Self {
        Self::Forecast(forecast)
    }
}

/// As a person reads it: `buy 0.1 EURUSD (open)`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(order) => {
                write!(f, "{} {} {} ({})", order.side, order.volume_lots.normalize(), order.symbol, order.role)
            }
            Self::Forecast(forecast) => write!(f, "forecast {forecast}"),
        }
    }
}

/// How the hand-over of an effect ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectEnd {
    Acked,
    Rejected,
    /// It left, and what became of it is not known.
    Unknown,
    NeverLeft,
}

/// What confirms an effect. Told apart by their fields, so that receipts of earlier versions, all of them fills, stay readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Receipt {
    Fill(Fill),
    Inclusion(Inclusion),
}

/// A forecast that its ledger has taken up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inclusion {
    /// Hash of the transaction, as the ledger prints it.
    pub hash: String,
    /// Number of the block, or of the entry in a local book.
    pub height: u64,
    /// What the ledger answered, shortened.
    pub text: String,
}

impl Receipt {
    /// Whether it can be about `action`: a fill about an order, an inclusion about a forecast.
    #[must_use]
    pub const fn fits(&self, action: &Action) -> bool {
        matches!((self, action), (Self::Fill(_), Action::Order(_)) | (Self::Inclusion(_), Action::Forecast(_)))
    }

    #[must_use]
    pub const fn fill(&self) -> Option<&Fill> {
        match self {
            Self::Fill(fill) => Some(fill),
            Self::Inclusion(_) => None,
        }
    }

    #[must_use]
    pub const fn inclusion(&self) -> Option<&Inclusion> {
        match self {
            Self::Fill(_) => None,
            Self::Inclusion(inclusion) => Some(inclusion),
        }
    }

    #[must_use]
    pub const fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Fill(fill) => Some(fill.ticket),
            Self::Inclusion(_) => None,
        }
    }

    /// What the other side answered, shortened.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Fill(fill) => &fill.text,
            Self::Inclusion(inclusion) => &inclusion.text,
        }
    }
}

impl From<Fill> for Receipt {
    fn from(fill: Fill) -> Self {
        Self::Fill(fill)
    }
}

impl From<Inclusion> for Receipt {
    fn from(inclusion: Inclusion) -> Self {
        Self::Inclusion(inclusion)
    }
}

/// `ticket 7`, or `abc… in block 12`.
impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fill(fill) => write!(f, "ticket {}", fill.ticket),
            Self::Inclusion(inclusion) => write!(f, "{} at height {}", inclusion.hash, inclusion.height),
        }
    }
}
