//! Admission to work: how many cycles are worked on at the same time, and who is next.
//!
//! Promise kept: load costs rows, never restarts or the truth about an order. A cycle that has its turn shares the machine with so
//! few others that it ends in time. The rest wait here in the order in which they came, and a slot whose turn does not come in
//! time ends as missed, before anything was done for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::cycle::SlotRecord;
use crate::domain::overload::StageTimes;

/// Cycles that are worked on at the same time. What all of them write fits into one commit of the journal and of the paper book,
/// and they take a fraction of a second of a processor; fewer would leave a slow disk or a distant model server idle.
pub const CYCLES_AT_WORK: usize = 256;

/// Lets cycles of all pipelines begin, first come, first served.
#[derive(Debug)]
pub struct Admission {
    turns: Arc<Semaphore>,
    shed: AtomicU64,
    cycles: AtomicU64,
    stage_us: [AtomicU64; 4],
}

/// The turn of one cycle. Dropping it lets the next one begin.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

/// What became of the load since it was last asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Slots whose turn did not come in time.
    pub shed: u64,
    /// What cycles that ended spent their time on.
    pub worked: StageTimes,
}

impl Admission {
    /// At most `cycles` are worked on at the same time.
    #[must_use]
    pub fn new(cycles: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(cycles)),
            shed: AtomicU64::new(0),
            cycles: AtomicU64::new(0),
            stage_us: [const { AtomicU64::new(0) }; 4],
        }
    }

    /// A turn at once, if one is free and nobody waits.
    #[must_use]
    pub fn try_turn(&self) -> Option<Turn> {
        self.turns.clone().try_acquire_owned().ok().map(Turn)
    }

    /// The next turn. A caller that stops waiting loses its place.
    pub async fn turn(&self) -> Turn {
        match self.turns.clone().acquire_owned().await {
            Ok(permit) => Turn(permit),
            Err(_) => std::future::pending().await, // nothing closes it
        }
    }

    /// The turn of a slot did not come in time.
    pub fn count_shed(&self) {
        self.shed.fetch_add(1, Ordering::Relaxed);
    }

    /// A cycle ended.
    pub fn count_cycle(&self, record: &SlotRecord) {
        self.cycles.fetch_add(1, Ordering::Relaxed);
        for (sum, stage) in self.stage_us.iter().zip(record.stage_us) {
            sum.fetch_add(stage.unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// What was counted since the last call.
    #[must_use]
    pub fn take_load(&self) -> Load {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        let stages = [0, 1, 2, 3].map(|stage: usize| Duration::from_micros(take(&self.stage_us[stage])));
        Load { shed: take(&self.shed), worked: StageTimes { cycles: take(&self.cycles), stages } }
    }
}
