//! `kill -9` of the node, and of the gateway, while they trade with each other over real ZeroMQ.
//!
//! Whatever is killed whenever: no order is lost (filled, and the journal says neither acked nor open nor held), none is
//! doubled, invented or stale.

use std::time::Duration;

use super::config::{Site, demo_span};
use super::facts::Facts;
use super::gateway::{Books, accept_live, free_port, gateway, gateway_on, ledger, order_count, replay_time_ms};
use super::node::{Ended, setting};

/// Named places, and at which passing the node dies there: about the third order.
const PLACES: [(&str, usize); 12] = [
    ("before-plan", 3),
    ("after-plan", 3),
    ("after-sent", 3),
    ("before-book-write", 3),
    ("after-book-write", 3),
    ("after-submit", 3),
    ("after-outcome", 3),
    ("before-end-slot", 40),
    ("after-end-slot", 40),
    ("before-commit", 50),
    ("after-commit", 50),
    ("before-settle", 1),
];

/// What the gateway does with the third order.
const FAULTS: [&str; 7] =
    ["", "lost-reply@3", "slow=900ms@3", "garbage@3", "previous-reply@3", "reused-ticket@3", "frozen=1s@3"];

const BARS: usize = 250;

fn is_campaign() -> bool {
    setting("SENTINEL_KILLS").is_some()
}

fn site(port: u16) -> Site {
    Site::new().with_decisions(BARS).through_gateway(port)
}

/// Runs the node until it ends by itself, killed or not, and demands that it ended well.
#[track_caller]
fn finish(site: &Site) -> Ended {
    site.start_live(&[]).end().expect(0)
}

#[derive(Debug, Default)]
struct Tally {
    runs: usize,
    kills: usize,
    books: Books,
}

impl Tally {
    fn add(&mut self, runs: usize, kills: usize, books: Books) {
        self.runs += runs;
        self.kills += kills;
        self.books.fills += books.fills;
        self.books.held += books.held;
        self.books.open += books.open;
        self.books.absent += books.absent;
    }
}

fn die_at(place: &str, count: usize, fault: &str) -> (usize, Books) {
    let port = free_port();
    let site = site(port);
    let faults = [fault];
    let _gateway = gateway(site.path(), port, if fault.is_empty() { &[] } else { &faults });
    let died = site.start_live(&["--die-at", &format!("{place}:{count}")]).end();
    assert!(died.was_killed(), "{place}:{count} was never passed: {died:#?}");
    finish(&site);
    (1, accept_live(&site, demo_span(BARS)).1)
}

#[test]
fn killed_at_any_point_with_any_gateway_fault_no_order_is_wrong() {
    let mut sum = Tally::default();
    for (index, (place, count)) in PLACES.into_iter().enumerate() {
        for (number, fault) in FAULTS.into_iter().enumerate() {
            // A plain `cargo test` takes one fault per place, in turn; the campaign takes all.
            if is_campaign() || index % FAULTS.len() == number {
                let (kills, books) = die_at(place, count, fault);
                sum.add(2, kills, books);
            }
        }
    }
    assert!(sum.books.fills > sum.runs, "too few orders to prove anything: {sum:?}");
    println!("named places: {sum:?}");
}

/// The node is killed, and so is the gateway, when it has not died with the third order in its hands before. The node is
/// started again at once; the gateway comes back later, without its memory of ids.
fn gateway_returns(place: &str, count: usize, away: Duration) -> Books {
    let port = free_port();
    let speed = if is_campaign() { "speed = 20" } else { "speed = 90" };
    let site = site(port).with("speed = \"max\"", speed);
    let first = gateway(site.path(), port, &["die@3"]);
    let died = site.start_live(&["--die-at", &format!("{place}:{count}")]).end();
    assert!(died.was_killed(), "{place}:{count} was never passed: {died:#?}");
    first.killed_after(Duration::ZERO);
    let second = std::thread::scope(|scope| {
        let comes_back = scope.spawn(|| {
            std::thread::park_timeout(away);
            gateway(site.path(), port, &[])
        });
        finish(&site);
        comes_back.join().unwrap()
    });
    let books = accept_live(&site, demo_span(BARS)).1;
    drop(second);
    books
}

/// A hedging account with stops and targets, of which the node sees nothing: what it meant is all that it may have sent.
#[test]
fn killed_on_a_hedging_account_with_stops_each_order_is_as_intended() {
    let places = ["after-plan", "after-sent", "before-book-write", "after-book-write", "after-outcome"];
    let (mut sum, mut ended) = (Tally::default(), 0);
    for (index, place) in places.into_iter().enumerate() {
        for (number, fault) in FAULTS.into_iter().enumerate() {
            if is_campaign() || index % FAULTS.len() == number {
                let port = free_port();
                let site = Site::new().with_decisions(BARS).through_hedging_gateway(port);
                let faults = [fault];
                let _gateway = gateway_on(site.path(), port, "hedging", if fault.is_empty() { &[] } else { &faults });
                let died = site.start_live(&["--die-at", &format!("{place}:3")]).end();
                assert!(died.was_killed(), "{place} was never passed: {died:#?}");
                finish(&site);
                let (facts, books) = accept_live(&site, demo_span(BARS));
                ended += facts.hedged.unwrap().iter().filter(|position| position.closed.is_some()).count();
                sum.add(2, 1, books);
            }
        }
    }
    assert!(sum.books.fills > sum.runs && ended > sum.runs, "too few orders to prove anything: {ended} of {sum:?}");
    println!("hedging account: {sum:?}, {ended} positions ended");
}

#[test]
fn a_gateway_that_dies_with_an_order_gets_none_twice_or_late() {
    let away = if is_campaign() { Duration::from_secs(20) } else { Duration::from_secs(2) };
    let places: Vec<(&str, usize)> = PLACES
        .into_iter()
        .filter(|(place, _)| is_campaign() || ["before-plan", "after-sent", "after-submit"].contains(place))
        .collect();
    let mut sum = Tally::default();
    // Most of the time is spent waiting, so all of them wait together.
    std::thread::scope(|scope| {
        let runs: Vec<_> =
            places.iter().map(|(place, count)| scope.spawn(move || gateway_returns(place, *count, away))).collect();
        for run in runs {
            sum.add(2, 1, run.join().unwrap());
        }
    });
    assert!(sum.books.held + sum.books.open > 0, "an order in a dead gateway's hands must be held: {sum:?}");
    println!("gateway away for {away:?}: {sum:?}");
}

/// The slot of the order has no row, so the next node would take up its replay at the slot before, while the gateway still
/// holds the order.
#[test]
fn an_order_in_slow_hands_sees_no_time_before_it_came() {
    let port = free_port();
    let site = site(port);
    let _gateway = gateway(site.path(), port, &["slow=3s@1"]);
    let died = site.start_live(&["--die-at", "after-outcome:1"]).end();
    assert!(died.was_killed(), "{died:#?}");
    let slow_site = site.with("speed = \"max\"", "speed = 0.1");
    let mut waiting = slow_site.start_live(&[]);
    waiting.wait_for("fill", |_| order_count(slow_site.path()) == 1);
    let market_ms = replay_time_ms(slow_site.path());
    waiting.killed_after(Duration::ZERO);
    let intents = Facts::with_ledger(&slow_site.state(), &ledger(slow_site.path())).intents;
    assert_eq!(intents.iter().map(|intent| intent.slot_ms).collect::<Vec<_>>(), [market_ms]);
    let site = slow_site.with("speed = 0.1", "speed = \"max\"");
    finish(&site);
    let books = accept_live(&site, demo_span(BARS)).1;
    assert!(books.fills > 1, "{books:?}");
}

#[test]
fn killed_at_random_moments_nothing_is_lost_doubled_invented_or_stale() {
    let wanted = if is_campaign() { 100 } else { 6 };
    let mut chance = seeded();
    let whole_run = {
        let port = free_port();
        let site = site(port);
        let _gateway = gateway(site.path(), port, &[]);
        finish(&site).took
    };
    let mut sum = Tally::default();
    let mut sites = 0;
    // An order that is held early keeps its node from further ones: then another node has to show something.
    while sum.kills < wanted || sum.books.fills <= sum.runs && sites < 10 * wanted {
        sites += 1;
        let port = free_port();
        let site = site(port);
        let faults =
            ["lost-reply@2", "slow=700ms@4", "previous-reply@5", "garbage@6", "reused-ticket@8", "lost-reply@9"];
        let _gateway = gateway(site.path(), port, &faults[..chance.usize(..=faults.len())]);
        let (mut runs, mut kills) = (0, 0);
        loop {
            runs += 1;
            assert!(runs < 60, "no end after {runs} starts");
            let ended = site.start_live(&[]).killed_after(whole_run.mul_f64(chance.f64()));
            if !ended.was_killed() {
                ended.expect(0);
                break;
            }
            kills += 1;
        }
        sum.add(runs, kills, accept_live(&site, demo_span(BARS)).1);
    }
    assert!(sum.books.fills > sum.runs, "too few orders to prove anything: {sum:?}");
    println!("random kills of the node: {sum:?}");
}

#[test]
fn a_gateway_killed_at_random_moments_loses_doubles_and_invents_nothing() {
    let wanted = if is_campaign() { 40 } else { 4 };
    let mut chance = seeded();
    let mut sum = Tally::default();
    let mut sites = 0;
    // An order that is held early keeps its node from further ones: then another node has to show something.
    while sum.kills < wanted || sum.books.fills <= sum.runs && sites < 10 * wanted {
        sites += 1;
        let port = free_port();
        let site = site(port).with("speed = \"max\"", "speed = 120");
        let mut there = Some(gateway(site.path(), port, &[]));
        let mut node = site.start_live(&[]);
        let mut kills = 0;
        let ended = loop {
            if let Some(ended) = node.ended_within(Duration::from_millis(chance.u64(50..900))) {
                break ended;
            }
            there = match there.take() {
                Some(alive) => {
                    kills += 1;
                    alive.killed_after(Duration::ZERO);
                    None
                }
                None => Some(gateway(site.path(), port, &[])),
            };
        };
        ended.expect(0);
        sum.add(1, kills, accept_live(&site, demo_span(BARS)).1);
    }
    assert!(sum.books.fills > sum.runs, "too few orders to prove anything: {sum:?}");
    println!("random kills of the gateway: {sum:?}");
}

fn seeded() -> fastrand::Rng {
    let seed = setting("SENTINEL_SEED").map_or_else(|| fastrand::u64(..1_000_000), |seed| seed as u64);
    println!("seed {seed}");
    fastrand::Rng::with_seed(seed)
}
