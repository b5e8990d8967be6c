//! `sentinel backtest`: what a node would have decided on recorded bars, and whether that is true.
//!
//! Each pipeline of the configuration is walked through by itself, in dry run, alone on an account of its own. With `--verify` the
//! same bars run through the real tree too, and what differs is named.

mod measured;
mod progress;
mod scratch;
mod tally;
mod words;

use std::path::{Path, PathBuf};

use sentinel_actors::domain::schedule::Window;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Clock as _;

use self::scratch::Scratch;
use self::tally::{Tally, Told};
use self::words::{text, verdict_text};
use super::forecasts::Periods;
use super::report::files::{StagedTables, refused, say_tables, write_document};
use super::{Ended, Failure, exit, read_env};
use crate::backtest::engine::{Digests, walk};
use crate::backtest::plan::Plan;
use crate::backtest::verify::{compare, run_tree};
use crate::config::{Config, Flags, PipelineConfig};
use crate::exit::ExitError as _;
use crate::operator::report::facts::{Facts, Range};
use crate::system::WallClock;

/// Shows what a node would have decided.
#[derive(Debug, Clone, clap::Args)]
pub struct BacktestArgs {
    /// The configuration. Whatever it says, nothing leaves: a backtest is a dry run.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Only slots that were due from this time on, like 2017-06-01T13:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub from: Option<UtcMs>,
    /// Only slots that were due before this time.
    #[arg(long, value_name = "TIME")]
    pub to: Option<UtcMs>,
    /// Write a document for a browser into this file: it needs no other file, no script and no network. An older one is replaced.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write each table as a CSV file into this directory, which must not be there yet, or be empty.
    #[arg(long, value_name = "DIR")]
    pub csv: Option<PathBuf>,
    /// Also run the same bars through the real node, in a temporary directory, and compare every row. 0 when all of them are the same,
    /// 1 when one is not.
    #[arg(long)]
    pub verify: bool,
}

impl BacktestArgs {
    fn window(&self) -> Result<Window, Failure> {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from >= to => {
                let text = format!(
                    "error: --from {from} is not before --to {to}\n  what to do: a range holds its first time and not its last one"
                );
                Err(Failure { code: exit::USAGE, text })
            }
            (start, end) => Ok(Window { start, end }),
        }
    }
}

/// Walks through every pipeline.
///
/// # Errors
/// When there are no bars, no model or no slots, or something cannot be written.
pub fn run(args: &BacktestArgs) -> Ended {
    let window = args.window()?;
    let flags = Flags { reads_only: true, dry_run: true, ..Flags::default() };
    let config = Config::load(&args.config, &read_env()?, &flags)
        .map_err(|errors| Failure { code: errors.exit_code(), text: errors.to_string() })?;
    let dir = Scratch::new().map_err(|error| refused(&std::env::temp_dir(), &error))?;
    let mut staged = args.csv.as_deref().map(StagedTables::begin).transpose()?;
    let mut facts = empty(args);
    let mut plans = Vec::new();
    for pipeline in &config.pipelines {
        let (plan, told) = one(&config, pipeline, window, &dir, staged.as_mut())?;
        println!("{}\n", text(&told));
        take_in(&mut facts, told);
        plans.push(plan);
    }
    if let Some(staged) = staged {
        staged.finish(&facts)?;
    }
    if let Some(path) = &args.html {
        write_document(&facts, path)?;
    }
    args.csv.as_deref().into_iter().for_each(say_tables);
    if args.verify { verify(&config, &plans, dir.path()) } else { Ok(exit::OK) }
}

fn one(
    config: &Config,
    pipeline: &PipelineConfig,
    window: Window,
    dir: &Scratch,
    staged: Option<&mut StagedTables<'_>>,
) -> Result<(Plan, Told), Failure> {
    let plan = Plan::new(config, pipeline, window, dir.path())?;
    let alone = Config { pipelines: vec![plan.pipeline.clone()], ..config.clone() };
    let unread = |error| Failure::new(exit::CONFIG, &error, None);
    let periods = Periods::by_pipeline(&alone).map_err(unread)?.remove(&pipeline.name);
    let of_kinds = Periods::of_config(&alone).map_err(unread)?;
    let csv = staged.as_ref().map(|staged| staged.directory().to_owned());
    let mut tally = Tally::new(&plan, periods, &of_kinds, staged.map(|staged| &mut staged.tables));
    let rest = walk(&plan, (None, Digests::LeftOut), &mut tally)?;
    let told = tally.finish(rest).map_err(|error| refused(csv.as_deref().unwrap_or(dir.path()), &error))?;
    Ok((plan, told))
}

fn empty(args: &BacktestArgs) -> Facts {
    Facts {
        state: args.config.display().to_string(),
        node: "none, this is a backtest.".to_owned(),
        version: env!("SENTINEL_VERSION"),
        made_at: WallClock.now(),
        range: Range { from: args.from, to: args.to },
        lost: None,
        backtests: Vec::new(),
        pipelines: Vec::new(),
        venues: Vec::new(),
        forecasts: Vec::new(),
        workers: Vec::new(),
        halts: Vec::new(),
        open: Vec::new(),
    }
}

fn take_in(facts: &mut Facts, told: Told) {
    facts.backtests.push(told.backtest);
    facts.pipelines.push(told.pipeline);
    facts.venues.extend(told.venue);
    facts.forecasts.extend(told.forecasts);
    facts.halts.extend(told.halts);
}

/// Runs each plan in the real tree.
fn verify(config: &Config, plans: &[Plan], dir: &Path) -> Ended {
    let mut code = exit::OK;
    for plan in plans {
        let state = dir.join(format!("state-{}", plan.pipeline.name));
        eprintln!("{}: the same bars now run through the real node, which takes longer", plan.pipeline.name);
        run_tree(config, plan, &state)?;
        let verdict = compare(plan, None, &state)?;
        println!("{}", verdict_text(&plan.pipeline.name, &verdict));
        if !verdict.agrees() {
            code = exit::FAILED;
        }
    }
    Ok(code)
}
