//! What the cache forgets, so that its file stays small.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};
use sentinel_actors::domain::time::UtcMs;

use super::{CacheError, SeriesId};

/// Bars that a series keeps, the newest ones: 69 days of minutes. Until they are counted again there may be [`COUNTED_EACH`] more.
const BARS_MAX: i64 = 100_000;
/// Counting reads every bar of a series, which costs more than all else of a fetch. So it is done once in this many intervals.
const COUNTED_EACH: i64 = 1_000;
/// Revisions, and reviews, that are kept.
pub(super) const REVISIONS_MAX: i64 = 10_000;
/// A series that nobody has fetched for this long is forgotten.
const SERIES_UNUSED_MAX: Duration = Duration::from_secs(90 * 86_400);

/// Whether the bars of a series are to be counted, by the open times that had been asked for, `before` this fetch and now: at first,
/// once in [`COUNTED_EACH`] intervals, and when the series begins earlier than it did, because those bars may be too many.
pub(super) fn is_due(interval_ms: i64, before: Option<(i64, i64)>, now: (i64, i64)) -> bool {
    let block = |time: i64| time.div_euclid(interval_ms.saturating_mul(COUNTED_EACH).max(1));
    before.is_none_or(|before| now.0 < before.0 || block(now.1) != block(before.1))
}

/// Forgets the oldest bars of a series that has too many. Returns the open time of the oldest one that is kept, of a full series.
pub(super) fn oldest_bars(connection: &Connection, series: SeriesId) -> Result<Option<i64>, CacheError> {
    let oldest_kept: Option<i64> = connection
        .query_row(
            "SELECT time FROM bar WHERE series = ?1 ORDER BY time DESC LIMIT 1 OFFSET ?2",
            params![series.0, BARS_MAX - 1],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(oldest) = oldest_kept {
        connection.execute("DELETE FROM bar WHERE series = ?1 AND time < ?2", params![series.0, oldest])?;
        connection.execute("UPDATE series SET first = max(first, ?2) WHERE id = ?1", params![series.0, oldest])?;
    }
    Ok(oldest_kept)
}

/// Forgets the oldest revisions.
pub(super) fn oldest_revisions(connection: &Connection) -> Result<(), CacheError> {
    let newest = "SELECT id FROM revision ORDER BY id DESC LIMIT 1 OFFSET ?1";
    connection.execute(&format!("DELETE FROM revision WHERE id <= ({newest})"), [REVISIONS_MAX])?;
    Ok(())
}

/// Forgets series that nobody fetches any more, but for those that this process works on.
pub(super) fn unused_series(connection: &Connection, at: UtcMs, in_use: &[SeriesId]) -> Result<(), CacheError> {
    let unused = at.minus(SERIES_UNUSED_MAX);
    let mut old = connection.prepare_cached("SELECT id FROM series WHERE fetched < ?1 AND fetched > 0")?;
    let old: Vec<SeriesId> = old.query_map([unused.0], |row| Ok(SeriesId(row.get(0)?)))?.collect::<Result<_, _>>()?;
    for series in old.into_iter().filter(|series| !in_use.contains(series)) {
        connection.execute("DELETE FROM series WHERE id = ?1", [series.0])?;
    }
    Ok(())
}
