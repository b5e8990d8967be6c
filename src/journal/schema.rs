//! Opens the journal's file: settings, checks, and forward migrations after a backup.
//!
//! Promise kept: a file that this program does not fully understand is refused, never guessed at or written to. The order
//! matters: identity and version are looked at before anything is changed. An upgrade first verifies the checksums of the old
//! rows, because it writes new ones: a row that was changed behind the node's back must not become a sealed one.

use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use sentinel_actors::domain::halt::Halt;

use super::tables::{TABLES, Table, sealed};
use super::{JournalError, Loss, frozen};
use crate::files::{sync_names, with_suffix};

/// "SNTL": identifies a journal among SQLite files.
const APPLICATION_ID: i64 = 0x534E_544C;
/// The first SQLite with the fix of the WAL reset bug.
const SQLITE_NEEDED: (i32, &str) = (3_051_003, "3.51.3");
/// A larger file is only checked in the tables that money depends on, so that a start stays short.
const WHOLE_CHECK_LIMIT_BYTES: u64 = 256 << 20;

/// The write-ahead log is cut off to this length when it was longer.
pub(super) const WAL_LIMIT_BYTES: u64 = 8 << 20;

/// One step from version `n` to `n + 1`. It knows only what those two versions have.
struct Step {
    sql: &'static str,
    /// The tables with checksums in version `n + 1`.
    sealed: &'static [&'static Table],
}

/// Step `n` leads to version `n + 1`; a new file takes all of them.
const STEPS: &[Step] = &[
    Step { sql: include_str!("schema/0001_initial.sql"), sealed: &[] },
    Step { sql: include_str!("schema/0002_checksums.sql"), sealed: &frozen::OF_2 },
    Step { sql: include_str!("schema/0003_basis_starts_retention.sql"), sealed: &frozen::OF_3 },
    Step { sql: include_str!("schema/0004_forecasts.sql"), sealed: &frozen::OF_4 },
    Step { sql: include_str!("schema/0005_announced_slots.sql"), sealed: &frozen::OF_5 },
    Step { sql: include_str!("schema/0006_waiting.sql"), sealed: &frozen::OF_6 },
    Step { sql: include_str!("schema/0007_facts.sql"), sealed: &frozen::OF_7 },
    Step { sql: include_str!("schema/0008_live_orders.sql"), sealed: &frozen::OF_8 },
    Step { sql: include_str!("schema/0009_venue_note.sql"), sealed: &TABLES },
];

/// The schema version that this program writes.
pub const SCHEMA_VERSION: i64 = 9;
const _: () = assert!(STEPS.len() == SCHEMA_VERSION as usize);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// The version that the file had, when it was upgraded.
    pub migrated_from: Option<i64>,
    /// The backup that was taken before the upgrade.
    pub backup: Option<PathBuf>,
    /// Whether every page was checked, and not only the tables that money depends on.
    pub checked_whole_file: bool,
    /// Intents that wait to be settled.
    pub open_intents: usize,
    /// Halts that stand.
    pub halts: Vec<Halt>,
    /// Number of the node's start, when there is one.
    pub start: Option<i64>,
    /// What the operator has accepted as lost.
    pub accepted_loss: Option<Loss>,
    /// Whether the journal has an id, and the directory did not remember it.
    pub mark_was_missing: bool,
}

/// Opens or creates the journal for its one writer.
///
/// `admit` is asked before anything is changed, with the version that the file has; 0 is a new one.
pub(super) fn open_for_writing(
    path: &Path,
    max_pages: Option<u32>,
    admit: impl FnOnce(&Connection, i64) -> Result<(), JournalError>,
) -> Result<(Connection, Recovered), JournalError> {
    require_sqlite()?;
    let sql = |action: &'static str| move |error| JournalError::from_sqlite(path, action, error);
    let mut connection = Connection::open(path).map_err(sql("opening it"))?;
    connection.set_prepared_statement_cache_capacity(32);
    let version = identify(&connection, path)?;
    if version > SCHEMA_VERSION {
        return Err(JournalError::NewerSchema { path: path.to_owned(), have: version, known: SCHEMA_VERSION });
    }
    let mode = configure(&connection, max_pages).map_err(sql("setting it up"))?;
    if mode != "wal" {
        return Err(JournalError::NoWal { path: path.to_owned(), mode });
    }
    let checked_whole_file = version == 0 || check_structure(&connection, path)?;
    admit(&connection, version)?;
    let mut recovered = Recovered { checked_whole_file, ..Recovered::default() };
    if version < SCHEMA_VERSION {
        if version > 0 {
            verify(&connection, path, version)?;
            recovered.backup = Some(back_up(&connection, path, version)?);
            recovered.migrated_from = Some(version);
        }
        migrate(&mut connection, version).map_err(sql("upgrading it"))?;
    }
    let built = Connection::open_in_memory().and_then(|mut built| {
        migrate(&mut built, 0)?;
        definitions(&built)
    });
    if definitions(&connection).map_err(sql("reading its tables"))? != built.map_err(sql("reading its tables"))? {
        let what = "its tables and indices are not defined as this version defines them".to_owned();
        return Err(JournalError::Damaged { path: path.to_owned(), what });
    }
    Ok((connection, recovered))
}

/// Opens the journal for questions, beside a running node or without one.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, JournalError> {
    let (connection, have) = open_any_for_reading(path)?;
    if have < SCHEMA_VERSION {
        return Err(JournalError::OlderSchema { path: path.to_owned(), have, known: SCHEMA_VERSION });
    }
    Ok(connection)
}

/// The same for a journal of this version or an earlier one, which comes with it.
pub(super) fn open_any_for_reading(path: &Path) -> Result<(Connection, i64), JournalError> {
    require_sqlite()?;
    if !path.is_file() {
        return Err(JournalError::Missing { path: path.to_owned() });
    }
    let sql = |action: &'static str| move |error| JournalError::from_sqlite(path, action, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sql("opening it"))?;
    connection.pragma_update(None, "busy_timeout", 5000).map_err(sql("setting it up"))?;
    connection.pragma_update(None, "trusted_schema", false).map_err(sql("setting it up"))?;
    connection.pragma_update(None, "cache_size", -512).map_err(sql("setting it up"))?;
    let have = identify(&connection, path)?;
    match have {
        0 => Err(JournalError::Missing { path: path.to_owned() }),
        known if known <= SCHEMA_VERSION => Ok((connection, known)),
        _ => Err(JournalError::NewerSchema { path: path.to_owned(), have, known: SCHEMA_VERSION }),
    }
}

/// Every table and index with its text.
fn definitions(connection: &Connection) -> rusqlite::Result<Vec<[Option<String>; 4]>> {
    let mut statement =
        connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")?;
    let all = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    all.collect()
}

fn require_sqlite() -> Result<(), JournalError> {
    if rusqlite::version_number() < SQLITE_NEEDED.0 {
        return Err(JournalError::OldSqlite { have: rusqlite::version(), need: SQLITE_NEEDED.1 });
    }
    Ok(())
}

/// The schema version; 0 for an empty file.
fn identify(connection: &Connection, path: &Path) -> Result<i64, JournalError> {
    let number = |pragma: &str| -> Result<i64, JournalError> {
        connection
            .query_row(pragma, [], |row| row.get(0))
            .map_err(|error| JournalError::from_sqlite(path, "reading its header", error))
    };
    let (id, version) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    let is_new = id == 0 && version == 0 && tables == 0;
    if is_new {
        return Ok(0);
    }
    if id != APPLICATION_ID || version < 1 {
        return Err(JournalError::Foreign { path: path.to_owned() });
    }
    Ok(version)
}

/// Says which journal mode the file system made of it.
fn configure(connection: &Connection, max_pages: Option<u32>) -> rusqlite::Result<String> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Plans depend on the text alone; otherwise a statement is prepared again for each value that is bound to it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // FULL: a commit is on the disk, not in its cache, before anything is sent.
    connection.execute_batch(
        "PRAGMA busy_timeout = 5000;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA wal_autocheckpoint = 1000;
         PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -512;",
    )?;
    connection.execute_batch(&format!("PRAGMA journal_size_limit = {WAL_LIMIT_BYTES};"))?;
    if let Some(pages) = max_pages {
        connection.execute_batch(&format!("PRAGMA max_page_count = {pages};"))?;
    }
    // To its end: the switch is committed after it has answered, and only then can it fail.
    let mut switch = connection.prepare("PRAGMA journal_mode = WAL")?;
    let modes: Vec<String> = switch.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(modes.into_iter().next().unwrap_or_default())
}

/// Whether SQLite finds its own structure whole, with every entry of every index. Says whether the whole file was looked at.
fn check_structure(connection: &Connection, path: &Path) -> Result<bool, JournalError> {
    let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let whole = bytes <= WHOLE_CHECK_LIMIT_BYTES;
    let checks: &[&str] = if whole {
        &["PRAGMA integrity_check(1)"]
    } else {
        &["PRAGMA integrity_check(intents)", "PRAGMA integrity_check(intent_events)"]
    };
    for check in checks {
        let verdict: String = connection
            .query_row(check, [], |row| row.get(0))
            .map_err(|error| JournalError::from_sqlite(path, "checking it", error))?;
        if verdict != "ok" {
            return Err(JournalError::Damaged { path: path.to_owned(), what: verdict });
        }
    }
    Ok(whole)
}

/// A complete copy beside the file, durable before the upgrade begins. An earlier copy of the same version stands: it is
/// nearer to the state before the first attempt to upgrade.
fn back_up(connection: &Connection, path: &Path, version: i64) -> Result<PathBuf, JournalError> {
    let io = |action: &'static str| move |source| JournalError::Io { path: path.to_owned(), action, source };
    let backup = with_suffix(path, &format!(".backup-v{version}"));
    if backup.exists() {
        return Ok(backup);
    }
    // A half-written copy must never pass for a backup: it gets its name when it is complete.
    let partial = with_suffix(path, &format!(".backup-v{version}.partial"));
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(io("removing a partial backup")(error));
        }
        _ => {}
    }
    connection
        .execute("VACUUM INTO ?1", [partial.to_string_lossy()])
        .map_err(|error| JournalError::from_sqlite(path, "backing it up", error))?;
    std::fs::File::open(&partial).and_then(|file| file.sync_all()).map_err(io("syncing its backup"))?;
    std::fs::rename(&partial, &backup).map_err(io("naming its backup"))?;
    let dir = path.parent().unwrap_or(path);
    std::fs::File::open(dir).and_then(|dir| sync_names(&dir)).map_err(io("syncing its directory"))?;
    Ok(backup)
}

/// All steps in one transaction: an upgrade that is cut off never happened.
fn migrate(connection: &mut Connection, from: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    for step in STEPS.iter().skip(usize::try_from(from).unwrap_or(0)) {
        transaction.execute_batch(step.sql)?;
    }
    TABLES.iter().try_for_each(|table| seal_table(&transaction, table))?;
    transaction
        .execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"))?;
    transaction.commit()
}

/// Refuses a file of an earlier version in which a row is not what was written.
fn verify(connection: &Connection, path: &Path, version: i64) -> Result<(), JournalError> {
    let sql = |error| JournalError::from_sqlite(path, "verifying it", error);
    let step = usize::try_from(version - 1).ok().and_then(|index| STEPS.get(index));
    for table in step.map_or(&[][..], |step| step.sealed) {
        let mut statement = connection.prepare(&table.select()).map_err(sql)?;
        let mut found = statement.query([]).map_err(sql)?;
        while let Some(row) = found.next().map_err(sql)? {
            if !table.is_intact(row).map_err(sql)? {
                let row = table.key_of(row).map_err(sql)?;
                let what = "its checksum does not fit".to_owned();
                return Err(JournalError::DamagedRow { path: path.to_owned(), row, what });
            }
        }
    }
    Ok(())
}

/// Rows are visited by key, so that no statement reads the table that another one changes.
fn seal_table(connection: &Connection, table: &Table) -> rusqlite::Result<()> {
    let keys = table.columns[..table.keys].join(", ");
    let marks: Vec<String> = (1..=table.keys).map(|n| format!("?{n}")).collect();
    let columns = table.columns.join(", ");
    let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Vec<rusqlite::types::Value>> {
        (0..table.columns.len()).map(|index| row.get(index)).collect()
    };
    let first = format!("SELECT {columns} FROM {} ORDER BY {keys} LIMIT 1", table.name);
    let next =
        format!("SELECT {columns} FROM {} WHERE ({keys}) > ({}) ORDER BY {keys} LIMIT 1", table.name, marks.join(", "));
    let update = table.update();
    let mut row = optional(connection.query_row(&first, [], read))?;
    while let Some(values) = row {
        let key = values[..table.keys].to_vec();
        connection.prepare_cached(&update)?.execute(rusqlite::params_from_iter(sealed(values)))?;
        row = optional(connection.prepare_cached(&next)?.query_row(rusqlite::params_from_iter(key), read))?;
    }
    Ok(())
}

fn optional<T>(result: rusqlite::Result<T>) -> rusqlite::Result<Option<T>> {
    match result {
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
        other => other.map(Some),
    }
}
