//! Crash reports. ractor's event carries the panic's text only; the process's panic hook sees the location, the
//! backtrace and the tokio task, and keeps them here until the supervisor, which knows the child's task, takes them.
//!
//! The hook prints nothing for tokio tasks: the owner logs the end of its child, once. Panics elsewhere go on to the hook
//! that was there before.

use std::backtrace::Backtrace;
use std::collections::{BTreeMap, VecDeque};
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::Id;

/// Reports that are kept at most. Those of tasks without a supervisor are never taken, and make room for newer ones.
const REPORTS_MAX: usize = 1024;
const BACKTRACES_PER_SECOND: u32 = 20;
const NO_TEXT: &str = "a panic without a text";

#[derive(Clone)]
pub struct CrashReport {
    pub message: String,
    /// `file:line:column`.
    pub location: String,
    /// Captured for at most 20 panics per second. Its symbols are resolved when it is first printed, which takes time.
    pub backtrace: Option<Arc<Backtrace>>,
}

impl CrashReport {
    /// Whether the error text that ractor made of a panic can come from this one.
    pub(super) fn explains(&self, text: &str) -> bool {
        self.message == text || self.message == NO_TEXT
    }
}

/// The backtrace does not count: it differs from run to run.
impl PartialEq for CrashReport {
    fn eq(&self, other: &Self) -> bool {
        self.message == other.message && self.location == other.location
    }
}

impl std::fmt::Debug for CrashReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CrashReport({self})")
    }
}

impl std::fmt::Display for CrashReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "panicked at {}: {}", self.location, self.message)
    }
}

#[derive(Default)]
struct Reports {
    by_task: BTreeMap<Id, CrashReport>,
    oldest_first: VecDeque<Id>,
    second: Option<Instant>,
    backtraces: u32,
}

impl Reports {
    fn keep(&mut self, task: Id, report: CrashReport) {
        self.by_task.insert(task, report);
        self.oldest_first.push_back(task);
        if self.oldest_first.len() > REPORTS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.by_task.remove(&oldest);
        }
    }

    fn may_capture(&mut self, now: Instant) -> bool {
        if self.second.is_none_or(|second| now.duration_since(second) >= Duration::from_secs(1)) {
            (self.second, self.backtraces) = (Some(now), 0);
        }
        self.backtraces += 1;
        self.backtraces <= BACKTRACES_PER_SECOND
    }
}

/// The reports of this process.
#[derive(Clone)]
pub struct CrashLog {
    reports: Arc<Mutex<Reports>>,
}

impl CrashLog {
    /// The log; the first call installs the panic hook.
    #[must_use]
    pub fn install() -> Self {
        static LOG: OnceLock<CrashLog> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self { reports: Arc::default() };
            let (keeper, before) = (log.clone(), std::panic::take_hook());
            std::panic::set_hook(Box::new(move |info| match tokio::task::try_id() {
                Some(task) => keeper.keep(task, info),
                None => before(info),
            }));
            log
        })
        .clone()
    }

    /// Takes the report of a task that ended.
    #[must_use]
    pub fn take(&self, task: Id) -> Option<CrashReport> {
        self.lock().by_task.remove(&task)
    }

    #[expect(clippy::disallowed_methods, reason = "limits work per real second; decides nothing but a backtrace")]
    fn keep(&self, task: Id, info: &PanicHookInfo<'_>) {
        let capture = self.lock().may_capture(Instant::now());
        let report = CrashReport {
            message: info.payload_as_str().unwrap_or(NO_TEXT).to_owned(),
            location: info.location().map_or_else(|| "an unknown location".to_owned(), ToString::to_string),
            backtrace: capture.then(|| Arc::new(Backtrace::force_capture())),
        };
        self.lock().keep(task, report);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Reports> {
        // Every change is one insert or remove, so the data behind a poisoned lock is intact.
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for CrashLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CrashLog")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> CrashReport {
        CrashReport { message: "m".to_owned(), location: "l".to_owned(), backtrace: None }
    }

    #[tokio::test]
    async fn the_oldest_reports_make_room_for_new_ones() {
        let mut reports = Reports::default();
        let mut tasks = tokio::task::JoinSet::new();
        let ids: Vec<Id> = (0..REPORTS_MAX + 1).map(|_| tasks.spawn(async {}).id()).collect();
        for id in &ids {
            reports.keep(*id, report());
        }
        assert_eq!(reports.by_task.len(), REPORTS_MAX);
        assert!(!reports.by_task.contains_key(&ids[0]));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn a_storm_of_panics_gets_twenty_backtraces_in_a_second() {
        let mut reports = Reports::default();
        let now = Instant::now();
        let captured = |reports: &mut Reports, at| (0..1000).filter(|_| reports.may_capture(at)).count();
        assert_eq!(captured(&mut reports, now), 20);
        assert_eq!(captured(&mut reports, now + Duration::from_millis(999)), 0);
        assert_eq!(captured(&mut reports, now + Duration::from_secs(1)), 20);
    }

    #[tokio::test]
    async fn a_panic_without_a_text_is_reported_too() {
        let log = CrashLog::install();
        let mut tasks = tokio::task::JoinSet::new();
        let id = tasks.spawn(async { std::panic::panic_any(42) }).id();
        assert!(tasks.join_next().await.is_some_and(|end| end.is_err()));
        let report = log.take(id).unwrap();
        assert_eq!(report.message, NO_TEXT);
        assert!(report.location.contains("crash.rs"));
    }
}
