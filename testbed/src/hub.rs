//! A model server that speaks MLflow's scoring protocol (version 3.17.2), for one ONNX file.
//!
//! It is the hub of the demo, and the one that clients are tested against: it has the statuses, bodies and error codes of a
//! real MLflow, with words of its own in its errors, and on request it misbehaves in the ways in which model servers do. It
//! must never share code with the client that it judges.
//!
//! Two paths are not MLflow's. `POST /testbed/fault` with `{"fault": "nan@1-3"}` replaces the [rules](FaultRule) by one that
//! counts invocations from now on; `{"fault": "none"}` ends all faults. [`Fault`] lists them.
//! `GET /testbed/asked` counts what has reached it: `{"invocations": 7, "connections": 2, "payloads": ["inputs", null]}`,
//! the last being the payload key of each of the latest invocations, null when there was not exactly one.
//!
//! Where it is not MLflow: it takes no CSV and no Parquet, serves no `/docs`, and refuses bodies above 16 MiB with 413.

mod answer;
mod body;
mod fault;
mod form;
mod json;
mod model;
mod numbers;
mod payload;
mod proxy;
mod refusal;
mod scoring;
mod server;
mod table;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use self::answer::{Answer, Reply};
pub use self::fault::{Fault, FaultArg, FaultError, fault_rules};
pub use self::form::Form;
pub use self::model::{Model, ModelError};
pub use self::proxy::Proxy;
pub use self::scoring::{HubRequest, Scoring, Wrapping};
use crate::FaultRule;

#[derive(Debug, Clone)]
pub struct Options {
    pub model: PathBuf,
    /// Host name or address to listen on.
    pub host: String,
    /// Port to listen on; 0 takes any free one.
    pub port: u16,
    /// Which invocations go wrong, and how.
    pub faults: Vec<FaultRule<Fault>>,
    pub wrapping: Wrapping,
    pub proxy: Proxy,
}

#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("cannot listen on {host}:{port}")]
    Listen { host: String, port: u16, source: io::Error },
    /// The system refused what every server needs.
    #[error("cannot start the server")]
    System(#[source] io::Error),
}

impl HubError {
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Model(error) => error.advice(),
            Self::Listen { source, port, .. } => match source.kind() {
                io::ErrorKind::AddrInUse => {
                    format!("end the program that holds port {port}, choose another with --port, or any with --port 0")
                }
                io::ErrorKind::PermissionDenied => "choose a --port above 1023".to_owned(),
                _ => "choose with --host an address of this machine, such as 127.0.0.1".to_owned(),
            },
            Self::System(_) => "check the limits on open files and memory of this user".to_owned(),
        }
    }
}

/// Serves until `shutdown` is cancelled; then answers what it has begun, for at most a second, and returns. `listening` is
/// called with the address once connections are accepted.
///
/// # Errors
/// When a model cannot be served or the address cannot be listened on.
pub fn serve(
    options: &Options,
    listening: impl FnOnce(SocketAddr) + Send,
    shutdown: &CancellationToken,
) -> Result<(), HubError> {
    let thread = model::thread();
    thread.run(|| {
        let model = Model::load_on(&options.model, Arc::clone(&thread))?;
        let scoring = Scoring::new(model, options.faults.clone())?.wrapped(options.wrapping.clone());
        server::run(options, scoring, listening, shutdown)
    })
}
