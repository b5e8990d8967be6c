//! The cycle in flight: started, run again after a failure, and ended with its row. Slots without a cycle end as missed.

use std::time::Duration;

use ractor::ActorRef;

use super::stages::child_id;
use super::{PipelineState, RunningCycle, Slots, StageFailure};
use crate::cycle_flow::{Cycle, CycleTracker};
use crate::domain::cycle::{InFlight, SlotCommand, SlotEvent, SlotRecord, Stage};
use crate::domain::reason::{Outcome, Reason};
use crate::domain::time::UtcMs;
use crate::events;
use crate::messages::PipelineMsg;
use crate::ports::{FaultPoint, JournalWrite, elapsed_now, inject_fault};
use crate::supervision::ChildId;

impl PipelineState {
    pub(super) fn carry_out(&mut self, myself: &ActorRef<PipelineMsg>, commands: Vec<SlotCommand>) {
        for command in commands {
            match command {
                SlotCommand::Begin { slot, attempt } => self.begin(myself, slot, attempt),
                SlotCommand::Finish { .. } => {} // the caller holds the record
                SlotCommand::Abort { slot, reason } => self.abort(myself, slot, reason),
                SlotCommand::Miss { after, until, reason } => self.miss(myself, after, until, reason),
                SlotCommand::End { slot, reason } => self.end_without_cycle(myself, slot, reason),
                SlotCommand::Withdraw { .. } => self.withdraw(),
            }
        }
    }

    fn begin(&mut self, myself: &ActorRef<PipelineMsg>, slot: UtcMs, attempt: u32) {
        let (schedule_now, now, begin_by) = (self.plan.ports.clock.now(), elapsed_now(), self.begin_by(slot));
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
                    turn: None,
                    waits_since: now,
                    waited: Duration::ZERO,
                    started_at: schedule_now,
                    begin_by,
                    deadline: now + self.plan.settings.deadlines.cycle,
                    tracker: None,
                    first_failure: None,
                    cause: String::new(),
                    is_withdrawn: false,
                });
            }
        }
        self.launch(myself);
        self.watch_cycle(myself);
    }

    /// Hands the waiting cycle to the first stage as soon as all stages run and its turn has come.
    pub(super) fn launch(&mut self, myself: &ActorRef<PipelineMsg>) {
        let all_up = Stage::ALL.iter().all(|stage| self.supervisor.generation(&child_id(*stage)).is_some());
        if !all_up || self.cycle.as_ref().is_none_or(|cycle| cycle.tracker.is_some()) || !self.has_turn(myself) {
            return;
        }
        let Some(cycle) = self.cycle.as_mut() else { return };
        let mode = self.plan.ports.sink.mode();
        let mut record =
            SlotRecord::new(&self.plan.settings.name, cycle.slot, mode, Reason::StageCrashed, cycle.started_at);
        record.attempts = cycle.attempt;
        record.started_at = Some(cycle.started_at);
        let tracker = CycleTracker::begin();
        let attempt = Cycle {
            slot: cycle.slot,
            announced: self.slots.as_ref().and_then(Slots::announced).cloned(),
            attempt: cycle.attempt,
            last_decided_bar: self.last_decided_bar,
            deadline: cycle.deadline,
            tracker: tracker.clone(),
            is_operators: false,
        };
        if cycle.is_withdrawn {
            tracker.withdraw();
        }
        if self.plan.stages.launch(attempt, record) {
            cycle.tracker = Some(tracker);
        }
    }

    /// The slot in flight was withdrawn. An effect that is on its way cannot be called back; none follows.
    fn withdraw(&mut self) {
        let Some(cycle) = self.cycle.as_mut() else { return };
        cycle.is_withdrawn = true;
        if let Some(tracker) = &cycle.tracker {
            tracker.withdraw();
        }
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
        let cycle = self.cycle.take();
        record.waited_us = cycle.as_ref().map(RunningCycle::waited_us);
        let tracker = cycle.and_then(|cycle| cycle.tracker);
        let undecided = tracker.as_ref().and_then(|tracker| tracker.undecided());
        self.note_model(&record, tracker.is_some_and(|tracker| tracker.has_changed_model()));
        record.ended_at = self.plan.ports.clock.now();
        self.plan.shared.admission.count_cycle(&record);
        self.plan.shared.meters.count_stages(&record);
        inject_fault(&*self.plan.shared.faults, FaultPoint::BeforeEndSlot, &self.plan.settings.name).await;
        if record.outcome() == Outcome::Acted {
            self.status.effects += u64::try_from(record.intents.len()).unwrap_or(0);
        }
        self.end_slot(myself, record, undecided);
        self.after_cycle(myself);
    }

    fn note_model(&mut self, record: &SlotRecord, has_changed: bool) {
        if has_changed {
            self.status.model.refused(&record.detail, record.ended_at);
        } else if let Some(model) = &record.model {
            self.status.model.used(&model.hash, record.ended_at);
        }
    }

    fn abort(&mut self, myself: &ActorRef<PipelineMsg>, slot: UtcMs, reason: Reason) {
        let Some(cycle) = self.cycle.take() else { return };
        let now = self.plan.ports.clock.now();
        let mut record = SlotRecord::new(&self.plan.settings.name, slot, self.plan.ports.sink.mode(), reason, now);
        record.waited_us = Some(cycle.waited_us());
        // A slot whose turn did not come has not been started.
        if reason == Reason::Overload {
            self.plan.shared.admission.count_shed();
        } else {
            record.attempts = cycle.attempt;
            record.started_at = Some(cycle.started_at);
        }
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

    /// Rows are written in the order of their slots.
    pub(super) fn record_displaced(&mut self, myself: &ActorRef<PipelineMsg>) {
        let (Some((after, until)), Some(schedule)) = (self.displaced.take(), self.plan.ports.job.schedule()) else {
            return;
        };
        let write = JournalWrite::MissSlots {
            pipeline: self.plan.settings.name.clone(),
            mode: self.plan.ports.sink.mode(),
            schedule: schedule.clone(),
            after,
            until,
            reason: Reason::Overload,
            noted_at: self.plan.ports.clock.now(),
        };
        self.outbox.push(write, myself);
    }

    /// `undecided`: why the slot had no decision, even if an order closed a position.
    fn end_slot(&mut self, myself: &ActorRef<PipelineMsg>, mut record: SlotRecord, undecided: Option<Reason>) {
        if self.plan.ports.job.announcer().is_some() {
            record.anchor = Some(record.slot.floor_to_minute());
            self.status.count_window(record.reason);
        }
        if record.reason == Reason::PoisonInput {
            self.status.quarantined = Some(record.slot);
        }
        self.record_displaced(myself);
        let next_slot = self.slots.as_ref().and_then(Slots::next_due);
        events::slot_ended(&record, self.status.slots() + 1, next_slot, self.status.last_reason, undecided);
        self.last_decided_bar = self.last_decided_bar.max(record.decided_bar);
        self.status.newest_decided_bar = self.last_decided_bar;
        self.status.last_slot = Some(record.slot);
        self.status.last_reason = Some(record.reason);
        self.status.count_slot(record.reason, undecided);
        self.plan.meters.count_slots(record.reason, 1);
        self.outbox.push(JournalWrite::EndSlot(Box::new(record)), myself);
        for row in std::mem::take(&mut self.overruns) {
            self.outbox.push(row, myself);
        }
        self.watch_rows(myself);
    }

    /// An announced slot that is never worked on.
    fn end_without_cycle(&mut self, myself: &ActorRef<PipelineMsg>, slot: UtcMs, reason: Reason) {
        let (name, now) = (&self.plan.settings.name, self.plan.ports.clock.now());
        let record = SlotRecord::new(name, slot, self.plan.ports.sink.mode(), reason, now);
        self.end_slot(myself, record, None);
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
        let count = self.plan.ports.job.schedule().map_or(0, |schedule| schedule.count(after, until));
        if count == 0 {
            return;
        }
        self.record_displaced(myself);
        let (settings, Some(schedule)) = (&self.plan.settings, self.plan.ports.job.schedule()) else { return };
        events::slots_missed(&settings.name, after, until, count, reason);
        self.status.count(reason, count);
        self.plan.meters.count_slots(reason, count);
        self.status.last_slot = Some(until);
        self.status.last_reason = Some(reason);
        let write = JournalWrite::MissSlots {
            pipeline: settings.name.clone(),
            mode: self.plan.ports.sink.mode(),
            schedule: schedule.clone(),
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

    /// A stage ended. If it held the cycle, the attempt has failed.
    pub(super) fn fail_cycle_held_by(&mut self, myself: &ActorRef<PipelineMsg>, id: &ChildId, cause: &str) {
        let Some(stage) = Stage::ALL.into_iter().find(|stage| child_id(*stage) == *id) else { return };
        let Some(cycle) = &self.cycle else { return };
        let holds = cycle.tracker.as_ref().is_some_and(|tracker| tracker.holder().stage == stage);
        if holds {
            self.stage_failed(myself, InFlight { slot: cycle.slot, attempt: cycle.attempt }, stage, cause);
        }
    }
}

impl RunningCycle {
    /// How long it has waited: to begin, and between the stages of its present attempt.
    fn waited_us(&self) -> u64 {
        let to_begin = if self.tracker.is_some() { self.waited } else { self.waited + self.waits_since.elapsed() };
        let queued = self.tracker.as_ref().map_or(Duration::ZERO, |tracker| tracker.queued());
        u64::try_from((to_begin + queued).as_micros()).unwrap_or(u64::MAX)
    }
}
