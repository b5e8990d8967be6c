//! A model file with its manifest, read once and checked completely. Only a candidate that passed everything can be asked
//! in a cycle: there is no way to make one that did not.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sentinel_actors::domain::prediction::{ExpectedAnswer, ModelIdentity, Prediction, RawAnswer};
use sha2::{Digest as _, Sha256};

use super::error::{Fault, OnnxError};
use super::session::{AskError, OnnxEngine, Session};
use crate::models::manifest::{Expected, Manifest, Probe};

/// A larger file is no model for a node that lives in 20 MB.
const BYTES_MAX: u64 = 64 << 20;

/// An answer may differ from the manifest's by this much: both sides compute in float32, in different orders.
const PARITY_TOLERANCE: f64 = 1e-5;

/// A model that passed all checks.
pub(super) struct Candidate {
    session: Session,
    manifest: Manifest,
    identity: ModelIdentity,
    /// Two probe rows with different answers, asked every cycle.
    pair: [usize; 2],
    answer: ExpectedAnswer,
}

impl Candidate {
    /// Reads and checks a model file and its manifest. The bytes that are hashed are the bytes that are loaded.
    pub(super) fn read(path: &Path, expected: &Expected, engine: &OnnxEngine) -> Result<Arc<Self>, OnnxError> {
        let bytes = read_bytes(path)?;
        let manifest = Manifest::read(&Manifest::path_of(path), expected)?;
        let have = HEXLOWER.encode(&Sha256::digest(&bytes));
        if have != manifest.sha256 {
            return Err(OnnxError::Hash { path: path.to_owned(), have, want: manifest.sha256 });
        }
        let refused = |fault| OnnxError::Refused { path: path.to_owned(), fault };
        let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (identity, answer) = (ModelIdentity { id, hash: have }, expected.output.expected_answer());
        let is_same = |other: &Self| other.identity == identity && other.manifest == manifest && other.answer == answer;
        engine.shared(is_same, || {
            let session = Session::load(bytes, expected.columns.len(), engine).map_err(refused)?;
            let pair = engine.run(|| check_probes(&session, &manifest, answer)).map_err(refused)?;
            Ok(Self { session, manifest: manifest.clone(), identity: identity.clone(), pair, answer })
        })
    }

    /// What every cycle asks before it trusts the model: two rows that it answered before must get those answers again.
    pub(super) fn check(&self, engine: &OnnxEngine) -> Result<(), Fault> {
        engine.run(|| {
            let [first, second] = self.pair;
            let answers = [self.check_row(first)?, self.check_row(second)?];
            if answers[0] == answers[1] { Err(Fault::Constant) } else { Ok(()) }
        })
    }

    /// Its answer to a row, unchecked.
    pub(super) fn ask(&self, row: &[f64]) -> Result<RawAnswer, AskError> {
        Ok(RawAnswer { rows: self.session.ask(row)? })
    }

    /// File name and hash.
    pub(super) fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    /// What its manifest says.
    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn check_row(&self, index: usize) -> Result<Vec<f64>, Fault> {
        check_probe(&self.session, index, &self.manifest.probe[index], self.answer)
    }
}

/// Asks every parity row; gives two of them that have different answers.
fn check_probes(session: &Session, manifest: &Manifest, expected: ExpectedAnswer) -> Result<[usize; 2], Fault> {
    let mut answers = Vec::with_capacity(manifest.probe.len());
    for (index, probe) in manifest.probe.iter().enumerate() {
        answers.push(check_probe(session, index, probe, expected)?);
    }
    let other = answers.iter().position(|answer| *answer != answers[0]).ok_or(Fault::Constant)?;
    Ok([0, other])
}

fn check_probe(session: &Session, index: usize, probe: &Probe, expected: ExpectedAnswer) -> Result<Vec<f64>, Fault> {
    let rows = session.ask(&probe.row).map_err(|error| match error {
        AskError::Run(source) => Fault::Run { probe: index, source },
        AskError::OutputType(source) => Fault::OutputType(source),
    })?;
    let answer = Prediction::check(&RawAnswer { rows }, expected)
        .map_err(|reason| Fault::Implausible { probe: index, reason })?;
    let values = match answer {
        Prediction::Classes(probabilities) => probabilities.values().to_vec(),
        Prediction::Value(value) => vec![value],
    };
    for (output, (have, want)) in values.iter().zip(&probe.expected).enumerate() {
        if (have - want).abs() > PARITY_TOLERANCE {
            return Err(Fault::Parity { probe: index, output, have: *have, want: *want });
        }
    }
    Ok(values)
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, OnnxError> {
    let failed = |source| OnnxError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    // One byte more than allowed distinguishes a full file from a cut one.
    File::open(path).map_err(failed)?.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 64 MiB")));
    }
    Ok(bytes)
}

/// Shows whether a file has changed, without reading it. `None`: it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(Option<[i64; 6]>);

impl Stamp {
    /// Stamps of a model file and its manifest.
    pub(super) fn pair(path: &Path) -> [Self; 2] {
        [Self::of(path), Self::of(&Manifest::path_of(path))]
    }

    /// The file's length in bytes; 0 when it is not there.
    pub(super) fn len(&self) -> u64 {
        self.0.map_or(0, |[len, ..]| len.unsigned_abs())
    }

    fn of(path: &Path) -> Self {
        Self(fs::metadata(path).ok().map(|file| {
            #[expect(clippy::cast_possible_wrap, reason = "compared for equality; lengths stay below 2^63")]
            let (len, inode) = (file.len() as i64, file.ino() as i64);
            [len, inode, file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()]
        }))
    }
}
