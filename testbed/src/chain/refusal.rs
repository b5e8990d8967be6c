//! Why a transaction or a query is refused: codespace, code and text, as clients get them.

use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    pub codespace: String,
    pub code: u32,
    pub log: String,
}

/// Codes of the codespace `sdk` with the text that each ends with.
const SDK: [(u32, &str); 22] = [
    (2, "tx parse error"),
    (4, "unauthorized"),
    (5, "insufficient funds"),
    (6, "unknown request"),
    (7, "invalid address"),
    (8, "invalid pubkey"),
    (9, "unknown address"),
    (11, "out of gas"),
    (12, "memo too large"),
    (13, "insufficient fee"),
    (15, "no signatures supplied"),
    (18, "invalid request"),
    (19, "tx already in mempool"),
    (20, "mempool is full"),
    (21, "tx too large"),
    (22, "key not found"),
    (28, "invalid chain-id"),
    (29, "invalid type"),
    (30, "tx timeout height"),
    (32, "incorrect account sequence"),
    (38, "not found"),
    (41, "invalid gas limit"),
];

impl Refusal {
    pub(super) fn new(codespace: &str, code: u32, log: impl Into<String>) -> Self {
        Self { codespace: codespace.to_owned(), code, log: log.into() }
    }

    /// Of the SDK's own codespace: the detail and the code's text.
    pub(super) fn sdk(code: u32, detail: impl AsRef<str>) -> Self {
        let text = SDK.iter().find(|(known, _)| *known == code).map_or("error", |(_, text)| text);
        match detail.as_ref() {
            "" => Self::new("sdk", code, text),
            detail => Self::new("sdk", code, format!("{detail}: {text}")),
        }
    }

    pub(super) fn emissions(code: u32, text: impl Into<String>) -> Self {
        Self::new("emissions", code, text)
    }

    /// As the log of a delivered transaction has it.
    pub(super) fn of_message(mut self) -> Self {
        self.log = format!("failed to execute message; message index: 0: {}", self.log);
        self
    }
}

/// A query's error: a gRPC status. `abci_query` gives it a code of the SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: u32,
    pub(super) message: String,
}

impl Status {
    pub(super) const UNKNOWN: u32 = 2;
    pub(super) const INVALID_ARGUMENT: u32 = 3;
    pub(super) const NOT_FOUND: u32 = 5;
    pub(super) const UNIMPLEMENTED: u32 = 12;
    pub(super) const UNAVAILABLE: u32 = 14;

    pub(super) fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Self::NOT_FOUND, message)
    }

    /// What `abci_query` answers in its place.
    pub(super) fn of_abci(&self) -> Refusal {
        let (code, name) = match self.code {
            Self::NOT_FOUND => (22, "NotFound"),
            Self::INVALID_ARGUMENT => (18, "InvalidArgument"),
            Self::UNIMPLEMENTED => return Refusal::sdk(6, &self.message),
            Self::UNAVAILABLE => (6, "Unavailable"),
            _ => (6, "Unknown"),
        };
        Refusal::sdk(code, format!("rpc error: code = {name} desc = {}", self.message))
    }
}
