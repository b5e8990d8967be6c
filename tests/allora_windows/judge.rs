//! What the journal says about each window, beside what the chain has.

use std::collections::{BTreeMap, BTreeSet};

use sentinel::journal::{Filter, JournalError, JournalReader, Stored};
use sentinel_actors::domain::announced::AnnouncedSlot;
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::fact::Fact;
use sentinel_actors::domain::intent::{Intent, IntentEvent, IntentState};
use sentinel_actors::domain::time::UtcMs;
use sentinel_testbed::chain::{Admission, Effect, Purpose, Submission, Truth};

use super::ports::NAME;
use super::world::{EPOCH, TOPIC, World};

/// What was said about one window.
struct Told {
    slot: AnnouncedSlot,
    row: Option<SlotRecord>,
    intents: Vec<(Intent, Vec<Fact>)>,
}

fn told(world: &World) -> Option<BTreeMap<i64, Told>> {
    let reader = JournalReader::open(world.dir.path()).ok()?;
    let announced = reader.announced_between(NAME, UtcMs(0), UtcMs(i64::MAX)).ok()?;
    let mut windows: BTreeMap<i64, Told> = BTreeMap::new();
    for slot in announced {
        let row = reader.slot(NAME, slot.slot).ok()?.map(|row| row.record);
        let nonce = slot.id.parse().unwrap();
        assert!(windows.insert(nonce, Told { slot, row, intents: Vec::new() }).is_none(), "{nonce} is announced twice");
    }
    let mut intents: Vec<Intent> = Vec::new();
    let visit = |intent: Stored<Intent>| {
        intents.push(intent.record);
        Ok(())
    };
    reader.each_intent_of::<JournalError>(&Filter::default(), visit).ok()?;
    for intent in intents {
        let fact = |step: Stored<sentinel::journal::IntentStep>| match step.record.event {
            Some(IntentEvent::Noted { fact }) => Some(fact),
            _ => None,
        };
        let facts = reader.steps(&intent.key).ok()?.into_iter().filter_map(fact).collect();
        let nonce: i64 = intent.announced_as.as_deref().unwrap().parse().unwrap();
        windows.get_mut(&nonce).expect("an intent has an announced window").intents.push((intent, facts));
    }
    Some(windows)
}

/// As of a block.
const fn is_closed(height: i64, nonce: i64) -> bool {
    height > nonce + super::world::WINDOW + 1
}

/// The block as of which nothing is open any more, of the windows that had closed; `None`: something is.
pub fn settled(world: &World) -> Option<i64> {
    let height = world.chain.height();
    let told = told(world)?;
    let is_done = |(nonce, told): (&i64, &Told)| {
        let known = told.intents.iter().all(|(intent, facts)| {
            intent.state.is_final()
                && (intent.state != IntentState::Acked || facts.iter().any(|f| *f != Fact::Admitted))
        });
        !is_closed(height, *nonce) || told.row.is_some() && known
    };
    (told.iter().all(is_done) && world.chain.truth().pending.is_empty()).then_some(height)
}

/// What became of the windows, by what is said of them.
#[derive(Debug, Default)]
pub struct Verdict {
    pub used: usize,
    /// The last fact of those that were used.
    pub facts: BTreeMap<&'static str, usize>,
    /// Why the others were not.
    pub missed: BTreeMap<&'static str, usize>,
}

/// Compares the windows that were closed as of a block. Each one of `needed` must have been used.
pub fn judge(seed: u64, world: &World, height: i64, needed: &BTreeMap<i64, &'static str>) -> Verdict {
    let told = told(world).expect("the journal can be read");
    let (truth, inclusions) = world.truth();
    assert_eq!(truth.paid_twice(), [], "seed {seed}");
    assert_eq!(truth.done_twice(), [], "seed {seed}");
    let first = *told.keys().next().expect("a window was noticed");
    let closed = world.windows().into_iter().filter(|nonce| *nonce >= first && is_closed(height, *nonce));
    let (mut verdict, mut counts) = (Verdict::default(), Vec::new());
    for nonce in closed {
        let told = told.get(&nonce).unwrap_or_else(|| panic!("seed {seed}: the window {nonce} was never noticed"));
        let of_chain = truth.submission(&world.address, TOPIC, nonce);
        let facts = || {
            let row = told.row.as_ref().map(|row| (row.reason, &row.detail));
            format!("seed {seed}, {nonce}: {:?} {row:?} {:?}\n{of_chain:#?}\n{}", told.slot, told.intents, world.said())
        };
        let row = told.row.as_ref().unwrap_or_else(|| panic!("it has no row: {}", facts()));
        assert!(told.intents.len() <= 1, "it has two intents: {}", facts());
        assert!(of_chain.paid <= 1 && of_chain.effects <= 1, "{}", facts());
        assert_eq!(of_chain.paid, of_chain.effects, "it has paid for nothing: {}", facts());
        let is_acked = told.intents.iter().any(|(intent, _)| intent.state == IntentState::Acked);
        assert_eq!(is_acked, of_chain.effects == 1, "the chain has something else: {}", facts());
        if let Some(why) = needed.get(&nonce) {
            assert!(of_chain.effects == 1, "it was missed {why}: {}", facts());
        }
        if !is_acked {
            assert!(of_chain.stored.is_none(), "it is stored and never was included: {}", facts());
            *verdict.missed.entry(row.reason.code()).or_default() += 1;
            continue;
        }
        verdict.used += 1;
        let (intent, said) = &told.intents[0];
        let ends: Vec<&Fact> = said.iter().filter(|fact| **fact != Fact::Admitted).collect();
        assert_eq!(ends.len(), 1, "it has another number of ends: {}", facts());
        *verdict.facts.entry(ends[0].code()).or_default() += 1;
        if let Some(what) = contradiction(intent, ends[0], &of_chain) {
            panic!("{what}: {}", facts());
        }
        if let Fact::Stored { inclusions, .. } = ends[0] {
            counts.push((nonce, inclusions.unwrap_or_else(|| panic!("the chain's count was not read: {}", facts()))));
        }
    }
    // One that has closed since then is not judged, and counted.
    let later = truth.stored.iter().filter(|kept| kept.worker == world.address && !is_closed(height, kept.nonce));
    judge_counts(seed, inclusions - later.count() as u64, &counts);
    judge_broadcasts(seed, &truth);
    verdict
}

/// What is wrong about the last fact of a forecast that a block has.
fn contradiction(intent: &Intent, fact: &Fact, of_chain: &Submission<'_>) -> Option<String> {
    let has_left = |chosen: fn(&Admission) -> bool| {
        of_chain.stored.is_none()
            && of_chain.included.iter().any(|one| match &one.effect {
                Some(Effect::Inference { admission, .. }) => chosen(admission),
                _ => false,
            })
    };
    let is_so = match fact {
        Fact::Stored { value, .. } => {
            let number = |text: &str| text.parse::<f64>().unwrap();
            let stored = of_chain.stored.map(|stored| number(&stored.values[0]));
            let intended = number(&intent.action.forecast().unwrap().log_return.to_string());
            if stored.is_some_and(|stored| stored != intended || stored != number(value)) {
                return Some(format!("{intended} was intended, {value} is said, and {stored:?} is stored"));
            }
            stored.is_some()
        }
        Fact::NotAdmitted { .. } => has_left(|admission| *admission == Admission::NotAdmitted),
        Fact::Evicted { .. } => has_left(|admission| *admission != Admission::NotAdmitted),
        Fact::NotStored { .. } => has_left(|_| true),
        Fact::Admitted | Fact::Scored { .. } | Fact::NoScore { .. } => false,
    };
    (!is_so).then(|| format!("{} is said, and it is not so", fact.code()))
}

/// The chain's own count of this worker's inferences is that of the windows that are said to be stored, in the end and when each of
/// them was proven.
fn judge_counts(seed: u64, in_all: u64, stored: &[(i64, u64)]) {
    assert_eq!(in_all, stored.len() as u64, "seed {seed}: the chain has counted another number: {stored:?}");
    for ((nonce, counted), least) in stored.iter().zip(1..) {
        let range = least..=in_all;
        assert!(range.contains(counted), "seed {seed}, {nonce}: {counted} of {range:?} were counted: {stored:?}");
    }
}

/// No node was handed a new transaction before its window was open, or in the time of another one.
fn judge_broadcasts(seed: u64, truth: &Truth) {
    let mut seen = BTreeSet::new();
    for broadcast in &truth.broadcasts {
        let Purpose::Submission { nonce, .. } = broadcast.purpose else { continue };
        let is_in_time = (nonce..nonce + EPOCH).contains(&broadcast.height);
        assert!(
            !seen.insert(&broadcast.hash) || is_in_time,
            "seed {seed}: for a stale or foreign nonce: {broadcast:?}"
        );
    }
}
