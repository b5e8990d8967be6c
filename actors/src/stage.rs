//! The actor that runs a stage: takes a cycle, runs the stage's work, hands the cycle on or ends it. It contains no rules.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::cycle_flow::{Cycle, ExecutorInput, Undecided, Work};
use crate::domain::cycle::{SlotRecord, Stage};
use crate::domain::reason::Ending;
use crate::events;
use crate::messages::{Flatten, PipelineMsg};
use crate::ports::{FaultInjector, FaultPoint, PortFuture, elapsed_now, inject_fault};
use crate::supervision::Address;

/// Elapsed time between two warm-ups of a stage that has unfinished work.
const WARM_UP_PAUSE: Duration = Duration::from_secs(15);
/// A longer warm-up counts as a hang. No cycle waits for it, so the Pipeline would not notice.
pub(crate) const WARM_UP_TIMEOUT: Duration = Duration::from_secs(30);

/// Flattening that has not ended so long after its time counts as a hang, for the same reason.
const FLATTEN_GRACE: Duration = Duration::from_secs(5);

/// What a stage does with a cycle.
pub trait StageWork: Send + Sync + 'static {
    /// Load from the stage before.
    type Load: Send + 'static;
    /// Load for the next stage; the last stage has none.
    type Next: Send + 'static;
    const STAGE: Stage;
    /// Where faults of this stage are injected.
    const FAULT_POINT: FaultPoint;

    /// Runs after each start, before the first cycle, and again between cycles while [`StageWork::is_unfinished`].
    fn warm_up(&mut self) -> PortFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Whether there is work that must not wait until a cycle reaches this stage.
    fn is_unfinished(&self) -> bool {
        false
    }

    /// Closes what is open, between two cycles. Only the Executor can; who asks another stage gets no answer.
    fn flatten(&mut self, _asked: Flatten) -> PortFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Works on one cycle. An expected failure is an `Ending`: it ends the cycle and spends no restart budget.
    fn work<'a>(
        &'a mut self,
        cycle: &'a Cycle,
        record: &'a mut SlotRecord,
        load: Self::Load,
    ) -> PortFuture<'a, Result<Self::Next, Ending>>;
}

#[derive(Debug)]
pub enum StageMsg<L> {
    /// First message of each incarnation; repeated while there is unfinished work.
    WarmUp,
    Work(Work<L>),
    Flatten(Flatten),
}

/// The receiver of a cycle after a stage.
pub trait HandOver<L>: Send + Sync + 'static {
    /// Hands it on; returns it when the receiver is not running.
    ///
    /// # Errors
    /// The work itself, undelivered.
    fn hand_over(&self, work: Work<L>) -> Result<(), Work<L>>;
}

/// To the next stage.
impl<L: Send + 'static> HandOver<L> for (Stage, Address<StageMsg<L>>) {
    fn hand_over(&self, work: Work<L>) -> Result<(), Work<L>> {
        work.cycle.tracker.hand_to(self.0);
        match self.1.send(StageMsg::Work(work)) {
            Err(StageMsg::Work(work)) => Err(work),
            _ => Ok(()),
        }
    }
}

/// To the Executor, with nothing to decide on.
impl HandOver<Undecided> for Address<StageMsg<ExecutorInput>> {
    fn hand_over(&self, work: Work<Undecided>) -> Result<(), Work<Undecided>> {
        let Work { cycle, record, load } = work;
        cycle.tracker.hand_to(Stage::Executor);
        match self.send(StageMsg::Work(Work { cycle, record, load: ExecutorInput::NoPrediction(load) })) {
            Err(StageMsg::Work(Work { cycle, record, load: ExecutorInput::NoPrediction(load) })) => {
                Err(Work { cycle, record, load })
            }
            _ => Ok(()),
        }
    }
}

/// The last stage ends every cycle itself.
impl HandOver<Infallible> for () {
    fn hand_over(&self, work: Work<Infallible>) -> Result<(), Work<Infallible>> {
        match work.load {}
    }
}

/// What every stage needs besides its work.
#[derive(Clone)]
pub struct StageLinks {
    /// `pipeline/stage`, for fault points.
    pub path: Arc<str>,
    /// Receives the end of each cycle.
    pub pipeline: Address<PipelineMsg>,
    /// Closes overdue positions when a cycle has no prediction; `None`: positions have no maximum age.
    pub exits: Option<Arc<dyn HandOver<Undecided>>>,
    /// Where faults are injected; nothing happens there in production.
    pub faults: Arc<dyn FaultInjector>,
}

pub struct StageActor<W>(PhantomData<fn() -> W>);

impl<W> Default for StageActor<W> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

pub struct StageState<W: StageWork> {
    work: W,
    next: Box<dyn HandOver<W::Next>>,
    links: StageLinks,
    /// At most one task: the next warm-up.
    timer: JoinSet<()>,
}

impl<W: StageWork> StageState<W> {
    pub fn new(work: W, next: impl HandOver<W::Next>, links: StageLinks) -> Self {
        Self { work, next: Box::new(next), links, timer: JoinSet::new() }
    }
}

impl<W: StageWork> Actor for StageActor<W> {
    type Msg = StageMsg<W::Load>;
    type State = StageState<W>;
    type Arguments = StageState<W>;

    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        inject_fault(&*args.links.faults, FaultPoint::PreStart, &args.links.path).await;
        Ok(args)
    }

    async fn post_start(&self, myself: ActorRef<Self::Msg>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        inject_fault(&*state.links.faults, FaultPoint::PostStart, &state.links.path).await;
        myself.cast(StageMsg::WarmUp)?;
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Self::Msg>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        inject_fault(&*state.links.faults, FaultPoint::PostStop, &state.links.path).await;
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            StageMsg::WarmUp => tokio::time::timeout(WARM_UP_TIMEOUT, state.work.warm_up()).await?,
            // Boxed: while a stage warms up, and all of them do at the start, it has no room for a cycle.
            StageMsg::Work(work) => Box::pin(state.take(work)).await,
            StageMsg::Flatten(asked) => {
                let until = asked.until + FLATTEN_GRACE;
                tokio::time::timeout_at(until, state.work.flatten(asked)).await?;
            }
        }
        state.schedule_warm_up(&myself);
        Ok(())
    }
}

impl<W: StageWork> StageState<W> {
    fn schedule_warm_up(&mut self, myself: &ActorRef<StageMsg<W::Load>>) {
        while self.timer.try_join_next().is_some() {}
        if !self.work.is_unfinished() || !self.timer.is_empty() {
            return;
        }
        let myself = myself.clone();
        self.timer.spawn(async move {
            tokio::time::sleep(WARM_UP_PAUSE).await;
            let _ = myself.cast(StageMsg::WarmUp);
        });
    }

    async fn take(&mut self, work: Work<W::Load>) {
        let Work { cycle, mut record, load } = work;
        if cycle.tracker.is_revoked() {
            return; // the Pipeline has already ended this slot
        }
        cycle.tracker.begin_work();
        let began = elapsed_now();
        let (this, links) = (&mut self.work, &self.links);
        let result = cycle.tracker.observe(async {
            inject_fault(&*links.faults, W::FAULT_POINT, &links.path).await;
            let span = events::cycle_span(&record.pipeline, cycle.slot);
            this.work(&cycle, &mut record, load).instrument(span).await
        });
        let result = result.await;
        record.stage_us[W::STAGE.index()] = u64::try_from(elapsed_now().duration_since(began).as_micros()).ok();
        match result {
            Ok(load) => {
                if let Err(undelivered) = self.next.hand_over(Work { cycle, record, load }) {
                    let stage = undelivered.cycle.tracker.holder().stage;
                    let (slot, attempt) = (undelivered.cycle.slot, undelivered.cycle.attempt);
                    let _ = self.links.pipeline.send(PipelineMsg::StageNotRunning { slot, attempt, stage });
                }
            }
            Err(ending) => self.end(cycle, record, ending),
        }
    }

    /// Ends a cycle. One without a prediction goes to the Executor first, if positions have a maximum age.
    fn end(&self, cycle: Cycle, mut record: Box<SlotRecord>, mut ending: Ending) {
        let attempt = cycle.attempt;
        if let Some(exits) = self.links.exits.as_ref().filter(|_| W::STAGE != Stage::Executor) {
            cycle.tracker.set_undecided(ending.reason);
            match exits.hand_over(Work { cycle, record, load: Undecided(ending) }) {
                Ok(()) => return,
                Err(undelivered) => (record, ending) = (undelivered.record, undelivered.load.0),
            }
        }
        record.reason = ending.reason;
        record.detail = ending.detail;
        let _ = self.links.pipeline.send(PipelineMsg::CycleEnded { attempt, record });
    }
}
