//! `sentinel why`: the chain from due time to receipt of one slot, in plain sentences.
//!
//! It prints what the journal holds and nothing that it would have to guess: a stage that left no trace is not mentioned.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use sentinel_actors::domain::action::{Action, Receipt};
use sentinel_actors::domain::cycle::{SlotRecord, Stage, Weighed};
use sentinel_actors::domain::decision::{DecideOn, Signal};
use sentinel_actors::domain::intent::{Basis, Intent, IntentEvent, IntentState, Mode};
use sentinel_actors::domain::order::Role;
use sentinel_actors::domain::reason::Outcome;
use sentinel_actors::domain::time::UtcMs;

use super::{StateFlag, exit};
use crate::exit::ExitError;
use crate::journal::{IntentStep, JournalError, JournalReader, Stored};
use crate::sources::cache::{BARS_FILE, BarCache, Review};

/// Slots that are named on either side of a time that has none.
const NEIGHBOURS: u32 = 3;
/// Characters of a hash that are shown.
const HASH_PREFIX: usize = 12;

/// Explains one slot.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Due time of the slot, or open time of the bar that it decided, like 2017-06-01T13:00:00Z.
    pub time: UtcMs,
    /// Whose journal.
    #[command(flatten)]
    pub state: StateFlag,
}

/// Why a slot could not be explained.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
    #[error("no slot of '{pipeline}' was due at {time}, and none decided a bar that opened then{hint}")]
    NoSlot {
        pipeline: String,
        /// What was asked for.
        time: UtcMs,
        hint: String,
    },
}

impl ExitError for WhyError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Journal(error) => error.exit_code(),
            Self::Output(_) => exit::IO,
            Self::NoSlot { .. } => exit::FAILED,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Journal(error) => error.advice(),
            _ => None,
        }
    }
}

/// Runs the command on the journal in `state`.
///
/// # Errors
/// When there is no such slot, the journal cannot be read, or the output not be written.
pub fn run(args: &WhyArgs, state: &Path, out: &mut dyn Write) -> Result<(), WhyError> {
    let reader = JournalReader::open(state)?;
    let found = match reader.slot(&args.pipeline, args.time)? {
        Some(slot) => Some(slot),
        None => reader.slot_of_bar(&args.pipeline, args.time)?,
    };
    let Some(Stored { record, is_intact }) = found else {
        let hint = hint(&reader, args)?;
        return Err(WhyError::NoSlot { pipeline: args.pipeline.clone(), time: args.time, hint });
    };
    let intents = intents_of(&reader, &record)?;
    let mut text = headline(&record, is_intact, reader.settled_later(&record)?);
    if let Some(announced) = reader.announced(&record.pipeline, record.slot)? {
        let _ = writeln!(
            text,
            "It was announced as {} at {}, and open until {}.",
            announced.id, announced.announced_at, announced.closes
        );
    }
    course(&record, &mut text);
    inputs(&record, &mut text);
    prediction(&record, &mut text);
    decided(&record, &intents, &mut text);
    written(&reader, &record, &mut text)?;
    for intent in intents {
        let steps = reader.steps(&intent.record.key)?;
        describe_intent(&intent, &steps, &mut text);
    }
    revised(&record, state, &mut text);
    durations(&record, &mut text);
    Ok(out.write_all(text.as_bytes())?)
}

fn hint(reader: &JournalReader, args: &WhyArgs) -> Result<String, JournalError> {
    let pipelines = reader.pipelines()?;
    if !pipelines.contains(&args.pipeline) {
        return Ok(if pipelines.is_empty() {
            "; the journal holds no slots yet".to_owned()
        } else {
            format!("; the journal knows the pipelines: {}", pipelines.join(", "))
        });
    }
    let removed = reader.removed(&args.pipeline)?.filter(|removed| args.time <= removed.until);
    let removed = removed.map(|removed| format!("; retention has removed the rows up to {}", removed.until));
    let mut text = format!("{}; the slots nearby are:", removed.unwrap_or_default());
    for (slot, reason) in reader.slots_near(&args.pipeline, args.time, NEIGHBOURS)? {
        let _ = write!(text, "\n  {slot}  {} ({reason})", reason.outcome());
    }
    Ok(text)
}

/// The slot's own intents, and those that it took over from an earlier cycle on the same bar.
fn intents_of(reader: &JournalReader, record: &SlotRecord) -> Result<Vec<Stored<Intent>>, JournalError> {
    let mut intents = Vec::new();
    for key in &record.intents {
        intents.extend(reader.intent(key)?);
    }
    for intent in reader.intents_between(&record.pipeline, record.slot, record.slot)? {
        if !record.intents.contains(&intent.record.key) {
            intents.push(intent);
        }
    }
    Ok(intents)
}

/// What became known of an order after its slot had ended.
pub(super) const fn later(state: IntentState) -> &'static str {
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
    text.push('\n');
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

/// What became of the decided bar afterwards. A cache that is not there or cannot be read knows nothing.
fn revised(record: &SlotRecord, state: &Path, text: &mut String) {
    let Some(bar) = record.decided_bar else { return };
    let reviews = BarCache::read_only(&state.join(BARS_FILE)).and_then(|cache| cache.reviews(&record.pipeline, bar));
    for Review { seen, was_close, is_close, differs, would_be, .. } in reviews.unwrap_or_default() {
        let _ = writeln!(
            text,
            "The vendor changed this bar later: its close was {was_close} and is {is_close}, seen at {seen}."
        );
        let _ = match differs {
            Some(true) => writeln!(text, "With it the decision would have been another one: {would_be}."),
            Some(false) => writeln!(text, "With it the decision would have been the same: {would_be}."),
            None => writeln!(text, "What the decision would have been with it is not known: {would_be}."),
        };
    }
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

fn describe_intent(
    Stored { record: intent, is_intact }: &Stored<Intent>,
    steps: &[Stored<IntentStep>],
    text: &mut String,
) {
    let kind = if intent.mode == Mode::DryRun { "Dry-run intent" } else { "Intent" };
    let _ = writeln!(text, "\n{kind} {} is {}.", intent.key, intent.state);
    match &intent.action {
        Action::Order(order) => {
            let _ = write!(
                text,
                "  {} {} lots of {} on account {} ({}), reference price {}",
                order.side, order.volume_lots, order.symbol, intent.account, order.role, order.reference_price
            );
            for (name, price) in [("stop", order.stop_price), ("target", order.target_price)] {
                if let Some(price) = price {
                    let _ = write!(text, ", {name} {price}");
                }
            }
        }
        Action::Forecast(forecast) => {
            let _ = write!(
                text,
                "  forecast {forecast} to {}, reference price {}",
                intent.account, forecast.reference_price
            );
        }
    }
    text.push_str(".\n");
    if !is_intact || steps.iter().any(|step| !step.is_intact) {
        text.push_str("  DAMAGED ROW: a checksum does not fit.\n");
    }
    for step in steps {
        let at = step.record.at.map_or_else(|| "first".to_owned(), |at| format!("at {at}"));
        let _ = writeln!(text, "  {at}: {}", describe_step(step.record.event.as_ref()));
    }
}

fn describe_step(event: Option<&IntentEvent>) -> String {
    use IntentEvent as E;
    match event {
        None => "planned; nothing had left the node.".to_owned(),
        Some(E::Send) => "about to be handed over.".to_owned(),
        Some(E::Abandon) => "given up before anything was sent.".to_owned(),
        Some(E::NeverLeft { evidence }) => format!("provably never left the node: {evidence}"),
        Some(E::Acked { receipt }) => {
            let said = if receipt.text().is_empty() { String::new() } else { format!(": {}", receipt.text()) };
            format!("confirmed as {}{said}", confirmed(receipt, true))
        }
        Some(E::Rejected { code, text }) => {
            format!("refused{}: {text}", code.map(|code| format!(" with code {code}")).unwrap_or_default())
        }
        Some(E::LostTrack { evidence }) => format!("its outcome became unknown: {evidence}"),
        Some(E::FoundAbsent { evidence }) => format!("the venue does not have it: {evidence}"),
        Some(E::Hold { evidence }) => format!("held for the operator to settle: {evidence}"),
        Some(E::SettledAcked { receipt, evidence }) => {
            format!("settled by the operator as {}: {evidence}", confirmed(receipt, false))
        }
        Some(E::SettledAbsent { evidence }) => format!("settled by the operator as not done: {evidence}"),
    }
}

fn confirmed(receipt: &Receipt, with_price: bool) -> String {
    match receipt {
        Receipt::Fill(fill) => {
            let price = fill.price.filter(|_| with_price).map(|price| format!(" at {price}")).unwrap_or_default();
            format!("ticket {}, {} lots{price}", fill.ticket, fill.volume_lots)
        }
        Receipt::Inclusion(_) => receipt.to_string(),
    }
}

fn durations(record: &SlotRecord, text: &mut String) {
    let stages: Vec<String> = Stage::ALL
        .iter()
        .zip(record.stage_us)
        .filter_map(|(stage, us)| us.map(|us| format!("{stage} {}.{:03} ms", us / 1000, us % 1000)))
        .collect();
    let waited = record.waited_us.map(|us| format!("it waited {}.{:03} ms for its turns", us / 1000, us % 1000));
    if !stages.is_empty() {
        let waited = waited.map(|waited| format!("; before and between them {waited}")).unwrap_or_default();
        let _ = writeln!(text, "\nDurations: {}{waited}.", stages.join(", "));
    } else if let Some(waited) = waited {
        let _ = writeln!(text, "\nNo stage has worked on it; {waited}.");
    }
}
