//! Why the bar cache cannot be used.

use std::io;
use std::path::PathBuf;

/// Why the bar cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("there is no bar cache at {}: it comes with the first fetch of a node with live bars", .0.display())]
    None(PathBuf),
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// Another program's file, or that of another version.
    #[error("the file is not a bar cache of this version (application {application:#x}, version {version})")]
    Foreign { application: i64, version: i64 },
    /// A file that cannot be used cannot be put aside either.
    #[error("{} cannot be renamed: remove it", file.display())]
    Aside { file: PathBuf, source: io::Error },
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

impl CacheError {
    /// Whether another file in its place would work.
    pub(super) fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Damaged(_) | Self::Foreign { .. } => true,
            Self::Sqlite(error) => matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)),
            Self::None(_) | Self::Aside { .. } => false,
        }
    }
}
