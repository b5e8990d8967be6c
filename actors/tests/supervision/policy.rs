//! The policy's rules, one by one.

use std::time::Duration;

use sentinel_actors::supervision::event::{Command, Event, Plan};
use sentinel_actors::supervision::policy::RestartPolicy;
use sentinel_actors::supervision::{ChildClass, ChildEnd, ChildId, Generation, Limits, SupervisorEvent};

/// A policy whose orders to start are always carried out with success.
struct Play {
    policy: RestartPolicy,
    now: Duration,
    live: Vec<(ChildId, Generation)>,
    heard: Vec<SupervisorEvent>,
    ordered: Vec<Command>,
}

impl Play {
    fn new(limits: Limits, children: &[(&str, ChildClass)]) -> Self {
        let plan = |(id, class): &(&str, ChildClass)| Plan {
            id: (*id).into(),
            class: *class,
            tier: 0,
            grace: Duration::from_secs(5),
            pinged: false,
            last: Generation(0),
        };
        Self::with(limits, children.iter().map(plan).collect())
    }

    fn with(limits: Limits, plans: Vec<Plan>) -> Self {
        let policy = RestartPolicy::new(limits, plans);
        let mut play = Self { policy, now: Duration::ZERO, live: vec![], heard: vec![], ordered: vec![] };
        play.feed(Event::Start);
        play
    }

    fn feed(&mut self, event: Event) {
        for command in self.policy.apply(self.now, 0.5, event) {
            match command {
                Command::Notify(event) => self.heard.push(event),
                Command::Spawn { id, generation } => {
                    self.live.push((id.clone(), generation));
                    self.feed(Event::Started { id, generation });
                }
                other => self.ordered.push(other),
            }
        }
    }

    fn after(&mut self, seconds: f64) {
        let until = self.now + Duration::from_secs_f64(seconds);
        while let Some(wake) = self.policy.next_wake().filter(|wake| *wake <= until) {
            self.now = wake;
            self.feed(Event::Tick);
        }
        self.now = until;
    }

    fn generation(&self, id: &str) -> Generation {
        self.policy.running(&id.into()).unwrap_or_else(|| panic!("{id} does not run: {:?}", self.heard))
    }

    fn end(&mut self, id: &str, cause: ChildEnd) {
        let generation = self.live.iter().rfind(|live| live.0.as_str() == id).unwrap().1;
        self.feed(Event::Ended { id: id.into(), generation, cause });
    }

    fn fail(&mut self, id: &str) {
        self.end(id, ChildEnd::Failed("bad".to_owned()));
    }

    /// Fails so often, far enough apart for each back-off to be over.
    fn fail_times(&mut self, id: &str, times: usize, apart_s: f64) {
        for _ in 0..times {
            self.generation(id);
            self.fail(id);
            self.after(apart_s);
        }
    }

    fn count(&self, wanted: impl Fn(&SupervisorEvent) -> bool) -> usize {
        self.heard.iter().filter(|event| wanted(event)).count()
    }

    fn meltdowns(&self) -> usize {
        self.count(|event| matches!(event, SupervisorEvent::Meltdown { .. }))
    }
}

#[test]
fn the_first_failure_is_repaired_at_once_and_the_next_ones_later_and_later() {
    let mut play = Play::new(Limits::default(), &[("a", ChildClass::Worker)]);
    play.fail_times("a", 3, 5.0);
    let delays = play.heard.iter().filter_map(|event| match event {
        SupervisorEvent::Restarting { after, .. } => Some(after.as_millis()),
        _ => None,
    });
    assert_eq!(delays.collect::<Vec<_>>(), [0, 100, 200]);
}

#[test]
fn a_healthy_minute_makes_the_next_restart_immediate_again() {
    let mut play = Play::new(Limits::default(), &[("a", ChildClass::Worker)]);
    play.fail_times("a", 2, 61.0);
    assert_eq!(play.count(|h| matches!(h, SupervisorEvent::Restarting { after, .. } if after.is_zero())), 2);
}

#[test]
fn a_worker_beyond_its_budget_escalates_in_a_pipeline_and_melts_the_root() {
    let mut play = Play::new(Limits::default(), &[("a", ChildClass::Worker)]);
    play.fail_times("a", 6, 5.0);
    assert_eq!(play.count(|h| matches!(h, SupervisorEvent::Escalate { .. })), 1);
    assert_eq!(play.meltdowns(), 0);

    let mut play = Play::new(Limits::root(), &[("a", ChildClass::Worker)]);
    play.fail_times("a", 5, 5.0);
    assert_eq!(play.meltdowns(), 0);
    play.fail("a");
    assert_eq!(play.meltdowns(), 1);
}

#[test]
fn one_death_in_every_hourly_cycle_is_a_pattern_after_twenty() {
    let mut play = Play::new(Limits::default(), &[("a", ChildClass::Worker)]);
    play.fail_times("a", 20, 3600.0);
    assert_eq!(play.count(|h| matches!(h, SupervisorEvent::Escalate { .. })), 0);
    play.fail("a");
    assert_eq!(play.count(|h| matches!(h, SupervisorEvent::Escalate { .. })), 1);
}

#[test]
fn the_third_failure_of_a_critical_child_within_a_minute_is_a_meltdown() {
    let mut play = Play::new(Limits::root(), &[("journal", ChildClass::Critical)]);
    play.fail_times("journal", 2, 10.0);
    assert_eq!(play.meltdowns(), 0);
    play.fail("journal");
    assert_eq!(play.meltdowns(), 1);
}

#[test]
fn more_than_ten_restarts_in_a_minute_altogether_are_a_meltdown() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut play = Play::new(Limits::root(), &names.map(|name| (name, ChildClass::Worker)));
    for name in names.into_iter().chain(names).take(10) {
        play.fail_times(name, 1, 1.0);
    }
    assert_eq!(play.meltdowns(), 0);
    play.fail("f");
    assert_eq!(play.meltdowns(), 1);
}

#[test]
fn a_pipeline_is_parked_at_its_third_failure_and_probed_every_15_minutes() {
    let mut play = Play::new(Limits::root(), &[("eurusd", ChildClass::Pipeline)]);
    play.fail_times("eurusd", 2, 10.0);
    assert_eq!(play.count(|h| matches!(h, SupervisorEvent::Parked { .. })), 0, "two failures are not three");
    play.fail("eurusd");
    let until = play.now + Duration::from_secs(900);
    assert_eq!(play.heard.last(), Some(&SupervisorEvent::Parked { id: "eurusd".into(), until }));
    assert_eq!(play.policy.running(&"eurusd".into()), None);

    play.after(900.0);
    play.after(30.0);
    play.fail("eurusd");
    let until = play.now + Duration::from_secs(900);
    assert_eq!(
        play.heard.last(),
        Some(&SupervisorEvent::Parked { id: "eurusd".into(), until }),
        "one failed probe is enough"
    );

    play.after(961.0);
    assert_eq!(play.heard.last(), Some(&SupervisorEvent::Unparked { id: "eurusd".into() }));
    play.fail_times("eurusd", 2, 10.0);
    assert_eq!(play.count(|h| matches!(h, SupervisorEvent::Parked { .. })), 2, "its budget is fresh");
    assert_eq!(play.meltdowns(), 0, "one bad pipeline never takes the node down");
}

#[test]
fn many_pipelines_parked_together_are_a_meltdown_but_failed_probes_are_not() {
    let names: Vec<String> = (0..20).map(|index| format!("p{index}")).collect();
    let children: Vec<_> = names.iter().map(|name| (name.as_str(), ChildClass::Pipeline)).collect();
    let mut play = Play::new(Limits::root(), &children);
    for name in &names[..4] {
        play.fail_times(name, 3, 2.0);
    }
    for _ in 0..10 {
        play.after(901.0);
        for name in &names[..4] {
            if play.policy.running(&name.as_str().into()).is_some() {
                play.fail(name);
            }
        }
    }
    assert_eq!(play.meltdowns(), 0, "four of twenty are twenty per cent, not more");

    for name in &names[4..8] {
        play.fail_times(name, 3, 2.0);
    }
    assert_eq!(play.meltdowns(), 0);
    play.fail_times(&names[8], 3, 2.0);
    assert_eq!(play.meltdowns(), 1);
}

#[test]
fn a_normal_end_finishes_a_pipeline_and_is_a_failure_of_any_other_child() {
    let mut play = Play::new(Limits::root(), &[("eurusd", ChildClass::Pipeline), ("w", ChildClass::Worker)]);
    play.end("eurusd", ChildEnd::Finished);
    assert_eq!(play.heard.last(), Some(&SupervisorEvent::Finished { id: "eurusd".into() }));
    play.end("w", ChildEnd::Finished);
    assert_eq!(play.generation("w"), Generation(2));
    play.after(100_000.0);
    assert_eq!(play.policy.running(&"eurusd".into()), None);
}

#[test]
fn a_kill_is_abnormal_for_a_pipeline_too() {
    let mut play = Play::new(Limits::root(), &[("eurusd", ChildClass::Pipeline)]);
    play.end("eurusd", ChildEnd::Killed);
    assert_eq!(play.generation("eurusd"), Generation(2));
}

#[test]
fn a_child_that_misses_a_deadline_is_killed_and_its_end_is_called_a_hang() {
    let mut play = Play::new(Limits::default(), &[("a", ChildClass::Worker)]);
    play.feed(Event::DeadlineMissed { id: "a".into(), generation: Generation(1), what: "fetch".to_owned() });
    assert!(play.ordered.contains(&Command::Kill { id: "a".into(), generation: Generation(1) }));
    play.after(5.0);
    assert_eq!(play.heard.last(), Some(&SupervisorEvent::Stuck { id: "a".into(), generation: Generation(1) }));
    play.after(100_000.0);
    assert_eq!(play.policy.restarts(), 0, "a stuck child is not replaced");
    play.end("a", ChildEnd::Killed);
    let hung = ChildEnd::Hung("fetch".to_owned());
    assert_eq!(play.count(|h| matches!(h, SupervisorEvent::Down { cause, .. } if *cause == hung)), 1);
    assert_eq!(play.generation("a"), Generation(2));
}

#[test]
fn three_missed_pings_in_a_row_are_a_hang() {
    let plan = Plan {
        id: "a".into(),
        class: ChildClass::Worker,
        tier: 0,
        grace: Duration::ZERO,
        pinged: true,
        last: Generation(0),
    };
    let mut play = Play::with(Limits::default(), vec![plan]);
    let (id, generation) = (ChildId::from("a"), Generation(1));
    let kill = Command::Kill { id: id.clone(), generation };
    for answered in [false, false, true, false, false, false] {
        assert!(!play.ordered.contains(&kill));
        play.after(10.0);
        assert!(play.ordered.contains(&Command::Ping { id: id.clone(), generation }));
        let id = id.clone();
        play.feed(if answered { Event::PingAnswered { id, generation } } else { Event::PingMissed { id, generation } });
    }
    assert!(play.ordered.contains(&kill));
}

#[test]
fn a_stuck_child_does_not_keep_the_tiers_below_it_from_stopping() {
    let plan = |id: &str, tier| Plan {
        id: id.into(),
        class: ChildClass::Worker,
        tier,
        grace: Duration::from_secs(5),
        pinged: false,
        last: Generation(0),
    };
    let mut play = Play::with(Limits::default(), vec![plan("low", 0), plan("high", 1)]);
    play.feed(Event::Shutdown);
    let stop_low = Command::Stop { id: "low".into(), generation: Generation(1) };
    play.after(9.9);
    assert!(!play.ordered.contains(&stop_low));
    play.after(0.1);
    assert!(play.ordered.contains(&stop_low));
    play.end("low", ChildEnd::Finished);
    assert_eq!(play.count(|h| *h == SupervisorEvent::AllStopped), 0);
    play.end("high", ChildEnd::Killed);
    assert_eq!(play.heard.last(), Some(&SupervisorEvent::AllStopped));
}

#[test]
fn an_empty_supervisor_stops_at_once() {
    let mut play = Play::new(Limits::default(), &[]);
    play.feed(Event::Shutdown);
    assert_eq!(play.heard, [SupervisorEvent::AllStopped]);
}
