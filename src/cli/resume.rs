//! `sentinel resume`: a person's word that a crash loop is understood.

use std::path::PathBuf;

use super::{Ended, Failure, exit};
use crate::journal::{BootRecord, JournalError, JournalReader};

/// Ends a safe mode.
#[derive(Debug, Clone, clap::Args)]
pub struct ResumeArgs {
    /// State directory of the node.
    #[arg(long, default_value = "state")]
    pub state: PathBuf,
}

/// Forgets the crash loop; a running node leaves its safe mode within seconds.
///
/// # Errors
/// When no node has run there, or the record cannot be removed.
pub fn run(args: &ResumeArgs) -> Ended {
    // A mistyped directory must not look like a node that was told.
    if let Err(error @ JournalError::Missing { .. }) = JournalReader::open(&args.state)
        && BootRecord::is_forgiven(&args.state)
    {
        return Err(Failure::new(error.exit_code(), &error, Some(error.advice())));
    }
    BootRecord::forgive(&args.state).map_err(|error| {
        let advice = format!("check that this user may write in {}", args.state.display());
        Failure::new(exit::IO, &error, Some(advice))
    })?;
    println!("the crashes before now are forgotten; a node in safe mode leaves it within seconds");
    Ok(exit::OK)
}
