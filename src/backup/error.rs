//! Why there is no backup, or nothing was restored, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use sentinel_actors::ports::JournalFatal;

use crate::exit::{self, ExitError};
use crate::journal::{JournalError, StateError};

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("{} is there already", file.display())]
    Exists { file: PathBuf },
    /// A backup there is lost with what it is of.
    #[error("{} is inside of the state directory {}", to.display(), state.display())]
    Inside { to: PathBuf, state: PathBuf },
    #[error("the disk is full: {} could not be written", file.display())]
    DiskFull { file: PathBuf },
    #[error("{}: {action} failed", file.display())]
    Database { file: PathBuf, action: &'static str, source: rusqlite::Error },
    #[error("{} is damaged: {what}", file.display())]
    Damaged { file: PathBuf, what: String },
    #[error("{}: {action} failed", file.display())]
    Io { file: PathBuf, action: &'static str, source: io::Error },
    #[error("{} is no backup, or is damaged: {what}", file.display())]
    NotABackup { file: PathBuf, what: String },
    #[error("{} is a backup of form {have}; this sentinel knows form {known}", file.display())]
    OtherFormat { file: PathBuf, have: u32, known: u32 },
    #[error("{} is not empty", dir.display())]
    NotEmpty { dir: PathBuf },
    #[error("the restored journal cannot be written")]
    Write(#[from] JournalFatal),
    #[error("the restored journal refused: {0}")]
    Refused(String),
}

impl BackupError {
    /// Sorts an error of the system.
    pub(super) fn io(file: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull => Self::DiskFull { file },
            io::ErrorKind::AlreadyExists => Self::Exists { file },
            _ => Self::Io { file, action, source },
        }
    }

    /// Sorts an error of SQLite.
    pub(super) fn database(file: &Path, action: &'static str, source: rusqlite::Error) -> Self {
        let file = file.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull { file },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { file, what: source.to_string() }
            }
            _ => Self::Database { file, action, source },
        }
    }
}

impl ExitError for BackupError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Journal(error) => error.exit_code(),
            Self::State(error) => error.exit_code(),
            Self::Exists { .. } | Self::Inside { .. } | Self::NotEmpty { .. } => exit::FAILED,
            Self::NotABackup { .. } | Self::OtherFormat { .. } => exit::CONFIG,
            Self::DiskFull { .. }
            | Self::Database { .. }
            | Self::Damaged { .. }
            | Self::Io { .. }
            | Self::Write(_)
            | Self::Refused(_) => exit::IO,
        }
    }

    fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Journal(error) => return error.advice(),
            Self::State(error) => return error.advice(),
            Self::Exists { .. } => "give another name, or a directory: it gets a name of its own there".to_owned(),
            Self::Inside { .. } => "give a place outside, best on another disk".to_owned(),
            Self::DiskFull { file } => format!("free space for {}, or give another place", file.display()),
            Self::Database { file, .. } | Self::Io { file, .. } => {
                format!("check the disk and the permissions of {}", file.display())
            }
            Self::Damaged { .. } => {
                "nothing was backed up: check the disk, and keep the backups that there are".to_owned()
            }
            Self::NotABackup { .. } => "give the archive as `sentinel backup` wrote it, or an older one".to_owned(),
            Self::OtherFormat { .. } => "restore it with the sentinel that wrote it, or a newer one".to_owned(),
            Self::NotEmpty { .. } => {
                "give a directory that is not there yet: a restored node gets one of its own".to_owned()
            }
            Self::Write(_) | Self::Refused(_) => "remove the directory, check the disk, and restore again".to_owned(),
        })
    }
}
