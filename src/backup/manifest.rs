//! What an archive says of itself.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use data_encoding::HEXLOWER;
use sentinel_actors::domain::time::UtcMs;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::BackupError;
use super::cut::Copied;
use crate::journal::CopiedJournal;

/// The form that this program writes and reads.
pub(super) const FORMAT: u32 = 1;

/// The first file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// Wall time of the instant that is copied.
    pub taken_at_ms: UtcMs,
    /// The same for a person.
    pub taken_at: String,
    /// Of the program that wrote it.
    pub version: String,
    pub journal_id: String,
    /// How far the journal had come.
    pub commits: i64,
    pub open_intents: usize,
    pub files: Vec<Entry>,
    /// What could not be copied, and is not needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// A file of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

impl Manifest {
    pub(super) fn of(dir: &Path, copied: &Copied, journal: &CopiedJournal, now: UtcMs) -> Result<Self, BackupError> {
        let entry = |name: &String| {
            let path = dir.join(name);
            let digest = File::open(&path).and_then(|file| digest(file, &mut io::sink()));
            let (bytes, sha256) = digest.map_err(BackupError::io(&path, "reading it"))?;
            Ok(Entry { name: name.clone(), bytes, sha256 })
        };
        Ok(Self {
            format: FORMAT,
            taken_at_ms: now,
            taken_at: now.to_string(),
            version: env!("SENTINEL_VERSION").to_owned(),
            journal_id: journal.id.clone(),
            commits: journal.commits,
            open_intents: journal.open_intents,
            files: copied.files.iter().map(entry).collect::<Result<_, BackupError>>()?,
            left_out: copied.left_out.clone(),
        })
    }
}

/// Length and hash of what is copied from `from` to `to`.
pub(super) fn digest(mut from: impl Read, to: &mut impl io::Write) -> io::Result<(u64, String)> {
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0_u64, vec![0_u8; 64 * 1024]);
    loop {
        let count = from.read(&mut buffer)?;
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else {
            return Ok((bytes, HEXLOWER.encode(&hash.finalize())));
        };
        hash.update(part);
        to.write_all(part)?;
        bytes = bytes.saturating_add(count as u64);
    }
}
