//! Signs of life for those who watch the process from outside: the service manager and `health.json`.
//!
//! Promise kept: it vouches for the node only while the watchdog sees everything in it move, and it can hold up nothing:
//! news come through a bounded queue to a thread of its own, which alone talks to the manager and to the disk.

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
use super::health::{HEALTH_FILE, Health, WRITTEN_EVERY};
use super::notify::{Notify, status};
use crate::config::Config;
use crate::system::{WallClock, free_bytes, resident_bytes};

/// HealthUpdate that may wait.
const QUEUE: usize = 64;
/// While the node starts, the manager is asked for so much more time at each look.
const MORE_TIME: Duration = Duration::from_secs(20);
/// A start that takes longer than this hangs, and the manager is asked no more.
const START_WITHIN: Duration = Duration::from_secs(600);
/// How long the end of the process waits for the last message.
const LAST_WORD_WITHIN: Duration = Duration::from_secs(1);

enum HealthUpdate {
    /// The start waits, because earlier ones crashed.
    BackingOff { crashes: usize, delay: Duration },
    /// The tree runs.
    Running(Board),
    /// Everything has moved since this was last said.
    Moved,
    /// The end has begun.
    Stopping(String),
    /// The end has come.
    Ended(SyncSender<()>),
}

/// Where the node's parts say how it is.
#[derive(Clone)]
pub(super) struct HealthReporter(SyncSender<HealthUpdate>);

impl HealthReporter {
    /// Starts to tell. A `health.json` that an earlier run left is removed: it speaks of nobody.
    pub(super) fn start(config: &Config, state: &Path) -> Self {
        let _ = std::fs::remove_file(state.join(HEALTH_FILE));
        let (news, inbox) = sync_channel(QUEUE);
        let reporter = ReporterThread {
            notify: Notify::from_env(),
            state: state.to_owned(),
            disk: DiskWatch::new(state.to_owned(), config.node.disk_warning_mb),
            late_after: config.deadlines.slot_lateness + config.deadlines.cycle,
            ping_every: config.supervision.ping_every,
            began: elapsed_now(),
            running: None,
            stopping: false,
            moved: false,
            wrote: None,
            told: false,
        };
        // Without a thread nobody outside hears anything, and the node is taken for dead; it can do no more about it.
        let _ = std::thread::Builder::new().name("health_reporter".to_owned()).spawn(move || reporter.run(&inbox));
        Self(news)
    }

    pub(super) fn backing_off(&self, crashes: usize, delay: Duration) {
        self.say(HealthUpdate::BackingOff { crashes, delay });
    }

    pub(super) fn running(&self, board: Board) {
        self.say(HealthUpdate::Running(board));
    }

    pub(super) fn moved(&self) {
        self.say(HealthUpdate::Moved);
    }

    pub(super) fn stopping(&self, why: &str) {
        self.say(HealthUpdate::Stopping(why.to_owned()));
    }

    /// The last message; waits until it is sent, but not for ever.
    pub(super) fn ended(&self) {
        let (done, wait) = sync_channel(1);
        self.say(HealthUpdate::Ended(done));
        let _ = wait.recv_timeout(LAST_WORD_WITHIN);
    }

    fn say(&self, news: HealthUpdate) {
        // A queue that is full means that the thread is stuck, and then nobody should vouch for the node.
        let _ = self.0.try_send(news);
    }
}

struct ReporterThread {
    notify: Option<Notify>,
    state: PathBuf,
    disk: DiskWatch,
    late_after: Duration,
    ping_every: Duration,
    began: Instant,
    running: Option<(Board, UtcMs)>,
    stopping: bool,
    /// Everything has moved since the file was written.
    moved: bool,
    wrote: Option<Instant>,
    /// That the file cannot be written has been told.
    told: bool,
}

impl ReporterThread {
    fn run(mut self, inbox: &Receiver<HealthUpdate>) {
        let mut next_look = self.began + WRITTEN_EVERY;
        loop {
            match inbox.recv_timeout(next_look.saturating_duration_since(elapsed_now())) {
                Ok(HealthUpdate::Ended(done)) => {
                    self.end();
                    let _ = done.try_send(());
                    return;
                }
                Ok(news) => self.hear(news),
                Err(RecvTimeoutError::Timeout) => {
                    self.look();
                    next_look = elapsed_now() + WRITTEN_EVERY;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.write_health();
        }
    }

    fn hear(&mut self, news: HealthUpdate) {
        match news {
            HealthUpdate::BackingOff { crashes, delay } => {
                self.began += delay;
                let text = format!("waiting {:.1} s before the start, after {crashes} crashes", delay.as_secs_f64());
                self.say(&[NotifyState::Status(&text)]);
                if let Some(notify) = &mut self.notify {
                    notify.extend(delay + MORE_TIME);
                }
            }
            HealthUpdate::Running(board) => {
                let text = status(&board);
                self.say(&[NotifyState::Ready, NotifyState::Status(&text)]);
                self.note_machine(&board);
                self.running = Some((board, WallClock.now()));
                self.warn_of_an_impatient_manager();
            }
            HealthUpdate::Moved => {
                self.moved = true;
                self.say(&[NotifyState::Watchdog]);
            }
            HealthUpdate::Stopping(why) => {
                self.stopping = true;
                self.say(&[NotifyState::Stopping, NotifyState::Status(&format!("stopping: {why}"))]);
            }
            HealthUpdate::Ended(_) => {}
        }
    }

    fn look(&mut self) {
        self.disk.look();
        match &self.running {
            _ if self.stopping => {}
            Some((board, _)) => {
                self.note_machine(board);
                let text = status(board);
                self.say(&[NotifyState::Status(&text)]);
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
        if !self.moved || !is_due {
            return;
        }
        let health = Health::new(board, *started_at, WallClock.now(), self.late_after, self.ping_every);
        (self.moved, self.wrote) = (false, Some(elapsed_now()));
        match health.write(&self.state) {
            Ok(()) => self.told = false,
            Err(error) => {
                if !std::mem::replace(&mut self.told, true) {
                    warn!(event = "health_file_failed", error = %chain(&error), "health.json cannot be written");
                }
            }
        }
    }

    /// Here and not where the heartbeat is: asking a disk can take as long as the disk likes.
    fn note_machine(&self, board: &Board) {
        board.machine.note(free_bytes(&self.state).ok(), resident_bytes());
    }

    /// An idle journal moves only when it is asked.
    fn warn_of_an_impatient_manager(&self) {
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
            self.say(&[NotifyState::Stopping, NotifyState::Status("ended")]);
        }
        let _ = std::fs::remove_file(self.state.join(HEALTH_FILE));
    }

    fn say(&mut self, states: &[NotifyState<'_>]) {
        if let Some(notify) = &mut self.notify {
            notify.say(states);
        }
    }
}
