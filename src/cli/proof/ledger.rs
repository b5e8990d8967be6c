//! The paper gateway's own ledger, as proofs and reports read it. It knows nothing of the node's journal.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row};
use rust_decimal::Decimal;
use sentinel_actors::domain::time::UtcMs;

use super::venue::{ClosedPosition, Filled, OpenPosition};
pub use crate::operator::report::facts::Realised;

/// The ledger of a gateway that may be running.
pub struct Ledger(Connection);

/// The ledger cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the gateway's ledger cannot be read")]
    Sql(#[from] rusqlite::Error),
    /// A number in it is none.
    #[error("the gateway's ledger holds '{0}', which is no decimal")]
    Number(String),
}

impl Ledger {
    /// Opens the file for reading.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        Ok(Self(connection))
    }

    /// Every order that was filled, oldest first.
    pub fn filled(&self) -> Result<Vec<Filled>, LedgerError> {
        // Not every dialect carries a comment; an order without one has its request's id, or only its ticket.
        let sql =
            "SELECT ticket, coalesce(nullif(comment, ''), req_id, 'ticket ' || ticket), symbol, side, volume, filled
                   FROM orders WHERE state <> 'placed' ORDER BY ticket";
        let mut query = self.0.prepare(sql)?;
        let mut rows = query.query([])?;
        let mut filled = Vec::new();
        while let Some(row) = rows.next()? {
            filled.push(Filled {
                ticket: u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default(),
                comment: row.get(1)?,
                symbol: row.get(2)?,
                side: row.get(3)?,
                ordered_lots: decimal(&row.get::<_, String>(4)?)?,
                lots: decimal(&row.get::<_, String>(5)?)?,
            });
        }
        Ok(filled)
    }

    /// Every position that is open, oldest first.
    pub fn open_positions(&self) -> Result<Vec<OpenPosition>, LedgerError> {
        let sql =
            "SELECT id, symbol, side, volume, open_price, opened_ms FROM positions WHERE closed_ms IS NULL ORDER BY id";
        let mut query = self.0.prepare(sql)?;
        let mut rows = query.query([])?;
        let mut open = Vec::new();
        while let Some(row) = rows.next()? {
            open.push(OpenPosition {
                ticket: row.get::<_, i64>(0)?.unsigned_abs(),
                symbol: row.get(1)?,
                side: row.get(2)?,
                volume_lots: decimal(&row.get::<_, String>(3)?)?,
                open_price: decimal(&row.get::<_, String>(4)?)?,
                opened_at: UtcMs(row.get(5)?),
            });
        }
        Ok(open)
    }

    /// Visits the positions that were closed from `from` on and before `to`, in the order of their ends.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn each_closed(
        &self,
        (from, to): (UtcMs, UtcMs),
        mut visit: impl FnMut(ClosedPosition),
    ) -> Result<(), LedgerError> {
        let sql = "SELECT id, symbol, side, volume, open_price, opened_ms, close_price, closed_ms, reason, profit
                   FROM positions WHERE closed_ms >= ?1 AND closed_ms < ?2 ORDER BY closed_ms, id";
        let mut query = self.0.prepare(sql)?;
        let mut rows = query.query([from.0, to.0])?;
        while let Some(row) = rows.next()? {
            visit(closed(row)?);
        }
        Ok(())
    }

    /// What positions brought that were closed before `boundary`, and from then on.
    pub fn realised(&self, boundary: UtcMs) -> Result<(Realised, Realised), LedgerError> {
        let mut query = self.0.prepare("SELECT profit, closed_ms FROM positions WHERE closed_ms IS NOT NULL")?;
        let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
        let (mut before, mut after) = (Realised::default(), Realised::default());
        for row in rows {
            let (profit, closed_ms) = row?;
            let (profit, part) = (decimal(&profit)?, if closed_ms < boundary.0 { &mut before } else { &mut after });
            part.add(profit);
        }
        Ok((before, after))
    }
}

fn closed(row: &Row<'_>) -> Result<ClosedPosition, LedgerError> {
    Ok(ClosedPosition {
        ticket: row.get::<_, i64>(0)?.unsigned_abs(),
        symbol: row.get(1)?,
        side: row.get(2)?,
        volume_lots: decimal(&row.get::<_, String>(3)?)?,
        open_price: decimal(&row.get::<_, String>(4)?)?,
        opened_at: UtcMs(row.get(5)?),
        close_price: decimal(&row.get::<_, String>(6)?)?,
        closed_at: UtcMs(row.get(7)?),
        reason: row.get(8)?,
        profit: decimal(&row.get::<_, String>(9)?)?,
        opened_by: None,
    })
}

fn decimal(text: &str) -> Result<Decimal, LedgerError> {
    text.parse().map_err(|_| LedgerError::Number(text.to_owned()))
}
