//! What needs a person: since when, what, why, and the commands to type. Nothing is there when nobody is needed.

use maud::{Markup, html};
use sentinel_actors::domain::verdict::{Need, Severity};
use sentinel_actors::status::HeldEffect;

use super::asked::slot_path;
use super::facts::Node;
use super::told;

/// More are counted.
const LISTED: usize = 12;

#[must_use]
pub fn part(node: &Node) -> Markup {
    let needs = &node.judgement.needs;
    if needs.is_empty() {
        return html! { div #needs data-part hidden {} };
    }
    html! {
        section #needs .card.need data-part aria-labelledby="h-needs" {
            div .head { h2 #h-needs { "Needs you" } span { "worst first" } }
            ul {
                @for need in needs.iter().take(LISTED) { (item(node, need)) }
            }
            @if needs.len() > LISTED { p .sub { "And " (needs.len() - LISTED) " more: " code { "sentinel status" } } }
        }
    }
}

fn item(node: &Node, need: &Need) -> Markup {
    let held = held(node, need);
    let is_now = need.severity == Severity::Now;
    html! {
        li {
            div .sev.now[is_now] {
                @if is_now { "Now" } @else { "In days" }
                @if let Some(since) = since(node, need, held) { small { (since) } }
            }
            div {
                h3 { (what(need).trim_end_matches('.')) }
                @if let Some(held) = held { p { (describe(node, held)) } }
                @if !meaning(need.kind.code()).is_empty() { p { (meaning(need.kind.code())) } }
                @match held {
                    Some(held) => {
                        (command("It was done there", &held.if_confirmed))
                        (command("It is not there", &held.if_absent))
                    }
                    None => (to_do(&need.action)),
                }
            }
        }
    }
}

/// What is the matter, as a sentence. A pipeline's name is written as it is.
#[must_use]
pub fn what(need: &Need) -> String {
    let plain = told::plain(&need.what);
    if need.pipeline.is_some() { format!("{}.", plain.trim_end_matches('.')) } else { told::sentence(&plain) }
}

fn since(node: &Node, need: &Need, held: Option<&HeldEffect>) -> Option<String> {
    let since = need.since.or(held.map(|held| held.intent.slot)).filter(|_| is_wall(node, need))?;
    Some(format!("for {}", told::span(node.now.since(since))))
}

/// A replay's times are not those of the reader.
fn is_wall(node: &Node, need: &Need) -> bool {
    let view = need.pipeline.as_ref().and_then(|name| node.view.pipelines.get(name));
    view.is_none_or(|view| view.wall_time)
}

fn held<'n>(node: &'n Node, need: &Need) -> Option<&'n HeldEffect> {
    let pipeline = node.pipelines.get(need.pipeline.as_ref()?)?;
    pipeline.held.iter().find(|held| held.intent.key.as_str() == need.subject)
}

/// The order itself, and the story of its slot.
fn describe(node: &Node, held: &HeldEffect) -> Markup {
    let intent = &held.intent;
    html! {
        "It is " (told::plain(&intent.action.to_string())) " of " (told::when(intent.slot, node.now)) " on account "
        bdi { (told::plain(&intent.account)) } ". "
        @if intent.basis.is_of_slot() {
            a href=(slot_path(&intent.pipeline, intent.slot)) { "Why it is held" } "."
        }
    }
}

/// What it means, where the name of the thing does not say it.
fn meaning(kind: &str) -> &'static str {
    match kind {
        "no_progress" => {
            "A part of the node does not answer. Its watchdog ends the process when that lasts, and its service manager starts it again."
        }
        "safe_mode" => "It ended several times within a short time. Open orders are settled, and nothing new is sent.",
        "parked" => "It used up its restarts; the others go on. The log says what it failed of.",
        "faults_in_a_row" => {
            "Something that should work kept these slots from a decision. A closed market is no fault."
        }
        "held" => {
            "Nobody knows whether it was carried out, so its symbol takes no new position until you say what you see at the venue."
        }
        "in_doubt" => "It was sent and not answered. The node never sends it again.",
        "clock_behind" => "No slot is worked on before the clock has caught up, so that none is decided twice.",
        "halted_by_node" => "A rule of the node has raised it. It stands until a person lifts it.",
        "model_changed" => "What it answers now is not what was looked at before.",
        "clock_off" => "Which bar is closed, and which slot is due, follows from this machine's clock.",
        "windows_missed" => "Nothing of it was stored, so nothing of it is scored.",
        "arm_ended" | "arm_expiring" => "Without an arm nothing new leaves. Closing orders still do.",
        "runway_short" => "Without it no forecast can be paid for.",
        "input_quarantined" => "Something that was delivered ended a stage twice. It is kept for whoever looks.",
        "disk_low" => "Below 5 % free no new order and no forecast leaves; a node that cannot write its journal ends.",
        "backup_old" => "What it would be restored from knows nothing of what was sent since.",
        _ => "",
    }
}

/// What to do: commands stand between backticks.
fn to_do(action: &str) -> Markup {
    if action.is_empty() {
        return html! {};
    }
    let parts: Vec<&str> = action.split('`').collect();
    html! {
        p .do {
            @for (index, part) in parts.iter().enumerate() {
                @if index % 2 == 1 { code { (told::plain(part)) } } @else { (capital(index, part)) }
            }
        }
    }
}

fn capital(index: usize, part: &str) -> String {
    let plain = told::plain(part);
    let mut chars = plain.chars();
    match chars.next() {
        Some(first) if index == 0 => first.to_uppercase().chain(chars).collect(),
        _ => plain,
    }
}

fn command(when: &str, command: &str) -> Markup {
    html! { p .do { span { (when) ": " } code { (told::plain(command)) } } }
}
