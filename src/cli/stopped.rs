//! The journal of a stopped node, for commands that change it: under the node's own lock, and never one that was not there.

use std::path::Path;
use std::sync::Arc;

use sentinel_actors::ports::{JournalFatal, JournalStore as _, JournalWrite, NoFaults, Written};

use super::exit;
use crate::exit::ExitError;
use crate::journal::{
    JournalError, JournalReader, SqliteJournal, StateDir, StateError, how_to_stop, process, require_remembered,
};

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum StoppedError {
    #[error("the node on {dir} is running ({}), and its journal can only be written while it is stopped", process(*pid))]
    NodeRuns { dir: String, pid: Option<u32> },
    #[error(transparent)]
    State(StateError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Write(#[from] JournalFatal),
    #[error("no runtime could be started")]
    Runtime(#[from] std::io::Error),
}

impl From<StateError> for StoppedError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Locked { dir, pid } => Self::NodeRuns { dir: dir.display().to_string(), pid },
            error @ StateError::Unusable { .. } => Self::State(error),
        }
    }
}

impl ExitError for StoppedError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::NodeRuns { .. } => exit::TEMPORARY,
            Self::State(error) => error.exit_code(),
            Self::Journal(error) => error.exit_code(),
            Self::Write(_) => exit::IO,
            Self::Runtime(_) => exit::SOFTWARE,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::NodeRuns { pid, .. } => {
                let stop = how_to_stop(*pid);
                Some(format!("stop it ({stop}), give this command again, then start the node"))
            }
            Self::State(error) => error.advice(),
            Self::Journal(error) => error.advice(),
            Self::Write(_) | Self::Runtime(_) => None,
        }
    }
}

/// A reader of the journal that the directory remembers. A mistyped directory must not become a node's.
///
/// # Errors
/// When there is none.
pub fn read(state: &Path) -> Result<JournalReader, JournalError> {
    require_remembered(state)?;
    JournalReader::open(state)
}

/// Writes in one transaction.
///
/// # Errors
/// When the node runs, or the journal cannot be written.
pub fn write(state: &Path, writes: Vec<JournalWrite>) -> Result<Vec<Written>, StoppedError> {
    let state = StateDir::open(state)?;
    let (journal, _) = SqliteJournal::open(&state, Arc::new(NoFaults))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    Ok(runtime.block_on(journal.commit(writes))?)
}
