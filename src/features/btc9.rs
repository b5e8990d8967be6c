//! The feature set `btc9`: 9 numbers from the hourly closes of the newest bar and its history, for forecasts of a log return.
//!
//! Live node, replay and export call the same [`cells`], so equal bars give equal bits (promise 5). Each number sums its own
//! window of at most 72 rows. It never fills a cell: what is not defined refuses the frame and names the cell.

use sentinel_actors::domain::bar::Bar;
use sentinel_actors::domain::feature::{FeatureError, FeatureFrame, FeatureSetId};
use sentinel_actors::ports::FeatureSet;

use super::indicators::{difference, mean, sample_std};

/// Number of features.
pub const WIDTH: usize = 9;

/// Bars that a frame needs: 72 closes for the longest mean, and the return into the first of them.
pub const NEED_ROW: usize = 73;

/// Names of the columns.
pub const COLUMNS: [&str; WIDTH] = [
    "ret_1h",
    "ret_24h",
    "ma_24h",
    "ma_72h",
    "vol_24h",
    "price_pos_24h",
    "price_pos_72h",
    "ma_ratio_72_24",
    "exp_vol_ratio",
];

/// One row of features, in the order of [`COLUMNS`]; a cell that is not defined is not finite.
pub type Row = [f64; WIDTH];

const DAY: usize = 24;
const THREE_DAYS: usize = 72;

/// Keeps the ratio of volatilities finite on a flat market.
const SMALLEST_VOLATILITY: f64 = 1e-8;

/// The feature set.
#[derive(Debug, Clone)]
pub struct Btc9 {
    id: FeatureSetId,
}

impl Btc9 {
    /// `window`: number of bars a frame is computed from; below [`NEED_ROW`] every frame is refused.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self { id: FeatureSetId { name: "btc9".to_owned(), window, made_from: None } }
    }

    fn newest_window<'a>(&self, bars: &'a [Bar]) -> &'a [Bar] {
        &bars[bars.len().saturating_sub(self.id.window)..]
    }

    /// The row of the newest of `bars`, from the newest `window` of them, with whatever history there is: the export's
    /// view of [`FeatureSet::build`]. `None` without bars.
    #[must_use]
    pub fn newest_row(&self, bars: &[Bar]) -> Option<Row> {
        let bars = self.newest_window(bars);
        cells(bars, bars.len().saturating_sub(1)).pop()
    }
}

impl FeatureSet for Btc9 {
    fn id(&self) -> &FeatureSetId {
        &self.id
    }

    fn columns(&self) -> &[&'static str] {
        &COLUMNS
    }

    fn build(&self, bars: &[Bar]) -> Result<FeatureFrame, FeatureError> {
        let have = self.newest_window(bars).len();
        let enough = bars.last().zip(self.newest_row(bars)).filter(|_| have >= NEED_ROW);
        let Some((newest, row)) = enough else {
            return Err(FeatureError::InsufficientHistory { have, need: NEED_ROW });
        };
        if let Some(at) = row.iter().position(|cell| !cell.is_finite()) {
            return Err(FeatureError::Undefined { feature: COLUMNS[at], rows_back: 0 });
        }
        Ok(FeatureFrame {
            set: self.id.clone(),
            newest: newest.time,
            row: row.to_vec(),
            sequence: None,
            volume_absent: false,
        })
    }
}

/// Rows `from..` of `bars`, each computed with the bars before it.
#[must_use]
pub fn cells(bars: &[Bar], from: usize) -> Vec<Row> {
    let close: Vec<f64> = bars.iter().map(|bar| bar.close).collect();
    let log_close: Vec<f64> = close.iter().map(|close| close.ln()).collect();
    let ret_1h: Vec<f64> = (0..bars.len()).map(|at| difference(&log_close, at, 1)).collect();
    // Rows before the first that is asked for, as far as the mean of their volatilities looks back.
    let first_needed = (from + 1).saturating_sub(DAY);
    let volatility = |at| if at < first_needed { f64::NAN } else { sample_std(&ret_1h, at, DAY) };
    let vol_24h: Vec<f64> = (0..bars.len()).map(volatility).collect();
    let row = |at: usize| {
        let (ma_24h, ma_72h) = (mean(&close, at, DAY), mean(&close, at, THREE_DAYS));
        [
            ret_1h[at],
            difference(&log_close, at, DAY),
            ma_24h,
            ma_72h,
            vol_24h[at],
            close[at] / ma_24h - 1.0,
            close[at] / ma_72h - 1.0,
            ma_72h / ma_24h - 1.0,
            mean(&vol_24h, at, DAY) / (vol_24h[at] + SMALLEST_VOLATILITY) - 1.0,
        ]
    };
    (from..bars.len()).map(row).collect()
}
