//! Waiting and hanging. A cycle waits for its turn to begin, and between its stages; a stage hangs when it works for too long.
//!
//! Promise kept: load is never taken for a hang. A stage that is overdue gets its grace in turns of the runtime that it runs on:
//! when the machine is slow or full, those come as late as the stage's own.

use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::stages::child_id;
use super::{PipelineState, ROWS_CHECK, Slots, Timer};
use crate::admission::Turn;
use crate::cycle_flow::{CycleTracker, Holder};
use crate::domain::cycle::SlotEvent;
use crate::domain::reason::Reason;
use crate::domain::time::UtcMs;
use crate::messages::PipelineMsg;
use crate::ports::elapsed_now;

/// Parts of a grace: each is waited for on the stage's runtime, behind everything that is ready to run there.
const GRACE_TURNS: u32 = 10;
/// A runtime that does not run for this long beyond the grace is blocked by one of its tasks.
const BLOCKED_AFTER: Duration = Duration::from_secs(2);

impl PipelineState {
    /// Whether the cycle in flight has its turn; otherwise it is in the queue from now on.
    pub(super) fn has_turn(&mut self, myself: &ActorRef<PipelineMsg>) -> bool {
        match self.cycle.as_ref() {
            None => return false,
            Some(cycle) if cycle.turn.is_some() => return true,
            Some(_) if self.is_queued() => return false,
            Some(_) => {}
        }
        if let Some(turn) = self.plan.shared.admission.try_turn() {
            self.begin_work(turn);
            return true;
        }
        let (admission, myself) = (self.plan.shared.admission.clone(), myself.clone());
        self.set_timer(Timer::Turn, async move {
            let turn = admission.turn().await;
            let _ = myself.cast(PipelineMsg::Turn(turn));
        });
        false
    }

    /// The turn that this pipeline has queued for. When no cycle waits any more, it goes to the next in the queue.
    pub(super) fn take_turn(&mut self, myself: &ActorRef<PipelineMsg>, turn: Turn) {
        self.end_timer(Timer::Turn);
        if self.cycle.as_ref().is_some_and(|cycle| cycle.turn.is_none()) {
            self.begin_work(turn);
            self.launch(myself);
            self.watch_cycle(myself);
        }
    }

    fn begin_work(&mut self, turn: Turn) {
        let (schedule_now, now) = (self.plan.ports.clock.now(), elapsed_now());
        let Some(cycle) = self.cycle.as_mut() else { return };
        cycle.turn = Some(turn);
        cycle.waited = now.duration_since(cycle.waits_since);
        cycle.started_at = schedule_now;
        cycle.deadline = now + self.plan.settings.deadlines.cycle;
    }

    /// Whether this pipeline waits for its turn.
    pub(super) fn is_queued(&self) -> bool {
        self.timers.contains_key(&Timer::Turn)
    }

    /// When `slot`, which is the slot in flight, must have its turn: while it may still be begun, and something may leave. In a
    /// replay that is always, because schedule time stands still.
    pub(super) fn begin_by(&self, slot: UtcMs) -> Option<Instant> {
        let clock = &self.plan.ports.clock;
        let closes = self.slots.as_ref().and_then(Slots::announced).map(|announced| announced.closes);
        let until = closes.unwrap_or_else(|| slot.plus(self.plan.settings.deadlines.lateness));
        let until = self.plan.settings.competition.end.map_or(until, |end| until.min(end));
        (!clock.follows_cycles()).then(|| elapsed_now() + until.since(clock.now()))
    }

    /// A newer slot is due and takes the place of the slot in flight in the queue. In an overload most slots end so: their rows are
    /// written together.
    pub(super) fn displace(&mut self, myself: &ActorRef<PipelineMsg>) {
        let (Some(cycle), Some(machine)) = (&self.cycle, self.slots.as_mut()) else { return };
        let slot = cycle.slot;
        if machine.on(SlotEvent::NotBegun { slot }).is_empty() {
            return;
        }
        self.cycle = None;
        self.plan.shared.admission.count_shed();
        self.status.count(Reason::Overload, 1);
        (self.status.last_slot, self.status.last_reason) = (Some(slot), Some(Reason::Overload));
        let lateness = self.plan.settings.deadlines.lateness;
        if self.displaced.is_some_and(|(after, _)| slot.since(after) > lateness) {
            self.record_displaced(myself);
        }
        self.displaced = Some((self.displaced.map_or(slot.before(), |(after, _)| after), slot));
    }

    /// The turn of the slot in flight has not come in time.
    fn end_not_begun(&mut self, myself: &ActorRef<PipelineMsg>) {
        let (Some(cycle), Some(machine)) = (&self.cycle, self.slots.as_mut()) else { return };
        let commands = machine.on(SlotEvent::NotBegun { slot: cycle.slot });
        self.carry_out(myself, commands);
    }

    /// Looks for a stage that is overdue, and for a cycle that has not begun in time.
    pub(super) fn check_cycle(&mut self, myself: &ActorRef<PipelineMsg>) -> Result<(), ActorProcessingErr> {
        self.end_timer(Timer::Cycle);
        let now = elapsed_now();
        let Some(cycle) = &self.cycle else { return Ok(()) };
        match &cycle.tracker {
            Some(tracker) => {
                let (attempt, holder) = (cycle.attempt, tracker.holder());
                if now >= self.plan.settings.deadlines.overdue_at(&holder) {
                    self.give_grace(myself, attempt, holder);
                }
            }
            None if self.is_queued() => {
                if cycle.begin_by.is_some_and(|begin_by| now >= begin_by) {
                    self.end_timer(Timer::Turn);
                    self.end_not_begun(myself);
                    self.proceed(myself)?;
                }
            }
            None if now >= cycle.deadline => {
                let (slot, attempt) = (cycle.slot, cycle.attempt);
                if let Some(machine) = self.slots.as_mut() {
                    let event = SlotEvent::StageFailed { slot, attempt, time_left: false, same_input: false };
                    let commands = machine.on(event);
                    self.carry_out(myself, commands);
                }
                self.proceed(myself)?;
            }
            None => self.launch(myself),
        }
        self.watch_cycle(myself);
        Ok(())
    }

    pub(super) fn watch_cycle(&mut self, myself: &ActorRef<PipelineMsg>) {
        let Some(cycle) = &self.cycle else { return };
        let now = elapsed_now();
        let due = match &cycle.tracker {
            Some(tracker) => self.plan.settings.deadlines.earliest_overdue(&tracker.holder(), now),
            None if self.is_queued() => match cycle.begin_by {
                Some(begin_by) => begin_by,
                None => return,
            },
            None => cycle.deadline,
        };
        // What was found overdue and has not ended is checked again later.
        let due = if due > now { due } else { now + ROWS_CHECK };
        if self.timers.contains_key(&Timer::Cycle) && self.cycle_check <= due {
            return; // the timer that runs checks it in time
        }
        self.cycle_check = due;
        let myself = myself.clone();
        self.set_timer(Timer::Cycle, async move {
            tokio::time::sleep_until(due).await;
            let _ = myself.cast(PipelineMsg::CheckCycle);
        });
    }

    /// Waits once more, in turns of the runtime on which the stage runs: what is ready to run there has run by then. The grace of a
    /// stage that has handed the cycle on meanwhile ends: it would keep the next one from being looked at.
    fn give_grace(&mut self, myself: &ActorRef<PipelineMsg>, attempt: u32, holder: Holder) {
        if self.grace_of == Some(holder) && self.timers.contains_key(&Timer::Grace) {
            return;
        }
        self.grace_of = Some(holder);
        let grace = self.plan.settings.deadlines.grace(holder.stage);
        let (worker, myself) = (self.plan.worker.clone(), myself.clone());
        self.set_timer(Timer::Grace, async move {
            let mut turns = JoinSet::new();
            turns.spawn_on(
                async move {
                    for _ in 0..GRACE_TURNS {
                        tokio::time::sleep(grace / GRACE_TURNS).await;
                    }
                },
                &worker,
            );
            let has_run = tokio::time::timeout(grace + BLOCKED_AFTER, turns.join_next()).await.is_ok();
            let _ = myself.cast(PipelineMsg::GraceOver { attempt, holder, has_run });
        });
    }

    /// A stage that still has the cycle after its grace hangs. When its runtime has not run, it hangs only if its own code keeps a
    /// thread busy: otherwise it waits for one.
    pub(super) fn judge_overdue(
        &mut self,
        myself: &ActorRef<PipelineMsg>,
        attempt: u32,
        overdue: &Holder,
        has_run: bool,
    ) -> Result<(), ActorProcessingErr> {
        if self.grace_of == Some(*overdue) {
            self.end_timer(Timer::Grace);
        }
        let Some(cycle) = self.cycle.as_ref().filter(|cycle| cycle.attempt == attempt) else { return Ok(()) };
        let holds = |tracker: &&Arc<CycleTracker>| tracker.holder() == *overdue && (has_run || tracker.is_running());
        let (slot, id) = (cycle.slot, child_id(overdue.stage));
        if cycle.tracker.as_ref().is_some_and(|tracker| holds(&tracker))
            && let Some(generation) = self.supervisor.generation(&id)
        {
            let did = if overdue.is_at_work { "worked on" } else { "not taken" };
            let what = format!("slot {slot} {did} for {:?}", overdue.since.elapsed());
            let supervisor_events = self.supervisor.deadline_missed(&id, generation, &what);
            self.react(myself, supervisor_events)?;
        }
        self.watch_cycle(myself);
        Ok(())
    }
}
