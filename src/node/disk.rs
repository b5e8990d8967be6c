//! The warning that the disk fills up, long before a commit fails.

use std::path::PathBuf;

use sentinel_actors::error_chain::chain;
use tracing::warn;

use crate::system::free_bytes;

const MB: u64 = 1_000_000;

/// Looks after the space under the state directory.
pub(super) struct DiskWatch {
    state: PathBuf,
    limit_mb: u64,
    /// Free space at the last warning, while there is too little.
    warned_mb: Option<u64>,
    /// That the file system does not say how much there is has been told.
    unseen: bool,
}

impl DiskWatch {
    /// Warns below so many megabytes; 0 never does.
    pub(super) fn new(state: PathBuf, limit_mb: u32) -> Self {
        Self { state, limit_mb: limit_mb.into(), warned_mb: None, unseen: false }
    }

    /// Looks, and warns when it is time.
    pub(super) fn look(&mut self) {
        if self.limit_mb == 0 {
            return;
        }
        match free_bytes(&self.state) {
            Ok(bytes) => {
                let free_mb = bytes / MB;
                if self.is_news(free_mb) {
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
                if !std::mem::replace(&mut self.unseen, true) {
                    warn!(event = "disk_space_unknown", error = %chain(&error), "the free space cannot be told");
                }
            }
        }
    }

    /// Too little for the first time, or half of what it was at the last warning. A quarter more than the limit ends it.
    fn is_news(&mut self, free_mb: u64) -> bool {
        if free_mb >= self.limit_mb + self.limit_mb / 4 {
            self.warned_mb = None;
        }
        let is_news =
            free_mb < self.limit_mb && self.warned_mb.is_none_or(|warned| free_mb < warned && free_mb <= warned / 2);
        if is_news {
            self.warned_mb = Some(free_mb);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_disk_space_warns_at_the_limit_and_at_each_further_halving() {
        let mut watch = DiskWatch::new(PathBuf::from("."), 1024);
        let free = [2000, 1024, 1023, 1000, 600, 511, 300, 255, 1200, 900, 1280, 1000, 0, 0, 0];
        let told: Vec<u64> = free.into_iter().filter(|free| watch.is_news(*free)).collect();
        assert_eq!(told, [1023, 511, 255, 1000, 0]);
    }

    #[test]
    fn the_free_space_of_a_directory_is_known_and_that_of_none_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(dir.path()).unwrap() > 0);
        assert!(free_bytes(&dir.path().join("missing")).is_err());
    }
}
