//! Health as a file: `health.json` in the state directory, and the verdict on it.
//!
//! Promise kept: healthy means that useful work is done. The file is written only while every part of the node makes
//! progress, so the file of a dead or hung node becomes too old. A pipeline that is parked, does not know which slots are due, is
//! overdue with a decision or fails slot after slot is unhealthy even if the process is alive; so is a node in safe mode, or
//! with an order that the operator must settle. A replay's schedule time is not wall time, so its lateness is ignored.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sentinel_actors::domain::overload::Overload;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::elapsed_now;
use sentinel_actors::status::Board;
use serde::{Deserialize, Serialize};

use super::late_after::LateAfter;
use crate::files::{Durability, replace};

/// The file in the state directory.
pub const HEALTH_FILE: &str = "health.json";
/// Elapsed time between two looks at the node, and so between two writings of the file.
pub(super) const WRITTEN_EVERY: Duration = Duration::from_secs(5);
/// A file younger than this is never too old, whatever `ping_every` is.
const FRESH_FOR_MIN: Duration = Duration::from_secs(15);

/// A wall clock further than this behind the newest decided slot was set back.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

/// This many slots in a row without a decision are unhealthy.
const FAULTS_MAX: u64 = 5;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// When it was written; wall time.
    #[serde(rename = "written_at_ms")]
    pub written_at: UtcMs,
    /// When the pipelines were started; wall time.
    #[serde(rename = "started_at_ms")]
    pub started_at: UtcMs,
    /// The process.
    pub pid: u32,
    pub version: String,
    /// How old the file may grow.
    pub fresh_for_ms: u64,
    /// How late a decision may be.
    pub late_after_ms: u64,
    /// Set after repeated crashes: nothing is sent.
    #[serde(default)]
    pub safe_mode: bool,
    /// Present while slots are missed because too many are due.
    #[serde(default)]
    pub overload: Option<Overload>,
    /// By name.
    pub pipelines: BTreeMap<String, PipelineHealth>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineHealth {
    /// Its slots are due at wall time; false for a replay.
    pub wall_time: bool,
    #[serde(rename = "last_slot_ms")]
    pub last_slot: Option<UtcMs>,
    /// The next one; `None` before the schedule has started, and when the competition has ended.
    #[serde(rename = "next_due_ms")]
    pub next_due: Option<UtcMs>,
    /// How late the next slot was when the file was written.
    pub late_ms: u64,
    /// How many of the newest slots, in a row, a fault kept from a decision.
    pub faults_in_a_row: u64,
    /// The fault of the newest of them.
    #[serde(default)]
    pub last_fault: Option<Reason>,
    pub last_reason: Option<Reason>,
    /// How long it had been starting its schedule when the file was written; `None` once it has started.
    #[serde(default)]
    pub waiting_ms: Option<u64>,
    /// It is beyond its restart budget and does not run.
    #[serde(default)]
    pub parked: bool,
    /// Keys of orders that the operator must settle.
    #[serde(default)]
    pub held: Vec<String>,
    /// Every slot up to here has ended or is in work; a clock that shows less was set back.
    #[serde(rename = "accounted_ms", default)]
    pub accounted: Option<UtcMs>,
    /// How late one of its decisions may be, where that is not the node's `late_after_ms`.
    #[serde(default)]
    pub late_after_ms: Option<u64>,
    /// Every slot of the competition has ended.
    pub ended: bool,
}

/// Why a node is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    #[error("{} is missing: no node is running there, or it is still starting", path.display())]
    Missing { path: PathBuf },
    /// Not a file of this program.
    #[error("{} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The node has stalled or is gone.
    #[error("process {pid} has shown no progress for {}", humantime::format_duration(*.age))]
    Still {
        /// The process.
        pid: u32,
        age: Duration,
    },
    /// The clock was set back, so the age of the file is unknown.
    #[error("process {pid} last showed progress at {at}, which is in the future")]
    FromTheFuture {
        /// The process.
        pid: u32,
        at: UtcMs,
    },
    /// Decisions are overdue, or the operator has to act.
    #[error("{}", .0.join("; "))]
    Trouble(Vec<String>),
}

impl Health {
    /// The present state. `ping_every`: time between two pings of an idle part.
    #[must_use]
    pub fn new(board: &Board, started_at: UtcMs, now: UtcMs, late_after: &LateAfter, ping_every: Duration) -> Self {
        let pipelines = board.entries.iter().map(|(name, entry)| {
            let status = entry.status.load();
            let health = PipelineHealth {
                wall_time: !entry.clock.follows_cycles(),
                last_slot: status.last_slot,
                next_due: status.next_due,
                late_ms: whole_ms(status.lateness(entry.clock.now())),
                faults_in_a_row: status.faults_in_a_row,
                last_fault: status.last_fault,
                last_reason: status.last_reason,
                waiting_ms: status.waiting_since.map(|since| whole_ms(elapsed_now().saturating_duration_since(since))),
                parked: entry.is_parked(),
                held: entry.holdings.load().held.iter().map(|order| order.intent.key.to_string()).collect(),
                accounted: status.accounted,
                late_after_ms: late_after.of_pipelines.get(name).copied().map(whole_ms),
                ended: status.ended,
            };
            (name.clone(), health)
        });
        Self {
            written_at: now,
            started_at,
            pid: std::process::id(),
            version: env!("SENTINEL_VERSION").to_owned(),
            fresh_for_ms: whole_ms(FRESH_FOR_MIN.max(ping_every + WRITTEN_EVERY)),
            late_after_ms: whole_ms(late_after.node),
            safe_mode: board.is_safe_mode(),
            overload: board.overload.load().as_deref().copied(),
            pipelines: pipelines.collect(),
        }
    }

    /// Reads the file of a state directory.
    ///
    /// # Errors
    /// When there is none that can be read.
    pub fn read(state: &Path) -> Result<Self, Unhealthy> {
        let path = state.join(HEALTH_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unhealthy::Missing { path }),
            Err(source) => return Err(Unhealthy::Unreadable { path, source }),
        };
        serde_json::from_str(&text).map_err(|error| Unhealthy::Unreadable { path, source: error.into() })
    }

    /// Replaces the file. It need not survive a power cut.
    ///
    /// # Errors
    /// When it cannot be written; the old one then becomes too old.
    pub fn write(&self, state: &Path) -> io::Result<()> {
        let text = serde_json::to_string(self)?;
        replace(&state.join(HEALTH_FILE), Durability::None, |file| file.write_all(text.as_bytes()))
    }

    /// One line when all is well.
    ///
    /// # Errors
    /// The reason when it is not.
    pub fn judge(&self, now: UtcMs) -> Result<String, Unhealthy> {
        let (age, fresh_for) = (now.since(self.written_at), Duration::from_millis(self.fresh_for_ms));
        if age > fresh_for {
            return Err(Unhealthy::Still { pid: self.pid, age });
        }
        if self.written_at.since(now) > fresh_for {
            return Err(Unhealthy::FromTheFuture { pid: self.pid, at: self.written_at });
        }
        let late_after = Duration::from_millis(self.late_after_ms);
        let idle = |(name, pipeline): (&String, &PipelineHealth)| {
            let late_after = pipeline.late_after_ms.map_or(late_after, Duration::from_millis);
            Some(format!("{name} {}", pipeline.idle(now, late_after)?))
        };
        let idle: Vec<String> = self.pipelines.iter().filter_map(idle).collect();
        let mut trouble = Vec::new();
        if !idle.is_empty() {
            trouble.push(format!("no useful work is done: {}", idle.join(", ")));
        }
        if self.safe_mode {
            trouble
                .push("safe mode after repeated crashes: nothing is sent (`sentinel resume` ends it early)".to_owned());
        }
        for (name, pipeline) in &self.pipelines {
            trouble.extend(pipeline.held.iter().map(|key| {
                format!(
                    "{name} holds the order {key}: check it at the venue, stop the node, then `sentinel settle {key}`"
                )
            }));
        }
        if let Some(overload) = self.overload.filter(|_| !trouble.is_empty()) {
            trouble.push(format!("it sheds load: {overload}"));
        }
        if trouble.is_empty() { Ok(self.healthy_line(age)) } else { Err(Unhealthy::Trouble(trouble)) }
    }

    fn healthy_line(&self, age: Duration) -> String {
        let last = self.pipelines.values().filter_map(|pipeline| pipeline.last_slot).max();
        let last = last.map_or_else(|| "none".to_owned(), |last| last.to_string());
        let age = humantime::format_duration(age);
        let mut line = format!(
            "healthy: process {}, {} pipelines, last slot {last}, seen {age} ago",
            self.pid,
            self.pipelines.len()
        );
        for (name, failing) in self.pipelines.iter().filter_map(|(name, pipeline)| Some((name, pipeline.failing(1)?))) {
            line.push_str(&format!("; but {name} {failing}"));
        }
        if let Some(overload) = &self.overload {
            line.push_str(&format!("; but it sheds load: {overload}"));
        }
        line
    }
}

impl PipelineHealth {
    /// Why it does no useful work; `None` when it does some.
    fn idle(&self, now: UtcMs, late_after: Duration) -> Option<String> {
        if self.ended {
            return None;
        }
        if self.parked {
            return Some("is parked: it failed repeatedly and is retried only from time to time".to_owned());
        }
        let waiting = self.waiting_ms.map(Duration::from_millis).filter(|waiting| *waiting > late_after);
        if let Some(waiting) = waiting {
            return Some(format!("has not known which slots are due for {}", humantime::format_duration(waiting)));
        }
        if let Some(failing) = self.failing(FAULTS_MAX) {
            return Some(failing);
        }
        let behind = self.accounted.filter(|_| self.wall_time).map_or(Duration::ZERO, |accounted| accounted.since(now));
        if behind > CLOCK_TOLERANCE {
            let behind = humantime::format_duration(behind);
            return Some(format!("waits for the clock, which is {behind} behind its newest decided slot"));
        }
        let due = self.next_due.filter(|due| self.wall_time && now.since(*due) > late_after)?;
        Some(format!("decision of {due} overdue since {}", humantime::format_duration(now.since(due))))
    }

    /// What kept at least the `least` newest slots from a decision.
    fn failing(&self, least: u64) -> Option<String> {
        let fault = self.last_fault.or(self.last_reason).map_or("unknown", Reason::code);
        (self.faults_in_a_row >= least && !self.ended)
            .then(|| format!("decided none of its last {} slots ({fault})", self.faults_in_a_row))
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use sentinel_actors::domain::cycle::Stage;

    use super::*;

    const NOW: UtcMs = UtcMs(1_700_000_000_000);

    fn ago(seconds: i64) -> UtcMs {
        UtcMs(NOW.0 - seconds * 1000)
    }

    fn health(pipeline: PipelineHealth) -> Health {
        Health {
            written_at: ago(4),
            started_at: ago(3600),
            pid: 7,
            version: "1".to_owned(),
            fresh_for_ms: 15_000,
            late_after_ms: 40_000,
            safe_mode: false,
            overload: None,
            pipelines: BTreeMap::from([("eurusd".to_owned(), pipeline)]),
        }
    }

    fn pipeline(next_due: Option<UtcMs>) -> PipelineHealth {
        PipelineHealth {
            wall_time: true,
            last_slot: Some(ago(60)),
            next_due,
            late_ms: 0,
            faults_in_a_row: 0,
            last_fault: None,
            last_reason: None,
            waiting_ms: None,
            parked: false,
            held: Vec::new(),
            accounted: Some(ago(60)),
            late_after_ms: None,
            ended: false,
        }
    }

    #[test]
    fn a_node_that_decides_in_time_is_healthy() {
        let line = health(pipeline(Some(ago(-30)))).judge(NOW).unwrap();
        assert_eq!(line, "healthy: process 7, 1 pipelines, last slot 2023-11-14T22:12:20Z, seen 4s ago");
        assert!(health(pipeline(Some(ago(40)))).judge(NOW).is_ok(), "a cycle may take so long");
    }

    #[test]
    fn an_overdue_decision_is_unhealthy_even_if_the_process_is_alive() {
        let error = health(pipeline(Some(ago(41)))).judge(NOW).unwrap_err().to_string();
        assert_eq!(error, "no useful work is done: eurusd decision of 2023-11-14T22:12:39Z overdue since 41s");
    }

    #[test]
    fn a_pipeline_that_has_decided_everything_waits_for_its_end_in_good_health() {
        assert!(health(pipeline(None)).judge(NOW).is_ok());
    }

    /// A health file of the version before has none of the newer fields.
    #[test]
    fn a_pipeline_that_is_parked_or_never_started_is_unhealthy_in_a_replay_too() {
        for wall_time in [true, false] {
            let existing = |parked, waiting_ms| {
                let pipeline = PipelineHealth { wall_time, parked, waiting_ms, ..pipeline(None) };
                health(pipeline).judge(NOW).map_err(|error| error.to_string())
            };
            let error = existing(true, None).unwrap_err();
            assert!(error.starts_with("no useful work is done: eurusd is parked"), "{error}");
            let error = existing(false, Some(41_000)).unwrap_err();
            assert_eq!(error, "no useful work is done: eurusd has not known which slots are due for 41s");
            assert!(existing(false, Some(40_000)).is_ok(), "a start may take so long");
        }
    }

    #[test]
    fn a_pipeline_is_late_by_its_own_deadlines_and_not_by_the_nodes() {
        let own = |late_after_ms| health(PipelineHealth { late_after_ms, ..pipeline(Some(ago(60))) });
        assert!(own(None).judge(NOW).is_err() && own(Some(59_000)).judge(NOW).is_err());
        assert!(own(Some(60_000)).judge(NOW).is_ok());
    }

    #[test]
    fn held_orders_and_safe_mode_are_unhealthy_even_if_the_rest_works() {
        let held = PipelineHealth { held: vec!["abcdefgh".to_owned()], ..pipeline(Some(ago(-30))) };
        let error = health(held.clone()).judge(NOW).unwrap_err().to_string();
        assert!(error.starts_with("eurusd holds the order abcdefgh") && error.contains("sentinel settle abcdefgh"));
        assert!(health(PipelineHealth { ended: true, ..held }).judge(NOW).is_err(), "only the operator can settle it");
        let safe = Health { safe_mode: true, ..health(pipeline(Some(ago(-30)))) };
        let error = safe.judge(NOW).unwrap_err().to_string();
        assert!(error.starts_with("safe mode") && error.contains("sentinel resume"), "{error}");
    }

    #[test]
    fn a_clock_set_back_behind_a_decided_slot_is_unhealthy() {
        let waiting = |accounted| PipelineHealth { accounted: Some(accounted), ..pipeline(Some(ago(-7_230))) };
        let error = health(waiting(ago(-7_200))).judge(NOW).unwrap_err().to_string();
        let expected = "no useful work is done: eurusd waits for the clock, which is 2h behind its newest decided slot";
        assert_eq!(error, expected);
        assert!(health(waiting(UtcMs(NOW.0 + 2_000))).judge(NOW).is_ok(), "a small correction");
        let replay = PipelineHealth { wall_time: false, ..waiting(ago(-7_200)) };
        assert!(health(replay).judge(NOW).is_ok(), "a replay's time is not wall time");
    }

    #[test]
    fn slots_that_keep_failing_are_unhealthy_even_if_on_time() {
        let failing = |faults_in_a_row| PipelineHealth {
            faults_in_a_row,
            last_fault: Some(Reason::ModelUnavailable),
            last_reason: Some(Reason::MarketClosed),
            ..pipeline(Some(ago(-30)))
        };
        let line = health(failing(4)).judge(NOW).unwrap();
        assert!(line.ends_with("; but eurusd decided none of its last 4 slots (model_unavailable)"), "{line}");
        let error = health(failing(5)).judge(NOW).unwrap_err().to_string();
        assert_eq!(error, "no useful work is done: eurusd decided none of its last 5 slots (model_unavailable)");
    }

    #[test]
    fn a_node_that_sheds_load_says_how_much_and_what_it_cannot_keep_up_with() {
        let overload = Overload { since: ago(90), slots: 1234, slowest: Some(Stage::Executor), slowest_ms: 812 };
        let sheds = |next_due| Health { overload: Some(overload), ..health(pipeline(Some(next_due))) }.judge(NOW);
        let expected = "it sheds load: 1234 slots since 2023-11-14T22:11:50Z could not begin in time; cycles spend most of \
                        their time in executor, 812 ms each";
        let line = sheds(ago(-30)).unwrap();
        assert!(line.ends_with(&format!("; but {expected}")), "{line}");
        let error = sheds(ago(41)).unwrap_err().to_string();
        assert!(error.starts_with("no useful work is done") && error.ends_with(expected), "{error}");
    }

    #[test]
    fn what_has_ended_has_nothing_due_and_a_replay_is_never_late() {
        assert!(health(PipelineHealth { ended: true, ..pipeline(None) }).judge(NOW).is_ok());
        assert!(health(PipelineHealth { wall_time: false, ..pipeline(Some(ago(86_400))) }).judge(NOW).is_ok());
    }

    #[test]
    fn an_old_health_file_or_one_from_the_future_is_unhealthy() {
        let mut health = health(pipeline(Some(ago(-30))));
        health.written_at = ago(16);
        assert!(matches!(health.judge(NOW), Err(Unhealthy::Still { pid: 7, .. })));
        health.written_at = ago(-16);
        assert!(matches!(health.judge(NOW), Err(Unhealthy::FromTheFuture { .. })));
    }

    #[test]
    fn the_file_is_read_as_it_was_written_and_a_wrong_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Health::read(dir.path()), Err(Unhealthy::Missing { .. })));
        let written = health(pipeline(None));
        written.write(dir.path()).unwrap();
        assert_eq!(Health::read(dir.path()).unwrap(), written);
        std::fs::write(dir.path().join(HEALTH_FILE), "{").unwrap();
        assert!(matches!(Health::read(dir.path()), Err(Unhealthy::Unreadable { .. })));
    }
}
