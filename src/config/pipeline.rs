//! `[[pipeline]]`: one symbol, from its bars to its orders or forecasts.
//!
//! What to trade, how much, and how far the stop lies has no default: the operator must set it. Everything else has
//! defaults for an FX pair of five digits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::bar::Interval;
use sentinel_actors::domain::calendar::MarketCalendar;
use sentinel_actors::domain::feature::FeatureSetId;
use sentinel_actors::domain::freshness::Freshness;
use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::made_bars::default_least_parts;
use sentinel_actors::domain::schedule::{Schedule, Window};
use sentinel_actors::ports::FeatureSet;
use sentinel_actors::settings::Deadlines;

use super::deadlines;
use super::endpoints::{self, ModelConfig};
use super::job::{self, ForecastJob, ForecastVenue, JobConfig, JobKind, OrderJob, TopicConfig};
use super::problem::Location;
use super::reader::{Section, WhenAbsent};
use super::source::{self, SourceConfig};
use super::values::LONG;
use crate::features::{OfMadeBars, SETS, SetInfo};

/// The hours of an FX pair: the default calendar.
pub const FX_CALENDAR: &str = "America/New_York; Sun 17:00-Fri 17:00; closed 12-25 00:00-17:00, 01-01 00:00-17:00";

#[derive(Debug, Clone, PartialEq)]
pub struct PipelineConfig {
    /// Unique in the node, part of every intent key.
    pub name: String,
    /// The symbol at source and venue.
    pub symbol: String,
    /// Whether its orders may leave the node; never more than the node's own mode allows.
    pub mode: Mode,
    /// It says itself that it is in dry run, so `--live` does not change that.
    pub stays_dry: bool,
    pub deadlines: Deadlines,
    /// Bar length.
    pub interval: Interval,
    pub slots: SlotsConfig,
    pub calendar: MarketCalendar,
    /// When the pipeline takes part.
    pub window: Window,
    pub source: SourceConfig,
    pub data: DataConfig,
    pub features: FeaturesConfig,
    pub model: ModelConfig,
    pub job: JobConfig,
}

/// `schedule`: which slots are due.
#[derive(Debug, Clone, PartialEq)]
pub enum SlotsConfig {
    /// A function of time.
    Grid(Schedule),
    /// `on worker window`: the windows that the pipeline's topic opens.
    WorkerWindows,
}

impl SlotsConfig {
    /// The grid, when it is one.
    #[must_use]
    pub const fn grid(&self) -> Option<&Schedule> {
        match self {
            Self::Grid(schedule) => Some(schedule),
            Self::WorkerWindows => None,
        }
    }

    fn parse(text: &str, interval: Interval) -> Result<Self, String> {
        if text == WORKER_WINDOWS {
            return Ok(Self::WorkerWindows);
        }
        Schedule::parse(text, interval).map(Self::Grid).map_err(|error| error.to_string())
    }
}

const WORKER_WINDOWS: &str = "on worker window";

impl fmt::Display for SlotsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grid(schedule) => schedule.fmt(f),
            Self::WorkerWindows => f.write_str(WORKER_WINDOWS),
        }
    }
}

impl PipelineConfig {
    /// The topic that its forecasts go to, when they do.
    #[must_use]
    pub const fn topic(&self) -> Option<TopicConfig> {
        match &self.job {
            JobConfig::Forecast(ForecastJob { venue: ForecastVenue::Topic(topic), .. }) => Some(*topic),
            JobConfig::Order(_) | JobConfig::Forecast(_) => None,
        }
    }

    /// What it has as an order pipeline.
    #[must_use]
    pub const fn order(&self) -> Option<&OrderJob> {
        match &self.job {
            JobConfig::Order(order) => Some(order),
            JobConfig::Forecast(_) => None,
        }
    }

    /// What its bars must be like.
    #[must_use]
    pub fn freshness(&self) -> Freshness {
        Freshness {
            interval: self.interval,
            calendar: self.calendar.clone(),
            max_age: self.data.max_age,
            max_missing_bars: self.data.max_missing_bars,
            settle: self.data.settle,
        }
    }

    /// Account in the paper book.
    #[must_use]
    pub fn paper_account(&self) -> &str {
        match &self.job {
            JobConfig::Order(order) => &order.paper.account,
            JobConfig::Forecast(forecast) => &forecast.account,
        }
    }
}

/// `[pipeline.data]`: what bars must be like to be decided on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DataConfig {
    /// The newest closed bar may be this old, counted from its close.
    pub max_age: Duration,
    /// More bars than this missing from the window: no decision.
    pub max_missing_bars: u32,
    /// A close may lie outside `[low, high]` by this much, in quote currency.
    pub tick: f64,
    /// A bar is closed this long after its close time.
    pub settle: Duration,
    /// Of the shorter bars of a made one, so many must be there.
    pub least_parts: u32,
}

/// `[pipeline.features]`.
#[derive(Debug, Clone, PartialEq)]
pub struct FeaturesConfig {
    pub info: &'static SetInfo,
    /// Which set, over how many bars.
    pub set: FeatureSetId,
    /// Whether frames carry a sequence besides their row.
    pub sequence: bool,
}

impl FeaturesConfig {
    /// The feature set as configured.
    #[must_use]
    pub fn build(&self) -> Arc<dyn FeatureSet> {
        let set = self.info.build(self.set.window, self.sequence);
        if self.set.made_from.is_some() { Arc::new(OfMadeBars { set, id: self.set.clone() }) } else { set }
    }
}

/// What a pipeline has from its node unless it says otherwise. `None`: that part of the file is wrong, and said to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inherited {
    pub(super) mode: Option<Mode>,
    pub(super) deadlines: Option<Deadlines>,
    /// Nothing is started, so no mode is too much.
    pub(super) reads_only: bool,
}

/// Reads one pipeline; `names` holds those of the pipelines before it.
pub(super) fn pipeline(
    mut s: Section<'_, '_>,
    names: &mut Vec<(String, Location)>,
    inherited: Inherited,
) -> Option<PipelineConfig> {
    use WhenAbsent::{Default, Required};
    let name = s.name("name", Required);
    if let Some(name) = &name {
        unique(&mut s, name, names);
    }
    let symbol = s.parsed_by("symbol", Required, "the symbol's name, up to 32 characters without spaces", symbol);
    let kind = job::kind(&mut s);
    let (mode, stays_dry) = mode(&mut s, inherited);
    let live = mode == Some(Mode::Live);
    let interval = s.parsed::<Interval>("interval", Default("1h"), "");
    let source = source::source(s.child("source"), symbol.as_deref(), inherited.reads_only);
    let made_from = source::made_from(&mut s, interval, source.as_ref());
    // Without an interval the schedule is still checked; one hour stands in.
    let schedule_interval = interval.or_else(|| Interval::new(Duration::from_secs(3600)))?;
    let slots =
        s.parsed_by("schedule", Default("on bar close + 2s"), "", |text| SlotsConfig::parse(text, schedule_interval));
    let vendor = match &source {
        Some(SourceConfig::Vendor(vendor)) => Some(vendor),
        _ => None,
    };
    let hours = source.as_ref().map_or(FX_CALENDAR, source::hours);
    let calendar = s.parsed::<MarketCalendar>("calendar", Default(hours), "");
    let window = window(&mut s);
    let has_windows = slots == Some(SlotsConfig::WorkerWindows);
    let of_node = if has_windows { inherited.deadlines.map(deadlines::on_chain) } else { inherited.deadlines };
    let deadlines = deadlines::of_pipeline(s.child("deadlines"), of_node);
    // A bar in a file is final; only a vendor's may still change.
    let settle = if vendor.is_some() { "2s" } else { "0s" };
    let data = data(s.child("data"), schedule_interval, made_from, settle);
    let features = features(s.child("features"), made_from);
    let sequence = features.as_ref().map(|features| features.sequence);
    let model = endpoints::model(s.child("model"), sequence);
    let is_replay = matches!(source, Some(SourceConfig::Csv(_)));
    let job = match kind {
        JobKind::Order => {
            if has_windows {
                s.report("schedule", "'on worker window' is for forecasts that go to a topic; orders have a grid");
            }
            job::order(&mut s, symbol.as_deref(), is_replay, live)
        }
        JobKind::Forecast => job::forecast(&mut s, schedule_interval, has_windows, live),
    };
    s.finish();
    Some(PipelineConfig {
        name: name?,
        symbol: symbol?,
        mode: mode?,
        stays_dry,
        deadlines: deadlines?,
        interval: interval?,
        slots: slots?,
        calendar: calendar?,
        window,
        source: source?,
        data: data?,
        features: features?,
        model: model?,
        job: job?,
    })
}

fn unique(s: &mut Section<'_, '_>, name: &str, names: &mut Vec<(String, Location)>) {
    if let Some((_, Location::Line(line))) = names.iter().find(|(other, _)| other == name) {
        s.report("name", format!("'{name}' is already the pipeline of line {line}"));
    }
    names.push((name.to_owned(), s.location_of("name")));
}

/// Its mode, of which the node's is the most; and whether it is in dry run by itself.
fn mode(s: &mut Section<'_, '_>, inherited: Inherited) -> (Option<Mode>, bool) {
    let own = s.choice("mode", WhenAbsent::Optional, &[Mode::DryRun, Mode::Live].map(|mode| (mode.code(), mode)));
    let mode = match (own, inherited.mode) {
        (Some(Mode::Live), Some(Mode::DryRun)) => {
            if !inherited.reads_only {
                let what = "'live' in a dry run: start the node with --live, or leave this key out and the pipeline is \
                            live whenever the node is";
                s.report("mode", what);
            }
            Some(Mode::DryRun)
        }
        (own, node) => own.or(node),
    };
    (mode, own == Some(Mode::DryRun))
}

fn symbol(text: &str) -> Result<String, String> {
    if (1..=32).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err(format!("'{text}' is not a symbol"))
    }
}

fn window(s: &mut Section<'_, '_>) -> Window {
    let window = Window { start: s.instant("start"), end: s.instant("end") };
    if let (Some(start), Some(end)) = (window.start, window.end)
        && start >= end
    {
        s.report("end", format!("{end} is not after start, {start}"));
    }
    window
}

fn data(mut s: Section<'_, '_>, interval: Interval, made_from: Option<Interval>, settle: &str) -> Option<DataConfig> {
    use WhenAbsent::Default;
    let two = humantime::format_duration(interval.length() * 2).to_string();
    let max_age = s.duration("max_age", Default(&two), LONG);
    let max_missing_bars = s.count("max_missing_bars", Default("20"), 0..=10_000);
    let tick = s.number("tick", Default("0.00001"), 0.0..=1e6);
    let settle = s.duration("settle", Default(settle), Duration::ZERO..=Duration::from_secs(600));
    if max_age.is_some_and(|age| age < interval.length()) {
        s.report("max_age", format!("is shorter than a bar, {interval}: every bar would be stale"));
    }
    if settle.is_some_and(|settle| settle >= interval.length()) {
        s.report("settle", format!("is not shorter than a bar, {interval}"));
    }
    let least_parts = least_parts(&mut s, interval, made_from);
    s.finish();
    Some(DataConfig {
        max_age: max_age?,
        max_missing_bars: max_missing_bars?,
        tick: tick?,
        settle: settle?,
        least_parts: least_parts?,
    })
}

/// How many of the parts of a bar must be there; a key of made bars only.
fn least_parts(s: &mut Section<'_, '_>, interval: Interval, made_from: Option<Interval>) -> Option<u32> {
    let Some(made_from) = made_from else {
        if s.has("least_parts") {
            s.report("least_parts", "is for bars that are made from shorter ones, with made_from");
        }
        return s.count("least_parts", WhenAbsent::Optional, 1..=u32::MAX).or(Some(0));
    };
    let parts = u32::try_from(interval.length().as_secs() / made_from.length().as_secs().max(1)).unwrap_or(u32::MAX);
    let default = default_least_parts(interval, made_from).to_string();
    s.count("least_parts", WhenAbsent::Default(&default), 1..=parts.max(1))
}

fn features(mut s: Section<'_, '_>, made_from: Option<Interval>) -> Option<FeaturesConfig> {
    use WhenAbsent::Default;
    let sets = SETS.each_ref().map(|set| (set.name, set));
    let info = s.choice("set", Default("fx23"), &sets);
    let window = s.count("window", Default("200"), info.map_or(1, |set| set.least_bars)..=10_000);
    let sequence = s.boolean("sequence", Default("false"));
    if let (Some(true), Some(info)) = (sequence, info) {
        match info.least_bars_with_sequence {
            None => s.report("sequence", format!("is not there in {}, which makes rows only", info.name)),
            Some(least) if window.is_some_and(|window| window < least) => {
                s.report("window", format!("is too short for a sequence, which needs {least} bars"));
            }
            Some(_) => {}
        }
    }
    s.finish();
    let info = info?;
    let set = FeatureSetId { name: info.name.to_owned(), window: window? as usize, made_from };
    Some(FeaturesConfig { info, set, sequence: sequence? })
}
