//! A pipeline's bars from a vendor: as delivered, or made from shorter ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sentinel_actors::domain::bar::{Bar, Interval, RawBar};
use sentinel_actors::domain::calendar::MarketCalendar;
use sentinel_actors::domain::made_bars::{Made, Making, make};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{BarRequest, BarSource, Delivered, PortFuture, SourceError};

use super::cache::Revision;
use super::review::{Reviewer, Reviews, RevisedBar};
use super::series::{Bars, Need, Series, Shared, is_usable};

/// Bars that came out differently and are remembered for those who look only now and then.
const REVISED_MAX: usize = 64;

/// The time that `count` bars of an open market reach back at most.
#[must_use]
pub fn reach(calendar: &MarketCalendar, interval: Interval, count: usize) -> Duration {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    calendar.longest_for(interval.length().saturating_mul(count)) + interval.length()
}

/// How bars are made from the shorter ones of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    pub interval: Interval,
    pub made_from: Interval,
    pub calendar: MarketCalendar,
    /// Of the parts of a whole bar so many must be there.
    pub least_parts: u32,
    /// A close may lie outside its part's range by this much.
    pub tick: f64,
}

impl Recipe {
    /// For bars that have closed by `now`.
    #[must_use]
    pub fn making(&self, now: UtcMs) -> Making<'_> {
        let Self { interval, made_from, calendar, least_parts, tick } = self;
        let (interval, made_from, least_parts, tick) = (*interval, *made_from, *least_parts, *tick);
        Making { interval, made_from, calendar, least_parts, tick, now }
    }
}

/// Bars that are made from a series, for all pipelines with the same recipe.
pub struct MadeSeries {
    recipe: Recipe,
    /// From the oldest bar that a pipeline looks at to the newest.
    reach: Duration,
    state: Mutex<State>,
}

/// What has been made, and from which version of the parts.
#[derive(Default)]
struct State {
    made: Made,
    version: u64,
    /// Bars that came out differently when they were made again, oldest first, each with the version that did it.
    revised: VecDeque<(u64, RevisedBar)>,
    /// What was handed out last.
    shared: Shared,
    /// Close of the newest part that was looked at.
    until: Option<UtcMs>,
}

impl MadeSeries {
    #[must_use]
    pub fn new(recipe: Recipe, reach: Duration) -> Self {
        Self { recipe, reach, state: Mutex::default() }
    }

    /// Open time of the made bar that holds `time`.
    fn opening(&self, time: UtcMs) -> UtcMs {
        self.recipe.interval.newest_closed(self.recipe.interval.close_of(time))
    }

    fn revised_since(&self, version: u64) -> Vec<RevisedBar> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.revised.iter().filter(|(change, _)| *change > version).map(|(_, bar)| *bar).collect()
    }

    /// Whether the bar that ends with these parts can be made.
    fn is_there(&self, parts: &[RawBar], newest: UtcMs) -> bool {
        let begin = self.opening(newest);
        let of_bar = parts.get(parts.partition_point(|part| part.time < begin)..).unwrap_or_default();
        !make(of_bar, &self.recipe.making(self.recipe.made_from.close_of(newest))).bars.is_empty()
    }

    /// The made bars up to the one that ends with `newest`. What has not changed since is not made again.
    fn up_to(&self, parts: &Bars, from: UtcMs, newest: UtcMs, seen: UtcMs) -> Delivered {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let until = self.recipe.made_from.close_of(newest);
        let changed = parts.changed_since(state.version);
        if changed.is_some() || state.until.is_none_or(|last| last < until) {
            let begin = match state.until {
                None => newest.minus(self.reach),
                Some(last) => changed.map_or(last, |time| time.min(last)),
            };
            let (begin, until) = (self.opening(begin), state.until.map_or(until, |last| last.max(until)));
            let Made { bars, incomplete } = make(parts.between(begin, until.before()), &self.recipe.making(until));
            let oldest = newest.minus(self.reach);
            let version = parts.version();
            let revised = revised(&state.made.bars, &bars, seen).map(|bar| (version, bar)).collect::<Vec<_>>();
            state.revised.extend(revised);
            let excess = state.revised.len().saturating_sub(REVISED_MAX);
            state.revised.drain(..excess);
            replace_from(&mut state.made.bars, bars, begin, oldest, |bar| bar.time);
            replace_from(&mut state.made.incomplete, incomplete, begin, oldest, |bar| bar.time);
            (state.until, state.version) = (Some(until), version);
        }
        let is_wanted = |time: UtcMs| (from..=newest).contains(&time);
        let State { made, version, shared, .. } = &mut *state;
        let wanted = || made.bars.iter().filter(|bar| is_wanted(bar.time)).map(|bar| RawBar::from(*bar)).collect();
        Delivered {
            bars: shared.get(*version, (from, newest), wanted),
            incomplete: made.incomplete.iter().filter(|bar| is_wanted(bar.time)).copied().collect(),
        }
    }
}

/// Bars of `old` that are others in `new`; both oldest first.
fn revised<'b>(old: &'b [Bar], new: &'b [Bar], seen: UtcMs) -> impl Iterator<Item = RevisedBar> + 'b {
    new.iter().filter_map(move |is| {
        let was = old.get(old.binary_search_by_key(&is.time, |bar| bar.time).ok()?)?;
        let change = RevisedBar { time: is.time, was_close: was.close, is_close: is.close, seen };
        (was != is).then_some(change)
    })
}

/// Puts `new` in the place of all from `begin` on, and forgets those before `oldest`.
fn replace_from<T>(all: &mut Vec<T>, new: Vec<T>, begin: UtcMs, oldest: UtcMs, time: impl Fn(&T) -> UtcMs) {
    all.truncate(all.partition_point(|one| time(one) < begin));
    all.extend(new);
    all.drain(..all.partition_point(|one| time(one) < oldest));
}

/// The source of one pipeline.
pub struct LiveSource {
    series: Arc<Series>,
    /// `None`: bars as delivered.
    made: Option<Arc<MadeSeries>>,
    calendar: MarketCalendar,
    settle: Duration,
    reviewer: Arc<Reviewer>,
    reviews: Reviews,
    /// Up to which version of the series its revisions were looked at; `None`: before the first fetch.
    reviewed: Mutex<Option<u64>>,
}

impl LiveSource {
    #[must_use]
    pub fn new(
        series: Arc<Series>,
        made: Option<Arc<MadeSeries>>,
        calendar: MarketCalendar,
        settle: Duration,
        reviewer: Arc<Reviewer>,
    ) -> Self {
        let (reviews, reviewed) = (Reviews::default(), Mutex::default());
        Self { series, made, calendar, settle, reviewer, reviews, reviewed }
    }

    async fn bars(&self, request: &BarRequest) -> Result<Delivered, SourceError> {
        let BarRequest { interval, count, now: slot, deadline, .. } = *request;
        let due = interval.newest_closed(slot.minus(self.settle));
        let from = due.minus(reach(&self.calendar, interval, count));
        match &self.made {
            None => {
                let is_there = |bars: &[RawBar]| bars.last().is_some_and(|bar| bar.time == due && is_usable(bar));
                let need = Need { newest: due, due, slot, deadline, is_there: &is_there };
                self.series
                    .with(&need, |bars| {
                        let delivered = Delivered { bars: bars.shared(from, due), incomplete: Vec::new() };
                        let revised = |reviewed| bars.revised_since(reviewed).filter_map(of_series).collect();
                        self.review(bars.version(), revised, &delivered.bars);
                        delivered
                    })
                    .await
            }
            Some(made) => {
                let newest = interval.close_of(due).minus(made.recipe.made_from.length());
                let is_there = |parts: &[RawBar]| made.is_there(parts, newest);
                let need = Need { newest, due, slot, deadline, is_there: &is_there };
                self.series
                    .with(&need, |parts| {
                        let delivered = made.up_to(parts, made.opening(from), newest, slot);
                        self.review(parts.version(), |reviewed| made.revised_since(reviewed), &delivered.bars);
                        delivered
                    })
                    .await
            }
        }
    }
}

impl LiveSource {
    /// Asks what the revisions since the last time would have changed.
    fn review(&self, version: u64, revised: impl FnOnce(u64) -> Vec<RevisedBar>, bars: &[RawBar]) {
        let before = self.reviewed.lock().unwrap_or_else(PoisonError::into_inner).replace(version);
        let Some(before) = before.filter(|before| *before != version) else { return };
        let with_window = |bar: RevisedBar| {
            let end = bars.partition_point(|other| other.time <= bar.time);
            (bar, bars.get(..end).unwrap_or_default().to_vec())
        };
        self.reviews.begin(&self.reviewer, revised(before).into_iter().map(with_window).collect());
    }
}

/// A revision of a bar as delivered.
fn of_series(revision: &Revision) -> Option<RevisedBar> {
    let Revision { time, was, is, seen } = revision;
    Some(RevisedBar { time: *time, was_close: was.close?, is_close: is.close?, seen: *seen })
}

impl BarSource for LiveSource {
    fn fetch<'a>(&'a self, request: &'a BarRequest) -> PortFuture<'a, Result<Delivered, SourceError>> {
        Box::pin(self.bars(request))
    }
}
