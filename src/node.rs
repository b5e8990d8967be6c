//! The node as a process: configuration → ports → supervision tree, on two runtimes, until it ends.
//!
//! The control plane has its own runtime and thread, so that a worker that blocks never delays its supervisor. A plain OS
//! thread watches both. Start and recovery are one path: what the last run left open is resumed from the journal.

mod alerts;
mod arming;
mod backups;
mod boot;
pub mod disk;
mod error;
mod flatten;
pub mod health;
mod health_reporter;
mod notify;
mod opening;
mod ownership;
pub mod page;
mod shutdown;
mod wiring;
pub mod worker_report;
mod worker_threads;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sentinel_actors::admission::{Admission, CYCLES_AT_WORK};
use sentinel_actors::domain::node_view::LastEnd;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use sentinel_actors::events;
use sentinel_actors::halts::Halts;
use sentinel_actors::meters::Meters;
use sentinel_actors::node::{NodeSpec, RunningNode, start};
use sentinel_actors::ports::{Arming as _, Clock, FaultInjector, JournalStore, NoFaults};
use sentinel_actors::root_supervisor::{NodeEnd, RootMsg};
use sentinel_actors::settings::{NodeShared, Workers};
use sentinel_actors::status::{Board, ClockOffsets};
use sentinel_actors::supervision::CrashLog;
use sentinel_actors::supervision::watch::{Progress, WatchLimits, Watchdog};
use tokio::runtime::{Builder, Handle, Runtime};
use tracing::{debug, info, warn};

pub use self::alerts::{SecretError, alert_settings};
use self::arming::Watched;
pub use self::arming::{ArmedBy, UnknownModel, VENUE_AGAIN, live_effects, live_model, live_terms, look, watch_of};
use self::boot::{leave_safe_mode, log_journal_loss, record_halts, register_boot};
use self::disk::{DiskWatch, MeasureDisk, MeasuredDisk};
pub use self::error::NodeError;
pub use self::flatten::{Closable, FlattenError};
use self::health_reporter::HealthReporter;
use self::page::Page;
use self::shutdown::{Aborter, Signals};
pub use self::wiring::{
    ChainPace, MemoryBook, OpenVendor, Rehearsed, WiredPipeline, cached_bars, open_gateway, open_model, open_vendor,
    rehearse, survey_bars, try_model, wire,
};
use self::worker_threads::WorkerThreads;
use crate::config::{Config, ModelConfig, PipelineConfig};
use crate::exit::{self, ExitError as _, with_advice};
use crate::journal::{
    BootVerdict, JournalReader, LastExit, SqliteJournal, Start, StateDir, StoreOptions, keep_last_exit,
};
use crate::kill_file::KillFile;
use crate::operator::alerts::courier::AlertSettings;
use crate::operator::control::routes::Control;
use crate::operator::control::server::ControlServer;
use crate::operator::live_node::{LastProgress, LiveNode};
use crate::system::{QuarantineDir, SystemChance, WallClock};
use crate::telemetry::record::Recorder;
use crate::venues::allora::wallet::{Wallet, WalletError};

/// Elapsed time between two progress beats; the watchdog expects them.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// Cycles in flight get the shutdown time divided by this before their pipelines are stopped.
const CLOSE_SHARE: u32 = 2;
/// How long the end of the process waits for the log file.
const LOG_FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// Opens a wallet. Each part that signs, or rehearses it, opens its own.
pub type OpenWallet = Box<dyn Fn() -> Result<Wallet, WalletError> + Send>;

/// How a caller changes a run. The default is what `sentinel run` does.
pub struct RunOptions {
    /// Who has armed its live pipelines; those in dry run need nobody.
    pub armed_by: ArmedBy,
    /// Injected faults; production injects none.
    pub faults: Arc<dyn FaultInjector>,
    /// Schedule time of pipelines with live sources; tests move it.
    pub clock: Arc<dyn Clock>,
    /// Run one slot of each pipeline and end.
    pub once: bool,
    /// Live pipelines without rows begin with the newest slot that is due, however late it is.
    pub at_once: bool,
    /// Accept a journal that is missing, foreign or older than the state directory remembers: the operator has checked the
    /// account.
    pub accept_lost_journal: bool,
    /// Opens the wallet of pipelines with a topic.
    pub wallet: Option<OpenWallet>,
    /// How soon a venue that has not said what it is is asked again; campaigns shorten it as their gateways do.
    pub venue_again: Duration,
    /// How often a chain is looked at.
    pub chain_pace: ChainPace,
    /// Where what the node does is counted.
    pub meters: Arc<Meters>,
    /// How full the disk with the state directory is; tests fill it.
    pub measure_disk: MeasureDisk,
    /// Where warnings go besides the log.
    pub recorder: Recorder,
    /// This machine's clock beside those of the servers that the node asks.
    pub clocks: Arc<ClockOffsets>,
    /// Stop each replay after this many decided bars.
    pub bars: Option<usize>,
    /// Called on the control plane once the tree runs: for progress displays and fault injection.
    pub on_start: Box<dyn FnOnce(Running) + Send>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            armed_by: ArmedBy::default(),
            faults: Arc::new(NoFaults),
            clock: Arc::new(WallClock),
            once: false,
            at_once: false,
            accept_lost_journal: false,
            wallet: None,
            venue_again: VENUE_AGAIN,
            chain_pace: ChainPace::live(),
            meters: Arc::default(),
            measure_disk: disk::by_the_system(),
            recorder: Recorder::default(),
            clocks: Arc::default(),
            bars: None,
            on_start: Box::new(|_| ()),
        }
    }
}

/// A running node, for progress displays and fault injection.
pub struct Running {
    pub board: Board,
    pub control: Handle,
    pub root: ractor::ActorRef<RootMsg>,
    /// Where the page is served.
    pub page: Option<SocketAddr>,
    /// As [`RunReport::slots`].
    pub slots: Vec<(String, UtcMs, Option<UtcMs>)>,
}

#[derive(Debug)]
pub struct RunReport {
    pub end: NodeEnd,
    /// The slots that each replay or single run covered, first and last, by pipeline; `None` where there is no last one.
    pub slots: Vec<(String, UtcMs, Option<UtcMs>)>,
}

impl RunReport {
    /// The process's exit code.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self.end {
            NodeEnd::Finished | NodeEnd::ShutdownRequested(_) => exit::OK,
            NodeEnd::Meltdown(_) => exit::SOFTWARE,
            NodeEnd::JournalFailed(_) => exit::IO,
        }
    }

    /// By pipeline, the last slot that must have its row; none when the run ended before it was through.
    #[must_use]
    pub fn finished(&self) -> BTreeMap<String, UtcMs> {
        let slots = self.slots.iter().filter(|_| self.end == NodeEnd::Finished);
        slots.filter_map(|(pipeline, _, last)| Some((pipeline.clone(), (*last)?))).collect()
    }
}

/// Runs a node until it ends, and leaves its exit code in the state directory.
///
/// # Errors
/// When it cannot be started; the error knows its exit code and what to do.
pub fn run(config: Config, options: RunOptions) -> Result<RunReport, NodeError> {
    let state = StateDir::open(&config.node.state)?;
    let recorder = options.recorder.clone();
    recorder.attach(&state);
    let disk = MeasuredDisk::default();
    let watch = DiskWatch::new(
        state.path().to_owned(),
        config.node.disk_warning_mb,
        options.measure_disk.clone(),
        disk.clone(),
    );
    let health_reporter = HealthReporter::start(&config, state.path(), watch);
    let aborter =
        Aborter { state: state.path().to_owned(), recorder: recorder.clone(), board: Arc::new(OnceLock::new()) };
    let report = run_locked(config, &state, options, disk, &health_reporter, &aborter);
    if let Err(error) = &report {
        // For the log file; the command line prints the error to standard error, with advice.
        debug!(event = "start_failed", error = %chain(error), "the node could not be started");
    }
    let code = report.as_ref().map_or_else(NodeError::exit_code, RunReport::exit_code);
    let finished = report.as_ref().map(RunReport::finished).unwrap_or_default();
    let exit = LastExit { code: i32::from(code), at: WallClock.now(), finished };
    if let Err(error) = keep_last_exit(state.path(), &exit) {
        warn!(event = "last_exit_lost", error = %chain(&error), "the exit code could not be kept for the next start");
    }
    aborter.log_end(code, &report.as_ref().map_or_else(|error| chain(error), |report| report.end.to_string()));
    health_reporter.ended();
    recorder.flush(LOG_FLUSH_WITHIN);
    report
}

fn run_locked(
    mut config: Config,
    state: &Arc<StateDir>,
    mut options: RunOptions,
    disk: MeasuredDisk,
    health_reporter: &HealthReporter,
    aborter: &Aborter,
) -> Result<RunReport, NodeError> {
    let told = alert_settings(&config.alerts).map_err(NodeError::Alerts)?;
    // First of all: a run that was not armed changes nothing.
    let watch = arming::watch(&config, state.path(), &options.armed_by, options.wallet.as_ref())?;
    let control = Builder::new_current_thread().enable_all().build().map_err(NodeError::Runtime)?;
    // Caught from the beginning: a signal during the start is an orderly shutdown too, not a crash.
    let mut signals = {
        let _inside = control.enter();
        Signals::new().map_err(NodeError::Runtime)?
    };
    let (verdict, last_end) = match control.block_on(register_boot(state, health_reporter, &mut signals)) {
        Ok(boot) => boot,
        Err(name) => return Ok(RunReport { end: NodeEnd::ShutdownRequested(name.to_owned()), slots: Vec::new() }),
    };
    let page = Page::listen(&config.http)?;
    let start = Start {
        at: WallClock.now(),
        version: env!("SENTINEL_VERSION").to_owned(),
        mode: config.node.mode,
        config_digest: config.digest(),
    };
    debug!(
        event = "start_kept",
        version = %start.version,
        config = %start.config_digest,
        "the version and configuration that the journal records for the slots of this run"
    );
    let digest = start.config_digest.clone();
    let store = StoreOptions {
        start: Some(start),
        retention: config.node.retention,
        accept_lost: options.accept_lost_journal.then(|| WallClock.now()),
        ..StoreOptions::default()
    };
    let (journal, recovered) = SqliteJournal::open_with(state, options.faults.clone(), store)?;
    info!(
        event = "journal_opened",
        state = %state.path().display(),
        open_intents = recovered.open_intents,
        checked_whole_file = recovered.checked_whole_file,
        migrated_from = recovered.migrated_from,
        backup = recovered.backup.as_ref().map(|backup| backup.display().to_string()),
        "the journal is open"
    );
    log_journal_loss(&recovered);
    let halts = Arc::new(Halts::new(recovered.halts, Arc::new(KillFile::of(state.path()))));
    control.block_on(record_halts(&journal, &halts))?;
    let journal = Arc::new(journal);
    let safe_mode = Arc::new(AtomicBool::new(verdict.safe_mode_until.is_some()));
    let wired = wire(&config, state, &options, watch.as_ref(), &safe_mode)?;
    // What opens a wallet may hold its words.
    options.wallet = None;
    if let Some(watch) = &watch {
        watch.count();
        arming::compare_models(&config, &wired, watch)?;
    }
    // The files created above must be durable before anything depends on them.
    state.sync()?;
    ownership::refuse_unowned(&JournalReader::open(state.path())?, &wired)?;
    let armed = watch.as_ref().and_then(|watch| Some((watch.armed().ok()?, watch.left())));
    opening::log(&config, state.path(), (&digest, armed), &wired);
    let slots = slots_of(&wired);

    let is_local = |pipeline: &PipelineConfig| matches!(pipeline.model, ModelConfig::Onnx { .. });
    let threads =
        WorkerThreads::start(wired.len(), config.pipelines.iter().any(is_local)).map_err(NodeError::Runtime)?;
    let watched = watch.map(|watch| Watched { venues: arming::telling_venues(&config, &wired), watch });
    // What a thousand pipelines were configured with is in their parts now.
    (config.pipelines, config.settings) = (Vec::new(), Vec::new());
    let store: Arc<dyn JournalStore> = journal.clone();
    let end = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("control".to_owned());
        let workers = threads.workers();
        let work = || {
            drive(
                &config,
                state,
                (verdict, last_end),
                (watched, safe_mode, halts, disk, page, told),
                wired,
                store,
                &control,
                workers,
                signals,
                options,
                health_reporter,
                aborter,
            )
        };
        let running = thread.spawn_scoped(scope, work).map_err(NodeError::Runtime)?;
        running.join().unwrap_or_else(|_| Ok(NodeEnd::Meltdown("the control thread panicked".to_owned())))
    })?;
    // What still runs on a worker was killed or blocks; neither may delay the end.
    threads.end(Duration::from_secs(1));
    Ok(RunReport { end: close(journal, end), slots })
}

fn slots_of(wired: &[WiredPipeline]) -> Vec<(String, UtcMs, Option<UtcMs>)> {
    wired.iter().map(|p| (p.settings.name.clone(), p.first_slot, p.last_slot)).collect()
}

/// Closes the journal, unless a killed task still holds it. A disk failure at this point counts too.
fn close(journal: Arc<SqliteJournal>, end: NodeEnd) -> NodeEnd {
    match (Arc::into_inner(journal).map_or(Ok(()), SqliteJournal::close), end) {
        (Err(error), NodeEnd::Finished | NodeEnd::ShutdownRequested(_)) => {
            let text = with_advice(&error);
            events::journal_failed(&text);
            NodeEnd::JournalFailed(text)
        }
        (_, end) => end,
    }
}

/// The control thread: starts the tree, watches it, and waits for its end.
#[expect(clippy::too_many_arguments, reason = "the parts of one node, handed to its thread once")]
fn drive(
    config: &Config,
    state: &Arc<StateDir>,
    (verdict, last_end): (BootVerdict, Option<LastEnd>),
    (watched, safe_mode, halts, disk, page, told): (
        Option<Watched>,
        Arc<AtomicBool>,
        Arc<Halts>,
        MeasuredDisk,
        Option<Page>,
        AlertSettings,
    ),
    wired: Vec<WiredPipeline>,
    journal: Arc<dyn JournalStore>,
    control: &Runtime,
    workers: Workers,
    signals: Signals,
    options: RunOptions,
    health_reporter: &HealthReporter,
    aborter: &Aborter,
) -> Result<NodeEnd, NodeError> {
    let progress = Arc::new(Progress::default());
    let worker = workers.all().first().cloned();
    let shared = NodeShared {
        control: control.handle().clone(),
        workers,
        chance: Arc::new(SystemChance),
        faults: options.faults.clone(),
        quarantine: Arc::new(QuarantineDir(state.quarantine())),
        crashes: CrashLog::install(),
        progress: progress.clone(),
        meters: options.meters.clone(),
        admission: Arc::new(Admission::new(CYCLES_AT_WORK)),
        limits: wiring::limits(&config.supervision),
        safe_mode: safe_mode.clone(),
        halts,
        settled_by_hand: Arc::default(),
        arming: arming::port(watched.as_ref().map(|watched| &watched.watch)),
        disk: Arc::new(disk),
        clocks: options.clocks.clone(),
        state_dir: crate::system::shell_path(state.path()).into(),
    };
    let slots = slots_of(&wired);
    let spec = NodeSpec {
        pipelines: wired.into_iter().map(|wired| (wired.settings, wired.ports)).collect(),
        store: journal,
        shared,
        wall: Arc::new(WallClock),
        heartbeat_every: config.node.heartbeat,
        beat_every: BEAT_EVERY,
        close_within: config.supervision.shutdown / CLOSE_SHARE,
    };
    let limit = Some(config.supervision.watchdog);
    let limits = WatchLimits { control: limit, worker: limit, journal: limit };
    let (on_stall, on_progress) = (aborter.clone(), health_reporter.clone());
    let last_progress = Arc::new(LastProgress::default());
    let moved = last_progress.clone();
    let on_progress = move || {
        moved.note();
        on_progress.moved();
    };
    let _watchdog = Watchdog::start(progress, limits, on_progress, move |stall| on_stall.abort(&stall))
        .map_err(NodeError::Runtime)?;

    control.block_on(async {
        let RunningNode { root, ended, done, board, journal, flatteners } =
            start(spec).await.map_err(|error| NodeError::Root(chain(&error)))?;
        let handle = control.handle();
        let mut helpers = tokio::task::JoinSet::new();
        let _ = aborter.board.set(board.clone());
        if let Some(end) = last_end {
            let _ = board.ended_badly.set(end);
        }
        let overdue = aborter.clone();
        helpers.spawn(signals.forward(root.clone(), health_reporter.clone(), overdue, config.supervision.shutdown));
        let arm = arming::shown(watched.as_ref().map(|watched| watched.watch.clone()));
        if let Some(Watched { watch, venues }) = watched {
            // Where the venues' own requests come from.
            if let Some(worker) = worker {
                helpers.spawn_on(arming::listen(watch.clone(), venues, options.venue_again), &worker);
            }
            helpers.spawn(arming::keep_in_view(watch, board.clone()));
        }
        if let Some(until) = verdict.safe_mode_until {
            helpers.spawn(leave_safe_mode(state.clone(), safe_mode, until));
        }
        let node = LiveNode {
            board: board.clone(),
            state: state.path().to_owned(),
            name: config.node.name.clone(),
            mode: config.node.mode,
            arm,
            started_at: WallClock.now(),
            progress: last_progress,
            fresh_for: health::fresh_for(config.supervision.ping_every),
            alerts: alerts::counters(&config.alerts),
        };
        let address = page.as_ref().map(Page::address);
        let _page = page.and_then(|page| page.serve(node.clone()));
        let alerts = alerts::start(told, node.clone());
        let is_single = options.once;
        let daily = config.backup.as_ref().filter(|_| !is_single);
        let _backups = backups::start(daily, state.path(), &board);
        let _control_socket = serve(state, Control { node, journal, flatteners });
        health_reporter.running(board.clone());
        (options.on_start)(Running { board, control: handle.clone(), root, page: address, slots });
        let end = done.await.unwrap_or_else(|_| NodeEnd::Meltdown("the root supervisor died".to_owned()));
        let _ = ended.await;
        if let Some(alerts) = alerts {
            alerts.end(end == NodeEnd::Finished && !is_single).await;
        }
        Ok(end)
    })
}

/// A node without its control socket trades all the same; a kill file still halts it.
fn serve(state: &StateDir, control: Control) -> Option<ControlServer> {
    match ControlServer::start(state.path(), control) {
        Ok(server) => Some(server),
        Err(error) => {
            warn!(event = "control_socket_failed", error = %chain(&error), "the control socket cannot be served");
            None
        }
    }
}
