//! Closes everything that is open of one pipeline while no node runs, under the lock that keeps one from starting meanwhile.

use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::flatten::{Flattened, NotFlattened};
use sentinel_actors::domain::halt::{Halt, NewHalt, Place};
use sentinel_actors::flattener::{Alone, closable, flatten_alone};
use sentinel_actors::halts::Halts;
use sentinel_actors::ports::{JournalFatal, JournalStore as _, JournalWrite, NoFaults, Written};
use sentinel_actors::settings::{Job, PipelineSettings};

use super::wiring::open_gateway;
use crate::config::{Config, PipelineConfig, VenueConfig};
use crate::exit::{self, ExitError};
use crate::journal::{JournalError, JournalReader, SqliteJournal, StateDir, StateError, require_remembered};
use crate::kill_file::KillFile;
use crate::system::{WallClock, shell_path};
use crate::venues::gateway::Venue;

/// How long it may take.
const WITHIN: Duration = Duration::from_secs(60);

/// Why nothing was closed.
#[derive(Debug, thiserror::Error)]
pub enum FlattenError {
    #[error(transparent)]
    Not(#[from] NotFlattened),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Write(#[from] JournalFatal),
    #[error("the journal refused the halt: {0}")]
    Halt(String),
    #[error("no runtime could be started")]
    Runtime(#[from] std::io::Error),
}

impl ExitError for FlattenError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Not(_) | Self::Halt(_) => exit::FAILED,
            Self::State(error) => error.exit_code(),
            Self::Journal(error) => error.exit_code(),
            Self::Write(_) => exit::IO,
            Self::Runtime(_) => exit::SOFTWARE,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::State(error) => error.advice(),
            Self::Journal(error) => error.advice(),
            Self::Not(_) | Self::Write(_) | Self::Halt(_) | Self::Runtime(_) => None,
        }
    }
}

/// A pipeline of a stopped node whose positions can be closed.
pub struct Closable {
    pipeline: String,
    settings: PipelineSettings,
    job: Job,
    venue: Arc<dyn Venue>,
}

impl Closable {
    /// Of a pipeline that trades live.
    ///
    /// # Errors
    /// When it has no positions at a venue, or its venue closes none by its ticket.
    pub fn of(pipeline: &PipelineConfig) -> Result<Self, NotFlattened> {
        let (Some(order), Some(schedule)) = (pipeline.order(), pipeline.slots.grid()) else {
            return Err(NotFlattened::NoPositions);
        };
        let VenueConfig::Gateway(gateway) = &order.venue else { return Err(NotFlattened::DryRun) };
        let venue = open_gateway(gateway, Arc::new(NoFaults), &format!("{}/executor", pipeline.name));
        let job = Job::Trade {
            schedule: schedule.clone(),
            policy: order.policy.clone(),
            risk: order.risk.clone(),
            positions: venue.clone(),
        };
        closable(&job, &*venue)?;
        let settings = PipelineSettings {
            name: pipeline.name.clone(),
            symbol: pipeline.symbol.clone(),
            window: pipeline.window,
            competition: pipeline.window,
            first_slot: None,
            freshness: pipeline.freshness(),
            tick: pipeline.data.tick,
            deadlines: pipeline.deadlines,
        };
        Ok(Self { pipeline: pipeline.name.clone(), settings, job, venue })
    }

    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            pipeline: self.pipeline.clone(),
            account: self.venue.account().to_owned(),
            symbol: self.settings.symbol.clone(),
        }
    }

    /// Closes what is open, once the halt that `standing` finds among those that stand, or `new`, is in the journal.
    ///
    /// # Errors
    /// When a node runs, or nothing was tried.
    pub fn flatten(
        self,
        config: &Config,
        standing: impl Fn(&Halt) -> bool,
        new: NewHalt,
    ) -> Result<(Halt, Flattened), FlattenError> {
        require_remembered(&config.node.state)?;
        let state = StateDir::open(&config.node.state)?;
        let (journal, recovered) = SqliteJournal::open(&state, Arc::new(NoFaults))?;
        // A terminal that was logged in elsewhere meanwhile lists nothing of what the node has opened.
        let confirmed = JournalReader::open(state.path())?.newest_note(self.venue.account(), &self.settings.symbol)?;
        if let Some(note) = confirmed {
            self.venue.begin_with(&note);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let halts = Arc::new(Halts::new(recovered.halts.clone(), Arc::new(KillFile::of(state.path()))));
        let halt = match recovered.halts.into_iter().find(standing) {
            Some(halt) => halt,
            None => match runtime.block_on(journal.commit(vec![JournalWrite::Raise(Box::new(new))]))?.pop() {
                Some(Written::Halt(halt)) => *halt,
                other => return Err(FlattenError::Halt(format!("{other:?}"))),
            },
        };
        halts.record(halt.clone());
        let journal = Arc::new(journal);
        let alone = Alone {
            settings: self.settings,
            job: self.job,
            sink: self.venue,
            clock: Arc::new(WallClock),
            store: journal.clone(),
            halts,
            state_dir: shell_path(state.path()).into(),
        };
        let flattened = runtime.block_on(flatten_alone(alone, WITHIN))?;
        drop(runtime);
        if let Some(journal) = Arc::into_inner(journal) {
            journal.close()?;
        }
        Ok((halt, flattened))
    }
}
