//! `arm.json` in the state directory: what an operator has armed.
//!
//! It is written as a whole and durably, and only what reads back as it was written counts: a file of another version, with a
//! changed byte or with a part of one, arms nothing. Nor does one of version 1: what was typed then did not name account, venue, bars,
//! model and risk, so nobody has confirmed them.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use rust_decimal::Decimal;
use sentinel_actors::domain::time::UtcMs;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Effects, Terms, seen};
use crate::exit::{self, ExitError};
use crate::files::{Durability, create_private_dir, replace, sync_names};

/// Its name.
pub const ARM_FILE: &str = "arm.json";
/// Locked while it is written.
const LOCK_FILE: &str = "arm.lock";
const VERSION: u32 = 2;
/// A thousand pipelines need less than a quarter of it.
const BYTES_MAX: u64 = 32 << 20;

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u32,
    /// What was typed.
    identity: String,
    /// Of all that follows, 64 hexadecimal digits.
    checksum: String,
    armed: Armed,
}

/// What was armed, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Armed {
    /// Wall time.
    pub at: UtcMs,
    /// What the journal knew then: the arm's orders are counted from there.
    pub effects: Effects,
    /// What the accounts of pipelines were worth then, with open positions: a loss counts from there.
    pub equity: BTreeMap<String, Decimal>,
    pub terms: Terms,
}

impl Armed {
    fn checksum(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(serde_json::to_vec(self).unwrap_or_default()))
    }
}

/// Why a state directory has no arm that counts.
#[derive(Debug, thiserror::Error)]
pub enum NoArm {
    #[error("nothing is armed: {} does not exist", .0.display())]
    Missing(PathBuf),
    #[error("{} cannot be read, so nothing is armed", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is damaged or was changed by hand, so nothing is armed", .0.display())]
    Damaged(PathBuf),
    #[error("{} is of version {version}, and this program writes version {VERSION}, so nothing is armed", path.display())]
    Version { path: PathBuf, version: u64 },
}

/// The arm could not be recorded. What was armed before still is, unless the message says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("another `sentinel arm` is writing {}", .0.display())]
    Busy(PathBuf),
    #[error("{} cannot be written", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl ExitError for RecordError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Busy(_) => exit::TEMPORARY,
            Self::Io { .. } => exit::IO,
        }
    }

    fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Busy(_) => "give the command again when the other one has ended".to_owned(),
            Self::Io { .. } => {
                "check the disk, and that this user may write there; give the command as the node's user".to_owned()
            }
        })
    }
}

/// Where the arm of a state directory is.
#[must_use]
pub fn file_of(state: &Path) -> PathBuf {
    state.join(ARM_FILE)
}

/// What is armed.
///
/// # Errors
/// When nothing is.
pub fn read(path: &Path) -> Result<Armed, NoArm> {
    let text = match fs::metadata(path)
        .and_then(|file| if file.len() > BYTES_MAX { Ok(None) } else { fs::read(path).map(Some) })
    {
        Ok(Some(text)) => text,
        Ok(None) => return Err(NoArm::Damaged(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(NoArm::Missing(path.to_owned())),
        Err(source) => return Err(NoArm::Unreadable { path: path.to_owned(), source }),
    };
    let damaged = |_| NoArm::Damaged(path.to_owned());
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(damaged)?;
    // Before all else: a later version may have other fields.
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version != u64::from(VERSION) => {
            return Err(NoArm::Version { path: path.to_owned(), version });
        }
        _ => {}
    }
    let record: Record = serde_json::from_value(value).map_err(damaged)?;
    let armed = record.armed;
    let is_whole = record.checksum == armed.checksum() && record.identity == armed.terms.id().to_string();
    if is_whole { Ok(armed) } else { Err(NoArm::Damaged(path.to_owned())) }
}

/// Records what is armed from now on; makes the state directory when there is none. The node may be running.
///
/// # Errors
/// When another process is writing it, or the disk refuses.
pub fn write(state: &Path, armed: Armed) -> Result<PathBuf, RecordError> {
    let path = file_of(state);
    let failed = |source| RecordError::Io { path: path.clone(), source };
    make_dir(state).map_err(failed)?;
    let lock =
        OpenOptions::new().create(true).truncate(false).write(true).open(state.join(LOCK_FILE)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(RecordError::Busy(path)),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    let (identity, checksum) = (armed.terms.id().to_string(), armed.checksum());
    let record = Record { version: VERSION, identity, checksum, armed };
    let text = serde_json::to_vec_pretty(&record).map_err(|error| failed(error.into()))?;
    replace(&path, Durability::ContentAndName, |file| {
        file.write_all(&text)?;
        file.write_all(b"\n")
    })
    .map_err(failed)?;
    // It was that of another arm, or is damaged, which would end this one.
    match fs::remove_file(seen::file_beside(&path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(path),
    }
}

/// Makes a directory whose name survives a power cut as what is in it does.
fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    create_private_dir(dir)?;
    let dir = dir.canonicalize()?;
    // A parent that this user may not read was made by someone else, long before.
    File::open(dir.parent().unwrap_or(&dir)).map_or(Ok(()), |parent| sync_names(&parent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arming::tests::{model, terms};

    fn armed(terms: Terms) -> Armed {
        Armed { terms, at: UtcMs(1_800_000_000_123), effects: Effects::default(), equity: BTreeMap::new() }
    }

    #[test]
    fn an_arm_reads_back_as_it_was_written_and_a_later_one_replaces_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("not/yet");
        assert!(matches!(read(&file_of(&state)), Err(NoArm::Missing(_))));
        let path = write(&state, armed(terms())).unwrap();
        assert_eq!(read(&path).unwrap(), armed(terms()));
        let mut other = armed(terms());
        other.terms.pipelines[0].model = model("cc");
        write(&state, other.clone()).unwrap();
        assert_eq!(read(&path).unwrap(), other);
        let mut names: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [ARM_FILE, LOCK_FILE]);
    }

    /// Every byte of it, and every length that a crash of a worse writer could leave.
    #[test]
    fn an_arm_with_a_changed_byte_or_a_part_of_one_arms_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), armed(terms())).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            for bit in [0x01, 0x20] {
                let mut changed = whole.clone();
                changed[at] ^= bit;
                fs::write(&path, &changed).unwrap();
                let read = read(&path);
                assert!(matches!(read, Err(NoArm::Damaged(_) | NoArm::Version { .. })), "byte {at}: {read:?}");
            }
        }
        for length in 0..whole.len() - 2 {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(read(&path), Err(NoArm::Damaged(_))), "{length} bytes");
        }
    }

    #[test]
    fn an_arm_of_another_version_or_with_an_unknown_part_arms_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), armed(terms())).unwrap();
        let whole: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let mut later = whole.clone();
        later["version"] = 3.into();
        fs::write(&path, later.to_string()).unwrap();
        assert!(matches!(read(&path), Err(NoArm::Version { version: 3, .. })));
        let earlier =
            r#"{"version":1,"identity":"r3ar-6lgh-irja","checksum":"00","terms":{"config":"00","pipelines":[]}}"#;
        fs::write(&path, earlier).unwrap();
        assert!(matches!(read(&path), Err(NoArm::Version { version: 1, .. })));
        for at in [
            "",
            "/armed",
            "/armed/terms",
            "/armed/terms/limits",
            "/armed/terms/pipelines/0",
            "/armed/terms/pipelines/1/place",
        ] {
            let mut more = whole.clone();
            more.pointer_mut(at).unwrap()["more"] = "tomorrow".into();
            fs::write(&path, more.to_string()).unwrap();
            assert!(matches!(read(&path), Err(NoArm::Damaged(_))), "{at}");
        }
    }

    #[test]
    fn two_that_arm_at_once_do_not_mix_and_the_second_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), armed(terms())).unwrap();
        let held = File::open(dir.path().join(LOCK_FILE)).unwrap();
        held.lock().unwrap();
        assert!(matches!(write(dir.path(), armed(terms())), Err(RecordError::Busy(_))));
        held.unlock().unwrap();
        // What a crash in the middle of writing leaves is nobody's arm, and in nobody's way.
        fs::write(dir.path().join("arm.json.new"), "{\"version\": 1, ").unwrap();
        assert_eq!(read(&path).unwrap(), armed(terms()));
        write(dir.path(), armed(terms())).unwrap();
        assert_eq!(read(&path).unwrap(), armed(terms()));
    }

    #[test]
    fn a_disk_that_refuses_leaves_the_arm_that_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), armed(terms())).unwrap();
        // The name of the new file is taken by something that is no file.
        fs::create_dir(dir.path().join("arm.json.new")).unwrap();
        let mut other = armed(terms());
        other.terms.config.push('0');
        assert!(matches!(write(dir.path(), other), Err(RecordError::Io { .. })));
        assert_eq!(read(&path).unwrap(), armed(terms()));
    }
}
