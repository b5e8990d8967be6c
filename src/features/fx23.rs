//! The feature set `fx23`: 23 numbers from the newest bar and its history, and optionally the last 60 rows of them.
//!
//! Live node, replay and export call the same [`cells`], so equal bars give equal bits (promise 5). EMA and MACD depend on
//! how much history they see, therefore the window is part of the set's identity and `build` never looks past it.
//! It never fills a cell: what is not defined refuses the frame and names the cell.

use sentinel_actors::domain::bar::Bar;
use sentinel_actors::domain::feature::{FeatureError, FeatureFrame, FeatureSetId};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::FeatureSet;
use ta::Next as _;
use ta::indicators::{ExponentialMovingAverage, MovingAverageConvergenceDivergence};

use super::indicators::{change, cutler_rsi, difference, mean, sample_std};

pub const WIDTH: usize = 23;

pub const SEQUENCE_ROWS: usize = 60;

/// Bars that the longest windowed feature needs (`volatility_20`: 20 returns); the averages use more when they get more.
pub const NEED_ROW: usize = 21;

/// Bars that a sequence needs: its oldest row has its own warm-up before it.
pub const NEED_SEQUENCE: usize = SEQUENCE_ROWS + NEED_ROW - 1;

/// Names of the columns: models are trained and served under these.
pub const COLUMNS: [&str; WIDTH] = [
    "feature_0",
    "feature_1",
    "feature_2",
    "feature_3",
    "feature_4",
    "feature_5",
    "feature_6",
    "feature_7",
    "feature_8",
    "feature_9",
    "feature_10",
    "feature_11",
    "feature_12",
    "feature_13",
    "feature_14",
    "feature_15",
    "feature_16",
    "feature_17",
    "feature_18",
    "feature_19",
    "feature_20",
    "feature_21",
    "feature_22",
];

/// Names for people, in the order of [`COLUMNS`]: reports and errors use these.
pub const NAMES: [&str; WIDTH] = [
    "return_1",
    "return_5",
    "return_10",
    "sma_10",
    "sma_20",
    "ema_10",
    "ema_20",
    "volatility_10",
    "volatility_20",
    "rsi_14",
    "macd",
    "macd_signal",
    "macd_hist",
    "high_low_ratio",
    "close_high_ratio",
    "close_low_ratio",
    "volume_sma",
    "volume_ratio",
    "hour",
    "day_of_week",
    "price_momentum",
    "price_acceleration",
    "reserved",
];

/// One row of features, in the order of [`COLUMNS`]; a cell that is not defined is not finite.
pub type Row = [f64; WIDTH];

#[derive(Debug, Clone)]
pub struct Fx23 {
    id: FeatureSetId,
    with_sequence: bool,
}

impl Fx23 {
    /// `window`: number of bars a frame is computed from; below [`Fx23::need`] every frame is refused.
    #[must_use]
    pub fn new(window: usize, with_sequence: bool) -> Self {
        Self { id: FeatureSetId { name: "fx23".to_owned(), window, made_from: None }, with_sequence }
    }

    /// Bars that a frame needs at least.
    #[must_use]
    pub const fn need(&self) -> usize {
        if self.with_sequence { NEED_SEQUENCE } else { NEED_ROW }
    }

    /// The row of the newest of `bars`, from the newest `window` of them, with whatever history there is: the export's
    /// view of [`FeatureSet::build`]. `None` without bars.
    #[must_use]
    pub fn newest_row(&self, bars: &[Bar]) -> Option<Row> {
        let bars = self.newest_window(bars);
        cells(bars, bars.len().saturating_sub(1), VolumeAbsent::in_frame(bars)).pop()
    }

    fn newest_window<'a>(&self, bars: &'a [Bar]) -> &'a [Bar] {
        &bars[bars.len().saturating_sub(self.id.window)..]
    }
}

impl FeatureSet for Fx23 {
    fn id(&self) -> &FeatureSetId {
        &self.id
    }

    fn columns(&self) -> &[&'static str] {
        &COLUMNS
    }

    fn build(&self, bars: &[Bar]) -> Result<FeatureFrame, FeatureError> {
        let bars = self.newest_window(bars);
        let (have, need) = (bars.len(), self.need());
        let Some(newest) = bars.last().filter(|_| have >= need) else {
            return Err(FeatureError::InsufficientHistory { have, need });
        };
        let absent = VolumeAbsent::in_frame(bars);
        let from = have - if self.with_sequence { SEQUENCE_ROWS } else { 1 };
        let cells = cells(bars, from, absent).into_flattened();
        if let Some(at) = cells.iter().position(|cell| !cell.is_finite()) {
            let rows_back = (cells.len() - 1 - at) / WIDTH;
            return Err(FeatureError::Undefined { feature: NAMES[at % WIDTH], rows_back });
        }
        Ok(FeatureFrame {
            set: self.id.clone(),
            newest: newest.time,
            row: cells[cells.len() - WIDTH..].to_vec(),
            sequence: self.with_sequence.then_some(cells),
            volume_absent: absent.first_rows == have,
        })
    }
}

/// The rows for which the vendor gave no volume in all of their history. Their volume features are 0 by rule; in any
/// other row an absent volume leaves the cells undefined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeAbsent {
    /// This many of the first rows.
    pub first_rows: usize,
}

impl VolumeAbsent {
    /// When the rows are one frame's: all of them share its window, so volume is absent for all of them or for none.
    #[must_use]
    pub fn in_frame(bars: &[Bar]) -> Self {
        let absent = bars.iter().all(|bar| bar.volume.is_none());
        Self { first_rows: if absent { bars.len() } else { 0 } }
    }

    /// When each row is seen with all the bars before it: the rows before the first volume.
    #[must_use]
    pub fn in_history(bars: &[Bar]) -> Self {
        Self { first_rows: bars.iter().position(|bar| bar.volume.is_some()).unwrap_or(bars.len()) }
    }
}

/// Rows `from..` of `bars`, each computed with all the bars before it. One pass, cost proportional to `bars`.
#[must_use]
pub fn cells(bars: &[Bar], from: usize, absent: VolumeAbsent) -> Vec<Row> {
    let close: Vec<f64> = bars.iter().map(|bar| bar.close).collect();
    let return_1: Vec<f64> = (0..close.len()).map(|at| change(&close, at, 1)).collect();
    let traded: Vec<f64> = bars.iter().map(|bar| bar.volume.unwrap_or(f64::NAN)).collect();
    let mut averages = Averages::new();
    let mut rows = Vec::with_capacity(bars.len().saturating_sub(from));
    for (at, bar) in bars.iter().enumerate() {
        let [ema_10, ema_20, macd, macd_signal, macd_hist] = averages.next(bar.close);
        if at < from {
            continue;
        }
        let [volume_sma, volume_ratio] = volume_cells(&traded, at, absent);
        let momentum = difference(&close, at, 5);
        let momentum_before = at.checked_sub(5).map_or(f64::NAN, |before| difference(&close, before, 5));
        rows.push([
            return_1[at],
            change(&close, at, 5),
            change(&close, at, 10),
            mean(&close, at, 10),
            mean(&close, at, 20),
            ema_10,
            ema_20,
            sample_std(&return_1, at, 10),
            sample_std(&return_1, at, 20),
            cutler_rsi(&close, at, 14),
            macd,
            macd_signal,
            macd_hist,
            bar.high / bar.low,
            bar.close / bar.high,
            bar.close / bar.low,
            volume_sma,
            volume_ratio,
            hour(bar.time),
            day_of_week(bar.time),
            momentum,
            momentum - momentum_before,
            0.0,
        ]);
    }
    rows
}

/// The features that remember all bars since the window's first.
struct Averages {
    ema_10: ExponentialMovingAverage,
    ema_20: ExponentialMovingAverage,
    macd: MovingAverageConvergenceDivergence,
}

impl Averages {
    #[expect(clippy::expect_used, reason = "the ta crate refuses only a period of zero")]
    fn new() -> Self {
        let ema = |period| ExponentialMovingAverage::new(period).expect("a period above zero");
        let macd = MovingAverageConvergenceDivergence::new(12, 26, 9).expect("periods above zero");
        Self { ema_10: ema(10), ema_20: ema(20), macd }
    }

    /// `ema_10`, `ema_20`, `macd`, `macd_signal`, `macd_hist`; all in quote currency.
    fn next(&mut self, close: f64) -> [f64; 5] {
        let macd = self.macd.next(close);
        [self.ema_10.next(close), self.ema_20.next(close), macd.macd, macd.signal, macd.histogram]
    }
}

/// `volume_sma` (the vendor's unit) and `volume_ratio`.
fn volume_cells(traded: &[f64], at: usize, absent: VolumeAbsent) -> [f64; 2] {
    const ROWS: usize = 20;
    if at < absent.first_rows {
        // The rule says what absent volume counts as; it does not shorten the warm-up.
        return if at + 1 < ROWS { [f64::NAN; 2] } else { [0.0; 2] };
    }
    let average = mean(traded, at, ROWS);
    [average, if average == 0.0 { 0.0 } else { traded[at] / average }]
}

/// Hour of the day, UTC, 0 to 23.
fn hour(open: UtcMs) -> f64 {
    small(open.secs().div_euclid(3600).rem_euclid(24))
}

/// Day of the week, UTC, Monday = 0. Day 0 of the unix epoch was a Thursday.
fn day_of_week(open: UtcMs) -> f64 {
    small((open.secs().div_euclid(86_400) + 3).rem_euclid(7))
}

#[expect(clippy::cast_precision_loss, reason = "hours and weekdays are below 24")]
fn small(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(count: usize, volume: impl Fn(usize) -> Option<f64>) -> Vec<Bar> {
        (0..count)
            .map(|i| {
                let close = 1.1 + 0.001 * f64::from(u8::try_from(i % 7).unwrap());
                let time = UtcMs::from_secs(1_483_308_000 + 3600 * i64::try_from(i).unwrap());
                Bar { time, open: close, high: close + 0.001, low: close - 0.001, close, volume: volume(i) }
            })
            .collect()
    }

    #[test]
    fn hours_and_weekdays_count_from_monday_midnight_utc() {
        for (time, expected) in [
            ("2017-01-01T22:00:00Z", (22.0, 6.0)),
            ("2017-01-02T00:59:59Z", (0.0, 0.0)),
            ("1970-01-01T00:00:00Z", (0.0, 3.0)),
            ("1969-12-31T23:00:00Z", (23.0, 2.0)),
        ] {
            let time: UtcMs = time.parse().unwrap();
            assert_eq!((hour(time), day_of_week(time)), expected, "{time}");
        }
    }

    #[test]
    fn a_frame_needs_21_bars_and_80_with_the_sequence() {
        let bars = bars(80, |_| Some(1.0));
        let have = |set: &Fx23, count: usize| set.build(&bars[..count]).map(|frame| frame.row.len());
        let (row, sequence) = (Fx23::new(200, false), Fx23::new(200, true));
        assert_eq!(have(&row, 20), Err(FeatureError::InsufficientHistory { have: 20, need: 21 }));
        assert_eq!(have(&row, 21), Ok(WIDTH));
        assert_eq!(have(&sequence, 79), Err(FeatureError::InsufficientHistory { have: 79, need: 80 }));
        assert_eq!(have(&sequence, 80), Ok(WIDTH));
        assert_eq!(have(&row, 0), Err(FeatureError::InsufficientHistory { have: 0, need: 21 }));
    }

    #[test]
    fn bars_before_the_window_change_nothing() {
        let bars = bars(300, |_| Some(5.0));
        let set = Fx23::new(200, true);
        assert_eq!(set.build(&bars), set.build(&bars[100..]));
    }

    #[test]
    fn volume_that_is_absent_only_in_places_refuses_the_frame_and_names_the_cell() {
        let bars = bars(200, |i| (i != 150).then_some(1.0));
        let error = Fx23::new(200, true).build(&bars).unwrap_err();
        assert_eq!(error, FeatureError::Undefined { feature: "volume_sma", rows_back: 49 });
        // The newest 20 bars have volume, so the row alone is defined.
        assert!(Fx23::new(200, false).build(&bars).is_ok());
    }

    #[test]
    fn volume_that_begins_inside_the_window_is_not_called_absent() {
        let bars = bars(200, |i| (i >= 190).then_some(1.0));
        let error = Fx23::new(200, false).build(&bars).unwrap_err();
        assert_eq!(error, FeatureError::Undefined { feature: "volume_sma", rows_back: 0 });
    }

    #[test]
    fn over_a_whole_history_volume_counts_as_absent_until_it_first_appears() {
        let bars = bars(60, |i| (i >= 30).then_some(2.0));
        let rows = cells(&bars, 0, VolumeAbsent::in_history(&bars));
        let volume_sma: Vec<f64> = rows.iter().map(|row| row[16]).collect();
        assert!(volume_sma[..19].iter().all(|cell| cell.is_nan()), "the warm-up");
        assert!(volume_sma[19..30].iter().all(|cell| *cell == 0.0), "absent");
        assert!(volume_sma[30..49].iter().all(|cell| cell.is_nan()), "some of 20 rows have none");
        assert!(volume_sma[49..].iter().all(|cell| *cell == 2.0), "all of 20 rows have one");
    }

    #[test]
    fn a_price_that_overflows_refuses_the_frame() {
        let mut bars = bars(30, |_| None);
        for bar in &mut bars[20..] {
            (bar.high, bar.close, bar.low) = (f64::MAX, f64::MAX, f64::MAX);
        }
        assert!(matches!(Fx23::new(200, false).build(&bars), Err(FeatureError::Undefined { .. })));
    }

    #[test]
    fn the_tables_of_names_are_complete_and_without_repetition() {
        for names in [COLUMNS, NAMES] {
            assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), WIDTH);
        }
        assert!(COLUMNS.iter().enumerate().all(|(i, name)| *name == format!("feature_{i}")));
    }
}
