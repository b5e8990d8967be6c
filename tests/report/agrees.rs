//! The report of real runs agrees with journal, ledger and book, to the cent.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use rust_decimal::Decimal;

use crate::config::{Site, demo_file};
use crate::node::run;
use crate::read::{Fields, says, sql, table, text_of};

/// Both forms of the report of a state, in `folder`.
fn written(folder: &Path, state: &str, more: &[&str]) -> (PathBuf, String) {
    let args = ["report", "--state", state, "--csv", "tables", "--html", "report.html"];
    run(folder, args.iter().chain(more)).expect(0).says(&["Document:", "11 files in tables"]);
    (folder.join("tables"), text_of(&folder.join("report.html")))
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn sum<'f>(rows: impl IntoIterator<Item = &'f Fields>, column: &str) -> Decimal {
    rows.into_iter().map(|row| decimal(&row[column])).sum()
}

/// Slots by outcome and reason, counted by SQLite.
#[track_caller]
fn reasons_agree(state: &Path, tables: &Path, text: &str) {
    let counted: BTreeMap<(String, String), i64> =
        sql(&state.join("journal.db"), "SELECT outcome, reason, count(*) FROM slots GROUP BY 1, 2", |row| {
            Ok(((row.get(0)?, row.get(1)?), row.get(2)?))
        })
        .into_iter()
        .collect();
    let said: BTreeMap<(String, String), i64> = table(tables, "reasons")
        .into_iter()
        .map(|row| ((row["outcome"].clone(), row["reason"].clone()), row["slots"].parse().unwrap()))
        .collect();
    assert_eq!(said, counted);
    assert_eq!(table(tables, "slots").len(), usize::try_from(counted.values().sum::<i64>()).unwrap());
    let of = |outcome: &str| counted.iter().filter(|((of, _), _)| of == outcome).map(|(_, count)| count).sum::<i64>();
    let [acted, none, skipped, missed] = ["acted", "no_action", "skipped", "missed"].map(of);
    says(text, &[&format!("{acted} acted, {none} no action, {skipped} skipped, {missed} missed.")]);
    for ((_, reason), count) in &counted {
        says(text, &[&format!("{count} {}", word(reason, &counted))]);
    }
}

/// The cell behind the count of a reason.
fn word(reason: &str, counted: &BTreeMap<(String, String), i64>) -> String {
    let (outcome, _) = counted.keys().find(|(_, of)| of == reason).unwrap();
    format!("{} {reason}", outcome.replace('_', " "))
}

#[test]
fn a_finished_demo_is_reported_as_journal_and_ledger_have_it_to_the_cent() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), ["demo", "--speed", "max", "--bars", "700", "--state", "state"]).expect(0);
    let state = folder.path().join("state");
    let (tables, text) = written(folder.path(), "state", &[]);
    reasons_agree(&state, &tables, &text);

    let closed: Vec<(i64, String, i64)> = sql(
        &state.join("gateway.db"),
        "SELECT id, profit, closed_ms FROM positions WHERE closed_ms IS NOT NULL ORDER BY closed_ms, id",
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    );
    assert!(closed.len() >= 2, "{} positions are too few", closed.len());
    let profit: Decimal = closed.iter().map(|(_, profit, _)| decimal(profit)).sum();
    let won = closed.iter().filter(|(_, profit, _)| decimal(profit) > Decimal::ZERO).count();
    let positions = table(&tables, "positions");
    let tickets: Vec<(String, Decimal)> =
        positions.iter().map(|row| (row["ticket"].clone(), decimal(&row["profit"]))).collect();
    let of_ledger: Vec<(String, Decimal)> =
        closed.iter().map(|(id, profit, _)| (id.to_string(), decimal(profit))).collect();
    assert_eq!(tickets, of_ledger);
    let parts = table(&tables, "profit");
    assert_eq!((sum(&parts, "profit"), sum(&parts, "closed")), (profit, Decimal::from(closed.len())));
    says(&text, &[&format!("Profit {profit:+.2}"), &format!("together {profit:+.2} {} {won}", closed.len())]);

    let intents: Vec<(String, String, String)> = sql(
        &state.join("journal.db"),
        "SELECT key, state, volume_lots FROM intents ORDER BY pipeline, slot_ms, key",
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    );
    let orders = table(&tables, "orders");
    let said: Vec<(String, String, String)> =
        orders.iter().map(|row| (row["key"].clone(), row["state"].clone(), row["volume_lots"].clone())).collect();
    assert_eq!(said, intents);
    says(&text, &[&format!("Orders {}", intents.len())]);
}

/// What a model was trained on, changed so that both parts are in the first weeks of the year.
fn parted(site: &Site) -> (i64, i64, i64) {
    let path = site.path().join("model.json");
    let mut manifest: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let times = ["2017-01-12T05:00:00Z", "2017-01-24T00:00:00Z", "2017-01-26T00:00:00Z"];
    manifest["trained"]["from"] = times[0].into();
    manifest["trained"]["to"] = times[1].into();
    manifest["out_of_sample"]["from"] = times[2].into();
    fs::write(&path, serde_json::to_string_pretty(&manifest).unwrap()).unwrap();
    let [from, to, unseen] = times.map(|time| time.parse::<jiff::Timestamp>().unwrap().as_millisecond());
    (from, to, unseen)
}

#[test]
fn training_bars_and_scores_of_a_dry_run_are_those_worked_out_from_its_rows() {
    let site = Site::new().with_bars(500).with("threshold = 0.6", "threshold = 0.4");
    let (from, to, unseen) = parted(&site);
    run(site.path(), site.args()).expect(0);
    let config = site.args()[2].clone();
    let (tables, text) = written(site.path(), "state", &["--config", &config]);
    reasons_agree(&site.state(), &tables, &text);

    let part = |bar: i64| match bar {
        bar if bar >= unseen => "unseen",
        bar if (from..=to).contains(&bar) => "training",
        _ => "neither",
    };
    // Confidence and bar of the slot that holds the intent which opened each closed position.
    let opened: HashMap<String, (f64, i64)> = sql(
        &site.state().join("journal.db"),
        "SELECT i.key, s.confidence, s.newest_bar_ms FROM intents i JOIN slots s USING (pipeline, slot_ms)",
        |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))),
    )
    .into_iter()
    .collect();
    let closed: Vec<(String, String)> = sql(
        &site.state().join("paper.db"),
        "SELECT open_key, profit FROM positions WHERE closed_at IS NOT NULL ORDER BY closed_at, ticket",
        |row| Ok((row.get(0)?, row.get(1)?)),
    );
    let (profits, scores) = (table(&tables, "profit"), table(&tables, "scores"));
    for name in ["training", "unseen"] {
        let own: Vec<(f64, Decimal)> = closed
            .iter()
            .map(|(key, profit)| (opened[key], decimal(profit)))
            .filter(|((_, bar), _)| part(*bar) == name)
            .map(|((confidence, _), profit)| (confidence, profit))
            .collect();
        assert!(own.len() >= 3, "{} positions of {name} bars are too few", own.len());
        let row = profits.iter().find(|row| row["part"] == name).unwrap();
        assert_eq!(decimal(&row["profit"]), own.iter().map(|(_, profit)| *profit).sum::<Decimal>(), "{name}");

        let row = scores.iter().find(|row| row["part"] == name).unwrap();
        let count = own.len() as f64;
        let outcome = |profit: Decimal| if profit > Decimal::ZERO { 1.0 } else { 0.0 };
        let rate = own.iter().map(|(_, profit)| outcome(*profit)).sum::<f64>() / count;
        let mean = |of: &dyn Fn(f64, f64) -> f64| {
            own.iter().map(|(confidence, profit)| of(*confidence, outcome(*profit))).sum::<f64>() / count
        };
        let log = |said: f64, outcome: f64| -(outcome * said.ln() + (1.0 - outcome) * (1.0 - said).ln());
        for (column, want) in [
            ("base_rate", rate),
            ("brier", mean(&|said, outcome| (said - outcome).powi(2))),
            ("brier_of_base_rate", mean(&|_, outcome| (rate - outcome).powi(2))),
            ("log_loss", mean(&log)),
        ] {
            let said: f64 = row[column].parse().unwrap();
            assert!((said - want).abs() < 1e-9, "{name} {column}: {said} and {want}");
        }
        let bins = table(&tables, "reliability").into_iter().filter(|row| row["part"] == name);
        assert_eq!(bins.map(|row| row["positions"].parse::<usize>().unwrap()).sum::<usize>(), own.len());
    }
    let slots = table(&tables, "slots");
    let decided = slots.iter().filter(|row| !row["newest_bar"].is_empty());
    for row in decided {
        let bar = row["newest_bar"].parse::<jiff::Timestamp>().unwrap().as_millisecond();
        assert_eq!(row["part"], part(bar), "{row:?}");
    }
    says(&text, &["in training bars", "in unseen bars", "Does confidence say how positions end?", "training bars"]);
}

#[test]
fn without_a_manifest_or_a_record_the_report_says_unknown() {
    let site = Site::new().with_bars(300).with("threshold = 0.6", "threshold = 0.4");
    run(site.path(), site.args()).expect(0);
    fs::remove_file(site.state().join("paper.db")).unwrap();
    let sent: Vec<i64> = sql(&site.state().join("journal.db"), "SELECT count(*) FROM intents", |row| row.get(0));
    assert!(sent[0] > 0, "nothing was sent");
    let (tables, text) = written(site.path(), "state", &[]);
    says(&text, &["What its model was trained on is not known here", "Profit unknown", "Profit is unknown: no record"]);
    assert!(table(&tables, "slots").iter().all(|row| row["part"] == "unknown"));
    let [row] = table(&tables, "profit").try_into().unwrap();
    assert_eq!((row["venue"].as_str(), row["profit"].as_str(), row["closed"].as_str()), ("no record", "", ""));
    assert!(!text.contains("+0.00"), "what is not known is not nothing: {text}");
}

#[test]
fn forecasts_of_a_demo_are_compared_as_the_bar_file_says() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), ["demo", "--job", "forecast", "--speed", "max", "--bars", "300", "--state", "state"]).expect(0);
    let state = folder.path().join("state");
    let (tables, text) = written(folder.path(), "state", &[]);
    reasons_agree(&state, &tables, &text);
    let bars = fs::read_to_string(demo_file("btcusd_1h.csv")).unwrap();
    let closes: Vec<f64> = bars.lines().skip(1).map(|line| line.split(',').nth(4).unwrap().parse().unwrap()).collect();
    let forecasts = table(&tables, "forecasts");
    assert_eq!(forecasts.len(), 300);
    let mut squares = Vec::new();
    for (row, bar) in forecasts.iter().zip(199..) {
        let known = closes.get(bar + 168).filter(|_| bar < 199 + 132).map(|then| (then / closes[bar]).ln());
        assert_eq!(row["came_true"].is_empty(), known.is_none(), "{row:?}");
        let Some(truth) = known else { continue };
        let (said, stored): (f64, f64) = (row["log_return"].parse().unwrap(), row["came_true"].parse().unwrap());
        assert!((stored - truth).abs() < 1e-9, "{row:?}");
        squares.push((said - truth).powi(2));
    }
    let rmse = (squares.iter().sum::<f64>() / squares.len() as f64).sqrt();
    let errors = table(&tables, "errors");
    let of = |part: &str| errors.iter().find(|row| row["part"] == part).unwrap();
    let said: f64 = of("training")["rmse"].parse().unwrap();
    assert!((said - rmse).abs() < 1e-9 && of("training")["compared"] == "132", "{said} and {rmse}");
    assert_eq!((of("all")["made"].as_str(), of("unseen")["made"].as_str()), ("300", "0"));
    let shown = format!("in training bars 300 132 1 {rmse:.5}");
    says(&text, &["Forecasts 300", &shown, "in unseen bars 0 0 0 unknown unknown", "it has no Brier score"]);
    assert_eq!(table(&tables, "orders"), []);
}
