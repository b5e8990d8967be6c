//! The rows of a journal, and of the book or the gateway's ledger that judges it, read with SQL of these tests' own.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row};
use rust_decimal::Decimal;
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    pub at_ms: i64,
    pub outcome: String,
    pub reason: String,
    pub detail: String,
    pub signal: Option<String>,
    pub confidence: Option<f64>,
    pub decided_bar_ms: Option<i64>,
    pub intents: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    pub key: String,
    pub account: String,
    pub mode: String,
    pub slot_ms: i64,
    pub basis_ms: i64,
    pub role: String,
    pub symbol: String,
    pub side: String,
    pub volume: String,
    pub stop: Option<String>,
    pub target: Option<String>,
    /// The price that it was decided at.
    pub reference: String,
    pub state: String,
    pub ticket: Option<String>,
    /// Confirmed volume.
    pub filled: Option<String>,
    /// Confirmed price.
    pub price: Option<String>,
    /// Names of its events in order, as in `planned send acked`.
    pub history: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub key: String,
    pub role: String,
    pub ticket: i64,
    pub symbol: String,
    pub side: String,
    pub volume: String,
    /// What of it was filled.
    pub filled: String,
    /// Empty when nothing was.
    pub price: String,
    pub stop: Option<String>,
    pub target: Option<String>,
    /// In which dialect the gateway was asked for it; `None` of an order in a paper book.
    pub dialect: Option<String>,
    /// Of an order in the gateway's ledger; 0 in a dialect that has none.
    pub magic: i64,
    /// When the book says that it was filled; in the gateway's ledger by the market's own time.
    pub at_ms: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Position {
    pub ticket: i64,
    pub open_key: String,
    pub opened_at_ms: i64,
    pub closed_at_ms: Option<i64>,
    pub close_reason: Option<String>,
    pub close_key: Option<String>,
    pub close_price: Option<String>,
    pub profit: Option<String>,
}

/// A position of a hedging account.
#[derive(Debug, Clone, PartialEq)]
pub struct Hedged {
    /// Ticket of the order that opened it.
    pub ticket: i64,
    pub symbol: String,
    pub side: String,
    pub volume: Decimal,
    pub open_price: Decimal,
    pub opened_at_ms: i64,
    pub stop: Option<Decimal>,
    pub target: Option<Decimal>,
    /// When, at which price, and why it ended.
    pub closed: Option<(i64, Decimal, String)>,
}

/// Everything that a run of one pipeline left in its state directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub slots: Vec<Slot>,
    pub intents: Vec<Intent>,
    pub orders: Vec<Order>,
    pub positions: Vec<Position>,
    pub double_submits: i64,
    /// The open position in the gateway's ledger, in lots; `None` when the orders are those of a paper book, or the account
    /// is a hedging one.
    pub net_lots: Option<Decimal>,
    /// Positions of a hedging account in the gateway's ledger, each with the levels that end it.
    pub hedged: Option<Vec<Hedged>>,
    /// What SQLite says about the files' integrity, when it is not "ok".
    pub damage: Vec<String>,
}

fn open(path: &Path) -> Connection {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    connection
}

/// Whether a node lived long enough to begin its journal: one that was killed before that leaves no file, or one without tables.
pub fn has_journal(state: &Path) -> bool {
    let journal = state.join("journal.db");
    let tables = "SELECT 1 FROM sqlite_schema WHERE name = 'intents'";
    journal.exists() && open(&journal).prepare(tables).and_then(|mut tables| tables.exists([])).unwrap_or(false)
}

fn all<T>(connection: &Connection, sql: &str, read: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
    let mut query = connection.prepare(sql).unwrap();
    let rows = query.query_map([], |row| read(row)).unwrap();
    rows.map(Result::unwrap).collect()
}

impl Facts {
    /// Reads `journal.db` in `state`, and the judge beside it: `gateway.db` when there is one, else `paper.db`.
    pub fn read(state: &Path) -> Self {
        let ledger = state.join("gateway.db");
        if ledger.exists() { Self::with_ledger(state, &ledger) } else { Self::with_book(state) }
    }

    /// Reads `journal.db` in `state` and a gateway's ledger.
    pub fn with_ledger(state: &Path, ledger: &Path) -> Self {
        let (journal, ledger) = (open(&state.join("journal.db")), open(ledger));
        let intents = intents(&journal);
        let orders = ledger_orders(&ledger, &intents);
        let double_submits = "SELECT count(*) FROM (SELECT 1 FROM orders GROUP BY req_id HAVING count(*) > 1)";
        let is_hedging = "SELECT mode = 'hedging' FROM account";
        let is_hedging: bool = ledger.query_row(is_hedging, [], |row| row.get(0)).unwrap();
        let double_submits = ledger.query_row(double_submits, [], |row| row.get(0)).unwrap();
        Self {
            slots: slots(&journal),
            intents,
            orders,
            positions: Vec::new(),
            double_submits,
            net_lots: (!is_hedging).then(|| net_lots(&ledger)),
            hedged: is_hedging.then(|| hedged(&ledger)),
            damage: damage([&journal, &ledger]),
        }
    }

    fn with_book(state: &Path) -> Self {
        let (journal, book) = (open(&state.join("journal.db")), open(&state.join("paper.db")));
        let double_submits =
            book.query_row("SELECT value FROM meta WHERE name = 'double_submits'", [], |row| row.get(0)).unwrap();
        Self {
            slots: slots(&journal),
            intents: intents(&journal),
            orders: book_orders(&book),
            positions: book_positions(&book),
            double_submits,
            net_lots: None,
            hedged: None,
            damage: damage([&journal, &book]),
        }
    }

    /// Rows of a journal, oldest first.
    pub fn slots(state: &Path) -> Vec<Slot> {
        slots(&open(&state.join("journal.db")))
    }

    /// Every intent of a journal, oldest first.
    pub fn intents_in(state: &Path) -> Vec<Intent> {
        intents(&open(&state.join("journal.db")))
    }

    /// What SQLite says about a journal's integrity, when it is not "ok".
    pub fn damage_in(state: &Path) -> Vec<String> {
        damage([&open(&state.join("journal.db"))])
    }

    /// The state of each intent by its key, whatever it stands for.
    pub fn states(state: &Path) -> BTreeMap<String, String> {
        let journal = open(&state.join("journal.db"));
        all(&journal, "SELECT key, state FROM intents", |row| Ok((row.get(0)?, row.get(1)?))).into_iter().collect()
    }

    /// Orders in the paper book that a node may be filling; none before there is one.
    pub fn orders_in_book(state: &Path) -> i64 {
        let path = state.join("paper.db");
        let Ok(connection) = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY) else { return 0 };
        connection.query_row("SELECT count(*) FROM orders", [], |row| row.get(0)).unwrap_or(0)
    }

    /// Rows in a journal that a node may be writing; none before there is one.
    pub fn rows_so_far(state: &Path) -> i64 {
        Self::counted_so_far(state, "SELECT count(*) FROM slots")
    }

    /// Intents in a journal that a node may be writing; none before there is one.
    pub fn intents_so_far(state: &Path) -> i64 {
        Self::counted_so_far(state, "SELECT count(*) FROM intents")
    }

    fn counted_so_far(state: &Path, sql: &str) -> i64 {
        let path = state.join("journal.db");
        let Ok(connection) = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY) else { return 0 };
        connection.query_row(sql, [], |row| row.get(0)).unwrap_or(0)
    }
}

fn damage<const N: usize>(files: [&Connection; N]) -> Vec<String> {
    let verdicts = files.map(|file| all(file, "PRAGMA integrity_check", |row| row.get::<_, String>(0)));
    verdicts.into_iter().flatten().filter(|verdict| verdict != "ok").collect()
}

fn slots(journal: &Connection) -> Vec<Slot> {
    all(
        journal,
        "SELECT slot_ms, outcome, reason, detail, signal, confidence, decided_bar_ms, intents FROM slots ORDER BY slot_ms",
        |row| {
            Ok(Slot {
                at_ms: row.get(0)?,
                outcome: row.get(1)?,
                reason: row.get(2)?,
                detail: row.get(3)?,
                signal: row.get(4)?,
                confidence: row.get(5)?,
                decided_bar_ms: row.get(6)?,
                intents: row.get(7)?,
            })
        },
    )
}

fn intents(journal: &Connection) -> Vec<Intent> {
    all(
            journal,
            "SELECT key, slot_ms, basis_ms, role, side, volume_lots, state, ticket, filled_lots, mode, symbol, stop_price,
                    target_price, reference_price, fill_price, account,
                    (SELECT group_concat(CASE WHEN json_valid(event) THEN json_extract(event, '$.event') ELSE event END, ' ')
                     FROM (SELECT event FROM intent_events AS e WHERE e.key = i.key ORDER BY number))
             FROM intents AS i ORDER BY slot_ms, role",
            |row| {
                Ok(Intent {
                    key: row.get(0)?,
                    slot_ms: row.get(1)?,
                    basis_ms: row.get(2)?,
                    role: row.get(3)?,
                    side: row.get(4)?,
                    volume: row.get(5)?,
                    state: row.get(6)?,
                    ticket: row.get(7)?,
                    filled: row.get(8)?,
                    mode: row.get(9)?,
                    symbol: row.get(10)?,
                    stop: row.get(11)?,
                    target: row.get(12)?,
                    reference: row.get(13)?,
                    price: row.get(14)?,
                    account: row.get(15)?,
                    history: row.get::<_, Option<String>>(16)?.unwrap_or_default(),
                })
            },
        )
}

fn book_orders(book: &Connection) -> Vec<Order> {
    all(
        book,
        "SELECT key, role, ticket, side, volume, price, at_ms, volume, symbol,
                (SELECT stop FROM positions WHERE open_key = key), (SELECT target FROM positions WHERE open_key = key)
         FROM orders ORDER BY number",
        |row| {
            Ok(Order {
                key: row.get(0)?,
                role: row.get(1)?,
                ticket: row.get(2)?,
                side: row.get(3)?,
                volume: row.get(4)?,
                price: row.get(5)?,
                at_ms: row.get(6)?,
                filled: row.get(7)?,
                symbol: row.get(8)?,
                stop: row.get(9)?,
                target: row.get(10)?,
                dialect: None,
                magic: 0,
            })
        },
    )
}

fn book_positions(book: &Connection) -> Vec<Position> {
    all(
        book,
        "SELECT ticket, open_key, opened_at, closed_at, close_reason, close_key, close_price, profit
             FROM positions ORDER BY ticket",
        |row| {
            Ok(Position {
                ticket: row.get(0)?,
                open_key: row.get(1)?,
                opened_at_ms: row.get(2)?,
                closed_at_ms: row.get(3)?,
                close_reason: row.get(4)?,
                close_key: row.get(5)?,
                close_price: row.get(6)?,
                profit: row.get(7)?,
            })
        },
    )
}

/// The namespace of request ids, as the node's own documentation gives it.
const NAMESPACE: Uuid = Uuid::from_u128(0x308e_1ce2_3f4c_42f9_a2e3_1b75_9ac4_a078);

/// The id under which a gateway is asked for the order of an intent.
pub fn request_id(key: &str) -> String {
    Uuid::new_v5(&NAMESPACE, key.as_bytes()).to_string()
}

/// Orders that the gateway filled or took. Their comment carries the beginning of the key, and in a dialect without comments their
/// id is that of the key; one that no intent has keeps it.
fn ledger_orders(ledger: &Connection, intents: &[Intent]) -> Vec<Order> {
    let sql = "SELECT comment, coalesce(o.req_id, ''), o.ticket, side, volume, coalesce(price, ''), o.market_ms, filled, symbol, sl,
                      tp, magic, dialect
               FROM orders AS o JOIN requests AS r ON r.seq = o.seq ORDER BY o.ticket";
    all(ledger, sql, |row| {
        let (comment, id): (String, String) = (row.get(0)?, row.get(1)?);
        let is_of = |intent: &&Intent| match comment.strip_prefix("sn:") {
            Some(beginning) => Some(beginning) == intent.key.get(..20),
            None => comment.is_empty() && id == request_id(&intent.key),
        };
        let intent = intents.iter().find(is_of);
        Ok(Order {
            role: intent.and_then(|intent| intent.role.split('/').next()).unwrap_or("none").to_owned(),
            key: intent.map_or(format!("{comment} {id}"), |intent| intent.key.clone()),
            ticket: row.get(2)?,
            side: row.get(3)?,
            volume: row.get(4)?,
            price: row.get(5)?,
            at_ms: row.get(6)?,
            filled: row.get(7)?,
            symbol: row.get(8)?,
            stop: row.get(9)?,
            target: row.get(10)?,
            magic: row.get(11)?,
            dialect: row.get(12)?,
        })
    })
}

fn hedged(ledger: &Connection) -> Vec<Hedged> {
    let sql = "SELECT id, symbol, side, volume, open_price, opened_ms, sl, tp, closed_ms, close_price, reason
               FROM positions ORDER BY id";
    let decimal = |text: String| text.parse::<Decimal>().unwrap();
    all(ledger, sql, |row| {
        let closed = match row.get::<_, Option<i64>>(8)? {
            Some(at_ms) => Some((at_ms, decimal(row.get(9)?), row.get(10)?)),
            None => None,
        };
        Ok(Hedged {
            ticket: row.get(0)?,
            symbol: row.get(1)?,
            side: row.get(2)?,
            volume: decimal(row.get(3)?),
            open_price: decimal(row.get(4)?),
            opened_at_ms: row.get(5)?,
            stop: row.get::<_, Option<String>>(6)?.map(decimal),
            target: row.get::<_, Option<String>>(7)?.map(decimal),
            closed,
        })
    })
}

fn net_lots(ledger: &Connection) -> Decimal {
    let open = all(ledger, "SELECT side, volume FROM positions WHERE closed_ms IS NULL", |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    });
    let signed = |(side, lots): (String, String)| {
        lots.parse::<Decimal>().unwrap() * if side == "buy" { Decimal::ONE } else { -Decimal::ONE }
    };
    open.into_iter().map(signed).sum()
}
