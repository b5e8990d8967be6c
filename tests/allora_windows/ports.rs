//! Bars and features of one constant, and a model that says something else each time, so that no value passes for another.

use std::sync::Arc;
use std::time::Duration;

use sentinel::venues::book::Book;
use sentinel::venues::forecasts::PaperForecasts;
use sentinel_actors::domain::bar::{Bar, Interval, RawBar};
use sentinel_actors::domain::calendar::MarketCalendar;
use sentinel_actors::domain::decision::DecideOn;
use sentinel_actors::domain::feature::{FeatureError, FeatureFrame, FeatureSetId};
use sentinel_actors::domain::forecast::ForecastPolicy;
use sentinel_actors::domain::freshness::Freshness;
use sentinel_actors::domain::prediction::{ModelIdentity, RawAnswer};
use sentinel_actors::domain::schedule::Window;
use sentinel_actors::ports::{
    Announcer, BarRequest, BarSource, Clock, Delivered, FaultInjector, FeatureSet, Model, ModelError, PortFuture, Sink,
    SlotFeed, SourceError,
};
use sentinel_actors::settings::{Deadlines, Job, PipelinePorts, PipelineSettings};

pub const NAME: &str = "btcusd";
const HOUR: Duration = Duration::from_secs(3600);

struct Constant(FeatureSetId);

impl BarSource for Constant {
    fn fetch<'a>(&'a self, request: &'a BarRequest) -> PortFuture<'a, Result<Delivered, SourceError>> {
        let newest = request.interval.newest_closed(request.now);
        let price = Some(50_000.0);
        let bar = move |back| RawBar {
            time: newest.minus(HOUR * back),
            open: price,
            high: price,
            low: price,
            close: price,
            volume: None,
        };
        Box::pin(async move { Ok((0..3).rev().map(bar).collect::<Vec<_>>().into()) })
    }
}

impl FeatureSet for Constant {
    fn id(&self) -> &FeatureSetId {
        &self.0
    }

    fn columns(&self) -> &[&'static str] {
        &["close"]
    }

    fn build(&self, bars: &[Bar]) -> Result<FeatureFrame, FeatureError> {
        let newest = bars.last().unwrap();
        let row = vec![newest.close];
        Ok(FeatureFrame { set: self.0.clone(), newest: newest.time, row, sequence: None, volume_absent: true })
    }
}

impl Model for Constant {
    fn validate(&self, _: Duration) -> PortFuture<'_, Result<ModelIdentity, ModelError>> {
        Box::pin(async { Ok(ModelIdentity { id: "constant".to_owned(), hash: "0".to_owned() }) })
    }

    fn predict<'a>(&'a self, _: &'a FeatureFrame, _: Duration) -> PortFuture<'a, Result<RawAnswer, ModelError>> {
        Box::pin(async { Ok(RawAnswer { rows: vec![vec![fastrand::f64() * 2.0 - 1.0]] }) })
    }
}

pub fn settings() -> PipelineSettings {
    PipelineSettings {
        name: NAME.to_owned(),
        symbol: "BTCUSD".to_owned(),
        window: Window::default(),
        competition: Window::default(),
        first_slot: None,
        freshness: Freshness {
            interval: Interval::new(HOUR).unwrap(),
            calendar: MarketCalendar::always(),
            max_age: HOUR * 2,
            max_missing_bars: 0,
            settle: Duration::ZERO,
        },
        tick: 0.01,
        deadlines: Deadlines {
            fetch: Duration::from_secs(2),
            features: Duration::from_secs(2),
            predict: Duration::from_secs(2),
            execute: Duration::from_secs(5),
            cycle: Duration::from_secs(10),
            lateness: Duration::from_secs(5),
        },
    }
}

pub fn ports(
    clock: Arc<dyn Clock>,
    sink: Arc<dyn Sink>,
    announcer: Arc<dyn Announcer>,
    book: Book,
    faults: Arc<dyn FaultInjector>,
) -> PipelinePorts {
    let constant = || Arc::new(Constant(FeatureSetId { name: "constant".to_owned(), window: 3, made_from: None }));
    PipelinePorts {
        clock,
        source: constant(),
        features: constant(),
        model: constant(),
        sink,
        job: Job::Forecast {
            slots: SlotFeed::Announced(announcer),
            policy: ForecastPolicy { horizon: HOUR, max_abs: 1.5, decide_on: DecideOn::Slot },
            observer: Arc::new(PaperForecasts::new(book, "paper", faults, "btcusd/executor")),
        },
    }
}
