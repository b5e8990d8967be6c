//! From probabilities to orders. Pure: the same input gives the same orders in live, replay and re-run (promise 5).

use std::time::Duration;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::order::{Order, Position, Role, Side};
use super::prediction::Probabilities;
use super::reason::Reason;
use super::time::UtcMs;

/// What a class of the model means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Go short.
    Sell,
    /// Do nothing.
    Hold,
    /// Go long.
    Buy,
}

impl Signal {
    /// The direction, when there is one.
    #[must_use]
    pub const fn side(self) -> Option<Side> {
        match self {
            Self::Sell => Some(Side::Sell),
            Self::Hold => None,
            Self::Buy => Some(Side::Buy),
        }
    }

    /// Stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Sell => "sell",
            Self::Hold => "hold",
            Self::Buy => "buy",
        }
    }
}

/// What to do with open positions when the model points the other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnOpposite {
    /// Leave them to their stop and target.
    Ignore,
    /// Close them.
    Close,
    /// Close them and open the other way.
    Reverse,
}

/// Which input may be decided once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecideOn {
    /// One decision per closed bar.
    Bar,
    /// One decision per slot, as the Python daemon did.
    Slot,
}

/// The threshold policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Meaning of the model's classes, in its order.
    pub classes: Vec<Signal>,
    /// Act only when the winner's probability is above this.
    pub threshold: f64,
    /// Bar or slot.
    pub decide_on: DecideOn,
    /// Volume of each new position, in lots.
    pub volume_lots: Decimal,
    /// Distance of the stop from the reference price, in price units.
    pub stop_distance: Option<Decimal>,
    /// Distance of the target from the reference price, in price units.
    pub target_distance: Option<Decimal>,
    /// Decimal places of prices at the venue.
    pub price_digits: u32,
    /// What to do with opposite positions.
    pub on_opposite: OnOpposite,
    /// Close positions that are older than this.
    pub max_holding: Option<Duration>,
}

/// What a cycle decided, before risk.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The winner.
    pub signal: Signal,
    /// Its probability.
    pub confidence: f64,
    /// Orders in the order in which they must be done; closes first.
    pub orders: Vec<Order>,
    /// Why there is no new exposure, when there is none; also what a slot without any order ends with.
    pub idle: Option<Reason>,
}

/// What a decision looks at, besides the prediction.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The venue's symbol.
    pub symbol: &'a str,
    /// Open positions of the symbol.
    pub positions: &'a [Position],
    /// Close of the newest bar.
    pub reference_price: Decimal,
    /// Schedule time.
    pub now: UtcMs,
}

impl Policy {
    /// Decides.
    #[must_use]
    pub fn decide(&self, probabilities: &Probabilities, situation: &Situation<'_>) -> Decision {
        let (winner, confidence) = probabilities.winner();
        let signal = self.classes.get(winner).copied().unwrap_or(Signal::Hold);
        let reference = situation.reference_price.round_dp(self.price_digits);
        let (wanted, mut idle) = match signal.side() {
            None => (None, Some(Reason::Hold)),
            Some(_) if confidence <= self.threshold => (None, Some(Reason::BelowThreshold)),
            Some(side) => (Some(side), None),
        };

        let mut orders = Vec::new();
        let mut opposite_stays = false;
        for position in situation.positions {
            let opposite = wanted.is_some_and(|side| position.side == side.opposite());
            if self.is_too_old(position, situation.now) || (opposite && self.on_opposite != OnOpposite::Ignore) {
                orders.push(closing(position, reference));
            } else {
                opposite_stays |= opposite;
            }
        }
        if let Some(side) = wanted {
            let any_opposite = situation.positions.iter().any(|position| position.side == side.opposite());
            match self.on_opposite {
                OnOpposite::Ignore if opposite_stays => idle = Some(Reason::OppositeIgnored),
                OnOpposite::Close if any_opposite => {}
                _ => orders.push(self.opening(side, situation.symbol, reference)),
            }
        }
        Decision { signal, confidence, orders, idle }
    }

    fn is_too_old(&self, position: &Position, now: UtcMs) -> bool {
        match (self.max_holding, position.opened_at) {
            (Some(limit), Some(opened)) => now.since(opened) >= limit,
            _ => false,
        }
    }

    fn opening(&self, side: Side, symbol: &str, reference: Decimal) -> Order {
        let away = |distance: Decimal, with_side: bool| {
            let up = (side == Side::Buy) == with_side;
            if up { reference + distance } else { reference - distance }
        };
        Order {
            role: Role::Open,
            symbol: symbol.to_owned(),
            side,
            volume_lots: self.volume_lots,
            stop_price: self.stop_distance.map(|distance| away(distance, false)),
            target_price: self.target_distance.map(|distance| away(distance, true)),
            reference_price: reference,
        }
    }
}

fn closing(position: &Position, reference: Decimal) -> Order {
    Order {
        role: Role::Close(position.ticket),
        symbol: position.symbol.clone(),
        side: position.side.opposite(),
        volume_lots: position.volume_lots,
        stop_price: None,
        target_price: None,
        reference_price: reference,
    }
}
