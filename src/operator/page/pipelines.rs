//! One row for each pipeline, the worst first.

use std::time::Duration;

use maud::{Markup, html};
use sentinel_actors::domain::halt::TradingState;
use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::node_view::PipelineView;
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::domain::verdict::FAULTS_MAX;

use super::asked::{Asked, slot_path};
use super::cells::{self, Cell};
use super::facts::{Node, Pipeline};
use super::frame::to_pipeline;
use super::rows::{CELLS, MANY, Rows};
use super::told;

#[must_use]
pub fn part(node: &Node, rows: &Rows, asked: &Asked) -> Markup {
    let shown =
        rows.names.iter().filter_map(|name| Some((name, node.pipelines.get(name)?, node.view.pipelines.get(name)?)));
    html! {
        section #pipelines .card data-part aria-labelledby="h-pipes" {
            div .head {
                h2 #h-pipes { "Pipelines" }
                span { (heading(rows, asked)) }
            }
            @if rows.names.is_empty() { p .sub { "No pipeline has such a name." } }
            @else {
                table .pipes {
                    thead { tr {
                        th scope="col" { "Name" } th scope="col" { "Orders" } th scope="col" { "Last slot" }
                        th scope="col" { "Late by" } th scope="col" { "Next in" }
                        th scope="col" { "Faults in a row" } th scope="col" { "Last " (CELLS) " slots" }
                    } }
                    tbody {
                        @for (name, pipeline, view) in shown {
                            (row(node, name, pipeline, view, rows.cells.get(name).map_or(&[][..], Vec::as_slice)))
                        }
                    }
                }
            }
            @if rows.others > 0 { (search(asked)) }
        }
    }
}

fn heading(rows: &Rows, asked: &Asked) -> String {
    let named = asked.pipeline.as_ref().map(|part| format!(" with “{}” in their names", told::plain(part)));
    let named = named.unwrap_or_default();
    match (rows.names.len(), rows.others) {
        (shown, 0) if shown < 2 => named.trim_start().to_owned(),
        (_, 0) => format!("worst first{named}"),
        (shown, others) => {
            format!("the worst {shown} of {}{named}", told::grouped((shown + others) as u64))
        }
    }
}

/// Names are typed where there are too many to choose from.
fn search(asked: &Asked) -> Markup {
    html! {
        form .chips method="get" action="/" {
            label for="named" { "Others by a part of their name" }
            input #named type="search" name="pipeline" maxlength="64" value=(asked.pipeline.as_deref().unwrap_or_default());
            button type="submit" { "Show" }
        }
    }
}

fn row(node: &Node, name: &str, pipeline: &Pipeline, view: &PipelineView, cells: &[(UtcMs, Reason)]) -> Markup {
    html! {
        tr {
            td { (to_pipeline(name)) small { bdi { (told::plain(&pipeline.symbol)) ", to " (told::plain(&pipeline.account)) } } }
            td { (orders(pipeline)) }
            td { (last_slot(node, name, pipeline, view)) }
            (times(node, pipeline, view))
            td {
                (told::grouped(view.faults_in_a_row))
                @if view.faults_in_a_row > 0 { small { "told at " (FAULTS_MAX) } }
            }
            td { (cells::strip(cells, CELLS)) }
        }
    }
}

fn orders(pipeline: &Pipeline) -> Markup {
    let is_live = pipeline.mode == Mode::Live;
    html! {
        span .tag.live[is_live] { @if is_live { "LIVE" } @else { "DRY RUN" } }
        @match pipeline.state {
            TradingState::Active => small { (told::grouped(pipeline.effects)) " left" },
            state => small .warn { (state) },
        }
    }
}

fn last_slot(node: &Node, name: &str, pipeline: &Pipeline, view: &PipelineView) -> Markup {
    html! {
        @match view.last_slot.zip(view.last_reason) {
            Some((slot, reason)) => {
                a class=(class(reason)) href=(slot_path(name, slot)) { (told::when(slot, node.now)) }
                " " (cells::word(reason.outcome())) ": "
                span class=[(reason.is_fault()).then_some("warn")] { (reason.short()) }
            }
            None => "no slot yet",
        }
        @match trouble(view) {
            Some(trouble) => small .warn { (trouble) },
            None => @if node.pipelines.len() <= MANY { small { (counts(pipeline)) } },
        }
    }
}

/// What keeps it from its slots.
fn trouble(view: &PipelineView) -> Option<String> {
    if view.parked {
        return Some("parked: it failed repeatedly".to_owned());
    }
    if view.ended {
        return Some("every slot of the competition has ended".to_owned());
    }
    view.waits_for.as_ref().map(|why| format!("waits: {}", told::plain(why)))
}

fn counts(pipeline: &Pipeline) -> String {
    let counts: Vec<String> = Outcome::ALL
        .into_iter()
        .zip(pipeline.outcomes)
        .filter(|(_, count)| *count > 0)
        .map(|(outcome, count)| format!("{} {}", told::grouped(count), cells::word(outcome)))
        .collect();
    if counts.is_empty() { "none since the start".to_owned() } else { counts.join(", ") }
}

/// The colour and height of an outcome, before its name.
pub(super) const fn class(reason: Reason) -> &'static str {
    match Cell::of(reason) {
        Cell::Quiet => "o",
        Cell::Closed => "o closed",
        Cell::Acted => "o acted",
        Cell::Skipped => "o skipped",
        Cell::Missed => "o missed",
    }
}

/// How late it is, and when it decides next. A replay has neither: its slots are due when it comes to them.
fn times(node: &Node, pipeline: &Pipeline, view: &PipelineView) -> Markup {
    if !view.wall_time {
        return html! {
            td .replay { "replay" }
            td { (told::when(pipeline.schedule_now, node.now)) small { "its schedule time" } }
        };
    }
    let (late, limit) = (Duration::from_millis(view.late_ms), node.late_after(view));
    // Where it is the same for all, it stands once where many are shown.
    let is_shown = !late.is_zero() || node.pipelines.len() <= MANY;
    let next = view.next_due.or(pipeline.next_expected).filter(|_| !view.ended);
    html! {
        td class=[(late > limit).then_some("warn")] { (told::span(late)) @if is_shown { small { "of " (told::span(limit)) } } }
        td data-due=[next.map(|due| due.0)] {
            @match next {
                Some(due) => (told::countdown(due.since(node.now))),
                None => "–",
            }
        }
    }
}
