//! What the node has done since it started, counted where it happens and read by whoever shows it.
//!
//! Promise kept: counting is one addition to an atomic number. It waits for nobody, allocates nothing and delays no cycle. Nothing in
//! the node decides by what is counted here.

mod histogram;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use self::histogram::{BOUNDS_MS, Counted, Histogram};
use crate::closes::Closes;
use crate::domain::cycle::{SlotRecord, Stage};
use crate::domain::fact::Fact;
use crate::domain::intent::{IntentEvent, Mode};
use crate::domain::reason::{Outcome, Reason};

/// Of the whole node.
#[derive(Debug, Default)]
pub struct Meters {
    /// What stages took, in the order of [`Stage::ALL`].
    pub stages: [Histogram; 4],
    /// What commits of the journal took, fsync included.
    pub commits: Histogram,
    /// Services that were replaced, in the order of [`SERVICES`].
    services: [AtomicU64; SERVICES.len()],
    /// Calls to each [`Upstream`], in the order of [`Upstream::ALL`].
    calls: [Arc<Calls>; 4],
}

/// Parts of the node that belong to no pipeline.
pub const SERVICES: [&str; 3] = ["journal", "competition_clock", "heartbeat"];

/// Parts of a pipeline: its stages, its feed of slots, and itself.
pub const PARTS: [&str; 6] = ["data_fetcher", "feature_builder", "predictor", "executor", "slot_feed", PIPELINE];
const PIPELINE: &str = "pipeline";

impl Meters {
    /// Takes in how long the stages of a cycle took.
    pub fn count_stages(&self, record: &SlotRecord) {
        for stage in Stage::ALL {
            let (us, histogram) = (record.stage_us[stage.index()], &self.stages[stage.index()]);
            us.into_iter().for_each(|us| histogram.count(Duration::from_micros(us)));
        }
    }

    /// A service was replaced.
    pub fn count_service(&self, name: &str) {
        add(&self.services, &SERVICES, name);
    }

    /// How often each service was replaced.
    pub fn services(&self) -> impl Iterator<Item = (&'static str, u64)> {
        read(&self.services, &SERVICES)
    }

    /// Where calls to an upstream are counted.
    #[must_use]
    pub fn calls(&self, upstream: Upstream) -> &Arc<Calls> {
        &self.calls[upstream as usize]
    }
}

/// What the node asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// Sources of bars.
    Feed,
    /// Servers of models.
    Hub,
    /// Gateways of venues.
    Gateway,
    /// Nodes of a chain.
    Chain,
}

impl Upstream {
    pub const ALL: [Self; 4] = [Self::Feed, Self::Hub, Self::Gateway, Self::Chain];

    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Feed => "feed",
            Self::Hub => "hub",
            Self::Gateway => "gateway",
            Self::Chain => "chain",
        }
    }
}

/// Calls of one kind.
#[derive(Debug, Default)]
pub struct Calls([AtomicU64; 4]);

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Called {
    /// It was answered.
    Ok,
    /// It was answered with an error, or with what cannot be used.
    Refused,
    /// It was not answered in time.
    Timeout,
    /// It was not answered, or never left.
    Failed,
}

impl Called {
    pub const ALL: [Self; 4] = [Self::Ok, Self::Refused, Self::Timeout, Self::Failed];

    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
        }
    }
}

impl Calls {
    pub fn count(&self, called: Called) {
        self.0[called as usize].fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn read(&self, called: Called) -> u64 {
        self.0[called as usize].load(Ordering::Relaxed)
    }
}

/// What can become of an effect in the end.
pub const EFFECT_RESULTS: [&str; 3] = ["acked", "rejected", "absent"];

/// What can become of an announced window: what its ledger says of the forecast, or why there is none.
pub const WINDOW_RESULTS: [&str; 10] = [
    "stored",
    "scored",
    "no_score",
    "evicted",
    "not_admitted",
    "not_stored",
    "refused",
    "never_included",
    "missed",
    "dry_run",
];

/// Of one pipeline.
#[derive(Debug)]
pub struct PipelineMeters {
    mode: Mode,
    /// Its slots are announced windows.
    has_windows: bool,
    /// Slots that ended, by reason.
    slots: [AtomicU64; Reason::ALL.len()],
    effects: [AtomicU64; EFFECT_RESULTS.len()],
    windows: [AtomicU64; WINDOW_RESULTS.len()],
    restarts: [AtomicU64; PARTS.len()],
    /// Intents that are planned and not sent, when it last settled what was open.
    planned: AtomicU64,
    /// Effects whose answer is awaited.
    sent: AtomicU64,
    /// What a chart of it shows; noted where bars come in, and not counted.
    pub closes: Closes,
}

impl PipelineMeters {
    /// Of a pipeline that has done nothing. `has_windows`: its slots are announced.
    #[must_use]
    pub fn new(mode: Mode, has_windows: bool) -> Self {
        Self {
            mode,
            has_windows,
            slots: [const { AtomicU64::new(0) }; Reason::ALL.len()],
            effects: Default::default(),
            windows: Default::default(),
            restarts: Default::default(),
            planned: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            closes: Closes::default(),
        }
    }

    /// So many slots ended.
    pub fn count_slots(&self, reason: Reason, count: u64) {
        self.slots[reason as usize].fetch_add(count, Ordering::Relaxed);
        // What left is told by its ledger; what a person or a rule kept here was not missed.
        if self.has_windows && reason.outcome() != Outcome::Acted && reason.is_fault() {
            self.count_windows("missed", count);
        }
    }

    /// Slots that ended, by reason, as far as there were any.
    pub fn slots(&self) -> impl Iterator<Item = (Reason, u64)> {
        let slots = self.slots.iter().map(|count| count.load(Ordering::Relaxed));
        Reason::ALL.iter().copied().zip(slots).filter(|(_, count)| *count > 0)
    }

    /// Something that happened to an intent is in the journal.
    pub fn count_event(&self, event: &IntentEvent) {
        use IntentEvent as E;
        let result = match event {
            E::Acked { .. } | E::Found { .. } | E::SettledAcked { .. } => "acked",
            E::Rejected { .. } => "rejected",
            E::Abandon | E::NeverLeft { .. } | E::FoundAbsent { .. } | E::SettledAbsent { .. } => "absent",
            E::Noted { fact } => return self.count_fact(fact),
            E::Send | E::SendAfter { .. } | E::LostTrack { .. } | E::Hold { .. } => return,
        };
        add(&self.effects, &EFFECT_RESULTS, result);
        let window = match event {
            E::Rejected { .. } => "refused",
            E::FoundAbsent { .. } | E::SettledAbsent { .. } => "never_included",
            E::Acked { .. } if self.mode == Mode::DryRun => "dry_run",
            // What never left is in the row of its slot, and what is confirmed waits for its ledger.
            _ => return,
        };
        self.count_windows(window, 1);
    }

    fn count_fact(&self, fact: &Fact) {
        let window = match fact {
            // The window is still open.
            Fact::Admitted => return,
            Fact::Stored { .. }
            | Fact::Scored { .. }
            | Fact::NoScore { .. }
            | Fact::Evicted { .. }
            | Fact::NotAdmitted { .. }
            | Fact::NotStored { .. } => fact.code(),
        };
        self.count_windows(window, 1);
    }

    fn count_windows(&self, result: &str, count: u64) {
        if let Some((_, counter)) = WINDOW_RESULTS.iter().zip(&self.windows).find(|(known, _)| **known == result)
            && self.has_windows
        {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// What became of its effects.
    pub fn effects(&self) -> impl Iterator<Item = (&'static str, u64)> {
        read(&self.effects, &EFFECT_RESULTS)
    }

    /// What became of its windows; nothing where its slots are not announced.
    pub fn windows(&self) -> impl Iterator<Item = (&'static str, u64)> {
        read(&self.windows, &WINDOW_RESULTS).filter(|_| self.has_windows)
    }

    /// One of its parts was replaced; with `None`, the pipeline itself.
    pub fn count_restart(&self, part: Option<&str>) {
        add(&self.restarts, &PARTS, part.unwrap_or(PIPELINE));
    }

    /// How often each of its parts was replaced, as far as it was.
    pub fn restarts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        read(&self.restarts, &PARTS).filter(|(_, count)| *count > 0)
    }

    /// So many planned intents wait to be sent.
    pub fn set_planned(&self, count: u64) {
        self.planned.store(count, Ordering::Relaxed);
    }

    /// Whether the answer to an effect is awaited.
    pub fn set_sent(&self, is_sent: bool) {
        self.sent.store(u64::from(is_sent), Ordering::Relaxed);
    }

    #[must_use]
    pub fn planned(&self) -> u64 {
        self.planned.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

fn add(counters: &[AtomicU64], names: &[&str], name: &str) {
    if let Some((_, counter)) = names.iter().zip(counters).find(|(known, _)| **known == name) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn read(counters: &[AtomicU64], names: &[&'static str]) -> impl Iterator<Item = (&'static str, u64)> {
    names.iter().copied().zip(counters.iter().map(|counter| counter.load(Ordering::Relaxed)))
}

#[cfg(test)]
mod tests;
