//! The first log lines of a node: five of them say what it is about to do; the whole configuration follows at debug.

use std::fmt::Write as _;
use std::path::Path;

use sentinel_actors::domain::intent::Mode;
use tracing::{debug, info, warn};

use super::wiring::WiredPipeline;
use crate::arming::ArmId;
use crate::config::{
    Config, ForecastJob, ForecastVenue, JobConfig, ModelConfig, OrderJob, PipelineConfig, SlotsConfig, SourceConfig,
    VenueConfig,
};

/// More pipelines than this are counted and not named: the log file has all of them, at debug.
const NAMED_MAX: usize = 4;

/// Logs how the node is set up: with the digest of its configuration, and what an operator has armed of it.
pub(super) fn log(
    config: &Config,
    state: &Path,
    (digest, armed): (&str, Option<(ArmId, Option<String>)>),
    wired: &[WiredPipeline],
) {
    for line in config.banner() {
        debug!(event = "configuration", setting = line, "a setting, its value, and where the value comes from");
    }
    let (arm, arm_left) = armed.map_or((None, None), |(arm, left)| (Some(arm.to_string()), left));
    info!(
        event = "starting",
        about = "mode",
        version = env!("SENTINEL_VERSION"),
        pid = std::process::id(),
        state = %state.canonicalize().unwrap_or_else(|_| state.to_owned()).display(),
        config = digest,
        arm,
        arm_left,
        "{}",
        mode(config)
    );
    if let Some(what) = config.plain_beyond() {
        warn!(event = "plain_endpoint", what, "orders or questions leave this machine in plain text");
    }
    let each = |text: fn(&PipelineConfig) -> String| {
        listed(config.pipelines.iter().map(|pipeline| (pipeline.name.as_str(), text(pipeline))))
    };
    info!(event = "starting", about = "model", "{}", each(model));
    info!(event = "starting", about = "endpoints", "{}", each(endpoints));
    info!(event = "starting", about = "decision", "{}", each(decision));
    let ends = wired.iter().map(|pipeline| (pipeline.settings.name.as_str(), competition(pipeline)));
    info!(event = "starting", about = "competition", "{}", listed(ends));
}

/// Of each pipeline when they differ: a dry run in a live node must not pass for armed, nor the other way round.
fn mode(config: &Config) -> String {
    let text = |pipeline: &PipelineConfig| match pipeline.mode {
        Mode::DryRun => "dry run: nothing leaves this node; orders and forecasts go to a local paper book",
        Mode::Live => "LIVE: orders leave this node",
    };
    match config.pipelines.as_slice() {
        pipelines if config.has_both_modes() => {
            let text = |pipeline: &PipelineConfig| match pipeline.mode {
                Mode::DryRun => "dry run, orders go to a local paper book".to_owned(),
                Mode::Live => "LIVE, orders leave this node".to_owned(),
            };
            listed(pipelines.iter().map(|pipeline| (pipeline.name.as_str(), text(pipeline))))
        }
        pipelines => pipelines.first().map(text).unwrap_or_default().to_owned(),
    }
}

/// `name: text; name, name: text`: pipelines with the same text are listed together.
fn listed<'n>(pipelines: impl Iterator<Item = (&'n str, String)>) -> String {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for (name, text) in pipelines {
        match groups.iter_mut().find(|(known, _)| *known == text) {
            Some((_, names)) => names.push(name),
            None => groups.push((text, vec![name])),
        }
    }
    let more = groups.len().saturating_sub(NAMED_MAX);
    let mut line = String::new();
    for (text, names) in groups.iter().take(NAMED_MAX) {
        let separator = if line.is_empty() { "" } else { "; " };
        let unnamed = names.len().saturating_sub(NAMED_MAX);
        let named = names.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
        let unnamed = if unnamed > 0 { format!(" and {unnamed} more") } else { String::new() };
        let _ = write!(line, "{separator}{named}{unnamed}: {text}");
    }
    if more > 0 {
        let _ = write!(line, "; and {more} more");
    }
    line
}

fn model(pipeline: &PipelineConfig) -> String {
    let asked = match &pipeline.model {
        ModelConfig::Onnx { path } => format!("the model {}", path.display()),
        ModelConfig::Hub(_) => "the hub's model".to_owned(),
    };
    let sequence = if pipeline.features.sequence { " and a sequence" } else { "" };
    let set = &pipeline.features.set;
    let made = set.made_from.map_or_else(String::new, |parts| format!(" made from {parts}"));
    format!("{asked} is asked with {} of {} bars{made}{sequence}", set.name, set.window)
}

fn endpoints(pipeline: &PipelineConfig) -> String {
    let mut line = match &pipeline.source {
        SourceConfig::Csv(csv) => format!("bars from {}", csv.path.display()),
        SourceConfig::Vendor(source) => format!("bars of {} from {}", source.ticker, source.base_url),
    };
    if let ModelConfig::Hub(hub) = &pipeline.model {
        let scheme = if hub.tls { "https" } else { "http" };
        let _ = write!(line, ", hub {scheme}://{}:{}", hub.host, hub.port);
    }
    match &pipeline.job {
        JobConfig::Order(OrderJob { venue: VenueConfig::Gateway(gateway), .. }) if pipeline.mode == Mode::Live => {
            let _ = write!(line, ", gateway {}:{}, account {}", gateway.host, gateway.port, gateway.account);
        }
        JobConfig::Forecast(ForecastJob { venue: ForecastVenue::Topic(topic), .. }) if pipeline.mode == Mode::Live => {
            let _ = write!(line, ", topic {}", topic.id);
        }
        JobConfig::Order(OrderJob { venue: VenueConfig::Gateway(_) | VenueConfig::Paper, .. })
        | JobConfig::Forecast(_) => {
            let _ = write!(line, ", paper account {}", pipeline.paper_account());
        }
    }
    line
}

fn decision(pipeline: &PipelineConfig) -> String {
    let (decide_on, how) = match &pipeline.job {
        JobConfig::Order(OrderJob { policy, .. }) => {
            let how = format!("above {}, {} lots", policy.threshold, policy.volume_lots.normalize());
            (policy.decide_on, how)
        }
        JobConfig::Forecast(ForecastJob { policy, .. }) => {
            let horizon = humantime::format_duration(policy.horizon);
            (policy.decide_on, format!("{horizon} ahead, at most {}", policy.max_abs))
        }
    };
    let PipelineConfig { symbol, interval, slots, .. } = pipeline;
    match slots {
        SlotsConfig::Grid(schedule) => format!("{symbol} once per {interval} {} ({schedule}), {how}", decide_on.code()),
        SlotsConfig::WorkerWindows => format!("{symbol} once per window of its topic, {how}"),
    }
}

fn competition(pipeline: &WiredPipeline) -> String {
    let window = pipeline.settings.window;
    let from = window.start.map_or_else(String::new, |start| format!("from {start} "));
    match (pipeline.last_slot, window.end) {
        (Some(last), Some(end)) if end.0 > last.0 => format!("{from}ends with its last slot, {last}"),
        (_, Some(end)) => format!("{from}ends at {end}"),
        (_, None) => format!("{from}without an end"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipelines_with_one_text_share_it_and_a_thousand_are_counted() {
        let names: Vec<String> = (0..1000).map(|number| format!("p{number}")).collect();
        let same = listed(names.iter().map(|name| (name.as_str(), "ends never".to_owned())));
        assert_eq!(same, "p0, p1, p2, p3 and 996 more: ends never");
        let own = listed(names.iter().map(|name| (name.as_str(), format!("trades {name}"))));
        assert_eq!(own, "p0: trades p0; p1: trades p1; p2: trades p2; p3: trades p3; and 996 more");
    }
}
