//! Where archives are, and how they are named.

use std::fs;
use std::path::{Path, PathBuf};

use sentinel_actors::domain::time::UtcMs;

use super::BackupError;

const PREFIX: &str = "sentinel-backup-";
const SUFFIX: &str = ".tar.gz";

/// A place outside of the state directory.
#[derive(Debug)]
pub(super) struct Outside {
    dir: PathBuf,
    /// `None`: a name of its own in the directory.
    file: Option<PathBuf>,
}

impl Outside {
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The archive's path. Nothing may be there.
    pub(super) fn file(&self, journal: &str, now: UtcMs) -> Result<PathBuf, BackupError> {
        let file = self.file.clone().unwrap_or_else(|| self.dir.join(name(journal, now)));
        if fs::symlink_metadata(&file).is_ok() { Err(BackupError::Exists { file }) } else { Ok(file) }
    }
}

/// Refuses a place inside of the state directory: a backup there is lost with what it is of.
pub(super) fn require_outside(state: &Path, to: &Path) -> Result<Outside, BackupError> {
    let (dir, file) = if to.is_dir() {
        (to.to_owned(), None)
    } else {
        if fs::symlink_metadata(to).is_ok() {
            return Err(BackupError::Exists { file: to.to_owned() });
        }
        let dir = to.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        (dir.to_owned(), Some(to.to_owned()))
    };
    let real = |path: &Path| path.canonicalize().map_err(BackupError::io(path, "looking for it"));
    if real(&dir)?.starts_with(real(state)?) {
        return Err(BackupError::Inside { to: to.to_owned(), state: state.to_owned() });
    }
    Ok(Outside { dir, file })
}

/// The name of a backup of this journal.
fn name(journal: &str, now: UtcMs) -> String {
    format!("{PREFIX}{journal}-{}{SUFFIX}", now.timestamp().strftime("%Y%m%dT%H%M%SZ"))
}

/// When the backup with this name was taken; `None` when it is none of this journal.
#[must_use]
pub fn taken_at(file: &Path, journal: &str) -> Option<UtcMs> {
    let name = file.file_name()?.to_str()?;
    let time = name.strip_prefix(PREFIX)?.strip_prefix(journal)?.strip_prefix('-')?.strip_suffix(SUFFIX)?;
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", time).ok()?;
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(UtcMs(zoned.timestamp().as_millisecond()))
}

/// The backups of this journal in a directory, oldest first.
///
/// # Errors
/// When the directory cannot be read.
pub fn of_journal(dir: &Path, journal: &str) -> std::io::Result<Vec<(UtcMs, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let file = entry?.path();
        if let Some(at) = taken_at(&file, journal) {
            found.push((at, file));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whose_backup_it_is_and_when_it_was_taken() {
        let at = UtcMs::from_secs(1_496_322_002);
        let file = PathBuf::from(name("0123abcd", at));
        assert_eq!(file.to_str(), Some("sentinel-backup-0123abcd-20170601T130002Z.tar.gz"));
        assert_eq!(taken_at(&file, "0123abcd"), Some(at));
        assert_eq!(taken_at(&file, "0123abc"), None, "of another journal");
        for other in ["sentinel-backup-0123abcd-.tar.gz", "sentinel-backup-0123abcd-20170601T130002Z.tar.gz.new", "x"] {
            assert_eq!(taken_at(Path::new(other), "0123abcd"), None, "{other}");
        }
    }
}
