//! `sentinel resume`: the operator's confirmation that a crash loop, or what has raised a halt, is understood.

use std::path::Path;

use sentinel_actors::domain::halt::{Halt, HaltId, Lifted, one_line};
use sentinel_actors::ports::{Clock as _, JournalWrite, Written};

use super::stopped::{self, StoppedError};
use super::{Ended, Failure, StateFlag, exit, unanswered};
use crate::exit::ExitError;
use crate::journal::{BootRecord, JournalError, JournalReader, require_remembered};
use crate::kill_file::KillFile;
use crate::operator::control::client::{self, ClientError};
use crate::operator::control::messages::{Answer, AskResume, RESUME};
use crate::system::{WallClock, random_id, shell_path};

/// Lifts a halt, or ends a safe mode.
#[derive(Debug, Clone, clap::Args)]
pub struct ResumeArgs {
    /// The halt, like halt-3; without one it ends the safe mode.
    #[arg(value_name = "HALT-ID")]
    pub halt: Option<HaltId>,
    /// Why it may be lifted; kept in the journal.
    #[arg(long, value_name = "TEXT", requires = "halt", value_parser = super::said)]
    pub reason: Option<String>,
    /// Whose journal.
    #[command(flatten)]
    pub state: StateFlag,
}

/// Why a halt was not lifted.
#[derive(Debug, thiserror::Error)]
enum LiftError {
    #[error("the kill file {0} is there: while it is, nothing leaves, and no halt is lifted")]
    KillFile(String),
    #[error("there is no {id}; {standing}")]
    Unknown { id: HaltId, standing: String },
    #[error("{id} was lifted at {} by {}", .lifted.at, .lifted.who)]
    Lifted { id: HaltId, lifted: Lifted },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Stopped(#[from] StoppedError),
    #[error("the journal refused: {0}")]
    Refused(String),
}

impl ExitError for LiftError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::KillFile(_) | Self::Unknown { .. } | Self::Lifted { .. } | Self::Refused(_) => exit::FAILED,
            Self::Journal(error) => error.exit_code(),
            Self::Stopped(error) => error.exit_code(),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::KillFile(file) => {
                Some(format!("find out who has put it there, then `rm {file}`, then give this command again"))
            }
            Self::Journal(error) => error.advice(),
            Self::Stopped(error) => error.advice(),
            Self::Unknown { .. } | Self::Lifted { .. } | Self::Refused(_) => None,
        }
    }
}

/// Without a halt it removes the record of crashes; a running node leaves its safe mode within seconds.
///
/// # Errors
/// When no node has run there, the halt cannot be lifted, or the record not be removed.
pub fn run(args: &ResumeArgs) -> Ended {
    let state = args.state.dir()?;
    if let Some(id) = args.halt {
        let reason = args.reason.clone().unwrap_or_default();
        let asked = AskResume { id: random_id(), halt: id.to_string(), reason: reason.clone() };
        match client::post::<Answer>(&state, RESUME, &asked) {
            Ok(answer) => println!("{}", answer.text),
            Err(ClientError::NotThere(_)) => {
                let halt = lift(id, &reason, &state)?;
                println!("{id} is lifted: {} may act again, unless another halt covers it", halt.raised.scope);
            }
            Err(error) => return Err(unanswered(&error)),
        }
        return Ok(exit::OK);
    }
    // A mistyped directory must not look like a success.
    if let Err(error @ JournalError::Missing { .. }) = JournalReader::open(&state)
        && BootRecord::safe_mode_was_ended(&state)
    {
        return Err(error.into());
    }
    // A node whose journal is lost would be refused at its start: that comes first.
    if let Err(error @ JournalError::Lost { .. }) = require_remembered(&state) {
        return Err(error.into());
    }
    BootRecord::end_safe_mode(&state).map_err(|error| {
        let advice = format!("check that this user may write in {}", state.display());
        Failure::new(exit::IO, &error, Some(advice))
    })?;
    println!("the crashes before now are forgotten; a node in safe mode leaves it within seconds");
    // Safe mode has ended, also where the journal cannot be read: the next start says what is wrong with it.
    let standing = JournalReader::open(&state).and_then(|reader| stands(&reader));
    for halt in standing.unwrap_or_default() {
        println!("{halt}; `sentinel resume {}` lifts it", halt.id);
    }
    Ok(exit::OK)
}

fn lift(id: HaltId, why: &str, state: &Path) -> Result<Halt, LiftError> {
    let file = KillFile::of(state);
    if file.is_there() {
        return Err(LiftError::KillFile(shell_path(file.path())));
    }
    let standing = stands(&stopped::read(state)?)?;
    let lifted = Lifted { request: random_id(), who: super::who(), why: one_line(why), at: WallClock.now() };
    match stopped::write(state, vec![JournalWrite::Lift { id, lifted: lifted.clone() }])?.pop() {
        Some(Written::Halt(halt)) => match &halt.lifted {
            Some(earlier) if *earlier != lifted => Err(LiftError::Lifted { id, lifted: earlier.clone() }),
            _ => Ok(*halt),
        },
        Some(Written::Refused(_)) => {
            let ids: Vec<String> = standing.iter().map(|halt| halt.id.to_string()).collect();
            let standing =
                if ids.is_empty() { "none stands".to_owned() } else { format!("there stands {}", ids.join(", ")) };
            Err(LiftError::Unknown { id, standing })
        }
        other => Err(LiftError::Refused(format!("{other:?}"))),
    }
}

fn stands(reader: &JournalReader) -> Result<Vec<Halt>, JournalError> {
    Ok(reader.halts()?.into_iter().map(|halt| halt.record).filter(Halt::stands).collect())
}
