//! Configuration → ports: which adapter stands behind which port of which pipeline.

mod chain;
mod feeds;
mod model;
mod recorded;
mod rehearsed;
mod source;
mod venue;

use std::cell::LazyCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::meters::Upstream;
use sentinel_actors::ports::Clock as _;
use sentinel_actors::settings::{PipelinePorts, PipelineSettings};
use sentinel_actors::status::ClockOffsets;
use sentinel_actors::supervision::Limits;
use sentinel_actors::supervision::backoff::Backoff;
use sentinel_actors::supervision::budget::Limit;

use self::chain::Chain;
pub use self::chain::ChainPace;
use self::feeds::Feeds;
pub use self::feeds::{OpenVendor, open_vendor};
pub use self::model::{open_model, try_model};
pub use self::rehearsed::{MemoryBook, Rehearsed, cached_bars, rehearse};
pub use self::source::survey_bars;
use self::source::{RunSlots, Source, slots_of_run, windows_of_run};
use self::venue::Wired;
pub use self::venue::open_gateway;
use super::{NodeError, RunOptions};
use crate::arming::{Watch, WatchedModel};
use crate::config::{self, Config, PipelineConfig};
use crate::http::{DATE_RESOLUTION, DateObserver};
use crate::journal::StateDir;
use crate::models::onnx::OnnxEngine;
use crate::system::WallClock;
use crate::venues::book::{BOOK_FILE, Book};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A pipeline that is ready to start.
pub struct WiredPipeline {
    pub settings: PipelineSettings,
    pub ports: PipelinePorts,
    pub first_slot: UtcMs,
    /// Last slot of its replay, or of its single run.
    pub last_slot: Option<UtcMs>,
}

/// Builds every pipeline of the configuration. `watch` is the arm of the live ones.
///
/// # Errors
/// When bars, model or book cannot be used.
pub fn wire(
    config: &Config,
    state: &StateDir,
    options: &RunOptions,
    watch: Option<&Arc<Watch>>,
    safe_mode: &Arc<AtomicBool>,
) -> Result<Vec<WiredPipeline>, NodeError> {
    // Shared by all local models, and not started for none.
    let engine: LazyCell<OnnxEngine> = LazyCell::new(OnnxEngine::new);
    let book = Book::open(&state.path().join(BOOK_FILE))?;
    let chain = Chain::open(config, state, options, (watch, safe_mode))?;
    // Vendors are asked by the clock of those who want their bars.
    let by_chain = config.pipelines.iter().all(|pipeline| pipeline.topic().is_some());
    let clock = chain.as_ref().filter(|_| by_chain).map_or_else(|| options.clock.clone(), Chain::clock);
    let told = (options.clocks.clone(), options.meters.calls(Upstream::Feed).clone());
    let mut feeds = Feeds::open(config, state, clock, told)?;
    let wire = |pipeline| wire_one(pipeline, state, &engine, &book, feeds.as_mut(), chain.as_ref(), (options, watch));
    config.pipelines.iter().map(wire).collect()
}

/// Notes what time the server `source` says it is.
fn dates_of(source: &str, clocks: &Arc<ClockOffsets>) -> DateObserver {
    let (source, clocks) = (source.to_owned(), clocks.clone());
    Arc::new(move |date, way| clocks.note(&source, date, DATE_RESOLUTION, way, WallClock.now()))
}

fn wire_one(
    pipeline: &PipelineConfig,
    state: &StateDir,
    engine: &LazyCell<OnnxEngine>,
    book: &Book,
    feeds: Option<&mut Feeds>,
    chain: Option<&Chain>,
    (options, watch): (&RunOptions, Option<&Arc<Watch>>),
) -> Result<WiredPipeline, NodeError> {
    let features = pipeline.features.build();
    let told = (&options.clocks, options.meters.calls(Upstream::Hub));
    let mut model = model::model(pipeline, engine, options.faults.clone(), Some(told))?;
    if let Some(watch) = watch.filter(|_| pipeline.mode == Mode::Live) {
        model = Arc::new(WatchedModel { model, pipeline: pipeline.name.clone(), watch: watch.clone() });
    }
    let chain_clock = pipeline.topic().and(chain).map(Chain::clock);
    let Source { source, clock, accounted, span } =
        source::source(pipeline, state, feeds, (features.clone(), model.clone()), chain_clock, options)?;
    let Wired { sink, job, only } = venue::sink_and_job(pipeline, book, chain, options)?;
    let RunSlots { window, first, any_lateness } = match pipeline.slots.grid() {
        Some(schedule) => slots_of_run(pipeline.window, schedule, accounted, span, options.once, options.at_once),
        None => windows_of_run(pipeline.window, only),
    };
    let (mut first_slot, mut last_slot, mut deadlines) = (accounted, None, pipeline.deadlines);
    if let Some(schedule) = pipeline.slots.grid() {
        first_slot = span.map(|span| span.first).or(first).unwrap_or_else(|| schedule.after(accounted));
        last_slot = window.end.map(|end| schedule.newest_due(end.before()));
        if any_lateness {
            deadlines.lateness = deadlines.lateness.max(schedule.period());
        }
    }
    let settings = PipelineSettings {
        name: pipeline.name.clone(),
        symbol: pipeline.symbol.clone(),
        window,
        competition: pipeline.window,
        first_slot: first,
        freshness: pipeline.freshness(),
        tick: pipeline.data.tick,
        deadlines,
    };
    let ports = PipelinePorts { clock, source, features, model, sink, job };
    Ok(WiredPipeline { settings, ports, first_slot, last_slot })
}

/// The numbers of supervision.
pub(super) fn limits(config: &config::Supervision) -> Limits {
    let limit = |restarts: u32, within| Limit { restarts: restarts as usize, within };
    Limits {
        backoff: Backoff { first: config.backoff_base, longest: config.backoff_max },
        healthy_after: config.healthy_after,
        child: limit(config.child_restarts, config.child_window),
        child_slow: limit(config.child_restarts_day, DAY),
        // The third failure is one too many: two restarts are within the budget.
        critical: limit(config.critical_failures.saturating_sub(1), config.critical_window),
        pipeline: limit(config.pipeline_failures.saturating_sub(1), config.pipeline_window),
        global: limit(config.global_restarts, config.global_window),
        probe_every: config.probe_every,
        parked_share_percent: percent(config.parked_share),
        start_timeout: config.start_timeout,
        stuck_after: config.stuck_after,
        ping_every: config.ping_every,
        ..Limits::default()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the configuration allows 0 to 1")]
fn percent(share: f64) -> usize {
    (share.clamp(0.0, 1.0) * 100.0).round() as usize
}
