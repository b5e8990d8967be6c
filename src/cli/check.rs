//! `sentinel check`: judges a configuration without starting anything.
//!
//! What only an adapter can judge, a model that does not load for example, comes in as a function, so that this command
//! says everything that would keep the node from starting.

use std::io::{self, Write};
use std::path::PathBuf;

use super::exit;
use super::overrides::Overrides;
use super::text::wrapped;
use crate::config::{Config, Env, ForecastJob, JobConfig, OrderJob, PipelineConfig};
use crate::exit::ExitError;

/// Arguments of `check`.
#[derive(Debug, Clone, clap::Args)]
pub struct CheckArgs {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "config/sentinel.toml")]
    pub config: PathBuf,
    /// Also ask what a node would ask: the vendor's newest bar, the clock, the model, the disk, the chain, the gateway of a pipeline that is live. Nothing is sent that trades. 0
    /// when all is well, 69 when not.
    #[arg(long)]
    pub probe: bool,
    /// As for `run`: a start with --live has to keep more rules.
    #[command(flatten)]
    pub overrides: Overrides,
}

/// What a look beyond the text of a configuration found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Each is one thing that keeps the node from starting.
    pub problems: Vec<String>,
    /// Each is one line about what it would start with.
    pub facts: Vec<String>,
}

/// Looks beyond the text of a configuration, as the start does.
#[derive(Clone, Copy)]
pub struct Validators<'v> {
    /// At what all pipelines share; each string is one problem.
    pub node: &'v dyn Fn(&Config) -> Vec<String>,
    pub pipeline: &'v dyn Fn(&PipelineConfig) -> Judgement,
}

/// The check did not end well.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error("the configuration has {problems} problem(s)")]
    /// The problems have been printed.
    Invalid { problems: usize, code: u8 },
    /// The report could not be written.
    #[error("the report cannot be written")]
    Output(#[from] io::Error),
}

impl ExitError for CheckError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Invalid { code, .. } => *code,
            Self::Output(_) => exit::IO,
        }
    }
}

/// Prints every problem, or what each pipeline would start with and the verdict.
///
/// # Errors
/// When there is a problem, or no place to print it.
pub fn run(args: &CheckArgs, env: &Env, validate: Validators<'_>, out: &mut dyn Write) -> Result<Config, CheckError> {
    let config = match Config::load(&args.config, env, &args.overrides.flags()) {
        Ok(config) => config,
        Err(errors) => {
            writeln!(out, "{errors}")?;
            return Err(CheckError::Invalid { problems: errors.problems().len(), code: errors.exit_code() });
        }
    };
    let found = (validate.node)(&config);
    for problem in &found {
        writeln!(out, "{}: {problem}", args.config.display())?;
    }
    let mut problems = found.len();
    for pipeline in &config.pipelines {
        let found = (validate.pipeline)(pipeline);
        for problem in &found.problems {
            writeln!(out, "{}: pipeline.{}: {problem}", args.config.display(), pipeline.name)?;
        }
        if found.problems.is_empty() {
            writeln!(out, "{}", summary(pipeline))?;
            for fact in &found.facts {
                writeln!(out, "  {fact}")?;
            }
        }
        problems += found.problems.len();
    }
    if problems > 0 {
        return Err(CheckError::Invalid { problems, code: exit::CONFIG });
    }
    if let Some(what) = config.plain_beyond() {
        writeln!(out, "{}", wrapped("warning: ", "  ", &what))?;
    }
    writeln!(out, "configuration is valid")?;
    Ok(config)
}

fn summary(pipeline: &PipelineConfig) -> String {
    let PipelineConfig { name, symbol, interval, slots, features, job, mode, .. } = pipeline;
    let decides = match job {
        JobConfig::Order(OrderJob { policy, .. }) => {
            format!("threshold {}, {} lots", policy.threshold, policy.volume_lots)
        }
        JobConfig::Forecast(ForecastJob { policy, .. }) => {
            let horizon = humantime::format_duration(policy.horizon);
            format!("forecasts {horizon} ahead, at most {}", policy.max_abs)
        }
    };
    format!("pipeline {name}: {symbol}, bars of {interval}, {slots}, features {}, {decides}, {mode}", features.set)
}
