//! `kill -9` of the node, and of the gateway, while they trade with each other over real ZeroMQ, in each dialect that can settle an
//! order.
//!
//! Whatever is killed whenever: no order is lost (filled, and the journal says neither acked nor open nor held), none is
//! doubled, invented or stale. What asking cannot settle an operator ends who looks into the ledger, and then each order is
//! confirmed once.

use std::time::Duration;

use super::config::{Site, demo_span};
use super::facts::{Facts, has_journal};
use super::gateway::{accept_live, free_port, gateway, ledger, order_count, replay_time_ms};
use super::gateway_campaign::{BARS, DIALECTS, Dialect, Tally, gateway_in, kills, settle_open};
use super::node::{Ended, setting};

/// Named places, and at which passing the node dies there; where it is none, at that of the order that is hit.
const PLACES: [(&str, Option<usize>); 12] = [
    ("before-plan", None),
    ("after-plan", None),
    ("after-sent", None),
    ("before-book-write", None),
    ("after-book-write", None),
    ("after-submit", None),
    ("after-outcome", None),
    ("before-end-slot", Some(40)),
    ("after-end-slot", Some(40)),
    ("before-commit", Some(50)),
    ("after-commit", Some(50)),
    ("before-settle", Some(1)),
];

/// What the gateway does with the order that is hit.
const FAULTS: [&str; 8] =
    ["", "lost-reply", "slow=900ms", "garbage", "previous-reply", "reused-ticket", "frozen=1s", "stranger-id"];

/// Which faults a place meets: all of them in a large campaign.
fn faults_at(index: usize) -> impl Iterator<Item = (usize, &'static str)> {
    let count = kills().map_or(1, |kills| (kills / 30).clamp(1, FAULTS.len()));
    (0..count).map(move |turn| {
        let turn = index + turn * FAULTS.len() / count;
        (turn, FAULTS[turn % FAULTS.len()])
    })
}

/// A fault of the order that is hit.
fn at(fault: &str, hit: usize) -> String {
    if fault.is_empty() { String::new() } else { format!("{fault}@{hit}") }
}

/// Runs the node until it ends by itself, killed or not, and demands that it ended well.
#[track_caller]
fn finish(site: &Site) -> Ended {
    site.start_live(&[]).end().expect(0)
}

/// The node dies at a place, and goes on; `account` is the gateway's.
fn die_at(site: &Site, port: u16, account: &str, place: &str, fault: String) {
    let _gateway = gateway_in(site, port, account, &[fault]);
    let died = site.start_live(&["--die-at", place]).end();
    assert!(died.was_killed(), "{place} was never passed: {died:#?}");
    finish(site);
}

#[test]
fn killed_at_any_point_with_any_gateway_fault_no_order_is_wrong() {
    for dialect in &DIALECTS {
        let mut sum = Tally::default();
        for (index, (place, count)) in PLACES.into_iter().enumerate() {
            for (turn, fault) in faults_at(index) {
                let (port, hit) = (free_port(), dialect.hit(turn));
                let site = dialect.site(turn, port);
                die_at(&site, port, "netting", &format!("{place}:{}", count.unwrap_or(hit)), at(fault, hit));
                sum.add(Tally { runs: 2, node_kills: 1, ..Tally::default() });
                sum.judge(&site);
            }
        }
        sum.shows_orders().end(dialect, "named places");
    }
}

/// With stops and targets, of which the node sees nothing, or sees that a position is gone: what it meant is all that it may
/// have sent.
#[test]
fn killed_on_a_hedging_account_with_stops_each_order_is_as_intended() {
    let places = ["after-plan", "after-sent", "before-book-write", "after-book-write", "after-outcome"];
    for dialect in &DIALECTS {
        let (mut sum, mut ended) = (Tally::default(), 0);
        for (index, place) in places.into_iter().enumerate() {
            for (turn, fault) in faults_at(index) {
                let port = free_port();
                let site = dialect.hedging_site(turn, port);
                die_at(&site, port, "hedging", &format!("{place}:3"), at(fault, 3));
                sum.add(Tally { runs: 2, node_kills: 1, ..Tally::default() });
                let facts = sum.judge(&site);
                ended += facts.hedged.unwrap().iter().filter(|position| position.closed.is_some()).count();
            }
        }
        assert!(ended > sum.runs, "too few positions ended to prove anything: {ended}, {sum}");
        sum.shows_orders().end(dialect, &format!("hedging account, where {ended} positions ended"));
    }
}

/// The node is killed, and so is the gateway, when it has not died with the order in its hands before. The node is started
/// again at once; the gateway comes back later, without its memory of ids.
fn gateway_returns(dialect: &Dialect, turn: usize, (place, count): (&str, Option<usize>), away: Duration) -> Tally {
    let (port, hit) = (free_port(), dialect.hit(turn));
    let speed = if kills().is_some() { "speed = 20" } else { "speed = 90" };
    let site = dialect.site(turn, port).with("speed = \"max\"", speed);
    let death = if turn.is_multiple_of(2) { "die" } else { "die-before" };
    let first = gateway_in(&site, port, "netting", &[at(death, hit)]);
    let died = site.start_live(&["--die-at", &format!("{place}:{}", count.unwrap_or(hit))]).end();
    assert!(died.was_killed(), "{place} was never passed: {died:#?}");
    first.killed_after(Duration::ZERO);
    let second = std::thread::scope(|scope| {
        let comes_back = scope.spawn(|| {
            std::thread::park_timeout(away);
            gateway(site.path(), port, &[])
        });
        finish(&site);
        comes_back.join().unwrap()
    });
    drop(second);
    let mut sum = Tally { runs: 2, node_kills: 1, gateway_kills: 1, ..Tally::default() };
    sum.judge(&site);
    sum
}

#[test]
fn a_gateway_that_dies_with_an_order_gets_none_twice_or_late() {
    let away = if kills().is_some() { Duration::from_secs(20) } else { Duration::from_secs(2) };
    let is_wanted = |place: &str| kills().is_some() || ["before-plan", "after-sent", "after-submit"].contains(&place);
    let places: Vec<_> = PLACES.into_iter().filter(|(place, _)| is_wanted(place)).collect();
    // Most of the time is spent waiting, so all of them wait together.
    std::thread::scope(|scope| {
        let start = |dialect| {
            let run = move |(turn, place)| scope.spawn(move || gateway_returns(dialect, turn, place, away));
            (dialect, places.iter().copied().enumerate().map(run).collect::<Vec<_>>())
        };
        for (dialect, runs) in DIALECTS.each_ref().map(start) {
            let mut sum = Tally::default();
            runs.into_iter().for_each(|run| sum.add(run.join().unwrap()));
            assert!(sum.books.held + sum.books.open > 0, "an order in a dead gateway's hands must stay open: {sum}");
            sum.end(dialect, &format!("gateway away for {away:?}"));
        }
    });
}

/// The slot of the order has no row, so the next node would take up its replay at the slot before, while the gateway still
/// holds the order.
#[test]
fn an_order_in_slow_hands_sees_no_time_before_it_came() {
    let port = free_port();
    let site = DIALECTS[0].site(0, port);
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

/// How long a run lasts that nothing disturbs.
fn undisturbed(dialect: &Dialect) -> Duration {
    let port = free_port();
    let site = dialect.site(0, port);
    let _gateway = gateway(site.path(), port, &[]);
    finish(&site).took
}

/// Kills a node again and again until it ends. Now and then a person takes everything down and settles what is open.
fn killed_at_random(dialect: &Dialect, turn: usize, whole_run: Duration, chance: &mut fastrand::Rng) -> Tally {
    let faults = ["lost-reply@2", "slow=700ms@4", "previous-reply@5", "garbage@6", "reused-ticket@8", "lost-reply@9"];
    let faults: Vec<String> = faults[..chance.usize(..=faults.len())].iter().map(ToString::to_string).collect();
    let port = free_port();
    let site = dialect.site(turn, port);
    let mut there = gateway_in(&site, port, "netting", &faults);
    let mut sum = Tally::default();
    loop {
        sum.runs += 1;
        assert!(sum.runs < 60, "no end after {} starts", sum.runs);
        let ended = site.start_live(&[]).killed_after(whole_run.mul_f64(chance.f64()));
        if !ended.was_killed() {
            ended.expect(0);
            break;
        }
        sum.node_kills += 1;
        if chance.usize(..3) == 0 && has_journal(&site.state()) {
            sum.gateway_kills += 1;
            there.killed_after(Duration::ZERO);
            let settled = settle_open(&site);
            sum.add(Tally { settled, ..Tally::default() });
            there = gateway_in(&site, port, "netting", &[]);
        }
    }
    drop(there);
    sum.judge(&site);
    sum
}

#[test]
fn killed_at_random_moments_nothing_is_lost_doubled_invented_or_stale() {
    let wanted = kills().map_or(6, |kills| kills * 3 / 4);
    let mut chance = seeded();
    for dialect in &DIALECTS {
        let whole_run = undisturbed(dialect);
        let (mut sum, mut sites) = (Tally::default(), 0);
        // An order that is held early keeps its node from further ones: then another node has to show something.
        while sum.node_kills < wanted || sum.books.fills <= sum.runs && sites < 10 * wanted {
            sum.add(killed_at_random(dialect, sites, whole_run, &mut chance));
            sites += 1;
        }
        sum.shows_orders().end(dialect, "random kills of the node");
    }
}

/// A node trades to its end while its gateway is killed and started again at random.
fn gateway_killed_at_random(dialect: &Dialect, turn: usize, chance: &mut fastrand::Rng) -> Tally {
    let port = free_port();
    let site = dialect.site(turn, port).with("speed = \"max\"", "speed = 120");
    let mut there = Some(gateway(site.path(), port, &[]));
    let mut node = site.start_live(&[]);
    let mut sum = Tally { runs: 1, ..Tally::default() };
    let ended = loop {
        if let Some(ended) = node.ended_within(Duration::from_millis(chance.u64(50..900))) {
            break ended;
        }
        there = match there.take() {
            Some(alive) => {
                sum.gateway_kills += 1;
                alive.killed_after(Duration::ZERO);
                None
            }
            None => Some(gateway(site.path(), port, &[])),
        };
    };
    ended.expect(0);
    drop(there);
    sum.judge(&site);
    sum
}

#[test]
fn a_gateway_killed_at_random_moments_loses_doubles_and_invents_nothing() {
    let wanted = kills().unwrap_or(4);
    let mut chance = seeded();
    for dialect in &DIALECTS {
        let (mut sum, mut sites) = (Tally::default(), 0);
        // An order that is held early keeps its node from further ones: then another node has to show something.
        while sum.gateway_kills < wanted || sum.books.fills <= sum.runs && sites < 10 * wanted {
            // They wait most of the time, so some wait together.
            let together = if kills().is_some() { 3 } else { 1 };
            let chances: Vec<_> = (0..together).map(|_| chance.fork()).collect();
            std::thread::scope(|scope| {
                let run = |(turn, mut chance)| {
                    scope.spawn(move || gateway_killed_at_random(dialect, sites + turn, &mut chance))
                };
                let runs: Vec<_> = chances.into_iter().enumerate().map(run).collect();
                runs.into_iter().for_each(|run| sum.add(run.join().unwrap()));
            });
            sites += together;
        }
        sum.shows_orders().end(dialect, "random kills of the gateway");
    }
}

fn seeded() -> fastrand::Rng {
    let seed = setting("SENTINEL_SEED").map_or_else(|| fastrand::u64(..1_000_000), |seed| seed as u64);
    println!("seed {seed}");
    fastrand::Rng::with_seed(seed)
}
