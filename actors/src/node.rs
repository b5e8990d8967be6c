//! Builds and starts the whole tree. The command line and the simulator use this same function.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use ractor::{Actor, ActorRef};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::closes::Closes;
use crate::competition_clock::{Competition, CompetitionClock, CompetitionClockArgs};
use crate::flattener::Flattener;
use crate::heartbeat::{Heartbeat, HeartbeatArgs, HeartbeatMsg};
use crate::journal::{Journal, JournalArgs, JournalMsg};
pub use crate::journal::{JournalHandle, JournalUnavailable};
use crate::messages::{CompetitionMsg, PipelineMsg};
use crate::meters::PipelineMeters;
use crate::pipeline::stages::Stages;
use crate::pipeline::{Pipeline, PipelinePlan};
use crate::ports::{Clock, JournalFatal, JournalStore, elapsed_now};
use crate::root_supervisor::{NodeEnd, RootArgs, RootMsg, RootSupervisor};
use crate::settings::{NodeShared, PipelinePorts, PipelineSettings};
use crate::slot_feeder::{SLOT_FEED, SlotFeedMsg, SlotFeeder, SlotFeederArgs};
use crate::status::{Board, BoardEntry, Holdings, PipelineStatus};
use crate::supervision::{Address, ChildClass, ChildId, ChildSpec};
use crate::warm_up::WarmUp;

/// Everything that a node is started from.
pub struct NodeSpec {
    /// Each pipeline with its adapters.
    pub pipelines: Vec<(PipelineSettings, PipelinePorts)>,
    pub store: Arc<dyn JournalStore>,
    pub shared: NodeShared,
    pub wall: Arc<dyn Clock>,
    /// Elapsed time between two heartbeat lines.
    pub heartbeat_every: Duration,
    /// Elapsed time between two beats of the heartbeat, and between two checks of the competitions.
    pub beat_every: Duration,
    /// How long pipelines may take to finish their cycles at a shutdown.
    pub close_within: Duration,
}

pub struct RunningNode {
    pub root: ActorRef<RootMsg>,
    /// Ends when the root and with it everything has ended.
    pub ended: JoinHandle<()>,
    /// How it ended; an error means that the root itself failed.
    pub done: oneshot::Receiver<NodeEnd>,
    pub board: Board,
    /// For what an operator asks of the node while it runs.
    pub journal: JournalHandle,
    /// By pipeline.
    pub flatteners: BTreeMap<String, Flattener>,
}

const TIER_JOURNAL: u8 = 0;
const TIER_SERVICES: u8 = 1;
const TIER_PIPELINES: u8 = 2;

/// Starts the tree on the current runtime, which is the control plane's.
///
/// # Errors
/// When the root itself cannot be started.
pub async fn start(spec: NodeSpec) -> Result<RunningNode, ractor::SpawnErr> {
    let control = spec.shared.control.clone();
    let journal = Address::<JournalMsg>::new();
    let competition = Address::<CompetitionMsg>::new();
    let heartbeat = Address::<HeartbeatMsg>::new();

    let mut board = Board {
        safe_mode: spec.shared.safe_mode.clone(),
        halts: spec.shared.halts.clone(),
        settled_by_hand: spec.shared.settled_by_hand.clone(),
        meters: spec.shared.meters.clone(),
        progress: spec.shared.progress.clone(),
        clocks: spec.shared.clocks.clone(),
        ..Board::default()
    };
    let (mut competitions, mut flatteners) = (BTreeMap::new(), BTreeMap::new());
    let mut pipelines = Vec::new();
    let mut pipeline_specs = Vec::new();
    for (number, (settings, ports)) in spec.pipelines.into_iter().enumerate() {
        let holdings = Arc::new(ArcSwap::from_pointee(Holdings::default()));
        let worker = spec.shared.workers.of(number).clone();
        let plan = plan(settings, ports, &spec.shared, worker, &journal, &competition, &holdings);
        let name = plan.settings.name.clone();
        let parked = Arc::new(AtomicBool::new(false));
        let place = plan.ports.place(&plan.settings);
        let entry = BoardEntry {
            clock: plan.ports.clock.clone(),
            status: plan.status.clone(),
            holdings,
            parked,
            place,
            late_after: plan.settings.deadlines.late_after(),
            meters: plan.meters.clone(),
        };
        board.entries.insert(name.clone(), entry);
        flatteners.insert(name.clone(), plan.stages.flattener(&plan.ports, plan.settings.deadlines.cycle));
        let (window, address) = (plan.settings.window, plan.address.clone());
        competitions.insert(name.clone(), Competition { window, pipeline: address.clone() });
        pipelines.push((ChildId::from(name.as_str()), address.clone()));
        pipeline_specs.push(
            ChildSpec::new::<Pipeline>(name.as_str(), ChildClass::Pipeline, control.clone(), &address, move |_| {
                (Pipeline, plan.clone())
            })
            .tier(TIER_PIPELINES)
            .pinged(&address, PipelineMsg::Ping),
        );
    }

    if board.entries.len() <= Closes::PIPELINES {
        board.entries.values().for_each(|entry| entry.meters.closes.want());
    }
    // The journal reports a failed disk to the root, which does not exist yet.
    let root_slot = RootSlot::default();
    let journal_args = JournalArgs {
        store: spec.store,
        on_fatal: report_to(&root_slot),
        progress: spec.shared.progress.clone(),
        meters: spec.shared.meters.clone(),
        faults: spec.shared.faults.clone(),
    };
    let clock_args = CompetitionClockArgs {
        competitions,
        board: board.clone(),
        check_every: spec.beat_every,
        faults: spec.shared.faults.clone(),
    };
    let heartbeat_args = HeartbeatArgs {
        line_every: spec.heartbeat_every,
        beat_every: spec.beat_every,
        board: board.clone(),
        journal: JournalHandle::new(journal.clone()),
        wall: spec.wall.clone(),
        progress: spec.shared.progress.clone(),
        workers: spec.shared.workers.clone(),
        arming: spec.shared.arming.clone(),
        admission: spec.shared.admission.clone(),
        faults: spec.shared.faults.clone(),
    };
    let mut specs = vec![
        journal_spec(&control, &journal, journal_args),
        competition_spec(&control, &competition, clock_args),
        heartbeat_spec(&control, &heartbeat, heartbeat_args),
    ];
    specs.extend(pipeline_specs);

    let (done_sender, done) = oneshot::channel();
    let args = RootArgs {
        specs,
        pipelines,
        shared: spec.shared,
        board: board.clone(),
        wall: spec.wall,
        close_within: spec.close_within,
        done: done_sender,
    };
    let (root, ended) = Actor::spawn(None, RootSupervisor, args).await?;
    root_slot.store(Some(Arc::new(root.clone())));
    Ok(RunningNode { root, ended, done, board, journal: JournalHandle::new(journal), flatteners })
}

/// The root, once it has been started.
type RootSlot = Arc<ArcSwapOption<ActorRef<RootMsg>>>;

fn report_to(root_slot: &RootSlot) -> Arc<dyn Fn(JournalFatal) + Send + Sync> {
    let root_slot = root_slot.clone();
    Arc::new(move |fatal| {
        if let Some(root) = root_slot.load_full() {
            let _ = root.cast(RootMsg::JournalFailed(fatal));
        }
    })
}

fn journal_spec(control: &Handle, address: &Address<JournalMsg>, args: JournalArgs) -> ChildSpec {
    let make = move |_| (Journal, args.clone());
    ChildSpec::new::<Journal>("journal", ChildClass::Critical, control.clone(), address, make)
        .tier(TIER_JOURNAL)
        .pinged(address, JournalMsg::Ping)
}

fn competition_spec(control: &Handle, address: &Address<CompetitionMsg>, args: CompetitionClockArgs) -> ChildSpec {
    let make = move |_| (CompetitionClock, args.clone());
    ChildSpec::new::<CompetitionClock>("competition_clock", ChildClass::Worker, control.clone(), address, make)
        .tier(TIER_SERVICES)
        .pinged(address, CompetitionMsg::Ping)
}

fn heartbeat_spec(control: &Handle, address: &Address<HeartbeatMsg>, args: HeartbeatArgs) -> ChildSpec {
    let make = move |_| (Heartbeat, args.clone());
    ChildSpec::new::<Heartbeat>("heartbeat", ChildClass::Worker, control.clone(), address, make)
        .tier(TIER_SERVICES)
        .pinged(address, HeartbeatMsg::Ping)
}

fn plan(
    settings: PipelineSettings,
    ports: PipelinePorts,
    shared: &NodeShared,
    worker: Handle,
    journal: &Address<JournalMsg>,
    competition: &Address<CompetitionMsg>,
    holdings: &Arc<ArcSwap<Holdings>>,
) -> PipelinePlan {
    let settings = Arc::new(settings);
    let address = Address::<PipelineMsg>::new();
    let meters = Arc::new(PipelineMeters::new(ports.sink.mode(), ports.job.announcer().is_some()));
    let counted = JournalHandle::new(journal.clone()).counting(meters.clone());
    let stages = Stages::new(&settings, &ports, shared, (&worker, &meters), &address, &counted, holdings);
    let slot_feed = slot_feed_spec(&settings, &ports, shared, &worker, &address, counted);
    let node_started_at = ports.clock.now();
    PipelinePlan {
        status: Arc::new(ArcSwap::from_pointee(PipelineStatus::new(ports.sink.mode()))),
        settings,
        ports,
        shared: shared.clone(),
        worker,
        address,
        journal: journal.clone(),
        competition: competition.clone(),
        stages,
        slot_feed,
        meters,
        node_started_at,
        node_started: elapsed_now(),
    }
}

fn slot_feed_spec(
    settings: &PipelineSettings,
    ports: &PipelinePorts,
    shared: &NodeShared,
    worker: &Handle,
    pipeline: &Address<PipelineMsg>,
    journal: JournalHandle,
) -> Option<ChildSpec> {
    let args = SlotFeederArgs {
        name: settings.name.clone(),
        announcer: ports.job.announcer()?.clone(),
        account: ports.sink.account().to_owned(),
        window: settings.window,
        clock: ports.clock.clone(),
        journal,
        pipeline: pipeline.clone(),
        warm_up: WarmUp::new(settings, ports),
        faults: shared.faults.clone(),
    };
    let address = Address::<SlotFeedMsg>::new();
    let make = move |_| (SlotFeeder, args.clone());
    let spec = ChildSpec::new::<SlotFeeder>(SLOT_FEED, ChildClass::Worker, worker.clone(), &address, make);
    Some(spec.pinged(&address, SlotFeedMsg::Ping))
}
