//! The protobuf messages of queries.
//!
//! Only the fields that this program reads are named; a decoder passes over the others, so a chain may add to them. Field numbers:
//! `emissions.v9` and `emissions.v10`, which call most of what is here the same, `cosmos.auth.v1beta1`, `cosmos.bank.v1beta1`,
//! `cosmos.tx.v1beta1` and `feemarket.feemarket.v1`.

use prost::Message;

use super::messages::Emissions;

/// A question with its answer's type.
pub(super) trait Query: Message {
    type Answer: Message + Default;
}

/// One to the emissions module, whose name has its version in it.
pub(super) trait EmissionsQuery: Query {
    /// The gRPC method, as `abci_query` names it.
    fn path(emissions: Emissions) -> String;
}

/// One to a module that every chain has.
pub(super) trait CosmosQuery: Query {
    /// The gRPC method, as `abci_query` names it.
    const PATH: &str;
}

macro_rules! emissions_query {
    ($request:ty => $answer:ty, $v9:literal, $v10:literal) => {
        impl Query for $request {
            type Answer = $answer;
        }

        impl EmissionsQuery for $request {
            fn path(emissions: Emissions) -> String {
                let method = match emissions {
                    Emissions::V9 => $v9,
                    Emissions::V10 => $v10,
                };
                format!("/emissions.{emissions}.QueryService/{method}")
            }
        }
    };
    ($request:ty => $answer:ty, $both:literal) => {
        emissions_query!($request => $answer, $both, $both);
    };
}

macro_rules! cosmos_query {
    ($request:ty => $answer:ty, $path:literal) => {
        impl Query for $request {
            type Answer = $answer;
        }

        impl CosmosQuery for $request {
            const PATH: &str = $path;
        }
    };
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ParamsRequest {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ParamsAnswer {
    #[prost(message, optional, tag = "1")]
    pub(super) params: Option<ParamsMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ParamsMessage {
    #[prost(string, tag = "28")]
    pub(super) registration_fee: String,
    #[prost(int64, tag = "31")]
    pub(super) min_epoch_length_record_limit: i64,
    #[prost(string, tag = "44")]
    pub(super) data_sending_fee: String,
}

emissions_query!(ParamsRequest => ParamsAnswer, "GetParams");

#[derive(Clone, PartialEq, Message)]
pub(super) struct TopicRequest {
    #[prost(uint64, tag = "1")]
    pub(super) topic: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TopicAnswer {
    #[prost(message, optional, tag = "1")]
    pub(super) topic: Option<TopicMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TopicMessage {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(string, tag = "3")]
    pub(super) metadata: String,
    #[prost(int64, tag = "8")]
    pub(super) epoch_last_ended: i64,
    #[prost(int64, tag = "9")]
    pub(super) epoch_length: i64,
    #[prost(int64, tag = "10")]
    pub(super) ground_truth_lag: i64,
    #[prost(int64, tag = "17")]
    pub(super) worker_submission_window: i64,
    /// 0 on a chain that knows no arity, 1 single, 2 multi.
    #[prost(int32, tag = "24")]
    pub(super) output_arity: i32,
}

emissions_query!(TopicRequest => TopicAnswer, "GetTopic");

#[derive(Clone, PartialEq, Message)]
pub(super) struct WindowRequest {
    #[prost(uint64, tag = "1")]
    pub(super) topic: u64,
    #[prost(string, tag = "2")]
    pub(super) address: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WindowAnswer {
    #[prost(bool, tag = "1")]
    pub(super) is_open: bool,
    #[prost(int64, tag = "2")]
    pub(super) current_nonce_block_height: i64,
    #[prost(int64, tag = "3")]
    pub(super) window_start_block: i64,
    #[prost(int64, tag = "4")]
    pub(super) window_end_block: i64,
    #[prost(int64, tag = "5")]
    pub(super) next_window_start_block: i64,
    #[prost(int64, tag = "6")]
    pub(super) next_window_end_block: i64,
    #[prost(bool, tag = "7")]
    pub(super) is_registered: bool,
    #[prost(bool, tag = "8")]
    pub(super) is_whitelisted: bool,
    #[prost(bool, tag = "9")]
    pub(super) is_topic_active: bool,
}

emissions_query!(WindowRequest => WindowAnswer, "GetWorkerSubmissionWindowStatus");

#[derive(Clone, PartialEq, Message)]
pub(super) struct LatestInferenceRequest {
    #[prost(uint64, tag = "1")]
    pub(super) topic: u64,
    #[prost(string, tag = "2")]
    pub(super) worker: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LatestInferenceAnswer {
    #[prost(message, optional, tag = "1")]
    pub(super) inference: Option<InferenceMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InferenceMessage {
    #[prost(uint64, tag = "1")]
    pub(super) topic: u64,
    #[prost(int64, tag = "2")]
    pub(super) block_height: i64,
    #[prost(string, tag = "3")]
    pub(super) inferer: String,
    /// Also of a chain with labels: what came in as the one label `y` is stored here.
    #[prost(string, tag = "4")]
    pub(super) value: String,
    #[prost(message, repeated, tag = "7")]
    pub(super) values: Vec<LabeledValueMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LabeledValueMessage {
    #[prost(string, tag = "1")]
    pub(super) label: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

emissions_query!(
    LatestInferenceRequest => LatestInferenceAnswer,
    "GetWorkerLatestInferenceByTopicId",
    "GetWorkerLatestInputInferenceByTopicId"
);

/// A topic, and the nonce of one of its windows.
#[derive(Clone, PartialEq, Message)]
pub(super) struct InferencesRequest {
    #[prost(uint64, tag = "1")]
    pub(super) topic: u64,
    #[prost(int64, tag = "2")]
    pub(super) block_height: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InferencesAnswer {
    #[prost(message, optional, tag = "1")]
    pub(super) inferences: Option<InferencesMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InferencesMessage {
    #[prost(message, repeated, tag = "1")]
    pub(super) inferences: Vec<StoredInferenceMessage>,
}

/// Version 9 has `value`, version 10 `values` without labels.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredInferenceMessage {
    #[prost(uint64, tag = "1")]
    pub(super) topic: u64,
    #[prost(int64, tag = "2")]
    pub(super) block_height: i64,
    #[prost(string, tag = "3")]
    pub(super) inferer: String,
    #[prost(string, tag = "4")]
    pub(super) value: String,
    #[prost(string, repeated, tag = "7")]
    pub(super) values: Vec<String>,
}

emissions_query!(InferencesRequest => InferencesAnswer, "GetInferencesAtBlock");

#[derive(Clone, PartialEq, Message)]
pub(super) struct ScoresRequest {
    #[prost(uint64, tag = "1")]
    pub(super) topic: u64,
    #[prost(int64, tag = "2")]
    pub(super) block_height: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ScoresAnswer {
    #[prost(message, optional, tag = "1")]
    pub(super) scores: Option<ScoresMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ScoresMessage {
    #[prost(message, repeated, tag = "1")]
    pub(super) scores: Vec<ScoreMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ScoreMessage {
    #[prost(uint64, tag = "1")]
    pub(super) topic: u64,
    #[prost(int64, tag = "2")]
    pub(super) block_height: i64,
    #[prost(string, tag = "3")]
    pub(super) address: String,
    #[prost(string, tag = "4")]
    pub(super) score: String,
}

emissions_query!(ScoresRequest => ScoresAnswer, "GetWorkerInferenceScoresAtBlock");

/// A topic, and one of its workers.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ScoreEmaRequest {
    #[prost(uint64, tag = "1")]
    pub(super) topic: u64,
    #[prost(string, tag = "2")]
    pub(super) inferer: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ScoreAnswer {
    #[prost(message, optional, tag = "1")]
    pub(super) score: Option<ScoreMessage>,
}

emissions_query!(ScoreEmaRequest => ScoreAnswer, "GetInfererScoreEma");

#[derive(Clone, PartialEq, Message)]
pub(super) struct InclusionsRequest {
    #[prost(uint64, tag = "1")]
    pub(super) topic: u64,
    #[prost(string, tag = "2")]
    pub(super) inferer: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CountAnswer {
    #[prost(uint64, tag = "1")]
    pub(super) count: u64,
}

emissions_query!(InclusionsRequest => CountAnswer, "GetCountInfererInclusionsInTopic");

#[derive(Clone, PartialEq, Message)]
pub(super) struct RewardNonceRequest {
    #[prost(uint64, tag = "1")]
    pub(super) topic: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RewardNonceAnswer {
    #[prost(int64, tag = "1")]
    pub(super) nonce: i64,
}

emissions_query!(RewardNonceRequest => RewardNonceAnswer, "GetTopicRewardNonce");

#[derive(Clone, PartialEq, Message)]
pub(super) struct TopicExistsRequest {
    #[prost(uint64, tag = "1")]
    pub(super) topic: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TopicExistsAnswer {
    #[prost(bool, tag = "1")]
    pub(super) exists: bool,
}

emissions_query!(TopicExistsRequest => TopicExistsAnswer, "TopicExists");

#[derive(Clone, PartialEq, Message)]
pub(super) struct AccountRequest {
    #[prost(string, tag = "1")]
    pub(super) address: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AccountAnswer {
    #[prost(message, optional, tag = "1")]
    pub(super) info: Option<AccountMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AccountMessage {
    #[prost(string, tag = "1")]
    pub(super) address: String,
    #[prost(uint64, tag = "3")]
    pub(super) account_number: u64,
    #[prost(uint64, tag = "4")]
    pub(super) sequence: u64,
}

cosmos_query!(AccountRequest => AccountAnswer, "/cosmos.auth.v1beta1.Query/AccountInfo");

#[derive(Clone, PartialEq, Message)]
pub(super) struct BalanceRequest {
    #[prost(string, tag = "1")]
    pub(super) address: String,
    #[prost(string, tag = "2")]
    pub(super) denom: String,
}

/// A balance and a price have the same shape.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CoinAnswer {
    #[prost(message, optional, tag = "1")]
    pub(super) coin: Option<CoinMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CoinMessage {
    #[prost(string, tag = "1")]
    pub(super) denom: String,
    #[prost(string, tag = "2")]
    pub(super) amount: String,
}

cosmos_query!(BalanceRequest => CoinAnswer, "/cosmos.bank.v1beta1.Query/Balance");

#[derive(Clone, PartialEq, Message)]
pub(super) struct GasPriceRequest {
    #[prost(string, tag = "1")]
    pub(super) denom: String,
}

cosmos_query!(GasPriceRequest => CoinAnswer, "/feemarket.feemarket.v1.Query/GasPrice");

#[derive(Clone, PartialEq, Message)]
pub(super) struct SimulateRequest {
    #[prost(bytes = "vec", tag = "2")]
    pub(super) tx_bytes: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SimulateAnswer {
    #[prost(message, optional, tag = "1")]
    pub(super) gas_info: Option<GasInfoMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GasInfoMessage {
    #[prost(uint64, tag = "2")]
    pub(super) gas_used: u64,
}

cosmos_query!(SimulateRequest => SimulateAnswer, "/cosmos.tx.v1beta1.Service/Simulate");
