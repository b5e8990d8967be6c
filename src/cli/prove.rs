//! `sentinel prove`: whether a state directory keeps what the node promises.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::proof::{Due, prove};
use super::text::labelled;
use super::{Ended, Failure, StateFlag, demo, exit, read_env};
use crate::config::{Config, Flags, PipelineConfig};
use crate::exit::ExitError as _;
use crate::journal::read_last_exit;

/// Proves a state directory.
#[derive(Debug, Clone, clap::Args)]
pub struct ProveArgs {
    /// Whose journal.
    #[command(flatten)]
    pub state: StateFlag,
    /// The node's configuration: its schedules say which slots were due. The demo's are known.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The ledger of the paper gateway that the orders went to.
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// The form.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    pub format: Form,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Lines for people.
    Text,
    /// One JSON object.
    Json,
}

/// Proves and prints.
///
/// # Errors
/// When there is no journal, or something cannot be read.
pub fn run(args: &ProveArgs) -> Ended {
    let config = args.config.as_deref().map(load).transpose()?;
    let state = args.state.of(config.as_ref())?;
    let due = match &config {
        Some(config) => due(config, &state),
        None => demo::config_of(&state).map(|config| due(&config, &state)).unwrap_or_default(),
    };
    let proof = prove(&state, &due, args.ledger.as_deref())?;
    match args.format {
        Form::Text => {
            println!("{}", labelled("State", &state.display().to_string()));
            println!("{}", proof.text());
        }
        Form::Json => println!("{}", proof.json()),
    }
    Ok(if proof.holds() { exit::OK } else { exit::FAILED })
}

/// A configuration that is only read.
pub(super) fn load(file: &Path) -> Result<Config, Failure> {
    let flags = Flags { reads_only: true, ..Flags::default() };
    Config::load(file, &read_env()?, &flags)
        .map_err(|errors| Failure { code: errors.exit_code(), text: errors.to_string() })
}

/// What a configuration says of the slots that are due, by pipeline, and the last run of where they end.
fn due(config: &Config, state: &Path) -> BTreeMap<String, Due> {
    let finished = read_last_exit(state).map(|exit| exit.finished).unwrap_or_default();
    let due = |pipeline: &PipelineConfig| Due {
        schedule: pipeline.slots.grid().cloned(),
        first: None,
        last: finished.get(&pipeline.name).copied(),
    };
    config.pipelines.iter().map(|pipeline| (pipeline.name.clone(), due(pipeline))).collect()
}
