//! One vendor's bars of one ticker and length, for all pipelines that want them.
//!
//! They are fetched once for all pipelines, kept in memory, and written to the cache. A fetch overlaps what is known, and a known bar
//! that comes back changed is a revision: it is used from then on, and changes nothing that was decided. Only bars that
//! were closed when the request went out are taken, so that no forming bar is ever kept (promise 5).

mod bars;

use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::bar::{Interval, RawBar};
use sentinel_actors::domain::calendar::MarketCalendar;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{Clock, SourceError, elapsed_now};
use tokio::sync::Mutex;

use self::bars::Merged;
pub(super) use self::bars::Shared;
pub use self::bars::{Bars, is_usable};
use super::cache::{BarCache, CacheError, News, Revision, SeriesId, SeriesKey};
use super::vendor::{Ask, Market, VendorClient, failed_cache};
use crate::http::{CallError, Deadline};

/// A fetch asks again for this many of the newest bars that are known,
const OVERLAP_BARS: u32 = 5;
/// and for this much time at least: what a vendor delivers later than that stays missing.
const OVERLAP_MIN: Duration = Duration::from_secs(6 * 3600);

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
    pub async fn with<T>(&self, need: &Need<'_>, read: impl FnOnce(&mut Bars) -> T) -> Result<T, SourceError> {
        let until = Deadline::of(need.deadline, elapsed_now());
        // Whoever comes first fetches, and the others find it done.
        let locked = until.keep(async { Ok::<_, CallError>(self.state.lock().await) }).await;
        let mut state = locked.map_err(|_| SourceError::Timeout(need.deadline))?;
        if !state.is_loaded {
            Box::pin(self.load(&mut state, self.oldest(need))).await?;
        }
        let is_wrong_clock = self.vendor.require_clock().is_err();
        if is_wrong_clock || !self.has(&state, need) {
            let last = state.last.as_ref().filter(|last| last.slot >= need.slot);
            match last {
                Some(LastFetch { error: Some(error), .. }) => return Err(error.clone()),
                Some(LastFetch { error: None, .. }) => {}
                None => {
                    // Boxed, because a thousand pipelines wait here with a place for what only one of them does.
                    let error = Box::pin(self.fetch(&mut state, need, until)).await.err();
                    state.last = Some(LastFetch { slot: need.slot, error: error.clone() });
                    error.map_or(Ok(()), Err)?;
                }
            }
        }
        Ok(read(&mut state.bars))
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
        state.bars.merge(stored.bars, self.clock.now());
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
        let ahead_ms = self.vendor.clock_ahead_ms().unwrap_or(0);
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
        let known = state.bars.newest_usable().unwrap_or(oldest);
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
        let ahead = Duration::from_millis(self.vendor.clock_ahead_ms().unwrap_or(0).max(0).unsigned_abs());
        let closed = interval.newest_closed(at.minus(self.settings.settle).minus(ahead)).min(last);
        bars.retain(|bar| {
            (first..=closed).contains(&bar.time) && interval.newest_closed(interval.close_of(bar.time)) == bar.time
        });
        // Stable: of those with the same open time the last received stays.
        if !bars.is_sorted_by_key(|bar| bar.time) {
            bars.sort_by_key(|bar| bar.time);
        }
        let merged = state.bars.merge(bars, at);
        let (first, last) = joined((first, closed), state.covered, began, interval);
        state.covered = Some((first, last));
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

    /// Writes what is new to the cache. A node whose cache cannot be written goes on. What was not kept goes with the next bars,
    /// because the cache must not say that it has more than it has.
    async fn keep(&self, state: &mut State, merged: Merged, at: UtcMs, asked_before: Option<UtcMs>) {
        let Some(covered) = state.covered else { return };
        let (cache, id) = (self.cache.clone(), self.id);
        let Merged { rows, revisions } = merged;
        let rows = if state.cache_failed { state.bars.between(covered.0, covered.1).to_vec() } else { rows };
        let kept = tokio::task::spawn_blocking(move || {
            cache.keep(id, &News { rows: &rows, revisions: &revisions, covered, at, asked_before })
        });
        let failed = match kept.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(_) => Some("the node is ending".to_owned()),
        };
        if let Some(error) = failed.as_ref().filter(|_| !state.cache_failed) {
            tracing::warn!(event = "bar_cache_failed", error, "bars cannot be kept; they are with the next ones");
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
    use super::*;

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
}
