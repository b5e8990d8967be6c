//! What a proof found, for people and for programs.

use std::collections::BTreeMap;

use sentinel_actors::domain::reason::Outcome;
use serde_json::{Value, json};

use super::{PipelineProof, StateProof, VenueProof};
use crate::cli::text::labelled;
use crate::journal::Verified;

const fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "DOES\u{a0}NOT\u{a0}HOLD" }
}

impl StateProof {
    /// Lines of at most 80 columns, without the last newline.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![rows(&self.rows)];
        lines.extend(self.pipelines.iter().flat_map(|pipeline| slots(pipeline, self.pipelines.len() > 1)));
        lines.extend(self.intents_text());
        lines.extend(self.venues.iter().flat_map(venue));
        if self.unconfirmed > 0 {
            let text = format!(
                "{} live orders are acked, and there is no ledger here to compare them with; `--ledger FILE` names that of \
                 a paper gateway, and the terminal shows those of a real one.",
                self.unconfirmed
            );
            lines.push(labelled("Venue", &text));
        }
        lines.join("\n")
    }

    fn intents_text(&self) -> Vec<String> {
        let states: Vec<String> = self.intents.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let states = if states.is_empty() { "none".to_owned() } else { states.join(", ") };
        let holds = verdict(self.astray.is_empty());
        let mut lines = vec![labelled("Intents", &format!("{states}; their states agree with their events: {holds}"))];
        lines.extend(self.astray.lines().map(|astray| labelled("", &astray)));
        lines
    }

    #[must_use]
    pub fn json(&self) -> Value {
        let pipelines = self.pipelines.iter().map(|pipeline| {
            json!({
                "pipeline": pipeline.name,
                "first": pipeline.first.to_string(),
                "last": pipeline.last.to_string(),
                "by_schedule": pipeline.by_schedule,
                "holds": pipeline.slots.holds(),
                "due": pipeline.slots.due,
                "removed_until": pipeline.slots.removed_until.map(|until| until.to_string()),
                "rows": pipeline.slots.rows,
                "outcomes": pipeline.slots.outcomes,
                "without_row": pipeline.slots.holes,
                "first_without_row": pipeline.slots.first_holes.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "not_due": pipeline.slots.strays,
                "damaged": pipeline.slots.damaged,
                "contradictions": pipeline.slots.contradictions,
            })
        });
        let venues = self.venues.iter().map(|venue| {
            json!({
                "record": venue.kind,
                "file": venue.file,
                "orders": venue.filled,
                "disagreements": venue.wrong.first().collect::<Vec<_>>(),
                "disagreement_counts": venue.wrong.counts(),
            })
        });
        let intents: BTreeMap<String, u64> =
            self.intents.iter().map(|(state, count)| (state.to_string(), *count)).collect();
        json!({
            "holds": self.holds(),
            "rows": self.rows.rows,
            "damaged_rows": self.rows.damaged_rows,
            "damaged": self.rows.damaged,
            "pipelines": pipelines.collect::<Vec<_>>(),
            "intents": intents,
            "astray": self.astray.first().collect::<Vec<_>>(),
            "astray_counts": self.astray.counts(),
            "venues": venues.collect::<Vec<_>>(),
            "unconfirmed_live_orders": self.unconfirmed,
        })
    }
}

fn rows(rows: &Verified) -> String {
    let holds = verdict(rows.damaged_rows == 0);
    let mut text = labelled("Rows", &format!("{}; their checksums match: {holds}", rows.rows));
    if rows.damaged_rows > 0 {
        let damaged = format!("{} are damaged: {}", rows.damaged_rows, rows.damaged.join(", "));
        text = format!("{text}\n{}", labelled("", &damaged));
    }
    text
}

fn slots(pipeline: &PipelineProof, is_one_of_many: bool) -> Vec<String> {
    let PipelineProof { name, by_schedule, slots, first, last } = pipeline;
    let counts: Vec<String> =
        Outcome::ALL.iter().map(|outcome| format!("{} {outcome}", slots.count(*outcome))).collect();
    let name = if is_one_of_many { format!("{name}: ") } else { String::new() };
    let what = if *by_schedule { "due" } else { "rows" };
    let text = format!("{name}{} {what} = {}: {}", slots.due, counts.join(" + "), verdict(slots.holds()));
    let mut lines = vec![labelled("Slots", &text)];
    if !*by_schedule {
        let text = format!("from {first} to {last}; `--config FILE` says which slots were due between them");
        lines.push(labelled("", &text));
    }
    if let Some(until) = slots.removed_until {
        lines
            .push(labelled("", &format!("rows up to {until} were removed by retention; what they said is not proven")));
    }
    if !slots.holds() {
        let holes: Vec<String> = slots.first_holes.iter().map(ToString::to_string).collect();
        let text = format!("without a row {}, not due {}, damaged {}", slots.holes, slots.strays, slots.damaged);
        lines.push(labelled("", &text));
        if !holes.is_empty() {
            lines.push(labelled("", &format!("the first without a row: {}", holes.join(" "))));
        }
        let text = format!("not acted although an order of theirs was confirmed: {}", slots.contradictions);
        lines.push(labelled("", &text));
    }
    lines
}

/// The verdict stands in one line with what it is about: people and programs search for it.
fn venue(venue: &VenueProof) -> Vec<String> {
    let (label, what) = match venue.kind {
        super::venue::LEDGER => ("Ledger", "orders"),
        super::venue::FORECASTS => ("Book", "forecasts"),
        _ => ("Book", "orders"),
    };
    let holds = verdict(venue.wrong.is_empty());
    let text = format!("{} {what}; {} and journal one to one: {holds}", venue.filled, venue.kind);
    let mut lines = vec![labelled(label, &text)];
    lines.extend(venue.wrong.lines().map(|wrong| labelled("", &wrong)));
    lines
}
