//! What all fakes of one simulation share: time, chance, the tracker, the counters, the violations, and who is alive.
//!
//! Chance comes in one stream per caller, so that it does not depend on the order in which unrelated actors run: ractor
//! kills the children of a dead parent in the order of a hash map.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::elapsed_now;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::disk::Disk;
use crate::ledger::Ledger;
use crate::options::SimOptions;
use crate::venue;

const RING: usize = 200;
const STORM: f64 = 60.0;

pub struct World {
    pub options: SimOptions,
    by_name: BTreeMap<String, usize>,
    inner: Mutex<Inner>,
}

pub struct Inner {
    pub log: Log,
    pub disk: Disk,
    pub ledger: Ledger,
    pub alive: Alive,
    pub faults_on: bool,
    pub storm: BTreeMap<String, Duration>,
    pub outage: BTreeMap<String, Duration>,
    /// The machine is slow.
    pub slow: Option<Slow>,
    /// Pipelines whose model panics at the next question.
    pub doomed: BTreeSet<String>,
    pub offset_ms: i64,
    /// The process stood still until then: it could notice nothing.
    pub stops_until: Duration,
    /// Faults that a test demands, by stream and caller; each happens once, in this order.
    pub demanded: BTreeMap<(&'static str, String), VecDeque<&'static str>>,
    /// After this long each of the next processes is killed.
    pub kills: VecDeque<Duration>,
    pub safe_mode: bool,
    /// Newest time that the feed of announced slots has shown.
    pub feed_time: UtcMs,
    /// When the node was told first that a slot was withdrawn, by pipeline and id.
    pub withdrawn_told: BTreeMap<(String, String), Duration>,
    /// An operator has stopped the node to settle what only an operator can.
    pub settle_when_down: bool,
    pub life: u32,
    /// When each pipeline was last heard of: a row, or a line that says why there is none.
    pub heard: BTreeMap<String, Duration>,
    pub crash: Arc<Notify>,
    intensity: f64,
    start: UtcMs,
    before_life: Duration,
    life_began: Option<Instant>,
    streams: BTreeMap<String, fastrand::Rng>,
    pub seed: u64,
}

/// The tracker and what was counted on the way.
#[derive(Default)]
pub struct Log {
    pub ring: VecDeque<String>,
    pub hash: u64,
    pub events: u64,
    pub counts: BTreeMap<&'static str, u64>,
    pub faults: BTreeMap<&'static str, u64>,
    pub violations: Vec<String>,
    pub secret_seen: bool,
    pub keep_all: bool,
    pub all: Vec<String>,
}

/// Incarnations of this life, as the fakes see them.
#[derive(Default)]
pub struct Alive {
    pub starts: BTreeMap<String, Vec<Duration>>,
    calls: BTreeMap<String, u32>,
    pub owner_stalled_at: BTreeMap<String, Duration>,
    /// First fetch of the newest slot by this incarnation of the pipeline.
    pub fetched: BTreeMap<String, (UtcMs, Duration)>,
}

/// Work takes longer than usual, as on a machine that is overloaded, or has a slow disk.
#[derive(Debug, Clone, Copy)]
pub struct Slow {
    /// So many times as long.
    pub times: u32,
    /// The part whose work does; `None`: all.
    pub part: Option<Part>,
    pub until: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Source,
    Features,
    Model,
    Venue,
    Journal,
}

impl Part {
    pub const ALL: [Self; 5] = [Self::Source, Self::Features, Self::Model, Self::Venue, Self::Journal];
}

pub type Shared = Arc<World>;

impl World {
    pub fn new(options: SimOptions) -> Shared {
        let pipelines = options.pipelines.iter().enumerate();
        let books = pipelines.map(|(index, pipeline)| (pipeline.symbol.clone(), venue::empty_book(index))).collect();
        let inner = Inner {
            log: Log { hash: 0xcbf2_9ce4_8422_2325, ..Log::default() },
            disk: Disk::default(),
            ledger: Ledger::with(books),
            alive: Alive::default(),
            faults_on: true,
            storm: BTreeMap::new(),
            outage: BTreeMap::new(),
            slow: None,
            doomed: BTreeSet::new(),
            offset_ms: 0,
            stops_until: Duration::ZERO,
            demanded: BTreeMap::new(),
            kills: VecDeque::new(),
            safe_mode: false,
            feed_time: UtcMs(i64::MIN),
            withdrawn_told: BTreeMap::new(),
            settle_when_down: false,
            life: 0,
            heard: BTreeMap::new(),
            crash: Arc::new(Notify::new()),
            intensity: options.intensity,
            start: options.start,
            before_life: Duration::ZERO,
            life_began: None,
            streams: BTreeMap::new(),
            seed: options.seed,
        };
        let names = options.pipelines.iter().map(|pipeline| pipeline.name.clone());
        let by_name = names.enumerate().map(|(index, name)| (name, index)).collect();
        Arc::new(Self { options, by_name, inner: Mutex::new(inner) })
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rolls once; at most one fault of the list happens.
    pub fn pick(&self, stream: &'static str, who: &str, weights: &[(&'static str, f64)]) -> Option<&'static str> {
        let pipe = who.split(['/', '@']).next().unwrap_or(who);
        let sheltered = self.is_sheltered(pipe);
        let mut inner = self.lock();
        if !inner.demanded.is_empty()
            && let Some(queue) = inner.demanded.get_mut(&(stream, who.to_owned()))
            && let Some(kind) = queue.pop_front()
        {
            inner.fault(kind, who);
            return Some(kind);
        }
        let roll = inner.stream(stream, who).f64();
        if sheltered || !inner.faults_on {
            return None;
        }
        let scale = inner.scale(pipe);
        let mut sum = 0.0;
        for (kind, weight) in weights {
            sum += (weight * scale).min(0.2);
            if roll < sum {
                inner.fault(kind, who);
                return Some(kind);
            }
        }
        None
    }

    /// Lets these faults happen to a caller, one at each of its next rolls; `pass` is none.
    pub fn demand(&self, stream: &'static str, who: &str, kinds: &[&'static str]) {
        self.lock().demanded.insert((stream, who.to_owned()), kinds.iter().copied().collect());
    }

    pub fn is_sheltered(&self, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|index| self.options.pipelines[*index].sheltered)
    }

    /// A number from the stream of a caller.
    pub fn chance(&self, stream: &str, who: &str) -> f64 {
        self.lock().stream(stream, who).f64()
    }

    pub fn millis(&self, stream: &str, who: &str, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.lock().stream(stream, who).u64(from..to))
    }

    /// Kills the process here: this never returns, and the driver drops everything.
    pub async fn kill_process(&self, at: &str) {
        let crash = {
            let mut inner = self.lock();
            inner.tracker(format!("process is killed: {at}"));
            inner.crash.clone()
        };
        crash.notify_one();
        std::future::pending::<()>().await;
    }

    /// How long work of this part takes, which takes `normal` on a machine that is not slow. An adapter keeps its deadline.
    pub fn work(&self, part: Part, normal: Duration, deadline: Duration) -> Duration {
        let mut inner = self.lock();
        let (now, faults_on) = (inner.elapsed(), inner.faults_on);
        let times = match inner.slow {
            Some(slow) if faults_on && now < slow.until && slow.part.is_none_or(|slow| slow == part) => slow.times,
            _ => return normal,
        };
        inner.count("slowed");
        (normal * times).min(deadline.mul_f64(0.8)).max(normal)
    }

    pub fn begin_life(&self) {
        let mut inner = self.lock();
        inner.life += 1;
        inner.crash = Arc::new(Notify::new());
        inner.life_began = Some(elapsed_now());
        inner.alive = Alive::default();
        let (names, now) = (self.by_name.keys(), inner.elapsed());
        inner.heard = names.map(|name| (name.clone(), now)).collect();
        let line = format!("boot {}", inner.life);
        inner.tracker(line);
    }

    /// Time stops: the process is about to be dropped.
    pub fn freeze(&self) {
        let mut inner = self.lock();
        inner.before_life = inner.elapsed();
        inner.life_began = None;
    }

    /// Everything of the process has ended.
    pub fn end_life(&self) {
        let mut inner = self.lock();
        let left: Vec<String> = inner.alive.calls.iter().filter(|c| *c.1 > 0).map(|c| c.0.clone()).collect();
        if !left.is_empty() {
            inner.violation(format!("calls outlive their process: {left:?}"));
        }
    }

    /// Passes time while no process runs.
    pub fn pass_down_time(&self, time: Duration) {
        self.lock().before_life += time;
    }

    /// Notes that `who` is inside a port call until the guard is dropped.
    pub fn enter(self: &Arc<Self>, who: &str, limit: Option<Duration>) -> Guard {
        let mut inner = self.lock();
        let calls = inner.alive.calls.entry(who.to_owned()).or_default();
        *calls += 1;
        if *calls > 1 {
            inner.violation(format!("two incarnations of {who} are inside a call at the same time"));
        }
        let (since, life) = (inner.elapsed(), inner.life);
        Guard { world: self.clone(), who: who.to_owned(), since, limit, life }
    }
}

impl Inner {
    pub fn elapsed(&self) -> Duration {
        self.before_life + self.life_began.map_or(Duration::ZERO, |began| elapsed_now() - began)
    }

    pub fn now(&self) -> UtcMs {
        UtcMs(self.start.plus(self.elapsed()).0 + self.offset_ms)
    }

    /// The newest slot that has a row.
    pub fn latest_row(&self) -> UtcMs {
        let names = self.disk.rows.keys().map(|(pipeline, _)| pipeline).collect::<BTreeSet<_>>();
        names.into_iter().filter_map(|pipeline| self.disk.last_slot(pipeline)).max().unwrap_or_default()
    }

    /// The random numbers of one kind of event. The names seed them: a renamed stream changes what every seed does.
    pub fn stream(&mut self, stream: &str, who: &str) -> &mut fastrand::Rng {
        let key = format!("{stream}:{who}");
        let seed = self.seed;
        self.streams.entry(key).or_insert_with_key(|key| fastrand::Rng::with_seed(fnv(seed, key)))
    }

    fn scale(&self, pipe: &str) -> f64 {
        let stormy = self.storm.get(pipe).is_some_and(|until| self.elapsed() < *until);
        self.intensity * if stormy { STORM } else { 1.0 }
    }

    /// A line of the tracker that is the same in every run of a seed.
    pub fn tracker(&mut self, line: String) {
        self.log.events += 1;
        self.log.hash = fnv(self.log.hash, &line);
        self.note(line);
    }

    /// A line for the reader of a failure, not part of what must be the same.
    pub fn note(&mut self, line: String) {
        let line = format!("{:>10.3} {} {line}", self.elapsed().as_secs_f64(), self.now());
        if self.log.keep_all {
            self.log.all.push(line.clone());
        }
        self.log.ring.push_back(line);
        if self.log.ring.len() > RING {
            self.log.ring.pop_front();
        }
    }

    /// A pipeline has shown where it stands.
    pub fn observe(&mut self, pipeline: &str) {
        let now = self.elapsed();
        self.heard.insert(pipeline.to_owned(), now);
    }

    pub fn count(&mut self, what: &'static str) {
        *self.log.counts.entry(what).or_default() += 1;
    }

    pub fn fault(&mut self, kind: &'static str, who: &str) {
        *self.log.faults.entry(kind).or_default() += 1;
        self.note(format!("fault {kind} in {who}"));
    }

    pub fn violation(&mut self, what: String) {
        self.note(format!("VIOLATION {what}"));
        if self.log.violations.len() < 20 {
            self.log.violations.push(what);
        }
        self.crash.notify_one();
    }

    /// A new incarnation of `who` is about to start.
    pub fn starts(&mut self, who: &str) {
        let now = self.elapsed();
        if self.alive.calls.get(who).is_some_and(|calls| *calls > 0) {
            self.violation(format!("{who} starts while an older incarnation is inside a call"));
        }
        self.alive.starts.entry(who.to_owned()).or_default().push(now);
        self.note(format!("starts {who}"));
        if !who.contains('/') {
            self.alive.fetched.remove(who);
        }
    }

    /// Starts of `who` within the last `within`.
    pub fn recent_starts(&self, who: &str, within: Duration) -> usize {
        let now = self.elapsed();
        self.alive.starts.get(who).map_or(0, |starts| starts.iter().filter(|at| now - **at < within).count())
    }
}

pub struct Guard {
    world: Shared,
    who: String,
    since: Duration,
    limit: Option<Duration>,
    life: u32,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut inner = self.world.lock();
        let inner_life = inner.life;
        if let Some(calls) = inner.alive.calls.get_mut(&self.who).filter(|_| inner_life == self.life) {
            *calls = calls.saturating_sub(1);
        }
        // A process that is being dropped has no time any more.
        let Some(limit) = self.limit.filter(|_| inner.life_began.is_some()) else { return };
        let (now, pipe) = (inner.elapsed(), self.who.split('/').next().unwrap_or_default().to_owned());
        // A fifth more than the deadline, and a moment for the timers.
        let bound = limit + limit / 5 + Duration::from_millis(600);
        let excused =
            inner.alive.owner_stalled_at.get(&pipe).is_some_and(|at| *at + Duration::from_secs(60) >= self.since);
        let stood_still = inner.stops_until >= self.since;
        if now - self.since > bound && !excused && !stood_still {
            inner.violation(format!("{} was inside a call for {:?}", self.who, now - self.since));
        }
    }
}

pub fn fnv(seed: u64, text: &str) -> u64 {
    text.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(5)
    })
}
