//! The forecast job in the real process: forecasts that are compared with what came true, and `kill -9` at the places of its sink.

use std::fs;
use std::path::Path;

use sentinel::cli::forecasts::Forecasts;
use sentinel::journal::proof;
use sentinel::venues::book::BOOK_FILE;
use sentinel::venues::book_reader::BookReader;
use sentinel::venues::forecasts::BookForecast;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::schedule::Schedule;
use tempfile::TempDir;

use super::config::demo_file;
use super::node::{Ended, run};

/// Bars that are decided; the first horizons end within them.
const DECIDED: usize = 260;

/// The example of the project beside its data, with the first bars only.
fn site() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("demo")).unwrap();
    for name in ["btcusd_1h.csv", "btcusd.onnx", "btcusd.json"] {
        fs::copy(demo_file(name), folder.path().join("demo").join(name)).unwrap();
    }
    let example = fs::read_to_string(demo_file("../forecast.toml")).unwrap();
    let bars = format!("path = \"demo/btcusd_1h.csv\"\nbars = {}", DECIDED + 199);
    let text = example.replace("path = \"demo/btcusd_1h.csv\"", &bars).replace("../state/forecast", "state");
    fs::write(folder.path().join("forecast.toml"), text).unwrap();
    folder
}

fn start(site: &Path, more: &[&str]) -> Ended {
    run(site, [&["run", "--config", "forecast.toml"], more].concat())
}

fn forecasts(site: &Path) -> Vec<BookForecast> {
    BookReader::open(&site.join("state").join(BOOK_FILE)).unwrap().forecasts().unwrap()
}

/// Every slot has its row, and journal and book agree forecast by forecast.
fn accept(site: &Path) {
    run(site, ["prove", "--state", "state", "--config", "forecast.toml"]).expect(0);
    let state = site.join("state");
    let made = forecasts(site);
    let schedule = Schedule::parse("on bar close + 2s", "1h".parse().unwrap()).unwrap();
    let (first, last) = (made[0].at, made.last().unwrap().at);
    let proof = proof(&state, "btcusd", &schedule, first, last).unwrap();
    assert!(proof.holds(), "{proof:?}");
    assert_eq!(proof.forecasts, made.len() as u64);
    assert_eq!(BookReader::open(&state.join(BOOK_FILE)).unwrap().double_submits().unwrap(), 0);
}

#[test]
fn every_bar_is_forecast_and_compared_with_the_bar_at_its_horizon() {
    let site = site();
    start(site.path(), &[]).expect(0);
    accept(site.path());
    let made = forecasts(site.path());
    assert_eq!(made.len(), DECIDED);
    let kinds = Forecasts::of(&made, &Vec::new());
    assert_eq!(
        (kinds.len(), kinds[0].errors.compared),
        (1, DECIDED - 168),
        "a horizon of 168 hours ends with the 169th bar"
    );
    // What came true, by the bars of the file alone.
    let text = fs::read_to_string(demo_file("btcusd_1h.csv")).unwrap();
    let closes: Vec<f64> = text.lines().skip(1).map(|line| line.split(',').nth(4).unwrap().parse().unwrap()).collect();
    let first = made[0].came_true.unwrap().to_string().parse::<f64>().unwrap();
    assert!((first - (closes[199 + 168] / closes[199]).ln()).abs() < 1e-11, "{first}");
    assert!(made.last().unwrap().came_true.is_none());
    run(site.path(), ["report", "--state", "state"]).expect(0).says(&["260 made, 92 compared", "forecasting zero"]);
    run(site.path(), ["why", "btcusd", &made[0].at.to_string(), "--state", "state"]).expect(0).says(&[
        "forecast BTCUSD",
        "over 168 h",
        Reason::ForecastAcked.code(),
    ]);
}

/// Rows of the bar file from one open time to another, both included.
fn closes(from: &str, to: &str) -> Vec<(String, f64)> {
    let text = fs::read_to_string(demo_file("btcusd_1h.csv")).unwrap();
    let rows = text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let rows = rows.filter(|row| (from..=to).contains(&row[0]));
    rows.map(|row| (row[0].to_owned(), row[4].parse().unwrap())).collect()
}

#[test]
fn a_report_tells_training_bars_and_unseen_ones_apart() {
    let site = site();
    let path = site.path().join("demo/btcusd_1h.csv");
    // The first decision comes with the 200th bar, and the last 168 have no bar at their horizon.
    let (from, to) = ("2018-03-31T00:00:00Z", "2018-04-27T10:00:00Z");
    let text = fs::read_to_string(&path).unwrap();
    let kept = text.lines().filter(|line| line.starts_with("timestamp") || (from..=to).contains(&&line[..20]));
    fs::write(&path, kept.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let config = fs::read_to_string(site.path().join("forecast.toml")).unwrap();
    fs::write(site.path().join("forecast.toml"), config.replace(&format!("bars = {}", DECIDED + 199), "")).unwrap();
    start(site.path(), &[]).expect(0);

    let made = forecasts(site.path());
    let bars = closes(from, to);
    // From the file alone: the squares of each error and of what came true, by the manifest's own times.
    let expected = |first: &str, last: &str| {
        let pairs = made.iter().zip(bars.windows(169).skip(199));
        let pairs = pairs.filter(|(_, bars)| (first..=last).contains(&&*bars[0].0)).map(|(made, bars)| {
            let came_true = (bars[168].1 / bars[0].1).ln();
            let value: f64 = made.forecast.log_return.to_string().parse().unwrap();
            ((value - came_true).powi(2), came_true.powi(2))
        });
        let pairs: Vec<(f64, f64)> = pairs.collect();
        let count = f64::from(u32::try_from(pairs.len()).unwrap());
        let root = |sum: f64| (sum / count).sqrt();
        (pairs.len(), root(pairs.iter().map(|pair| pair.0).sum()), root(pairs.iter().map(|pair| pair.1).sum()))
    };
    let report = |more: &[&str]| run(site.path(), [&["report", "--config", "forecast.toml"], more].concat()).expect(0);
    let json: serde_json::Value = serde_json::from_str(&report(&["--format", "json"]).out).unwrap();
    for (part, compared, first, last) in [
        ("trained", 72, "2017-07-09T18:00:00Z", "2018-04-11T06:00:00Z"),
        ("unseen", 52, "2018-04-18T07:00:00Z", "2018-08-17T09:00:00Z"),
    ] {
        let found = &json["forecasts"][0]["parts"][part];
        let (count, rmse, zero) = expected(first, last);
        assert_eq!((count, found["compared"].as_u64()), (compared, u64::try_from(compared).ok()), "{part}");
        for (name, want) in [("rmse", rmse), ("rmse_of_zero", zero)] {
            assert!((found[name].as_f64().unwrap() - want).abs() < 1e-9, "{part} {name}: {want} {found}");
        }
    }
    let said = report(&[]).says(&["in training bars (72 compared)", "in unseen bars (52 compared)", "too few"]);
    assert!(!said.out.contains("shows no skill"), "52 forecasts that overlap prove nothing: {}", said.out);
    run(site.path(), ["report", "--state", "state"]).expect(0).says(&["What the model was", "`--config FILE`"]);

    fs::write(site.path().join("demo/btcusd.json"), "{").unwrap();
    run(site.path(), ["report", "--config", "forecast.toml"]).expect(78).complains(&["btcusd.json is not valid"]);
}

#[test]
fn killed_anywhere_no_forecast_is_lost_doubled_or_changed() {
    let whole = site();
    start(whole.path(), &[]).expect(0);
    let expected = forecasts(whole.path());
    for place in [
        "before-plan",
        "after-plan",
        "after-sent",
        "before-book-write",
        "after-book-write",
        "after-submit",
        "after-outcome",
        "before-end-slot",
        "after-end-slot",
        "before-commit",
        "after-commit",
    ] {
        let site = site();
        assert!(start(site.path(), &["--die-at", &format!("{place}:7")]).was_killed(), "{place}");
        start(site.path(), &[]).expect(0);
        accept(site.path());
        let made = forecasts(site.path());
        // Between `sent` and the book the node cannot know whether it left: it asks, and does not send it again.
        let may_be_absent = usize::from(matches!(place, "after-sent" | "before-book-write"));
        assert!(made.len() + may_be_absent >= expected.len(), "{place}: {} of {}", made.len(), expected.len());
        assert!(made.iter().all(|made| expected.contains(made)), "{place}: another forecast was made");
    }
}
