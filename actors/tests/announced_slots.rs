//! Properties of announced slots. The number of cases is 5,000 unless PROPTEST_CASES says otherwise.
#![allow(clippy::unwrap_used, reason = "a failing test should panic")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sentinel_actors::domain::announced::{AnnouncedSlot, AnnouncedSlots, FeedNews};
use sentinel_actors::domain::cycle::{InFlight, SlotCommand, SlotEvent};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::schedule::Window;
use sentinel_actors::domain::time::UtcMs;

const SECOND: i64 = 1000;

fn config() -> ProptestConfig {
    let cases = std::env::vars().find(|(name, _)| name == "PROPTEST_CASES").and_then(|(_, value)| value.parse().ok());
    ProptestConfig { cases: cases.unwrap_or(5000), failure_persistence: None, ..ProptestConfig::default() }
}

#[derive(Debug, Clone)]
enum Step {
    /// Schedule time moves by this much, backwards when negative.
    Move(i64),
    /// A window that opens this far from now, for so long.
    Announce(i64, i64),
    /// The so-manieth announced slot, counted round, is withdrawn.
    Withdraw(usize),
    /// The feed is asked, and answers or not.
    Ask(bool),
    /// The rows that were written so far are durable.
    Commit,
    End,
    Fail {
        time_left: bool,
    },
    /// The process dies; what is not durable is lost.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..60 * SECOND).prop_map(Step::Move),
        1 => (-600 * SECOND..3600 * SECOND).prop_map(Step::Move),
        4 => (-200 * SECOND..200 * SECOND, 0..300 * SECOND).prop_map(|(opens, length)| Step::Announce(opens, length)),
        1 => any::<usize>().prop_map(Step::Withdraw),
        5 => prop::bool::weighted(0.9).prop_map(Step::Ask),
        2 => Just(Step::Commit),
        4 => Just(Step::End),
        1 => any::<bool>().prop_map(|time_left| Step::Fail { time_left }),
        1 => Just(Step::Restart),
    ]
}

/// The world around the machine: what was announced, and what the journal has.
struct Around {
    machine: AnnouncedSlots,
    now: i64,
    announced: BTreeMap<UtcMs, AnnouncedSlot>,
    withdrawn: BTreeSet<String>,
    durable: BTreeMap<UtcMs, Reason>,
    /// Rows of this process that are not durable yet, and what it began.
    rows: BTreeMap<UtcMs, Reason>,
    begun: BTreeSet<UtcMs>,
    /// Whether the feed has answered to this process, and what it withdrew.
    heard: bool,
    told: BTreeSet<String>,
}

fn started(now: i64) -> AnnouncedSlots {
    AnnouncedSlots::new(Window::default(), UtcMs(now), UtcMs(now), None)
}

impl Around {
    fn new() -> Self {
        Self {
            machine: started(0),
            now: 0,
            announced: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            durable: BTreeMap::new(),
            rows: BTreeMap::new(),
            begun: BTreeSet::new(),
            heard: false,
            told: BTreeSet::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        let flying = self.machine.in_flight();
        match *step {
            Step::Move(by) => self.now += by,
            Step::Announce(opens, length) => {
                let mut slot = UtcMs(self.now + opens);
                while self.announced.contains_key(&slot) {
                    slot = UtcMs(slot.0 + 1);
                }
                let id = self.announced.len().to_string();
                let (closes, announced_at) = (UtcMs(slot.0 + length), UtcMs(self.now));
                self.announced.insert(slot, AnnouncedSlot { slot, closes, id, announced_at });
            }
            Step::Withdraw(index) if !self.announced.is_empty() => {
                let slot = self.announced.values().nth(index % self.announced.len()).unwrap();
                self.withdrawn.insert(slot.id.clone());
            }
            Step::Withdraw(_) => {}
            Step::Ask(answers) => self.ask(answers),
            Step::Commit => self.commit(),
            Step::End => {
                if let Some(InFlight { slot, attempt }) = flying {
                    self.event(SlotEvent::Ended { slot, attempt });
                }
            }
            Step::Fail { time_left } => {
                if let Some(InFlight { slot, attempt }) = flying {
                    self.event(SlotEvent::StageFailed { slot, attempt, time_left, same_input: false });
                }
            }
            Step::Restart => {
                self.machine = started(self.now);
                self.rows.clear();
                self.begun.clear();
                self.told.clear();
                self.heard = false;
            }
        }
        self.event(SlotEvent::Tick { now: UtcMs(self.now) });
    }

    fn commit(&mut self) {
        for (slot, reason) in std::mem::take(&mut self.rows) {
            self.durable.entry(slot).or_insert(reason);
        }
    }

    fn ask(&mut self, answers: bool) {
        let open = self.announced.values().filter(|slot| !self.durable.contains_key(&slot.slot)).cloned().collect();
        let withdrawn = if answers { self.withdrawn.clone() } else { BTreeSet::new() };
        self.heard |= answers;
        self.told.extend(withdrawn.iter().cloned());
        let asked_at = answers.then_some(UtcMs(self.now));
        let commands =
            self.machine.take_over(FeedNews { open, withdrawn, asked_at, waits_for: None, next: None, runway: None });
        self.note(&commands);
    }

    fn event(&mut self, event: SlotEvent) {
        let commands = self.machine.on(event);
        self.note(&commands);
    }

    fn note(&mut self, commands: &[SlotCommand]) {
        for command in commands {
            match *command {
                SlotCommand::Begin { slot, attempt } => {
                    let known = &self.announced[&slot];
                    assert!(!self.rows.contains_key(&slot) && !self.durable.contains_key(&slot), "{slot} has ended");
                    assert_eq!(self.begun.insert(slot), attempt == 1, "{slot} began as attempt {attempt}");
                    assert!(self.heard, "{slot} began before the feed had answered");
                    assert!(!self.told.contains(&known.id), "{slot} was withdrawn");
                    assert!(attempt == 2 || (slot.0..=known.closes.0).contains(&self.now), "{slot} is not open");
                }
                SlotCommand::Finish { slot } => self.end(slot, Reason::Hold),
                SlotCommand::Abort { slot, reason } | SlotCommand::End { slot, reason } => self.end(slot, reason),
                SlotCommand::Withdraw { slot } => {
                    assert_eq!(self.machine.in_flight().map(|flying| flying.slot), Some(slot));
                }
                SlotCommand::Miss { .. } => panic!("announced slots have no grid"),
            }
        }
    }

    fn end(&mut self, slot: UtcMs, reason: Reason) {
        assert!(!self.durable.contains_key(&slot), "{slot} ended although it has a row");
        assert!(self.rows.insert(slot, reason).is_none(), "{slot} ended twice");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_announced_slot_ends_exactly_once_whatever_feed_clock_and_process_do(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut around = Around::new();
        for step in &steps {
            around.take(step);
        }
        for step in [Step::Ask(true), Step::Move(1_000_000 * SECOND), Step::End, Step::Ask(true), Step::Commit] {
            around.take(&step);
        }
        let ended: Vec<&UtcMs> = around.durable.keys().collect();
        let announced: Vec<&UtcMs> = around.announced.keys().collect();
        prop_assert_eq!(ended, announced);
        prop_assert_eq!(around.machine.next_due(), None);
    }
}
