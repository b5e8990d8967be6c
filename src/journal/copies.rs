//! Copies of a journal, for backups: whether one is whole, and a mark that keeps it from being taken for the journal unseen.

use std::path::Path;

use super::mark::{Mark, Progress};
use super::meta::Meta;
use super::opening::{all_there, progress, row_fault};
use super::{JournalError, audit, schema};

/// What a copy of a journal has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedJournal {
    pub id: String,
    pub commits: i64,
    /// Intents that wait to be settled.
    pub open_intents: usize,
}

/// Verifies every row of a copy, as a start does with the journal of a node.
///
/// # Errors
/// When a row is not what was written, or the file cannot be read by this program.
pub fn check_copy(path: &Path) -> Result<CopiedJournal, JournalError> {
    let connection = schema::open_for_reading(path)?;
    let known = audit::audit(&connection, true).map_err(|fault| row_fault(path, fault))?;
    let meta = Meta::load(&connection).map_err(|fault| row_fault(path, fault))?;
    all_there(&known, &meta).map_err(|fault| row_fault(path, fault))?;
    let Some(Progress { id, commits }) = progress(&meta) else {
        return Err(JournalError::Damaged { path: path.to_owned(), what: "it has no id".to_owned() });
    };
    Ok(CopiedJournal { id: id.as_ref().to_owned(), commits, open_intents: known.open_count() })
}

/// Writes a mark into `dir` that is one commit ahead of the copy. The node that the copy is of may have gone on: a node on the copy
/// is refused until an operator accepts that.
///
/// # Errors
/// When the disk refuses.
pub fn mark_ahead_of(copy: &CopiedJournal, dir: &Path) -> std::io::Result<()> {
    let ahead = Progress { id: copy.id.as_str().into(), commits: copy.commits.saturating_add(1) };
    Mark::create(dir, &ahead).map(drop)
}
