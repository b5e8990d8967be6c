//! `sentinel restore`: a new state directory from a backup. Nothing leaves the node on it before an operator has looked.

use std::path::PathBuf;

use sentinel_actors::ports::Clock as _;

use super::text::labelled;
use super::{Ended, exit};
use crate::backup::restore;
use crate::system::{WallClock, shell_path};

/// Restores a backup.
#[derive(Debug, Clone, clap::Args)]
pub struct RestoreArgs {
    /// The archive, as `sentinel backup` wrote it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The new state directory; it must be empty, or not there yet.
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
}

/// Restores it and says what has to be done before the node on it sends anything.
///
/// # Errors
/// When the archive is not what was written, or the directory has anything in it.
pub fn run(args: &RestoreArgs) -> Ended {
    let restored = restore::restore(&args.file, &args.state, &super::who(), WallClock.now())?;
    let (manifest, state) = (&restored.manifest, shell_path(&args.state));
    println!("{}", labelled("Restored", &format!("{state}, from a backup of {}", manifest.taken_at)));
    println!("{}", labelled("Halted", &restored.halt.to_string()));
    for intent in &restored.open {
        println!(
            "{}",
            labelled("Open", &format!("{} of {} {}: {}", intent.key, intent.pipeline, intent.slot, intent.state))
        );
    }
    println!(
        "{}",
        labelled(
            "Next",
            "stop the other node for good; compare the account with `sentinel report`: what \
        was sent after the backup is not in this journal. Start this node: it asks for what is open, and sends nothing. \
        Arm it again if it is to be live. Then"
        )
    );
    println!("           sentinel resume {} --reason 'NAME: compared' --state {state}", restored.halt.id);
    Ok(exit::OK)
}
