//! Rows against intents, in both directions: what a row says about its effects, and which row names an effect.
//!
//! Looked at when a row is written, and again when a life has ended. Shares no rule with `domain::amend`.

use std::collections::BTreeMap;

use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::decision::DecideOn;
use sentinel_actors::domain::intent::{Basis, Intent, IntentKey, IntentState};
use sentinel_actors::domain::order::Role;
use sentinel_actors::domain::reason::{Outcome, Reason};

use crate::disk::Stored;
use crate::options::{PipelineOptions, SimOptions};
use crate::world::Inner;

use IntentState as S;

/// A row at the moment in which it becomes durable.
pub fn judge_row(inner: &mut Inner, record: &SlotRecord) {
    let of = format!("the row {} {} ({})", record.pipeline, record.slot, record.reason);
    for text in contradictions(inner, record) {
        inner.violation(format!("{of} {text}"));
    }
    let states: Vec<Vec<IntentState>> = named(inner, record).map(|stored| stored.states.clone()).collect();
    let any = |fits: fn(&[IntentState]) -> bool| states.iter().any(|states| fits(states));
    let is_true = match record.reason {
        Reason::OrderAcked | Reason::ForecastAcked => any(|states| states.last() == Some(&S::Acked)),
        Reason::OrderRejected | Reason::ForecastRejected => any(|states| states.last() == Some(&S::Rejected)),
        // It may have been settled since, or its outcome become durable without an answer.
        Reason::OrderUnknown | Reason::ForecastUnknown => any(|states| states.contains(&S::Sent)),
        _ => !any(|states| states.last().is_some_and(|state| state.may_have_left())),
    };
    if !is_true {
        inner.violation(format!("{of} is not what its intents say: {states:?}"));
    }
}

/// All rows and all intents, when a process has ended.
pub fn judge_all(inner: &mut Inner, options: &SimOptions) {
    let mut by: BTreeMap<&IntentKey, Vec<&SlotRecord>> = BTreeMap::new();
    let mut found: Vec<String> = Vec::new();
    for record in inner.disk.rows.values() {
        record.intents.iter().for_each(|key| by.entry(key).or_default().push(record));
        let states: Vec<IntentState> = named(inner, record).map(|stored| stored.intent.state).collect();
        let is_true = match record.reason {
            Reason::OrderAcked | Reason::ForecastAcked => states.contains(&S::Acked),
            Reason::OrderRejected | Reason::ForecastRejected => states.contains(&S::Rejected),
            Reason::OrderUnknown | Reason::ForecastUnknown => states.iter().any(|state| *state != S::Planned),
            _ => !states.iter().any(|state| state.may_have_left()),
        };
        if !is_true {
            found.push(format!(
                "{} {} ended as {}, and its intents are {states:?}",
                record.pipeline, record.slot, record.reason
            ));
        }
        let pipeline = options.pipelines.iter().find(|pipeline| pipeline.name == record.pipeline);
        found.extend(pipeline.and_then(|pipeline| wrong_basis(inner, pipeline, record)));
        found.extend(pipeline.and_then(|pipeline| wrong_job(pipeline, record)));
    }
    for (key, stored) in &inner.disk.intents {
        let intent = &stored.intent;
        if !stored.states.contains(&S::Sent) {
            continue;
        }
        // The slot in hand has no row yet; a recovery writes it.
        if !inner.disk.rows.contains_key(&(intent.pipeline.clone(), intent.slot)) {
            continue;
        }
        let speakers: Vec<&&SlotRecord> =
            by.get(key).into_iter().flatten().filter(|row| row.outcome() == Outcome::Acted).collect();
        let left = intent.state.may_have_left();
        if left && (speakers.len() != 1 || speakers[0].slot != intent.slot) {
            let slots: Vec<String> = speakers.iter().map(|row| row.slot.to_string()).collect();
            found.push(format!(
                "the effect of {} {} ({}) is named by the rows {slots:?}",
                intent.pipeline, intent.slot, intent.state
            ));
        }
    }
    found.into_iter().for_each(|text| inner.violation(format!("rows and intents: {text}")));
}

fn named<'a>(inner: &'a Inner, record: &'a SlotRecord) -> impl Iterator<Item = &'a Stored> {
    record.intents.iter().filter_map(|key| inner.disk.intents.get(key))
}

/// What a row must not say, whatever its reason.
fn contradictions(inner: &Inner, record: &SlotRecord) -> Vec<String> {
    let mut found = Vec::new();
    for (index, key) in record.intents.iter().enumerate() {
        match inner.disk.intents.get(key).map(|stored| &stored.intent) {
            None => found.push(format!("names the intent {key}, which does not exist")),
            Some(intent) if intent.pipeline != record.pipeline || intent.slot != record.slot => {
                found.push(format!("names {key}, which is of {} {}", intent.pipeline, intent.slot));
            }
            Some(intent) if intent.mode != record.mode => found.push(format!("is of another mode than {key}")),
            Some(_) => {}
        }
        if record.intents[..index].contains(key) {
            found.push(format!("names {key} twice"));
        }
    }
    for intent in inner.disk.intents_of(&record.pipeline, record.slot) {
        if intent.state.may_have_left() && !record.intents.contains(&intent.key) {
            found.push(format!("does not name {}, which is {}", intent.key, intent.state));
        }
    }
    found
}

/// A row speaks only of what its pipeline is for.
fn wrong_job(pipeline: &PipelineOptions, record: &SlotRecord) -> Option<String> {
    let of_forecasts = match record.reason {
        Reason::OrderAcked | Reason::OrderRejected | Reason::OrderUnknown | Reason::OrderNeverLeft => false,
        Reason::ForecastAcked | Reason::ForecastRejected | Reason::ForecastUnknown | Reason::ForecastNeverLeft => true,
        _ => return None,
    };
    let text = || format!("{} {} ended as {}", record.pipeline, record.slot, record.reason);
    (of_forecasts != pipeline.forecasts).then(text)
}

/// The bar that a row says was decided is the one that its intents are derived from.
fn wrong_basis(inner: &Inner, pipeline: &PipelineOptions, record: &SlotRecord) -> Option<String> {
    let fits = |intent: &Intent| match (pipeline.decide_on, intent.basis) {
        (DecideOn::Bar, Basis::Bar(bar)) => record.decided_bar == Some(bar),
        // What is held too long is closed whether or not a bar is decided.
        (DecideOn::Bar, Basis::Slot(slot)) => {
            slot == record.slot && intent.order().is_some_and(|order| matches!(order.role, Role::Close(_)))
        }
        (DecideOn::Slot, basis) => basis == Basis::Slot(record.slot),
        // No operator gives commands here.
        (_, Basis::Operator(_)) => false,
    };
    let is_bar = record.decided_bar.is_none_or(|bar| {
        let length = i64::try_from(pipeline.interval.as_millis()).unwrap();
        bar.0 % length == 0 && bar.0 + length <= record.slot.0
    });
    let fits_all = named(inner, record).all(|stored| fits(&stored.intent));
    (!is_bar || !fits_all).then(|| {
        let bases: Vec<_> = named(inner, record).map(|stored| format!("{:?}", stored.intent.basis)).collect();
        let bar = record.decided_bar.map(|bar| bar.to_string());
        format!("{} {} decided the bar {bar:?}, its intents {bases:?}", record.pipeline, record.slot)
    })
}
