//! `sentinel try`: a first decision on live bars, without signing up anywhere.
//!
//! It asks EODHD with the vendor's public token `demo`, which has a few calls a day for two symbols, and the demo's models. It is a
//! dry run in everything.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::root_supervisor::RootMsg;

use super::demo::DemoJob;
use super::run::start_logging;
use super::{Ended, Failure, exit};
use crate::config::{Config, Env, Flags};
use crate::exit::ExitError as _;
use crate::journal::{JournalReader, StateError};
use crate::node::{self, RunOptions, Running};
use crate::telemetry::logging::Console;

const CONFIG: &str = include_str!("../../config/demo/try.toml");
/// The vendor's public token.
const TOKEN: &str = "demo";
const LOOK_EVERY: Duration = Duration::from_millis(200);

const HOW_TO_GO_ON: &str = "\
With your own key, every symbol of your plan, and your own model:
  echo EODHD_API_TOKEN=your-key >> .env
  sentinel config mt5 > sentinel.toml
  sentinel check --config sentinel.toml --probe
  sentinel run --config sentinel.toml";

/// What the public token serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TrySymbol {
    /// Buy or sell, on paper.
    #[value(name = "EURUSD")]
    Eurusd,
    /// Forecast a week ahead, on paper; this market never closes.
    #[value(name = "BTCUSD")]
    Btcusd,
}

/// Decides on live bars.
#[derive(Debug, Clone, clap::Args)]
pub struct TryArgs {
    /// What to decide on.
    #[arg(long, default_value = "EURUSD")]
    pub symbol: TrySymbol,
    /// State directory; 'state/try-SYMBOL' when left out.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// End after the first decision.
    #[arg(long)]
    pub once: bool,
    /// Another place of the vendor, for tests.
    #[arg(long, value_name = "URL", hide = true)]
    pub base_url: Option<String>,
}

impl TryArgs {
    const fn job(&self) -> DemoJob {
        match self.symbol {
            TrySymbol::Eurusd => DemoJob::Order,
            TrySymbol::Btcusd => DemoJob::Forecast,
        }
    }

    const fn name(&self) -> &'static str {
        match self.symbol {
            TrySymbol::Eurusd => "EURUSD",
            TrySymbol::Btcusd => "BTCUSD",
        }
    }

    fn state(&self) -> PathBuf {
        let default = || PathBuf::from(format!("state/try-{}", self.name().to_ascii_lowercase()));
        self.state.clone().unwrap_or_else(default)
    }

    /// The part of the file that is about this symbol, with the file's beginning.
    fn config(&self) -> String {
        let mut parts = CONFIG.split("[[pipeline]]");
        let beginning = parts.next().unwrap_or_default();
        let of_symbol = format!("symbol = \"{}\"", self.name());
        let pipeline = parts.find(|part| part.contains(&of_symbol)).unwrap_or_default();
        let place = |url: &String| format!("[pipeline.source]\nbase_url = \"{url}\"");
        let text = format!("{beginning}[[pipeline]]{pipeline}");
        self.base_url.as_ref().map_or(text.clone(), |url| text.replace("[pipeline.source]", &place(url)))
    }
}

/// Decides at once, and then every hour until a signal.
///
/// # Errors
/// When it cannot be started.
pub fn run(args: &TryArgs) -> Ended {
    let (state, files) = (args.state(), args.state().join("files"));
    args.job().unpack(&files).map_err(|source| {
        let error = StateError::Unusable { dir: state.clone(), action: "writing the demo's model", source };
        Failure::new(error.exit_code(), &error, Some("choose another directory with --state".to_owned()))
    })?;
    let env: Env = [("EODHD_API_TOKEN", TOKEN)].into_iter().collect();
    let flags = Flags { state: Some(state.display().to_string()), dry_run: true, ..Flags::default() };
    let config = Config::from_str_at(&args.config(), "the trial's configuration", &files, &env, &flags)
        .map_err(|errors| Failure { code: errors.exit_code(), text: errors.to_string() })?;
    let recorder = start_logging(&config, Console::Silent)?;
    println!("{} with live bars of EODHD, by its public token 'demo', which has about 20 requests a day.", args.name());
    println!("The model is the demo's. It has no edge: do not trade on what it says. Nothing leaves this machine.");
    println!("Ctrl-C ends it; what it decided stays in {}.\n", state.display());
    let printer = SlotPrinter::default();
    let started = printer.clone();
    let (of_printer, once) = (config.clone(), args.once);
    let options = RunOptions {
        recorder,
        once: args.once,
        at_once: true,
        on_start: Box::new(move |running| started.start(of_printer, running, once)),
        ..RunOptions::default()
    };
    let report = node::run(config.clone(), options);
    let could_decide = printer.stop();
    let code = report?.exit_code();
    println!("\n{HOW_TO_GO_ON}");
    Ok(if code == exit::OK && !could_decide { exit::UNAVAILABLE } else { code })
}

/// Tells a newcomer what each slot came to. A thread of its own reads the journal; the node knows nothing of it.
#[derive(Clone, Default)]
struct SlotPrinter(Arc<PrinterState>);

#[derive(Default)]
struct PrinterState {
    ends: AtomicBool,
    /// The first slot could not even get bars, so that going on makes no sense.
    failed: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SlotPrinter {
    fn start(&self, config: Config, running: Running, once: bool) {
        let printer = self.0.clone();
        let thread = std::thread::spawn(move || printer.print_slots(&config, &running, once));
        *self.0.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
    }

    /// Whether the first slot had bars.
    fn stop(&self) -> bool {
        self.0.ends.store(true, Ordering::SeqCst);
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        !self.0.failed.load(Ordering::SeqCst)
    }
}

impl PrinterState {
    fn print_slots(&self, config: &Config, running: &Running, once: bool) {
        let Some(pipeline) = config.pipelines.first() else { return };
        let Ok(reader) = JournalReader::open(&config.node.state) else { return };
        let mut told = reader.last_slot(&pipeline.name).ok().flatten();
        let mut is_first = true;
        if let Some(slot) = told {
            println!(
                "It was run here before, up to {}. The next decision follows when the next hour has closed.",
                short(slot)
            );
        }
        loop {
            let ends = self.ends.load(Ordering::SeqCst);
            let newest = reader.last_slot(&pipeline.name).ok().flatten().filter(|slot| Some(*slot) > told);
            if let Some(slot) = newest
                && let Ok(Some(row)) = reader.slot(&pipeline.name, slot)
            {
                println!("{}", sentence(&row.record));
                let no_bars = matches!(row.record.reason, Reason::SourceFailed | Reason::SourceTimeout);
                if is_first && no_bars {
                    println!("There are no bars. Is this machine online, and may it reach https://eodhd.com?");
                    self.failed.store(true, Ordering::SeqCst);
                    let _ = running.root.cast(RootMsg::Shutdown("there are no bars".to_owned()));
                } else if is_first && !once {
                    println!("The next decision follows when the next hour has closed.");
                }
                (told, is_first) = (Some(slot), false);
            }
            if ends {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// One slot in words.
fn sentence(record: &SlotRecord) -> String {
    let mut text = format!("{}  ", short(record.slot));
    if let Some(bar) = record.decided_bar {
        let _ = write!(text, "On the hour from {}: ", short(bar));
    }
    let row = record.raw_output.as_deref().unwrap_or_default();
    match (&record.signal, record.confidence, row) {
        (Some(signal), Some(confidence), _) => {
            let _ = write!(text, "the model says {} with {:.0} %. ", signal.to_uppercase(), confidence * 100.0);
        }
        (None, _, [value]) => {
            let _ = write!(text, "the model expects {:+.2} % within a week. ", (value.exp() - 1.0) * 100.0);
        }
        _ => {}
    }
    let detail = if record.detail.is_empty() { String::new() } else { format!(" ({})", record.detail) };
    let _ = match record.outcome() {
        Outcome::Acted => write!(text, "That is written into the paper book."),
        Outcome::NoAction => write!(text, "{}", record.reason.meaning()),
        Outcome::Skipped | Outcome::Missed => write!(text, "No decision: {}{detail}", record.reason.meaning()),
    };
    text
}

/// `2026-11-28 19:00`.
fn short(time: UtcMs) -> String {
    time.timestamp().strftime("%Y-%m-%d %H:%M").to_string()
}
