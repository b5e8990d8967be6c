//! How often a vendor may be asked with one key, counted over restarts and over processes.
//!
//! A request is counted before it goes out. Limits hold in every span of their length, so they hold in the vendor's hours and days
//! too, whenever those begin. A clock that is set back finds its future requests counted, and opens nothing; one that was far
//! ahead for a while closes nothing for longer than a limit is long.

use std::time::Duration;

use rusqlite::{OptionalExtension as _, TransactionBehavior, params};
use sentinel_actors::domain::time::UtcMs;

use super::{BarCache, CacheError};

/// The longest rest: until the next midnight.
const REST_MAX: Duration = Duration::from_secs(86_400);

/// At most this many requests in any span of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub within: Duration,
    pub requests: u32,
}

/// What became of a request that was to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// It may go out; so many more may follow now.
    Allowed { left: u32 },
    /// It may not, before this time.
    Refused { until: UtcMs },
}

impl BarCache {
    /// Counts a request of `account` at `at`, when every limit allows it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn spend(&self, account: &str, limits: &[Limit], at: UtcMs) -> Result<Spent, CacheError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let longest = limits.iter().map(|limit| limit.within).max().unwrap_or_default();
        bring_back(&transaction, account, at, longest)?;
        let spent = judge(&transaction, account, limits, at)?;
        if let Spent::Allowed { left } = spent {
            transaction.execute(
                "INSERT INTO request VALUES (?1, ?2, 1) ON CONFLICT DO UPDATE SET requests = requests + 1",
                params![account, at.0],
            )?;
            // So many newest ones stay however old they look: the clock may be ahead.
            let most = limits.iter().map(|limit| limit.requests).max().unwrap_or_default();
            let newest = "SELECT at FROM request WHERE account = ?1 ORDER BY at DESC LIMIT ?3";
            transaction.execute(
                &format!("DELETE FROM request WHERE account = ?1 AND at <= ?2 AND at NOT IN ({newest})"),
                params![account, at.minus(longest).0, most],
            )?;
            transaction.commit()?;
            return Ok(Spent::Allowed { left: left.saturating_sub(1) });
        }
        transaction.commit()?;
        Ok(spent)
    }

    /// What [`BarCache::spend`] would say, without counting anything.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn budget(&self, account: &str, limits: &[Limit], at: UtcMs) -> Result<Spent, CacheError> {
        judge(&self.connection(), account, limits, at)
    }

    /// The vendor wants no request of `account` before `until`, which is a day from `now` at most.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn rest(&self, account: &str, now: UtcMs, until: UtcMs) -> Result<(), CacheError> {
        let most = now.plus(REST_MAX);
        let later = "INSERT INTO rest VALUES (?1, ?2)
                     ON CONFLICT DO UPDATE SET until = iif(until <= ?3, max(until, ?2), ?2)";
        self.connection().execute(later, params![account, until.min(most).0, most.0])?;
        Ok(())
    }

    /// Until when the vendor wants no request; `None`: it may be asked.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn rest_until(&self, account: &str, now: UtcMs) -> Result<Option<UtcMs>, CacheError> {
        let until: Option<i64> = self
            .connection()
            .query_row("SELECT until FROM rest WHERE account = ?1", [account], |row| row.get(0))
            .optional()?;
        // A later one was noted by a clock that was ahead.
        Ok(until.map(UtcMs).filter(|until| *until > now && *until <= now.plus(REST_MAX)))
    }
}

/// Requests that were counted by a clock that was further ahead than a day, and than any limit is long, count as made now. With
/// less they are over soon enough, and stay where a clock that is set right again finds them.
fn bring_back(
    connection: &rusqlite::Connection,
    account: &str,
    at: UtcMs,
    longest: Duration,
) -> Result<(), CacheError> {
    let far = at.plus(longest.max(REST_MAX));
    let ahead: u32 = connection.query_row(
        "SELECT coalesce(sum(requests), 0) FROM request WHERE account = ?1 AND at > ?2",
        params![account, far.0],
        |row| row.get(0),
    )?;
    if ahead > 0 {
        connection.execute("DELETE FROM request WHERE account = ?1 AND at > ?2", params![account, far.0])?;
        connection.execute(
            "INSERT INTO request VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET requests = requests + ?3",
            params![account, at.0, ahead],
        )?;
    }
    Ok(())
}

fn judge(connection: &rusqlite::Connection, account: &str, limits: &[Limit], at: UtcMs) -> Result<Spent, CacheError> {
    let mut left = u32::MAX;
    for limit in limits {
        let begin = at.minus(limit.within);
        let mut newest = connection
            .prepare_cached("SELECT at, requests FROM request WHERE account = ?1 AND at > ?2 ORDER BY at DESC")?;
        let mut rows = newest.query(params![account, begin.0])?;
        let mut counted: u32 = 0;
        while let Some(row) = rows.next()? {
            counted = counted.saturating_add(row.get(1)?);
            if counted >= limit.requests {
                // When this one is out of the span, there is room again.
                return Ok(Spent::Refused { until: UtcMs(row.get(0)?).min(at).plus(limit.within) });
            }
        }
        left = left.min(limit.requests - counted);
    }
    Ok(Spent::Allowed { left })
}
