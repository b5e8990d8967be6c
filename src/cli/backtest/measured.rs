//! What is measured besides what a report shows: the largest loss on the way, time in the market, and the direction of the next bar.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use sentinel_actors::domain::bar::Bar;
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::decision::Signal;
use sentinel_actors::domain::order::Side;
use sentinel_actors::domain::time::UtcMs;

use crate::operator::report::part::Part;
use crate::operator::report::scores::Calibration;

/// The account on its way through the slots of one part, or of all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Money {
    pub(super) slots: u64,
    /// Those after which a position was open.
    pub(super) exposed: u64,
    peak: Option<Decimal>,
    /// The largest loss of equity since a peak, in quote currency.
    pub(super) drawdown: Decimal,
    /// The same as a share of that peak.
    pub(super) drawdown_share: Option<f64>,
}

impl Money {
    /// After a slot. Equity: what the account would have if everything were closed at the newest price.
    pub(super) fn add(&mut self, equity: Option<Decimal>, open: usize) {
        self.slots += 1;
        self.exposed += u64::from(open > 0);
        let Some(equity) = equity else { return };
        let peak = self.peak.map_or(equity, |peak| peak.max(equity));
        self.peak = Some(peak);
        let loss = peak.saturating_sub(equity);
        if loss > self.drawdown {
            self.drawdown = loss;
            let share = loss.checked_div(peak).filter(|_| peak > Decimal::ZERO);
            self.drawdown_share = share.and_then(|share| f64::try_from(share).ok());
        }
    }

    /// The share of slots with an open position.
    pub(super) fn exposure(&self) -> Option<f64> {
        (self.slots > 0).then(|| self.exposed as f64 / self.slots as f64)
    }
}

/// Whether the next usable bar closed higher or lower, beside what the model said. Bars that closed where the one before them did
/// count for neither.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Directions {
    /// Bars whose winner was a direction.
    pub(super) said: u64,
    pub(super) right: u64,
    /// Of those, the ones after which the next bar closed higher.
    ups: u64,
    /// The probability of a rise, given that it rises or falls, against what came.
    pub(super) of_rise: Calibration,
}

impl Directions {
    fn add(&mut self, of: &Pending, rose: bool) {
        if let Some(side) = of.side {
            self.said += 1;
            self.right += u64::from((side == Side::Buy) == rose);
            self.ups += u64::from(rose);
        }
        if let Some(rise) = of.rise {
            self.of_rise.add(rise, rose);
        }
    }

    /// The share of right ones, and that of saying always the direction that was the commoner one.
    pub(super) fn rates(&self) -> Option<(f64, f64)> {
        let said = self.said as f64;
        let commoner = self.ups.max(self.said - self.ups);
        (self.said > 0).then(|| (self.right as f64 / said, commoner as f64 / said))
    }

    pub(super) fn take_in(&mut self, other: &Self) {
        self.said += other.said;
        self.right += other.right;
        self.ups += other.ups;
    }
}

/// A decision whose next bar is not there yet.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pending {
    time: UtcMs,
    close: f64,
    part: Part,
    side: Option<Side>,
    rise: Option<f64>,
}

/// Looks at each bar beside the decision on the one before it.
#[derive(Debug, Default)]
pub(super) struct NextBars {
    pending: Option<Pending>,
    pub(super) parts: BTreeMap<Part, Directions>,
}

impl NextBars {
    /// After a slot; `classes` are those of the model's answers.
    pub(super) fn add(&mut self, record: &SlotRecord, bar: Option<&Bar>, part: Part, classes: &[Signal]) {
        let Some(bar) = bar else { return };
        if let Some(pending) = self.pending.filter(|pending| bar.time > pending.time) {
            self.pending = None;
            if bar.close.total_cmp(&pending.close).is_ne() {
                self.parts.entry(pending.part).or_default().add(&pending, bar.close > pending.close);
            }
        }
        let (Some(signal), Some(answer)) = (&record.signal, &record.raw_output) else { return };
        let side = [Signal::Buy, Signal::Sell].into_iter().find(|side| side.code() == signal).and_then(Signal::side);
        self.pending = Some(Pending { time: bar.time, close: bar.close, part, side, rise: rise(answer, classes) });
    }
}

/// The probability of a rise, given that it rises or falls.
fn rise(answer: &[f64], classes: &[Signal]) -> Option<f64> {
    let of = |wanted: Signal| -> f64 {
        answer.iter().zip(classes).filter(|(_, class)| **class == wanted).map(|(value, _)| value).sum()
    };
    let (up, down) = (of(Signal::Buy), of(Signal::Sell));
    (up + down > 0.0).then(|| up / (up + down))
}

#[cfg(test)]
mod tests {
    use sentinel_actors::domain::intent::Mode;
    use sentinel_actors::domain::reason::Reason;

    use super::*;

    #[test]
    fn the_drawdown_is_the_largest_loss_since_a_peak_and_not_since_the_beginning() {
        let mut money = Money::default();
        for (equity, open) in [(100, 0), (120, 1), (90, 1), (130, 1), (105, 0)] {
            money.add(Some(Decimal::from(equity)), open);
        }
        assert_eq!((money.drawdown, money.drawdown_share), (Decimal::from(30), Some(0.25)));
        assert_eq!(money.exposure(), Some(0.6));
    }

    fn decided(signal: &str, answer: [f64; 3]) -> SlotRecord {
        let mut record = SlotRecord::new("eurusd", UtcMs(0), Mode::DryRun, Reason::Hold, UtcMs(0));
        (record.signal, record.raw_output) = (Some(signal.to_owned()), Some(answer.to_vec()));
        record
    }

    #[test]
    fn each_decision_is_compared_with_the_close_of_the_next_bar_and_with_no_other() {
        let classes = [Signal::Sell, Signal::Hold, Signal::Buy];
        let bar = |hour: i64, close| Bar { time: UtcMs(hour), open: 1.0, high: 2.0, low: 0.5, close, volume: None };
        let mut next = NextBars::default();
        let mut see = |hour, close, signal, answer| {
            next.add(&decided(signal, answer), Some(&bar(hour, close)), Part::Unseen, &classes);
        };
        see(1, 1.0, "buy", [0.2, 0.2, 0.6]); // right: 1.1
        see(2, 1.1, "buy", [0.2, 0.2, 0.6]); // the same bar again, then wrong: 1.0
        see(2, 1.1, "buy", [0.2, 0.2, 0.6]);
        see(3, 1.0, "hold", [0.3, 0.4, 0.3]); // no direction, but a probability
        see(4, 1.2, "sell", [0.6, 0.2, 0.2]); // neither: 1.2 again
        see(5, 1.2, "sell", [0.6, 0.2, 0.2]); // never compared
        let of = &next.parts[&Part::Unseen];
        assert_eq!((of.said, of.right, of.rates()), (2, 1, Some((0.5, 0.5))));
        let scores = of.of_rise.scores().unwrap();
        assert_eq!((scores.count, scores.base_rate), (3, 2.0 / 3.0));
        let worked_out = -(0.75_f64.ln() + 0.25_f64.ln() + 0.5_f64.ln()) / 3.0;
        assert!((scores.log_loss - worked_out).abs() < 1e-12);
    }
}
