//! Vendors of bars and their series, each once for all pipelines that want it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::meters::Calls;
use sentinel_actors::ports::{Clock, FeatureSet, Model};
use sentinel_actors::settings::BARS_BESIDE_WINDOW;
use sentinel_actors::status::ClockOffsets;

use super::source::Source;
use super::{NodeError, dates_of};
use crate::config::{Config, JobConfig, KeyPlace, OrderJob, PipelineConfig, SourceConfig, VendorSource};
use crate::http::{Access, Secret};
use crate::journal::{JournalReader, StateDir};
use crate::sources::cache::{BARS_FILE, BarCache, Limit, Opened, SeriesKey};
use crate::sources::live::{LiveSource, MadeSeries, Recipe, reach};
use crate::sources::review::{Reviewer, Rule};
use crate::sources::series::{Instrument, Series, SeriesSettings};
use crate::sources::vendor::{Vendor, VendorClient, VendorSettings};
use crate::system::SystemChance;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A minute's requests; a vendor with another limit for it gets fewer.
const REQUESTS_PER_MINUTE: u32 = 1000;

/// All vendors of a node.
pub(super) struct Feeds {
    state: PathBuf,
    cache: Arc<BarCache>,
    clock: Arc<dyn Clock>,
    clocks: Arc<ClockOffsets>,
    /// Where calls to vendors are counted.
    calls: Arc<Calls>,
    clients: Vec<(ClientKey, Arc<VendorClient>)>,
    series: Vec<(Shared, Arc<Series>)>,
    made: Vec<(Shared, Recipe, Arc<MadeSeries>)>,
    /// From the oldest bar that a pipeline of a series looks at to the newest.
    reaches: Vec<(Shared, Duration)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ClientKey {
    base_url: String,
    account: String,
}

/// Whose bars, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shared {
    client: ClientKey,
    instrument: Instrument,
    /// A pipeline that waits longer for a bar must not hold up the others, nor get theirs.
    settle: Duration,
}

impl Feeds {
    /// Opens the cache when a pipeline has a vendor.
    ///
    /// # Errors
    /// When a key cannot be read, or there is no place for the cache.
    pub(super) fn open(
        config: &Config,
        state: &StateDir,
        clock: Arc<dyn Clock>,
        (clocks, calls): (Arc<ClockOffsets>, Arc<Calls>),
    ) -> Result<Option<Self>, NodeError> {
        let of_vendor = |pipeline: &PipelineConfig| matches!(pipeline.source, SourceConfig::Vendor(_));
        if !config.pipelines.iter().any(of_vendor) {
            return Ok(None);
        }
        let cache = open_cache(state.path())?;
        let mut reaches: Vec<(Shared, Duration)> = Vec::new();
        for pipeline in &config.pipelines {
            let SourceConfig::Vendor(source) = &pipeline.source else { continue };
            let (shared, wanted) = (shared(pipeline, source)?, reach_of(pipeline));
            match reaches.iter_mut().find(|(other, _)| *other == shared) {
                None => reaches.push((shared, wanted)),
                Some((_, longest)) => *longest = wanted.max(*longest),
            }
        }
        let state = state.path().to_owned();
        let (clients, series, made) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Some(Self { state, cache, clock, clocks, calls, clients, series, made, reaches }))
    }

    /// The source of a pipeline.
    pub(super) fn source(
        &mut self,
        pipeline: &PipelineConfig,
        vendor: &VendorSource,
        features: Arc<dyn FeatureSet>,
        model: Arc<dyn Model>,
    ) -> Result<Source, NodeError> {
        let shared = shared(pipeline, vendor)?;
        let series = self.series(pipeline, vendor, &shared)?;
        let made = recipe(pipeline).map(|recipe| self.made(shared, recipe));
        let reviewer = Arc::new(Reviewer {
            pipeline: pipeline.name.clone(),
            decided: decided(self.state.clone(), pipeline.name.clone()),
            features,
            model,
            rule: rule(pipeline),
            window: pipeline.features.set.window,
            tick: pipeline.data.tick,
            deadline: pipeline.deadlines.predict,
            cache: self.cache.clone(),
        });
        let source = LiveSource::new(series, made, pipeline.calendar.clone(), pipeline.data.settle, reviewer);
        let accounted = self.clock.now();
        Ok(Source { source: Arc::new(source), clock: self.clock.clone(), accounted, span: None })
    }

    fn series(
        &mut self,
        pipeline: &PipelineConfig,
        vendor: &VendorSource,
        shared: &Shared,
    ) -> Result<Arc<Series>, NodeError> {
        if let Some((_, series)) = self.series.iter().find(|(other, _)| other == shared) {
            return Ok(series.clone());
        }
        let client = self.client(pipeline, vendor, &shared.client)?;
        let key = series_key(vendor, &shared.instrument);
        let settings = SeriesSettings {
            instrument: shared.instrument.clone(),
            calendar: pipeline.calendar.clone(),
            settle: shared.settle,
            reach: self.reach(shared),
        };
        let series = Series::open(settings, client, &key, self.clock.clone(), self.cache.clone());
        let series = Arc::new(series.map_err(NodeError::BarCache)?);
        self.series.push((shared.clone(), series.clone()));
        Ok(series)
    }

    fn client(
        &mut self,
        pipeline: &PipelineConfig,
        vendor: &VendorSource,
        key: &ClientKey,
    ) -> Result<Arc<VendorClient>, NodeError> {
        if let Some((_, client)) = self.clients.iter().find(|(other, _)| other == key) {
            return Ok(client.clone());
        }
        let mut client = client(pipeline, vendor, self.cache.clone(), self.clock.clone())?;
        client.tell_dates(dates_of(vendor.vendor.name(), &self.clocks));
        client.count_in(self.calls.clone());
        let client = Arc::new(client);
        self.clients.push((key.clone(), client.clone()));
        Ok(client)
    }

    fn reach(&self, shared: &Shared) -> Duration {
        self.reaches.iter().find(|(other, _)| other == shared).map_or(Duration::ZERO, |(_, reach)| *reach)
    }

    fn made(&mut self, shared: Shared, recipe: Recipe) -> Arc<MadeSeries> {
        let same = |(other, of, _): &&(Shared, Recipe, _)| *other == shared && *of == recipe;
        if let Some((_, _, made)) = self.made.iter().find(same) {
            return made.clone();
        }
        let reach = self.reach(&shared);
        let made = Arc::new(MadeSeries::new(recipe.clone(), reach));
        self.made.push((shared, recipe, made.clone()));
        made
    }
}

/// A pipeline's vendor for commands that ask it by themselves. What they ask counts as the node's requests do.
pub struct OpenVendor {
    pub client: VendorClient,
    pub instrument: Instrument,
    pub cache: Arc<BarCache>,
    /// The pipeline's series in the cache.
    pub key: SeriesKey,
    /// How the pipeline makes its bars; `None`: as delivered.
    pub recipe: Option<Recipe>,
}

/// Opens the vendor of a pipeline.
///
/// # Errors
/// When its key cannot be used, or the cache in the state directory cannot.
pub fn open_vendor(
    pipeline: &PipelineConfig,
    source: &VendorSource,
    state: &Path,
    clock: Arc<dyn Clock>,
) -> Result<OpenVendor, NodeError> {
    std::fs::create_dir_all(state).map_err(|source| NodeError::StateDir { dir: state.to_owned(), source })?;
    let cache = open_cache(state)?;
    let client = client(pipeline, source, cache.clone(), clock)?;
    let instrument = instrument(pipeline, source);
    let key = series_key(source, &instrument);
    Ok(OpenVendor { client, instrument, cache, key, recipe: recipe(pipeline) })
}

pub(super) fn series_key(source: &VendorSource, instrument: &Instrument) -> SeriesKey {
    SeriesKey {
        vendor: source.vendor.name().to_owned(),
        base_url: source.base_url.to_string(),
        ticker: source.ticker.clone(),
        interval: instrument.interval,
    }
}

fn recipe(pipeline: &PipelineConfig) -> Option<Recipe> {
    Some(Recipe {
        interval: pipeline.interval,
        made_from: pipeline.features.set.made_from?,
        calendar: pipeline.calendar.clone(),
        least_parts: pipeline.data.least_parts,
        tick: pipeline.data.tick,
    })
}

/// What the journal says of a pipeline's bars.
fn decided(state: PathBuf, pipeline: String) -> Arc<dyn Fn(UtcMs) -> Option<Vec<f64>> + Send + Sync> {
    Arc::new(move |bar| {
        let slot = JournalReader::open(&state).and_then(|journal| journal.slot_of_bar(&pipeline, bar));
        slot.ok().flatten()?.record.raw_output
    })
}

/// How the pipeline reads its model's answers.
fn rule(pipeline: &PipelineConfig) -> Rule {
    match &pipeline.job {
        JobConfig::Order(OrderJob { policy, .. }) => {
            Rule::Classes { classes: policy.classes.clone(), threshold: policy.threshold }
        }
        JobConfig::Forecast(_) => Rule::Value,
    }
}

/// Opens the bar cache of a state directory.
pub(super) fn open_cache(state: &Path) -> Result<Arc<BarCache>, NodeError> {
    let (cache, opened) = BarCache::open(&state.join(BARS_FILE)).map_err(NodeError::BarCache)?;
    if let Opened::Replaced(because) = opened {
        tracing::warn!(event = "bar_cache_replaced", %because, "the bar cache could not be used; bars are fetched again");
    }
    Ok(Arc::new(cache))
}

/// A pipeline's vendor, ready to be asked.
pub(super) fn client(
    pipeline: &PipelineConfig,
    source: &VendorSource,
    cache: Arc<BarCache>,
    clock: Arc<dyn Clock>,
) -> Result<VendorClient, NodeError> {
    let key = key(pipeline, source)?;
    let account = account(source.vendor, &key);
    let access = match source.vendor {
        Vendor::Eodhd if source.token_in_query => Access::Query { name: "api_token", value: key },
        Vendor::Eodhd => Access::Bearer(key),
        Vendor::Tiingo => Access::Token(key),
    };
    let limit = |within, requests: Option<u32>| requests.map(|requests| Limit { within, requests });
    let limits = [
        limit(MINUTE, Some(REQUESTS_PER_MINUTE)),
        limit(HOUR, source.requests_per_hour),
        limit(DAY, source.requests_per_day),
    ];
    let settings = VendorSettings {
        vendor: source.vendor,
        base_url: source.base_url.clone(),
        access,
        account,
        limits: limits.into_iter().flatten().collect(),
    };
    VendorClient::new(settings, cache, clock, Arc::new(SystemChance))
        .map_err(|source| NodeError::Vendor { pipeline: pipeline.name.clone(), source: Box::new(source) })
}

/// Demands that the key can be read.
///
/// # Errors
/// When it cannot.
pub(super) fn require_key(pipeline: &PipelineConfig, source: &VendorSource) -> Result<(), NodeError> {
    key(pipeline, source).map(drop)
}

/// Which bars of its vendor a pipeline wants.
pub(super) fn instrument(pipeline: &PipelineConfig, source: &VendorSource) -> Instrument {
    Instrument {
        ticker: source.ticker.clone(),
        market: source.market,
        interval: pipeline.features.set.made_from.unwrap_or(pipeline.interval),
    }
}

fn shared(pipeline: &PipelineConfig, source: &VendorSource) -> Result<Shared, NodeError> {
    let account = account(source.vendor, &key(pipeline, source)?);
    let client = ClientKey { base_url: source.base_url.to_string(), account };
    Ok(Shared { client, instrument: instrument(pipeline, source), settle: pipeline.data.settle })
}

fn account(vendor: Vendor, key: &Secret) -> String {
    format!("{}-{}", vendor.name(), key.fingerprint())
}

fn reach_of(pipeline: &PipelineConfig) -> Duration {
    reach(&pipeline.calendar, pipeline.interval, pipeline.features.set.window + BARS_BESIDE_WINDOW)
        + pipeline.interval.length()
}

fn key(pipeline: &PipelineConfig, source: &VendorSource) -> Result<Secret, NodeError> {
    match &source.key {
        Some(KeyPlace::Environment(key)) => Ok(key.clone()),
        Some(KeyPlace::File(file)) => {
            let text = std::fs::read_to_string(file).map_err(|source| NodeError::Secret {
                pipeline: pipeline.name.clone(),
                file: file.clone(),
                source,
            })?;
            let key = text.trim();
            if key.is_empty() {
                return Err(NodeError::EmptyKey { pipeline: pipeline.name.clone(), file: file.clone() });
            }
            Ok(Secret::new(key.to_owned()))
        }
        // A command that starts nothing.
        None => Ok(Secret::new(String::new())),
    }
}
