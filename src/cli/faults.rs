//! Faults that the demo and the crash tests inject into a real node, at the fault points that every node has.

use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sentinel_actors::ports::{FaultInjector, FaultPoint, InjectedFault, NoFaults};
use sentinel_actors::root_supervisor::RootMsg;

use crate::config::Supervision;
use crate::node::disk::{MeasureDisk, by_the_system};
use crate::node::{Running, VENUE_AGAIN};

/// One in this many passes of a fault point panics.
const PANIC_ONE_IN: u64 = 1_500;
/// One in this many never returns.
const HANG_ONE_IN: u64 = 12_000;
/// One in this many blocks its thread for a while.
const BLOCK_ONE_IN: u64 = 10_000;
/// Shorter than what counts as stuck: a blocked thread is a slow one, not a dead one.
const BLOCK_FOR: Duration = Duration::from_millis(40);
/// Longest pause between two kills.
const KILL_EVERY_MS_MAX: u64 = 60;

/// What a kill may hit: every part of the tree but its root. These are the parts of a pipeline, and those beside it.
const STAGES: [&str; 4] = ["data_fetcher", "feature_builder", "predictor", "executor"];
const PARTS: [&str; 3] = ["journal", "heartbeat", "competition_clock"];

/// Random panics, hangs, blocks and kills.
pub struct ChaosFaults {
    seed: u64,
    chance: Mutex<fastrand::Rng>,
    panics: AtomicU64,
    hangs: AtomicU64,
    blocks: AtomicU64,
    kills: AtomicU64,
}

/// How often each kind of fault happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultCounts {
    pub panics: u64,
    /// Calls that never returned.
    pub hangs: u64,
    pub blocks: u64,
    pub kills: u64,
}

impl ChaosFaults {
    /// Chaos from a seed. Threads draw from it in their own order, so a seed repeats the kind of chaos, not the run.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let zero = || AtomicU64::new(0);
        let chance = Mutex::new(fastrand::Rng::with_seed(seed));
        Self { seed, chance, panics: zero(), hangs: zero(), blocks: zero(), kills: zero() }
    }

    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// What has happened so far.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FaultCounts {
            panics: read(&self.panics),
            hangs: read(&self.hangs),
            blocks: read(&self.blocks),
            kills: read(&self.kills),
        }
    }

    /// Kills random actors until the node has ended.
    pub fn kill_at_random(self: Arc<Self>, running: &Running) {
        let root = running.root.clone();
        let stages = |pipeline: &String| STAGES.map(|stage| format!("{pipeline}/{stage}"));
        let mut victims: Vec<String> = running.board.entries.keys().flat_map(stages).collect();
        victims.extend(running.board.entries.keys().cloned());
        victims.extend(PARTS.map(str::to_owned));
        running.control.spawn(async move {
            loop {
                let (pause_ms, victim) =
                    self.draw(|rng| (rng.u64(1..=KILL_EVERY_MS_MAX), victims[rng.usize(..victims.len())].clone()));
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                if root.cast(RootMsg::Kill(victim)).is_err() {
                    return;
                }
                self.kills.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.chance.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl FaultInjector for ChaosFaults {
    fn at(&self, point: FaultPoint, _: &str) -> InjectedFault {
        let number = self.draw(|rng| rng.u64(..));
        let one_in = |n: u64, salt: u32| number.rotate_left(salt).is_multiple_of(n);
        // The journal's writer and the paper book run on threads outside the tree: their end is the end of the process.
        let on_a_thread = matches!(point, FaultPoint::BeforeCommit | FaultPoint::AfterCommit);
        if !on_a_thread && one_in(PANIC_ONE_IN, 0) {
            self.panics.fetch_add(1, Ordering::Relaxed);
            return InjectedFault::Panic;
        }
        if !on_a_thread && one_in(HANG_ONE_IN, 21) {
            self.hangs.fetch_add(1, Ordering::Relaxed);
            return InjectedFault::Hang;
        }
        if one_in(BLOCK_ONE_IN, 42) {
            self.blocks.fetch_add(1, Ordering::Relaxed);
            return InjectedFault::Block(BLOCK_FOR);
        }
        InjectedFault::None
    }
}

/// Fault points at which a crash test may end the process, by name.
const CRASH_POINTS: [(&str, FaultPoint); 20] = [
    ("before-plan", FaultPoint::BeforePlan),
    ("after-plan", FaultPoint::AfterPlan),
    ("after-sent", FaultPoint::AfterSent),
    ("before-book-write", FaultPoint::BeforeBookWrite),
    ("after-book-write", FaultPoint::AfterBookWrite),
    ("after-submit", FaultPoint::AfterSubmit),
    ("after-outcome", FaultPoint::AfterOutcome),
    ("before-end-slot", FaultPoint::BeforeEndSlot),
    ("after-end-slot", FaultPoint::AfterEndSlot),
    ("before-commit", FaultPoint::BeforeCommit),
    ("after-commit", FaultPoint::AfterCommit),
    ("before-settle", FaultPoint::BeforeSettle),
    ("predictor", FaultPoint::PredictorHandle),
    ("journal", FaultPoint::JournalHandle),
    ("slot-feed", FaultPoint::SlotFeedHandle),
    ("before-sign", FaultPoint::BeforeSign),
    ("after-sign", FaultPoint::AfterSign),
    ("before-broadcast", FaultPoint::BeforeBroadcast),
    ("after-broadcast", FaultPoint::AfterBroadcast),
    ("after-fate", FaultPoint::AfterFate),
];

/// With `--hang-at`, so that a test of the watchdog does not wait for the configured time.
const WATCHDOG_OF_TESTS: Duration = Duration::from_secs(2);

/// Hidden flags of crash tests.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct FaultFlags {
    /// Kill the process with SIGKILL at the n-th pass of this point.
    #[arg(long, hide = true, value_name = "PLACE[:N]")]
    pub die_at: Option<Passing>,
    /// Block the thread at the n-th pass of this point and never return, with a short watchdog.
    #[arg(long, hide = true, value_name = "PLACE[:N]", conflicts_with = "die_at")]
    pub hang_at: Option<Passing>,
    /// Panic at this point from the n-th pass on.
    #[arg(long, hide = true, value_name = "PLACE[:N]", conflicts_with_all = ["die_at", "hang_at"])]
    pub panic_from: Option<Passing>,
    /// Shorten what the node waits for a venue that is not ready, as the venue's own waits are shortened.
    #[arg(long, hide = true, value_name = "FACTOR")]
    pub time_factor: Option<f64>,
    /// Take the disk for one that has as many bytes free, and in all, as this file says.
    #[arg(long, hide = true, value_name = "FILE")]
    pub disk_from: Option<PathBuf>,
}

impl FaultFlags {
    /// The faults that the flags ask for.
    #[must_use]
    pub fn injector(&self) -> Arc<dyn FaultInjector> {
        match (&self.die_at, &self.hang_at, &self.panic_from) {
            (Some(passing), _, _) => Arc::new(DieAt(passing.clone())),
            (_, Some(passing), _) => Arc::new(HangAt(passing.clone())),
            (_, _, Some(passing)) => Arc::new(PanicFrom(passing.clone())),
            _ => Arc::new(NoFaults),
        }
    }

    /// The disk that the node is to see.
    #[must_use]
    pub fn measure_disk(&self) -> MeasureDisk {
        let Some(file) = self.disk_from.clone() else { return by_the_system() };
        Arc::new(move |_| {
            let text = std::fs::read_to_string(&file)?;
            let numbers = text.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>();
            match numbers.as_deref() {
                Ok([free, size]) => Ok((*free, *size)),
                _ => Err(io::ErrorKind::InvalidData.into()),
            }
        })
    }

    /// How soon a venue that has not said what it is is asked again.
    #[must_use]
    pub fn venue_again(&self) -> Duration {
        VENUE_AGAIN.mul_f64(self.time_factor.unwrap_or(1.0).clamp(0.0, 1.0))
    }

    /// Shortens the watchdog for `--hang-at`.
    pub fn shorten(&self, supervision: &mut Supervision) {
        if self.hang_at.is_some() {
            supervision.watchdog = WATCHDOG_OF_TESTS;
            supervision.ping_every = WATCHDOG_OF_TESTS / 4;
        }
    }
}

/// The n-th pass of a fault point, as a crash test names it: `after-sent:3`.
#[derive(Debug, Clone)]
pub struct Passing {
    point: FaultPoint,
    left: Arc<AtomicU64>,
}

impl Passing {
    /// How many passes come before this one is reached; `None` at another point.
    fn left(&self, point: FaultPoint) -> Option<u64> {
        let count_down = |left: u64| Some(left.saturating_sub(1));
        (point == self.point)
            .then(|| self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count_down).unwrap_or_default())
    }

    /// Whether this is the n-th pass.
    fn is_now(&self, point: FaultPoint) -> bool {
        self.left(point) == Some(1)
    }
}

impl FromStr for Passing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, count) = text.split_once(':').unwrap_or((text, "1"));
        let names = || CRASH_POINTS.map(|(name, _)| name).join(", ");
        let (_, point) = CRASH_POINTS
            .into_iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| format!("no such fault point; known are {}", names()))?;
        let wrong = || "the count after ':' is a whole number from 1 up".to_owned();
        let count = count.parse().ok().filter(|count| *count > 0_u64).ok_or_else(wrong)?;
        Ok(Self { point, left: Arc::new(AtomicU64::new(count)) })
    }
}

/// Ends the process without any cleanup.
struct DieAt(Passing);

impl FaultInjector for DieAt {
    fn at(&self, point: FaultPoint, _: &str) -> InjectedFault {
        if self.0.is_now(point) {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
        InjectedFault::None
    }
}

/// Blocks the thread at the point and never returns.
struct HangAt(Passing);

impl FaultInjector for HangAt {
    fn at(&self, point: FaultPoint, _: &str) -> InjectedFault {
        if self.0.is_now(point) { InjectedFault::Block(Duration::MAX) } else { InjectedFault::None }
    }
}

/// Panics at every pass from the n-th on: a fault that a restart does not cure.
struct PanicFrom(Passing);

impl FaultInjector for PanicFrom {
    fn at(&self, point: FaultPoint, _: &str) -> InjectedFault {
        if self.0.left(point).is_some_and(|left| left <= 1) { InjectedFault::Panic } else { InjectedFault::None }
    }
}
