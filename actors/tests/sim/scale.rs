//! Many pipelines in one process, and a fifth of them struck at the same moment.

use std::time::Duration;

use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::node::{self, RunningNode};
use sentinel_actors::root_supervisor::{NodeEnd, RootMsg};

use crate::campaign::with_capture;
use crate::driver;
use crate::options::SimOptions;
use crate::world::{Shared, World};

const BACK_WITHIN: Duration = Duration::from_secs(5);

/// Kills pipelines and stages and lets models panic, in the middle of the cycle.
fn strike(world: &Shared, node: &RunningNode, count: usize) -> Vec<usize> {
    let struck: Vec<usize> = (0..count).step_by(5).collect();
    for (order, index) in struck.iter().enumerate() {
        let name = format!("p{index}");
        let path = match order % 4 {
            0 => name,
            1 => format!("{name}/data_fetcher"),
            2 => format!("{name}/executor"),
            _ => {
                world.lock().doomed.insert(name);
                continue;
            }
        };
        let _ = node.root.cast(RootMsg::Kill(path));
    }
    struck
}

/// Runs `count` pipelines for `minutes`, strikes in the middle, and says which slot it was.
fn run(world: &Shared, count: usize, minutes: u64) -> (Vec<usize>, UtcMs) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let result = runtime.block_on(async {
        world.begin_life();
        let node = node::start(driver::spec(world)).await.unwrap();
        let slot = UtcMs(world.options.start.0 + i64::try_from(minutes / 2).unwrap() * 60_000 + 58_000);
        let now = world.lock().now();
        tokio::time::sleep(slot.since(now) + Duration::from_millis(30)).await;
        let struck = strike(world, &node, count);
        tokio::time::sleep(Duration::from_secs(60 * minutes / 2)).await;
        let _ = node.root.cast(RootMsg::Shutdown("done".to_owned()));
        assert_eq!(node.done.await, Ok(NodeEnd::ShutdownRequested("done".to_owned())));
        world.freeze();
        (struck, slot)
    });
    drop(runtime);
    world.end_life();
    result
}

pub fn mass_crash(count: usize, minutes: u64) {
    let began = std::time::Instant::now();
    let world = World::new(SimOptions::calm(7, Duration::from_secs(60 * minutes), count));
    let (struck, slot) = with_capture(&world, || run(&world, count, minutes));
    let inner = world.lock();
    assert_eq!(inner.log.violations, Vec::<String>::new());
    let mut slowest = Duration::ZERO;
    let mut worked = 0;
    for row in inner.disk.rows.values() {
        // A position that is counted grows no larger than one order may close.
        let decided =
            matches!(row.outcome(), Outcome::Acted | Outcome::NoAction) || row.reason == Reason::RiskMaxPositions;
        // An executor that is killed between `sent` and its venue finds out that nothing left, and sends it no second time.
        let index: usize = row.pipeline.trim_start_matches('p').parse().unwrap();
        let cut_off = row.slot == slot && struck.contains(&index) && row.reason == Reason::IntentStands;
        assert!(decided || cut_off, "{} {} ended with {}: {}", row.pipeline, row.slot, row.reason, row.detail);
        worked += 1;
        if row.slot == slot {
            slowest = slowest.max(row.ended_at.since(slot));
        }
    }
    assert_eq!(worked, count * usize::try_from(minutes / 2 * 2 + 1).unwrap());
    assert!(slowest <= BACK_WITHIN, "the slowest pipeline needed {slowest:?}");
    for index in 0..count {
        let was_struck = struck.contains(&index);
        let name = format!("p{index}");
        let starts: usize =
            inner.alive.starts.iter().filter(|(who, _)| who.split('/').next() == Some(&name)).map(|s| s.1.len()).sum();
        assert_eq!(starts > 5, was_struck, "{name} was started {starts} times");
    }
    let acked = inner.log.counts.get(Reason::OrderAcked.code()).copied().unwrap_or(0);
    println!(
        "{count} pipelines, {worked} slots, {acked} orders, {} struck and back within {slowest:?}; {:.1} s of real time",
        struck.len(),
        began.elapsed().as_secs_f64()
    );
}
