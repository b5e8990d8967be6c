//! The page beside a node: its address is taken before the node does anything, and its thread's end changes nothing for the node.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sentinel_actors::error_chain::chain;
use tracing::warn;

use crate::config::HttpConfig;
use crate::exit::{self, ExitError};
use crate::operator::live_node::LiveNode;
use crate::operator::web::rules::Rules;
use crate::operator::web::token::{InvalidToken, Token};
use crate::operator::web::{Limits, Listening, WebServer};

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    #[error("the page cannot be served at {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("http.token_file: {} cannot be read", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("http.token_file: {} {source}", file.display())]
    Token { file: PathBuf, source: InvalidToken },
}

impl ExitError for PageError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => exit::TEMPORARY,
            Self::Listen { .. } | Self::Unreadable { .. } | Self::Token { .. } => exit::CONFIG,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Listen { address, source } if source.kind() == io::ErrorKind::AddrInUse => Some(format!(
                "find out who has it (`ss -ltnp 'sport = :{}'`) and end that, or give another address in http.listen or with --listen",
                address.port()
            )),
            Self::Listen { .. } => {
                Some("name an address of this machine and a port above 1023, or leave http.listen out".to_owned())
            }
            Self::Unreadable { .. } => Some("let the user of this process read it".to_owned()),
            Self::Token { .. } => None,
        }
    }
}

/// The address that was taken, and who may ask there.
pub(super) struct Page {
    listening: Listening,
    rules: Rules,
}

impl Page {
    /// Takes the address of the configuration; `None` when it has none.
    ///
    /// # Errors
    /// When it cannot be had, or the token not be used.
    pub(super) fn listen(config: &HttpConfig) -> Result<Option<Self>, PageError> {
        let Some(address) = config.listen else { return Ok(None) };
        let rules = rules(config)?;
        let listening = Listening::at(address).map_err(|source| PageError::Listen { address, source })?;
        Ok(Some(Self { listening, rules }))
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// A node without its page trades all the same.
    pub(super) fn serve(self, shown: LiveNode) -> Option<WebServer> {
        match self.listening.serve(self.rules, Limits::default(), shown) {
            Ok(server) => Some(server),
            Err(error) => {
                warn!(event = "page_failed", error = %chain(&error), "the page cannot be served");
                None
            }
        }
    }
}

/// Who may ask, by a configuration.
///
/// # Errors
/// When the token cannot be used.
pub fn rules(config: &HttpConfig) -> Result<Rules, PageError> {
    let token = config.token.as_deref().map(read).transpose()?;
    Ok(Rules { hosts: config.hosts.clone(), token })
}

fn read(file: &Path) -> Result<Token, PageError> {
    let text =
        std::fs::read_to_string(file).map_err(|source| PageError::Unreadable { file: file.to_owned(), source })?;
    Token::new(&text).map_err(|source| PageError::Token { file: file.to_owned(), source })
}
