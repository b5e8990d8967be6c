//! `sentinel resume`: the operator's confirmation that a crash loop is understood.

use super::{Ended, Failure, StateFlag, exit};
use crate::journal::{BootRecord, JournalError, JournalReader, require_remembered};

/// Ends a safe mode.
#[derive(Debug, Clone, clap::Args)]
pub struct ResumeArgs {
    /// Whose journal.
    #[command(flatten)]
    pub state: StateFlag,
}

/// Removes the record of crashes; a running node leaves its safe mode within seconds.
///
/// # Errors
/// When no node has run there, or the record cannot be removed.
pub fn run(args: &ResumeArgs) -> Ended {
    let state = args.state.dir()?;
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
    Ok(exit::OK)
}
