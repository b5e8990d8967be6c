//! `sentinel demo`: the real node on recorded bars, with everything it needs built into the binary.
//!
//! Nothing here is a shortcut through the node: the demo unpacks a configuration, bars and a model, starts what the job needs
//! beside the node, runs it, and then proves from the journal and from the record of where its orders or forecasts went that
//! nothing was lost, doubled or invented. Orders go to a paper gateway, a process of its own, whose ledger knows nothing of
//! the journal; forecasts go to the node's own paper book.

mod allora;
mod job;
mod progress;
mod servers;
mod summary;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::FaultInjector;

pub use self::job::DemoJob;
pub(super) use self::job::{config_of, manifest_of};
use self::progress::{Course, Progress};
use self::servers::{ServerError, Servers};
use super::faults::{ChaosFaults, FaultFlags};
use super::run::start_logging;
use super::text::wrapped;
use super::{Ended, Failure, exit, read_env};
use crate::arming::{Limits, live_places};
use crate::config::{Config, Flags, SourceConfig, Speed};
use crate::exit::ExitError as _;
use crate::journal::{StateDir, StateError, how_to_stop};
use crate::node::{self, ArmedBy, RunOptions};
use crate::telemetry::logging::Console;

/// Appended to the configuration: short deadlines and wide budgets, and nothing else.
const CHAOS: &str = include_str!("../../config/demo/chaos.toml");

/// Shows a node at work.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// What the node does.
    #[arg(long, value_enum, default_value_t = DemoJob::Order)]
    pub job: DemoJob,
    /// Bars per second, or 'max'.
    #[arg(long, default_value = "200", value_name = "N|max")]
    pub speed: DemoSpeed,
    /// Decide this many bars, or windows of a topic, and end; all that are recorded when left out. Hours of a closed market have
    /// slots too.
    #[arg(long, value_name = "N", value_parser = bar_count)]
    pub bars: Option<NonZeroUsize>,
    /// Where the demo keeps its state, 'state/demo' or 'state/demo-forecast' when left out; started again on it, it goes on
    /// after the last finished slot.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Panic, hang and kill random parts of the node while it runs, and prove afterwards that nothing was lost.
    #[arg(long)]
    pub chaos: bool,
    /// Makes the chaos repeatable in kind.
    #[arg(long, requires = "chaos", value_name = "N")]
    pub seed: Option<u64>,
    /// Serve the page there, as 127.0.0.1:9464; port 0 takes one that is free.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// For crash tests.
    #[command(flatten)]
    pub faults: FaultFlags,
}

fn bar_count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "a whole number from 1 up".to_owned())
}

/// How fast the demo goes.
#[derive(Debug, Clone, Copy)]
pub struct DemoSpeed(Speed);

impl FromStr for DemoSpeed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Self(Speed::Max));
        }
        match text.parse::<f64>() {
            Ok(bars) if bars > 0.0 && bars.is_finite() => Ok(Self(Speed::BarsPerSecond(bars))),
            _ => Err("a number above 0, or 'max'".to_owned()),
        }
    }
}

impl DemoArgs {
    /// The state directory.
    fn state(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| PathBuf::from(self.job.default_state()))
    }
}

/// Its journal has another pipeline, and its report and its proof are those of another demo.
#[derive(Debug, thiserror::Error)]
#[error("{} holds a demo with --job {}, and this one has --job {}", state.display(), there.name(), here.name())]
struct OtherJob {
    state: PathBuf,
    there: DemoJob,
    here: DemoJob,
}

/// Runs the demo.
///
/// # Errors
/// When it cannot be started or its proof cannot be read.
pub fn run(args: &DemoArgs) -> Ended {
    if args.job == DemoJob::Allora {
        return allora::run(args);
    }
    let state = args.state();
    let files = prepare(args.job, &state)?;
    let servers = match args.job {
        DemoJob::Order => Some(start_servers(&files, &state)?),
        DemoJob::Forecast | DemoJob::Allora => None,
    };
    let mut config = read_config(args, &files, servers.as_ref())?;
    if let SourceConfig::Csv(csv) = &mut config.pipelines[0].source {
        csv.speed = args.speed.0;
    }
    args.faults.shorten(&mut config.supervision);
    // Chaos ends hundreds of parts; a line for each would bury the summary.
    let is_logged = !args.chaos || read_env()?.get(crate::config::LOG_LEVEL).is_some();
    let recorder = start_logging(&config, if is_logged { Console::Error } else { Console::Silent })?;
    println!("{}", summary::opening(args, servers.as_ref()));

    let chaos = args.chaos.then(|| Arc::new(ChaosFaults::new(args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)))));
    if let Some(chaos) = &chaos {
        let text = format!(
            "Chaos with seed {}: parts of the node will panic, hang and be killed. Each time is a line in {}, and in the \
             sums below.",
            chaos.seed(),
            state.join("logs/sentinel.log").display()
        );
        println!("{}", wrapped("", "", &text));
    }
    let faults: Arc<dyn FaultInjector> = match &chaos {
        Some(chaos) => chaos.clone(),
        None => args.faults.injector(),
    };
    let rows_before = summary::rows(&state);
    let schedule = config.pipelines[0].slots.grid().cloned();
    let course = move |slots: &[(String, UtcMs, Option<UtcMs>)]| {
        let (_, first, last) = slots.first()?;
        Course::new(schedule?, *first, (*last)?)
    };
    let progress = Progress::start(args.job.effects());
    let shown = progress.handle();
    let killer = chaos.clone();
    let options = RunOptions {
        armed_by: armed_by(&config, servers.as_ref().map(|servers| servers.gateway.port))?,
        faults,
        recorder,
        bars: args.bars.map(NonZeroUsize::get),
        on_start: Box::new(move |running| {
            print_page(running.page);
            shown.watch(running.board.clone(), course(&running.slots));
            if let Some(chaos) = killer {
                chaos.kill_at_random(&running);
            }
        }),
        ..RunOptions::default()
    };
    let report = node::run(config.clone(), options);
    let seen = progress.stop();
    let report = report?;
    if report.exit_code() != exit::OK {
        eprintln!("the node ended early, with exit code {}: {}", report.exit_code(), report.end);
        return Ok(report.exit_code());
    }
    summary::print(args, &config, &report, &seen, rows_before, chaos.as_deref())
}

/// Where a browser finds the node.
fn print_page(address: Option<SocketAddr>) {
    if let Some(address) = address {
        println!("Page:  http://{address}/");
    }
}

/// Unpacks the files of a job, in a state directory that is not another job's.
fn prepare(job: DemoJob, state: &Path) -> Result<PathBuf, Failure> {
    if let Some(there) = DemoJob::of_state(state).filter(|there| *there != job) {
        let error = OtherJob { state: state.to_owned(), there, here: job };
        return Err(Failure::new(exit::CONFIG, &error, Some("give this one another --state".to_owned())));
    }
    let files = state.join("files");
    job.unpack(&files).map_err(|source| {
        let error = StateError::Unusable { dir: state.to_owned(), action: "writing the demo's files", source };
        let advice = format!("choose another directory with --state, or {}", error.advice().unwrap_or_default());
        Failure::new(error.exit_code(), &error, Some(advice))
    })?;
    Ok(files)
}

fn start_servers(files: &Path, state: &Path) -> Result<Servers, Failure> {
    Servers::start(files, state).map_err(|error| match error {
        ServerError::InUse { .. } => {
            let stop = how_to_stop(StateDir::holder(state));
            let advice = format!("stop the other demo ({stop}), or give this one another --state");
            Failure::new(exit::TEMPORARY, &error, Some(advice))
        }
        _ => Failure::new(exit::SOFTWARE, &error, None),
    })
}

/// The demo arms its node for the gateway that it started, and for no other place.
fn armed_by(config: &Config, gateway: Option<u16>) -> Result<ArmedBy, Failure> {
    let Some(port) = gateway else { return Ok(ArmedBy::default()) };
    let own = format!("gateway 127.0.0.1:{port},");
    if live_places(config, None).iter().any(|place| !place.goes_to.starts_with(&own)) {
        let text = "error: the demo's configuration names another gateway than the demo has started; nothing was armed";
        return Err(Failure { code: exit::CONFIG, text: text.to_owned() });
    }
    Ok(ArmedBy::Caller(Box::new(node::live_terms(config, None, Limits::default())?)))
}

fn read_config(args: &DemoArgs, files: &Path, servers: Option<&Servers>) -> Result<Config, Failure> {
    let mut text = args.job.config().to_owned();
    if args.chaos {
        text = format!("{text}\n{CHAOS}");
    }
    let flags = Flags {
        state: Some(args.state().display().to_string()),
        // A gateway of its own makes it live; without one there is nothing to be live with.
        live: servers.is_some(),
        dry_run: servers.is_none(),
        hub_port: servers.map(|servers| servers.hub.port),
        gtw_port: servers.map(|servers| servers.gateway.port),
        listen: args.listen.clone(),
        ..Flags::default()
    };
    let env = read_env()?;
    Config::from_str_at(&text, "the demo's configuration", files, &env, &flags)
        .map_err(|errors| Failure { code: errors.exit_code(), text: errors.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Env;

    /// The demo's configuration with an ONNX model, which needs no hub, for a gateway.
    fn config(dir: &Path, host: &str, port: u16) -> Config {
        DemoJob::Order.unpack(dir).unwrap();
        let (before, rest) = DemoJob::Order.config().split_once("[pipeline.model]\n").unwrap();
        let rest = rest.split_once("[pipeline.decision]").unwrap().1;
        let model = "[pipeline.model]\nkind = \"onnx\"\npath = \"model.onnx\"\n";
        let text = format!("{before}{model}[pipeline.decision]{rest}");
        let (gtw_host, gtw_port) = (Some(host.to_owned()), Some(port));
        let flags = Flags { live: true, gtw_host, gtw_port, ..Flags::default() };
        Config::from_str_at(&text, "the demo's configuration", dir, &Env::default(), &flags).unwrap()
    }

    #[test]
    fn the_demo_arms_the_gateway_that_it_started_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let ArmedBy::Caller(terms) = armed_by(&config(dir.path(), "127.0.0.1", 6001), Some(6001)).unwrap() else {
            panic!("an operator is asked")
        };
        assert!(terms.pipelines.iter().all(|live| live.place.goes_to.starts_with("gateway 127.0.0.1:6001,")));
        // On the same port elsewhere, on another port here, and on one whose number begins the same.
        for (host, port) in [("10.0.0.7", 6001), ("broker.example", 6001), ("127.0.0.1", 6002), ("127.0.0.1", 60011)] {
            let refused = armed_by(&config(dir.path(), host, port), Some(6001)).unwrap_err();
            assert!(refused.code == exit::CONFIG && refused.text.contains("another gateway"), "{host}:{port}");
        }
        assert!(matches!(armed_by(&config(dir.path(), "127.0.0.1", 6001), None), Ok(ArmedBy::Operator { .. })));
    }
}
