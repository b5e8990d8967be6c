//! What a pipeline did: slots by outcome and reason, decisions with their confidence, how punctual it was.

use std::collections::BTreeMap;

use maud::{Markup, html};
use sentinel_actors::domain::intent::IntentState;
use sentinel_actors::domain::reason::Outcome;

use super::PIPELINES;
use super::tabled::{Set, left_out, share, table};
use crate::operator::page::cells::word;
use crate::operator::page::chart;
use crate::operator::page::rows::Charted;
use crate::operator::page::told;
use crate::operator::report::charts;
use crate::operator::report::facts::{Facts, PipelineFacts};
use crate::operator::report::spread::Spread;
use crate::operator::report::summary::Summary;

pub(super) fn cards(facts: &Facts) -> Markup {
    let mut shown: Vec<&PipelineFacts> = facts.pipelines.iter().collect();
    if shown.len() > PIPELINES {
        shown.sort_by_key(|pipeline| std::cmp::Reverse(pipeline.slots.count(Outcome::Missed)));
    }
    let others = shown.len().saturating_sub(PIPELINES);
    html! {
        @for pipeline in shown.into_iter().take(PIPELINES) { (card(pipeline)) }
        (left_out(others as u64, "pipelines, with fewer missed slots,"))
    }
}

fn card(pipeline: &PipelineFacts) -> Markup {
    let slots = &pipeline.slots;
    let name = told::plain(&slots.name);
    html! {
        section .card aria-label={ "Pipeline " (name) } {
            div .head {
                h2 { bdi { (name) } }
                @if let Some((first, last)) = slots.extent {
                    span { (told::count(slots.slots, "slot")) " from " (first) " to " (last) }
                }
            }
            (sent("Orders", &pipeline.orders))
            (sent("Forecasts", &pipeline.forecasts))
            (parts(slots))
            @if let Some(until) = pipeline.removed_until {
                p .sub { "Rows up to " (until) " were removed by " code { "node.retention" } " and are in no figure here." }
            }
            @if slots.damaged > 0 {
                p .warn { (told::count(slots.damaged, "row")) " were changed by something else than a node: " code { "sentinel prove" } " names them." }
            }
            div .draw {
                div { (charts::outcomes(slots)) }
                @if !slots.decisions.is_empty() { div { (charts::confidence(slots)) } }
                @if !slots.newest.is_empty() {
                    div { h3 { "The newest " (told::count(slots.newest.len() as u64, "slot")) } (newest(pipeline)) }
                }
            }
            div .draw {
                div { h3 { "How slots ended" } (reasons(slots)) }
                div {
                    (decisions(slots))
                    h3 { "Lateness" }
                    (lateness(slots))
                }
            }
        }
    }
}

fn sent(what: &str, states: &BTreeMap<IntentState, u64>) -> Markup {
    let counts: Vec<String> =
        states.iter().map(|(state, count)| format!("{} {state}", told::grouped(*count))).collect();
    html! { @if !counts.is_empty() { p { (what) ": " (counts.join(", ")) "." } } }
}

/// Decisions by what the model knew of their bars.
fn parts(slots: &Summary) -> Markup {
    let counts: Vec<String> =
        slots.parts.iter().map(|(part, count)| format!("{} {}", told::grouped(*count), part.words())).collect();
    html! {
        @if slots.periods.is_none() && !slots.parts.is_empty() {
            p .sub { "What its model was trained on is not known here; " code { "--config FILE" } " reads the manifest of a local model." }
        } @else if !counts.is_empty() {
            p .sub { "Decisions: " (counts.join(", ")) "." }
        }
    }
}

fn newest(pipeline: &PipelineFacts) -> Markup {
    chart::alone(&Charted {
        name: pipeline.slots.name.clone(),
        slots: pipeline.slots.newest.iter().cloned().collect(),
        intents: pipeline.newest.clone(),
    })
}

fn reasons(slots: &Summary) -> Markup {
    let mut counts: Vec<_> = slots.reasons.iter().collect();
    counts.sort_by_key(|(reason, count)| (std::cmp::Reverse(count.slots), **reason));
    let rows = counts.into_iter().map(|(reason, count)| {
        [
            told::grouped(count.slots),
            word(reason.outcome()).to_owned(),
            reason.code().to_owned(),
            reason.short().to_owned(),
            count.last.to_string(),
        ]
    });
    let columns =
        [("slots", Set::Right), ("outcome", Set::Left), ("reason", Set::Left), ("", Set::Long), ("newest", Set::Left)];
    table(columns, rows)
}

fn decisions(slots: &Summary) -> Markup {
    if slots.decisions.is_empty() {
        return html! { @if slots.values > 0 { p { "Its model answered with a value in " (told::count(slots.values, "slot")) "; a value has no confidence." } } };
    }
    let rows = slots.decisions.iter().map(|(signal, decisions)| {
        [
            told::plain(signal),
            told::grouped(decisions.slots),
            told::grouped(decisions.above),
            told::grouped(decisions.acted),
            share(decisions.mean()),
            share((decisions.confident > 0).then_some(decisions.highest)),
        ]
    });
    let columns = [
        ("winner", Set::Left),
        ("slots", Set::Right),
        ("above threshold", Set::Right),
        ("acted", Set::Right),
        ("mean confidence", Set::Right),
        ("highest", Set::Right),
    ];
    html! { h3 { "Decisions" } (table(columns, rows)) }
}

fn lateness(slots: &Summary) -> Markup {
    let row = |name: &str, spread: &Spread, told: fn(u64) -> String| {
        let at = |value: Option<u64>| value.map_or_else(|| "unknown".to_owned(), told);
        let quantiles = [500, 900, 990].map(|thousandths| at(spread.quantile(thousandths)));
        let [half, most, nearly_all] = quantiles;
        [name.to_owned(), told::grouped(spread.count()), half, most, nearly_all, at(spread.largest())]
    };
    let rows = [
        row("from due to begun", &slots.late_ms, |ms| told::took(ms.saturating_mul(1000))),
        row("work of its stages", &slots.worked_us, told::took),
    ];
    let columns = [
        ("", Set::Left),
        ("slots", Set::Right),
        ("50 %", Set::Right),
        ("90 %", Set::Right),
        ("99 %", Set::Right),
        ("largest", Set::Right),
    ];
    table(columns, rows)
}
