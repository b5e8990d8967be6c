//! What can go wrong with the state directory and the journal, with the exit code and the advice that belong to it.
//!
//! Exit codes: 74 when the disk failed (a restart may help), 75 when another node holds the directory, 78 when the
//! operator must change something first.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_READONLY_ROLLBACK;

use super::tables::RowFault;
use crate::exit::{self, ExitError};

/// How the operator accepts a journal that is less than the state directory remembers.
const ACCEPT: &str = "sentinel run --accept-lost-journal";

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A second node on one directory would be a second writer of orders.
    #[error("another node is running on the state directory {}: {}", dir.display(), process(*pid))]
    Locked {
        dir: PathBuf,
        /// The process that holds it, when its lock names one.
        pid: Option<u32>,
    },
    /// It cannot be created, read or written.
    #[error("the state directory {} cannot be used: {action} failed", dir.display())]
    Unusable { dir: PathBuf, action: &'static str, source: io::Error },
}

impl ExitError for StateError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Locked { .. } => exit::TEMPORARY,
            Self::Unusable { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                    exit::CONFIG
                }
                _ => exit::IO,
            },
        }
    }

    fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Locked { dir, pid } => format!(
                "stop the other node ({}), or give this one a directory of its own; {} is free again as soon as that \
                 process has ended, whatever ended it",
                how_to_stop(*pid),
                dir.join(super::LOCK_FILE).display()
            ),
            Self::Unusable { dir, .. } => {
                format!("make {} a directory that this user may read and write, on a local disk", dir.display())
            }
        })
    }
}

/// A process, as messages name it.
#[must_use]
pub fn process(pid: Option<u32>) -> String {
    pid.map_or_else(|| "a process that did not leave its id".to_owned(), |pid| format!("process {pid}"))
}

/// How to stop a node in order.
#[must_use]
pub fn how_to_stop(pid: Option<u32>) -> String {
    let pid = pid.map_or_else(|| "its id".to_owned(), |pid| pid.to_string());
    format!("`kill {pid}`, or by its service manager where it has one, as in `systemctl stop sentinel`")
}

/// The journal cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// There is no journal to read.
    #[error("there is no journal at {}", path.display())]
    Missing { path: PathBuf },
    /// A process ended while it opened the file for writing, and what it had begun can only be taken back by one that may write.
    #[error("the journal {} was left half-way: whatever opened it last was ended meanwhile", path.display())]
    HalfWay { path: PathBuf },
    /// SQLite older than the fix of a corruption bug in WAL mode.
    #[error("SQLite {have} can corrupt a journal in WAL mode; at least {need} is needed")]
    OldSqlite {
        /// Linked version.
        have: &'static str,
        /// First version with the fix.
        need: &'static str,
    },
    /// The file system cannot carry a write-ahead log.
    #[error("the journal {} cannot use a write-ahead log here; SQLite chose '{mode}'", path.display())]
    NoWal { path: PathBuf, mode: String },
    #[error("the journal {} has schema version {have}; this sentinel knows versions up to {known}", path.display())]
    NewerSchema {
        path: PathBuf,
        have: i64,
        /// Newest version that this program knows.
        known: i64,
    },
    /// Written by an older sentinel, and opened for reading only.
    #[error("the journal {} has schema version {have}, which needs an upgrade to {known} first", path.display())]
    OlderSchema { path: PathBuf, have: i64, known: i64 },
    /// A database of some other program.
    #[error("{} is a database, but not a journal", path.display())]
    Foreign { path: PathBuf },
    /// Bytes on disk are not what was written.
    #[error("the journal {} is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    /// A row is not what was written.
    #[error("the journal {} is damaged in the row '{row}': {what}", path.display())]
    DamagedRow { path: PathBuf, row: String, what: String },
    /// The journal is not the one that its state directory remembers, or less of it.
    #[error("the journal {} is not what its state directory remembers: {loss}", path.display())]
    Lost { path: PathBuf, loss: Loss },
    /// A loss was to be accepted, and there is none.
    #[error("--accept-lost-journal: the journal {} is what its state directory remembers", path.display())]
    NothingLost { path: PathBuf },
    /// A file was taken away from under the running node.
    #[error("{} was removed, replaced or cut off while the node had it open", path.display())]
    Moved { path: PathBuf },
    #[error("the disk of {} is full", path.display())]
    DiskFull { path: PathBuf },
    #[error("the journal {}: {action} failed", path.display())]
    Sqlite { path: PathBuf, action: &'static str, source: rusqlite::Error },
    #[error("the journal {}: {action} failed", path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
}

impl JournalError {
    /// Sorts an error of SQLite by what the operator can do about it.
    pub(super) fn from_sqlite(path: &Path, action: &'static str, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        if source.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_READONLY_ROLLBACK) {
            return Self::HalfWay { path };
        }
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path, what: source.to_string() }
            }
            Some(ErrorCode::DiskFull) => Self::DiskFull { path },
            _ => Self::Sqlite { path, action, source },
        }
    }

    /// Whether the reader was told to give up.
    #[must_use]
    pub fn was_interrupted(&self) -> bool {
        matches!(self, Self::Sqlite { source, .. } if source.sqlite_error_code() == Some(ErrorCode::OperationInterrupted))
    }

    /// The same for a row: one that has no meaning was not written by a journal.
    pub(super) fn from_row(path: &Path, action: &'static str, fault: RowFault) -> Self {
        match fault {
            RowFault::Sqlite(source) => Self::from_sqlite(path, action, source),
            RowFault::Damaged { row, what } => Self::DamagedRow { path: path.to_owned(), row, what },
            fault @ RowFault::Meaningless { .. } => Self::Damaged { path: path.to_owned(), what: fault.to_string() },
        }
    }
}

impl ExitError for JournalError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Damaged { .. }
            | Self::Moved { .. }
            | Self::DiskFull { .. }
            | Self::Sqlite { .. }
            | Self::Io { .. } => exit::IO,
            Self::Missing { .. }
            | Self::HalfWay { .. }
            | Self::DamagedRow { .. }
            | Self::Lost { .. }
            | Self::NothingLost { .. }
            | Self::OldSqlite { .. }
            | Self::NoWal { .. }
            | Self::NewerSchema { .. }
            | Self::OlderSchema { .. }
            | Self::Foreign { .. } => exit::CONFIG,
        }
    }

    fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Missing { path } => {
                let dir = path.parent().unwrap_or(path);
                format!("give --state the directory of a node that has run; {} is not one", dir.display())
            }
            Self::HalfWay { .. } => {
                "start the node once, as a user who may write there: it takes back what was left half-way, and nothing is lost"
                    .to_owned()
            }
            Self::OldSqlite { .. } => "build sentinel with its bundled SQLite".to_owned(),
            Self::NoWal { .. } => "put the state directory on a local disk, not on a network share".to_owned(),
            Self::NewerSchema { path, have, .. } => format!(
                "run a sentinel that knows version {have}, or put a backup ({}.backup-v…) in its place after checking \
                 at the venue which orders were sent since it was taken",
                path.display()
            ),
            Self::OlderSchema { .. } => {
                "start the node once: it keeps a backup beside the file and upgrades it".to_owned()
            }
            Self::Foreign { .. } => "give the node a state directory of its own".to_owned(),
            Self::Damaged { path, .. } | Self::DamagedRow { path, .. } => format!(
                "keep a copy of {0} and {0}-wal, check at the venue which orders are open, then restore a backup and run \
                 `{ACCEPT}`; a node on an empty or older journal does not know what it has sent",
                path.display()
            ),
            Self::Lost { path, .. } => format!(
                "put the right file back as {0}, with its {0}-wal; or restore a backup, or leave it empty, compare the \
                 account's orders and positions with it by hand, and then run `{ACCEPT}` once: the node on it does not \
                 know what it has sent since",
                path.display()
            ),
            Self::NothingLost { .. } => {
                "start without --accept-lost-journal, which would accept the next loss unseen".to_owned()
            }
            Self::Moved { path } => {
                format!("find out what touched {}; start the node again only with the file that it had", path.display())
            }
            Self::DiskFull { .. } => "free space on the disk, then start the node again; nothing is lost".to_owned(),
            Self::Sqlite { path, .. } | Self::Io { path, .. } => {
                format!("check the disk and the permissions of {}", path.display())
            }
        })
    }
}

/// What a state directory remembers and its journal does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// There is no file, or an empty one.
    #[error("it is missing or empty, and had {commits} commits")]
    Gone { commits: i64 },
    /// A journal, but not this one.
    #[error("it is another journal; the one that was here had {commits} commits")]
    Another { commits: i64 },
    /// An earlier state of this one: a backup, or one whose newest part is gone.
    #[error("it ends with commit {have}, and {commits} were made")]
    Younger { have: i64, commits: i64 },
    #[error("what it had come to cannot be read in {}", mark.display())]
    Unreadable { mark: PathBuf },
}
