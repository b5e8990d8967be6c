//! What a chain begins with, and what its rules cost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::emissions::Emissions;

/// The state of a chain before its first block. Read from JSON by the program `allora-chain`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Genesis {
    pub chain_id: String,
    /// The height that is committed at the start.
    pub height: i64,
    /// Time of that block, in Unix milliseconds.
    pub time_ms: i64,
    /// Time from block to block, in milliseconds.
    pub block_ms: i64,
    pub emissions: Emissions,
    /// Balances in uallo by address.
    pub balances: BTreeMap<String, u128>,
    /// The account number of the first address; the others follow in their order.
    pub account_number: u64,
    pub topics: BTreeMap<u64, TopicRules>,
    pub rules: Rules,
}

impl Default for Genesis {
    fn default() -> Self {
        Self {
            chain_id: "allora-testnet-1".to_owned(),
            height: 1_000,
            time_ms: 1_790_000_000_000,
            block_ms: 5_000,
            emissions: Emissions::V10,
            balances: BTreeMap::new(),
            account_number: 123_456,
            topics: BTreeMap::from([(67, TopicRules::default())]),
            rules: Rules::default(),
        }
    }
}

impl Genesis {
    /// The topic 67 and this balance in uallo of an address.
    #[must_use]
    pub fn with_balance(address: &str, balance: u128) -> Self {
        Self { balances: BTreeMap::from([(address.to_owned(), balance)]), ..Self::default() }
    }
}

/// What costs what, and how much the chain keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// uallo per gas, times 10^18.
    pub gas_price: u128,
    /// Of a transaction before its message.
    pub ante_gas: u64,
    pub gas_per_byte: u64,
    pub payload_gas: u64,
    pub register_gas: u64,
    /// What a message costs more when it is delivered than when it was simulated.
    pub gas_beyond_simulation: u64,
    /// Whether a simulation runs out of gas at the limit of its transaction.
    pub simulation_is_metered: bool,
    /// In uallo, as the one below.
    pub registration_fee: u128,
    pub data_sending_fee: u128,
    /// Bytes of a transaction, and of a message.
    pub transaction_bytes_max: usize,
    pub message_bytes_max: usize,
    /// Transactions in a mempool.
    pub mempool_max: usize,
    /// Workers whose inferences of a window are kept.
    pub active_set_max: usize,
    /// Epochs for which inferences are kept after their rewards.
    pub epochs_kept: u64,
    /// Labels of one submission to a topic of several.
    pub labels_max: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            gas_price: 10 * 10_u128.pow(18),
            ante_gas: 60_000,
            gas_per_byte: 10,
            payload_gas: 330_000,
            register_gas: 60_000,
            gas_beyond_simulation: 0,
            simulation_is_metered: true,
            registration_fee: 200,
            data_sending_fee: 10,
            transaction_bytes_max: 1_048_576,
            message_bytes_max: 1_000_000,
            mempool_max: 5_000,
            active_set_max: 32,
            epochs_kept: 6,
            labels_max: 8,
        }
    }
}

/// One label, or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arity {
    Single,
    Multi,
}

/// How a topic's windows are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Windows {
    /// Epoch and window are blocks.
    Blocks,
    /// Epoch and window are seconds of block time, as the scheduler of chain version 0.18 has it.
    Seconds,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicRules {
    pub metadata: String,
    pub is_active: bool,
    pub arity: Arity,
    /// Of a MULTI topic; empty takes any.
    pub labels: Vec<String>,
    pub windows: Windows,
    /// Blocks or seconds.
    pub epoch_length: i64,
    pub window: i64,
    /// Blocks from a nonce to its ground truth, and so to its scores.
    pub ground_truth_lag: i64,
    /// The last epoch's end at the start.
    pub epoch_last_ended: i64,
    /// Addresses that may submit; `None` when the list is off.
    pub whitelist: Option<Vec<String>>,
    pub registered: Vec<String>,
    /// Closed nonces stay in the list of unfulfilled ones.
    pub keeps_stale_nonces: bool,
}

impl Default for TopicRules {
    fn default() -> Self {
        Self {
            metadata: "BTC/USD log-return, 168 h".to_owned(),
            is_active: true,
            arity: Arity::Single,
            labels: Vec::new(),
            windows: Windows::Blocks,
            epoch_length: 20,
            window: 10,
            ground_truth_lag: 40,
            epoch_last_ended: 985,
            whitelist: None,
            registered: Vec::new(),
            keeps_stale_nonces: false,
        }
    }
}
