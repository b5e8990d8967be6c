//! Why a model file is refused. Each text names what is wrong and what to do.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use sentinel_actors::domain::prediction::AnswerFault;

use crate::models::feature_list::FeatureListError;
use crate::models::manifest::ManifestError;

/// Why a model cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The list of columns.
    #[error(transparent)]
    FeatureList(#[from] FeatureListError),
    /// A running node was given a model without the manifest that its model has.
    #[error(
        "the manifest {} is gone, and without it nothing says that the new file is right: put the manifest there, or start the node \
         anew to use the model with features.json alone",
        path.display()
    )]
    ManifestGone {
        /// Where it was.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("the model file {} cannot be read: check that it exists and that the node may read it", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// File and manifest do not belong together.
    #[error(
        "the model file {} has SHA-256 {have}, its manifest says {want}: it was changed, damaged or is still being \
         written; export model and manifest again together with tools/export-model",
        path.display()
    )]
    Hash {
        /// Which.
        path: PathBuf,
        /// Of the file.
        have: String,
        /// In the manifest.
        want: String,
    },
    /// Anything about the file's content; the fault says what is wrong and what to do.
    #[error("the model file {} is refused", path.display())]
    Refused {
        /// Which.
        path: PathBuf,
        /// What is wrong and what to do.
        #[source]
        fault: Fault,
    },
}

/// An error of the ONNX reader or runtime.
pub type Cause = Box<dyn Error + Send + Sync>;

/// What is wrong with the content of a model file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Not the protocol buffer that an ONNX file is.
    #[error("it is not an ONNX file, or it is cut off: copy it again, or export it again with tools/export-model")]
    NotOnnx(#[source] Cause),
    /// No graph, or one without nodes.
    #[error("it has no graph: it is not an ONNX file, or it is cut off; export it again with tools/export-model")]
    Empty,
    /// An operator that the node does not run.
    #[error(
        "it uses the operator {operator}, which the node cannot run: serve it with MLflow (HUB) or export it with \
         tools/export-model"
    )]
    Operator {
        /// Its name, with the domain when that is not the core one.
        operator: String,
    },
    /// The runtime refused it.
    #[error("the runtime refuses it: serve it with MLflow (HUB) or export it with tools/export-model")]
    Runtime(#[source] Cause),
    /// Not one input.
    #[error("it has {have} inputs, one is needed: export it with one input that takes the whole row")]
    Inputs {
        /// Number of inputs.
        have: usize,
    },
    /// Not float32.
    #[error("its input is {have}, float32 (FLOAT) is needed: export it with a float32 input")]
    InputType {
        /// Declared type.
        have: String,
    },
    /// Not a row.
    #[error("its input has the shape [{have}], a row [1, columns] is needed: export it with a row as its input")]
    InputShape {
        /// Declared shape.
        have: String,
    },
    /// Another number of columns than the feature set has.
    #[error(
        "it takes {have} columns, the feature set has {want}: configure the features that it was trained on, or train \
         it on these"
    )]
    Width {
        /// Of the model.
        have: i64,
        /// Of the feature set.
        want: usize,
    },
    /// Another number of columns than `features.json` names.
    #[error("it takes {have} columns, features.json names {want}: name each of its inputs, in their order")]
    ListedWidth {
        /// Of the model.
        have: i64,
        /// In the list.
        want: usize,
    },
    /// It failed on a row as `features.json` describes it.
    #[error(
        "it fails on a row with the {columns} columns of features.json: name each of its inputs there, in their order; when they are \
         right, export it again"
    )]
    RunListed {
        /// In the list.
        columns: usize,
        /// The runtime's error.
        source: Cause,
    },
    /// An answer to such a row that no cycle may act on.
    #[error(
        "its answer to a row with the columns of features.json cannot be used, {reason}: check names and order of the columns, and that \
         it is a model for the pipeline's job"
    )]
    ImplausibleListed {
        /// Which check failed.
        reason: AnswerFault,
    },
    /// The same row has another answer than when it was loaded.
    #[error(
        "it answers a row with {have} that it answered with {want} before: restart the node, and check the machine's memory"
    )]
    Unsteady {
        /// Now.
        have: f64,
        /// When it was loaded.
        want: f64,
    },
    /// Not one output.
    #[error(
        "it has {have} outputs, one is needed: export it with the class probabilities, or the value, as its only output"
    )]
    Outputs {
        /// Number of outputs.
        have: usize,
    },
    /// The output is no matrix of float32.
    #[error(
        "its output is not float32 [1, classes] or [1, 1]: export it with the class probabilities, or the value, as its only output"
    )]
    OutputType(#[source] Cause),
    /// It failed on a row.
    #[error("it fails on probe row {probe}: export it again with tools/export-model")]
    Run {
        /// Index of the probe row.
        probe: usize,
        /// The runtime's error.
        source: Cause,
    },
    /// An answer that no cycle may act on.
    #[error(
        "its answer to probe row {probe} cannot be used, {reason}: check the training data and the classes, then \
         export it again with tools/export-model"
    )]
    Implausible {
        /// Index of the probe row.
        probe: usize,
        /// Which check failed.
        reason: AnswerFault,
    },
    /// Another answer than on the exporting side.
    #[error(
        "its answer to probe row {probe} is {have} for output {output}, the manifest says {want}: model and manifest do \
         not belong together, or the runtime computes it differently; export it again with tools/export-model"
    )]
    Parity {
        /// Index of the probe row.
        probe: usize,
        /// Index of the output: the class, or 0.
        output: usize,
        /// Computed.
        have: f64,
        /// In the manifest.
        want: f64,
    },
    /// Every row gives the same.
    #[error(
        "it gives the same answer to every probe row: it has learned nothing or its input is not connected; train it again"
    )]
    Constant,
}
