//! Whether the names of the writer's files still lead to the files that it has open.
//!
//! Promise kept: a journal that is removed, replaced or cut off under a running node ends it at the next commit, before its
//! answer: what such a commit wrote could not be found again.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::JournalError;
use super::mark::Mark;
use super::schema::WAL_LIMIT_BYTES;

/// The writer's files, as they were last seen.
#[derive(Debug)]
pub(super) struct Held {
    journal: HeldFile,
    wal: HeldFile,
    /// The mark, and the `-shm` file: without it another program takes the journal for closed, and cleans up.
    beside: [HeldFile; 2],
}

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
        Ok(Self {
            journal: HeldFile::new(journal.to_owned(), u64::MAX)?,
            wal: HeldFile::new(beside("-wal"), WAL_LIMIT_BYTES)?,
            beside: [HeldFile::new(beside("-shm"), u64::MAX)?, HeldFile::new(mark.path().to_owned(), u64::MAX)?],
        })
    }

    /// Before a commit: a log that was cut off would be as long as ever after one more write.
    pub(super) fn verify_log(&mut self) -> Result<(), JournalError> {
        self.wal.verify()
    }

    /// After a commit of rows that nothing is sent for.
    pub(super) fn verify_journal(&mut self) -> Result<(), JournalError> {
        self.journal.verify()
    }

    /// Looks at each of them again, for what is about to act.
    pub(super) fn verify_all(&mut self) -> Result<(), JournalError> {
        self.wal.verify()?;
        self.journal.verify()?;
        self.beside.iter_mut().try_for_each(HeldFile::verify)
    }
}

impl HeldFile {
    fn new(path: PathBuf, cut_to: u64) -> Result<Self, JournalError> {
        let found = look(&path)?;
        Ok(Self { path, device_and_inode: (found.dev(), found.ino()), at_least: found.len().min(cut_to), cut_to })
    }

    fn verify(&mut self) -> Result<(), JournalError> {
        let found = look(&self.path)?;
        if (found.dev(), found.ino()) != self.device_and_inode || found.len() < self.at_least {
            return Err(JournalError::Moved { path: self.path.clone() });
        }
        self.at_least = self.at_least.max(found.len().min(self.cut_to));
        Ok(())
    }
}

fn look(path: &Path) -> Result<Metadata, JournalError> {
    std::fs::metadata(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => JournalError::Moved { path: path.to_owned() },
        _ => JournalError::Io { path: path.to_owned(), action: "looking at its file", source },
    })
}
