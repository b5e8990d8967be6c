//! The tables that carry checksums: their columns in order, the statements over them, and the checksum that shows whether a
//! row is still as it was written.
//!
//! The checksum covers the columns as they are stored, so it can be verified without understanding them. A migration that
//! adds a column computes the checksums again.

use std::sync::LazyLock;

use rusqlite::Row;
use rusqlite::types::{Value, ValueRef};
use sha2::{Digest as _, Sha256};

/// A table with a checksum per row.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// How many of the first columns are the primary key.
    pub(super) keys: usize,
    /// Columns, without the checksum.
    pub(super) columns: &'static [&'static str],
}

pub(super) const SLOTS: Table = Table {
    name: "slots",
    keys: 2,
    columns: &[
        "pipeline",
        "slot_ms",
        "mode",
        "outcome",
        "reason",
        "detail",
        "attempts",
        "started_ms",
        "ended_ms",
        "fetch_us",
        "features_us",
        "predict_us",
        "execute_us",
        "newest_bar_ms",
        "bars",
        "dropped",
        "missing_bars",
        "bars_digest",
        "feature_set",
        "features_digest",
        "model_id",
        "model_hash",
        "raw_output",
        "signal",
        "confidence",
        "decided_bar_ms",
        "intents",
        "weighed",
        "start",
        "waited_us",
        "anchor_ms",
    ],
};

pub(super) const INTENTS: Table = Table {
    name: "intents",
    keys: 1,
    columns: &[
        "key",
        "mode",
        "account",
        "pipeline",
        "slot_ms",
        "basis_ms",
        "role",
        "symbol",
        "side",
        "volume_lots",
        "stop_price",
        "target_price",
        "reference_price",
        "state",
        "ticket",
        "filled_lots",
        "fill_price",
        "receipt_text",
        "basis_kind",
        "log_return",
        "horizon_s",
        "reference_ms",
        "hash",
        "height",
        "announced_as",
        "awaits",
        "grade",
        "listed",
        "venue_note",
    ],
};

pub(super) const EVENTS: Table =
    Table { name: "intent_events", keys: 2, columns: &["key", "number", "at_ms", "event"] };

pub(super) const STARTS: Table =
    Table { name: "starts", keys: 1, columns: &["number", "at_ms", "version", "mode", "config_digest"] };

pub(super) const REMOVED: Table =
    Table { name: "removed_slots", keys: 1, columns: &["pipeline", "until_ms", "slots", "decided_bar_ms"] };

pub(super) const ANNOUNCED: Table =
    Table { name: "announced_slots", keys: 2, columns: &["pipeline", "slot_ms", "id", "closes_ms", "announced_ms"] };

pub(super) const HALTS: Table = Table {
    name: "halts",
    keys: 1,
    columns: &[
        "number",
        "request",
        "pipeline",
        "account",
        "symbol",
        "state",
        "raised_by",
        "who",
        "why",
        "evidence",
        "since_ms",
        "lifted_request",
        "lifted_who",
        "lifted_why",
        "lifted_ms",
    ],
};

pub(super) const ACCOUNTS: Table = Table {
    name: "accounts",
    keys: 2,
    columns: &[
        "mode",
        "account",
        "revision",
        "day_ms",
        "day_equity",
        "peak_equity",
        "balance",
        "balance_since_ms",
        "open",
        "steps",
        "losses_in_row",
        "cooling_until_ms",
        "halt",
    ],
};

/// Every table that carries checksums. When one changes, its present form moves to [`super::frozen`].
pub(super) const TABLES: [&Table; 8] = [&SLOTS, &INTENTS, &EVENTS, &STARTS, &REMOVED, &ANNOUNCED, &HALTS, &ACCOUNTS];

pub(super) static INSERT_SLOT: LazyLock<String> = LazyLock::new(|| SLOTS.insert("ON CONFLICT DO NOTHING"));
pub(super) static INSERT_INTENT: LazyLock<String> = LazyLock::new(|| INTENTS.insert("ON CONFLICT DO NOTHING"));
pub(super) static REPLACE_INTENT: LazyLock<String> = LazyLock::new(|| INTENTS.update());
pub(super) static INSERT_EVENT: LazyLock<String> = LazyLock::new(|| EVENTS.insert(""));
pub(super) static INSERT_START: LazyLock<String> = LazyLock::new(|| STARTS.insert(""));
pub(super) static INSERT_REMOVED: LazyLock<String> = LazyLock::new(|| REMOVED.insert_or_replace());
pub(super) static INSERT_ANNOUNCED: LazyLock<String> = LazyLock::new(|| ANNOUNCED.insert(""));
pub(super) static INSERT_HALT: LazyLock<String> = LazyLock::new(|| HALTS.insert(""));
pub(super) static REPLACE_HALT: LazyLock<String> = LazyLock::new(|| HALTS.update());
pub(super) static SELECT_HALTS: LazyLock<String> = LazyLock::new(|| HALTS.select());
pub(super) static INSERT_ACCOUNT: LazyLock<String> = LazyLock::new(|| ACCOUNTS.insert(""));
pub(super) static REPLACE_ACCOUNT: LazyLock<String> = LazyLock::new(|| ACCOUNTS.update());
pub(super) static SELECT_ACCOUNTS: LazyLock<String> = LazyLock::new(|| ACCOUNTS.select());
pub(super) static SELECT_ANNOUNCED: LazyLock<String> = LazyLock::new(|| ANNOUNCED.select());
pub(super) static SELECT_REMOVED: LazyLock<String> = LazyLock::new(|| REMOVED.select());
pub(super) static SELECT_STARTS: LazyLock<String> = LazyLock::new(|| STARTS.select());
pub(super) static SELECT_SLOTS: LazyLock<String> = LazyLock::new(|| SLOTS.select());
pub(super) static SELECT_INTENTS: LazyLock<String> = LazyLock::new(|| INTENTS.select());
pub(super) static SELECT_EVENTS: LazyLock<String> = LazyLock::new(|| EVENTS.select());

impl Table {
    /// Selects all columns and the checksum; conditions follow.
    pub(super) fn select(&self) -> String {
        format!("SELECT {}, checksum FROM {}", self.columns.join(", "), self.name)
    }

    fn insert(&self, on_conflict: &str) -> String {
        let marks: Vec<String> = (1..=self.columns.len() + 1).map(|n| format!("?{n}")).collect();
        let columns = self.columns.join(", ");
        format!("INSERT INTO {} ({columns}, checksum) VALUES ({}) {on_conflict}", self.name, marks.join(", "))
    }

    /// Writes a whole row, in the place of the one with its primary key when there is one.
    fn insert_or_replace(&self) -> String {
        self.insert("").replacen("INSERT", "INSERT OR REPLACE", 1)
    }

    /// Replaces a whole row, by its primary key.
    pub(super) fn update(&self) -> String {
        let set = |(index, column): (usize, &&str)| format!("{column} = ?{}", index + 1);
        let values: Vec<String> = self.columns.iter().enumerate().skip(self.keys).map(set).collect();
        let keys: Vec<String> = self.columns.iter().enumerate().take(self.keys).map(set).collect();
        let checksum = self.columns.len() + 1;
        format!("UPDATE {} SET {}, checksum = ?{checksum} WHERE {}", self.name, values.join(", "), keys.join(" AND "))
    }

    /// Table and key of a row, for people.
    pub(super) fn key_of(&self, row: &Row<'_>) -> rusqlite::Result<String> {
        let part = |index| -> rusqlite::Result<String> {
            Ok(match row.get_ref(index)? {
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                ValueRef::Integer(number) => number.to_string(),
                other => format!("{other:?}"),
            })
        };
        let key = (0..self.keys).map(part).collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(format!("{} {}", self.name, key.join(" ")))
    }

    /// Refuses a row that is not as it was written. Every row that the node acts on is read through this.
    pub(super) fn require_intact(&self, row: &Row<'_>) -> Result<(), RowFault> {
        if self.is_intact(row)? {
            Ok(())
        } else {
            Err(RowFault::damaged(self.key_of(row)?, "its checksum does not fit"))
        }
    }

    /// Whether a row that was read with [`Table::select`] is what was written.
    pub(super) fn is_intact(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let mut hash = Sha256::new();
        for index in 0..self.columns.len() {
            feed(&mut hash, row.get_ref(index)?);
        }
        Ok(row.get::<_, i64>(self.columns.len())? == finish(hash))
    }
}

/// Appends the checksum: the values are complete then.
pub(super) fn sealed(mut values: Vec<Value>) -> Vec<Value> {
    let mut hash = Sha256::new();
    for value in &values {
        feed(&mut hash, ValueRef::from(value));
    }
    values.push(Value::Integer(finish(hash)));
    values
}

/// Tag and length first: no two different rows feed the same bytes.
fn feed(hash: &mut Sha256, value: ValueRef<'_>) {
    let (tag, bytes): (u8, &[u8]) = match value {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(number) => return hash.update([&[1u8][..], &number.to_le_bytes()].concat()),
        ValueRef::Real(number) => return hash.update([&[2u8][..], &number.to_bits().to_le_bytes()].concat()),
        ValueRef::Text(bytes) => (3, bytes),
        ValueRef::Blob(bytes) => (4, bytes),
    };
    hash.update([tag]);
    hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
    hash.update(bytes);
}

fn finish(hash: Sha256) -> i64 {
    let digest = hash.finalize();
    let mut bytes = [0u8; 8];
    bytes.copy_from_slice(&digest[..8]);
    i64::from_le_bytes(bytes)
}

/// A stored value that means nothing to this program.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowFault {
    #[error("a column cannot be read")]
    Sqlite(#[from] rusqlite::Error),
    /// It was delivered, and has no meaning.
    #[error("column {column} holds '{text}', which has no meaning")]
    Meaningless { column: &'static str, text: String },
    /// It is not what was written.
    #[error("the row '{row}' is damaged: {what}")]
    Damaged { row: String, what: String },
}

impl RowFault {
    pub(super) fn damaged(row: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Damaged { row: row.into(), what: what.into() }
    }
}
