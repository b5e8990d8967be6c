//! What only a backtest shows, what is not settled, windows of a worker, outages and halts.

use maud::{Markup, html};

use super::LISTED;
use super::tabled::{Set, left_out, table};
use crate::operator::page::told;
use crate::operator::report::facts::Facts;
use crate::operator::report::outages::Outage;

pub(super) fn open(facts: &Facts) -> Markup {
    html! {
        @if !facts.open.is_empty() {
            section .card aria-label="Not settled" {
                div .head { h2 { "Not settled" } span .warn { (facts.open.len()) " now, whatever the range" } }
                ul .notes { @for line in facts.open.iter().take(LISTED) { li { (told::plain(line)) } } }
                (left_out(facts.open.len().saturating_sub(LISTED) as u64, "orders or forecasts"))
            }
        }
    }
}

pub(super) fn backtests(facts: &Facts) -> Markup {
    html! {
        @for backtest in &facts.backtests {
            section .card aria-label={ "Backtest of " (told::plain(&backtest.pipeline)) } {
                h2 { "Backtest of " bdi { (told::plain(&backtest.pipeline)) } }
                @for warning in &backtest.warnings { p .warn { (told::plain(warning)) } }
                (table([("", Set::Left), ("", Set::Long)], backtest.lines.iter().map(|(label, text)| [label.clone(), text.clone()])))
            }
        }
    }
}

pub(super) fn workers(facts: &Facts) -> Markup {
    html! {
        @for worker in &facts.workers {
            section .card aria-label={ "Windows of " (told::plain(&worker.pipeline)) } {
                h2 { "Windows of " bdi { (told::plain(&worker.pipeline)) } }
                (table([("", Set::Left), ("", Set::Long)], worker.lines.iter().map(|(label, text)| [label.clone(), text.clone()])))
            }
        }
    }
}

pub(super) fn outages(facts: &Facts) -> Markup {
    let mut all: Vec<(&str, &Outage)> = Vec::new();
    for pipeline in &facts.pipelines {
        all.extend(pipeline.slots.outages.longest.iter().map(|outage| (pipeline.slots.name.as_str(), outage)));
    }
    all.sort_by_key(|(_, outage)| std::cmp::Reverse(outage.length()));
    let of_each = |of: fn(&crate::operator::report::outages::Outages) -> u64| -> u64 {
        facts.pipelines.iter().map(|pipeline| of(&pipeline.slots.outages)).sum()
    };
    let (count, slots) = (of_each(|outages| outages.count), of_each(|outages| outages.slots));
    let row = |(name, outage): (&str, &Outage)| {
        let least = if outage.until.is_none() { "at least " } else { "" };
        let length = format!("{least}{}", told::span(outage.length()));
        let until = outage.until.map_or_else(|| "not over".to_owned(), |until| until.to_string());
        [told::plain(name), outage.first.to_string(), until, length, told::grouped(outage.slots), outage.why()]
    };
    let columns = [
        ("pipeline", Set::Left),
        ("first missed slot", Set::Left),
        ("over at", Set::Left),
        ("length", Set::Right),
        ("slots", Set::Right),
        ("reason", Set::Long),
    ];
    let shown = all.len().min(LISTED);
    html! {
        section .card aria-label="Outages" {
            div .head {
                h2 { "Outages" }
                span { @if count == 0 { "no slot was missed" } @else { (told::count(count, "run")) " of " (told::count(slots, "missed slot")) ", the longest first" } }
            }
            @if count > 0 { (table(columns, all.into_iter().take(LISTED).map(row))) }
            (left_out(count.saturating_sub(shown as u64), "outages"))
        }
    }
}

pub(super) fn halts(facts: &Facts) -> Markup {
    let others = facts.halts.len().saturating_sub(LISTED);
    html! {
        @if !facts.halts.is_empty() {
            section .card aria-label="Halts" {
                h2 { "Halts" }
                ul .notes { @for halt in facts.halts.iter().skip(others) { li { (told::plain(halt)) } } }
                @if others > 0 { p .sub { (others) " older ones are left out here; " code { "sentinel report --format json" } " has all of them." } }
            }
        }
    }
}
