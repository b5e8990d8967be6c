//! Schedule time, and what a machine does to it: jumps, suspends and stops, some of them aimed at a cycle in flight.

use std::time::Duration;

use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Clock, FaultPoint, PortFuture};

use crate::world::{Inner, Shared, World};

/// A jump of the clock is noticed after this long at the latest.
const CHUNK: Duration = Duration::from_secs(10);

pub struct SimClock(pub Shared);

impl Clock for SimClock {
    fn now(&self) -> UtcMs {
        self.0.lock().now()
    }

    fn wait_until(&self, until: UtcMs) -> PortFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let left = until.since(self.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(CHUNK)).await;
            }
        })
    }
}

/// What happens to the clock while a cycle is under way. Elapsed time goes on through jumps and does not see a suspend, so
/// that a suspend looks like a jump from inside; of a stop (SIGSTOP, a paused machine) both clocks see all.
const CHANGES: &[(&str, f64)] = &[
    ("jump_in_cycle", 0.000_1),
    ("suspend_in_cycle", 0.000_2),
    ("set_back_in_cycle", 0.000_1),
    ("stop_in_cycle", 0.000_2),
];

/// Maybe changes the clock while a port is being asked.
pub async fn change(world: &Shared, who: &str) {
    let changes = if world.options.node_faults { CHANGES } else { &[] };
    match world.pick("clock", who, changes) {
        None | Some("pass") => {}
        Some("stop_in_cycle") => {
            let length = world.millis("stop", who, 1000, 600_000);
            {
                let mut inner = world.lock();
                inner.tracker(format!("the process is stopped for {length:?}"));
                inner.stops_until = inner.elapsed() + length;
            }
            tokio::time::advance(length).await;
        }
        Some(kind) => set(world, who, kind),
    }
}

/// Maybe changes the clock at a place of the production code. Nothing can be awaited there.
pub fn change_at_place(world: &World, who: &str, place: FaultPoint) {
    let changes = if world.options.node_faults { &CHANGES[..CHANGES.len() - 1] } else { &[] };
    let who = format!("{who}@{place:?}");
    match world.pick("clock", &who, changes) {
        None | Some("pass") => {}
        Some(kind) => set(world, &who, kind),
    }
}

fn set(world: &World, who: &str, kind: &str) {
    let mut inner = world.lock();
    let unit = inner.stream("clock by", who).f64();
    let seconds = match kind {
        "jump_in_cycle" => 3600.0,
        "suspend_in_cycle" => 20.0 + unit * 7200.0,
        _ => -(60.0 + unit * 10_000.0),
    };
    jump(&mut inner, kind, seconds);
}

/// The wall clock jumps.
pub fn jump(inner: &mut Inner, kind: &str, seconds: f64) {
    inner.offset_ms += (seconds * 1000.0) as i64;
    inner.tracker(format!("{kind} by {seconds:.3} s"));
}

/// The wall clock is corrected: it shows what it would have shown without being set, or more.
pub fn put_right(inner: &mut Inner) {
    let latest = inner.latest_row();
    let behind = latest.since(inner.now());
    if !behind.is_zero() {
        jump(inner, "put right", behind.as_secs_f64());
    }
}
