//! Read-only questions for the command line, the boot record and the proof: beside a running node, or after it.
//!
//! A reader never writes, never checkpoints and needs no lock. It says of each row whether it is still what was written.

mod newest;
mod select;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, Params, Row, params};
use sentinel_actors::domain::announced::AnnouncedSlot;
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::halt::Halt;
use sentinel_actors::domain::intent::{Intent, IntentEvent, IntentKey, IntentState};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Recovery;

use super::accounts::KeptAccount;
use super::meta::{self, Meta};
use super::rows::{self, IntentStep};
use super::tables::{
    ACCOUNTS, EVENTS, HALTS, INTENTS, RowFault, SELECT_ACCOUNTS, SELECT_ANNOUNCED, SELECT_EVENTS, SELECT_HALTS,
    SELECT_INTENTS, SELECT_SLOTS, SELECT_STARTS, SLOTS, STARTS,
};
use super::{JOURNAL_FILE, JournalError, Removed, Start, accounts, halts, queries, retention, schema};

pub use self::newest::Newest;
pub use self::select::{Filter, IntentTally, SlotTally, Snapshot};

/// Steps of a question between two looks at whether it takes too long.
const STEPS: std::ffi::c_int = 1_000;
/// How long a bounded reader waits for a file that is locked.
const BUSY_FOR: Duration = Duration::from_millis(100);

/// A record as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    pub record: T,
    /// Whether its checksum still fits: `false` means that the row was changed by something else than a node.
    pub is_intact: bool,
}

/// What [`JournalReader::verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Rows whose checksum was computed.
    pub rows: u64,
    /// The rows whose checksum does not fit: table and key. At most [`Verified::LISTED`].
    pub damaged: Vec<String>,
    /// How many rows do not fit.
    pub damaged_rows: u64,
}

impl Verified {
    /// How many damaged rows are listed by name.
    pub const LISTED: usize = 20;
}

/// A read-only view of a journal.
pub struct JournalReader {
    connection: Connection,
    path: PathBuf,
}

impl JournalReader {
    /// Opens the journal of a state directory.
    ///
    /// # Errors
    /// When there is none, or it cannot be read by this program.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join(JOURNAL_FILE);
        Ok(Self { connection: schema::open_for_reading(&path)?, path })
    }

    /// Opens it for questions that are given up when they take too long: while one is answered, the file cannot be checkpointed.
    /// `is_over` says so; it is asked after every few steps.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_bounded(dir: &Path, is_over: impl FnMut() -> bool + Send + 'static) -> Result<Self, JournalError> {
        let Self { mut connection, path } = Self::open(dir)?;
        let set_up = |connection: &mut Connection| {
            connection.pragma_update(None, "query_only", true)?;
            // What it reads is read once, and its memory would stay with the node.
            connection.pragma_update(None, "cache_size", -64)?;
            connection.busy_timeout(BUSY_FOR)?;
            connection.progress_handler(STEPS, Some(is_over))
        };
        set_up(&mut connection).map_err(|error| JournalError::from_sqlite(&path, "setting it up", error))?;
        Ok(Self { connection, path })
    }

    /// Opens it also when an earlier version of this program has written it. Only what every version has may be asked of it:
    /// [`Self::id`], [`Self::accepted_losses`], [`Self::live_effects`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_before_upgrade(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join(JOURNAL_FILE);
        Ok(Self { connection: schema::open_any_for_reading(&path)?.0, path })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many slots were worked on, not counting missed ones.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn worked_slots(&self) -> Result<i64, JournalError> {
        let meta = Meta::load(&self.connection).map_err(|fault| self.fault(fault))?;
        Ok(meta.number(meta::WORKED).unwrap_or(0))
    }

    /// How often the operator accepted the loss of an earlier journal, and when last.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn accepted_losses(&self) -> Result<Option<(i64, UtcMs)>, JournalError> {
        let meta = Meta::load(&self.connection).map_err(|fault| self.fault(fault))?;
        Ok(meta.number(meta::LOSSES_ACCEPTED).zip(meta.number(meta::LOSS_ACCEPTED_MS).map(UtcMs)))
    }

    /// Names of all pipelines that have rows.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn pipelines(&self) -> Result<Vec<String>, JournalError> {
        self.collect(queries::PIPELINES, [], |row| Ok(row.get(0)?))
    }

    /// Newest slot of a pipeline that has a row.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn last_slot(&self, pipeline: &str) -> Result<Option<UtcMs>, JournalError> {
        self.connection
            .query_row("SELECT max(slot_ms) FROM slots WHERE pipeline = ?1", [pipeline], |row| row.get(0))
            .map(|slot: Option<i64>| slot.map(UtcMs))
            .map_err(|error| self.fault(error.into()))
    }

    /// What a pipeline would read at its start.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn recovery(&self, pipeline: &str) -> Result<Recovery, JournalError> {
        queries::recovery(&self.connection, pipeline).map_err(|fault| self.fault(fault))
    }

    /// The row of a slot.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn slot(&self, pipeline: &str, slot: UtcMs) -> Result<Option<Stored<SlotRecord>>, JournalError> {
        let sql = format!("{} WHERE pipeline = ?1 AND slot_ms = ?2", *SELECT_SLOTS);
        Ok(self.collect(&sql, params![pipeline, slot.0], stored_slot)?.pop())
    }

    /// The row of the slot that decided the bar which opened at `bar`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn slot_of_bar(&self, pipeline: &str, bar: UtcMs) -> Result<Option<Stored<SlotRecord>>, JournalError> {
        let sql = format!("{} WHERE pipeline = ?1 AND decided_bar_ms = ?2 ORDER BY slot_ms LIMIT 1", *SELECT_SLOTS);
        Ok(self.collect(&sql, params![pipeline, bar.0], stored_slot)?.pop())
    }

    /// Up to `count` slots before `time` and as many after it, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn slots_near(&self, pipeline: &str, time: UtcMs, count: u32) -> Result<Vec<(UtcMs, Reason)>, JournalError> {
        let near = |row: &Row<'_>| {
            let record = rows::slot_from(row)?;
            Ok((record.slot, record.reason))
        };
        let before = format!("{} WHERE pipeline = ?1 AND slot_ms < ?2 ORDER BY slot_ms DESC LIMIT ?3", *SELECT_SLOTS);
        let after = format!("{} WHERE pipeline = ?1 AND slot_ms > ?2 ORDER BY slot_ms LIMIT ?3", *SELECT_SLOTS);
        let mut slots = self.collect(&before, params![pipeline, time.0, count], near)?;
        slots.reverse();
        slots.extend(self.collect(&after, params![pipeline, time.0, count], near)?);
        Ok(slots)
    }

    /// Visits intents, oldest first within a pipeline; with `last` only the newest ones, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read, or the visitor's own.
    pub fn each_intent<E: From<JournalError>>(
        &self,
        pipeline: Option<&str>,
        last: Option<u32>,
        visit: impl FnMut(Stored<Intent>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each_intent_of(&Filter { pipeline, last, ..Filter::default() }, visit)
    }

    /// The intent with this key.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn intent(&self, key: &IntentKey) -> Result<Option<Stored<Intent>>, JournalError> {
        let sql = format!("{} WHERE key = ?1", *SELECT_INTENTS);
        Ok(self.collect(&sql, [key.as_str()], stored_intent)?.pop())
    }

    /// Intents that are neither acked, rejected nor absent, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open_intents(&self) -> Result<Vec<Intent>, JournalError> {
        let sql =
            format!("{} WHERE state IN ('planned', 'sent', 'unknown', 'held') ORDER BY slot_ms, key", *SELECT_INTENTS);
        self.collect(&sql, [], rows::intent_from)
    }

    /// Its id; a journal of an early version has none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn id(&self) -> Result<Option<String>, JournalError> {
        let meta = Meta::load(&self.connection).map_err(|fault| self.fault(fault))?;
        Ok(meta.text(meta::ID).map(str::to_owned))
    }

    /// How many live effects may have left that open a position, or are forecasts; and how many of them are neither confirmed nor
    /// refused.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn live_effects(&self) -> Result<(u32, u32), JournalError> {
        let sql = "SELECT count(*), coalesce(sum(state IN ('sent', 'unknown', 'held')), 0) FROM intents
                   WHERE mode = 'live' AND role IN ('open', 'forecast') AND state NOT IN ('planned', 'absent')";
        Ok(self.collect(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?.pop().unwrap_or_default())
    }

    /// Intents whose first cycle was that of one of the slots from `first` to `last`, both included.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn intents_between(
        &self,
        pipeline: &str,
        first: UtcMs,
        last: UtcMs,
    ) -> Result<Vec<Stored<Intent>>, JournalError> {
        let sql =
            format!("{} WHERE pipeline = ?1 AND slot_ms BETWEEN ?2 AND ?3 ORDER BY slot_ms, key", *SELECT_INTENTS);
        self.collect(&sql, params![pipeline, first.0, last.0], stored_intent)
    }

    /// Visits the slots from `first` to `last`, both included, oldest first.
    pub(super) fn each_slot_between(
        &self,
        pipeline: &str,
        first: UtcMs,
        last: UtcMs,
        mut visit: impl FnMut(Stored<SlotRecord>),
    ) -> Result<(), JournalError> {
        let sql = format!("{} WHERE pipeline = ?1 AND slot_ms BETWEEN ?2 AND ?3 ORDER BY slot_ms", *SELECT_SLOTS);
        self.visit(&sql, params![pipeline, first.0, last.0], stored_slot, |slot| {
            visit(slot);
            Ok(())
        })
    }

    /// How the slot was announced; `None` when it was not.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn announced(&self, pipeline: &str, slot: UtcMs) -> Result<Option<AnnouncedSlot>, JournalError> {
        Ok(self.announced_between(pipeline, slot, slot)?.pop())
    }

    /// Announced slots from `first` to `last`, both included, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn announced_between(
        &self,
        pipeline: &str,
        first: UtcMs,
        last: UtcMs,
    ) -> Result<Vec<AnnouncedSlot>, JournalError> {
        let sql = format!("{} WHERE pipeline = ?1 AND slot_ms BETWEEN ?2 AND ?3 ORDER BY slot_ms", *SELECT_ANNOUNCED);
        self.collect(&sql, params![pipeline, first.0, last.0], rows::announced_from)
    }

    /// The newest slot of a pipeline that was not withdrawn: a withdrawn one has its row before it is due.
    pub(super) fn newest_not_withdrawn(&self, pipeline: &str) -> Result<Option<UtcMs>, JournalError> {
        let sql =
            "SELECT slot_ms FROM slots WHERE pipeline = ?1 AND reason <> 'withdrawn' ORDER BY slot_ms DESC LIMIT 1";
        Ok(self.collect(sql, [pipeline], |row| Ok(UtcMs(row.get(0)?)))?.pop())
    }

    /// What happened to an intent, in order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn steps(&self, key: &IntentKey) -> Result<Vec<Stored<IntentStep>>, JournalError> {
        let sql = format!("{} WHERE key = ?1 ORDER BY number", *SELECT_EVENTS);
        self.collect(&sql, [key.as_str()], |row| {
            Ok(Stored { record: rows::step_from(row)?, is_intact: EVENTS.is_intact(row)? })
        })
    }

    /// How an order or forecast that was unknown when its slot ended was settled later: acked, rejected or absent. `None` for
    /// every other slot, and as long as one of its intents is open.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn settled_later(&self, slot: &SlotRecord) -> Result<Option<IntentState>, JournalError> {
        if !matches!(slot.reason, Reason::OrderUnknown | Reason::ForecastUnknown) {
            return Ok(None);
        }
        let mut settled = None;
        for key in &slot.intents {
            let Some(Stored { record: intent, .. }) = self.intent(key)? else { continue };
            if !intent.state.is_final() {
                return Ok(None);
            }
            let was_lost = self.steps(key)?.into_iter().any(|step| {
                let lost = matches!(step.record.event, Some(IntentEvent::LostTrack { .. }));
                lost || step.record.at.is_some_and(|at| at > slot.ended_at)
            });
            if was_lost {
                // What was done weighs most; the order of the states is that of their declaration.
                settled = Some(settled.map_or(intent.state, |other: IntentState| other.min(intent.state)));
            }
        }
        Ok(settled)
    }

    /// All halts, those that were lifted too, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn halts(&self) -> Result<Vec<Stored<Halt>>, JournalError> {
        self.collect(&format!("{} ORDER BY number", *SELECT_HALTS), [], |row| {
            Ok(Stored { record: halts::halt_from(row)?, is_intact: HALTS.is_intact(row)? })
        })
    }

    /// What losses are counted from, of each mode and account.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn accounts(&self) -> Result<Vec<Stored<KeptAccount>>, JournalError> {
        self.collect(&SELECT_ACCOUNTS, [], |row| {
            Ok(Stored { record: accounts::account_from(row)?, is_intact: ACCOUNTS.is_intact(row)? })
        })
    }

    /// What retention has removed of a pipeline.
    ///
    /// # Errors
    /// When the file cannot be read, or this row of it was changed.
    pub fn removed(&self, pipeline: &str) -> Result<Option<Removed>, JournalError> {
        retention::removed(&self.connection, pipeline).map_err(|fault| self.fault(fault))
    }

    /// The start of the node with this number.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn start(&self, number: i64) -> Result<Option<Stored<Start>>, JournalError> {
        let sql = format!("{} WHERE number = ?1", *SELECT_STARTS);
        let read = |row: &Row<'_>| Ok(Stored { record: rows::start_from(row)?, is_intact: STARTS.is_intact(row)? });
        Ok(self.collect(&sql, [number], read)?.pop())
    }

    /// Computes the checksum of every row.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn verify(&self) -> Result<Verified, JournalError> {
        let mut verified = Verified::default();
        for table in super::tables::TABLES {
            self.visit(
                &table.select(),
                [],
                |row| Ok(if table.is_intact(row)? { None } else { Some(table.key_of(row)?) }),
                |damaged| -> Result<(), JournalError> {
                    verified.rows += 1;
                    if let Some(name) = damaged {
                        verified.damaged_rows += 1;
                        if verified.damaged.len() < Verified::LISTED {
                            verified.damaged.push(name);
                        }
                    }
                    Ok(())
                },
            )?;
        }
        Ok(verified)
    }

    fn collect<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl Fn(&Row<'_>) -> Result<T, RowFault>,
    ) -> Result<Vec<T>, JournalError> {
        let mut all = Vec::new();
        self.visit(sql, params, read, |item| -> Result<(), JournalError> {
            all.push(item);
            Ok(())
        })?;
        Ok(all)
    }

    fn visit<T, E: From<JournalError>>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl Fn(&Row<'_>) -> Result<T, RowFault>,
        mut visit: impl FnMut(T) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| self.fault(error.into()))?;
        let mut found = statement.query(params).map_err(|error| self.fault(error.into()))?;
        while let Some(row) = found.next().map_err(|error| self.fault(error.into()))? {
            visit(read(row).map_err(|fault| self.fault(fault))?)?;
        }
        Ok(())
    }

    fn fault(&self, fault: RowFault) -> JournalError {
        JournalError::from_row(&self.path, "reading it", fault)
    }
}

fn stored_slot(row: &Row<'_>) -> Result<Stored<SlotRecord>, RowFault> {
    Ok(Stored { record: rows::slot_from(row)?, is_intact: SLOTS.is_intact(row)? })
}

fn stored_intent(row: &Row<'_>) -> Result<Stored<Intent>, RowFault> {
    Ok(Stored { record: rows::intent_from(row)?, is_intact: INTENTS.is_intact(row)? })
}
