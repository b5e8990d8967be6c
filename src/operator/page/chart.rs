//! The chart of a pipeline: prices, confidence or forecasts, and how each slot ended, over one axis of time.
//!
//! The journal keeps no price of a slot that led to nothing, so prices are the closes of the bars that its newest cycle had. Before its
//! first cycle after a start they are those that its orders and forecasts refer to. Only neighbours are joined: between others nothing
//! is known.

use maud::{Markup, html};
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::time::UtcMs;

use super::asked::pipeline_path;
use super::chart_facts;
use super::chart_parts::{axis, confidence, forecasts, marks, price_scale, prices, shut, signs, strip};
use super::facts::Node;
use super::frame::to_pipeline;
use super::rows::{Charted, Rows};
use super::told;

/// Linked marks of all charts of a page together.
const MARKS: usize = 40;

/// The charts of a page; where there are too many pipelines, each has its own page.
#[must_use]
pub fn part(node: &Node, rows: &Rows) -> Markup {
    let marks = MARKS / rows.charts.len().max(1);
    html! {
        div #charts class=(if rows.charts.len() > 1 { "two" } else { "alone" }) data-part {
            @for charted in &rows.charts { (card(node, charted, marks)) }
        }
    }
}

fn card(node: &Node, charted: &Charted, marks: usize) -> Markup {
    let label = format!("c-{}", pipeline_path(&charted.name).replace(['/', '%'], "-"));
    html! {
        section .card.chart aria-labelledby=(label) {
            div .head {
                h2 id=(label) { (to_pipeline(&charted.name)) }
                span { (extent(charted)) }
            }
            @match Plot::of(&charted.slots) {
                Some(plot) => (drawn(node, charted, &plot, marks)),
                None => p .sub { "No slot has ended yet." },
            }
            (chart_facts::facts(node, charted))
        }
    }
}

fn extent(charted: &Charted) -> String {
    let slots = told::count(charted.slots.len() as u64, "slot");
    match (charted.slots.first(), charted.slots.last()) {
        (Some(first), Some(last)) if first.slot < last.slot => {
            format!("{}, {slots}", told::span(last.slot.since(first.slot)))
        }
        _ => slots,
    }
}

fn drawn(node: &Node, charted: &Charted, plot: &Plot, count: usize) -> Markup {
    let closes = node.pipelines.get(&charted.name).and_then(|pipeline| pipeline.closes.as_ref());
    let closes = closes.map_or(&[][..], |closes| closes.as_slice());
    let scale = price_scale(charted, closes, plot);
    let marks = marks(node, charted, plot, (scale, count));
    layers(charted, plot, (prices(charted, closes, plot, scale), marks), "The list of slots says the same.")
}

/// The same without links and without bars, for a document that is read away from its node.
#[must_use]
pub(in crate::operator) fn alone(charted: &Charted) -> Markup {
    let Some(plot) = Plot::of(&charted.slots) else { return html! { p .sub { "No slot has ended." } } };
    let Some(scale) = price_scale(charted, &[], &plot) else {
        let none = html! { text .cap x="46" y="80" { "Nothing was sent in these slots, so no price is on record." } };
        return layers(charted, &plot, (none, html! {}), "The tables say the same.");
    };
    let drawn = (prices(charted, &[], &plot, Some(scale)), signs(charted, &plot, scale));
    layers(charted, &plot, drawn, "The tables say the same.")
}

fn layers(charted: &Charted, plot: &Plot, (prices, marks): (Markup, Markup), where_else: &str) -> Markup {
    let is_forecast = chart_facts::forecasts(charted);
    let what = if is_forecast { "prices with forecasts" } else { "prices with orders, confidence" };
    let name = format!("{}: {what}, and how each slot ended. {where_else}", told::plain(&charted.name));
    html! {
        svg viewBox="0 0 560 256" role="group" aria-label=(name) {
            (shut(charted, plot))
            (axis(plot))
            (prices)
            @if is_forecast { (forecasts(charted, plot)) } @else { (confidence(charted, plot)) }
            (strip(charted, plot))
            (marks)
        }
        (key(is_forecast))
    }
}

fn key(is_forecast: bool) -> Markup {
    html! {
        p .key aria-hidden="true" {
            @if is_forecast {
                span { span .mk2 { "●" } " forecast" }
            } @else {
                span { span .mk2 { "▲" } " bought" } span { span .mk2 { "▼" } " sold" }
            }
            span { span .warn { "△" } " not settled" }
            span .o.acted { "acted" } span .o { "no action" }
            span .o.skipped { "skipped" } span .o.missed { "missed" }
        }
    }
}

/// Where times are on the axis.
#[derive(Debug, Clone, Copy)]
pub(in crate::operator) struct Plot {
    from: UtcMs,
    /// One slot after the newest one.
    pub until: UtcMs,
    /// The usual time between two slots, in milliseconds.
    pub period: i64,
}

impl Plot {
    pub const LEFT: f64 = 46.0;
    pub const RIGHT: f64 = 552.0;

    /// `None`: there is nothing to show.
    pub fn of(slots: &[SlotRecord]) -> Option<Self> {
        let (first, last) = (slots.first()?.slot, slots.last()?.slot);
        let mut gaps: Vec<i64> =
            slots.iter().zip(slots.iter().skip(1)).map(|(a, b)| b.slot.0.saturating_sub(a.slot.0)).collect();
        gaps.sort_unstable();
        let period = gaps.get(gaps.len() / 2).copied().unwrap_or(3_600_000).max(1);
        Some(Self { from: first, until: UtcMs(last.0.saturating_add(period)), period })
    }

    /// From one time to another one, in steps of `period` milliseconds.
    pub const fn between(from: UtcMs, until: UtcMs, period: i64) -> Self {
        Self { from, until, period: if period > 0 { period } else { 1 } }
    }

    pub const fn from(&self) -> UtcMs {
        self.from
    }

    /// Where the cell of a slot begins.
    pub fn x(&self, at: UtcMs) -> f64 {
        let share =
            (at.0.saturating_sub(self.from.0)) as f64 / (self.until.0.saturating_sub(self.from.0)).max(1) as f64;
        Self::LEFT + share.clamp(0.0, 1.0) * (Self::RIGHT - Self::LEFT)
    }

    /// Whether a time lies on the axis. A bar opens before its slot.
    pub fn shows(&self, at: UtcMs) -> bool {
        at >= self.from && at < self.until
    }

    /// The middle of the cell of a slot.
    pub fn middle(&self, slot: UtcMs) -> f64 {
        self.x(slot) + self.width() / 2.0
    }

    /// The same in slots after the first one.
    pub fn place(&self, slot: UtcMs) -> f64 {
        slot.0.saturating_sub(self.from.0) as f64 / self.period as f64
    }

    /// How many slots the axis is long.
    pub fn places(&self) -> f64 {
        self.place(self.until)
    }

    /// How wide the cell of a slot is.
    pub fn width(&self) -> f64 {
        (self.x(UtcMs(self.from.0.saturating_add(self.period))) - Self::LEFT).max(0.4)
    }
}

/// A range of values on a range of heights, the larger value further up.
#[derive(Debug, Clone, Copy)]
pub(in crate::operator) struct Scale {
    low: f64,
    high: f64,
    top: f64,
    bottom: f64,
}

impl Scale {
    /// `None`: there is no value. Equal values lie in the middle.
    pub fn of(values: impl Iterator<Item = f64>, top: f64, bottom: f64) -> Option<Self> {
        let ends = values.filter(|value| value.is_finite()).fold(None, |ends: Option<(f64, f64)>, value| {
            Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        });
        let (low, high) = ends?;
        let room = if high > low { 0.0 } else { low.abs().max(1e-9) * 0.01 };
        Some(Self { low: low - room, high: high + room, top, bottom })
    }

    pub fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        self.bottom - share.clamp(0.0, 1.0) * (self.bottom - self.top)
    }

    /// At least three round values inside, as far apart as can be, with how many decimals they need.
    pub fn round_values(&self) -> (Vec<f64>, usize) {
        let power = 10_f64.powf((self.high - self.low).log10().floor());
        let fits = |step: &f64| (self.high / step).floor() - (self.low / step).ceil() >= 2.0;
        let step = [5.0, 2.0, 1.0, 0.5].into_iter().map(|factor| factor * power).find(fits).unwrap_or(power * 0.2);
        let first = (self.low / step).ceil();
        let values = (0..8).map(|n| (first + f64::from(n)) * step).filter(|value| *value <= self.high + step * 1e-9);
        let decimals = (-step.log10().floor()).clamp(0.0, 8.0);
        (values.collect(), decimals as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_values_lie_inside_and_are_few() {
        let scale = Scale::of([1.1778, 1.2031].into_iter(), 10.0, 100.0).unwrap();
        let (values, decimals) = scale.round_values();
        let shown: Vec<String> = values.iter().map(|value| format!("{value:.decimals$}")).collect();
        assert_eq!(shown, ["1.18", "1.19", "1.20"]);
        assert!((scale.y(1.2031) - 10.0).abs() < 1e-9 && (scale.y(1.1778) - 100.0).abs() < 1e-9);
        let flat = Scale::of([5.0].into_iter(), 0.0, 10.0).unwrap();
        assert!((flat.y(5.0) - 5.0).abs() < 1e-9);
        assert!(Scale::of([f64::NAN].into_iter(), 0.0, 1.0).is_none());
    }
}
