//! What a report shows besides the slots: from the journal's other rows, and from what the venue has on record.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use sentinel_actors::domain::intent::{Intent, IntentState, Mode};
use sentinel_actors::domain::time::UtcMs;
use serde::Serialize;

use super::part::Part;
use super::scores::Calibration;
use super::summary::Summary;
use super::thinned::Thinned;

/// From one time on, and before another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    /// Included; `None`: from the first slot on.
    pub from: Option<UtcMs>,
    /// Excluded; `None`: without an end.
    pub to: Option<UtcMs>,
}

impl Range {
    #[must_use]
    pub fn holds(&self, time: UtcMs) -> bool {
        self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time < to)
    }

    /// Both ends, those that are open as far away as a time can be.
    #[must_use]
    pub fn ends(&self) -> (UtcMs, UtcMs) {
        (self.from.unwrap_or(UtcMs(i64::MIN)), self.to.unwrap_or(UtcMs(i64::MAX)))
    }

    /// Whether nothing is left out.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// `from T`, `before T` or both; for a person.
    #[must_use]
    pub fn words(&self) -> String {
        match (self.from, self.to) {
            (None, None) => "everything on record".to_owned(),
            (Some(from), None) => format!("from {from} on"),
            (None, Some(to)) => format!("before {to}"),
            (Some(from), Some(to)) => format!("from {from} to before {to}"),
        }
    }
}

/// What closed positions brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Realised {
    /// Profit in the quote currency.
    pub profit: Decimal,
    pub closed: u64,
    pub won: u64,
}

impl Realised {
    /// One more position that was closed.
    pub fn add(&mut self, profit: Decimal) {
        self.profit += profit;
        self.closed += 1;
        self.won += u64::from(profit > Decimal::ZERO);
    }
}

/// Everything that the document shows.
#[derive(Debug)]
pub struct Facts {
    /// The state directory.
    pub state: String,
    /// The verdict on the node, or that none runs.
    pub node: String,
    pub version: &'static str,
    pub made_at: UtcMs,
    pub range: Range,
    /// What the operator has accepted as lost, in words.
    pub lost: Option<String>,
    /// What only a backtest shows, by pipeline.
    pub backtests: Vec<BacktestFacts>,
    pub pipelines: Vec<PipelineFacts>,
    pub venues: Vec<VenueFacts>,
    pub forecasts: Vec<ForecastFacts>,
    pub workers: Vec<WorkerFacts>,
    pub halts: Vec<String>,
    /// Orders and forecasts that are not final, whatever the range.
    pub open: Vec<String>,
}

/// A pipeline with what it sent.
#[derive(Debug)]
pub struct PipelineFacts {
    pub slots: Summary,
    /// Orders by where they stand.
    pub orders: BTreeMap<IntentState, u64>,
    /// Forecasts by where they stand.
    pub forecasts: BTreeMap<IntentState, u64>,
    /// What was sent in the newest slots.
    pub newest: Vec<Intent>,
    /// Rows up to this slot were removed by retention, and are in no figure.
    pub removed_until: Option<UtcMs>,
}

/// Stands for the venue of a dry run whose paper book is gone.
pub const NO_RECORD: &str = "no record";

/// What one venue has on record, or that none has.
#[derive(Debug, Default)]
pub struct VenueFacts {
    /// `ledger`, `paper book`, `confirmed orders`, or `no record`.
    pub by: &'static str,
    pub file: Option<String>,
    pub mode: Option<Mode>,
    /// `None`: nobody here knows what positions brought.
    pub realised: Option<BTreeMap<Part, Realised>>,
    /// Profit that was realised up to a time.
    pub curve: Thinned<(UtcMs, f64)>,
    /// The newest that were closed, newest first.
    pub closed: Vec<Closed>,
    /// Those that are open now.
    pub positions: Vec<String>,
    /// Why the positions are incomplete.
    pub unknown: Option<String>,
    /// Confidence at the opening against whether the position was closed with a profit.
    pub calibration: BTreeMap<Part, Calibration>,
    /// Closed positions whose opening decision is not in the journal.
    pub without_decision: u64,
}

impl VenueFacts {
    /// Of all parts.
    #[must_use]
    pub fn total(&self) -> Option<Realised> {
        let mut total = Realised::default();
        for part in self.realised.as_ref()?.values() {
            total.profit += part.profit;
            (total.closed, total.won) = (total.closed + part.closed, total.won + part.won);
        }
        Some(total)
    }
}

/// A position that was closed, with the decision that opened it.
#[derive(Debug, Clone, PartialEq)]
pub struct Closed {
    pub ticket: u64,
    pub symbol: String,
    /// `buy` or `sell`.
    pub side: String,
    pub volume_lots: Decimal,
    pub open_price: Decimal,
    pub opened_at: UtcMs,
    pub close_price: Decimal,
    pub closed_at: UtcMs,
    /// Why: `order`, `stop`, `target` and others.
    pub reason: String,
    pub profit: Decimal,
    /// `None`: the journal has no order that opened it.
    pub decision: Option<Opening>,
    pub part: Part,
}

/// The decision that opened a position.
#[derive(Debug, Clone, PartialEq)]
pub struct Opening {
    pub key: String,
    pub pipeline: String,
    pub slot: UtcMs,
    pub confidence: Option<f64>,
}

/// How far some forecasts were from what came true.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErrorRow {
    /// `None`: of all parts.
    pub part: Option<Part>,
    pub made: usize,
    pub compared: usize,
    pub independent: usize,
    pub rmse: Option<f64>,
    pub rmse_of_zero: Option<f64>,
}

/// Forecasts of one account, symbol and horizon.
#[derive(Debug)]
pub struct ForecastFacts {
    /// `BTCUSD, 168 h ahead, account paper`.
    pub what: String,
    pub rows: Vec<ErrorRow>,
    /// What follows from the figures, in sentences.
    pub notes: Vec<String>,
    /// Forecast, what came true, and the part of its bar.
    pub points: Thinned<(f64, f64, Part)>,
}

/// What a backtest of one pipeline shows besides what a report shows, line by line with labels.
#[derive(Debug, Default)]
pub struct BacktestFacts {
    pub pipeline: String,
    /// What a reader must know before any figure.
    pub warnings: Vec<String>,
    pub lines: Vec<(String, String)>,
}

/// The windows of a worker, line by line with labels.
#[derive(Debug)]
pub struct WorkerFacts {
    pub pipeline: String,
    pub lines: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_first_time_and_not_its_last() {
        let range = Range { from: Some(UtcMs(10)), to: Some(UtcMs(20)) };
        assert_eq!([9, 10, 19, 20].map(|time| range.holds(UtcMs(time))), [false, true, true, false]);
        assert!(Range::default().holds(UtcMs(i64::MIN)) && Range::default().is_all() && !range.is_all());
        assert_eq!(range.words(), "from 1970-01-01T00:00:00.01Z to before 1970-01-01T00:00:00.02Z");
    }
}
