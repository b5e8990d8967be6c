//! What travels through a pipeline: one cycle, handed forward from stage to stage.
//!
//! Cycles flow forward only. A stage marks the receiver as the holder before it hands the cycle on, so that the Pipeline knows
//! at any moment which stage loses the cycle if it crashes or hangs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::announced::AnnouncedSlot;
use crate::domain::bar::CleanBars;
use crate::domain::cycle::{SlotRecord, Stage};
use crate::domain::prediction::Prediction;
use crate::domain::reason::{Ending, Reason};
use crate::domain::time::UtcMs;
use crate::ports::elapsed_now;

/// One attempt at one slot.
#[derive(Debug, Clone)]
pub struct Cycle {
    /// Due time.
    pub slot: UtcMs,
    /// What announced the slot; `None` on a grid.
    pub announced: Option<AnnouncedSlot>,
    /// 1, or 2 for the re-run.
    pub attempt: u32,
    /// Newest bar that an earlier slot decided.
    pub last_decided_bar: Option<UtcMs>,
    /// Nothing may leave the node after this.
    pub deadline: Instant,
    pub tracker: Arc<CycleTracker>,
    /// It is no slot, but an operator's command between two of them: no competition bounds it.
    pub is_operators: bool,
}

impl Cycle {
    /// Of an operator's command that was given at `at`.
    #[must_use]
    pub fn of_operator(at: UtcMs, deadline: Instant) -> Self {
        let tracker = CycleTracker::begin();
        Self { slot: at, announced: None, attempt: 1, last_decided_bar: None, deadline, tracker, is_operators: true }
    }

    /// Last instant at which an effect of an announced slot may leave.
    #[must_use]
    pub fn closes(&self) -> Option<UtcMs> {
        self.announced.as_ref().map(|announced| announced.closes)
    }

    /// Elapsed time until the deadline; zero when it has passed.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(elapsed_now())
    }
}

/// Which stage has an attempt. Atomics and not messages, because a stage that hangs cannot send any.
#[derive(Debug)]
pub struct CycleTracker {
    began: Instant,
    /// Holder's index in the top byte, whether it works in the bit below, microseconds since `began` in the rest.
    holder: AtomicU64,
    /// Microseconds in which the attempt waited at stages for its turn.
    queued_us: AtomicU64,
    /// The stage's code runs on a thread at this moment.
    is_running: AtomicBool,
    revoked: AtomicBool,
    withdrawn: AtomicBool,
    changed_model: AtomicBool,
    input: OnceLock<Arc<CleanBars>>,
    undecided: OnceLock<Reason>,
}

const AT_WORK: u64 = 1 << 55;
const MICROS_MASK: u64 = AT_WORK - 1;

/// A stage that has an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    pub stage: Stage,
    /// Since when it works on the attempt, or since when the attempt waits for it.
    pub since: Instant,
    /// Whether it works on the attempt. Time in a queue is no work: a cycle that waits for its turn does not hang.
    pub is_at_work: bool,
}

impl CycleTracker {
    /// A tracker whose holder is the first stage, from now on.
    #[must_use]
    pub fn begin() -> Arc<Self> {
        Arc::new(Self {
            began: elapsed_now(),
            holder: AtomicU64::new(0),
            queued_us: AtomicU64::new(0),
            is_running: AtomicBool::new(false),
            revoked: AtomicBool::new(false),
            withdrawn: AtomicBool::new(false),
            changed_model: AtomicBool::new(false),
            input: OnceLock::new(),
            undecided: OnceLock::new(),
        })
    }

    /// The cycle is about to be handed to `stage`, where it waits for its turn.
    pub fn hand_to(&self, stage: Stage) {
        self.holder.store(packed(stage) | self.micros(), Ordering::Release);
    }

    /// The stage that was handed the cycle begins to work on it.
    pub fn begin_work(&self) {
        let (holder, now) = (self.holder.load(Ordering::Acquire), self.micros());
        self.queued_us.fetch_add(now.saturating_sub(holder & MICROS_MASK), Ordering::Relaxed);
        self.holder.store(holder & !MICROS_MASK | AT_WORK | now, Ordering::Release);
    }

    /// The stage that holds it.
    #[must_use]
    pub fn holder(&self) -> Holder {
        let packed = self.holder.load(Ordering::Acquire);
        let stage = Stage::ALL.get((packed >> 56) as usize).copied().unwrap_or(Stage::Executor);
        let since = self.began + Duration::from_micros(packed & MICROS_MASK);
        Holder { stage, since, is_at_work: packed & AT_WORK != 0 }
    }

    /// How long it has waited at stages for its turn, until the newest one began.
    #[must_use]
    pub fn queued(&self) -> Duration {
        Duration::from_micros(self.queued_us.load(Ordering::Relaxed))
    }

    /// Runs a stage's work, and lets the Pipeline see whether its code runs at this moment.
    pub async fn observe<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|context| {
            self.is_running.store(true, Ordering::Release);
            let polled = work.as_mut().poll(context);
            self.is_running.store(false, Ordering::Release);
            polled
        })
        .await
    }

    /// Whether the stage's code runs at this moment. For long: it blocks its thread.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.is_running.load(Ordering::Acquire)
    }

    fn micros(&self) -> u64 {
        u64::try_from(elapsed_now().duration_since(self.began).as_micros()).unwrap_or(MICROS_MASK) & MICROS_MASK
    }

    /// The Pipeline has given this attempt up: from here on it must have no effect.
    pub fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    /// Whether the Pipeline has given it up.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    /// What announced the slot has withdrawn it: no effect may leave any more.
    pub fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Release);
    }

    /// Whether the slot was withdrawn.
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    /// Another model answers than the one that was there first, and nothing is decided with it.
    pub fn set_changed_model(&self) {
        self.changed_model.store(true, Ordering::Release);
    }

    /// Whether another one answered.
    #[must_use]
    pub fn has_changed_model(&self) -> bool {
        self.changed_model.load(Ordering::Acquire)
    }

    /// Keeps the input, so that the Pipeline can quarantine it when a stage crashes on it twice.
    pub fn set_input(&self, bars: Arc<CleanBars>) {
        let _ = self.input.set(bars);
    }

    /// The attempt goes on without a prediction, because of this.
    pub fn set_undecided(&self, reason: Reason) {
        let _ = self.undecided.set(reason);
    }

    /// Why it has no prediction, if it goes on without one.
    #[must_use]
    pub fn undecided(&self) -> Option<Reason> {
        self.undecided.get().copied()
    }

    /// The input, once fetched.
    #[must_use]
    pub fn input(&self) -> Option<&Arc<CleanBars>> {
        self.input.get()
    }
}

const fn packed(stage: Stage) -> u64 {
    (stage.index() as u64) << 56
}

/// A cycle on its way, with the load for the next stage.
#[derive(Debug)]
pub struct Work<L> {
    pub cycle: Cycle,
    /// The slot's row so far.
    pub record: Box<SlotRecord>,
    pub load: L,
}

#[derive(Debug)]
pub enum ExecutorInput {
    Prediction(Arc<CleanBars>, Prediction),
    NoPrediction(Undecided),
}

/// Why there is no prediction: the slot ends with this, unless a position has to be closed.
#[derive(Debug)]
pub struct Undecided(pub Ending);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_in_a_queue_is_counted_apart_from_time_in_work() {
        let tracker = CycleTracker::begin();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let began = elapsed_now();
        assert!(!tracker.holder().is_at_work);
        tracker.begin_work();
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(tracker.holder(), Holder { stage: Stage::DataFetcher, since: began, is_at_work: true });
        tracker.hand_to(Stage::FeatureBuilder);
        let handed = Holder { stage: Stage::FeatureBuilder, since: elapsed_now(), is_at_work: false };
        assert_eq!((tracker.holder(), tracker.queued()), (handed, Duration::from_secs(3)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        tracker.begin_work();
        assert_eq!(tracker.queued(), Duration::from_secs(4));
    }
}
