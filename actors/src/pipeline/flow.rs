//! How a Pipeline reacts: it starts cycles for due slots, sends their rows, and watches its stages.

use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef};

use super::{
    CLOCK_CHECK_EVERY, CLOCK_TOLERANCE, JournalHandle, PipelineState, RECOVERY_RETRY, ROWS_CHECK, ROWS_WAITING_MAX,
    RunningCycle, SCHEDULE_WARNING_EVERY, StageFailure, Timer, WAIT_MAX, child_id,
};
use crate::cycle_flow::{Cycle, CycleTracker};
use crate::domain::cycle::{InFlight, SlotCommand, SlotEvent, SlotMachine, SlotRecord, Stage};
use crate::domain::reason::{Outcome, Reason};
use crate::domain::time::UtcMs;
use crate::events;
use crate::messages::{CompetitionMsg, PipelineMsg};
use crate::ports::{Clock, FaultPoint, JournalWrite, Recovery, elapsed_now, inject_fault};
use crate::supervision::{ChildEnd, ChildId, SupervisorEvent};

impl PipelineState {
    /// Reads the last slot and decision of this pipeline from the journal, until it answers.
    pub(super) fn ask_journal(&mut self, myself: &ActorRef<PipelineMsg>) {
        let (journal, name) = (JournalHandle::new(self.plan.journal.clone()), self.plan.settings.name.clone());
        let myself = myself.clone();
        self.set_timer(Timer::Recovery, async move {
            let mut has_failed = false;
            loop {
                match journal.recovery(&name).await {
                    Ok(recovery) => {
                        let _ = myself.cast(PipelineMsg::Recovered(recovery));
                        return;
                    }
                    Err(error) => {
                        if has_failed {
                            events::recovery_waits(&name, &error.to_string());
                        }
                        has_failed = true; // the first time the journal is only not started yet
                        tokio::time::sleep(RECOVERY_RETRY).await;
                    }
                }
            }
        });
    }

    /// Continues the schedule after the newest row. A pipeline without rows starts now.
    pub(super) fn resume_schedule(
        &mut self,
        myself: &ActorRef<PipelineMsg>,
        recovery: Recovery,
    ) -> Result<(), ActorProcessingErr> {
        let settings = &self.plan.settings;
        let accounted = recovery.last_slot.unwrap_or(self.plan.node_started_at);
        self.plan.ports.clock.resume_after(accounted);
        let now = self.plan.ports.clock.now();
        let machine = SlotMachine::new(
            settings.schedule.clone(),
            settings.window,
            settings.deadlines.lateness,
            accounted,
            now,
            Reason::PipelineDown,
        );
        events::pipeline_recovered(&settings.name, recovery.last_slot, machine.next_due());
        self.last_decided_bar = recovery.last_decided_bar;
        self.status.newest_decided_bar = recovery.last_decided_bar;
        self.slots = Some(machine);
        self.status.waiting_since = None;
        self.tick(myself);
        if self.close_when_recovered { self.close(myself) } else { Ok(()) }
    }

    /// Takes no new slot. Slots of a competition that has ended end first, because no later incarnation will
    /// account for them. Those of an open competition are left to the next process.
    pub(super) fn close(&mut self, myself: &ActorRef<PipelineMsg>) -> Result<(), ActorProcessingErr> {
        if !self.closing && self.plan.settings.window.is_over(self.plan.ports.clock.now()) {
            if self.slots.is_none() {
                self.close_when_recovered = true;
                return Ok(());
            }
            self.tick(myself);
        }
        self.closing = true;
        self.proceed(myself)
    }

    /// The competition was over when this was sent. It may be no longer: a recovery sets a replay back to slots that have
    /// to be worked on again, and a wall clock can be set. Only a pipeline without slots left closes; the message is repeated to the others.
    pub(super) fn window_over(&mut self, myself: &ActorRef<PipelineMsg>) -> Result<(), ActorProcessingErr> {
        let is_over = self.plan.settings.window.is_over(self.plan.ports.clock.now());
        if self.closing || self.slots.is_none() || !is_over {
            return Ok(());
        }
        self.tick(myself);
        if self.slots.as_ref().is_none_or(|machine| machine.next_due().is_some()) {
            return Ok(());
        }
        self.closing = true;
        self.proceed(myself)
    }

    /// Schedule time may have moved.
    pub(super) fn tick(&mut self, myself: &ActorRef<PipelineMsg>) {
        self.timers.remove(&Timer::Wake);
        let now = self.plan.ports.clock.now();
        if let Some(machine) = self.slots.as_mut().filter(|_| !self.closing) {
            let commands = machine.on(SlotEvent::Tick { now });
            self.carry_out(myself, commands);
        }
        self.warn_if_schedule_waits(now);
        self.publish();
        self.schedule_wake(myself);
    }

    /// A clock that was set back shows a time whose slots have ended. None is worked on again: the schedule continues when the
    /// clock has caught up, or was corrected.
    fn warn_if_schedule_waits(&mut self, now: UtcMs) {
        let Some(accounted) = self.slots.as_ref().map(SlotMachine::accounted) else { return };
        let behind = accounted.since(now);
        if behind <= CLOCK_TOLERANCE || self.plan.ports.clock.follows_cycles() {
            return;
        }
        let elapsed = elapsed_now();
        if self.schedule_warned_at.is_none_or(|at| elapsed.duration_since(at) >= SCHEDULE_WARNING_EVERY) {
            self.schedule_warned_at = Some(elapsed);
            events::schedule_waits(&self.plan.settings.name, accounted, now, behind);
        }
    }

    fn carry_out(&mut self, myself: &ActorRef<PipelineMsg>, commands: Vec<SlotCommand>) {
        for command in commands {
            match command {
                SlotCommand::Begin { slot, attempt } => self.begin(myself, slot, attempt),
                SlotCommand::Finish { .. } => {} // the caller holds the record
                SlotCommand::Abort { slot, reason } => self.abort(myself, slot, reason),
                SlotCommand::Miss { after, until, reason } => self.miss(myself, after, until, reason),
            }
        }
    }

    fn begin(&mut self, myself: &ActorRef<PipelineMsg>, slot: UtcMs, attempt: u32) {
        let now = self.plan.ports.clock.now();
        match self.cycle.as_mut().filter(|cycle| cycle.slot == slot) {
            Some(cycle) => {
                cycle.attempt = attempt;
                if let Some(tracker) = cycle.tracker.take() {
                    tracker.revoke();
                }
                self.status.reruns += 1;
                events::cycle_rerun(&self.plan.settings.name, slot);
            }
            None => {
                self.cycle = Some(RunningCycle {
                    slot,
                    attempt,
                    started_at: now,
                    deadline: elapsed_now() + self.plan.settings.deadlines.cycle,
                    tracker: None,
                    first_failure: None,
                    cause: String::new(),
                });
            }
        }
        self.launch();
        self.watch_cycle(myself);
    }

    /// Hands the waiting cycle to the first stage as soon as all stages run.
    fn launch(&mut self) {
        let all_up = Stage::ALL.iter().all(|stage| self.supervisor.generation(&child_id(*stage)).is_some());
        let Some(cycle) = self.cycle.as_mut().filter(|cycle| all_up && cycle.tracker.is_none()) else { return };
        let mode = self.plan.ports.venue.mode();
        let mut record =
            SlotRecord::new(&self.plan.settings.name, cycle.slot, mode, Reason::StageCrashed, cycle.started_at);
        record.attempts = cycle.attempt;
        record.started_at = Some(cycle.started_at);
        let tracker = CycleTracker::begin();
        let attempt = Cycle {
            slot: cycle.slot,
            attempt: cycle.attempt,
            last_decided_bar: self.last_decided_bar,
            deadline: cycle.deadline,
            tracker: tracker.clone(),
        };
        if self.plan.stages.launch(attempt, record) {
            cycle.tracker = Some(tracker);
        }
    }

    /// A stage that holds the cycle beyond the stage's deadline hangs. A cycle that no stage has taken by its own deadline is
    /// given up.
    pub(super) fn check_cycle(&mut self, myself: &ActorRef<PipelineMsg>) -> Result<(), ActorProcessingErr> {
        self.timers.remove(&Timer::Cycle);
        let now = elapsed_now();
        let Some(cycle) = &self.cycle else { return Ok(()) };
        match &cycle.tracker {
            Some(tracker) => {
                let (stage, since) = tracker.holder();
                let limit = self.plan.settings.deadlines.hang_after(stage);
                let id = child_id(stage);
                if now >= since + limit
                    && let Some(generation) = self.supervisor.generation(&id)
                {
                    let what = format!("slot {} held for more than {limit:?}", cycle.slot);
                    let supervisor_events = self.supervisor.deadline_missed(&id, generation, &what);
                    self.react(myself, supervisor_events)?;
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
            None => self.launch(),
        }
        self.watch_cycle(myself);
        Ok(())
    }

    fn watch_cycle(&mut self, myself: &ActorRef<PipelineMsg>) {
        let Some(cycle) = &self.cycle else { return };
        let now = elapsed_now();
        let due = match &cycle.tracker {
            Some(tracker) => {
                let (stage, since) = tracker.holder();
                self.plan.settings.deadlines.earliest_hang(stage, since, now)
            }
            None => cycle.deadline,
        };
        // A stage that was killed and has not ended is checked again later.
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

    /// `stage` failed while it may have held the attempt.
    pub(super) fn stage_failed(
        &mut self,
        myself: &ActorRef<PipelineMsg>,
        attempt: InFlight,
        stage: Stage,
        cause: &str,
    ) {
        let (Some(cycle), Some(machine)) = (self.cycle.as_mut(), self.slots.as_mut()) else { return };
        if (cycle.slot, cycle.attempt) != (attempt.slot, attempt.attempt) {
            return;
        }
        let input = cycle.tracker.as_ref().and_then(|tracker| tracker.input().cloned());
        let failure = StageFailure { stage, bars_digest: input.as_ref().map(|bars| bars.digest()) };
        let same_input = cycle.first_failure.as_ref() == Some(&failure);
        cycle.first_failure = Some(failure);
        cycle.cause = format!("{stage}: {cause}");
        let time_left = elapsed_now() < cycle.deadline;
        let event = SlotEvent::StageFailed { slot: attempt.slot, attempt: attempt.attempt, time_left, same_input };
        let commands = machine.on(event);
        if commands.iter().any(|command| matches!(command, SlotCommand::Abort { reason: Reason::PoisonInput, .. })) {
            let name = &self.plan.settings.name;
            // A small file, at most twice per bad input, so blocking the control plane for it is acceptable.
            let kept_at = self.plan.shared.quarantine.keep(name, attempt.slot, stage.name(), input.as_deref());
            events::input_quarantined(name, attempt.slot, &kept_at);
            if let Some(cycle) = self.cycle.as_mut() {
                cycle.cause = format!("{}; input kept at {kept_at}", cycle.cause);
            }
        }
        self.carry_out(myself, commands);
        self.after_cycle(myself);
    }

    pub(super) async fn cycle_ended(&mut self, myself: &ActorRef<PipelineMsg>, attempt: u32, mut record: SlotRecord) {
        let Some(machine) = self.slots.as_mut() else { return };
        if machine.on(SlotEvent::Ended { slot: record.slot, attempt }).is_empty() {
            return;
        }
        let undecided = self.cycle.take().and_then(|cycle| cycle.tracker?.undecided());
        record.ended_at = self.plan.ports.clock.now();
        inject_fault(&*self.plan.shared.faults, FaultPoint::BeforeEndSlot, &self.plan.settings.name).await;
        if record.outcome() == Outcome::Acted {
            self.status.effects += u64::try_from(record.intents.len()).unwrap_or(0);
        }
        self.end_slot(myself, record, undecided);
        self.after_cycle(myself);
    }

    fn abort(&mut self, myself: &ActorRef<PipelineMsg>, slot: UtcMs, reason: Reason) {
        let Some(cycle) = self.cycle.take() else { return };
        let now = self.plan.ports.clock.now();
        let mut record = SlotRecord::new(&self.plan.settings.name, slot, self.plan.ports.venue.mode(), reason, now);
        record.attempts = cycle.attempt;
        record.started_at = Some(cycle.started_at);
        record.detail = cycle.cause;
        if let Some(tracker) = cycle.tracker {
            tracker.revoke();
            if let Some(bars) = tracker.input() {
                record.newest_bar = bars.newest().map(|bar| bar.time);
                record.bars_digest = Some(bars.digest());
            }
        }
        self.end_slot(myself, record, None);
    }

    /// `undecided`: why the slot had no decision, even if an order closed a position.
    fn end_slot(&mut self, myself: &ActorRef<PipelineMsg>, record: SlotRecord, undecided: Option<Reason>) {
        let next_slot = self.slots.as_ref().and_then(SlotMachine::next_due);
        events::slot_ended(&record, self.status.slots() + 1, next_slot, self.status.last_reason, undecided);
        self.last_decided_bar = self.last_decided_bar.max(record.decided_bar);
        self.status.newest_decided_bar = self.last_decided_bar;
        self.status.last_slot = Some(record.slot);
        self.status.last_reason = Some(record.reason);
        self.status.count_slot(record.reason, undecided);
        self.outbox.push(JournalWrite::EndSlot(Box::new(record)), myself);
        for row in std::mem::take(&mut self.overruns) {
            self.outbox.push(row, myself);
        }
        self.watch_rows(myself);
    }

    /// Slots before the start of this process passed while the node was down, later ones while the pipeline was.
    fn miss(&mut self, myself: &ActorRef<PipelineMsg>, after: UtcMs, until: UtcMs, reason: Reason) {
        let boot = self.plan.node_started_at;
        if reason == Reason::PipelineDown && after < boot {
            self.miss_range(myself, after, until.min(boot), Reason::NodeDown);
            if boot < until {
                self.miss_range(myself, boot, until, reason);
            }
        } else {
            self.miss_range(myself, after, until, reason);
        }
    }

    fn miss_range(&mut self, myself: &ActorRef<PipelineMsg>, after: UtcMs, until: UtcMs, reason: Reason) {
        let settings = &self.plan.settings;
        let count = settings.schedule.count(after, until);
        if count == 0 {
            return;
        }
        events::slots_missed(&settings.name, after, until, count, reason);
        self.status.count(reason, count);
        self.status.last_slot = Some(until);
        self.status.last_reason = Some(reason);
        let write = JournalWrite::MissSlots {
            pipeline: settings.name.clone(),
            mode: self.plan.ports.venue.mode(),
            schedule: settings.schedule.clone(),
            after,
            until,
            reason,
            noted_at: self.plan.ports.clock.now(),
        };
        if self.cycle.is_some() {
            self.overruns.push(write);
            return;
        }
        self.outbox.push(write, myself);
        self.watch_rows(myself);
    }

    fn after_cycle(&mut self, myself: &ActorRef<PipelineMsg>) {
        self.publish();
        if !self.timers.contains_key(&Timer::Wake) {
            self.schedule_wake(myself);
        }
    }

    /// Closes, or waits for the next slot, if nothing is in the way any more.
    pub(super) fn proceed(&mut self, myself: &ActorRef<PipelineMsg>) -> Result<(), ActorProcessingErr> {
        if self.closing && self.cycle.is_none() && self.outbox.is_empty() {
            self.status.ended = self.slots.as_ref().is_some_and(SlotMachine::is_finished);
            self.publish();
            let supervisor_events = self.supervisor.shutdown();
            return self.react(myself, supervisor_events);
        }
        self.after_cycle(myself);
        Ok(())
    }

    /// Waits for the next slot, or for the window's end after the last one. In a replay this moves schedule time, so it
    /// happens only between cycles and only while the disk keeps up.
    fn schedule_wake(&mut self, myself: &ActorRef<PipelineMsg>) {
        let Some(machine) = self.slots.as_ref().filter(|_| !self.closing) else { return };
        let clock = self.plan.ports.clock.clone();
        let held_back = machine.in_flight().is_some() || self.outbox.len() >= ROWS_WAITING_MAX;
        if clock.follows_cycles() && held_back {
            return;
        }
        let Some(until) = machine.next_due().or(self.plan.settings.window.end) else { return };
        // With a cycle in flight too: nothing is left to wait for but its end.
        if machine.next_due().is_none() && clock.now() >= until {
            let pipeline = self.plan.settings.name.clone();
            let _ = self.plan.competition.send(CompetitionMsg::WindowPassed { pipeline });
            return; // if the message is lost, the CompetitionClock checks by itself
        }
        let myself = myself.clone();
        let check_every = CLOCK_CHECK_EVERY.min(self.plan.settings.deadlines.lateness / 2).max(CLOCK_TOLERANCE / 2);
        self.set_timer(Timer::Wake, async move {
            if clock.follows_cycles() {
                clock.wait_until(until).await;
            } else {
                wait_for_wall_time(&*clock, until, check_every).await;
            }
            let _ = myself.cast(PipelineMsg::Wake);
        });
    }

    pub(super) fn watch_rows(&mut self, myself: &ActorRef<PipelineMsg>) {
        if self.outbox.is_empty() || self.timers.contains_key(&Timer::Rows) {
            return;
        }
        let myself = myself.clone();
        self.set_timer(Timer::Rows, async move {
            tokio::time::sleep(ROWS_CHECK).await;
            let _ = myself.cast(PipelineMsg::CheckRows);
        });
    }

    fn set_timer(&mut self, timer: Timer, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.plan.shared.control.spawn(task).abort_handle();
        if let Some(old) = self.timers.insert(timer, task) {
            old.abort();
        }
    }

    fn publish(&mut self) {
        self.status.next_due = self.slots.as_ref().and_then(SlotMachine::next_due);
        self.status.accounted = self.slots.as_ref().map(SlotMachine::accounted);
        self.plan.status.store(Arc::new(self.status.clone()));
    }

    pub(super) fn react(
        &mut self,
        myself: &ActorRef<PipelineMsg>,
        supervisor_events: Vec<SupervisorEvent>,
    ) -> Result<(), ActorProcessingErr> {
        let name = self.plan.settings.name.clone();
        for event in supervisor_events {
            match event {
                SupervisorEvent::Up { id, generation } => {
                    events::child_up(&format!("{name}/{id}"), generation.0);
                    self.launch();
                    self.watch_cycle(myself);
                }
                SupervisorEvent::Down { cause: ChildEnd::Stopped, .. } => {}
                SupervisorEvent::Down { id, cause, .. } => {
                    events::child_down(&format!("{name}/{id}"), &cause);
                    self.status.restarts += 1;
                    if self.blocked.remove(&id) {
                        self.plan.shared.progress.worker_freed();
                    }
                    self.fail_cycle_held_by(myself, &id, &cause.to_string());
                }
                SupervisorEvent::Stuck { id, .. } => {
                    events::child_stuck(&format!("{name}/{id}"));
                    if self.blocked.insert(id) {
                        self.plan.shared.progress.worker_blocked();
                    }
                }
                SupervisorEvent::Restarting { id, after } => events::child_restarting(&format!("{name}/{id}"), after),
                SupervisorEvent::Escalate { id, cause } => {
                    return Err(format!("{id} is beyond its restart budget: {cause}").into());
                }
                SupervisorEvent::AllStopped => myself.stop(None),
                _ => {}
            }
        }
        Ok(())
    }

    /// A stage ended. If it held the cycle, the attempt has failed.
    fn fail_cycle_held_by(&mut self, myself: &ActorRef<PipelineMsg>, id: &ChildId, cause: &str) {
        let Some(stage) = Stage::ALL.into_iter().find(|stage| child_id(*stage) == *id) else { return };
        let Some(cycle) = &self.cycle else { return };
        let holds = cycle.tracker.as_ref().is_some_and(|tracker| tracker.holder().0 == stage);
        if holds {
            self.stage_failed(myself, InFlight { slot: cycle.slot, attempt: cycle.attempt }, stage, cause);
        }
    }
}

/// Waits for a slot, and checks the clock at least every `check_every`, because the clock may be set. Returns early when it was
/// set back, and after `WAIT_MAX`, so that the pipeline checks its state.
async fn wait_for_wall_time(clock: &dyn Clock, until: UtcMs, check_every: Duration) {
    let longest = elapsed_now() + WAIT_MAX;
    let mut now = clock.now();
    while now < until && elapsed_now() < longest {
        let _ = tokio::time::timeout(check_every, clock.wait_until(until)).await;
        let before = std::mem::replace(&mut now, clock.now());
        if before.since(now) > CLOCK_TOLERANCE {
            return;
        }
    }
}

impl Drop for PipelineState {
    /// Timers must not outlive the incarnation that set them.
    fn drop(&mut self) {
        for timer in self.timers.values() {
            timer.abort();
        }
        for _ in &self.blocked {
            self.plan.shared.progress.worker_freed();
        }
    }
}
