//! The board as what can be seen of the node.

use std::time::Duration;

use super::{Board, BoardEntry};
use crate::domain::intent::Mode;
use crate::domain::node_view::{DiskView, HaltView, InDoubtView, NodeView, PipelineView};
use crate::domain::time::UtcMs;
use crate::ports::elapsed_now;

/// Of the process that is seen.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// When every part of it was last seen to make progress; wall time.
    pub at: UtcMs,
    /// When the pipelines were started; wall time.
    pub started_at: UtcMs,
    /// Its version.
    pub version: &'static str,
    /// How old the view may grow before it shows a node that stands still.
    pub fresh_for: Duration,
}

impl Board {
    #[must_use]
    pub fn view(&self, seen: Seen) -> NodeView {
        let late_after = self.entries.values().map(|entry| entry.late_after).max().unwrap_or_default();
        let (free, size) = (self.usage.free_disk_mb(), self.usage.disk_mb());
        NodeView {
            at: seen.at,
            started_at: seen.started_at,
            pid: std::process::id(),
            version: seen.version.to_owned(),
            fresh_for_ms: whole_ms(seen.fresh_for),
            late_after_ms: whole_ms(late_after),
            safe_mode: self.is_safe_mode(),
            halts: self.halts.standing().recorded().iter().map(HaltView::from).collect(),
            overload: self.overload.load().as_deref().copied(),
            disk: free.zip(size).map(|(free_mb, size_mb)| DiskView { free_mb, size_mb }),
            arm: self.arm.load().as_deref().cloned(),
            ended_badly: self.ended_badly.get().copied(),
            clocks: self.clocks.all(),
            clock_shown: self.clock.latest(),
            clock_stands_ms: whole_ms(self.clock.stands_for()),
            page_silent_ms: self.page.silent_for().map(whole_ms),
            broken_routes: self.broken_routes.load().as_ref().clone(),
            backup: self.backup.load().as_deref().copied(),
            pipelines: self.entries.iter().map(|(name, entry)| (name.clone(), entry.view(late_after))).collect(),
        }
    }
}

impl BoardEntry {
    fn view(&self, late_after: Duration) -> PipelineView {
        let (status, holdings) = (self.status.load(), self.holdings.load());
        let in_doubt = holdings.in_doubt.iter();
        PipelineView {
            wall_time: !self.clock.follows_cycles(),
            last_slot: status.last_slot,
            next_due: status.next_due,
            late_ms: whole_ms(status.lateness(self.clock.now())),
            faults_in_a_row: status.faults_in_a_row,
            last_fault: status.last_fault,
            last_reason: status.last_reason,
            waiting_ms: status.waiting_since.map(|since| whole_ms(elapsed_now().saturating_duration_since(since))),
            waits_for: status.waits_for.clone(),
            parked: self.is_parked(),
            held: holdings.held.iter().map(|order| order.intent.key.to_string()).collect(),
            in_doubt: in_doubt.map(|(key, slot)| InDoubtView { key: key.to_string(), slot: *slot }).collect(),
            decisions: status.decisions(),
            live: status.mode == Mode::Live,
            model_change: status.model.change.as_deref().cloned(),
            windows_missed: status.windows_missed,
            runway_s: status.runway.map(|runway| runway.as_secs()),
            quarantined: status.quarantined,
            accounted: status.accounted,
            late_after_ms: (self.late_after != late_after).then(|| whole_ms(self.late_after)),
            ended: status.ended,
        }
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
