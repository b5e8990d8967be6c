//! Whether the names of the writer's files still lead to the files that it has open.
//!
//! Promise kept: a journal that is removed, replaced or cut off under a running node ends it at the next commit, before its
//! answer: what such a commit wrote, nobody would find again.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::JournalError;
use super::mark::Mark;
use super::schema::WAL_LIMIT_BYTES;

/// The writer's files, as they were last seen.
#[derive(Debug)]
pub(super) struct Held(Vec<HeldFile>);

#[derive(Debug)]
struct HeldFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
    /// It was as long, and is never shorter afterwards.
    at_least: u64,
    /// SQLite itself cuts it off to this length.
    cut_to: u64,
}

impl Held {
    /// Remembers the files of an open journal: called when the connection has read, so that all of them are there.
    pub(super) fn new(journal: &Path, mark: &Mark) -> Result<Self, JournalError> {
        let beside = |suffix: &str| {
            let mut name = journal.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        // The `-shm` file too: without it another program takes the journal for closed, and cleans up.
        let files = [
            (journal.to_owned(), u64::MAX),
            (beside("-wal"), WAL_LIMIT_BYTES),
            (beside("-shm"), u64::MAX),
            (mark.path().to_owned(), u64::MAX),
        ];
        let held = files.into_iter().map(|(path, cut_to)| {
            let found = look(&path)?;
            Ok(HeldFile {
                path,
                device_and_inode: (found.dev(), found.ino()),
                at_least: found.len().min(cut_to),
                cut_to,
            })
        });
        held.collect::<Result<_, _>>().map(Self)
    }

    /// Looks at each of them again.
    pub(super) fn verify(&mut self) -> Result<(), JournalError> {
        for held in &mut self.0 {
            let found = look(&held.path)?;
            if (found.dev(), found.ino()) != held.device_and_inode || found.len() < held.at_least {
                return Err(JournalError::Moved { path: held.path.clone() });
            }
            held.at_least = held.at_least.max(found.len().min(held.cut_to));
        }
        Ok(())
    }
}

fn look(path: &Path) -> Result<Metadata, JournalError> {
    std::fs::metadata(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => JournalError::Moved { path: path.to_owned() },
        _ => JournalError::Io { path: path.to_owned(), action: "looking at its file", source },
    })
}
