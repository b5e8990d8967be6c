//! Old slots are removed, when the configuration says so: a few with each commit, never in one long transaction.
//!
//! Promises kept: intents and their events are never removed, so that positions, limits and open orders count as before.
//! The newest row of a pipeline stays, and so does everything from the slot of its oldest open order on, and from its oldest
//! announced slot without a row. What is removed is always everything before a slot, and the journal says before which one: a
//! missing row is still a hole.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};
use sentinel_actors::domain::time::UtcMs;

use super::rows;
use super::tables::{INSERT_REMOVED, REMOVED, RowFault, SELECT_REMOVED, SELECT_SLOTS, sealed};

/// Most rows that one commit removes. A commit adds one or two, so that years of rows are gone within days.
pub(super) const ROWS_A_COMMIT: u32 = 200;

/// What retention has removed of one pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Newest slot whose row was removed; every older row was, too.
    pub until: UtcMs,
    /// Rows that were removed.
    pub slots: i64,
    /// Newest bar that one of them decided.
    pub decided_bar: Option<UtcMs>,
}

/// Removes rows of the pipelines that have just got one, whose newest slots are `newest`.
pub(super) fn remove_old(
    connection: &Connection,
    newest: &BTreeMap<String, UtcMs>,
    retention: Duration,
) -> Result<(), RowFault> {
    let mut left = ROWS_A_COMMIT;
    for (pipeline, newest) in newest {
        left -= remove_of(connection, pipeline, newest.minus(retention), left)?;
        if left == 0 {
            break;
        }
    }
    Ok(())
}

fn remove_of(connection: &Connection, pipeline: &str, before: UtcMs, most: u32) -> Result<u32, RowFault> {
    let Some(before) = bound(connection, pipeline, before)? else { return Ok(0) };
    let oldest = format!("{} WHERE pipeline = ?1 AND slot_ms < ?2 ORDER BY slot_ms LIMIT ?3", *SELECT_SLOTS);
    let mut statement = connection.prepare_cached(&oldest)?;
    let mut found = statement.query(params![pipeline, before.0, most])?;
    let (mut count, mut until, mut decided_bar) = (0, None, None);
    while let Some(row) = found.next()? {
        // What is remembered of it must be what was written.
        let record = rows::verified_slot(row)?;
        count += 1;
        until = Some(record.slot);
        decided_bar = decided_bar.max(record.decided_bar.filter(|bar| *bar < record.slot));
    }
    let Some(until) = until else { return Ok(0) };
    connection
        .prepare_cached("DELETE FROM slots WHERE pipeline = ?1 AND slot_ms <= ?2")?
        .execute(params![pipeline, until.0])?;
    connection
        .prepare_cached("DELETE FROM announced_slots WHERE pipeline = ?1 AND slot_ms <= ?2")?
        .execute(params![pipeline, until.0])?;
    let before = removed(connection, pipeline)?;
    let (slots, earlier_bar) = before.map_or((0, None), |before| (before.slots, before.decided_bar));
    let now = Removed { until, slots: slots + i64::from(count), decided_bar: decided_bar.max(earlier_bar) };
    let values = sealed(rows::removed_values(pipeline, &now));
    connection.prepare_cached(&INSERT_REMOVED)?.execute(params_from_iter(values))?;
    Ok(count)
}

/// Nothing from there on may be removed; `None` when nothing is that old.
fn bound(connection: &Connection, pipeline: &str, before: UtcMs) -> Result<Option<UtcMs>, RowFault> {
    let first = |sql: &str| -> Result<Option<UtcMs>, RowFault> {
        Ok(connection.prepare_cached(sql)?.query_row([pipeline], |row| row.get(0)).optional()?.map(UtcMs))
    };
    let oldest = first("SELECT slot_ms FROM slots WHERE pipeline = ?1 ORDER BY slot_ms LIMIT 1")?;
    if oldest.is_none_or(|oldest| oldest >= before) {
        return Ok(None);
    }
    let newest = first("SELECT slot_ms FROM slots WHERE pipeline = ?1 ORDER BY slot_ms DESC LIMIT 1")?;
    let open = first(
        "SELECT slot_ms FROM intents WHERE pipeline = ?1 AND state IN ('planned', 'sent', 'unknown', 'held')
         ORDER BY slot_ms LIMIT 1",
    )?;
    let announced = first(
        "SELECT slot_ms FROM announced_slots AS announced WHERE pipeline = ?1 AND NOT EXISTS (
             SELECT 1 FROM slots WHERE slots.pipeline = announced.pipeline AND slots.slot_ms = announced.slot_ms)
         ORDER BY slot_ms LIMIT 1",
    )?;
    Ok([Some(before), newest, open, announced].into_iter().flatten().min())
}

/// What was removed of a pipeline so far.
pub(super) fn removed(connection: &Connection, pipeline: &str) -> Result<Option<Removed>, RowFault> {
    let sql = format!("{} WHERE pipeline = ?1", *SELECT_REMOVED);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query([pipeline])?;
    let Some(row) = found.next()? else { return Ok(None) };
    REMOVED.require_intact(row)?;
    rows::removed_from(row).map(Some)
}
