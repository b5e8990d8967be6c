//! Whether the node may decide on these bars: their age, market hours and gaps.
//!
//! A closed market explains a missing bar and is not staleness; a bar that exists wins over the calendar.

use std::time::Duration;

use super::bar::{CleanBars, DropReason, Interval, OLDEST_BAR, OpenTimes};
use super::calendar::MarketCalendar;
use super::reason::{Ending, Reason};
use super::time::UtcMs;

/// The longest gap in a series of bars that an outage of its source can explain. When bars lie further apart than a window
/// and this gap, a time is wrong.
pub const OUTAGE_MAX: Duration = Duration::from_secs(31 * 86_400);

/// What the bars of a pipeline must be like.
#[derive(Debug, Clone, PartialEq)]
pub struct Freshness {
    pub interval: Interval,
    pub calendar: MarketCalendar,
    /// Open-market time after its close at which the newest bar is too old.
    pub max_age: Duration,
    /// Bars that may be missing inside the window.
    pub max_missing_bars: u32,
    /// A bar is taken as closed only this long after its close.
    pub settle: Duration,
}

/// What is known about bars that may be decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fresh {
    /// Open time of the newest bar: the one that is decided.
    pub newest: UtcMs,
    /// Bars missing inside the window while the market was open.
    pub missing: u32,
}

impl Freshness {
    /// Open time of the bar that a slot at `slot` is due to decide.
    #[must_use]
    pub fn due_bar(&self, slot: UtcMs) -> UtcMs {
        self.interval.newest_closed(slot.minus(self.settle))
    }

    /// The open times that the newest `bars` bars of a slot may have.
    #[must_use]
    pub fn open_times(&self, slot: UtcMs, bars: usize) -> OpenTimes {
        let newest_closed = self.due_bar(slot);
        OpenTimes {
            oldest: newest_closed.minus(self.reach(bars)).max(OLDEST_BAR),
            newest_closed,
            // A vendor's clock may be ahead of this one.
            latest: slot.plus(self.interval.length()),
        }
    }

    /// The longest time that `bars` bars reach back, with the allowed number of missing bars and one outage.
    fn reach(&self, bars: usize) -> Duration {
        let bars = u32::try_from(bars).unwrap_or(u32::MAX).saturating_add(self.max_missing_bars);
        self.calendar.longest_for(self.interval.length().saturating_mul(bars)).saturating_add(OUTAGE_MAX)
    }

    /// Judges the bars for a slot.
    ///
    /// # Errors
    /// How the cycle ends because of these bars.
    pub fn judge(&self, slot: UtcMs, bars: &CleanBars) -> Result<Fresh, Ending> {
        let due = self.due_bar(slot);
        let market_open = self.calendar.is_open(due);
        let Some(newest) = bars.newest().map(|bar| bar.time) else {
            return Err(if market_open {
                Ending::new(Reason::StaleData, format!("no usable bar; dropped: {}", dropped_text(bars)))
            } else {
                Ending::new(Reason::MarketClosed, format!("no bar, and the market was closed at {due}"))
            });
        };
        if newest != due {
            if bars.newest_delivered == Some(due) {
                let text = format!("the due bar {due} was delivered unusable ({})", dropped_text(bars));
                return Err(Ending::new(Reason::StaleData, text));
            }
            if !market_open {
                return Err(Ending::new(
                    Reason::MarketClosed,
                    format!("the market was closed at {due}; newest bar {newest}"),
                ));
            }
            let age = self.open_time_between(self.interval.close_of(newest), slot);
            if age > self.max_age {
                let text = format!(
                    "newest bar {newest} closed {} s of market time ago, allowed {}",
                    age.as_secs(),
                    self.max_age.as_secs()
                );
                return Err(Ending::new(Reason::StaleData, text));
            }
        }
        let oldest = bars.bars.first().map_or(newest, |bar| bar.time);
        if newest.since(oldest) > self.reach(bars.bars.len()) {
            let text = format!("{} bars from {oldest} to {newest} are too far apart to be one window", bars.bars.len());
            return Err(Ending::new(Reason::Gap, text));
        }
        let missing = self.calendar.missing_bars(&bars.bars, self.interval, oldest, newest);
        if missing > self.max_missing_bars {
            let text = format!("{missing} bars are missing inside the window, allowed {}", self.max_missing_bars);
            return Err(Ending::new(Reason::Gap, text));
        }
        // The right time of such a bar is unknown: it counts as missing.
        let implausible = bars.dropped.get(&DropReason::ImplausibleTime).copied().unwrap_or(0);
        if missing.saturating_add(implausible) > self.max_missing_bars {
            let text = format!(
                "{missing} bars are missing inside the window and {implausible} have implausible times, allowed {}",
                self.max_missing_bars
            );
            return Err(Ending::new(Reason::Gap, text));
        }
        Ok(Fresh { newest, missing })
    }

    /// Open-market time between two instants, in whole bars. Stops counting above twice `max_age`, and does not count at all
    /// when the market must have been open for longer than that.
    fn open_time_between(&self, from: UtcMs, to: UtcMs) -> Duration {
        let step = self.interval.length();
        let enough = self.max_age * 2 + step;
        if to.since(from) > self.calendar.longest_for(enough) {
            return to.since(from);
        }
        let (mut at, mut open) = (from, Duration::ZERO);
        while at < to && open <= enough {
            let next = at.plus(step).min(to);
            if self.calendar.is_open(at) {
                open += next.since(at);
            }
            at = next;
        }
        open
    }
}

/// `null=3,duplicate=1`, the form that the journal keeps.
#[must_use]
pub fn dropped_text(bars: &CleanBars) -> String {
    let parts: Vec<String> = bars.dropped.iter().map(|(reason, count)| format!("{}={count}", reason.code())).collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::bar::{Cleaning, RawBar, clean};

    const HOUR: Duration = Duration::from_secs(3600);

    fn freshness() -> Freshness {
        Freshness {
            interval: Interval::new(HOUR).unwrap(),
            calendar: "America/New_York; Sun 17:00-Fri 17:00".parse().unwrap(),
            max_age: HOUR * 2,
            max_missing_bars: 1,
            settle: Duration::from_secs(2),
        }
    }

    fn at(text: &str) -> UtcMs {
        text.parse().unwrap()
    }

    fn bars(times: &[&str]) -> CleanBars {
        let raw: Vec<RawBar> = times
            .iter()
            .map(|time| {
                let price = if time.ends_with('!') { None } else { Some(1.1) };
                let time = at(time.trim_end_matches('!'));
                RawBar { time, open: price, high: price, low: price, close: price, volume: None }
            })
            .collect();
        clean(&raw, &Cleaning { tick: 1e-5, times: None, window: Some(200) })
    }

    fn reason(slot: &str, times: &[&str]) -> Option<Reason> {
        freshness().judge(at(slot), &bars(times)).err().map(|ending| ending.reason)
    }

    #[test]
    fn the_due_bar_may_be_decided() {
        assert_eq!(reason("2017-06-01T13:00:05Z", &["2017-06-01T12:00:00Z"]), None);
    }

    #[test]
    fn a_bar_that_closed_less_than_the_settle_delay_ago_is_not_due() {
        assert_eq!(freshness().due_bar(at("2017-06-01T13:00:01Z")), at("2017-06-01T11:00:00Z"));
    }

    #[test]
    fn an_unusable_due_bar_is_stale_even_if_the_bar_before_it_is_fresh() {
        assert_eq!(
            reason("2017-06-01T13:00:05Z", &["2017-06-01T11:00:00Z", "2017-06-01T12:00:00Z!"]),
            Some(Reason::StaleData)
        );
    }

    #[test]
    fn a_late_vendor_is_stale_only_beyond_max_age() {
        assert_eq!(reason("2017-06-01T13:00:05Z", &["2017-06-01T11:00:00Z"]), None);
        assert_eq!(reason("2017-06-01T13:00:05Z", &["2017-06-01T09:00:00Z"]), Some(Reason::StaleData));
    }

    #[test]
    fn a_weekend_is_closed_and_not_stale_and_does_not_age_the_friday_bar() {
        assert_eq!(reason("2017-06-03T13:00:05Z", &["2017-06-02T20:00:00Z"]), Some(Reason::MarketClosed));
        // Sunday's first bar is late by one hour: Friday's newest is one hour of market time old.
        assert_eq!(reason("2017-06-04T22:00:05Z", &["2017-06-02T20:00:00Z"]), None);
        assert_eq!(reason("2017-06-03T13:00:05Z", &[]), Some(Reason::MarketClosed));
    }

    #[test]
    fn a_bar_that_exists_wins_over_a_closed_calendar() {
        assert_eq!(reason("2017-06-03T13:00:05Z", &["2017-06-03T12:00:00Z"]), None);
    }

    #[test]
    fn more_missing_bars_than_allowed_are_a_gap() {
        let times = ["2017-06-01T08:00:00Z", "2017-06-01T11:00:00Z", "2017-06-01T12:00:00Z"];
        assert_eq!(reason("2017-06-01T13:00:05Z", &times), Some(Reason::Gap));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test measures how long the work takes")]
    fn a_bar_of_the_year_minus_9999_is_a_gap_at_once_and_not_after_minutes() {
        let began = std::time::Instant::now();
        assert_eq!(
            reason("2017-06-01T13:00:05Z", &["-009999-01-03T00:00:00Z", "2017-06-01T12:00:00Z"]),
            Some(Reason::Gap)
        );
        assert_eq!(reason("2017-06-01T13:00:05Z", &["-009999-01-03T00:00:00Z"]), Some(Reason::StaleData));
        assert!(began.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn bars_with_implausible_times_are_dropped_and_counted_as_missing() {
        let (slot, freshness) = (at("2017-06-01T13:00:05Z"), freshness());
        let delivered = |times: &[&str]| {
            let price = Some(1.1);
            let bar = |time: &&str| RawBar {
                time: at(time),
                open: price,
                high: price,
                low: price,
                close: price,
                volume: None,
            };
            let how = Cleaning { tick: 1e-5, times: Some(freshness.open_times(slot, 200)), window: Some(200) };
            clean(&times.iter().map(bar).collect::<Vec<_>>(), &how)
        };
        let one = delivered(&["9999-12-30T00:00:00Z", "2017-06-01T12:00:00Z", "2017-06-01T13:00:00Z"]);
        assert_eq!(dropped_text(&one), "forming=1,implausible_time=1");
        assert_eq!(one.newest_delivered, Some(at("2017-06-01T12:00:00Z")));
        assert_eq!(freshness.judge(slot, &one).map(|fresh| fresh.missing), Ok(0), "one missing bar is allowed");
        let two = delivered(&["1970-01-18T06:00:00Z", "1900-01-01T00:00:00Z", "2017-06-01T12:00:00Z"]);
        assert_eq!(freshness.judge(slot, &two).unwrap_err().reason, Reason::Gap);
        assert_eq!(dropped_text(&two), "implausible_time=2");
    }

    #[test]
    fn an_outage_of_a_month_is_a_gap_and_its_bars_are_not_called_implausible() {
        let freshness = Freshness { max_missing_bars: 20, ..freshness() };
        let times = freshness.open_times(at("2017-06-01T13:00:05Z"), 224);
        assert!(times.oldest <= at("2017-04-22T00:00:00Z"), "{}", times.oldest); // nine days of bars before a hole of 31
        assert!(times.oldest >= at("2017-04-01T00:00:00Z"), "{}", times.oldest);
        assert_eq!(
            reason("2017-06-01T13:00:05Z", &["2017-05-02T12:00:00Z", "2017-06-01T12:00:00Z"]),
            Some(Reason::Gap)
        );
    }

    #[test]
    fn no_bars_in_an_open_market_are_stale() {
        assert_eq!(reason("2017-06-01T13:00:05Z", &[]), Some(Reason::StaleData));
    }
}
