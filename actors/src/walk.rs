//! A pipeline's slots one after the other, through the very stages of the tree, without the tree: for a backtest.
//!
//! Promise 5 is kept by calling what a node calls. What a node has around its stages (supervision, deadlines, a queue, a journal on
//! a disk) is for what can go wrong while time passes; here no time passes, so a walk decides what a node decides that is never late.
//!
//! Two halves, because many rules can be tried on one look at the bars: a [`Lookout`] works as far as the model's answer, and a
//! [`Decider`] goes on from there. A [`Walk`] is one of each.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rust_decimal::Decimal;

use crate::cycle_flow::{Cycle, CycleTracker, ExecutorInput, Undecided};
use crate::data_fetcher::DataFetcher;
pub use crate::data_fetcher::Digests;
use crate::domain::bar::{Bar, CleanBars};
use crate::domain::cycle::{SlotRecord, Stage};
use crate::domain::decision::Situation;
use crate::domain::order::{Order, Position};
use crate::domain::prediction::Prediction;
use crate::domain::reason::{Ending, Reason};
use crate::domain::risk::{Exposure, check_limits};
use crate::domain::time::UtcMs;
use crate::executor::{Executor, Refusals, Strategy, Surroundings};
use crate::feature_builder::FeatureBuilder;
use crate::halts::Halts;
use crate::journal::JournalHandle;
use crate::meters::PipelineMeters;
use crate::ports::{Clock, JournalStore, Sink, elapsed_now, in_one_instant};
use crate::predictor::Predictor;
use crate::settings::{Job, PipelinePorts, PipelineSettings};
use crate::status::Holdings;

/// Elapsed time that a slot may take: how fast this machine is, is no matter of the decision.
const ANY_TIME: Duration = Duration::from_secs(86_400);

/// One pipeline on its way through its slots.
pub struct Walk {
    lookout: Lookout,
    decider: Decider,
}

impl Walk {
    /// Before the first slot. `store` belongs to this walk alone, and so do sink and book.
    pub async fn begin(
        settings: PipelineSettings,
        ports: PipelinePorts,
        store: Arc<dyn JournalStore>,
        digests: Digests,
    ) -> Self {
        let parts = (&ports.clock, &ports.sink, &ports.job);
        let decider = Decider::begin(&settings, parts, store).await;
        Self { lookout: Lookout::new(settings, &ports, digests), decider }
    }

    /// Works on the next slot. Returns its row, without what only a running node knows (how long its stages took), and the newest
    /// usable bar that it saw.
    pub async fn slot(&mut self, slot: UtcMs) -> (SlotRecord, Option<Bar>) {
        let Self { lookout, decider } = self;
        let work = std::pin::pin!(async {
            let (cycle, mut record, input) = lookout.look(slot).await;
            decider.decide(&cycle, &mut record, input).await;
            lookout.note_decided(record.decided_bar);
            let newest = cycle.tracker.input().and_then(|bars| bars.newest().copied());
            (record, newest)
        });
        in_one_instant(work).await
    }
}

/// Sees what a slot sees, as far as the model's answer.
pub struct Lookout {
    settings: PipelineSettings,
    clock: Arc<dyn Clock>,
    sink: Arc<dyn Sink>,
    fetcher: DataFetcher,
    builder: FeatureBuilder,
    predictor: Predictor,
    last_decided_bar: Option<UtcMs>,
}

/// What a slot saw.
pub struct Seen {
    /// Its row, as far as the model's answer.
    pub record: SlotRecord,
    /// The usable bars of its window, where there are any.
    pub bars: Option<Arc<CleanBars>>,
    /// The model's answer, or why there is none.
    pub answer: Result<Prediction, Ending>,
    /// The close of the newest bar of a slot that has an answer.
    pub price: Option<Decimal>,
}

impl Lookout {
    /// Before the first slot.
    #[must_use]
    pub fn new(settings: PipelineSettings, ports: &PipelinePorts, digests: Digests) -> Self {
        let settings = without_haste(settings);
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
                meters: Arc::new(PipelineMeters::new(ports.sink.mode(), false)),
            },
            builder: FeatureBuilder::new(ports.features.clone(), digests),
            predictor: Predictor {
                model: ports.model.clone(),
                expected: ports.job.expected_answer(),
                deadline: settings.deadlines.predict,
            },
            last_decided_bar: None,
            clock: ports.clock.clone(),
            sink: ports.sink.clone(),
            settings,
        }
    }

    /// Looks for many deciders: each of them is expected to reach a decision on every answer, and [`Decider::has_decided`] says whether
    /// one has.
    pub async fn see(&mut self, slot: UtcMs) -> Seen {
        let work = std::pin::pin!(async {
            let (cycle, record, input) = self.look(slot).await;
            let bars = cycle.tracker.input().cloned();
            let newest = bars.as_ref().and_then(|bars| bars.newest());
            let answer = input.map(|(_, answer)| answer);
            let price = newest.filter(|_| answer.is_ok()).and_then(|bar| Decimal::from_f64_retain(bar.close));
            let decided = price.and(newest).map(|bar| bar.time);
            self.note_decided(decided);
            Seen { record, bars, answer, price }
        });
        in_one_instant(work).await
    }

    /// A bar that was decided is not looked at again.
    fn note_decided(&mut self, bar: Option<UtcMs>) {
        self.last_decided_bar = self.last_decided_bar.max(bar);
    }

    async fn look(&mut self, slot: UtcMs) -> (Cycle, SlotRecord, Result<(Arc<CleanBars>, Prediction), Ending>) {
        self.clock.wait_until(slot).await;
        let mut record = SlotRecord::new(&self.settings.name, slot, self.sink.mode(), Reason::StageCrashed, slot);
        (record.attempts, record.started_at) = (1, Some(slot));
        let cycle = first_attempt(slot, self.last_decided_bar, self.settings.deadlines.cycle);
        let input = self.predict(&cycle, &mut record).await;
        (cycle, record, input)
    }

    async fn predict(
        &mut self,
        cycle: &Cycle,
        record: &mut SlotRecord,
    ) -> Result<(Arc<CleanBars>, Prediction), Ending> {
        let bars = self.fetcher.fetch(cycle, record).await?;
        let framed = self.builder.build(record, bars)?;
        self.predictor.predict(cycle, record, framed).await
    }
}

/// Decides by one set of rules, with an intent table and a book of its own.
pub struct Decider {
    executor: Executor,
    has_exits: bool,
    clock: Arc<dyn Clock>,
    cycle: Duration,
}

impl Decider {
    /// Before the first slot. `store`, sink and book belong to it alone.
    pub async fn begin(
        settings: &PipelineSettings,
        (clock, sink, job): (&Arc<dyn Clock>, &Arc<dyn Sink>, &Job),
        store: Arc<dyn JournalStore>,
    ) -> Self {
        let settings = without_haste(settings.clone());
        let meters = Arc::new(PipelineMeters::new(sink.mode(), false));
        let holdings = Arc::new(ArcSwap::from_pointee(Holdings::default()));
        let around = Surroundings::alone(Arc::new(Halts::default()), "".into());
        let journal = JournalHandle::of_store(store);
        let parts = (clock, sink, job);
        let mut executor =
            Executor::new(&settings, parts, around, (&journal, &meters), &Refusals::default(), &holdings);
        crate::stage::StageWork::warm_up(&mut executor).await;
        Self { executor, has_exits: job.has_exits(), clock: clock.clone(), cycle: settings.deadlines.cycle }
    }

    /// Ends the slot.
    async fn decide(
        &mut self,
        cycle: &Cycle,
        record: &mut SlotRecord,
        input: Result<(Arc<CleanBars>, Prediction), Ending>,
    ) {
        let input = match input {
            Ok((bars, answer)) => Ok(ExecutorInput::Prediction(bars, answer)),
            Err(ending) if self.has_exits => {
                cycle.tracker.set_undecided(ending.reason);
                Ok(ExecutorInput::NoPrediction(Undecided(ending)))
            }
            Err(ending) => Err(ending),
        };
        let ending = match input {
            Ok(input) => {
                cycle.tracker.hand_to(Stage::Executor);
                cycle.tracker.begin_work();
                self.executor.decide(cycle, record, input).await
            }
            Err(ending) => ending,
        };
        (record.reason, record.detail) = (ending.reason, ending.detail);
    }

    /// Ends a slot that others decide on too, and returns its row.
    pub async fn decide_on(&mut self, seen: &Seen) -> SlotRecord {
        let work = std::pin::pin!(async {
            let mut record = seen.record.clone();
            self.clock.wait_until(record.slot).await;
            let cycle = first_attempt(record.slot, None, self.cycle);
            if let Some(bars) = &seen.bars {
                cycle.tracker.set_input(bars.clone());
            }
            let input = match (&seen.answer, &seen.bars) {
                (Ok(answer), Some(bars)) => Ok((bars.clone(), answer.clone())),
                (Ok(_), None) => Err(Ending::new(Reason::StaleData, "no usable bar")),
                (Err(ending), _) => Err(ending.clone()),
            };
            self.decide(&cycle, &mut record, input).await;
            record
        });
        in_one_instant(work).await
    }

    /// Whether [`Decider::decide_on`] would do no more than end the slot: the policy wants no order, or one that the limits refuse, and
    /// nothing else is to be done. Asked after the book was shown the slot's bars. `open`: what the book has.
    #[must_use]
    pub fn would_idle(&self, seen: &Seen, open: &[Position]) -> bool {
        let Executor { protocol, strategy } = &self.executor;
        match (strategy, &seen.answer, seen.price) {
            (Strategy::Trade(trade), Ok(Prediction::Classes(probabilities)), Some(reference_price)) => {
                let now = seen.record.slot;
                let symbol = &trade.symbol;
                let situation = Situation { symbol, positions: open, closed_before: None, reference_price, now };
                // The first order that is refused ends the slot, and what is refused beside no other order is refused beside any.
                let is_refused =
                    |order: &Order| check_limits(&trade.risk, order, open, &Exposure::default(), now).is_err();
                protocol.is_settled()
                    && !trade.reads_account(protocol)
                    && trade.policy.decide(probabilities, &situation).orders.first().is_none_or(is_refused)
            }
            (_, Err(_), _) => !self.has_exits,
            _ => false,
        }
    }

    /// Passes over a slot in which it would idle.
    pub fn pass(&mut self, seen: &Seen) {
        if let (Strategy::Trade(trade), true, Ok(_), Some(bars)) =
            (&mut self.executor.strategy, self.has_exits, &seen.answer, &seen.bars)
        {
            trade.remember_price(bars);
        }
    }
}

fn without_haste(mut settings: PipelineSettings) -> PipelineSettings {
    let deadlines = &mut settings.deadlines;
    (deadlines.fetch, deadlines.execute, deadlines.cycle) = (ANY_TIME, ANY_TIME, ANY_TIME);
    settings
}

fn first_attempt(slot: UtcMs, last_decided_bar: Option<UtcMs>, within: Duration) -> Cycle {
    Cycle {
        slot,
        announced: None,
        attempt: 1,
        last_decided_bar,
        deadline: elapsed_now() + within,
        tracker: CycleTracker::begin(),
        is_operators: false,
    }
}
