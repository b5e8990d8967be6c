//! Any sequence of events, played against a model of the world that keeps the contract of the commands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use sentinel_actors::supervision::event::{Command, Event, Plan};
use sentinel_actors::supervision::policy::RestartPolicy;
use sentinel_actors::supervision::{BeyondBudget, ChildClass, ChildEnd, ChildId, Generation, Limits, SupervisorEvent};

/// `PROPTEST_CASES` overrides the number.
fn config() -> ProptestConfig {
    let wanted = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { wanted } else { ProptestConfig { cases: 20_000, ..wanted } }
}

#[derive(Debug, Clone)]
enum Op {
    /// A start that is under way is answered.
    AnswerStart {
        which: usize,
        passes: bool,
    },
    /// A live incarnation begins to end.
    Fail {
        which: usize,
    },
    /// A live incarnation ended.
    End {
        which: usize,
        cause: u8,
    },
    Hang {
        which: usize,
    },
    AnswerPing {
        which: usize,
        answered: bool,
    },
    /// Something about an incarnation that is not the live one.
    Stale {
        which: usize,
        offset: u64,
        kind: u8,
    },
    Advance {
        millis: u64,
    },
    EarlyTick,
    Shutdown,
}

fn op() -> impl Strategy<Value = Op> {
    let which = 0..8_usize;
    prop_oneof![
        8 => (which.clone(), prop::bool::weighted(0.8)).prop_map(|(which, passes)| Op::AnswerStart { which, passes }),
        3 => which.clone().prop_map(|which| Op::Fail { which }),
        8 => (which.clone(), 0..4_u8).prop_map(|(which, cause)| Op::End { which, cause }),
        2 => which.clone().prop_map(|which| Op::Hang { which }),
        3 => (which.clone(), any::<bool>()).prop_map(|(which, answered)| Op::AnswerPing { which, answered }),
        3 => (which, 0..4_u64, 0..6_u8).prop_map(|(which, offset, kind)| Op::Stale { which, offset, kind }),
        4 => (0..2_000_u64).prop_map(|millis| Op::Advance { millis }),
        2 => (0..1_200_000_u64).prop_map(|millis| Op::Advance { millis }),
        1 => Just(Op::EarlyTick),
        1 => prop::bool::weighted(0.2).prop_map(|end| if end { Op::Shutdown } else { Op::EarlyTick }),
    ]
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let class = prop_oneof![Just(ChildClass::Worker), Just(ChildClass::Critical), Just(ChildClass::Pipeline)];
    prop::collection::vec((class, 0..3_u8, any::<bool>(), 0..5_u64), 1..6).prop_map(|children| {
        let plan = |(index, (class, tier, pinged, last))| Plan {
            id: ChildId::from(format!("child-{index}")),
            class,
            tier,
            grace: Duration::from_secs(5),
            pinged,
            last: Generation(last),
        };
        children.into_iter().enumerate().map(plan).collect()
    })
}

type Incarnation = (ChildId, Generation);

struct World {
    limits: Limits,
    policy: RestartPolicy,
    plans: BTreeMap<ChildId, Plan>,
    now: Duration,
    wake: Option<Duration>,
    starting: BTreeSet<Incarnation>,
    alive: BTreeSet<Incarnation>,
    ordered: BTreeSet<Incarnation>,
    pings: BTreeSet<Incarnation>,
    newest: BTreeMap<ChildId, Generation>,
    /// Backing off or parked, until then.
    waiting: BTreeMap<ChildId, Duration>,
    done: BTreeSet<ChildId>,
    restarts: Vec<(Duration, ChildId)>,
    meltdowns: usize,
    stopped: usize,
    closing: bool,
}

impl World {
    fn new(limits: Limits, plans: Vec<Plan>) -> Self {
        let policy = RestartPolicy::new(limits, plans.clone());
        let newest = plans.iter().map(|plan| (plan.id.clone(), plan.last)).collect();
        let plans = plans.into_iter().map(|plan| (plan.id.clone(), plan)).collect();
        let (starting, alive, ordered, pings) = Default::default();
        let (waiting, done, restarts) = Default::default();
        let mut world = Self {
            limits,
            policy,
            plans,
            now: Duration::ZERO,
            wake: None,
            starting,
            alive,
            ordered,
            pings,
            newest,
            waiting,
            done,
            restarts,
            meltdowns: 0,
            stopped: 0,
            closing: false,
        };
        world.feed(Event::Start);
        world
    }

    fn feed(&mut self, event: Event) {
        for command in self.policy.apply(self.now, 0.5, event) {
            assert_eq!(self.stopped, 0, "a command after AllStopped: {command:?}");
            self.carry_out(command);
        }
        self.check_nothing_is_forgotten();
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Spawn { id, generation } => {
                let second = self.starting.iter().chain(&self.alive).find(|live| live.0 == id);
                assert_eq!(second, None, "a second incarnation of {id} is started");
                assert!(!self.closing, "{id} is started during the shutdown");
                assert!(self.newest[&id] < generation, "generation {generation} of {id} is used twice");
                assert!(self.waiting.get(&id).is_none_or(|until| *until <= self.now), "{id} starts too early");
                self.waiting.remove(&id);
                self.newest.insert(id.clone(), generation);
                self.starting.insert((id, generation));
            }
            Command::Stop { id, generation } => {
                let tier = self.plans[&id].tier;
                let above =
                    self.alive.iter().find(|live| self.plans[&live.0].tier > tier && !self.ordered.contains(live));
                assert_eq!(above, None, "{id} is stopped before a child of a higher tier was");
                assert!(self.alive.contains(&(id.clone(), generation)), "a stop of a child that does not run");
                self.ordered.insert((id, generation));
            }
            Command::Kill { id, generation } => {
                let incarnation = (id, generation);
                assert!(
                    self.starting.contains(&incarnation) || self.alive.contains(&incarnation),
                    "a kill of a child that does not run"
                );
                self.ordered.insert(incarnation);
            }
            Command::Ping { id, generation } => {
                assert!(self.alive.contains(&(id.clone(), generation)));
                assert!(self.pings.insert((id, generation)), "a second ping before the answer to the first");
            }
            Command::WakeAt(at) => self.wake = Some(at),
            Command::Notify(event) => self.observe(event),
        }
    }

    fn observe(&mut self, event: SupervisorEvent) {
        match event {
            SupervisorEvent::Restarting { id, after } => {
                self.restarts.push((self.now, id.clone()));
                self.check_budgets(&id);
                if !after.is_zero() {
                    self.waiting.insert(id, self.now + after);
                }
            }
            SupervisorEvent::Parked { id, until } => {
                assert_eq!(self.plans[&id].class, ChildClass::Pipeline);
                self.waiting.insert(id, until);
            }
            SupervisorEvent::Unparked { id } => self.restarts.retain(|restart| restart.1 != id),
            SupervisorEvent::Finished { id } => {
                assert_eq!(self.plans[&id].class, ChildClass::Pipeline);
                self.done.insert(id);
            }
            SupervisorEvent::Escalate { id, .. } => {
                assert_eq!(self.limits.beyond_budget, BeyondBudget::Escalate);
                self.done.insert(id);
            }
            SupervisorEvent::Meltdown { .. } => self.meltdowns += 1,
            SupervisorEvent::AllStopped => {
                assert!(self.closing && self.starting.is_empty() && self.alive.is_empty());
                self.stopped += 1;
            }
            SupervisorEvent::Up { .. } | SupervisorEvent::Down { .. } | SupervisorEvent::Stuck { .. } => {}
        }
        assert!(self.meltdowns <= 1, "a second meltdown");
    }

    fn check_budgets(&self, id: &ChildId) {
        let within = |window: Duration, counts: &dyn Fn(&ChildId) -> bool| {
            self.restarts.iter().filter(|(at, id)| self.now - *at < window && counts(id)).count()
        };
        let (limits, class) = (&self.limits, self.plans[id].class);
        let fast = match class {
            ChildClass::Worker => limits.child,
            ChildClass::Critical => limits.critical,
            ChildClass::Pipeline => limits.pipeline,
        };
        assert!(within(fast.within, &|other| other == id) <= fast.restarts);
        if class != ChildClass::Pipeline {
            assert!(within(limits.child_slow.within, &|other| other == id) <= limits.child_slow.restarts);
            if limits.beyond_budget == BeyondBudget::Meltdown {
                let counts = |other: &ChildId| self.plans[other].class != ChildClass::Pipeline;
                assert!(within(limits.global.within, &counts) <= limits.global.restarts);
            }
        }
    }

    /// For every child that is neither live nor final a wake is due early enough: none is forgotten.
    fn check_nothing_is_forgotten(&self) {
        if self.closing {
            return;
        }
        let lives = |id: &ChildId| self.starting.iter().chain(&self.alive).any(|live| live.0 == *id);
        for (id, plan) in &self.plans {
            if let Some(until) = self.waiting.get(id) {
                assert!(self.wake.is_some_and(|wake| wake <= *until), "no wake is due for {id}");
            } else if !lives(id) && !self.done.contains(id) && self.newest[id] == plan.last {
                assert!(!self.starting.is_empty(), "the tier of {id} is never started");
            } else {
                // After a meltdown a child beyond its budget stays down.
                assert!(lives(id) || self.done.contains(id) || self.meltdowns > 0, "{id} is forgotten");
            }
        }
    }

    fn advance(&mut self, until: Duration) {
        while let Some(wake) = self.wake.filter(|wake| *wake <= until) {
            self.now = self.now.max(wake);
            self.wake = None;
            self.feed(Event::Tick);
        }
        self.now = until;
    }

    fn end(&mut self, incarnation: Incarnation, cause: ChildEnd) {
        self.alive.remove(&incarnation);
        self.ordered.remove(&incarnation);
        self.pings.remove(&incarnation);
        let (id, generation) = incarnation;
        self.feed(Event::Ended { id, generation, cause });
    }

    fn answer_start(&mut self, incarnation: Incarnation, passes: bool) {
        self.starting.remove(&incarnation);
        let (id, generation) = incarnation.clone();
        if passes {
            self.alive.insert(incarnation);
            self.feed(Event::Started { id, generation });
        } else {
            self.ordered.remove(&incarnation);
            self.feed(Event::StartFailed { id, generation, cause: ChildEnd::StartFailed("no".to_owned()) });
        }
    }

    fn play(&mut self, op: Op) {
        let pick = |set: &BTreeSet<Incarnation>, which: usize| set.iter().nth(which % set.len().max(1)).cloned();
        match op {
            Op::AnswerStart { which, passes } => {
                if let Some(incarnation) = pick(&self.starting, which) {
                    self.answer_start(incarnation, passes);
                }
            }
            Op::Fail { which } => {
                if let Some((id, generation)) = pick(&self.alive, which) {
                    // It needs no order to end any more.
                    self.ordered.insert((id.clone(), generation));
                    self.feed(Event::Ending { id, generation });
                }
            }
            Op::End { which, cause } => {
                let causes =
                    [ChildEnd::Killed, ChildEnd::Finished, ChildEnd::Failed("bad".to_owned()), ChildEnd::Killed];
                if let Some(incarnation) = pick(&self.alive, which) {
                    self.end(incarnation, causes[usize::from(cause)].clone());
                }
            }
            Op::Hang { which } => {
                if let Some((id, generation)) = pick(&self.alive, which) {
                    self.feed(Event::DeadlineMissed { id, generation, what: "fetch".to_owned() });
                }
            }
            Op::AnswerPing { which, answered } => {
                if let Some((id, generation)) = pick(&self.pings, which) {
                    self.pings.remove(&(id.clone(), generation));
                    self.feed(if answered {
                        Event::PingAnswered { id, generation }
                    } else {
                        Event::PingMissed { id, generation }
                    });
                }
            }
            Op::Stale { which, offset, kind } => self.stale(which, offset, kind),
            Op::Advance { millis } => self.advance(self.now + Duration::from_millis(millis)),
            Op::EarlyTick => self.feed(Event::Tick),
            Op::Shutdown => self.shutdown(),
        }
    }

    fn stale(&mut self, which: usize, offset: u64, kind: u8) {
        let Some((id, newest)) = self.newest.iter().nth(which % self.newest.len()) else { return };
        let live = self.starting.iter().chain(&self.alive).any(|live| live.0 == *id);
        // Offset 0 is the newest generation: stale only when nothing of it is left.
        if offset > newest.0 || (offset == 0 && live) {
            return;
        }
        let (id, generation) = (id.clone(), Generation(newest.0 - offset));
        let event = match kind {
            0 => Event::Started { id, generation },
            1 => Event::StartFailed { id, generation, cause: ChildEnd::Killed },
            2 => Event::Ending { id, generation },
            3 => Event::Ended { id, generation, cause: ChildEnd::Finished },
            4 => Event::DeadlineMissed { id, generation, what: "late".to_owned() },
            _ => Event::PingMissed { id, generation },
        };
        let before = self.policy.clone();
        assert_eq!(self.policy.apply(self.now, 0.5, event.clone()), [], "{event:?} is stale");
        assert_eq!(self.policy, before, "{event:?} is stale");
    }

    fn shutdown(&mut self) {
        self.closing = true;
        self.waiting.clear();
        self.feed(Event::Shutdown);
    }

    /// Whatever is asked to end does.
    fn finish(&mut self) {
        if !self.closing {
            self.shutdown();
        }
        for _ in 0..100 {
            if let Some(incarnation) = self.starting.first().cloned() {
                self.answer_start(incarnation, true);
            } else if let Some(incarnation) = self.ordered.first().cloned() {
                self.end(incarnation, ChildEnd::Finished);
            } else if let Some(incarnation) = self.alive.first().cloned() {
                // It was ending by itself when the shutdown came.
                self.end(incarnation, ChildEnd::Killed);
            }
        }
        assert_eq!(self.stopped, 1, "the shutdown does not end: {:?}", self.policy);
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_sequence_of_events_makes_a_twin_forgets_a_child_or_exceeds_a_budget(
        plans in plans(),
        root in any::<bool>(),
        ops in prop::collection::vec(op(), 0..60),
    ) {
        let mut world = World::new(if root { Limits::root() } else { Limits::default() }, plans);
        for op in ops {
            world.play(op);
            if world.stopped > 0 {
                break;
            }
        }
        if world.stopped == 0 {
            world.finish();
        }
        for event in [Event::Tick, Event::Shutdown, Event::Start] {
            world.feed(event);
        }
    }
}
