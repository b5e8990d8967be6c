//! A pipeline's bars from a vendor: as delivered, or made from shorter ones.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sentinel_actors::domain::bar::{Interval, RawBar};
use sentinel_actors::domain::calendar::MarketCalendar;
use sentinel_actors::domain::made_bars::{Made, Making, make};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{BarRequest, BarSource, Delivered, PortFuture, SourceError};

use super::series::{Bars, Need, Series, is_usable};

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
    /// Close of the newest part that was looked at.
    until: Option<UtcMs>,
}

impl MadeSeries {
    #[must_use]
    pub fn new(recipe: Recipe, reach: Duration) -> Self {
        Self { recipe, reach, state: Mutex::default() }
    }

    fn making(&self, now: UtcMs) -> Making<'_> {
        let Recipe { interval, made_from, calendar, least_parts, tick } = &self.recipe;
        let (interval, made_from, least_parts, tick) = (*interval, *made_from, *least_parts, *tick);
        Making { interval, made_from, calendar, least_parts, tick, now }
    }

    /// Open time of the made bar that holds `time`.
    fn opening(&self, time: UtcMs) -> UtcMs {
        self.recipe.interval.newest_closed(self.recipe.interval.close_of(time))
    }

    /// Whether the bar that ends with these parts can be made.
    fn is_there(&self, parts: &[RawBar], newest: UtcMs) -> bool {
        let begin = self.opening(newest);
        let of_bar = parts.get(parts.partition_point(|part| part.time < begin)..).unwrap_or_default();
        !make(of_bar, &self.making(self.recipe.made_from.close_of(newest))).bars.is_empty()
    }

    /// The made bars up to the one that ends with `newest`. What has not changed since is not made again.
    fn up_to(&self, parts: &Bars, from: UtcMs, newest: UtcMs) -> Delivered {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let until = self.recipe.made_from.close_of(newest);
        let changed = parts.changed_since(state.version);
        if changed.is_some() || state.until.is_none_or(|last| last < until) {
            let begin = match state.until {
                None => newest.minus(self.reach),
                Some(last) => changed.map_or(last, |time| time.min(last)),
            };
            let (begin, until) = (self.opening(begin), state.until.map_or(until, |last| last.max(until)));
            let Made { bars, incomplete } = make(parts.between(begin, until.before()), &self.making(until));
            let oldest = newest.minus(self.reach);
            replace_from(&mut state.made.bars, bars, begin, oldest, |bar| bar.time);
            replace_from(&mut state.made.incomplete, incomplete, begin, oldest, |bar| bar.time);
            (state.until, state.version) = (Some(until), parts.version());
        }
        let is_wanted = |time: UtcMs| (from..=newest).contains(&time);
        Delivered {
            bars: state.made.bars.iter().filter(|bar| is_wanted(bar.time)).map(|bar| RawBar::from(*bar)).collect(),
            incomplete: state.made.incomplete.iter().filter(|bar| is_wanted(bar.time)).copied().collect(),
        }
    }
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
}

impl LiveSource {
    #[must_use]
    pub fn new(series: Arc<Series>, made: Option<Arc<MadeSeries>>, calendar: MarketCalendar, settle: Duration) -> Self {
        Self { series, made, calendar, settle }
    }

    async fn bars(&self, request: &BarRequest) -> Result<Delivered, SourceError> {
        let BarRequest { interval, count, now: slot, deadline, .. } = *request;
        let due = interval.newest_closed(slot.minus(self.settle));
        let from = due.minus(reach(&self.calendar, interval, count));
        match &self.made {
            None => {
                let is_there = |bars: &[RawBar]| bars.last().is_some_and(|bar| bar.time == due && is_usable(bar));
                let need = Need { newest: due, slot, deadline, is_there: &is_there };
                self.series.with(&need, |bars| bars.between(from, due).to_vec().into()).await
            }
            Some(made) => {
                let newest = interval.close_of(due).minus(made.recipe.made_from.length());
                let is_there = |parts: &[RawBar]| made.is_there(parts, newest);
                let need = Need { newest, slot, deadline, is_there: &is_there };
                self.series.with(&need, |parts| made.up_to(parts, made.opening(from), newest)).await
            }
        }
    }
}

impl BarSource for LiveSource {
    fn fetch<'a>(&'a self, request: &'a BarRequest) -> PortFuture<'a, Result<Delivered, SourceError>> {
        Box::pin(self.bars(request))
    }
}
