//! The questions that the node asks its journal, answered on the writer's connection: they see every earlier write.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Params, params};
use sentinel_actors::domain::intent::{Intent, Mode};
use sentinel_actors::domain::risk::Exposure;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{JournalAnswer, JournalRead, Recovery};

use super::rows::{self, RowFault, SELECT_INTENTS};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Answers one question.
pub(super) fn answer(connection: &Connection, question: &JournalRead) -> Result<JournalAnswer, RowFault> {
    Ok(match question {
        JournalRead::Recovery { pipeline } => JournalAnswer::Recovery(recovery(connection, pipeline)?),
        JournalRead::Exposure { account, symbol, mode, now } => {
            JournalAnswer::Exposure(exposure(connection, account, symbol, *mode, *now)?)
        }
        JournalRead::OpenIntents { pipeline } => JournalAnswer::Intents(intents(
            connection,
            "WHERE pipeline = ?1 AND state IN ('planned', 'sent', 'unknown', 'held') ORDER BY slot_ms, key",
            params![pipeline],
        )?),
        JournalRead::AckedIntents { account, symbol, mode } => JournalAnswer::Intents(intents(
            connection,
            "WHERE account = ?1 AND symbol = ?2 AND mode = ?3 AND state = 'acked' ORDER BY slot_ms, key",
            params![account, symbol, mode.code()],
        )?),
        JournalRead::StandingIntents { pipeline, basis, slot } => JournalAnswer::Intents(intents(
            connection,
            "WHERE pipeline = ?1 AND (basis_ms = ?2 AND basis_kind = ?3 OR slot_ms = ?4 AND basis_kind <> ?3)
             ORDER BY slot_ms, key",
            params![pipeline, basis.time().0, basis.kind().code(), slot.0],
        )?),
    })
}

fn recovery(connection: &Connection, pipeline: &str) -> Result<Recovery, RowFault> {
    let newest = |sql: &str| -> Result<Option<UtcMs>, RowFault> {
        let mut statement = connection.prepare_cached(sql)?;
        Ok(statement.query_row([pipeline], |row| row.get(0)).optional()?.map(UtcMs))
    };
    let newest_row = newest("SELECT slot_ms FROM slots WHERE pipeline = ?1 ORDER BY slot_ms DESC LIMIT 1")?;
    // A crash in the very first slot leaves an intent and no row: what was done must get its row.
    let first_intent = || newest("SELECT slot_ms - 1 FROM intents WHERE pipeline = ?1 ORDER BY slot_ms LIMIT 1");
    Ok(Recovery {
        last_slot: newest_row.map_or_else(first_intent, |slot| Ok(Some(slot)))?,
        last_decided_bar: newest(
            // A bar opens before its slot; version 2 wrote the slot's time for a recovered slot that decided itself.
            "SELECT decided_bar_ms FROM slots WHERE pipeline = ?1 AND decided_bar_ms IS NOT NULL
             AND decided_bar_ms < slot_ms ORDER BY decided_bar_ms DESC LIMIT 1",
        )?,
        newest_intent_basis: newest("SELECT basis_ms FROM intents WHERE pipeline = ?1 ORDER BY basis_ms DESC LIMIT 1")?,
        newest_intent_slot: newest("SELECT slot_ms FROM intents WHERE pipeline = ?1 ORDER BY slot_ms DESC LIMIT 1")?,
    })
}

/// Whatever may have reached the venue counts against the limits; closing a position does not.
fn exposure(
    connection: &Connection,
    account: &str,
    symbol: &str,
    mode: Mode,
    now: UtcMs,
) -> Result<Exposure, RowFault> {
    let mut count = connection.prepare_cached(
        "SELECT count(*) FROM intents WHERE account = ?1 AND symbol = ?2 AND mode = ?3 AND slot_ms > ?4
         AND role = 'open' AND state NOT IN ('planned', 'absent')",
    )?;
    let mut since = |age: Duration| -> Result<u32, RowFault> {
        Ok(count.query_row(params![account, symbol, mode.code(), now.minus(age).0], |row| row.get(0))?)
    };
    let (orders_last_hour, orders_last_day) = (since(HOUR)?, since(DAY)?);
    let open_intents = intents(
        connection,
        // The plus keeps SQLite on the partial index of open intents: there are few of them, and many settled ones.
        "WHERE state IN ('planned', 'sent', 'unknown', 'held') AND +account = ?1 AND +symbol = ?2 AND +mode = ?3
         ORDER BY slot_ms, key",
        params![account, symbol, mode.code()],
    )?;
    Ok(Exposure { open_intents, orders_last_hour, orders_last_day })
}

fn intents(connection: &Connection, condition: &str, params: impl Params) -> Result<Vec<Intent>, RowFault> {
    let mut statement = connection.prepare_cached(&format!("{} {condition}", *SELECT_INTENTS))?;
    let mut found = statement.query(params)?;
    let mut intents = Vec::new();
    while let Some(row) = found.next()? {
        intents.push(rows::intent_from(row)?);
    }
    Ok(intents)
}
