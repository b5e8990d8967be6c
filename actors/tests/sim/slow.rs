//! A machine that cannot keep up: it costs the slots that cannot begin in time, and nothing else.

use std::time::Duration;

use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::node;
use sentinel_actors::root_supervisor::{NodeEnd, RootMsg};

use crate::campaign::with_capture;
use crate::driver;
use crate::options::SimOptions;
use crate::world::{Inner, Part, Slow, World};

const MINUTES: u64 = 12;
const SLOW_FROM: u64 = 2;
const SLOW_UNTIL: u64 = 7;

/// `count` pipelines, two of them at work at the same time, on a machine that is slow for five minutes.
fn run_slowly(seed: u64, count: usize, part: Option<Part>, times: u32) -> std::sync::Arc<World> {
    let mut options = SimOptions::calm(seed, Duration::from_secs(60 * MINUTES), count);
    options.cycles_at_work = 2;
    let world = World::new(options);
    with_capture(&world, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            world.begin_life();
            let node = node::start(driver::spec(&world)).await.unwrap();
            tokio::time::sleep(Duration::from_secs(60 * SLOW_FROM)).await;
            world.lock().slow = Some(Slow { times, part, until: Duration::from_secs(60 * SLOW_UNTIL) });
            tokio::time::sleep(Duration::from_secs(60 * (MINUTES - SLOW_FROM))).await;
            let overloaded = node.board.overload.load().is_some();
            let _ = node.root.cast(RootMsg::Shutdown("done".to_owned()));
            assert_eq!(node.done.await, Ok(NodeEnd::ShutdownRequested("done".to_owned())));
            assert!(!overloaded, "it is over long ago");
            world.freeze();
        });
        drop(runtime);
    });
    world.end_life();
    world
}

/// How often a part was started, beyond its first time.
fn restarts(inner: &Inner) -> usize {
    inner.alive.starts.values().map(|starts| starts.len() - 1).sum()
}

fn minute_of(world: &World, slot: UtcMs) -> u64 {
    slot.since(world.options.start).as_secs() / 60
}

#[track_caller]
fn only_rows_are_lost(part: Option<Part>, times: u32, sheds: bool) {
    let count = 40;
    let world = run_slowly(11, count, part, times);
    let inner = world.lock();
    assert_eq!(inner.log.violations, Vec::<String>::new());
    assert_eq!(restarts(&inner), 0);
    assert_eq!(inner.log.counts.get("quarantined"), None);
    assert_eq!(inner.disk.rows.len(), count * usize::try_from(MINUTES).unwrap());
    let mut shed = 0;
    for row in inner.disk.rows.values() {
        let minute = minute_of(&world, row.slot);
        if row.reason == Reason::Overload {
            assert!((SLOW_FROM..=SLOW_UNTIL).contains(&minute), "{} {}", row.pipeline, row.slot);
            assert_eq!((row.attempts, row.started_at, row.outcome()), (0, None, Outcome::Missed));
            shed += 1;
            continue;
        }
        let decided = matches!(row.outcome(), Outcome::Acted | Outcome::NoAction)
            && !matches!(row.reason, Reason::OrderUnknown | Reason::ForecastUnknown);
        assert!(
            decided || row.reason == Reason::RiskMaxPositions,
            "{} {} ended with {}: {}",
            row.pipeline,
            row.slot,
            row.reason,
            row.detail
        );
    }
    assert_eq!(shed > 0, sheds, "{shed} slots were shed");
}

#[test]
fn a_machine_that_is_slow_in_everything_costs_rows_only() {
    only_rows_are_lost(None, 40, true);
}

#[test]
fn one_slow_part_costs_rows_only() {
    for (part, times) in [(Part::Source, 60), (Part::Features, 300), (Part::Journal, 200)] {
        only_rows_are_lost(Some(part), times, true);
    }
}

#[test]
fn a_machine_that_is_a_little_slow_costs_nothing() {
    only_rows_are_lost(None, 3, false);
}
