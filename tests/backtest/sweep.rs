//! Many rules on one look at the bars: each comes to what its own backtest comes to.

use std::fs;
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel::backtest::engine::Course;
use sentinel::backtest::plan::PlanError;
use sentinel::backtest::sweep::{Outcome, Watcher, single, sweep};
use sentinel::cli::forecasts::Periods;
use sentinel::config::{Config, PipelineConfig};
use sentinel_actors::domain::account_risk::CoolDown;
use sentinel_actors::domain::decision::{DecideOn, OnOpposite};

use crate::command::{run, said, site};
use crate::support::{first_bars, forecasts, order_job, orders, plan};

#[derive(Default)]
struct Watched(Option<Course>, u64);

impl Watcher for Watched {
    fn begin(&mut self, course: Course) {
        self.0 = Some(course);
    }

    fn step(&mut self) {
        self.1 += 1;
    }
}

/// The same pipeline with changed rules.
fn rule(config: &Config, change: impl FnOnce(&mut sentinel::config::OrderJob)) -> PipelineConfig {
    let mut config = config.clone();
    change(order_job(&mut config));
    config.pipelines.remove(0)
}

fn compared(config: &Config, rules: &[PipelineConfig]) -> Vec<Outcome> {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan(config, dir.path());
    let periods = Periods::by_pipeline(config).unwrap().remove(&config.pipelines[0].name);
    let mut watched = Watched::default();
    let outcomes = sweep(&plan, rules, None, periods, &mut watched).unwrap();
    assert_eq!(watched.0.map(|course| course.slots), Some(watched.1));
    for (at, (outcome, rule)) in outcomes.iter().zip(rules).enumerate() {
        let alone = single(&plan, rule, None, periods).unwrap();
        assert_eq!(format!("{outcome:?}"), format!("{alone:?}"), "rule {at}");
        assert_eq!(*outcome, alone, "rule {at}");
    }
    outcomes
}

#[test]
fn each_rule_of_a_grid_comes_to_what_its_own_backtest_comes_to() {
    let config = first_bars(orders(), 3_500);
    let mut rules = Vec::new();
    for threshold in [0.35, 0.45, 0.5, 0.6, 0.999] {
        for on_opposite in [OnOpposite::Ignore, OnOpposite::Close, OnOpposite::Reverse] {
            for stop in [15, 50] {
                rules.push(rule(&config, |job| {
                    job.policy.threshold = threshold;
                    job.policy.on_opposite = on_opposite;
                    job.policy.stop_distance = Some(Decimal::new(stop, 4));
                }));
            }
        }
    }
    let outcomes = compared(&config, &rules);
    let traded = outcomes.iter().filter(|outcome| outcome.trades.closed > 20).count();
    assert!(traded > 15, "{traded} of {} rules traded", rules.len());
    assert!(outcomes.iter().any(|outcome| outcome.orders == 0 && outcome.days.iter().all(|day| day.change == 0.0)));
    let mut profits: Vec<Decimal> = outcomes.iter().map(|outcome| outcome.trades.profit).collect();
    profits.dedup();
    assert!(profits.len() > 10, "{profits:?}");
}

#[test]
fn limits_and_exits_without_a_decision_are_the_same_in_a_grid_and_alone() {
    let mut config = first_bars(orders(), 2_000);
    // Windows with holes have no decision, and positions that are too old are closed all the same.
    config.pipelines[0].data.max_missing_bars = 0;
    let mut rules = Vec::new();
    for hours in [None, Some(2), Some(5), Some(30)] {
        for most in [Some(1), Some(3), None] {
            rules.push(rule(&config, |job| {
                job.policy.threshold = 0.4;
                job.policy.max_holding = hours.map(|hours| Duration::from_secs(hours * 3600));
                job.risk.max_open_positions = most;
                job.risk.max_orders_per_day = if hours == Some(5) { 2 } else { 24 };
            }));
        }
    }
    let outcomes = compared(&config, &rules);
    assert!(outcomes.iter().filter(|outcome| outcome.trades.closed > 30).count() > 6);
    assert!(outcomes.windows(2).any(|two| two[0] != two[1]));
}

#[test]
fn limits_of_an_account_and_slots_that_decide_are_the_same_in_a_grid_and_alone() {
    let config = first_bars(orders(), 1_500);
    let rules: Vec<PipelineConfig> = [30, 60, 100_000]
        .map(|loss| {
            rule(&config, |job| {
                job.policy.threshold = 0.45;
                job.risk.account.max_daily_loss = Some(Decimal::from(loss));
                job.risk.account.cool_down = Some(CoolDown { after_losses: 2, lasts: Duration::from_secs(12 * 3600) });
            })
        })
        .into();
    let outcomes = compared(&config, &rules);
    assert!(outcomes.iter().any(|outcome| outcome.halts > 0), "{outcomes:?}");
    let mut by_slot = config.clone();
    order_job(&mut by_slot).policy.decide_on = DecideOn::Slot;
    let rules = [0.4, 0.5].map(|threshold| rule(&by_slot, |job| job.policy.threshold = threshold));
    compared(&by_slot, &rules);
}

#[test]
fn a_forecast_has_no_rules_for_orders() {
    let config = first_bars(forecasts(), 500);
    let dir = tempfile::tempdir().unwrap();
    let plan = plan(&config, dir.path());
    let refused = sweep(&plan, &config.pipelines, None, None, &mut Watched::default()).unwrap_err();
    assert!(matches!(refused, PlanError::NoOrders { .. }), "{refused}");
}

/// As a person types it: each line of the table is the backtest of a configuration with that value in it.
#[test]
fn each_line_of_the_table_is_the_backtest_of_a_configuration_with_that_value() {
    let configuration = include_str!("../data/local.toml");
    let site = site(configuration);
    let sets = ["--set", "decision.threshold=0.50..0.60/0.05", "--set", "decision.on_opposite=close,reverse"];
    let files = ["--html", "sweep.html", "--csv", "swept"];
    let output = run(site.path(), &[&["--config", "sentinel.toml"], &sets[..], &files[..]].concat());
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for sentence in [
        "6 combinations (3 of decision.threshold with 2 of decision.on_opposite), each on the same 8,441 slots",
        "If none of the 6 combinations earned anything, the best of so many would do as well as this one in",
        "White's reality check, p = ",
    ] {
        assert!(text.contains(sentence), "'{sentence}' is not in:\n{text}");
    }
    let html = fs::read_to_string(site.path().join("sweep.html")).unwrap();
    assert!(html.contains("class=\"heat\"") && html.contains("decision.threshold \\ decision.on_opposite"));
    let table = fs::read_to_string(site.path().join("swept/sweep.csv")).unwrap();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| lines[0].iter().position(|cell| *cell == name).unwrap();
    assert_eq!(lines.len(), 7, "{table}");
    for (at, line) in lines[1..].iter().enumerate() {
        let (threshold, opposite) = (line[column("decision.threshold")], line[column("decision.on_opposite")]);
        let with = configuration
            .replace("threshold = 0.6", &format!("threshold = {threshold}"))
            .replace("on_opposite = \"reverse\"", &format!("on_opposite = \"{opposite}\""));
        fs::write(site.path().join("one.toml"), with).unwrap();
        let tables = format!("one-{at}");
        let output = run(site.path(), &["--config", "one.toml", "--csv", &tables]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let positions = fs::read_to_string(site.path().join(&tables).join("positions.csv")).unwrap();
        let mut rows = positions.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let head = rows.next().unwrap();
        let profit = head.iter().position(|cell| *cell == "profit").unwrap();
        let profits: Vec<Decimal> = rows.map(|row| row[profit].parse().unwrap()).collect();
        let trades: usize = line[column("trades")].parse().unwrap();
        assert_eq!(profits.len(), trades, "{threshold} {opposite}");
        let sum: Decimal = line[column("profit")].parse().unwrap();
        assert_eq!(profits.iter().sum::<Decimal>(), sum, "{threshold} {opposite}");
    }
}

#[test]
fn what_cannot_be_tried_ends_with_64_and_what_to_do_and_a_wrong_value_with_78() {
    let site = site(include_str!("../data/local.toml"));
    for (set, code, sentence) in [
        ("features.window=100..200/50", 64, "decision.threshold, decision.stop_distance"),
        ("model.path=a.onnx,b.onnx", 64, "only keys that change decisions"),
        ("decision.threshold=0.8..0.5/0.1", 64, "holds no value"),
        ("decision.threshold=0.5..0.8/0", 64, "a step of 0"),
        ("decision.threshold=0..0.9/0.0001", 64, "more than 2000 combinations"),
        ("decision.threshold=0.5..1.5/0.5", 78, "decision.threshold"),
    ] {
        let output = run(site.path(), &["--config", "sentinel.toml", "--set", set]);
        let text = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(code), "{set}: {text}");
        assert!(text.contains(sentence), "{set}: {text}");
    }
    let both = run(site.path(), &["--config", "sentinel.toml", "--set", "decision.threshold=0.5", "--verify"]);
    assert_eq!(both.status.code(), Some(64), "{}", String::from_utf8_lossy(&both.stderr));
}
