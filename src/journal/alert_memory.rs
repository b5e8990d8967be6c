//! What the alerts remember across restarts: incidents, and messages that are not delivered yet. In the file of the telemetry.
//!
//! Promise kept: it is written before a word can be repeated, and a file that is missing, damaged or on a full disk is an error that
//! its user survives: it goes on from memory, and what was written last is written again once that works.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::{JournalError, TELEMETRY_FILE};

/// One thing that is remembered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlertRow {
    /// What it is of.
    pub kind: String,
    /// Which one.
    pub name: String,
    /// JSON.
    pub text: String,
}

/// The table in the file.
#[derive(Debug)]
pub struct AlertMemory {
    path: PathBuf,
    connection: Option<Connection>,
    /// What is in the file.
    written: BTreeMap<(String, String), String>,
}

impl AlertMemory {
    /// Of a state directory.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        Self { path: dir.join(TELEMETRY_FILE), connection: None, written: BTreeMap::new() }
    }

    /// What was remembered.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn read(&mut self) -> Result<Vec<AlertRow>, JournalError> {
        let path = self.path.clone();
        let sql = |error| JournalError::from_sqlite(&path, "reading the incidents", error);
        let connection = self.open().map_err(sql)?;
        let mut statement = connection.prepare("SELECT kind, name, text FROM incidents").map_err(sql)?;
        let row = |row: &rusqlite::Row<'_>| Ok(AlertRow { kind: row.get(0)?, name: row.get(1)?, text: row.get(2)? });
        let rows: Vec<AlertRow> = statement.query_map([], row).and_then(Iterator::collect).map_err(sql)?;
        drop(statement);
        self.written = rows.iter().map(|row| ((row.kind.clone(), row.name.clone()), row.text.clone())).collect();
        Ok(rows)
    }

    /// Makes the file hold these rows and no others; writes only what differs.
    ///
    /// # Errors
    /// When the file cannot be written. The next call tries all of it again.
    pub fn keep(&mut self, rows: Vec<AlertRow>) -> Result<(), JournalError> {
        if self.connection.is_some() && !self.path.exists() {
            // What is written into a file that was removed is lost.
            self.forget();
        }
        let rows: BTreeMap<_, _> = rows.into_iter().map(|row| ((row.kind, row.name), row.text)).collect();
        if self.connection.is_some() && rows == self.written {
            return Ok(());
        }
        let path = self.path.clone();
        match self.write(&rows) {
            Ok(()) => {
                self.written = rows;
                Ok(())
            }
            Err(error) => {
                self.forget();
                Err(JournalError::from_sqlite(&path, "writing the incidents", error))
            }
        }
    }

    fn write(&mut self, rows: &BTreeMap<(String, String), String>) -> rusqlite::Result<()> {
        let is_new = self.connection.is_none();
        let written = std::mem::take(&mut self.written);
        let transaction = self.open()?.transaction()?;
        if is_new {
            transaction.execute("DELETE FROM incidents", [])?;
        }
        for (kind, name) in written.keys().filter(|key| !rows.contains_key(*key)) {
            transaction.execute("DELETE FROM incidents WHERE kind = ?1 AND name = ?2", [kind, name])?;
        }
        for ((kind, name), text) in rows.iter().filter(|(key, text)| is_new || written.get(*key) != Some(*text)) {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO incidents (kind, name, text) VALUES (?1, ?2, ?3)")?
                .execute(params![kind, name, text])?;
        }
        transaction.commit()
    }

    fn forget(&mut self) {
        self.connection = None;
        self.written.clear();
    }

    fn open(&mut self) -> rusqlite::Result<&mut Connection> {
        if self.connection.is_none() {
            let connection = Connection::open(&self.path)?;
            connection.execute_batch(
                "PRAGMA busy_timeout = 1000;
                 PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = FULL;
                 PRAGMA trusted_schema = OFF;
                 PRAGMA mmap_size = 0;
                 PRAGMA cache_size = -64;
                 CREATE TABLE IF NOT EXISTS incidents (
                     kind TEXT NOT NULL,
                     name TEXT NOT NULL,
                     text TEXT NOT NULL,
                     PRIMARY KEY (kind, name)
                 ) STRICT;",
            )?;
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or(rusqlite::Error::InvalidQuery)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(of: &[(&str, &str)]) -> Vec<AlertRow> {
        let row = |(name, text): &(&str, &str)| AlertRow {
            kind: "incident".to_owned(),
            name: (*name).to_owned(),
            text: (*text).to_owned(),
        };
        of.iter().map(row).collect()
    }

    fn read(dir: &Path) -> Vec<AlertRow> {
        AlertMemory::of(dir).read().unwrap()
    }

    #[test]
    fn what_is_kept_is_read_by_the_next_run_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = AlertMemory::of(dir.path());
        assert_eq!(memory.read().unwrap(), []);
        memory.keep(rows(&[("a", "1"), ("b", "1")])).unwrap();
        memory.keep(rows(&[("b", "2"), ("c", "1")])).unwrap();
        assert_eq!(read(dir.path()), rows(&[("b", "2"), ("c", "1")]));
    }

    #[test]
    fn a_file_that_is_removed_or_damaged_is_written_anew_when_that_is_possible() {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = AlertMemory::of(dir.path());
        memory.keep(rows(&[("a", "1")])).unwrap();
        for file in ["telemetry.db", "telemetry.db-wal", "telemetry.db-shm"] {
            let _ = std::fs::remove_file(dir.path().join(file));
        }
        memory.keep(rows(&[("a", "1")])).unwrap();
        assert_eq!(read(dir.path()), rows(&[("a", "1")]), "although nothing has changed");
        drop(memory);

        std::fs::write(dir.path().join("telemetry.db"), "nonsense".repeat(1000)).unwrap();
        let mut memory = AlertMemory::of(dir.path());
        assert!(memory.read().is_err() && memory.keep(rows(&[("a", "1")])).is_err());
        std::fs::remove_file(dir.path().join("telemetry.db")).unwrap();
        memory.keep(rows(&[("a", "1")])).unwrap();
        assert_eq!(read(dir.path()), rows(&[("a", "1")]));
    }

    #[test]
    fn the_incidents_stand_beside_the_events_of_the_telemetry() {
        let dir = tempfile::tempdir().unwrap();
        let state = crate::journal::StateDir::open(dir.path()).unwrap();
        let telemetry = crate::journal::Telemetry::open(&state);
        let mut memory = AlertMemory::of(dir.path());
        memory.keep(rows(&[("a", "1")])).unwrap();
        telemetry.note(crate::journal::TelemetryEvent {
            at: sentinel_actors::domain::time::UtcMs(1),
            kind: "crash".to_owned(),
            pipeline: String::new(),
            text: String::new(),
        });
        drop(telemetry);
        memory.keep(rows(&[("a", "2")])).unwrap();
        assert_eq!(crate::journal::Telemetry::newest(dir.path(), 9).unwrap().len(), 1);
        assert_eq!(read(dir.path()), rows(&[("a", "2")]));
    }
}
