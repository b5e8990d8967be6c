//! Opens the journal that its state directory remembers, and only that one.
//!
//! Promise kept: a journal that was emptied, cut off, replaced or put back from a backup is refused before anything is written
//! to it. A person who has compared the account by hand may accept the loss; the journal gets a new id then, and keeps a note.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::held::Held;
use super::known::Known;
use super::mark::{MARK_FILE, Mark, Progress};
use super::meta::{self, Meta};
use super::tables::RowFault;
use super::{JOURNAL_FILE, JournalError, Loss, Recovered, StoreOptions, audit, schema};

/// An open journal and what belongs to it.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) known: Known,
    pub(super) meta: Meta,
    pub(super) mark: Mark,
    pub(super) held: Held,
    /// As the mark has it, once it is noted.
    pub(super) progress: Progress,
}

/// Opens or creates the journal at `path` in the state directory `dir`.
pub(super) fn open(dir: &Path, path: &Path, options: &StoreOptions) -> Result<(Opened, Recovered), JournalError> {
    let (remembered, mut loss) = match remembered(dir) {
        Ok(remembered) => (remembered, None),
        Err(JournalError::Lost { loss, .. }) => (None, Some(loss)),
        Err(other) => return Err(other),
    };
    if loss.is_none() {
        loss = gone(path, remembered.as_ref());
    }
    let accepts = options.accept_lost.is_some();
    let admit = |loss: Option<&Loss>| match loss {
        Some(loss) if !accepts => Err(JournalError::Lost { path: path.to_owned(), loss: loss.clone() }),
        _ => Ok(()),
    };
    // Before SQLite sees the file: it would begin a new one and clean up beside it.
    admit(loss.as_ref())?;
    let opened = schema::open_for_writing(path, options.max_pages, |connection, version| {
        if loss.is_none() {
            loss = missing(connection, version, remembered.as_ref()).map_err(|fault| row_fault(path, fault))?;
        }
        if accepts && loss.is_none() {
            return Err(JournalError::NothingLost { path: path.to_owned() });
        }
        admit(loss.as_ref())
    });
    let (connection, mut recovered) = opened?;
    let known = audit::audit(&connection, recovered.checked_whole_file).map_err(|fault| row_fault(path, fault))?;
    let mut meta = Meta::load(&connection).map_err(|fault| row_fault(path, fault))?;
    let is_named = meta.text(meta::ID).is_some();
    if is_named {
        all_there(&known, &meta).map_err(|fault| row_fault(path, fault))?;
    }
    recovered.open_intents = known.open_count();
    recovered.halts = known.standing().to_vec();
    recovered.mark_was_missing = is_named && loss.is_none() && remembered.is_none();
    if !is_named || loss.is_some() {
        let accepted_at = options.accept_lost.filter(|_| loss.is_some()).map(|at| at.0);
        name(&connection, &known, &mut meta, accepted_at).map_err(|fault| row_fault(path, fault))?;
    }
    recovered.accepted_loss = loss;
    let progress = progress(&meta).unwrap_or_else(|| Progress { id: "".into(), commits: 0 });
    let mark = match remembered {
        Some(remembered) if remembered.id == progress.id => Mark::open(dir),
        _ => Mark::create(dir, &progress),
    };
    let mark = mark.map_err(|source| JournalError::Io { path: dir.join(MARK_FILE), action: "opening it", source })?;
    let held = Held::new(path, &mark)?;
    Ok((Opened { connection, known, meta, mark, held, progress }, recovered))
}

/// Whether the journal in `dir` is the one that is remembered there, for commands that change something beside it. A node may
/// be running.
///
/// # Errors
/// When it is not, or cannot be read.
pub fn require_remembered(dir: &Path) -> Result<(), JournalError> {
    let path = dir.join(JOURNAL_FILE);
    // First: a node that commits meanwhile is ahead of what was remembered, never behind.
    let remembered = remembered(dir)?;
    let lost = |loss| JournalError::Lost { path: path.clone(), loss };
    if let Some(loss) = gone(&path, remembered.as_ref()) {
        return Err(lost(loss));
    }
    let Some(remembered) = remembered else { return Ok(()) };
    let connection = match schema::open_for_reading(&path) {
        Err(JournalError::Missing { .. }) => return Err(lost(Loss::Gone { commits: remembered.commits })),
        opened => opened?,
    };
    let loss = missing(&connection, schema::SCHEMA_VERSION, Some(&remembered));
    loss.map_err(|fault| row_fault(&path, fault))?.map_or(Ok(()), |loss| Err(lost(loss)))
}

pub(super) fn row_fault(path: &Path, fault: RowFault) -> JournalError {
    JournalError::from_row(path, "verifying its rows", fault)
}

fn remembered(dir: &Path) -> Result<Option<Progress>, JournalError> {
    let mark = dir.join(MARK_FILE);
    Mark::read(dir).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData => {
            JournalError::Lost { path: dir.join(JOURNAL_FILE), loss: Loss::Unreadable { mark } }
        }
        _ => JournalError::Io { path: mark, action: "reading it", source },
    })
}

/// Whether there is no file where one is remembered.
fn gone(path: &Path, remembered: Option<&Progress>) -> Option<Loss> {
    let is_there = std::fs::metadata(path).is_ok_and(|found| found.len() > 0);
    remembered.filter(|_| !is_there).map(|remembered| Loss::Gone { commits: remembered.commits })
}

/// What a file lacks of what is remembered.
fn missing(connection: &Connection, version: i64, remembered: Option<&Progress>) -> Result<Option<Loss>, RowFault> {
    let Some(Progress { id, commits }) = remembered else { return Ok(None) };
    let commits = *commits;
    if version == 0 {
        return Ok(Some(Loss::Gone { commits }));
    }
    Ok(match progress(&Meta::load(connection)?) {
        Some(found) if found.id == *id && found.commits >= commits => None,
        Some(found) if found.id == *id => Some(Loss::Younger { have: found.commits, commits }),
        _ => Some(Loss::Another { commits }),
    })
}

pub(super) fn progress(meta: &Meta) -> Option<Progress> {
    let id = Arc::from(meta.text(meta::ID)?);
    Some(Progress { id, commits: meta.number(meta::COMMITS).unwrap_or(0) })
}

/// Rows that are gone together with their events are missed by their number.
pub(super) fn all_there(known: &Known, meta: &Meta) -> Result<(), RowFault> {
    let counted = [
        (meta::INTENTS, known.intents),
        (meta::EVENTS, known.events),
        (meta::HALTS, known.halts),
        (meta::ACCOUNTS, known.losses.count()),
    ];
    for (name, have) in counted {
        let written = meta.number(name).unwrap_or(0);
        if written != have {
            return Err(RowFault::damaged(name, format!("{have} rows are found, {written} were written")));
        }
    }
    Ok(())
}

/// Gives a journal an id of its own.
fn name(
    connection: &Connection,
    known: &Known,
    meta: &mut Meta,
    loss_accepted_ms: Option<i64>,
) -> Result<(), RowFault> {
    let id = connection.query_row("SELECT lower(hex(randomblob(8)))", [], |row| row.get(0))?;
    meta.set(meta::ID, Value::Text(id));
    meta.set(meta::INTENTS, Value::Integer(known.intents));
    meta.set(meta::EVENTS, Value::Integer(known.events));
    meta.set(meta::HALTS, Value::Integer(known.halts));
    meta.set(meta::ACCOUNTS, Value::Integer(known.losses.count()));
    meta.add(meta::COMMITS, 1);
    if let Some(at) = loss_accepted_ms {
        meta.add(meta::LOSSES_ACCEPTED, 1);
        meta.set(meta::LOSS_ACCEPTED_MS, Value::Integer(at));
    }
    let transaction = connection.unchecked_transaction()?;
    meta.save(&transaction)?;
    Ok(transaction.commit()?)
}
