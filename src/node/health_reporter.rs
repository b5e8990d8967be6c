//! Reports health outside the process: to the service manager and in `health.json`.
//!
//! Promise kept: it reports a healthy node only while the watchdog sees progress in every part, and it blocks nothing: updates
//! come through a bounded queue to a thread of its own, which alone talks to the manager and to the disk.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use sd_notify::NotifyState;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{Clock as _, elapsed_now};
use sentinel_actors::status::Board;
use tokio::time::Instant;
use tracing::warn;

use super::disk::DiskWatch;
use super::health::{self, HEALTH_FILE, WRITTEN_EVERY};
use super::notify::{Notify, status};
use crate::config::Config;
use crate::system::{WallClock, resident_bytes};

/// Updates that may be queued.
const QUEUE: usize = 64;
/// While the node starts, the manager is asked for this much more time at each turn.
const MORE_TIME: Duration = Duration::from_secs(20);
/// A start that takes longer than this hangs; the manager is then asked for no more time.
const START_WITHIN: Duration = Duration::from_secs(600);
/// How long the end of the process waits for the last message.
const LAST_MESSAGE_WITHIN: Duration = Duration::from_secs(1);

enum HealthUpdate {
    /// The start waits, because earlier ones crashed.
    BackingOff {
        crashes: usize,
        delay: Duration,
    },
    Running(Board),
    /// Every part has made progress since the last update of this kind.
    Moved,
    Stopping(String),
    /// The node has ended; answered once the last message is sent.
    Ended(SyncSender<()>),
}

#[derive(Clone)]
pub(super) struct HealthReporter(SyncSender<HealthUpdate>);

impl HealthReporter {
    /// Starts the thread. A `health.json` of an earlier run is removed: that process is gone.
    pub(super) fn start(config: &Config, state: &Path, mut disk: DiskWatch) -> Self {
        let _ = std::fs::remove_file(state.join(HEALTH_FILE));
        // Before anything can leave.
        disk.check();
        let (updates, inbox) = sync_channel(QUEUE);
        let reporter = ReporterThread {
            notify: Notify::from_env(),
            state: state.to_owned(),
            disk,
            ping_every: config.supervision.ping_every,
            began: elapsed_now(),
            running: None,
            stopping: false,
            has_progress: false,
            wrote: None,
            failure_logged: false,
        };
        // Without the thread nothing is reported, and the service manager takes the node for dead.
        let _ = std::thread::Builder::new().name("health_reporter".to_owned()).spawn(move || reporter.run(&inbox));
        Self(updates)
    }

    pub(super) fn backing_off(&self, crashes: usize, delay: Duration) {
        self.send(HealthUpdate::BackingOff { crashes, delay });
    }

    pub(super) fn running(&self, board: Board) {
        self.send(HealthUpdate::Running(board));
    }

    pub(super) fn moved(&self) {
        self.send(HealthUpdate::Moved);
    }

    pub(super) fn stopping(&self, why: &str) {
        self.send(HealthUpdate::Stopping(why.to_owned()));
    }

    /// Sends the last message and waits for that, but at most `LAST_MESSAGE_WITHIN`.
    pub(super) fn ended(&self) {
        let (done, wait) = sync_channel(1);
        self.send(HealthUpdate::Ended(done));
        let _ = wait.recv_timeout(LAST_MESSAGE_WITHIN);
    }

    fn send(&self, update: HealthUpdate) {
        // A full queue means that the thread is stuck, and then no sign of life must be sent.
        let _ = self.0.try_send(update);
    }
}

struct ReporterThread {
    notify: Option<Notify>,
    state: PathBuf,
    disk: DiskWatch,
    ping_every: Duration,
    began: Instant,
    running: Option<(Board, UtcMs)>,
    stopping: bool,
    /// Every part has made progress since the file was written.
    has_progress: bool,
    wrote: Option<Instant>,
    /// Whether the warning that the file cannot be written has been logged.
    failure_logged: bool,
}

impl ReporterThread {
    fn run(mut self, inbox: &Receiver<HealthUpdate>) {
        let mut next_turn = self.began + WRITTEN_EVERY;
        loop {
            match inbox.recv_timeout(next_turn.saturating_duration_since(elapsed_now())) {
                Ok(HealthUpdate::Ended(done)) => {
                    self.end();
                    let _ = done.try_send(());
                    return;
                }
                Ok(update) => self.handle(update),
                Err(RecvTimeoutError::Timeout) => {
                    self.turn();
                    next_turn = elapsed_now() + WRITTEN_EVERY;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.write_health();
        }
    }

    fn handle(&mut self, update: HealthUpdate) {
        match update {
            HealthUpdate::BackingOff { crashes, delay } => {
                self.began += delay;
                let text = format!("waiting {:.1} s before the start, after {crashes} crashes", delay.as_secs_f64());
                self.notify(&[NotifyState::Status(&text)]);
                if let Some(notify) = &mut self.notify {
                    notify.extend(delay + MORE_TIME);
                }
            }
            HealthUpdate::Running(board) => {
                let text = status(&board);
                self.notify(&[NotifyState::Ready, NotifyState::Status(&text)]);
                self.note_machine(&board);
                self.running = Some((board, WallClock.now()));
                self.warn_of_a_short_watchdog();
            }
            HealthUpdate::Moved => {
                self.has_progress = true;
                self.notify(&[NotifyState::Watchdog]);
            }
            HealthUpdate::Stopping(why) => {
                self.stopping = true;
                self.notify(&[NotifyState::Stopping, NotifyState::Status(&format!("stopping: {why}"))]);
            }
            HealthUpdate::Ended(_) => {}
        }
    }

    fn turn(&mut self) {
        self.disk.check();
        match &self.running {
            _ if self.stopping => {}
            Some((board, _)) => {
                self.note_machine(board);
                let text = status(board);
                self.notify(&[NotifyState::Status(&text)]);
            }
            None if elapsed_now() < self.began + START_WITHIN => {
                if let Some(notify) = &mut self.notify {
                    notify.extend(MORE_TIME);
                }
            }
            None => {}
        }
    }

    fn write_health(&mut self) {
        let Some((board, started_at)) = &self.running else { return };
        let is_due = self.wrote.is_none_or(|wrote| elapsed_now() >= wrote + WRITTEN_EVERY);
        if !self.has_progress || !is_due {
            return;
        }
        let view = health::view(board, *started_at, WallClock.now(), self.ping_every);
        (self.has_progress, self.wrote) = (false, Some(elapsed_now()));
        match health::write(&view, &self.state) {
            Ok(()) => self.failure_logged = false,
            Err(error) => {
                if !std::mem::replace(&mut self.failure_logged, true) {
                    warn!(event = "health_file_failed", error = %chain(&error), "health.json cannot be written");
                }
            }
        }
    }

    /// On this thread and not in the heartbeat: asking a disk may block.
    fn note_machine(&self, board: &Board) {
        let (free, size) = self.disk.measure().ok().unzip();
        board.usage.record(free, size, resident_bytes());
    }

    /// An idle journal shows progress only when it is pinged.
    fn warn_of_a_short_watchdog(&self) {
        let Some(limit) = self.notify.as_ref().and_then(Notify::watchdog) else { return };
        if limit < self.ping_every * 2 {
            warn!(
                event = "service_watchdog_short",
                limit_s = limit.as_secs(),
                ping_every_s = self.ping_every.as_secs(),
                "the service manager's watchdog is shorter than twice supervision.ping_every; it would end an idle node"
            );
        }
    }

    fn end(&mut self) {
        if !self.stopping {
            self.notify(&[NotifyState::Stopping, NotifyState::Status("ended")]);
        }
        let _ = std::fs::remove_file(self.state.join(HEALTH_FILE));
    }

    fn notify(&mut self, states: &[NotifyState<'_>]) {
        if let Some(notify) = &mut self.notify {
            notify.send(states);
        }
    }
}
