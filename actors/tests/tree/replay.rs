//! How a replay ends: with a row for each slot, or not at all, whatever is killed next to its end.

use std::time::Duration;

use sentinel_actors::domain::schedule::Window;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::node::RunningNode;
use sentinel_actors::ports::{FaultInjector, FaultPoint, InjectedFault};
use sentinel_actors::root_supervisor::{NodeEnd, RootMsg};

use crate::harness::{HOUR, START, World};
use crate::test_pipeline::{TestPipeline, settings};

const SLOTS: i64 = 100;
/// Where a slow disk stops: fewer rows are left then than may wait for it.
const DURABLE: usize = 22;

fn slot(number: i64) -> UtcMs {
    UtcMs(START.0 + 1_802_000 + (number - 1) * 3_600_000)
}

/// Nothing is ordered in it: a slot without an order is worked on while the disk is slow.
fn a_replay() -> (World, TestPipeline) {
    let mut settings = settings();
    settings.window = Window { start: None, end: Some(UtcMs(slot(SLOTS).0 + 1)) };
    let world = World::new().with(|inner| {
        inner.replay = Some(UtcMs(slot(1).0 - 1));
        inner.answer = Ok(vec![0.1, 0.8, 0.1]);
    });
    (world, settings)
}

impl FaultInjector for World {
    fn at(&self, point: FaultPoint, who: &str) -> InjectedFault {
        let hangs = point == FaultPoint::PostStop && who.contains('/') && self.lock().stages_hang_at_their_end;
        let is_dead = point == FaultPoint::PreStart && self.lock().dead.is_some_and(|dead| who.ends_with(dead));
        let is_hung = point == FaultPoint::HeartbeatHandle && self.lock().hung.is_some_and(|hung| who.ends_with(hung));
        match () {
            () if hangs || is_hung => InjectedFault::Hang,
            () if is_dead => InjectedFault::Panic,
            () => InjectedFault::None,
        }
    }
}

fn all_slots() -> Vec<UtcMs> {
    (1..=SLOTS).map(slot).collect()
}

fn slots(world: &World) -> Vec<UtcMs> {
    world.lock().rows.keys().copied().collect()
}

fn kill(node: &RunningNode, path: &str) {
    node.root.cast(RootMsg::Kill(path.to_owned())).unwrap();
}

async fn end_of(node: RunningNode) -> NodeEnd {
    tokio::time::timeout(HOUR, node.done).await.expect("the replay does not end").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_replay_ends_when_each_of_its_slots_has_its_row() {
    let (world, settings) = a_replay();
    let node = world.start(settings).await;
    assert_eq!(end_of(node).await, NodeEnd::Finished);
    assert_eq!(slots(&world), all_slots());
}

/// Schedule time was past the end, and so the new pipeline was closed; its recovery set the time back to the last
/// row, and it closed before the slots that were to be worked on again.
#[tokio::test(start_paused = true)]
async fn a_replay_repeats_the_slots_of_lost_rows_before_it_ends() {
    let (world, settings) = a_replay();
    let node = world.start(settings).await;
    while slots(&world).len() < DURABLE {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.lock().disk_hangs = true;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let now = world.lock().now();
    let durable = slots(&world).len();
    assert!(now > slot(SLOTS) && durable < 50, "decided until {now}, and {durable} rows are on the disk");
    kill(&node, "journal");
    kill(&node, "eurusd");
    // Longer than until the CompetitionClock looks again.
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.lock().disk_hangs = false;
    assert_eq!(end_of(node).await, NodeEnd::Finished);
    assert_eq!(slots(&world), all_slots());
}

/// The end of the competition had come, the cycle had not ended, and the pipeline woke itself again and again: elapsed time
/// stood still in this test, and a processor was busy for a second in earnest.
#[test]
fn a_pipeline_waits_for_the_cycle_that_outlasts_its_competition() {
    let (sender, ends) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let mut settings = settings();
        settings.window = Window { start: None, end: Some(UtcMs(slot(1).0 + 2)) };
        let world = World::new();
        let end = runtime.block_on(async {
            world.with_fresh_time();
            end_of(world.start(settings).await).await
        });
        sender.send((end, slots(&world))).unwrap();
    });
    let (end, slots) = ends.recv_timeout(Duration::from_secs(20)).expect("schedule time does not move");
    assert_eq!((end, slots), (NodeEnd::Finished, vec![slot(1)]));
}

/// It had reported its end, so the next incarnation was never closed.
#[tokio::test(start_paused = true)]
async fn a_pipeline_that_is_killed_while_it_ends_ends_after_all() {
    let (world, settings) = a_replay();
    let world = world.with(|inner| inner.stages_hang_at_their_end = true);
    let node = world.start(settings).await;
    while !node.board.entries["eurusd"].status.load().ended {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    kill(&node, "eurusd");
    tokio::time::sleep(Duration::from_millis(1)).await;
    world.lock().stages_hang_at_their_end = false;
    assert_eq!(end_of(node).await, NodeEnd::Finished);
    assert_eq!(slots(&world), all_slots());
}
