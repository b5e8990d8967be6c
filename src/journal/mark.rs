//! The journal's high-water mark: which journal this state directory has, and how far it had come, kept outside of it.
//!
//! Promise kept: a journal that was emptied, cut off, replaced or put back from a backup is not taken for the whole one. The
//! mark is written after each commit, so that it never runs ahead of the journal, and it is on the disk before an order
//! leaves. It has two records that are written in turn: a write that is cut off costs one of them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::files::{Durability, replace};

/// The file's name in the state directory.
pub const MARK_FILE: &str = "journal.mark";
/// Where the second record begins: in another block, so that no torn block holds both.
const SECOND_AT: u64 = 4096;
/// A record's length, padded with spaces.
const RECORD: usize = 128;

/// How far a journal had come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    /// Its id, `[0-9a-f]+`.
    pub(super) id: Arc<str>,
    pub(super) commits: i64,
}

/// The mark of the journal in use.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    path: PathBuf,
}

impl Mark {
    /// What a state directory remembers: `None` when there is no mark.
    ///
    /// # Errors
    /// When it cannot be read; `InvalidData` when no record of it is whole.
    pub(super) fn read(dir: &Path) -> io::Result<Option<Progress>> {
        let bytes = match std::fs::read(dir.join(MARK_FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let second = usize::try_from(SECOND_AT).unwrap_or(usize::MAX);
        let records = [0, second].into_iter().filter_map(|at| parse(bytes.get(at..at + RECORD)?));
        match records.max_by_key(|record| record.commits) {
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "neither of its two records is whole")),
            newest => Ok(newest),
        }
    }

    /// Creates or replaces the mark, durably.
    pub(super) fn create(dir: &Path, progress: &Progress) -> io::Result<Self> {
        let record = record(progress);
        replace(&dir.join(MARK_FILE), Durability::ContentAndName, |file| {
            file.write_all_at(&record, 0)?;
            file.write_all_at(&record, SECOND_AT)
        })?;
        Self::open(dir)
    }

    /// Opens the mark of the journal in use.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(MARK_FILE);
        Ok(Self { file: OpenOptions::new().write(true).open(&path)?, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes a commit; with `durable` it is on the disk afterwards, and everything noted before.
    pub(super) fn note(&self, progress: &Progress, durable: bool) -> io::Result<()> {
        let at = if progress.commits % 2 == 0 { 0 } else { SECOND_AT };
        self.file.write_all_at(&record(progress), at)?;
        if durable { self.file.sync_data() } else { Ok(()) }
    }
}

/// One readable line of text.
fn record(progress: &Progress) -> Vec<u8> {
    let line = format!("journal {} commits {}", progress.id, progress.commits);
    let mut record = format!("{line} check {}", check(&line)).into_bytes();
    record.resize(RECORD - 1, b' ');
    record.push(b'\n');
    record
}

fn parse(record: &[u8]) -> Option<Progress> {
    let line = std::str::from_utf8(record).ok()?.strip_suffix('\n')?.trim_end_matches(' ');
    let (line, sum) = line.split_once(" check ")?;
    let (id, commits) = line.strip_prefix("journal ")?.split_once(" commits ")?;
    (sum == check(line)).then_some(())?;
    Some(Progress { id: id.into(), commits: commits.parse().ok()? })
}

fn check(line: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(line)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(commits: i64) -> Progress {
        Progress { id: "0123456789abcdef".into(), commits }
    }

    #[test]
    fn the_newest_whole_record_counts_whichever_byte_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let mark = Mark::create(dir.path(), &at(6)).unwrap();
        mark.note(&at(7), false).unwrap();
        mark.note(&at(8), true).unwrap();
        assert_eq!(Mark::read(dir.path()).unwrap(), Some(at(8)));
        let whole = std::fs::read(mark.path()).unwrap();
        for byte in (0..RECORD).chain(4096..4096 + RECORD) {
            let mut changed = whole.clone();
            changed[byte] ^= 1;
            std::fs::write(mark.path(), changed).unwrap();
            assert_eq!(Mark::read(dir.path()).unwrap(), Some(at(if byte < RECORD { 7 } else { 8 })), "{byte}");
        }
    }

    #[test]
    fn a_mark_without_a_whole_record_is_unreadable_and_not_missing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Mark::read(dir.path()).unwrap(), None);
        for text in ["", "journal", &" ".repeat(9000)] {
            std::fs::write(dir.path().join(MARK_FILE), text).unwrap();
            assert_eq!(Mark::read(dir.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
