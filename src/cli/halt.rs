//! `sentinel halt`: nothing leaves any more, until an operator lifts it.

use std::path::Path;

use sentinel_actors::domain::halt::{NewHalt, RaisedBy, Scope, TradingState, one_line};
use sentinel_actors::ports::{Clock as _, JournalWrite, Written};

use super::stopped::{self, StoppedError};
use super::{Ended, Failure, StateFlag, exit, unanswered};
use crate::exit::ExitError;
use crate::journal::JournalError;
use crate::kill_file::KillFile;
use crate::operator::control::client::{self, ClientError};
use crate::operator::control::messages::{Answer, AskHalt, HALT};
use crate::system::{WallClock, random_id, shell_path};

/// Halts one pipeline, or all.
#[derive(Debug, Clone, clap::Args)]
pub struct HaltArgs {
    /// The pipeline; all of them when left out.
    pub pipeline: Option<String>,
    /// Why; it stands in each slot's row and in the log.
    #[arg(long, value_name = "TEXT", value_parser = super::said)]
    pub reason: String,
    /// Whose journal.
    #[command(flatten)]
    pub state: StateFlag,
}

/// Why nothing was halted.
#[derive(Debug, thiserror::Error)]
enum HaltError {
    #[error("no pipeline '{name}' has a row in the journal of {dir}; it knows: {known}")]
    Unknown { name: String, dir: String, known: String },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Stopped(#[from] StoppedError),
    #[error("the journal refused: {0}")]
    Refused(String),
}

impl HaltError {
    fn into_failure(self, state: &Path) -> Failure {
        let file = shell_path(KillFile::of(state).path());
        let (code, advice) = match &self {
            Self::Unknown { .. } => (exit::FAILED, Some("leave the name out to halt all of them".to_owned())),
            // Not the error's own advice, which is to start the node.
            Self::Journal(error @ (JournalError::OlderSchema { .. } | JournalError::HalfWay { .. })) => {
                (error.exit_code(), Some(format!("`touch {file}` halts all of its pipelines from their next start on")))
            }
            Self::Journal(error) => (error.exit_code(), error.advice()),
            Self::Stopped(error @ StoppedError::NodeRuns { .. }) => {
                (error.exit_code(), Some(format!("`touch {file}` halts all of its pipelines at once")))
            }
            Self::Stopped(error) => (error.exit_code(), error.advice()),
            Self::Refused(_) => (exit::FAILED, None),
        };
        Failure::new(code, &self, advice)
    }
}

/// Halts: through the node while it runs, in its journal when it does not.
///
/// # Errors
/// When it is not in the journal.
pub fn run(args: &HaltArgs) -> Ended {
    let state = args.state.dir()?;
    let asked = AskHalt { id: random_id(), pipeline: args.pipeline.clone(), reason: args.reason.clone() };
    match client::post::<Answer>(&state, HALT, &asked) {
        Ok(answer) => println!("{}", answer.text),
        Err(ClientError::NotThere(_)) => {
            println!("{}", halt(args, &state).map_err(|error| error.into_failure(&state))?);
        }
        Err(error) => return Err(unanswered(&error)),
    }
    Ok(exit::OK)
}

fn halt(args: &HaltArgs, state: &Path) -> Result<String, HaltError> {
    let known = stopped::read(state)?.pipelines()?;
    if let Some(name) = args.pipeline.as_ref().filter(|name| !known.contains(name)) {
        let (dir, known) = (state.display().to_string(), known.join(", "));
        return Err(HaltError::Unknown { name: name.clone(), dir, known });
    }
    let new = NewHalt {
        request: random_id(),
        scope: args.pipeline.clone().map_or(Scope::All, Scope::Pipeline),
        state: TradingState::Halted,
        by: RaisedBy::Operator,
        who: super::who(),
        why: one_line(&args.reason),
        evidence: String::new(),
        since: WallClock.now(),
    };
    match stopped::write(state, vec![JournalWrite::Raise(Box::new(new))])?.pop() {
        Some(Written::Halt(halt)) => {
            Ok(format!("{halt}\nthe node is stopped; `sentinel resume {}` lifts it, and no start does", halt.id))
        }
        other => Err(HaltError::Refused(format!("{other:?}"))),
    }
}
