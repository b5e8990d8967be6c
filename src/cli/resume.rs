//! `sentinel resume`: a person's word that a crash loop is understood.

use std::path::PathBuf;

use super::{Ended, Failure, exit};
use crate::journal::BootRecord;

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
/// When the record cannot be removed.
pub fn run(args: &ResumeArgs) -> Ended {
    BootRecord::forgive(&args.state).map_err(|error| Failure::new(exit::IO, &error, None))?;
    println!("the crashes before now are forgotten; a node in safe mode leaves it within seconds");
    Ok(exit::OK)
}
