//! The rehearsal of a cycle shortly before its slot opens: bars are fetched, features built, and the model is asked.
//!
//! Nothing of it is kept here. Sources keep the bars that they have fetched and servers their connections, so that the cycle has
//! little left to do once the window is open. It decides nothing, and what fails in it fails again, and counts, in the cycle.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::bar::{Cleaning, clean};
use crate::domain::freshness::Freshness;
use crate::domain::time::UtcMs;
use crate::ports::{BarRequest, BarSource, Clock, FeatureSet, Model};
use crate::settings::{BARS_BESIDE_WINDOW, PipelinePorts, PipelineSettings};

/// How long before its slot a cycle is rehearsed.
pub(crate) const WARM_UP_BEFORE: Duration = Duration::from_secs(20);

/// What a cycle asks before it decides.
#[derive(Clone)]
pub(crate) struct WarmUp {
    source: Arc<dyn BarSource>,
    features: Arc<dyn FeatureSet>,
    model: Arc<dyn Model>,
    clock: Arc<dyn Clock>,
    symbol: String,
    freshness: Freshness,
    tick: f64,
    fetch: Duration,
    predict: Duration,
}

impl WarmUp {
    pub(crate) fn new(settings: &PipelineSettings, ports: &PipelinePorts) -> Self {
        Self {
            source: ports.source.clone(),
            features: ports.features.clone(),
            model: ports.model.clone(),
            clock: ports.clock.clone(),
            symbol: settings.symbol.clone(),
            freshness: settings.freshness.clone(),
            tick: settings.tick,
            fetch: settings.deadlines.fetch,
            predict: settings.deadlines.predict,
        }
    }

    /// Whether the rehearsal of the slot that is expected to open at `next` is due.
    pub(crate) fn is_due(next: UtcMs, now: UtcMs) -> bool {
        now < next && next.since(now) <= WARM_UP_BEFORE
    }

    /// Goes as far as it can, within the deadlines of the stages.
    pub(crate) async fn run(self) {
        let _ = tokio::time::timeout(self.fetch + self.predict, self.rehearse()).await;
    }

    async fn rehearse(&self) -> Option<()> {
        let (now, window) = (self.clock.now(), self.features.id().window);
        let count = window + BARS_BESIDE_WINDOW;
        let (symbol, interval) = (self.symbol.clone(), self.freshness.interval);
        let request = BarRequest { symbol, interval, count, now, deadline: self.fetch };
        let delivered = self.source.fetch(&request).await.ok()?;
        let times = Some(self.freshness.open_times(now, count));
        let bars = clean(&delivered.bars, &Cleaning { tick: self.tick, times, window: Some(window) });
        let frame = self.features.build(&bars.bars).ok()?;
        self.model.validate(self.predict).await.ok()?;
        self.model.predict(&frame, self.predict).await.ok()?;
        Some(())
    }
}
