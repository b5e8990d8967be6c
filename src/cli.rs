//! The command line: one file per subcommand. A subcommand returns its exit code or an error with one; only the binary ends
//! the process.

pub mod alert;
pub mod allora;
pub mod arm;
pub mod backtest;
pub mod backup;
pub mod bars;
pub mod bundle;
pub mod check;
pub mod completions;
pub mod config_files;
pub mod demo;
mod examples;
pub mod faults;
pub mod features;
pub mod flatten;
pub mod forecasts;
pub mod gateway;
pub mod halt;
pub mod health;
pub mod hub;
pub mod journal;
pub mod overrides;
pub mod parent;
pub mod probe;
pub mod probe_gateway;
pub mod proof;
pub mod prove;
pub mod report;
pub mod restore;
pub mod resume;
pub mod run;
pub mod settle;
pub mod status;
pub mod stopped;
pub mod text;
pub mod try_out;
pub mod why;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Parser, Subcommand};
use sentinel_actors::error_chain::causes;

use crate::config::{Config, Env, STATE};
pub use crate::exit;
use crate::exit::ExitError;
use crate::operator::control::client::ClientError;
use crate::system::WallClock;

/// A supervised node that acts on model predictions around the clock. A dry run is the default.
#[derive(Debug, Parser)]
#[command(name = "sentinel", version = env!("SENTINEL_VERSION"), after_help = examples::PROGRAM, max_term_width = 80)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch a node trade or forecast on recorded hours; everything that it needs is built in.
    #[command(after_help = examples::DEMO)]
    Demo(demo::DemoArgs),
    /// See a first decision on live bars within a minute, without an account or a key.
    #[command(after_help = examples::TRY)]
    Try(try_out::TryArgs),
    /// Run a node until its competitions end or a signal stops it.
    #[command(after_help = examples::RUN)]
    Run(run::RunArgs),
    /// Show what `run --live` would let go live, and confirm it by its identity.
    #[command(after_help = examples::ARM)]
    Arm(arm::ArmArgs),
    /// Print a commented configuration to begin your own with.
    #[command(after_help = examples::CONFIG)]
    Config(config_files::ConfigArgs),
    /// Check a configuration and everything that it names, without starting a node.
    #[command(after_help = examples::CHECK)]
    Check(check::CheckArgs),
    /// Explain one slot: what was due, seen, predicted, decided and done.
    #[command(after_help = examples::WHY)]
    Why(why::WhyArgs),
    /// Show the journal's rows.
    #[command(after_help = examples::JOURNAL)]
    Journal(journal::JournalArgs),
    /// Show what a node has done so far: slots by reason, orders, positions, profit, and what waits for an operator.
    #[command(after_help = examples::REPORT)]
    Report(report::ReportArgs),
    /// Prove that the journal agrees with itself, with the schedule, and with the venue's own record.
    #[command(after_help = examples::PROVE)]
    Prove(prove::ProveArgs),
    /// Show what a node would have decided on recorded bars, in a moment, and prove it.
    #[command(after_help = examples::BACKTEST)]
    Backtest(backtest::BacktestArgs),
    /// Compute features from a bar file, exactly as a node does.
    #[command(after_help = examples::FEATURES)]
    Features(features::FeaturesArgs),
    /// Fetch a vendor's bars into a file, or show what they are like.
    #[command(after_help = examples::BARS)]
    Bars(bars::BarsArgs),
    /// Serve a model as MLflow would, for a node to ask.
    ///
    /// Prints the line `listening on http://ADDRESS` once it listens, and ends with SIGTERM or SIGINT. For tests of a client
    /// it also misbehaves: with --fault, or with `POST /testbed/fault {"fault":"nan@1-3"}` while it runs, counted from then
    /// on; `GET /testbed/asked` counts what has reached it.
    #[command(after_help = examples::HUB)]
    Hub(hub::HubArgs),
    /// Say whether a running node does useful work: 0 and one line, or 1 and the reason.
    #[command(after_help = examples::HEALTH)]
    Health(health::HealthArgs),
    /// Show on one screen what a node does, what keeps it from it, and what waits for an operator.
    #[command(after_help = examples::STATUS)]
    Status(status::StatusArgs),
    /// Let nothing leave any more, of one pipeline or of all, until an operator lifts it.
    #[command(after_help = examples::HALT)]
    Halt(halt::HaltArgs),
    /// Close everything that is open of a live pipeline, and open nothing more.
    #[command(after_help = examples::FLATTEN)]
    Flatten(flatten::FlattenArgs),
    /// Lift a halt, or end the safe mode of a node that crashed repeatedly.
    #[command(after_help = examples::RESUME)]
    Resume(resume::ResumeArgs),
    /// Record what an operator found out about an order that asking the venue cannot settle.
    #[command(after_help = examples::SETTLE)]
    Settle(settle::SettleArgs),
    /// Copy the state of a node into one archive, while it runs or not.
    #[command(after_help = examples::BACKUP)]
    Backup(backup::BackupArgs),
    /// Make a new state directory from a backup; it is halted.
    #[command(after_help = examples::RESTORE)]
    Restore(restore::RestoreArgs),
    /// Collect what to send with a question about a node; secrets are hidden.
    #[command(after_help = examples::BUNDLE)]
    Bundle(bundle::BundleArgs),
    /// Try a route of the alerts with one message.
    #[command(after_help = examples::ALERT)]
    Alert(alert::AlertArgs),
    /// Play a trade gateway on paper: the ZeroMQ server that orders go to, with a ledger of its own.
    #[command(after_help = examples::GATEWAY)]
    Gateway(gateway::GatewayArgs),
    /// Say which dialect a trade gateway speaks, from one question that cannot trade.
    #[command(after_help = examples::PROBE_GATEWAY)]
    ProbeGateway(probe_gateway::ProbeGatewayArgs),
    /// Show how an Allora worker stands and what became of its windows; look into wallet and transactions.
    #[command(after_help = examples::ALLORA)]
    Allora(allora::AlloraArgs),
    /// Print what a shell reads to complete commands, flags and values.
    #[command(after_help = examples::COMPLETIONS)]
    Completions(completions::CompletionsArgs),
}

/// An error with its exit code and what to do about it.
#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    /// What is wrong, with its causes, and what to do.
    pub text: String,
}

impl Failure {
    /// From an error and everything that caused it.
    pub fn new(code: u8, error: &dyn Error, advice: Option<String>) -> Self {
        let mut text = format!("error: {}", causes(error).join("\n  because: "));
        if let Some(advice) = advice {
            text = format!("{text}\n  what to do: {advice}");
        }
        Self { code, text }
    }
}

impl<E: ExitError> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.exit_code(), &error, error.advice())
    }
}

/// What a subcommand ends with.
pub type Ended = Result<u8, Failure>;

/// Runs the subcommand.
///
/// # Errors
/// When it failed; the error knows the exit code.
pub fn run(cli: Cli) -> Ended {
    let mut out = io::stdout();
    match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Try(args) => try_out::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Backtest(args) => backtest::run(&args),
        Command::Arm(args) => arm::run(&args),
        Command::Config(args) => config_files::run(&args),
        Command::Check(args) => {
            let env = read_env()?;
            let validators = check::Validators { node: &run::judge_node, pipeline: &run::judge };
            let config = check::run(&args, &env, validators, &mut out)?;
            if let Some(text) = arm::standing(&config, &env, &args.config, &args.overrides) {
                println!("{text}");
            }
            if !args.probe {
                return Ok(exit::OK);
            }
            let good = probe::run(&config, Arc::new(WallClock), &mut out);
            let good = good.map_err(|error| Failure::new(exit::IO, &error, None))?;
            Ok(if good { exit::OK } else { exit::UNAVAILABLE })
        }
        Command::Why(args) => {
            why::run(&args, &args.state.dir()?, &mut out)?;
            Ok(exit::OK)
        }
        Command::Journal(args) => {
            journal::run(&args, &args.state().dir()?, &mut out)?;
            Ok(exit::OK)
        }
        Command::Report(args) => report::run(&args),
        Command::Prove(args) => prove::run(&args),
        Command::Features(args) => {
            println!("{}", features::run(&args)?);
            Ok(exit::OK)
        }
        Command::Bars(args) => bars::run(&args),
        Command::Hub(args) => hub::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Halt(args) => halt::run(&args),
        Command::Flatten(args) => flatten::run(&args),
        Command::Resume(args) => resume::run(&args),
        Command::Settle(args) => settle::run(&args),
        Command::Backup(args) => backup::run(&args),
        Command::Restore(args) => restore::run(&args),
        Command::Bundle(args) => bundle::run(&args),
        Command::Alert(args) => alert::run(&args),
        Command::Gateway(args) => gateway::run(&args),
        Command::ProbeGateway(args) => probe_gateway::run(&args),
        Command::Allora(args) => allora::run(&args, &mut out),
        Command::Completions(args) => completions::run(&args, &mut out),
    }
}

/// The state directory of a node: a flag, else SENTINEL_STATE, else `state`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct StateFlag {
    /// State directory of the node; SENTINEL_STATE or 'state' when left out.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

impl StateFlag {
    /// The directory.
    ///
    /// # Errors
    /// When `.env` cannot be read.
    pub fn dir(&self) -> Result<PathBuf, Failure> {
        let by_env = || Ok(PathBuf::from(read_env()?.get(STATE).unwrap_or("state")));
        self.state.clone().map_or_else(by_env, Ok)
    }

    /// The directory, which a configuration names too; a flag goes before it.
    fn of(&self, config: Option<&Config>) -> Result<PathBuf, Failure> {
        match (&self.state, config) {
            (None, Some(config)) => Ok(config.node.state.clone()),
            _ => self.dir(),
        }
    }
}

/// A text that says something.
fn said(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Err("it is empty: say who looked, and what was seen".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// Who gives this command, for the journal.
fn who() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

/// What a running node answered, or that it did not.
fn unanswered(error: &ClientError) -> Failure {
    Failure::new(error.exit_code(), error, error.advice())
}

/// The environment and the `.env` file of the working directory.
fn read_env() -> Result<Env, Failure> {
    Env::read(Path::new(".")).map_err(|error| Failure::new(exit::CONFIG, &error, None))
}
