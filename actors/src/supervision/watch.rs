//! The watchdog. It is a plain thread, because no task can notice that all runtimes have stopped. It polls counters that the
//! control plane, the workers and the journal move, and reports once when one of them has not moved for too long.
//!
//! It ends nothing itself: the caller decides what to do about a stall. It also reports progress, so that a service manager's
//! watchdog is fed only while there is some.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::ports::elapsed_now;

const POLL_EVERY: Duration = Duration::from_millis(250);

/// Counters that move while the node works.
#[derive(Debug)]
pub struct Progress {
    began: tokio::time::Instant,
    control: AtomicU64,
    worker: AtomicU64,
    journal: AtomicU64,
    /// When each of the three last moved, in milliseconds after `began`.
    moved_ms: [AtomicU64; 3],
    blocked_workers: AtomicU64,
}

/// The names of what is counted, in the order of [`Progress::ages`].
pub const PARTS: [&str; 3] = ["control", "workers", "journal"];

impl Default for Progress {
    /// A node that starts counts as one that has just moved.
    fn default() -> Self {
        Self {
            began: elapsed_now(),
            control: AtomicU64::new(0),
            worker: AtomicU64::new(0),
            journal: AtomicU64::new(0),
            moved_ms: Default::default(),
            blocked_workers: AtomicU64::new(0),
        }
    }
}

impl Progress {
    /// The control runtime handled a tick.
    pub fn beat_control(&self) {
        self.moved(0, &self.control);
    }

    /// The worker runtime ran a task. Does not count while one of its threads is blocked: only the end of the process frees
    /// that thread.
    pub fn beat_worker(&self) {
        if self.blocked_workers.load(Ordering::Relaxed) == 0 {
            self.moved(1, &self.worker);
        }
    }

    /// A killed child does not end: it blocks a worker thread.
    pub fn worker_blocked(&self) {
        self.blocked_workers.fetch_add(1, Ordering::Relaxed);
    }

    /// It has ended after all, or its owner has. Called once for each [`Progress::worker_blocked`].
    pub fn worker_freed(&self) {
        self.blocked_workers.fetch_sub(1, Ordering::Relaxed);
    }

    /// The journal committed, answered, or had nothing to do.
    pub fn beat_journal(&self) {
        self.moved(2, &self.journal);
    }

    fn moved(&self, part: usize, counter: &AtomicU64) {
        self.moved_ms[part].store(self.now_ms(), Ordering::Relaxed);
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(elapsed_now().saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }

    /// How long ago each part last moved, in elapsed time.
    #[must_use]
    pub fn ages(&self) -> [Duration; 3] {
        let now = self.now_ms();
        self.moved_ms.each_ref().map(|moved| Duration::from_millis(now.saturating_sub(moved.load(Ordering::Relaxed))))
    }

    /// Control, workers and journal.
    #[must_use]
    pub fn read(&self) -> [u64; 3] {
        [&self.control, &self.worker, &self.journal].map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// How long each counter of [`Progress`] may stay unchanged; `None`: it is not watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchLimits {
    pub control: Option<Duration>,
    pub worker: Option<Duration>,
    pub journal: Option<Duration>,
}

impl Default for WatchLimits {
    fn default() -> Self {
        let limit = Some(Duration::from_secs(20));
        Self { control: limit, worker: limit, journal: limit }
    }
}

/// Detects a stall from the counters and the time that has passed. Reads no clock.
#[derive(Debug)]
struct Detector {
    limits: [Option<Duration>; 3],
    seen: [u64; 3],
    unchanged_for: [Duration; 3],
}

impl Detector {
    fn new(limits: WatchLimits, seen: [u64; 3]) -> Self {
        let limits = [limits.control, limits.worker, limits.journal];
        Self { limits, seen, unchanged_for: [Duration::ZERO; 3] }
    }

    fn observe(&mut self, passed: Duration, counters: [u64; 3]) -> Option<String> {
        // After a longer gap this thread did not run either: the whole process was stopped, which is no stall of one part.
        let passed = passed.min(4 * POLL_EVERY);
        let names = ["the control runtime", "the worker runtime", "the journal"];
        for (index, name) in names.into_iter().enumerate() {
            if counters[index] == self.seen[index] {
                self.unchanged_for[index] += passed;
            } else {
                (self.seen[index], self.unchanged_for[index]) = (counters[index], Duration::ZERO);
            }
            if self.limits[index].is_some_and(|limit| self.unchanged_for[index] >= limit) {
                return Some(format!("{name} made no progress for {:?}", self.unchanged_for[index]));
            }
        }
        None
    }
}

/// Detects that every watched counter has moved.
#[derive(Debug)]
struct Movement {
    watched: [bool; 3],
    seen: [u64; 3],
}

impl Movement {
    fn new(limits: WatchLimits, seen: [u64; 3]) -> Self {
        Self { watched: [limits.control, limits.worker, limits.journal].map(|limit| limit.is_some()), seen }
    }

    /// Whether all have moved since this last returned true.
    fn have_all_moved(&mut self, counters: [u64; 3]) -> bool {
        let all_moved = (0..3).all(|index| !self.watched[index] || counters[index] != self.seen[index]);
        if all_moved {
            self.seen = counters;
        }
        all_moved
    }
}

/// The running thread. Stops when dropped.
#[derive(Debug)]
pub struct Watchdog {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Watches from now on; a counter that never moves is a stall too. `on_stall` is called at most once, on the
    /// watchdog's thread, which ends after it. `on_progress` is called there each time that every watched counter has moved
    /// since its last call; it must not block.
    ///
    /// # Errors
    /// When the operating system cannot start a thread.
    pub fn start(
        progress: Arc<Progress>,
        limits: WatchLimits,
        mut on_progress: impl FnMut() + Send + 'static,
        on_stall: impl FnOnce(String) + Send + 'static,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            if let Some(stall) = watch(&progress, limits, &stopped, &mut on_progress) {
                on_stall(stall);
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

#[expect(clippy::disallowed_methods, reason = "the watchdog must not depend on a clock that a runtime can stop")]
fn watch(
    progress: &Progress,
    limits: WatchLimits,
    stopped: &AtomicBool,
    on_progress: &mut dyn FnMut(),
) -> Option<String> {
    let mut detector = Detector::new(limits, progress.read());
    let mut movement = Movement::new(limits, progress.read());
    let mut polled = Instant::now();
    while !stopped.load(Ordering::Acquire) {
        std::thread::park_timeout(POLL_EVERY);
        let now = Instant::now();
        let counters = progress.read();
        if let Some(stall) = detector.observe(now - polled, counters) {
            return Some(stall);
        }
        if movement.have_all_moved(counters) {
            on_progress();
        }
        polled = now;
    }
    None
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Not joined: `on_stall` may be what drops this, or may never return.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stalls_after(limits: WatchLimits, moving: impl Fn(u64) -> [u64; 3]) -> Option<(u64, String)> {
        let mut detector = Detector::new(limits, moving(0));
        (1..1000).find_map(|poll| detector.observe(POLL_EVERY, moving(poll)).map(|stall| (poll, stall)))
    }

    #[test]
    fn counters_that_move_are_no_stall() {
        assert_eq!(stalls_after(WatchLimits::default(), |poll| [poll, poll / 10, poll / 79]), None);
    }

    #[test]
    fn a_counter_that_stands_unchanged_for_the_limit_is_named() {
        let (poll, stall) = stalls_after(WatchLimits::default(), |poll| [poll, 7, poll]).unwrap();
        assert_eq!((poll, stall.as_str()), (80, "the worker runtime made no progress for 20s"));
    }

    #[test]
    fn a_worker_that_runs_says_nothing_while_another_one_is_blocked() {
        let progress = Progress::default();
        progress.worker_blocked();
        progress.beat_worker();
        assert_eq!(progress.read()[1], 0);
        progress.worker_freed();
        progress.beat_worker();
        assert_eq!(progress.read()[1], 1);
    }

    #[tokio::test(start_paused = true)]
    async fn each_part_says_how_long_ago_it_moved() {
        let progress = Progress::default();
        tokio::time::advance(Duration::from_secs(30)).await;
        progress.beat_control();
        progress.worker_blocked();
        progress.beat_worker();
        tokio::time::advance(Duration::from_secs(1)).await;
        progress.beat_journal();
        assert_eq!(progress.ages(), [1, 31, 0].map(Duration::from_secs));
    }

    #[test]
    fn a_counter_without_a_limit_may_stand_still() {
        let limits = WatchLimits { journal: None, ..WatchLimits::default() };
        assert_eq!(stalls_after(limits, |poll| [poll, poll, 0]), None);
    }

    #[test]
    fn a_process_that_was_stopped_for_an_hour_has_not_stalled() {
        let mut detector = Detector::new(WatchLimits::default(), [0; 3]);
        assert_eq!(detector.observe(Duration::from_secs(3600), [0; 3]), None);
    }

    #[test]
    fn the_thread_reports_once() {
        let (sender, reports) = std::sync::mpsc::channel();
        let limits = WatchLimits { worker: Some(Duration::ZERO), ..WatchLimits::default() };
        let on_stall = move |stall| drop(sender.send(stall));
        let _watchdog = Watchdog::start(Arc::new(Progress::default()), limits, || (), on_stall).unwrap();
        assert!(reports.recv().unwrap().contains("the worker runtime"));
        assert!(reports.recv().is_err(), "the thread has ended");
    }

    #[test]
    fn the_thread_ends_when_it_is_dropped() {
        let (sender, reports) = std::sync::mpsc::channel::<String>();
        drop(Watchdog::start(
            Arc::new(Progress::default()),
            WatchLimits::default(),
            || (),
            move |stall| {
                drop(sender.send(stall));
            },
        ));
        assert!(reports.recv().is_err());
    }

    #[test]
    fn progress_is_only_what_moves_everything_that_is_watched() {
        let mut movement = Movement::new(WatchLimits { worker: None, ..WatchLimits::default() }, [0; 3]);
        assert!(!movement.have_all_moved([1, 0, 0]));
        assert!(movement.have_all_moved([2, 0, 1]));
        assert!(!movement.have_all_moved([3, 0, 1]), "the journal has not moved since");
        assert!(movement.have_all_moved([3, 0, 2]));
    }

    #[test]
    fn progress_is_reported_while_there_is_some_and_a_stall_when_not() {
        let (sender, reports) = std::sync::mpsc::channel();
        let (stall_sender, stalls) = std::sync::mpsc::channel();
        let progress = Arc::new(Progress::default());
        let limit = Some(Duration::from_secs(2));
        let limits = WatchLimits { control: limit, worker: limit, journal: limit };
        let on_progress = move || {
            let _ = sender.send(());
        };
        let on_stall = move |why| drop(stall_sender.send(why));
        let _watchdog = Watchdog::start(Arc::clone(&progress), limits, on_progress, on_stall).unwrap();
        for _ in 0..2 {
            while reports.recv_timeout(Duration::from_millis(1)).is_err() {
                progress.beat_control();
                progress.beat_worker();
                progress.beat_journal();
            }
        }
        assert!(stalls.recv().unwrap().contains("made no progress"));
        assert!(reports.try_iter().count() <= 1, "at most what was seen of the last beats");
    }
}
