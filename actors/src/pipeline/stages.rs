//! Which stages a pipeline has and how they are linked.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;

use crate::cycle_flow::{Cycle, ExecutorInput, Undecided};
use crate::data_fetcher::{DataFetcher, Digests};
use crate::domain::cycle::{SlotRecord, Stage};
use crate::executor::{Executor, Refusals, Surroundings};
use crate::feature_builder::FeatureBuilder;
use crate::flattener::Flattener;
use crate::journal::JournalHandle;
use crate::messages::PipelineMsg;
use crate::meters::PipelineMeters;
use crate::predictor::Predictor;
use crate::settings::{NodeShared, PipelinePorts, PipelineSettings};
use crate::stage::{HandOver, StageActor, StageLinks, StageMsg, StageState, StageWork};
use crate::status::Holdings;
use crate::supervision::{Address, ChildClass, ChildId, ChildSpec};

/// The stages as children, and the address of the first one.
#[derive(Clone)]
pub struct Stages {
    first: Address<StageMsg<()>>,
    executor: Address<StageMsg<ExecutorInput>>,
    specs: Vec<ChildSpec>,
}

#[must_use]
pub fn child_id(stage: Stage) -> ChildId {
    ChildId::from(stage.name())
}

impl Stages {
    /// Builds the stages of one pipeline. Done once: the specs prevent two incarnations of a stage at the same time, even across
    /// restarts of the Pipeline itself.
    #[must_use]
    pub fn new(
        settings: &Arc<PipelineSettings>,
        ports: &PipelinePorts,
        shared: &NodeShared,
        (worker, meters): (&Handle, &Arc<PipelineMeters>),
        pipeline: &Address<PipelineMsg>,
        journal: &JournalHandle,
        holdings: &Arc<ArcSwap<Holdings>>,
    ) -> Self {
        let (fetcher, builder) = (Address::new(), Address::new());
        let (predictor, executor) = (Address::new(), Address::new());
        let links = |stage: Stage| StageLinks {
            path: format!("{}/{stage}", settings.name).into(),
            pipeline: pipeline.clone(),
            exits: ports.job.has_exits().then(|| Arc::new(executor.clone()) as Arc<dyn HandOver<Undecided>>),
            faults: shared.faults.clone(),
        };
        let specs = vec![
            spec(worker, &fetcher, (Stage::FeatureBuilder, builder.clone()), links(Stage::DataFetcher), {
                let (settings, source, meters) = (settings.clone(), ports.source.clone(), meters.clone());
                let decide_on = ports.job.decide_on();
                let window = ports.features.id().window;
                move || DataFetcher {
                    source: source.clone(),
                    symbol: settings.symbol.clone(),
                    freshness: settings.freshness.clone(),
                    tick: settings.tick,
                    window,
                    decide_on,
                    deadline: settings.deadlines.fetch,
                    digests: Digests::Kept,
                    meters: meters.clone(),
                }
            }),
            spec(worker, &builder, (Stage::Predictor, predictor.clone()), links(Stage::FeatureBuilder), {
                let features = ports.features.clone();
                move || FeatureBuilder { features: features.clone(), digests: Digests::Kept }
            }),
            spec(worker, &predictor, (Stage::Executor, executor.clone()), links(Stage::Predictor), {
                let (settings, model, expected) = (settings.clone(), ports.model.clone(), ports.job.expected_answer());
                move || Predictor { model: model.clone(), expected, deadline: settings.deadlines.predict }
            }),
            spec(worker, &executor, (), links(Stage::Executor), {
                let (settings, ports, around) = (settings.clone(), ports.clone(), Surroundings::of(shared));
                let (journal, meters) = (journal.clone(), meters.clone());
                let (refusals, holdings) = (Refusals::default(), holdings.clone());
                move || {
                    let parts = (&ports.clock, &ports.sink, &ports.job);
                    Executor::new(&settings, parts, around.clone(), (&journal, &meters), &refusals, &holdings)
                }
            }),
        ];
        Self { first: fetcher, executor, specs }
    }

    #[must_use]
    pub fn specs(&self) -> Vec<ChildSpec> {
        self.specs.clone()
    }

    /// Where an operator has everything closed.
    #[must_use]
    pub fn flattener(&self, ports: &PipelinePorts, cycle: Duration) -> Flattener {
        Flattener::new(self.executor.clone(), ports, cycle)
    }

    /// Hands a new cycle to the first stage; `false` when it is not running.
    #[must_use]
    pub fn launch(&self, cycle: Cycle, record: SlotRecord) -> bool {
        let work = crate::cycle_flow::Work { cycle, record: Box::new(record), load: () };
        self.first.send(StageMsg::Work(work)).is_ok()
    }
}

fn spec<W: StageWork>(
    worker: &Handle,
    address: &Address<StageMsg<W::Load>>,
    next: impl HandOver<W::Next> + Clone,
    links: StageLinks,
    make: impl Fn() -> W + Send + Sync + 'static,
) -> ChildSpec {
    ChildSpec::new::<StageActor<W>>(child_id(W::STAGE), ChildClass::Worker, worker.clone(), address, move |_| {
        (StageActor::default(), StageState::new(make(), next.clone(), links.clone()))
    })
}
