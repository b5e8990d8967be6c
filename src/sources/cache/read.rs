//! What reports read from the cache.

use std::time::Duration;

use rusqlite::{OptionalExtension as _, params};
use sentinel_actors::domain::bar::{Interval, RawBar};
use sentinel_actors::domain::time::UtcMs;

use super::{BarCache, CacheError, Revision, SeriesId, SeriesKey, bar, seal};

/// What the cache has seen of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesFacts {
    pub key: SeriesKey,
    pub id: SeriesId,
    /// How late each bar came that was looked for when it closed, in milliseconds, in rising order.
    pub lags_ms: Vec<i64>,
    /// Bars that were delivered without a price at least once.
    pub nulls: u32,
    /// Bars that were delivered with a price that is not positive at least once.
    pub zeros: u32,
    /// The newest ones, oldest first.
    pub revisions: Vec<Revised>,
}

/// The close of a bar before and after a revision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Revised {
    pub time: UtcMs,
    pub was: RawBar,
    pub is: RawBar,
}

/// A bar with what is known of its past.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeptBar {
    pub bar: RawBar,
    /// Our time of the fetch that brought it; `None`: with the first ones, or after a pause.
    pub seen: Option<UtcMs>,
    /// It was delivered without a usable price at least once.
    pub was_unusable: bool,
}

/// What is kept of a series, and of how it became so.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Oldest first.
    pub bars: Vec<KeptBar>,
    /// In the order in which they were seen.
    pub revisions: Vec<Revision>,
    /// Open times that were asked for without a hole.
    pub covered: Option<(UtcMs, UtcMs)>,
}

impl BarCache {
    /// What is kept of a series, of bars that open at `from` or later; nothing when there is no such series.
    ///
    /// # Errors
    /// When the file cannot be used, or a bar is not what was written.
    pub fn history(&self, key: &SeriesKey, from: UtcMs) -> Result<History, CacheError> {
        let mut connection = self.connection();
        // Bars, their pasts and their revisions are of one instant.
        let transaction = connection.transaction()?;
        let seconds = i64::try_from(key.interval.length().as_secs()).unwrap_or(i64::MAX);
        let of_key = "SELECT id FROM series WHERE vendor = ?1 AND base_url = ?2 AND ticker = ?3 AND interval_s = ?4";
        let id = transaction
            .query_row(of_key, params![key.vendor, key.base_url, key.ticker, seconds], |row| row.get(0))
            .optional()?;
        let Some(id) = id.map(SeriesId) else { return Ok(History::default()) };
        let damaged = || CacheError::Damaged("a bar does not fit its checksum".to_owned());
        let stored = seal::load(&transaction, id, from)?.ok_or_else(damaged)?;
        let mut pasts = transaction.prepare_cached(
            "SELECT lag_ms, was_null OR was_zero FROM bar WHERE series = ?1 AND time >= ?2 ORDER BY time",
        )?;
        let past = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Option<i64>>(0)?, row.get(1)?));
        let pasts: Vec<_> = pasts.query_map(params![id.0, from.0], past)?.collect::<Result<_, _>>()?;
        let bars = stored.bars.into_iter().zip(pasts).map(|(bar, (lag_ms, was_unusable))| {
            let close = key.interval.close_of(bar.time);
            KeptBar { bar, seen: lag_ms.map(|lag| UtcMs(close.0.saturating_add(lag))), was_unusable }
        });
        let mut revisions = transaction.prepare_cached(
            "SELECT time, was_open, was_high, was_low, was_close, was_volume,
                time, is_open, is_high, is_low, is_close, is_volume, seen
             FROM revision WHERE series = ?1 AND time >= ?2 ORDER BY id",
        )?;
        let revision = |row: &rusqlite::Row<'_>| {
            Ok(Revision { time: UtcMs(row.get(0)?), was: bar(row, 0)?, is: bar(row, 6)?, seen: UtcMs(row.get(12)?) })
        };
        let revisions = revisions.query_map(params![id.0, from.0], revision)?.collect::<Result<_, _>>()?;
        Ok(History { bars: bars.collect(), revisions, covered: stored.covered })
    }

    /// Every series.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn facts(&self) -> Result<Vec<SeriesFacts>, CacheError> {
        let connection = self.connection();
        let mut every = connection.prepare(
            "SELECT id, vendor, base_url, ticker, interval_s FROM series WHERE first IS NOT NULL
             ORDER BY vendor, ticker, interval_s, base_url",
        )?;
        let series = every.query_map([], |row| {
            let key = (row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?);
            Ok((SeriesId(row.get(0)?), key, row.get::<_, u32>(4)?))
        })?;
        let mut facts = Vec::new();
        for series in series {
            let (id, (vendor, base_url, ticker), seconds) = series?;
            let Some(interval) = Interval::new(Duration::from_secs(u64::from(seconds))) else { continue };
            let key = SeriesKey { vendor, base_url, ticker, interval };
            let mut lags = connection
                .prepare_cached("SELECT lag_ms FROM bar WHERE series = ?1 AND lag_ms IS NOT NULL ORDER BY lag_ms")?;
            let lags_ms = lags.query_map([id.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
            let count = |column: &str| {
                let sql = format!("SELECT count(*) FROM bar WHERE series = ?1 AND {column}");
                connection.query_row(&sql, [id.0], |row| row.get(0))
            };
            let mut revisions = connection.prepare_cached(
                "SELECT time, was_open, was_high, was_low, was_close, was_volume,
                    time, is_open, is_high, is_low, is_close, is_volume FROM revision WHERE series = ?1 ORDER BY id",
            )?;
            let revised =
                |row: &rusqlite::Row<'_>| Ok(Revised { time: UtcMs(row.get(0)?), was: bar(row, 0)?, is: bar(row, 6)? });
            let revisions = revisions.query_map([id.0], revised)?.collect::<Result<_, _>>()?;
            facts.push(SeriesFacts {
                key,
                id,
                lags_ms,
                nulls: count("was_null")?,
                zeros: count("was_zero")?,
                revisions,
            });
        }
        Ok(facts)
    }
}
