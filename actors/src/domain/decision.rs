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
    Sell,
    Hold,
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

    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Sell => "sell",
            Self::Hold => "hold",
            Self::Buy => "buy",
        }
    }
}

/// What to do with open positions when the signal has the opposite direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnOpposite {
    /// Leave them open until their stop or target.
    Ignore,
    Close,
    /// Close them and open a position in the other direction.
    Reverse,
}

/// What is decided only once: each bar, or each slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecideOn {
    /// One decision per closed bar.
    Bar,
    /// One decision per slot, even when no new bar has closed.
    Slot,
}

impl DecideOn {
    /// Stable code, as it stands in the configuration and in the journal.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Bar => "bar",
            Self::Slot => "slot",
        }
    }

    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Bar, Self::Slot].into_iter().find(|kind| kind.code() == code)
    }
}

/// The threshold policy.
#[derive(Debug, Clone, PartialEq)]
pub struct TradePolicy {
    /// Meaning of the model's classes, in its order.
    pub classes: Vec<Signal>,
    /// Act only when the probability of the most probable class is above this.
    pub threshold: f64,
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
    pub signal: Signal,
    pub confidence: f64,
    /// Orders in the order in which they must be done; closes first.
    pub orders: Vec<Order>,
    /// Why there is no new exposure, when there is none; also what a slot without any order ends with.
    pub idle: Option<Reason>,
}

/// What a decision looks at, besides the prediction.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    pub symbol: &'a str,
    /// Open positions of the symbol.
    pub positions: &'a [Position],
    /// Direction of positions that an earlier run of this very decision closed.
    pub closed_before: Option<Side>,
    /// Close of the newest bar.
    pub reference_price: Decimal,
    pub now: UtcMs,
}

impl TradePolicy {
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
            let any_opposite = situation.closed_before == Some(side.opposite())
                || situation.positions.iter().any(|position| position.side == side.opposite());
            match self.on_opposite {
                OnOpposite::Ignore if opposite_stays => idle = Some(Reason::OppositeIgnored),
                OnOpposite::Close if any_opposite => {}
                _ => orders.push(self.opening(side, situation.symbol, reference)),
            }
        }
        Decision { signal, confidence, orders, idle }
    }

    /// Whether a position has been held for as long as one may be.
    #[must_use]
    pub fn is_too_old(&self, position: &Position, now: UtcMs) -> bool {
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

/// The order that ends a position.
#[must_use]
pub fn closing(position: &Position, reference: Decimal) -> Order {
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

#[cfg(test)]
mod tests {
    use super::super::order::Ticket;
    use super::super::prediction::RawAnswer;
    use super::*;

    fn policy(on_opposite: OnOpposite) -> TradePolicy {
        TradePolicy {
            classes: vec![Signal::Sell, Signal::Hold, Signal::Buy],
            threshold: 0.6,
            decide_on: DecideOn::Bar,
            volume_lots: Decimal::new(10, 2),
            stop_distance: Some(Decimal::new(50, 4)),
            target_distance: Some(Decimal::new(100, 4)),
            price_digits: 5,
            on_opposite,
            max_holding: Some(Duration::from_secs(3600)),
        }
    }

    fn position(ticket: u64, side: Side, opened_at: i64) -> Position {
        Position {
            ticket: Ticket(ticket),
            symbol: "EURUSD".to_owned(),
            side,
            volume_lots: Decimal::new(10, 2),
            open_price: Decimal::new(11, 1),
            opened_at: Some(UtcMs::from_secs(opened_at)),
        }
    }

    fn decide(on_opposite: OnOpposite, answer: [f64; 3], positions: &[Position]) -> Decision {
        decide_after(on_opposite, answer, positions, None)
    }

    fn decide_after(
        on_opposite: OnOpposite,
        answer: [f64; 3],
        positions: &[Position],
        closed_before: Option<Side>,
    ) -> Decision {
        let probabilities = Probabilities::check(&RawAnswer { rows: vec![answer.to_vec()] }, 3).unwrap();
        let reference_price = Decimal::new(1_123_456, 6);
        let situation =
            Situation { symbol: "EURUSD", positions, closed_before, reference_price, now: UtcMs::from_secs(1000) };
        policy(on_opposite).decide(&probabilities, &situation)
    }

    fn roles(decision: &Decision) -> Vec<Role> {
        decision.orders.iter().map(|order| order.role).collect()
    }

    const BUY: [f64; 3] = [0.1, 0.2, 0.7];
    const SELL: [f64; 3] = [0.7, 0.2, 0.1];
    const HOLD: [f64; 3] = [0.1, 0.8, 0.1];

    #[test]
    fn a_confident_winner_opens_with_stop_and_target_on_the_right_sides() {
        let buy = &decide(OnOpposite::Ignore, BUY, &[]).orders[0];
        assert_eq!(
            (buy.stop_price, buy.target_price),
            (Some(Decimal::new(111_846, 5)), Some(Decimal::new(113_346, 5)))
        );
        let sell = &decide(OnOpposite::Ignore, SELL, &[]).orders[0];
        assert_eq!(
            (sell.stop_price, sell.target_price),
            (Some(Decimal::new(112_846, 5)), Some(Decimal::new(111_346, 5)))
        );
    }

    #[test]
    fn a_winner_exactly_at_the_threshold_does_not_act() {
        let decision = decide(OnOpposite::Reverse, [0.2, 0.2, 0.6], &[position(1, Side::Sell, 900)]);
        assert_eq!((decision.idle, roles(&decision)), (Some(Reason::BelowThreshold), vec![]));
    }

    #[test]
    fn hold_leaves_positions_alone_until_they_are_too_old() {
        let held = decide(OnOpposite::Reverse, HOLD, &[position(1, Side::Buy, 900)]);
        assert_eq!((held.idle, roles(&held)), (Some(Reason::Hold), vec![]));
        let old = decide(OnOpposite::Reverse, HOLD, &[position(1, Side::Buy, -2600)]);
        assert_eq!(roles(&old), vec![Role::Close(Ticket(1))]);
    }

    #[test]
    fn an_opposite_position_is_ignored_closed_or_reversed_as_configured() {
        let open = [position(7, Side::Sell, 900)];
        let ignored = decide(OnOpposite::Ignore, BUY, &open);
        assert_eq!((ignored.idle, roles(&ignored)), (Some(Reason::OppositeIgnored), vec![]));
        assert_eq!(roles(&decide(OnOpposite::Close, BUY, &open)), vec![Role::Close(Ticket(7))]);
        let reversed = decide(OnOpposite::Reverse, BUY, &open);
        assert_eq!(roles(&reversed), vec![Role::Close(Ticket(7)), Role::Open]);
        assert_eq!(reversed.orders[0].side, Side::Buy, "closing a short position buys");
    }

    #[test]
    fn a_repeated_decision_does_not_open_after_its_close() {
        let repeated = decide_after(OnOpposite::Close, BUY, &[], Some(Side::Sell));
        assert_eq!(roles(&repeated), vec![]);
        let reversing = decide_after(OnOpposite::Reverse, BUY, &[], Some(Side::Sell));
        assert_eq!(roles(&reversing), vec![Role::Open]);
    }
}
