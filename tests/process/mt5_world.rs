//! One world of the campaign beside MetaTrader 5: a node, a gateway and a terminal that live, are killed and are started again, each
//! on its own, until enough were killed. Then everything is left in peace for as long as settling takes.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::facts::Facts;
use super::mt5_judge::{Findings, Record, judge};
use super::mt5_site::{Mt5Site, Trading};
use super::node::Node;

/// Named places of the node, and up to which passing it dies there.
const NODE_PLACES: [(&str, usize); 12] = [
    ("before-plan", 3),
    ("after-plan", 3),
    ("after-sent", 3),
    ("before-book-write", 3),
    ("after-book-write", 3),
    ("after-submit", 3),
    ("after-outcome", 3),
    ("before-end-slot", 40),
    ("after-end-slot", 40),
    ("before-commit", 40),
    ("after-commit", 40),
    ("before-settle", 4),
];
/// Those of the gateway; all but the first and the last two are passed for orders only.
const GATEWAY_PLACES: [(&str, usize); 10] = [
    ("received", 80),
    ("checked", 2),
    ("sending", 2),
    ("guarded", 2),
    ("sent", 2),
    ("result", 2),
    ("completed", 2),
    ("barred", 1),
    ("replying", 80),
    ("replied", 80),
];
/// A process that did not die at its place by then is killed where it is.
const NAMED_WITHIN: Duration = Duration::from_secs(8);
/// Longest life of one that is killed at random.
const LIFE_MS_MAX: u64 = 4_000;
/// So many of the kills of the node wait until it has decided something: a busy machine starts it slowly.
const AT_WORK: f64 = 0.85;
/// Longest pause until a killed gateway is there again, which `run` shortens and lengthens as well.
const AWAY_MS_MAX: u64 = 200;
/// So long a world goes on because it had few orders.
const FEW_ORDERS_MAX: Duration = Duration::from_secs(90);
/// Longer than a world needs for its kills on a busy machine.
const KILLING_MAX: Duration = Duration::from_secs(300);
/// The gateway settles everything within a few seconds, at a hundredth of its waits; but one that was started again first waits out the
/// cycle in which an order may still leave.
const SETTLING_MAX: Duration = Duration::from_secs(60);

/// How a process ended, and how often.
#[derive(Debug, Default, Clone)]
pub struct Kills {
    /// By the place at which it died.
    pub named: BTreeMap<&'static str, usize>,
    pub random: usize,
    /// By the terminal, in the middle of a call.
    pub in_a_call: usize,
    /// Ended by its own watch over calls that hang.
    pub hung: usize,
}

impl Kills {
    /// Ends by `kill -9`.
    pub fn count(&self) -> usize {
        self.named.values().sum::<usize>() + self.random + self.in_a_call
    }

    pub fn add(&mut self, other: Self) {
        other.named.into_iter().for_each(|(place, count)| *self.named.entry(place).or_default() += count);
        self.random += other.random;
        self.in_a_call += other.in_a_call;
        self.hung += other.hung;
    }
}

/// Places that take turns, so that a campaign of some size comes to each.
pub struct Places {
    all: &'static [(&'static str, usize)],
    next: Mutex<usize>,
    /// Where nothing has died yet; they come first.
    missing: Mutex<Vec<(&'static str, usize)>>,
}

impl Places {
    pub fn of_node(first: usize) -> Self {
        Self::new(&NODE_PLACES, first)
    }

    pub fn of_gateway(first: usize) -> Self {
        Self::new(&GATEWAY_PLACES, first)
    }

    fn new(all: &'static [(&'static str, usize)], first: usize) -> Self {
        Self { all, next: Mutex::new(first), missing: Mutex::default() }
    }

    /// Those where nothing died; they are drawn more often from now on.
    pub fn missing(&self, kills: &Kills) -> Vec<&'static str> {
        let mut missing = self.all.to_vec();
        missing.retain(|(name, _)| !kills.named.contains_key(name));
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&missing);
        missing.into_iter().map(|(name, _)| name).collect()
    }

    /// A place, and the place with the number of its passing.
    fn draw(&self, chance: &mut Rng) -> (&'static str, String) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let from = if missing.is_empty() || chance.bool() { self.all } else { &missing };
        let (name, most) = from[*next % from.len()];
        *next += 1;
        (name, format!("{name}:{}", chance.usize(1..=most)))
    }
}

/// What one world came to.
#[derive(Debug, Default, Clone)]
pub struct Outcome {
    pub node: Kills,
    pub gateway: Kills,
    pub terminal_kills: usize,
    pub findings: Findings,
}

/// How a life of the gateway ended.
struct Life {
    pid: u64,
    place: Option<&'static str>,
    at_random: bool,
    hung: bool,
}

/// A node, a gateway and a terminal, and what is drawn for them.
pub struct World<'a> {
    pub site: Mt5Site,
    pub chance: Rng,
    pub places: [&'a Places; 2],
}

impl<'a> World<'a> {
    pub fn new(trading: Trading, faults: &'static str, seed: u64, places: [&'a Places; 2]) -> Self {
        Self { site: Mt5Site::new(trading, seed, faults), chance: Rng::with_seed(seed), places }
    }

    /// Kills at least `least` of the node and of the gateway, lets everything settle, and judges.
    pub fn run(mut self, least: usize) -> Outcome {
        self.arm();
        let mut outcome = Outcome::default();
        let (stop, enough) = (AtomicBool::new(false), AtomicBool::new(false));
        let (mut of_gateway, mut of_terminal) = (self.chance.fork(), self.chance.fork());
        let mut faults = Vec::new();
        let lives = std::thread::scope(|scope| {
            let gateway = scope.spawn(|| self.gateway_lives(&mut of_gateway, least, &stop, &enough));
            let terminal = scope.spawn(|| self.terminal_lives(&mut of_terminal, &stop));
            let mut of_node = self.chance.clone();
            faults.extend(self.node_lives(&mut of_node, least, &enough, &mut outcome.node));
            stop.store(true, Ordering::Relaxed);
            outcome.terminal_kills = terminal.join().unwrap();
            gateway.join().unwrap()
        });
        self.settle();
        outcome.gateway = causes(&lives, &Record::read(&self.site.truth()));
        outcome.findings = judge(&self.site);
        outcome.findings.faults.extend(faults);
        if !outcome.findings.faults.is_empty() {
            let kept = self.site.site.keep();
            outcome.findings.faults.iter_mut().for_each(|fault| *fault += &format!(" (kept in {})", kept.display()));
        }
        outcome
    }

    /// Confirms the node's configuration once, before a gateway and a terminal that nothing disturbs yet.
    fn arm(&self) {
        let (_terminal, _gateway) = (self.site.terminal(), self.site.gateway(""));
        // The gateway tells nothing of its account before the terminal was connected for a while.
        self.site.site.arm_within(SETTLING_MAX);
    }

    /// Starts the node and kills it, again and again.
    fn node_lives(&self, chance: &mut Rng, least: usize, enough: &AtomicBool, kills: &mut Kills) -> Vec<String> {
        let began = Instant::now();
        let mut faults = Vec::new();
        let is_short = |kills: &Kills| {
            // A machine that is busy with something else has few orders in a life; positions of another hand may end them all.
            let orders = usize::try_from(Facts::intents_so_far(&self.site.site.state())).unwrap();
            let has_few = orders < 2 * least && began.elapsed() < FEW_ORDERS_MAX;
            kills.count() < least || has_few || !enough.load(Ordering::Relaxed)
        };
        while is_short(kills) && began.elapsed() < KILLING_MAX {
            let place = (chance.f64() < 0.6).then(|| self.places[0].draw(chance));
            let within = life(chance, place.is_some());
            let more = place.as_ref().map_or(Vec::new(), |(_, passing)| vec!["--die-at", passing]);
            let rows = Facts::rows_so_far(&self.site.site.state());
            let mut node = self.site.node(&more);
            if place.is_none() && chance.f64() < AT_WORK {
                let since = Instant::now();
                node.until(|| since.elapsed() > NAMED_WITHIN || Facts::rows_so_far(&self.site.site.state()) > rows);
            }
            match (node.ended_within(within), place) {
                (Some(ended), Some((place, _))) if ended.was_killed() => *kills.named.entry(place).or_default() += 1,
                (Some(ended), _) => faults.push(format!("the node ended by itself: {ended:?}")),
                (None, _) => {
                    node.killed_after(Duration::ZERO);
                    kills.random += 1;
                }
            }
        }
        faults
    }

    /// Starts the gateway whenever it has died, and kills it where nothing else does.
    fn gateway_lives(&self, chance: &mut Rng, least: usize, stop: &AtomicBool, enough: &AtomicBool) -> Vec<Life> {
        let mut lives: Vec<Life> = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let place = (chance.f64() < 0.6).then(|| self.places[1].draw(chance));
            let within = life(chance, place.is_some());
            let mut gateway = self.site.gateway(place.as_ref().map_or("", |(_, passing)| passing));
            let (pid, place) = (gateway.id().into(), place.map(|(place, _)| place));
            let ended = gateway.ended_within(within);
            let hung = ended.as_ref().is_some_and(|ended| !ended.was_killed());
            if let Some(ended) = ended.as_ref().filter(|ended| !ended.was_killed()) {
                // What `faulthandler` says when it ends a process.
                assert!(ended.err.contains("Timeout ("), "the gateway crashed: {ended:#?}");
            }
            lives.push(Life { pid, place, at_random: ended.is_none(), hung });
            drop(gateway);
            enough.store(lives.iter().filter(|life| !life.hung).count() >= least, Ordering::Relaxed);
            std::thread::park_timeout(Duration::from_millis(chance.u64(..AWAY_MS_MAX)));
        }
        lives
    }

    /// Kills the terminal now and then; it is there again at once.
    fn terminal_lives(&self, chance: &mut Rng, stop: &AtomicBool) -> usize {
        let mut kills = 0;
        let mut terminal = self.site.terminal();
        while !stop.load(Ordering::Relaxed) {
            let next = Instant::now() + Duration::from_millis(chance.u64(2_000..15_000));
            while Instant::now() < next && !stop.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            if !stop.load(Ordering::Relaxed) {
                drop(terminal);
                kills += 1;
                terminal = self.site.terminal();
            }
        }
        kills
    }

    /// Nothing is killed any more, and nothing new leaves, until every order has come to its end.
    fn settle(&self) {
        let state = self.site.site.state();
        fs::write(state.join("HALT"), "the campaign settles\n").unwrap();
        let _terminal = self.site.terminal();
        let mut gateway = self.site.gateway("");
        let mut node = self.site.node(&[]);
        let until = Instant::now() + SETTLING_MAX;
        let is_open = || Facts::states(&state).values().any(|state| ["planned", "sent", "unknown"].contains(&&**state));
        while is_open() && Instant::now() < until {
            let died: [Option<_>; 2] =
                [&mut node, &mut gateway].map(|one: &mut Node| one.ended_within(Duration::from_millis(50)));
            assert!(died.iter().all(Option::is_none), "it died in peace: {died:#?}");
        }
    }
}

/// How long a process lives at most.
fn life(chance: &mut Rng, has_place: bool) -> Duration {
    if has_place { NAMED_WITHIN } else { Duration::from_millis(chance.u64(50..LIFE_MS_MAX)) }
}

/// What killed each gateway, with what the terminal has recorded of its own kills.
fn causes(lives: &[Life], record: &Record) -> Kills {
    let mut kills = Kills::default();
    for life in lives {
        let in_a_call = record.calls.iter().any(|call| call.kills && call.pid == life.pid);
        match (life.hung, life.at_random, in_a_call, life.place) {
            (true, ..) => kills.hung += 1,
            (_, _, true, _) => kills.in_a_call += 1,
            (_, false, _, Some(place)) => *kills.named.entry(place).or_default() += 1,
            _ => kills.random += 1,
        }
    }
    kills
}
