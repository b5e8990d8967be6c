//! What the demo says at its end, and its proof: the journal against the schedule, and the journal against the paper book.

use std::collections::BTreeMap;
use std::path::Path;

use sentinel_actors::domain::intent::{IntentKey, IntentState};
use sentinel_actors::domain::order::Ticket;
use sentinel_actors::domain::reason::Outcome;
use sentinel_actors::domain::time::UtcMs;

use super::progress::{Seen, rate};
use super::{ChaosFates, DemoArgs};
use crate::cli::{Ended, Failure, exit};
use crate::config::Config;
use crate::journal::{JournalError, JournalReader, Proof, proof};
use crate::models::manifest::Manifest;
use crate::node::RunReport;
use crate::venues::book::{BOOK_FILE, BookError};
use crate::venues::book_reader::{BookReader, Realised};

/// What can keep the proof from being made.
#[derive(Debug, thiserror::Error)]
enum ProofError {
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
    #[error("the paper book cannot be read")]
    Book(#[from] BookError),
}

/// Where the model's unseen bars begin.
pub(super) fn unseen_from(manifest: &Path) -> Option<UtcMs> {
    Manifest::peek(manifest).ok().map(|manifest| UtcMs(manifest.out_of_sample.from.as_millisecond()))
}

/// What a newcomer should know first.
pub(super) fn opening(args: &DemoArgs) -> String {
    format!(
        "sentinel demo: EURUSD hours of 2017, a small local model, orders into a paper book. Nothing leaves this machine.\n\
         The model has no edge; what is shown here is the node, not a way to earn money.\n\
         State: {}",
        args.state.display()
    )
}

/// Prints the summary; the exit code says whether the proof holds.
pub(super) fn print(
    args: &DemoArgs,
    config: &Config,
    report: &RunReport,
    seen: &Seen,
    chaos: Option<&ChaosFates>,
) -> Ended {
    try_print(args, config, report, seen, chaos).map_err(|error| Failure::new(exit::IO, &error, None))
}

fn try_print(
    args: &DemoArgs,
    config: &Config,
    report: &RunReport,
    seen: &Seen,
    chaos: Option<&ChaosFates>,
) -> Result<u8, ProofError> {
    let (Some(pipeline), Some((name, first, planned_last))) = (config.pipelines.first(), report.slots.first()) else {
        return Ok(exit::FAILED);
    };
    let reader = JournalReader::open(&args.state)?;
    let Some(newest) = reader.last_slot(name)? else {
        println!("the demo ended before its first slot");
        return Ok(exit::OK);
    };
    let last = planned_last.map_or(newest, |planned| newest.min(planned));
    let proof = proof(&args.state, name, &pipeline.schedule, *first, last)?;
    let book = BookReader::open(&args.state.join(BOOK_FILE))?;
    let disagreements = compare(&proof, &reader, &book)?;

    println!();
    if planned_last.is_some_and(|planned| newest < planned) {
        println!("Interrupted after {newest}; the same command goes on from there.");
    }
    let slots = seen.totals.slots();
    let speed = rate(slots, seen.elapsed);
    println!("This run:  {slots} slots in {:.2} s, {speed:.0} slots/s, {}", seen.elapsed.as_secs_f64(), effects(seen));
    if let Some(counts) = chaos.map(ChaosFates::counts) {
        println!(
            "Chaos:     {} panics, {} hangs, {} blocked threads, {} kills; {} restarts of stages, {} cycles run again",
            counts.panics, counts.hangs, counts.blocks, counts.kills, seen.totals.restarts, seen.totals.reruns
        );
    }
    if let Some(boundary) = unseen_from(&args.state.join("files/model.json")) {
        let (training, unseen) = book.realised(boundary)?;
        println!("Paper:     {} in training bars; {} in unseen bars", money(&training), money(&unseen));
        println!("           The model has no edge: expect the unseen part to lose its costs.");
    }
    print_proof(&proof, &disagreements);
    if let Some(time) = interesting(&reader, name, &proof)? {
        let program = std::env::args().next().unwrap_or_else(|| "sentinel".to_owned());
        println!("\nWhy did it do that?  {program} why {name} {time} --state {}", args.state.display());
    }
    Ok(if proof.holds() && disagreements.is_empty() { exit::OK } else { exit::FAILED })
}

fn effects(seen: &Seen) -> String {
    format!("{} orders (a reversal is two), {} restarts", seen.totals.effects, seen.totals.restarts)
}

fn money(part: &Realised) -> String {
    format!("{:+.2} USD ({} positions closed, {} won)", part.profit, part.closed, part.won)
}

fn print_proof(proof: &Proof, disagreements: &[String]) {
    let counts: Vec<String> =
        Outcome::ALL.iter().map(|outcome| format!("{} {outcome}", proof.count(*outcome))).collect();
    let verdict = |holds: bool| if holds { "holds" } else { "DOES NOT HOLD" };
    println!("Slots:     {} due = {}: {}", proof.due, counts.join(" + "), verdict(proof.holds()));
    if !proof.holds() {
        let Proof { holes, strays, damaged, contradictions, first_holes, .. } = proof;
        println!("           without a row {holes} {first_holes:?}, not due {strays}, damaged {damaged}");
        println!("           not acted although an order of theirs was confirmed: {contradictions}");
    }
    let states: Vec<String> = proof.intents.iter().map(|(state, count)| format!("{count} {state}")).collect();
    println!("Intents:   {}; book and journal one to one: {}", states.join(", "), verdict(disagreements.is_empty()));
    for disagreement in disagreements {
        println!("           {disagreement}");
    }
}

/// Every order of the book has its intent, every acked intent its order, with the same ticket, and nothing came twice.
fn compare(proof: &Proof, reader: &JournalReader, book: &BookReader) -> Result<Vec<String>, ProofError> {
    let orders: BTreeMap<IntentKey, Ticket> =
        book.orders()?.into_iter().map(|order| (order.key, order.ticket)).collect();
    let mut wrong = Vec::new();
    let double = book.double_submits()?;
    if double > 0 {
        wrong.push(format!("{double} orders were submitted twice"));
    }
    for acked in &proof.acked {
        match (orders.get(&acked.key), &acked.receipt) {
            (None, _) => wrong.push(format!("invented: intent {} is acked, but the book has no such order", acked.key)),
            (Some(ticket), Some(receipt)) if receipt.ticket != *ticket => {
                wrong.push(format!(
                    "intent {} is acked with ticket {}, the book says {ticket}",
                    acked.key, receipt.ticket
                ));
            }
            _ => {}
        }
    }
    for key in orders.keys() {
        let state = reader.intent(key)?.map(|stored| stored.record.state);
        let known = state.is_some_and(|state| state.may_have_left() && state != IntentState::Rejected);
        if !known {
            let state = state.map_or("missing", IntentState::code);
            wrong.push(format!("lost: the book filled {key}, but its intent is {state}"));
        }
    }
    Ok(wrong)
}

/// The slot of the newest confirmed order.
fn interesting(reader: &JournalReader, pipeline: &str, proof: &Proof) -> Result<Option<UtcMs>, ProofError> {
    for acked in proof.acked.iter().rev() {
        if reader.slot(pipeline, acked.slot)?.is_some() {
            return Ok(Some(acked.slot));
        }
    }
    Ok(None)
}
