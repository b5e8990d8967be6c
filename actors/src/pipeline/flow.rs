//! How a Pipeline reacts: slots in, rows out, stages watched.

use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef};

use super::{
    CLOCK_TOLERANCE, Death, JournalHandle, LOOK_AT_CLOCK, PipelineState, RECOVERY_RETRY, ROWS_CHECK, ROWS_WAITING_MAX,
    RunningCycle, Timer, WAIT_MAX, WAITING_TOLD_EVERY, child_id,
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
    /// Asks the journal where this pipeline stands, until it answers.
    pub(super) fn ask_journal(&mut self, myself: &ActorRef<PipelineMsg>) {
        let (journal, name) = (JournalHandle::new(self.plan.journal.clone()), self.plan.settings.name.clone());
        let myself = myself.clone();
        self.set_timer(Timer::Recovery, async move {
            let mut told = false;
            loop {
                match journal.recovery(&name).await {
                    Ok(recovery) => {
                        let _ = myself.cast(PipelineMsg::Recovered(recovery));
                        return;
                    }
                    Err(error) => {
                        if told {
                            events::recovery_waits(&name, &error.to_string());
                        }
                        told = true; // the first miss is only the start order
                        tokio::time::sleep(RECOVERY_RETRY).await;
                    }
                }
            }
        });
    }

    /// Takes up the schedule after the newest row. A pipeline without rows begins now.
    pub(super) fn take_up(
        &mut self,
        myself: &ActorRef<PipelineMsg>,
        recovery: Recovery,
    ) -> Result<(), ActorProcessingErr> {
        let settings = &self.plan.settings;
        let accounted = recovery.last_slot.unwrap_or(self.plan.node_started_at);
        self.plan.ports.clock.take_up_after(accounted);
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

    /// Takes no new slot. Slots of a competition that has ended get their end first: nobody comes after this pipeline to
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
        self.go_on(myself)
    }

    /// The competition was over when this was sent. It may be no longer: a recovery sets a replay back to slots that have
    /// to be worked on again, and a wall clock can be set. Only who has no slot left closes; everyone else is told again.
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
        self.go_on(myself)
    }

    /// Schedule time may have moved.
    pub(super) fn tick(&mut self, myself: &ActorRef<PipelineMsg>) {
        self.timers.remove(&Timer::Wake);
        let now = self.plan.ports.clock.now();
        if let Some(machine) = self.slots.as_mut().filter(|_| !self.closing) {
            let commands = machine.on(SlotEvent::Tick { now });
            self.obey(myself, commands);
        }
        self.tell_waiting(now);
        self.publish();
        self.arm_wake(myself);
    }

    /// A clock that was set back shows a time whose slots have their end. None is worked on again: the schedule goes on
    /// when the clock has caught up, or was put right.
    fn tell_waiting(&mut self, now: UtcMs) {
        let Some(accounted) = self.slots.as_ref().map(SlotMachine::accounted) else { return };
        let behind = accounted.since(now);
        if behind <= CLOCK_TOLERANCE || self.plan.ports.clock.follows_cycles() {
            return;
        }
        let elapsed = elapsed_now();
        if self.waiting_told.is_none_or(|told| elapsed.duration_since(told) >= WAITING_TOLD_EVERY) {
            self.waiting_told = Some(elapsed);
            events::schedule_waits(&self.plan.settings.name, accounted, now, behind);
        }
    }

    fn obey(&mut self, myself: &ActorRef<PipelineMsg>, commands: Vec<SlotCommand>) {
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
                    first_death: None,
                    cause: String::new(),
                });
            }
        }
        self.launch();
        self.watch_cycle(myself);
    }

    /// Hands the waiting cycle to the first stage as soon as all stages are there.
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

    /// A stage that holds the cycle beyond its deadline hangs; a cycle that no stage can take is given up at its own.
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
                    let event = SlotEvent::StageDied { slot, attempt, time_left: false, same_input: false };
                    let commands = machine.on(event);
                    self.obey(myself, commands);
                }
                self.go_on(myself)?;
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
        // A stage that was told to die and does not is looked at again at leisure.
        let due = if due > now { due } else { now + ROWS_CHECK };
        if self.timers.contains_key(&Timer::Cycle) && self.cycle_check <= due {
            return; // it looks again at what is in flight then
        }
        self.cycle_check = due;
        let myself = myself.clone();
        self.set_timer(Timer::Cycle, async move {
            tokio::time::sleep_until(due).await;
            let _ = myself.cast(PipelineMsg::CheckCycle);
        });
    }

    /// The stage `stage` died while it may have held the attempt.
    pub(super) fn stage_died(&mut self, myself: &ActorRef<PipelineMsg>, attempt: InFlight, stage: Stage, cause: &str) {
        let (Some(cycle), Some(machine)) = (self.cycle.as_mut(), self.slots.as_mut()) else { return };
        if (cycle.slot, cycle.attempt) != (attempt.slot, attempt.attempt) {
            return;
        }
        let input = cycle.tracker.as_ref().and_then(|tracker| tracker.input().cloned());
        let death = Death { stage, bars_digest: input.as_ref().map(|bars| bars.digest()) };
        let same_input = cycle.first_death.as_ref() == Some(&death);
        cycle.first_death = Some(death);
        cycle.cause = format!("{stage}: {cause}");
        let time_left = elapsed_now() < cycle.deadline;
        let event = SlotEvent::StageDied { slot: attempt.slot, attempt: attempt.attempt, time_left, same_input };
        let commands = machine.on(event);
        if commands.iter().any(|command| matches!(command, SlotCommand::Abort { reason: Reason::PoisonInput, .. })) {
            let name = &self.plan.settings.name;
            // A small file, at most twice per bad input: worth a moment of the control plane.
            let kept_at = self.plan.shared.quarantine.keep(name, attempt.slot, stage.name(), input.as_deref());
            events::input_quarantined(name, attempt.slot, &kept_at);
            if let Some(cycle) = self.cycle.as_mut() {
                cycle.cause = format!("{}; input kept at {kept_at}", cycle.cause);
            }
        }
        self.obey(myself, commands);
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

    /// `undecided`: what kept the slot from a decision, which an order that left all the same does not make good.
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

    /// Slots before this process's start passed while the node was down, later ones while the pipeline was.
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
            self.arm_wake(myself);
        }
    }

    /// Something that held back the next slot or the end may be gone.
    pub(super) fn go_on(&mut self, myself: &ActorRef<PipelineMsg>) -> Result<(), ActorProcessingErr> {
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
    fn arm_wake(&mut self, myself: &ActorRef<PipelineMsg>) {
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
            return; // the CompetitionClock looks again by itself, should it not have heard
        }
        let myself = myself.clone();
        let look = LOOK_AT_CLOCK.min(self.plan.settings.deadlines.lateness / 2).max(CLOCK_TOLERANCE / 2);
        self.set_timer(Timer::Wake, async move {
            if clock.follows_cycles() {
                clock.wait_until(until).await;
            } else {
                wait_for_wall_time(&*clock, until, look).await;
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
                    self.lost_with(myself, &id, &cause.to_string());
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

    /// A stage ended; if it held the cycle, the cycle is lost with it.
    fn lost_with(&mut self, myself: &ActorRef<PipelineMsg>, id: &ChildId, cause: &str) {
        let Some(stage) = Stage::ALL.into_iter().find(|stage| child_id(*stage) == *id) else { return };
        let Some(cycle) = &self.cycle else { return };
        let holds = cycle.tracker.as_ref().is_some_and(|tracker| tracker.holder().0 == stage);
        if holds {
            self.stage_died(myself, InFlight { slot: cycle.slot, attempt: cycle.attempt }, stage, cause);
        }
    }
}

/// Waits for a slot, and looks at the clock at least every `look`: when it is set, the slot is nearer or further away than the
/// wait was meant for. Ends early when it was set back, and now and then, so that the pipeline sees where it stands.
async fn wait_for_wall_time(clock: &dyn Clock, until: UtcMs, look: Duration) {
    let longest = elapsed_now() + WAIT_MAX;
    let mut now = clock.now();
    while now < until && elapsed_now() < longest {
        let _ = tokio::time::timeout(look, clock.wait_until(until)).await;
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
