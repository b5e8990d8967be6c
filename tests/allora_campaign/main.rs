//! `kill -9` of a process that submits, on a chain of three nodes that lose replies, forget transactions, change the price, fall
//! behind and restart.
//!
//! Each window of a topic is to be used at most once, and paid for at most once. What the process says about each submission in
//! the end is compared with what the chain has. The process under test is this test binary itself, started again for
//! [`worker::the_process_under_test`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a failing test should panic, and real processes need real time"
)]

mod worker;
mod world;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sentinel::venues::allora::broadcaster::Outcome;

use self::worker::{Died, Worker};
use self::world::World;

/// Transactions that a campaign takes: `SENTINEL_TRANSACTIONS`, with this many when it is not set.
const TRANSACTIONS: usize = 12;
/// Every place at which the broadcaster can die.
const PLACES: [&str; 5] = ["before-sign", "after-sign", "before-broadcast", "after-broadcast", "after-fate"];
/// A campaign that makes no progress ends.
const PATIENCE: Duration = Duration::from_secs(60);

fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// What a campaign has done, to see that it has tried something.
#[derive(Debug, Default)]
struct Tally {
    transactions: usize,
    submissions: usize,
    starts: usize,
    /// At any moment.
    kills: usize,
    /// At a named place.
    deaths: BTreeMap<&'static str, usize>,
    faults: BTreeMap<&'static str, usize>,
}

#[test]
fn no_submission_has_two_effects_or_two_fees_whatever_dies_or_is_lost() {
    let wanted = setting("SENTINEL_TRANSACTIONS").unwrap_or(TRANSACTIONS);
    let seed = setting("SENTINEL_SEED").map_or_else(|| fastrand::u64(..1_000_000), |seed| seed as u64);
    // Several chains side by side: most of the time is waiting for blocks.
    let chains = if wanted > 50 { 4 } else { 2 };
    let threads: Vec<_> = (0..chains)
        .map(|number| std::thread::spawn(move || campaign(seed * 10 + number, wanted.div_ceil(chains as usize))))
        .collect();
    let ended: Vec<_> = threads.into_iter().map(std::thread::JoinHandle::join).collect();
    assert!(ended.iter().all(Result::is_ok), "seed {seed}");
    let tallies: Vec<Tally> = ended.into_iter().map(Result::unwrap).collect();
    let has =
        |sum: fn(&Tally) -> &BTreeMap<&'static str, usize>, what| tallies.iter().any(|one| sum(one).contains_key(what));
    if wanted >= 100 {
        assert!(PLACES.iter().all(|place| has(|tally| &tally.deaths, place)), "{tallies:?}");
        assert!(world::FAULTS.iter().all(|fault| has(|tally| &tally.faults, fault)), "{tallies:?}");
    }
    let sum = |count: fn(&Tally) -> usize| tallies.iter().map(count).sum::<usize>();
    println!(
        "{} transactions for {} submissions, {} starts, {} kills at random and {} at named places, seed {seed}",
        sum(|tally| tally.transactions),
        sum(|tally| tally.submissions),
        sum(|tally| tally.starts),
        sum(|tally| tally.kills),
        sum(|tally| tally.deaths.values().sum()),
    );
}

fn campaign(seed: u64, wanted: usize) -> Tally {
    let mut chance = fastrand::Rng::with_seed(seed);
    let world = World::new(seed);
    let mut tally = Tally::default();
    let (mut done, mut since) = (0, Instant::now());
    while done < wanted {
        assert!(since.elapsed() < PATIENCE, "seed {seed}: no progress after {done} transactions\n{}", world.said());
        let place = chance.bool().then(|| PLACES[chance.usize(..PLACES.len())]);
        let mut process = Worker::start(&world, place, chance.usize(1..4));
        tally.starts += 1;
        // Until it has come to its place, or to a moment that nobody chose.
        let lives_for = Duration::from_millis(if place.is_some() { 3_000 } else { chance.u64(50..2_500) });
        let began = Instant::now();
        while began.elapsed() < lives_for && process.is_alive() {
            *tally.faults.entry(world.disturb(&mut chance)).or_default() += 1;
            std::thread::sleep(Duration::from_millis(chance.u64(20..150)));
        }
        match process.end() {
            Died::Killed => tally.kills += 1,
            Died::AtItsPlace => *tally.deaths.entry(place.unwrap()).or_default() += 1,
            Died::Otherwise(how) => panic!("seed {seed}: it ended by itself: {how}\n{}", world.said()),
        }
        let now = world.chain.truth().included.len();
        if now > done {
            (done, since) = (now, Instant::now());
        }
    }
    world.calm();
    let verdicts = worker::settle_everything(&world);
    judge(seed, &world, &verdicts);
    Tally { transactions: done, submissions: verdicts.len(), ..tally }
}

/// Compares what is said about each submission with what the chain has.
fn judge(seed: u64, world: &World, verdicts: &BTreeMap<String, Outcome>) {
    let truth = world.chain.truth();
    assert_eq!(truth.paid_twice(), [], "seed {seed}");
    assert_eq!(truth.done_twice(), [], "seed {seed}");
    let mut fees = 0;
    let mut in_blocks = 0;
    for (key, outcome) in verdicts {
        let of_key = world.included_for(&truth, key);
        let facts = format!("seed {seed}, {key}: {outcome:?}\nthe chain has {of_key:#?}");
        match outcome {
            Outcome::Included(receipt) | Outcome::Failed { receipt, .. } => {
                let succeeded = matches!(outcome, Outcome::Included(_));
                let is_it = |tx: &&&_| world::is_receipt(tx, receipt, succeeded);
                assert_eq!(of_key.iter().filter(is_it).count(), 1, "{facts}");
                fees += receipt.fee_uallo;
                in_blocks += usize::from(receipt.fee_uallo > 0);
            }
            Outcome::NotSent(_) | Outcome::Refused { .. } => assert!(of_key.iter().all(|tx| tx.fee == 0), "{facts}"),
            Outcome::Unknown { .. } | Outcome::Unproven { .. } => panic!("still not known: {facts}"),
        }
    }
    let paid: u128 = truth.fees(&world.address);
    assert_eq!(fees, paid, "seed {seed}: the receipts do not add up to what the account has paid");
    let landed = truth.of(&world.address).iter().filter(|tx| tx.fee > 0).count();
    assert_eq!(in_blocks, landed, "seed {seed}");
}
