//! Pipeline: supervisor of one symbol or topic. Owns the schedule and the cycle in flight.
//!
//! Every due slot leaves here as exactly one journal row (promise 1). It reads its position in the schedule from the journal at
//! its start, so start and recovery are one path (promise 3). The rules are in [`crate::domain::cycle::SlotMachine`] and in the
//! restart policy.

mod cycles;
mod flow;
mod hangs;
mod outbox;
mod slots;
pub mod stages;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::admission::Turn;
use crate::cycle_flow::{CycleTracker, Holder};
use crate::domain::announced::FeedNews;
use crate::domain::cycle::{InFlight, Stage};
use crate::domain::time::UtcMs;
use crate::journal::{JournalHandle, JournalMsg};
use crate::messages::{CompetitionMsg, PipelineMsg};
use crate::meters::PipelineMeters;
use crate::ports::{FaultPoint, JournalWrite, elapsed_now, inject_fault};
use crate::settings::{NodeShared, PipelinePorts, PipelineSettings};
use crate::status::PipelineStatus;
use crate::supervision::{Address, BeyondBudget, ChildId, ChildSpec, Limits, Supervisor, SupervisorSettings};

use self::outbox::Outbox;
use self::slots::Slots;
use self::stages::Stages;

/// Unconfirmed rows at which a replay pauses: bounds memory, and the rows that a power cut can lose.
const ROWS_WAITING_MAX: usize = 128;
/// Elapsed time between two checks of unconfirmed rows.
const ROWS_CHECK: Duration = Duration::from_millis(250);
/// A clock that shows a time further than this before the newest ended slot was set back.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);
/// Elapsed time between two warnings about a schedule that waits for its clock.
const SCHEDULE_WARNING_EVERY: Duration = Duration::from_secs(3600);
/// Longest wait for a slot without a check of the clock; half of the allowed lateness when that is shorter.
const CLOCK_CHECK_EVERY: Duration = Duration::from_secs(60);
/// Longest wait for a slot before the pipeline checks its state again.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// Pause before the journal is read again at a start.
const RECOVERY_RETRY: Duration = Duration::from_millis(100);

/// A pipeline, built once and started as often as needed.
#[derive(Clone)]
pub struct PipelinePlan {
    pub settings: Arc<PipelineSettings>,
    pub ports: PipelinePorts,
    pub shared: NodeShared,
    /// The runtime on which its stages work.
    pub worker: Handle,
    pub address: Address<PipelineMsg>,
    pub journal: Address<JournalMsg>,
    /// Announces the end of the competition.
    pub competition: Address<CompetitionMsg>,
    pub status: Arc<ArcSwap<PipelineStatus>>,
    pub stages: Stages,
    pub meters: Arc<PipelineMeters>,
    /// Asks for announced slots; `None` on a grid.
    pub slot_feed: Option<ChildSpec>,
    /// Schedule time at which this process started: slots before it passed while the node was down.
    pub node_started_at: UtcMs,
    /// The same, in elapsed time.
    pub node_started: Instant,
}

pub struct Pipeline;

pub struct PipelineState {
    plan: PipelinePlan,
    started: Instant,
    supervisor: Supervisor,
    /// Once the journal has answered.
    slots: Option<Slots>,
    /// What the feed said before the journal has answered.
    early_news: Option<Box<FeedNews>>,
    cycle: Option<RunningCycle>,
    outbox: Outbox,
    /// Slots that the cycle in flight overran. Their rows come after its row: a recovery continues after the newest row.
    overruns: Vec<JournalWrite>,
    /// Slots that a newer one took the place of in the queue, `(after, until]`: they get their rows together, before that one.
    displaced: Option<(UtcMs, UtcMs)>,
    status: PipelineStatus,
    last_decided_bar: Option<UtcMs>,
    closing: bool,
    /// Close once the journal has answered: slots of the ended competition may still need their end.
    close_when_recovered: bool,
    timers: BTreeMap<Timer, AbortHandle>,
    /// Stages that were killed and still block their threads.
    blocked: BTreeSet<ChildId>,
    /// When it last warned that the schedule waits for a clock that was set back.
    schedule_warned_at: Option<Instant>,
    /// When the cycle timer fires, while there is one.
    cycle_check: Instant,
    /// Whose grace runs.
    grace_of: Option<Holder>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Recovery,
    Wake,
    Turn,
    Cycle,
    Grace,
    Rows,
}

/// The slot in flight. It has no `tracker` while it waits for its turn, or for its stages to run.
struct RunningCycle {
    slot: UtcMs,
    attempt: u32,
    /// Its place among the cycles at work; kept until it ends.
    turn: Option<Turn>,
    /// Since when it waits to begin.
    waits_since: Instant,
    /// How long it has waited to begin.
    waited: Duration,
    started_at: UtcMs,
    /// When its turn must have come; `None`: it waits for as long as it takes.
    begin_by: Option<Instant>,
    /// When it must have ended.
    deadline: Instant,
    tracker: Option<Arc<CycleTracker>>,
    first_failure: Option<StageFailure>,
    cause: String,
    /// What announced the slot has withdrawn it.
    is_withdrawn: bool,
}

/// When the same stage fails twice on the same bars, the bars are the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StageFailure {
    stage: Stage,
    bars_digest: Option<String>,
}

impl Actor for Pipeline {
    type Msg = PipelineMsg;
    type State = PipelineState;
    type Arguments = PipelinePlan;

    async fn pre_start(
        &self,
        myself: ActorRef<PipelineMsg>,
        plan: PipelinePlan,
    ) -> Result<PipelineState, ActorProcessingErr> {
        inject_fault(&*plan.shared.faults, FaultPoint::PreStart, &plan.settings.name).await;
        let supervisor_settings = SupervisorSettings {
            limits: Limits { beyond_budget: BeyondBudget::Escalate, ..plan.shared.limits },
            chance: plan.shared.chance.clone(),
            control: plan.shared.control.clone(),
            crashes: plan.shared.crashes.clone(),
        };
        let owner = myself.clone();
        let notify = Arc::new(move |notice| {
            let _ = owner.cast(PipelineMsg::Child(notice));
        });
        let children = plan.stages.specs().into_iter().chain(plan.slot_feed.clone()).collect();
        let supervisor = Supervisor::new(myself.get_cell(), supervisor_settings, children, notify);
        let mut status = PipelineStatus::clone(&plan.status.load());
        status.waiting_since.get_or_insert_with(elapsed_now);
        // The incarnation before may have been killed while it ended: this one has to be closed again.
        status.ended = false;
        plan.status.store(Arc::new(status.clone()));
        Ok(PipelineState {
            started: elapsed_now(),
            supervisor,
            slots: None,
            early_news: None,
            cycle: None,
            outbox: Outbox::new(plan.journal.clone()),
            overruns: Vec::new(),
            displaced: None,
            last_decided_bar: None,
            closing: false,
            close_when_recovered: false,
            timers: BTreeMap::new(),
            blocked: BTreeSet::new(),
            schedule_warned_at: None,
            cycle_check: elapsed_now(),
            grace_of: None,
            status,
            plan,
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<PipelineMsg>,
        state: &mut PipelineState,
    ) -> Result<(), ActorProcessingErr> {
        inject_fault(&*state.plan.shared.faults, FaultPoint::PostStart, &state.plan.settings.name).await;
        let supervisor_events = state.supervisor.start();
        state.react(&myself, supervisor_events)?;
        state.ask_journal(&myself);
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<PipelineMsg>, state: &mut PipelineState) -> Result<(), ActorProcessingErr> {
        inject_fault(&*state.plan.shared.faults, FaultPoint::PostStop, &state.plan.settings.name).await;
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<PipelineMsg>,
        message: PipelineMsg,
        state: &mut PipelineState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PipelineMsg::Child(notice) => {
                let supervisor_events = state.supervisor.on_notice(notice);
                state.react(&myself, supervisor_events)?;
            }
            PipelineMsg::Recovered(recovery) => state.resume_schedule(&myself, recovery)?,
            PipelineMsg::Announced(news) => state.take_over(&myself, news),
            PipelineMsg::Wake => {
                inject_fault(&*state.plan.shared.faults, FaultPoint::PipelineHandle, &state.plan.settings.name).await;
                state.tick(&myself);
            }
            PipelineMsg::Turn(turn) => state.take_turn(&myself, turn),
            PipelineMsg::CheckCycle => state.check_cycle(&myself)?,
            PipelineMsg::GraceOver { attempt, holder, has_run } => {
                state.judge_overdue(&myself, attempt, &holder, has_run)?;
            }
            PipelineMsg::CheckRows => {
                state.end_timer(Timer::Rows);
                state.outbox.send(&myself);
                state.watch_rows(&myself);
            }
            PipelineMsg::CycleEnded { attempt, record } => state.cycle_ended(&myself, attempt, *record).await,
            PipelineMsg::StageNotRunning { slot, attempt, stage } => {
                state.stage_failed(&myself, InFlight { slot, attempt }, stage, "the next stage was not running");
            }
            PipelineMsg::Recorded { number } => {
                state.outbox.confirm(number, &myself);
                inject_fault(&*state.plan.shared.faults, FaultPoint::AfterEndSlot, &state.plan.settings.name).await;
                state.proceed(&myself)?;
            }
            PipelineMsg::Close => state.close(&myself)?,
            PipelineMsg::WindowOver => state.window_over(&myself)?,
            PipelineMsg::Kill(id) => {
                state.supervisor.kill(&id);
            }
            PipelineMsg::Ping(reply) => {
                let _ = reply.send(());
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<PipelineMsg>,
        event: SupervisionEvent,
        state: &mut PipelineState,
    ) -> Result<(), ActorProcessingErr> {
        inject_fault(&*state.plan.shared.faults, FaultPoint::SupervisorEvent, &state.plan.settings.name).await;
        let supervisor_events = state.supervisor.on_supervision_event(event);
        state.react(&myself, supervisor_events)
    }
}
