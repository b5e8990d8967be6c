//! Why a node could not be started: what is wrong, what to do, and the exit code.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::JournalFatal;

use super::alerts::SecretError;
use super::page::PageError;
use crate::arming::Ended;
use crate::config::FX_CALENDAR;
use crate::exit::{self, ExitError};
use crate::http::HttpError;
use crate::journal::{JournalError, StateError};
use crate::models::mlflow::MlflowError;
use crate::models::onnx::OnnxError;
use crate::sources::cache::CacheError;
use crate::sources::csv::CsvError;
use crate::sources::survey::UnfitBars;
use crate::venues::allora::broadcaster;
use crate::venues::allora::client::ClientError;
use crate::venues::allora::wallet::WalletError;
use crate::venues::book::BookError;

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Page(#[from] PageError),
    /// Nothing may go live like this.
    #[error("this run was not armed: {0}")]
    NotArmed(#[from] Ended),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("pipeline {pipeline}: {source}")]
    Source { pipeline: String, source: Box<CsvError> },
    /// Who is to be told, and cannot be.
    #[error("{}", .0.iter().map(|problem| chain(problem)).collect::<Vec<_>>().join("; "))]
    Alerts(Vec<SecretError>),
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
    /// A topic needs a wallet.
    #[error("a pipeline has a topic, and no wallet was given")]
    NoWallet,
    #[error(transparent)]
    Wallet(WalletError),
    #[error(transparent)]
    Broadcaster(Box<broadcaster::OpenError>),
    #[error("no client can be made for the endpoints of [allora]")]
    ChainClient(#[source] HttpError),
    #[error("pipeline {pipeline}: the chain cannot be asked")]
    Chain { pipeline: String, source: Box<ClientError> },
    /// A single run needs one.
    #[error(
        "pipeline {pipeline}: topic {topic} has no window that is open at block {height}; the next one is expected at block {next}, in \
         about {}",
        humantime::format_duration(Duration::from_secs(in_about.as_secs()))
    )]
    NoWindow {
        pipeline: String,
        topic: u64,
        /// The newest block.
        height: u64,
        /// The block of the next one.
        next: u64,
        in_about: Duration,
    },
    #[error("the halt of a kill file cannot be recorded: {0}")]
    Halt(#[source] JournalFatal),
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
            Self::Page(error) => error.exit_code(),
            Self::Source { .. }
            | Self::Unfit { .. }
            | Self::TooFewBars { .. }
            | Self::Model { .. }
            | Self::Hub { .. }
            | Self::Secret { .. }
            | Self::EmptyKey { .. }
            | Self::Vendor { .. }
            | Self::NoWallet
            | Self::ChainClient(_)
            | Self::NotArmed(_)
            | Self::Alerts(_)
            | Self::Unowned { .. } => exit::CONFIG,
            Self::Wallet(error) => error.exit_code(),
            Self::Broadcaster(error) => match **error {
                broadcaster::OpenError::Lock(_) => exit::TEMPORARY,
                broadcaster::OpenError::Outbox(_) => exit::IO,
            },
            Self::Chain { source, .. } => source.exit_code(),
            Self::NoWindow { .. } => exit::UNAVAILABLE,
            Self::Halt(_) | Self::Book(_) | Self::BarCache(_) | Self::StateDir { .. } | Self::ReplayTime { .. } => {
                exit::IO
            }
            Self::Runtime(_) | Self::Root(_) => exit::SOFTWARE,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::State(error) => error.advice(),
            Self::Journal(error) => error.advice(),
            Self::Page(error) => error.advice(),
            Self::NoWallet => Some("`sentinel allora address` shows where a wallet is looked for".to_owned()),
            Self::Wallet(error) => error.advice(),
            Self::Chain { source, .. } => source.advice(),
            Self::NoWindow { .. } => {
                Some("start it again then, or leave out --once: a node waits for each window by itself".to_owned())
            }
            Self::NotArmed(ended) => {
                Some(format!("look at what would go live, and arm it: {}", ended.command))
            }
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
