//! The sentence: how it is, in one line, and the lines that say why.

use std::time::Duration;

use maud::{Markup, html};
use sentinel_actors::domain::reason::Outcome;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::domain::verdict::Verdict;

use super::facts::Node;
use super::frame::Tone;
use super::{needs, told};

/// Remarks that are written out.
const REMARKS: usize = 3;

#[must_use]
pub fn part(node: &Node) -> Markup {
    let tone = Tone::of(node.judgement.verdict);
    html! {
        section #say .card.say.(tone.code()) data-part data-tone=(tone.code()) aria-label="State of the node" {
            div role="status" {
                h1 { (headline(node)) }
                @for line in lines(node) { p { (line) } }
            }
            dl .nums {
                @if let Some((due, left)) = next(node) {
                    div { dt { "Next decision" } dd data-due=(due.0) { (told::countdown(left)) } }
                }
                @if let Some(late) = latest(node) {
                    div { dt { "Late by" } dd { (late) } }
                }
                div { dt { "Without a restart" } dd { (told::span(node.now.since(node.view.started_at))) } }
            }
        }
    }
}

fn headline(node: &Node) -> String {
    let verdict = node.judgement.verdict;
    let stops = node.judgement.needs.iter().find(|need| need.kind.stops_work());
    match (verdict, stops) {
        (Verdict::NotWorking, Some(need)) => told::sentence(&format!("{verdict}: {}", told::plain(&need.what))),
        _ => told::sentence(&verdict.to_string()),
    }
}

/// What the headline rests on.
fn lines(node: &Node) -> Vec<String> {
    let mut lines = Vec::new();
    match node.judgement.verdict {
        Verdict::NotWorking | Verdict::NeedsYou(_) => {
            let others = node.judgement.needs.len().saturating_sub(1);
            if let (Verdict::NeedsYou(_), Some(need)) = (node.judgement.verdict, node.judgement.needs.first()) {
                lines.push(needs::what(need));
            } else if others > 0 {
                let need = if others == 1 { "thing needs" } else { "things need" };
                lines.push(format!("{others} more {need} you."));
            }
        }
        Verdict::Ended => lines.push("Every slot of the competition has ended.".to_owned()),
        Verdict::Waiting => lines.push("No slot was due since the start.".to_owned()),
        Verdict::Working => {}
    }
    lines.extend(course(node));
    lines.extend(node.judgement.remarks.iter().take(REMARKS).map(|remark| format!("{}.", told::plain(remark))));
    let more = node.judgement.remarks.len().saturating_sub(REMARKS);
    if more > 0 {
        lines.push(format!("And {more} more remarks."));
    }
    lines
}

/// What all pipelines together did since the start.
fn course(node: &Node) -> Option<String> {
    let sum = |index: usize| node.pipelines.values().filter_map(|pipeline| pipeline.outcomes.get(index)).sum::<u64>();
    let sums: Vec<u64> = (0..Outcome::ALL.len()).map(sum).collect();
    if sums.iter().sum::<u64>() == 0 {
        return None;
    }
    let words = ["acted", "decided to do nothing", "were skipped", "were missed"];
    let parts: Vec<String> =
        words.iter().zip(&sums).map(|(word, sum)| format!("{} {word}", told::grouped(*sum))).collect();
    let pipelines = told::count(node.pipelines.len() as u64, "pipeline");
    Some(format!("{pipelines}; of the slots since the start {}.", parts.join(", ")))
}

/// The next decision at wall time, and what is left until then.
fn next(node: &Node) -> Option<(UtcMs, Duration)> {
    let due = node
        .each()
        .filter(|(_, _, view)| view.wall_time && !view.ended)
        .filter_map(|(_, _, view)| view.next_due)
        .min()?;
    Some((due, due.since(node.now)))
}

/// How late the latest decision is; `None` where nothing has a time.
fn latest(node: &Node) -> Option<String> {
    let late = node.each().filter(|(_, _, view)| view.wall_time).map(|(_, _, view)| view.late_ms).max()?;
    Some(told::span(Duration::from_millis(late)))
}
