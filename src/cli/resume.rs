//! `sentinel resume`: a person's word that a crash loop is understood.

use super::{Ended, Failure, StateFlag, exit};
use crate::journal::{BootRecord, JournalError, JournalReader, require_remembered};

/// Ends a safe mode.
#[derive(Debug, Clone, clap::Args)]
pub struct ResumeArgs {
    /// Whose journal.
    #[command(flatten)]
    pub state: StateFlag,
}

/// Forgets the crash loop; a running node leaves its safe mode within seconds.
///
/// # Errors
/// When no node has run there, or the record cannot be removed.
pub fn run(args: &ResumeArgs) -> Ended {
    let state = args.state.dir()?;
    // A mistyped directory must not look like a node that was told.
    if let Err(error @ JournalError::Missing { .. }) = JournalReader::open(&state)
        && BootRecord::safe_mode_was_ended(&state)
    {
        return Err(error.into());
    }
    // Nobody resumes a node that would be refused: the word is about crashes, and this is worse.
    if let Err(error @ JournalError::Lost { .. }) = require_remembered(&state) {
        return Err(error.into());
    }
    BootRecord::end_safe_mode(&state).map_err(|error| {
        let advice = format!("check that this user may write in {}", state.display());
        Failure::new(exit::IO, &error, Some(advice))
    })?;
    println!("the crashes before now are forgotten; a node in safe mode leaves it within seconds");
    Ok(exit::OK)
}
