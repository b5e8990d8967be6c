//! The six facts below a chart. What is not known is said so.

use maud::{Markup, html};
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::intent::{Intent, IntentState};
use sentinel_actors::domain::time::UtcMs;

use super::facts::{Node, Pipeline};
use super::rows::Charted;
use super::told;

const DAY_MS: i64 = 86_400_000;
/// Characters of a model's hash that are shown.
const HASH_CHARS: usize = 12;

/// Whether its job is to forecast.
#[must_use]
pub fn forecasts(charted: &Charted) -> bool {
    let intent = charted.intents.iter().any(|intent| intent.action.forecast().is_some());
    intent || charted.slots.iter().any(|slot| matches!(slot.raw_output.as_deref(), Some([_])))
}

/// A fact: its name, what it is, what is said about it, and whether that is a warning.
type Fact = (&'static str, String, String, bool);

#[must_use]
pub fn facts(node: &Node, charted: &Charted) -> Markup {
    let Some(pipeline) = node.pipelines.get(&charted.name) else { return html! {} };
    let first = if forecasts(charted) {
        [forecast(charted), sent(charted, "Forecasts of a day")]
    } else {
        [position(pipeline, charted), sent(charted, "Orders of a day")]
    };
    let facts = first.into_iter().chain([
        full_cycle(charted),
        newest_bar(node, charted),
        model(charted),
        ("Goes to", told::plain(&pipeline.account), told::plain(&pipeline.symbol), false),
    ]);
    html! {
        dl .facts {
            @for (name, value, note, is_warning) in facts {
                div { dt { (name) } dd { bdi { (value) } small class=[(is_warning).then_some("warn")] { bdi { (note) } } } }
            }
        }
    }
}

/// What is open: an order whose end is not known may have made it or not.
fn position(pipeline: &Pipeline, charted: &Charted) -> Fact {
    let open = match pipeline.open_positions {
        None => "not known".to_owned(),
        Some(0) => "flat".to_owned(),
        Some(count) => told::count(count as u64, "position"),
    };
    let held = pipeline.held.iter().map(|held| &held.intent);
    let unsettled =
        charted.intents.iter().filter(|intent| intent.state == IntentState::Unknown).chain(held).next_back();
    match unsettled.and_then(Intent::order) {
        Some(order) => {
            let text = format!("{open}, or {} {}", order.side, order.volume_lots.normalize());
            ("Position", text, "not settled".to_owned(), true)
        }
        None => ("Position", open, "as last seen at the venue".to_owned(), false),
    }
}

/// Of the last 24 hours before the newest slot: a replay's day is that of its bars.
fn sent(charted: &Charted, name: &'static str) -> Fact {
    let until = charted.slots.last().map_or(UtcMs(0), |slot| slot.slot);
    let left = charted.intents.iter().filter(|intent| intent.state.may_have_left() && until.0 - intent.slot.0 < DAY_MS);
    let limit =
        charted.slots.iter().rev().find_map(|slot| slot.weighed.as_ref()?.risk.map(|risk| risk.max_orders_per_day));
    let note = limit.map_or_else(|| "up to its newest slot".to_owned(), |limit| format!("of at most {limit}"));
    (name, told::grouped(left.count() as u64), note, false)
}

fn forecast(charted: &Charted) -> Fact {
    let newest = charted.slots.iter().rev().find(|slot| matches!(slot.raw_output.as_deref(), Some([_])));
    let value = newest.map_or_else(|| "none yet".to_owned(), told::answer);
    let horizon =
        charted.intents.iter().rev().find_map(|intent| intent.action.forecast()).map(|forecast| forecast.horizon());
    let note = horizon.map_or_else(String::new, |horizon| format!("over {}", told::span(horizon)));
    ("Newest forecast", value, note, false)
}

fn full_cycle(charted: &Charted) -> Fact {
    let full = |slot: &&SlotRecord| slot.stage_us.iter().all(Option::is_some);
    let us = charted.slots.iter().rev().find(full).and_then(told::worked_us);
    let value = us.map_or_else(|| "none yet".to_owned(), told::took);
    ("Last full cycle", value, "in its four stages".to_owned(), false)
}

fn newest_bar(node: &Node, charted: &Charted) -> Fact {
    let newest = charted.slots.iter().rev().find_map(|slot| Some((slot.newest_bar?, slot.bars)));
    let Some((bar, bars)) = newest else { return ("Newest bar", "none yet".to_owned(), String::new(), false) };
    let note = bars.map_or_else(String::new, |bars| format!("{} bars in the window", told::grouped(bars.into())));
    ("Newest bar", told::when(bar, node.now), note, false)
}

fn model(charted: &Charted) -> Fact {
    let mut used = charted.slots.iter().rev().filter_map(|slot| slot.model.as_ref());
    let Some(model) = used.next() else { return ("Model", "not asked yet".to_owned(), String::new(), false) };
    let same = 1 + used.clone().take_while(|other| other.hash == model.hash).count();
    let has_changed = used.any(|other| other.hash != model.hash);
    let hash: String = model.hash.chars().take(HASH_CHARS).collect();
    let note = match has_changed {
        true => format!("changed {} ago", told::count(same as u64, "answer")),
        false => format!("the same in {}", told::count(same as u64, "answer")),
    };
    ("Model", told::plain(&hash), note, has_changed)
}
