//! Announced slots: written once per id, each at a time of its own, and open until they have a row.
//!
//! Promises kept: the first announcement of an id stands; a slot has one time and so one row; what is announced again after
//! retention has removed it is not due again.

use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use sentinel_actors::domain::announced::{AnnouncedSlot, Announcement};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Announced;

use super::known::Known;
use super::tables::{ANNOUNCED, INSERT_ANNOUNCED, RowFault, SELECT_ANNOUNCED, sealed};
use super::{retention, rows};

/// Writes what is new among `announced`.
pub(super) fn announce(
    connection: &Connection,
    known: &mut Known,
    pipeline: &str,
    announced: Vec<Announcement>,
    at: UtcMs,
) -> Result<(), RowFault> {
    let removed_until = retention::removed(connection, pipeline)?.map(|removed| removed.until);
    for announcement in announced {
        let is_removed = removed_until.is_some_and(|until| announcement.opens() <= until);
        if is_removed || is_known(connection, pipeline, announcement.id())? {
            continue;
        }
        let mut slot = announcement.opens();
        while is_taken(connection, pipeline, slot)? {
            slot = UtcMs(slot.0 + 1);
        }
        let id = announcement.id().to_owned();
        let new = AnnouncedSlot { slot, closes: announcement.closes(), id, announced_at: at };
        let values = sealed(rows::announced_values(pipeline, &new));
        connection.prepare_cached(&INSERT_ANNOUNCED)?.execute(params_from_iter(values))?;
        known.note_announced(pipeline, new, true);
    }
    Ok(())
}

fn is_known(connection: &Connection, pipeline: &str, id: &str) -> Result<bool, RowFault> {
    let sql = "SELECT 1 FROM announced_slots WHERE pipeline = ?1 AND id = ?2";
    Ok(connection.prepare_cached(sql)?.exists(params![pipeline, id])?)
}

/// Whether another slot of the pipeline has this time.
fn is_taken(connection: &Connection, pipeline: &str, slot: UtcMs) -> Result<bool, RowFault> {
    let sql = "SELECT 1 FROM announced_slots WHERE pipeline = ?1 AND slot_ms = ?2
               UNION ALL SELECT 1 FROM slots WHERE pipeline = ?1 AND slot_ms = ?2";
    Ok(connection.prepare_cached(sql)?.exists(params![pipeline, slot.0])?)
}

/// The announced slots of a pipeline. Which ones are open the writer knows by itself: a year of ended ones is not visited.
pub(super) fn announced(connection: &Connection, known: &Known, pipeline: &str) -> Result<Announced, RowFault> {
    let (newest, open) = known.announced(pipeline);
    let sql = format!("{} WHERE pipeline = ?1 AND slot_ms = ?2", *SELECT_ANNOUNCED);
    let mut statement = connection.prepare_cached(&sql)?;
    for slot in &open {
        let found = statement.query_row(params![pipeline, slot.slot.0], |row| Ok(verified(row))).optional()?;
        if found.transpose()?.as_ref() != Some(slot) {
            let row = format!("{} {pipeline} {}", ANNOUNCED.name, slot.slot.0);
            return Err(RowFault::damaged(row, "it is not what was written, or not there"));
        }
    }
    Ok(Announced { newest, open })
}

/// The ids of the newest slots, at most `limit`, oldest first.
pub(super) fn newest_ids(connection: &Connection, pipeline: &str, limit: u32) -> Result<Vec<String>, RowFault> {
    let sql = format!("{} WHERE pipeline = ?1 ORDER BY slot_ms DESC LIMIT ?2", *SELECT_ANNOUNCED);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params![pipeline, limit])?;
    let mut ids = Vec::new();
    while let Some(row) = found.next()? {
        ids.push(verified(row)?.id);
    }
    ids.reverse();
    Ok(ids)
}

/// Reads an announced slot that the node acts on.
fn verified(row: &Row<'_>) -> Result<AnnouncedSlot, RowFault> {
    ANNOUNCED.require_intact(row)?;
    rows::announced_from(row)
}

/// Takes in all announced slots at a start. Those of the rows must be known already.
pub(super) fn audit(connection: &Connection, known: &mut Known) -> Result<(), RowFault> {
    let mut has_row = connection.prepare("SELECT 1 FROM slots WHERE pipeline = ?1 AND slot_ms = ?2")?;
    let mut statement = connection.prepare(&SELECT_ANNOUNCED)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let slot = verified(row)?;
        let pipeline: String = row.get("pipeline")?;
        let is_open = !has_row.exists(params![pipeline, slot.slot.0])?;
        known.note_announced(&pipeline, slot, is_open);
    }
    Ok(())
}
