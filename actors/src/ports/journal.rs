//! The journal's storage: what is written, what is asked, and what the answers mean.

use super::PortFuture;
use crate::domain::account_risk::{AccountBaselines, AccountRecord};
use crate::domain::announced::{AnnouncedSlot, Announcement};
use crate::domain::cycle::SlotRecord;
use crate::domain::halt::{Halt, HaltId, Lifted, NewHalt};
use crate::domain::intent::{Basis, Intent, IntentEvent, IntentKey, Mode};
use crate::domain::reason::Reason;
use crate::domain::risk::Exposure;
use crate::domain::schedule::Schedule;
use crate::domain::time::UtcMs;

/// One change of the journal. A batch of them is one transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum JournalWrite {
    /// The end of a slot. Writing the same slot again changes nothing: the first row is kept.
    EndSlot(Box<SlotRecord>),
    /// Every slot of `schedule` in `(after, until]` that has no row ends as missed. Slots that have an intent get the
    /// intent's ending instead: an order that was sent is never reported as missed.
    MissSlots {
        pipeline: String,
        mode: Mode,
        schedule: Schedule,
        /// Exclusive.
        after: UtcMs,
        /// Inclusive.
        until: UtcMs,
        reason: Reason,
        /// Schedule time of the note.
        noted_at: UtcMs,
    },
    /// Announced slots. The first announcement of an id stands, and so does the row of a slot that has ended.
    Announce {
        pipeline: String,
        announced: Vec<Announcement>,
        /// Schedule time.
        at: UtcMs,
    },
    /// A new intent in state `planned`.
    Plan(Box<Intent>),
    /// A transition of an intent.
    Advance { key: IntentKey, event: IntentEvent, at: UtcMs },
    /// A new halt. The answer is the halt of this request, also when an earlier one has raised it.
    Raise(Box<NewHalt>),
    /// The end of a halt. The answer is the halt, with who has lifted it first.
    Lift { id: HaltId, lifted: Lifted },
    /// What losses of an account are counted from.
    Account(Box<AccountWrite>),
}

/// New baselines of an account, and the halt that they call for. Both are written, or neither: nothing when the baselines are not of
/// the revision that they were made from. Writing the same again changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountWrite {
    pub mode: Mode,
    pub account: String,
    /// The revision that these were made from; `None`: there were none.
    pub from: Option<u64>,
    pub baselines: AccountBaselines,
    pub halt: Option<NewHalt>,
}

impl JournalWrite {
    /// How many rows it adds or changes.
    #[must_use]
    pub fn rows(&self) -> u64 {
        match self {
            Self::MissSlots { schedule, after, until, .. } => schedule.count(*after, *until),
            Self::Announce { announced, .. } => announced.len() as u64,
            Self::EndSlot(_) | Self::Plan(_) | Self::Advance { .. } | Self::Raise(_) | Self::Lift { .. } => 1,
            Self::Account(write) => 1 + u64::from(write.halt.is_some()),
        }
    }
}

/// The result of one write, once its batch is durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    Done,
    /// The key exists already, with this intent.
    Exists(Box<Intent>),
    /// The intent's state does not allow this event; nothing was changed.
    Refused(String),
    /// The receipt's ticket already confirmed the order of this key, so it confirms nothing; nothing was changed.
    TicketTaken(IntentKey),
    /// The halt as it is now.
    Halt(Box<Halt>),
}

/// A query to the journal. Reads see every write that was queued before them.
#[derive(Debug, Clone, PartialEq)]
pub enum JournalRead {
    /// What a pipeline has to know at its start.
    Recovery { pipeline: String },
    /// Announced slots of a pipeline.
    Announced { pipeline: String },
    /// The ids of its newest announced slots, at most so many, oldest first.
    AnnouncedIds { pipeline: String, limit: u32 },
    /// Open intents and recent orders of an account and symbol.
    Exposure { account: String, symbol: String, mode: Mode, now: UtcMs },
    /// Intents of a pipeline that are not final.
    OpenIntents { pipeline: String },
    /// Confirmed forecasts of a pipeline about which their ledger has more to say: those that await only their score come last, and
    /// older ones before newer ones.
    AwaitingIntents {
        pipeline: String,
        /// That of the sink: a pipeline that has changed its account leaves those of the other one alone.
        account: String,
        /// At most so many.
        limit: u32,
    },
    /// Confirmed orders of an account and symbol, oldest first: what a position is derived from.
    AckedIntents { account: String, symbol: String, mode: Mode },
    /// What losses of an account are counted from, and how far its orders have got.
    Account { account: String, mode: Mode },
    /// Intents of one decision, in any state, written by an earlier run of the same cycle. Includes those that the cycle of the
    /// same slot wrote with the other kind of basis: a slot acts once, even if the configuration changed in between.
    ExistingIntents {
        pipeline: String,
        /// Decided bar or slot.
        basis: Basis,
        /// Slot of the cycle that asks.
        slot: UtcMs,
    },
}

/// What a pipeline reads from the journal at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Every slot of a grid up to and including this instant is accounted for: the newest slot that has a row, but for withdrawn
    /// ones, whose row may come before they are due. Without any row it is the instant before the first slot that has an intent,
    /// so that sent orders get their row.
    pub last_slot: Option<UtcMs>,
    /// Newest bar that was decided.
    pub last_decided_bar: Option<UtcMs>,
    /// Newest time of a decision (bar or slot) that has an intent.
    pub newest_intent_basis: Option<UtcMs>,
    /// Newest slot whose cycle wrote an intent.
    pub newest_intent_slot: Option<UtcMs>,
}

impl Recovery {
    /// The newest slot that schedule time had reached for certain: all are accounted for up to `accounted`, and an intent may have
    /// become an order of a later one. A market that has seen an order sees no time before its slot.
    #[must_use]
    pub fn reached(&self, accounted: UtcMs) -> UtcMs {
        self.newest_intent_slot.map_or(accounted, |slot| slot.max(accounted))
    }
}

/// The announced slots of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Announced {
    /// The newest one, with or without a row.
    pub newest: Option<UtcMs>,
    /// Those without a row, oldest first.
    pub open: Vec<AnnouncedSlot>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum JournalAnswer {
    Recovery(Recovery),
    Announced(Announced),
    /// To [`JournalRead::AnnouncedIds`].
    Ids(Vec<String>),
    Exposure(Exposure),
    Account(Box<AccountRecord>),
    /// To [`JournalRead::OpenIntents`], [`JournalRead::AwaitingIntents`], [`JournalRead::AckedIntents`] and [`JournalRead::ExistingIntents`].
    Intents(Vec<Intent>),
}

/// The journal's disk failed. After this no order may leave: the page cache may show data that is not on the disk.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the journal cannot be written: {0}")]
pub struct JournalFatal(pub String);

/// The journal's storage. One caller at a time; the Journal actor groups writes into batches.
pub trait JournalStore: Send + Sync {
    /// Applies a batch in order, in one transaction, and returns when it is durable.
    fn commit(&self, batch: Vec<JournalWrite>) -> PortFuture<'_, Result<Vec<Written>, JournalFatal>>;

    /// Reads from what is committed.
    fn read(&self, query: JournalRead) -> PortFuture<'_, Result<JournalAnswer, JournalFatal>>;

    /// Answers several queries in order.
    fn read_all(&self, queries: Vec<JournalRead>) -> PortFuture<'_, Result<Vec<JournalAnswer>, JournalFatal>> {
        Box::pin(async move {
            let mut answers = Vec::with_capacity(queries.len());
            for query in queries {
                answers.push(self.read(query).await?);
            }
            Ok(answers)
        })
    }
}
