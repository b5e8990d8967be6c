//! `sentinel demo --job allora`: the whole life of a worker, from its registration to the end of its competition.
//!
//! The chain is the one that the tests judge the worker with: it checks every signature and shares no code with the node. It lives
//! in this process and opens a window every few seconds, each an hour of its own time. At the end its own record is compared with
//! the journal, window by window.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sentinel_actors::domain::fact::Fact;
use sentinel_actors::domain::intent::{Intent, IntentEvent, Mode};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Clock, PortFuture};
use sentinel_testbed::chain::{Chain, Genesis, Options, Rules, TopicRules};

use super::{DemoArgs, DemoJob, prepare, print_page};
use crate::arming::Limits;
use crate::cli::allora::report;
use crate::cli::proof::{Due, ProofError, prove};
use crate::cli::run::start_logging;
use crate::cli::text::{labelled, wrapped};
use crate::cli::{Ended, Failure, exit, read_env};
use crate::config::{Config, Env, Flags, MNEMONIC};
use crate::exit::ExitError as _;
use crate::journal::{Filter, JournalError, JournalReader};
use crate::node::{self, ArmedBy, ChainPace, RunOptions};
use crate::venues::allora::broadcaster::Pace;
use crate::venues::allora::health::CoolDown;
use crate::venues::allora::wallet::Wallet;

/// The wallet of every test vector: whoever reads this has it too.
const KNOWN_TO_EVERYONE: &str =
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
/// In the configuration, in place of the chain's name and address.
const CHAIN: &str = "allora-demo";
const ADDRESS: &str = "http://127.0.0.1:26657/";
const TOPIC: u64 = 67;
/// A block of the demo, and the time that passes on its chain meanwhile.
const BLOCK: Duration = Duration::from_millis(150);
const BLOCK_MS: i64 = 300_000;
/// The first block is two hours before the competition, which the configuration says: 2018-04-19T22:00:00Z.
const FIRST_MS: i64 = 1_524_175_200_000;
const FIRST_BLOCK: i64 = 1_000;
/// A window each hour, of fifty minutes: that are one and a half seconds here, and slow machines are to use it too. Its scores come
/// after three hours, where a topic of a week takes a week.
const EPOCH_BLOCKS: i64 = 12;
const WINDOW_BLOCKS: i64 = 10;
const LAG_BLOCKS: i64 = 36;
/// One ALLO.
const BALANCE: u128 = 1_000_000_000_000_000_000;
/// Between two looks at the journal for the table.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// State directories that are tried.
const STATES_MAX: u32 = 1000;

/// Runs the demo.
///
/// # Errors
/// When it cannot be started or its proof cannot be read.
pub(super) fn run(args: &DemoArgs) -> Ended {
    if args.chaos {
        let text =
            "error: --chaos is not for --job allora\n  what to do: leave it out, or choose another job".to_owned();
        return Err(Failure { code: exit::USAGE, text });
    }
    let state = state(args);
    let files = prepare(DemoJob::Allora, &state)?;
    let env: Env = [(MNEMONIC, KNOWN_TO_EVERYONE)].into_iter().collect();
    let worker = Wallet::open(&env)?.address();
    let address = worker.to_string();
    let chain_id = format!("{CHAIN}-{}", std::process::id());
    let chain = Arc::new(start(&chain_id, &address)?);
    let config = DemoJob::Allora.config().replace(ADDRESS, &chain.rpc_url(0));
    let config = config.replace(&format!("{CHAIN:?}"), &format!("{chain_id:?}"));
    let flags =
        Flags { state: Some(state.display().to_string()), live: true, listen: args.listen.clone(), ..Flags::default() };
    let mut config = Config::from_str_at(&config, "the demo's configuration", &files, &read_env()?, &flags)
        .map_err(|errors| Failure { code: errors.exit_code(), text: errors.to_string() })?;
    if let (Some(windows), Some(pipeline)) = (args.bars, config.pipelines.first_mut()) {
        let hours = u64::try_from(windows.get()).unwrap_or(u64::MAX);
        let after = |start: UtcMs| start.plus(Duration::from_secs(hours.saturating_mul(3600)));
        pipeline.window.end = pipeline.window.end.min(pipeline.window.start.map(after));
    }
    let terms = node::live_terms(&config, Some(&worker), Limits::default())?;
    let recorder = start_logging(&config, crate::telemetry::logging::Console::Error)?;
    println!("{}", opening(&address, &state));
    let table = Table::start(state.clone());
    let options = RunOptions {
        // Whatever it sends goes to the chain that was started here.
        armed_by: ArmedBy::Caller(Box::new(terms)),
        recorder,
        faults: args.faults.injector(),
        wallet: Some(Box::new(move || Wallet::open(&env))),
        clock: Arc::new(ChainTime(chain.clone())),
        on_start: Box::new(|running| print_page(running.page)),
        chain_pace: ChainPace {
            survey_every: BLOCK / 4,
            broadcaster: Pace { look: BLOCK / 4, refresh: BLOCK },
            block: BLOCK,
            cool_down: CoolDown { first: BLOCK, max: BLOCK * 4 },
            // Each block is minutes after the one before, and a busy machine sees only some of them.
            jump_max: Duration::from_secs(30 * 86_400),
        },
        ..RunOptions::default()
    };
    let report = node::run(config.clone(), options);
    table.stop();
    let report = report?;
    if report.exit_code() != exit::OK {
        eprintln!("the node ended early, with exit code {}: {}", report.exit_code(), report.end);
        return Ok(report.exit_code());
    }
    conclude(&config, &state, &chain, &address)
}

/// This machine's clock for the demo's node: that of its chain, which is some years ago.
struct ChainTime(Arc<Chain>);

impl Clock for ChainTime {
    fn now(&self) -> UtcMs {
        UtcMs(FIRST_MS + (self.0.height() - FIRST_BLOCK) * BLOCK_MS)
    }

    fn wait_until(&self, _: UtcMs) -> PortFuture<'_, ()> {
        Box::pin(tokio::time::sleep(BLOCK))
    }
}

/// A chain cannot be gone on with: each demo has a directory of its own.
fn state(args: &DemoArgs) -> PathBuf {
    if let Some(state) = &args.state {
        return state.clone();
    }
    let first = PathBuf::from(DemoJob::Allora.default_state());
    let later = (2..STATES_MAX).map(|number| PathBuf::from(format!("{}-{number}", first.display())));
    std::iter::once(first.clone()).chain(later).find(|state| !state.exists()).unwrap_or(first)
}

fn start(chain_id: &str, address: &str) -> Result<Chain, Failure> {
    let topic = TopicRules {
        epoch_length: EPOCH_BLOCKS,
        window: WINDOW_BLOCKS,
        ground_truth_lag: LAG_BLOCKS,
        epoch_last_ended: FIRST_BLOCK - EPOCH_BLOCKS / 2,
        ..TopicRules::default()
    };
    let genesis = Genesis {
        chain_id: chain_id.to_owned(),
        height: FIRST_BLOCK,
        time_ms: FIRST_MS,
        block_ms: BLOCK_MS,
        topics: BTreeMap::from([(TOPIC, topic)]),
        rules: Rules { epochs_kept: 1_000, ..Rules::default() },
        ..Genesis::with_balance(address, BALANCE)
    };
    Chain::start(Options::automatic(genesis, BLOCK)).map_err(|error| Failure::new(exit::SOFTWARE, &error, None))
}

fn opening(address: &str, state: &std::path::Path) -> String {
    let what = format!(
        "sentinel demo: a worker of the Allora network on BTCUSD hours of 2018, with a chain of its own in this process. An hour of \
         the chain takes {:.1} seconds. The wallet {address} is known to everyone. Nothing leaves this machine.",
        (BLOCK * u32::try_from(EPOCH_BLOCKS).unwrap_or(1)).as_secs_f64(),
    );
    format!(
        "{}\nState: {}\n\n window | opened (chain)   |  forecast | block | transaction      | ledger",
        wrapped("", "", &what),
        state.display()
    )
}

/// Prints a line for each window as soon as the ledger has said what became of its forecast.
struct Table {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Table {
    fn start(state: PathBuf) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let stop = ends.clone();
        let thread = std::thread::spawn(move || {
            let mut shown = 0;
            loop {
                let is_last = stop.load(Ordering::Acquire);
                // The journal is not there yet at the beginning.
                if let Ok(lines) = JournalReader::open(&state).and_then(|reader| lines(&reader)) {
                    lines.iter().skip(shown).for_each(|line| println!("{line}"));
                    shown = shown.max(lines.len());
                }
                if is_last {
                    return;
                }
                std::thread::park_timeout(LOOK_EVERY);
            }
        });
        Self { ends, thread }
    }

    fn stop(self) {
        self.ends.store(true, Ordering::Release);
        self.thread.thread().unpark();
        let _ = self.thread.join();
    }
}

/// The oldest windows whose forecasts the ledger has spoken about, without a hole.
fn lines(reader: &JournalReader) -> Result<Vec<String>, JournalError> {
    let mut lines = Vec::new();
    for (intent, facts) in forecasts(reader)? {
        let Some(fact) = facts.iter().find(|fact| !matches!(fact, Fact::Admitted)) else { break };
        let inclusion = intent.receipt.as_ref().and_then(|receipt| receipt.inclusion());
        let (hash, height) = inclusion.map_or(("", 0), |inclusion| (inclusion.hash.as_str(), inclusion.height));
        let value = intent.action.forecast().map(|forecast| forecast.log_return.round_dp(6).to_string());
        lines.push(format!(
            " {:>6} | {} | {:>9} | {height} | {:.16} | {}",
            intent.announced_as.as_deref().unwrap_or_default(),
            intent.slot.timestamp().strftime("%Y-%m-%d %H:%M"),
            value.unwrap_or_default(),
            hash,
            fact.code()
        ));
    }
    Ok(lines)
}

/// Live forecasts that left, oldest first, with what the ledger has said about each.
fn forecasts(reader: &JournalReader) -> Result<Vec<(Intent, Vec<Fact>)>, JournalError> {
    let mut intents = Vec::new();
    reader.each_intent_of::<JournalError>(&Filter::default(), |stored| {
        intents.push(stored.record);
        Ok(())
    })?;
    let live = intents.into_iter().filter(|intent| intent.mode == Mode::Live && intent.state.may_have_left());
    live.map(|intent| {
        let noted = |event| match event {
            IntentEvent::Noted { fact } => Some(fact),
            _ => None,
        };
        let facts = reader.steps(&intent.key)?.into_iter().filter_map(|step| noted(step.record.event?)).collect();
        Ok((intent, facts))
    })
    .collect()
}

/// The report, the journal's proof, and the chain's own record beside it.
fn conclude(config: &Config, state: &std::path::Path, chain: &Chain, address: &str) -> Ended {
    let reader = JournalReader::open(state).map_err(ProofError::from)?;
    let due = config.pipelines.iter().map(|pipeline| {
        let due = Due { schedule: pipeline.slots.grid().cloned(), first: None, last: None };
        (pipeline.name.clone(), due)
    });
    let proof = prove(state, &due.collect(), None)?;
    println!("\n{}\n{}", report::at_the_end(config, state)?, proof.text());
    let truth = chain.truth();
    let (mut stored, mut agree) = (0, 0);
    for (intent, facts) in forecasts(&reader).map_err(ProofError::from)? {
        let nonce = intent.announced_as.as_deref().and_then(|nonce| nonce.parse().ok()).unwrap_or_default();
        let is_stored = truth.submission(address, TOPIC, nonce).stored.is_some();
        stored += u64::from(is_stored);
        agree += u64::from(is_stored == facts.iter().any(|fact| matches!(fact, Fact::Stored { .. })));
    }
    let on_chain = truth.stored.iter().filter(|kept| kept.worker == address).count() as u64;
    let holds = stored == on_chain && truth.paid_twice().is_empty() && truth.done_twice().is_empty();
    let total = forecasts(&reader).map_err(ProofError::from)?.len() as u64;
    let text = format!(
        "{on_chain} forecasts stored by its own record, {stored} of them in the journal, {agree} of {total} told alike, none paid or \
         done twice: {}",
        if holds && agree == total { "holds" } else { "FAILS" }
    );
    println!("{}", labelled("Chain", &text));
    if let Some((intent, _)) = forecasts(&reader).map_err(ProofError::from)?.last() {
        println!("What became of one of them?");
        println!("  sentinel why {} {} --state {}", intent.pipeline, intent.slot, state.display());
    }
    Ok(if holds && agree == total && proof.holds() { exit::OK } else { exit::FAILED })
}
