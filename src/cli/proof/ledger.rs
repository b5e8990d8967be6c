//! The paper gateway's own ledger, as proofs and reports read it. It knows nothing of the node's journal.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use rust_decimal::Decimal;
use sentinel_actors::domain::time::UtcMs;
use serde::Serialize;

use super::venue::{Filled, OpenPosition};

/// The ledger of a gateway that may be running.
pub struct Ledger(Connection);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Realised {
    /// Profit in the quote currency.
    pub profit: Decimal,
    pub closed: u64,
    pub won: u64,
}

impl Realised {
    /// One more position that was closed.
    pub fn add(&mut self, profit: Decimal) {
        self.profit += profit;
        self.closed += 1;
        self.won += u64::from(profit > Decimal::ZERO);
    }
}

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
        let sql =
            "SELECT ticket, comment, symbol, side, volume, filled FROM orders WHERE state <> 'placed' ORDER BY ticket";
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

fn decimal(text: &str) -> Result<Decimal, LedgerError> {
    text.parse().map_err(|_| LedgerError::Number(text.to_owned()))
}
