//! `sentinel health`: whether a node does useful work; for service managers and for people.

use sentinel_actors::domain::node_view::NodeView;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::domain::verdict::{Judgement, no_progress};
use sentinel_actors::ports::Clock as _;

use super::{Ended, Failure, StateFlag, exit};
use crate::node::health::read;
use crate::system::WallClock;

/// Judges a running node.
#[derive(Debug, Clone, clap::Args)]
pub struct HealthArgs {
    /// Which node.
    #[command(flatten)]
    pub state: StateFlag,
    /// Only whether all its parts make progress, for a service manager that restarts it: a restart ends neither a halt nor an
    /// order that is held.
    #[arg(long)]
    pub live: bool,
}

/// One line, and 0 when nothing is bad.
///
/// # Errors
/// The line, with 1, when something is.
pub fn run(args: &HealthArgs) -> Ended {
    let state = args.state.dir()?;
    let view = read(&state).map_err(|reason| Failure::new(exit::FAILED, &reason, None))?;
    match judge(&view, args.live, WallClock.now()) {
        Ok(line) => {
            println!("{line}");
            Ok(exit::OK)
        }
        Err(line) => Err(Failure { code: exit::FAILED, text: line }),
    }
}

/// The verdict in one line, or in the error when it is bad.
///
/// # Errors
/// When it is bad.
pub(super) fn judge(view: &NodeView, only_live: bool, now: UtcMs) -> Result<String, String> {
    if only_live {
        return no_progress(view, now).map_or_else(|| Ok(format!("process {} makes progress", view.pid)), Err);
    }
    let judgement = Judgement::of(view, now);
    let last = view.pipelines.values().filter_map(|pipeline| pipeline.last_slot).max();
    let last = last.map_or_else(|| "none".to_owned(), |last| last.to_string());
    let (pid, pipelines) = (view.pid, view.pipelines.len());
    let line = format!("{judgement} (process {pid}, {pipelines} pipelines, last slot {last})");
    if judgement.is_bad() { Err(line) } else { Ok(line) }
}
