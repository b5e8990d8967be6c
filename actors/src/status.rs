//! The published state of each pipeline. Each part has one writer; Heartbeat, `health.json`, summaries and the demo read it.
//!
//! Health is computed from the lateness of the next due decision (promise 4), never from the fact that something answers.

mod beat;
mod clocks;
mod model_seen;
mod view;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::time::Instant;

use crate::domain::action::Action;
use crate::domain::halt::{Place, TradingState};
use crate::domain::intent::{Intent, IntentKey, Mode};
use crate::domain::node_view::{ArmView, BackupView, LastEnd};
use crate::domain::overload::Overload;
use crate::domain::reason::{Outcome, Reason};
use crate::domain::time::UtcMs;
use crate::halts::Halts;
use crate::meters::{Meters, PipelineMeters};
use crate::ports::{Clock, elapsed_now};
use crate::supervision::watch::Progress;

pub use self::beat::{Beat, ShownClock};
pub use self::clocks::ClockOffsets;
pub use self::model_seen::ModelSeen;
pub use self::view::Seen;

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
    /// Why no announced slot can be used at present, and what to do.
    pub waits_for: Option<String>,
    /// When the next announced slot is expected to open.
    pub next_expected: Option<UtcMs>,
    /// Consecutive newest announced slots without a forecast that was taken up, because of a fault or a refusal.
    pub windows_missed: u64,
    /// For how long its account can pay, by what announces its slots; `None`: not known, or nothing is to be paid.
    pub runway: Option<Duration>,
    /// The newest slot whose input is in quarantine.
    pub quarantined: Option<UtcMs>,
    pub model: ModelSeen,
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
            waits_for: None,
            next_expected: None,
            windows_missed: 0,
            runway: None,
            quarantined: None,
            model: ModelSeen::default(),
            accounted: None,
            ended: false,
        }
    }

    /// Slots that ended.
    #[must_use]
    pub fn slots(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// Those of them that were decided.
    #[must_use]
    pub fn decisions(&self) -> u64 {
        let of =
            |(outcome, count): (&Outcome, u64)| matches!(outcome, Outcome::Acted | Outcome::NoAction).then_some(count);
        Outcome::ALL.iter().zip(self.outcomes).filter_map(of).sum()
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

    /// An announced slot ended with `reason`: its window does not come again. One of which nobody knows the end changes nothing.
    pub fn count_window(&mut self, reason: Reason) {
        match reason {
            Reason::ForecastUnknown => {}
            Reason::ForecastRejected => self.windows_missed += 1,
            reason if reason.is_fault() => self.windows_missed += 1,
            reason if matches!(reason.outcome(), Outcome::Acted | Outcome::NoAction) => self.windows_missed = 0,
            _ => {}
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
    /// All orders that wait for an operator, who settles them.
    pub held: Vec<HeldEffect>,
    /// Effects that have left and of which it is not known yet what became of them, with their slots.
    pub in_doubt: Vec<(IntentKey, UtcMs)>,
    /// Open positions of its symbol; `None` when they are not known.
    pub open_positions: Option<usize>,
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
    /// Where its effects leave.
    pub place: Place,
    /// How late one of its decisions may be: as far as its deadlines reach.
    pub late_after: Duration,
    /// What it has done since the process started.
    pub meters: Arc<PipelineMeters>,
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
    /// What keeps effects here until an operator lifts it.
    pub halts: Arc<Halts>,
    /// Grows when an operator has settled an intent of the running node.
    pub settled_by_hand: Arc<AtomicU64>,
    pub usage: Arc<ProcessUsage>,
    /// What the node has done since it started.
    pub meters: Arc<Meters>,
    /// What the watchdog sees move.
    pub progress: Arc<Progress>,
    /// Present while slots are missed because too many are due. Written by the Heartbeat.
    pub overload: Arc<ArcSwapOption<Overload>>,
    /// What is left of the arm, while one is needed. Written by whoever keeps it in view.
    pub arm: Arc<ArcSwapOption<ArmView>>,
    /// How the run before ended, when not in order. Written once, at the start.
    pub ended_badly: Arc<OnceLock<LastEnd>>,
    /// This machine's clock beside those of others.
    pub clocks: Arc<ClockOffsets>,
    /// The same clock by itself. Written by the Heartbeat.
    pub clock: Arc<ShownClock>,
    /// The thread of the page, which the watchdog does not see. Written by itself.
    pub page: Arc<Beat>,
    /// Routes of the alerts whose servers refuse what they are told. Written by the thread of the alerts.
    pub broken_routes: Arc<ArcSwap<Vec<String>>>,
    /// The backup of each day. Written by its thread; `None`: the node takes none.
    pub backup: Arc<ArcSwapOption<BackupView>>,
}

/// Free disk and memory of the process, as last measured; each is unknown before the first measurement.
#[derive(Debug, Default)]
pub struct ProcessUsage {
    free_disk_mb: AtomicU64,
    disk_mb: AtomicU64,
    memory_mb: AtomicU64,
}

impl ProcessUsage {
    /// Free space on the disk of the state directory, its size, and resident memory of the process, in bytes.
    pub fn record(&self, free_disk: Option<u64>, disk: Option<u64>, memory: Option<u64>) {
        self.free_disk_mb.store(free_disk.map_or(0, megabytes), Ordering::Relaxed);
        self.disk_mb.store(disk.map_or(0, megabytes), Ordering::Relaxed);
        self.memory_mb.store(memory.map_or(0, megabytes), Ordering::Relaxed);
    }

    /// Free space on the disk of the state directory, in MB (10^6 bytes).
    #[must_use]
    pub fn free_disk_mb(&self) -> Option<u64> {
        known(&self.free_disk_mb)
    }

    /// Size of the disk of the state directory, in MB (10^6 bytes).
    #[must_use]
    pub fn disk_mb(&self) -> Option<u64> {
        known(&self.disk_mb)
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

    /// How many pipelines are in a state: those that are not active have a halt.
    #[must_use]
    pub fn count_in(&self, state: TradingState) -> usize {
        self.entries.values().filter(|entry| self.halts.state_of(&entry.place) == state).count()
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
