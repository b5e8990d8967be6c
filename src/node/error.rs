//! Why a node could not be started: what is wrong, what to do, and the exit code.

use std::io;
use std::path::PathBuf;

use crate::config::FX_CALENDAR;
use crate::exit::{self, ExitError};
use crate::journal::{JournalError, StateError};
use crate::models::mlflow::MlflowError;
use crate::models::onnx::OnnxError;
use crate::sources::csv::CsvError;
use crate::sources::survey::UnfitBars;
use crate::venues::book::BookError;

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The bars of a pipeline.
    #[error("pipeline {pipeline}: {source}")]
    Source {
        /// Its name.
        pipeline: String,
        /// What is wrong.
        source: Box<CsvError>,
    },
    /// The bars of a pipeline are not what its configuration says.
    #[error("pipeline {pipeline}: {}: {source}", file.display())]
    Unfit {
        /// Its name.
        pipeline: String,
        /// Where they are.
        file: PathBuf,
        /// What is wrong.
        source: Box<UnfitBars>,
    },
    /// The file from which a paper gateway reads the replay's time.
    #[error("{} cannot be written", file.display())]
    ReplayTime {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bars are too few for one decision.
    #[error("pipeline {pipeline}: {have} usable bars are too few; its features look at {need}")]
    TooFewBars {
        /// Its name.
        pipeline: String,
        /// In the file.
        have: usize,
        /// Window of the feature set.
        need: usize,
    },
    /// The model of a pipeline.
    #[error("pipeline {pipeline}: {source}")]
    Model {
        /// Its name.
        pipeline: String,
        /// What is wrong.
        source: Box<OnnxError>,
    },
    /// The configuration of a model server can never work.
    #[error("pipeline {pipeline}: {source}")]
    Hub {
        /// Its name.
        pipeline: String,
        /// What is wrong.
        source: Box<MlflowError>,
    },
    /// A file with a secret.
    #[error("pipeline {pipeline}: the secret in {} cannot be read", file.display())]
    Secret {
        /// Its name.
        pipeline: String,
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Open orders that no pipeline would settle.
    #[error("open orders belong to no pipeline of this configuration: {orders}")]
    Unowned {
        /// Each with its key and where it belongs.
        orders: String,
    },
    /// The paper book.
    #[error("the paper book: {0}")]
    Book(#[from] BookError),
    /// The operating system.
    #[error("the node's threads cannot be started: {0}")]
    Runtime(io::Error),
    /// The root of the tree.
    #[error("the supervision tree cannot be started: {0}")]
    Root(String),
}

impl ExitError for NodeError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::State(error) => error.exit_code(),
            Self::Journal(error) => error.exit_code(),
            Self::Source { .. }
            | Self::Unfit { .. }
            | Self::TooFewBars { .. }
            | Self::Model { .. }
            | Self::Hub { .. }
            | Self::Secret { .. }
            | Self::Unowned { .. } => exit::CONFIG,
            Self::Book(_) | Self::ReplayTime { .. } => exit::IO,
            Self::Runtime(_) | Self::Root(_) => exit::SOFTWARE,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::State(error) => error.advice(),
            Self::Journal(error) => error.advice(),
            Self::TooFewBars { .. } => Some("give the source more bars, or choose a smaller window".to_owned()),
            Self::Unfit { source, .. } => match **source {
                UnfitBars::Calendar { .. } => Some(format!("for an FX pair write calendar = \"{FX_CALENDAR}\"")),
                _ => None,
            },
            Self::Unowned { .. } => Some(
                "restore the former name of the pipeline or account, or look up each order at the venue and settle it: \
                 `sentinel settle KEY --ticket N --evidence TEXT`, or --absent"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
