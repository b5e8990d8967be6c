//! The sections about the process: `[node]`, `[log]` and `[supervision]`. Their defaults stand here and nowhere else.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sentinel_actors::domain::intent::Mode;

use super::reader::{Section, WhenAbsent};
use super::values::{LONG, SHORT, beside};

/// A day at least, for questions with `sentinel why`.
const RETENTION: RangeInclusive<Duration> = Duration::from_secs(86_400)..=Duration::from_secs(36_500 * 86_400);

/// Twice the time between two progress beats.
const WATCHDOG_LEAST: Duration = Duration::from_secs(2);

/// `[node]`: the process.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeConfig {
    /// Its name in logs and reports.
    pub name: String,
    /// Directory of journal, books and quarantine. One process at a time.
    pub state: PathBuf,
    /// What a pipeline may do at most; it may keep to a dry run in a live node.
    pub mode: Mode,
    /// Time between two heartbeat lines.
    pub heartbeat: Duration,
    /// How long slots are kept in the journal; `None` keeps them all.
    pub retention: Option<Duration>,
    /// Less free space than this under the state directory is a warning, in megabytes; 0 never warns.
    pub disk_warning_mb: u32,
}

/// `[log]`: what is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// The least important lines on standard error.
    pub level: LogLevel,
    pub format: LogFormat,
    /// The file that gets more of them, relative to the state directory; `None` keeps none.
    pub file: Option<PathBuf>,
}

/// How important a log line is; the least important is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Pretty,
    Json,
}

/// `[supervision]`: when parts are restarted, parked or given up.
#[derive(Debug, Clone, PartialEq)]
pub struct Supervision {
    /// Back-off before the second restart; doubles with each further one.
    pub backoff_base: Duration,
    /// Back-off never grows beyond this.
    pub backoff_max: Duration,
    /// A child that lived this long starts its back-off anew.
    pub healthy_after: Duration,
    /// Restarts of one child within `child_window`.
    pub child_restarts: u32,
    /// See `child_restarts`.
    pub child_window: Duration,
    /// Restarts of one child within 24 hours: catches what dies once per cycle.
    pub child_restarts_day: u32,
    /// Failures of a pipeline within `pipeline_window` that park it.
    pub pipeline_failures: u32,
    /// See `pipeline_failures`.
    pub pipeline_window: Duration,
    /// A parked pipeline is tried again after this.
    pub probe_every: Duration,
    /// Failures of critical children within `critical_window` that end the process.
    pub critical_failures: u32,
    /// See `critical_failures`.
    pub critical_window: Duration,
    /// Restarts of all children within `global_window` that end the process.
    pub global_restarts: u32,
    /// See `global_restarts`.
    pub global_window: Duration,
    /// Share of parked pipelines beyond which the cause is the environment, and the process ends.
    pub parked_share: f64,
    /// A child that has not started by then has failed.
    pub start_timeout: Duration,
    /// A thread without progress for this long is stuck.
    pub stuck_after: Duration,
    /// Time between two pings of an idle child.
    pub ping_every: Duration,
    /// The process ends itself after this long without progress of the control runtime.
    pub watchdog: Duration,
    /// The whole tree ends within this.
    pub shutdown: Duration,
}

pub(super) fn node(mut s: Section<'_, '_>) -> Option<NodeConfig> {
    use WhenAbsent::Default;
    let name = s.name("name", Default("sentinel"));
    let base = s.reading.base.clone();
    let state = s.parsed_by("state", Default("state"), "a directory", |text| match text {
        "" => Err("is empty".to_owned()),
        text => Ok(PathBuf::from(text)),
    });
    // Only the file's own paths are relative to the file.
    let outside = s.reading.is_overridden("node.state");
    let state = state.map(|state| if outside { state } else { beside(&base, &state) });
    let asked_for = s.reading.is_overridden("node.mode");
    let mode = s.parsed_by("mode", Default("dry_run"), "\"dry_run\"", |text| match text {
        "dry_run" => Ok(Mode::DryRun),
        "live" if asked_for => Ok(Mode::Live),
        "live" => Err("'live' is said at each start, with the flag --live, and never by a file alone".to_owned()),
        other => Err(format!("'{other}' is not known")),
    });
    let heartbeat = s.duration("heartbeat", Default("1h"), LONG);
    let retention = s.duration_or_none("retention", Default("none"), RETENTION);
    let disk_warning_mb = s.count("disk_warning_mb", Default("1024"), 0..=1_000_000_000);
    s.finish();
    Some(NodeConfig {
        name: name?,
        state: state?,
        mode: mode?,
        heartbeat: heartbeat?,
        retention: retention?,
        disk_warning_mb: disk_warning_mb?,
    })
}

pub(super) fn log(mut s: Section<'_, '_>) -> Option<LogConfig> {
    let levels = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
    let level = s.choice("level", WhenAbsent::Default("info"), &levels.map(|level| (level.word(), level)));
    let formats = [("pretty", LogFormat::Pretty), ("json", LogFormat::Json)];
    let format = s.choice("format", WhenAbsent::Default("pretty"), &formats);
    let allowed = "the path of a file, relative to the state directory, or \"none\"";
    let file = s.parsed_by("file", WhenAbsent::Default("logs/sentinel.log"), allowed, |text| match text {
        "none" => Ok(None),
        text if text.ends_with('/') || Path::new(text).file_name().is_none() => Err(format!("'{text}' names no file")),
        text => Ok(Some(PathBuf::from(text))),
    });
    s.finish();
    Some(LogConfig { level: level?, format: format?, file: file? })
}

pub(super) fn supervision(mut s: Section<'_, '_>) -> Option<Supervision> {
    use WhenAbsent::Default;
    let restarts = 0..=1_000_000;
    let failures = 1..=1_000_000;
    let backoff_base = s.duration("backoff_base", Default("100ms"), SHORT);
    let backoff_max = s.duration("backoff_max", Default("60s"), SHORT);
    let healthy_after = s.duration("healthy_after", Default("60s"), LONG);
    let child_restarts = s.count("child_restarts", Default("5"), restarts.clone());
    let child_window = s.duration("child_window", Default("60s"), LONG);
    let child_restarts_day = s.count("child_restarts_day", Default("20"), restarts.clone());
    let pipeline_failures = s.count("pipeline_failures", Default("3"), failures.clone());
    let pipeline_window = s.duration("pipeline_window", Default("10m"), LONG);
    let probe_every = s.duration("probe_every", Default("15m"), LONG);
    let critical_failures = s.count("critical_failures", Default("3"), failures);
    let critical_window = s.duration("critical_window", Default("60s"), LONG);
    let global_restarts = s.count("global_restarts", Default("10"), restarts);
    let global_window = s.duration("global_window", Default("60s"), LONG);
    let parked_share = s.number("parked_share", Default("0.2"), 0.01..=1.0);
    let start_timeout = s.duration("start_timeout", Default("10s"), SHORT);
    let stuck_after = s.duration("stuck_after", Default("5s"), SHORT);
    let ping_every = s.duration("ping_every", Default("10s"), SHORT);
    let watchdog = s.duration("watchdog", Default("20s"), SHORT);
    let shutdown = s.duration("shutdown", Default("20s"), SHORT);
    if let (Some(base), Some(max)) = (backoff_base, backoff_max)
        && base > max
    {
        s.report("backoff_base", "is longer than backoff_max");
    }
    // An idle journal shows progress only when it is pinged; all other parts about once a second.
    if let (Some(watchdog), Some(ping)) = (watchdog, ping_every) {
        let least = (ping * 2).max(WATCHDOG_LEAST);
        if watchdog < least {
            let least = humantime::format_duration(least);
            s.report(
                "watchdog",
                format!("is shorter than {least} (twice ping_every, at least 2s); it would end an idle node"),
            );
        }
    }
    s.finish();
    Some(Supervision {
        backoff_base: backoff_base?,
        backoff_max: backoff_max?,
        healthy_after: healthy_after?,
        child_restarts: child_restarts?,
        child_window: child_window?,
        child_restarts_day: child_restarts_day?,
        pipeline_failures: pipeline_failures?,
        pipeline_window: pipeline_window?,
        probe_every: probe_every?,
        critical_failures: critical_failures?,
        critical_window: critical_window?,
        global_restarts: global_restarts?,
        global_window: global_window?,
        parked_share: parked_share?,
        start_timeout: start_timeout?,
        stuck_after: stuck_after?,
        ping_every: ping_every?,
        watchdog: watchdog?,
        shutdown: shutdown?,
    })
}
