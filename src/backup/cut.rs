//! Copies of several databases as they are at one instant.

use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::BackupError;

/// How long a lock is waited for.
const BUSY: Duration = Duration::from_secs(5);
/// Pages that are copied at a time.
const PAGES: i32 = 256;
/// The wait for a file that is locked between two of them.
const LOCKED_FOR: Duration = Duration::from_millis(5);

/// Databases that show what they had when they were pinned, whatever is written to them since.
pub(super) struct Cut {
    needed: Vec<(String, Connection)>,
    /// Those that may fail.
    extras: Vec<(String, Connection)>,
    left_out: Vec<String>,
}

/// What was copied.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub(super) files: Vec<String>,
    /// What could not be copied, and is not needed.
    pub(super) left_out: Vec<String>,
}

impl Cut {
    /// Pins `journal` and the `effects` that are there to one instant, and the `extras` to a later one.
    pub(super) fn pin(dir: &Path, journal: &str, effects: &[&str], extras: &[&str]) -> Result<Self, BackupError> {
        let there = |names: &[&str]| {
            let there = names.iter().filter(|name| dir.join(name).is_file());
            there.map(|name| (*name).to_owned()).collect::<Vec<_>>()
        };
        let effects = there(effects);
        // Nothing is added to them from here on until these are dropped.
        let locks = effects.iter().map(|name| lock(&dir.join(name))).collect::<Result<Vec<_>, _>>()?;
        let mut needed = vec![(journal.to_owned(), pinned(&dir.join(journal))?)];
        for name in effects {
            let connection = pinned(&dir.join(&name))?;
            needed.push((name, connection));
        }
        drop(locks);
        let (mut pinned_extras, mut left_out) = (Vec::new(), Vec::new());
        for name in there(extras) {
            match pinned(&dir.join(&name)) {
                Ok(connection) => pinned_extras.push((name, connection)),
                Err(_) => left_out.push(name),
            }
        }
        Ok(Self { needed, extras: pinned_extras, left_out })
    }

    /// Copies them into `dir`, each in one file that is whole by SQLite's own check.
    pub(super) fn copy_into(self, dir: &Path) -> Result<Copied, BackupError> {
        let mut copied = Copied { files: Vec::new(), left_out: self.left_out };
        for (name, connection) in self.needed {
            copy(&connection, &dir.join(&name))?;
            copied.files.push(name);
        }
        for (name, connection) in self.extras {
            let to = dir.join(&name);
            match copy(&connection, &to) {
                Ok(()) => copied.files.push(name),
                Err(error @ BackupError::DiskFull { .. }) => return Err(error),
                Err(_) => {
                    let _ = std::fs::remove_file(to);
                    copied.left_out.push(name);
                }
            }
        }
        Ok(copied)
    }
}

/// Keeps others from writing until it is dropped, which takes nothing back because nothing was written.
fn lock(path: &Path) -> Result<Connection, BackupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let locked = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(BUSY)?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(connection)
    });
    locked.map_err(|error| BackupError::database(path, "locking it for a moment", error))
}

/// Opens a database and keeps what it shows now in view.
fn pinned(path: &Path) -> Result<Connection, BackupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let pinned = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cache_size", -256)?;
        // The instant is that of the first question.
        connection.execute_batch("BEGIN")?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    });
    pinned.map_err(|error| BackupError::database(path, "opening it", error))
}

fn copy(from: &Connection, to: &Path) -> Result<(), BackupError> {
    let copied = Connection::open(to).and_then(|mut copy| {
        // Synced once, when it is whole.
        copy.pragma_update(None, "synchronous", "OFF")?;
        copy_pages(from, &mut copy)?;
        // One file, without a log beside it.
        copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
        copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0))
    });
    match copied {
        Err(error) => Err(BackupError::database(to, "copying into it", error)),
        Ok(verdict) if verdict != "ok" => Err(BackupError::Damaged { file: to.to_owned(), what: verdict }),
        Ok(_) => Ok(()),
    }
}

fn copy_pages(from: &Connection, to: &mut Connection) -> rusqlite::Result<()> {
    let backup = Backup::new(from, to)?;
    loop {
        match backup.step(PAGES)? {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            _ => std::thread::sleep(LOCKED_FOR),
        }
    }
}
