//! Crash reports and restarts, kept for people.
//!
//! Promise kept: telemetry never blocks, slows or fails the node. A full queue or a failing disk loses events. The
//! file is apart from the journal, may lose its newest events in a power cut, and may be deleted.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags, params};
use sentinel_actors::domain::time::UtcMs;

use super::{JournalError, StateDir, TELEMETRY_FILE};

/// Events that may wait for the disk.
const QUEUE: usize = 256;
/// Events that are kept.
const KEPT: i64 = 20_000;
/// Events between two clean-ups.
const CLEAN_EVERY: u64 = 1000;

/// Something worth knowing later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryEvent {
    /// Schedule time.
    pub at: UtcMs,
    /// What kind, for example `crash` or `restart`.
    pub kind: String,
    /// Pipeline; empty for the node itself.
    pub pipeline: String,
    pub text: String,
}

/// The telemetry file of a running node.
pub struct Telemetry {
    events: Option<SyncSender<TelemetryEvent>>,
    thread: Option<JoinHandle<()>>,
}

impl Telemetry {
    /// Starts the writer; when the file cannot be used, every event is lost.
    #[must_use]
    pub fn open(state: &StateDir) -> Self {
        let (events, inbox) = sync_channel(QUEUE);
        let path = state.path().join(TELEMETRY_FILE);
        let thread = std::thread::Builder::new().name("telemetry".to_owned()).spawn(move || record(&path, &inbox)).ok();
        Self { events: Some(events), thread }
    }

    /// Queues an event and never waits: an event that finds the queue full is lost.
    pub fn note(&self, event: TelemetryEvent) {
        if let Some(events) = &self.events {
            let _ = events.try_send(event);
        }
    }

    /// The newest events of a state directory, newest first.
    ///
    /// # Errors
    /// When there is no readable file.
    pub fn newest(dir: &Path, count: u32) -> Result<Vec<TelemetryEvent>, JournalError> {
        let path = dir.join(TELEMETRY_FILE);
        let sql = |error| JournalError::from_sqlite(&path, "reading it", error);
        if !path.is_file() {
            return Err(JournalError::Missing { path });
        }
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(sql)?;
        let mut statement = connection
            .prepare("SELECT at_ms, kind, pipeline, text FROM events ORDER BY number DESC LIMIT ?1")
            .map_err(sql)?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(TelemetryEvent { at: UtcMs(row.get(0)?), kind: row.get(1)?, pipeline: row.get(2)?, text: row.get(3)? })
        };
        statement.query_map([count], read).and_then(Iterator::collect).map_err(sql)
    }
}

impl Drop for Telemetry {
    /// Writes what still waits.
    fn drop(&mut self) {
        drop(self.events.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn record(path: &Path, inbox: &Receiver<TelemetryEvent>) {
    let connection = open(path).ok();
    for (number, event) in (0_u64..).zip(inbox) {
        let Some(connection) = &connection else { continue };
        // An event that cannot be written is lost: this file must not disturb the node.
        if number.is_multiple_of(CLEAN_EVERY) {
            let _ =
                connection.execute("DELETE FROM events WHERE number <= (SELECT max(number) FROM events) - ?1", [KEPT]);
        }
        let _ = insert(connection, &event);
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA busy_timeout = 1000;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = NORMAL;
         PRAGMA trusted_schema = OFF;
         PRAGMA journal_size_limit = 1048576;
         PRAGMA mmap_size = 0;
         PRAGMA cache_size = -64;
         CREATE TABLE IF NOT EXISTS events (
             number   INTEGER PRIMARY KEY,
             at_ms    INTEGER NOT NULL,
             kind     TEXT    NOT NULL,
             pipeline TEXT    NOT NULL,
             text     TEXT    NOT NULL
         ) STRICT;",
    )?;
    Ok(connection)
}

fn insert(connection: &Connection, event: &TelemetryEvent) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("INSERT INTO events (at_ms, kind, pipeline, text) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![event.at.0, event.kind, event.pipeline, event.text])
}
