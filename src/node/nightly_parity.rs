//! The parity of each night: recorded slots are computed again beside the node's work. What differs is said, and kept for `sentinel arm`;
//! it changes nothing for the running node.
//!
//! Promise kept: no cycle waits for it. It has threads of its own at a lower priority, and a model of its own; journal and bar cache are
//! read like by a command, a few rows at a time. When it panics, that is said and it is tried again; when it hangs, no verdict is written any
//! more, and the last one grows too old for arming.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use sentinel_actors::domain::schedule::Window;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{Clock as _, elapsed_now};
use tokio::time::Instant;
use tracing::{error, info};

use super::daily::{beside, last_due, lower};
use crate::config::{Config, ParityConfig, PipelineConfig};
use crate::exit::with_advice;
use crate::journal::JournalReader;
use crate::parity::engine::{Found, ParityError, recompute};
use crate::parity::record::{self, LastParity, PipelineParity};
use crate::system::WallClock;

/// Between two looks at the time.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// After a failure.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// So far back from the newest slot of a pipeline, so that nights that were missed leave no hole.
const REACH: Duration = Duration::from_secs(7 * 86_400);

/// What a node has to know for it, from before its pipelines take their configuration.
pub(super) struct Nightly {
    daily_at: jiff::civil::Time,
    pipelines: Vec<(PipelineConfig, String)>,
    /// Digest of the effective configuration.
    config: String,
}

impl Nightly {
    /// `None` without the section.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let ParityConfig { daily_at } = config.parity?;
        let with_basis =
            |pipeline: &PipelineConfig| (pipeline.clone(), record::basis(&config.settings, &pipeline.name));
        Some(Self { daily_at, pipelines: config.pipelines.iter().map(with_basis).collect(), config: config.digest() })
    }

    /// Starts what does it.
    pub(super) fn start(self, state: &Path) -> Option<NightlyParity> {
        let (end, inbox) = sync_channel(1);
        let night = Night::new(self, all, state);
        let thread = std::thread::Builder::new().name("parity".to_owned()).spawn(move || night.run(&inbox));
        match thread {
            Ok(_) => Some(NightlyParity { _end: end }),
            Err(error) => {
                error!(event = "parity_failed", error = %chain(&error), "nothing is computed again");
                None
            }
        }
    }
}

/// Ends it when it goes. A computation that is under way ends with the process, and leaves the former verdict.
pub(super) struct NightlyParity {
    _end: SyncSender<()>,
}

/// What computes slots again.
type Compute = fn(&Nightly, &Path) -> Result<Vec<(String, Found)>, ParityError>;

struct Night {
    of: Arc<Nightly>,
    compute: Compute,
    state: PathBuf,
    since: UtcMs,
    failed_at: Option<Instant>,
}

impl Night {
    fn new(of: Nightly, compute: Compute, state: &Path) -> Self {
        Self { of: Arc::new(of), compute, state: state.to_owned(), since: WallClock.now(), failed_at: None }
    }

    fn run(mut self, inbox: &Receiver<()>) {
        loop {
            if self.failed_at.is_none_or(|at| elapsed_now() >= at + AGAIN_AFTER) {
                self.failed_at = self.turn().err().map(|error| {
                    error!(event = "parity_failed", error = %error, "recorded slots could not be computed again; it is tried again");
                    elapsed_now()
                });
            }
            match inbox.recv_timeout(LOOK_EVERY) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return,
            }
        }
    }

    /// Computes them when the last verdict is older than it is to be. Without one, the first night is the next.
    fn turn(&self) -> Result<(), String> {
        let now = WallClock.now();
        let last = record::read(&self.state).map_or(self.since, |last| last.at);
        if last >= last_due(self.of.daily_at, now) {
            return Ok(());
        }
        let began = elapsed_now();
        let (of, compute, state) = (self.of.clone(), self.compute, self.state.clone());
        let found = beside("parity", move || {
            lower();
            compute(&of, &state)
        })?;
        let found = found.map_err(|error| with_advice(&error))?;
        let kept = found.iter().zip(&self.of.pipelines);
        let pipelines: BTreeMap<String, PipelineParity> =
            kept.map(|((name, found), (_, basis))| (name.clone(), PipelineParity::new(found, basis.clone()))).collect();
        record::write(&self.state, LastParity { at: now, pipelines }).map_err(|error| chain(&error))?;
        tell(&found, began.elapsed());
        Ok(())
    }
}

/// The newest week of every pipeline.
fn all(of: &Nightly, state: &Path) -> Result<Vec<(String, Found)>, ParityError> {
    let one = |(pipeline, _): &(PipelineConfig, String)| {
        let newest = JournalReader::open(state)?.last_slot(&pipeline.name)?;
        let range = Window { start: newest.map(|newest| newest.minus(REACH)), end: None };
        Ok((pipeline.name.clone(), recompute(pipeline, state, range, &of.config)?))
    };
    of.pipelines.iter().map(one).collect()
}

/// One event for all pipelines, and one for each in which something differs.
fn tell(found: &[(String, Found)], took: Duration) {
    let sum = |count: fn(&Found) -> u64| found.iter().map(|(_, found)| count(found)).sum::<u64>();
    let (slots, compared) = (sum(|found| found.slots), sum(|found| found.compared));
    let differing = sum(|found| found.verdict.differing);
    let took_ms = took.as_millis();
    info!(event = "parity_checked", slots, compared, differing, took_ms, "recorded slots were computed again");
    for (pipeline, found) in found {
        let Some(first) = found.verdict.first.first() else { continue };
        error!(
            event = "parity_differs",
            pipeline,
            differing = found.verdict.differing,
            slots = found.slots,
            slot = %first.slot,
            value = first.field,
            recorded = first.tree,
            computed = first.backtest,
            "a recorded slot is not what its bars and its model make of it; the first difference is named"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nightly() -> Nightly {
        Nightly { daily_at: jiff::civil::time(4, 0, 0, 0), pipelines: Vec::new(), config: String::new() }
    }

    fn old() -> LastParity {
        LastParity { at: UtcMs(WallClock.now().0 - 2 * 86_400_000), pipelines: BTreeMap::new() }
    }

    #[test]
    fn a_night_that_panics_or_fails_leaves_the_former_verdict_and_the_thread() {
        let dir = tempfile::tempdir().unwrap();
        record::write(dir.path(), old()).unwrap();
        let panics = Night::new(nightly(), |_, _| panic!("for a test"), dir.path());
        assert_eq!(panics.turn(), Err("it panicked".to_owned()));
        let fails: Compute = |_, state| Err(JournalReader::open(&state.join("nowhere")).err().map(Into::into).unwrap());
        assert!(Night::new(nightly(), fails, dir.path()).turn().unwrap_err().contains("there is no journal"));
        assert!(record::read(dir.path()).unwrap().at < UtcMs(WallClock.now().0 - 86_400_000));
    }

    #[test]
    fn a_night_is_done_once_and_the_first_one_is_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let never: Compute = |_, _| panic!("it is not due");
        assert_eq!(Night::new(nightly(), never, dir.path()).turn(), Ok(()), "no verdict, and no night since the start");
        record::write(dir.path(), old()).unwrap();
        assert_eq!(Night::new(nightly(), |_, _| Ok(Vec::new()), dir.path()).turn(), Ok(()));
        assert_eq!(Night::new(nightly(), never, dir.path()).turn(), Ok(()), "it was done");
    }
}
