//! Rows by their properties, sums over them, and the journal at one moment: for reports and proofs beside a running node.

use rusqlite::types::Value;
use rusqlite::{Row, Transaction, params_from_iter};
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::intent::{Intent, IntentState};
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;

use super::{JournalReader, RowFault, SELECT_INTENTS, SELECT_SLOTS, Stored, stored_intent, stored_slot};
use crate::journal::JournalError;

/// Which rows; the default is all of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'f> {
    pub pipeline: Option<&'f str>,
    /// Of slots from this one on.
    pub since: Option<UtcMs>,
    /// Of slots before this one.
    pub before: Option<UtcMs>,
    /// Slots that ended so; intents have no outcome.
    pub outcome: Option<Outcome>,
    /// Slots that ended for this reason.
    pub reason: Option<Reason>,
    /// Intents that are not final; slots are never open.
    pub open: bool,
    /// The newest of those.
    pub last: Option<u32>,
}

impl Filter<'_> {
    /// The query for `select`, in the order of `order`, and what it binds.
    fn query(&self, select: &str, order: &str) -> (String, Vec<Value>) {
        let (condition, mut values) = self.condition();
        let sql = match self.last {
            None => format!("{select}{condition} ORDER BY {order}"),
            Some(last) => {
                values.push(Value::Integer(last.into()));
                format!("SELECT * FROM ({select}{condition} ORDER BY slot_ms DESC LIMIT ?) ORDER BY {order}")
            }
        };
        (sql, values)
    }

    /// A WHERE clause, or nothing, and what it binds.
    fn condition(&self) -> (String, Vec<Value>) {
        let (mut terms, mut values) = (Vec::new(), Vec::new());
        let mut term = |text, value| {
            terms.push(text);
            values.extend(value);
        };
        if let Some(pipeline) = self.pipeline {
            term("pipeline = ?", Some(Value::Text(pipeline.to_owned())));
        }
        if let Some(since) = self.since {
            term("slot_ms >= ?", Some(Value::Integer(since.0)));
        }
        if let Some(before) = self.before {
            term("slot_ms < ?", Some(Value::Integer(before.0)));
        }
        if let Some(outcome) = self.outcome {
            term("outcome = ?", Some(Value::Text(outcome.code().to_owned())));
        }
        if let Some(reason) = self.reason {
            term("reason = ?", Some(Value::Text(reason.code().to_owned())));
        }
        if self.open {
            term("state IN ('planned', 'sent', 'unknown', 'held')", None);
        }
        let clause = if terms.is_empty() { String::new() } else { format!(" WHERE {}", terms.join(" AND ")) };
        (clause, values)
    }
}

/// Slots of one pipeline that ended for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotTally {
    pub pipeline: String,
    pub reason: Reason,
    pub count: u64,
    /// The oldest one.
    pub first: UtcMs,
    pub last: UtcMs,
}

/// Intents of one pipeline that stand in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentTally {
    pub pipeline: String,
    pub state: IntentState,
    pub count: u64,
    /// The slot of the oldest one.
    pub first: UtcMs,
    /// The slot of the newest one.
    pub last: UtcMs,
}

/// As long as this lives, its reader sees the journal as it was at one moment, whatever a node writes meanwhile.
pub struct Snapshot<'r>(#[expect(dead_code, reason = "it is held")] Transaction<'r>);

impl JournalReader {
    /// Keeps what this reader sees as it is now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn hold_still(&self) -> Result<Snapshot<'_>, JournalError> {
        let transaction = self.connection.unchecked_transaction().map_err(|error| self.fault(error.into()))?;
        // The moment is that of the first question.
        self.changes_of_intents()?;
        Ok(Snapshot(transaction))
    }

    /// A number that grows with each event of an intent.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn changes_of_intents(&self) -> Result<i64, JournalError> {
        self.connection
            .query_row("SELECT count(*) FROM intent_events", [], |row| row.get(0))
            .map_err(|error| self.fault(error.into()))
    }

    /// How many slots have a row.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn slot_count(&self) -> Result<u64, JournalError> {
        self.connection
            .query_row("SELECT count(*) FROM slots", [], |row| row.get::<_, i64>(0))
            .map(i64::unsigned_abs)
            .map_err(|error| self.fault(error.into()))
    }

    /// Visits the slots that `filter` lets through, oldest first within a pipeline.
    ///
    /// # Errors
    /// When the file cannot be read, or the visitor's own.
    pub fn each_slot_of<E: From<JournalError>>(
        &self,
        filter: &Filter<'_>,
        visit: impl FnMut(Stored<SlotRecord>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (sql, values) = filter.query(&SELECT_SLOTS, "pipeline, slot_ms");
        self.visit(&sql, params_from_iter(values), stored_slot, visit)
    }

    /// Visits intents in the same way.
    ///
    /// # Errors
    /// When the file cannot be read, or the visitor's own.
    pub fn each_intent_of<E: From<JournalError>>(
        &self,
        filter: &Filter<'_>,
        visit: impl FnMut(Stored<Intent>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (sql, values) = filter.query(&SELECT_INTENTS, "pipeline, slot_ms, key");
        self.visit(&sql, params_from_iter(values), stored_intent, visit)
    }

    /// Sums of the slots that `filter` lets through, the largest first within a pipeline. It looks at no checksum.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn slot_tallies(&self, filter: &Filter<'_>) -> Result<Vec<SlotTally>, JournalError> {
        let (condition, values) = filter.condition();
        let sql = format!(
            "SELECT pipeline, reason, count(*) AS many, min(slot_ms), max(slot_ms) FROM slots{condition}
             GROUP BY pipeline, reason ORDER BY pipeline, many DESC, reason"
        );
        self.collect(&sql, params_from_iter(values), |row| {
            let known = |code: &str| Reason::from_code(code);
            let (reason, count, first, last) = tally(row, "reason", known)?;
            Ok(SlotTally { pipeline: row.get(0)?, reason, count, first, last })
        })
    }

    /// The same of intents, by state.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn intent_tallies(&self, filter: &Filter<'_>) -> Result<Vec<IntentTally>, JournalError> {
        let (condition, values) = filter.condition();
        let sql = format!(
            "SELECT pipeline, state, count(*) AS many, min(slot_ms), max(slot_ms) FROM intents{condition}
             GROUP BY pipeline, state ORDER BY pipeline, many DESC, state"
        );
        self.collect(&sql, params_from_iter(values), |row| {
            let (state, count, first, last) = tally(row, "state", IntentState::from_code)?;
            Ok(IntentTally { pipeline: row.get(0)?, state, count, first, last })
        })
    }
}

/// What is counted, how many, the first and the last slot.
fn tally<T>(
    row: &Row<'_>,
    column: &'static str,
    known: impl Fn(&str) -> Option<T>,
) -> Result<(T, u64, UtcMs, UtcMs), RowFault> {
    let code: String = row.get(1)?;
    let what = known(&code).ok_or_else(|| RowFault::Meaningless { column, text: code })?;
    Ok((what, row.get::<_, i64>(2)?.unsigned_abs(), UtcMs(row.get(3)?), UtcMs(row.get(4)?)))
}
