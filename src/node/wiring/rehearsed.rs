//! A pipeline of a backtest: recorded bars, its own features, model and rules, and a paper book in memory.

use std::cell::LazyCell;
use std::path::Path;
use std::sync::Arc;

use sentinel_actors::domain::bar::RawBar;
use sentinel_actors::domain::schedule::Schedule;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Model, NoFaults, SlotFeed};
use sentinel_actors::settings::{Job, PipelinePorts, PipelineSettings};

use super::source::Span;
use super::venue::{paper_terms, trading};
use super::{NodeError, feeds, model, recorded};
use crate::config::{CsvSource, JobConfig, PipelineConfig, Speed, VendorSource};
use crate::models::onnx::OnnxEngine;
use crate::sources::cache::{BARS_FILE, BarCache};
use crate::sources::replay::ReplayClock;
use crate::venues::memory::{MemoryForecasts, MemoryVenue};

/// A pipeline that is ready to be walked through.
pub struct Rehearsed {
    pub settings: PipelineSettings,
    pub ports: PipelinePorts,
    pub book: MemoryBook,
    pub schedule: Schedule,
    /// The first and the last slot that can be decided.
    pub first: UtcMs,
    pub last: UtcMs,
}

/// Where its effects go.
#[derive(Clone)]
pub enum MemoryBook {
    Orders(Arc<MemoryVenue>),
    Forecasts(Arc<MemoryForecasts>),
}

/// Wires a pipeline with a grid to the bars of a file. `answers`: what answers in place of the configured model.
///
/// # Errors
/// When bars or model cannot be used.
pub fn rehearse(
    pipeline: &PipelineConfig,
    (csv, schedule): (&CsvSource, &Schedule),
    answers: Option<Arc<dyn Model>>,
) -> Result<Rehearsed, NodeError> {
    let (source, Span { first, last }) = recorded::whole(pipeline, csv, schedule)?;
    let model = match answers {
        Some(answers) => answers,
        None => model::model(pipeline, &LazyCell::new(OnnxEngine::new), Arc::new(NoFaults), None)?,
    };
    let (sink, job, book) = match &pipeline.job {
        JobConfig::Order(order) => {
            let venue = Arc::new(MemoryVenue::new(paper_terms(pipeline, order)));
            let (sink, job) = trading(schedule, order, venue.clone(), venue.clone());
            (sink, job, MemoryBook::Orders(venue))
        }
        JobConfig::Forecast(forecast) => {
            let made = Arc::new(MemoryForecasts::new(&forecast.account));
            let slots = SlotFeed::Grid(schedule.clone());
            let job = Job::Forecast { slots, policy: forecast.policy.clone(), observer: made.clone() };
            (made.clone() as _, job, MemoryBook::Forecasts(made))
        }
    };
    let settings = PipelineSettings {
        name: pipeline.name.clone(),
        symbol: pipeline.symbol.clone(),
        window: pipeline.window,
        competition: pipeline.window,
        first_slot: None,
        freshness: pipeline.freshness(),
        tick: pipeline.data.tick,
        deadlines: pipeline.deadlines,
    };
    let clock = Arc::new(ReplayClock::new(first.before(), pipeline.interval, Speed::Max, None));
    let ports = PipelinePorts {
        clock,
        source: Arc::new(source.inspect(pipeline.data.tick)),
        features: pipeline.features.build(),
        model,
        sink,
        job,
    };
    Ok(Rehearsed { settings, ports, book, schedule: schedule.clone(), first, last })
}

/// The bars of a vendor's pipeline that the cache of a state directory has, as delivered; none when it has no such series.
///
/// # Errors
/// When there is no cache, or it cannot be read.
pub fn cached_bars(pipeline: &PipelineConfig, vendor: &VendorSource, state: &Path) -> Result<Vec<RawBar>, NodeError> {
    let cache = BarCache::read_only(&state.join(BARS_FILE)).map_err(NodeError::BarCache)?;
    let key = feeds::series_key(vendor, &feeds::instrument(pipeline, vendor));
    let series = cache.facts().map_err(NodeError::BarCache)?.into_iter().find(|series| series.key == key);
    let Some(series) = series else { return Ok(Vec::new()) };
    Ok(cache.load(series.id, UtcMs(i64::MIN)).map_err(NodeError::BarCache)?.bars)
}
