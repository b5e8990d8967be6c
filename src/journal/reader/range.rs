//! Rows of a range, a few at a time: whoever works on them for long must not hold a question open, which keeps the file from being
//! checkpointed.

use rusqlite::params;
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::time::UtcMs;

use super::{JournalReader, Stored, stored_slot};
use crate::journal::tables::SELECT_SLOTS;
use crate::journal::{JournalError, queries};

impl JournalReader {
    /// Up to `count` rows of the slots from `first` on and before `end`, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn slots_from(
        &self,
        pipeline: &str,
        first: UtcMs,
        end: UtcMs,
        count: u32,
    ) -> Result<Vec<Stored<SlotRecord>>, JournalError> {
        let sql = format!(
            "{} WHERE pipeline = ?1 AND slot_ms >= ?2 AND slot_ms < ?3 ORDER BY slot_ms LIMIT ?4",
            *SELECT_SLOTS
        );
        self.collect(&sql, params![pipeline, first.0, end.0, count], stored_slot)
    }

    /// Open time of the newest bar that a slot before `slot` decided.
    ///
    /// # Errors
    /// When the file cannot be read, or what retention has removed was changed.
    pub fn decided_before(&self, pipeline: &str, slot: UtcMs) -> Result<Option<UtcMs>, JournalError> {
        // A bar opens before its slot: a recovered slot that decided itself has the slot's time there.
        let sql = "SELECT max(decided_bar_ms) FROM slots
                   WHERE pipeline = ?1 AND slot_ms < ?2 AND decided_bar_ms < slot_ms";
        let newest = self.collect(sql, params![pipeline, slot.0], |row| Ok(row.get::<_, Option<i64>>(0)?))?.pop();
        let kept = newest.flatten().map(UtcMs);
        let removed = queries::removed(&self.connection, Some(pipeline)).map_err(|fault| self.fault(fault))?;
        let removed = removed.into_iter().filter_map(|(_, decided)| decided).max();
        Ok(kept.max(removed.filter(|decided| *decided < slot)))
    }
}
