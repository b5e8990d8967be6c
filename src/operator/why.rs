//! Why a slot ended as it did: the chain from due time to receipt, in plain sentences, for the terminal and the page.
//!
//! It says what the journal holds and nothing that it would have to guess: a stage that left no trace is not mentioned. An operator's
//! command between two slots is explained by its own time.

mod commands;
mod halts;
mod intents;

use std::fmt::Write as _;

use sentinel_actors::domain::cycle::{SlotRecord, Stage, Weighed};
use sentinel_actors::domain::decision::{DecideOn, Signal};
use sentinel_actors::domain::intent::{Basis, Intent, IntentState, Mode};
use sentinel_actors::domain::order::Role;
use sentinel_actors::domain::reason::Outcome;
use sentinel_actors::domain::time::UtcMs;

use crate::journal::{JournalError, JournalReader, Stored};

/// Characters of a hash that are shown.
const HASH_PREFIX: usize = 12;

/// All that is told of one slot. Each text has whole lines; what belongs to the line above begins with two spaces.
#[derive(Debug)]
pub struct Story {
    pub record: SlotRecord,
    /// How it ended, and the reason.
    pub headline: String,
    /// From its due time to its end.
    pub course: String,
    /// Each of its effects, and what happened to it.
    pub effects: Vec<String>,
    /// How long its stages took; empty when no stage has worked on it.
    pub durations: String,
}

impl Story {
    /// Of the slot that was due at `time`, or of the one that decided the bar which opened then; `None`: there is none.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn of(reader: &JournalReader, pipeline: &str, time: UtcMs) -> Result<Option<Self>, JournalError> {
        let found = match reader.slot(pipeline, time)? {
            Some(slot) => Some(slot),
            None => reader.slot_of_bar(pipeline, time)?,
        };
        let Some(Stored { record, is_intact }) = found else { return Ok(None) };
        let intents = intents_of(reader, &record)?;
        let headline = headline(&record, is_intact, reader.settled_later(&record)?);
        let mut text = String::new();
        if let Some(announced) = reader.announced(&record.pipeline, record.slot)? {
            let _ = writeln!(
                text,
                "It was announced as {} at {}, and open until {}.",
                announced.id, announced.announced_at, announced.closes
            );
        }
        if let Some(anchor) = record.anchor {
            let _ = writeln!(text, "Its forecast counts from {anchor}.");
        }
        halts::named(reader, &record, &mut text)?;
        course(&record, &mut text);
        inputs(&record, &mut text);
        prediction(&record, &mut text);
        decided(&record, &intents, &mut text);
        written(reader, &record, &mut text)?;
        let mut effects = Vec::with_capacity(intents.len());
        for intent in &intents {
            let mut effect = String::new();
            intents::describe(reader, intent, &mut effect)?;
            commands::closed_by(reader, &intent.record, &mut effect)?;
            effects.push(effect);
        }
        let durations = durations(&record);
        Ok(Some(Self { record, headline, course: text, effects, durations }))
    }
}

/// What an operator had done at this time; `None`: nothing.
///
/// # Errors
/// When the journal cannot be read.
pub fn command(reader: &JournalReader, pipeline: &str, at: UtcMs) -> Result<Option<String>, JournalError> {
    commands::explain(reader, pipeline, at)
}

/// The slot's own intents, and those that it took over from an earlier cycle on the same bar.
fn intents_of(reader: &JournalReader, record: &SlotRecord) -> Result<Vec<Stored<Intent>>, JournalError> {
    let mut intents = Vec::new();
    for key in &record.intents {
        intents.extend(reader.intent(key)?);
    }
    for intent in reader.intents_between(&record.pipeline, record.slot, record.slot)? {
        if !record.intents.contains(&intent.record.key) && intent.record.basis.is_of_slot() {
            intents.push(intent);
        }
    }
    Ok(intents)
}

/// What became known of an order after its slot had ended.
#[must_use]
pub const fn later(state: IntentState) -> &'static str {
    match state {
        IntentState::Acked => "acted, later confirmed",
        IntentState::Rejected => "acted, later known to be refused",
        _ => "acted, later proven absent",
    }
}

fn headline(record: &SlotRecord, is_intact: bool, settled: Option<IntentState>) -> String {
    let settled = settled.map(|state| format!("it {}", later(state)));
    let outcome = match record.outcome() {
        Outcome::Acted => "it acted",
        Outcome::NoAction => "it decided to do nothing",
        Outcome::Skipped => "it was skipped",
        Outcome::Missed => "it was missed",
    };
    let outcome = settled.as_deref().unwrap_or(outcome);
    let mut text = format!("{}, slot {}: {outcome} ({}).\n", record.pipeline, record.slot, record.reason);
    if record.mode == Mode::DryRun {
        text.push_str("DRY RUN: nothing left the node.\n");
    }
    if !is_intact {
        text.push_str("DAMAGED ROW: its checksum does not fit, so it was changed after the node wrote it.\n");
    }
    let _ = writeln!(text, "Reason: {}", record.reason.meaning());
    if !record.detail.is_empty() {
        let _ = writeln!(text, "Detail: {}.", record.detail.trim_end_matches('.'));
    }
    text
}

fn course(record: &SlotRecord, text: &mut String) {
    let _ = writeln!(text, "It was due at {}.", record.slot);
    match record.started_at {
        Some(started) => {
            let late = started.since(record.slot).as_millis();
            let _ = writeln!(text, "It started at {started}, {late} ms after it was due.");
        }
        // A row that was recovered from intents belongs to a cycle that ran and could not report.
        None if record.attempts > 0 || !record.intents.is_empty() => {
            text.push_str("The journal does not hold when it started.\n");
        }
        None => text.push_str("It was never started.\n"),
    }
    if record.attempts > 1 {
        let _ = writeln!(text, "It was started {} times, because a stage died the first time.", record.attempts);
    }
}

fn inputs(record: &SlotRecord, text: &mut String) {
    if let Some(bars) = record.bars {
        let missing = record.missing_bars.unwrap_or(0);
        let dropped = if record.dropped.is_empty() { "none" } else { &record.dropped };
        let _ = write!(text, "It had {bars} usable bars; dropped: {dropped}; missing in the window: {missing}.");
        if let Some(newest) = record.newest_bar {
            let _ = write!(text, " The newest one opened at {newest}.");
        }
        text.push('\n');
    }
    if let Some(digest) = &record.bars_digest {
        let _ = writeln!(text, "The bars have the digest {digest}.");
    }
    if let Some(set) = &record.feature_set {
        let digest = record.features_digest.as_deref().unwrap_or("none");
        let _ = writeln!(text, "The features were those of {set}, with the digest {digest}.");
    }
}

fn prediction(record: &SlotRecord, text: &mut String) {
    if let Some(model) = &record.model {
        let prefix: String = model.hash.chars().take(HASH_PREFIX).collect();
        let _ = writeln!(text, "The model was {} ({prefix}…).", model.id);
    }
    if let Some([value]) = record.raw_output.as_deref() {
        let _ = writeln!(text, "It answered: {value}.");
    } else if let Some(raw) = &record.raw_output {
        let winner = (0..raw.len()).reduce(|best, index| if raw[index] > raw[best] { index } else { best });
        let classes: Vec<String> = raw
            .iter()
            .enumerate()
            .map(|(index, value)| match (&record.signal, winner) {
                (Some(signal), Some(winner)) if winner == index => format!("class {index} = {value} ({signal})"),
                _ => format!("class {index} = {value}"),
            })
            .collect();
        let _ = writeln!(text, "It answered: {}.", classes.join(", "));
    }
    if let Some(signal) = &record.signal {
        let confidence = record.confidence.map(|value| format!(" with confidence {value}")).unwrap_or_default();
        let _ = writeln!(text, "The winner was {signal}{confidence}.");
    }
    if let Some(weighed) = &record.weighed {
        describe_weighed(record, weighed, text);
    }
}

fn describe_weighed(record: &SlotRecord, weighed: &Weighed, text: &mut String) {
    // A hold is a hold, however confident.
    if let Some(confidence) = record.confidence.filter(|_| record.signal.as_deref() != Some(Signal::Hold.code())) {
        let _ = writeln!(text, "Against the threshold: {}.", compared(confidence, weighed.threshold));
    }
    let Some(risk) = &weighed.risk else {
        let _ =
            writeln!(text, "Open positions were {}; no order was weighed against the limits.", weighed.open_positions);
        return;
    };
    let of =
        |limit: Option<u32>| limit.map_or_else(|| "without a limit".to_owned(), |limit| format!("of at most {limit}"));
    let _ = writeln!(
        text,
        "Against the limits: {} open positions {}, {} orders {} in the last hour, {} {} in the last 24 hours, {} other open \
         intents.",
        risk.open_positions,
        of(risk.max_open_positions),
        risk.orders_last_hour,
        of(Some(risk.max_orders_per_hour)),
        risk.orders_last_day,
        of(Some(risk.max_orders_per_day)),
        risk.open_intents
    );
}

/// Both numbers with the decimals of the threshold, at least two, and as many as it takes to show that they differ.
fn compared(confidence: f64, threshold: f64) -> String {
    let verdict = if confidence > threshold { "is above" } else { "is not above" };
    let shown = |digits: usize| (format!("{confidence:.digits$}"), format!("{threshold:.digits$}"));
    let least = threshold.to_string().split('.').nth(1).map_or(0, str::len).clamp(2, 16);
    let digits = (least..17).find(|digits| shown(*digits).0 != shown(*digits).1);
    let (confidence, threshold) = shown(digits.unwrap_or(least));
    format!("{confidence} {verdict} {threshold}")
}

fn decided(record: &SlotRecord, intents: &[Stored<Intent>], text: &mut String) {
    let of_slot = |intent: &Stored<Intent>| matches!(intent.record.basis, Basis::Slot(slot) if slot == record.slot);
    let closes =
        |intent: &Stored<Intent>| intent.record.order().is_some_and(|order| matches!(order.role, Role::Close(_)));
    let decides_slots = record.weighed.as_ref().is_some_and(|weighed| weighed.decide_on == DecideOn::Slot);
    match record.decided_bar {
        Some(bar) if decides_slots => {
            let _ = writeln!(text, "It decided its slot; the newest bar opened at {bar}.");
        }
        Some(basis) if basis == record.slot => text.push_str("It decided its slot.\n"),
        Some(bar) => {
            let _ = writeln!(text, "It decided the bar that opened at {bar}.");
        }
        None if record.signal.is_none() && intents.iter().any(of_slot) && intents.iter().all(closes) => {
            text.push_str("No decision is recorded; a position was closed.\n");
        }
        None if intents.iter().any(of_slot) => text.push_str("It decided its slot.\n"),
        None => text.push_str("No bar was decided.\n"),
    }
    let _ = writeln!(text, "It ended at {}.", record.ended_at);
}

/// Under which version and configuration. Rows of older versions do not say.
fn written(reader: &JournalReader, record: &SlotRecord, text: &mut String) -> Result<(), JournalError> {
    let Some(Stored { record: start, is_intact }) =
        record.start.map(|number| reader.start(number)).transpose()?.flatten()
    else {
        return Ok(());
    };
    let prefix: String = start.config_digest.chars().take(HASH_PREFIX).collect();
    let mode = match (start.mode, record.mode) {
        (Mode::DryRun, _) => "in dry run",
        (Mode::Live, Mode::Live) => "live",
        (Mode::Live, Mode::DryRun) => "live, with this pipeline in dry run,",
    };
    let damaged = if is_intact { "" } else { " DAMAGED ROW: the checksum of that start does not fit." };
    let _ = writeln!(
        text,
        "Written by sentinel {}, started {mode} at {} with the configuration {prefix}….{damaged}",
        start.version, start.at
    );
    Ok(())
}

fn durations(record: &SlotRecord) -> String {
    let stages: Vec<String> = Stage::ALL
        .iter()
        .zip(record.stage_us)
        .filter_map(|(stage, us)| us.map(|us| format!("{stage} {}.{:03} ms", us / 1000, us % 1000)))
        .collect();
    let waited = record.waited_us.map(|us| format!("it waited {}.{:03} ms for its turns", us / 1000, us % 1000));
    if !stages.is_empty() {
        let waited = waited.map(|waited| format!("; before and between them {waited}")).unwrap_or_default();
        return format!("Durations: {}{waited}.\n", stages.join(", "));
    }
    waited.map(|waited| format!("No stage has worked on it; {waited}.\n")).unwrap_or_default()
}
