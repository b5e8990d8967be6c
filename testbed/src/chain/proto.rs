//! The messages of the Cosmos SDK and CometBFT that a worker sends and reads, with the field numbers of their proto files.

use prost::Message;

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Coin {
    #[prost(string, tag = "1")]
    pub denom: String,
    #[prost(string, tag = "2")]
    pub amount: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct TxRaw {
    #[prost(bytes = "vec", tag = "1")]
    pub body_bytes: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub auth_info_bytes: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub signatures: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct TxBody {
    #[prost(message, repeated, tag = "1")]
    pub messages: Vec<Any>,
    #[prost(string, tag = "2")]
    pub memo: String,
    #[prost(uint64, tag = "3")]
    pub timeout_height: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct AuthInfo {
    #[prost(message, repeated, tag = "1")]
    pub signer_infos: Vec<SignerInfo>,
    #[prost(message, optional, tag = "2")]
    pub fee: Option<Fee>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct SignerInfo {
    #[prost(message, optional, tag = "1")]
    pub public_key: Option<Any>,
    #[prost(message, optional, tag = "2")]
    pub mode_info: Option<ModeInfo>,
    #[prost(uint64, tag = "3")]
    pub sequence: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ModeInfo {
    #[prost(message, optional, tag = "1")]
    pub single: Option<Single>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Single {
    /// 1 is `SIGN_MODE_DIRECT`.
    #[prost(int32, tag = "1")]
    pub mode: i32,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Fee {
    #[prost(message, repeated, tag = "1")]
    pub amount: Vec<Coin>,
    #[prost(uint64, tag = "2")]
    pub gas_limit: u64,
    #[prost(string, tag = "3")]
    pub payer: String,
    #[prost(string, tag = "4")]
    pub granter: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct SignDoc {
    #[prost(bytes = "vec", tag = "1")]
    pub body_bytes: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub auth_info_bytes: Vec<u8>,
    #[prost(string, tag = "3")]
    pub chain_id: String,
    #[prost(uint64, tag = "4")]
    pub account_number: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct PublicKey {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
}

/// A request of one text: an address, a denom or a hash.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Text {
    #[prost(string, tag = "1")]
    pub text: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct TwoTexts {
    #[prost(string, tag = "1")]
    pub first: String,
    #[prost(string, tag = "2")]
    pub second: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct BaseAccount {
    #[prost(string, tag = "1")]
    pub address: String,
    #[prost(message, optional, tag = "2")]
    pub public_key: Option<Any>,
    #[prost(uint64, tag = "3")]
    pub account_number: u64,
    #[prost(uint64, tag = "4")]
    pub sequence: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct AccountInfoReply {
    #[prost(message, optional, tag = "1")]
    pub info: Option<BaseAccount>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct AnyReply {
    #[prost(message, optional, tag = "1")]
    pub account: Option<Any>,
}

/// Of a balance, and of a gas price, whose amount is scaled by 10^18.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CoinReply {
    #[prost(message, optional, tag = "1")]
    pub coin: Option<Coin>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct SimulateRequest {
    #[prost(bytes = "vec", tag = "2")]
    pub tx_bytes: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct GasInfo {
    #[prost(uint64, tag = "1")]
    pub gas_wanted: u64,
    #[prost(uint64, tag = "2")]
    pub gas_used: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct SimulateReply {
    #[prost(message, optional, tag = "1")]
    pub gas_info: Option<GasInfo>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct BroadcastRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub tx_bytes: Vec<u8>,
    /// 2 is `BROADCAST_MODE_SYNC`, 3 `ASYNC`.
    #[prost(int32, tag = "2")]
    pub mode: i32,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct TxResponse {
    #[prost(int64, tag = "1")]
    pub height: i64,
    #[prost(string, tag = "2")]
    pub txhash: String,
    #[prost(string, tag = "3")]
    pub codespace: String,
    #[prost(uint32, tag = "4")]
    pub code: u32,
    #[prost(string, tag = "6")]
    pub raw_log: String,
    #[prost(int64, tag = "9")]
    pub gas_wanted: i64,
    #[prost(int64, tag = "10")]
    pub gas_used: i64,
    #[prost(string, tag = "12")]
    pub timestamp: String,
    #[prost(message, repeated, tag = "13")]
    pub events: Vec<AbciEvent>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct AbciEvent {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(message, repeated, tag = "2")]
    pub attributes: Vec<AbciAttribute>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct AbciAttribute {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
    #[prost(bool, tag = "3")]
    pub index: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct BroadcastReply {
    #[prost(message, optional, tag = "1")]
    pub tx_response: Option<TxResponse>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Tx {
    #[prost(message, optional, tag = "1")]
    pub body: Option<TxBody>,
    #[prost(message, optional, tag = "2")]
    pub auth_info: Option<AuthInfo>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub signatures: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetTxReply {
    #[prost(message, optional, tag = "1")]
    pub tx: Option<Tx>,
    #[prost(message, optional, tag = "2")]
    pub tx_response: Option<TxResponse>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct NodeInfo {
    #[prost(string, tag = "4")]
    pub network: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct VersionInfo {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub app_name: String,
    #[prost(string, tag = "3")]
    pub version: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct NodeInfoReply {
    #[prost(message, optional, tag = "1")]
    pub default_node_info: Option<NodeInfo>,
    #[prost(message, optional, tag = "2")]
    pub application_version: Option<VersionInfo>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Header {
    #[prost(string, tag = "2")]
    pub chain_id: String,
    #[prost(int64, tag = "3")]
    pub height: i64,
    #[prost(message, optional, tag = "4")]
    pub time: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Block {
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct LatestBlockReply {
    #[prost(message, optional, tag = "3")]
    pub sdk_block: Option<Block>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Truth {
    #[prost(bool, tag = "1")]
    pub is_true: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct FeemarketParams {
    /// Scaled by 10^18, as all decimals of this module.
    #[prost(string, tag = "5")]
    pub min_base_gas_price: String,
    #[prost(string, tag = "10")]
    pub fee_denom: String,
    #[prost(bool, tag = "11")]
    pub enabled: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct FeemarketParamsReply {
    #[prost(message, optional, tag = "1")]
    pub params: Option<FeemarketParams>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct FeemarketState {
    #[prost(string, tag = "1")]
    pub base_gas_price: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct FeemarketStateReply {
    #[prost(message, optional, tag = "1")]
    pub state: Option<FeemarketState>,
}
