//! The dry run's sink of forecasts: keeps each in the paper book, and later writes beside it what came true.
//!
//! Like the paper venue it promises no more than the real thing does: a key that comes a second time is refused and counted, and
//! asking about a key is without effect and definitive.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};
use rust_decimal::Decimal;
use sentinel_actors::domain::action::{Action, Forecast, Inclusion};
use sentinel_actors::domain::bar::{Bar, CleanBars};
use sentinel_actors::domain::intent::{Intent, IntentKey, Mode};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{
    BarObserver, Evidence, FaultInjector, FaultPoint, MayLeave, PortFuture, Sink, Submission, VenueError, inject_fault,
};

use super::book::{Book, BookError};
use super::fills::CODE_DOUBLE_SUBMIT;
use super::ledger::{Ledger, corrupt, decimal};

/// The table of forecasts, in version 2 of the paper book.
pub(super) const SCHEMA: &str = "
CREATE TABLE forecasts (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    key             TEXT NOT NULL UNIQUE,
    account         TEXT NOT NULL,
    symbol          TEXT NOT NULL,
    log_return      TEXT NOT NULL,
    horizon_s       INTEGER NOT NULL,
    reference_price TEXT NOT NULL,
    reference_ms    INTEGER NOT NULL,
    due_ms          INTEGER NOT NULL,
    at_ms           INTEGER NOT NULL,
    came_true       TEXT
) STRICT;
CREATE INDEX forecasts_waiting ON forecasts (account, symbol, due_ms) WHERE came_true IS NULL;
";
/// Comparing can wait for a later slot, and must not take the time of the forecast that is due.
const OBSERVE_DEADLINE: Duration = Duration::from_millis(500);
/// Decimal places of what came true.
const DIGITS: u32 = 12;

/// One pipeline's view of the forecasts in the paper book.
pub struct PaperForecasts {
    book: Book,
    account: Arc<str>,
    faults: Arc<dyn FaultInjector>,
    /// The child's path that faults know it by, for example `btcusd/executor`.
    who: String,
}

/// A forecast of the book, with what came true.
#[derive(Debug, Clone, PartialEq)]
pub struct BookForecast {
    pub key: IntentKey,
    pub account: String,
    pub forecast: Forecast,
    /// Schedule time at which it was made.
    pub at: UtcMs,
    /// The log return over the horizon; `None` as long as it is not over, or when no bar shows it.
    pub came_true: Option<Decimal>,
}

impl PaperForecasts {
    #[must_use]
    pub fn new(book: Book, account: &str, faults: Arc<dyn FaultInjector>, who: &str) -> Self {
        Self { book, account: account.into(), faults, who: who.to_owned() }
    }
}

impl Sink for PaperForecasts {
    fn mode(&self) -> Mode {
        Mode::DryRun
    }

    fn account(&self) -> &str {
        &self.account
    }

    fn submit<'a>(&'a self, intent: &'a Intent, deadline: Duration, _: MayLeave<'a>) -> PortFuture<'a, Submission> {
        let Action::Forecast(forecast) = &intent.action else {
            return Box::pin(std::future::ready(Submission::NeverLeft("it takes forecasts only".to_owned())));
        };
        Box::pin(async move {
            let (key, forecast, account) = (intent.key.clone(), forecast.clone(), self.account.clone());
            let now = intent.slot;
            inject_fault(&*self.faults, FaultPoint::BeforeBookWrite, &self.who).await;
            let answer =
                self.book.write(deadline, None, move |ledger| ledger.include(&key, &forecast, &account, now)).await;
            inject_fault(&*self.faults, FaultPoint::AfterBookWrite, &self.who).await;
            match answer {
                Ok(submission) => submission,
                Err(error @ BookError::Busy) => Submission::NeverLeft(error.to_string()),
                Err(error) => Submission::Unknown(chain(&error)),
            }
        })
    }

    fn settle<'a>(&'a self, intent: &'a Intent, deadline: Duration) -> PortFuture<'a, Evidence> {
        Box::pin(async move {
            let key = intent.key.clone();
            match self.book.read(deadline, move |ledger| ledger.find_forecast(&key)).await {
                Ok(Some(inclusion)) => Evidence::Found(inclusion.into()),
                Ok(None) => Evidence::Absent("the paper book has no forecast with this key".to_owned()),
                Err(error) => Evidence::NotNow(chain(&error)),
            }
        })
    }
}

impl BarObserver for PaperForecasts {
    fn observe<'a>(&'a self, symbol: &'a str, bars: &'a CleanBars) -> PortFuture<'a, Result<(), VenueError>> {
        Box::pin(async move {
            let (symbol, bars, account) = (symbol.to_owned(), bars.bars.clone(), self.account.clone());
            let seen =
                self.book.write(OBSERVE_DEADLINE, None, move |ledger| ledger.compare(&symbol, &bars, &account)).await;
            seen.map_err(|error| VenueError(chain(&error)))
        })
    }
}

impl Ledger {
    /// Takes up a forecast, or says why not. It is durable once it is committed.
    fn include(
        &mut self,
        key: &IntentKey,
        forecast: &Forecast,
        account: &str,
        now: UtcMs,
    ) -> Result<Submission, BookError> {
        let transaction = self.connection.savepoint()?;
        let known = transaction.prepare_cached("SELECT 1 FROM forecasts WHERE key = ?1")?.exists([key.as_str()])?;
        if known {
            transaction.execute("UPDATE meta SET value = value + 1 WHERE name = 'double_submits'", [])?;
            transaction.commit()?;
            tracing::error!(event = "forecast_repeated", %key, "a key was submitted to the paper book twice");
            let text = "this key was taken up before; doing it again would be a double forecast".to_owned();
            return Ok(Submission::Rejected { code: Some(CODE_DOUBLE_SUBMIT), text, lasting: false });
        }
        transaction.execute(
            "INSERT INTO forecasts (key, account, symbol, log_return, horizon_s, reference_price, reference_ms, due_ms, at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                key.as_str(),
                account,
                forecast.symbol,
                forecast.log_return.to_string(),
                forecast.horizon_s,
                forecast.reference_price.to_string(),
                forecast.reference_time.0,
                forecast.reference_time.plus(forecast.horizon()).0,
                now.0,
            ],
        )?;
        let number = transaction.last_insert_rowid();
        transaction.commit()?;
        Ok(Submission::Acked(inclusion(key, number).into()))
    }

    fn find_forecast(&self, key: &IntentKey) -> Result<Option<Inclusion>, BookError> {
        let number = self
            .connection
            .query_row("SELECT number FROM forecasts WHERE key = ?1", [key.as_str()], |row| row.get(0))
            .optional()?;
        Ok(number.map(|number| inclusion(key, number)))
    }

    /// Writes what came true beside every forecast whose horizon ends with one of `bars`. Repeating a bar changes nothing.
    fn compare(&mut self, symbol: &str, bars: &[Bar], account: &str) -> Result<(), BookError> {
        let Some(newest) = bars.last() else { return Ok(()) };
        let mut ended = Vec::new();
        {
            let mut query = self.connection.prepare_cached(
                "SELECT number, due_ms, reference_price FROM forecasts
                 WHERE came_true IS NULL AND account = ?1 AND symbol = ?2 AND due_ms <= ?3",
            )?;
            let mut rows = query.query(params![account, symbol, newest.time.0])?;
            while let Some(row) = rows.next()? {
                let (number, due): (i64, i64) = (row.get(0)?, row.get(1)?);
                let Ok(index) = bars.binary_search_by_key(&UtcMs(due), |bar| bar.time) else { continue };
                let came_true = bars.get(index).and_then(|bar| log_return(decimal(row, 2).ok()?, bar.close));
                ended.extend(came_true.map(|came_true| (number, came_true)));
            }
        }
        if ended.is_empty() {
            return Ok(());
        }
        let transaction = self.connection.savepoint()?;
        for (number, came_true) in ended {
            transaction.execute(
                "UPDATE forecasts SET came_true = ?2 WHERE number = ?1",
                params![number, came_true.to_string()],
            )?;
        }
        transaction.commit()?;
        Ok(())
    }
}

/// Visits the forecasts of a book that were made from `from` on and before `to`, oldest first.
pub(super) fn each(
    connection: &Connection,
    (from, to): (UtcMs, UtcMs),
    mut visit: impl FnMut(BookForecast),
) -> Result<(), BookError> {
    let mut query = connection.prepare(
        "SELECT key, account, symbol, log_return, horizon_s, reference_price, reference_ms, at_ms, came_true
         FROM forecasts WHERE at_ms >= ?1 AND at_ms < ?2 ORDER BY number",
    )?;
    let mut rows = query.query([from.0, to.0])?;
    while let Some(row) = rows.next()? {
        visit(BookForecast {
            key: IntentKey::stored(row.get(0)?),
            account: row.get(1)?,
            forecast: Forecast {
                symbol: row.get(2)?,
                log_return: decimal(row, 3)?,
                horizon_s: row.get(4)?,
                reference_price: decimal(row, 5)?,
                reference_time: UtcMs(row.get(6)?),
            },
            at: UtcMs(row.get(7)?),
            came_true: truth(row.get(8)?)?,
        });
    }
    Ok(())
}

/// What came true of the forecast with this key.
pub(super) fn came_true(connection: &Connection, key: &IntentKey) -> Result<Option<Decimal>, BookError> {
    let mut query = connection.prepare_cached("SELECT came_true FROM forecasts WHERE key = ?1")?;
    let text: Option<Option<String>> = query.query_row([key.as_str()], |row| row.get(0)).optional()?;
    truth(text.flatten())
}

fn truth(text: Option<String>) -> Result<Option<Decimal>, BookError> {
    text.map(|text| text.parse().map_err(|_| corrupt("a log return", text))).transpose()
}

/// The book is a ledger of its own: an entry's number is its height.
pub(super) fn inclusion(key: &IntentKey, number: i64) -> Inclusion {
    let height = u64::try_from(number).unwrap_or_default();
    Inclusion { hash: format!("paper-{key}"), height, text: "taken up by the paper book".to_owned() }
}

/// ln of `to`, less ln of `from`.
pub(super) fn log_return(from: Decimal, to: f64) -> Option<Decimal> {
    let from: f64 = from.try_into().ok()?;
    Decimal::from_f64_retain((to / from).ln()).map(|value| value.round_dp(DIGITS).normalize())
}
