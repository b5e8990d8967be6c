//! The time of a replay, written to a file that a paper gateway reads, so that the gateway need not trust the orders for it.
//!
//! One line of fixed width: schedule time and the wall time at which it was reached, both in Unix milliseconds, and the
//! exclusive or of the two, by which a reader knows a line that is half written. The node never reads it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Clock as _;

use crate::system::WallClock;

/// The file that holds the time.
#[derive(Debug)]
pub struct ReplayTime(File);

impl ReplayTime {
    /// Opens or creates it, and its directory. It is never replaced, so a reader may keep it open across restarts.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(path: &Path) -> io::Result<Self> {
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        File::options().create(true).truncate(false).write(true).open(path).map(Self)
    }

    /// Writes that schedule time is `now`. Not synced: it is of no use after a power cut.
    pub(super) fn write(&self, now: UtcMs) {
        let wall = WallClock.now();
        let line = format!("{:>20} {:>20} {:>20}\n", now.0, wall.0, now.0 ^ wall.0);
        if let Err(error) = self.0.write_all_at(line.as_bytes(), 0) {
            tracing::warn!(event = "replay_time_not_told", %error, "the paper gateway cannot see the replay's time");
        }
    }
}
