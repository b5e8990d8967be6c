//! Applies one batch of writes inside an open transaction.
//!
//! Promises kept here: the first row of a slot stands, the first intent of a key stands, an intent moves only as its
//! machine allows, a ticket confirms one live order of an account, and a row is amended as `domain::amend` says. A write
//! that cannot be done says so in its answer; only a failing disk fails the batch.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::{Connection, params, params_from_iter};
use sentinel_actors::domain::amend::{amend_ended, amend_missed};
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::intent::{Intent, IntentEvent, IntentKey, IntentState};
use sentinel_actors::domain::order::Ticket;
use sentinel_actors::domain::schedule::Schedule;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{JournalWrite, Written};

use super::accounts;
use super::announced;
use super::halts;
use super::known::{Known, Of};
use super::meta::{self, Meta};
use super::retention;
use super::rows::{self, IntentStep};
use super::tables::{
    INSERT_EVENT, INSERT_INTENT, INSERT_SLOT, REPLACE_INTENT, RowFault, SELECT_EVENTS, SELECT_INTENTS, sealed,
};

/// Applies `batch` in order, but for the entries of `meta`, which wait to be saved. Slots are written under the start with
/// this number; of their pipelines, some of what is older than `retention` is removed.
pub(super) fn batch(
    connection: &Connection,
    (known, meta): (&mut Known, &mut Meta),
    batch: Vec<JournalWrite>,
    start: Option<i64>,
    retention: Option<Duration>,
) -> Result<Vec<Written>, RowFault> {
    let mut written = Vec::with_capacity(batch.len());
    let mut worked = 0_i64;
    let mut newest: BTreeMap<String, UtcMs> = BTreeMap::new();
    for write in batch {
        written.push(match write {
            JournalWrite::EndSlot(mut record) => {
                record.start = start;
                if retention.is_some() {
                    newest.insert(record.pipeline.clone(), record.slot);
                }
                let was_worked_on = record.attempts > 0;
                worked += i64::from(end_slot(connection, known, *record)? && was_worked_on);
                Written::Done
            }
            JournalWrite::MissSlots { pipeline, mode, schedule, after, until, reason, noted_at } => {
                let mut missed = SlotRecord::new(&pipeline, after, mode, reason, noted_at);
                missed.start = start;
                if retention.is_some() {
                    newest.insert(pipeline, until);
                }
                miss_slots(connection, known, missed, &schedule, after, until)?
            }
            JournalWrite::Announce { pipeline, announced, at } => {
                announced::announce(connection, known, &pipeline, announced, at)?;
                Written::Done
            }
            JournalWrite::Raise(new) => halts::raise(connection, known, *new)?,
            JournalWrite::Lift { id, lifted } => halts::lift(connection, known, id, lifted)?,
            JournalWrite::Account(write) => accounts::keep(connection, known, *write)?,
            JournalWrite::Plan(intent) => {
                let contradicted = contradicted(&intent.key);
                plan(connection, known, *intent).map_err(contradicted)?
            }
            JournalWrite::Advance { key, event, at } => {
                advance(connection, known, &key, event, at).map_err(contradicted(&key))?
            }
        });
    }
    if let Some(retention) = retention {
        retention::remove_old(connection, &newest, retention)?;
    }
    if worked > 0 {
        meta.add(meta::WORKED, worked);
    }
    Ok(written)
}

/// No write of an intact journal meets a constraint: its table and its indices contradict each other then.
fn contradicted(key: &IntentKey) -> impl FnOnce(RowFault) -> RowFault + use<> {
    let row = format!("intents {key}");
    move |fault| match fault {
        RowFault::Sqlite(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
            RowFault::damaged(row, error.to_string())
        }
        other => other,
    }
}

/// Says whether the row is new; the first row of a slot stands.
fn insert_slot(connection: &Connection, known: &mut Known, record: &SlotRecord) -> Result<bool, RowFault> {
    let values = sealed(rows::slot_values(record));
    let is_new = connection.prepare_cached(&INSERT_SLOT)?.execute(params_from_iter(values))? > 0;
    if is_new {
        known.note_slot(record);
    }
    Ok(is_new)
}

/// The row names every order that may have left, whatever its cycle reports.
fn end_slot(connection: &Connection, known: &mut Known, mut record: SlotRecord) -> Result<bool, RowFault> {
    let mut intents = intents_of(connection, known, &record.pipeline, UtcMs(record.slot.0 - 1), record.slot)?;
    let intents = intents.remove(&record.slot).unwrap_or_default();
    amend_ended(&mut record, &intents);
    insert_slot(connection, known, &record)
}

fn miss_slots(
    connection: &Connection,
    known: &mut Known,
    mut missed: SlotRecord,
    schedule: &Schedule,
    after: UtcMs,
    until: UtcMs,
) -> Result<Written, RowFault> {
    let mut intents = intents_of(connection, known, &missed.pipeline, after, until)?;
    for slot in schedule.slots(after, until) {
        missed.slot = slot;
        let Some(intents) = intents.remove(&slot) else {
            insert_slot(connection, known, &missed)?;
            continue;
        };
        let mut record = missed.clone();
        amend_missed(&mut record, &intents);
        insert_slot(connection, known, &record)?;
    }
    Ok(Written::Done)
}

/// The intents that slots in `(after, until]` decided, in one question.
fn intents_of(
    connection: &Connection,
    known: &Known,
    pipeline: &str,
    after: UtcMs,
    until: UtcMs,
) -> Result<BTreeMap<UtcMs, Vec<Intent>>, RowFault> {
    let sql = format!(
        "{} WHERE pipeline = ?1 AND slot_ms > ?2 AND slot_ms <= ?3 AND basis_kind <> 'operator' ORDER BY slot_ms",
        *SELECT_INTENTS
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params![pipeline, after.0, until.0])?;
    let mut intents = Vec::new();
    while let Some(row) = found.next()? {
        intents.push(rows::verified_intent(row)?);
    }
    known.agree(&intents, Of::Pipeline(pipeline), |intent| {
        intent.basis.is_of_slot() && after < intent.slot && intent.slot <= until
    })?;
    let mut by_slot: BTreeMap<UtcMs, Vec<Intent>> = BTreeMap::new();
    for intent in intents {
        by_slot.entry(intent.slot).or_default().push(intent);
    }
    Ok(by_slot)
}

fn find_intent(connection: &Connection, key: &IntentKey) -> Result<Option<Intent>, RowFault> {
    let sql = format!("{} WHERE key = ?1", *SELECT_INTENTS);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query([key.as_str()])?;
    found.next()?.map(rows::verified_intent).transpose()
}

/// The intent that keeps this one from being written: the same key, or another key of the same decision, as an older
/// version derived it.
fn find_standing(connection: &Connection, intent: &Intent) -> Result<Option<Intent>, RowFault> {
    if let Some(existing) = find_intent(connection, &intent.key)? {
        return Ok(Some(existing));
    }
    let sql = format!(
        "{} WHERE pipeline = ?1 AND basis_ms = ?2 AND basis_kind = ?3 AND role = ?4 AND account = ?5 AND mode = ?6",
        *SELECT_INTENTS
    );
    let (time, kind) = (intent.basis.time().0, intent.basis.kind().code());
    let (role, mode) = (intent.action.role(), intent.mode.code());
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params![intent.pipeline, time, kind, role, intent.account, mode])?;
    found.next()?.map(rows::verified_intent).transpose()
}

fn plan(connection: &Connection, known: &mut Known, mut intent: Intent) -> Result<Written, RowFault> {
    (intent.state, intent.receipt, intent.awaits) = (IntentState::Planned, None, None);
    (intent.grade, intent.listed, intent.venue_note) = (None, None, None);
    let values = sealed(rows::intent_values(&intent));
    let inserted = connection.prepare_cached(&INSERT_INTENT)?.execute(params_from_iter(values))?;
    if inserted == 0 {
        let neither = || RowFault::damaged(format!("intents {}", intent.key), "it can be neither written nor found");
        let existing = find_standing(connection, &intent)?.ok_or_else(neither)?;
        let of = Of::Pipeline(&existing.pipeline);
        known.agree(std::slice::from_ref(&existing), of, |known| known.key == existing.key)?;
        return Ok(Written::Exists(Box::new(existing)));
    }
    known.require_new(&intent)?;
    append_step(connection, &intent.key, 0, &IntentStep { at: None, event: None })?;
    known.note_planned(&intent);
    Ok(Written::Done)
}

fn append_step(connection: &Connection, key: &IntentKey, number: i64, step: &IntentStep) -> Result<(), RowFault> {
    let values = sealed(rows::step_values(key, number, step));
    connection.prepare_cached(&INSERT_EVENT)?.execute(params_from_iter(values))?;
    Ok(())
}

fn advance(
    connection: &Connection,
    known: &mut Known,
    key: &IntentKey,
    event: IntentEvent,
    at: UtcMs,
) -> Result<Written, RowFault> {
    let found = find_intent(connection, key)?;
    // What the file does not have may be known of any pipeline.
    let of = found.as_ref().map_or(Of::All, |found| Of::Pipeline(&found.pipeline));
    known.agree(found.as_slice(), of, |intent| intent.key == *key)?;
    let Some(mut intent) = found else {
        return Ok(Written::Refused(format!("there is no intent {key}")));
    };
    let (number, last) = last_step(connection, key)?;
    let before = intent.clone();
    match intent.take(&event) {
        Ok(()) => {}
        Err(_) if last.is_some_and(|last| repeats(&last, &event)) => return Ok(Written::Done),
        Err(illegal) => return Ok(Written::Refused(illegal.to_string())),
    }
    if let Some(receipt) = event.receipt() {
        if !receipt.fits(&intent.action) {
            return Ok(Written::Refused(format!("{receipt} cannot be about {}", intent.action)));
        }
        if let Some(ticket) = receipt.ticket().filter(|_| !before.is_seen_closed(&event)) {
            let confirmed = confirmed_as(connection, &before, ticket)?;
            if let Some(owner) = before.ticket_owner(ticket, &confirmed) {
                return Ok(Written::TicketTaken(owner.key.clone()));
            }
        }
    }
    let values = sealed(rows::intent_values(&intent));
    connection.prepare_cached(&REPLACE_INTENT)?.execute(params_from_iter(values))?;
    append_step(connection, key, number + 1, &IntentStep { at: Some(at), event: Some(event) })?;
    known.note_advanced(&intent);
    Ok(Written::Done)
}

/// The confirmed orders of the intent's account that carry this ticket.
fn confirmed_as(connection: &Connection, intent: &Intent, ticket: Ticket) -> Result<Vec<Intent>, RowFault> {
    let sql = format!("{} WHERE account = ?1 AND mode = ?2 AND ticket = ?3", *SELECT_INTENTS);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params![intent.account, intent.mode.code(), ticket.0.to_string()])?;
    let mut confirmed = Vec::new();
    while let Some(row) = found.next()? {
        confirmed.push(rows::verified_intent(row)?);
    }
    Ok(confirmed)
}

fn last_step(connection: &Connection, key: &IntentKey) -> Result<(i64, Option<IntentEvent>), RowFault> {
    let sql = format!("{} WHERE key = ?1 ORDER BY number DESC LIMIT 1", *SELECT_EVENTS);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query([key.as_str()])?;
    match found.next()? {
        None => Ok((-1, None)),
        Some(row) => {
            let (number, step) = rows::verified_step(row)?;
            Ok((number, step.event))
        }
    }
}

/// Whether `event` says once more what `last` said; the wording of evidence may differ.
///
/// A second `Send` is never a repetition: answering it with "done" would be the licence to submit a second time.
fn repeats(last: &IntentEvent, event: &IntentEvent) -> bool {
    use IntentEvent as E;
    match (last, event) {
        (last, event) if last.is_send() && event.is_send() => false,
        (E::Acked { .. }, E::Acked { .. })
        | (E::Found { .. }, E::Found { .. })
        | (E::Rejected { .. }, E::Rejected { .. }) => last == event,
        (E::Noted { fact: said }, E::Noted { fact }) => said.code() == fact.code(),
        _ => last.name() == event.name(),
    }
}
