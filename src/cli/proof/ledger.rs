//! The paper gateway's own ledger, as proofs and reports read it. It knows nothing of the node's journal.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use rust_decimal::Decimal;
use sentinel_actors::domain::time::UtcMs;

/// The ledger of a gateway that may be running.
pub struct Ledger(Connection);

/// An order that the gateway filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// Its ticket.
    pub ticket: u64,
    /// Its comment, which carries the beginning of the intent's key.
    pub comment: String,
    /// `buy` or `sell`.
    pub side: String,
    /// What of it was filled, in lots.
    pub lots: Decimal,
}

/// What closed positions brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Realised {
    /// Profit in the quote currency.
    pub profit: Decimal,
    /// Positions that were closed.
    pub closed: u64,
    /// Those with a profit.
    pub won: u64,
}

/// The ledger cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite refused.
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
        let sql = "SELECT ticket, comment, side, filled FROM orders WHERE state <> 'placed' ORDER BY ticket";
        let mut query = self.0.prepare(sql)?;
        let rows = query
            .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get::<_, String>(3)?)))?;
        rows.map(|row| {
            let (ticket, comment, side, lots) = row?;
            Ok(Filled { ticket: u64::try_from(ticket).unwrap_or_default(), comment, side, lots: decimal(&lots)? })
        })
        .collect()
    }

    /// The open position, in lots; short ones are negative.
    pub fn net_lots(&self) -> Result<Decimal, LedgerError> {
        let mut query = self.0.prepare("SELECT side, volume FROM positions WHERE closed_ms IS NULL")?;
        let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        let mut net = Decimal::ZERO;
        for row in rows {
            let (side, lots) = row?;
            net += if side == "buy" { decimal(&lots)? } else { -decimal(&lots)? };
        }
        Ok(net)
    }

    /// What positions brought that were closed before `boundary`, and from then on.
    pub fn realised(&self, boundary: UtcMs) -> Result<(Realised, Realised), LedgerError> {
        let mut query = self.0.prepare("SELECT profit, closed_ms FROM positions WHERE closed_ms IS NOT NULL")?;
        let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
        let (mut before, mut after) = (Realised::default(), Realised::default());
        for row in rows {
            let (profit, closed_ms) = row?;
            let (profit, part) = (decimal(&profit)?, if closed_ms < boundary.0 { &mut before } else { &mut after });
            part.profit += profit;
            part.closed += 1;
            part.won += u64::from(profit > Decimal::ZERO);
        }
        Ok((before, after))
    }
}

fn decimal(text: &str) -> Result<Decimal, LedgerError> {
    text.parse().map_err(|_| LedgerError::Number(text.to_owned()))
}
