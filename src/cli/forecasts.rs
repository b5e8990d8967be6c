//! How good forecasts were: their error beside that of forecasting zero, and apart for the bars that the model was trained on
//! and for those that it never saw.
//!
//! Only the second of the two says anything about skill. The figures come from the paper book; a manifest says nothing here
//! but where the parts lie, and the words follow from the figures.

mod words;

use std::collections::BTreeMap;
use std::path::Path;

use rust_decimal::prelude::ToPrimitive as _;
use sentinel_actors::domain::time::UtcMs;
use serde::Serialize;

use super::proof::ProofError;
use super::proof::venue::{self, Venue};
use crate::config::{Config, JobConfig, ModelConfig, PipelineConfig};
use crate::models::feature_list::FeatureList;
use crate::models::manifest::{Manifest, ManifestError};
use crate::operator::report::facts::Range;
use crate::operator::report::part::Part;
use crate::venues::forecasts::BookForecast;

pub use crate::operator::report::part::Periods;
pub use words::{beside_zero, figure};

/// Fewer independent forecasts than this say nothing about a model.
pub const INDEPENDENT_MIN: usize = 10;

/// What forecasts have in common whose errors may be one figure: errors over different horizons do not add up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Kind {
    pub account: String,
    pub symbol: String,
    pub horizon_s: u32,
}

/// The forecasts of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecasts {
    #[serde(flatten)]
    pub kind: Kind,
    /// All of them.
    #[serde(flatten)]
    pub errors: Errors,
    /// `None` where no manifest says what the model was trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
}

/// How far some forecasts were from what came true.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Errors {
    pub made: usize,
    /// Those whose horizon is over, and whose last bar is known.
    pub compared: usize,
    /// As many of the compared ones as follow one another without an overlap. What overlaps errs alike.
    pub independent: usize,
    /// Root of the mean squared error; `None` while nothing is compared.
    pub rmse: Option<f64>,
    /// The same for forecasting zero each time: a model above it is worse than none.
    pub rmse_of_zero: Option<f64>,
}

/// Forecasts apart by what the model knew of their bars.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Parts {
    pub trained: Errors,
    pub unseen: Errors,
    /// Of bars before the first or between the two parts, whose targets may reach into both.
    pub neither: Errors,
    /// Where the unseen part begins.
    #[serde(serialize_with = "venue::as_text")]
    pub unseen_from: UtcMs,
}

/// The periods of the models of forecast pipelines.
pub type PeriodsOf = Vec<(Kind, Periods)>;

impl Periods {
    /// Those of a manifest.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let time = |time: jiff::Timestamp| UtcMs(time.as_millisecond());
        Self {
            trained: (time(manifest.trained.from), time(manifest.trained.to)),
            unseen_from: time(manifest.out_of_sample.from),
        }
    }

    /// Reads those of every pipeline, by name, whose local model has its manifest beside it.
    ///
    /// # Errors
    /// When a manifest cannot be read.
    pub fn by_pipeline(config: &Config) -> Result<BTreeMap<String, Self>, ManifestError> {
        let of_pipeline = |pipeline: &PipelineConfig| {
            let ModelConfig::Onnx { path } = &pipeline.model else { return None };
            Some(Self::beside(path)?.map(|periods| (pipeline.name.clone(), periods)))
        };
        config.pipelines.iter().filter_map(of_pipeline).collect()
    }

    /// Those of the manifest beside a model; `None`: it has a list of its features in place of one.
    fn beside(model: &Path) -> Option<Result<Self, ManifestError>> {
        match Manifest::peek(&Manifest::path_of(model)) {
            // Only a manifest knows them.
            Err(ManifestError::Missing { .. }) if FeatureList::path_of(model).exists() => None,
            manifest => Some(manifest.map(|manifest| Self::of(&manifest))),
        }
    }

    /// Reads those of every forecast pipeline whose model has its manifest beside it.
    ///
    /// # Errors
    /// When a manifest cannot be read.
    pub fn of_config(config: &Config) -> Result<PeriodsOf, ManifestError> {
        let of_pipeline = |pipeline: &PipelineConfig| {
            let (JobConfig::Forecast(job), ModelConfig::Onnx { path }) = (&pipeline.job, &pipeline.model) else {
                return None;
            };
            let horizon_s = job.policy.horizon.as_secs().try_into().ok()?;
            let kind = Kind { account: job.account.clone(), symbol: pipeline.symbol.clone(), horizon_s };
            Some(Self::beside(path)?.map(|periods| (kind, periods)))
        };
        config.pipelines.iter().filter_map(of_pipeline).collect()
    }
}

impl Forecasts {
    /// The forecasts of a range in the records of the state directory `dir`, each of which is shown to `visit` with its part.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn read(
        dir: &Path,
        periods: &PeriodsOf,
        range: &Range,
        mut visit: impl FnMut(&Kind, &BookForecast, Part),
    ) -> Result<Vec<Self>, ProofError> {
        let mut kinds = Kinds::new(periods);
        for venue in Venue::all(dir, None)? {
            venue.each_forecast(range.ends(), |forecast| {
                let (kind, part) = kinds.add(&forecast);
                visit(&kind, &forecast, part);
            })?;
        }
        Ok(kinds.finish())
    }

    /// One for each kind, apart where the periods of its one model are known.
    #[must_use]
    pub fn of(made: &[BookForecast], periods: &PeriodsOf) -> Vec<Self> {
        let mut kinds = Kinds::new(periods);
        for forecast in made {
            kinds.add(forecast);
        }
        kinds.finish()
    }
}

/// Sums up forecasts by kind while they pass.
pub(in crate::cli) struct Kinds<'p> {
    periods: &'p PeriodsOf,
    sums: BTreeMap<Kind, BTreeMap<Part, Sums>>,
}

impl<'p> Kinds<'p> {
    pub(in crate::cli) const fn new(periods: &'p PeriodsOf) -> Self {
        Self { periods, sums: BTreeMap::new() }
    }

    pub(in crate::cli) fn add(&mut self, made: &BookForecast) -> (Kind, Part) {
        let (account, symbol) = (made.account.clone(), made.forecast.symbol.clone());
        let kind = Kind { account, symbol, horizon_s: made.forecast.horizon_s };
        let part = Part::of(self.periods_of(&kind), Some(made.forecast.reference_time));
        self.sums.entry(kind.clone()).or_default().entry(part).or_default().add(made);
        (kind, part)
    }

    /// The book does not know which of two models a forecast is from.
    fn periods_of(&self, kind: &Kind) -> Option<&'p Periods> {
        let mut known = self.periods.iter().filter(|(of, _)| of == kind).map(|(_, periods)| periods);
        known.next().filter(|_| known.next().is_none())
    }

    pub(in crate::cli) fn finish(self) -> Vec<Forecasts> {
        let of_kind = |(kind, sums): (&Kind, &BTreeMap<Part, Sums>)| {
            let errors = |wanted: &dyn Fn(Part) -> bool| {
                let mut all = Sums::default();
                sums.iter().filter(|(part, _)| wanted(**part)).for_each(|(_, sums)| all.take_in(sums));
                all.errors()
            };
            let parts = self.periods_of(kind).map(|periods| Parts {
                trained: errors(&|part| part == Part::Training),
                unseen: errors(&|part| part == Part::Unseen),
                neither: errors(&|part| part == Part::Neither),
                unseen_from: periods.unseen_from,
            });
            Forecasts { kind: kind.clone(), errors: errors(&|_| true), parts }
        };
        self.sums.iter().map(of_kind).collect()
    }
}

/// What errors are made of.
#[derive(Default)]
struct Sums {
    made: usize,
    sum: f64,
    sum_of_zero: f64,
    /// From where to where each compared forecast reaches.
    reaches: Vec<(UtcMs, UtcMs)>,
}

impl Sums {
    fn add(&mut self, BookForecast { forecast, came_true, .. }: &BookForecast) {
        self.made += 1;
        let pair = came_true.and_then(|truth| Some((forecast.log_return.to_f64()?, truth.to_f64()?)));
        let Some((value, came_true)) = pair else { return };
        self.sum += (value - came_true).powi(2);
        self.sum_of_zero += came_true.powi(2);
        self.reaches.push((forecast.reference_time, forecast.reference_time.plus(forecast.horizon())));
    }

    fn take_in(&mut self, other: &Self) {
        self.made += other.made;
        (self.sum, self.sum_of_zero) = (self.sum + other.sum, self.sum_of_zero + other.sum_of_zero);
        self.reaches.extend(&other.reaches);
    }

    fn errors(self) -> Errors {
        let compared = self.reaches.len();
        let root = |sum: f64| (compared > 0).then(|| (sum / compared as f64).sqrt());
        let (rmse, rmse_of_zero) = (root(self.sum), root(self.sum_of_zero));
        Errors { made: self.made, compared, independent: without_overlap(self.reaches), rmse, rmse_of_zero }
    }
}

/// How many of these spans follow one another at most.
fn without_overlap(mut spans: Vec<(UtcMs, UtcMs)>) -> usize {
    spans.sort_unstable();
    let mut free_from = UtcMs(i64::MIN);
    let mut count = 0;
    for (from, to) in spans {
        if from >= free_from {
            (count, free_from) = (count + 1, to);
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;
    use sentinel_actors::domain::action::Forecast;
    use sentinel_actors::domain::intent::{Basis, IntentKey, Mode};

    use super::*;

    const HOUR: i64 = 3_600_000;
    /// Trained on hours 10 to 12, unseen from hour 15 on.
    const PERIODS: Periods = Periods { trained: (UtcMs(10 * HOUR), UtcMs(12 * HOUR)), unseen_from: UtcMs(15 * HOUR) };

    fn kind() -> Kind {
        Kind { account: "paper".to_owned(), symbol: "BTCUSD".to_owned(), horizon_s: 7200 }
    }

    /// Two hours ahead, in thousandths.
    fn made(hour: i64, value: i64, came_true: Option<i64>) -> BookForecast {
        let bar = UtcMs(hour * HOUR);
        BookForecast {
            key: IntentKey::derive(Mode::DryRun, "paper", "btcusd", Basis::Bar(bar), Forecast::ROLE),
            account: "paper".to_owned(),
            forecast: Forecast {
                symbol: "BTCUSD".to_owned(),
                log_return: Decimal::new(value, 3),
                horizon_s: 7200,
                reference_price: Decimal::from(60_000),
                reference_time: bar,
            },
            at: UtcMs((hour + 1) * HOUR),
            came_true: came_true.map(|value| Decimal::new(value, 3)),
        }
    }

    fn is(error: Option<f64>, want: f64) -> bool {
        error.is_some_and(|error| (error - want).abs() < 1e-12)
    }

    #[test]
    fn errors_are_apart_by_what_the_model_knew_of_the_bar() {
        let all = [
            made(9, 500, Some(0)),
            made(10, 30, Some(60)),
            made(11, 10, Some(-30)),
            made(12, 0, None),
            made(13, 500, Some(0)),
            made(14, 500, None),
            made(15, 0, Some(40)),
            made(16, 10, Some(10)),
            made(99, -50, Some(-130)),
            made(100, 1, None),
        ];
        let [forecasts] = Forecasts::of(&all, &vec![(kind(), PERIODS)]).try_into().unwrap();
        let Parts { trained, unseen, neither, unseen_from } = forecasts.parts.unwrap();
        let counts = |errors: Errors| (errors.made, errors.compared, errors.independent);
        assert_eq!([trained, unseen, neither].map(counts), [(3, 2, 1), (4, 3, 2), (3, 2, 2)]);
        assert_eq!((counts(forecasts.errors), unseen_from), ((10, 7, 5), PERIODS.unseen_from));
        // By hand: errors of -30 and 40, of -40, 0 and 80; what came true was 60 and -30, then 40, 10 and -130.
        assert!(
            is(trained.rmse, (2500_f64 / 2.0).sqrt() / 1000.0) && is(trained.rmse_of_zero, 2250_f64.sqrt() / 1000.0)
        );
        assert!(is(unseen.rmse, (8000_f64 / 3.0).sqrt() / 1000.0) && is(unseen.rmse_of_zero, 6200_f64.sqrt() / 1000.0));
    }

    #[test]
    fn forecasts_that_no_one_model_is_known_for_stay_together() {
        let all = [made(10, 30, Some(60)), made(15, 0, Some(40))];
        let other = |change: fn(&mut Kind)| {
            let mut kind = kind();
            change(&mut kind);
            vec![(kind, PERIODS)]
        };
        for periods in [
            Vec::new(),
            other(|kind| kind.horizon_s = 3600),
            other(|kind| kind.symbol = "ETHUSD".to_owned()),
            other(|kind| kind.account = "other".to_owned()),
            vec![(kind(), PERIODS), (kind(), PERIODS)],
        ] {
            let [forecasts] = Forecasts::of(&all, &periods).try_into().unwrap();
            assert_eq!((forecasts.parts, forecasts.errors.compared), (None, 2), "{periods:?}");
        }
    }

    #[test]
    fn what_overlaps_counts_once_and_hours_side_by_side_count_by_their_reach() {
        let hourly = |hours: std::ops::Range<i64>, reach: i64| {
            without_overlap(hours.map(|hour| (UtcMs(hour * HOUR), UtcMs((hour + reach) * HOUR))).collect())
        };
        assert_eq!([hourly(0..0, 168), hourly(0..168, 168), hourly(0..169, 168), hourly(0..2907, 168)], [0, 1, 2, 18]);
        assert_eq!([hourly(0..5, 1), without_overlap(vec![(UtcMs(5), UtcMs(9)); 4])], [5, 1]);
    }
}
