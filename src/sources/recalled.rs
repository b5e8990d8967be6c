//! The bars of a vendor's series as a pipeline saw them at an earlier time: for comparing what was decided then with what is there now.
//!
//! The cache keeps when a bar came and what a revision replaced, so that a bar which came late or was changed later is no difference.
//! Of a bar that came without a price it keeps that, and not when it was filled: within the time for which a vendor is asked again both
//! can be true.
//! What is delivered is cut as [`super::live`] cuts it. It asks nobody, and writes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use sentinel_actors::domain::bar::{Interval, RawBar};
use sentinel_actors::domain::calendar::MarketCalendar;
use sentinel_actors::domain::made_bars::{Made, make};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{BarRequest, BarSource, Delivered, PortFuture, SourceError};

use super::cache::{History, KeptBar, Revision};
use super::live::{Recipe, wanted};
use super::series::{is_usable, overlap};

/// A series at any time of its past.
pub struct RecalledSource {
    bars: Vec<KeptBar>,
    /// By open time, each in the order in which they were seen.
    revisions: BTreeMap<UtcMs, Vec<Revision>>,
    covered: Option<(UtcMs, UtcMs)>,
    /// How the pipeline makes its bars, and all of them as they are now; `None`: as delivered.
    made: Option<(Recipe, Made)>,
    calendar: MarketCalendar,
    settle: Duration,
    /// Length of a bar of the series.
    interval: Interval,
    /// What came later is not shown.
    at: AtomicI64,
    /// Bars that may not have been filled by then are shown without a price.
    is_unfilled: AtomicBool,
}

impl RecalledSource {
    #[must_use]
    pub fn new(
        history: History,
        interval: Interval,
        recipe: Option<Recipe>,
        calendar: MarketCalendar,
        settle: Duration,
    ) -> Self {
        let History { bars, revisions: all, covered } = history;
        let mut revisions: BTreeMap<UtcMs, Vec<Revision>> = BTreeMap::new();
        for revision in all {
            revisions.entry(revision.time).or_default().push(revision);
        }
        let made = recipe.map(|recipe| {
            let parts: Vec<RawBar> = bars.iter().map(|kept| kept.bar).collect();
            let made = make(&parts, &recipe.making(UtcMs(i64::MAX)));
            (recipe, made)
        });
        let (at, is_unfilled) = (AtomicI64::new(i64::MAX), AtomicBool::new(false));
        Self { bars, revisions, covered, made, calendar, settle, interval, at, is_unfilled }
    }

    /// From now on it shows what had come by `time`. `is_unfilled`: bars that may not have been filled by then have no price.
    pub fn show(&self, time: UtcMs, is_unfilled: bool) {
        self.at.store(time.0, Ordering::Relaxed);
        self.is_unfilled.store(is_unfilled, Ordering::Relaxed);
    }

    /// Whether everything that this request would be answered with is still kept.
    #[must_use]
    pub fn covers(&self, request: &BarRequest) -> bool {
        let (from, due) = wanted(&self.calendar, self.settle, request);
        // A restart forgets what was asked for before the bars that it looks at, and keeps the bars.
        let is_kept = self.bars.first().is_some_and(|oldest| oldest.bar.time <= from);
        self.covered.is_some_and(|(first, last)| (is_kept || first <= from) && self.newest(due) <= last)
    }

    /// Whether a bar of this request came without a usable price, and may not have been filled by `time`.
    #[must_use]
    pub fn may_be_unfilled(&self, request: &BarRequest, time: UtcMs) -> bool {
        let (from, due) = wanted(&self.calendar, self.settle, request);
        let range = (self.oldest(from), self.newest(due));
        let since = self.asked_again_since(range, time);
        self.between(range).iter().any(|kept| is_doubtful(kept, since))
    }

    /// Open time from which on a vendor may have been asked again at `at`, or later.
    fn asked_again_since(&self, range: (UtcMs, UtcMs), at: UtcMs) -> UtcMs {
        let is_known = |kept: &&KeptBar| kept.seen <= Some(at) && !kept.was_unusable && is_usable(&kept.bar);
        let newest = self.between(range).iter().rev().find(is_known).map_or(range.0, |kept| kept.bar.time);
        newest.minus(overlap(self.interval) + self.interval.length())
    }

    /// Open times of the oldest and the newest bar of the series behind a pipeline's bars.
    fn oldest(&self, from: UtcMs) -> UtcMs {
        self.made.as_ref().map_or(from, |(recipe, _)| recipe.opening(from))
    }

    fn newest(&self, due: UtcMs) -> UtcMs {
        self.made.as_ref().map_or(due, |(recipe, _)| recipe.newest_part(due))
    }

    fn between(&self, (from, newest): (UtcMs, UtcMs)) -> &[KeptBar] {
        let begin = self.bars.partition_point(|kept| kept.bar.time < from);
        let end = self.bars.partition_point(|kept| kept.bar.time <= newest);
        self.bars.get(begin..end).unwrap_or_default()
    }

    /// Whether all bars of a range are now what they were at `at`.
    fn is_settled(&self, range: (UtcMs, UtcMs), at: UtcMs) -> bool {
        let is_later = |revision: &Revision| revision.seen > at;
        !self.is_unfilled.load(Ordering::Relaxed)
            && !self.between(range).iter().any(|kept| kept.seen > Some(at))
            && !self.revisions.range(range.0..=range.1).any(|(_, all)| all.iter().any(is_later))
    }

    fn as_of(&self, range: (UtcMs, UtcMs), at: UtcMs) -> Vec<RawBar> {
        let since = self.is_unfilled.load(Ordering::Relaxed).then(|| self.asked_again_since(range, at));
        let known = self.between(range).iter().filter(|kept| kept.seen <= Some(at));
        let then = |kept: &KeptBar| match since {
            Some(since) if is_doubtful(kept, since) => {
                RawBar { open: None, high: None, low: None, close: None, ..kept.bar }
            }
            _ => self.before_revisions(&kept.bar, at),
        };
        known.map(then).collect()
    }

    fn before_revisions(&self, bar: &RawBar, at: UtcMs) -> RawBar {
        let later = self.revisions.get(&bar.time).and_then(|all| all.iter().find(|revision| revision.seen > at));
        later.map_or(*bar, |revision| revision.was)
    }

    fn delivered(&self, request: &BarRequest) -> Delivered {
        let (from, due) = wanted(&self.calendar, self.settle, request);
        let (at, (from, newest)) = (UtcMs(self.at.load(Ordering::Relaxed)), (self.oldest(from), self.newest(due)));
        let Some((recipe, all)) = &self.made else {
            return Delivered { bars: self.as_of((from, newest), at).into(), incomplete: Vec::new() };
        };
        let then;
        let made = if self.is_settled((from, newest), at) {
            all
        } else {
            then = make(&self.as_of((from, newest), at), &recipe.making(recipe.interval.close_of(due)));
            &then
        };
        let is_wanted = |time: &UtcMs| (from..=newest).contains(time);
        let bars: Arc<[RawBar]> =
            made.bars.iter().filter(|bar| is_wanted(&bar.time)).map(|bar| RawBar::from(*bar)).collect();
        Delivered { bars, incomplete: made.incomplete.iter().filter(|bar| is_wanted(&bar.time)).copied().collect() }
    }
}

/// Whether it was filled at a time that is not known, and that can be after the one at which bars from `since` on were asked for again.
fn is_doubtful(kept: &KeptBar, since: UtcMs) -> bool {
    kept.was_unusable && is_usable(&kept.bar) && kept.bar.time >= since
}

impl BarSource for RecalledSource {
    fn fetch<'a>(&'a self, request: &'a BarRequest) -> PortFuture<'a, Result<Delivered, SourceError>> {
        Box::pin(async move { Ok(self.delivered(request)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn bar(hour: i64, price: f64) -> RawBar {
        let price = Some(price);
        RawBar { time: UtcMs(hour * HOUR_MS), open: price, high: price, low: price, close: price, volume: None }
    }

    fn kept(hour: i64, seen: Option<i64>) -> KeptBar {
        KeptBar { bar: bar(hour, 1.0), seen: seen.map(|hour| UtcMs(hour * HOUR_MS)), was_unusable: hour == 3 }
    }

    fn source(recipe: Option<Recipe>) -> RecalledSource {
        let revision = |was: f64, is: f64, seen: i64| Revision {
            time: UtcMs(2 * HOUR_MS),
            was: bar(2, was),
            is: bar(2, is),
            seen: UtcMs(seen * HOUR_MS),
        };
        let history = History {
            bars: (0..8).map(|hour| kept(hour, (hour == 5).then_some(9))).collect(),
            revisions: vec![revision(0.8, 0.9, 6), revision(0.9, 1.0, 8)],
            covered: Some((UtcMs(0), UtcMs(7 * HOUR_MS))),
        };
        RecalledSource::new(history, hours(1), recipe, MarketCalendar::always(), Duration::ZERO)
    }

    fn hours(hours: u64) -> Interval {
        Interval::new(Duration::from_secs(3600 * hours)).unwrap()
    }

    fn request(length: u64, count: usize, now: i64) -> BarRequest {
        let interval = hours(length);
        let (symbol, deadline) = ("X".to_owned(), Duration::from_secs(1));
        BarRequest { symbol, interval, count, now: UtcMs(now * HOUR_MS), deadline }
    }

    #[test]
    fn bars_are_shown_as_they_were_known_at_a_time() {
        let source = source(None);
        let closes = |at: i64| {
            source.show(UtcMs(at * HOUR_MS), false);
            source.delivered(&request(1, 5, 8)).bars.iter().map(|bar| bar.close.unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(closes(4), [1.0, 0.8, 1.0, 1.0, 1.0, 1.0], "one had not come yet, and one was another");
        assert_eq!(closes(7), [1.0, 0.9, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(closes(9), [1.0; 7]);
    }

    #[test]
    fn made_bars_are_made_of_the_parts_that_were_known() {
        let (interval, made_from) = (hours(2), hours(1));
        let recipe = Recipe { interval, made_from, calendar: MarketCalendar::always(), least_parts: 2, tick: 0.0 };
        let source = source(Some(recipe));
        let lows = |at: i64| {
            source.show(UtcMs(at * HOUR_MS), false);
            let Delivered { bars, incomplete } = source.delivered(&request(2, 2, 8));
            (bars.iter().map(|bar| bar.low.unwrap()).collect::<Vec<_>>(), incomplete.len())
        };
        assert_eq!(lows(4), (vec![1.0, 0.8, 1.0], 1));
        assert_eq!(lows(9), (vec![1.0; 4], 0));
    }

    #[test]
    fn what_is_not_kept_any_more_is_known() {
        let source = source(None);
        assert!(source.covers(&request(1, 5, 8)), "hours 1 to 7");
        assert!(!source.covers(&request(1, 9, 8)) && !source.covers(&request(1, 2, 9)));
    }

    #[test]
    fn a_bar_that_was_filled_is_in_doubt_only_as_long_as_a_vendor_is_asked_for_it_again() {
        let source = source(None);
        let at = UtcMs(9 * HOUR_MS);
        assert!(source.may_be_unfilled(&request(1, 5, 8), at) && !source.may_be_unfilled(&request(1, 2, 8), at));
        source.show(at, true);
        let empty = |bars: &[RawBar]| bars.iter().filter(|bar| bar.close.is_none()).count();
        assert_eq!(empty(&source.delivered(&request(1, 5, 8)).bars), 1);
        let mut old = source;
        old.bars.extend((8..14).map(|hour| kept(hour, None)));
        assert!(!old.may_be_unfilled(&request(1, 13, 14), UtcMs(14 * HOUR_MS)));
    }
}
