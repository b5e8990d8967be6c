//! Checksums of what is decided on: a price that a disk has changed must not pass for the vendor's.

use rusqlite::{Connection, OptionalExtension as _, params};
use sentinel_actors::domain::bar::RawBar;
use sentinel_actors::domain::time::UtcMs;
use sha2::{Digest as _, Sha256};

use super::{CacheError, SeriesId, Stored, bar};

/// The seal of a bar in a series.
pub(super) fn of_bar(series: SeriesId, bar: &RawBar) -> i64 {
    let RawBar { time, open, high, low, close, volume } = bar;
    let mut hash = Sha256::new();
    hash.update(series.0.to_le_bytes());
    hash.update(time.0.to_le_bytes());
    for value in [open, high, low, close, volume] {
        // SQLite has one zero. No vendor sends the value that stands for none.
        hash.update(value.map_or(u64::MAX, |value| (value + 0.0).to_bits()).to_le_bytes());
    }
    first_eight(hash)
}

fn of_range(series: SeriesId, first: i64, last: i64) -> i64 {
    let mut hash = Sha256::new();
    for part in [series.0, first, last] {
        hash.update(part.to_le_bytes());
    }
    first_eight(hash)
}

fn first_eight(hash: Sha256) -> i64 {
    let digest = hash.finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    i64::from_le_bytes(bytes)
}

/// What has been asked for, as it is now.
type Range = Option<(Option<i64>, Option<i64>, Option<i64>)>;

fn range(connection: &Connection, series: SeriesId) -> rusqlite::Result<Range> {
    let sql = "SELECT first, last, seal FROM series WHERE id = ?1";
    connection.query_row(sql, [series.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()
}

/// Seals what has been asked for.
pub(super) fn series(connection: &Connection, series: SeriesId) -> Result<(), CacheError> {
    if let Some((Some(first), Some(last), _)) = range(connection, series)? {
        let seal = of_range(series, first, last);
        connection.execute("UPDATE series SET seal = ?2 WHERE id = ?1", params![series.0, seal])?;
    }
    Ok(())
}

/// Bars that open at `from` or later; `None`: a row does not fit its seal.
pub(super) fn load(connection: &Connection, series: SeriesId, from: UtcMs) -> Result<Option<Stored>, CacheError> {
    let covered = match range(connection, series)? {
        Some((Some(first), Some(last), seal)) => {
            if seal != Some(of_range(series, first, last)) {
                return Ok(None);
            }
            Some((UtcMs(first), UtcMs(last)))
        }
        _ => None,
    };
    let mut rows = connection.prepare_cached(
        "SELECT time, open, high, low, close, volume, seal FROM bar WHERE series = ?1 AND time >= ?2 ORDER BY time",
    )?;
    let sealed = |row: &rusqlite::Row<'_>| Ok((bar(row, 0)?, row.get::<_, i64>(6)?));
    let mut bars = Vec::new();
    for row in rows.query_map(params![series.0, from.0], sealed)? {
        let (bar, seal) = row?;
        if seal != of_bar(series, &bar) {
            return Ok(None);
        }
        bars.push(bar);
    }
    Ok(Some(Stored { bars, covered }))
}
