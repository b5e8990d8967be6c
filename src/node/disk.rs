//! The warning that the disk fills up, long before a commit fails.

use std::path::PathBuf;

use sentinel_actors::error_chain::chain;
use tracing::warn;

use crate::system::free_bytes;

const MB: u64 = 1_000_000;

/// Watches the free space under the state directory.
pub(super) struct DiskWatch {
    state: PathBuf,
    limit_mb: u64,
    /// Free space at the last warning, while there is too little.
    warned_mb: Option<u64>,
    /// Whether the warning that the free space is unknown has been logged.
    unknown_logged: bool,
}

impl DiskWatch {
    /// Warns below `limit_mb` megabytes; 0 never warns.
    pub(super) fn new(state: PathBuf, limit_mb: u32) -> Self {
        Self { state, limit_mb: limit_mb.into(), warned_mb: None, unknown_logged: false }
    }

    /// Reads the free space, and logs a warning when one is due.
    pub(super) fn check(&mut self) {
        if self.limit_mb == 0 {
            return;
        }
        match free_bytes(&self.state) {
            Ok(bytes) => {
                let free_mb = bytes / MB;
                if self.is_warning_due(free_mb) {
                    warn!(
                        event = "disk_space_low",
                        free_mb,
                        limit_mb = self.limit_mb,
                        state = %self.state.display(),
                        "the disk fills up; the node ends when its journal cannot be written"
                    );
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.unknown_logged, true) {
                    warn!(event = "disk_space_unknown", error = %chain(&error), "the free space of the state directory is unknown");
                }
            }
        }
    }

    /// Below the limit for the first time, or at most half of what it was at the last warning. The warning is over once a
    /// quarter more than the limit is free.
    fn is_warning_due(&mut self, free_mb: u64) -> bool {
        if free_mb >= self.limit_mb + self.limit_mb / 4 {
            self.warned_mb = None;
        }
        let is_due =
            free_mb < self.limit_mb && self.warned_mb.is_none_or(|warned| free_mb < warned && free_mb <= warned / 2);
        if is_due {
            self.warned_mb = Some(free_mb);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_disk_space_warns_at_the_limit_and_at_each_further_halving() {
        let mut watch = DiskWatch::new(PathBuf::from("."), 1024);
        let free = [2000, 1024, 1023, 1000, 600, 511, 300, 255, 1200, 900, 1280, 1000, 0, 0, 0];
        let warned: Vec<u64> = free.into_iter().filter(|free| watch.is_warning_due(*free)).collect();
        assert_eq!(warned, [1023, 511, 255, 1000, 0]);
    }

    #[test]
    fn the_free_space_of_a_directory_is_known_and_that_of_none_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(dir.path()).unwrap() > 0);
        assert!(free_bytes(&dir.path().join("missing")).is_err());
    }
}
