//! What the demo says at its end, and its proof: the journal against the schedule, and the journal against the gateway's
//! ledger.

use std::collections::BTreeMap;
use std::path::Path;

use rust_decimal::Decimal;
use sentinel_actors::domain::intent::{Intent, IntentState, Mode};
use sentinel_actors::domain::netting::net_position;
use sentinel_actors::domain::order::Side;
use sentinel_actors::domain::reason::Outcome;
use sentinel_actors::domain::time::UtcMs;

use super::ledger::{Filled, Ledger, LedgerError, Realised};
use super::progress::{Seen, rate};
use super::triangle::Server;
use super::{ChaosFates, DemoArgs, LEDGER};
use crate::cli::{Ended, Failure, exit};
use crate::config::Config;
use crate::journal::{JournalError, JournalReader, Proof, proof};
use crate::models::manifest::Manifest;
use crate::node::RunReport;

/// What can keep the proof from being made.
#[derive(Debug, thiserror::Error)]
enum ProofError {
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
    #[error("the gateway's ledger cannot be read")]
    Ledger(#[from] LedgerError),
}

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

/// Every order of the ledger has its intent, every acked intent its order, with the same ticket, nothing came twice, and
/// both sides count the same position.
fn compare(reader: &JournalReader, ledger: &Ledger) -> Result<Vec<String>, ProofError> {
    let mut intents: BTreeMap<String, Intent> = BTreeMap::new();
    reader.each_intent::<JournalError>(None, None, |stored| {
        // Earlier versions of the demo were dry runs: the gateway knows nothing of those.
        if stored.record.mode == Mode::Live {
            intents.insert(comment(&stored.record), stored.record);
        }
        Ok(())
    })?;
    let mut wrong = Vec::new();
    let mut orders: BTreeMap<String, Filled> = BTreeMap::new();
    for order in ledger.filled()? {
        let state = intents.get(&order.comment).map(|intent| intent.state);
        if !state.is_some_and(|state| state.may_have_left() && state != IntentState::Rejected) {
            let state = state.map_or("missing", IntentState::code);
            wrong.push(format!("lost: the gateway filled {}, but its intent is {state}", order.comment));
        }
        if let Some(first) = orders.insert(order.comment.clone(), order) {
            wrong.push(format!("doubled: {} was filled twice, first as {}", first.comment, first.ticket));
        }
    }
    let (acked, open): (Vec<&Intent>, Vec<&Intent>) =
        intents.values().filter(|intent| intent.state.may_have_left()).partition(|i| i.state.is_final());
    let acked: Vec<Intent> = acked.into_iter().filter(|i| i.state == IntentState::Acked).cloned().collect();
    for intent in &acked {
        let ticket = intent.receipt.as_ref().map(|receipt| receipt.ticket.0);
        match orders.get(&comment(intent)) {
            None => wrong.push(format!("invented: {} is acked, but the gateway has no such order", intent.key)),
            Some(order) if Some(order.ticket) != ticket || order.side != intent.order.side.code() => {
                wrong.push(format!("{} is acked as ticket {ticket:?}, the gateway says {order:?}", intent.key));
            }
            Some(_) => {}
        }
    }
    let counted = net_position(&acked).unwrap_or_else(|fault| {
        wrong.push(fault.to_string());
        None
    });
    let counted = counted.map_or(Decimal::ZERO, |net| match net.side {
        Side::Buy => net.volume_lots,
        Side::Sell => -net.volume_lots,
    });
    let net = ledger.net_lots()?;
    if open.is_empty() && counted != net {
        wrong.push(format!("the journal counts a position of {counted} lots, the gateway has {net}"));
    }
    Ok(wrong)
}

/// What an order of this intent says in the terminal (gateway.md: `sn:` and 20 characters of the key).
fn comment(intent: &Intent) -> String {
    intent.key.as_str().get(..20).map_or_else(String::new, |short| format!("sn:{short}"))
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
