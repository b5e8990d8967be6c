//! The schedule of a Pipeline: its start from the journal, the wait for the next slot, its end, and what its stages report.

use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef};

use super::{
    CLOCK_CHECK_EVERY, CLOCK_TOLERANCE, JournalHandle, PipelineState, RECOVERY_RETRY, ROWS_CHECK, ROWS_WAITING_MAX,
    SCHEDULE_WARNING_EVERY, Slots, Timer, WAIT_MAX,
};
use crate::domain::announced::{AnnouncedSlots, FeedNews};
use crate::domain::cycle::{SlotEvent, SlotMachine};
use crate::domain::reason::Reason;
use crate::domain::time::UtcMs;
use crate::events;
use crate::messages::{CompetitionMsg, PipelineMsg};
use crate::ports::{Clock, Recovery, elapsed_now};
use crate::supervision::{ChildEnd, SupervisorEvent};

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
        let first = settings.first_slot.map_or(self.plan.node_started_at, UtcMs::before);
        let accounted = recovery.last_slot.unwrap_or(first);
        self.plan.ports.clock.resume_at(recovery.reached(accounted));
        let now = self.plan.ports.clock.now();
        let slots = match self.plan.ports.job.schedule() {
            Some(schedule) => Slots::Grid(SlotMachine::new(
                schedule.clone(),
                settings.window,
                settings.deadlines.lateness,
                accounted,
                now,
                Reason::PipelineDown,
            )),
            None => Slots::Announced(AnnouncedSlots::new(
                settings.window,
                self.plan.node_started_at,
                now,
                recovery.last_slot.max(recovery.newest_intent_slot),
            )),
        };
        events::pipeline_recovered(&settings.name, recovery.last_slot, slots.next_due());
        self.last_decided_bar = recovery.last_decided_bar;
        self.status.newest_decided_bar = recovery.last_decided_bar;
        // An announced schedule has started when its feed has answered.
        if let Slots::Grid(_) = slots {
            self.status.waiting_since = None;
        }
        self.slots = Some(slots);
        match self.early_news.take() {
            Some(news) => self.take_over(myself, news),
            None => self.tick(myself),
        }
        if self.close_when_recovered { self.close(myself) } else { Ok(()) }
    }

    /// What announces slots was asked. A node that is not told what is due does no useful work, however idle it may be.
    pub(super) fn take_over(&mut self, myself: &ActorRef<PipelineMsg>, news: Box<FeedNews>) {
        if self.closing {
            return; // what has no row yet is left to the next process
        }
        match self.slots.as_mut() {
            None => self.early_news = Some(news),
            Some(Slots::Grid(_)) => {}
            Some(Slots::Announced(machine)) => {
                self.status.waiting_since = match news.asked_at {
                    Some(_) => None,
                    None => self.status.waiting_since.or_else(|| Some(elapsed_now())),
                };
                if news.asked_at.is_some() && !machine.has_asked() && self.plan.ports.clock.learns_time() {
                    let (now, elapsed) = (self.plan.ports.clock.now(), elapsed_now());
                    let ago = |instant| now.minus(elapsed.saturating_duration_since(instant));
                    machine.started(ago(self.plan.node_started), ago(self.started));
                }
                self.status.waits_for.clone_from(&news.waits_for);
                self.status.next_expected = news.next;
                self.status.runway = news.runway.or(self.status.runway);
                let commands = machine.take_over(*news);
                self.carry_out(myself, commands);
                self.tick(myself);
            }
        }
    }

    /// Takes no new slot. Slots of a competition that is over end first, because no later incarnation accounts for them. Those of
    /// an open competition are left to the next process.
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
    /// to be worked on again, and a wall clock can be set. Only a pipeline without slots left closes; the others get the
    /// message again.
    pub(super) fn window_over(&mut self, myself: &ActorRef<PipelineMsg>) -> Result<(), ActorProcessingErr> {
        let is_over = self.plan.settings.window.is_over(self.plan.ports.clock.now());
        if self.closing || self.slots.is_none() || !is_over {
            return Ok(());
        }
        self.tick(myself);
        if self.slots.as_ref().is_none_or(Slots::has_slots_left) {
            return Ok(());
        }
        self.closing = true;
        self.proceed(myself)
    }

    /// Schedule time may have moved.
    pub(super) fn tick(&mut self, myself: &ActorRef<PipelineMsg>) {
        self.end_timer(Timer::Wake);
        let now = self.plan.ports.clock.now();
        self.make_way(myself, now);
        if let Some(machine) = self.slots.as_mut().filter(|_| !self.closing) {
            let commands = machine.on(SlotEvent::Tick { now });
            self.carry_out(myself, commands);
        }
        self.warn_if_schedule_waits(now);
        self.publish();
        self.schedule_wake(myself);
    }

    /// A slot of a grid that still waits for its turn when the next one is due is not worked on any more: the newer one takes its
    /// place in the queue. Announced slots have windows of their own, and each waits for its end.
    fn make_way(&mut self, myself: &ActorRef<PipelineMsg>, now: UtcMs) {
        let is_newer_due =
            matches!(&self.slots, Some(Slots::Grid(machine)) if machine.next_due().is_some_and(|next| next <= now));
        if is_newer_due && !self.closing && self.is_queued() {
            self.displace(myself);
        }
    }

    /// A clock that was set back shows a time whose slots have ended. None is worked on again: the schedule continues when the
    /// clock has caught up, or was corrected.
    fn warn_if_schedule_waits(&mut self, now: UtcMs) {
        let Some(accounted) = self.slots.as_ref().and_then(Slots::accounted) else { return };
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

    pub(super) fn after_cycle(&mut self, myself: &ActorRef<PipelineMsg>) {
        self.publish();
        // On a grid the next slot stays the next one; an announced slot may have waited for this cycle to end.
        let is_announced = matches!(self.slots, Some(Slots::Announced(_)));
        if is_announced || !self.timers.contains_key(&Timer::Wake) {
            self.schedule_wake(myself);
        }
    }

    /// Closes, or waits for the next slot, if nothing is in the way any more.
    pub(super) fn proceed(&mut self, myself: &ActorRef<PipelineMsg>) -> Result<(), ActorProcessingErr> {
        if self.closing && self.cycle.is_none() && self.outbox.is_empty() {
            self.status.ended = self.slots.as_ref().is_some_and(Slots::is_finished);
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
        let now = clock.now();
        let Some(until) = machine.next_change(now).or(self.plan.settings.window.end) else { return };
        // With a cycle in flight too: nothing is left to wait for but its end, or another answer of the feed.
        if machine.next_due().is_none() && now >= until {
            if machine.has_slots_left() {
                return;
            }
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

    pub(super) fn set_timer(&mut self, timer: Timer, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.plan.shared.control.spawn(task).abort_handle();
        if let Some(old) = self.timers.insert(timer, task) {
            old.abort();
        }
    }

    /// The timer that fired, or one that was set since: a timer without an entry would outlive the pipeline.
    pub(super) fn end_timer(&mut self, timer: Timer) {
        if let Some(old) = self.timers.remove(&timer) {
            old.abort();
        }
    }

    fn publish(&mut self) {
        self.status.next_due = self.slots.as_ref().and_then(Slots::next_due);
        self.status.accounted = self.slots.as_ref().and_then(Slots::accounted);
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
                    self.launch(myself);
                    self.watch_cycle(myself);
                }
                SupervisorEvent::Down { cause: ChildEnd::Stopped, .. } => {}
                SupervisorEvent::Down { id, cause, .. } => {
                    events::child_down(&format!("{name}/{id}"), &cause);
                    self.status.restarts += 1;
                    self.plan.meters.count_restart(Some(id.as_str()));
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
