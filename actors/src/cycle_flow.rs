//! What travels through a pipeline: one cycle, handed forward from stage to stage.
//!
//! Nobody asks back. Whoever hands a cycle on first marks the receiver as its holder, so that the Pipeline can tell at
//! any moment whose death or silence means the loss of the cycle.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::bar::CleanBars;
use crate::domain::cycle::{SlotRecord, Stage};
use crate::domain::prediction::Probabilities;
use crate::domain::reason::{Ending, Reason};
use crate::domain::time::UtcMs;
use crate::ports::elapsed_now;

/// One attempt at one slot.
#[derive(Debug, Clone)]
pub struct Cycle {
    /// Due time.
    pub slot: UtcMs,
    /// 1, or 2 for the re-run.
    pub attempt: u32,
    /// Newest bar that an earlier slot decided.
    pub last_decided_bar: Option<UtcMs>,
    /// Nothing may leave the node after this.
    pub deadline: Instant,
    pub tracker: Arc<CycleTracker>,
}

impl Cycle {
    /// Elapsed time until the deadline; zero when it has passed.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(elapsed_now())
    }
}

/// Where an attempt is. Plain atomics and not messages: a stage that hangs cannot report that it hangs.
#[derive(Debug)]
pub struct CycleTracker {
    began: Instant,
    /// Holder's index in the top byte, milliseconds since `began` below.
    holder: AtomicU64,
    revoked: AtomicBool,
    input: OnceLock<Arc<CleanBars>>,
    undecided: OnceLock<Reason>,
}

const MILLIS_MASK: u64 = (1 << 56) - 1;

impl CycleTracker {
    /// A tracker whose holder is the first stage, from now on.
    #[must_use]
    pub fn begin() -> Arc<Self> {
        Arc::new(Self {
            began: elapsed_now(),
            holder: AtomicU64::new(0),
            revoked: AtomicBool::new(false),
            input: OnceLock::new(),
            undecided: OnceLock::new(),
        })
    }

    /// The cycle is about to be handed to `stage`.
    pub fn hand_to(&self, stage: Stage) {
        let millis =
            u64::try_from(elapsed_now().duration_since(self.began).as_millis()).unwrap_or(MILLIS_MASK) & MILLIS_MASK;
        self.holder.store((stage.index() as u64) << 56 | millis, Ordering::Release);
    }

    /// Who holds it, and since when.
    #[must_use]
    pub fn holder(&self) -> (Stage, Instant) {
        let packed = self.holder.load(Ordering::Acquire);
        let stage = Stage::ALL.get((packed >> 56) as usize).copied().unwrap_or(Stage::Executor);
        (stage, self.began + Duration::from_millis(packed & MILLIS_MASK))
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

    /// Remembers the input, so that the Pipeline can recognise and keep it when it ends a stage twice.
    pub fn set_input(&self, bars: Arc<CleanBars>) {
        let _ = self.input.set(bars);
    }

    /// The attempt goes on without a prediction, because of this.
    pub fn set_undecided(&self, reason: Reason) {
        let _ = self.undecided.set(reason);
    }

    /// What kept it from a prediction, if something did.
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

/// A cycle on its way, with the load for the next stage.
#[derive(Debug)]
pub struct Work<L> {
    pub cycle: Cycle,
    /// The slot's row so far.
    pub record: Box<SlotRecord>,
    pub load: L,
}

/// What a cycle brings to the Executor.
#[derive(Debug)]
pub enum Findings {
    /// Enough for a decision.
    Prediction(Arc<CleanBars>, Probabilities),
    /// Something kept it from one.
    Nothing(Undecided),
}

/// Why a cycle comes without a prediction: what it ends with unless a position has to be closed.
#[derive(Debug)]
pub struct Undecided(pub Ending);
