//! What reports read from the cache.

use std::time::Duration;

use sentinel_actors::domain::bar::{Interval, RawBar};
use sentinel_actors::domain::time::UtcMs;

use super::{BarCache, CacheError, SeriesId, SeriesKey, bar};

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

impl BarCache {
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
