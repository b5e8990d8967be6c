//! The running node as it is seen now: what the control socket, the page, metrics, probes and alerts are made from.
//!
//! Promise kept: all of them take the verdict from the same view, so none says what another does not.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::node_view::NodeView;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::domain::verdict::Judgement;
use sentinel_actors::ports::elapsed_now;
use sentinel_actors::status::{Board, Seen};
use tokio::time::Instant;

use super::alerts::counters::AlertCounters;
use super::status::Status;
use crate::journal::{JournalError, JournalReader};

/// What is armed, for a person; `None` for a node in dry run.
pub type ShowArm = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// When every part of the node was last seen to make progress, in elapsed time: a wall clock that is set changes nothing about it.
#[derive(Debug)]
pub struct LastProgress {
    began: Instant,
    /// Milliseconds after `began`.
    seen: AtomicU64,
}

impl Default for LastProgress {
    /// A node that starts counts as one that has just shown progress.
    fn default() -> Self {
        Self { began: elapsed_now(), seen: AtomicU64::new(0) }
    }
}

impl LastProgress {
    pub fn note(&self) {
        self.seen.store(self.ms(), Ordering::Relaxed);
    }

    /// How long ago it was.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.ms().saturating_sub(self.seen.load(Ordering::Relaxed)))
    }

    fn ms(&self) -> u64 {
        u64::try_from(elapsed_now().saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

/// How long one question to the journal may take: while it is answered, the journal's file cannot be checkpointed.
pub const JOURNAL_WITHIN: Duration = Duration::from_millis(200);

#[derive(Clone)]
pub struct LiveNode {
    pub board: Board,
    /// The state directory.
    pub state: PathBuf,
    pub name: String,
    pub mode: Mode,
    pub arm: ShowArm,
    /// When the pipelines were started; wall time.
    pub started_at: UtcMs,
    pub progress: Arc<LastProgress>,
    /// Progress that is older shows a node that stands still.
    pub fresh_for: Duration,
    /// How often somebody was told something.
    pub alerts: Arc<AlertCounters>,
}

impl LiveNode {
    #[must_use]
    pub fn view(&self, now: UtcMs) -> NodeView {
        let at = now.minus(self.progress.age());
        let version = env!("SENTINEL_VERSION");
        self.board.view(Seen { at, started_at: self.started_at, version, fresh_for: self.fresh_for })
    }

    #[must_use]
    pub fn judgement(&self, now: UtcMs) -> Judgement {
        Judgement::of(&self.view(now), now)
    }

    /// The journal, to be asked for [`JOURNAL_WITHIN`] at most, from now on.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn journal(&self) -> Result<JournalReader, JournalError> {
        let began = elapsed_now();
        JournalReader::open_bounded(&self.state, move || began.elapsed() > JOURNAL_WITHIN)
    }

    #[must_use]
    pub fn status(&self, now: UtcMs) -> Status {
        // What the journal cannot say now is not shown: the rest is as true.
        let open = self.journal().and_then(|journal| journal.open_intents()).unwrap_or_default();
        Status::of_running(&self.board, &open, &self.judgement(now), (self.arm)(), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_node_without_progress_is_told_by_elapsed_time_whatever_its_wall_clock_shows() {
        let node = LiveNode {
            board: Board::default(),
            state: PathBuf::new(),
            name: "node".to_owned(),
            mode: Mode::DryRun,
            arm: Arc::new(|| None),
            started_at: UtcMs(0),
            progress: Arc::default(),
            fresh_for: Duration::from_secs(15),
            alerts: Arc::default(),
        };
        let stands = |at: i64| node.judgement(UtcMs(at)).is_bad();
        tokio::time::advance(Duration::from_secs(15)).await;
        assert!(!stands(1_700_000_000_000));
        tokio::time::advance(Duration::from_secs(1)).await;
        // Before and after the clock was set back by a day.
        assert!(stands(1_700_000_000_000) && stands(1_699_913_600_000));
        node.progress.note();
        assert!(!stands(1_700_000_000_000) && !stands(1_699_913_600_000));
    }
}
