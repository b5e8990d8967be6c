//! The questions that the node asks its journal, answered on the writer's connection: they see every earlier write.
//!
//! Promise kept: every row that an answer is made of was verified when it was read, and rows that must be there are there:
//! what a changed byte hides from a query is missed by [`Known`].

use std::time::Duration;

use rusqlite::{Connection, Params, params};
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::intent::{Intent, Mode};
use sentinel_actors::domain::risk::Exposure;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{JournalAnswer, JournalRead, Recovery};

use super::accounts;
use super::announced;
use super::known::{Known, Of};
use super::rows;
use super::tables::{REMOVED, RowFault, SELECT_INTENTS, SELECT_SLOTS};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Names of all pipelines that have rows. Hops from name to name in the primary key: a year of rows is never visited.
pub(super) const PIPELINES: &str = "WITH RECURSIVE names (name) AS (
         SELECT min(pipeline) FROM slots
         UNION ALL
         SELECT (SELECT min(pipeline) FROM slots WHERE pipeline > name) FROM names WHERE name IS NOT NULL
     ) SELECT name FROM names WHERE name IS NOT NULL";

pub(super) fn answer(connection: &Connection, known: &Known, asked: &JournalRead) -> Result<JournalAnswer, RowFault> {
    Ok(match asked {
        JournalRead::Recovery { pipeline } => {
            let recovery = recovery(connection, pipeline)?;
            known.agree_recovery(pipeline, &recovery)?;
            JournalAnswer::Recovery(recovery)
        }
        JournalRead::Announced { pipeline } => {
            JournalAnswer::Announced(announced::announced(connection, known, pipeline)?)
        }
        JournalRead::AnnouncedIds { pipeline, limit } => {
            JournalAnswer::Ids(announced::newest_ids(connection, pipeline, *limit)?)
        }
        JournalRead::AwaitingIntents { pipeline, account, limit } => {
            // The plus keeps SQLite on the partial index of what is awaited.
            // A score is a week away, and a window closes within minutes.
            let condition = "WHERE pipeline = ?1 AND awaits IS NOT NULL AND +account = ?2
                             ORDER BY awaits = 'score', slot_ms LIMIT ?3";
            JournalAnswer::Intents(intents(connection, condition, params![pipeline, account, limit])?)
        }
        JournalRead::Exposure { account, symbol, mode, now } => {
            JournalAnswer::Exposure(exposure(connection, known, (account, symbol, *mode), *now)?)
        }
        JournalRead::Account { account, mode } => {
            JournalAnswer::Account(Box::new(accounts::record(connection, known, account, *mode)?))
        }
        JournalRead::OpenIntents { pipeline } => {
            let open = intents(
                connection,
                "WHERE pipeline = ?1 AND state IN ('planned', 'sent', 'unknown', 'held') ORDER BY slot_ms, key",
                params![pipeline],
            )?;
            known.agree(&open, Of::Pipeline(pipeline), |intent| !intent.state.is_final())?;
            JournalAnswer::Intents(open)
        }
        JournalRead::AckedIntents { account, symbol, mode } => {
            let acked = intents(
                connection,
                "WHERE account = ?1 AND symbol = ?2 AND mode = ?3 AND state = 'acked' ORDER BY slot_ms, key",
                params![account, symbol, mode.code()],
            )?;
            known.agree_acked(&acked, (account, symbol, *mode))?;
            JournalAnswer::Intents(acked)
        }
        JournalRead::ExistingIntents { pipeline, basis, slot } => {
            let existing = intents(
                connection,
                "WHERE pipeline = ?1 AND (basis_ms = ?2 AND basis_kind = ?3 OR slot_ms = ?4 AND basis_kind NOT IN (?3, 'operator'))
                 ORDER BY slot_ms, key",
                params![pipeline, basis.time().0, basis.kind().code(), slot.0],
            )?;
            known.agree(&existing, Of::Pipeline(pipeline), |intent| {
                let is_other = intent.basis.kind() != basis.kind() && intent.basis.is_of_slot();
                let of_slot = intent.slot == *slot && is_other;
                intent.basis == *basis || of_slot
            })?;
            JournalAnswer::Intents(existing)
        }
    })
}

/// What a pipeline reads at its start.
pub(super) fn recovery(connection: &Connection, pipeline: &str) -> Result<Recovery, RowFault> {
    let intent = |order: &str| -> Result<Option<Intent>, RowFault> {
        // What an operator asked for says nothing of slots.
        let condition = format!("WHERE pipeline = ?1 AND basis_kind <> 'operator' ORDER BY {order} LIMIT 1");
        Ok(intents(connection, &condition, [pipeline])?.pop())
    };
    let newest_row = newest_slot(connection, pipeline)?;
    // A crash in the very first slot leaves an intent and no row: what was done must get its row.
    let last_slot = match newest_row {
        Some(row) => Some(row.slot),
        None => intent("slot_ms")?.map(|first| UtcMs(first.slot.0 - 1)),
    };
    let removed_bar = removed(connection, Some(pipeline))?.pop().and_then(|(_, decided_bar)| decided_bar);
    Ok(Recovery {
        last_slot,
        last_decided_bar: newest_decided(connection, pipeline)?.and_then(|row| row.decided_bar).max(removed_bar),
        newest_intent_basis: intent("basis_ms DESC")?.map(|newest| newest.basis.time()),
        newest_intent_slot: intent("slot_ms DESC")?.map(|newest| newest.slot),
    })
}

/// The newest row of a pipeline, but for withdrawn slots.
pub(super) fn newest_slot(connection: &Connection, pipeline: &str) -> Result<Option<SlotRecord>, RowFault> {
    slot(connection, "WHERE pipeline = ?1 AND reason <> 'withdrawn' ORDER BY slot_ms DESC LIMIT 1", pipeline)
}

/// The row of the newest bar that a pipeline decided.
pub(super) fn newest_decided(connection: &Connection, pipeline: &str) -> Result<Option<SlotRecord>, RowFault> {
    // A bar opens before its slot; version 2 wrote the slot's time for a recovered slot that decided itself.
    let newest = "WHERE pipeline = ?1 AND decided_bar_ms IS NOT NULL AND decided_bar_ms < slot_ms
                  ORDER BY decided_bar_ms DESC LIMIT 1";
    slot(connection, newest, pipeline)
}

/// The newest decided bar among the rows that retention has removed, of one pipeline or of each.
pub(super) fn removed(
    connection: &Connection,
    pipeline: Option<&str>,
) -> Result<Vec<(String, Option<UtcMs>)>, RowFault> {
    let sql = format!("{} WHERE pipeline = ?1 OR ?1 IS NULL", REMOVED.select());
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query([pipeline])?;
    let mut removed = Vec::new();
    while let Some(row) = found.next()? {
        REMOVED.require_intact(row)?;
        removed.push((row.get("pipeline")?, row.get::<_, Option<i64>>("decided_bar_ms")?.map(UtcMs)));
    }
    Ok(removed)
}

fn slot(connection: &Connection, condition: &str, pipeline: &str) -> Result<Option<SlotRecord>, RowFault> {
    let mut statement = connection.prepare_cached(&format!("{} {condition}", *SELECT_SLOTS))?;
    let mut found = statement.query([pipeline])?;
    found.next()?.map(rows::verified_slot).transpose()
}

/// Whatever may have reached the venue counts against the limits; closing a position does not.
fn exposure(connection: &Connection, known: &Known, of: (&str, &str, Mode), now: UtcMs) -> Result<Exposure, RowFault> {
    let (account, symbol, mode) = of;
    let since = now.minus(DAY);
    let openings = intents(
        connection,
        "WHERE account = ?1 AND symbol = ?2 AND mode = ?3 AND slot_ms > ?4
         AND role = 'open' AND state NOT IN ('planned', 'absent')",
        params![account, symbol, mode.code(), since.0],
    )?;
    known.agree_openings(&openings, of, since)?;
    let an_hour_ago = now.minus(HOUR);
    let count = |openings: usize| u32::try_from(openings).unwrap_or(u32::MAX);
    let open_intents = intents(
        connection,
        // The plus keeps SQLite on the partial index of open intents: there are few of them, and many settled ones.
        "WHERE state IN ('planned', 'sent', 'unknown', 'held') AND +account = ?1 AND +symbol = ?2 AND +mode = ?3
         AND side IS NOT NULL
         ORDER BY slot_ms, key",
        params![account, symbol, mode.code()],
    )?;
    known.agree(&open_intents, Of::Account(account, symbol, mode), |intent| {
        (intent.account.as_str(), intent.action.symbol(), intent.mode) == of
            && intent.order().is_some()
            && !intent.state.is_final()
    })?;
    Ok(Exposure {
        open_intents,
        orders_last_hour: count(openings.iter().filter(|intent| intent.slot > an_hour_ago).count()),
        orders_last_day: count(openings.len()),
    })
}

fn intents(connection: &Connection, condition: &str, params: impl Params) -> Result<Vec<Intent>, RowFault> {
    let mut statement = connection.prepare_cached(&format!("{} {condition}", *SELECT_INTENTS))?;
    let mut found = statement.query(params)?;
    let mut intents = Vec::new();
    while let Some(row) = found.next()? {
        intents.push(rows::verified_intent(row)?);
    }
    Ok(intents)
}
