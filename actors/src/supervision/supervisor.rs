//! The shell around [`RestartPolicy`]: a component in the state of an owner actor, which forwards its notices and supervision
//! events here and acts on the events that come back. It translates and carries out; it decides nothing.
//!
//! It never awaits a child: starts and ends run in tasks of their own (see `spawn.rs`) and come back as [`Notice`]s.
//! When it is dropped with the state of its owner, it kills its children and aborts its starts and timers.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorCell, ActorId, SupervisionEvent};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::child::ChildSpec;
use super::crash::{CrashLog, CrashReport};
use super::event::{Command, Event, SupervisorEvent};
use super::identity::{ChildEnd, ChildId, Generation};
use super::limits::Limits;
use super::policy::RestartPolicy;
pub use super::spawn::Notice;
use super::spawn::{ChildSpawner, Report};
use crate::error_chain::chain;
use crate::ports::{Chance, elapsed_now};

/// What a supervisor is made of, besides its children.
#[derive(Clone)]
pub struct SupervisorSettings {
    pub limits: Limits,
    /// For the jitter.
    pub chance: Arc<dyn Chance>,
    /// The runtime of the owner: timers and waiters run here.
    pub control: Handle,
    pub crashes: CrashLog,
}

/// The children of one owner.
pub struct Supervisor {
    chance: Arc<dyn Chance>,
    spawner: ChildSpawner,
    policy: RestartPolicy,
    since: tokio::time::Instant,
    ping_every: Duration,
    /// Boxed, as those of the policy.
    children: BTreeMap<ChildId, Box<Slot>>,
    /// Only looked up, never iterated: actor ids differ from run to run.
    by_actor: BTreeMap<ActorId, (ChildId, Generation)>,
    /// What ractor said about actors whose `Ended` is still to come.
    ends: BTreeMap<ActorId, ActorEnd>,
    wake: Option<AbortHandle>,
}

struct Slot {
    spec: ChildSpec,
    start: Option<AbortHandle>,
    cell: Option<(Generation, ActorCell)>,
    ping: Option<AbortHandle>,
}

enum ActorEnd {
    Failed(String),
    Killed,
    Normal,
}

impl Supervisor {
    /// Starts no child yet. `notify` puts a notice into the mailbox of `owner`, which passes it to
    /// [`Supervisor::on_notice`].
    pub fn new(
        owner: ActorCell,
        settings: SupervisorSettings,
        specs: Vec<ChildSpec>,
        notify: Arc<dyn Fn(Notice) + Send + Sync>,
    ) -> Self {
        let SupervisorSettings { limits, chance, control, crashes } = settings;
        let policy = RestartPolicy::new(limits, specs.iter().map(ChildSpec::plan).collect());
        let children = specs
            .into_iter()
            .map(|spec| (spec.id().clone(), Box::new(Slot { spec, start: None, cell: None, ping: None })))
            .collect();
        Self {
            chance,
            spawner: ChildSpawner { owner, control, crashes, notify, start_timeout: limits.start_timeout },
            policy,
            since: elapsed_now(),
            ping_every: limits.ping_every,
            children,
            by_actor: BTreeMap::new(),
            ends: BTreeMap::new(),
            wake: None,
        }
    }

    /// Starts the first tier. Works from `pre_start` of the owner on.
    pub fn start(&mut self) -> Vec<SupervisorEvent> {
        self.apply(Event::Start)
    }

    /// Takes a notice that the owner received.
    pub fn on_notice(&mut self, notice: Notice) -> Vec<SupervisorEvent> {
        match notice.0 {
            Report::Started { id, generation, cell } => self.on_started(id, generation, cell),
            Report::StartFailed { id, generation, cause } => self.apply(Event::StartFailed { id, generation, cause }),
            Report::Ended { id, generation, actor, crash } => self.on_ended(id, generation, actor, crash),
            Report::PingAnswered { id, generation } => self.apply(Event::PingAnswered { id, generation }),
            Report::PingMissed { id, generation } => self.apply(Event::PingMissed { id, generation }),
            Report::Wake => self.apply(Event::Tick),
        }
    }

    /// Takes a supervision event of the owner. It says how a child ends, before the notice that it has ended.
    pub fn on_supervision_event(&mut self, event: SupervisionEvent) -> Vec<SupervisorEvent> {
        let (actor, end) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell.get_id(), ActorEnd::Failed(chain(error.as_ref()))),
            SupervisionEvent::ActorTerminated(cell, state, reason) => {
                drop_catching_panic(state);
                (cell.get_id(), ActorEnd::from_reason(reason.as_deref()))
            }
            _ => return Vec::new(),
        };
        self.ends.insert(actor, end);
        // Unknown: it ended before its `Started` was read, which will find the entry above.
        let Some((id, generation)) = self.by_actor.get(&actor).cloned() else { return Vec::new() };
        self.clear(&id, generation);
        self.apply(Event::Ending { id, generation })
    }

    /// A request to a child was not answered in time: kills that incarnation, if it is still the running one.
    pub fn deadline_missed(&mut self, id: &ChildId, generation: Generation, what: &str) -> Vec<SupervisorEvent> {
        self.apply(Event::DeadlineMissed { id: id.clone(), generation, what: what.to_owned() })
    }

    /// Ends all children, tier by tier; [`SupervisorEvent::AllStopped`] follows when all have ended.
    pub fn shutdown(&mut self) -> Vec<SupervisorEvent> {
        self.apply(Event::Shutdown)
    }

    /// The running incarnation of a child.
    #[must_use]
    pub fn generation(&self, id: &ChildId) -> Option<Generation> {
        self.policy.running(id)
    }

    /// How often children were started again.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.policy.restarts()
    }

    /// Kills a child as if from outside, for chaos and tests; false when none is running.
    pub fn kill(&mut self, id: &ChildId) -> bool {
        let Some((_, cell)) = self.children.get(id).and_then(|slot| slot.cell.as_ref()) else { return false };
        cell.kill();
        true
    }

    fn on_started(&mut self, id: ChildId, generation: Generation, cell: ActorCell) -> Vec<SupervisorEvent> {
        let Some(slot) = self.children.get_mut(&id) else { return Vec::new() };
        let actor = cell.get_id();
        slot.start = None;
        self.by_actor.insert(actor, (id.clone(), generation));
        if self.ends.contains_key(&actor) {
            return self.apply(Event::Ending { id, generation });
        }
        slot.spec.pointer.point_at(generation, cell.clone());
        slot.cell = Some((generation, cell));
        self.apply(Event::Started { id, generation })
    }

    fn on_ended(
        &mut self,
        id: ChildId,
        generation: Generation,
        actor: ActorId,
        crash: Option<CrashReport>,
    ) -> Vec<SupervisorEvent> {
        self.by_actor.remove(&actor);
        let cause = match (self.ends.remove(&actor), crash) {
            (Some(ActorEnd::Failed(text)), Some(crash)) if crash.explains(&text) => ChildEnd::Panicked(crash),
            (Some(ActorEnd::Failed(text)), _) => ChildEnd::Failed(text),
            (Some(ActorEnd::Normal), _) => ChildEnd::Finished,
            (Some(ActorEnd::Killed) | None, _) => ChildEnd::Killed,
        };
        self.clear(&id, generation);
        self.apply(Event::Ended { id, generation, cause })
    }

    fn clear(&mut self, id: &ChildId, generation: Generation) {
        let Some(slot) = self.children.get_mut(id) else { return };
        slot.spec.pointer.clear(generation);
        if slot.cell.as_ref().is_some_and(|cell| cell.0 == generation) {
            slot.cell = None;
        }
        if let Some(ping) = slot.ping.take() {
            ping.abort();
        }
    }

    fn apply(&mut self, event: Event) -> Vec<SupervisorEvent> {
        let chance = match event {
            Event::StartFailed { .. } | Event::Ended { .. } => self.chance.unit(),
            _ => 0.0,
        };
        let commands = self.policy.apply(elapsed_now() - self.since, chance, event);
        let mut supervisor_events = Vec::new();
        for command in commands {
            match command {
                Command::Notify(event) => supervisor_events.push(event),
                command => self.carry_out(command),
            }
        }
        supervisor_events
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::WakeAt(at) => self.wake_at(at),
            Command::Spawn { id, generation } => {
                let Some(slot) = self.children.get_mut(&id) else { return };
                slot.spec.record_generation(generation);
                slot.start = Some(self.spawner.spawn(&slot.spec, generation));
            }
            Command::Stop { id, generation } => {
                if let Some(cell) = self.cell(&id, generation) {
                    cell.stop(None);
                }
            }
            Command::Kill { id, generation } => {
                if let Some(cell) = self.cell(&id, generation) {
                    cell.kill();
                } else if let Some(start) = self.children.get(&id).and_then(|slot| slot.start.as_ref()) {
                    start.abort();
                }
            }
            Command::Ping { id, generation } => self.ping(id, generation),
            Command::Notify(_) => {}
        }
    }

    fn cell(&self, id: &ChildId, generation: Generation) -> Option<&ActorCell> {
        let (current, cell) = self.children.get(id)?.cell.as_ref()?;
        (*current == generation).then_some(cell)
    }

    fn wake_at(&mut self, at: Duration) {
        let (at, notify) = (self.since + at, Arc::clone(&self.spawner.notify));
        let timer = self.spawner.control.spawn(async move {
            tokio::time::sleep_until(at).await;
            notify(Notice(Report::Wake));
        });
        if let Some(before) = self.wake.replace(timer.abort_handle()) {
            before.abort();
        }
    }

    fn ping(&mut self, id: ChildId, generation: Generation) {
        let Some(slot) = self.children.get_mut(&id) else { return };
        let Some(ping) = slot.spec.ping.clone() else { return };
        let (timeout, notify) = (self.ping_every, Arc::clone(&self.spawner.notify));
        let task = self.spawner.control.spawn(async move {
            let answered = ping(timeout).await;
            let report =
                if answered { Report::PingAnswered { id, generation } } else { Report::PingMissed { id, generation } };
            notify(Notice(report));
        });
        slot.ping = Some(task.abort_handle());
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        for slot in self.children.values() {
            // ractor kills linked actors except those that are stopping: these would outlive their owner and keep their
            // successors from starting.
            if let Some((_, cell)) = &slot.cell {
                cell.kill();
            }
        }
        let starts = self.children.values_mut().flat_map(|slot| [slot.start.take(), slot.ping.take()]);
        for task in starts.chain([self.wake.take()]).flatten() {
            task.abort();
        }
    }
}

impl ActorEnd {
    fn from_reason(reason: Option<&str>) -> Self {
        // ractor reports a kill only in these texts; tests/ractor_semantics.rs fails when they change.
        match reason {
            Some("killed" | "actor_task_cancelled") => Self::Killed,
            _ => Self::Normal,
        }
    }
}

/// A panic while a child's state is dropped must not become a panic of its supervisor.
fn drop_catching_panic(state: Option<impl Any>) {
    let _ = std::panic::catch_unwind(AssertUnwindSafe(|| drop(state)));
}
