//! What is around the pipelines: the machine, the halts, and the parts of the node.

use std::time::Duration;

use maud::{Markup, html};
use sentinel_actors::domain::halt::Halt;
use sentinel_actors::domain::node_view::ClockView;

use super::facts::Node;
use super::rows::Rows;
use super::told;

/// Halts that are written out.
const HALTS: usize = 6;
/// Clocks that are written out.
const CLOCKS: usize = 4;
/// Pipelines that are written out in the tree.
const RESTARTED: usize = 12;

/// A line: what, how it is, what is said about it, and whether that is a warning.
type Line = (&'static str, String, String, bool);

#[must_use]
pub fn part(node: &Node, rows: &Rows) -> Markup {
    let lines = lines(node, rows);
    let is_well = lines.iter().all(|line| !line.3);
    html! {
        section #around .card data-part aria-labelledby="h-around" {
            div .head {
                h2 #h-around { "Around the node" }
                @if is_well { span .okc { "all well" } } @else { span .warn { "look at it" } }
            }
            dl .env {
                @for (name, value, note, is_warning) in lines {
                    div { dt { (name) } dd class=[(is_warning).then_some("warn")] { (value) } dd .note { (note) } }
                }
            }
        }
    }
}

fn lines(node: &Node, rows: &Rows) -> Vec<Line> {
    let view = &node.view;
    let age = node.now.since(view.at);
    let stands = age > Duration::from_millis(view.fresh_for_ms);
    let mut lines = vec![(
        "Progress",
        format!("{} ago", told::span(age)),
        format!("of all parts; bad after {}", told::span(Duration::from_millis(view.fresh_for_ms))),
        stands,
    )];
    lines.push(match view.disk {
        Some(disk) => {
            let free = disk.free_percent();
            (
                "Disk",
                format!("{free} % free"),
                format!("{} of {}", told::size(disk.free_mb), told::size(disk.size_mb)),
                free < 10,
            )
        }
        None => ("Disk", "unknown".to_owned(), "not measured yet".to_owned(), false),
    });
    lines.push(match (&rows.error, rows.journal_mb) {
        (Some(_), _) => ("Journal", "cannot be read".to_owned(), "see the list of slots".to_owned(), true),
        (None, Some(mb)) => ("Journal", told::size(mb), "in its state directory".to_owned(), false),
        (None, None) => ("Journal", "size not known".to_owned(), String::new(), false),
    });
    let memory = node.memory_mb.map_or_else(|| "unknown".to_owned(), told::size);
    lines.extend(view.clocks.iter().take(CLOCKS).map(clock));
    lines.push(("Memory", memory, format!("process {}", view.pid), false));
    let arm = node.arm.as_deref().map_or_else(|| "none".to_owned(), told::plain);
    lines.push(("Arm", arm.clone(), "what may leave live".to_owned(), arm.starts_with("ended")));
    if view.safe_mode {
        lines.push(("Safe mode", "on".to_owned(), "nothing is sent".to_owned(), true));
    }
    if let Some(overload) = &view.overload {
        lines.push(("Load", "is shed".to_owned(), overload.to_string(), true));
    }
    lines
}

/// What this machine's clock shows beside another one.
fn clock(clock: &ClockView) -> Line {
    let off = clock.certain_ms();
    let shown = if off == 0 { "agrees".to_owned() } else { format!("{off:+} ms") };
    let note = format!("{} to {} ms from {}", clock.at_least_ms, clock.at_most_ms, told::plain(&clock.source));
    ("Clock", shown, note, clock.off_since.is_some())
}

/// The halts that stand, each with the command that lifts it; and the last ones that were lifted.
#[must_use]
pub fn halts(node: &Node, rows: &Rows) -> Markup {
    let standing = &node.view.halts;
    html! {
        section #halts .card data-part aria-labelledby="h-halts" {
            div .head {
                h2 #h-halts { "Halts" }
                span class=[(!standing.is_empty()).then_some("warn")] {
                    @if standing.is_empty() { "none stands" } @else { (told::count(standing.len() as u64, "halt")) " in force" }
                }
            }
            @for halt in standing.iter().take(HALTS) {
                p {
                    (told::plain(&halt.text)) ". "
                    @if let Some(since) = halt.since { "For " (told::span(node.now.since(since))) ". " }
                    code { "sentinel resume " (halt.id) }
                }
            }
            @if standing.len() > HALTS { p .sub { "And " (standing.len() - HALTS) " more: " code { "sentinel status" } } }
            @for halt in &rows.lifted { p .sub { "Last: " (lifted(node, halt)) } }
            @if standing.is_empty() && rows.lifted.is_empty() { p .sub { "There was none. " code { "sentinel halt" } " raises one." } }
        }
    }
}

fn lifted(node: &Node, halt: &Halt) -> String {
    let raised = &halt.raised;
    let until =
        halt.lifted.as_ref().map_or_else(String::new, |lifted| format!(" to {}", told::when(lifted.at, node.now)));
    let when = told::when(raised.since, node.now);
    told::plain(&format!("{} was {}, {when}{until}, by {}: “{}”.", raised.scope, raised.state, raised.who, raised.why))
}

/// The parts as far as the board knows them: which pipelines had parts replaced. Healthy branches are folded.
#[must_use]
pub fn tree(node: &Node) -> Markup {
    let up = told::span(node.now.since(node.view.started_at));
    let (mut troubled, mut calm) = (Vec::new(), Vec::new());
    for (name, pipeline, view) in node.each() {
        let is_troubled = pipeline.restarts + pipeline.reruns > 0 || view.parked;
        if is_troubled { troubled.push((name, pipeline, view)) } else { calm.push(name) }
    }
    troubled.sort_by_key(|(_, pipeline, view)| std::cmp::Reverse((view.parked, pipeline.restarts)));
    let more = troubled.len().saturating_sub(RESTARTED);
    html! {
        section #tree .card data-part aria-labelledby="h-tree" {
            div .head {
                h2 #h-tree { "Inside the node" }
                span { (told::count(node.restarts(), "restart")) " since the start" }
            }
            ul .tree {
                li {
                    p { span { "Root" } span { (up) } span {} }
                    ul {
                        @for part in ["Journal", "CompetitionClock", "Heartbeat"] { li { p { span { (part) } span {} span {} } } }
                        @for (name, pipeline, view) in troubled.iter().take(RESTARTED) {
                            li {
                                p {
                                    span { bdi { (told::plain(name)) } }
                                    span { @if view.parked { b .warn { "parked" } } }
                                    span .re { (told::count(pipeline.restarts, "restart")) }
                                }
                                @if !pipeline.replaced.is_empty() {
                                    ul {
                                        @for (part, count) in &pipeline.replaced {
                                            li { p { span { (part.replace('_', " ")) } span {} span .re { (told::count(*count, "restart")) } } }
                                        }
                                    }
                                }
                                @if pipeline.reruns > 0 {
                                    span .note { (told::count(pipeline.reruns, "cycle")) " run again after a crash" }
                                }
                            }
                        }
                        @if more > 0 { li { span .note { "and " (told::count(more as u64, "pipeline")) " more with restarts" } } }
                        @if !calm.is_empty() { li { (folded(&calm)) } }
                    }
                }
            }
        }
    }
}

fn folded(calm: &[&String]) -> Markup {
    html! {
        details data-key="calm" {
            summary { span .note { (told::count(calm.len() as u64, "pipeline")) ", all parts up, no restart" } }
            ul {
                @for name in calm.iter().take(RESTARTED) {
                    li { p { span { bdi { (told::plain(name)) } } span {} span { "0" } } }
                }
                @if calm.len() > RESTARTED { li { span .note { "and " (told::grouped((calm.len() - RESTARTED) as u64)) " more" } } }
            }
        }
    }
}
