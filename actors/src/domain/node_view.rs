//! What can be seen of a node at one moment: all that its verdict is taken from, on whatever surface it is shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::halt::{Halt, RaisedBy};
use super::overload::Overload;
use super::reason::Reason;
use super::time::UtcMs;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeView {
    /// When every part of the node was last seen to make progress; wall time.
    #[serde(rename = "written_at_ms")]
    pub at: UtcMs,
    /// When the pipelines were started; wall time.
    #[serde(rename = "started_at_ms")]
    pub started_at: UtcMs,
    /// The process.
    pub pid: u32,
    pub version: String,
    /// How old the view may grow before it shows a node that stands still.
    pub fresh_for_ms: u64,
    /// How late a decision may be.
    pub late_after_ms: u64,
    /// Set after repeated crashes: nothing is sent.
    #[serde(default)]
    pub safe_mode: bool,
    /// Halts that stand.
    #[serde(default)]
    pub halts: Vec<HaltView>,
    /// Present while slots are missed because too many are due.
    #[serde(default)]
    pub overload: Option<Overload>,
    /// Of the disk with the state directory; `None` until it was measured.
    #[serde(default)]
    pub disk: Option<DiskView>,
    /// What is left of the arm; `None`: nothing needs one, or it was not looked at yet.
    #[serde(default)]
    pub arm: Option<ArmView>,
    /// How the run before ended, when it ended by itself and not in order.
    #[serde(default)]
    pub ended_badly: Option<LastEnd>,
    /// This machine's clock beside those of others, by source.
    #[serde(default)]
    pub clocks: Vec<ClockView>,
    /// The latest time that this machine's clock has shown since the start; one that shows less was set back.
    #[serde(rename = "clock_shown_ms", default)]
    pub clock_shown: Option<UtcMs>,
    /// How long it has shown the same.
    #[serde(default)]
    pub clock_stands_ms: u64,
    /// How long the thread of the page has not moved; `None`: there is none.
    #[serde(default)]
    pub page_silent_ms: Option<u64>,
    /// Routes of the alerts whose servers refuse what they are told.
    #[serde(default)]
    pub broken_routes: Vec<String>,
    /// The backup of each day; `None`: the node takes none.
    #[serde(default)]
    pub backup: Option<BackupView>,
    /// By name.
    pub pipelines: BTreeMap<String, PipelineView>,
}

/// The backups that a node takes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupView {
    /// The newest one that was read back; `None`: there is none yet.
    #[serde(rename = "newest_ms", default)]
    pub newest: Option<UtcMs>,
    /// Since when this process takes them; wall time.
    #[serde(rename = "since_ms")]
    pub since: UtcMs,
}

/// What an operator has armed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ArmView {
    /// When its time ends; `None`: it has no such end.
    #[serde(rename = "until_ms", default)]
    pub until: Option<UtcMs>,
    /// Why it has ended: no new exposure and no forecast leaves.
    #[serde(default)]
    pub ended: Option<String>,
    /// It has ended as it was to end: its time is over, or all of its orders have left.
    #[serde(default)]
    pub as_intended: bool,
    /// What arms it again.
    pub command: String,
}

/// How a run ended that did not end in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastEnd {
    /// Its exit code.
    pub code: i32,
    #[serde(rename = "at_ms")]
    pub at: UtcMs,
}

/// How far this machine's clock is ahead of another one; negative when it is behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockView {
    /// Whose clock it is compared with.
    pub source: String,
    /// In milliseconds, by the newest answer: no answer tells it exactly.
    pub at_least_ms: i64,
    pub at_most_ms: i64,
    /// Since when each answer says that they differ; `None` while one allows that they agree.
    #[serde(rename = "off_since_ms", default)]
    pub off_since: Option<UtcMs>,
    /// How many answers in a row have said so.
    #[serde(default)]
    pub answers: u32,
}

impl ClockView {
    /// The least by which they differ, with its sign; 0 when they may agree.
    #[must_use]
    pub const fn certain_ms(&self) -> i64 {
        if self.at_least_ms > 0 {
            self.at_least_ms
        } else if self.at_most_ms < 0 {
            self.at_most_ms
        } else {
            0
        }
    }

    /// What is most likely.
    #[must_use]
    pub const fn likely_ms(&self) -> i64 {
        self.at_least_ms.midpoint(self.at_most_ms)
    }
}

/// Another model answers than the one that was there first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelChange {
    #[serde(rename = "since_ms")]
    pub since: UtcMs,
    /// For a person.
    pub what: String,
    /// Nothing is decided with it; else the node has taken it up.
    pub refused: bool,
}

/// A halt, for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltView {
    pub id: String,
    /// Its id, what it is about, who and why.
    pub text: String,
    /// A rule of the node has raised it: nobody may know of it yet.
    pub by_node: bool,
    #[serde(rename = "since_ms", default)]
    pub since: Option<UtcMs>,
}

impl From<&Halt> for HaltView {
    fn from(halt: &Halt) -> Self {
        let by_node = halt.raised.by == RaisedBy::Node;
        Self { id: halt.id.to_string(), text: halt.to_string(), by_node, since: Some(halt.raised.since) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskView {
    /// In MB of 10^6 bytes.
    pub free_mb: u64,
    /// Its size, in the same.
    pub size_mb: u64,
}

impl DiskView {
    /// Hundredths of the disk that are to be free for anything new.
    pub const LEAST_PERCENT: u64 = 5;

    /// In hundredths of its size, rounded down.
    #[must_use]
    pub const fn free_percent(&self) -> u64 {
        match self.free_mb.saturating_mul(100).checked_div(self.size_mb) {
            Some(percent) => percent,
            None => 100,
        }
    }

    /// Whether so little is free that nothing new may leave: what left could not be recorded any more once the disk is full.
    #[must_use]
    pub const fn is_nearly_full(&self) -> bool {
        self.free_percent() < Self::LEAST_PERCENT
    }
}

/// An effect of which it is not known what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InDoubtView {
    pub key: String,
    /// Of the decision that it comes from.
    #[serde(rename = "slot_ms")]
    pub slot: UtcMs,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PipelineView {
    /// Its slots are due at wall time; false for a replay.
    pub wall_time: bool,
    #[serde(rename = "last_slot_ms")]
    pub last_slot: Option<UtcMs>,
    /// The next one; `None` before the schedule has started, and when the competition has ended.
    #[serde(rename = "next_due_ms")]
    pub next_due: Option<UtcMs>,
    /// How late the next slot was at that moment.
    pub late_ms: u64,
    /// How many of the newest slots, in a row, a fault kept from a decision.
    pub faults_in_a_row: u64,
    /// The fault of the newest of them.
    #[serde(default)]
    pub last_fault: Option<Reason>,
    pub last_reason: Option<Reason>,
    /// How long it had been starting its schedule at that moment; `None` once it has started.
    #[serde(default)]
    pub waiting_ms: Option<u64>,
    /// Why no announced slot can be used at present, and what to do.
    #[serde(default)]
    pub waits_for: Option<String>,
    /// It is beyond its restart budget and does not run.
    #[serde(default)]
    pub parked: bool,
    /// Keys of orders that the operator must settle.
    #[serde(default)]
    pub held: Vec<String>,
    /// What has left and has no answer yet that says what became of it.
    #[serde(default)]
    pub in_doubt: Vec<InDoubtView>,
    /// Slots of this run that were decided.
    #[serde(default)]
    pub decisions: u64,
    /// Its effects are real.
    #[serde(default)]
    pub live: bool,
    /// Present while another model answers than the first one of this run.
    #[serde(default)]
    pub model_change: Option<ModelChange>,
    /// How many of the newest announced slots, in a row, have passed without a forecast that was taken up.
    #[serde(default)]
    pub windows_missed: u64,
    /// For how long its account can pay; `None`: it is not known, or nothing is to be paid.
    #[serde(default)]
    pub runway_s: Option<u64>,
    /// The newest slot of this run whose input is in quarantine.
    #[serde(rename = "quarantined_ms", default)]
    pub quarantined: Option<UtcMs>,
    /// Every slot up to here has ended or is in work; a clock that shows less was set back.
    #[serde(rename = "accounted_ms", default)]
    pub accounted: Option<UtcMs>,
    /// How late one of its decisions may be, where that is not the node's `late_after_ms`.
    #[serde(default)]
    pub late_after_ms: Option<u64>,
    /// Every slot of the competition has ended.
    pub ended: bool,
}
