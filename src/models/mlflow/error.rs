//! Why a hub's client cannot be made, each text with what to change, and what a failed call is to the node.

use sentinel_actors::ports::ModelError;

use super::payload::FrameFault;
use crate::http::{CallError, HttpError};

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum MlflowError {
    /// Not a host and port.
    #[error("{0} is not the address of a hub: give a host name or an IP address, and a port")]
    Address(String),
    /// None, or one twice.
    #[error("the classes of the hub's answers must be named, each once: {0:?} are configured")]
    Classes(Vec<String>),
    /// None, or one twice.
    #[error("the columns that the hub is asked with must be named, each once: {0:?} are configured")]
    Columns(Vec<String>),
    /// Fewer than two cannot reveal a constant answer.
    #[error("the hub's model is known by its answers to at least two probe rows, and {0} are given")]
    Probes(usize),
    /// A probe that could not be sent.
    #[error("probe row {probe} cannot be sent to the hub")]
    Probe {
        /// Index of the probe row.
        probe: usize,
        /// Why.
        #[source]
        fault: FrameFault,
    },
    /// What it asks for, or the system's certificates.
    #[error("the hub cannot be asked")]
    Http(#[from] HttpError),
}

impl From<CallError> for ModelError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Timeout(allowed) => Self::Timeout(allowed),
            CallError::Unreachable(cause) | CallError::Unavailable(cause) => Self::Unavailable(cause),
            CallError::Status { status, text } => Self::Status { status, text },
            CallError::TooLong { .. } | CallError::Encoded(_) => Self::Unparseable(error.to_string()),
        }
    }
}
