//! A pipeline whose recorded slots are computed again: the bars that it saw, its own features, model and rules.

use std::cell::LazyCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::schedule::{Schedule, Window};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{BarRequest, BarSource, FeatureSet, Model, NoFaults};
use sentinel_actors::settings::{BARS_BESIDE_WINDOW, PipelinePorts, PipelineSettings};

use super::rehearsed::{on_paper, settings};
use super::{NodeError, feeds, model, recorded};
use crate::config::{ModelConfig, PipelineConfig, SourceConfig};
use crate::models::onnx::OnnxEngine;
use crate::sources::cache::{BARS_FILE, BarCache, CacheError, History};
use crate::sources::live::reach;
use crate::sources::recalled::RecalledSource;
use crate::sources::replay::{ReplayClock, ReplaySource};

const ANY_TIME: Duration = Duration::from_secs(86_400);

/// A pipeline that is ready to be computed again, slot by slot.
pub struct Recalled {
    pipeline: PipelineConfig,
    schedule: Schedule,
    settings: PipelineSettings,
    features: Arc<dyn FeatureSet>,
    bars: Bars,
    /// `None`: it is on a server, and its answers are those of another day.
    model: Option<Arc<dyn Model>>,
}

enum Bars {
    /// Of a file, with the open times of its first and its last bar.
    File(Arc<ReplaySource>, (UtcMs, UtcMs)),
    Cache(Arc<RecalledSource>),
}

/// Why a slot cannot be computed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncovered {
    /// The cache does not have all of its bars any more.
    Cache,
    /// The file does not reach it.
    File,
}

/// Wires `pipeline` to what it saw from the slot `first` on. Its slots are those of `schedule`. Nothing is written.
///
/// # Errors
/// When bars or model cannot be used.
pub fn recall(
    pipeline: &PipelineConfig,
    schedule: &Schedule,
    state: &Path,
    first: UtcMs,
) -> Result<Recalled, NodeError> {
    let mut pipeline = pipeline.clone();
    // Nothing may leave, and no competition bounds what is computed again.
    (pipeline.mode, pipeline.stays_dry, pipeline.window) = (Mode::DryRun, true, Window { start: None, end: None });
    let bars = match &pipeline.source {
        SourceConfig::Csv(csv) => {
            let (source, bounds) = recorded::all(&pipeline, csv)?;
            Bars::File(Arc::new(source), bounds)
        }
        SourceConfig::Vendor(vendor) => {
            let key = feeds::series_key(vendor, &feeds::instrument(&pipeline, vendor));
            let count = pipeline.features.set.window + BARS_BESIDE_WINDOW;
            let reach = reach(&pipeline.calendar, pipeline.interval, count) + pipeline.interval.length() * 2;
            let history = match BarCache::read_only(&state.join(BARS_FILE)) {
                Ok(cache) => cache.history(&key, first.minus(reach)).map_err(NodeError::BarCache)?,
                // It may be deleted at any time.
                Err(CacheError::None(_)) => History::default(),
                Err(error) => return Err(NodeError::BarCache(error)),
            };
            let (calendar, settle) = (pipeline.calendar.clone(), pipeline.data.settle);
            Bars::Cache(Arc::new(RecalledSource::new(
                history,
                key.interval,
                feeds::recipe(&pipeline),
                calendar,
                settle,
            )))
        }
    };
    let model = match &pipeline.model {
        ModelConfig::Onnx { .. } => {
            Some(model::model(&pipeline, &LazyCell::new(OnnxEngine::new), Arc::new(NoFaults), None)?)
        }
        ModelConfig::Hub(_) => None,
    };
    let (mut settings, features) = (settings(&pipeline), pipeline.features.build());
    // Nobody is waited for, and how fast this machine is, is no matter.
    settings.deadlines.predict = ANY_TIME;
    Ok(Recalled { pipeline, schedule: schedule.clone(), settings, features, bars, model })
}

impl Recalled {
    /// Its model, when that is a local one.
    #[must_use]
    pub fn model(&self) -> Option<&Arc<dyn Model>> {
        self.model.as_ref()
    }

    /// Its features' identity, as a row has it.
    #[must_use]
    pub fn feature_set(&self) -> String {
        self.features.id().to_string()
    }

    /// Whether bars could have come late, or changed since.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.bars, Bars::Cache(_))
    }

    /// Whether what a slot saw is still there.
    ///
    /// # Errors
    /// Why it is not.
    pub fn covers(&self, slot: UtcMs) -> Result<(), Uncovered> {
        match &self.bars {
            Bars::Cache(cache) if cache.covers(&self.request(slot)) => Ok(()),
            Bars::Cache(_) => Err(Uncovered::Cache),
            Bars::File(_, (first, last)) => {
                let due = self.settings.freshness.due_bar(slot);
                if (*first..=*last).contains(&due) { Ok(()) } else { Err(Uncovered::File) }
            }
        }
    }

    /// Whether a bar of the slot came without a price, and may not have been filled by `until`.
    #[must_use]
    pub fn may_be_unfilled(&self, slot: UtcMs, until: UtcMs) -> bool {
        matches!(&self.bars, Bars::Cache(cache) if cache.may_be_unfilled(&self.request(slot), until))
    }

    /// What computes one slot, on an account without history: bars as they were known at `until`, with a price or
    /// without one where both can be true, and `answers` as the model.
    #[must_use]
    pub fn bench(
        &self,
        slot: UtcMs,
        (until, is_unfilled): (UtcMs, bool),
        answers: Arc<dyn Model>,
    ) -> (PipelineSettings, PipelinePorts) {
        let source: Arc<dyn BarSource> = match &self.bars {
            Bars::File(source, _) => source.clone(),
            Bars::Cache(source) => {
                source.show(until, is_unfilled);
                source.clone()
            }
        };
        let (sink, job, _) = on_paper(&self.pipeline, &self.schedule);
        let clock = Arc::new(ReplayClock::new(slot.before(), self.pipeline.interval, crate::config::Speed::Max, None));
        let ports = PipelinePorts { clock, source, features: self.features.clone(), model: answers, sink, job };
        (self.settings.clone(), ports)
    }

    fn request(&self, slot: UtcMs) -> BarRequest {
        BarRequest {
            symbol: self.settings.symbol.clone(),
            interval: self.settings.freshness.interval,
            count: self.pipeline.features.set.window + BARS_BESIDE_WINDOW,
            now: slot,
            deadline: Duration::ZERO,
        }
    }
}
