//! The newest slots, with filters that work without script. Quiet runs are folded, so that what matters is not pushed out of sight.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;

use super::asked::{Asked, slot_path};
use super::cells::word;
use super::facts::Node;
use super::pipelines::class;
use super::rows::Rows;
use super::told;
use crate::journal::Stored;

/// So many quiet slots in a row are folded.
const FOLDED: usize = 3;
/// Reasons that a fold names.
const NAMED: usize = 4;

#[must_use]
pub fn part(node: &Node, rows: &Rows, asked: &Asked) -> Markup {
    // Dates are wider than days.
    let is_dated = rows.listed.iter().any(|slot| told::when(slot.record.slot, node.now).len() > 12);
    html! {
        section #slots .card data-part aria-labelledby="h-slots" {
            div .head {
                h2 #h-slots { "Last " (rows.limit) " slots" }
                span { @if asked.filters_rows() { "filtered" } @else { "quiet runs are folded" } }
            }
            @if let Some(error) = &rows.error { p .warn { "The journal cannot be read now: " (told::plain(error)) "." } }
            (filters(rows, asked))
            div .slots.dated[is_dated] {
                p .row.heads aria-hidden="true" {
                    span { "Slot" } span { "Pipeline" } span { "Outcome" } span { "Reason" }
                    span { "Answer" } span { "Took" } span {}
                }
                @if rows.listed.is_empty() { p .sub { "There is no such slot." } }
                ol aria-labelledby="h-slots" {
                    @for group in groups(&rows.listed, asked.filters_rows()) {
                        @match group {
                            Group::One(slot) => (row(node, slot)),
                            Group::Quiet(slots) => (fold(node, slots)),
                        }
                    }
                }
            }
        }
    }
}

fn filters(rows: &Rows, asked: &Asked) -> Markup {
    let all = rows.reasons.values().sum::<usize>();
    let of = |outcome: Option<Outcome>| Asked { outcome, reason: None, ..asked.clone() };
    html! {
        div .chips {
            nav .chips aria-label="Slots by outcome" {
                (chip(&of(None), "All", all, asked.outcome.is_none()))
                @for outcome in Outcome::ALL {
                    (chip(&of(Some(outcome)), &capital(word(outcome)), rows.count(outcome), asked.outcome == Some(outcome)))
                }
            }
            form .by method="get" action={ (asked.path.as_deref().unwrap_or("/")) "#slots" } {
                @if let Some(outcome) = asked.outcome { input type="hidden" name="outcome" value=(outcome.code()); }
                label .hide for="reason" { "Reason" }
                select #reason name="reason" {
                    option value="" { "Any reason" }
                    @for (reason, count) in choices(rows, asked) {
                        option value=(reason.code()) selected[asked.reason == Some(reason)] {
                            (reason.short()) @if count > 0 { " (" (count) ")" }
                        }
                    }
                }
                @if asked.path.is_none() && (rows.names.len() > 1 || asked.pipeline.is_some()) { (by_pipeline(rows, asked)) }
                button type="submit" { "Show" }
            }
        }
    }
}

fn by_pipeline(rows: &Rows, asked: &Asked) -> Markup {
    let chosen = asked.pipeline.as_deref().unwrap_or_default();
    let mut names: Vec<&str> = rows.names.iter().map(String::as_str).collect();
    if !chosen.is_empty() && !names.contains(&chosen) {
        names.push(chosen);
    }
    names.sort_unstable();
    html! {
        label .hide for="pipeline" { "Pipeline" }
        select #pipeline name="pipeline" {
            option value="" { "Any pipeline" }
            @for name in names { option value=(name) selected[name == chosen] { (told::plain(name)) } }
        }
    }
}

/// The reasons that there are, and the one that is asked for.
fn choices(rows: &Rows, asked: &Asked) -> Vec<(Reason, usize)> {
    let mut choices: BTreeMap<Reason, usize> = rows.reasons.clone();
    choices.retain(|reason, _| asked.outcome.is_none_or(|outcome| reason.outcome() == outcome));
    if let Some(reason) = asked.reason {
        choices.entry(reason).or_default();
    }
    choices.into_iter().collect()
}

fn capital(word: &str) -> String {
    told::sentence(word).trim_end_matches('.').to_owned()
}

fn chip(asked: &Asked, name: &str, count: usize, is_chosen: bool) -> Markup {
    html! { a .chip href=(asked.address()) aria-current=[is_chosen.then_some("true")] { (name) " " (count) } }
}

/// What stands in one place of the list.
#[derive(Debug)]
enum Group<'s> {
    One(&'s Stored<SlotRecord>),
    Quiet(&'s [Stored<SlotRecord>]),
}

/// Nothing that was looked for is folded away.
fn groups(listed: &[Stored<SlotRecord>], is_filtered: bool) -> Vec<Group<'_>> {
    let mut groups = Vec::new();
    let mut rest = listed;
    // The newest of a pipeline is its state, however quiet.
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    while let Some(first) = rest.first() {
        let is_newest = seen.insert(&first.record.pipeline);
        let can_fold =
            |slot: &&Stored<SlotRecord>| is_quiet(&slot.record) && seen.contains(slot.record.pipeline.as_str());
        let run = if is_filtered || is_newest { 0 } else { rest.iter().take_while(can_fold).count() };
        if run >= FOLDED {
            let (quiet, others) = rest.split_at(run);
            groups.push(Group::Quiet(quiet));
            rest = others;
        } else {
            groups.push(Group::One(first));
            rest = &rest[1..];
        }
    }
    groups
}

/// It went as it goes most of the time.
const fn is_quiet(record: &SlotRecord) -> bool {
    let routine = matches!(record.reason, Reason::MarketClosed | Reason::ForecastAcked);
    matches!(record.outcome(), Outcome::NoAction) || routine
}

fn fold(node: &Node, slots: &[Stored<SlotRecord>]) -> Markup {
    let newest = slots.first().map_or(UtcMs(0), |slot| slot.record.slot);
    // It keeps its name while newer slots come, so that one who has opened it finds it open.
    let oldest = slots.last().map_or(UtcMs(0), |slot| slot.record.slot);
    html! {
        li .fold {
            details data-key=(oldest.0) {
                summary .row {
                    span { (told::when(newest, node.now)) }
                    span .runs { (slots.len()) " quiet slots" }
                    span .sums { (sums(slots)) }
                }
                ol { @for slot in slots { (row(node, slot)) } }
            }
        }
    }
}

/// By pipeline and reason, the most first.
fn sums(slots: &[Stored<SlotRecord>]) -> String {
    let mut sums: BTreeMap<(&str, Reason), usize> = BTreeMap::new();
    for slot in slots {
        *sums.entry((&slot.record.pipeline, slot.record.reason)).or_default() += 1;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let is_one = sums.iter().all(|((name, _), _)| Some(*name) == sums.first().map(|((first, _), _)| *first));
    let more = sums.len().saturating_sub(NAMED);
    let told: Vec<String> = sums
        .into_iter()
        .take(NAMED)
        .map(|((name, reason), count)| {
            let short = reason.short().to_lowercase();
            if is_one { format!("{count} × {short}") } else { format!("{} {count} × {short}", told::plain(name)) }
        })
        .collect();
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{}{more}", told.join(", "))
}

fn row(node: &Node, Stored { record, is_intact }: &Stored<SlotRecord>) -> Markup {
    let took = told::worked_us(record).map(told::took).unwrap_or_default();
    html! {
        li {
            span { (told::when(record.slot, node.now)) }
            bdi { (told::plain(&record.pipeline)) }
            span class=(class(record.reason)) { (word(record.outcome())) }
            span { (record.reason.short()) @if !is_intact { " " b .warn { "DAMAGED ROW" } } }
            span { (told::answer(record)) }
            span { (took) }
            a href=(slot_path(&record.pipeline, record.slot)) { "why" }
        }
    }
}
