//! The dry run's sink of forecasts: one entry per key whatever crashes in between, and what came true beside each.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test should panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel::cli::forecasts::{Forecasts, Parts, Periods, figure};
use sentinel::config::{Config, Env, Flags, ModelConfig, SourceConfig};
use sentinel::models::Output;
use sentinel::models::manifest::Expected;
use sentinel::models::onnx::{OnnxEngine, OnnxModel};
use sentinel::sources::csv::read_bars;
use sentinel::venues::book::{BOOK_FILE, Book};
use sentinel::venues::book_reader::BookReader;
use sentinel::venues::forecasts::{BookForecast, PaperForecasts};
use sentinel::venues::paper::CODE_DOUBLE_SUBMIT;
use sentinel_actors::domain::action::{Action, Forecast, Receipt};
use sentinel_actors::domain::bar::{Bar, CleanBars, Cleaning, clean};
use sentinel_actors::domain::intent::{Basis, Intent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{BarObserver as _, Evidence, Model as _, NoFaults, Sink as _, Submission};

const HOUR: i64 = 3_600_000;
const SOON: Duration = Duration::from_secs(30);

fn sink(dir: &Path) -> PaperForecasts {
    PaperForecasts::new(Book::open(&dir.join(BOOK_FILE)).unwrap(), "paper", Arc::new(NoFaults), "btcusd/executor")
}

fn key(hour: i64) -> IntentKey {
    IntentKey::derive(Mode::DryRun, "paper", "btcusd", Basis::Bar(UtcMs(hour * HOUR)), Forecast::ROLE)
}

/// Of the bar of this hour, two hours ahead.
fn forecast(hour: i64) -> Action {
    Action::Forecast(Forecast {
        symbol: "BTCUSD".to_owned(),
        log_return: Decimal::new(25, 3),
        horizon_s: 7200,
        reference_price: Decimal::from(60_000),
        reference_time: UtcMs(hour * HOUR),
    })
}

async fn submit(sink: &PaperForecasts, hour: i64) -> Submission {
    sink.submit(&intent(hour, forecast(hour)), SOON, &|| true).await
}

fn intent(hour: i64, action: Action) -> Intent {
    Intent {
        key: key(hour),
        mode: Mode::DryRun,
        account: "paper".to_owned(),
        pipeline: "btcusd".to_owned(),
        slot: UtcMs((hour + 1) * HOUR),
        announced_as: None,
        basis: Basis::Bar(UtcMs(hour * HOUR)),
        action,
        state: IntentState::Unknown,
        receipt: None,
        awaits: None,
        grade: None,
        listed: None,
        venue_note: None,
    }
}

async fn settle(sink: &PaperForecasts, hour: i64) -> Evidence {
    sink.settle(&intent(hour, forecast(hour)), SOON).await
}

fn bars(closes: &[(i64, f64)]) -> CleanBars {
    let bar = |(hour, close): &(i64, f64)| Bar {
        time: UtcMs(hour * HOUR),
        open: *close,
        high: *close,
        low: *close,
        close: *close,
        volume: None,
    };
    CleanBars { bars: closes.iter().map(bar).collect(), dropped: BTreeMap::new(), newest_delivered: None }
}

/// What came true, as far as it is known, to six places.
fn came_true(dir: &Path) -> Vec<Option<String>> {
    let forecasts = BookReader::open(&dir.join(BOOK_FILE)).unwrap().forecasts().unwrap();
    forecasts.iter().map(|forecast| forecast.came_true.map(|value| value.round_dp(6).to_string())).collect()
}

#[tokio::test]
async fn a_forecast_is_taken_up_once_and_found_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = sink(dir.path());
    assert!(matches!(settle(&first, 1).await, Evidence::Absent(_)));
    let Submission::Acked(receipt) = submit(&first, 1).await else { panic!("not taken up") };
    assert!(matches!(&receipt, Receipt::Inclusion(inclusion) if inclusion.height == 1), "{receipt:?}");
    drop(first);
    let second = sink(dir.path());
    assert_eq!(settle(&second, 1).await, Evidence::Found(receipt));
    let again = submit(&second, 1).await;
    assert!(matches!(again, Submission::Rejected { code: Some(CODE_DOUBLE_SUBMIT), .. }), "{again:?}");
    let reader = BookReader::open(&dir.path().join(BOOK_FILE)).unwrap();
    assert_eq!((reader.forecasts().unwrap().len(), reader.double_submits().unwrap()), (1, 1));
}

#[tokio::test]
async fn a_forecast_is_compared_with_the_bar_at_its_horizon_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path());
    for hour in [1, 2, 3] {
        submit(&sink, hour).await;
    }
    sink.observe("BTCUSD", &bars(&[(1, 60_000.0), (2, 70_000.0)])).await.unwrap();
    assert_eq!(came_true(dir.path()), [None, None, None], "no horizon is over");
    sink.observe("ETHUSD", &bars(&[(3, 1.0), (4, 1.0), (5, 1.0)])).await.unwrap();
    // The bar of hour 4 is missing, so what came true of the second forecast cannot be known.
    sink.observe("BTCUSD", &bars(&[(2, 70_000.0), (3, 66_000.0), (5, 54_000.0)])).await.unwrap();
    let want = [Some("0.095310".to_owned()), None, Some("-0.105361".to_owned())];
    assert_eq!(came_true(dir.path()), want);
    sink.observe("BTCUSD", &bars(&[(3, 1.0), (5, 1.0)])).await.unwrap();
    assert_eq!(came_true(dir.path()), want, "what came true is written once");
}

#[tokio::test]
async fn a_book_of_the_version_before_forecasts_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    drop(sink(dir.path()));
    let path = dir.path().join(BOOK_FILE);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("DROP TABLE forecasts; PRAGMA user_version = 1;").unwrap();
    drop(connection);
    assert_eq!(BookReader::open(&path).unwrap().forecasts().unwrap(), []);
    assert!(matches!(submit(&sink(dir.path()), 1).await, Submission::Acked(_)));
}

#[tokio::test]
async fn errors_of_different_horizons_are_never_one_figure() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path());
    submit(&sink, 1).await;
    let Action::Forecast(mut longer) = forecast(2) else { panic!("no forecast") };
    longer.horizon_s = 3 * 3600;
    sink.submit(&intent(2, Action::Forecast(longer)), SOON, &|| true).await;
    sink.observe("BTCUSD", &bars(&[(3, 66_000.0), (4, 1.0), (5, 60_000.0)])).await.unwrap();
    let forecasts = BookReader::open(&dir.path().join(BOOK_FILE)).unwrap().forecasts().unwrap();
    let kinds = Forecasts::of(&forecasts, &Vec::new());
    let zero: Vec<f64> = kinds.iter().map(|forecasts| forecasts.errors.rmse_of_zero.unwrap()).collect();
    assert_eq!(kinds.iter().map(|forecasts| forecasts.kind.horizon_s).collect::<Vec<_>>(), [7200, 10_800]);
    assert!((zero[0] - 1.1_f64.ln()).abs() < 1e-9 && zero[1].abs() < 1e-9, "{zero:?}");
    assert!((kinds[1].errors.rmse.unwrap() - 0.025).abs() < 1e-9, "what was forecast, for nothing moved");
}

/// Python measured the model's errors when it was made. Every number between a bar and such an error is computed here again.
#[tokio::test]
async fn the_errors_of_the_demos_model_are_those_that_its_manifest_states() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/forecast.toml");
    let config = Config::load(&config, &Env::default(), &Flags::default()).unwrap();
    let pipeline = &config.pipelines[0];
    let (SourceConfig::Csv(source), ModelConfig::Onnx { path }) = (&pipeline.source, &pipeline.model) else {
        panic!("{pipeline:?}")
    };
    let bars = clean(&read_bars(&source.path).unwrap(), &Cleaning { tick: 0.01, times: None, window: None }).bars;
    let features = pipeline.features.build();
    let expected = Expected {
        features: pipeline.features.set.clone(),
        columns: pipeline.features.info.columns.iter().map(ToString::to_string).collect(),
        output: Output::Value { horizon: Duration::from_secs(168 * 3600) },
        samples: Vec::new(),
    };
    let model = OnnxModel::load(path, expected, OnnxEngine::new(), Arc::new(NoFaults)).unwrap();
    let mut made = Vec::new();
    for (window, newest) in bars.windows(200).zip(199..) {
        let answer = model.predict(&features.build(window).unwrap(), SOON).await.unwrap();
        let forecast = Forecast {
            symbol: "BTCUSD".to_owned(),
            log_return: Decimal::try_from(answer.rows[0][0]).unwrap(),
            horizon_s: 168 * 3600,
            reference_price: Decimal::ONE,
            reference_time: bars[newest].time,
        };
        let came_true = bars.get(newest + 168).map(|later| (later.close / bars[newest].close).ln());
        let came_true = came_true.map(|value| Decimal::try_from(value).unwrap());
        let at = bars[newest].time;
        made.push(BookForecast { key: key(0), account: "paper".to_owned(), forecast, at, came_true });
    }
    let [forecasts] = Forecasts::of(&made, &Periods::of_config(&config).unwrap()).try_into().unwrap();
    let (Parts { trained, unseen, neither, .. }, stated) = (forecasts.parts.unwrap(), model.manifest().unwrap());
    let rows = [stated.trained.rows, stated.out_of_sample.rows].map(|rows| usize::try_from(rows).unwrap());
    assert_eq!([trained.compared, unseen.compared, neither.compared], [rows[0], rows[1], 168]);
    let figures = [unseen.rmse, unseen.rmse_of_zero].map(|error| figure(error.unwrap()));
    let of_manifest =
        [stated.out_of_sample.rmse, stated.out_of_sample.rmse_of_zero].map(|error| figure(error.unwrap()));
    assert_eq!(figures, of_manifest);
    assert_eq!(figures, ["0.09885", "0.09094"]);
    let figures = [trained.rmse, trained.rmse_of_zero].map(|error| format!("{:.4}", error.unwrap()));
    let [trained, zero] = &figures;
    let note = &stated.out_of_sample.note;
    assert!(note.contains(&format!("{trained} trained (zero: {zero})")), "{figures:?}: {note}");
}
