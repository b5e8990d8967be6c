//! The paper book's tables and transactions. One connection, used by one thread.
//!
//! The book knows nothing of the journal: it is the other side that the journal's intents are compared with. Each order is
//! carried out whole or not at all, and durable before it is confirmed. Prices and money are exact decimals, as text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, TransactionBehavior, params};
use rust_decimal::Decimal;
use sentinel_actors::domain::bar::Bar;
use sentinel_actors::domain::intent::IntentKey;
use sentinel_actors::domain::order::{Fill, Order, Position, Role, Side, Ticket};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Submission;

use super::book::Holding;
use super::exits::{CloseReason, Exit, Levels, Terms, first_exit};
use super::fills::{Refusal, close_price, fill, open_price};
use super::forecasts;

/// "SPBk", so that no other SQLite file is taken for a book.
const APPLICATION_ID: i32 = 0x5350_426b;
/// Version 2 has forecasts too.
const SCHEMA_VERSION: i32 = 2;
const SCHEMA: &str = "
CREATE TABLE positions (
    ticket       INTEGER PRIMARY KEY AUTOINCREMENT,
    account      TEXT NOT NULL,
    symbol       TEXT NOT NULL,
    side         TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    volume       TEXT NOT NULL,
    open_price   TEXT NOT NULL,
    stop         TEXT,
    target       TEXT,
    opened_at    INTEGER NOT NULL,
    exposed_from INTEGER NOT NULL,
    open_key     TEXT NOT NULL UNIQUE,
    closed_at    INTEGER,
    close_price  TEXT,
    close_reason TEXT CHECK (close_reason IN ('order', 'stop', 'target')),
    close_key    TEXT UNIQUE,
    profit       TEXT,
    CHECK ((closed_at IS NULL) = (close_price IS NULL)),
    CHECK ((closed_at IS NULL) = (close_reason IS NULL)),
    CHECK ((closed_at IS NULL) = (profit IS NULL)),
    CHECK ((close_key IS NOT NULL) = (close_reason IS 'order'))
) STRICT;
CREATE INDEX positions_open ON positions (account, symbol) WHERE closed_at IS NULL;
CREATE TABLE orders (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key    TEXT NOT NULL UNIQUE,
    role   TEXT NOT NULL CHECK (role IN ('open', 'close')),
    ticket INTEGER NOT NULL REFERENCES positions (ticket),
    symbol TEXT NOT NULL,
    side   TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    volume TEXT NOT NULL,
    price  TEXT NOT NULL,
    at_ms  INTEGER NOT NULL,
    text   TEXT NOT NULL
) STRICT;
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT INTO meta VALUES ('double_submits', 0);
";

/// The book cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// SQLite failed.
    #[error("the book's database failed")]
    Database(#[from] rusqlite::Error),
    /// The file is something else.
    #[error("the file is not a paper book of this version")]
    NotABook,
    /// A stored value makes no sense.
    #[error("the book holds '{value}' where {expected} belongs")]
    Corrupt {
        /// What it should be.
        expected: &'static str,
        /// What it is.
        value: String,
    },
    /// A profit beyond what a decimal holds.
    #[error("the profit of ticket {0} does not fit a decimal")]
    Overflow(Ticket),
    /// Nothing could be done, or what was done could not be made durable.
    #[error("the book cannot be used")]
    Unusable(#[source] Arc<BookError>),
    /// The book's thread could not be started.
    #[error("the book's thread could not be started")]
    Thread(#[source] std::io::Error),
    /// The book's thread did not answer: it has ended, or the question ended it.
    #[error("the book does not answer")]
    Gone,
    /// Too much is waiting; the question was not handed over.
    #[error("the book has too much to do")]
    Busy,
    /// No answer inside the deadline.
    #[error("the book did not answer within {0:?}")]
    Late(Duration),
}

/// The open book.
pub(super) struct Ledger {
    pub(super) connection: Connection,
    /// The latest end of a position by its levels, of each holding that had one.
    ended_until: BTreeMap<Holding, UtcMs>,
}

/// An open position with what ends it.
#[derive(Debug, Clone)]
pub(super) struct OpenPosition {
    pub(super) position: Position,
    pub(super) levels: Levels,
}

/// An order with what the dry run adds to it.
pub(super) struct BookRequest<'a> {
    pub(super) key: &'a IntentKey,
    pub(super) order: &'a Order,
    pub(super) terms: &'a Terms,
    pub(super) now: UtcMs,
}

impl Ledger {
    pub(super) fn open(path: &Path) -> Result<Self, BookError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        // To its end: the switch is committed after it has answered, and only then can it fail.
        let mut switch = connection.prepare("PRAGMA journal_mode = WAL")?;
        switch.query_map([], |_| Ok(()))?.collect::<rusqlite::Result<()>>()?;
        drop(switch);
        for (pragma, value) in
            [("synchronous", "FULL"), ("foreign_keys", "ON"), ("trusted_schema", "OFF"), ("cache_size", "-256")]
        {
            connection.pragma_update(None, pragma, value)?;
        }
        let version = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        match (version("application_id")?, version("user_version")?) {
            (APPLICATION_ID, SCHEMA_VERSION) => {}
            (0, 0) => {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                transaction.execute_batch(SCHEMA)?;
                transaction.execute_batch(forecasts::SCHEMA)?;
                transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
                transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
                transaction.commit()?;
            }
            (APPLICATION_ID, 1) => {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                transaction.execute_batch(forecasts::SCHEMA)?;
                transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
                transaction.commit()?;
            }
            _ => return Err(BookError::NotABook),
        }
        let ended_until = ended_until(&connection)?;
        Ok(Self { connection, ended_until })
    }

    /// Begins a transaction around what follows.
    pub(super) fn begin(&self) -> Result<(), BookError> {
        Ok(self.connection.execute_batch("BEGIN IMMEDIATE")?)
    }

    /// Takes back what a failure has left half done: otherwise it would be shown, and looked like done.
    pub(super) fn end_dangling(&self) -> Result<(), BookError> {
        if self.connection.is_autocommit() { Ok(()) } else { Ok(self.connection.execute_batch("ROLLBACK")?) }
    }

    /// Makes durable what was done since [`Ledger::begin`].
    pub(super) fn commit(&self) -> Result<(), BookError> {
        self.connection.execute_batch("COMMIT").map_err(|error| {
            let _ = self.end_dangling(); // tried again before the next question
            error.into()
        })
    }

    /// Carries out an order, or says why not. It is durable once it is committed.
    pub(super) fn submit(&mut self, request: &BookRequest<'_>) -> Result<Submission, BookError> {
        let transaction = self.connection.savepoint()?;
        let known =
            transaction.prepare_cached("SELECT 1 FROM orders WHERE key = ?1")?.exists([request.key.as_str()])?;
        if known {
            transaction.execute("UPDATE meta SET value = value + 1 WHERE name = 'double_submits'", [])?;
            transaction.commit()?;
            tracing::error!(event = "order_repeated", key = %request.key, "a key was submitted to the paper book twice");
            return Ok(Refusal::DoubleSubmit.into());
        }
        let outcome = match request.order.role {
            Role::Open => open(&transaction, request)?,
            Role::Close(ticket) => close(&transaction, request, ticket)?,
        };
        if matches!(outcome, Submission::Acked(_)) {
            transaction.commit()?;
        }
        Ok(outcome)
    }

    /// The receipt of an order, when the book has it.
    pub(super) fn find(&self, key: &IntentKey) -> Result<Option<Fill>, BookError> {
        let mut query = self.connection.prepare("SELECT ticket, volume, price, text FROM orders WHERE key = ?1")?;
        let mut rows = query.query([key.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some(Fill {
            ticket: ticket(row, 0)?,
            volume_lots: decimal(row, 1)?,
            price: Some(decimal(row, 2)?),
            text: row.get(3)?,
        }))
    }

    /// The holdings that have an open position, or one that its levels ended.
    pub(super) fn holdings(&self) -> Result<BTreeSet<Holding>, BookError> {
        let mut query =
            self.connection.prepare("SELECT DISTINCT account, symbol FROM positions WHERE closed_at IS NULL")?;
        let open = query.query_map([], |row| Ok(Holding { account: row.get(0)?, symbol: row.get(1)? }))?;
        let mut holdings = open.collect::<rusqlite::Result<BTreeSet<_>>>()?;
        holdings.extend(self.ended_until.keys().cloned());
        Ok(holdings)
    }

    /// What is open of one account and symbol.
    pub(super) fn open_of(&self, holding: &Holding) -> Result<Vec<OpenPosition>, BookError> {
        let Holding { account, symbol } = holding;
        self.select_open("WHERE closed_at IS NULL AND account = ?1 AND symbol = ?2", [account, symbol])
    }

    /// What was open of one account and symbol at a slot, also when a later bar has ended it since.
    pub(super) fn open_at(&self, holding: &Holding, slot: UtcMs) -> Result<Vec<OpenPosition>, BookError> {
        let Holding { account, symbol } = holding;
        let open = "WHERE account = ?1 AND symbol = ?2
            AND (closed_at IS NULL OR (closed_at > ?3 AND close_reason <> 'order'))";
        self.select_open(open, params![account, symbol, slot.0])
    }

    /// What the positions of an account have earned that had ended at a slot, and those that were open then.
    pub(super) fn account_at(&self, account: &str, slot: UtcMs) -> Result<(Decimal, Vec<Position>), BookError> {
        let mut query = self.connection.prepare_cached(
            "SELECT ticket, profit FROM positions
             WHERE account = ?1 AND (closed_at <= ?2 OR close_reason = 'order')",
        )?;
        let mut rows = query.query(params![account, slot.0])?;
        let mut earned = Decimal::ZERO;
        while let Some(row) = rows.next()? {
            let (ticket, profit) = (ticket(row, 0)?, decimal(row, 1)?);
            earned = earned.checked_add(profit).ok_or(BookError::Overflow(ticket))?;
        }
        let open = "WHERE account = ?1 AND (closed_at IS NULL OR (closed_at > ?2 AND close_reason <> 'order'))";
        let open = self.select_open(open, params![account, slot.0])?;
        Ok((earned, open.into_iter().map(|open| open.position).collect()))
    }

    /// From here on nothing but what is open now counts as open: no bar that the book was shown has ended a position later.
    pub(super) fn ended_until(&self, holding: &Holding) -> UtcMs {
        self.ended_until.get(holding).copied().unwrap_or(UtcMs(i64::MIN))
    }

    /// Moves the last orders from the log into the file. SQLite would do the same and keep a failure to itself; after one
    /// here it leaves the log, which is durable, as it is.
    pub(super) fn close(&self) -> Result<(), BookError> {
        let moved = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        moved.map_err(|error| {
            let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            error.into()
        })
    }

    /// Grows with each row that is written.
    pub(super) fn changes(&self) -> u64 {
        self.connection.total_changes()
    }

    /// Ends what `bars` stop out or bring home, in one transaction. Returns how many positions ended.
    pub(super) fn observe(&mut self, symbol: &str, bars: &[Bar], terms: &Terms) -> Result<usize, BookError> {
        let mut exits = Vec::new();
        let holding = Holding { account: terms.account.clone(), symbol: symbol.to_owned() };
        for open in self.open_of(&holding)? {
            exits.extend(first_exit(&open.levels, bars, terms).map(|exit| (open.position, exit)));
        }
        if exits.is_empty() {
            return Ok(0); // nothing to make durable: showing the same bars again finds the same exits
        }
        let transaction = self.connection.savepoint()?;
        for (position, exit) in &exits {
            end(&transaction, position, exit, None, terms)?;
        }
        transaction.commit()?;
        // Kept when the commit around this fails: the book is then asked where its view would have done.
        let ended_until = self.ended_until.entry(holding).or_insert(UtcMs(i64::MIN));
        *ended_until = exits.iter().map(|(_, exit)| exit.at).fold(*ended_until, UtcMs::max);
        Ok(exits.len())
    }

    fn select_open(&self, condition: &str, params: impl Params) -> Result<Vec<OpenPosition>, BookError> {
        let mut query = self.connection.prepare_cached(&format!(
            "SELECT ticket, symbol, side, volume, open_price, opened_at, stop, target, exposed_from
             FROM positions {condition} ORDER BY ticket"
        ))?;
        let mut rows = query.query(params)?;
        let mut positions = Vec::new();
        while let Some(row) = rows.next()? {
            positions.push(open_position(row)?);
        }
        Ok(positions)
    }
}

fn ended_until(connection: &Connection) -> Result<BTreeMap<Holding, UtcMs>, BookError> {
    let mut query = connection.prepare(
        "SELECT account, symbol, max(closed_at) FROM positions
         WHERE closed_at IS NOT NULL AND close_reason <> 'order' GROUP BY account, symbol",
    )?;
    let rows =
        query.query_map([], |row| Ok((Holding { account: row.get(0)?, symbol: row.get(1)? }, UtcMs(row.get(2)?))))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn open(transaction: &Connection, request: &BookRequest<'_>) -> Result<Submission, BookError> {
    let BookRequest { key, order, terms, now } = request;
    let price = match open_price(order, terms) {
        Ok(price) => price,
        Err(refusal) => return Ok(refusal.into()),
    };
    let mut insert = transaction.prepare_cached(
        "INSERT INTO positions (account, symbol, side, volume, open_price, stop, target, opened_at, exposed_from, open_key)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    insert.execute(params![
        terms.account,
        order.symbol,
        order.side.code(),
        order.volume_lots.to_string(),
        price.to_string(),
        order.stop_price.map(|price| price.to_string()),
        order.target_price.map(|price| price.to_string()),
        now.0,
        terms.exposed_from(*now).0,
        key.as_str(),
    ])?;
    let ticket = Ticket(u64::try_from(transaction.last_insert_rowid()).unwrap_or_default());
    record(transaction, request, "open", ticket, price)
}

fn close(transaction: &Connection, request: &BookRequest<'_>, ticket: Ticket) -> Result<Submission, BookError> {
    let BookRequest { key, order, terms, now } = request;
    let mut query = transaction.prepare_cached(
        "SELECT ticket, symbol, side, volume, open_price, opened_at, stop, target, exposed_from
         FROM positions WHERE ticket = ?1 AND account = ?2 AND closed_at IS NULL",
    )?;
    let found = query.query_row(params![stored(ticket), terms.account], |row| Ok(open_position(row))).optional()?;
    let position = found.transpose()?.map(|open| open.position);
    let (position, price) = match position.ok_or(Refusal::NotOpen) {
        Ok(position) => match close_price(&position, order, terms) {
            Ok(price) => (position, price),
            Err(refusal) => return Ok(refusal.into()),
        },
        Err(refusal) => return Ok(refusal.into()),
    };
    end(transaction, &position, &Exit { reason: CloseReason::Order, price, at: *now }, Some(key), terms)?;
    record(transaction, request, "close", ticket, price)
}

/// Ends an open position.
fn end(
    transaction: &Connection,
    position: &Position,
    exit: &Exit,
    key: Option<&IntentKey>,
    terms: &Terms,
) -> Result<(), BookError> {
    let profit = terms
        .profit(position.side, position.open_price, exit.price, position.volume_lots)
        .ok_or(BookError::Overflow(position.ticket))?;
    let mut update = transaction.prepare_cached(
        "UPDATE positions SET closed_at = ?2, close_price = ?3, close_reason = ?4, close_key = ?5, profit = ?6
         WHERE ticket = ?1 AND closed_at IS NULL",
    )?;
    update.execute(params![
        stored(position.ticket),
        exit.at.0,
        exit.price.to_string(),
        exit.reason.code(),
        key.map(IntentKey::as_str),
        profit.to_string(),
    ])?;
    Ok(())
}

fn record(
    transaction: &Connection,
    request: &BookRequest<'_>,
    role: &str,
    ticket: Ticket,
    price: Decimal,
) -> Result<Submission, BookError> {
    let BookRequest { key, order, now, .. } = request;
    let fill = fill(role, order, ticket, price);
    let mut insert = transaction.prepare_cached(
        "INSERT INTO orders (key, role, ticket, symbol, side, volume, price, at_ms, text)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let volume = order.volume_lots.to_string();
    insert.execute(params![
        key.as_str(),
        role,
        stored(ticket),
        order.symbol,
        order.side.code(),
        volume,
        price.to_string(),
        now.0,
        fill.text,
    ])?;
    Ok(Submission::Acked(fill.into()))
}

fn open_position(row: &Row<'_>) -> Result<OpenPosition, BookError> {
    let side = side(row, 2)?;
    let position = Position {
        ticket: ticket(row, 0)?,
        symbol: row.get(1)?,
        side,
        volume_lots: decimal(row, 3)?,
        open_price: decimal(row, 4)?,
        opened_at: Some(UtcMs(row.get(5)?)),
    };
    let levels = Levels {
        side,
        stop: optional_decimal(row, 6)?,
        target: optional_decimal(row, 7)?,
        exposed_from: UtcMs(row.get(8)?),
    };
    Ok(OpenPosition { position, levels })
}

/// As SQLite keeps it; tickets come from there, so they fit.
fn stored(ticket: Ticket) -> i64 {
    i64::try_from(ticket.0).unwrap_or(i64::MAX)
}

pub(super) fn ticket(row: &Row<'_>, index: usize) -> Result<Ticket, BookError> {
    let value: i64 = row.get(index)?;
    u64::try_from(value).map(Ticket).map_err(|_| corrupt("a ticket", value))
}

pub(super) fn decimal(row: &Row<'_>, index: usize) -> Result<Decimal, BookError> {
    let text: String = row.get(index)?;
    Decimal::from_str_exact(&text).map_err(|_| corrupt("a decimal", text))
}

pub(super) fn optional_decimal(row: &Row<'_>, index: usize) -> Result<Option<Decimal>, BookError> {
    let text: Option<String> = row.get(index)?;
    text.map(|text| Decimal::from_str_exact(&text).map_err(|_| corrupt("a decimal", text))).transpose()
}

pub(super) fn side(row: &Row<'_>, index: usize) -> Result<Side, BookError> {
    let code: String = row.get(index)?;
    let sides = [Side::Buy, Side::Sell];
    sides.into_iter().find(|side| side.code() == code).ok_or_else(|| corrupt("a side", code))
}

pub(super) fn corrupt(expected: &'static str, value: impl ToString) -> BookError {
    BookError::Corrupt { expected, value: value.to_string() }
}
