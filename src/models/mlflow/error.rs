//! Why a hub's client cannot be made: each text says what to change. And how failures are put into words that may be
//! logged: one line, short, without a secret.

use super::payload::FrameFault;

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum MlflowError {
    /// Not a host and port.
    #[error("{0} is not the address of a hub: give a host name or an IP address, and a port")]
    Address(String),
    /// A token that fits into no header.
    #[error("the hub's token cannot be sent in a header: it has a line break or a control character; write it again")]
    Token,
    /// RFC 7617 has no escape for it.
    #[error("the hub's user name has a colon, which basic authentication cannot send: choose another user")]
    User,
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
    /// The HTTP client, for example because the system has no certificates.
    #[error(
        "the hub's HTTP client cannot be made: when it is about certificates, install the system's CA certificates"
    )]
    Client(#[source] reqwest::Error),
}

/// Characters that are kept of what a server says.
const TEXT_CHARS_MAX: usize = 300;

/// One short line: control characters become spaces, and what is long is cut.
pub(super) fn short(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(TEXT_CHARS_MAX).collect::<String>().trim().to_owned()
}
