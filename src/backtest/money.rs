//! An account's money on its way through a backtest: the largest loss, and time in the market.

use rust_decimal::Decimal;

/// The account on its way through the slots of one part, or of all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Money {
    /// That have passed.
    pub slots: u64,
    /// Those after which a position was open.
    pub exposed: u64,
    peak: Option<Decimal>,
    /// The largest loss of equity since a peak, in quote currency.
    pub drawdown: Decimal,
    /// The same as a share of that peak.
    pub drawdown_share: Option<f64>,
}

impl Money {
    /// After a slot. Equity: what the account would have if everything were closed at the newest price.
    pub fn add(&mut self, equity: Option<Decimal>, open: usize) {
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

    /// After a slot in which equity is neither above its peak nor as far below it as it has been.
    pub const fn pass(&mut self, open: usize) {
        self.slots += 1;
        self.exposed += (open > 0) as u64;
    }

    /// The highest equity so far.
    #[must_use]
    pub const fn peak(&self) -> Option<Decimal> {
        self.peak
    }

    /// The share of slots with an open position.
    #[must_use]
    pub fn exposure(&self) -> Option<f64> {
        (self.slots > 0).then(|| self.exposed as f64 / self.slots as f64)
    }
}

#[cfg(test)]
mod tests {
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
}
