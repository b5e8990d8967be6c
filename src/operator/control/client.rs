//! The commands' side of the control socket: one request, one answer, within a time.

use std::io;
use std::path::Path;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::messages::Answer;
use super::socket;
use crate::exit::{self, ExitError};

/// A node whose journal is slow answers within this.
const WITHIN: Duration = Duration::from_secs(30);
/// The longest answer, in bytes.
const ANSWER_BYTES: usize = 4 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens: no node runs there, or it has no socket.
    #[error("no node listens there")]
    NotThere(#[source] io::Error),
    #[error("the control socket cannot be reached")]
    Io(#[from] io::Error),
    #[error("the node did not answer within {} s", WITHIN.as_secs())]
    Late,
    #[error("the node broke off")]
    Broken(#[from] hyper::Error),
    #[error("the node's answer cannot be read")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It refused, and says why.
    #[error("{}", .0.text)]
    Refused(Answer),
}

impl ExitError for ClientError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(answer) => answer.exit,
            Self::Io(_) => exit::IO,
            Self::NotThere(_) | Self::Late | Self::Broken(_) | Self::Answer(_) => exit::UNAVAILABLE,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Refused(answer) => answer.advice.clone(),
            Self::Io(_) => Some("give this command as the node's own user, or as root".to_owned()),
            Self::NotThere(_) | Self::Late | Self::Broken(_) | Self::Answer(_) => Some(
                "what was asked for may have been done: look at `sentinel status`, and at the node's log".to_owned(),
            ),
        }
    }
}

/// Asks the node of a state directory to do something.
///
/// # Errors
/// When it did not do it, or does not say so.
pub fn post<A: DeserializeOwned>(state: &Path, path: &str, asked: &impl Serialize) -> Result<A, ClientError> {
    let body = serde_json::to_vec(asked).map_err(|error| ClientError::Answer(error.into()))?;
    ask(state, Request::post(path).header(header::CONTENT_TYPE, "application/json").body(Body::from(body)))
}

/// Asks the node of a state directory for something.
///
/// # Errors
/// When there is no answer.
pub fn get<A: DeserializeOwned>(state: &Path, path: &str) -> Result<A, ClientError> {
    ask(state, Request::get(path).body(Body::empty()))
}

fn ask<A: DeserializeOwned>(state: &Path, request: axum::http::Result<Request<Body>>) -> Result<A, ClientError> {
    let mut request = request.map_err(|error| ClientError::Answer(error.into()))?;
    request.headers_mut().insert(header::HOST, header::HeaderValue::from_static("sentinel"));
    let stream = socket::connect(state).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotThere(error),
        _ => ClientError::Io(error),
    })?;
    stream.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answered = runtime.block_on(async {
        let stream = UnixStream::from_std(stream)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        let exchange = async {
            let response = sender.send_request(request).await?;
            let code = response.status();
            let body = to_bytes(Body::new(response.into_body()), ANSWER_BYTES).await;
            Ok((code, body.map_err(|error| ClientError::Answer(error.into()))?))
        };
        tokio::time::timeout(WITHIN, exchange).await.unwrap_or(Err(ClientError::Late))
    });
    let (code, body) = answered?;
    if code == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(|error| ClientError::Answer(error.into()));
    }
    let plain = || Answer { text: String::from_utf8_lossy(&body).into_owned(), advice: None, exit: exit::UNAVAILABLE };
    Err(ClientError::Refused(serde_json::from_slice(&body).unwrap_or_else(|_| plain())))
}
