//! When a bar ends a paper position, and at what price. Pure: the same position and bars give the same exit, so bars may
//! be shown again after a crash.
//!
//! Bars are mid prices. One buys at the ask and sells at the bid, half a spread away on either side; so a long position
//! is judged by the bid and a short one by the ask, for its levels as for its fills.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use sentinel_actors::domain::bar::{Bar, Interval};
use sentinel_actors::domain::order::{Position, Side};
use sentinel_actors::domain::time::UtcMs;

/// What a price may differ by when it is compared as a float.
const FLOAT_MARGIN: f64 = 1e-9;

/// What the dry run assumes about the market and the account.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// Account that the positions belong to.
    pub account: String,
    /// Distance between bid and ask, in price units.
    pub spread: Decimal,
    /// Units of the base currency in one lot.
    pub contract_size: Decimal,
    /// What the account began with, in the currency in which its symbols are quoted.
    pub balance: Decimal,
    /// Length of the bars that the venue is shown.
    pub interval: Interval,
}

impl Terms {
    /// What an order of this side is filled at when the mid price is `mid`.
    #[must_use]
    pub fn fill(&self, side: Side, mid: Decimal) -> Decimal {
        let half = self.spread / Decimal::TWO;
        match side {
            Side::Buy => mid + half,
            Side::Sell => mid - half,
        }
    }

    /// The first bar that a position opened at `now` is exposed to: the one that has begun by then.
    ///
    /// The fill price is the close of the bar before it, so leaving this bar out, because it began two seconds before the
    /// order did, would protect each position from its first hour.
    #[must_use]
    pub fn exposed_from(&self, now: UtcMs) -> UtcMs {
        self.interval.close_of(self.interval.newest_closed(now))
    }

    /// What an open position would earn if it were closed at this mid price.
    pub(super) fn worth(&self, position: &Position, mid: Decimal) -> Option<Decimal> {
        let exit = self.fill(position.side.opposite(), mid);
        self.profit(position.side, position.open_price, exit, position.volume_lots)
    }

    /// What a position earned, in quote currency; `None` when the number does not fit.
    pub(super) fn profit(&self, side: Side, entry: Decimal, exit: Decimal, volume_lots: Decimal) -> Option<Decimal> {
        let difference = match side {
            Side::Buy => exit.checked_sub(entry)?,
            Side::Sell => entry.checked_sub(exit)?,
        };
        let profit = difference.checked_mul(volume_lots)?.checked_mul(self.contract_size)?;
        Some(profit.normalize())
    }
}

/// Why a position ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// An order closed it.
    Order,
    /// The market went against it.
    Stop,
    /// The market reached its goal.
    Target,
}

impl CloseReason {
    /// Stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Stop => "stop",
            Self::Target => "target",
        }
    }

    /// The reason with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Order, Self::Stop, Self::Target].into_iter().find(|reason| reason.code() == code)
    }
}

/// The levels of an open position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Levels {
    pub(super) side: Side,
    pub(super) stop: Option<Decimal>,
    pub(super) target: Option<Decimal>,
    pub(super) exposed_from: UtcMs,
}

/// An exit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Exit {
    pub(super) reason: CloseReason,
    pub(super) price: Decimal,
    /// Close of the bar: the first moment at which the exit could be known.
    pub(super) at: UtcMs,
}

/// The first exit that `bars`, oldest first, force on a position.
pub(super) fn first_exit(levels: &Levels, bars: &[Bar], terms: &Terms) -> Option<Exit> {
    let may_touch = may_touch(levels, terms);
    bars.iter().filter(|bar| bar.time >= levels.exposed_from && may_touch(bar)).find_map(|bar| {
        let (reason, price) = exit_in(levels, bar, terms)?;
        Some(Exit { reason, price, at: terms.interval.close_of(bar.time) })
    })
}

/// Whether a bar comes near a level: a cheap and generous comparison, because most bars do not.
fn may_touch(levels: &Levels, terms: &Terms) -> impl Fn(&Bar) -> bool {
    let float = |decimal: Decimal| decimal.to_f64();
    let (below, above) =
        if levels.side == Side::Buy { (levels.stop, levels.target) } else { (levels.target, levels.stop) };
    let (below, above, spread) = (below.and_then(float), above.and_then(float), float(terms.spread));
    move |bar| {
        let Some(spread) = spread else { return true };
        let reach = spread + bar.high * FLOAT_MARGIN;
        below.is_some_and(|level| bar.low - reach <= level) || above.is_some_and(|level| bar.high + reach >= level)
    }
}

fn exit_in(levels: &Levels, bar: &Bar, terms: &Terms) -> Option<(CloseReason, Decimal)> {
    let closing = levels.side.opposite();
    let quote = |mid: f64| decimal(mid).map(|mid| terms.fill(closing, mid));
    let (open, high, low) = (quote(bar.open)?, quote(bar.high)?, quote(bar.low)?);
    let long = levels.side == Side::Buy;
    let worst = if long { low } else { high };
    let best = if long { high } else { low };
    let lost = |price: Decimal| levels.stop.filter(|stop| if long { price <= *stop } else { price >= *stop });
    let won = |price: Decimal| levels.target.filter(|target| if long { price >= *target } else { price <= *target });
    // A bar that opens beyond a level decides at once: the stop gets the open, which is worse than its level; the target,
    // a limit, is not given the better price.
    if lost(open).is_some() {
        return Some((CloseReason::Stop, open));
    }
    if let Some(target) = won(open) {
        return Some((CloseReason::Target, target));
    }
    // A bar that touches both says nothing about which came first: the worst is assumed.
    if let Some(stop) = lost(worst) {
        return Some((CloseReason::Stop, stop));
    }
    won(best).map(|target| (CloseReason::Target, target))
}

/// The decimal that a vendor's price was before it became a binary float: its shortest text.
pub(super) fn decimal(price: f64) -> Option<Decimal> {
    price.to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn terms() -> Terms {
        let interval = Interval::new(Duration::from_secs(3600)).unwrap();
        Terms {
            account: "paper".to_owned(),
            spread: d("0.0002"),
            contract_size: d("100000"),
            balance: d("10000"),
            interval,
        }
    }

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn bar(open: f64, high: f64, low: f64) -> Bar {
        Bar { time: UtcMs(0), open, high, low, close: open, volume: None }
    }

    #[track_caller]
    fn check(side: Side, stop: &str, target: &str, bar: Bar, expected: Option<(CloseReason, &str)>) {
        let levels = Levels { side, stop: Some(d(stop)), target: Some(d(target)), exposed_from: UtcMs(0) };
        let exit = first_exit(&levels, &[bar], &terms());
        assert_eq!(exit.map(|exit| (exit.reason, exit.price)), expected.map(|(reason, price)| (reason, d(price))));
    }

    #[test]
    fn a_long_position_is_judged_by_the_bid() {
        // Half a spread is 0.0001: the bid touches 1.1000 when the mid is at 1.1001.
        check(Side::Buy, "1.1000", "1.1100", bar(1.1050, 1.1060, 1.1002), None);
        check(Side::Buy, "1.1000", "1.1100", bar(1.1050, 1.1060, 1.1001), Some((CloseReason::Stop, "1.1000")));
        check(Side::Buy, "1.1000", "1.1100", bar(1.1050, 1.1100, 1.1040), None);
        check(Side::Buy, "1.1000", "1.1100", bar(1.1050, 1.1101, 1.1040), Some((CloseReason::Target, "1.1100")));
    }

    #[test]
    fn a_short_position_is_judged_by_the_ask() {
        check(Side::Sell, "1.1100", "1.1000", bar(1.1050, 1.1098, 1.1000), None);
        check(Side::Sell, "1.1100", "1.1000", bar(1.1050, 1.1099, 1.1040), Some((CloseReason::Stop, "1.1100")));
        check(Side::Sell, "1.1100", "1.1000", bar(1.1050, 1.1060, 1.0999), Some((CloseReason::Target, "1.1000")));
    }

    #[test]
    fn a_bar_that_touches_both_levels_is_a_loss() {
        check(Side::Buy, "1.1000", "1.1100", bar(1.1050, 1.1200, 1.0900), Some((CloseReason::Stop, "1.1000")));
        check(Side::Sell, "1.1100", "1.1000", bar(1.1050, 1.1200, 1.0900), Some((CloseReason::Stop, "1.1100")));
    }

    #[test]
    fn a_gap_fills_a_stop_at_the_open_and_a_target_at_its_price() {
        check(Side::Buy, "1.1000", "1.1100", bar(1.0950, 1.1200, 1.0900), Some((CloseReason::Stop, "1.0949")));
        check(Side::Sell, "1.1100", "1.1000", bar(1.1150, 1.1200, 1.0900), Some((CloseReason::Stop, "1.1151")));
        check(Side::Buy, "1.1000", "1.1100", bar(1.1150, 1.1200, 1.0900), Some((CloseReason::Target, "1.1100")));
    }

    /// The cheap comparison may only leave out what the exact one would not find.
    #[test]
    fn no_bar_that_ends_a_position_is_taken_for_one_that_is_far_from_its_levels() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut exits = 0;
        for _ in 0..20_000 {
            let mut price = || 1.1 + f64::from(rng.u32(0..20)) / 10_000.0;
            let (low, high) = (price(), price());
            let bar = bar(low, low.max(high), low.min(high));
            let side = if rng.bool() { Side::Buy } else { Side::Sell };
            let mut level = || rng.bool().then(|| Decimal::new(11_000 + i64::from(rng.u32(0..20)), 4));
            let levels = Levels { side, stop: level(), target: level(), exposed_from: UtcMs(0) };
            let exact = exit_in(&levels, &bar, &terms());
            let found = first_exit(&levels, &[bar], &terms()).map(|exit| (exit.reason, exit.price));
            assert_eq!(found, exact, "{levels:?} {bar:?}");
            exits += u32::from(exact.is_some());
        }
        assert!((5_000..15_000).contains(&exits), "{exits}");
    }

    #[test]
    fn a_position_is_exposed_to_the_bar_that_follows_the_one_it_was_decided_on() {
        let terms = terms();
        let hour = 3_600_000;
        for (opened, from) in [(hour, hour), (hour + 2000, hour), (2 * hour - 1, hour), (2 * hour, 2 * hour)] {
            assert_eq!(terms.exposed_from(UtcMs(opened)), UtcMs(from), "opened at {opened}");
        }
        let levels = Levels { side: Side::Buy, stop: Some(d("1.1")), target: None, exposed_from: UtcMs(hour) };
        assert_eq!(first_exit(&levels, &[bar(1.0, 1.0, 1.0)], &terms), None, "the bar of time 0 lies before it");
    }
}
