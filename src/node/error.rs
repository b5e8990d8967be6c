//! Why a node could not be started: what is wrong, what to do, and the exit code.

use std::io;
use std::path::PathBuf;

use crate::config::FX_CALENDAR;
use crate::exit::{self, ExitError};
use crate::http::HttpError;
use crate::journal::{JournalError, StateError};
use crate::models::mlflow::MlflowError;
use crate::models::onnx::OnnxError;
use crate::sources::cache::CacheError;
use crate::sources::csv::CsvError;
use crate::sources::survey::UnfitBars;
use crate::venues::book::BookError;

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("pipeline {pipeline}: {source}")]
    Source { pipeline: String, source: Box<CsvError> },
    /// The bars of a pipeline are not what its configuration says.
    #[error("pipeline {pipeline}: {}: {source}", file.display())]
    Unfit { pipeline: String, file: PathBuf, source: Box<UnfitBars> },
    /// The file from which a paper gateway reads the replay's time.
    #[error("{} cannot be written", file.display())]
    ReplayTime { file: PathBuf, source: std::io::Error },
    /// The bars are too few for one decision.
    #[error("pipeline {pipeline}: {have} usable bars are too few; its features look at {need}")]
    TooFewBars {
        pipeline: String,
        /// In the file.
        have: usize,
        /// Window of the feature set.
        need: usize,
    },
    #[error("pipeline {pipeline}: {source}")]
    Model { pipeline: String, source: Box<OnnxError> },
    /// The configuration of a model server can never work.
    #[error("pipeline {pipeline}: {source}")]
    Hub { pipeline: String, source: Box<MlflowError> },
    #[error("pipeline {pipeline}: the secret in {} cannot be read", file.display())]
    Secret { pipeline: String, file: PathBuf, source: io::Error },
    #[error("pipeline {pipeline}: the key in {} is empty", file.display())]
    EmptyKey { pipeline: String, file: PathBuf },
    /// The configuration of a vendor can never work.
    #[error("pipeline {pipeline}: {source}")]
    Vendor { pipeline: String, source: Box<HttpError> },
    #[error("{} cannot be made", dir.display())]
    StateDir { dir: PathBuf, source: io::Error },
    #[error("the bar cache: {0}")]
    BarCache(CacheError),
    /// Open orders that no pipeline would settle.
    #[error("open orders belong to no pipeline of this configuration: {orders}")]
    Unowned {
        /// Each with its key and where it belongs.
        orders: String,
    },
    #[error("the paper book: {0}")]
    Book(#[from] BookError),
    #[error("the node's threads cannot be started: {0}")]
    Runtime(io::Error),
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
            | Self::EmptyKey { .. }
            | Self::Vendor { .. }
            | Self::Unowned { .. } => exit::CONFIG,
            Self::Book(_) | Self::BarCache(_) | Self::StateDir { .. } | Self::ReplayTime { .. } => exit::IO,
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
                "restore the former name or mode of the pipeline, or that of its account, or look up each order at the venue and settle it: \
                 `sentinel settle KEY --ticket N --evidence TEXT`, or --absent"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
