//! What a pipeline shows of itself: written by its Pipeline alone, read by Heartbeat, summaries and the demo.
//!
//! Health is computed from the lateness of the next due decision (promise 4), never from the fact that something answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::domain::intent::Mode;
use crate::domain::reason::{Outcome, Reason};
use crate::domain::time::UtcMs;
use crate::ports::Clock;

/// A pipeline's state, as of its last slot.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineStatus {
    /// Dry run or live.
    pub mode: Mode,
    /// Slots that ended, by outcome, in the order of [`Outcome::ALL`], since the process started.
    pub outcomes: [u64; 4],
    /// Newest slots in a row that something kept from a decision; hours of a closed market do not count.
    pub faults_in_a_row: u64,
    /// Orders that left the node since the process started.
    pub effects: u64,
    /// Cycles that were run again after a crash.
    pub reruns: u64,
    /// Incarnations of its stages that were replaced.
    pub restarts: u64,
    /// Newest bar that was decided.
    pub newest_decided_bar: Option<UtcMs>,
    /// Newest slot that ended.
    pub last_slot: Option<UtcMs>,
    /// How it ended.
    pub last_reason: Option<Reason>,
    /// The next slot that will be due; `None` before recovery and after the competition.
    pub next_due: Option<UtcMs>,
    /// Every slot of the competition has its end.
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
            effects: 0,
            reruns: 0,
            restarts: 0,
            newest_decided_bar: None,
            last_slot: None,
            last_reason: None,
            next_due: None,
            ended: false,
        }
    }

    /// Slots that ended.
    #[must_use]
    pub fn slots(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// Adds `count` slots that ended with `reason`.
    pub fn count(&mut self, reason: Reason, count: u64) {
        if reason.is_fault() {
            self.faults_in_a_row += count;
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

/// One pipeline's place on the board.
#[derive(Clone)]
pub struct BoardEntry {
    /// Its schedule time.
    pub clock: Arc<dyn Clock>,
    /// Its state.
    pub status: Arc<ArcSwap<PipelineStatus>>,
}

/// All pipelines of the node, by name.
#[derive(Clone, Default)]
pub struct Board {
    /// Entries by pipeline name.
    pub entries: BTreeMap<String, BoardEntry>,
}

impl Board {
    /// Sums over all pipelines.
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
    /// Cycles that were run again.
    pub reruns: u64,
}

impl Totals {
    /// All slots.
    #[must_use]
    pub fn slots(&self) -> u64 {
        self.outcomes.iter().sum()
    }
}
