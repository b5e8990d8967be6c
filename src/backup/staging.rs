//! A directory for what is not complete yet. It goes when its owner does.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use sentinel_actors::domain::time::UtcMs;

use super::BackupError;
use super::names::Outside;
use crate::files::create_private_dir;

const PREFIX: &str = ".sentinel-backup-";
const SUFFIX: &str = ".partial";

#[derive(Debug)]
pub(super) struct Staging(PathBuf);

impl Staging {
    /// On the file system of the archive, so that a full disk is noticed where it is.
    pub(super) fn beside(outside: &Outside, now: UtcMs) -> Result<Self, BackupError> {
        remove_leftovers(outside.dir());
        let name = format!("{PREFIX}{}-{}{SUFFIX}", std::process::id(), now.0);
        Self::new(outside.dir().join(name))
    }

    /// Makes the directory for its owner alone.
    pub(super) fn new(dir: PathBuf) -> Result<Self, BackupError> {
        create_private_dir(&dir).map_err(BackupError::io(&dir, "creating it"))?;
        Ok(Self(dir))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What stays is named as partial.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes what processes have left that were ended while they took a backup.
fn remove_leftovers(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split('-').next());
        let process = process.and_then(|process| Pid::from_raw(process.parse().ok()?));
        if process.is_some_and(|process| test_kill_process(process) == Err(Errno::SRCH)) {
            // One that stays is tried again with the next backup.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_has_left_goes_and_that_of_a_living_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let [dead, own] = [child.id(), std::process::id()].map(|id| dir.path().join(format!("{PREFIX}{id}-1{SUFFIX}")));
        for path in [&dead, &own] {
            fs::create_dir(path).unwrap();
            fs::write(path.join("journal.db"), "").unwrap();
        }
        remove_leftovers(dir.path());
        assert!(!dead.exists() && own.exists());
    }
}
