//! What the chain knows at one height: accounts and topics. A block, a check and a simulation each change a copy of their own.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::emissions::{Emissions, InputInference};
use super::genesis::{Genesis, Rules, TopicRules, Windows};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    pub number: u64,
    pub sequence: u64,
    /// In uallo.
    pub balance: u128,
    /// Known from the first transaction on.
    #[serde(skip)]
    pub public_key: Option<Vec<u8>>,
}

/// The score that admits a worker to an active set, and the nonce of its last submission that is accounted for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ema {
    pub block_height: i64,
    pub score: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenNonce {
    pub(super) height: i64,
    pub(super) opened_ms: i64,
    /// Its window is over, and it is still in the list.
    pub(super) is_stale: bool,
}

/// An inference that was in the active set when its window closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredInference {
    pub topic: u64,
    pub nonce: i64,
    pub worker: String,
    /// One canonical decimal for each label.
    pub values: Vec<String>,
    #[serde(skip)]
    pub extra_data: Vec<u8>,
    #[serde(skip)]
    pub proof: String,
}

#[derive(Debug, Clone)]
pub(super) struct Topic {
    pub(super) id: u64,
    pub(super) rules: TopicRules,
    pub(super) registered: BTreeSet<String>,
    pub(super) epoch_last_ended: i64,
    pub(super) epoch_last_ms: i64,
    /// Newest first.
    pub(super) nonces: Vec<OpenNonce>,
    /// The active sets of the open windows, by nonce and worker.
    pub(super) live: BTreeMap<(i64, String), InputInference>,
    pub(super) stored: BTreeMap<i64, Vec<StoredInference>>,
    pub(super) ema: BTreeMap<String, Ema>,
    pub(super) inclusions: BTreeMap<String, u64>,
    pub(super) scores: BTreeMap<i64, Vec<(String, f64)>>,
    pub(super) unscored: Vec<i64>,
    /// Height and nonce of the last window that closed.
    pub(super) last_commit: Option<(i64, i64)>,
    pub(super) reward_nonce: i64,
}

#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) chain_id: String,
    pub(super) emissions: Emissions,
    pub(super) height: i64,
    pub(super) time_ms: i64,
    pub(super) rules: Rules,
    pub(super) accounts: BTreeMap<String, Account>,
    pub(super) topics: BTreeMap<u64, Topic>,
    pub(super) next_account: u64,
}

impl Topic {
    fn new(id: u64, rules: &TopicRules, time_ms: i64) -> Self {
        Self {
            id,
            rules: rules.clone(),
            registered: rules.registered.iter().cloned().collect(),
            epoch_last_ended: rules.epoch_last_ended,
            epoch_last_ms: time_ms,
            nonces: Vec::new(),
            live: BTreeMap::new(),
            stored: BTreeMap::new(),
            ema: BTreeMap::new(),
            inclusions: BTreeMap::new(),
            scores: BTreeMap::new(),
            unscored: Vec::new(),
            last_commit: None,
            reward_nonce: 0,
        }
    }

    pub(super) fn may_submit(&self, address: &str) -> bool {
        self.rules.whitelist.as_ref().is_none_or(|list| list.iter().any(|known| known == address))
    }

    pub(super) fn nonce(&self, height: i64) -> Option<OpenNonce> {
        self.nonces.iter().copied().find(|nonce| nonce.height == height)
    }

    /// Whether a block of this height and time takes submissions for the nonce.
    pub(super) fn is_window_open(&self, nonce: OpenNonce, height: i64, time_ms: i64) -> bool {
        match self.rules.windows {
            Windows::Blocks => (nonce.height..=nonce.height + self.rules.window).contains(&height),
            Windows::Seconds => {
                (nonce.opened_ms..=nonce.opened_ms + self.rules.window * 1_000).contains(&time_ms) && !nonce.is_stale
            }
        }
    }

    /// Whether the end of a block of this height and time closes the nonce.
    pub(super) fn is_window_over(&self, nonce: OpenNonce, height: i64, time_ms: i64) -> bool {
        match self.rules.windows {
            Windows::Blocks => height >= nonce.height + self.rules.window,
            Windows::Seconds => time_ms >= nonce.opened_ms + self.rules.window * 1_000,
        }
    }

    pub(super) fn is_epoch_over(&self, height: i64, time_ms: i64) -> bool {
        match self.rules.windows {
            Windows::Blocks => height - self.epoch_last_ended >= self.rules.epoch_length,
            Windows::Seconds => time_ms - self.epoch_last_ms >= self.rules.epoch_length * 1_000,
        }
    }

    /// The score with which a worker asks for a place in the active set.
    pub(super) fn score_of(&self, worker: &str) -> f64 {
        self.ema.get(worker).map_or(0.0, |ema| ema.score)
    }

    /// The newest inference of a worker in the open windows.
    pub(super) fn latest(&self, worker: &str) -> Option<&InputInference> {
        self.live.iter().rev().find(|((_, known), _)| known == worker).map(|(_, inference)| inference)
    }
}

impl State {
    pub(super) fn new(genesis: &Genesis) -> Self {
        let topics = genesis.topics.iter().map(|(id, rules)| (*id, Topic::new(*id, rules, genesis.time_ms)));
        let mut state = Self {
            chain_id: genesis.chain_id.clone(),
            emissions: genesis.emissions,
            height: genesis.height,
            time_ms: genesis.time_ms,
            rules: genesis.rules.clone(),
            accounts: BTreeMap::new(),
            topics: topics.collect(),
            next_account: genesis.account_number,
        };
        for (address, balance) in &genesis.balances {
            state.fund(address, *balance);
        }
        state
    }

    /// Gives an account so much, and makes it when there is none.
    pub(super) fn fund(&mut self, address: &str, amount: u128) {
        let next = &mut self.next_account;
        let account = self.accounts.entry(address.to_owned()).or_insert_with(|| {
            *next += 1;
            Account { number: *next - 1, sequence: 0, balance: 0, public_key: None }
        });
        account.balance += amount;
    }

    /// Takes so much from an account that has it.
    pub(super) fn charge(&mut self, address: &str, amount: u128) -> bool {
        let Some(account) = self.accounts.get_mut(address) else { return false };
        let Some(left) = account.balance.checked_sub(amount) else { return false };
        account.balance = left;
        true
    }
}
