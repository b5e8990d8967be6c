//! One vendor's bars of one ticker and length, for all pipelines that want them.
//!
//! They are fetched once for all pipelines, kept in memory, and written to the cache. A fetch overlaps what is known, and a known bar
//! that comes back changed is a revision: it is used from then on, and changes nothing that was decided. Only bars that
//! were closed when the request went out are taken, so that no forming bar is ever kept (promise 5).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::bar::{Interval, RawBar};
use sentinel_actors::domain::calendar::MarketCalendar;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{Clock, SourceError, elapsed_now};
use tokio::sync::Mutex;

use super::cache::{BarCache, CacheError, News, Revision, SeriesId, SeriesKey};
use super::vendor::{Ask, Market, VendorClient, failed_cache};
use crate::http::{CallError, Deadline};

/// A fetch asks again for this many of the newest bars that are known,
const OVERLAP_BARS: u32 = 5;
/// and for this much time at least: what a vendor delivers later than that stays missing.
const OVERLAP_MIN: Duration = Duration::from_secs(6 * 3600);
/// Changes that are remembered for those who look at the bars only now and then.
const CHANGES_MAX: usize = 256;

/// Which bars.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Instrument {
    pub ticker: String,
    pub market: Market,
    pub interval: Interval,
}

/// What a pipeline wants for a slot.
pub struct Need<'a> {
    /// Open time of the newest bar: closed at the slot.
    pub newest: UtcMs,
    /// Open time of what the pipeline decides: of the newest bar, or of the one that it makes of the newest ones.
    pub due: UtcMs,
    /// The time that it is wanted for.
    pub slot: UtcMs,
    pub deadline: Duration,
    /// Whether bars up to `newest`, oldest first, hold what is due. While they do not, each slot asks the vendor.
    pub is_there: &'a (dyn Fn(&[RawBar]) -> bool + Sync),
}

/// Bars in memory.
#[derive(Debug, Default)]
pub struct Bars {
    /// Oldest first, unique; any may be unusable.
    bars: Vec<RawBar>,
    /// Grows with each change.
    version: u64,
    /// Version and oldest open time of each change, oldest first.
    changes: VecDeque<(u64, UtcMs)>,
    /// Versions and revisions, oldest first.
    revisions: VecDeque<(u64, Revision)>,
}

impl Bars {
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Bars that open from `from` to `newest`.
    #[must_use]
    pub fn between(&self, from: UtcMs, newest: UtcMs) -> &[RawBar] {
        let begin = self.bars.partition_point(|bar| bar.time < from);
        let end = self.bars.partition_point(|bar| bar.time <= newest);
        self.bars.get(begin..end).unwrap_or_default()
    }

    /// The oldest open time whose bar changed after `version`; `None`: nothing did.
    #[must_use]
    pub fn changed_since(&self, version: u64) -> Option<UtcMs> {
        if version == self.version {
            return None;
        }
        let known = self.changes.front().is_some_and(|(first, _)| *first <= version + 1);
        let newer = self.changes.iter().filter(|(change, _)| *change > version).map(|(_, time)| *time);
        if known { newer.min() } else { self.bars.first().map(|bar| bar.time) }
    }

    /// Bars that were changed after `version`, oldest change first.
    pub fn revised_since(&self, version: u64) -> impl Iterator<Item = &Revision> {
        self.revisions.iter().filter(move |(change, _)| *change > version).map(|(_, revision)| revision)
    }

    /// Takes delivered bars in, and says what changed.
    fn merge(&mut self, delivered: &[RawBar], seen: UtcMs) -> Merged {
        let mut merged = Merged::default();
        if self.bars.is_empty() {
            self.bars.reserve_exact(delivered.len());
            merged.rows.reserve_exact(delivered.len());
        }
        for bar in delivered {
            match self.bars.binary_search_by_key(&bar.time, |known| known.time) {
                Err(at) => {
                    self.bars.insert(at, *bar);
                    merged.rows.push(*bar);
                }
                Ok(at) => {
                    let known = &mut self.bars[at];
                    // A bar that was there stays when the vendor has nothing in its place.
                    if is_same(known, bar) || (is_usable(known) && !is_usable(bar)) {
                        continue;
                    }
                    let was = std::mem::replace(known, *bar);
                    merged.rows.push(*bar);
                    if is_usable(&was) {
                        merged.revisions.push(Revision { time: bar.time, was, is: *bar, seen });
                    }
                }
            }
        }
        if let Some(oldest) = merged.rows.iter().map(|bar| bar.time).min() {
            self.version += 1;
            self.changes.push_back((self.version, oldest));
            self.revisions.extend(merged.revisions.iter().map(|revision| (self.version, *revision)));
            self.changes.drain(..self.changes.len().saturating_sub(CHANGES_MAX));
            self.revisions.drain(..self.revisions.len().saturating_sub(CHANGES_MAX));
        }
        merged
    }

    fn forget_before(&mut self, oldest: UtcMs) {
        // In large steps, because each moves all that stay.
        let gone = self.bars.partition_point(|bar| bar.time < oldest);
        if gone > self.bars.len() / 4 {
            self.bars.drain(..gone);
        }
    }
}

/// What a delivery changed.
#[derive(Debug, Default)]
struct Merged {
    rows: Vec<RawBar>,
    revisions: Vec<Revision>,
}

/// Bit for bit, so that a bar that is computed on again gives the same digest.
fn is_same(a: &RawBar, b: &RawBar) -> bool {
    let bits = |bar: &RawBar| [bar.open, bar.high, bar.low, bar.close, bar.volume].map(|value| value.map(f64::to_bits));
    bits(a) == bits(b)
}

/// Whether it has prices that could be decided on.
#[must_use]
pub fn is_usable(bar: &RawBar) -> bool {
    [bar.open, bar.high, bar.low, bar.close].iter().all(|price| price.is_some_and(|price| price > 0.0))
}

/// What a series is, and what its pipelines want of it together.
#[derive(Debug, Clone)]
pub struct SeriesSettings {
    pub instrument: Instrument,
    /// When there are bars.
    pub calendar: MarketCalendar,
    /// A bar is closed this long after its close.
    pub settle: Duration,
    /// From the oldest bar that a pipeline looks at to the newest.
    pub reach: Duration,
}

/// A series with its vendor and its place in the cache.
pub struct Series {
    settings: SeriesSettings,
    vendor: Arc<VendorClient>,
    clock: Arc<dyn Clock>,
    cache: Arc<BarCache>,
    id: SeriesId,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_loaded: bool,
    bars: Bars,
    /// Open times that were asked for without a hole.
    covered: Option<(UtcMs, UtcMs)>,
    /// Our time of the last fetch that succeeded.
    fetched: Option<UtcMs>,
    /// The last fetch, whatever came of it.
    last: Option<LastFetch>,
    /// Writing to the cache failed, and that was said.
    cache_failed: bool,
}

struct LastFetch {
    slot: UtcMs,
    error: Option<SourceError>,
}

impl Series {
    /// A series whose bars are loaded when they are first wanted.
    ///
    /// # Errors
    /// When the cache cannot be used.
    pub fn open(
        settings: SeriesSettings,
        vendor: Arc<VendorClient>,
        key: &SeriesKey,
        clock: Arc<dyn Clock>,
        cache: Arc<BarCache>,
    ) -> Result<Self, CacheError> {
        let id = cache.series(key)?;
        Ok(Self { settings, vendor, clock, cache, id, state: Mutex::default() })
    }

    /// What `read` makes of the bars, once they are as new as they can be.
    ///
    /// # Errors
    /// Why they are not.
    pub async fn with<T>(&self, need: &Need<'_>, read: impl FnOnce(&Bars) -> T) -> Result<T, SourceError> {
        let until = Deadline::of(need.deadline, elapsed_now());
        // Whoever comes first fetches, and the others find it done.
        let locked = until.keep(async { Ok::<_, CallError>(self.state.lock().await) }).await;
        let mut state = locked.map_err(|_| SourceError::Timeout(need.deadline))?;
        if !state.is_loaded {
            self.load(&mut state, self.oldest(need)).await?;
        }
        let is_wrong_clock = self.vendor.require_clock().is_err();
        if is_wrong_clock || !self.has(&state, need) {
            let last = state.last.as_ref().filter(|last| last.slot >= need.slot);
            match last {
                Some(LastFetch { error: Some(error), .. }) => return Err(error.clone()),
                Some(LastFetch { error: None, .. }) => {}
                None => {
                    let error = self.fetch(&mut state, need, until).await.err();
                    state.last = Some(LastFetch { slot: need.slot, error: error.clone() });
                    error.map_or(Ok(()), Err)?;
                }
            }
        }
        Ok(read(&state.bars))
    }

    /// Open time of the oldest bar that any pipeline looks at.
    fn oldest(&self, need: &Need<'_>) -> UtcMs {
        need.newest.minus(self.settings.reach)
    }

    /// Whether nothing has to be fetched.
    fn has(&self, state: &State, need: &Need<'_>) -> bool {
        let oldest = self.oldest(need);
        let asked = state.covered.is_some_and(|(first, last)| first <= oldest && last >= need.newest);
        // A bar of a closed market may exist; when it was asked for and is not there, it is not asked for again.
        asked && ((need.is_there)(state.bars.between(oldest, need.newest)) || !self.settings.calendar.is_open(need.due))
    }

    async fn load(&self, state: &mut State, from: UtcMs) -> Result<(), SourceError> {
        let (cache, id) = (self.cache.clone(), self.id);
        let loaded = tokio::task::spawn_blocking(move || cache.load(id, from)).await;
        let stored = loaded.map_err(|_| SourceError::Failed("the bar cache was closed".to_owned()))?;
        let stored = stored.map_err(failed_cache)?;
        state.bars.merge(&stored.bars, self.clock.now());
        state.covered = stored.covered.filter(|(_, last)| *last >= from).map(|(first, last)| (first.max(from), last));
        state.is_loaded = true;
        Ok(())
    }

    async fn fetch(&self, state: &mut State, need: &Need<'_>, until: Deadline) -> Result<(), SourceError> {
        let began = state.covered;
        for (first, last) in self.ranges(state, need) {
            for (first, last) in self.vendor.requests(self.settings.instrument.interval, first, last) {
                self.request(state, began, first, last, until).await?;
            }
        }
        state.bars.forget_before(self.oldest(need));
        self.vendor.require_clock()?;
        // By the vendor's clock the due bar is still forming.
        let ahead_ms = self.vendor.clock_ahead_ms();
        let is_early = ahead_ms > 0 && state.covered.is_some_and(|(_, last)| last < need.newest);
        if is_early { Err(SourceError::ClockOff { ahead_ms }) } else { Ok(()) }
    }

    /// Open times to ask for, the newest first.
    fn ranges(&self, state: &State, need: &Need<'_>) -> Vec<(UtcMs, UtcMs)> {
        let (interval, oldest) = (self.settings.instrument.interval, self.oldest(need));
        let newest = interval.newest_closed(self.clock.now().minus(self.settings.settle)).max(need.newest);
        let Some((first, last)) = state.covered.filter(|(_, last)| *last >= oldest) else {
            return vec![(oldest, newest)];
        };
        // Bars that come late are missing at the end of what was asked for.
        let known = state.bars.bars.iter().rev().find(|bar| is_usable(bar)).map_or(oldest, |bar| bar.time);
        let overlap = (interval.length() * OVERLAP_BARS).max(OVERLAP_MIN);
        let again = last.min(known).minus(overlap);
        let again = interval.newest_closed(interval.close_of(again)).max(oldest);
        let older = (first > oldest).then(|| (oldest, first.minus(interval.length())));
        std::iter::once((again, newest)).chain(older).collect()
    }

    /// One request, and what it brings.
    async fn request(
        &self,
        state: &mut State,
        began: Option<(UtcMs, UtcMs)>,
        first: UtcMs,
        last: UtcMs,
        until: Deadline,
    ) -> Result<(), SourceError> {
        let Instrument { ticker, market, interval } = &self.settings.instrument;
        let (market, interval) = (*market, *interval);
        let at = self.clock.now();
        let mut bars = self.vendor.bars(&Ask { ticker, market, interval, first, last }, until).await?;
        // With a clock that is ahead a forming bar would pass for a closed one.
        self.vendor.require_clock()?;
        let delivered = bars.len();
        let ahead = Duration::from_millis(self.vendor.clock_ahead_ms().max(0).unsigned_abs());
        let closed = interval.newest_closed(at.minus(self.settings.settle).minus(ahead)).min(last);
        bars.retain(|bar| {
            (first..=closed).contains(&bar.time) && interval.newest_closed(interval.close_of(bar.time)) == bar.time
        });
        // Stable: of those with the same open time the last received stays.
        if !bars.is_sorted_by_key(|bar| bar.time) {
            bars.sort_by_key(|bar| bar.time);
        }
        let merged = state.bars.merge(&bars, at);
        let (first, last) = joined((first, closed), state.covered, began, interval);
        state.covered = Some((first, last));
        state.fetched = Some(at);
        tracing::debug!(
            event = "bars_fetched",
            vendor = self.vendor.vendor().name(),
            ticker,
            %interval,
            delivered,
            changed = merged.rows.len(),
            revisions = merged.revisions.len(),
            calls_left = self.vendor.calls_left(),
            "bars were fetched"
        );
        for Revision { time, was, is, .. } in &merged.revisions {
            tracing::info!(
                event = "bar_revised",
                vendor = self.vendor.vendor().name(),
                ticker,
                bar = %time,
                close_was = was.close,
                close_is = is.close,
                "the vendor changed a bar after it was delivered; what was decided stays"
            );
        }
        self.keep(state, merged, at, began.map(|(_, last)| last)).await;
        Ok(())
    }

    /// Writes what is new to the cache. A node whose cache cannot be written goes on, and fetches more at its next start.
    async fn keep(&self, state: &mut State, merged: Merged, at: UtcMs, asked_before: Option<UtcMs>) {
        let Some(covered) = state.covered else { return };
        let (cache, id) = (self.cache.clone(), self.id);
        let Merged { rows, revisions } = merged;
        let kept = tokio::task::spawn_blocking(move || {
            cache.keep(id, &News { rows: &rows, revisions: &revisions, covered, at, asked_before })
        });
        let failed = match kept.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(_) => Some("the node is ending".to_owned()),
        };
        if let Some(error) = failed.as_ref().filter(|_| !state.cache_failed) {
            tracing::warn!(event = "bar_cache_failed", error, "bars cannot be kept; the next start fetches them again");
        }
        state.cache_failed = failed.is_some();
    }
}

/// What has been asked for without a hole, now that `new` has been, too.
fn joined(
    new: (UtcMs, UtcMs),
    covered: Option<(UtcMs, UtcMs)>,
    began: Option<(UtcMs, UtcMs)>,
    interval: Interval,
) -> (UtcMs, UtcMs) {
    let touches = |a: (UtcMs, UtcMs), b: (UtcMs, UtcMs)| a.0 <= interval.close_of(b.1) && b.0 <= interval.close_of(a.1);
    [covered, began]
        .into_iter()
        .flatten()
        .fold(new, |all, other| if touches(all, other) { (all.0.min(other.0), all.1.max(other.1)) } else { all })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UtcMs = UtcMs(1_000);

    fn bar(time: i64, price: Option<f64>) -> RawBar {
        RawBar { time: UtcMs(time), open: price, high: price, low: price, close: price, volume: None }
    }

    #[test]
    fn a_known_bar_is_replaced_by_another_price_and_never_by_none() {
        let mut bars = Bars::default();
        bars.merge(&[bar(1, Some(1.0)), bar(2, None)], NOW);
        let nothing = bars.merge(&[bar(1, None), bar(1, Some(0.0)), bar(1, Some(1.0)), bar(2, None)], NOW);
        assert!(nothing.rows.is_empty() && nothing.revisions.is_empty());
        let filled = bars.merge(&[bar(2, Some(2.0))], NOW);
        assert_eq!((filled.rows.len(), filled.revisions.len()), (1, 0), "what was missing is no revision");
        let revised = bars.merge(&[bar(1, Some(1.5))], NOW);
        assert_eq!(revised.revisions.len(), 1);
        assert_eq!(bars.between(UtcMs(0), UtcMs(9)), [bar(1, Some(1.5)), bar(2, Some(2.0))]);
    }

    #[test]
    fn what_was_asked_for_grows_only_without_a_hole() {
        let minute = Interval::new(Duration::from_secs(60)).unwrap();
        let range = |first: i64, last: i64| (UtcMs(first * 60_000), UtcMs(last * 60_000));
        assert_eq!(joined(range(5, 9), None, None, minute), range(5, 9));
        assert_eq!(joined(range(5, 9), Some(range(1, 4)), None, minute), range(1, 9), "next to each other");
        assert_eq!(joined(range(5, 9), Some(range(1, 3)), None, minute), range(5, 9), "a minute between them");
        // The newest part of a long absence, and then the older one.
        let newest = joined(range(50, 90), Some(range(1, 10)), Some(range(1, 10)), minute);
        assert_eq!(joined(range(8, 49), Some(newest), Some(range(1, 10)), minute), range(1, 90));
    }

    proptest! {
        #[test]
        fn bars_are_sorted_and_unique_and_every_change_is_seen(
            deliveries in prop::collection::vec(prop::collection::vec((0_i64..30, proptest::option::weighted(0.8, 1_u8..4)), 0..12), 1..12),
        ) {
            let mut bars = Bars::default();
            let mut versions = vec![(bars.version(), Vec::new())];
            for delivery in deliveries {
                let delivery: Vec<RawBar> = delivery.into_iter().map(|(time, price)| bar(time, price.map(f64::from))).collect();
                bars.merge(&delivery, NOW);
                versions.push((bars.version(), bars.bars.clone()));
            }
            prop_assert!(bars.bars.windows(2).all(|two| two[0].time < two[1].time));
            for (version, before) in versions {
                let old: Vec<&RawBar> = before.iter().collect();
                let changed = bars.bars.iter().find(|bar| !old.contains(bar)).map(|bar| bar.time);
                // It may say more, as when a bar came back to what it was, and never less.
                let said = bars.changed_since(version);
                prop_assert!(changed.is_none_or(|changed| said.is_some_and(|said| said <= changed)), "{said:?} {changed:?}");
            }
        }
    }
}
