//! Looks into a paper book without changing it: for summaries, and for comparing the book with the journal.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row};
use rust_decimal::Decimal;
use sentinel_actors::domain::intent::IntentKey;
use sentinel_actors::domain::order::{Side, Ticket};
use sentinel_actors::domain::time::UtcMs;

use super::exits::CloseReason;
use super::forecasts::{self, BookForecast};
use super::ledger::{BookError, corrupt, decimal, optional_decimal, side, ticket};

/// An open book, read-only.
pub struct BookReader {
    connection: Connection,
}

/// An order that was filled.
#[derive(Debug, Clone, PartialEq)]
pub struct BookOrder {
    /// Its intent.
    pub key: IntentKey,
    /// Whether it opened the position; otherwise it closed it.
    pub opens: bool,
    /// The position.
    pub ticket: Ticket,
    /// Symbol.
    pub symbol: String,
    /// Direction of the order.
    pub side: Side,
    /// Volume in lots.
    pub volume_lots: Decimal,
    /// Fill price.
    pub price: Decimal,
    /// Schedule time of the fill.
    pub at: UtcMs,
}

/// A position, open or closed.
#[derive(Debug, Clone, PartialEq)]
pub struct BookPosition {
    /// The venue's number.
    pub ticket: Ticket,
    /// Account.
    pub account: String,
    /// Symbol.
    pub symbol: String,
    /// Direction.
    pub side: Side,
    /// Volume in lots.
    pub volume_lots: Decimal,
    /// Entry price.
    pub open_price: Decimal,
    /// Level that ends it at a loss.
    pub stop: Option<Decimal>,
    /// Level that ends it at a profit.
    pub target: Option<Decimal>,
    /// Schedule time of the entry.
    pub opened_at: UtcMs,
    /// Intent that opened it.
    pub open_key: IntentKey,
    /// How it ended; `None`: it is open.
    pub closing: Option<Closing>,
}

/// The end of a position.
#[derive(Debug, Clone, PartialEq)]
pub struct Closing {
    /// Schedule time.
    pub at: UtcMs,
    /// Exit price.
    pub price: Decimal,
    /// Why.
    pub reason: CloseReason,
    /// Intent that closed it, when an order did.
    pub key: Option<IntentKey>,
    /// What it earned, in quote currency.
    pub profit: Decimal,
}

/// Realised profit of some positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Realised {
    /// How many positions have ended.
    pub closed: u64,
    /// How many of them ended with a profit.
    pub won: u64,
    /// Sum, in quote currency.
    pub profit: Decimal,
}

impl BookReader {
    /// Opens an existing book.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(path: &Path) -> Result<Self, BookError> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        Ok(Self { connection })
    }

    /// Every order, in the order of their fills.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub fn orders(&self) -> Result<Vec<BookOrder>, BookError> {
        let mut query = self.connection.prepare(
            "SELECT key, role = 'open', ticket, symbol, side, volume, price, at_ms FROM orders ORDER BY number",
        )?;
        let mut rows = query.query([])?;
        let mut orders = Vec::new();
        while let Some(row) = rows.next()? {
            orders.push(BookOrder {
                key: IntentKey::stored(row.get(0)?),
                opens: row.get(1)?,
                ticket: ticket(row, 2)?,
                symbol: row.get(3)?,
                side: side(row, 4)?,
                volume_lots: decimal(row, 5)?,
                price: decimal(row, 6)?,
                at: UtcMs(row.get(7)?),
            });
        }
        Ok(orders)
    }

    /// Every forecast, oldest first.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub fn forecasts(&self) -> Result<Vec<BookForecast>, BookError> {
        let mut all = Vec::new();
        self.each_forecast((UtcMs(i64::MIN), UtcMs(i64::MAX)), |forecast| all.push(forecast))?;
        Ok(all)
    }

    /// Visits the forecasts that were made from `from` on and before `to`, oldest first.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub fn each_forecast(&self, range: (UtcMs, UtcMs), visit: impl FnMut(BookForecast)) -> Result<(), BookError> {
        if self.has_forecasts()? { forecasts::each(&self.connection, range, visit) } else { Ok(()) }
    }

    /// What came true of the forecast with this key; `None` as long as it is not known, or when there is no such forecast.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub fn came_true(&self, key: &IntentKey) -> Result<Option<Decimal>, BookError> {
        if self.has_forecasts()? { forecasts::came_true(&self.connection, key) } else { Ok(None) }
    }

    /// A book of an earlier version that no node has opened since has none.
    fn has_forecasts(&self) -> Result<bool, BookError> {
        let version: i32 = self.connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok(version >= 2)
    }

    /// Every position, oldest first.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub fn positions(&self) -> Result<Vec<BookPosition>, BookError> {
        let mut query = self.connection.prepare(&format!("{POSITIONS} ORDER BY ticket"))?;
        let mut rows = query.query([])?;
        let mut positions = Vec::new();
        while let Some(row) = rows.next()? {
            positions.push(position(row)?);
        }
        Ok(positions)
    }

    /// Visits the positions that were closed from `from` on and before `to`, in the order of their ends.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub fn each_closed(
        &self,
        (from, to): (UtcMs, UtcMs),
        mut visit: impl FnMut(BookPosition, Closing),
    ) -> Result<(), BookError> {
        let sql = format!("{POSITIONS} WHERE closed_at >= ?1 AND closed_at < ?2 ORDER BY closed_at, ticket");
        let mut query = self.connection.prepare(&sql)?;
        let mut rows = query.query([from.0, to.0])?;
        while let Some(row) = rows.next()? {
            let mut position = position(row)?;
            if let Some(closing) = position.closing.take() {
                visit(position, closing);
            }
        }
        Ok(())
    }

    /// Realised profit of positions opened before `boundary`, and of those opened at or after it.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub fn realised(&self, boundary: UtcMs) -> Result<(Realised, Realised), BookError> {
        let (mut before, mut after) = (Realised::default(), Realised::default());
        for position in self.positions()? {
            let Some(closing) = position.closing else { continue };
            let part = if position.opened_at < boundary { &mut before } else { &mut after };
            part.closed += 1;
            part.won += u64::from(closing.profit > Decimal::ZERO);
            part.profit = part.profit.checked_add(closing.profit).ok_or(BookError::Overflow(position.ticket))?;
        }
        Ok((before, after))
    }

    /// How often a key came a second time. Anything but zero is a double order that only the paper book refused.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub fn double_submits(&self) -> Result<u64, BookError> {
        let count: i64 =
            self.connection.query_row("SELECT value FROM meta WHERE name = 'double_submits'", [], |row| row.get(0))?;
        u64::try_from(count).map_err(|_| corrupt("a count", count))
    }
}

const POSITIONS: &str = "SELECT ticket, account, symbol, side, volume, open_price, stop, target, opened_at, open_key,
                                closed_at, close_price, close_reason, close_key, profit FROM positions";

fn position(row: &Row<'_>) -> Result<BookPosition, BookError> {
    let closing = match row.get::<_, Option<i64>>(10)? {
        None => None,
        Some(at) => {
            let reason: String = row.get(12)?;
            Some(Closing {
                at: UtcMs(at),
                price: decimal(row, 11)?,
                reason: CloseReason::from_code(&reason).ok_or_else(|| corrupt("a reason", reason))?,
                key: row.get::<_, Option<String>>(13)?.map(IntentKey::stored),
                profit: decimal(row, 14)?,
            })
        }
    };
    Ok(BookPosition {
        ticket: ticket(row, 0)?,
        account: row.get(1)?,
        symbol: row.get(2)?,
        side: side(row, 3)?,
        volume_lots: decimal(row, 4)?,
        open_price: decimal(row, 5)?,
        stop: optional_decimal(row, 6)?,
        target: optional_decimal(row, 7)?,
        opened_at: UtcMs(row.get(8)?),
        open_key: IntentKey::stored(row.get(9)?),
        closing,
    })
}
