//! `sentinel parity`: the recorded slots of a state directory, computed again from the bars that are kept, and what differs.
//!
//! It asks nobody and sends nothing. Journal and bar cache are only read; what it writes is the verdict, for `sentinel arm`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sentinel_actors::domain::schedule::Window;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Clock as _;

use super::overrides::Overrides;
use super::text::{labelled, wrapped};
use super::{Ended, Failure, exit, read_env};
use crate::backtest::verify::{Difference, LISTED};
use crate::config::{Config, Flags};
use crate::exit::ExitError as _;
use crate::operator::page::told::{count, grouped};
use crate::parity::engine::{Found, recompute};
use crate::parity::limits::Why;
use crate::parity::record::{self, LastParity, PARITY_FILE, PipelineParity};
use crate::system::WallClock;

/// Compares recorded slots with what is computed again.
#[derive(Debug, Clone, clap::Args)]
pub struct ParityArgs {
    /// The configuration that the node ran with.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// As for the node's `run`. Nothing leaves, whatever they say.
    #[command(flatten)]
    pub overrides: Overrides,
    /// State directory of the node; overrides the configuration.
    #[arg(long, value_name = "DIR")]
    pub state: Option<String>,
    /// Only slots that were due from this time on, like 2017-06-01T13:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub from: Option<UtcMs>,
    /// Only slots that were due before this time.
    #[arg(long, value_name = "TIME")]
    pub to: Option<UtcMs>,
}

/// Computes the slots of every pipeline again. 0: all that can be compared is the same, 1: something differs, or nothing could be compared.
///
/// # Errors
/// When configuration, journal, bars or model cannot be used.
pub fn run(args: &ParityArgs) -> Ended {
    let range = range(args.from, args.to)?;
    let flags = Flags { state: args.state.clone(), reads_only: true, ..args.overrides.flags() };
    let config = Config::load(&args.config, &read_env()?, &flags)
        .map_err(|errors| Failure { code: errors.exit_code(), text: errors.to_string() })?;
    let state = &config.node.state;
    let digest = config.digest();
    let mut all: BTreeMap<String, PipelineParity> = BTreeMap::new();
    for pipeline in &config.pipelines {
        let found = recompute(pipeline, state, range, &digest)?;
        println!("{}\n", text(&pipeline.name, &found));
        let basis = record::basis(&config.settings, &pipeline.name);
        all.insert(pipeline.name.clone(), PipelineParity::new(&found, basis));
    }
    let is_good = all.values().all(|of| of.differing == 0) && all.values().any(|of| of.compared > 0);
    if range == (Window { start: None, end: None }) {
        keep(state, all);
    } else {
        println!("{}", labelled("Recorded", "nothing: only a verdict on all slots is kept for `sentinel arm`."));
    }
    Ok(if is_good { exit::OK } else { exit::FAILED })
}

fn range(start: Option<UtcMs>, end: Option<UtcMs>) -> Result<Window, Failure> {
    match (start, end) {
        (Some(from), Some(to)) if from >= to => {
            let text = format!(
                "error: --from {from} is not before --to {to}\n  what to do: a range holds its first time and not its last one"
            );
            Err(Failure { code: exit::USAGE, text })
        }
        _ => Ok(Window { start, end }),
    }
}

fn keep(state: &Path, pipelines: BTreeMap<String, PipelineParity>) {
    let path = state.join(PARITY_FILE);
    let said = match record::write(state, LastParity { at: WallClock.now(), pipelines }) {
        Ok(()) => format!("in {}, for `sentinel arm`.", path.display()),
        Err(error) => format!(
            "nothing: {} cannot be written ({error}); `sentinel arm` keeps to the former verdict. Give the command as the node's user.",
            path.display()
        ),
    };
    println!("{}", labelled("Recorded", &said));
}

/// What was found of one pipeline.
fn text(pipeline: &str, found: &Found) -> String {
    let mut lines = vec![labelled("Parity", pipeline)];
    let Some((first, last)) = found.range else {
        lines.push(labelled("Slots", "none is recorded in this range, so that there is nothing to compare."));
        return lines.join("\n");
    };
    lines.push(labelled("Slots", &format!("{}, from {first} to {last}", grouped(found.slots))));
    let compared = format!(
        "{}: {}, {}, {} and {}",
        count(found.compared, "slot"),
        count(found.frames, "frame"),
        count(found.answers, "answer"),
        count(found.decisions, "decision"),
        count(found.effects, "order or forecast").replace("order or forecasts", "orders or forecasts")
    );
    lines.push(labelled("Compared", &compared));
    lines.extend(listed("In part", &found.partly));
    lines.extend(listed("Not", &found.apart));
    lines.push(verdict(found));
    lines.join("\n")
}

/// Slots that were not compared, or not as a whole, by why.
fn listed(label: &str, slots: &BTreeMap<Why, u64>) -> Vec<String> {
    let mut slots: Vec<_> = slots.iter().collect();
    slots.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let line = |(nth, (why, slots)): (usize, (&Why, &u64))| {
        labelled(if nth == 0 { label } else { "" }, &format!("{}: {why}", count(*slots, "slot")))
    };
    slots.into_iter().enumerate().map(line).collect()
}

fn verdict(found: &Found) -> String {
    let verdict = &found.verdict;
    if found.compared == 0 && verdict.agrees() {
        return labelled("Verdict", "none: not one slot could be compared.");
    }
    if verdict.agrees() {
        return labelled("Agrees", "every value that can be computed again is as it was recorded.");
    }
    let differs = format!(
        "{} in {}. The first {}:",
        count(verdict.differences, "value"),
        count(verdict.differing, "slot"),
        verdict.first.len().min(LISTED)
    );
    let mut lines = vec![labelled("Differs", &differs)];
    lines.extend(verdict.first.iter().map(|difference| wrapped("  ", "    ", &said(difference))));
    if found.of_other_configuration > 0 {
        let note = format!(
            "{} was written under another effective configuration. The journal keeps only its digest: a value that was changed since may be why. \
             Flags and environment belong to it; give them as the node has them.",
            count(found.of_other_configuration, "differing slot")
        );
        lines.push(labelled("Note", &note.replace("slots was", "slots were")));
    }
    lines.join("\n")
}

/// A difference in the words of this command.
pub fn said(Difference { slot, field, backtest, tree }: &Difference) -> String {
    format!("slot {slot}, {field}: recorded {tree}, computed again {backtest}")
}
