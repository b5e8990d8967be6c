//! Why a client cannot be made, each text with what to change, and why a call has no answer.

use std::time::Duration;

use super::headers::HeadersError;

/// What is wrong with the settings of a client. No text holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A token that fits into no header.
    #[error("the token cannot be sent in a header: it has a line break or a control character; write it again")]
    Token,
    /// RFC 7617 has no escape for it.
    #[error("the user name has a colon, which basic authentication cannot send: choose another user")]
    User,
    /// Those of the operator's choice.
    #[error(transparent)]
    Headers(#[from] HeadersError),
    /// For example because the system has no certificates.
    #[error("the HTTP client cannot be made: when it is about certificates, install the system's CA certificates")]
    Client(#[source] reqwest::Error),
}

/// Why a call has no answer. Every text is one short line without a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Not over in the time that was allowed.
    #[error("there was no answer within {0:?}")]
    Timeout(Duration),
    /// No connection could be made, so nothing of the request has left.
    #[error("the server is not available: {0}")]
    Unreachable(String),
    /// The connection broke off; the request may have arrived.
    #[error("the server is not available: {0}")]
    Unavailable(String),
    /// Another status than 200.
    #[error("the server answered {status}: {text}")]
    Status {
        /// The status code.
        status: u16,
        /// What the server says about it.
        text: String,
    },
    /// Compressed, although nobody asked for that.
    #[error("it is encoded as '{0}', which was not asked for")]
    Encoded(String),
    /// More than is read.
    #[error("it is longer than {bytes_max} bytes")]
    TooLong {
        /// Bytes of an answer that are allowed.
        bytes_max: usize,
    },
}
