//! What really happened on the chain, for a test that judges what a client says happened.

use std::collections::BTreeMap;

use serde::Serialize;

use super::event::Event;
use super::refusal::Refusal;
use super::state::{Account, StoredInference};

/// What a transaction was for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Purpose {
    Submission {
        topic: u64,
        nonce: i64,
        worker: String,
    },
    Registration {
        topic: u64,
    },
    /// Bytes that the chain could not read.
    Unreadable,
}

/// What a transaction changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Effect {
    Registered { topic: u64, worker: String },
    Inference { topic: u64, nonce: i64, worker: String, values: Vec<String>, admission: Admission },
    Forecast { topic: u64, nonce: i64, worker: String },
}

/// What became of an inference in its block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Admission {
    Admitted,
    /// Admitted in the place of this worker.
    Evicting(String),
    NotAdmitted,
}

/// A transaction in a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Included {
    pub height: i64,
    pub time_ms: i64,
    pub index: usize,
    pub hash: String,
    pub payer: String,
    pub sequence: u64,
    pub purpose: Purpose,
    /// What was taken, in uallo; 0 when the transaction failed before its message.
    pub fee: u128,
    pub gas_wanted: u64,
    pub gas_used: u64,
    /// `None` when it succeeded.
    pub refusal: Option<Refusal>,
    pub effect: Option<Effect>,
    pub events: Vec<Event>,
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// Bytes that came to a node for its mempool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broadcast {
    pub node: usize,
    /// The height that the chain had.
    pub height: i64,
    pub hash: String,
    /// Empty when the bytes could not be read, as are the two below.
    pub payer: String,
    pub sequence: Option<u64>,
    pub purpose: Purpose,
    pub reception: Reception,
}

/// What a node says to bytes for its mempool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Reception {
    /// CheckTx has code 0.
    Accepted,
    /// CheckTx has another code.
    Refused(Refusal),
    /// CometBFT refuses before it asks the chain; the code is the one that gRPC has for it.
    NotAsked(Refusal),
}

/// A transaction that was in the mempool and left it without a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dropped {
    pub hash: String,
    pub height: i64,
    pub why: String,
}

/// All transactions for one nonce.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission<'a> {
    pub included: Vec<&'a Included>,
    pub fees: u128,
    /// Those of them that paid, whatever became of them.
    pub paid: usize,
    /// Those of them that succeeded.
    pub effects: usize,
    /// What the chain keeps of it once the window has closed.
    pub stored: Option<&'a StoredInference>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Truth {
    pub chain_id: String,
    pub height: i64,
    pub time_ms: i64,
    pub accounts: BTreeMap<String, Account>,
    /// In the order of the chain.
    pub included: Vec<Included>,
    /// In the order in which they came.
    pub broadcasts: Vec<Broadcast>,
    pub dropped: Vec<Dropped>,
    /// Hashes in the mempool.
    pub pending: Vec<String>,
    /// Inferences of closed windows that are not pruned.
    pub stored: Vec<StoredInference>,
    /// Topic, nonce and worker of the inferences in open windows.
    pub live: Vec<(u64, i64, String)>,
}

impl Truth {
    /// Transactions that this account sent.
    #[must_use]
    pub fn of(&self, payer: &str) -> Vec<&Included> {
        self.included.iter().filter(|tx| tx.payer == payer).collect()
    }

    /// What this account paid for gas, in uallo.
    #[must_use]
    pub fn fees(&self, payer: &str) -> u128 {
        self.of(payer).iter().map(|tx| tx.fee).sum()
    }

    /// What became of a worker's submission for a nonce.
    #[must_use]
    pub fn submission(&self, worker: &str, topic: u64, nonce: i64) -> Submission<'_> {
        let purpose = Purpose::Submission { topic, nonce, worker: worker.to_owned() };
        let included: Vec<&Included> = self.included.iter().filter(|tx| tx.purpose == purpose).collect();
        let is_it = |kept: &&StoredInference| kept.topic == topic && kept.nonce == nonce && kept.worker == worker;
        Submission {
            fees: included.iter().map(|tx| tx.fee).sum(),
            paid: included.iter().filter(|tx| tx.fee > 0).count(),
            effects: included.iter().filter(|tx| tx.effect.is_some()).count(),
            stored: self.stored.iter().find(is_it),
            included,
        }
    }

    /// Sequences that this account has used, with the transaction of each, in the order of the chain.
    #[must_use]
    pub fn sequences(&self, payer: &str) -> Vec<(u64, &str)> {
        let consumed = |tx: &&&Included| tx.fee > 0;
        self.of(payer).iter().filter(consumed).map(|tx| (tx.sequence, tx.hash.as_str())).collect()
    }

    /// Each account and purpose that more than one fee was paid for.
    #[must_use]
    pub fn paid_twice(&self) -> Vec<(String, Purpose)> {
        self.twice(|tx| tx.fee > 0)
    }

    /// Each account and purpose that was carried out more than once.
    #[must_use]
    pub fn done_twice(&self) -> Vec<(String, Purpose)> {
        self.twice(|tx| tx.effect.is_some())
    }

    fn twice(&self, counts: impl Fn(&Included) -> bool) -> Vec<(String, Purpose)> {
        let mut times: BTreeMap<(String, Purpose), usize> = BTreeMap::new();
        for tx in self.included.iter().filter(|tx| counts(tx)) {
            *times.entry((tx.payer.clone(), tx.purpose.clone())).or_default() += 1;
        }
        times.into_iter().filter(|(_, count)| *count > 1).map(|(key, _)| key).collect()
    }
}
