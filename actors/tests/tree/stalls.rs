//! What stops without a word: whatever part it is, the verdict tells it within that part's deadline and five seconds.

use std::time::Duration;

use sentinel_actors::domain::schedule::Schedule;
use sentinel_actors::domain::verdict::{Judgement, NeedKind, Verdict};
use sentinel_actors::node::RunningNode;
use sentinel_actors::ports::{SlotFeed, elapsed_now};
use sentinel_actors::status::Seen;
use tokio::time::Instant;

use crate::announced::announced;
use crate::harness::{Inner, START, World};
use crate::test_pipeline::{TestPipeline, settings};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// An idle part is pinged every ten seconds; a node that has not moved for longer stands still.
const FRESH: Duration = Duration::from_secs(15);
/// What every surface may take beyond a deadline.
const SPARE: Duration = Duration::from_secs(5);
/// Long enough for everything.
const PATIENCE: Duration = Duration::from_secs(1800);
/// A whole cycle: a stage that hangs is ended, and runs it again while there is time.
const CYCLE: Duration = Duration::from_secs(20);
/// A decision that is later is late.
const LATE: Duration = Duration::from_secs(40);
/// What announces slots may take.
const FEED: Duration = Duration::from_secs(5);
/// From the first failing slot to the fifth, of a pipeline that decides every minute.
const FIVE_SLOTS: Duration = Duration::from_secs(240);

/// A pipeline with a slot every minute on bars of an hour, each of which it decides anew.
fn every_minute() -> TestPipeline {
    let mut minutes = settings();
    minutes.slots = SlotFeed::Grid(Schedule::every(MINUTE, Duration::ZERO).unwrap());
    minutes.policy.decide_on = sentinel_actors::domain::decision::DecideOn::Slot;
    minutes
}

/// When every part has moved, as the watchdog's thread tells it.
struct Moved {
    seen: [u64; 3],
    at: Instant,
}

impl Moved {
    fn look(&mut self, world: &World) -> Duration {
        let counters = world.lock().progress.read();
        if self.seen.iter().zip(counters).all(|(before, now)| *before != now) {
            *self = Self { seen: counters, at: elapsed_now() };
        }
        elapsed_now() - self.at
    }
}

/// As every surface judges a running node.
fn judged(world: &World, node: &RunningNode, moved: &mut Moved) -> Judgement {
    let now = world.now();
    let seen = Seen { at: now.minus(moved.look(world)), started_at: START, version: "", fresh_for: FRESH };
    Judgement::of(&node.board.view(seen), now)
}

/// What the stall changed, and when: the line that says how it is, and the verdict to a bad one.
struct Noticed {
    line: Duration,
    bad: Duration,
    judgement: Judgement,
}

/// Lets a node work.
async fn work(world: &World, moved: &mut Moved, time: Duration) {
    let until = elapsed_now() + time;
    while elapsed_now() < until {
        tokio::time::sleep(SECOND).await;
        moved.look(world);
    }
}

/// Lets a node work for some minutes, stalls a part right before a slot, and looks every second.
async fn stalled(pipeline: TestPipeline, stall: impl FnOnce(&mut Inner)) -> Noticed {
    let world = World::new().with(|inner| inner.answer = Ok(vec![0.1, 0.8, 0.1]));
    let node = world.start(pipeline).await;
    let mut moved = Moved { seen: [0; 3], at: elapsed_now() };
    work(&world, &mut moved, 3 * MINUTE - SECOND).await;
    let calm = judged(&world, &node, &mut moved);
    assert_eq!((calm.verdict, calm.to_string().as_str()), (Verdict::Working, "working"));
    stall(&mut world.lock());
    let (mut line, mut passed) = (None, Duration::ZERO);
    // The slot is due in a second.
    tokio::time::sleep(SECOND).await;
    while passed < PATIENCE {
        let judgement = judged(&world, &node, &mut moved);
        if judgement != calm {
            line.get_or_insert(passed);
        }
        if judgement.is_bad() {
            node.root.stop(None);
            return Noticed { line: line.unwrap(), bad: passed, judgement };
        }
        tokio::time::sleep(SECOND).await;
        passed += SECOND;
    }
    panic!("nothing was noticed: {:?}", judged(&world, &node, &mut moved));
}

fn is_within(noticed: &Noticed, line: Duration, bad: Duration) {
    let Noticed { line: line_at, bad: bad_at, judgement } = noticed;
    assert!(*line_at <= line + SPARE, "the line changed only after {line_at:?}: {judgement}");
    assert!(*bad_at <= bad + SPARE, "it was bad only after {bad_at:?}: {judgement}");
    assert_eq!(judgement.verdict, Verdict::NotWorking, "{judgement}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_is_said_with_its_slot_and_bad_with_the_fifth() {
    let noticed = stalled(every_minute(), |inner| inner.fetches_for = PATIENCE).await;
    is_within(&noticed, CYCLE, FIVE_SLOTS + CYCLE);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_hangs_is_said_with_its_slot_and_bad_with_the_fifth() {
    let noticed = stalled(every_minute(), |inner| inner.thinks_for = PATIENCE).await;
    is_within(&noticed, CYCLE, FIVE_SLOTS + CYCLE);
    let kinds: Vec<NeedKind> = noticed.judgement.needs.iter().map(|need| need.kind).collect();
    assert!(kinds.contains(&NeedKind::InputQuarantined), "it hangs on the same input twice: {kinds:?}");
}

#[tokio::test(start_paused = true)]
async fn a_venue_that_is_silent_is_said_with_its_slot_and_bad_with_the_fifth() {
    let stall = |inner: &mut Inner| {
        inner.venue_hangs = true;
        inner.answer = Ok(vec![0.1, 0.1, 0.8]);
    };
    is_within(&stalled(every_minute(), stall).await, CYCLE, FIVE_SLOTS + CYCLE);
}

/// Decisions that need no row of their own go on for a while, so that only its progress tells it.
#[tokio::test(start_paused = true)]
async fn a_journal_that_is_blocked_is_bad_when_it_has_not_moved_for_fifteen_seconds() {
    let stall = |inner: &mut Inner| inner.disk_hangs = true;
    is_within(&stalled(every_minute(), stall).await, FRESH, FRESH);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_is_blocked_under_an_order_is_bad_as_soon() {
    let stall = |inner: &mut Inner| {
        inner.disk_hangs = true;
        inner.answer = Ok(vec![0.1, 0.1, 0.8]);
    };
    is_within(&stalled(every_minute(), stall).await, FRESH, FRESH);
}

/// A heartbeat that hangs moves no counter; its supervisor replaces it, which takes longer than to tell it.
#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_hangs_is_bad_when_the_control_plane_has_not_moved_for_fifteen_seconds() {
    let stall = |inner: &mut Inner| inner.hung = Some("heartbeat");
    is_within(&stalled(every_minute(), stall).await, FRESH, FRESH);
}

/// What announces slots is asked all the time; a topic has few windows, so that none that is missing tells it.
#[tokio::test(start_paused = true)]
async fn a_feed_that_hangs_is_bad_when_it_has_not_answered_for_as_long_as_a_decision_may_take() {
    let world = World::new();
    let node = world.start(announced(&world)).await;
    let mut moved = Moved { seen: [0; 3], at: elapsed_now() };
    work(&world, &mut moved, MINUTE).await;
    let calm = judged(&world, &node, &mut moved);
    assert!(!calm.is_bad(), "{calm}");
    world.lock().feed_hangs = true;
    let mut passed = Duration::ZERO;
    let judgement = loop {
        tokio::time::sleep(SECOND).await;
        passed += SECOND;
        let judgement = judged(&world, &node, &mut moved);
        if judgement.is_bad() {
            break judgement;
        }
        assert!(passed <= FEED + LATE + SPARE, "it is not noticed");
    };
    assert_eq!(judgement.verdict, Verdict::NotWorking, "{judgement}");
    node.root.stop(None);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_dies_again_and_again_is_bad_with_the_slot_that_waits_for_it() {
    for dead in ["/data_fetcher", "/predictor", "/executor"] {
        let stall = |inner: &mut Inner| {
            inner.dead = Some(dead);
            // Ends the one that runs.
            inner.fetches_for = PATIENCE;
            inner.thinks_for = PATIENCE;
            inner.venue_hangs = true;
            inner.answer = Ok(vec![0.1, 0.1, 0.8]);
        };
        let noticed = stalled(every_minute(), stall).await;
        is_within(&noticed, CYCLE, FIVE_SLOTS + CYCLE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_stands_still_is_bad_after_fifteen_seconds() {
    let stall = |inner: &mut Inner| inner.clock_stands_at = Some(inner.now());
    let noticed = stalled(every_minute(), stall).await;
    is_within(&noticed, 15 * SECOND, 15 * SECOND);
    assert_eq!(noticed.judgement.needs[0].kind, NeedKind::ClockBehind);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_is_bad_at_once_however_little_it_was() {
    for back in [30 * SECOND, 3600 * SECOND] {
        let stall = |inner: &mut Inner| inner.offset_ms -= i64::try_from(back.as_millis()).unwrap();
        let noticed = stalled(every_minute(), stall).await;
        is_within(&noticed, Duration::ZERO, Duration::ZERO);
        assert_eq!(noticed.judgement.needs[0].kind, NeedKind::ClockBehind);
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_stops_is_said_after_fifteen_seconds_and_stops_nothing() {
    let world = World::new().with(|inner| inner.answer = Ok(vec![0.1, 0.8, 0.1]));
    let node = world.run(every_minute(), 2 * MINUTE).await;
    node.board.page.note();
    tokio::time::sleep(15 * SECOND + SPARE).await;
    let judgement = judged(&world, &node, &mut Moved { seen: [0; 3], at: elapsed_now() });
    assert_eq!((judgement.verdict, judgement.is_bad()), (Verdict::NeedsYou(1), false), "{judgement}");
    assert_eq!(judgement.needs[0].kind, NeedKind::PageSilent);
    node.root.stop(None);
}
