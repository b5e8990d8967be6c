//! The page of one slot: the sentences of `sentinel why`, where its time went, and the digests that prove it.

use std::time::Duration;

use maud::{Markup, html};
use sentinel_actors::domain::cycle::{SlotRecord, Stage};
use sentinel_actors::domain::time::UtcMs;

use super::facts::Node;
use super::told;
use crate::journal::{JournalError, JournalReader};
use crate::operator::why::{self, Story};

/// What is told of a slot.
#[derive(Debug)]
pub struct Told {
    pub story: Story,
    /// What an operator had done at that time.
    pub command: Option<String>,
}

impl Told {
    /// `None`: the journal has no such slot.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn of(journal: &JournalReader, pipeline: &str, time: UtcMs) -> Result<Option<Self>, JournalError> {
        let Some(story) = Story::of(journal, pipeline, time)? else { return Ok(None) };
        let command = why::command(journal, pipeline, time)?;
        Ok(Some(Self { story, command }))
    }
}

#[must_use]
pub fn part(node: &Node, told: &Told) -> Markup {
    let Told { story, command } = told;
    let record = &story.record;
    // The first line repeats the pipeline and the slot, which stand above it.
    let mut lines = story.headline.lines();
    let how = lines.next().unwrap_or_default();
    let how = how.split_once(": ").map_or(how, |(_, how)| how);
    let command_line = format!("sentinel why {} {}", record.pipeline, record.slot);
    html! {
        article #story .card.story {
            p .sub { bdi { (told::plain(&record.pipeline)) } ", slot " time datetime=(record.slot) { (told::when(record.slot, node.now)) } " UTC" }
            h2 #story-h { (told::sentence(&told::plain(how))) }
            @for line in lines.filter(|line| !line.is_empty()) { p { (told::plain(line)) } }
            h3 { "What happened" }
            (list(&story.course))
            @for effect in &story.effects { (list(effect)) }
            @if let Some(command) = command { h3 { "What an operator had done" } (list(command)) }
            (waterfall(record))
            (proof(record))
            p .sub { "The same in the terminal: " code { (told::plain(&command_line)) } }
        }
    }
}

/// Whole lines; those that begin with two spaces belong to the one above.
fn list(text: &str) -> Markup {
    html! {
        ol .told {
            @for line in text.lines().filter(|line| !line.trim().is_empty()) {
                li .of[line.starts_with("  ")] { (told::plain(line.trim_start())) }
            }
        }
    }
}

/// How the time of the stages lies one after the other.
fn waterfall(record: &SlotRecord) -> Markup {
    let Some(all) = told::worked_us(record).filter(|us| *us > 0) else { return html! {} };
    let mut begun = 0;
    let mut bars: Vec<(Stage, u64, u64)> = Vec::new();
    for (stage, us) in Stage::ALL.into_iter().zip(record.stage_us) {
        let Some(us) = us else { continue };
        bars.push((stage, begun, us));
        begun += us;
    }
    let share = |us: u64| us.saturating_mul(200) / all;
    html! {
        h3 { "Where the time went" }
        dl .fall {
            @for (stage, begun, us) in bars {
                dt { (stage.name().replace('_', " ")) }
                dd {
                    svg viewBox="0 0 200 10" preserveAspectRatio="none" aria-hidden="true" {
                        rect x=(share(begun).min(198)) width=(share(us).max(1)) height="10" {}
                    }
                }
                dd .r { (told::took(us)) }
            }
        }
        @if let Some(waited) = record.waited_us.filter(|us| *us > 0) {
            p .sub { "Before and between them it waited " (told::took(waited)) " for its turns." }
        }
        @if let Some(started) = record.started_at {
            p .sub { "From its due time to its end: " (lasted(record, started)) "." }
        }
    }
}

fn lasted(record: &SlotRecord, started: UtcMs) -> String {
    let us = |duration: Duration| told::took(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    format!("{}, {} of it before it started", us(record.ended_at.since(record.slot)), us(started.since(record.slot)))
}

/// Digests of what went in, and keys of what came out.
fn proof(record: &SlotRecord) -> Markup {
    let lines: Vec<(&str, &str)> = [
        ("bars", record.bars_digest.as_deref()),
        ("features", record.features_digest.as_deref()),
        ("model", record.model.as_ref().map(|model| model.hash.as_str())),
    ]
    .into_iter()
    .filter_map(|(name, digest)| Some((name, digest?)))
    .chain(record.intents.iter().map(|key| ("intent", key.as_str())))
    .collect();
    html! {
        @if !lines.is_empty() {
            h3 { "Proof" }
            ul .proof { @for (name, digest) in lines { li { (name) " " code { (told::plain(digest)) } } } }
        }
    }
}
