//! `sentinel demo`: the real node on a recorded year, with everything it needs built into the binary.
//!
//! Nothing here is a shortcut through the node: the demo unpacks a configuration, bars and a model, starts a model hub and a
//! paper gateway as processes of their own, runs the node against them, and then proves from the journal and the gateway's
//! ledger, which know nothing of each other, that nothing was lost, doubled or invented.

mod progress;
mod servers;
mod summary;

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::FaultInjector;

use self::progress::{Course, Progress};
use self::servers::{Server, ServerError};
use super::faults::{ChaosFaults, FaultFlags};
use super::proof::venue::LEDGER_FILE;
use super::run::start_logging;
use super::text::wrapped;
use super::{Ended, Failure, exit, read_env};
use crate::config::{Config, Env, Flags, SourceConfig, Speed};
use crate::exit::ExitError as _;
use crate::files::{Durability, replace};
use crate::journal::{StateDir, StateError, how_to_stop};
use crate::node::{self, RunOptions};
use crate::telemetry::logging::Console;

const CONFIG: &str = include_str!("../../config/demo/demo.toml");
/// Appended to the configuration: short deadlines and wide budgets, and nothing else.
const CHAOS: &str = include_str!("../../config/demo/chaos.toml");

/// What the demo works on, by file name.
const FILES: [(&str, &[u8]); 3] = [
    ("eurusd_1h_2017.csv", include_bytes!("../../config/demo/eurusd_1h_2017.csv")),
    ("model.onnx", include_bytes!("../../config/demo/model.onnx")),
    ("model.json", include_bytes!("../../config/demo/model.json")),
];

/// Shows a node at work.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Bars per second, or 'max'.
    #[arg(long, default_value = "200", value_name = "N|max")]
    pub speed: DemoSpeed,
    /// Decide this many bars and end; the whole year when left out. Hours of a closed market have slots too.
    #[arg(long, value_name = "N", value_parser = bar_count)]
    pub bars: Option<NonZeroUsize>,
    /// Where the demo keeps its state; started again on it, it goes on after the last finished slot.
    #[arg(long, value_name = "DIR", default_value = "state/demo")]
    pub state: PathBuf,
    /// Panic, hang and kill random parts of the node while it runs, and prove afterwards that nothing was lost.
    #[arg(long)]
    pub chaos: bool,
    /// Makes the chaos repeatable in kind.
    #[arg(long, requires = "chaos", value_name = "N")]
    pub seed: Option<u64>,
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

/// Runs the demo.
///
/// # Errors
/// When it cannot be started or its proof cannot be read.
pub fn run(args: &DemoArgs) -> Ended {
    let files = args.state.join("files");
    unpack(&files).map_err(|source| {
        let error = StateError::Unusable { dir: args.state.clone(), action: "writing the demo's files", source };
        let advice = format!("choose another directory with --state, or {}", error.advice().unwrap_or_default());
        Failure::new(error.exit_code(), &error, Some(advice))
    })?;
    let (hub, gateway) = start_servers(&files, &args.state)?;
    let mut config = read_config(args, &files, (hub.port, gateway.port))?;
    let SourceConfig::Csv(csv) = &mut config.pipelines[0].source;
    csv.speed = args.speed.0;
    args.faults.shorten(&mut config.supervision);
    // Chaos ends hundreds of parts; a line for each would bury the summary.
    let is_logged = !args.chaos || read_env()?.get(crate::config::LOG_LEVEL).is_some();
    let recorder = start_logging(&config, if is_logged { Console::Error } else { Console::Silent })?;
    println!("{}", summary::opening(args, &hub, &gateway));

    let chaos = args.chaos.then(|| Arc::new(ChaosFaults::new(args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)))));
    if let Some(chaos) = &chaos {
        let text = format!(
            "Chaos with seed {}: parts of the node will panic, hang and be killed. Each time is a line in {}, and in the \
             sums below.",
            chaos.seed(),
            args.state.join("logs/sentinel.log").display()
        );
        println!("{}", wrapped("", "", &text));
    }
    let faults: Arc<dyn FaultInjector> = match &chaos {
        Some(chaos) => chaos.clone(),
        None => args.faults.injector(),
    };
    let rows_before = summary::rows(&args.state);
    let schedule = config.pipelines[0].schedule.clone();
    let course = move |slots: &[(String, UtcMs, Option<UtcMs>)]| {
        let (_, first, last) = slots.first()?;
        Course::new(schedule, *first, (*last)?)
    };
    let progress = Progress::start();
    let shown = progress.handle();
    let killer = chaos.clone();
    let options = RunOptions {
        faults,
        once: false,
        accept_lost_journal: false,
        recorder,
        bars: args.bars.map(NonZeroUsize::get),
        on_start: Box::new(move |running| {
            shown.watch(running.board.clone(), course(&running.slots));
            if let Some(chaos) = killer {
                chaos.kill_at_random(&running);
            }
        }),
    };
    let report = node::run(&config, options);
    let seen = progress.stop();
    let report = report?;
    if report.exit_code() != exit::OK {
        eprintln!("the node ended early, with exit code {}: {}", report.exit_code(), report.end);
        return Ok(report.exit_code());
    }
    summary::print(args, &config, &report, &seen, rows_before, chaos.as_deref())
}

/// The demo's configuration, for a state directory that a demo has left.
pub(super) fn config_of(state: &Path) -> Option<Config> {
    let files = state.join("files");
    let is_demo = state.join(LEDGER_FILE).exists() && FILES.iter().all(|(name, _)| files.join(name).exists());
    let config = || Config::from_str_at(CONFIG, "the demo's configuration", &files, &Env::default(), &Flags::default());
    is_demo.then(config)?.ok()
}

/// The hub and the gateway, listening.
fn start_servers(files: &Path, state: &Path) -> Result<(Server, Server), Failure> {
    let failed = |error: ServerError| match error {
        ServerError::InUse { .. } => {
            let stop = how_to_stop(StateDir::holder(state));
            let advice = format!("stop the other demo ({stop}), or give this one another --state");
            Failure::new(exit::TEMPORARY, &error, Some(advice))
        }
        _ => Failure::new(exit::SOFTWARE, &error, None),
    };
    let (model, bars) = (files.join("model.onnx"), files.join("eurusd_1h_2017.csv"));
    let hub = Server::start("hub", &["hub", "--model", &model.to_string_lossy()], files).map_err(failed)?;
    let bars = format!("EURUSD={}", bars.display());
    let ledger = state.join(LEDGER_FILE);
    let ledger = ledger.to_string_lossy();
    let clock = format!("EURUSD={}", state.join("replay/eurusd.time").display());
    let gateway = ["gateway", "--paper", "--bars", &bars, "--clock", &clock, "--ledger", &ledger];
    let gateway = Server::start("gateway", &gateway, files).map_err(failed)?;
    Ok((hub, gateway))
}

fn read_config(args: &DemoArgs, files: &Path, (hub, gateway): (u16, u16)) -> Result<Config, Failure> {
    let text = if args.chaos { format!("{CONFIG}\n{CHAOS}") } else { CONFIG.to_owned() };
    let flags = Flags {
        state: Some(args.state.display().to_string()),
        live: true,
        hub_port: Some(hub),
        gtw_port: Some(gateway),
        ..Flags::default()
    };
    let env = read_env()?;
    Config::from_str_at(&text, "the demo's configuration", files, &env, &flags)
        .map_err(|errors| Failure { code: exit::CONFIG, text: errors.to_string() })
}

/// Writes the built-in files. What is there already stays untouched: a changed model must not look new on every start.
fn unpack(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for (name, content) in FILES {
        let path = dir.join(name);
        if std::fs::read(&path).is_ok_and(|present| present == content) {
            continue;
        }
        replace(&path, Durability::None, |file| file.write_all(content))?;
    }
    Ok(())
}
