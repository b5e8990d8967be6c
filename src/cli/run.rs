//! `sentinel run`: a node until its competitions end or a signal stops it.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use sentinel_actors::domain::reason::Outcome;
use sentinel_actors::ports::NoFaults;
use sentinel_actors::root_supervisor::NodeEnd;

use super::allora::report::at_the_end as final_report;
use super::check::Judgement;
use super::faults::FaultFlags;
use super::overrides::Overrides;
use super::{Ended, Failure, exit, read_env};
use crate::config::{Config, Flags, PipelineConfig};
use crate::exit::ExitError;
use crate::journal::{JournalError, JournalReader, check_state_dir, require_remembered};
use crate::node::{self, ArmedBy, RunOptions, RunReport};
use crate::telemetry::logging::{self, Console};
use crate::telemetry::modes::Modes;
use crate::telemetry::record::Recorder;
use crate::venues::allora::wallet::Wallet;

const NO_CONFIG: &str = "\
no configuration was given.
  to see a node at work, without any configuration:  sentinel demo
  to see one decide on live bars, without a key:     sentinel try
  to run your own:  sentinel config mt5 > FILE, adapt it, then  sentinel check --config FILE  and  sentinel run --config FILE";

/// Runs a node.
#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Decide once for each pipeline and end: the newest closed bar, or on recorded bars the next one. 0 when every one was
    /// decided, 69 when one was not.
    #[arg(long)]
    pub once: bool,
    /// What overrides the configuration.
    #[command(flatten)]
    pub overrides: Overrides,
    /// State directory; overrides the configuration.
    #[arg(long, value_name = "DIR")]
    pub state: Option<String>,
    /// Once, after the account was compared by hand: start although the journal is missing, another one, or older than this
    /// state directory remembers.
    #[arg(long)]
    pub accept_lost_journal: bool,
    /// For crash tests.
    #[command(flatten)]
    pub faults: FaultFlags,
}

/// Runs until the end.
///
/// # Errors
/// When the node cannot be started.
pub fn run(args: &RunArgs) -> Ended {
    let Some(file) = &args.config else {
        return Err(Failure { code: exit::USAGE, text: format!("error: {NO_CONFIG}") });
    };
    let flags = Flags { state: args.state.clone(), ..args.overrides.flags() };
    let env = read_env()?;
    let mut config = Config::load(file, &env, &flags)
        .map_err(|errors| Failure { code: errors.exit_code(), text: errors.to_string() })?;
    args.faults.shorten(&mut config.supervision);
    let recorder = start_logging(&config, Console::Error)?;
    let command = super::arm::command(&config, file, &args.overrides, "arm");
    let options = RunOptions {
        armed_by: ArmedBy::Operator { command },
        once: args.once,
        accept_lost_journal: args.accept_lost_journal,
        wallet: Some(Box::new(move || Wallet::open(&env))),
        recorder,
        faults: args.faults.injector(),
        venue_again: args.faults.venue_again(),
        measure_disk: args.faults.measure_disk(),
        ..RunOptions::default()
    };
    let state = config.node.state.clone();
    let with_topics = config.pipelines.iter().any(|pipeline| pipeline.topic().is_some()).then(|| config.clone());
    let report = node::run(config, options)?;
    if let (Some(config), NodeEnd::Finished, false) = (&with_topics, &report.end, args.once) {
        println!("{}", final_report(config, &state)?);
    }
    if args.once && report.exit_code() == exit::OK { once_code(&state, &report) } else { Ok(report.exit_code()) }
}

/// Log lines from here on.
pub(super) fn start_logging(config: &Config, console: Console) -> Result<Recorder, Failure> {
    logging::init(&config.log, Modes::of(config), console).map_err(|error| Failure::new(exit::SOFTWARE, &error, None))
}

/// Whether the newest slot of every pipeline was decided.
fn once_code(state: &Path, report: &RunReport) -> Ended {
    let reader = JournalReader::open(state)?;
    if report.slots.is_empty() {
        println!("stopped before a slot was due");
        return Ok(exit::UNAVAILABLE);
    }
    let mut code = exit::OK;
    for (pipeline, _, _) in &report.slots {
        let newest = reader.last_slot(pipeline)?;
        let row = newest.map(|slot| reader.slot(pipeline, slot)).transpose()?.flatten();
        let Some(row) = row else {
            println!("{pipeline}: no slot was due");
            code = exit::UNAVAILABLE;
            continue;
        };
        let record = row.record;
        let line = format!("{pipeline} {}: {} ({}) {}", record.slot, record.outcome(), record.reason, record.detail);
        println!("{}", line.trim_end());
        if !matches!(record.outcome(), Outcome::Acted | Outcome::NoAction) {
            code = exit::UNAVAILABLE;
        }
    }
    Ok(code)
}

/// What would keep a node from starting, beyond the text of its configuration.
#[must_use]
pub fn judge_node(config: &Config) -> Vec<String> {
    let state = &config.node.state;
    let alerts = node::alert_settings(&config.alerts).err().unwrap_or_default();
    let mut problems: Vec<String> = alerts.into_iter().map(text).collect();
    if let Err(error) = check_state_dir(state) {
        problems.push(text(error));
        return problems;
    }
    if let Err(error) = node::page::rules(&config.http) {
        return vec![text(error)];
    }
    // What else is wrong with a journal is for the start, which may change it.
    if let Err(error @ JournalError::Lost { .. }) = require_remembered(state) {
        problems.push(text(error));
    }
    problems
}

/// What would keep a pipeline from starting, beyond the text of its configuration, and what it would start with.
#[must_use]
pub fn judge(pipeline: &PipelineConfig) -> Judgement {
    let mut judgement = Judgement::default();
    match node::survey_bars(pipeline) {
        Ok(survey) => judgement.facts.extend(survey.map(|survey| survey.to_string())),
        Err(error) => judgement.problems.push(text(error)),
    }
    match node::try_model(pipeline, Arc::new(NoFaults)) {
        Ok(fact) => judgement.facts.extend(fact),
        Err(error) => judgement.problems.push(text(error)),
    }
    judgement
}

fn text(error: impl ExitError) -> String {
    Failure::from(error).text.trim_start_matches("error: ").to_owned()
}
