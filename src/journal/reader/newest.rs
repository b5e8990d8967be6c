//! The newest rows of a pipeline: their cost depends on how many are asked for, and never on how long the node has run.

use rusqlite::types::Value;
use rusqlite::{Row, params, params_from_iter};
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::halt::Halt;
use sentinel_actors::domain::intent::{IntentState, Mode};
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;

use super::{JournalReader, RowFault, SELECT_HALTS, SELECT_SLOTS, Stored, stored_slot};
use crate::journal::{JournalError, halts};

/// What is wanted of the newest slots of a pipeline.
#[derive(Debug, Clone, Copy, Default)]
pub struct Newest {
    /// At most so many.
    pub count: u32,
    pub outcome: Option<Outcome>,
    pub reason: Option<Reason>,
}

impl JournalReader {
    /// The newest slots of a pipeline, newest first. Those of one outcome or reason are looked for in the newest `Self::LOOKED_AT`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn newest_slots(&self, pipeline: &str, newest: Newest) -> Result<Vec<Stored<SlotRecord>>, JournalError> {
        let select = format!("{} WHERE pipeline = ? ORDER BY slot_ms DESC LIMIT ?", *SELECT_SLOTS);
        let conditions = [
            newest.outcome.map(|outcome| ("outcome = ?", outcome.code())),
            newest.reason.map(|reason| ("reason = ?", reason.code())),
        ];
        let conditions: Vec<(&str, &str)> = conditions.into_iter().flatten().collect();
        let mut values = vec![Value::Text(pipeline.to_owned())];
        if conditions.is_empty() {
            values.push(Value::Integer(newest.count.into()));
            return self.collect(&select, params_from_iter(values), stored_slot);
        }
        let terms: Vec<&str> = conditions.iter().map(|(term, _)| *term).collect();
        let sql = format!("SELECT * FROM ({select}) WHERE {} ORDER BY slot_ms DESC LIMIT ?", terms.join(" AND "));
        values.push(Value::Integer(Self::LOOKED_AT.into()));
        values.extend(conditions.iter().map(|(_, code)| Value::Text((*code).to_owned())));
        values.push(Value::Integer(newest.count.into()));
        self.collect(&sql, params_from_iter(values), stored_slot)
    }

    /// In so many slots of a pipeline those of one outcome or reason are looked for.
    pub const LOOKED_AT: u32 = 2_000;

    /// How the newest slots of a pipeline ended, newest first. It looks at no checksum.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn newest_reasons(&self, pipeline: &str, count: u32) -> Result<Vec<(UtcMs, Reason)>, JournalError> {
        let sql = "SELECT slot_ms, reason FROM slots WHERE pipeline = ?1 ORDER BY slot_ms DESC LIMIT ?2";
        self.collect(sql, params![pipeline, count], |row: &Row<'_>| {
            let code: String = row.get(1)?;
            let reason = Reason::from_code(&code).ok_or(RowFault::Meaningless { column: "reason", text: code })?;
            Ok((UtcMs(row.get(0)?), reason))
        })
    }

    /// What the venue has noted with the newest confirmed order of a symbol on an account. It looks at no checksum.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn newest_note(&self, account: &str, symbol: &str) -> Result<Option<String>, JournalError> {
        let sql = "SELECT venue_note FROM intents WHERE account = ?1 AND symbol = ?2 AND mode = ?3 AND state = ?4 \
                   AND venue_note IS NOT NULL ORDER BY slot_ms DESC LIMIT 1";
        let confirmed = params![account, symbol, Mode::Live.code(), IntentState::Acked.code()];
        Ok(self.collect(sql, confirmed, |row: &Row<'_>| Ok(row.get(0)?))?.pop())
    }

    /// The newest halts, those that were lifted too, newest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn newest_halts(&self, count: u32) -> Result<Vec<Halt>, JournalError> {
        self.collect(&format!("{} ORDER BY number DESC LIMIT ?1", *SELECT_HALTS), [count], halts::halt_from)
    }
}
