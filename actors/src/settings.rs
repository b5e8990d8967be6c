//! What a node is built from: the configuration of its pipelines, their adapters, and what all of them share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::admission::Admission;
use crate::cycle_flow::Holder;
use crate::domain::cycle::Stage;
use crate::domain::decision::{DecideOn, TradePolicy};
use crate::domain::forecast::ForecastPolicy;
use crate::domain::freshness::Freshness;
use crate::domain::halt::Place;
use crate::domain::prediction::ExpectedAnswer;
use crate::domain::risk::RiskLimits;
use crate::domain::schedule::{Schedule, Window};
use crate::domain::time::UtcMs;
use crate::halts::Halts;
use crate::meters::Meters;
use crate::ports::{
    Announcer, Arming, BarObserver, BarSource, Chance, Clock, DiskSpace, FaultInjector, FeatureSet, Model,
    PositionBook, Quarantine, Sink, SlotFeed,
};
use crate::status::ClockOffsets;
use crate::supervision::watch::Progress;
use crate::supervision::{CrashLog, Limits};

/// Longest duration of each stage, and of a cycle from its start to its last effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    pub fetch: Duration,
    pub features: Duration,
    pub predict: Duration,
    pub execute: Duration,
    /// Whole cycle; nothing leaves the node after it.
    pub cycle: Duration,
    /// A slot that is noticed later than this is missed.
    pub lateness: Duration,
}

impl Deadlines {
    /// How late a decision may be: as far as they reach.
    #[must_use]
    pub fn late_after(&self) -> Duration {
        self.lateness.saturating_add(self.cycle)
    }

    /// How long a stage may work on a cycle.
    #[must_use]
    pub const fn of(&self, stage: Stage) -> Duration {
        match stage {
            Stage::DataFetcher => self.fetch,
            Stage::FeatureBuilder => self.features,
            Stage::Predictor => self.predict,
            Stage::Executor => self.execute,
        }
    }

    /// How long after its deadline a stage counts as hung: a fifth of what it may take.
    #[must_use]
    pub fn grace(&self, stage: Stage) -> Duration {
        self.of(stage) / 5
    }

    /// Whether schedule time allows an effect of `slot` to leave at `now`: until the window of an announced slot closes, and near
    /// the slot on a grid. Elapsed time stops while a machine sleeps and ignores a clock that is set, so both clocks have to
    /// allow it.
    #[must_use]
    pub fn may_leave(&self, slot: UtcMs, closes: Option<UtcMs>, now: UtcMs) -> bool {
        now <= closes.unwrap_or_else(|| slot.plus(self.lateness + self.cycle)) && slot.since(now) <= self.lateness
    }

    /// When its holder has had a cycle for too long. One that waits for its turn is given the whole cycle's time: its stage must
    /// have been held up by something else.
    pub(crate) fn overdue_at(&self, holder: &Holder) -> Instant {
        holder.since + if holder.is_at_work { self.of(holder.stage) } else { self.cycle }
    }

    /// The earliest time at which any stage can be overdue. Stages hand on without a message to the Pipeline, so a later one with
    /// a shorter deadline may have the cycle right after `now`.
    pub(crate) fn earliest_overdue(&self, holder: &Holder, now: Instant) -> Instant {
        let later = Stage::ALL.into_iter().filter(|stage| *stage > holder.stage).map(|stage| now + self.of(stage));
        let at_work = if holder.is_at_work { None } else { Some(now + self.of(holder.stage)) };
        later.chain(at_work).fold(self.overdue_at(holder), Instant::min)
    }
}

/// A source may drop or delay a few bars; asking for this many more keeps the window full.
pub const BARS_BESIDE_WINDOW: usize = 24;

/// Configuration of one pipeline.
#[derive(Debug, Clone)]
pub struct PipelineSettings {
    pub name: String,
    /// Symbol at source and venue.
    pub symbol: String,
    /// The slots of this run: those of the competition, or the one of a single run.
    pub window: Window,
    /// Nothing leaves outside the competition.
    pub competition: Window,
    /// A pipeline without rows begins with this slot, although it was due before the start; `None`: with the next one.
    pub first_slot: Option<UtcMs>,
    /// What bars must be like.
    pub freshness: Freshness,
    /// A close may lie outside its bar's range by this much.
    pub tick: f64,
    pub deadlines: Deadlines,
}

/// What a pipeline is for, with what only this job knows.
#[derive(Clone)]
pub enum Job {
    /// On a grid only: a position that is derived from orders is counted in the order of their slots, and announced slots may come
    /// in any order.
    Trade {
        schedule: Schedule,
        policy: TradePolicy,
        risk: RiskLimits,
        positions: Arc<dyn PositionBook>,
    },
    Forecast {
        slots: SlotFeed,
        policy: ForecastPolicy,
        observer: Arc<dyn BarObserver>,
    },
}

impl Job {
    /// The grid of its slots; `None` when they are announced.
    #[must_use]
    pub const fn schedule(&self) -> Option<&Schedule> {
        match self {
            Self::Trade { schedule, .. } | Self::Forecast { slots: SlotFeed::Grid(schedule), .. } => Some(schedule),
            Self::Forecast { slots: SlotFeed::Announced(_), .. } => None,
        }
    }

    /// What announces its slots; `None` on a grid.
    #[must_use]
    pub const fn announcer(&self) -> Option<&Arc<dyn Announcer>> {
        match self {
            Self::Forecast { slots: SlotFeed::Announced(announcer), .. } => Some(announcer),
            Self::Trade { .. } | Self::Forecast { slots: SlotFeed::Grid(_), .. } => None,
        }
    }

    /// What is decided only once.
    #[must_use]
    pub const fn decide_on(&self) -> DecideOn {
        match self {
            Self::Trade { policy, .. } => policy.decide_on,
            Self::Forecast { policy, .. } => policy.decide_on,
        }
    }

    /// What its model must answer.
    #[must_use]
    pub const fn expected_answer(&self) -> ExpectedAnswer {
        match self {
            Self::Trade { policy, .. } => ExpectedAnswer::Classes(policy.classes.len()),
            Self::Forecast { .. } => ExpectedAnswer::Value,
        }
    }

    /// Whether positions are to be closed in slots without a prediction too. Stops and targets are kept by the venue, so only
    /// `max_holding` closes a position from here.
    #[must_use]
    pub const fn has_exits(&self) -> bool {
        matches!(self, Self::Trade { policy: TradePolicy { max_holding: Some(_), .. }, .. })
    }
}

/// The adapters of one pipeline.
#[derive(Clone)]
pub struct PipelinePorts {
    pub clock: Arc<dyn Clock>,
    pub source: Arc<dyn BarSource>,
    pub features: Arc<dyn FeatureSet>,
    pub model: Arc<dyn Model>,
    /// Where effects go.
    pub sink: Arc<dyn Sink>,
    pub job: Job,
}

impl PipelinePorts {
    /// Where the effects of a pipeline with these ports leave.
    #[must_use]
    pub fn place(&self, settings: &PipelineSettings) -> Place {
        Place {
            pipeline: settings.name.clone(),
            account: self.sink.account().to_owned(),
            symbol: settings.symbol.clone(),
        }
    }
}

/// The runtimes on which stages work. The stages of a pipeline share one, so that a cycle passes through them without waking
/// another thread.
#[derive(Debug, Clone)]
pub struct Workers(Arc<[Handle]>);

impl Workers {
    /// # Panics
    /// Without a runtime.
    #[must_use]
    pub fn new(runtimes: Vec<Handle>) -> Self {
        assert!(!runtimes.is_empty(), "pipelines need a runtime to work on");
        Self(runtimes.into())
    }

    /// The runtime of the pipeline with this number.
    #[must_use]
    pub fn of(&self, pipeline: usize) -> &Handle {
        &self.0[pipeline % self.0.len()]
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Handle] {
        &self.0
    }
}

impl From<Handle> for Workers {
    fn from(runtime: Handle) -> Self {
        Self(Arc::new([runtime]))
    }
}

/// What all pipelines of a node share.
#[derive(Clone)]
pub struct NodeShared {
    pub control: Handle,
    pub workers: Workers,
    pub chance: Arc<dyn Chance>,
    /// Where faults are injected; nothing happens there in production.
    pub faults: Arc<dyn FaultInjector>,
    /// Keeps inputs on which a stage failed twice.
    pub quarantine: Arc<dyn Quarantine>,
    pub crashes: CrashLog,
    /// Counters for the watchdog.
    pub progress: Arc<Progress>,
    /// Counts what a scrape shows.
    pub meters: Arc<Meters>,
    /// Lets cycles of all pipelines begin.
    pub admission: Arc<Admission>,
    /// Budgets and timeouts of supervision.
    pub limits: Limits,
    /// After repeated crashes: no order is sent while this is set.
    pub safe_mode: Arc<AtomicBool>,
    /// What keeps effects here until an operator lifts it.
    pub halts: Arc<Halts>,
    /// Grows when an operator has settled an intent while the node runs.
    pub settled_by_hand: Arc<AtomicU64>,
    /// What an operator has armed; asked about live pipelines only.
    pub arming: Arc<dyn Arming>,
    /// How full the disk with the state directory is.
    pub disk: Arc<dyn DiskSpace>,
    /// This machine's clock beside those of others, which the adapters hear.
    pub clocks: Arc<ClockOffsets>,
    /// The state directory as it is written in a shell command; for the advice in log lines.
    pub state_dir: Arc<str>,
}
