//! Lines that sum up: the heartbeat's, and the last one.

use std::time::Duration;

use tracing::info;

use super::text;
use crate::domain::halt::TradingState;
use crate::domain::reason::Reason;
use crate::domain::time::UtcMs;
use crate::domain::verdict::Judgement;
use crate::status::{Board, BoardEntry, Totals};

pub fn heartbeat_pipeline(pipeline: &str, entry: &BoardEntry, state: TradingState, lateness: Duration) {
    let (status, holdings) = (entry.status.load(), entry.holdings.load());
    info!(
        event = "heartbeat_pipeline",
        pipeline,
        cycles = status.slots(),
        newest_decided_bar = text(status.newest_decided_bar),
        last_slot = text(status.last_slot),
        last_outcome = status.last_reason.map(|reason| reason.outcome().code()),
        last_reason = status.last_reason.map(Reason::code),
        faults_in_a_row = status.faults_in_a_row,
        last_fault = status.last_fault.filter(|_| status.faults_in_a_row > 0).map(Reason::code),
        next_due = text(status.next_due),
        next_expected = text(status.next_expected),
        lateness_s = lateness.as_secs(),
        open_positions = holdings.open_positions,
        held_orders = holdings.held.len(),
        state = %state,
        parked = entry.is_parked(),
        ended = status.ended,
        "what the pipeline did last, and when it decides next"
    );
}

/// The hourly line of the node: totals since the process started, what was added in the last `period`, and how it is.
pub fn heartbeat(board: &Board, verdict: &Judgement, added: &Totals, period: Duration, arm: Option<&str>) {
    let sums = board.totals();
    let [acted, no_action, skipped, missed] = sums.outcomes;
    let [new_acted, new_no_action, new_skipped, new_missed] = added.outcomes;
    info!(
        event = "heartbeat",
        %verdict,
        cycles = sums.slots(),
        acted,
        no_action,
        skipped,
        missed,
        effects = sums.effects,
        restarts = sums.restarts,
        period_s = period.as_secs(),
        new_cycles = added.slots(),
        new_acted,
        new_no_action,
        new_skipped,
        new_missed,
        new_effects = added.effects,
        new_restarts = added.restarts,
        open_positions = board.open_positions(),
        held_orders = board.held_orders(),
        parked = board.parked(),
        reducing = board.count_in(TradingState::Reducing),
        halted = board.count_in(TradingState::Halted),
        safe_mode = board.is_safe_mode(),
        arm,
        free_disk_mb = board.usage.free_disk_mb(),
        memory_mb = board.usage.memory_mb(),
        "what the node has done, and the verdict on it"
    );
}

pub fn final_summary(board: &Board, root_restarts: u64, now: UtcMs) {
    for (pipeline, entry) in &board.entries {
        heartbeat_pipeline(pipeline, entry, board.halts.state_of(&entry.place), Duration::ZERO);
    }
    let sums = board.totals();
    let [acted, no_action, skipped, missed] = sums.outcomes;
    info!(
        event = "final_summary",
        cycles = sums.slots(),
        acted,
        no_action,
        skipped,
        missed,
        effects = sums.effects,
        restarts = sums.restarts + root_restarts,
        time = %now,
        "nothing is left to do: every slot that was to be run has its end"
    );
}
