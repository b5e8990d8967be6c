//! Feature sets: closed bars in, numbers out.
//!
//! One implementation serves the live node, a replay and the training export, so that a model is asked about what it was
//! trained on (promise 5). Nothing here reads a clock, fills a hole, or keeps state between two calls.
//!
//! [`SETS`] is the only list of them: configuration, node and export find a set here by its name.

use std::sync::Arc;

use sentinel_actors::domain::bar::Bar;
use sentinel_actors::domain::feature::{FeatureError, FeatureFrame, FeatureSetId};
use sentinel_actors::ports::FeatureSet;

pub mod btc9;
pub mod fx23;
pub mod indicators;

use self::btc9::Btc9;
use self::fx23::{Fx23, VolumeAbsent};

/// What the program has to know of a feature set.
#[derive(Debug)]
pub struct SetInfo {
    pub name: &'static str,
    /// For people, in a few words.
    pub summary: &'static str,
    /// Names of the columns, under which models are trained and served.
    pub columns: &'static [&'static str],
    /// What prices are like in the markets that the set is for.
    pub prices: Prices,
    /// Bars that a row needs at least.
    pub least_bars: u32,
    /// Bars that a row and its sequence need at least; `None` when the set makes no sequences.
    pub least_bars_with_sequence: Option<u32>,
    build: fn(window: usize, with_sequence: bool) -> Arc<dyn FeatureSet>,
    newest_row: fn(&[Bar], window: usize) -> Option<Vec<f64>>,
    rows: fn(&[Bar]) -> Vec<Vec<f64>>,
}

/// Ordinary prices of a market, in quote currency. Models know only such; far from them, many give every row one answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    pub level: f64,
    /// A small swing around the level, over a day or two.
    pub swing: f64,
    /// What high and low lie beyond open and close.
    pub wick: f64,
}

/// A set over bars that were made from shorter ones: the same numbers under an identity of their own.
pub(crate) struct OfMadeBars {
    pub(crate) set: Arc<dyn FeatureSet>,
    pub(crate) id: FeatureSetId,
}

impl FeatureSet for OfMadeBars {
    fn id(&self) -> &FeatureSetId {
        &self.id
    }

    fn columns(&self) -> &[&'static str] {
        self.set.columns()
    }

    fn build(&self, bars: &[Bar]) -> Result<FeatureFrame, FeatureError> {
        Ok(FeatureFrame { set: self.id.clone(), ..self.set.build(bars)? })
    }
}

/// All feature sets.
pub static SETS: [SetInfo; 2] = [
    SetInfo {
        name: "fx23",
        summary: "23 columns of an FX pair's bars, or sequences of 60 rows of them",
        columns: &fx23::COLUMNS,
        prices: Prices { level: 1.1, swing: 0.002, wick: 0.0005 },
        least_bars: fx23::NEED_ROW as u32,
        least_bars_with_sequence: Some(fx23::NEED_SEQUENCE as u32),
        build: |window, with_sequence| Arc::new(Fx23::new(window, with_sequence)),
        newest_row: |bars, window| Fx23::new(window, false).newest_row(bars).map(Vec::from),
        rows: |bars| fx23::cells(bars, 0, VolumeAbsent::in_history(bars)).into_iter().map(Vec::from).collect(),
    },
    SetInfo {
        name: "btc9",
        summary: "9 columns of hourly closes, for forecasts of a log return",
        columns: &btc9::COLUMNS,
        prices: Prices { level: 10_000.0, swing: 200.0, wick: 50.0 },
        least_bars: btc9::NEED_ROW as u32,
        least_bars_with_sequence: None,
        build: |window, _| Arc::new(Btc9::new(window)),
        newest_row: |bars, window| Btc9::new(window).newest_row(bars).map(Vec::from),
        rows: |bars| btc9::cells(bars, 0).into_iter().map(Vec::from).collect(),
    },
];

impl SetInfo {
    /// The set with this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        SETS.iter().find(|set| set.name == name)
    }

    /// The set over `window` bars, with a sequence when it makes them and `with_sequence` asks for it.
    #[must_use]
    pub fn build(&self, window: usize, with_sequence: bool) -> Arc<dyn FeatureSet> {
        (self.build)(window, with_sequence)
    }

    /// One row per bar, each computed from at most `window` bars: what the live node sees. A cell that is not defined is not
    /// finite.
    #[must_use]
    pub fn rows_of_windows(&self, bars: &[Bar], window: usize) -> Vec<Vec<f64>> {
        (1..=bars.len()).filter_map(|end| (self.newest_row)(&bars[..end], window)).collect()
    }

    /// One row per bar, each computed with every bar before it.
    #[must_use]
    pub fn rows_of_history(&self, bars: &[Bar]) -> Vec<Vec<f64>> {
        (self.rows)(bars)
    }
}

/// A set is its name.
impl PartialEq for SetInfo {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_set_is_found_by_its_name_and_says_of_itself_what_the_list_says() {
        let names: BTreeSet<&str> = SETS.iter().map(|set| set.name).collect();
        assert_eq!(names.len(), SETS.len());
        for set in &SETS {
            assert_eq!(SetInfo::find(set.name), Some(set));
            let built = set.build(200, false);
            assert_eq!((built.id().name.as_str(), built.id().window, built.columns()), (set.name, 200, set.columns));
        }
        assert_eq!(SetInfo::find("fx24"), None);
    }
}
