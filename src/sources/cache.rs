//! The bar cache: `bars.db` in the state directory, which may be deleted at any time.
//!
//! It holds what vendors delivered, so that a restart decides at once; what they changed afterwards, for `why` and for
//! `bars report`; and how often they were asked, so that a restart asks no more than is allowed. What belongs together is one
//! transaction: a process that is killed leaves all of a fetch or nothing. What is decided on is sealed, and a series with a
//! row that does not fit its seal is fetched again. A file that cannot be used is put aside. No key is ever in it.

mod budget;
mod error;
mod forget;
mod read;
mod seal;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};
use sentinel_actors::domain::bar::{Interval, RawBar};
use sentinel_actors::domain::time::UtcMs;

pub use self::budget::{Limit, Spent};
pub use self::error::CacheError;
pub use self::read::{Revised, SeriesFacts};
use crate::files::with_suffix;

/// The cache's file in the state directory.
pub const BARS_FILE: &str = "bars.db";
/// "SNTB": identifies a bar cache among SQLite files.
const APPLICATION_ID: i64 = 0x534E_5442;
const SCHEMA_VERSION: i64 = 2;
const SCHEMA: &str = include_str!("cache/schema.sql");
/// Another process that writes is done by then.
const BUSY: Duration = Duration::from_secs(2);
/// An open cache. Its calls wait for the disk.
pub struct BarCache {
    connection: Mutex<Connection>,
    /// Series that this process works on: they are not forgotten, however long ago a clock that jumps says that they were fetched.
    in_use: Mutex<Vec<SeriesId>>,
    /// The oldest bar of each series that had more than are kept.
    forgotten_until: Mutex<HashMap<SeriesId, i64>>,
}

/// What was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    New,
    Used,
    /// It could not be used, and lies beside the new one as `bars.db.bad`.
    Replaced(String),
}

/// Which bars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesKey {
    pub vendor: String,
    pub base_url: String,
    pub ticker: String,
    pub interval: Interval,
}

/// A series in this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeriesId(i64);

/// What is kept of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Oldest first, as delivered; any may be unusable.
    pub bars: Vec<RawBar>,
    /// Open times that were asked for without a hole.
    pub covered: Option<(UtcMs, UtcMs)>,
}

/// What a fetch brought.
#[derive(Debug, Clone, Copy)]
pub struct News<'a> {
    /// New bars and those that replace others. All were closed when they were asked for.
    pub rows: &'a [RawBar],
    pub revisions: &'a [Revision],
    /// Open times that have been asked for without a hole, this fetch included.
    pub covered: (UtcMs, UtcMs),
    /// Our time of the fetch.
    pub at: UtcMs,
    /// Open times up to this one had been asked for before, so that what comes of them only now is late. `None`: nobody has asked.
    pub asked_before: Option<UtcMs>,
}

/// A bar that the vendor changed after it was delivered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Revision {
    pub time: UtcMs,
    pub was: RawBar,
    pub is: RawBar,
    /// Our time of the fetch that showed it.
    pub seen: UtcMs,
}

/// What a revision would have changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    pub pipeline: String,
    /// Open time of the pipeline's bar.
    pub bar: UtcMs,
    pub seen: UtcMs,
    pub was_close: f64,
    pub is_close: f64,
    /// Whether the decision would have been another one; `None`: that is not known.
    pub differs: Option<bool>,
    /// In words.
    pub would_be: String,
}

impl BarCache {
    fn new(connection: Connection) -> Self {
        Self { connection: Mutex::new(connection), in_use: Mutex::default(), forgotten_until: Mutex::default() }
    }

    /// Opens the cache, or begins one.
    ///
    /// # Errors
    /// When there is no place for it.
    pub fn open(path: &Path) -> Result<(Self, Opened), CacheError> {
        let existed = path.exists();
        match open(path) {
            Ok(connection) => Ok((Self::new(connection), if existed { Opened::Used } else { Opened::New })),
            Err(error) if existed && error.is_damage() => {
                let because = sentinel_actors::error_chain::chain(&error);
                for suffix in ["", "-wal", "-shm"] {
                    let file = with_suffix(path, suffix);
                    let aside = with_suffix(path, &format!(".bad{suffix}"));
                    // What an earlier one has left does not belong to this one.
                    let _ = std::fs::remove_file(&aside);
                    if file.exists() {
                        std::fs::rename(&file, &aside).map_err(|source| CacheError::Aside { file, source })?;
                    }
                }
                Ok((Self::new(open(path)?), Opened::Replaced(because)))
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a cache that a report reads.
    ///
    /// # Errors
    /// When there is none, or it cannot be used.
    pub fn read_only(path: &Path) -> Result<Self, CacheError> {
        if !path.exists() {
            return Err(CacheError::None(path.to_owned()));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        require_own(&connection)?;
        Ok(Self::new(connection))
    }

    /// The series of a key; begins one that is new.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn series(&self, key: &SeriesKey) -> Result<SeriesId, CacheError> {
        let seconds = i64::try_from(key.interval.length().as_secs()).unwrap_or(i64::MAX);
        let key = params![key.vendor, key.base_url, key.ticker, seconds];
        let connection = self.connection();
        connection.execute(
            "INSERT INTO series (vendor, base_url, ticker, interval_s) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            key,
        )?;
        let of_key = "SELECT id FROM series WHERE vendor = ?1 AND base_url = ?2 AND ticker = ?3 AND interval_s = ?4";
        let id = SeriesId(connection.query_row(of_key, key, |row| row.get(0))?);
        self.in_use().push(id);
        Ok(id)
    }

    /// Bars of a series that open at `from` or later. A series with a row that was changed behind the cache's back is empty from
    /// then on.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn load(&self, series: SeriesId, from: UtcMs) -> Result<Stored, CacheError> {
        let mut connection = self.connection();
        // Bars and what was asked for are of one fetch.
        let transaction = connection.transaction()?;
        let stored = seal::load(&transaction, series, from)?;
        let Some(stored) = stored else {
            if transaction.is_readonly("main")? {
                return Err(CacheError::Damaged(
                    "a bar does not fit its checksum; the node fetches its series again".to_owned(),
                ));
            }
            transaction.execute("DELETE FROM bar WHERE series = ?1", [series.0])?;
            transaction
                .execute("UPDATE series SET first = NULL, last = NULL, seal = NULL WHERE id = ?1", [series.0])?;
            transaction.commit()?;
            self.forgotten_until().remove(&series);
            tracing::warn!(
                event = "bar_cache_damaged",
                "a row of the bar cache does not fit its checksum; the bars of its series are fetched again"
            );
            return Ok(Stored { bars: Vec::new(), covered: None });
        };
        Ok(stored)
    }

    /// Keeps what a fetch brought: all of it or nothing.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(&self, series: SeriesId, news: &News<'_>) -> Result<(), CacheError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (interval_ms, before): (i64, Option<(i64, i64)>) = transaction
            .prepare_cached("SELECT interval_s * 1000, first, last FROM series WHERE id = ?1")?
            .query_row([series.0], |row| {
                Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.zip(row.get::<_, Option<i64>>(2)?)))
            })?;
        write_rows(&transaction, series, interval_ms, news)?;
        if !news.revisions.is_empty() {
            write_revisions(&transaction, series, news.revisions)?;
            forget::oldest_revisions(&transaction)?;
        }
        let last = news.covered.1.0;
        // The one who fetches does not know what was forgotten since.
        let mut forgotten_until = self.forgotten_until().get(&series).copied().filter(|oldest| *oldest <= last);
        let first = news.covered.0.0.max(forgotten_until.unwrap_or(i64::MIN));
        transaction.execute(
            "UPDATE series SET first = ?2, last = ?3, fetched = ?4 WHERE id = ?1",
            params![series.0, first, last, news.at.0],
        )?;
        if forget::is_due(interval_ms, before, (first, last)) {
            forgotten_until = forget::oldest_bars(&transaction, series)?.or(forgotten_until);
        }
        seal::series(&transaction, series)?;
        forget::unused_series(&transaction, news.at, &self.in_use())?;
        transaction.commit()?;
        if let Some(oldest) = forgotten_until {
            self.forgotten_until().insert(series, oldest);
        }
        Ok(())
    }

    /// Notes what a revision would have changed.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note_review(&self, review: &Review) -> Result<(), CacheError> {
        let Review { pipeline, bar, seen, was_close, is_close, differs, would_be } = review;
        let connection = self.connection();
        connection.execute(
            "INSERT INTO review (pipeline, bar, seen, was_close, is_close, differs, would_be) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![pipeline, bar.0, seen.0, was_close, is_close, differs, would_be],
        )?;
        let newest = "SELECT id FROM review ORDER BY id DESC LIMIT 1 OFFSET ?1";
        connection.execute(&format!("DELETE FROM review WHERE id <= ({newest})"), [forget::REVISIONS_MAX])?;
        Ok(())
    }

    /// What revisions of a pipeline's bar would have changed, oldest first.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn reviews(&self, pipeline: &str, bar: UtcMs) -> Result<Vec<Review>, CacheError> {
        let connection = self.connection();
        let mut reviews = connection.prepare_cached(
            "SELECT seen, was_close, is_close, differs, would_be FROM review WHERE pipeline = ?1 AND bar = ?2 ORDER BY id",
        )?;
        let review = |row: &rusqlite::Row<'_>| {
            Ok(Review {
                pipeline: pipeline.to_owned(),
                bar,
                seen: UtcMs(row.get(0)?),
                was_close: row.get(1)?,
                is_close: row.get(2)?,
                differs: row.get(3)?,
                would_be: row.get(4)?,
            })
        };
        Ok(reviews.query_map(params![pipeline, bar.0], review)?.collect::<Result<_, _>>()?)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A transaction that panicked was rolled back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_use(&self) -> MutexGuard<'_, Vec<SeriesId>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forgotten_until(&self) -> MutexGuard<'_, HashMap<SeriesId, i64>> {
        self.forgotten_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> Result<Connection, CacheError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    let is_new = |connection: &Connection| {
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
    };
    if is_new(&connection)? == 0 {
        connection.pragma_update(None, "journal_mode", "wal")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been faster.
        if is_new(&transaction)? == 0 {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        transaction.commit()?;
    }
    require_own(&connection)?;
    // A cache may lose its last moments to a power failure, and never its order.
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -128)?;
    let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if check == "ok" { Ok(connection) } else { Err(CacheError::Damaged(check)) }
}

fn require_own(connection: &Connection) -> Result<(), CacheError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if application == APPLICATION_ID && version == SCHEMA_VERSION {
        Ok(())
    } else {
        Err(CacheError::Foreign { application, version })
    }
}

fn write_rows(connection: &Connection, series: SeriesId, interval_ms: i64, news: &News<'_>) -> Result<(), CacheError> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO bar (series, time, open, high, low, close, volume, lag_ms, was_null, was_zero, seal)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (series, time) DO UPDATE SET open = ?3, high = ?4, low = ?5, close = ?6, volume = ?7,
            was_null = max(was_null, ?9), was_zero = max(was_zero, ?10), seal = ?11",
    )?;
    for bar in news.rows {
        let prices = [bar.open, bar.high, bar.low, bar.close];
        let is_null = prices.iter().any(Option::is_none);
        let is_zero = prices.iter().any(|price| price.is_some_and(|price| price <= 0.0));
        // Of those between, the vendor may have had any for long.
        let says_lag = news.asked_before.is_some_and(|last| bar.time <= last || bar.time == news.covered.1);
        let lag = says_lag.then(|| news.at.0.saturating_sub(bar.time.0.saturating_add(interval_ms)));
        let RawBar { time, open, high, low, close, volume } = bar;
        let seal = seal::of_bar(series, bar);
        upsert.execute(params![series.0, time.0, open, high, low, close, volume, lag, is_null, is_zero, seal])?;
    }
    Ok(())
}

fn write_revisions(connection: &Connection, series: SeriesId, revisions: &[Revision]) -> Result<(), CacheError> {
    let mut revise = connection.prepare_cached(
        "INSERT INTO revision (series, time, seen, was_open, was_high, was_low, was_close, was_volume,
            is_open, is_high, is_low, is_close, is_volume)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    for Revision { time, was, is, seen } in revisions {
        revise.execute(params![
            series.0, time.0, seen.0, was.open, was.high, was.low, was.close, was.volume, is.open, is.high, is.low,
            is.close, is.volume
        ])?;
    }
    Ok(())
}

/// A bar from six columns, the first of which has this index.
fn bar(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<RawBar> {
    Ok(RawBar {
        time: UtcMs(row.get(first)?),
        open: row.get(first + 1)?,
        high: row.get(first + 2)?,
        low: row.get(first + 3)?,
        close: row.get(first + 4)?,
        volume: row.get(first + 5)?,
    })
}
