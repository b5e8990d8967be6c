//! The proof that a state directory keeps what the node promises: the journal against itself, against the schedule where
//! that is known, and against the venue's own record where there is one. For the demo and for every other directory.
//!
//! It reads and repairs nothing, takes no lock, and may be made while the node runs. Journal and venue know nothing of each
//! other and share no code.

mod compare;
mod disagreements;
pub mod ledger;
mod print;
pub mod venue;

use std::collections::BTreeMap;
use std::path::Path;

use sentinel_actors::domain::action::Receipt;
use sentinel_actors::domain::intent::{Intent, IntentState, Mode};
use sentinel_actors::domain::schedule::Schedule;
use sentinel_actors::domain::time::UtcMs;

use self::disagreements::{Disagreements, Kind};
use self::ledger::LedgerError;
use self::venue::{FORECASTS, Filled, LEDGER, Venue};
use crate::exit::{self, ExitError};
use crate::journal::{DueSlots, Filter, JournalError, JournalReader, Proof, Verified, proof_of};
use crate::venues::book::BookError;
use crate::venues::gateway::values::req_id;

/// A node that orders without a pause keeps changing both records while they are read; after this many reads the last counts.
const LOOKS: usize = 50;

/// What can keep the proof from being made.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the gateway's ledger cannot be read")]
    Ledger(#[from] LedgerError),
    #[error("the paper book cannot be read")]
    Book(#[from] BookError),
}

impl ExitError for ProofError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Journal(cause) => cause.exit_code(),
            Self::Ledger(_) | Self::Book(_) => exit::IO,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Journal(cause) => cause.advice(),
            Self::Ledger(_) | Self::Book(_) => None,
        }
    }
}

/// Which slots of a pipeline are due.
#[derive(Debug, Clone)]
pub struct Due {
    /// `None`: those that were announced.
    pub schedule: Option<Schedule>,
    /// The first one; `None`: the first one that has a row.
    pub first: Option<UtcMs>,
    /// The last one, once everything was to be run; `None`: the newest one that has a row. Later rows are looked at too.
    pub last: Option<UtcMs>,
}

/// What was found about one pipeline.
#[derive(Debug)]
pub struct PipelineProof {
    pub name: String,
    /// The first slot that was looked at.
    pub first: UtcMs,
    pub last: UtcMs,
    /// Whether its schedule was known; otherwise slots without a row cannot be found.
    pub by_schedule: bool,
    /// Slots and intents.
    pub slots: Proof,
}

/// What was found about one venue.
#[derive(Debug)]
pub struct VenueProof {
    pub kind: &'static str,
    pub file: String,
    pub filled: usize,
    /// Where it and the journal disagree.
    pub wrong: Disagreements,
}

/// Everything that was found about a state directory.
#[derive(Debug)]
pub struct StateProof {
    /// Checksums of all rows.
    pub rows: Verified,
    /// By name.
    pub pipelines: Vec<PipelineProof>,
    pub intents: BTreeMap<IntentState, u64>,
    /// Intents whose state does not follow from their events, and slots that name a missing intent.
    pub astray: Disagreements,
    pub venues: Vec<VenueProof>,
    /// Live orders that no record at hand can confirm.
    pub unconfirmed: u64,
}

impl StateProof {
    /// Whether nothing is wrong. An unknown order is no failure: the journal says truly that it is unknown.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.rows.damaged_rows == 0
            && self.astray.is_empty()
            && self.pipelines.iter().all(|pipeline| pipeline.slots.holds())
            && self.venues.iter().all(|venue| venue.wrong.is_empty())
    }
}

/// Proves the state directory `dir`, with what is known to be due, by pipeline, and the ledger of a gateway elsewhere.
///
/// # Errors
/// When the journal or a venue's record cannot be read.
pub fn prove(dir: &Path, due: &BTreeMap<String, Due>, ledger: Option<&Path>) -> Result<StateProof, ProofError> {
    let reader = JournalReader::open(dir)?;
    let venues = at_rest(&reader, &Venue::all(dir, ledger)?)?;
    let _still = reader.hold_still()?;
    let (intents, astray, live) = intents(&reader)?;
    let is_confirmed = venues.iter().any(|venue| venue.kind == LEDGER);
    Ok(StateProof {
        rows: reader.verify()?,
        pipelines: pipelines(&reader, due)?,
        intents,
        astray,
        venues,
        unconfirmed: if is_confirmed { 0 } else { live },
    })
}

/// Journal and venues are two files, and a node may order in between: then it is looked again.
fn at_rest(reader: &JournalReader, venues: &[Venue]) -> Result<Vec<VenueProof>, ProofError> {
    let mut before = reader.changes_of_intents()?;
    let mut proofs = look_at(reader, venues)?;
    for _ in 1..LOOKS {
        let now = reader.changes_of_intents()?;
        if now == before {
            break;
        }
        before = now;
        proofs = look_at(reader, venues)?;
    }
    Ok(proofs)
}

/// Orders of dialects without a comment are named by the id of their request, or by their ticket where they have none; from here on
/// as all others are.
fn name_by_intent(filled: &mut [Filled], intents: &BTreeMap<String, Intent>) {
    let ids = intents.iter().map(|(name, intent)| (req_id(&intent.key).to_string(), name));
    let tickets = intents.iter().filter_map(|(name, intent)| {
        let ticket = intent.receipt.as_ref().and_then(Receipt::ticket)?;
        Some((format!("ticket {ticket}"), name))
    });
    let names: BTreeMap<String, &String> = ids.chain(tickets).collect();
    for order in filled {
        if let Some(name) = names.get(&order.comment) {
            order.comment.clone_from(name);
        }
    }
}

fn look_at(reader: &JournalReader, venues: &[Venue]) -> Result<Vec<VenueProof>, ProofError> {
    let mut proofs = Vec::new();
    for venue in venues {
        let mut intents: BTreeMap<String, Intent> = BTreeMap::new();
        reader.each_intent_of::<JournalError>(&Filter::default(), |stored| {
            if stored.record.mode == venue.mode() {
                intents.insert(venue.name(&stored.record), stored.record);
            }
            Ok(())
        })?;
        let (forecasts, intents): (BTreeMap<_, _>, BTreeMap<_, _>) =
            intents.into_iter().partition(|(_, intent)| intent.action.forecast().is_some());
        let made = venue.forecasts()?;
        let file = venue.file().display().to_string();
        if !(made.is_empty() && forecasts.is_empty()) {
            let wrong = compare::compare_forecasts(&forecasts, &made);
            proofs.push(VenueProof { kind: FORECASTS, file: file.clone(), filled: made.len(), wrong });
        }
        let mut filled = venue.filled()?;
        name_by_intent(&mut filled, &intents);
        // A live run has a paper book too, and no orders in it.
        if filled.is_empty() && intents.is_empty() {
            continue;
        }
        let count = filled.len();
        let wrong = compare::compare(&intents, filled, &venue.open_positions()?);
        proofs.push(VenueProof { kind: venue.kind(), file, filled: count, wrong });
    }
    Ok(proofs)
}

fn pipelines(reader: &JournalReader, due: &BTreeMap<String, Due>) -> Result<Vec<PipelineProof>, ProofError> {
    let mut spans: BTreeMap<String, (UtcMs, UtcMs)> = BTreeMap::new();
    for tally in reader.slot_tallies(&Filter::default())? {
        let span = spans.entry(tally.pipeline).or_insert((tally.first, tally.last));
        *span = (span.0.min(tally.first), span.1.max(tally.last));
    }
    // All rows of a pipeline can be missing.
    for (name, due) in due {
        if let (Some(first), Some(last)) = (due.first, due.last) {
            spans.entry(name.clone()).or_insert((first, last));
        }
    }
    let prove = |(name, (first, newest)): (String, (UtcMs, UtcMs))| {
        let due = due.get(&name);
        let last = due.and_then(|due| due.last).map_or(newest, |last| last.max(newest));
        // Behind what retention has removed, the next due slot must have its row.
        let removed = reader.removed(&name)?.map(|removed| removed.until);
        let first = due.and_then(|due| due.first).or(removed).unwrap_or(first);
        let due_slots = match due {
            None => DueSlots::Unknown,
            Some(Due { schedule: None, .. }) => DueSlots::Announced,
            Some(Due { schedule: Some(schedule), .. }) => DueSlots::Grid(schedule),
        };
        let slots = proof_of(reader, &name, due_slots, first, last)?;
        Ok(PipelineProof { name, first, last, by_schedule: due.is_some(), slots })
    };
    spans.into_iter().map(prove).collect()
}

/// Intents by state, what is astray, and how many live orders there are.
type Intents = (BTreeMap<IntentState, u64>, Disagreements, u64);

fn intents(reader: &JournalReader) -> Result<Intents, ProofError> {
    let (mut states, mut astray, mut live) = (BTreeMap::new(), Disagreements::default(), 0);
    reader.each_intent_of::<ProofError>(&Filter::default(), |stored| {
        let intent = stored.record;
        *states.entry(intent.state).or_default() += 1;
        let is_live_order = intent.mode == Mode::Live && intent.order().is_some();
        live += u64::from(is_live_order && intent.state == IntentState::Acked);
        let leads_to = leads_to(reader, &intent)?;
        if leads_to != Some(intent.state) {
            let leads_to = leads_to.map_or("nowhere", IntentState::code);
            astray
                .add(Kind::State, || format!("{} is {}, but its events lead to {leads_to}", intent.key, intent.state));
        }
        Ok(())
    })?;
    reader.each_slot_of::<ProofError>(&Filter::default(), |stored| {
        for key in &stored.record.intents {
            if reader.intent(key)?.is_none() {
                let (pipeline, slot) = (&stored.record.pipeline, stored.record.slot);
                astray.add(Kind::Missing, || format!("{pipeline} {slot} names {key}, which is not there"));
            }
        }
        Ok(())
    })?;
    Ok((states, astray, live))
}

/// Where the events of an intent lead; `None` when they lead nowhere.
fn leads_to(reader: &JournalReader, intent: &Intent) -> Result<Option<IntentState>, ProofError> {
    let mut state = None;
    for step in reader.steps(&intent.key)? {
        state = match (state, step.record.event) {
            (None, None) => Some(IntentState::Planned),
            (Some(state), Some(event)) => match IntentState::after(state, &event) {
                Ok(next) => Some(next),
                Err(_) => return Ok(None),
            },
            _ => return Ok(None),
        };
    }
    Ok(state)
}
