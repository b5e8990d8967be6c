//! What the demo says at its beginning and at its end. Slots, orders, profit and errors of forecasts are those of its whole
//! state directory, and so is the proof.

use std::collections::BTreeMap;
use std::path::Path;

use sentinel_actors::domain::time::UtcMs;

use super::progress::{Seen, rate};
use super::servers::Servers;
use super::{ChaosFaults, DemoArgs, DemoJob};
use crate::cli::forecasts::{Forecasts, Periods, beside_zero, figure};
use crate::cli::proof::ledger::{Ledger, Realised};
use crate::cli::proof::venue::LEDGER_FILE;
use crate::cli::proof::{Due, ProofError, prove};
use crate::cli::text::{labelled, wrapped};
use crate::cli::{Ended, Failure, exit};
use crate::config::Config;
use crate::journal::JournalReader;
use crate::models::manifest::Manifest;
use crate::node::RunReport;
use crate::operator::report::facts::Range;

/// Where the bars begin that the model was not trained on.
pub(super) fn out_of_sample_from(manifest: &Path) -> Option<UtcMs> {
    Manifest::peek(manifest).ok().map(|manifest| UtcMs(manifest.out_of_sample.from.as_millisecond()))
}

/// Rows in the journal of a state directory; none before there is one.
pub(super) fn rows(state: &Path) -> u64 {
    JournalReader::open(state).and_then(|reader| reader.slot_count()).unwrap_or_default()
}

/// The first lines of the demo.
pub(super) fn opening(args: &DemoArgs, servers: Option<&Servers>) -> String {
    let what = match servers {
        Some(Servers { hub, gateway }) => format!(
            "sentinel demo: EURUSD hours of 2017 in three processes on loopback: this node, a model hub (port {}, process {}) \
             and a paper gateway (port {}, process {}). Nothing leaves this machine.",
            hub.port,
            hub.id(),
            gateway.port,
            gateway.id(),
        ),
        None => "sentinel demo: BTCUSD hours of 2017 and 2018 in one process: this node, a model in a local file, and a paper \
                 book that keeps its forecasts. Nothing leaves this machine."
            .to_owned(),
    };
    let state = args.state();
    let quality = match args.job {
        DemoJob::Order => "The model has no edge; what is shown here is the node, not a way to earn money.".to_owned(),
        DemoJob::Forecast | DemoJob::Allora => {
            stated(&state.join("files").join(args.job.manifest())).unwrap_or_default()
        }
    };
    format!("{}\n{}\nState: {}", wrapped("", "", &what), wrapped("", "", &quality), state.display())
}

/// What a manifest says about a regression.
fn stated(manifest: &Path) -> Option<String> {
    let unseen = Manifest::peek(manifest).ok()?.out_of_sample;
    let (rmse, zero) = unseen.rmse.zip(unseen.rmse_of_zero)?;
    Some(format!(
        "By its manifest the model errs {} ({} and {} in unseen bars). What is shown here is the node.",
        beside_zero(rmse, zero),
        figure(rmse),
        figure(zero)
    ))
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
    let state = args.state();
    let reader = JournalReader::open(&state).map_err(ProofError::from)?;
    let newest = reader.last_slot(name).map_err(ProofError::from)?;
    // A finished run must have a row for each slot up to the last one.
    let last = report.finished().remove(name);
    if newest.is_none() && last.is_none() {
        println!("The demo was stopped before its first slot; the same command goes on from there.");
        return Ok(exit::OK);
    }
    let due = Due { schedule: pipeline.slots.grid().cloned(), first: Some(*first), last };
    let proof = prove(&state, &BTreeMap::from([(name.clone(), due)]), None)?;
    let slots = reader.slot_count().map_err(ProofError::from)?.saturating_sub(rows_before);

    println!();
    if let Some(text) = newest.and_then(|newest| existing(args, slots, newest, (*planned_last)?, last.is_some())) {
        println!("{}", wrapped("", "", &text));
    }
    println!("{}", this_run(slots, seen, args.job));
    if let Some(counts) = chaos.map(ChaosFaults::counts) {
        let text = format!(
            "{} panics, {} hangs, {} blocked threads, {} kills; {} restarts of stages, {} cycles run again",
            counts.panics, counts.hangs, counts.blocks, counts.kills, seen.totals.restarts, seen.totals.reruns
        );
        println!("{}", labelled("Chaos", &text));
    }
    for line in results(args, config)? {
        println!("{line}");
    }
    println!("{}", proof.text());
    let interesting = match args.job {
        DemoJob::Order => {
            proof.pipelines.first().and_then(|pipeline| pipeline.slots.acked.last()).map(|acked| acked.slot)
        }
        DemoJob::Forecast | DemoJob::Allora => newest,
    };
    if let Some(time) = interesting {
        let program = std::env::args().next().unwrap_or_else(|| "sentinel".to_owned());
        println!("\nWhy did it do that?\n  {program} why {name} {time} --state {}", state.display());
        println!("  {program} report --state {}", state.display());
    }
    Ok(if proof.holds() { exit::OK } else { exit::FAILED })
}

/// What came of the orders or the forecasts.
fn results(args: &DemoArgs, config: &Config) -> Result<Vec<String>, Failure> {
    let state = args.state();
    match args.job {
        DemoJob::Order => {
            let Some(boundary) = out_of_sample_from(&state.join("files").join(args.job.manifest())) else {
                return Ok(Vec::new());
            };
            let ledger = Ledger::open(&state.join(LEDGER_FILE)).map_err(ProofError::from)?;
            let (training, out_of_sample) = ledger.realised(boundary).map_err(ProofError::from)?;
            Ok(vec![
                labelled("Paper", &money("in training bars", &training)),
                labelled("", &money("in unseen bars", &out_of_sample)),
                labelled("", "The model has no edge: expect the unseen part to lose its costs."),
            ])
        }
        DemoJob::Forecast | DemoJob::Allora => {
            let periods = Periods::of_config(config).map_err(|error| Failure::new(exit::CONFIG, &error, None))?;
            let forecasts = Forecasts::read(&state, &periods, &Range::default(), |_, _, _| ())?;
            let is_short = forecasts.iter().filter_map(|forecasts| forecasts.parts).all(|parts| parts.unseen.made == 0);
            let mut lines: Vec<String> = forecasts.iter().flat_map(Forecasts::text).collect();
            if args.bars.is_some() && is_short {
                lines.push(labelled("", "Without --bars the demo goes on into them."));
            }
            Ok(lines)
        }
    }
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
        None => {
            "Nothing was left to do: the recording in this state is finished. Give another one with --state.".to_owned()
        }
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
fn this_run(slots: u64, seen: &Seen, job: DemoJob) -> String {
    let speed = rate(slots, seen.elapsed);
    let seconds = seen.elapsed.as_secs_f64();
    let effects = format!("{} {}, {} restarts", seen.totals.effects, job.effects(), seen.totals.restarts);
    format!("This run:  {slots} slots in {seconds:.2} s, {speed:.0} slots/s, {effects}")
}

fn money(when: &str, part: &Realised) -> String {
    format!("{:+.2} USD {when} ({} positions closed, {} won)", part.profit, part.closed, part.won)
}
