//! A single run on a live source: the newest slot that is due, at once, and then the end.

use std::time::Duration;

use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::schedule::Window;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::root_supervisor::NodeEnd;

use crate::harness::{HOUR, START, World};
use crate::test_pipeline::{TestPipeline, settings};

/// Half an hour before the start.
const NEWEST_DUE: UtcMs = UtcMs(START.0 - 1_800_000 + 2_000);

fn once() -> TestPipeline {
    let mut settings = settings();
    settings.window = Window { start: None, end: Some(UtcMs(NEWEST_DUE.0 + 1)) };
    settings.first_slot = Some(NEWEST_DUE);
    settings.deadlines.lateness = HOUR;
    settings
}

#[tokio::test(start_paused = true)]
async fn a_single_run_decides_the_newest_slot_at_once_and_ends() {
    let world = World::new();
    let mut node = world.run(once(), Duration::from_secs(3)).await;
    let rows: Vec<(UtcMs, Reason)> = world.lock().rows.values().map(|row| (row.slot, row.reason)).collect();
    assert_eq!(rows, [(NEWEST_DUE, Reason::OrderAcked)]);
    assert_eq!(node.done.try_recv(), Ok(NodeEnd::Finished));
}

#[tokio::test(start_paused = true)]
async fn a_single_run_leaves_a_slot_alone_that_was_decided_before() {
    let world = World::new();
    let mut first = world.run(once(), Duration::from_secs(3)).await;
    assert_eq!(first.done.try_recv(), Ok(NodeEnd::Finished));
    let mut second = world.run(once(), Duration::from_secs(3)).await;
    assert_eq!(second.done.try_recv(), Ok(NodeEnd::Finished));
    assert_eq!((world.left(), world.lock().rows.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_single_run_sends_nothing_when_the_competition_is_over() {
    let world = World::new();
    let mut settings = once();
    settings.competition.end = Some(START);
    let _node = world.run(settings, Duration::from_secs(3)).await;
    assert_eq!((world.reasons(), world.left()), (vec![Reason::CompetitionOver], 0));
}
