//! Health as a file: `health.json` in the state directory is what can be seen of the node.
//!
//! Promise kept: the file is written only while every part of the node makes progress, so that of a dead or hung node becomes too
//! old. Whether useful work is done is the verdict on what it shows.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sentinel_actors::domain::node_view::NodeView;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::status::{Board, Seen};

use crate::files::{Durability, replace};

/// The file in the state directory.
pub const HEALTH_FILE: &str = "health.json";
/// Elapsed time between two looks at the node, and so between two writings of the file.
pub(super) const WRITTEN_EVERY: Duration = Duration::from_secs(5);
/// A file younger than this is never too old, whatever `ping_every` is.
const FRESH_FOR_MIN: Duration = Duration::from_secs(15);

/// Why it cannot be told how a node is.
#[derive(Debug, thiserror::Error)]
pub enum Unseen {
    #[error("{} is missing: no node is running there, or it is still starting", path.display())]
    Missing { path: PathBuf },
    /// Not a file of this program.
    #[error("{} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
}

/// The present state of this process, which has just shown progress. `ping_every`: time between two pings of an idle part.
#[must_use]
pub fn view(board: &Board, started_at: UtcMs, now: UtcMs, ping_every: Duration) -> NodeView {
    let (version, fresh_for) = (env!("SENTINEL_VERSION"), fresh_for(ping_every));
    board.view(Seen { at: now, started_at, version, fresh_for })
}

/// Progress that is older shows a node that stands still. `ping_every`: time between two pings of an idle part.
pub(super) fn fresh_for(ping_every: Duration) -> Duration {
    FRESH_FOR_MIN.max(ping_every + WRITTEN_EVERY)
}

/// Reads the file of a state directory.
///
/// # Errors
/// When there is none that can be read.
pub fn read(state: &Path) -> Result<NodeView, Unseen> {
    let path = state.join(HEALTH_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unseen::Missing { path }),
        Err(source) => return Err(Unseen::Unreadable { path, source }),
    };
    serde_json::from_str(&text).map_err(|error| Unseen::Unreadable { path, source: error.into() })
}

/// Replaces the file. It need not survive a power cut.
///
/// # Errors
/// When it cannot be written; the old one then becomes too old.
pub fn write(view: &NodeView, state: &Path) -> io::Result<()> {
    let text = serde_json::to_string(view)?;
    replace(&state.join(HEALTH_FILE), Durability::None, |file| file.write_all(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_as_it_was_written_and_a_wrong_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(read(dir.path()), Err(Unseen::Missing { .. })));
        let written = view(&Board::default(), UtcMs(1), UtcMs(2), Duration::from_secs(60));
        write(&written, dir.path()).unwrap();
        assert_eq!(read(dir.path()).unwrap(), written);
        std::fs::write(dir.path().join(HEALTH_FILE), "{").unwrap();
        assert!(matches!(read(dir.path()), Err(Unseen::Unreadable { .. })));
    }
}
