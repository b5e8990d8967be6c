//! A pipeline's slots one after the other, through the very stages of the tree, without the tree: for a backtest.
//!
//! Promise 5 is kept by calling what a node calls. What a node has around its stages (supervision, deadlines, a queue, a journal on
//! a disk) is for what can go wrong while time passes; here no time passes, so a walk decides what a node decides that is never late.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::cycle_flow::{Cycle, CycleTracker, ExecutorInput, Undecided};
use crate::data_fetcher::DataFetcher;
pub use crate::data_fetcher::Digests;
use crate::domain::bar::Bar;
use crate::domain::cycle::{SlotRecord, Stage};
use crate::domain::reason::{Ending, Reason};
use crate::domain::time::UtcMs;
use crate::executor::{Executor, Refusals, Surroundings};
use crate::feature_builder::FeatureBuilder;
use crate::halts::Halts;
use crate::journal::JournalHandle;
use crate::meters::PipelineMeters;
use crate::ports::{JournalStore, elapsed_now};
use crate::predictor::Predictor;
use crate::settings::{PipelinePorts, PipelineSettings};
use crate::stage::StageWork as _;
use crate::status::Holdings;

/// Elapsed time that a slot may take: how fast this machine is, is no matter of the decision.
const ANY_TIME: Duration = Duration::from_secs(86_400);

/// One pipeline on its way through its slots.
pub struct Walk {
    settings: PipelineSettings,
    ports: PipelinePorts,
    fetcher: DataFetcher,
    builder: FeatureBuilder,
    predictor: Predictor,
    executor: Executor,
    last_decided_bar: Option<UtcMs>,
}

impl Walk {
    /// Before the first slot. `store` belongs to this walk alone, and so do sink and book.
    pub async fn begin(
        mut settings: PipelineSettings,
        ports: PipelinePorts,
        store: Arc<dyn JournalStore>,
        digests: Digests,
    ) -> Self {
        let deadlines = &mut settings.deadlines;
        (deadlines.fetch, deadlines.execute, deadlines.cycle) = (ANY_TIME, ANY_TIME, ANY_TIME);
        let meters = Arc::new(PipelineMeters::new(ports.sink.mode(), false));
        let holdings = Arc::new(ArcSwap::from_pointee(Holdings::default()));
        let around = Surroundings::alone(Arc::new(Halts::default()), "".into());
        let parts = (&ports.clock, &ports.sink, &ports.job);
        let journal = JournalHandle::of_store(store);
        let mut executor =
            Executor::new(&settings, parts, around, (&journal, &meters), &Refusals::default(), &holdings);
        executor.warm_up().await;
        Self {
            fetcher: DataFetcher {
                source: ports.source.clone(),
                symbol: settings.symbol.clone(),
                freshness: settings.freshness.clone(),
                tick: settings.tick,
                window: ports.features.id().window,
                decide_on: ports.job.decide_on(),
                deadline: settings.deadlines.fetch,
                digests,
                meters,
            },
            builder: FeatureBuilder { features: ports.features.clone(), digests },
            predictor: Predictor {
                model: ports.model.clone(),
                expected: ports.job.expected_answer(),
                deadline: settings.deadlines.predict,
            },
            executor,
            last_decided_bar: None,
            settings,
            ports,
        }
    }

    /// Works on the next slot. Returns its row, without what only a running node knows (how long its stages took), and the newest
    /// usable bar that it saw.
    pub async fn slot(&mut self, slot: UtcMs) -> (SlotRecord, Option<Bar>) {
        self.ports.clock.wait_until(slot).await;
        let mode = self.ports.sink.mode();
        let mut record = SlotRecord::new(&self.settings.name, slot, mode, Reason::StageCrashed, slot);
        (record.attempts, record.started_at) = (1, Some(slot));
        let cycle = Cycle {
            slot,
            announced: None,
            attempt: 1,
            last_decided_bar: self.last_decided_bar,
            deadline: elapsed_now() + self.settings.deadlines.cycle,
            tracker: CycleTracker::begin(),
            is_operators: false,
        };
        let input = match self.predict(&cycle, &mut record).await {
            Ok(input) => Ok(input),
            Err(ending) if self.ports.job.has_exits() => {
                cycle.tracker.set_undecided(ending.reason);
                Ok(ExecutorInput::NoPrediction(Undecided(ending)))
            }
            Err(ending) => Err(ending),
        };
        let ending = match input {
            Ok(input) => {
                cycle.tracker.hand_to(Stage::Executor);
                cycle.tracker.begin_work();
                match self.executor.work(&cycle, &mut record, input).await {
                    Err(ending) => ending,
                    Ok(never) => match never {},
                }
            }
            Err(ending) => ending,
        };
        (record.reason, record.detail) = (ending.reason, ending.detail);
        self.last_decided_bar = self.last_decided_bar.max(record.decided_bar);
        let newest = cycle.tracker.input().and_then(|bars| bars.newest().copied());
        (record, newest)
    }

    async fn predict(&mut self, cycle: &Cycle, record: &mut SlotRecord) -> Result<ExecutorInput, Ending> {
        let bars = self.fetcher.work(cycle, record, ()).await?;
        let framed = self.builder.work(cycle, record, bars).await?;
        self.predictor.work(cycle, record, framed).await
    }
}
