//! How an operator's command to close everything reaches an Executor, which alone sends the effects of a pipeline: that of a running
//! node, or one that lives only as long as the command.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ractor::Actor as _;

use crate::cycle_flow::ExecutorInput;
use crate::domain::flatten::{Flattened, NotFlattened};
use crate::executor::{Executor, Refusals, Surroundings, require_closable};
use crate::halts::Halts;
use crate::journal::{Journal, JournalArgs, JournalHandle};
use crate::messages::Flatten;
use crate::meters::PipelineMeters;
use crate::ports::{Clock, JournalStore, NoFaults, Sink, elapsed_now};
use crate::settings::{Job, PipelinePorts, PipelineSettings};
use crate::stage::StageMsg;
use crate::status::Holdings;
use crate::supervision::{Address, CallError};

/// Of a command's time, so much is left for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// A command has at least this time, however short cycles are.
const SHORTEST: Duration = Duration::from_secs(8);

/// A node answers commands before its Executors run, and a failed one is started again: so long is it waited for.
const STARTS_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks whether it runs.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

/// Asks the Executor of one pipeline to close everything.
#[derive(Debug, Clone)]
pub struct Flattener {
    executor: Address<StageMsg<ExecutorInput>>,
    closable: Result<(), NotFlattened>,
    /// A cycle that waits for so long counts as hung, and ends the executor.
    longest: Duration,
}

impl Flattener {
    /// `cycle`: deadline of a whole cycle of the pipeline.
    pub(crate) fn new(executor: Address<StageMsg<ExecutorInput>>, ports: &PipelinePorts, cycle: Duration) -> Self {
        let longest = (cycle * 3 / 4).max(SHORTEST);
        Self { executor, closable: closable(&ports.job, &*ports.sink), longest }
    }

    /// Whether its positions can be closed at all.
    ///
    /// # Errors
    /// Why not.
    pub fn require_closable(&self) -> Result<(), NotFlattened> {
        self.closable.clone()
    }

    /// Closes what is open, after the cycle that the Executor may be working on. If the caller goes before it has begun, it does not
    /// begin.
    ///
    /// # Errors
    /// When there is no answer: something may have been closed, and the journal has an intent for it.
    pub async fn flatten(&self, within: Duration) -> Result<Result<Flattened, NotFlattened>, CallError> {
        let began = elapsed_now();
        loop {
            let waited = elapsed_now().saturating_duration_since(began);
            let within = within.saturating_sub(waited);
            let until = elapsed_now() + within.saturating_sub(ANSWER_WITHIN).min(self.longest);
            match self.executor.call(|reply| StageMsg::Flatten(Flatten { until, reply }), within).await {
                // Nothing was delivered, so that nothing is closed twice.
                Err(CallError::NotRunning) if waited < STARTS_WITHIN.min(within) => {
                    tokio::time::sleep(LOOKS_EVERY).await
                }
                answer => return answer,
            }
        }
    }
}

/// Whether the positions of a job can be closed at all.
///
/// # Errors
/// Why not.
pub fn closable(job: &Job, sink: &dyn Sink) -> Result<(), NotFlattened> {
    match job {
        Job::Trade { positions, .. } => require_closable(sink, &**positions),
        Job::Forecast { .. } => Err(NotFlattened::NoPositions),
    }
}

/// What closing the positions of one pipeline takes without a node.
pub struct Alone {
    pub settings: PipelineSettings,
    pub job: Job,
    pub sink: Arc<dyn Sink>,
    pub clock: Arc<dyn Clock>,
    pub store: Arc<dyn JournalStore>,
    pub halts: Arc<Halts>,
    /// As it is written in a shell command.
    pub state_dir: Arc<str>,
}

/// Closes what is open. The caller holds the lock of the state directory, so that no node does anything meanwhile.
///
/// # Errors
/// When nothing was tried.
pub async fn flatten_alone(alone: Alone, within: Duration) -> Result<Flattened, NotFlattened> {
    closable(&alone.job, &*alone.sink)?;
    let args = JournalArgs {
        store: alone.store.clone(),
        // Who waits for a write that fails is told so.
        on_fatal: Arc::new(|_| ()),
        meters: Arc::default(),
        progress: Arc::default(),
        faults: Arc::new(NoFaults),
    };
    let journal = Journal::spawn(None, Journal, args).await;
    let (journal, ended) = journal.map_err(|error| NotFlattened::Journal(error.to_string()))?;
    let mut executor = executor(&alone, &JournalHandle::new(Address::of(journal.clone())));
    let answer = match &mut executor {
        Some(executor) => Executor::flatten(executor, elapsed_now() + within).await,
        None => Err(NotFlattened::NoPositions),
    };
    journal.stop(None);
    let _ = ended.await;
    answer
}

fn executor(alone: &Alone, journal: &JournalHandle) -> Option<Executor> {
    let Alone { settings, job, sink, clock, halts, state_dir, .. } = alone;
    matches!(job, Job::Trade { .. }).then(|| {
        let around = Surroundings::alone(halts.clone(), state_dir.clone());
        let meters = Arc::new(PipelineMeters::new(sink.mode(), false));
        let holdings = Arc::new(ArcSwap::from_pointee(Holdings::default()));
        Executor::new(settings, (clock, sink, job), around, (journal, &meters), &Refusals::default(), &holdings)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_executor_that_does_not_run_is_waited_for_and_not_for_ever() {
        let flattener = Flattener { executor: Address::new(), closable: Ok(()), longest: SHORTEST };
        let began = elapsed_now();
        let answer = flattener.flatten(Duration::from_secs(27)).await;
        assert_eq!(answer, Err(CallError::NotRunning));
        let waited = elapsed_now().saturating_duration_since(began);
        assert!(waited >= STARTS_WITHIN && waited < STARTS_WITHIN * 2, "{waited:?}");
    }
}
