//! The layers of a chart.

use std::fmt::Write as _;

use maud::{Markup, html};
use sentinel_actors::closes::CloseAt;
use sentinel_actors::domain::action::Action;
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::intent::{Intent, IntentState};
use sentinel_actors::domain::order::Side;
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;

use super::asked::slot_path;
use super::cells::{self, Cell, word};
use super::chart::{Plot, Scale};
use super::facts::Node;
use super::rows::Charted;
use super::told;

/// Heights of the layers.
const PRICE: (f64, f64) = (30.0, 128.0);
const BELOW: (f64, f64) = (158.0, 206.0);
const STRIP_BOTTOM: f64 = 238.0;
/// A market that was closed for fewer slots in a row is not shaded.
const SHUT_SLOTS: usize = 3;

/// Shades where the market was closed.
pub(super) fn shut(charted: &Charted, plot: &Plot) -> Markup {
    let mut runs: Vec<(UtcMs, UtcMs, usize)> = Vec::new();
    let mut is_open = true;
    for slot in &charted.slots {
        let closed = slot.reason == Reason::MarketClosed;
        match runs.last_mut().filter(|_| closed && !is_open) {
            Some(run) => (run.1, run.2) = (slot.slot, run.2 + 1),
            None if closed => runs.push((slot.slot, slot.slot, 1)),
            None => {}
        }
        is_open = !closed;
    }
    html! {
        @for (first, last, _) in runs.into_iter().filter(|run| run.2 >= SHUT_SLOTS) {
            @let (x, width) = (plot.x(first), plot.x(last) + plot.width() - plot.x(first));
            rect .shut x=(num(x)) y="14" width=(num(width)) height="192" {}
            @if width > 80.0 { text .m x=(num(x + width / 2.0)) y="25" { "market closed" } }
        }
    }
}

/// Days or hours below everything.
pub(in crate::operator) fn axis(plot: &Plot) -> Markup {
    let span = plot.until.0 - plot.from().0;
    let steps = [3_600_000, 10_800_000, 21_600_000, 43_200_000, 86_400_000];
    let step = steps.into_iter().find(|step| span / step <= 9).unwrap_or(((span / 86_400_000) / 8 + 1) * 86_400_000);
    let label: fn(UtcMs) -> String = match (step / 86_400_000, span / 86_400_000) {
        (0, _) => told::hour,
        (1..7, _) => told::day,
        (_, 0..400) => told::date,
        _ => told::month,
    };
    let first = plot.from().0.div_euclid(step) + 1;
    let ticks: Vec<UtcMs> = (first..).map(|n| UtcMs(n * step)).take_while(|at| at.0 < plot.until.0).take(12).collect();
    html! {
        g .grid aria-hidden="true" {
            @for (index, at) in ticks.into_iter().enumerate() {
                @let x = plot.x(at);
                path d={ "M" (num(x)) " 238v4" } {}
                @if x > 60.0 && x < 540.0 {
                    text .m.dl[index % 2 == 1] x=(num(x)) y="252" { (label(at)) }
                }
            }
        }
    }
}

/// What an effect refers to.
fn price(intent: &Intent) -> Option<f64> {
    let price = match &intent.action {
        Action::Order(order) => order.reference_price,
        Action::Forecast(forecast) => forecast.reference_price,
    };
    price.try_into().ok()
}

/// Closes at the times when their bars closed: an order refers to the one that closed right before its slot.
fn shown(closes: &[CloseAt], plot: &Plot) -> Vec<CloseAt> {
    let length = closes.iter().zip(closes.iter().skip(1)).map(|((a, _), (b, _))| b.0 - a.0).min().unwrap_or(0);
    let closed = closes.iter().map(|(opened, close)| (UtcMs(opened.0.saturating_add(length)), *close));
    closed.filter(|(at, _)| plot.shows(*at)).collect()
}

/// Of everything that has a price on the chart.
pub(super) fn price_scale(charted: &Charted, closes: &[CloseAt], plot: &Plot) -> Option<Scale> {
    let closes = shown(closes, plot).into_iter().map(|(_, close)| close);
    Scale::of(charted.intents.iter().filter_map(price).chain(closes), PRICE.0, PRICE.1)
}

/// The closes of its bars where they are known, else the prices that its effects refer to; joined only from one to the next.
pub(super) fn prices(charted: &Charted, closes: &[CloseAt], plot: &Plot, scale: Option<Scale>) -> Markup {
    let Some(scale) = scale else {
        return html! { text .cap x="46" y="80" { "No price is known before its next slot." } };
    };
    let known = shown(closes, plot);
    let is_closes = known.len() > 1;
    let points: Vec<CloseAt> = if is_closes {
        known
    } else {
        charted.intents.iter().filter_map(|intent| Some((intent.slot, price(intent)?))).collect()
    };
    let (line, far) = joined(&points, plot, scale, !is_closes);
    let (values, decimals) = scale.round_values();
    let what = if is_closes { "Close of its bars" } else { "Price at what it sent" };
    html! {
        g .grid aria-hidden="true" {
            @for value in values {
                path d={ "M46 " (num(scale.y(value))) "H552" } {}
                text .e x="40" y=(num(scale.y(value) + 3.5)) { (grouped(value, decimals)) }
            }
        }
        text .cap x="46" y="12" { (what) }
        @if !far.is_empty() { path .price.far d=(far) {} }
        @if !line.is_empty() { path .price d=(line) {} }
        @if let Some((at, price)) = points.last().filter(|_| is_closes) {
            circle .nowdot cx=(num(plot.middle(*at))) cy=(num(scale.y(*price))) r="2.5" {}
        }
    }
}

/// Neighbours as one line, and what lies between others as another one.
fn joined(points: &[CloseAt], plot: &Plot, scale: Scale, with_far: bool) -> (String, String) {
    let (mut line, mut far) = (String::new(), String::new());
    let mut before: Option<(UtcMs, f64, f64)> = None;
    for (at, price) in points {
        // Rounded before they are compared, so that no error adds up.
        let (x, y) = (rounded(plot.middle(*at)), rounded(scale.y(*price)));
        match before {
            Some((slot, was_x, was_y)) if at.0 - slot.0 <= plot.period * 3 / 2 => {
                let (dx, dy) = (num(x - was_x), num(y - was_y));
                let _ = write!(line, "l{dx}{}{dy}", if dy.starts_with('-') { "" } else { " " });
            }
            other => {
                let _ = write!(line, "M{x} {y}");
                if let Some((_, was_x, was_y)) = other.filter(|_| with_far) {
                    let _ = write!(far, "M{was_x} {was_y}L{x} {y}");
                }
            }
        }
        before = Some((*at, x, y));
    }
    (line, far)
}

fn grouped(value: f64, decimals: usize) -> String {
    if decimals == 0 && value >= 0.0 { told::grouped(value as u64) } else { format!("{value:.decimals$}") }
}

/// How confident the winning class was, against what it had to exceed.
pub(super) fn confidence(charted: &Charted, plot: &Plot) -> Markup {
    let threshold = charted.slots.iter().rev().find_map(|slot| slot.weighed.as_ref()).map(|weighed| weighed.threshold);
    let confident: Vec<(UtcMs, f64)> = charted
        .slots
        .iter()
        .filter_map(|slot| Some((slot.slot, slot.confidence.filter(|value| value.is_finite())?)))
        .collect();
    if confident.is_empty() {
        return html! { text .cap x="46" y="150" { "No confidence is known." } };
    }
    let highest = confident.iter().map(|(_, value)| *value).fold(threshold.unwrap_or(0.5), f64::max).min(1.0);
    // From what a coin would say: below it nothing can win.
    let lowest = confident.iter().map(|(_, value)| *value).fold(threshold.unwrap_or(0.5), f64::min);
    let floor = (lowest - (highest - lowest) * 0.15).max(0.0);
    let Some(scale) = Scale::of([floor, highest].into_iter(), 0.0, 48.0) else { return html! {} };
    let (mut quiet, mut enough) = (String::new(), String::new());
    for (slot, value) in confident {
        let path = if threshold.is_some_and(|threshold| value > threshold) { &mut enough } else { &mut quiet };
        let _ = write!(path, "M{} 48V{}", num(plot.place(slot)), scale.y(value).round());
    }
    html! {
        text .cap x="46" y="150" { "Confidence of the winning class" }
        path .base d="M46 206H552" {}
        (inner(plot, (BELOW.0, 48.0), "-.5", html! {
            @if !quiet.is_empty() { path .cq d=(quiet) {} }
            @if !enough.is_empty() { path .ca d=(enough) {} }
        }))
        @if let Some(y) = threshold.map(|threshold| BELOW.0 + scale.y(threshold)) {
            path .thr d={ "M46 " (num(y)) "H552" } {}
            text .e x="40" y=(num(y + 3.5)) { (format!("{:.2}", threshold.unwrap_or_default())) }
        }
    }
}

/// What it forecast, around zero.
pub(super) fn forecasts(charted: &Charted, plot: &Plot) -> Markup {
    let value = |slot: &SlotRecord| match slot.raw_output.as_deref() {
        Some([value]) if value.is_finite() => Some((slot.slot, *value)),
        _ => None,
    };
    let values: Vec<(UtcMs, f64)> = charted.slots.iter().filter_map(value).collect();
    let largest = values.iter().map(|(_, value)| value.abs()).fold(1e-6, f64::max);
    let Some(scale) = Scale::of([-largest, largest].into_iter(), BELOW.0, BELOW.1) else { return html! {} };
    let mut line = String::new();
    let mut before: Option<UtcMs> = None;
    for (slot, value) in &values {
        let is_next = before.is_some_and(|before| slot.0 - before.0 <= plot.period * 3 / 2);
        let _ = write!(line, "{}{} {}", if is_next { 'L' } else { 'M' }, num(plot.middle(*slot)), num(scale.y(*value)));
        // A point that has no neighbour is seen too.
        if !is_next {
            line.push_str("h.1");
        }
        before = Some(*slot);
    }
    let horizon =
        charted.intents.iter().rev().find_map(|intent| intent.action.forecast()).map(|forecast| forecast.horizon());
    html! {
        text .cap x="46" y="150" { "Forecast, log return" @if let Some(horizon) = horizon { " over " (told::span(horizon)) } }
        path .thr d={ "M46 " (num(scale.y(0.0))) "H552" } {}
        @for value in [largest, 0.0, -largest] {
            text .e x="40" y=(num(scale.y(value) + 3.5)) { @if value == 0.0 { "0" } @else { (signed(value)) } }
        }
        @if !line.is_empty() { path .fc d=(line) {} }
    }
}

fn signed(value: f64) -> String {
    let sign = if value < 0.0 { '−' } else { '+' };
    let decimals = (1.0 - value.abs().log10().floor()).clamp(0.0, 5.0) as usize;
    format!("{sign}{:.decimals$}", value.abs())
}

/// How each slot ended.
pub(super) fn strip(charted: &Charted, plot: &Plot) -> Markup {
    let placed: Vec<(f64, Cell)> =
        charted.slots.iter().map(|slot| (plot.place(slot.slot), Cell::of(slot.reason))).collect();
    html! {
        text .e x="40" y="234" aria-hidden="true" { "slots" }
        (inner(plot, (STRIP_BOTTOM - 16.0, 16.0), "0", cells::paths(&placed)))
    }
}

/// A drawing whose unit is a slot.
fn inner(plot: &Plot, (y, height): (f64, f64), left: &str, drawn: Markup) -> Markup {
    html! {
        svg .cells x="46" y=(num(y)) width="506" height=(num(height)) viewBox={ (left) " 0 " (num(plot.places())) " " (num(height)) }
            preserveAspectRatio="none" aria-hidden="true" { (drawn) }
    }
}

/// What can be asked about: effects, and slots that were missed or failed. Each leads to the page of its slot.
pub(super) fn marks(node: &Node, charted: &Charted, plot: &Plot, (scale, count): (Option<Scale>, usize)) -> Markup {
    let newest =
        charted.slots.iter().rev().filter(|slot| {
            slot.outcome() == Outcome::Acted || slot.outcome() == Outcome::Missed || slot.reason.is_fault()
        });
    let mut linked: Vec<&SlotRecord> = newest.take(count).collect();
    linked.reverse();
    html! {
        @for slot in linked {
            @let own = charted.intents.iter().filter(|intent| intent.slot == slot.slot).max_by_key(|intent| !intent.state.is_final());
            a href=(slot_path(&charted.name, slot.slot)) {
                title { (name(node, slot)) }
                @match own.zip(scale).and_then(|(intent, scale)| Some((intent, scale.y(price(intent)?)))) {
                    Some((intent, y)) => (sign(intent, plot.middle(slot.slot), y)),
                    None => path .hit d=(hit(plot, slot.slot)) {},
                }
            }
        }
    }
}

/// What was sent, as signs that lead nowhere.
pub(super) fn signs(charted: &Charted, plot: &Plot, scale: Scale) -> Markup {
    html! {
        @for intent in charted.intents.iter().filter(|intent| plot.shows(intent.slot)) {
            @if let Some(price) = price(intent) {
                g { title { (intent.slot) ": " (intent.action) ", " (intent.state) } (sign(intent, plot.middle(intent.slot), scale.y(price))) }
            }
        }
    }
}

/// Where a slot without a mark of its own is asked about: its cell, as wide as a finger of a mouse.
fn hit(plot: &Plot, slot: UtcMs) -> String {
    let width = num(plot.width().max(3.0));
    format!("M{} 218h{width}v24h-{width}z", num(plot.x(slot)))
}

fn name(node: &Node, slot: &SlotRecord) -> String {
    let answer = told::answer(slot);
    let answer = if answer.is_empty() { answer } else { format!(" {answer}") };
    format!("{} {}{answer}: {}", told::when(slot.slot, node.now), word(slot.outcome()), slot.reason.short())
}

/// Up for a purchase, down for a sale, a point for a forecast; hollow while nobody knows what became of it.
fn sign(intent: &Intent, x: f64, y: f64) -> Markup {
    let (x, up, down) = (num(x), num(y + 2.0), num(y - 2.0));
    let shape = match &intent.action {
        Action::Order(order) if order.side == Side::Buy => format!("M{x} {up}l4.5 8h-9z"),
        Action::Order(_) => format!("M{x} {down}l4.5-8h-9z"),
        Action::Forecast(_) => format!("M{x} {}m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0", num(y)),
    };
    let in_doubt = matches!(intent.state, IntentState::Held | IntentState::Unknown);
    html! { path .mk.held[in_doubt] d=(shape) {} }
}

/// To one decimal.
fn rounded(value: f64) -> f64 {
    // The sum turns a negative zero into zero.
    (value * 10.0).round() / 10.0 + 0.0
}

pub(in crate::operator) fn num(value: f64) -> String {
    format!("{}", rounded(value))
}
