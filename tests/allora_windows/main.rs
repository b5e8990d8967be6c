//! A worker's whole life on a chain that loses, forgets, lies and restarts, while the worker is killed with `kill -9`.
//!
//! What the journal says about each window in the end is compared with what the chain has. The process under test is this test binary
//! itself, started again for [`worker::the_process_under_test`]; the chain lives in the test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a failing test should panic, and real processes need real time"
)]

mod faults;
mod judge;
mod ports;
mod worker;
mod world;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::worker::{MARGIN_BLOCKS, Worker};
use self::world::World;

/// Windows of a campaign: `SENTINEL_WINDOWS`, with this many when it is not set.
const WINDOWS: usize = 8;
/// From so many on every kind of fault, death and end must have come.
const WINDOWS_OF_ALL: usize = 100;
/// Every place at which a worker can die, and up to which pass of it.
const PLACES: [(&str, usize); 12] = [
    ("before-plan", 1),
    ("after-plan", 1),
    ("after-sent", 1),
    ("before-sign", 2),
    ("after-sign", 2),
    ("before-broadcast", 2),
    ("after-broadcast", 2),
    ("after-fate", 1),
    ("after-submit", 1),
    ("before-end-slot", 1),
    ("after-commit", 8),
    ("slot-feed", 30),
];
/// What the chain can say in the end of an inference that it has.
const ENDS: [&str; 3] = ["stored", "evicted", "not_admitted"];
/// So many blocks a window must be open for a worker that begins to work, to be used: at 100 ms this is less time than three blocks
/// of a real chain have, which are 17 s.
const OPEN_BLOCKS: i64 = 15;
/// So many blocks before and after an opening take no transaction where another worker is to be the first.
const BLOCKS_HELD: i64 = 10;

fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// How often something came.
type Counts = BTreeMap<&'static str, usize>;

/// How often a process died where, on all chains.
#[derive(Default)]
struct Deaths(Mutex<Counts>);

impl Deaths {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of the places at which the fewest have died.
    fn next(&self, chance: &mut fastrand::Rng) -> (&'static str, usize) {
        let mut places = PLACES;
        chance.shuffle(&mut places);
        let counts = self.counts();
        places.sort_by_key(|(place, _)| counts.get(place).copied().unwrap_or_default());
        places[0]
    }
}

/// What a campaign has done, to see that it has tried something.
#[derive(Debug, Default)]
struct Tally {
    windows: usize,
    kills: usize,
    /// Of all chains.
    deaths: Counts,
    faults: Counts,
    /// Windows that had to be used, by why.
    needed: Counts,
    used: usize,
    ends: Counts,
    missed: Counts,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.windows += other.windows;
        self.kills += other.kills;
        self.used += other.used;
        let sums = [
            (&mut self.faults, &other.faults),
            (&mut self.needed, &other.needed),
            (&mut self.ends, &other.ends),
            (&mut self.missed, &other.missed),
        ];
        for (sum, counts) in sums {
            counts.iter().for_each(|(what, count)| *sum.entry(*what).or_default() += count);
        }
    }

    /// A campaign that has not met something says nothing about it.
    fn judge(&self) {
        let missing = |counts: &Counts, wanted: &[&'static str]| -> Vec<&str> {
            wanted.iter().copied().filter(|what| !counts.contains_key(what)).collect()
        };
        assert_eq!(missing(&self.deaths, &PLACES.map(|(place, _)| place)), [""; 0], "nobody died there");
        assert_eq!(missing(&self.faults, &faults::kinds().collect::<Vec<_>>()), [""; 0], "it never happened");
        assert_eq!(missing(&self.ends, &ENDS), [""; 0], "no inference ended so");
        assert_eq!(missing(&self.needed, &[CALM, LATE, ONE_NODE, OUTBID]), [""; 0], "no window had to be used so");
    }
}

#[test]
fn each_window_is_used_at_most_once_and_reported_as_the_chain_has_it() {
    let wanted = setting("SENTINEL_WINDOWS").unwrap_or(WINDOWS);
    let seed = setting("SENTINEL_SEED").map_or_else(|| fastrand::u64(..1_000_000), |seed| seed as u64);
    // Several chains side by side: most of the time is waiting for blocks.
    let chains = match wanted {
        0..=50 => 2,
        51..=500 => 6,
        _ => 16,
    };
    let deaths = Arc::new(Deaths::default());
    let threads: Vec<_> = (0..chains)
        .map(|number| (seed * 100 + number, Arc::clone(&deaths)))
        .map(|(seed, deaths)| std::thread::spawn(move || campaign(seed, wanted.div_ceil(chains as usize), &deaths)))
        .collect();
    let ended: Vec<_> = threads.into_iter().map(std::thread::JoinHandle::join).collect();
    assert!(ended.iter().all(Result::is_ok), "seed {seed}");
    let mut all = Tally { deaths: deaths.counts().clone(), ..Tally::default() };
    ended.into_iter().for_each(|tally| all.add(&tally.unwrap()));
    println!(
        "{} windows, {} of them used, {} kills at random and {} at named places, seed {seed}\n{all:#?}",
        all.windows,
        all.used,
        all.kills,
        all.deaths.values().sum::<usize>(),
    );
    if wanted >= WINDOWS_OF_ALL {
        all.judge();
    }
}

/// What a chain goes through for about a window.
#[derive(Clone, Copy)]
enum Act {
    Calm,
    LateStart,
    OneBadNode,
    /// A stronger worker takes the only place, before this one has submitted or after.
    Outbid {
        is_first: bool,
    },
    Disturbed,
}

/// In another order each time. So even a short campaign comes to each of them, and to each [end](ENDS).
const PLAN: [Act; 10] = [
    Act::Calm,
    Act::LateStart,
    Act::OneBadNode,
    Act::Outbid { is_first: true },
    Act::Outbid { is_first: false },
    Act::Disturbed,
    Act::Disturbed,
    Act::Disturbed,
    Act::Disturbed,
    Act::Disturbed,
];

/// Why a window had to be used.
const CALM: &str = "on a sound chain";
const LATE: &str = "by a worker that came late";
const ONE_NODE: &str = "with one bad node of three";
const OUTBID: &str = "beside a stronger worker";

fn campaign(seed: u64, wanted: usize, deaths: &Deaths) -> Tally {
    let mut chance = fastrand::Rng::with_seed(seed);
    let world = World::new(seed);
    let (first, mut tally) = (world.windows().len(), Tally::default());
    let mut needed = BTreeMap::new();
    let mut plan = Vec::new();
    while world.windows().len() < first + wanted {
        if plan.is_empty() {
            plan.extend(PLAN);
            chance.shuffle(&mut plan);
        }
        let nonce = match plan.pop() {
            Some(Act::Calm) => Some((calm_window(&world, &mut tally), CALM)),
            Some(Act::LateStart) => late_start(&world, &mut chance, &mut tally).map(|nonce| (nonce, LATE)),
            Some(Act::OneBadNode) => Some((one_bad_node(&world, &mut chance, &mut tally), ONE_NODE)),
            Some(Act::Outbid { is_first }) => Some((outbid(&world, is_first, &mut chance, &mut tally), OUTBID)),
            Some(Act::Disturbed) | None => {
                disturbed(&world, &mut chance, &mut tally, deaths);
                None
            }
        };
        needed.extend(nonce);
    }
    world.calm();
    let mut last = Worker::start(&world, None, 1);
    let settled = Cell::new(None);
    world.wait(Duration::from_secs(60), "every window is closed and proven", || {
        settled.set(judge::settled(&world));
        settled.get().is_some()
    });
    last.end();
    let verdict = judge::judge(seed, &world, settled.take().unwrap(), &needed);
    needed.values().for_each(|why| *tally.needed.entry(*why).or_default() += 1);
    let judge::Verdict { used, facts: ends, missed } = verdict;
    Tally { windows: world.windows().len(), used, ends, missed, ..tally }
}

/// A process that dies, on a chain on which one thing after the other goes wrong.
fn disturbed(world: &World, chance: &mut fastrand::Rng, tally: &mut Tally, deaths: &Deaths) {
    let place = (chance.u8(..3) > 0).then(|| deaths.next(chance));
    let pass = place.filter(|_| chance.bool()).map_or(1, |(_, passes)| chance.usize(1..=passes));
    // On a chain that fails in all its parts few come far enough to die where they are to.
    let only_node = place.and_then(|_| chance.bool().then(|| chance.usize(..world::NODES)));
    if only_node.is_some() {
        world.calm();
    }
    let mut process = Worker::start(world, place.map(|(place, _)| place), pass);
    let lives_for = Duration::from_millis(if place.is_some() { 12_000 } else { chance.u64(100..5_000) });
    let began = Instant::now();
    while began.elapsed() < lives_for && process.is_alive() {
        let what = match only_node {
            Some(node) => faults::disturb_node(world, node, chance),
            None => faults::disturb(world, chance),
        };
        *tally.faults.entry(what).or_default() += 1;
        std::thread::sleep(Duration::from_millis(chance.u64(50..400)));
    }
    if process.end() {
        let (place, _) = place.unwrap_or_else(|| panic!("it ended by itself\n{}", world.said()));
        *deaths.counts().entry(place).or_default() += 1;
    } else {
        tally.kills += 1;
    }
}

fn next_window(world: &World) -> i64 {
    let before = world.windows().len();
    world.wait(Duration::from_secs(60), "the next window opens", || world.windows().len() > before);
    *world.windows().last().unwrap()
}

fn wait_for(world: &World, height: i64) {
    world.wait(Duration::from_secs(60), "a block", || world.chain.height() >= height);
}

/// A worker that lives through a whole window on a sound chain: returns its nonce, which must be used.
fn calm_window(world: &World, tally: &mut Tally) -> i64 {
    world.calm();
    let mut process = Worker::start(world, None, 1);
    let nonce = next_window(world);
    wait_for(world, nonce + world::WINDOW);
    process.end();
    tally.kills += 1;
    nonce
}

/// A worker that begins to work in the middle of a window, on a sound chain: returns its nonce, when it must be used.
fn late_start(world: &World, chance: &mut fastrand::Rng, tally: &mut Tally) -> Option<i64> {
    world.calm();
    let nonce = next_window(world);
    wait_for(world, nonce + chance.i64(1..world::WINDOW - OPEN_BLOCKS));
    let first_asked = world.watch();
    let mut process = Worker::start(world, None, 1);
    wait_for(world, nonce + world::WINDOW);
    process.end();
    world.chain.unwatch();
    tally.kills += 1;
    let began = Some(first_asked.load(Ordering::Relaxed)).filter(|height| *height > 0)?;
    (began + OPEN_BLOCKS + MARGIN_BLOCKS <= nonce + world::WINDOW).then_some(nonce)
}

/// A worker that lives through a whole window in which one node of three does everything wrong: returns its nonce, which must be used.
fn one_bad_node(world: &World, chance: &mut fastrand::Rng, tally: &mut Tally) -> i64 {
    world.calm();
    let node = chance.usize(..world::NODES);
    let mut process = Worker::start(world, None, 1);
    let nonce = next_window(world);
    while world.chain.height() < nonce + world::WINDOW {
        *tally.faults.entry(faults::disturb_node(world, node, chance)).or_default() += 1;
        std::thread::sleep(Duration::from_millis(chance.u64(50..400)));
    }
    process.end();
    tally.kills += 1;
    nonce
}

/// A worker that lives through a whole window on a sound chain, in which a stronger one takes the only place: returns its nonce. The
/// forecast must get into a block all the same.
fn outbid(world: &World, is_first: bool, chance: &mut fastrand::Rng, tally: &mut Tally) -> i64 {
    world.calm();
    let mut process = Worker::start(world, None, 1);
    let nonce = world.next_nonce();
    if is_first {
        // No block takes this worker's forecast before the other one is there.
        wait_for(world, nonce - BLOCKS_HELD);
        world.chain.hold(2 * BLOCKS_HELD.unsigned_abs());
        wait_for(world, nonce);
    } else {
        world.wait(Duration::from_secs(60), "a forecast, or the end of its window", || {
            world.is_live(nonce) || world.chain.height() >= nonce + world::WINDOW
        });
    }
    faults::rival(world, chance, nonce, faults::STRONG);
    wait_for(world, nonce + world::WINDOW);
    process.end();
    tally.kills += 1;
    nonce
}
