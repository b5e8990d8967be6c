//! The journal's `meta` entries: its id, how many commits it has, how many rows it must have. One seal covers them all.
//!
//! The writer keeps them in memory and never reads them again after the start.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::tables::{RowFault, sealed};

/// Random name of this journal.
pub(super) const ID: &str = "journal_id";
/// Commits so far. It only grows.
pub(super) const COMMITS: &str = "commits";
pub(super) const INTENTS: &str = "intents";
/// Events of intents that were written.
pub(super) const EVENTS: &str = "intent_events";
/// Halts that were raised.
pub(super) const HALTS: &str = "halts";
/// Accounts whose losses are counted.
pub(super) const ACCOUNTS: &str = "accounts";
/// Slots that were worked on. The boot record compares it between boots.
pub(super) const WORKED: &str = "worked_slots";
/// How often the operator accepted the loss of an earlier journal.
pub(super) const LOSSES_ACCEPTED: &str = "losses_accepted";
/// Wall time of the last of them.
pub(super) const LOSS_ACCEPTED_MS: &str = "loss_accepted_ms";
/// Checksum over all other entries.
const SEAL: &str = "seal";

#[derive(Debug, Default)]
pub(super) struct Meta {
    values: BTreeMap<String, Value>,
    changed: BTreeSet<String>,
}

impl Meta {
    /// Reads and verifies them. An earlier version wrote neither an id nor a seal.
    pub(super) fn load(connection: &Connection) -> Result<Self, RowFault> {
        let mut statement = connection.prepare_cached("SELECT name, value FROM meta")?;
        let entries = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let values = entries.collect::<rusqlite::Result<BTreeMap<String, Value>>>()?;
        let mut meta = Self { values, changed: BTreeSet::new() };
        let seal = meta.values.remove(SEAL);
        if seal.is_some() != meta.text(ID).is_some() || seal.is_some_and(|seal| seal != meta.seal()) {
            return Err(RowFault::damaged("meta", "the checksum of its entries does not fit"));
        }
        Ok(meta)
    }

    /// An entry that is a number.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        match self.values.get(name) {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    /// An entry that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Changes an entry.
    pub(super) fn set(&mut self, name: &str, value: Value) {
        if self.values.get(name) != Some(&value) {
            self.values.insert(name.to_owned(), value);
            self.changed.insert(name.to_owned());
        }
    }

    /// Adds to a number.
    pub(super) fn add(&mut self, name: &str, more: i64) {
        self.set(name, Value::Integer(self.number(name).unwrap_or(0).saturating_add(more)));
    }

    /// Writes what has changed, inside the caller's transaction.
    pub(super) fn save(&mut self, connection: &Connection) -> Result<(), RowFault> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )?;
        for name in std::mem::take(&mut self.changed) {
            statement.execute(params![name, self.values.get(&name)])?;
        }
        statement.execute(params![SEAL, self.seal()])?;
        Ok(())
    }

    fn seal(&self) -> Value {
        let all = self.values.iter().flat_map(|(name, value)| [Value::Text(name.clone()), value.clone()]);
        sealed(all.collect()).pop().unwrap_or(Value::Null)
    }
}
