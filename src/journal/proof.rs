//! The proof that the journal keeps the node's first promise for one pipeline: each due slot has exactly one row, the
//! outcomes add up, and the rows do not contradict the intents.
//!
//! It reads; it repairs nothing. What the venue says is for someone else to compare with [`Proof::acked`].

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use sentinel_actors::domain::action::{Action, Receipt};
use sentinel_actors::domain::announced::AnnouncedSlot;
use sentinel_actors::domain::intent::{Intent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::{Fill, Role, Side};
use sentinel_actors::domain::reason::Outcome;
use sentinel_actors::domain::schedule::Schedule;
use sentinel_actors::domain::time::UtcMs;
use serde::Serialize;

use super::{JournalError, JournalReader};

/// A pipeline learns of an announced slot within this, once it is in the journal.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
/// How many holes are listed.
const LISTED: usize = 20;

/// An order that the venue confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proven {
    pub key: IntentKey,
    pub mode: Mode,
    pub slot: UtcMs,
    /// Open, or the close of a position.
    pub role: Role,
    pub side: Side,
    /// The confirmation, with the ticket; `None` when the operator settled it.
    pub receipt: Option<Fill>,
}

/// What the journal holds about the slots from the first to the last one, both included.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Proof {
    /// Slots that the schedule makes due, and those that were announced.
    pub due: u64,
    /// Announced slots that may still be open: they have no row, and no later one has. They are not due yet.
    pub announced_open: u64,
    /// Slots up to this one were removed by retention; they are neither due here nor counted.
    pub removed_until: Option<UtcMs>,
    pub rows: u64,
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Due slots without a row.
    pub holes: u64,
    pub first_holes: Vec<UtcMs>,
    /// Rows of slots that are not due.
    pub strays: u64,
    /// Rows and intents whose checksum does not fit.
    pub damaged: u64,
    /// Slots that are not `acted` although an order of theirs was confirmed.
    pub contradictions: u64,
    pub intents: BTreeMap<IntentState, u64>,
    /// Intents that are not final.
    pub open: u64,
    /// Confirmed forecasts.
    pub forecasts: u64,
    /// Confirmed orders, oldest first.
    pub acked: Vec<Proven>,
}

impl Proof {
    /// Whether every due slot has exactly one intact row and none contradicts an intent. Open intents are no failure: the
    /// journal says truly that they are open.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.due == self.outcomes.values().sum::<u64>()
            && self.rows == self.due
            && self.holes + self.strays + self.damaged + self.contradictions == 0
    }

    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or(0)
    }
}

/// Proves the slots of `pipeline` from `first` to `last`, both included. Rows that retention has removed cannot be proven:
/// slots are looked at from the first one on that must have a row, and intents all the same.
///
/// # Errors
/// When the journal cannot be read.
pub fn proof(
    dir: &Path,
    pipeline: &str,
    schedule: &Schedule,
    first: UtcMs,
    last: UtcMs,
) -> Result<Proof, JournalError> {
    proof_of(&JournalReader::open(dir)?, pipeline, DueSlots::Grid(schedule), first, last)
}

/// What is known of the slots that were due.
#[derive(Debug, Clone, Copy)]
pub enum DueSlots<'a> {
    /// Nothing: every row counts as due.
    Unknown,
    /// Those that were announced, and no others.
    Announced,
    /// Those of a grid.
    Grid(&'a Schedule),
}

/// The same with an open reader.
///
/// # Errors
/// When the journal cannot be read.
pub fn proof_of(
    reader: &JournalReader,
    pipeline: &str,
    due_slots: DueSlots<'_>,
    first: UtcMs,
    last: UtcMs,
) -> Result<Proof, JournalError> {
    let removed_until = reader.removed(pipeline)?.map(|removed| removed.until).filter(|until| *until >= first);
    let before_first = removed_until.unwrap_or(UtcMs(first.0.saturating_sub(1)));
    let mut proof = Proof { removed_until, ..Proof::default() };
    let mut acted = std::collections::BTreeSet::new();
    let schedule = match due_slots {
        DueSlots::Grid(schedule) => Some(schedule),
        DueSlots::Unknown | DueSlots::Announced => None,
    };
    let mut due = schedule.map(|schedule| schedule.slots(before_first, last)).into_iter().flatten().peekable();
    let announced = reader.announced_between(pipeline, UtcMs(before_first.0.saturating_add(1)), last)?;
    let over_at = |slot: &AnnouncedSlot| slot.closes.max(slot.announced_at).plus(NOTICED_WITHIN);
    let mut announced: BTreeMap<UtcMs, UtcMs> = announced.iter().map(|slot| (slot.slot, over_at(slot))).collect();

    reader.each_slot_between(pipeline, first, last, |row| {
        let slot = row.record.slot;
        while let Some(hole) = due.next_if(|due| *due < slot) {
            proof.note_hole(hole);
        }
        // The primary key admits one row per slot, so that a row is the next due one, an announced one, or a stray.
        let is_due = due.next_if_eq(&slot).is_some();
        let was_announced = announced.remove(&slot).is_some();
        if is_due || was_announced || matches!(due_slots, DueSlots::Unknown) {
            proof.due += 1;
        } else {
            proof.strays += 1;
        }
        proof.rows += 1;
        proof.damaged += u64::from(!row.is_intact);
        let outcome = row.record.outcome();
        *proof.outcomes.entry(outcome).or_default() += 1;
        if outcome == Outcome::Acted {
            acted.insert(slot);
        }
    })?;
    due.for_each(|hole| proof.note_hole(hole));
    // Rows are written in order, but for those of withdrawn slots: one that was known and over before the newest one has its row.
    let newest = reader.newest_not_withdrawn(pipeline)?;
    for (slot, over_at) in announced {
        if newest.is_some_and(|newest| over_at < newest) {
            proof.note_hole(slot);
        } else {
            proof.announced_open += 1;
        }
    }

    for intent in reader.intents_between(pipeline, first, last)? {
        proof.damaged += u64::from(!intent.is_intact);
        // What a removed row said is not known any more, and no row reports what an operator asked for.
        let was_acted = removed_until.is_some_and(|until| intent.record.slot <= until)
            || acted.contains(&intent.record.slot)
            || !intent.record.basis.is_of_slot();
        proof.note_intent(intent.record, was_acted);
    }
    Ok(proof)
}

impl Proof {
    fn note_hole(&mut self, slot: UtcMs) {
        self.holes += 1;
        self.due += 1;
        if self.first_holes.len() < LISTED {
            self.first_holes.push(slot);
        }
    }

    fn note_intent(&mut self, intent: Intent, was_acted: bool) {
        *self.intents.entry(intent.state).or_default() += 1;
        self.open += u64::from(!intent.state.is_final());
        if intent.state != IntentState::Acked {
            return;
        }
        self.contradictions += u64::from(!was_acted);
        let (key, mode, slot) = (intent.key, intent.mode, intent.slot);
        match intent.action {
            Action::Order(order) => {
                let receipt = intent.receipt.as_ref().and_then(Receipt::fill).cloned();
                self.acked.push(Proven { key, mode, slot, role: order.role, side: order.side, receipt });
            }
            Action::Forecast(_) => self.forecasts += 1,
        }
    }
}
