//! The document: one file that needs no other one, no script and no network, in the page's colours, light or dark.

mod forecasts;
mod money;
mod pipeline;
mod rest;
mod tabled;

use data_encoding::BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sentinel_actors::domain::reason::Outcome;

use super::facts::Facts;
use crate::operator::page::cells::word;
use crate::operator::page::frame::{Tone, icon};
use crate::operator::page::{CSS, told};

/// Of more pipelines only those with the most missed slots are shown.
pub const PIPELINES: usize = 12;
/// Rows of a list of positions.
pub const POSITIONS: usize = 25;
/// Halts, and orders that are not final.
pub const LISTED: usize = 25;

/// What only a report has.
const OWN_CSS: &str = include_str!("report.css");
/// A document that is opened anywhere loads nothing from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// The whole document.
#[must_use]
pub fn document(facts: &Facts) -> String {
    let what = if facts.backtests.is_empty() { "report" } else { "backtest" };
    let title = format!("Sentinel {what} of {}, {}", told::plain(&facts.state), facts.range.words());
    let icon = BASE64.encode(icon(Tone::Quiet).into_string().as_bytes());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) }
                link rel="icon" type="image/svg+xml" href={ "data:image/svg+xml;base64," (icon) };
                style { (PreEscaped(CSS)) (PreEscaped(OWN_CSS)) }
            }
            body {
                a .skip href="#main" { "Skip to the figures" }
                header {
                    b { "Sentinel " (what) }
                    span .name { bdi { (told::plain(&facts.state)) } }
                    span .sp {}
                    span .v { (facts.version) }
                    span { "made at " (facts.made_at) }
                }
                main #main tabindex="-1" {
                    (in_short(facts))
                    (rest::backtests(facts))
                    (rest::open(facts))
                    (pipeline::cards(facts))
                    (money::cards(facts))
                    (forecasts::cards(facts))
                    (rest::workers(facts))
                    (rest::outages(facts))
                    (rest::halts(facts))
                }
                (footer())
            }
        }
    };
    page.into_string()
}

/// The sentence above everything, and the figures that are asked for first.
fn in_short(facts: &Facts) -> Markup {
    let slots: u64 = facts.pipelines.iter().map(|pipeline| pipeline.slots.slots).sum();
    let count = |outcome| -> u64 { facts.pipelines.iter().map(|pipeline| pipeline.slots.count(outcome)).sum() };
    let ended: Vec<String> = Outcome::ALL
        .into_iter()
        .map(|outcome| format!("{} {}", told::grouped(count(outcome)), word(outcome)))
        .collect();
    let missed = count(Outcome::Missed);
    let tone = if slots == 0 {
        "quiet"
    } else if missed > 0 {
        "needs"
    } else {
        "good"
    };
    html! {
        section .card.say class=(tone) aria-label="In short" {
            div {
                h1 { @if slots == 0 { "No slot has ended in this range." } @else { (told::count(slots, "slot")) ": " (ended.join(", ")) "." } }
                p { "Slots " (facts.range.words()) "; " (told::count(facts.pipelines.len() as u64, "pipeline")) ". The node: " (told::plain(&facts.node)) }
                @if let Some(lost) = &facts.lost { p .warn { (lost) } }
            }
            dl .nums {
                @for (name, value) in figures(facts) { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}

fn figures(facts: &Facts) -> Vec<(&'static str, String)> {
    let sum = |of: fn(&super::facts::PipelineFacts) -> u64| facts.pipelines.iter().map(of).sum::<u64>();
    let orders = sum(|pipeline| pipeline.orders.values().sum());
    let forecasts = sum(|pipeline| pipeline.forecasts.values().sum());
    let mut figures = Vec::new();
    if orders > 0 || forecasts == 0 {
        figures.push(("Orders", told::grouped(orders)));
    }
    if forecasts > 0 {
        figures.push(("Forecasts", told::grouped(forecasts)));
    }
    // Money of a dry run and of live orders is never one sum.
    figures.extend(facts.venues.iter().map(|venue| match venue.total() {
        Some(total) => (if facts.venues.len() > 1 { venue.by } else { "Profit" }, format!("{:+.2}", total.profit)),
        None => ("Profit", "unknown".to_owned()),
    }));
    figures.push(("Outages", told::grouped(sum(|pipeline| pipeline.slots.outages.count))));
    figures
}

fn footer() -> Markup {
    html! {
        footer {
            p {
                "Bars that a model was trained on are called training bars, by the manifest beside it as it is now; only unseen bars say \
                 something about skill. What a venue has no record of is unknown here, and not nothing. The same rows, one file for each \
                 table: " code { "sentinel report --csv DIR" } ". How scores are computed: docs/report.md."
            }
        }
    }
}
