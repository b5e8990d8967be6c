//! The end of a competition that goes by a chain, on a machine whose clock is up to ten minutes wrong and whose node is killed in the
//! last minute.
//!
//! A seed says when the competition ends, which windows there are, how wrong the clock is, what the feed fails at, and when the node
//! dies. Whatever it says, the last window that opens before the end is used once, none that opens later is, and the node ends by
//! itself once. A failing seed prints itself; `SENTINEL_SEED` repeats it, `SENTINEL_ENDS` says how many there are.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sentinel_actors::domain::announced::Announcement;
use sentinel_actors::domain::decision::DecideOn;
use sentinel_actors::domain::forecast::ForecastPolicy;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Announcer, Clock, FeedAnswer, FeedError, FeedRequest, PortFuture, SlotFeed, elapsed_now};
use sentinel_actors::root_supervisor::NodeEnd;
use tokio::time::Instant;

use crate::harness::{HOUR, START, World};
use crate::test_pipeline::{TestPipeline, settings};

/// Competitions that end, when `SENTINEL_ENDS` does not say how many.
const ENDS: u64 = 100;
const BLOCK_MS: i64 = 5_000;
/// Blocks from one opening to the next, and blocks of a window.
const EPOCH: i64 = 24;
const WINDOW: i64 = 12;
const MINUTE_MS: i64 = 60_000;
const SKEW_MS: i64 = 10 * MINUTE_MS;
/// A node ends so long after its competition at the latest: the last window closes within a minute.
const PATIENCE_MS: i64 = 3 * MINUTE_MS;

/// What a seed says.
#[derive(Debug, Clone)]
struct Script {
    seed: u64,
    end: UtcMs,
    /// The first opening, in blocks after the start.
    first: i64,
    skew_ms: i64,
    /// Chain times at which the node dies, and how long it is down then.
    kills: Vec<(UtcMs, i64)>,
}

impl Script {
    fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let first = rng.i64(-3..EPOCH);
        let end = match rng.bool() {
            true => UtcMs(START.0 + rng.i64(200_000..500_000)),
            // Around an opening, where a millisecond decides.
            false => UtcMs(START.0 + (first + EPOCH * rng.i64(2..4)) * BLOCK_MS + rng.i64(-2..2_000)),
        };
        let mut kills: Vec<_> =
            (0..rng.usize(0..5)).map(|_| (UtcMs(end.0 - rng.i64(-5_000..MINUTE_MS)), rng.i64(0..4_000))).collect();
        kills.sort_unstable();
        Self { seed, end, first, skew_ms: rng.i64(-SKEW_MS..=SKEW_MS), kills }
    }

    /// Openings that are blocks by then.
    fn openings(&self, until: UtcMs) -> Vec<UtcMs> {
        let nonces = (0..).map(|epoch| UtcMs(START.0 + (self.first + EPOCH * epoch) * BLOCK_MS));
        nonces.take_while(|opens| *opens <= until).collect()
    }

    fn last_eligible(&self) -> UtcMs {
        *self.openings(UtcMs(self.end.0 - 1)).last().unwrap()
    }
}

/// A machine's clock.
struct Machine {
    world: World,
    skew_ms: i64,
}

impl Clock for Machine {
    fn now(&self) -> UtcMs {
        UtcMs(self.world.now().0 + self.skew_ms)
    }

    fn wait_until(&self, until: UtcMs) -> PortFuture<'_, ()> {
        Box::pin(async move { tokio::time::sleep(until.since(self.now()).min(Duration::from_secs(5))).await })
    }
}

/// Shows the time of the newest block that it was shown, carried on by elapsed time; before the first one that of the journal, or the
/// machine's.
struct OfChain {
    machine: Machine,
    began: Instant,
    state: Mutex<(Option<UtcMs>, Option<UtcMs>, Option<UtcMs>)>,
}

impl OfChain {
    fn new(machine: Machine) -> Self {
        Self { machine, began: elapsed_now(), state: Mutex::default() }
    }

    fn note(&self, block: UtcMs) {
        let (at_start, ..) = &mut *self.state.lock().unwrap();
        *at_start = (*at_start).max(Some(block.minus(elapsed_now() - self.began)));
    }
}

impl Clock for OfChain {
    fn now(&self) -> UtcMs {
        let (at_start, resumed, shown) = &mut *self.state.lock().unwrap();
        let of_chain = at_start.map(|at_start| at_start.plus(elapsed_now() - self.began)).max(*resumed);
        of_chain.unwrap_or_else(|| *shown.get_or_insert_with(|| self.machine.now()))
    }

    fn wait_until(&self, until: UtcMs) -> PortFuture<'_, ()> {
        Box::pin(async move { tokio::time::sleep(until.since(self.now()).min(Duration::from_secs(1))).await })
    }

    fn resume_at(&self, reached: UtcMs) {
        let (_, resumed, shown) = &mut *self.state.lock().unwrap();
        // A new pipeline begins with what this clock has shown, which is not the chain's time.
        if *shown != Some(reached) {
            *resumed = (*resumed).max(Some(reached));
        }
    }
}

/// Announces the windows of the newest block, late and now and then not at all.
struct Feed {
    world: World,
    script: Script,
    clock: Arc<OfChain>,
    rng: Mutex<fastrand::Rng>,
}

impl Announcer for Feed {
    fn ask<'a>(&'a self, request: &'a FeedRequest) -> PortFuture<'a, Result<FeedAnswer, FeedError>> {
        Box::pin(async move {
            let (fails, late, again) = {
                let mut rng = self.rng.lock().unwrap();
                (rng.f64() < 0.2, rng.u64(0..1_500), rng.u64(200..4_000))
            };
            tokio::time::sleep(Duration::from_millis(late)).await;
            if fails {
                return Err(FeedError("no endpoint answers".to_owned()));
            }
            let block = UtcMs(START.0 + (self.world.now().0 - START.0).div_euclid(BLOCK_MS) * BLOCK_MS);
            self.clock.note(block);
            let closes = |opens: UtcMs| UtcMs(opens.0 + WINDOW * BLOCK_MS);
            let is_due = |opens: &UtcMs| request.since.map_or(closes(*opens) > block, |since| *opens > since);
            let announcement = |opens: UtcMs| Announcement::new(opens.0.to_string(), opens, closes(opens)).unwrap();
            let announced = self.script.openings(block).into_iter().filter(is_due).map(announcement).collect();
            let ask_again = Duration::from_millis(again);
            Ok(FeedAnswer { announced, as_of: Some(block), ask_again, ..FeedAnswer::default() })
        })
    }
}

fn pipeline(world: &World, script: &Script, life: u64) -> TestPipeline {
    let machine = || Machine { world: world.clone(), skew_ms: script.skew_ms };
    let clock = Arc::new(OfChain::new(machine()));
    let mut rng = fastrand::Rng::with_seed(script.seed * 100 + life);
    let mut settings = settings();
    settings.deadlines.predict = Duration::from_secs(8);
    settings.window.end = Some(script.end);
    settings.competition.end = Some(script.end);
    settings.forecasts = Some(ForecastPolicy { horizon: 168 * HOUR, max_abs: 1.5, decide_on: DecideOn::Slot });
    {
        let mut inner = world.lock();
        inner.thinks_for = Duration::from_millis(rng.u64(0..3_000));
        inner.clocks = Some((clock.clone(), Arc::new(machine())));
    }
    let feed = Feed { world: world.clone(), script: script.clone(), clock, rng: Mutex::new(rng) };
    settings.slots = SlotFeed::Announced(Arc::new(feed));
    settings
}

/// A process from this chain time to the next kill, or to its own end. Its runtime ends with it, and with that all that it does.
fn live(world: &World, script: &Script, life: u64, from: UtcMs, until: UtcMs) -> (Option<NodeEnd>, UtcMs) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        world.with_fresh_time();
        world.lock().offset_ms = from.0 - START.0;
        let node = world.start(pipeline(world, script, life)).await;
        let ended = tokio::time::timeout(until.since(from), node.done).await;
        (ended.ok().map(Result::unwrap), world.now())
    })
}

/// Plays a competition to its end, and judges it.
fn play(seed: u64) {
    let script = Script::of(seed);
    let world = World::new().with(|inner| inner.answer = Ok(vec![0.0125]));
    let (mut from, mut ends, mut ended_at) = (START, Vec::new(), None);
    let last = (UtcMs(script.end.0 + PATIENCE_MS), 0);
    for (life, (until, down_ms)) in (0..).zip(script.kills.iter().copied().chain([last])) {
        let (end, now) = live(&world, &script, life, from, until.max(from));
        from = UtcMs(now.0 + down_ms);
        if let Some(end) = end {
            ends.push(end);
            ended_at = Some(now);
            break;
        }
    }
    let inner = world.lock();
    let facts = || format!("SENTINEL_SEED={seed}: {script:?}, {:?}, rows {:?}", inner.forecasts, inner.rows);
    assert_eq!(ends, [NodeEnd::Finished], "{}", facts());
    assert!(ended_at.unwrap() >= script.end, "it ended before its competition: {}", facts());
    let mut slots: Vec<UtcMs> = inner.forecasts.iter().map(|(_, slot)| *slot).collect();
    assert!(slots.contains(&script.last_eligible()), "the last window was not used: {}", facts());
    assert!(slots.iter().all(|slot| *slot < script.end), "a window after the end was used: {}", facts());
    slots.sort_unstable();
    slots.dedup();
    assert_eq!(slots.len(), inner.forecasts.len(), "a window was used twice: {}", facts());
    let without_row = inner.announced.keys().find(|slot| !inner.rows.contains_key(slot));
    assert_eq!(without_row, None, "{}", facts());
}

fn setting(name: &str) -> Option<u64> {
    std::env::vars().find(|(key, _)| key == name).map(|(_, value)| value.parse().unwrap())
}

#[test]
fn with_any_clock_and_kills_the_last_window_is_used_and_none_after_it() {
    if let Some(seed) = setting("SENTINEL_SEED") {
        return play(seed);
    }
    let ends = setting("SENTINEL_ENDS").unwrap_or(ENDS);
    let kills: usize = (0..ends)
        .map(|seed| {
            play(seed);
            Script::of(seed).kills.len()
        })
        .sum();
    println!("{ends} competitions ended, {kills} kills around their ends");
}
