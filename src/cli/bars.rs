//! `sentinel bars`: the bars of a vendor as a file, and what its bars are like.

pub mod fetch;
pub mod report;

use super::{Ended, Failure, exit, read_env};
use crate::config::{Config, Flags, PipelineConfig};
use crate::exit::ExitError as _;

/// Bars of a vendor.
#[derive(Debug, clap::Args)]
pub struct BarsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: BarsCommand,
}

/// What can be done with bars.
#[derive(Debug, clap::Subcommand)]
pub enum BarsCommand {
    /// Fetch a range of bars from a pipeline's source into a file that a node replays and a model is trained on.
    ///
    /// Hours are made from minutes when the pipeline makes them. A fetch that stops, for a limit of the vendor or by a signal,
    /// goes on where it stopped when the same command is given again.
    #[command(after_help = super::examples::BARS_FETCH)]
    Fetch(fetch::FetchArgs),
    /// Show how late, how complete and how stable the bars are that the node has seen.
    #[command(after_help = super::examples::BARS_REPORT)]
    Report(report::ReportArgs),
}

/// Runs the command.
///
/// # Errors
/// When it failed.
pub fn run(args: &BarsArgs) -> Ended {
    match &args.command {
        BarsCommand::Fetch(args) => fetch::run(args),
        BarsCommand::Report(args) => report::run(args),
    }
}

/// A configuration of which a vendor is asked.
fn load(file: &std::path::Path, reads_only: bool) -> Result<Config, Failure> {
    let flags = Flags { reads_only, ..Flags::default() };
    Config::load(file, &read_env()?, &flags)
        .map_err(|errors| Failure { code: errors.exit_code(), text: errors.to_string() })
}

/// The pipeline of that name, or the only one.
fn pipeline<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c PipelineConfig, Failure> {
    let found = match name {
        Some(name) => config.pipelines.iter().find(|pipeline| pipeline.name == name),
        None => config.pipelines.first().filter(|_| config.pipelines.len() == 1),
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = config.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
        let text = format!("error: say which pipeline, with --pipeline: {}", names.join(", "));
        Failure { code: exit::USAGE, text }
    })
}
