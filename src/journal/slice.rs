//! The newest part of a journal in a file of its own, for somebody who looks into it elsewhere.
//!
//! It is written anew, row by row, so that no page of it holds anything of a row that was left out. Texts go through a filter; a row
//! that the filter has changed does not fit its checksum any more, and it is the only kind that does not.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::{JOURNAL_FILE, JournalError, schema};

/// Starts that a slice has.
const STARTS: u32 = 500;

/// Which rows of a table belong into a slice; `?1` is the first slot. Tables that are not named here do as a whole.
const WANTED: [(&str, &str); 4] = [
    ("slots", "slot_ms >= ?1"),
    ("announced_slots", "slot_ms >= ?1"),
    ("intents", "(slot_ms >= ?1 OR state IN ('planned', 'sent', 'unknown', 'held'))"),
    (
        "intent_events",
        "key IN (SELECT key FROM intents WHERE slot_ms >= ?1 OR state IN ('planned', 'sent', 'unknown', 'held'))",
    ),
];

/// Writes what the journal of `dir` has of its newest `span` into the file `to`, which is not there yet. Each text goes through
/// `filter`.
///
/// # Errors
/// When one of the two files cannot be used.
pub fn slice(
    dir: &Path,
    span: Duration,
    to: &Path,
    mut filter: impl FnMut(&str) -> String,
) -> Result<(), JournalError> {
    let path = dir.join(JOURNAL_FILE);
    let from = schema::open_for_reading(&path)?;
    let sql = |error| JournalError::from_sqlite(&path, "reading a part of it", error);
    // One instant for all tables.
    let from = from.unchecked_transaction().map_err(sql)?;
    let newest: Option<i64> = from.query_row("SELECT max(slot_ms) FROM slots", [], |row| row.get(0)).map_err(sql)?;
    let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    let first = newest.unwrap_or(0).saturating_sub(span).saturating_add(1);
    write(&from, first, to, &mut filter).map_err(|error| JournalError::from_sqlite(to, "writing it", error))
}

fn write(from: &Connection, first: i64, to: &Path, filter: &mut impl FnMut(&str) -> String) -> rusqlite::Result<()> {
    let mut slice = Connection::open(to)?;
    slice.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF;")?;
    let slice = slice.transaction()?;
    let mut tables = from.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND sql NOT NULL")?;
    let tables = tables.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    for (name, sql) in tables.collect::<rusqlite::Result<Vec<_>>>()? {
        if name.starts_with("sqlite_") {
            continue;
        }
        slice.execute_batch(&sql)?;
        copy(from, &slice, &name, first, filter)?;
    }
    for pragma in ["application_id", "user_version"] {
        let number: i64 = from.pragma_query_value(None, pragma, |row| row.get(0))?;
        slice.pragma_update(None, pragma, number)?;
    }
    slice.commit()
}

fn copy(
    from: &Connection,
    to: &Connection,
    table: &str,
    first: i64,
    filter: &mut impl FnMut(&str) -> String,
) -> rusqlite::Result<()> {
    let wanted = WANTED.iter().find(|(name, _)| *name == table).map_or("?1 IS NOT NULL", |(_, wanted)| wanted);
    let limit = if table == "starts" { format!(" ORDER BY number DESC LIMIT {STARTS}") } else { String::new() };
    let mut rows = from.prepare(&format!("SELECT * FROM {table} WHERE {wanted}{limit}"))?;
    let columns = rows.column_count();
    let marks = vec!["?"; columns].join(", ");
    let mut insert = to.prepare(&format!("INSERT INTO {table} VALUES ({marks})"))?;
    let mut rows = rows.query([first])?;
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| {
            Ok(match row.get::<_, Value>(column)? {
                Value::Text(text) => Value::Text(filter(&text)),
                other => other,
            })
        });
        insert.execute(params_from_iter(values.collect::<rusqlite::Result<Vec<_>>>()?))?;
    }
    Ok(())
}
