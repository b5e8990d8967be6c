//! The kill file: a file named `HALT` in the state directory halts everything, with or without a running node, and needs no
//! program to make it.
//!
//! Promise kept: while it is there nothing leaves, and when it cannot be told whether it is there, it is taken to be there. That it
//! is removed lifts nothing: the halt that it has raised is in the journal.

use std::fs::{self, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sentinel_actors::domain::halt::{NewHalt, RaisedBy, Scope, TradingState, one_line};
use sentinel_actors::ports::{Clock as _, KillSwitch};

use crate::system::WallClock;

pub const KILL_FILE: &str = "HALT";
/// So much of its text is kept as the reason.
const TEXT_BYTES: u64 = 1024;

/// The kill file of a state directory.
#[derive(Debug, Clone)]
pub struct KillFile(PathBuf);

impl KillFile {
    #[must_use]
    pub fn of(state: &Path) -> Self {
        Self(state.join(KILL_FILE))
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether it has to be taken to be there. A link that leads nowhere is there, too.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !matches!(self.look(), Ok(None))
    }

    fn look(&self) -> io::Result<Option<Metadata>> {
        match fs::symlink_metadata(&self.0) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What somebody has written into it. A pipe in its place must not be waited for.
    fn text(&self, found: &Metadata) -> String {
        let mut bytes = Vec::new();
        if found.is_file()
            && let Ok(file) = fs::File::open(&self.0)
        {
            let _ = file.take(TEXT_BYTES).read_to_end(&mut bytes);
        }
        one_line(&String::from_utf8_lossy(&bytes))
    }
}

impl KillSwitch for KillFile {
    fn thrown(&self) -> Option<NewHalt> {
        let (request, why, evidence) = match self.look() {
            Ok(None) => return None,
            Ok(Some(found)) => {
                let text = self.text(&found);
                let why = if text.is_empty() { "the kill file is there".to_owned() } else { text };
                let evidence = format!("made by uid {}", found.uid());
                // A file that is made again is another request.
                (format!("kill file {} {} {}", found.ino(), found.ctime(), found.ctime_nsec()), why, evidence)
            }
            Err(error) => (
                // Once lifted, not being able to tell is another request.
                format!("kill file at {}", WallClock.now()),
                "it cannot be told whether the kill file is there".to_owned(),
                error.to_string(),
            ),
        };
        Some(NewHalt {
            request,
            scope: Scope::All,
            state: TradingState::Halted,
            by: RaisedBy::KillFile,
            who: format!("the kill file {}", one_line(&self.0.display().to_string())),
            why,
            evidence,
            since: WallClock.now(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_has_its_name_halts_everything_with_its_text_as_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let file = KillFile::of(dir.path());
        assert!(file.thrown().is_none() && !file.is_there());
        fs::write(file.path(), "the gateway\nis mad\u{1b}[2J").unwrap();
        let halt = file.thrown().unwrap();
        assert_eq!((halt.scope, halt.state, &*halt.why), (Scope::All, TradingState::Halted, "the gateway is mad [2J"));
        assert_eq!(file.thrown().unwrap().request, halt.request);
        fs::remove_file(file.path()).unwrap();
        fs::create_dir(file.path()).unwrap();
        assert_ne!(file.thrown().unwrap().request, halt.request);
        fs::remove_dir(file.path()).unwrap();
        std::os::unix::fs::symlink("nowhere", file.path()).unwrap();
        assert!(file.thrown().is_some() && file.is_there());
    }

    #[test]
    fn a_directory_that_cannot_be_looked_into_halts_too() {
        let dir = tempfile::tempdir().unwrap();
        let not_a_directory = dir.path().join("file");
        fs::write(&not_a_directory, "").unwrap();
        let file = KillFile::of(&not_a_directory);
        assert!(file.is_there() && file.thrown().unwrap().why.starts_with("it cannot be told"));
    }
}
