//! What the demo says at its beginning and at its end. Slots, orders and profit are those of its whole state directory, and
//! so is the proof.

use std::collections::BTreeMap;
use std::path::Path;

use sentinel_actors::domain::time::UtcMs;

use super::progress::{Seen, rate};
use super::servers::Server;
use super::{ChaosFaults, DemoArgs};
use crate::cli::proof::ledger::{Ledger, Realised};
use crate::cli::proof::venue::LEDGER_FILE;
use crate::cli::proof::{Due, ProofError, StateProof, prove};
use crate::cli::text::{labelled, wrapped};
use crate::cli::{Ended, exit};
use crate::config::Config;
use crate::journal::JournalReader;
use crate::models::manifest::Manifest;
use crate::node::RunReport;

/// Where the bars begin that the model was not trained on.
pub(super) fn out_of_sample_from(manifest: &Path) -> Option<UtcMs> {
    Manifest::peek(manifest).ok().map(|manifest| UtcMs(manifest.out_of_sample.from.as_millisecond()))
}

/// Rows in the journal of a state directory; none before there is one.
pub(super) fn rows(state: &Path) -> u64 {
    JournalReader::open(state).and_then(|reader| reader.slot_count()).unwrap_or_default()
}

/// The first lines of the demo.
pub(super) fn opening(args: &DemoArgs, hub: &Server, gateway: &Server) -> String {
    let what = format!(
        "sentinel demo: EURUSD hours of 2017 in three processes on loopback: this node, a model hub (port {}, process {}) \
         and a paper gateway (port {}, process {}). Nothing leaves this machine.",
        hub.port,
        hub.id(),
        gateway.port,
        gateway.id(),
    );
    let no_edge = "The model has no edge; what is shown here is the node, not a way to earn money.";
    format!("{}\n{no_edge}\nState: {}", wrapped("", "", &what), args.state.display())
}

/// Prints the summary; the exit code says whether the proof holds. `rows_before` is how many slots the state had before.
pub(super) fn print(
    args: &DemoArgs,
    config: &Config,
    report: &RunReport,
    seen: &Seen,
    rows_before: u64,
    chaos: Option<&ChaosFaults>,
) -> Ended {
    let (Some(pipeline), Some((name, first, planned_last))) = (config.pipelines.first(), report.slots.first()) else {
        println!("The demo was stopped before its first slot; the same command goes on from there.");
        return Ok(exit::OK);
    };
    let reader = JournalReader::open(&args.state).map_err(ProofError::from)?;
    let newest = reader.last_slot(name).map_err(ProofError::from)?;
    // A finished run must have a row for each slot up to the last one.
    let last = report.finished().remove(name);
    if newest.is_none() && last.is_none() {
        println!("The demo was stopped before its first slot; the same command goes on from there.");
        return Ok(exit::OK);
    }
    let due = Due { schedule: pipeline.schedule.clone(), first: Some(*first), last };
    let proof = prove(&args.state, &BTreeMap::from([(name.clone(), due)]), None)?;
    let slots = reader.slot_count().map_err(ProofError::from)?.saturating_sub(rows_before);

    println!();
    if let Some(text) = newest.and_then(|newest| existing(args, slots, newest, (*planned_last)?, last.is_some())) {
        println!("{}", wrapped("", "", &text));
    }
    println!("{}", this_run(slots, seen));
    if let Some(counts) = chaos.map(ChaosFaults::counts) {
        let text = format!(
            "{} panics, {} hangs, {} blocked threads, {} kills; {} restarts of stages, {} cycles run again",
            counts.panics, counts.hangs, counts.blocks, counts.kills, seen.totals.restarts, seen.totals.reruns
        );
        println!("{}", labelled("Chaos", &text));
    }
    if let Some(boundary) = out_of_sample_from(&args.state.join("files/model.json")) {
        let ledger = Ledger::open(&args.state.join(LEDGER_FILE)).map_err(ProofError::from)?;
        let (training, out_of_sample) = ledger.realised(boundary).map_err(ProofError::from)?;
        println!("{}", labelled("Paper", &money("in training bars", &training)));
        println!("{}", labelled("", &money("in unseen bars", &out_of_sample)));
        println!("{}", labelled("", "The model has no edge: expect the unseen part to lose its costs."));
    }
    println!("{}", proof.text());
    if let Some(time) = interesting(&proof) {
        let program = std::env::args().next().unwrap_or_else(|| "sentinel".to_owned());
        println!("\nWhy did it do that?\n  {program} why {name} {time} --state {}", args.state.display());
        println!("  {program} report --state {}", args.state.display());
    }
    Ok(if proof.holds() { exit::OK } else { exit::FAILED })
}

/// How far the state is, when it is not just where this run was to bring it.
fn existing(args: &DemoArgs, slots: u64, newest: UtcMs, planned: UtcMs, is_through: bool) -> Option<String> {
    if newest < planned {
        // The proof reports rows that are missing at the end of a finished run.
        return (!is_through).then(|| format!("Interrupted after {newest}; the same command goes on from there."));
    }
    if slots > 0 {
        return None;
    }
    Some(match args.bars {
        None => "Nothing was left to do: the year in this state is finished. Give another one with --state.".to_owned(),
        Some(bars) if newest == planned => format!(
            "Nothing was left to do: this state has decided {bars} bars. A larger --bars, or none, goes on from there."
        ),
        Some(bars) => format!(
            "Nothing was left to do: this state is further than {bars} bars, at {newest}. What follows is about all of it. \
             A larger --bars, or none, goes on from there."
        ),
    })
}

/// In one line: others read it.
fn this_run(slots: u64, seen: &Seen) -> String {
    let speed = rate(slots, seen.elapsed);
    let seconds = seen.elapsed.as_secs_f64();
    let orders = format!("{} orders, {} restarts", seen.totals.effects, seen.totals.restarts);
    format!("This run:  {slots} slots in {seconds:.2} s, {speed:.0} slots/s, {orders}")
}

fn money(when: &str, part: &Realised) -> String {
    format!("{:+.2} USD {when} ({} positions closed, {} won)", part.profit, part.closed, part.won)
}

/// The slot of the newest confirmed order.
fn interesting(proof: &StateProof) -> Option<UtcMs> {
    proof.pipelines.first()?.slots.acked.last().map(|acked| acked.slot)
}
