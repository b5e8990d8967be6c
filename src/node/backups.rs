//! The backup of each day. A failure is said and tried again, and changes nothing for the node.
//!
//! Promise kept: no cycle waits for it. It has threads of its own and never locks the journal; the paper book and the outbox are locked
//! for as long as three files take to open, at the node's own priority, so that nobody waits for a thread that does not get its
//! turn. Everything after that, the reading of archives too, is done at a lower one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use sentinel_actors::domain::node_view::BackupView;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{Clock as _, elapsed_now};
use sentinel_actors::status::Board;
use tokio::time::Instant;
use tracing::{error, info};

use crate::backup::{self, Backup, BackupError};
use crate::config::BackupConfig;
use crate::exit::with_advice;
use crate::files::create_private_dir;
use crate::journal::JournalReader;
use crate::system::WallClock;

/// Between two looks at the time and the directory.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// After a failure.
const AGAIN_AFTER: Duration = Duration::from_secs(15 * 60);
/// So much less important than the node is what waits for nothing.
const LOWER_BY: i32 = 10;
const DAY_MS: i64 = 24 * 3600 * 1000;

/// Ends the backups when it goes. One that is being taken ends with the process, and leaves nothing that looks whole.
pub(super) struct DailyBackups {
    _end: SyncSender<()>,
}

/// Starts what takes them; `None` without the section.
pub(super) fn start(config: Option<&BackupConfig>, state: &Path, board: &Board) -> Option<DailyBackups> {
    let (end, inbox) = sync_channel(1);
    let config = config?.clone();
    let since = WallClock.now();
    board.backup.store(Some(Arc::new(BackupView { newest: None, since })));
    let daily = Daily {
        config,
        state: state.to_owned(),
        board: board.clone(),
        since,
        looked_at: BTreeMap::new(),
        failed_at: None,
    };
    let thread = std::thread::Builder::new().name("backups".to_owned()).spawn(move || daily.run(&inbox));
    match thread {
        Ok(_) => Some(DailyBackups { _end: end }),
        Err(error) => {
            error!(event = "backup_failed", error = %chain(&error), "no backups are taken");
            None
        }
    }
}

struct Daily {
    config: BackupConfig,
    state: PathBuf,
    board: Board,
    since: UtcMs,
    /// Archives that were read, and whether they are whole.
    looked_at: BTreeMap<PathBuf, bool>,
    failed_at: Option<Instant>,
}

impl Daily {
    fn run(mut self, inbox: &Receiver<()>) {
        loop {
            if self.failed_at.is_none_or(|at| elapsed_now() >= at + AGAIN_AFTER) {
                self.failed_at = self.turn().err().map(|error| {
                    error!(event = "backup_failed", error = %error, "no backup was taken; it is tried again");
                    elapsed_now()
                });
            }
            match inbox.recv_timeout(LOOK_EVERY) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return,
            }
        }
    }

    /// Looks for the newest backup that is whole, and takes one when that is older than it is to be.
    fn turn(&mut self) -> Result<(), String> {
        let text = |error: BackupError| with_advice(&error);
        let id =
            JournalReader::open(&self.state).and_then(|reader| reader.id()).map_err(|error| with_advice(&error))?;
        let id = id.unwrap_or_default();
        create_private_dir(&self.config.dir).map_err(|error| format!("{}: {error}", self.config.dir.display()))?;
        let newest = self.newest(&id)?;
        self.show(newest);
        let now = WallClock.now();
        if newest.is_some_and(|newest| newest >= last_due(self.config.daily_at, now)) {
            return Ok(());
        }
        let began = elapsed_now();
        let (state, dir) = (self.state.clone(), self.config.dir.clone());
        let Backup { file, bytes, .. } = beside(move || backup::take(&state, &dir, now, lower))?.map_err(text)?;
        let took_ms = began.elapsed().as_millis();
        info!(event = "backup_taken", file = %file.display(), bytes, took_ms, "a backup was taken and read back");
        self.looked_at.insert(file, true);
        self.show(self.newest_known(&id)?);
        self.remove_old(&id)
    }

    fn show(&self, newest: Option<UtcMs>) {
        self.board.backup.store(Some(Arc::new(BackupView { newest, since: self.since })));
    }

    /// The newest one that is whole. Each is read once.
    fn newest(&mut self, id: &str) -> Result<Option<UtcMs>, String> {
        for (at, file) in self.archives(id)?.into_iter().rev() {
            let is_whole = match self.looked_at.get(&file) {
                Some(is_whole) => *is_whole,
                None => {
                    let path = file.clone();
                    let checked = beside(move || {
                        lower();
                        backup::check(&path)
                    })?;
                    if let Err(error) = &checked {
                        error!(event = "backup_failed", error = %with_advice(error), "a backup is not whole any more");
                    }
                    self.looked_at.insert(file, checked.is_ok());
                    checked.is_ok()
                }
            };
            if is_whole {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    fn newest_known(&self, id: &str) -> Result<Option<UtcMs>, String> {
        let archives = self.archives(id)?;
        Ok(archives.into_iter().rfind(|(_, file)| self.looked_at.get(file) == Some(&true)).map(|(at, _)| at))
    }

    fn archives(&self, id: &str) -> Result<Vec<(UtcMs, PathBuf)>, String> {
        backup::of_journal(&self.config.dir, id).map_err(|error| format!("{}: {error}", self.config.dir.display()))
    }

    fn remove_old(&mut self, id: &str) -> Result<(), String> {
        let archives = self.archives(id)?;
        let surplus = archives.len().saturating_sub(self.config.keep);
        for (_, file) in archives.into_iter().take(surplus) {
            std::fs::remove_file(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            self.looked_at.remove(&file);
        }
        Ok(())
    }
}

/// The newest instant with this time of day, at or before `now`.
fn last_due(at: jiff::civil::Time, now: UtcMs) -> UtcMs {
    let at_ms = (i64::from(at.hour()) * 60 + i64::from(at.minute())) * 60_000;
    let days = now.0.saturating_sub(at_ms).div_euclid(DAY_MS);
    UtcMs(days.saturating_mul(DAY_MS).saturating_add(at_ms))
}

/// Of this thread alone, and for good.
fn lower() {
    // A thread that stays as important as the others does the same.
    let _ = rustix::process::nice(LOWER_BY);
}

/// On a thread of its own, because none gets its priority back.
fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let thread =
        std::thread::Builder::new().name("backup".to_owned()).spawn(work).map_err(|error| error.to_string())?;
    thread.join().map_err(|_| "it panicked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_due_once_a_day_at_its_time_and_after_a_time_that_was_slept_through() {
        let at = jiff::civil::time(3, 30, 0, 0);
        let utc = |text: &str| text.parse::<UtcMs>().unwrap();
        for (now, due) in [
            ("2026-03-02T03:30:00Z", "2026-03-02T03:30:00Z"),
            ("2026-03-02T03:29:59Z", "2026-03-01T03:30:00Z"),
            ("2026-03-02T23:59:59Z", "2026-03-02T03:30:00Z"),
            ("2026-03-03T00:00:00Z", "2026-03-02T03:30:00Z"),
        ] {
            assert_eq!(last_due(at, utc(now)), utc(due), "{now}");
        }
    }
}
