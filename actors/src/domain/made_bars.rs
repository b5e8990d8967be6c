//! Longer bars made from shorter ones, such as hours from minutes.
//!
//! A vendor's hours and its minutes can come from different feeds, so what a bar was made from is part of a feature set's
//! identity (promise 5). Each made bar depends on its own parts only, so a replay that makes all bars at once has the bars
//! that a live node makes one by one. Nothing is invented: too few parts make no bar.

use std::fmt;

use super::bar::{Bar, Cleaning, Interval, RawBar, clean};
use super::calendar::MarketCalendar;
use super::time::UtcMs;

/// The newest parts, 5 of 60, may not all be missing.
const NEWEST: (usize, usize) = (5, 60);

/// How bars are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Making<'a> {
    /// Length of a made bar.
    pub interval: Interval,
    /// Length of its parts; must divide `interval`.
    pub made_from: Interval,
    /// Parts outside market hours are cut.
    pub calendar: &'a MarketCalendar,
    /// Of the parts of a whole bar so many must be there; of a bar in which the market was open for a part of its time, the same
    /// share.
    pub least_parts: u32,
    /// A close may lie outside its part's range by this much.
    pub tick: f64,
    /// A bar that closes after this is still forming and is not made.
    pub now: UtcMs,
}

/// What was made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Made {
    /// Oldest first, at most one for each open time.
    pub bars: Vec<Bar>,
    /// Bars that are closed and have too few parts, oldest first.
    pub incomplete: Vec<IncompleteBar>,
}

/// A bar with too few parts, or without the newest ones: it does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncompleteBar {
    /// Open time.
    pub time: UtcMs,
    /// Usable parts of open hours.
    pub have: u32,
    /// Parts in which the market was open.
    pub of: u32,
}

impl fmt::Display for IncompleteBar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, have, of } = self;
        write!(f, "the bar {time} is incomplete: {have} of {of} parts are there")
    }
}

/// The parts of a whole bar that are needed unless the operator says otherwise: 50 of 60.
#[must_use]
pub fn default_least_parts(interval: Interval, made_from: Interval) -> u32 {
    let parts = interval.length().as_secs() / made_from.length().as_secs().max(1);
    u32::try_from((parts * 50).div_ceil(60)).unwrap_or(u32::MAX)
}

/// Makes bars.
///
/// Parts are cleaned first: unusable ones are missing, and of two with the same open time the last received stays. Parts
/// that do not open on a multiple of their length are no parts. Between different open times the order does not matter.
#[must_use]
pub fn make(delivered: &[RawBar], how: &Making<'_>) -> Made {
    let parts = clean(delivered, &Cleaning { tick: how.tick, times: None, window: None }).bars;
    let on_grid = |part: &Bar| start(how.made_from, part.time) == Some(part.time);
    let parts: Vec<Bar> = parts.into_iter().filter(|part| on_grid(part) && how.calendar.is_open(part.time)).collect();
    let mut made = Made::default();
    for parts in parts.chunk_by(|a, b| start(how.interval, a.time) == start(how.interval, b.time)) {
        match one(parts, how) {
            Some(Ok(bar)) => made.bars.push(bar),
            Some(Err(incomplete)) => made.incomplete.push(incomplete),
            None => {}
        }
    }
    made
}

/// The bar of `parts`, which are sorted, unique and of one bar; `None`: it is still forming.
fn one(parts: &[Bar], how: &Making<'_>) -> Option<Result<Bar, IncompleteBar>> {
    let (first, last) = (parts.first()?, parts.last()?);
    let time = start(how.interval, first.time)?;
    let end = how.interval.close_of(time);
    if end > how.now {
        return None;
    }
    let open = open_parts(time, end, how);
    if !is_complete(parts, &open, how) {
        let count = |parts: usize| u32::try_from(parts).unwrap_or(u32::MAX);
        return Some(Err(IncompleteBar { time, have: count(parts.len()), of: count(open.len()) }));
    }
    let mut bar = Bar { time, close: last.close, ..*first };
    for part in &parts[1..] {
        bar.high = bar.high.max(part.high);
        bar.low = bar.low.min(part.low);
        bar.volume = match (bar.volume, part.volume) {
            (Some(sum), Some(volume)) => Some(sum + volume),
            (sum, volume) => sum.or(volume),
        };
    }
    Some(Ok(bar))
}

/// Whether enough of the parts in which the market was open are there, and one of the newest of them.
fn is_complete(parts: &[Bar], open: &[UtcMs], how: &Making<'_>) -> bool {
    let whole = how.interval.length().as_secs() / how.made_from.length().as_secs().max(1);
    let newest = (open.len() * NEWEST.0).div_ceil(NEWEST.1);
    let (Some(last), Some(newest)) = (parts.last(), open.iter().rev().take(newest).next_back()) else { return false };
    let is_enough = parts.len() as u64 * whole >= open.len() as u64 * u64::from(how.least_parts);
    is_enough && last.time >= *newest
}

/// Open times from `time` to `end` of the parts in which the market was open.
fn open_parts(time: UtcMs, end: UtcMs, how: &Making<'_>) -> Vec<UtcMs> {
    let times = std::iter::successors(Some(time), |at| Some(how.made_from.close_of(*at)));
    times.take_while(|at| *at < end).filter(|at| how.calendar.is_open(*at)).collect()
}

/// Open time of the bar that holds `at`; `None` at the ends of time.
fn start(interval: Interval, at: UtcMs) -> Option<UtcMs> {
    let length = i64::try_from(interval.length().as_millis()).ok()?;
    at.0.div_euclid(length).checked_mul(length).map(UtcMs)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const MINUTE_MS: i64 = 60_000;
    const HOUR_MS: i64 = 60 * MINUTE_MS;

    fn how(calendar: &MarketCalendar, now: i64) -> Making<'_> {
        let interval = |seconds| Interval::new(Duration::from_secs(seconds)).unwrap();
        Making {
            interval: interval(3600),
            made_from: interval(60),
            calendar,
            least_parts: 50,
            tick: 0.0,
            now: UtcMs(now),
        }
    }

    fn minute(index: i64, price: f64) -> RawBar {
        let time = UtcMs(index * MINUTE_MS);
        let (high, low) = (Some(price + 2.0), Some(price - 1.0));
        RawBar { time, open: Some(price), high, low, close: Some(price + 1.0), volume: Some(2.0) }
    }

    fn hour_of(minutes: impl IntoIterator<Item = i64>) -> Vec<Bar> {
        let minutes: Vec<RawBar> = minutes.into_iter().map(|index| minute(index, 10.0)).collect();
        make(&minutes, &how(&MarketCalendar::always(), HOUR_MS)).bars
    }

    #[test]
    fn an_hour_has_first_open_extremes_last_close_and_summed_volume() {
        let minutes: Vec<RawBar> =
            (0..60).map(|index| minute(index, 10.0 + f64::from((index as i32 * 7) % 60))).collect();
        let made = make(&minutes, &how(&MarketCalendar::always(), HOUR_MS));
        let hour = Bar { time: UtcMs(0), open: 10.0, high: 71.0, low: 9.0, close: 64.0, volume: Some(120.0) };
        assert_eq!(made.bars, [hour]);
    }

    #[test]
    fn fifty_minutes_make_an_hour_and_forty_nine_do_not() {
        assert_eq!(hour_of(10..60).len(), 1);
        assert_eq!(hour_of(11..60), []);
    }

    #[test]
    fn a_bar_that_is_not_made_says_how_many_parts_it_has() {
        let minutes: Vec<RawBar> = (11..60).map(|index| minute(index, 10.0)).collect();
        let made = make(&minutes, &how(&MarketCalendar::always(), HOUR_MS));
        assert_eq!(made.incomplete, [IncompleteBar { time: UtcMs(0), have: 49, of: 60 }]);
        let text = "the bar 1970-01-01T00:00:00Z is incomplete: 49 of 60 parts are there";
        assert_eq!(made.incomplete[0].to_string(), text);
        let calendar = MarketCalendar::always();
        let fewer = Making { least_parts: 49, ..how(&calendar, HOUR_MS) };
        assert_eq!(make(&minutes, &fewer).bars.len(), 1);
    }

    #[test]
    fn the_parts_that_are_needed_follow_from_the_lengths() {
        let interval = |seconds| Interval::new(Duration::from_secs(seconds)).unwrap();
        for (whole, part, least) in [(3600, 60, 50), (3600, 300, 10), (900, 60, 13), (86_400, 3600, 20), (120, 60, 2)] {
            assert_eq!(default_least_parts(interval(whole), interval(part)), least, "{whole} of {part}");
        }
    }

    #[test]
    fn the_last_five_minutes_may_not_all_be_missing() {
        assert_eq!(hour_of(0..56).len(), 1);
        assert_eq!(hour_of(0..55), []);
    }

    #[test]
    fn a_forming_hour_is_never_made() {
        let minutes: Vec<RawBar> = (0..60).map(|index| minute(index, 10.0)).collect();
        assert_eq!(make(&minutes, &how(&MarketCalendar::always(), HOUR_MS - 1)), Made::default());
    }

    #[test]
    fn only_minutes_of_the_open_market_count() {
        let calendar = "UTC; Thu 00:30-Thu 12:00".parse().unwrap(); // 1970-01-01 was a Thursday
        let made = |minutes: std::ops::Range<i64>| {
            let minutes: Vec<RawBar> = minutes.map(|index| minute(index, 10.0 + index as f64)).collect();
            make(&minutes, &how(&calendar, HOUR_MS)).bars
        };
        assert_eq!(made(0..60)[0].open, 40.0);
        assert_eq!(made(35..60).len(), 1, "25 of 30");
        assert_eq!(made(36..60), [], "24 of 30");
        assert_eq!(made(0..30), []);
    }

    #[test]
    fn a_part_between_two_minutes_is_no_part() {
        let mut minutes: Vec<RawBar> = (11..60).map(|index| minute(index, 10.0)).collect();
        minutes.push(RawBar { time: UtcMs(30_000), ..minute(0, 10.0) });
        assert_eq!(make(&minutes, &how(&MarketCalendar::always(), HOUR_MS)).bars, []);
    }

    proptest! {
        #[test]
        fn made_hours_are_unique_past_and_the_same_in_any_order(
            (sorted, shuffled) in proptest::collection::btree_map(-90_i64..200, proptest::option::weighted(0.97, 1.5_f64..9.0), 150..280)
                .prop_map(|map| map.into_iter().map(|(index, price)| RawBar { close: price.map(|p| p + 1.0), ..minute(index, price.unwrap_or(5.0)) }).collect::<Vec<_>>())
                .prop_flat_map(|bars| (Just(bars.clone()), Just(bars).prop_shuffle())),
            now in -2 * HOUR_MS..5 * HOUR_MS,
        ) {
            let calendar = MarketCalendar::always();
            let made = make(&sorted, &how(&calendar, now));
            prop_assert_eq!(&made, &make(&shuffled, &how(&calendar, now)));
            let made = made.bars;
            prop_assert!(made.windows(2).all(|pair| pair[0].time < pair[1].time));
            for hour in &made {
                prop_assert!(hour.time.0 % HOUR_MS == 0 && hour.time.0 + HOUR_MS <= now);
                let inside = |bar: &&RawBar| (hour.time.0..hour.time.0 + HOUR_MS).contains(&bar.time.0) && bar.close.is_some();
                prop_assert!(sorted.iter().filter(inside).any(|bar| bar.high == Some(hour.high)));
                prop_assert!(sorted.iter().filter(inside).any(|bar| bar.low == Some(hour.low)));
                prop_assert!(sorted.iter().filter(inside).count() >= 50);
            }
        }
    }
}
