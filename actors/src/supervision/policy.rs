//! The restart policy as a pure state machine: `(now, chance, event) → commands`. It uses no ractor, no clock and no random numbers of its own.
//!
//! Promises: a child has at most one live generation (a successor is ordered only after the end of its predecessor was
//! reported); no child is ever forgotten (each is final, or a wake or an answer is due for it); events of old generations
//! change nothing; after `Shutdown`, `AllStopped` follows once all ends have been reported.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::budget::{Budget, Limit};
use super::child_state::{Child, EndReason, Ping, State};
use super::event::{Command, Event, Plan, SupervisorEvent};
use super::identity::{ChildClass, ChildEnd, ChildId, Generation};
use super::limits::{BeyondBudget, Limits};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    /// Tiers are being started for the first time.
    Opening,
    Open,
    Closing,
    Closed,
}

/// The policy of one supervisor. Time is counted from any fixed moment.
#[derive(Debug, Clone, PartialEq)]
pub struct RestartPolicy {
    limits: Limits,
    /// Boxed: a map has room for eleven at a time, and a pipeline has four.
    children: BTreeMap<ChildId, Box<Child>>,
    /// When something is due for which child.
    agenda: BTreeSet<(Duration, ChildId)>,
    next_wake: Option<Duration>,
    phase: Phase,
    /// Children of the tier being started whose first start has neither succeeded nor failed.
    unattempted: usize,
    restarts: u64,
    global: Budget,
    parked: Budget,
    meltdown_sent: bool,
}

impl RestartPolicy {
    /// Starts no child before [`Event::Start`].
    #[must_use]
    pub fn new(limits: Limits, plans: Vec<Plan>) -> Self {
        let pipelines = plans.iter().filter(|plan| plan.class == ChildClass::Pipeline).count();
        let children = plans.into_iter().map(|plan| (plan.id.clone(), Box::new(Child::new(plan, &limits)))).collect();
        Self {
            children,
            agenda: BTreeSet::new(),
            next_wake: None,
            phase: Phase::New,
            unattempted: 0,
            restarts: 0,
            global: Budget::new(limits.global),
            parked: Budget::new(parked_limit(&limits, pipelines)),
            meltdown_sent: false,
            limits,
        }
    }

    /// How many restarts were ordered, probes included.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// The generation of a child that is running.
    #[must_use]
    pub fn running(&self, id: &ChildId) -> Option<Generation> {
        self.children.get(id).filter(|child| matches!(child.state, State::Running { .. })).map(|child| child.generation)
    }

    /// The next wake that was asked for.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        self.next_wake
    }

    /// Takes an event; the commands are to be carried out in order. `chance` is uniform in `[0, 1)`.
    pub fn apply(&mut self, now: Duration, chance: f64, event: Event) -> Vec<Command> {
        let mut out = Vec::new();
        match event {
            Event::Start if self.phase == Phase::New => self.open_next(now, &mut out),
            Event::Start => {}
            Event::Started { id, generation } => self.started(now, &id, generation, &mut out),
            Event::Ending { id, generation } => self.ending(now, &id, generation, &mut out),
            Event::StartFailed { id, generation, cause } => {
                self.ended(now, chance, (&id, generation, false), cause, &mut out);
            }
            Event::Ended { id, generation, cause } => {
                self.ended(now, chance, (&id, generation, true), cause, &mut out);
            }
            Event::DeadlineMissed { id, generation, what } => self.kill_hung(now, &id, generation, what, &mut out),
            Event::PingAnswered { id, generation } => self.ping_result(now, &id, generation, true, &mut out),
            Event::PingMissed { id, generation } => self.ping_result(now, &id, generation, false, &mut out),
            Event::Tick => self.tick(now, &mut out),
            Event::Shutdown => self.shutdown(now, &mut out),
        }
        self.schedule_wake(&mut out);
        out
    }

    fn live(&mut self, id: &ChildId, generation: Generation) -> Option<&mut Child> {
        self.children.get_mut(id).map(Box::as_mut).filter(|child| child.generation == generation && child.is_live())
    }

    fn started(&mut self, now: Duration, id: &ChildId, generation: Generation, out: &mut Vec<Command>) {
        let (ping_every, overdue_at) = (self.limits.ping_every, now + self.limits.stuck_after);
        let Some(child) = self.live(id, generation) else { return };
        match &child.state {
            State::Starting { .. } => {
                let ping = child.plan.pinged.then(|| Ping { next: Some(now + ping_every), missed: 0 });
                child.state = State::Running { since: now, ping };
                out.push(Command::Notify(SupervisorEvent::Up { id: id.clone(), generation }));
                self.reschedule(id);
                self.start_attempted(now, id, out);
            }
            // It was to be ended while it started, and the start was faster.
            State::Ending { reason, started: false, .. } => {
                let reason = reason.clone();
                child.state = State::Ending { reason, started: true, kill_at: None, overdue_at: Some(overdue_at) };
                out.push(Command::Kill { id: id.clone(), generation });
                self.reschedule(id);
            }
            _ => {}
        }
    }

    fn ending(&mut self, now: Duration, id: &ChildId, generation: Generation, out: &mut Vec<Command>) {
        let overdue_at = Some(now + self.limits.stuck_after);
        self.reset_if_healthy(now, id, generation, out);
        let Some(child) = self.live(id, generation) else { return };
        if let State::Starting { .. } | State::Running { .. } = child.state {
            child.state = State::Ending { reason: EndReason::ByItself, started: true, kill_at: None, overdue_at };
            self.reschedule(id);
        }
    }

    fn kill_hung(&mut self, now: Duration, id: &ChildId, generation: Generation, what: String, out: &mut Vec<Command>) {
        let overdue_at = Some(now + self.limits.stuck_after);
        self.reset_if_healthy(now, id, generation, out);
        let Some(child) = self.live(id, generation) else { return };
        if let State::Running { .. } = child.state {
            child.state = State::Ending { reason: EndReason::Hung(what), started: true, kill_at: None, overdue_at };
            out.push(Command::Kill { id: id.clone(), generation });
            self.reschedule(id);
        }
    }

    fn ping_result(
        &mut self,
        now: Duration,
        id: &ChildId,
        generation: Generation,
        answered: bool,
        out: &mut Vec<Command>,
    ) {
        let limits = self.limits;
        let Some(child) = self.live(id, generation) else { return };
        let State::Running { ping: Some(ping), .. } = &mut child.state else { return };
        if ping.next.is_some() {
            return;
        }
        if answered {
            *ping = Ping { next: Some(now + limits.ping_every), missed: 0 };
        } else {
            // Waiting for this answer already took one period.
            *ping = Ping { next: Some(now), missed: ping.missed + 1 };
        }
        let missed = ping.missed;
        if missed >= limits.ping_misses {
            self.kill_hung(now, id, generation, format!("{missed} pings were not answered"), out);
        }
        self.reschedule(id);
    }

    /// An incarnation has ended. `started`: it had been running.
    fn ended(
        &mut self,
        now: Duration,
        chance: f64,
        (id, generation, started): (&ChildId, Generation, bool),
        cause: ChildEnd,
        out: &mut Vec<Command>,
    ) {
        let closing = self.phase == Phase::Closing;
        self.reset_if_healthy(now, id, generation, out);
        let Some(child) = self.live(id, generation) else { return };
        if child.has_started() != started {
            return;
        }
        let cause = child.cause(cause);
        let finished = child.plan.class == ChildClass::Pipeline && cause == ChildEnd::Finished;
        child.state = State::Final;
        out.push(Command::Notify(SupervisorEvent::Down { id: id.clone(), generation, cause: cause.clone() }));
        if closing {
            self.reschedule(id);
            self.close_next(now, out);
            return;
        }
        if finished {
            out.push(Command::Notify(SupervisorEvent::Finished { id: id.clone() }));
        } else {
            self.failed(now, chance, id, cause, out);
        }
        self.reschedule(id);
        self.start_attempted(now, id, out);
    }

    /// Decides whether a child that failed is restarted, parked, or ends its owner.
    fn failed(&mut self, now: Duration, chance: f64, id: &ChildId, cause: ChildEnd, out: &mut Vec<Command>) {
        let limits = self.limits;
        let Some(child) = self.children.get_mut(id) else { return };
        if child.probing {
            return self.park(now, id, out);
        }
        let within = child.spend(now);
        if child.plan.class == ChildClass::Pipeline {
            if !within {
                self.park(now, id, out);
                if !self.parked.spend(now) {
                    self.melt_down("too many pipelines were parked at the same time".to_owned(), out);
                }
                return;
            }
        } else if !within {
            match limits.beyond_budget {
                BeyondBudget::Escalate => {
                    out.push(Command::Notify(SupervisorEvent::Escalate { id: id.clone(), cause }));
                }
                BeyondBudget::Meltdown => self.melt_down(format!("{id} is beyond its restart budget: {cause}"), out),
            }
            return;
        } else if limits.beyond_budget == BeyondBudget::Meltdown && !self.global.spend(now) {
            return self.melt_down(format!("too many restarts in total; the last one: {id}: {cause}"), out);
        }
        let Some(child) = self.children.get_mut(id) else { return };
        let after = limits.backoff.delay(child.failures, chance);
        child.failures = child.failures.saturating_add(1);
        out.push(Command::Notify(SupervisorEvent::Restarting { id: id.clone(), after }));
        if after.is_zero() {
            self.respawn(now, id, out);
        } else {
            child.state = State::BackingOff { until: now + after };
        }
    }

    fn park(&mut self, now: Duration, id: &ChildId, out: &mut Vec<Command>) {
        let until = now + self.limits.probe_every;
        let Some(child) = self.children.get_mut(id) else { return };
        child.state = State::Parked { until };
        child.probing = false;
        out.push(Command::Notify(SupervisorEvent::Parked { id: id.clone(), until }));
    }

    /// A child that has run for `healthy_after` starts again with short delays. If it was a probe, its whole budget is back.
    fn reset_if_healthy(&mut self, now: Duration, id: &ChildId, generation: Generation, out: &mut Vec<Command>) {
        let healthy_after = self.limits.healthy_after;
        let Some(child) = self.live(id, generation) else { return };
        if !child.is_healthy(now, healthy_after) {
            return;
        }
        child.failures = 0;
        if std::mem::take(&mut child.probing) {
            child.fast.refill();
            out.push(Command::Notify(SupervisorEvent::Unparked { id: id.clone() }));
        }
    }

    /// Notifies the owner once. The child that caused it stays down; the owner is about to shut everything down.
    fn melt_down(&mut self, why: String, out: &mut Vec<Command>) {
        if !self.meltdown_sent && self.limits.beyond_budget == BeyondBudget::Meltdown {
            self.meltdown_sent = true;
            out.push(Command::Notify(SupervisorEvent::Meltdown { why }));
        }
    }

    fn respawn(&mut self, now: Duration, id: &ChildId, out: &mut Vec<Command>) {
        self.restarts += 1;
        self.spawn(now, id, out);
    }

    fn spawn(&mut self, now: Duration, id: &ChildId, out: &mut Vec<Command>) {
        let overdue_at = Some(now + self.limits.start_timeout + self.limits.stuck_after);
        let Some(child) = self.children.get_mut(id) else { return };
        child.generation = Generation(child.generation.0 + 1);
        child.state = State::Starting { overdue_at };
        out.push(Command::Spawn { id: id.clone(), generation: child.generation });
        self.reschedule(id);
    }

    /// Notes that the first start of a child succeeded or failed; the last one of a tier starts the next tier.
    fn start_attempted(&mut self, now: Duration, id: &ChildId, out: &mut Vec<Command>) {
        if self.phase != Phase::Opening {
            return;
        }
        match self.children.get_mut(id) {
            Some(child) if !child.start_attempted => child.start_attempted = true,
            _ => return,
        }
        self.unattempted = self.unattempted.saturating_sub(1);
        if self.unattempted == 0 {
            self.open_next(now, out);
        }
    }

    fn open_next(&mut self, now: Duration, out: &mut Vec<Command>) {
        let idle = |child: &&Child| child.state == State::Idle;
        let Some(tier) = self.children.values().map(Box::as_ref).filter(idle).map(|child| child.plan.tier).min() else {
            self.phase = Phase::Open;
            return;
        };
        self.phase = Phase::Opening;
        let ids = self.ids(|child| child.state == State::Idle && child.plan.tier == tier);
        self.unattempted = ids.len();
        for id in ids {
            self.spawn(now, &id, out);
        }
    }

    fn tick(&mut self, now: Duration, out: &mut Vec<Command>) {
        if self.next_wake.is_some_and(|next_wake| next_wake <= now) {
            self.next_wake = None;
        }
        let due: Vec<ChildId> = self.agenda.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| id.clone()).collect();
        for id in due {
            self.handle_due(now, &id, out);
            self.reschedule(&id);
        }
    }

    /// Does what is due for one child at `now`.
    fn handle_due(&mut self, now: Duration, id: &ChildId, out: &mut Vec<Command>) {
        let limits = self.limits;
        let due = |at: Option<Duration>| at.is_some_and(|at| at <= now);
        let Some(child) = self.children.get_mut(id) else { return };
        let generation = child.generation;
        match &mut child.state {
            State::Starting { overdue_at } if due(*overdue_at) => {
                *overdue_at = None;
                out.push(Command::Notify(SupervisorEvent::Stuck { id: id.clone(), generation }));
            }
            State::Running { ping, .. } => {
                if let Some(ping) = ping.as_mut().filter(|ping| due(ping.next)) {
                    ping.next = None;
                    out.push(Command::Ping { id: id.clone(), generation });
                }
                self.reset_if_healthy(now, id, generation, out);
            }
            State::Ending { kill_at, overdue_at, .. } if due(*kill_at) => {
                (*kill_at, *overdue_at) = (None, Some(now + limits.stuck_after));
                out.push(Command::Kill { id: id.clone(), generation });
            }
            State::Ending { overdue_at, .. } if due(*overdue_at) => {
                *overdue_at = None;
                out.push(Command::Notify(SupervisorEvent::Stuck { id: id.clone(), generation }));
                // A stuck child must not keep the tiers below it from ending in order.
                if self.phase == Phase::Closing {
                    self.close_next(now, out);
                }
            }
            State::BackingOff { .. } => self.respawn(now, id, out),
            State::Parked { .. } => {
                child.probing = true;
                self.respawn(now, id, out);
            }
            _ => {}
        }
    }

    fn shutdown(&mut self, now: Duration, out: &mut Vec<Command>) {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return;
        }
        self.phase = Phase::Closing;
        let overdue_at = Some(now + self.limits.stuck_after);
        for id in self.ids(|_| true) {
            let Some(child) = self.children.get_mut(&id) else { continue };
            match child.state {
                State::Starting { .. } => {
                    child.state =
                        State::Ending { reason: EndReason::StopRequested, started: false, kill_at: None, overdue_at };
                    let generation = child.generation;
                    out.push(Command::Kill { id: id.clone(), generation });
                }
                State::Idle | State::BackingOff { .. } | State::Parked { .. } => child.state = State::Final,
                State::Running { .. } | State::Ending { .. } | State::Final => {}
            }
            self.reschedule(&id);
        }
        self.close_next(now, out);
    }

    /// Stops the highest tier that runs, unless a child of it or of a higher tier is still ending.
    fn close_next(&mut self, now: Duration, out: &mut Vec<Command>) {
        let Some(tier) = self.children.values().filter(|child| child.holds_shutdown()).map(|c| c.plan.tier).max()
        else {
            if !self.children.values().any(|child| child.is_live()) {
                self.phase = Phase::Closed;
                out.push(Command::Notify(SupervisorEvent::AllStopped));
            }
            return;
        };
        for id in self.ids(|child| child.plan.tier == tier && matches!(child.state, State::Running { .. })) {
            let Some(child) = self.children.get_mut(&id) else { continue };
            let kill_at = Some(now + child.plan.grace);
            child.state = State::Ending { reason: EndReason::StopRequested, started: true, kill_at, overdue_at: None };
            let generation = child.generation;
            out.push(Command::Stop { id: id.clone(), generation });
            self.reschedule(&id);
        }
    }

    fn ids(&self, wanted: impl Fn(&Child) -> bool) -> Vec<ChildId> {
        self.children.values().filter(|child| wanted(child)).map(|child| child.plan.id.clone()).collect()
    }

    fn reschedule(&mut self, id: &ChildId) {
        let healthy_after = self.limits.healthy_after;
        let Some(child) = self.children.get_mut(id) else { return };
        let due = child.next_due(healthy_after);
        if due == child.due {
            return;
        }
        if let Some(at) = std::mem::replace(&mut child.due, due) {
            self.agenda.remove(&(at, id.clone()));
        }
        if let Some(at) = due {
            self.agenda.insert((at, id.clone()));
        }
    }

    fn schedule_wake(&mut self, out: &mut Vec<Command>) {
        let next = self.agenda.first().map(|(at, _)| *at);
        if next != self.next_wake
            && let Some(at) = next
        {
            self.next_wake = next;
            out.push(Command::WakeAt(at));
        }
    }
}

/// How many pipelines may be parked at the same time; one more is a meltdown.
fn parked_limit(limits: &Limits, pipelines: usize) -> Limit {
    let share = pipelines * limits.parked_share_percent / 100;
    Limit { restarts: share.max(limits.parked_at_least.saturating_sub(1)), within: limits.parked_within }
}
