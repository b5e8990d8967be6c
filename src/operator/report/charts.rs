//! The drawings of a report, with the axes, colours and marks of the page's charts.

use std::fmt::Write as _;

use maud::{Markup, html};
use sentinel_actors::domain::time::UtcMs;

use super::part::{Part, Periods};
use super::scores::Calibration;
use super::summary::{CONFIDENCE_BINS, DAY_MS, Summary};
use super::thinned::Thinned;
use crate::operator::page::cells::Cell;
use crate::operator::page::chart::{Plot, Scale};
use crate::operator::page::chart_parts::{axis, num};
use crate::operator::page::told;

/// Columns of a drawing at most.
const COLUMNS_MAX: i64 = 120;
/// The heights between which values are drawn.
const TOP: f64 = 24.0;
const BOTTOM: f64 = 232.0;

/// Cells from the bottom of a column to its top, with the class of their colour.
const STACK: [(Cell, &str); 5] =
    [(Cell::Acted, "f-a"), (Cell::Quiet, "f-n"), (Cell::Closed, "f-z"), (Cell::Skipped, "f-s"), (Cell::Missed, "f-x")];

/// How the slots of each day, or of some days together, ended.
pub(super) fn outcomes(summary: &Summary) -> Markup {
    let (Some((first, _)), Some((last, _))) = (summary.days.first_key_value(), summary.days.last_key_value()) else {
        return html! { p .sub { "No slot has ended in this range." } };
    };
    let days = (last - first) / COLUMNS_MAX + 1;
    let mut columns: Vec<(i64, [u64; Cell::ALL.len()])> = Vec::new();
    for (day, counts) in &summary.days {
        let start = first + (day - first) / days * days;
        match columns.last_mut().filter(|column| column.0 == start) {
            Some((_, sums)) => sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count),
            None => columns.push((start, *counts)),
        }
    }
    let until = first + ((last - first) / days + 1) * days;
    let plot = Plot::between(UtcMs(first * DAY_MS), UtcMs(until * DAY_MS), days * DAY_MS);
    let most = columns.iter().map(|(_, counts)| counts.iter().sum::<u64>()).max().unwrap_or(1);
    let Some(scale) = Scale::of([0.0, most as f64].into_iter(), TOP, BOTTOM) else { return html! {} };
    let caption = if days == 1 { "Slots of each day".to_owned() } else { format!("Slots of each {days} days") };
    html! {
        svg viewBox="0 0 560 256" role="img" aria-label={ (caption) " by how they ended. The table says the same." } {
            (training(summary.periods.as_ref(), &plot))
            (axis(&plot))
            (levels(&scale, whole))
            text .cap x="46" y="12" { (caption) }
            @for (day, counts) in &columns { (column(&plot, &scale, UtcMs(day * DAY_MS), counts)) }
        }
        p .key aria-hidden="true" {
            span .o.acted { "acted" } span .o { "no action" } span .o.closed { "market closed" }
            span .o.skipped { "skipped" } span .o.missed { "missed" }
        }
    }
}

fn column(plot: &Plot, scale: &Scale, at: UtcMs, counts: &[u64; Cell::ALL.len()]) -> Markup {
    let of = |cell: Cell| Cell::ALL.iter().zip(counts).find(|(kind, _)| **kind == cell).map_or(0, |(_, count)| *count);
    let width = (plot.width() - 0.6).max(0.6);
    let mut below = 0_u64;
    let mut parts = Vec::new();
    for (cell, class) in STACK {
        let count = of(cell);
        if count > 0 {
            let (top, bottom) = (scale.y((below + count) as f64), scale.y(below as f64));
            parts.push((class, top, bottom - top));
            below += count;
        }
    }
    let told = format!(
        "from {at}: {} acted, {} no action, {} market closed, {} skipped, {} missed",
        of(Cell::Acted),
        of(Cell::Quiet),
        of(Cell::Closed),
        of(Cell::Skipped),
        of(Cell::Missed)
    );
    html! {
        g {
            title { (told) }
            @for (class, top, height) in parts {
                rect class=(class) x=(num(plot.x(at))) y=(num(top)) width=(num(width)) height=(num(height.max(0.4))) {}
            }
        }
    }
}

/// Shades the bars that the model was trained on.
fn training(periods: Option<&Periods>, plot: &Plot) -> Markup {
    let Some(Periods { trained: (from, to), .. }) = periods else { return html! {} };
    let (left, right) = (plot.x(*from), plot.x(*to));
    html! {
        @if right - left > 1.0 {
            rect .shut x=(num(left)) y=(num(TOP - 8.0)) width=(num(right - left)) height=(num(BOTTOM - TOP + 8.0)) {}
            @if right - left > 80.0 { text .m x=(num((left + right) / 2.0)) y=(num(TOP)) { "training bars" } }
        }
    }
}

/// Lines at round values.
fn levels(scale: &Scale, written: impl Fn(f64, usize) -> String) -> Markup {
    let (values, decimals) = scale.round_values();
    html! {
        g .grid aria-hidden="true" {
            @for value in values {
                path d={ "M46 " (num(scale.y(value))) "H552" } {}
                text .e x="40" y=(num(scale.y(value) + 3.5)) { (written(value, decimals)) }
            }
        }
    }
}

fn whole(value: f64, decimals: usize) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count on an axis")]
    let count = value.max(0.0) as u64;
    if decimals == 0 { told::grouped(count) } else { format!("{value:.decimals$}") }
}

fn signed(value: f64, decimals: usize) -> String {
    let sign = if value < 0.0 { "−" } else { "" };
    format!("{sign}{:.decimals$}", value.abs())
}

/// Slots by the confidence of the winner.
pub(super) fn confidence(summary: &Summary) -> Markup {
    let most = summary.confidence.iter().map(|[idle, acted]| idle + acted).max().unwrap_or(0);
    if most == 0 {
        return html! {};
    }
    let Some(scale) = Scale::of([0.0, most as f64].into_iter(), TOP, BOTTOM) else { return html! {} };
    let width = (Plot::RIGHT - Plot::LEFT) / CONFIDENCE_BINS as f64;
    let bins = summary.confidence.iter().enumerate().filter(|(_, [idle, acted])| idle + acted > 0);
    html! {
        svg viewBox="0 0 560 256" role="img" aria-label="Slots by the confidence of the winning class. The table says how many and their mean." {
            (levels(&scale, whole))
            (shares())
            text .cap x="46" y="12" { "Slots by the confidence of the winning class" }
            @for (index, [idle, acted]) in bins {
                @let x = num(Plot::LEFT + index as f64 * width + 0.5);
                @let (low, high) = (scale.y(*acted as f64), scale.y((idle + acted) as f64));
                @let from = index as f64 / CONFIDENCE_BINS as f64;
                g {
                    title { "from " (format!("{from:.3}")) ": " (idle) " without an order, " (acted) " with one" }
                    @if *idle > 0 { rect .f-n x=(x) y=(num(high)) width=(num(width - 1.0)) height=(num((low - high).max(0.4))) {} }
                    @if *acted > 0 { rect .f-a x=(x) y=(num(low)) width=(num(width - 1.0)) height=(num((BOTTOM - low).max(0.4))) {} }
                }
            }
            @if let Some(threshold) = summary.threshold {
                @let x = num(across(threshold));
                path .thr d={ "M" (x) " 16V232" } {}
                text .e x=(num(across(threshold) - 4.0)) y="22" { "threshold " (format!("{threshold:.2}")) }
            }
        }
        p .key aria-hidden="true" { span .o.acted { "acted" } span .o { "nothing was sent" } }
    }
}

/// Where a share lies.
fn across(share: f64) -> f64 {
    Plot::LEFT + share.clamp(0.0, 1.0) * (Plot::RIGHT - Plot::LEFT)
}

/// An axis of shares below everything.
fn shares() -> Markup {
    html! {
        g .grid aria-hidden="true" {
            @for tenth in 0..=10_u8 {
                @let share = f64::from(tenth) / 10.0;
                path d={ "M" (num(across(share))) " 232v4" } {}
                @if tenth % 2 == 0 { text .m x=(num(across(share))) y="247" { (format!("{share:.1}")) } }
            }
        }
    }
}

/// What closed positions had brought up to each time.
pub(super) fn profit(curve: &Thinned<(UtcMs, f64)>, periods: Option<&Periods>) -> Markup {
    let (Some((first, _)), Some((last, total))) = (curve.points().first(), curve.points().last()) else {
        return html! { p .sub { "No position was closed in this range." } };
    };
    let plot = Plot::between(*first, UtcMs(last.0.max(first.0 + 1)), 1);
    let values = curve.points().iter().map(|(_, value)| *value).chain([0.0]);
    let Some(scale) = Scale::of(values, TOP, BOTTOM) else { return html! {} };
    let mut line = format!("M{} {}", num(plot.x(*first)), num(scale.y(0.0)));
    for (at, value) in curve.points() {
        let _ = write!(line, "H{}V{}", num(plot.x(*at)), num(scale.y(*value)));
    }
    html! {
        svg viewBox="0 0 560 256" role="img" aria-label="Realised profit up to each time. The list of positions says the same." {
            (training(periods, &plot))
            (axis(&plot))
            (levels(&scale, signed))
            text .cap x="46" y="12" { "Realised profit up to each time, quote currency" }
            path .thr d={ "M46 " (num(scale.y(0.0))) "H552" } {}
            path .fc d=(line) {}
            circle .nowdot cx=(num(plot.x(*last))) cy=(num(scale.y(*total))) r="2.5" {}
        }
        @if curve.is_thinned() {
            p .sub { (told::count(curve.points().len() as u64, "point")) " of " (told::grouped(curve.seen())) " are drawn." }
        }
    }
}

/// The share that was won at each confidence, with its range; the dashed line is where both are equal.
pub(super) fn reliability(calibration: &Calibration) -> Markup {
    let y = |share: f64| BOTTOM - share.clamp(0.0, 1.0) * (BOTTOM - TOP);
    let base_rate = calibration.scores().map(|scores| scores.base_rate);
    let shown: Vec<_> = calibration.bins().filter_map(|(_, bin)| Some((bin, bin.means()?, bin.interval()?))).collect();
    let line: Vec<String> =
        shown.iter().map(|(_, (mean, share), _)| format!("{} {}", num(across(*mean)), num(y(*share)))).collect();
    html! {
        svg viewBox="0 0 560 256" role="img" aria-label="Reliability: the share that was closed with a profit, at each confidence. The table says the same." {
            (shares())
            g .grid aria-hidden="true" {
                @for share in [0.0, 0.5, 1.0] {
                    path d={ "M46 " (num(y(share))) "H552" } {}
                    text .e x="40" y=(num(y(share) + 3.5)) { (format!("{share:.1}")) }
                }
            }
            text .cap x="46" y="12" { "Share closed with a profit, by confidence" }
            path .thr d={ "M46 " (num(y(0.0))) "L552 " (num(y(1.0))) } {}
            @if let Some(rate) = base_rate {
                path .base d={ "M46 " (num(y(rate))) "H552" } {}
                text .e x="552" y=(num(y(rate) - 4.0)) { "base rate " (format!("{rate:.2}")) }
            }
            @if line.len() > 1 { path .fc d={ "M" (line.join("L")) } {} }
            @for (bin, (mean, share), (low, high)) in &shown {
                g {
                    title { (told::count(bin.count, "position")) ", mean confidence " (format!("{mean:.3}")) ", " (format!("{share:.3}")) " won" }
                    path .range d={ "M" (num(across(*mean))) " " (num(y(*low))) "V" (num(y(*high))) } {}
                    circle .mk cx=(num(across(*mean))) cy=(num(y(*share))) r="4" {}
                }
            }
        }
    }
}

/// Each forecast against what came true; on the dashed line both are equal.
pub(super) fn came_true(points: &Thinned<(f64, f64, Part)>) -> Markup {
    if points.points().is_empty() {
        return html! { p .sub { "None of them has come true yet." } };
    }
    // The middle of the drawing is zero, and the largest of either is at its edge.
    let widest =
        |of: fn(&(f64, f64, Part)) -> f64| points.points().iter().map(|point| of(point).abs()).fold(1e-6, f64::max);
    let (widest_said, widest_true) = (widest(|point| point.0), widest(|point| point.1));
    let x = |said: f64| across(0.5 + said / widest_said / 2.0);
    let Some(scale) = Scale::of([-widest_true, widest_true].into_iter(), TOP, BOTTOM) else { return html! {} };
    let end = widest_said.min(widest_true);
    html! {
        svg viewBox="0 0 560 256" role="img" aria-label="Each forecast against what came true. The table says how far they are apart." {
            (levels(&scale, signed))
            g .grid aria-hidden="true" {
                @for said in [-widest_said, 0.0, widest_said] {
                    path d={ "M" (num(x(said))) " 24V236" } {}
                    text .m x=(num(x(said).clamp(66.0, 530.0))) y="249" { (signed(said, 4)) }
                }
            }
            text .cap x="46" y="12" { "What came true (up), by what was forecast (across); log returns" }
            path .thr d={ "M" (num(x(-end))) " " (num(scale.y(-end))) "L" (num(x(end))) " " (num(scale.y(end))) } {}
            @for (said, truth, part) in points.points() {
                circle class=(if *part == Part::Unseen { "mk" } else { "seen" }) cx=(num(x(*said))) cy=(num(scale.y(*truth))) r="2" {}
            }
        }
        p .key aria-hidden="true" { span { span .mk2 { "●" } " unseen bars" } span { "○ training bars, or not known" } }
        @if points.is_thinned() {
            p .sub { (told::count(points.points().len() as u64, "forecast")) " of " (told::grouped(points.seen())) " are drawn, evenly taken." }
        }
    }
}
