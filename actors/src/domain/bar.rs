//! Market bars, and what makes a delivered bar usable.
//!
//! Vendors deliver nulls, zeros, duplicates and gaps as a matter of routine. Cleaning is one pure function, so that what
//! a replay computes is what the live node computed (promise 5). It drops and counts; it never invents a price.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::time::UtcMs;

/// A bar as a vendor delivered it; anything may be absent. Prices in quote currency, volume in the vendor's unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RawBar {
    /// Open time.
    pub time: UtcMs,
    pub open: Option<f64>,
    pub high: Option<f64>,
    pub low: Option<f64>,
    pub close: Option<f64>,
    /// Traded volume; routinely absent for FX.
    pub volume: Option<f64>,
}

/// A bar whose prices are finite, positive and ordered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// Open time.
    pub time: UtcMs,
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
    /// Traded volume; `None` when the vendor gave none.
    pub volume: Option<f64>,
}

impl From<Bar> for RawBar {
    fn from(bar: Bar) -> Self {
        let Bar { time, open, high, low, close, volume } = bar;
        Self { time, open: Some(open), high: Some(high), low: Some(low), close: Some(close), volume }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(Duration);

impl Interval {
    /// A bar length; must be a whole number of seconds that divides a day.
    #[must_use]
    pub fn new(length: Duration) -> Option<Self> {
        let seconds = length.as_secs();
        (seconds > 0 && length.subsec_nanos() == 0 && 86_400 % seconds == 0).then_some(Self(length))
    }

    #[must_use]
    pub fn length(self) -> Duration {
        self.0
    }

    fn millis(self) -> i64 {
        i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX)
    }

    /// Open time of the newest bar that is closed at `now`; saturates.
    #[must_use]
    pub fn newest_closed(self, now: UtcMs) -> UtcMs {
        let length = self.millis();
        UtcMs(now.0.div_euclid(length).saturating_sub(1).saturating_mul(length))
    }

    /// When the bar that opened at `open` closes.
    #[must_use]
    pub fn close_of(self, open: UtcMs) -> UtcMs {
        open.plus(self.0)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            s if s % 86_400 == 0 => write!(f, "{}d", s / 86_400),
            s if s % 3600 == 0 => write!(f, "{}h", s / 3600),
            s if s % 60 == 0 => write!(f, "{}m", s / 60),
            s => write!(f, "{s}s"),
        }
    }
}

/// Why a delivered bar was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// A price is null, NaN or infinite.
    Null,
    /// A price is zero or negative.
    NonPositive,
    /// High below low.
    HighBelowLow,
    /// Close outside `[low, high]` by more than a tick.
    CloseOutsideRange,
    /// A second bar for the same open time; the last received stays.
    Duplicate,
    /// The bar is still forming.
    Forming,
    /// The open time lies in the future, or further back than a window can reach.
    ImplausibleTime,
}

impl DropReason {
    /// All, in the order of their table.
    pub const ALL: [Self; 7] = [
        Self::Null,
        Self::NonPositive,
        Self::HighBelowLow,
        Self::CloseOutsideRange,
        Self::Duplicate,
        Self::Forming,
        Self::ImplausibleTime,
    ];

    /// Stable code for journal and reports.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::NonPositive => "non_positive",
            Self::HighBelowLow => "high_below_low",
            Self::CloseOutsideRange => "close_outside",
            Self::Duplicate => "duplicate",
            Self::Forming => "forming",
            Self::ImplausibleTime => "implausible_time",
        }
    }

    /// One sentence for a person.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Null => "A price is missing or not finite.",
            Self::NonPositive => "A price is zero or negative.",
            Self::HighBelowLow => "The high is below the low.",
            Self::CloseOutsideRange => "The close lies outside the range from low to high by more than a tick.",
            Self::Duplicate => "Another bar with the same open time came later.",
            Self::Forming => "The bar is not closed yet.",
            Self::ImplausibleTime => {
                "The open time lies in the future, before 1971, or further back than a window can reach; such a bar counts as missing."
            }
        }
    }
}

/// Bars that may be computed on: sorted by time, unique, clean. At most the asked-for window.
#[derive(Debug, Clone, PartialEq)]
pub struct CleanBars {
    /// Oldest first.
    pub bars: Vec<Bar>,
    /// How many delivered bars were not used, by reason.
    pub dropped: BTreeMap<DropReason, u32>,
    /// Newest delivered open time, used or not.
    pub newest_delivered: Option<UtcMs>,
}

impl CleanBars {
    #[must_use]
    pub fn newest(&self) -> Option<&Bar> {
        self.bars.last()
    }

    /// SHA-256 over times, prices and volumes, first 16 bytes, hex: equal digests mean equal input.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for bar in &self.bars {
            hash.update(bar.time.0.to_le_bytes());
            for value in [bar.open, bar.high, bar.low, bar.close, bar.volume.unwrap_or(f64::NAN)] {
                hash.update(value.to_bits().to_le_bytes());
            }
        }
        data_encoding::HEXLOWER.encode(&hash.finalize()[..16])
    }
}

/// No bar is older. A missing time, or one in the wrong unit, reads as a time in 1970.
pub const OLDEST_BAR: UtcMs = UtcMs::from_secs(365 * 86_400);

/// The open times that a window may hold. They bound the work per window, whatever times a vendor delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenTimes {
    /// Bars that open before this are no part of any window.
    pub oldest: UtcMs,
    /// Bars that open after this are still forming.
    pub newest_closed: UtcMs,
    /// Bars that open after this do not exist yet.
    pub latest: UtcMs,
}

impl OpenTimes {
    /// Why a bar that opens at `time` is not taken.
    fn refusal(&self, time: UtcMs) -> Option<DropReason> {
        if time < self.oldest || time > self.latest {
            Some(DropReason::ImplausibleTime)
        } else {
            (time > self.newest_closed).then_some(DropReason::Forming)
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cleaning {
    /// A close may lie outside `[low, high]` by this much (quote currency); FX vendors round.
    pub tick: f64,
    /// Which open times are taken (`None`: all).
    pub times: Option<OpenTimes>,
    /// Keep at most this many of the newest bars (`None`: keep all).
    pub window: Option<usize>,
}

/// Drops bars that are not usable, sorts the others, keeps the last received of those with the same open time, and keeps the
/// newest `window` bars. Never fails: the caller judges an empty result.
#[must_use]
pub fn clean(delivered: &[RawBar], how: &Cleaning) -> CleanBars {
    let mut dropped: BTreeMap<DropReason, u32> = BTreeMap::new();
    let mut newest_delivered: Option<UtcMs> = None;
    let mut bars: Vec<Bar> = Vec::with_capacity(delivered.len());
    for raw in delivered {
        if let Some(reason) = how.times.and_then(|times| times.refusal(raw.time)) {
            *dropped.entry(reason).or_default() += 1;
            continue;
        }
        newest_delivered = newest_delivered.max(Some(raw.time));
        match check(raw, how.tick) {
            Ok(bar) => bars.push(bar),
            Err(reason) => *dropped.entry(reason).or_default() += 1,
        }
    }
    if !bars.is_sorted_by_key(|bar| bar.time) {
        // Stable: among equal times the last received comes last.
        bars.sort_by_key(|bar| bar.time);
    }
    bars.dedup_by(|bar, last| {
        let is_same = bar.time == last.time;
        if is_same {
            *dropped.entry(DropReason::Duplicate).or_default() += 1;
            *last = *bar;
        }
        is_same
    });
    if let Some(window) = how.window
        && bars.len() > window
    {
        bars.drain(..bars.len() - window);
    }
    CleanBars { bars, dropped, newest_delivered }
}

/// Bars that were looked at once, so that windows which move over them need not look at each of them again.
#[derive(Debug, Clone)]
pub struct Inspected {
    tick: f64,
    /// How many bars before each place are not plain: unusable, or not opened after the bar before them.
    odd_before: Vec<u32>,
}

impl Inspected {
    #[must_use]
    pub fn new(bars: &[RawBar], tick: f64) -> Self {
        let mut odd = 0_u32;
        let mut odd_before = Vec::with_capacity(bars.len() + 1);
        odd_before.push(odd);
        for (at, bar) in bars.iter().enumerate() {
            let follows = at == 0 || bars[at - 1].time < bar.time;
            odd = odd.saturating_add(u32::from(!follows || check(bar, tick).is_err()));
            odd_before.push(odd);
        }
        Self { tick, odd_before }
    }

    /// What [`clean`] makes of `bars[range]`, where `bars` are those that were inspected.
    #[must_use]
    pub fn clean(&self, bars: &[RawBar], range: Range<usize>, how: &Cleaning) -> CleanBars {
        let stretch = &bars[range.clone()];
        if !self.is_plain(stretch, range, how) {
            return clean(stretch, how);
        }
        let from = how.window.map_or(0, |window| stretch.len().saturating_sub(window));
        CleanBars {
            bars: stretch[from..].iter().filter_map(|bar| check(bar, self.tick).ok()).collect(),
            dropped: BTreeMap::new(),
            newest_delivered: stretch.last().map(|bar| bar.time),
        }
    }

    /// Whether every bar of a stretch is taken as it stands.
    fn is_plain(&self, stretch: &[RawBar], range: Range<usize>, how: &Cleaning) -> bool {
        let refused = |bar: &RawBar| how.times.is_some_and(|times| times.refusal(bar.time).is_some());
        let ends = [stretch.first(), stretch.last()];
        self.tick.to_bits() == how.tick.to_bits()
            && self.odd_before[range.start] == self.odd_before[range.end]
            && !ends.into_iter().flatten().any(refused)
    }
}

fn check(raw: &RawBar, tick: f64) -> Result<Bar, DropReason> {
    let finite = |price: Option<f64>| price.filter(|p| p.is_finite()).ok_or(DropReason::Null);
    let (open, high, low, close) = (finite(raw.open)?, finite(raw.high)?, finite(raw.low)?, finite(raw.close)?);
    if open <= 0.0 || high <= 0.0 || low <= 0.0 || close <= 0.0 {
        return Err(DropReason::NonPositive);
    }
    if high < low {
        return Err(DropReason::HighBelowLow);
    }
    if close > high + tick || close < low - tick {
        return Err(DropReason::CloseOutsideRange);
    }
    let volume = raw.volume.filter(|v| v.is_finite() && *v >= 0.0);
    Ok(Bar { time: raw.time, open, high, low, close, volume })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TICK: f64 = 0.01;

    /// Mostly usable bars in order, and now and then anything else.
    fn bars() -> impl Strategy<Value = Vec<RawBar>> {
        let odd = prop_oneof![30 => Just(0_u8), 1 => 1_u8..7];
        proptest::collection::vec((1_i64..4, odd, 0_u8..5), 0..60).prop_map(|rows| {
            let mut time = 100;
            let mut bars = Vec::new();
            for (step, odd, wick) in rows {
                time += if odd == 1 { 1 - step } else { step };
                let high = 2.0 + f64::from(wick);
                let mut bar = RawBar {
                    time: UtcMs(time),
                    open: Some(2.0),
                    high: Some(high),
                    low: Some(1.0),
                    close: Some(if odd == 5 { high + TICK / 2.0 } else { 1.5 }),
                    volume: (odd != 6).then_some(7.0),
                };
                match odd {
                    2 => bar.close = None,
                    3 => bar.low = Some(0.0),
                    4 => bar.high = Some(f64::NAN),
                    _ => {}
                }
                bars.push(bar);
            }
            bars
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn windows_of_inspected_bars_are_cleaned_as_if_each_bar_were_looked_at_again(
            bars in bars(),
            (from, length, window) in (0_usize..60, 0_usize..40, proptest::option::of(0_usize..12)),
            (oldest, newest, tick) in (90_i64..200, 90_i64..240, prop_oneof![9 => Just(TICK), 1 => Just(0.0)]),
            is_bounded in any::<bool>(),
        ) {
            let inspected = Inspected::new(&bars, TICK);
            let from = from.min(bars.len());
            let range = from..(from + length).min(bars.len());
            let times = OpenTimes { oldest: UtcMs(oldest), newest_closed: UtcMs(newest), latest: UtcMs(newest + 2) };
            let how = Cleaning { tick, times: is_bounded.then_some(times), window };
            prop_assert_eq!(inspected.clean(&bars, range.clone(), &how), clean(&bars[range], &how));
        }
    }
}
