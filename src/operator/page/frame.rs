//! The frame of every page: head, header, the parts in their order, and the icon that shows the verdict in a tab.

use maud::{DOCTYPE, Markup, html};
use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::verdict::{Severity, Verdict};

use super::asked::{Asked, pipeline_path};
use super::facts::Node;
use super::rows::Rows;
use super::story::Told;
use super::{SCRIPT, STYLE, around, chart, needs, pipelines, sentence, slots, story, told};

/// What colour the state has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Good,
    NeedsYou,
    Bad,
    /// Nothing was due, or everything has ended.
    Quiet,
    /// The page does not know any more; only the script says so.
    Stale,
}

impl Tone {
    const ALL: [Self; 5] = [Self::Good, Self::NeedsYou, Self::Bad, Self::Quiet, Self::Stale];

    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::NeedsYou => "needs",
            Self::Bad => "bad",
            Self::Quiet => "quiet",
            Self::Stale => "stale",
        }
    }

    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tone| tone.code() == code)
    }

    #[must_use]
    pub const fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Working => Self::Good,
            Verdict::NeedsYou(_) => Self::NeedsYou,
            Verdict::NotWorking => Self::Bad,
            Verdict::Waiting | Verdict::Ended => Self::Quiet,
        }
    }
}

/// The icon of a tab.
#[must_use]
pub fn icon(tone: Tone) -> Markup {
    let (fill, mark) = match tone {
        Tone::Good => ("#1b7445", "M4.5 8.4l2.4 2.4 4.6-5.2"),
        Tone::NeedsYou => ("#b26a00", "M8 4v5M8 11.2v.8"),
        Tone::Bad => ("#b3261e", "M5.2 5.2l5.6 5.6M10.8 5.2l-5.6 5.6"),
        Tone::Quiet => ("#5d636a", "M4.8 8h6.4"),
        Tone::Stale => ("#8b9197", "M5 11a3.4 3.4 0 1 1 3 1"),
    };
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" {
            circle cx="8" cy="8" r="7.5" fill=(fill) {}
            path d=(mark) fill="none" stroke="#fff" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" {}
        }
    }
}

/// The page of the whole node.
#[must_use]
pub fn first_page(node: &Node, rows: &Rows, asked: &Asked) -> Markup {
    let body = html! {
        (sentence::part(node))
        (needs::part(node))
        (pipelines::part(node, rows, asked))
        (chart::part(node, rows))
        div .low {
            div .main {
                (slots::part(node, rows, asked))
                (around::halts(node, rows))
            }
            div .side {
                (around::part(node, rows))
                (around::tree(node))
            }
        }
    };
    page(node, &title(node), true, body)
}

/// The page of one pipeline: its row, its chart and its slots.
#[must_use]
pub fn pipeline_page(node: &Node, rows: &Rows, asked: &Asked, name: &str) -> Markup {
    let body = html! {
        (back(name))
        (sentence::part(node))
        (pipelines::part(node, rows, asked))
        (chart::part(node, rows))
        (slots::part(node, rows, asked))
    };
    page(node, &format!("{} · {}", told::plain(name), title(node)), true, body)
}

/// The page of one slot, which the script shows as a drawer.
#[must_use]
pub fn slot_page(node: &Node, told: &Told) -> Markup {
    let record = &told.story.record;
    let title = format!("{}, slot {} · {}", told::plain(&record.pipeline), record.slot, told::plain(&node.name));
    page(node, &title, false, html! { (back("")) (story::part(node, told)) })
}

/// Why there is no page.
#[must_use]
pub fn refusal(node: &Node, text: &str) -> Markup {
    let body = html! {
        (back(""))
        section .card.say.quiet aria-label="Why there is no page" { h1 { "Nothing to see here." } p { (told::plain(text)) } }
    };
    page(node, &format!("Nothing here · {}", told::plain(&node.name)), false, body)
}

fn back(to: &str) -> Markup {
    html! {
        nav .back aria-label="Where this is" {
            a href="/" { "All of the node" }
            @if !to.is_empty() { " › " (told::plain(to)) }
        }
    }
}

fn title(node: &Node) -> String {
    let now = node.judgement.needs.iter().filter(|need| need.severity == Severity::Now).count();
    let count = if now > 0 { format!("({now}) ") } else { String::new() };
    format!(
        "{count}{} · {}",
        told::sentence(&node.judgement.verdict.to_string()).trim_end_matches('.'),
        told::plain(&node.name)
    )
}

/// `live`: the script keeps it up to date.
fn page(node: &Node, title: &str, live: bool, body: Markup) -> Markup {
    let tone = Tone::of(node.judgement.verdict);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link #icon rel="icon" type="image/svg+xml" href={ "/assets/" (tone.code()) ".svg" };
                link rel="stylesheet" href=(STYLE);
                script src=(SCRIPT) defer {}
            }
            body data-live[live] data-now=(node.now.0) {
                a .skip href="#main" { "Skip to the state" }
                (header(node))
                main #main tabindex="-1" { (body) }
                (footer(live))
                dialog #drawer aria-label="Why a slot ended so" {}
            }
        }
    }
}

fn header(node: &Node) -> Markup {
    let live = node.mode == Mode::Live;
    html! {
        header {
            b { "Sentinel" }
            span .name { bdi { (told::plain(&node.name)) } }
            span .tag.live[live] { @if live { "LIVE" } @else { "DRY RUN" } }
            span .v { (version(&node.view.version)) }
            span .sp {}
            span .ag { span .dot aria-hidden="true" { "●" } " " span #age { "as of " (told::hour(node.now)) " UTC" } }
            time #clock .v datetime=(node.now) { (told::clock(node.now)) }
        }
    }
}

fn version(version: &str) -> Markup {
    let short = version.split(' ').next().unwrap_or_default();
    html! { span title=(version) { (short) } }
}

fn footer(live: bool) -> Markup {
    html! {
        footer {
            p {
                "Everything here can be asked in the terminal: " code { "sentinel status" } ", "
                code { "sentinel why PIPELINE TIME" } ". Nothing can be changed here: "
                code { "sentinel halt" } ", " code { "sentinel resume" } " and " code { "sentinel settle" }
                " do that on the node's own machine."
            }
            @if live { noscript { p { "Without script this page does not keep itself up to date: load it again." } } }
        }
    }
}

/// The link to a pipeline's page.
pub fn to_pipeline(name: &str) -> Markup {
    html! { a href=(pipeline_path(name)) { bdi { (told::plain(name)) } } }
}
