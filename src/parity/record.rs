//! `parity.json` in the state directory: the last verdict, for whoever is about to arm.
//!
//! A file and not a value of the journal, because the journal has one writer, and `sentinel parity` works beside it. It is replaced as a
//! whole: a crash in the middle leaves the former verdict, or none. Only what reads back as it was written counts.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use sentinel_actors::domain::prediction::ModelIdentity;
use sentinel_actors::domain::time::UtcMs;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::engine::Found;
use crate::arming::parts::{BARS, DECISION, MODEL, Parts};
use crate::config::Setting;
use crate::files::{Durability, replace};

/// Its name.
pub const PARITY_FILE: &str = "parity.json";
/// Locked while it is written, by the node or by a command.
const LOCK_FILE: &str = "parity.lock";
const VERSION: u32 = 1;
/// A thousand pipelines need a tenth of it.
const BYTES_MAX: u64 = 8 << 20;
/// An older verdict says nothing of today.
pub const AGE_MAX: Duration = Duration::from_secs(7 * 86_400);

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u32,
    /// Of all that follows, 64 hexadecimal digits.
    checksum: String,
    last: LastParity,
}

/// A verdict of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastParity {
    /// Wall time.
    pub at: UtcMs,
    /// By their names.
    pub pipelines: BTreeMap<String, PipelineParity>,
}

/// What was found of one pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineParity {
    /// As [`basis`].
    pub basis: String,
    pub model: Option<ModelIdentity>,
    /// The first and the last slot; `None`: there was none.
    pub range: Option<(UtcMs, UtcMs)>,
    pub slots: u64,
    pub compared: u64,
    /// Slots in which something differs.
    pub differing: u64,
}

impl PipelineParity {
    /// What of `found` is kept.
    #[must_use]
    pub fn new(found: &Found, basis: String) -> Self {
        let Found { range, slots, compared, verdict, model, .. } = found;
        Self {
            basis,
            model: model.clone(),
            range: *range,
            slots: *slots,
            compared: *compared,
            differing: verdict.differing,
        }
    }
}

/// Why the last verdict does not speak for a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    #[error("no parity is recorded")]
    Missing,
    #[error("{} cannot be read, or is not as it was written", .0.display())]
    Damaged(PathBuf),
    #[error("the last parity is of {at}, more than {} days ago", AGE_MAX.as_secs() / 86_400)]
    Old { at: UtcMs },
    #[error("the last parity is of {at}, which is later than now")]
    Future { at: UtcMs },
    #[error("the last parity, of {at}, does not have the pipeline {pipeline}")]
    Absent { at: UtcMs, pipeline: String },
    #[error("at the last parity, of {at}, {differing} of {slots} slots of the pipeline {pipeline} differed")]
    Differs { at: UtcMs, pipeline: String, differing: u64, slots: u64 },
    #[error("at the last parity, of {at}, none of {slots} slots of the pipeline {pipeline} could be compared")]
    Empty { at: UtcMs, pipeline: String, slots: u64 },
    #[error(
        "the last parity, of {at}, was computed with other bars, features, model settings or decision for the pipeline {pipeline}"
    )]
    OtherSettings { at: UtcMs, pipeline: String },
    #[error("the last parity, of {at}, was computed with another model for the pipeline {pipeline}")]
    OtherModel { at: UtcMs, pipeline: String },
}

/// Digest of the settings of a pipeline that a recomputation depends on: bars, model with its features, and decision. Mode, venue and
/// limits are not among them: they decide nothing that is compared.
#[must_use]
pub fn basis(settings: &[Setting], pipeline: &str) -> String {
    Parts::of_pipeline(settings, pipeline).digest_of(&[BARS, MODEL, DECISION])
}

/// The last verdict of a state directory.
///
/// # Errors
/// When there is none that counts.
pub fn read(state: &Path) -> Result<LastParity, Unproven> {
    let path = state.join(PARITY_FILE);
    let damaged = || Unproven::Damaged(path.clone());
    let text = match fs::metadata(&path) {
        Ok(file) if file.len() > BYTES_MAX => return Err(damaged()),
        Ok(_) => fs::read(&path).map_err(|_| damaged())?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unproven::Missing),
        Err(_) => return Err(damaged()),
    };
    let record: Record = serde_json::from_slice(&text).map_err(|_| damaged())?;
    let is_whole = record.version == VERSION && record.checksum == checksum(&record.last);
    if is_whole { Ok(record.last) } else { Err(damaged()) }
}

/// Replaces the last verdict. The node may be running, and may do the same.
///
/// # Errors
/// When the disk refuses, or this user may not write there.
pub fn write(state: &Path, last: LastParity) -> io::Result<()> {
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(state.join(LOCK_FILE))?;
    lock.lock()?;
    let record = Record { version: VERSION, checksum: checksum(&last), last };
    let text = serde_json::to_vec_pretty(&record)?;
    replace(&state.join(PARITY_FILE), Durability::ContentAndName, |file| {
        file.write_all(&text)?;
        file.write_all(b"\n")
    })
}

fn checksum(last: &LastParity) -> String {
    HEXLOWER.encode(&Sha256::digest(serde_json::to_vec(last).unwrap_or_default()))
}

impl LastParity {
    /// Demands that it speaks for a pipeline with this basis and this model, at `now`.
    ///
    /// # Errors
    /// Why it does not.
    pub fn speaks_for(&self, pipeline: &str, basis: &str, model: &ModelIdentity, now: UtcMs) -> Result<(), Unproven> {
        let (at, name) = (self.at, || pipeline.to_owned());
        if at > now {
            return Err(Unproven::Future { at });
        }
        if now.since(at) > AGE_MAX {
            return Err(Unproven::Old { at });
        }
        let Some(found) = self.pipelines.get(pipeline) else {
            return Err(Unproven::Absent { at, pipeline: name() });
        };
        let PipelineParity { slots, differing, .. } = *found;
        if differing > 0 {
            return Err(Unproven::Differs { at, pipeline: name(), differing, slots });
        }
        if found.compared == 0 {
            return Err(Unproven::Empty { at, pipeline: name(), slots });
        }
        if found.basis != basis {
            return Err(Unproven::OtherSettings { at, pipeline: name() });
        }
        if found.model.as_ref().is_none_or(|then| then.hash != model.hash) {
            return Err(Unproven::OtherModel { at, pipeline: name() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn model(hash: &str) -> ModelIdentity {
        ModelIdentity { id: "model.onnx".to_owned(), hash: hash.to_owned() }
    }

    fn good() -> LastParity {
        let range = Some((UtcMs(1), UtcMs(2)));
        let of = PipelineParity {
            basis: "b".to_owned(),
            model: Some(model("aa")),
            range,
            slots: 9,
            compared: 8,
            differing: 0,
        };
        LastParity { at: UtcMs(DAY_MS), pipelines: [("eurusd".to_owned(), of)].into() }
    }

    #[test]
    fn only_a_good_verdict_of_these_days_and_of_the_same_settings_and_model_counts() {
        let judged = |change: fn(&mut PipelineParity), now: i64| {
            let mut last = good();
            last.pipelines.values_mut().for_each(change);
            last.speaks_for("eurusd", "b", &model("aa"), UtcMs(now))
        };
        let soon = DAY_MS + 1;
        assert_eq!(judged(|_| (), soon), Ok(()));
        assert_eq!(judged(|_| (), 8 * DAY_MS), Ok(()));
        assert!(matches!(judged(|_| (), 8 * DAY_MS + 1), Err(Unproven::Old { .. })));
        assert!(matches!(judged(|_| (), DAY_MS - 1), Err(Unproven::Future { .. })));
        assert!(matches!(judged(|of| of.differing = 1, soon), Err(Unproven::Differs { differing: 1, .. })));
        assert!(matches!(judged(|of| of.compared = 0, soon), Err(Unproven::Empty { .. })));
        assert!(matches!(judged(|of| of.basis.push('x'), soon), Err(Unproven::OtherSettings { .. })));
        assert!(matches!(judged(|of| of.model = Some(model("bb")), soon), Err(Unproven::OtherModel { .. })));
        assert!(matches!(judged(|of| of.model = None, soon), Err(Unproven::OtherModel { .. })));
        let other = good().speaks_for("gbpusd", "b", &model("aa"), UtcMs(soon));
        assert!(matches!(other, Err(Unproven::Absent { .. })));
    }

    #[test]
    fn a_verdict_reads_back_as_it_was_written_and_a_changed_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), Err(Unproven::Missing));
        write(dir.path(), good()).unwrap();
        assert_eq!(read(dir.path()), Ok(good()));
        let path = dir.path().join(PARITY_FILE);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"differing\": 0", "\"differing\": 1")).unwrap();
        assert_eq!(read(dir.path()), Err(Unproven::Damaged(path.clone())));
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert_eq!(read(dir.path()), Err(Unproven::Damaged(path.clone())));
        // What a crash leaves beside it changes nothing.
        write(dir.path(), good()).unwrap();
        fs::write(dir.path().join("parity.json.new"), "half").unwrap();
        assert_eq!(read(dir.path()), Ok(good()));
    }
}
