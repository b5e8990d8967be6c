//! A directory of one command, which only its user can read, and which goes with it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Removed when it is dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// A new one among the temporary files of this machine.
    pub(super) fn new() -> io::Result<Self> {
        let name = format!("sentinel-backtest-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let path = std::env::temp_dir().join(name);
        // What is there already is somebody else's, and refused.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is the temporary files', which the system empties.
        let _ = fs::remove_dir_all(&self.0);
    }
}
