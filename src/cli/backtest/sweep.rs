//! `sentinel backtest --set`: the same bars under many rules, side by side.

mod grid;
mod words;

use std::io;
use std::path::Path;

use sentinel_actors::domain::schedule::Window;

use self::grid::{Axis, axes, combinations};
use self::words::Swept;
use super::progress::Progress;
use super::scratch::Scratch;
use super::{BacktestArgs, empty};
use crate::backtest::engine::Course;
use crate::backtest::plan::Plan;
use crate::backtest::sweep::{Watcher, sweep};
use crate::cli::forecasts::Periods;
use crate::cli::report::files::{refused, write_document, write_one_table};
use crate::cli::text::labelled;
use crate::cli::{Ended, Failure, exit, read_env};
use crate::config::{Config, Flags, PipelineConfig};
use crate::exit::ExitError as _;

/// The file in the directory of `--csv`.
const FILE: &str = "sweep.csv";

/// Tries every combination on every pipeline.
pub(super) fn run(args: &BacktestArgs, window: Window) -> Ended {
    let axes = axes(&args.set)?;
    let tried = combinations(&axes);
    let base = load(args, &[])?;
    let configs = tried
        .iter()
        .map(|values| load(args, &axes.iter().map(|axis| axis.path).zip(values.iter().cloned()).collect::<Vec<_>>()))
        .collect::<Result<Vec<Config>, Failure>>()?;
    let dir = Scratch::new().map_err(|error| refused(&std::env::temp_dir(), &error))?;
    let mut facts = empty(args);
    let mut table = Vec::new();
    for (at, pipeline) in base.pipelines.iter().enumerate() {
        let jobs: Vec<&PipelineConfig> = configs.iter().filter_map(|config| config.pipelines.get(at)).collect();
        let told = one((&base, pipeline, &jobs), window, dir.path(), (&axes, &tried), &mut table)?;
        facts.backtests.push(told);
    }
    if let Some(dir) = &args.csv {
        write_one_table(dir, FILE, |file| csv(file, &axes, &table))?;
        println!("{}", labelled("Table", &dir.join(FILE).display().to_string()));
    }
    if let Some(path) = &args.html {
        write_document(&facts, path)?;
    }
    Ok(exit::OK)
}

fn load(args: &BacktestArgs, set: &[(&'static str, String)]) -> Result<Config, Failure> {
    let flags = Flags { reads_only: true, dry_run: true, set: set.to_vec(), ..Flags::default() };
    Config::load(&args.config, &read_env()?, &flags)
        .map_err(|errors| Failure { code: errors.exit_code(), text: errors.to_string() })
}

/// One pipeline; its rows go into `table`.
fn one(
    (base, pipeline, jobs): (&Config, &PipelineConfig, &[&PipelineConfig]),
    window: Window,
    dir: &Path,
    (axes, tried): (&[Axis], &[Vec<String>]),
    table: &mut Vec<Vec<String>>,
) -> Result<crate::operator::report::facts::BacktestFacts, Failure> {
    let plan = Plan::new(base, pipeline, window, dir)?;
    // Nothing but the rules differs: the keys are those of the job.
    let rules: Vec<PipelineConfig> =
        jobs.iter().map(|other| PipelineConfig { job: other.job.clone(), ..plan.pipeline.clone() }).collect();
    let alone = Config { pipelines: vec![plan.pipeline.clone()], ..base.clone() };
    let unread = |error| Failure::new(exit::CONFIG, &error, None);
    let periods = Periods::by_pipeline(&alone).map_err(unread)?.remove(&pipeline.name);
    let mut shown = Shown { progress: Progress::new(&pipeline.name), course: None };
    let outcomes = sweep(&plan, &rules, None, periods, &mut shown)?;
    shown.progress.end();
    let slots = shown.course.map_or(0, |course| course.slots);
    let about = shown.course.map(|course| super::words::about(&plan, &course)).unwrap_or_default();
    let pipeline = pipeline.name.as_str();
    let swept = Swept { pipeline, about, slots, periods, axes, tried, outcomes: &outcomes };
    let told = swept.facts();
    println!("{}", labelled("Sweep", pipeline));
    told.warnings.iter().for_each(|warning| println!("{}", labelled("Warning", warning)));
    told.lines.iter().for_each(|(label, text)| println!("{}", labelled(label, text)));
    println!("\n{}\n", swept.table());
    for (values, outcome) in tried.iter().zip(&outcomes) {
        let mut row = vec![pipeline.to_owned()];
        row.extend(values.iter().cloned());
        row.extend(figures(outcome, periods.is_some()));
        table.push(row);
    }
    Ok(told)
}

const FIGURES: [&str; 10] = [
    "orders",
    "trades",
    "won",
    "profit",
    "unseen_trades",
    "unseen_profit",
    "drawdown",
    "exposed_slots",
    "slots",
    "open",
];

fn figures(outcome: &crate::backtest::sweep::Outcome, is_known: bool) -> Vec<String> {
    let unseen = |text: String| if is_known { text } else { String::new() };
    vec![
        outcome.orders.to_string(),
        outcome.trades.closed.to_string(),
        outcome.trades.won.to_string(),
        outcome.trades.profit.to_string(),
        unseen(outcome.unseen.closed.to_string()),
        unseen(outcome.unseen.profit.to_string()),
        outcome.money.drawdown.to_string(),
        outcome.money.exposed.to_string(),
        outcome.money.slots.to_string(),
        outcome.open.to_string(),
    ]
}

fn csv(file: impl io::Write, axes: &[Axis], rows: &[Vec<String>]) -> io::Result<()> {
    let mut out = csv::Writer::from_writer(file);
    let head = std::iter::once("pipeline").chain(axes.iter().map(|axis| axis.key)).chain(FIGURES);
    out.write_record(head)?;
    rows.iter().try_for_each(|row| out.write_record(row))?;
    out.flush()
}

/// Shows how far it is.
struct Shown {
    progress: Progress,
    course: Option<Course>,
}

impl Watcher for Shown {
    fn begin(&mut self, course: Course) {
        self.progress.begin(course.slots);
        self.course = Some(course);
    }

    fn step(&mut self) {
        self.progress.step();
    }
}
