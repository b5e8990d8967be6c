//! Waiting is not hanging: stages on a thread that others keep busy, in real time; and what waits for its turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sentinel_actors::admission::{Admission, Turn};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::schedule::Window;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::node::RunningNode;
use tokio::runtime::{Handle, Runtime};

use crate::harness::{HOUR, START, World};
use crate::test_pipeline::{TestPipeline, settings};

/// The model may take this long; then it gets a grace of 30 ms.
const PREDICT: Duration = Duration::from_millis(150);

/// One slot that is due at once.
fn once() -> TestPipeline {
    let due = UtcMs(START.0 - 1_800_000 + 2_000);
    let mut settings = settings();
    settings.window = Window { start: None, end: Some(UtcMs(due.0 + 1)) };
    settings.first_slot = Some(due);
    settings.deadlines.lateness = HOUR;
    settings.deadlines.predict = PREDICT;
    settings
}

/// A runtime with one thread, for the stages.
struct WorkerThread {
    handle: Handle,
    stop: Arc<AtomicBool>,
}

impl WorkerThread {
    fn start() -> Self {
        let runtime: Runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (handle, stop) = (runtime.handle().clone(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        std::thread::spawn(move || {
            runtime.block_on(async {
                while !stopped.load(Ordering::Acquire) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
            runtime.shutdown_background();
        });
        Self { handle, stop }
    }

    /// Others take the thread for so long, whenever it is theirs.
    fn keep_busy(&self, each: Duration) {
        let stop = self.stop.clone();
        self.handle.spawn(async move {
            while !stop.load(Ordering::Acquire) {
                std::thread::sleep(each);
                tokio::task::yield_now().await;
            }
        });
    }
}

impl Drop for WorkerThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn restarts(node: &RunningNode) -> u64 {
    node.board.totals().restarts
}

/// In real time; what does not happen within half a minute fails.
async fn until(what: impl Fn() -> bool) {
    let patience = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), patience).await.unwrap();
}

async fn until_ended(world: &World) {
    until(|| !world.reasons().is_empty()).await;
}

#[tokio::test]
async fn a_stage_whose_thread_is_full_of_other_work_does_not_hang() {
    let world = World::new();
    let worker = WorkerThread::start();
    // Each of its steps comes late, and together they take more than twice what a hang is given.
    worker.keep_busy(Duration::from_millis(200));
    let node = world.start_on(once(), worker.handle.clone()).await;
    until_ended(&world).await;
    assert_eq!((world.reasons(), restarts(&node)), (vec![Reason::OrderAcked], 0));
    let row = world.lock().rows.values().next().unwrap().clone();
    assert!(row.waited_us.unwrap() > 200_000, "its waits are counted apart: {:?}", row.waited_us);
}

#[tokio::test]
async fn a_stage_whose_thread_somebody_else_blocks_does_not_hang() {
    let world = World::new().with(|inner| inner.thinks_for = Duration::from_millis(30));
    let worker = WorkerThread::start();
    let node = world.start_on(once(), worker.handle.clone()).await;
    until(|| world.lock().asked_for_models > 0).await;
    worker.handle.spawn(async { std::thread::sleep(Duration::from_millis(2800)) });
    until_ended(&world).await;
    assert_eq!(restarts(&node), 0);
}

#[tokio::test]
async fn a_stage_that_blocks_its_thread_hangs() {
    let world = World::new().with(|inner| inner.blocks_for = Duration::from_millis(2800));
    let worker = WorkerThread::start();
    let node = world.start_on(once(), worker.handle.clone()).await;
    until_ended(&world).await;
    until(|| restarts(&node) > 0).await;
    assert_eq!(world.left(), 1, "its cycle was run again, once");
}

/// The source is overdue and answers within its grace, and the model after it never answers.
#[tokio::test(start_paused = true)]
async fn a_stage_that_hangs_is_noticed_in_its_own_time_after_one_that_was_overdue() {
    let (late, never) = (Duration::from_millis(10_500), Duration::from_secs(3_600));
    let world = World::new().with(|inner| (inner.fetches_for, inner.thinks_for) = (late, never));
    let node = world.start(once()).await;
    until(|| world.lock().asked_for_models > 0).await;
    assert_eq!(restarts(&node), 0);
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    assert_eq!(restarts(&node), 1, "a second, and a fifth of it as its grace");
}

/// A world whose only turn somebody else has, until it is dropped.
fn full() -> (World, Turn) {
    let admission = Arc::new(Admission::new(1));
    let turn = admission.try_turn().unwrap();
    (World::new().with(|inner| inner.admission = admission), turn)
}

#[tokio::test(start_paused = true)]
async fn a_slot_whose_turn_does_not_come_in_time_is_missed_and_nothing_was_done_for_it() {
    let (world, turn) = full();
    let node = world.run(settings(), HOUR / 2 + Duration::from_secs(21)).await;
    assert_eq!(world.reasons(), []);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let row = world.lock().rows.values().next().unwrap().clone();
    assert_eq!((row.reason, row.attempts, row.started_at), (Reason::Overload, 0, None));
    assert_eq!(row.waited_us.map(|us| us / 1_000_000), Some(20), "as long as a slot may be late");
    assert_eq!((world.lock().asked_for_models, restarts(&node)), (0, 0));
    let overload = node.board.overload.load_full().unwrap();
    assert_eq!((overload.slots, overload.slowest), (1, None));
    drop(turn);
    tokio::time::sleep(HOUR).await;
    assert_eq!(world.reasons(), [Reason::Overload, Reason::OrderAcked]);
    assert!(node.board.overload.load().is_none(), "it is over");
}

#[tokio::test(start_paused = true)]
async fn a_newer_slot_takes_the_place_of_one_that_still_waits() {
    let (world, turn) = full();
    let mut settings = settings();
    settings.deadlines.lateness = HOUR * 10;
    let node = world.run(settings, HOUR * 2).await;
    assert_eq!(world.reasons(), [], "the second one waits, and the first gets its row before it");
    assert_eq!(node.board.totals().slots(), 1);
    drop(turn);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.reasons(), [Reason::Overload, Reason::OrderAcked]);
    assert_eq!(world.lock().left[0].2, UtcMs(START.0 + 5_400_000 + 2_000), "it is the newest bar that is decided");
}

#[tokio::test(start_paused = true)]
async fn rows_of_displaced_slots_are_written_together_but_not_kept_back_for_long() {
    let (world, turn) = full();
    let mut settings = settings();
    settings.deadlines.lateness = HOUR * 3 / 2;
    let _node = world.run(settings, HOUR * 4).await;
    assert_eq!(world.reasons(), [Reason::Overload; 2], "of three that were displaced, and one waits");
    drop(turn);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.reasons(), [[Reason::Overload; 3].as_slice(), &[Reason::OrderAcked]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_took_the_place_of_another_waits_no_longer_than_it_may_be_late() {
    let (world, _turn) = full();
    let mut settings = settings();
    settings.deadlines.lateness = HOUR * 3 / 2;
    let second = UtcMs(START.0 + 5_400_000 + 2_000);
    settings.window.end = Some(UtcMs(second.0 + 1));
    let _node = world.run(settings, HOUR * 3 - Duration::from_secs(2)).await;
    assert_eq!(world.reasons(), []);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(world.reasons(), [Reason::Overload; 2]);
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_its_turn_beyond_the_end_of_its_competition() {
    let (world, _turn) = full();
    let mut settings = settings();
    let due = UtcMs(START.0 + 1_800_000 + 2_000);
    settings.competition.end = Some(UtcMs(due.0 + 3_000));
    let _node = world.run(settings, HOUR / 2 + Duration::from_secs(6)).await;
    assert_eq!(world.reasons(), [Reason::Overload]);
}

#[tokio::test(start_paused = true)]
async fn a_replay_waits_for_its_turn_as_long_as_it_takes() {
    let (world, turn) = full();
    world.lock().replay = Some(START);
    let _node = world.run(settings(), HOUR * 5).await;
    assert_eq!(world.reasons(), [], "no time has passed for it");
    drop(turn);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(world.reasons().iter().all(|reason| *reason == Reason::OrderAcked) && world.left() > 1);
}
