//! The published state of each pipeline. Each part has one writer; Heartbeat, `health.json`, summaries and the demo read it.
//!
//! Health is computed from the lateness of the next due decision (promise 4), never from the fact that something answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::time::Instant;

use crate::domain::action::Action;
use crate::domain::intent::{Intent, Mode};
use crate::domain::overload::Overload;
use crate::domain::reason::{Outcome, Reason};
use crate::domain::time::UtcMs;
use crate::ports::{Clock, elapsed_now};

/// A pipeline's state, as of its last slot. Written by its Pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineStatus {
    pub mode: Mode,
    /// Slots that ended, by outcome, in the order of [`Outcome::ALL`], since the process started.
    pub outcomes: [u64; 4],
    /// Consecutive newest slots without a decision because of a fault; slots of a closed market are not counted.
    pub faults_in_a_row: u64,
    /// The reason of the newest of them.
    pub last_fault: Option<Reason>,
    /// Orders that left the node since the process started.
    pub effects: u64,
    /// Cycles that were run again after a crash.
    pub reruns: u64,
    /// Incarnations of its stages that were replaced.
    pub restarts: u64,
    /// Newest bar that was decided.
    pub newest_decided_bar: Option<UtcMs>,
    pub last_slot: Option<UtcMs>,
    pub last_reason: Option<Reason>,
    /// The next slot that will be due; `None` before recovery and after the competition.
    pub next_due: Option<UtcMs>,
    /// Since when it does not know which slots are due: at its start it waits for the journal, and later for what announces its
    /// slots; `None` while it knows. Elapsed time.
    pub waiting_since: Option<Instant>,
    /// Every slot up to here has ended, or is in flight. If the wall clock shows an earlier time, it was set back.
    pub accounted: Option<UtcMs>,
    /// Every slot of the competition has ended.
    pub ended: bool,
}

impl PipelineStatus {
    /// A pipeline that has done nothing yet.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            outcomes: [0; 4],
            faults_in_a_row: 0,
            last_fault: None,
            effects: 0,
            reruns: 0,
            restarts: 0,
            newest_decided_bar: None,
            last_slot: None,
            last_reason: None,
            next_due: None,
            waiting_since: Some(elapsed_now()),
            accounted: None,
            ended: false,
        }
    }

    /// Slots that ended.
    #[must_use]
    pub fn slots(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// Adds a slot that ended with `reason`. `undecided`: why it had no decision although a position was closed; that
    /// still counts as a fault.
    pub fn count_slot(&mut self, reason: Reason, undecided: Option<Reason>) {
        let faults = self.faults_in_a_row;
        self.count(reason, 1);
        if let Some(fault) = undecided.filter(|fault| fault.is_fault()) {
            (self.faults_in_a_row, self.last_fault) = (faults + 1, Some(fault));
        }
    }

    /// Adds `count` slots that ended with `reason`.
    pub fn count(&mut self, reason: Reason, count: u64) {
        if reason.is_fault() {
            self.faults_in_a_row += count;
            self.last_fault = Some(reason);
        } else if reason != Reason::MarketClosed {
            self.faults_in_a_row = 0;
        }
        if let Some(index) = Outcome::ALL.iter().position(|outcome| *outcome == reason.outcome())
            && let Some(total) = self.outcomes.get_mut(index)
        {
            *total += count;
        }
    }

    /// How late the next due decision is; zero when it is not due yet.
    #[must_use]
    pub fn lateness(&self, now: UtcMs) -> Duration {
        self.next_due.map_or(Duration::ZERO, |due| now.since(due))
    }
}

/// An effect that only an operator can settle. Its symbol takes no new exposure until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldEffect {
    pub intent: Intent,
    /// The shell command that settles it when it was filled or included.
    pub if_confirmed: String,
    /// The shell command that settles it when it is not at the venue.
    pub if_absent: String,
}

impl HeldEffect {
    /// An effect in the journal of `state_dir`, which is quoted for a shell.
    #[must_use]
    pub fn new(intent: Intent, state_dir: &str) -> Self {
        let settle = |seen: &str| format!("sentinel settle {} {seen} --evidence TEXT --state {state_dir}", intent.key);
        let confirmed = match intent.action {
            Action::Order(_) => "--ticket TICKET",
            Action::Forecast(_) => "--hash HASH --height HEIGHT",
        };
        Self { if_confirmed: settle(confirmed), if_absent: settle("--absent"), intent }
    }
}

/// What a pipeline has at its venue, as last seen. Written by its Executor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holdings {
    /// All orders that wait for an operator, who settles them while the node is down.
    pub held: Vec<HeldEffect>,
    /// Open positions of its symbol; `None` when they are not known.
    pub open_positions: Option<usize>,
    /// No new exposure until the next start: too many orders in a row were refused for a lasting reason.
    pub reducing: bool,
}

/// The published state of one pipeline.
#[derive(Clone)]
pub struct BoardEntry {
    pub clock: Arc<dyn Clock>,
    pub status: Arc<ArcSwap<PipelineStatus>>,
    /// What it has at its venue.
    pub holdings: Arc<ArcSwap<Holdings>>,
    /// It is beyond its restart budget and does not run until a probe succeeds. Written by the root.
    pub parked: Arc<AtomicBool>,
}

impl BoardEntry {
    #[must_use]
    pub fn is_parked(&self) -> bool {
        self.parked.load(Ordering::Relaxed)
    }
}

/// All pipelines of the node, by name.
#[derive(Clone, Default)]
pub struct Board {
    /// Entries by pipeline name.
    pub entries: BTreeMap<String, BoardEntry>,
    /// After repeated crashes: no order is sent while this is set.
    pub safe_mode: Arc<AtomicBool>,
    pub usage: Arc<ProcessUsage>,
    /// Present while slots are missed because too many are due. Written by the Heartbeat.
    pub overload: Arc<ArcSwapOption<Overload>>,
}

/// Free disk and memory of the process, as last measured; each is unknown before the first measurement.
#[derive(Debug, Default)]
pub struct ProcessUsage {
    free_disk_mb: AtomicU64,
    memory_mb: AtomicU64,
}

impl ProcessUsage {
    /// Free space on the disk of the state directory and resident memory of the process, in bytes.
    pub fn record(&self, free_disk: Option<u64>, memory: Option<u64>) {
        self.free_disk_mb.store(free_disk.map_or(0, megabytes), Ordering::Relaxed);
        self.memory_mb.store(memory.map_or(0, megabytes), Ordering::Relaxed);
    }

    /// Free space on the disk of the state directory, in MB (10^6 bytes).
    #[must_use]
    pub fn free_disk_mb(&self) -> Option<u64> {
        known(&self.free_disk_mb)
    }

    /// Resident memory of the process, in MB (10^6 bytes).
    #[must_use]
    pub fn memory_mb(&self) -> Option<u64> {
        known(&self.memory_mb)
    }
}

/// MB are 10^6 bytes. Rounded up, because 0 stands for unknown.
const fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

fn known(value: &AtomicU64) -> Option<u64> {
    Some(value.load(Ordering::Relaxed)).filter(|value| *value > 0)
}

impl Board {
    /// Open positions of all pipelines, as far as they are known.
    #[must_use]
    pub fn open_positions(&self) -> usize {
        self.entries.values().filter_map(|entry| entry.holdings.load().open_positions).sum()
    }

    /// How many pipelines open nothing new because of refused orders; see [`Holdings::reducing`].
    #[must_use]
    pub fn reducing(&self) -> usize {
        self.entries.values().filter(|entry| entry.holdings.load().reducing).count()
    }

    #[must_use]
    pub fn is_safe_mode(&self) -> bool {
        self.safe_mode.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn parked(&self) -> usize {
        self.entries.values().filter(|entry| entry.is_parked()).count()
    }

    /// How many orders wait for an operator.
    #[must_use]
    pub fn held_orders(&self) -> usize {
        self.entries.values().map(|entry| entry.holdings.load().held.len()).sum()
    }

    /// A pipeline was parked, or works again.
    pub fn set_parked(&self, pipeline: &str, parked: bool) {
        if let Some(entry) = self.entries.get(pipeline) {
            entry.parked.store(parked, Ordering::Relaxed);
        }
    }

    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for entry in self.entries.values() {
            let status = entry.status.load();
            for (sum, count) in totals.outcomes.iter_mut().zip(status.outcomes) {
                *sum += count;
            }
            totals.effects += status.effects;
            totals.restarts += status.restarts;
            totals.reruns += status.reruns;
        }
        totals
    }
}

/// Sums over all pipelines since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Slots by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; 4],
    /// Orders that left the node.
    pub effects: u64,
    /// Replaced incarnations of stages.
    pub restarts: u64,
    pub reruns: u64,
}

impl Totals {
    /// What has been added since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut outcomes = self.outcomes;
        for (count, earlier) in outcomes.iter_mut().zip(before.outcomes) {
            *count = count.saturating_sub(earlier);
        }
        Self {
            outcomes,
            effects: self.effects.saturating_sub(before.effects),
            restarts: self.restarts.saturating_sub(before.restarts),
            reruns: self.reruns.saturating_sub(before.reruns),
        }
    }

    #[must_use]
    pub fn slots(&self) -> u64 {
        self.outcomes.iter().sum()
    }
}
