//! What the demo says at its end, and its proof: the journal against the schedule, and the journal against the gateway's
//! ledger.

use std::path::Path;

use sentinel_actors::domain::reason::Outcome;
use sentinel_actors::domain::time::UtcMs;

use super::progress::{Seen, rate};
use super::triangle::Server;
use super::{ChaosFates, DemoArgs, LEDGER};
use crate::cli::proof::ledger::{Ledger, Realised};
use crate::cli::proof::{ProofError, compare};
use crate::cli::{Ended, Failure, exit};
use crate::config::Config;
use crate::journal::{JournalReader, Proof, proof};
use crate::models::manifest::Manifest;
use crate::node::RunReport;

/// Where the model's unseen bars begin.
pub(super) fn unseen_from(manifest: &Path) -> Option<UtcMs> {
    Manifest::peek(manifest).ok().map(|manifest| UtcMs(manifest.out_of_sample.from.as_millisecond()))
}

/// What a newcomer should know first.
pub(super) fn opening(args: &DemoArgs, hub: &Server, gateway: &Server) -> String {
    format!(
        "sentinel demo: EURUSD hours of 2017 in three processes on loopback: this node, a model hub (port {}, pid {}) and a\n\
         paper gateway (port {}, pid {}). Nothing leaves this machine.\n\
         The model has no edge; what is shown here is the node, not a way to earn money.\n\
         State: {}",
        hub.port,
        hub.id(),
        gateway.port,
        gateway.id(),
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
    let ledger = Ledger::open(&args.state.join(LEDGER))?;
    let disagreements = compare(&reader, &ledger)?;

    println!();
    if planned_last.is_some_and(|planned| newest < planned) {
        println!("Interrupted after {newest}; the same command goes on from there.");
    }
    let slots = seen.totals.slots();
    if slots == 0 {
        println!("Nothing was left to do: this state is finished. Give another one with --state, or remove it.");
    }
    let speed = rate(slots, seen.elapsed);
    println!("This run:  {slots} slots in {:.2} s, {speed:.0} slots/s, {}", seen.elapsed.as_secs_f64(), effects(seen));
    if let Some(counts) = chaos.map(ChaosFates::counts) {
        println!(
            "Chaos:     {} panics, {} hangs, {} blocked threads, {} kills; {} restarts of stages, {} cycles run again",
            counts.panics, counts.hangs, counts.blocks, counts.kills, seen.totals.restarts, seen.totals.reruns
        );
    }
    if let Some(boundary) = unseen_from(&args.state.join("files/model.json")) {
        let (training, unseen) = ledger.realised(boundary)?;
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
    println!("Intents:   {}; ledger and journal one to one: {}", states.join(", "), verdict(disagreements.is_empty()));
    for disagreement in disagreements {
        println!("           {disagreement}");
    }
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
