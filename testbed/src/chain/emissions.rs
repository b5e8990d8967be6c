//! The messages of the emissions module, versions 9 and 10, with the field numbers of their proto files. Version 9's payload is
//! version 10's without field 7 of an inference.

use prost::Message;
use serde::{Deserialize, Serialize};

/// The version of the module that a chain's program has. It takes messages and queries of exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Emissions {
    V9,
    V10,
}

impl Emissions {
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::V9 => 9,
            Self::V10 => 10,
        }
    }

    /// What the chain's program calls itself.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::V9 => "v0.16.0",
            Self::V10 => "v0.17.0",
        }
    }

    pub(super) fn type_url(self, message: &str) -> String {
        format!("/emissions.v{}.{message}", self.number())
    }
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Nonce {
    #[prost(int64, tag = "1")]
    pub block_height: i64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Nonces {
    #[prost(message, repeated, tag = "1")]
    pub nonces: Vec<Nonce>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct InputLabeledValue {
    #[prost(string, tag = "1")]
    pub label: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct InputInference {
    #[prost(uint64, tag = "1")]
    pub topic_id: u64,
    #[prost(int64, tag = "2")]
    pub block_height: i64,
    #[prost(string, tag = "3")]
    pub inferer: String,
    #[prost(string, tag = "4")]
    pub value: String,
    #[prost(bytes = "vec", tag = "5")]
    pub extra_data: Vec<u8>,
    #[prost(string, tag = "6")]
    pub proof: String,
    #[prost(message, repeated, tag = "7")]
    pub values: Vec<InputLabeledValue>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct InputForecastElement {
    #[prost(string, tag = "1")]
    pub inferer: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct InputForecast {
    #[prost(uint64, tag = "1")]
    pub topic_id: u64,
    #[prost(int64, tag = "2")]
    pub block_height: i64,
    #[prost(string, tag = "3")]
    pub forecaster: String,
    #[prost(message, repeated, tag = "4")]
    pub forecast_elements: Vec<InputForecastElement>,
    #[prost(bytes = "vec", tag = "5")]
    pub extra_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct InferenceForecastBundle {
    #[prost(message, optional, tag = "1")]
    pub inference: Option<InputInference>,
    #[prost(message, optional, tag = "2")]
    pub forecast: Option<InputForecast>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct WorkerDataBundle {
    #[prost(string, tag = "1")]
    pub worker: String,
    #[prost(message, optional, tag = "2")]
    pub nonce: Option<Nonce>,
    #[prost(uint64, tag = "3")]
    pub topic_id: u64,
    #[prost(message, optional, tag = "4")]
    pub bundle: Option<InferenceForecastBundle>,
    #[prost(bytes = "vec", tag = "5")]
    pub signature: Vec<u8>,
    #[prost(string, tag = "6")]
    pub public_key: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct InsertWorkerPayload {
    #[prost(string, tag = "1")]
    pub sender: String,
    #[prost(message, optional, tag = "2")]
    pub data: Option<WorkerDataBundle>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Register {
    #[prost(string, tag = "1")]
    pub sender: String,
    #[prost(uint64, tag = "4")]
    pub topic_id: u64,
    #[prost(string, tag = "5")]
    pub owner: String,
    #[prost(bool, tag = "6")]
    pub is_reputer: bool,
}

/// What most queries ask: a topic, and where it is needed an address.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TopicAddress {
    #[prost(uint64, tag = "1")]
    pub topic_id: u64,
    #[prost(string, tag = "2")]
    pub address: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct TopicHeight {
    #[prost(uint64, tag = "1")]
    pub topic_id: u64,
    #[prost(int64, tag = "2")]
    pub block_height: i64,
}

/// Fields 23 and above are of version 10.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Topic {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(string, tag = "2")]
    pub creator: String,
    #[prost(string, tag = "3")]
    pub metadata: String,
    #[prost(string, tag = "5")]
    pub loss_method: String,
    #[prost(int64, tag = "8")]
    pub epoch_last_ended: i64,
    #[prost(int64, tag = "9")]
    pub epoch_length: i64,
    #[prost(int64, tag = "10")]
    pub ground_truth_lag: i64,
    #[prost(string, tag = "12")]
    pub p_norm: String,
    #[prost(string, tag = "13")]
    pub alpha_regret: String,
    #[prost(bool, tag = "14")]
    pub allow_negative: bool,
    #[prost(string, tag = "15")]
    pub epsilon: String,
    #[prost(string, tag = "16")]
    pub initial_regret: String,
    #[prost(int64, tag = "17")]
    pub worker_submission_window: i64,
    #[prost(int32, tag = "23")]
    pub topic_type: i32,
    /// 1 is SINGLE, 2 MULTI.
    #[prost(int32, tag = "24")]
    pub output_arity: i32,
    #[prost(string, repeated, tag = "28")]
    pub label_whitelist: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct TopicReply {
    #[prost(message, optional, tag = "1")]
    pub topic: Option<Topic>,
    #[prost(string, tag = "2")]
    pub weight: String,
    #[prost(string, tag = "3")]
    pub effective_revenue: String,
    #[prost(string, tag = "4")]
    pub topic_stake: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct WindowStatus {
    #[prost(bool, tag = "1")]
    pub is_open: bool,
    #[prost(int64, tag = "2")]
    pub current_nonce_block_height: i64,
    #[prost(int64, tag = "3")]
    pub window_start_block: i64,
    #[prost(int64, tag = "4")]
    pub window_end_block: i64,
    #[prost(int64, tag = "5")]
    pub next_window_start_block: i64,
    #[prost(int64, tag = "6")]
    pub next_window_end_block: i64,
    #[prost(bool, tag = "7")]
    pub is_registered: bool,
    #[prost(bool, tag = "8")]
    pub is_whitelisted: bool,
    #[prost(bool, tag = "9")]
    pub is_topic_active: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct NoncesReply {
    #[prost(message, optional, tag = "1")]
    pub nonces: Option<Nonces>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct LatestInferenceReply {
    #[prost(message, optional, tag = "1")]
    pub inference: Option<InputInference>,
}

/// A stored inference: version 9 has `value`, version 10 `values`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Inference {
    #[prost(uint64, tag = "1")]
    pub topic_id: u64,
    #[prost(int64, tag = "2")]
    pub block_height: i64,
    #[prost(string, tag = "3")]
    pub inferer: String,
    #[prost(string, tag = "4")]
    pub value: String,
    #[prost(bytes = "vec", tag = "5")]
    pub extra_data: Vec<u8>,
    #[prost(string, tag = "6")]
    pub proof: String,
    #[prost(string, repeated, tag = "7")]
    pub values: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Inferences {
    #[prost(message, repeated, tag = "1")]
    pub inferences: Vec<Inference>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct InferencesReply {
    #[prost(message, optional, tag = "1")]
    pub inferences: Option<Inferences>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Score {
    #[prost(uint64, tag = "1")]
    pub topic_id: u64,
    #[prost(int64, tag = "2")]
    pub block_height: i64,
    #[prost(string, tag = "3")]
    pub address: String,
    #[prost(string, tag = "4")]
    pub score: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ScoreReply {
    #[prost(message, optional, tag = "1")]
    pub score: Option<Score>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Scores {
    #[prost(message, repeated, tag = "1")]
    pub scores: Vec<Score>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ScoresReply {
    #[prost(message, optional, tag = "1")]
    pub scores: Option<Scores>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct CountReply {
    #[prost(uint64, tag = "1")]
    pub count: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct HeightReply {
    #[prost(int64, tag = "1")]
    pub height: i64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct CommitInfo {
    #[prost(int64, tag = "1")]
    pub block_height: i64,
    #[prost(message, optional, tag = "3")]
    pub nonce: Option<Nonce>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct CommitReply {
    #[prost(message, optional, tag = "1")]
    pub last_commit: Option<CommitInfo>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct LabeledValue {
    #[prost(uint64, tag = "1")]
    pub label_id: u64,
    #[prost(string, tag = "2")]
    pub label_name: String,
    #[prost(string, tag = "3")]
    pub value: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct WorkerInference {
    #[prost(string, tag = "1")]
    pub worker: String,
    #[prost(message, repeated, tag = "2")]
    pub values: Vec<LabeledValue>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct NetworkInferences {
    #[prost(uint64, tag = "1")]
    pub topic_id: u64,
    #[prost(int64, tag = "2")]
    pub nonce: i64,
    #[prost(message, repeated, tag = "3")]
    pub combined_value: Vec<LabeledValue>,
    #[prost(message, repeated, tag = "4")]
    pub inferer_values: Vec<WorkerInference>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct NetworkInferencesReply {
    #[prost(message, optional, tag = "1")]
    pub network_inferences: Option<NetworkInferences>,
    #[prost(int64, tag = "5")]
    pub inference_block_height: i64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct WorkerAttributedValue {
    #[prost(string, tag = "1")]
    pub worker: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// Version 9's network inferences.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ValueBundle {
    #[prost(uint64, tag = "1")]
    pub topic_id: u64,
    #[prost(string, tag = "5")]
    pub combined_value: String,
    #[prost(message, repeated, tag = "6")]
    pub inferer_values: Vec<WorkerAttributedValue>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ValueBundleReply {
    #[prost(message, optional, tag = "1")]
    pub network_inferences: Option<ValueBundle>,
    #[prost(int64, tag = "5")]
    pub inference_block_height: i64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Params {
    #[prost(string, tag = "1")]
    pub version: String,
    #[prost(int64, tag = "2")]
    pub max_serialized_msg_length: i64,
    #[prost(string, tag = "28")]
    pub registration_fee: String,
    #[prost(int64, tag = "31")]
    pub min_epoch_length_record_limit: i64,
    #[prost(string, tag = "44")]
    pub data_sending_fee: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ParamsReply {
    #[prost(message, optional, tag = "1")]
    pub params: Option<Params>,
}
