//! A model file with what lies beside it, read once and checked completely. Only a candidate that passed everything can be asked
//! in a cycle: there is no way to make one that did not.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use sentinel_actors::domain::prediction::{AnswerFault, ExpectedAnswer, ModelIdentity, Prediction, RawAnswer};

use super::error::{Fault, OnnxError};
use super::papers::Papers;
use super::session::{AskError, OnnxEngine, Session};
use crate::files::Stamp;
use crate::models::feature_list::FeatureList;
use crate::models::manifest::{Expected, Manifest, Probe};

/// A larger file is no model for a node that lives in 20 MB.
const BYTES_MAX: u64 = 64 << 20;

/// An answer may differ from the manifest's by this much: both sides compute in float32, in different orders.
const PARITY_TOLERANCE: f64 = 1e-5;

/// A model that passed all checks.
pub(super) struct Candidate {
    session: Session,
    papers: Papers,
    identity: ModelIdentity,
    /// Asked every cycle, each with its index: two parity rows of the manifest that have different answers; without a manifest the
    /// pipeline's sample rows, with the answers to them when it was loaded.
    asked: Vec<(usize, Probe)>,
    answer: ExpectedAnswer,
}

impl Candidate {
    /// Of a model file, its manifest, and the list of its columns.
    pub(super) fn stamps(path: &Path) -> [Stamp; 3] {
        [path.to_owned(), Manifest::path_of(path), FeatureList::path_of(path)].map(|path| Stamp::of(&path))
    }

    /// Reads and checks a model file and what lies beside it. The bytes that are hashed are the bytes that are loaded.
    pub(super) fn read(path: &Path, expected: &Expected, engine: &OnnxEngine) -> Result<Arc<Self>, OnnxError> {
        let bytes = read_bytes(path)?;
        let papers = Papers::read(path, expected)?;
        let hash = papers.hash(path, &bytes)?;
        let refused = |fault| OnnxError::Refused { path: path.to_owned(), fault };
        let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (identity, answer) = (ModelIdentity { id, hash }, expected.output.expected_answer());
        let is_same = |other: &Self| other.identity == identity && other.papers == papers && other.answer == answer;
        engine.shared(is_same, || {
            let session =
                Session::load(bytes, papers.width(expected), engine).map_err(|fault| match (fault, &papers) {
                    (Fault::Width { have, want }, Papers::List { .. }) => refused(Fault::ListedWidth { have, want }),
                    (fault, _) => refused(fault),
                })?;
            let asked = engine.run(|| match &papers {
                Papers::Manifest(manifest) => {
                    let probes: Vec<_> = manifest.probe.iter().cloned().enumerate().collect();
                    check_probes(&session, &probes, answer)
                }
                Papers::List { .. } => answer_samples(&session, &papers, &expected.samples, answer),
            });
            let asked = asked.map_err(refused)?;
            Ok(Self { session, papers: papers.clone(), identity: identity.clone(), asked, answer })
        })
    }

    /// What every cycle asks before it trusts the model: rows that it answered before must get those answers again.
    pub(super) fn check(&self, engine: &OnnxEngine) -> Result<(), Fault> {
        engine.run(|| match &self.papers {
            Papers::Manifest(_) => check_probes(&self.session, &self.asked, self.answer).map(drop),
            Papers::List { list, .. } => self.asked.iter().try_for_each(|(_, probe)| {
                let values = answer_listed(&self.session, list.columns().len(), &probe.row, self.answer)?;
                apart(&values, &probe.expected).map_or(Ok(()), |(_, have, want)| Err(Fault::Unsteady { have, want }))
            }),
        })
    }

    /// Its answer to a row of the pipeline, unchecked.
    pub(super) fn ask(&self, row: &[f64]) -> Result<RawAnswer, AskError> {
        Ok(RawAnswer { rows: self.session.ask(&self.papers.pick(row))? })
    }

    /// File name and hash.
    pub(super) fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    /// What its manifest says; `None`: it has none, and is not verified.
    pub(super) fn manifest(&self) -> Option<&Manifest> {
        self.papers.manifest()
    }

    /// Whether it is asked the same in the same way.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.identity == other.identity && self.papers == other.papers
    }
}

/// Asks parity rows, each with its index; gives two of them that have different answers.
fn check_probes(
    session: &Session,
    probes: &[(usize, Probe)],
    expected: ExpectedAnswer,
) -> Result<Vec<(usize, Probe)>, Fault> {
    let mut answers = Vec::with_capacity(probes.len());
    for (index, probe) in probes {
        answers.push(check_probe(session, *index, probe, expected)?);
    }
    let other = answers.iter().position(|answer| Some(answer) != answers.first()).ok_or(Fault::Constant)?;
    Ok(probes.iter().take(1).chain(probes.get(other)).cloned().collect())
}

fn check_probe(session: &Session, index: usize, probe: &Probe, expected: ExpectedAnswer) -> Result<Vec<f64>, Fault> {
    let rows = session.ask(&probe.row).map_err(|error| match error {
        AskError::Run(source) => Fault::Run { probe: index, source },
        AskError::OutputType(source) => Fault::OutputType(source),
    })?;
    let values = values(rows, expected).map_err(|reason| Fault::Implausible { probe: index, reason })?;
    match apart(&values, &probe.expected) {
        Some((output, have, want)) => Err(Fault::Parity { probe: index, output, have, want }),
        None => Ok(values),
    }
}

/// Asks what a pipeline could ask. The answers may be the same: the rows are made up, and a tree may not tell them apart.
fn answer_samples(
    session: &Session,
    papers: &Papers,
    samples: &[Vec<f64>],
    expected: ExpectedAnswer,
) -> Result<Vec<(usize, Probe)>, Fault> {
    let answered = |(index, sample): (usize, &Vec<f64>)| {
        let row = papers.pick(sample).into_owned();
        Ok((index, Probe { expected: answer_listed(session, row.len(), &row, expected)?, row }))
    };
    samples.iter().enumerate().map(answered).collect()
}

fn answer_listed(session: &Session, columns: usize, row: &[f64], expected: ExpectedAnswer) -> Result<Vec<f64>, Fault> {
    let rows = session.ask(row).map_err(|error| match error {
        AskError::Run(source) => Fault::RunListed { columns, source },
        AskError::OutputType(source) => Fault::OutputType(source),
    })?;
    values(rows, expected).map_err(|reason| Fault::ImplausibleListed { reason })
}

fn values(rows: Vec<Vec<f64>>, expected: ExpectedAnswer) -> Result<Vec<f64>, AnswerFault> {
    Ok(match Prediction::check(&RawAnswer { rows }, expected)? {
        Prediction::Classes(probabilities) => probabilities.values().to_vec(),
        Prediction::Value(value) => vec![value],
    })
}

/// The first output that differs: its index, and both values.
fn apart(have: &[f64], want: &[f64]) -> Option<(usize, f64, f64)> {
    let pairs = have.iter().zip(want).enumerate();
    pairs
        .map(|(output, (have, want))| (output, *have, *want))
        .find(|(_, have, want)| (have - want).abs() > PARITY_TOLERANCE)
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
