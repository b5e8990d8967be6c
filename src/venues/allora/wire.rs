//! The JSON of CometBFT: whole numbers are strings, bytes are base64, and an empty list may be `null`.
//!
//! A code has no default: what is missing must not pass for a zero, which is a success.

use data_encoding::BASE64;
use sentinel_actors::domain::time::UtcMs;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

#[derive(Deserialize)]
pub(super) struct Envelope<T> {
    pub(super) result: Option<T>,
    pub(super) error: Option<Fault>,
}

#[derive(Deserialize)]
pub(super) struct Fault {
    #[serde(default)]
    pub(super) code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Value,
}

impl Fault {
    /// The message is general, the data says what happened.
    pub(super) fn text(&self) -> String {
        match &self.data {
            Value::Null => self.message.clone(),
            Value::String(data) => format!("{}: {data}", self.message),
            data => format!("{}: {data}", self.message),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Status {
    pub(super) node_info: NodeInfo,
    pub(super) sync_info: SyncInfo,
}

#[derive(Deserialize)]
pub(super) struct NodeInfo {
    pub(super) network: String,
}

#[derive(Deserialize)]
pub(super) struct SyncInfo {
    #[serde(deserialize_with = "number")]
    pub(super) latest_block_height: u64,
    #[serde(deserialize_with = "time")]
    pub(super) latest_block_time: UtcMs,
    pub(super) catching_up: bool,
}

#[derive(Deserialize)]
pub(super) struct Query {
    pub(super) response: QueryResponse,
}

#[derive(Deserialize)]
pub(super) struct QueryResponse {
    pub(super) code: u32,
    #[serde(default)]
    pub(super) codespace: String,
    #[serde(default)]
    pub(super) log: String,
    #[serde(default)]
    pub(super) value: Base64,
    #[serde(default, deserialize_with = "number")]
    pub(super) height: u64,
}

#[derive(Deserialize)]
pub(super) struct CheckTx {
    pub(super) code: u32,
    #[serde(default)]
    pub(super) codespace: String,
    #[serde(default)]
    pub(super) log: String,
}

#[derive(Deserialize)]
pub(super) struct Tx {
    pub(super) hash: String,
    #[serde(deserialize_with = "number")]
    pub(super) height: u64,
    pub(super) tx_result: TxResult,
}

#[derive(Deserialize)]
pub(super) struct TxResult {
    pub(super) code: u32,
    #[serde(default)]
    pub(super) codespace: String,
    #[serde(default)]
    pub(super) log: String,
    #[serde(default, deserialize_with = "number")]
    pub(super) gas_wanted: u64,
    #[serde(default, deserialize_with = "number")]
    pub(super) gas_used: u64,
    pub(super) events: Option<Vec<Event>>,
}

#[derive(Deserialize)]
pub(super) struct HeaderOf {
    pub(super) header: Header,
}

#[derive(Deserialize)]
pub(super) struct Header {
    #[serde(deserialize_with = "number")]
    pub(super) height: u64,
    #[serde(deserialize_with = "time")]
    pub(super) time: UtcMs,
}

#[derive(Deserialize)]
pub(super) struct BlockOf {
    pub(super) block: Block,
}

#[derive(Deserialize)]
pub(super) struct Block {
    pub(super) header: Header,
    pub(super) data: Data,
}

#[derive(Deserialize)]
pub(super) struct Data {
    pub(super) txs: Option<Vec<Base64>>,
}

#[derive(Deserialize)]
pub(super) struct BlockResults {
    #[serde(deserialize_with = "number")]
    pub(super) height: u64,
    pub(super) txs_results: Option<Vec<TxResult>>,
    pub(super) finalize_block_events: Option<Vec<Event>>,
}

#[derive(Deserialize)]
pub(super) struct Event {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) attributes: Option<Vec<Attribute>>,
}

#[derive(Deserialize)]
pub(super) struct Attribute {
    pub(super) key: String,
    pub(super) value: Option<String>,
}

#[derive(Default)]
pub(super) struct Base64(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        BASE64.decode(text.as_bytes()).map(Self).map_err(|_| D::Error::custom("there are bytes that are not base64"))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Text(String),
    Plain(u64),
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match Number::deserialize(deserializer).map_err(|_| D::Error::custom("a whole number is missing"))? {
        Number::Plain(number) => Ok(number),
        Number::Text(text) => text.parse().map_err(|_| D::Error::custom("a text is no whole number")),
    }
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UtcMs, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time: jiff::Timestamp = text.parse().map_err(|_| D::Error::custom("a text is no instant"))?;
    Ok(UtcMs(time.as_millisecond()))
}
