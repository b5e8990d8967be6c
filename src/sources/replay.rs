//! A replay: recorded bars as a source, and schedule time that moves only when a cycle waits for it.
//!
//! [`ReplaySource`] shows a cycle exactly what was closed at its schedule time, so a replay decides what the live node
//! would have decided (promise 5). [`ReplayClock`] never moves by itself: the pipeline waits for its next slot when its
//! cycle has ended, and only that wait moves it. A slow machine therefore misses no slot of a replay. It goes back only
//! when a restarted pipeline resumes its schedule: to the last slot that has its row or an intent.

use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sentinel_actors::domain::bar::{Cleaning, Inspected, Interval, RawBar, clean};
use sentinel_actors::domain::made_bars::IncompleteBar;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{BarRequest, BarSource, Cleaned, Clock, Delivered, PortFuture, SourceError, elapsed_now};

use super::replay_time::ReplayTime;
use crate::config::Speed;

/// Bars delivered beyond the count that was asked for: one in eight, and eight. Some will be dropped as unusable (vendors
/// deliver up to one null in twenty), and the window should be full all the same.
const fn spare(count: usize) -> usize {
    count / 8 + 8
}

/// Longest single wait of a paced replay; a slot further away than this is reached early rather than never.
const WAIT_MAX: Duration = Duration::from_secs(365 * 86_400);

/// All bars of one symbol, served as if they were just closing. The request's symbol is not looked at.
#[derive(Debug, Clone)]
pub struct ReplaySource {
    bars: Arc<[RawBar]>,
    /// Bars that could not be made, oldest first.
    incomplete: Arc<[IncompleteBar]>,
    interval: Interval,
    /// Of the bars, when windows are cleaned by it.
    inspected: Option<Arc<Inspected>>,
}

impl ReplaySource {
    /// `bars` in any order; those with equal times keep their order.
    #[must_use]
    pub fn new(mut bars: Vec<RawBar>, interval: Interval) -> Self {
        bars.sort_by_key(|bar| bar.time);
        Self { bars: bars.into(), incomplete: Arc::new([]), interval, inspected: None }
    }

    /// With the bars that could not be made from shorter ones, oldest first.
    #[must_use]
    pub fn with_incomplete(self, incomplete: Vec<IncompleteBar>) -> Self {
        Self { incomplete: incomplete.into(), ..self }
    }

    /// Looks at every bar once, so that each window costs less to clean. `tick`: a close may lie outside its range by this much.
    #[must_use]
    pub fn inspect(self, tick: f64) -> Self {
        Self { inspected: Some(Arc::new(Inspected::new(&self.bars, tick))), ..self }
    }

    /// Number of bars, unusable ones included.
    #[must_use]
    pub fn bar_count(&self) -> usize {
        self.bars.len()
    }

    /// First and last instant at which a slot has something to decide on: the open time of the first bar with a full
    /// `window` of usable bars before it, and the close time of the last bar. `None` when the data is too short.
    #[must_use]
    pub fn bounds(&self, window: usize) -> Option<(UtcMs, UtcMs)> {
        // The pipeline checks with its own tick whether a close lies outside its range.
        let usable = clean(&self.bars, &Cleaning { tick: f64::INFINITY, times: None, window: None }).bars;
        let first = usable.get(window)?.time;
        Some((first, self.interval.close_of(self.bars.last()?.time)))
    }

    /// Which bars are delivered.
    fn closed(&self, request: &BarRequest) -> Range<usize> {
        let end = self.bars.partition_point(|bar| request.interval.close_of(bar.time) <= request.now);
        let wanted = request.count.saturating_add(spare(request.count));
        end.saturating_sub(wanted)..end
    }

    /// Those that could not be made, from the open time of the oldest of `bars` on.
    fn incomplete(&self, bars: &[RawBar], request: &BarRequest) -> Vec<IncompleteBar> {
        let oldest = bars.first().map_or(request.now, |bar| bar.time);
        let from = self.incomplete.partition_point(|bar| bar.time < oldest);
        let until = self.incomplete.partition_point(|bar| request.interval.close_of(bar.time) <= request.now);
        self.incomplete.get(from..until).unwrap_or_default().to_vec()
    }

    fn delivered(&self, request: &BarRequest) -> Delivered {
        let bars = &self.bars[self.closed(request)];
        Delivered { bars: bars.into(), incomplete: self.incomplete(bars, request) }
    }

    fn cleaned(&self, request: &BarRequest, how: &Cleaning) -> Cleaned {
        let range = self.closed(request);
        let bars = &self.bars[range.clone()];
        let incomplete = self.incomplete(bars, request);
        let bars = match &self.inspected {
            Some(inspected) => inspected.clean(&self.bars, range, how),
            None => clean(bars, how),
        };
        Cleaned { bars, incomplete }
    }
}

impl BarSource for ReplaySource {
    fn fetch<'a>(&'a self, request: &'a BarRequest) -> PortFuture<'a, Result<Delivered, SourceError>> {
        Box::pin(async move { Ok(self.delivered(request)) })
    }

    fn fetch_clean<'a>(
        &'a self,
        request: &'a BarRequest,
        how: &'a Cleaning,
    ) -> PortFuture<'a, Result<Cleaned, SourceError>> {
        Box::pin(async move { Ok(self.cleaned(request, how)) })
    }
}

/// Schedule time of one replayed pipeline. Clones share their time; give each pipeline its own, or one
/// pipeline's wait moves the others past their slots.
#[derive(Debug, Clone)]
pub struct ReplayClock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    now: AtomicI64,
    /// Held while the time moves.
    moving: Mutex<()>,
    interval: Interval,
    speed: Speed,
    /// Written before the time moves: what acts at a new time finds it there.
    time_file: Option<ReplayTime>,
    /// Where pacing counts from, set by the first wait: the time that the start takes is not made up for.
    anchor: OnceLock<Anchor>,
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    elapsed: tokio::time::Instant,
    schedule: UtcMs,
}

impl ReplayClock {
    /// A clock that stands at `start` and writes its time to `time_file`, when there is one.
    #[must_use]
    pub fn new(start: UtcMs, interval: Interval, speed: Speed, time_file: Option<ReplayTime>) -> Self {
        let clock = Self(Arc::new(Shared {
            now: AtomicI64::new(start.0),
            moving: Mutex::new(()),
            interval,
            speed,
            time_file,
            anchor: OnceLock::new(),
        }));
        clock.move_to(|now| now);
        clock
    }

    /// One move at a time, so that the file never ends with the earlier of two.
    fn move_to(&self, new_time: impl Fn(UtcMs) -> UtcMs) {
        let _moving = self.0.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let new = new_time(self.now());
        if let Some(file) = &self.0.time_file {
            file.write(new);
        }
        self.0.now.store(new.0, Ordering::SeqCst);
    }

    /// When, in elapsed time, schedule time may reach `until`. Counted from the anchor and not from the last wait, so
    /// that the duration of cycles does not add up to a slower replay.
    fn due(&self, until: UtcMs, bars_per_second: f64) -> tokio::time::Instant {
        let Anchor { elapsed, schedule } =
            *self.0.anchor.get_or_init(|| Anchor { elapsed: elapsed_now(), schedule: self.now() });
        let bars = until.since(schedule).as_secs_f64() / self.0.interval.length().as_secs_f64();
        let wait = Duration::try_from_secs_f64(bars / bars_per_second).unwrap_or(WAIT_MAX);
        elapsed + wait.min(WAIT_MAX)
    }
}

impl Clock for ReplayClock {
    fn now(&self) -> UtcMs {
        UtcMs(self.0.now.load(Ordering::SeqCst))
    }

    fn wait_until(&self, until: UtcMs) -> PortFuture<'_, ()> {
        Box::pin(async move {
            if until <= self.now() {
                return;
            }
            if let Speed::BarsPerSecond(rate) = self.0.speed {
                tokio::time::sleep_until(self.due(until, rate)).await;
            }
            // Moved only after the wait: a wait that is cancelled has moved nothing. The maximum: never backwards.
            self.move_to(|now| now.max(until));
        })
    }

    fn follows_cycles(&self) -> bool {
        true
    }

    fn resume_at(&self, reached: UtcMs) {
        self.move_to(|now| now.min(reached));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_SECS: i64 = 3600;

    fn hour() -> Interval {
        Interval::new(Duration::from_secs(3600)).unwrap()
    }

    fn open(index: i64) -> UtcMs {
        UtcMs::from_secs(index * HOUR_SECS)
    }

    fn bar(index: i64) -> RawBar {
        let price = Some(1.1);
        RawBar { time: open(index), open: price, high: price, low: price, close: price, volume: None }
    }

    fn source(indices: impl IntoIterator<Item = i64>) -> ReplaySource {
        ReplaySource::new(indices.into_iter().map(bar).collect(), hour())
    }

    async fn opens(source: &ReplaySource, count: usize, now: UtcMs) -> Vec<i64> {
        let request =
            BarRequest { symbol: "EURUSD".to_owned(), interval: hour(), count, now, deadline: Duration::from_secs(1) };
        let bars = source.fetch(&request).await.unwrap().bars;
        bars.iter().map(|bar| bar.time.secs() / HOUR_SECS).collect()
    }

    #[tokio::test]
    async fn a_bar_is_shown_from_the_instant_it_closes() {
        let source = source([2, 0, 1]);
        assert_eq!(opens(&source, 8, open(2)).await, [0, 1]);
        assert_eq!(opens(&source, 8, UtcMs(open(3).0 - 1)).await, [0, 1]);
        assert_eq!(opens(&source, 8, open(3)).await, [0, 1, 2]);
        assert!(opens(&source, 8, open(0)).await.is_empty());
    }

    #[tokio::test]
    async fn no_more_than_the_newest_bars_and_a_few_spare_ones_are_delivered() {
        let delivered = opens(&source(0..1000), 200, open(500)).await;
        assert_eq!((delivered.len(), delivered.last()), (233, Some(&499)));
    }

    #[test]
    fn slots_run_from_the_first_full_window_to_the_last_bar() {
        let mut bars: Vec<RawBar> = (0..10).chain([3, 20]).map(bar).collect();
        bars[1].close = None;
        let replay = ReplaySource::new(bars, hour());
        assert_eq!(replay.bounds(4), Some((open(5), open(21))));
        assert_eq!(replay.bounds(10), None);
        assert!(source([]).bounds(0).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn at_full_speed_a_wait_moves_schedule_time_at_once_and_never_backwards() {
        let clock = ReplayClock::new(open(5), hour(), Speed::Max, None);
        let shared = clock.clone();
        let began = elapsed_now();
        clock.wait_until(open(9)).await;
        assert_eq!(shared.now(), open(9));
        shared.wait_until(open(7)).await;
        assert_eq!(clock.now(), open(9));
        assert_eq!(elapsed_now(), began);
    }

    #[tokio::test(start_paused = true)]
    async fn at_two_bars_per_second_ten_bars_take_five_seconds() {
        let clock = ReplayClock::new(open(0), hour(), Speed::BarsPerSecond(2.0), None);
        tokio::time::advance(Duration::from_secs(60)).await; // the node's start
        let began = elapsed_now();
        for index in 1..=10 {
            clock.wait_until(open(index)).await;
            assert_eq!(clock.now(), open(index));
            tokio::time::advance(Duration::from_millis(300)).await; // the cycle
        }
        assert_eq!((elapsed_now() - began).as_millis().div_ceil(100), 53);
    }

    #[tokio::test]
    async fn the_time_file_follows_a_replay_forwards_and_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("replay/eurusd.time");
        let time = || {
            let line = std::fs::read_to_string(&path).unwrap();
            let numbers: Vec<i64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
            assert_eq!((numbers[0] ^ numbers[1], line.len()), (numbers[2], 63));
            UtcMs(numbers[0])
        };
        let file = ReplayTime::open(&path).unwrap();
        let clock = ReplayClock::new(open(5), hour(), Speed::Max, Some(file));
        assert_eq!(time(), open(5));
        clock.wait_until(open(100_000)).await;
        assert_eq!(time(), open(100_000));
        clock.resume_at(open(7));
        assert_eq!(time(), open(7));
    }

    #[test]
    fn a_time_is_in_the_file_before_anyone_can_act_at_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eurusd.time");
        let clock = ReplayClock::new(open(0), hour(), Speed::Max, Some(ReplayTime::open(&path).unwrap()));
        let in_file = || {
            // A line that is half written is read again, as the gateway does.
            loop {
                let line = std::fs::read_to_string(&path).unwrap();
                let numbers: Vec<i64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
                if let [now, wall, check] = numbers[..]
                    && now ^ wall == check
                {
                    return UtcMs(now);
                }
            }
        };
        std::thread::scope(|threads| {
            for of_two in 0..2 {
                let clock = &clock;
                threads.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    for index in 0..5_000 {
                        runtime.block_on(clock.wait_until(open(2 * index + of_two)));
                    }
                });
            }
            while clock.now() < open(9_999) {
                let now = clock.now();
                assert!(in_file() >= now);
            }
        });
        assert_eq!(in_file(), open(9_999));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_given_up_moves_nothing() {
        let clock = ReplayClock::new(open(0), hour(), Speed::BarsPerSecond(1.0), None);
        let given_up = tokio::time::timeout(Duration::from_millis(900), clock.wait_until(open(1))).await;
        assert!(given_up.is_err());
        assert_eq!(clock.now(), open(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_for_the_end_of_time_does_not_overflow() {
        let clock = ReplayClock::new(UtcMs(i64::MIN), hour(), Speed::BarsPerSecond(1.0), None);
        let waited = tokio::time::timeout(Duration::from_secs(3600), clock.wait_until(UtcMs(i64::MAX))).await;
        assert!(waited.is_err());
    }
}
