//! `sentinel check`: judges a configuration without starting anything.
//!
//! What only an adapter can judge, a model that does not load for example, comes in as a function, so that this command
//! says everything that would keep the node from starting.

use std::io::{self, Write};
use std::path::PathBuf;

use super::overrides::Overrides;
use crate::config::{Config, Env, PipelineConfig};

/// Exit code for a configuration that cannot be used (`EX_CONFIG`); a service manager must not start the node again.
pub const EXIT_CONFIG: u8 = 78;
/// Exit code when the report itself cannot be written (`EX_IOERR`).
const EXIT_IO: u8 = 74;

/// Arguments of `check`.
#[derive(Debug, Clone, clap::Args)]
pub struct CheckArgs {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "config/sentinel.toml")]
    pub config: PathBuf,
    /// As for `run`: a start with --live has to keep more rules.
    #[command(flatten)]
    pub overrides: Overrides,
}

/// Judges one pipeline beyond its text; each string is one problem.
pub type Validator<'v> = dyn Fn(&Config, &PipelineConfig) -> Vec<String> + 'v;

/// The check did not end well.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The problems have been printed.
    #[error("the configuration has {0} problem(s)")]
    Invalid(usize),
    /// The report could not be written.
    #[error("the report cannot be written")]
    Output(#[from] io::Error),
}

impl CheckError {
    /// What the process ends with.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Invalid(_) => EXIT_CONFIG,
            Self::Output(_) => EXIT_IO,
        }
    }
}

/// Prints every problem, or one line per pipeline and the verdict.
///
/// # Errors
/// When there is a problem, or no place to print it.
pub fn run(args: &CheckArgs, env: &Env, validate: &Validator<'_>, out: &mut dyn Write) -> Result<(), CheckError> {
    let config = match Config::load(&args.config, env, &args.overrides.flags()) {
        Ok(config) => config,
        Err(errors) => {
            writeln!(out, "{errors}")?;
            return Err(CheckError::Invalid(errors.problems().len()));
        }
    };
    let mut problems = 0;
    for pipeline in &config.pipelines {
        let found = validate(&config, pipeline);
        for problem in &found {
            writeln!(out, "{}: pipeline.{}: {problem}", args.config.display(), pipeline.name)?;
        }
        if found.is_empty() {
            writeln!(out, "{}", summary(&config, pipeline))?;
        }
        problems += found.len();
    }
    if problems > 0 {
        return Err(CheckError::Invalid(problems));
    }
    writeln!(out, "configuration is valid")?;
    Ok(())
}

fn summary(config: &Config, pipeline: &PipelineConfig) -> String {
    let PipelineConfig { name, symbol, interval, schedule, features, policy, .. } = pipeline;
    format!(
        "pipeline {name}: {symbol}, bars of {interval}, {schedule}, features {}, threshold {}, {} lots, {}",
        features.set, policy.threshold, policy.volume_lots, config.node.mode
    )
}
