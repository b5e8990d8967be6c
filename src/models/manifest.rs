//! The manifest beside a model file: what the file must be (hash), what it was trained on (feature set, columns, classes),
//! rows with the answers that it must give, and honest figures about its quality.
//!
//! It keeps promise 5: a model is only ever asked about the features that it was trained on. `model.onnx` has its manifest
//! in `model.json`. An unknown field is an error, because a misspelt check is a check that does not happen.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sentinel_actors::domain::bar::Interval;
use sentinel_actors::domain::feature::FeatureSetId;
use sentinel_actors::domain::prediction::{Prediction, RawAnswer};
use serde::Deserialize;

use super::Output;

/// The only manifest layout that this version reads.
pub const SCHEMA: u32 = 1;

/// Fewer parity rows than this prove nothing.
pub const PROBES_MIN: usize = 3;

/// A larger manifest is not one.
const BYTES_MAX: u64 = 1 << 20;

const SHA256_HEX_CHARS: usize = 64;

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Layout of the manifest, [`SCHEMA`].
    pub schema: u32,
    /// SHA-256 of the model file, lower-case hex.
    pub sha256: String,
    /// What the model is asked about.
    pub features: ManifestFeatures,
    /// What of a frame the model takes.
    pub input: Input,
    /// Of a classifier: names of the classes, in the order of the outputs.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Of a regression: how far beyond the newest bar's close its log return reaches, in seconds.
    #[serde(default)]
    pub horizon_s: Option<u64>,
    /// Parity rows: inputs and the answers that the exporting side computed.
    pub probe: Vec<Probe>,
    /// What the model was trained on.
    pub trained: Trained,
    /// How good it is on data that it never saw.
    pub out_of_sample: OutOfSample,
}

/// The feature set that a model was trained on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFeatures {
    /// Name of the set.
    pub set: String,
    /// Bars that each row was computed from; part of the set's identity.
    pub window: usize,
    /// Length of the bars that its bars were made from, like `1m`; absent: they were as the source delivered them.
    #[serde(default)]
    pub made_from: Option<String>,
    /// Columns in the order of the inputs.
    pub columns: Vec<String>,
}

/// What of a frame the model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The newest row, as float32 `[1, columns]`.
    Row,
}

/// One parity row.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// One value per column.
    pub row: Vec<f64>,
    /// One probability per class, or the one value of a regression.
    pub expected: Vec<f64>,
}

/// The training part of the data.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trained {
    /// Labelled rows.
    pub rows: u64,
    /// Open time of the first bar.
    pub from: jiff::Timestamp,
    /// Open time of the last bar.
    pub to: jiff::Timestamp,
}

/// The unseen part of the data and what the model made of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutOfSample {
    /// Labelled rows.
    pub rows: u64,
    /// Open time of the first bar.
    pub from: jiff::Timestamp,
    /// Open time of the last bar.
    pub to: jiff::Timestamp,
    /// Of a classifier: share of rows whose winning class was right.
    #[serde(default)]
    pub accuracy: Option<f64>,
    /// Of a classifier: the same for always answering the commonest class; a model below it is worse than none.
    #[serde(default)]
    pub majority_class_accuracy: Option<f64>,
    /// Of a classifier: mean negative log probability of the right class, in nats.
    #[serde(default)]
    pub log_loss: Option<f64>,
    /// Of a regression: root of the mean squared error.
    #[serde(default)]
    pub rmse: Option<f64>,
    /// Of a regression: the same for always answering zero; a model above it is worse than none.
    #[serde(default)]
    pub rmse_of_zero: Option<f64>,
    /// What a reader must know before trusting the model.
    pub note: String,
}

/// What the pipeline expects of its model.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// The pipeline's feature set.
    pub features: FeatureSetId,
    /// Its columns under the names used for training, in order.
    pub columns: Vec<String>,
    pub output: Output,
    /// Rows as the pipeline could ask them. A model that has no parity rows must be able to answer these.
    pub samples: Vec<Vec<f64>>,
}

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is none.
    #[error(
        "the manifest {} is missing: write it beside the model with tools/export-model, or name the model's columns in \
         features.json there",
        path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("the manifest {} cannot be read: check its permissions", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not JSON of the expected layout; the source names field, line and column.
    #[error(
        "the manifest {} is not valid: correct the field, or write it again with tools/export-model",
        path.display()
    )]
    Layout {
        /// Which.
        path: PathBuf,
        /// Field, line and column.
        source: serde_json::Error,
    },
    /// A field has a value that cannot be accepted.
    #[error("the manifest {}: field '{field}' {problem}: {remedy}", path.display())]
    Field {
        /// Which manifest.
        path: PathBuf,
        /// Which field.
        field: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
}

const EXPORT_AGAIN: &str = "export the model again with tools/export-model";
const SAME_FEATURES: &str =
    "configure the pipeline with the features that the model was trained on, or train it on these";
const SAME_JOB: &str = "give the pipeline a model of its job, or the job of its model";
const SAME_HORIZON: &str = "configure forecast.horizon as the model was trained, or train it for this horizon";
const SAME_CLASSES: &str = "configure the pipeline with the classes that the model was trained on, in the same order";

impl Manifest {
    /// Where the manifest of a model file is.
    #[must_use]
    pub fn path_of(model: &Path) -> PathBuf {
        model.with_extension("json")
    }

    /// Reads a manifest and checks everything in it that can be checked without the model.
    ///
    /// # Errors
    /// When it cannot be read, is not complete, or is not the manifest of a model for `expected`.
    pub fn read(path: &Path, expected: &Expected) -> Result<Self, ManifestError> {
        let manifest = Self::peek(path)?;
        manifest.check(expected).map_err(|(field, problem, remedy)| ManifestError::Field {
            path: path.to_owned(),
            field,
            problem,
            remedy,
        })?;
        Ok(manifest)
    }

    /// Reads what a manifest says, without holding it against anything.
    ///
    /// # Errors
    /// When it cannot be read or is not a manifest.
    pub fn peek(path: &Path) -> Result<Self, ManifestError> {
        serde_json::from_slice(&read_bytes(path)?)
            .map_err(|source| ManifestError::Layout { path: path.to_owned(), source })
    }

    fn check(&self, expected: &Expected) -> Result<(), FieldFault> {
        if self.schema != SCHEMA {
            let problem = format!("is {}, this version reads {SCHEMA}", self.schema);
            return Err(("schema".into(), problem, EXPORT_AGAIN));
        }
        let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if self.sha256.len() != SHA256_HEX_CHARS || !self.sha256.bytes().all(hex) {
            return Err(("sha256".into(), "is not 64 lower-case hex digits".into(), EXPORT_AGAIN));
        }
        self.check_features(expected)?;
        self.check_output(expected)?;
        self.check_probes(expected)?;
        self.check_figures(expected)
    }

    fn check_features(&self, expected: &Expected) -> Result<(), FieldFault> {
        let (have, want) = (&self.features, &expected.features);
        if have.set != want.name {
            let problem = format!("is '{}', the pipeline computes '{}'", have.set, want.name);
            return Err(("features.set".into(), problem, SAME_FEATURES));
        }
        if have.window != want.window {
            let problem = format!("is {}, the pipeline's window is {}", have.window, want.window);
            return Err(("features.window".into(), problem, SAME_FEATURES));
        }
        if have.made_from.as_deref().map(str::parse::<Interval>) != want.made_from.map(Ok) {
            let bars =
                |parts: Option<String>| parts.map_or("as delivered".to_owned(), |parts| format!("made from {parts}"));
            let (have, want) = (bars(have.made_from.clone()), bars(want.made_from.map(|parts| parts.to_string())));
            let problem = format!("says that its bars were {have}, the pipeline's are {want}");
            return Err(("features.made_from".into(), problem, SAME_FEATURES));
        }
        if have.columns.len() != expected.columns.len() {
            let problem = format!("has {} names, the set has {}", have.columns.len(), expected.columns.len());
            return Err(("features.columns".into(), problem, SAME_FEATURES));
        }
        for (index, (have, want)) in have.columns.iter().zip(&expected.columns).enumerate() {
            if have != want {
                let problem = format!("is '{have}', the set has '{want}' there");
                return Err((format!("features.columns[{index}]"), problem, SAME_FEATURES));
            }
        }
        Ok(())
    }

    fn check_output(&self, expected: &Expected) -> Result<(), FieldFault> {
        match &expected.output {
            Output::Classes(want) => {
                if let Some(horizon) = self.horizon_s {
                    let problem = format!("is {horizon}: it is a regression, and the pipeline's job needs classes");
                    return Err(("horizon_s".into(), problem, SAME_JOB));
                }
                let same = |(a, b): (&String, &String)| a.eq_ignore_ascii_case(b);
                if self.classes.len() == want.len() && self.classes.iter().zip(want).all(same) {
                    return Ok(());
                }
                let problem = format!("is [{}], the pipeline has [{}]", self.classes.join(", "), want.join(", "));
                Err(("classes".into(), problem, SAME_CLASSES))
            }
            Output::Value { horizon } => {
                if !self.classes.is_empty() {
                    let problem =
                        format!("is [{}], and the pipeline's job needs a regression", self.classes.join(", "));
                    return Err(("classes".into(), problem, SAME_JOB));
                }
                match self.horizon_s {
                    Some(have) if have == horizon.as_secs() => Ok(()),
                    Some(have) => {
                        let problem = format!("is {have}, the pipeline's horizon has {} seconds", horizon.as_secs());
                        Err(("horizon_s".into(), problem, SAME_HORIZON))
                    }
                    None => Err(("horizon_s".into(), "is missing".into(), EXPORT_AGAIN)),
                }
            }
        }
    }

    fn check_probes(&self, expected: &Expected) -> Result<(), FieldFault> {
        if self.probe.len() < PROBES_MIN {
            let problem = format!("has {} rows, at least {PROBES_MIN} are needed", self.probe.len());
            return Err(("probe".into(), problem, EXPORT_AGAIN));
        }
        for (index, probe) in self.probe.iter().enumerate() {
            if probe.row.len() != expected.columns.len() {
                let problem = format!("has {} values, the set has {}", probe.row.len(), expected.columns.len());
                return Err((format!("probe[{index}].row"), problem, EXPORT_AGAIN));
            }
            if self.probe[..index].iter().any(|earlier| earlier.row == probe.row) {
                return Err((format!("probe[{index}].row"), "repeats an earlier row".into(), EXPORT_AGAIN));
            }
            let answer = RawAnswer { rows: vec![probe.expected.clone()] };
            if let Err(fault) = Prediction::check(&answer, expected.output.expected_answer()) {
                let what = match expected.output {
                    Output::Classes(_) => "is no list of probabilities",
                    Output::Value { .. } => "is not one number",
                };
                let problem = format!("{what} ({fault})");
                return Err((format!("probe[{index}].expected"), problem, EXPORT_AGAIN));
            }
        }
        Ok(())
    }

    fn check_figures(&self, expected: &Expected) -> Result<(), FieldFault> {
        let unseen = &self.out_of_sample;
        let figures = match expected.output {
            Output::Classes(_) => {
                [("accuracy", unseen.accuracy), ("majority_class_accuracy", unseen.majority_class_accuracy)]
            }
            Output::Value { .. } => [("rmse", unseen.rmse), ("rmse_of_zero", unseen.rmse_of_zero)],
        };
        let is_figure = |figure: f64| match expected.output {
            Output::Classes(_) => (0.0..=1.0).contains(&figure),
            Output::Value { .. } => figure.is_finite() && figure >= 0.0,
        };
        for (field, figure) in figures {
            let field = format!("out_of_sample.{field}");
            match figure {
                Some(figure) if is_figure(figure) => {}
                Some(figure) => return Err((field, format!("is {figure}, which it cannot be"), EXPORT_AGAIN)),
                None => return Err((field, "is missing".into(), EXPORT_AGAIN)),
            }
        }
        for (field, from, to) in
            [("trained", self.trained.from, self.trained.to), ("out_of_sample", unseen.from, unseen.to)]
        {
            if to < from {
                return Err((format!("{field}.to"), format!("is before {field}.from"), EXPORT_AGAIN));
            }
        }
        if unseen.from <= self.trained.to {
            let problem = "is not after trained.to: the figures are not out of sample".into();
            return Err(("out_of_sample.from".into(), problem, EXPORT_AGAIN));
        }
        Ok(())
    }
}

/// Field, problem, remedy.
type FieldFault = (String, String, &'static str);

fn read_bytes(path: &Path) -> Result<Vec<u8>, ManifestError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ManifestError::Missing { path: path.to_owned() },
        _ => ManifestError::Unreadable { path: path.to_owned(), source },
    };
    let mut bytes = Vec::new();
    // One byte more than allowed distinguishes a full manifest from a cut one.
    File::open(path).map_err(failed)?.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > BYTES_MAX {
        let source = io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 MiB");
        return Err(ManifestError::Unreadable { path: path.to_owned(), source });
    }
    Ok(bytes)
}
