//! Both jobs of the demo, and differences that are there on purpose.

use std::collections::BTreeSet;
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel::backtest::engine::{Course, Digests, Market, Step, Visitor, walk};
use sentinel_actors::domain::account_risk::CoolDown;
use sentinel_actors::domain::reason::Reason;

use crate::support::{first_bars, forecasts, on_bars, order_job, orders, plan, require_agreement, verdict_of};

/// Enough bars for positions that stops, targets and orders end.
const BARS: usize = 2_500;

#[test]
fn a_backtest_of_the_order_job_has_the_rows_of_the_tree() {
    let config = first_bars(orders(), BARS);
    let verdict = verdict_of(&config, &config);
    require_agreement(&verdict);
    assert!(verdict.slots > 2_000 && verdict.intents > 20 && verdict.positions > 10, "{verdict:?}");
}

#[test]
fn a_backtest_of_the_forecast_job_has_the_rows_of_the_tree() {
    let config = first_bars(forecasts(), BARS);
    let verdict = verdict_of(&config, &config);
    require_agreement(&verdict);
    assert!(verdict.slots > 2_000 && verdict.intents > 2_000 && verdict.forecasts == verdict.intents, "{verdict:?}");
}

/// Limits, exits without a decision and account rules make reasons of their own.
#[test]
fn limits_and_exits_of_a_strict_configuration_end_the_same_slots_in_the_same_way() {
    let mut config = first_bars(orders(), 1_200);
    config.pipelines[0].data.max_missing_bars = 0;
    let job = order_job(&mut config);
    job.policy.threshold = 0.4;
    job.policy.max_holding = Some(Duration::from_secs(5 * 3600));
    job.risk.max_orders_per_day = 3;
    job.risk.max_orders_per_hour = 1;
    let verdict = verdict_of(&config, &config);
    require_agreement(&verdict);
    assert!(verdict.positions > 30, "{verdict:?}");
}

/// Baselines, halts and pauses after losses are written and read in the same slots.
#[test]
fn limits_of_an_account_halt_the_same_orders() {
    let mut config = first_bars(orders(), 1_500);
    let job = order_job(&mut config);
    job.policy.threshold = 0.45;
    job.risk.account.cool_down = Some(CoolDown { after_losses: 2, lasts: Duration::from_secs(12 * 3600) });
    job.risk.account.max_daily_loss = Some(Decimal::from(60));
    let verdict = verdict_of(&config, &config);
    require_agreement(&verdict);
    let dir = tempfile::tempdir().unwrap();
    let mut seen = Reasons::default();
    let rest = walk(&plan(&config, dir.path()), (None, Digests::LeftOut), &mut seen).unwrap();
    assert!(seen.0.contains(&Reason::RiskCoolDown) && !rest.halts.is_empty(), "{:?} {:?}", seen.0, rest.halts);
}

#[derive(Default)]
struct Reasons(BTreeSet<Reason>);

impl Visitor for Reasons {
    fn begin(&mut self, _: Course) {}

    fn step(&mut self, step: Step, _: &Market<'_>) {
        self.0.insert(step.record.reason);
    }
}

#[test]
fn another_threshold_differs_in_exactly_the_slots_that_it_decides_otherwise() {
    let tree = first_bars(orders(), 600);
    let mut other = tree.clone();
    order_job(&mut other).policy.threshold = 0.55;
    let verdict = verdict_of(&tree, &other);
    let first = &verdict.first[0];
    assert_eq!((first.field.as_str(), first.backtest.contains("0.55")), ("weighed", true), "{first}");
}

#[test]
fn a_bar_that_was_changed_by_one_tick_is_named_from_the_first_slot_that_saw_it() {
    let tree = first_bars(orders(), 600);
    let text = std::fs::read_to_string(crate::support::demo_files().join("eurusd_1h_2017.csv")).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let cells: Vec<&str> = lines[401].split(',').collect();
    let high: f64 = cells[2].parse().unwrap();
    let changed = format!("{},{},{:.5},{},{},{}", cells[0], cells[1], high + 0.00001, cells[3], cells[4], cells[5]);
    let time = cells[0].to_owned();
    lines[401] = changed;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("changed.csv");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let verdict = verdict_of(&tree, &on_bars(tree.clone(), &file));
    let opened: sentinel_actors::domain::time::UtcMs = time.parse().unwrap();
    let first = &verdict.first[0];
    assert_eq!((first.slot, first.field.as_str()), (opened.plus(Duration::from_secs(3602)), "bars_digest"), "{first}");
    // The windows of 200 bars held it, and those of the 48 hours of a weekend between them, in which no bar came.
    assert_eq!(verdict.differing, 248, "{verdict:?}");
}
