//! The state directory: its layout, and the lock that makes this node the only one in it.
//!
//! One writer per account begins here: the journal cannot be opened without a [`StateDir`], and a [`StateDir`] exists at
//! most once per directory, in this process and in all others. The kernel gives the lock back when a process ends, so
//! that there is never a stale one to remove by hand. [`Lock`] gives it back when its owner goes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::{JOURNAL_FILE, LOCK_FILE, QUARANTINE_DIR, StateError};
use crate::files::{create_private_dir, sync_names};

/// A state directory, locked for as long as this value lives.
#[derive(Debug)]
pub struct StateDir {
    dir: PathBuf,
    /// The lock that other programs see.
    file_lock: Lock,
    /// The same for the directory itself: a lock file can be removed, and a second node would lock a new one.
    dir_lock: Lock,
}

/// A file that is locked for as long as this value lives.
#[derive(Debug)]
struct Lock(File);

impl Lock {
    fn new(file: File) -> Result<Self, TryLockError> {
        file.try_lock().map(|()| Self(file))
    }
}

impl Drop for Lock {
    /// To close the file is not enough. A process that another thread is just starting has a copy of it until its own program
    /// runs, and keeps the lock for that long.
    fn drop(&mut self) {
        // What cannot be unlocked is closed all the same.
        let _ = self.0.unlock();
    }
}

impl StateDir {
    /// Creates the directory when it is missing, checks that it can be written, and locks it.
    ///
    /// # Errors
    /// When another node holds it, or it cannot be used.
    pub fn open(dir: &Path) -> Result<Arc<Self>, StateError> {
        let unusable = |action: &'static str| {
            move |source: io::Error| StateError::Unusable { dir: dir.to_owned(), action, source }
        };
        create_private_dir(dir).map_err(unusable("creating it"))?;
        std::fs::create_dir_all(dir.join(QUARANTINE_DIR)).map_err(unusable("creating it"))?;
        let lock_file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join(LOCK_FILE))
            .map_err(unusable("opening its lock"))?;
        let dir_file = File::open(dir).map_err(unusable("opening it"))?;
        let lock = |file| {
            Lock::new(file).map_err(|error| match error {
                TryLockError::WouldBlock => StateError::Locked { dir: dir.to_owned(), pid: Self::holder(dir) },
                TryLockError::Error(source) => unusable("locking it")(source),
            })
        };
        let dir_lock = lock(dir_file)?;
        let state = Self { dir: dir.to_owned(), file_lock: lock(lock_file)?, dir_lock };
        // For the message of a second node that is refused; without it the message has no process id.
        let mut file = &state.file_lock.0;
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        // A synced file in a directory whose own name is lost in a power cut is lost with it. A parent that this user may
        // not read was made by someone else, long before.
        if let Ok(parent) = dir.canonicalize().and_then(|dir| File::open(dir.parent().unwrap_or(&dir))) {
            sync_names(&parent).map_err(unusable("syncing its parent"))?;
        }
        Ok(Arc::new(state))
    }

    /// Makes the names of its files durable. SQLite does so too and keeps a failure to itself; this handle was open before,
    /// so the system reports every failure since to it.
    ///
    /// # Errors
    /// When the disk refuses, or refused another process since the last time.
    pub fn sync(&self) -> Result<(), StateError> {
        sync_names(&self.dir_lock.0).map_err(|source| StateError::Unusable {
            dir: self.dir.clone(),
            action: "syncing it",
            source,
        })
    }

    /// The process that holds the directory; `None` when there is none, or none that can be named.
    #[must_use]
    pub fn holder(dir: &Path) -> Option<u32> {
        let pid: i32 = std::fs::read_to_string(dir.join(LOCK_FILE)).ok()?.trim().parse().ok()?;
        // The file outlives its process.
        let is_gone = test_kill_process(Pid::from_raw(pid)?) == Err(Errno::SRCH);
        if is_gone { None } else { u32::try_from(pid).ok() }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.dir.join(JOURNAL_FILE)
    }

    /// Where inputs that ended a stage twice are kept.
    #[must_use]
    pub fn quarantine(&self) -> PathBuf {
        self.dir.join(QUARANTINE_DIR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The copies are those of a process between fork and exec, which closes them only then.
    #[test]
    fn a_directory_is_free_although_a_starting_process_has_its_locks() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let copies = [&state.file_lock, &state.dir_lock].map(|lock| lock.0.try_clone().unwrap());
        drop(state);
        let next = StateDir::open(dir.path()).unwrap();
        drop(copies);
        assert!(matches!(StateDir::open(dir.path()), Err(StateError::Locked { .. })), "the new lock was taken away");
        drop(next);
    }
}
