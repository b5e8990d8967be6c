//! How full the disk is: measured beside the node, for the port that keeps new effects here, and the warning long before a commit
//! fails.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use sentinel_actors::domain::node_view::DiskView;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::DiskSpace;
use tracing::warn;

use crate::system::disk_bytes;

const MB: u64 = 1_000_000;

/// Says how many bytes are free on the disk of a path, and how many it has.
pub type MeasureDisk = Arc<dyn Fn(&Path) -> io::Result<(u64, u64)> + Send + Sync>;

/// As the system says it.
#[must_use]
pub fn by_the_system() -> MeasureDisk {
    Arc::new(disk_bytes)
}

/// What was measured last.
#[derive(Clone, Default)]
pub(super) struct MeasuredDisk(Arc<ArcSwapOption<DiskView>>);

impl MeasuredDisk {
    /// What cannot be measured keeps nothing here.
    pub(super) fn note(&self, measured: Option<(u64, u64)>) {
        let view = |(free, size): (u64, u64)| Arc::new(DiskView { free_mb: free / MB, size_mb: size / MB });
        self.0.store(measured.map(view));
    }
}

impl DiskSpace for MeasuredDisk {
    fn measured(&self) -> Option<DiskView> {
        self.0.load().as_deref().copied()
    }
}

/// Watches the free space under the state directory.
pub(super) struct DiskWatch {
    state: PathBuf,
    measure: MeasureDisk,
    measured: MeasuredDisk,
    limit_mb: u64,
    /// Free space at the last warning, while there is too little.
    warned_mb: Option<u64>,
    /// Whether the warning that the free space is unknown has been logged.
    unknown_logged: bool,
}

impl DiskWatch {
    /// Warns below `limit_mb` megabytes; 0 never warns.
    pub(super) fn new(state: PathBuf, limit_mb: u32, measure: MeasureDisk, measured: MeasuredDisk) -> Self {
        let limit_mb = limit_mb.into();
        Self { state, measure, measured, limit_mb, warned_mb: None, unknown_logged: false }
    }

    /// Measures free space and size, in bytes. Asking a disk may block.
    pub(super) fn measure(&self) -> io::Result<(u64, u64)> {
        let measured = (self.measure)(&self.state);
        self.measured.note(measured.as_ref().ok().copied());
        measured
    }

    /// Measures, and logs a warning when one is due.
    pub(super) fn check(&mut self) {
        let measured = self.measure();
        if self.limit_mb == 0 {
            return;
        }
        match measured {
            Ok((bytes, _)) => {
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
        let mut watch = DiskWatch::new(PathBuf::from("."), 1024, by_the_system(), MeasuredDisk::default());
        let free = [2000, 1024, 1023, 1000, 600, 511, 300, 255, 1200, 900, 1280, 1000, 0, 0, 0];
        let warned: Vec<u64> = free.into_iter().filter(|free| watch.is_warning_due(*free)).collect();
        assert_eq!(warned, [1023, 511, 255, 1000, 0]);
    }

    #[test]
    fn the_free_space_of_a_directory_is_known_and_that_of_none_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let measured = MeasuredDisk::default();
        let watch = |dir: &Path| DiskWatch::new(dir.to_owned(), 0, by_the_system(), measured.clone());
        assert!(watch(dir.path()).measure().unwrap().0 > 0 && measured.measured().is_some());
        assert!(watch(&dir.path().join("missing")).measure().is_err() && measured.measured().is_none());
    }
}
