//! `arm.seen` in the state directory: the latest time that a running node has seen under an arm, and the loss that ended it.
//!
//! It is why a clock that is set back while the node is down does not lengthen an arm, nor a profit that comes later. It belongs to one arm; that of another one
//! counts for nothing. A damaged one counts as the end: it is not known how long the arm has lasted.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sentinel_actors::domain::time::UtcMs;
use serde::{Deserialize, Serialize};

use super::record::Armed;
use crate::files::{Durability, replace};

const SEEN_FILE: &str = "arm.seen";

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    identity: String,
    armed_at: UtcMs,
    #[serde(flatten)]
    seen: Seen,
}

/// What was seen under an arm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The latest time.
    pub(super) at: UtcMs,
    /// Why it has ended, when a loss has ended it.
    pub(super) lost: Option<String>,
}

/// Where it is, beside the arm.
pub(super) fn file_beside(arm: &Path) -> PathBuf {
    arm.with_file_name(SEEN_FILE)
}

/// What was seen under this arm; `None` when nothing was.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read(file: &Path, armed: &Armed) -> Result<Option<Seen>, String> {
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unknown(file, &error)),
    };
    let content: Content = serde_json::from_slice(&text).map_err(|error| unknown(file, &error))?;
    let is_of_it = (content.identity, content.armed_at) == (armed.terms.id().to_string(), armed.at);
    Ok(is_of_it.then_some(content.seen))
}

fn unknown(file: &Path, error: &dyn std::error::Error) -> String {
    format!("{} cannot be read ({error}), so it is not known how long it has been armed", file.display())
}

/// Keeps it.
///
/// # Errors
/// When the disk refuses.
pub(super) fn write(file: &Path, armed: &Armed, seen: Seen) -> io::Result<()> {
    let content = Content { identity: armed.terms.id().to_string(), armed_at: armed.at, seen };
    let text = serde_json::to_vec(&content)?;
    replace(file, Durability::Content, |file| file.write_all(&text))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::arming::tests::terms;
    use crate::arming::{Effects, Limits};

    #[test]
    fn a_time_is_kept_for_one_arm_and_a_damaged_file_is_no_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = file_beside(&dir.path().join("arm.json"));
        let armed = Armed { terms: terms(), at: UtcMs(5), effects: Effects::default(), equity: BTreeMap::new() };
        assert_eq!(read(&file, &armed), Ok(None));
        let seen = Seen { at: UtcMs(7), lost: Some("it has lost 5".to_owned()) };
        write(&file, &armed, seen.clone()).unwrap();
        assert_eq!(read(&file, &armed), Ok(Some(seen)));
        let mut other = Armed { at: UtcMs(6), ..armed.clone() };
        assert_eq!(read(&file, &other), Ok(None), "armed again");
        other.at = armed.at;
        other.terms.limits = Limits { max_orders: Some(1), ..Limits::default() };
        assert_eq!(read(&file, &other), Ok(None), "another arm");
        std::fs::write(&file, "{\"identity\"").unwrap();
        assert!(read(&file, &armed).unwrap_err().contains("not known how long"));
    }
}
