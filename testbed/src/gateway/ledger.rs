//! The gateway's own record of what really happened: SQLite, WAL, `synchronous=FULL`. One transaction for each message,
//! durable before the reply. It shares nothing with any client's journal; tests and `sentinel prove` compare the two.
//!
//! Prices, volumes and money are exact decimals as text; times are Unix milliseconds; `market_ms` is the market's own time
//! (a replay's; for a request when it came, for an order when it was filled), never what a message says the time is;
//! `arrived_ms` is wall time. Readers may open the file while the gateway runs; a second gateway may not.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};
use rust_decimal::Decimal;

use super::GatewayError;
use super::book::{AccountMode, Change, Position};
use super::core::Numbers;
use super::market::Side;
use super::outcome::{OrderRow, Outcome};

pub const RAW_MAX: usize = 4096;
/// "SGwL", so that no other SQLite file is taken for a ledger.
const APPLICATION_ID: i32 = 0x5347_774c;
const SCHEMA_VERSION: i32 = 1;
const FIRST_TICKET: i64 = 1_000_001;

/// The tables. Tests read them.
///
/// `requests`: every message. `raw` is at most 4 KiB of it; `mood` is the fault that it met (the column's name is older);
/// `answered` is the retcode of the answer, `ok` for an answered question, NULL when the process died first; `ticket` is
/// what the answer names, and for a repeated id the first one; `replied` is 1 once the reply was handed to the socket
/// (written after it, so 0 after a kill between the two).
///
/// `orders`: what reached the market, one row for each time that it traded or was placed; so two rows with one `req_id` are
/// a double order. A close by ticket is an order too; the kill switch and levels change `positions` only.
/// `volume` was ordered, `filled` was filled; `price` is NULL when nothing was.
///
/// `positions`: `id` is the ticket of the order that opened it. `volume` is open, or was closed last; `profit` is what deals
/// have earned so far, in quote currency; `closed_ms`, `close_price` and `reason` are NULL while it is open.
///
/// `account`: one row.
pub const SCHEMA: &str = "
CREATE TABLE requests (
    seq        INTEGER PRIMARY KEY,
    arrived_ms INTEGER NOT NULL,
    dialect    TEXT NOT NULL CHECK (dialect IN ('order-send', 'command', 'signal', 'expert-advisor')),
    action     TEXT NOT NULL,
    req_id     TEXT,
    raw        TEXT NOT NULL,
    mood        TEXT,
    answered   TEXT,
    ticket     INTEGER,
    replied    INTEGER NOT NULL DEFAULT 0 CHECK (replied IN (0, 1)),
    market_ms  INTEGER
) STRICT;
CREATE TABLE orders (
    ticket     INTEGER PRIMARY KEY,
    seq        INTEGER NOT NULL REFERENCES requests (seq),
    req_id     TEXT,
    symbol     TEXT NOT NULL,
    side       TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    volume     TEXT NOT NULL,
    filled     TEXT NOT NULL,
    price      TEXT,
    sl         TEXT,
    tp         TEXT,
    magic      INTEGER NOT NULL,
    comment    TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('filled', 'partial', 'placed')),
    market_ms  INTEGER NOT NULL,
    arrived_ms INTEGER NOT NULL,
    CHECK ((price IS NULL) = (state = 'placed'))
) STRICT;
CREATE INDEX orders_req_id ON orders (req_id);
CREATE TABLE positions (
    id          INTEGER PRIMARY KEY,
    symbol      TEXT NOT NULL,
    side        TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    volume      TEXT NOT NULL,
    open_price  TEXT NOT NULL,
    opened_ms   INTEGER NOT NULL,
    sl          TEXT,
    tp          TEXT,
    seen_ms     INTEGER NOT NULL,
    profit      TEXT NOT NULL,
    closed_ms   INTEGER,
    close_price TEXT,
    reason      TEXT CHECK (reason IN ('order', 'reversed', 'close', 'kill-switch', 'stop', 'target')),
    CHECK ((closed_ms IS NULL) = (close_price IS NULL)),
    CHECK ((closed_ms IS NULL) = (reason IS NULL))
) STRICT;
CREATE INDEX positions_open ON positions (symbol) WHERE closed_ms IS NULL;
CREATE TABLE account (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    mode    TEXT NOT NULL CHECK (mode IN ('netting', 'hedging')),
    balance TEXT NOT NULL
) STRICT;
";

#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) balance: Decimal,
    pub(super) open: Vec<Position>,
    pub(super) numbers: Numbers,
}

pub(super) struct Ledger {
    connection: Connection,
    path: PathBuf,
    /// Locked for as long as this lives. A file of its own, because SQLite's lock would keep readers out.
    _lock: Lock,
}

/// A file that is locked for as long as this value lives.
struct Lock(File);

impl Drop for Lock {
    /// To close the file is not enough. A process that another thread is just starting has a copy of it until its own program
    /// runs, and keeps the lock for that long.
    fn drop(&mut self) {
        // What cannot be unlocked is closed all the same.
        let _ = self.0.unlock();
    }
}

impl Ledger {
    /// Opens or begins the ledger. `balance` counts for a new one only.
    pub(super) fn open(path: &Path, mode: AccountMode, balance: Decimal) -> Result<(Self, Remembered), GatewayError> {
        let lock = lock(path)?;
        let failed = |source| GatewayError::Ledger { file: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(failed)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let pragma = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let is_new = pragma("schema_version").map_err(failed)? == 0;
        if is_new {
            begin(&transaction, mode, balance).map_err(failed)?;
        } else if pragma("application_id").map_err(failed)? != APPLICATION_ID
            || pragma("user_version").map_err(failed)? != SCHEMA_VERSION
        {
            return Err(GatewayError::NotALedger(path.to_owned()));
        }
        let (kept, remembered) = remember(&transaction).map_err(failed)?;
        if kept != mode.name() {
            return Err(GatewayError::OtherMode { file: path.to_owned(), kept });
        }
        transaction.commit().map_err(failed)?;
        Ok((Self { connection, path: path.to_owned(), _lock: lock }, remembered))
    }

    /// Makes an outcome durable.
    pub(super) fn commit(&mut self, raw: &[u8], outcome: &Outcome) -> Result<(), GatewayError> {
        self.try_commit(raw, outcome).map_err(|source| GatewayError::Ledger { file: self.path.clone(), source })
    }

    fn try_commit(&mut self, raw: &[u8], outcome: &Outcome) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (parsed, answer) = (&outcome.parsed, outcome.answer.as_ref());
        transaction
            .prepare_cached(
                "INSERT INTO requests (seq, arrived_ms, dialect, action, req_id, raw, mood, answered, ticket, market_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                outcome.seq,
                outcome.arrived_ms,
                parsed.dialect.name(),
                kept(parsed.action.as_bytes()),
                parsed.req_id,
                kept(raw),
                outcome.fault.map(|fault| fault.name()),
                answer.map(|answer| answer.code()),
                answer.and_then(|answer| answer.ticket()),
                outcome.market_ms,
            ])?;
        if let Some(order) = &outcome.order {
            insert_order(&transaction, outcome, order)?;
        }
        for change in &outcome.changes {
            match change {
                Change::Position(position) => keep_position(&transaction, position)?,
                Change::Balance(balance) => {
                    let mut update = transaction.prepare_cached("UPDATE account SET balance = ?1")?;
                    update.execute([balance.normalize().to_string()])?;
                }
            }
        }
        transaction.commit()
    }

    /// Notes that the reply was sent. Not synced: it has to survive the process, not the machine.
    pub(super) fn note_reply(&mut self, seq: i64) -> Result<(), GatewayError> {
        let note = || {
            self.connection.pragma_update(None, "synchronous", "NORMAL")?;
            let mut update = self.connection.prepare_cached("UPDATE requests SET replied = 1 WHERE seq = ?1")?;
            update.execute([seq])?;
            self.connection.pragma_update(None, "synchronous", "FULL")
        };
        note().map_err(|source| GatewayError::Ledger { file: self.path.clone(), source })
    }
}

/// Takes the lock beside the ledger, and makes the directory when there is none.
fn lock(path: &Path) -> Result<Lock, GatewayError> {
    let failed = |source| GatewayError::LedgerFile { file: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let mut lock = File::options().create(true).truncate(false).read(true).write(true).open(name).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {
            // For people who are turned away.
            let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
            Ok(Lock(lock))
        }
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = lock.read_to_string(&mut pid);
            Err(GatewayError::LedgerInUse { file: path.to_owned(), pid: pid.trim().to_owned() })
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn begin(transaction: &Transaction, mode: AccountMode, balance: Decimal) -> rusqlite::Result<()> {
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    let account = params![mode.name(), balance.normalize().to_string()];
    transaction.execute("INSERT INTO account (id, mode, balance) VALUES (1, ?1, ?2)", account)?;
    Ok(())
}

fn remember(transaction: &Transaction) -> rusqlite::Result<(String, Remembered)> {
    let (mode, balance) = transaction.query_row("SELECT mode, balance FROM account", [], |row| {
        Ok((row.get(0)?, decimal(row, "balance")?.unwrap_or_default()))
    })?;
    let newest = |sql| transaction.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).optional();
    let seq = newest("SELECT max(seq) FROM requests")?.flatten().unwrap_or(0) + 1;
    let ticket = newest("SELECT max(ticket) FROM orders")?.flatten().map_or(FIRST_TICKET, |ticket| ticket + 1);
    let mut open = transaction.prepare("SELECT * FROM positions WHERE closed_ms IS NULL")?;
    let open = open.query_map([], position)?.collect::<Result<_, _>>()?;
    Ok((mode, Remembered { balance, open, numbers: Numbers { seq, ticket } }))
}

fn insert_order(transaction: &Transaction, outcome: &Outcome, row: &OrderRow) -> rusqlite::Result<()> {
    let order = &row.order;
    transaction
        .prepare_cached(
            "INSERT INTO orders (ticket, seq, req_id, symbol, side, volume, filled, price, sl, tp, magic, comment, state,
                                 market_ms, arrived_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            row.ticket,
            outcome.seq,
            outcome.parsed.req_id,
            order.symbol,
            order.side.code(),
            order.volume.to_string(),
            row.filled.to_string(),
            text(row.price),
            text(order.sl),
            text(order.tp),
            order.magic,
            order.comment,
            row.state.name(),
            row.market_ms,
            outcome.arrived_ms,
        ])?;
    Ok(())
}

fn keep_position(transaction: &Transaction, position: &Position) -> rusqlite::Result<()> {
    let closed = position.closed.as_ref();
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO positions (id, symbol, side, volume, open_price, opened_ms, sl, tp, seen_ms, profit,
                                               closed_ms, close_price, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            position.id,
            position.symbol,
            position.side.code(),
            position.volume.to_string(),
            position.open_price.to_string(),
            position.opened_ms,
            text(position.sl),
            text(position.tp),
            position.seen_ms,
            position.profit.normalize().to_string(),
            closed.map(|closed| closed.at_ms),
            text(closed.map(|closed| closed.price)),
            closed.map(|closed| closed.reason),
        ])?;
    Ok(())
}

fn position(row: &Row) -> rusqlite::Result<Position> {
    let side: String = row.get("side")?;
    Ok(Position {
        id: row.get("id")?,
        symbol: row.get("symbol")?,
        side: if side == "buy" { Side::Buy } else { Side::Sell },
        volume: decimal(row, "volume")?.unwrap_or_default(),
        open_price: decimal(row, "open_price")?.unwrap_or_default(),
        opened_ms: row.get("opened_ms")?,
        sl: decimal(row, "sl")?,
        tp: decimal(row, "tp")?,
        seen_ms: row.get("seen_ms")?,
        profit: decimal(row, "profit")?.unwrap_or_default(),
        closed: None,
    })
}

fn text(value: Option<Decimal>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn decimal(row: &Row, column: &str) -> rusqlite::Result<Option<Decimal>> {
    let parse = |text: String| {
        let unreadable =
            |error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error));
        text.parse::<Decimal>().map_err(unreadable)
    };
    row.get::<_, Option<String>>(column)?.map(parse).transpose()
}

/// The beginning of a message as text, at most [`RAW_MAX`] bytes.
fn kept(raw: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(raw.get(..RAW_MAX).unwrap_or(raw)).into_owned();
    text.truncate(text.floor_char_boundary(RAW_MAX));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The copy is that of a process between fork and exec, which closes it only then.
    #[test]
    fn a_ledger_is_free_although_a_starting_process_has_its_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        let first = lock(&path).unwrap();
        let copy = first.0.try_clone().unwrap();
        drop(first);
        let _next = lock(&path).unwrap();
        drop(copy);
        assert!(matches!(lock(&path), Err(GatewayError::LedgerInUse { .. })), "the new lock was taken away");
    }
}
