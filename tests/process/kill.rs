//! `kill -9` of the real node, at every named place and at random moments.
//!
//! Killed and started again until it ends, a run must leave what an uninterrupted run leaves: the same slots, the same
//! decisions, the same orders. There is one honest exception. Killed between `sent` and the venue's book, a node cannot
//! know whether the order left; it asks, finds that it did not, and does not send it again. That slot ends as
//! `intent_stands`, and the orders after it are those of a book without this one.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use super::config::{Site, demo_span};
use super::evidence::accept;
use super::facts::{Facts, Slot};
use super::node::{Ended, run, setting};

/// Every fault point at which a test can kill this node, and whether it is passed repeatedly.
const PLACES: [(&str, bool); 13] = [
    ("before-plan", true),
    ("after-plan", true),
    ("after-sent", true),
    ("before-book-write", true),
    ("after-book-write", true),
    ("after-submit", true),
    ("after-outcome", true),
    ("before-end-slot", true),
    ("after-end-slot", true),
    ("before-commit", true),
    ("after-commit", true),
    ("before-settle", false),
    ("predictor", true),
];
/// A run that is killed so often and still does not end makes no progress.
const STARTS_MAX: usize = 40;

/// A campaign kills so often that it needs a longer run.
fn bars() -> usize {
    if setting("SENTINEL_KILLS").is_some() { 1_500 } else { 500 }
}

fn site() -> Site {
    Site::new().with_decisions(bars())
}

/// What an uninterrupted run leaves, and how long it takes.
fn undisturbed() -> &'static (Facts, Duration) {
    static FACTS: OnceLock<(Facts, Duration)> = OnceLock::new();
    FACTS.get_or_init(|| {
        let site = site();
        let ended = site.start(&[]).end().expect(0);
        let facts = accept(&site.state(), demo_span(bars()));
        assert!(facts.orders.len() >= 4, "too few orders to prove anything: {}", facts.orders.len());
        assert!(facts.intents.iter().all(|intent| intent.state == "acked"));
        (facts, ended.took)
    })
}

/// What a bar was judged to be, whatever became of it.
fn judgement(slot: &Slot) -> (i64, Option<i64>, Option<&str>, Option<f64>) {
    (slot.at_ms, slot.decided_bar_ms, slot.signal.as_deref(), slot.confidence)
}

/// What kills cost at most.
#[derive(Debug, Default)]
struct Tally {
    runs: usize,
    kills: usize,
    never_sent: usize,
}

/// Accepts a run that was killed `kills` times, and says how many orders were never sent because of that.
#[track_caller]
fn compare_with_undisturbed(state: &Path, kills: usize) -> usize {
    let (expected, _) = undisturbed();
    let facts = accept(state, demo_span(bars()));
    for (mine, theirs) in facts.slots.iter().zip(&expected.slots) {
        assert_eq!(judgement(mine), judgement(theirs), "a bar was judged differently after a kill");
    }
    let absent: Vec<_> = facts.intents.iter().filter(|intent| intent.state == "absent").collect();
    assert!(absent.len() <= kills, "{kills} kills cannot lose {} orders: {absent:?}", absent.len());
    let Some(first_absent_ms) = absent.iter().map(|intent| intent.slot_ms).min() else {
        assert_eq!(facts.orders, expected.orders);
        assert_eq!(facts.positions, expected.positions);
        let reasons = |facts: &Facts| facts.slots.iter().map(|slot| slot.reason.clone()).collect::<Vec<_>>();
        assert_eq!(reasons(&facts), reasons(expected));
        return 0;
    };
    let before = |facts: &Facts| facts.orders.iter().filter(|o| o.at_ms < first_absent_ms).cloned().collect::<Vec<_>>();
    assert_eq!(before(&facts), before(expected), "orders differ before the first one that was never sent");
    for intent in &absent {
        let slot = facts.slots.iter().find(|slot| slot.at_ms == intent.slot_ms).unwrap();
        // The close of a reversal may have been done before its other half was lost.
        let is_reported = slot.reason == "intent_stands" || slot.detail.contains("intent_stands");
        assert!(is_reported, "an order that was never sent is not reported: {intent:?}, {slot:?}");
    }
    absent.len()
}

/// Starts the node again and lets it run to its end.
#[track_caller]
fn finish(site: &Site) -> Ended {
    site.start(&[]).end().expect(0)
}

fn die_at(place: &str, count: usize) -> Tally {
    let site = site();
    let died = site.start(&["--die-at", &format!("{place}:{count}")]).end();
    assert!(died.was_killed(), "{place}:{count} was never passed: {died:#?}");
    finish(&site);
    Tally { runs: 2, kills: 1, never_sent: compare_with_undisturbed(&site.state(), 1) }
}

fn counts(repeated: bool) -> &'static [usize] {
    match (repeated, setting("SENTINEL_KILLS").is_some()) {
        (false, _) => &[1],
        (true, false) => &[3],
        (true, true) => &[1, 3, 17],
    }
}

#[test]
fn killed_at_any_named_place_a_run_ends_as_if_it_had_never_been_killed() {
    undisturbed();
    let mut sum = Tally::default();
    for (place, repeated) in PLACES {
        for count in counts(repeated) {
            let one = die_at(place, *count);
            // These places lie between the durable `sent` and the book; no other one may cost an order.
            let may_cost = matches!(place, "after-sent" | "before-book-write" | "after-commit");
            assert!(one.never_sent == 0 || may_cost, "{place}:{count} lost an order");
            sum.runs += one.runs;
            sum.kills += one.kills;
            sum.never_sent += one.never_sent;
        }
    }
    println!("{} kills at {} places, {} runs, {} orders never sent", sum.kills, PLACES.len(), sum.runs, sum.never_sent);
}

/// The book is a step ahead of the rows then: it knows how a position ended, and the slots before that are run again.
#[test]
fn killed_after_any_write_of_the_book_a_run_ends_as_if_it_had_never_been_killed() {
    let all = setting("SENTINEL_KILLS").is_some();
    let mut writes = 0;
    for count in 1..if all { usize::MAX } else { 4 } {
        let site = site();
        let died = site.start(&["--die-at", &format!("after-book-write:{count}")]).end();
        if !died.was_killed() {
            break;
        }
        finish(&site);
        compare_with_undisturbed(&site.state(), 1);
        writes += 1;
    }
    let has_ends = writes > undisturbed().0.orders.len();
    assert!(has_ends || !all, "{writes} writes have no end of a position among them");
}

#[test]
fn killed_at_every_place_one_after_the_other_a_run_still_ends_right() {
    let site = site();
    let mut kills = 0;
    for (place, _) in PLACES {
        kills += usize::from(site.start(&["--die-at", place]).end().was_killed());
    }
    assert_eq!(kills, PLACES.len(), "every start passes every place before the year is over");
    finish(&site);
    let never_sent = compare_with_undisturbed(&site.state(), kills);
    println!("{kills} kills on one state, {never_sent} orders never sent");
}

#[test]
fn killed_at_random_moments_a_run_ends_as_if_it_had_never_been_killed() {
    let wanted = setting("SENTINEL_KILLS").unwrap_or(8);
    let seed = setting("SENTINEL_SEED").map_or_else(|| fastrand::u64(..1_000_000), |seed| seed as u64);
    println!("seed {seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let (_, whole_run) = undisturbed();
    let mut sum = Tally::default();
    while sum.kills < wanted {
        let site = site();
        let mut kills = 0;
        for number in 1.. {
            assert!(number <= STARTS_MAX, "no end after {STARTS_MAX} starts");
            sum.runs += 1;
            // Some die while they start, most while they work, a few are spared.
            let ended = site.start(&[]).killed_after(whole_run.mul_f64(chance.f64()));
            if !ended.was_killed() {
                ended.expect(0);
                break;
            }
            kills += 1;
        }
        sum.kills += kills;
        sum.never_sent += compare_with_undisturbed(&site.state(), kills);
    }
    println!("{} kills at random moments, {} runs, {} orders never sent", sum.kills, sum.runs, sum.never_sent);
}

#[test]
fn a_run_that_is_over_stays_as_it_is_when_it_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let args = ["demo", "--speed", "max", "--bars", "100", "--state", "state"];
    run(folder.path(), args).expect(0).says(&["ledger and journal one to one: holds"]);
    let first = accept(&state, demo_span(100));
    run(folder.path(), args).expect(0).says(&["ledger and journal one to one: holds"]);
    assert_eq!(Facts::read(&state), first);
}
