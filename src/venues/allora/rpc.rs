//! One CometBFT node over JSON-RPC: `status`, `abci_query`, `broadcast_tx_sync`, `tx`, `header`, `block`, `block_results`.
//!
//! A call has one answer or one error, and always ends by its deadline. A question may reach the node twice, when a kept
//! connection was dead; a transaction is offered once, because the answer to a second offer would say nothing about the first.
//! What an answer means is for others to say; this module only refuses what is not the answer of such a node.
//!
//! Protocol: <https://docs.cometbft.com/v0.38/rpc/>.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::meters::Calls;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::signing::TxHash;
use super::wire::{self, Base64};
use crate::http::{
    Access, Answer, CallError, ClientSettings, Deadline, Headers, HttpClient, HttpError, RetryAfter, Url,
};

/// Bytes of an answer: a full block of 4 MB in base64, or its results.
const ANSWER_MAX: usize = 16 << 20;
/// For making a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// An idle connection is not used again after this: CometBFT drops it at 10 s.
const IDLE_MAX: Duration = Duration::from_secs(8);
/// JSON-RPC 2.0: the method does not exist.
const NO_METHOD: i64 = -32_601;
/// The same: the parameters are not those of the method.
const NO_PARAMETERS: i64 = -32_602;

/// Why a node gave no answer that can be used. Every text is one short line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// No answer of HTTP.
    #[error(transparent)]
    Call(#[from] CallError),
    /// An answer of HTTP that is none of JSON-RPC, as proxies give them.
    #[error("it answered {status}: {text}")]
    Status {
        status: u16,
        text: String,
        /// How long it does not want to be asked.
        retry_after: Option<RetryAfter>,
    },
    /// Broken off, damaged, or of another shape.
    #[error("its answer is not that of a CometBFT node: {0}")]
    Unreadable(String),
    /// The node's own error.
    #[error("it refused the call with {code}: {text}")]
    Refused { code: i64, text: String },
}

impl RpcError {
    /// Whether this call can have left nothing at the node.
    #[must_use]
    pub const fn has_not_arrived(&self) -> bool {
        // A proxy that limits or forbids does not pass on; one that says 502 or 504 may have.
        // A node that does not know the method, or not its parameters, has done nothing.
        matches!(
            self,
            Self::Call(CallError::Unreachable(_))
                | Self::Status { status: 401 | 403 | 404 | 429, .. }
                | Self::Refused { code: NO_METHOD | NO_PARAMETERS, .. }
        )
    }

    fn is_missing_method(&self) -> bool {
        matches!(self, Self::Refused { code: NO_METHOD, .. })
    }

    fn says(&self, part: &str) -> bool {
        matches!(self, Self::Refused { text, .. } if text.contains(part))
    }
}

/// What a node says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub chain_id: String,
    /// Of the newest committed block.
    pub height: u64,
    /// Of that block.
    pub time: UtcMs,
    /// Its clock when it answered, to the second; `None`: it did not say so.
    pub date: Option<UtcMs>,
    /// It is still reading old blocks.
    pub catching_up: bool,
}

/// The answer to a query of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryAnswer {
    /// 0, or the code of a failure.
    pub code: u32,
    pub codespace: String,
    /// The text of a failure; safe to print.
    pub log: String,
    /// A protobuf message.
    pub value: Vec<u8>,
    /// The state that was asked is that after this block.
    pub height: u64,
}

/// What a node says about a transaction that it was offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckTx {
    /// 0: it is in the node's mempool.
    pub code: u32,
    pub codespace: String,
    /// Safe to print.
    pub log: String,
}

/// A transaction in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    pub height: u64,
    /// 0, or the code of its failure; it has cost its fee then too.
    pub code: u32,
    pub codespace: String,
    /// Safe to print.
    pub log: String,
    pub gas_wanted: u64,
    pub gas_used: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub height: u64,
    pub time: UtcMs,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub header: Header,
    /// As they were broadcast, in order.
    pub transactions: Vec<Vec<u8>>,
}

/// What a block has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockResults {
    /// One for each of its transactions, in order.
    pub transactions: Vec<Delivered>,
    /// Events of each of its transactions, in order.
    pub transaction_events: Vec<Vec<Event>>,
    /// Events of the block itself, without those of its transactions.
    pub events: Vec<Event>,
}

/// Something that the chain announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// For example `emissions.v10.EventWorkerSubmissionWindowOpened`.
    pub kind: String,
    /// Key and value, in order; values of typed events are JSON.
    pub attributes: Vec<(String, String)>,
}

/// Whether a node knows a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    Found(Delivered),
    NotFound,
    /// It keeps no index of transactions.
    NoIndex,
}

/// One node.
pub struct Rpc {
    name: String,
    url: Url,
    http: HttpClient,
}

impl Rpc {
    /// A node that nobody has asked yet.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(url: Url) -> Result<Self, HttpError> {
        let host = url.host_str().unwrap_or_default();
        let name = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let http = HttpClient::new(ClientSettings {
            tls: url.scheme() == "https",
            access: Access::Open,
            headers: Headers::default(),
            connect_max: Some(CONNECT_MAX),
            idle_max: IDLE_MAX,
            body_max: ANSWER_MAX,
        })?;
        Ok(Self { name, url, http })
    }

    /// Counts its calls there from now on.
    pub fn count_in(&self, calls: Arc<Calls>) {
        self.http.count_in(calls);
    }

    /// Host and port, without the path: that of some providers is a key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// # Errors
    /// When there is no answer that can be used.
    pub async fn status(&self, until: Deadline) -> Result<Status, RpcError> {
        let answer = self.http.post(&self.url, &request("status", &json!({})), until).await?;
        let status: wire::Status = self.read(&answer)?;
        let sync = status.sync_info;
        Ok(Status {
            chain_id: self.http.printable(&status.node_info.network),
            height: sync.latest_block_height,
            time: sync.latest_block_time,
            date: answer.date(),
            catching_up: sync.catching_up,
        })
    }

    /// Asks the application; `request` and the answer's value are protobuf messages of the gRPC method `path`.
    ///
    /// # Errors
    /// When there is no answer that can be used. A failure of the query itself is in the answer.
    pub async fn abci_query(&self, path: &str, request: &[u8], until: Deadline) -> Result<QueryAnswer, RpcError> {
        let params = json!({ "path": path, "data": HEXLOWER.encode(request), "height": "0", "prove": false });
        let wire::Query { response } = self.call("abci_query", &params, until).await?;
        Ok(QueryAnswer {
            code: response.code,
            codespace: response.codespace,
            log: self.http.printable(&response.log),
            value: response.value.0,
            height: response.height,
        })
    }

    /// Offers a signed transaction. The errors of a mempool are given the codes that the Cosmos SDK has for them, as its own
    /// client does it.
    ///
    /// # Errors
    /// When there is no answer that can be used: the node may have taken it.
    pub async fn broadcast_tx_sync(&self, transaction: &[u8], until: Deadline) -> Result<CheckTx, RpcError> {
        let params = json!({ "tx": BASE64.encode(transaction) });
        let body = request("broadcast_tx_sync", &params);
        let answer = self.http.post_once(&self.url, &body, until).await?;
        let refused = match self.read::<wire::CheckTx>(&answer) {
            Ok(wire::CheckTx { code, codespace, log }) => {
                return Ok(CheckTx { code, codespace, log: self.http.printable(&log) });
            }
            Err(error) => error,
        };
        let codes = [("tx already exists in cache", 19), ("mempool is full", 20), ("Tx too large", 21)];
        let code = codes.into_iter().find(|(part, _)| refused.says(part)).map(|(_, code)| code);
        match code {
            Some(code) => Ok(CheckTx { code, codespace: "sdk".to_owned(), log: refused.to_string() }),
            None => Err(refused),
        }
    }

    /// Looks a transaction up. A node that is behind, or whose index is, does not find what is in a block.
    ///
    /// # Errors
    /// When there is no answer that can be used.
    pub async fn tx(&self, hash: TxHash, until: Deadline) -> Result<Lookup, RpcError> {
        let params = json!({ "hash": BASE64.encode(hash.as_bytes()), "prove": false });
        match self.call::<wire::Tx>("tx", &params, until).await {
            Ok(found) if found.hash.parse() != Ok(hash) => {
                Err(RpcError::Unreadable("it is about another transaction".to_owned()))
            }
            Ok(found) => Ok(Lookup::Found(self.delivered(found.tx_result, found.height))),
            Err(error) if error.is_missing_method() => Ok(Lookup::NoIndex),
            Err(error) if error.says("not found") => Ok(Lookup::NotFound),
            Err(error) if error.says("indexing is disabled") => Ok(Lookup::NoIndex),
            Err(error) => Err(error),
        }
    }

    /// The header of a committed block. A node that has no such method is asked for the block.
    ///
    /// # Errors
    /// When there is no answer that can be used, or no such block.
    pub async fn header(&self, height: u64, until: Deadline) -> Result<Header, RpcError> {
        match self.call::<wire::HeaderOf>("header", &json!({ "height": height.to_string() }), until).await {
            Ok(wire::HeaderOf { header }) => header.at(height),
            Err(error) if error.is_missing_method() => Ok(self.block(height, until).await?.header),
            Err(error) => Err(error),
        }
    }

    /// A committed block.
    ///
    /// # Errors
    /// When there is no answer that can be used, or no such block.
    pub async fn block(&self, height: u64, until: Deadline) -> Result<Block, RpcError> {
        let wire::BlockOf { block } = self.call("block", &json!({ "height": height.to_string() }), until).await?;
        let transactions = block.data.txs.unwrap_or_default().into_iter().map(|Base64(bytes)| bytes).collect();
        Ok(Block { header: block.header.at(height)?, transactions })
    }

    /// What a committed block has done.
    ///
    /// # Errors
    /// When there is no answer that can be used, or no such block.
    pub async fn block_results(&self, height: u64, until: Deadline) -> Result<BlockResults, RpcError> {
        let params = json!({ "height": height.to_string() });
        let results: wire::BlockResults = self.call("block_results", &params, until).await?;
        if results.height != height {
            return Err(other_height(results.height));
        }
        let mut transactions = results.txs_results.unwrap_or_default();
        let transaction_events = transactions.iter_mut().map(|result| events(result.events.take())).collect();
        Ok(BlockResults {
            transactions: transactions.into_iter().map(|result| self.delivered(result, height)).collect(),
            transaction_events,
            events: events(results.finalize_block_events),
        })
    }

    fn delivered(&self, result: wire::TxResult, height: u64) -> Delivered {
        let wire::TxResult { code, codespace, log, gas_wanted, gas_used, events: _ } = result;
        Delivered { height, code, codespace, log: self.http.printable(&log), gas_wanted, gas_used }
    }

    async fn call<T: DeserializeOwned>(&self, method: &str, params: &Value, until: Deadline) -> Result<T, RpcError> {
        let answer = self.http.post(&self.url, &request(method, params), until).await?;
        self.read(&answer)
    }

    fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, RpcError> {
        // Some nodes give their own errors with a status of 400 or 500, and proxies give texts of theirs.
        let is_of_proxy = matches!(answer.status, 401 | 403 | 429 | 502..=505);
        match serde_json::from_slice::<wire::Envelope<T>>(&answer.body) {
            Ok(wire::Envelope { error: Some(error), .. }) if !is_of_proxy => {
                Err(RpcError::Refused { code: error.code, text: self.http.printable(&error.text()) })
            }
            Ok(wire::Envelope { result: Some(result), .. }) if answer.status == 200 => Ok(result),
            Ok(_) if answer.status == 200 => {
                Err(RpcError::Unreadable("it has neither a result nor an error".to_owned()))
            }
            Err(error) if answer.status == 200 => Err(RpcError::Unreadable(self.http.printable(&error.to_string()))),
            _ => Err(self.status_error(answer)),
        }
    }

    fn status_error(&self, answer: &Answer) -> RpcError {
        let text = self.http.printable(&String::from_utf8_lossy(&answer.body));
        // Its instant is one of its clock, so it is compared with that.
        let retry_after = match (answer.retry_after(), answer.date()) {
            (Some(RetryAfter::At(at)), Some(date)) => Some(RetryAfter::Wait(at.since(date))),
            (retry_after, _) => retry_after,
        };
        RpcError::Status { status: answer.status, text, retry_after }
    }
}

fn events(events: Option<Vec<wire::Event>>) -> Vec<Event> {
    events.unwrap_or_default().into_iter().map(Event::from).collect()
}

fn request(method: &str, params: &Value) -> Vec<u8> {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string().into_bytes()
}

impl wire::Header {
    fn at(self, height: u64) -> Result<Header, RpcError> {
        if self.height != height {
            return Err(other_height(self.height));
        }
        Ok(Header { height, time: self.time })
    }
}

fn other_height(height: u64) -> RpcError {
    RpcError::Unreadable(format!("it is about block {height}"))
}

impl From<wire::Event> for Event {
    fn from(event: wire::Event) -> Self {
        let attributes = event.attributes.unwrap_or_default();
        let pair = |attribute: wire::Attribute| (attribute.key, attribute.value.unwrap_or_default());
        Self { kind: event.kind, attributes: attributes.into_iter().map(pair).collect() }
    }
}
