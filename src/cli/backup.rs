//! `sentinel backup`: one archive of a state directory, beside a running node or without one.

use std::path::PathBuf;

use sentinel_actors::ports::Clock as _;

use super::text::labelled;
use super::{Ended, StateFlag, exit};
use crate::backup::{self, Backup};
use crate::system::WallClock;

/// Takes a backup.
#[derive(Debug, Clone, clap::Args)]
pub struct BackupArgs {
    /// Whose state.
    #[command(flatten)]
    pub state: StateFlag,
    /// A file that is not there yet, or a directory, in which it gets a name of its own.
    #[arg(long, value_name = "FILE|DIR")]
    pub to: PathBuf,
}

/// Takes it, reads it back, and says what is in it.
///
/// # Errors
/// When the journal is not whole, or the place cannot have the archive.
pub fn run(args: &BackupArgs) -> Ended {
    let Backup { file, bytes, manifest } = backup::take(&args.state.dir()?, &args.to, WallClock.now(), || ())?;
    println!("{}", labelled("Backup", &format!("{}, {} KB", file.display(), bytes.div_ceil(1000))));
    let (at, commits, open) = (&manifest.taken_at, manifest.commits, manifest.open_intents);
    println!("{}", labelled("Taken", &format!("{at}, at commit {commits}, with {open} open intents")));
    let files: Vec<&str> = manifest.files.iter().map(|entry| entry.name.as_str()).collect();
    println!("{}", labelled("Files", &files.join(", ")));
    println!("{}", labelled("Checked", "read back, and as it was written"));
    if !manifest.left_out.is_empty() {
        let left_out = manifest.left_out.join(", ");
        println!("{}", labelled("Left out", &format!("{left_out}: it cannot be read, and is not needed")));
    }
    Ok(exit::OK)
}
