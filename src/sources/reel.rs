//! Recorded bars for a walk through them: what a replay would deliver, unpacked a stretch at a time.
//!
//! Windows of neighbouring slots differ by one bar, so a stretch is inspected once, and a window is a part of it. It may be
//! asked about any time; a walk asks about ever later ones, and costs the least.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use sentinel_actors::domain::bar::{Bar, Cleaning, Inspected, Interval, RawBar, clean};
use sentinel_actors::domain::made_bars::IncompleteBar;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{BarRequest, BarSource, Cleaned, Delivered, PortFuture, SourceError};

use super::packed::PackedBars;
use super::replay::{incomplete, spare};

/// Bars of a stretch beyond those that its first window looks at.
const AHEAD: usize = 2048;

/// All bars of one symbol, served as if they were just closing. The request's symbol is not looked at.
pub struct Reel {
    bars: PackedBars,
    /// Bars that could not be made, oldest first.
    incomplete: Vec<IncompleteBar>,
    /// A close may lie outside its bar's range by this much.
    tick: f64,
    state: Mutex<State>,
}

struct State {
    /// How many bars were closed when it was asked last.
    closed: usize,
    stretch: Stretch,
}

/// Bars that are unpacked and inspected.
struct Stretch {
    /// The place of its first one among all.
    first: usize,
    raw: Vec<RawBar>,
    inspected: Inspected,
}

impl Reel {
    /// `bars` are sorted by time.
    #[must_use]
    pub fn new(bars: PackedBars, incomplete: Vec<IncompleteBar>, tick: f64) -> Self {
        let stretch = Stretch { first: 0, raw: Vec::new(), inspected: Inspected::new(&[], tick) };
        Self { bars, incomplete, tick, state: Mutex::new(State { closed: 0, stretch }) }
    }

    /// The bars that the newest windows are stretches of.
    #[must_use]
    pub fn stretch(&self) -> Arc<Vec<Bar>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stretch.inspected.bars().clone()
    }

    fn cleaned(&self, request: &BarRequest, how: &Cleaning) -> Cleaned {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let range = self.turn_to(&mut state, request);
        let State { stretch, .. } = &*state;
        let bars = stretch.inspected.clean(&stretch.raw, range.clone(), how);
        let incomplete = incomplete(&self.incomplete, &stretch.raw[range], request);
        Cleaned { bars, incomplete }
    }

    fn delivered(&self, request: &BarRequest) -> Delivered {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let range = self.turn_to(&mut state, request);
        let bars = &state.stretch.raw[range];
        Delivered { bars: bars.into(), incomplete: incomplete(&self.incomplete, bars, request) }
    }

    /// Which bars of the stretch are delivered; unpacks another stretch when they are not in this one.
    fn turn_to(&self, state: &mut State, request: &BarRequest) -> Range<usize> {
        let is_closed = |time: UtcMs| request.interval.close_of(time) <= request.now;
        let wanted = request.count.saturating_add(spare(request.count));
        state.closed = self.closed(state, is_closed);
        let first = state.closed.saturating_sub(wanted);
        let Stretch { first: has, raw, .. } = &state.stretch;
        if first < *has || state.closed > has + raw.len() {
            let raw = self.bars.unpack(first, state.closed.saturating_add(AHEAD));
            state.stretch = Stretch { first, inspected: Inspected::new(&raw, self.tick), raw };
        }
        first - state.stretch.first..state.closed - state.stretch.first
    }

    /// How many bars are closed: mostly as many as before, and one.
    fn closed(&self, state: &State, is_closed: impl Fn(UtcMs) -> bool) -> usize {
        let Stretch { first, raw, .. } = &state.stretch;
        let time = |at: usize| match at.checked_sub(*first).and_then(|at| raw.get(at)) {
            Some(bar) => Some(bar.time),
            None => self.bars.time(at),
        };
        let before = state.closed;
        let is_earlier = before.checked_sub(1).and_then(time).is_some_and(|time| !is_closed(time));
        let is_much_later = time(before.saturating_add(AHEAD)).is_some_and(&is_closed);
        if !is_earlier && !is_much_later {
            return (before..).find(|at| !time(*at).is_some_and(&is_closed)).unwrap_or(before);
        }
        let (mut from, mut until) = (0, self.bars.len());
        while from < until {
            let middle = from.midpoint(until);
            if self.bars.time(middle).is_some_and(&is_closed) { from = middle + 1 } else { until = middle }
        }
        from
    }
}

/// As [`super::replay::ReplaySource::bounds`].
#[must_use]
pub fn bounds(bars: &PackedBars, interval: Interval, window: usize) -> Option<(UtcMs, UtcMs)> {
    // The pipeline checks with its own tick whether a close lies outside its range.
    let how = Cleaning { tick: f64::INFINITY, times: None, window: None };
    let mut before = 0;
    let mut last = None;
    let first = bars.iter().find_map(|line| {
        let time = clean(&[line.bar], &how).newest()?.time;
        before += usize::from(last.is_some_and(|last| last != time));
        last = Some(time);
        (before == window).then_some(time)
    })?;
    let last = bars.time(bars.len().checked_sub(1)?)?;
    Some((first, interval.close_of(last)))
}

impl BarSource for Reel {
    fn fetch<'a>(&'a self, request: &'a BarRequest) -> PortFuture<'a, Result<Delivered, SourceError>> {
        Box::pin(std::future::ready(Ok(self.delivered(request))))
    }

    fn fetch_clean<'a>(
        &'a self,
        request: &'a BarRequest,
        how: &'a Cleaning,
    ) -> PortFuture<'a, Result<Cleaned, SourceError>> {
        Box::pin(std::future::ready(Ok(self.cleaned(request, how))))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sources::csv::BarLine;
    use crate::sources::replay::ReplaySource;

    fn minute() -> Interval {
        Interval::new(Duration::from_secs(60)).unwrap()
    }

    /// Minutes, some of which are missing, unusable, repeated, or could not be made.
    fn bars(rng: &mut fastrand::Rng, count: i64) -> (Vec<RawBar>, Vec<IncompleteBar>) {
        let (mut bars, mut incomplete) = (Vec::new(), Vec::new());
        for at in 0..count {
            let time = UtcMs(1_500_000_000_000 + at * 60_000);
            let price = Some(1.1 + f64::from(rng.u32(0..1000)) * 1e-5);
            let bar = RawBar { time, open: price, high: price, low: price, close: price, volume: None };
            match rng.u32(0..60) {
                0 => incomplete.push(IncompleteBar { time, have: 3, of: 60 }),
                1 => bars.push(RawBar { close: None, ..bar }),
                2 => bars.extend([bar, RawBar { volume: Some(1.0), ..bar }]),
                _ => bars.push(bar),
            }
        }
        (bars, incomplete)
    }

    #[tokio::test]
    async fn a_reel_delivers_what_a_replay_delivers_at_every_time_and_in_any_order() {
        let mut rng = fastrand::Rng::with_seed(18);
        let (bars, incomplete) = bars(&mut rng, 6_000);
        let lines = (2..).zip(&bars).map(|(line, bar)| BarLine { line, bar: *bar });
        let packed: PackedBars = lines.collect();
        let replay = ReplaySource::new(bars, minute()).with_incomplete(incomplete.clone());
        for window in [0, 1, 200, 6_100] {
            assert_eq!(bounds(&packed, minute(), window), replay.bounds(window), "{window}");
        }
        let reel = Reel::new(packed, incomplete, 1e-5);
        let mut now = 1_500_000_000_000;
        let mut missed_stretches = 0;
        for _ in 0..9_000 {
            now = match rng.u32(0..400) {
                0 => 1_500_000_000_000 + rng.i64(-300..6_300) * 60_000,
                1 => now + rng.i64(0..5_000_000),
                _ => now + 60_000,
            };
            let now = UtcMs(now);
            let request =
                BarRequest { symbol: String::new(), interval: minute(), count: 224, now, deadline: Duration::MAX };
            let how = Cleaning { tick: 1e-5, times: None, window: Some(200) };
            let (own, other) =
                (reel.fetch_clean(&request, &how).await.unwrap(), replay.fetch_clean(&request, &how).await.unwrap());
            assert_eq!(own, other, "{now}");
            let stretch = reel.stretch();
            let is_part = stretch.as_ptr_range().contains(&own.bars.bars.as_ptr());
            missed_stretches += u32::from(!is_part);
            assert_eq!(reel.fetch(&request).await, replay.fetch(&request).await, "{now}");
        }
        assert!((1..8_990).contains(&missed_stretches), "{missed_stretches}");
    }
}
