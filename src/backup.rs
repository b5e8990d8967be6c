//! Backups of a state directory: one archive of one instant, taken beside a running node or without one, and what a node is
//! restored from.
//!
//! Promises kept here:
//!
//! * What is copied agrees with itself. While nothing can be written to the records of effects (paper book, outbox of
//!   transactions), all databases are pinned to what they show, the journal first. An intent is durable before its effect and
//!   its confirmation after it, so the copies hold no effect without its intent and no confirmation without its effect. The
//!   journal itself is never locked, and the others for as long as three files take to open.
//! * An archive gets its name when it is complete, on the disk, and was read back. It overwrites nothing.
//! * No secret is in it: files are taken by name, and none of these holds one. An arm is not in it either: a restored node has to
//!   be armed by a person.
//! * A restored node sends nothing before an operator has looked, because the node that the copy is of may have gone on
//!   ([`restore`]).

mod archive;
mod cut;
mod error;
mod manifest;
mod names;
pub mod restore;
mod staging;

use std::fs;
use std::path::{Path, PathBuf};

use sentinel_actors::domain::time::UtcMs;

use self::cut::Cut;
pub use self::error::BackupError;
pub use self::manifest::Manifest;
pub use self::names::{of_journal, taken_at};
use self::staging::Staging;
use crate::journal::{
    JOURNAL_FILE, JournalReader, LAST_EXIT_FILE, MARK_FILE, TELEMETRY_FILE, check_copy, mark_ahead_of,
    require_remembered,
};
use crate::kill_file::KILL_FILE;
use crate::venues::allora::outbox::OUTBOX_FILE;
use crate::venues::book::BOOK_FILE;

/// Records of effects: they are pinned together with the journal.
const EFFECTS: [&str; 2] = [BOOK_FILE, OUTBOX_FILE];
/// What may be deleted; a backup without it is a backup.
const EXTRAS: [&str; 1] = [TELEMETRY_FILE];
/// Small files that count for a restored node.
const SMALL: [&str; 2] = [KILL_FILE, LAST_EXIT_FILE];
/// A small file is not larger.
const SMALL_MAX: u64 = 1 << 20;

/// A backup that was read back.
#[derive(Debug)]
pub struct Backup {
    pub file: PathBuf,
    pub bytes: u64,
    pub manifest: Manifest,
}

/// Takes a backup of the state directory `state`, at wall time `now`. `to` is a file that is not there yet, or a directory, in which
/// it gets a name of its own. `once_pinned` is called when nothing is locked any more: what follows only reads and writes files.
///
/// # Errors
/// When the journal is not whole, or the place cannot have the archive. Nothing is left there then.
pub fn take(state: &Path, to: &Path, now: UtcMs, once_pinned: impl FnOnce()) -> Result<Backup, BackupError> {
    require_remembered(state)?;
    drop(JournalReader::open(state)?);
    let outside = names::require_outside(state, to)?;
    let cut = Cut::pin(state, JOURNAL_FILE, &EFFECTS, &EXTRAS)?;
    once_pinned();
    let staging = Staging::beside(&outside, now)?;
    let mut copied = cut.copy_into(staging.path())?;
    let journal = check_copy(&staging.path().join(JOURNAL_FILE))?;
    mark_ahead_of(&journal, staging.path()).map_err(BackupError::io(staging.path(), "writing a mark"))?;
    copied.files.push(MARK_FILE.to_owned());
    for name in SMALL {
        if copy_small(&state.join(name), &staging.path().join(name))? {
            copied.files.push(name.to_owned());
        }
    }
    let manifest = Manifest::of(staging.path(), &copied, &journal, now)?;
    let file = outside.file(&journal.id, now)?;
    let bytes = archive::write(&file, staging.path(), &manifest)?;
    Ok(Backup { file, bytes, manifest })
}

/// Reads an archive from its beginning to its end and compares every file with what the manifest says.
///
/// # Errors
/// When it is not what was written.
pub fn check(file: &Path) -> Result<Manifest, BackupError> {
    archive::read(file, None)
}

/// Whether a file of this name belongs into an archive.
fn is_known(name: &str) -> bool {
    let known = [JOURNAL_FILE, MARK_FILE];
    known.iter().chain(&EFFECTS).chain(&EXTRAS).chain(&SMALL).any(|known| *known == name)
}

/// Says whether there was one. What is no plain file is none.
fn copy_small(from: &Path, to: &Path) -> Result<bool, BackupError> {
    let Ok(found) = fs::symlink_metadata(from) else { return Ok(false) };
    if !found.is_file() || found.len() > SMALL_MAX {
        return Ok(false);
    }
    match fs::read(from) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        read => {
            let bytes = read.map_err(BackupError::io(from, "reading it"))?;
            fs::write(to, bytes).map_err(BackupError::io(to, "writing it"))?;
            Ok(true)
        }
    }
}
