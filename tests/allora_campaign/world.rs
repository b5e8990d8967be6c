//! The chain, what goes wrong on it, and where the process keeps what it knows.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sentinel::system::WallClock;
use sentinel::venues::allora::broadcaster::Receipt;
use sentinel_actors::ports::Clock as _;
use sentinel_testbed::chain::{Chain, Genesis, Included, Options, Purpose, Truth, View};

use super::worker;

pub const TOPIC: u64 = 67;
const NODES: usize = 3;
const BLOCK: Duration = Duration::from_millis(20);
const PRICE: u128 = 10 * 10_u128.pow(18);

/// What is done to the chain.
pub const FAULTS: [&str; 16] = [
    "nothing",
    "lost reply",
    "reset",
    "hang",
    "unavailable",
    "cut short",
    "full mempool",
    "evicted",
    "price up",
    "price down",
    "index lag",
    "restart",
    "lagging node",
    "old sequence",
    "no index",
    "no simulation",
];

pub struct World {
    pub chain: Chain,
    pub chain_id: String,
    pub address: String,
    pub dir: tempfile::TempDir,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let address = worker::wallet().address().to_string();
        let chain_id = format!("campaign-{}-{seed}", std::process::id());
        let mut genesis = Genesis { chain_id: chain_id.clone(), ..Genesis::with_balance(&address, 1 << 60) };
        let topic = genesis.topics.get_mut(&TOPIC).unwrap();
        (topic.epoch_length, topic.window) = (25, 20);
        topic.registered.push(address.clone());
        let now = Arc::new(|| WallClock.now().0);
        let options = Options { nodes: NODES, every: Some(BLOCK), now: Some(now), ..Options::by_hand(genesis) };
        Self { chain: Chain::start(options).unwrap(), chain_id, address, dir: tempfile::tempdir().unwrap() }
    }

    pub fn urls(&self) -> Vec<String> {
        (0..NODES).map(|node| self.chain.rpc_url(node)).collect()
    }

    /// Keys of all submissions that a process has begun, in their order.
    pub fn keys_file(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    /// What the processes have written to their standard error.
    pub fn log_file(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    pub fn said(&self) -> String {
        let log = std::fs::read_to_string(self.log_file()).unwrap_or_default();
        let last: Vec<_> = log.lines().rev().take(30).collect();
        let mut said = String::new();
        for line in last.into_iter().rev() {
            let _ = writeln!(said, "{line}");
        }
        said
    }

    /// One thing goes wrong, or is in order again.
    pub fn disturb(&self, chance: &mut fastrand::Rng) -> &'static str {
        let what = FAULTS[chance.usize(..FAULTS.len())];
        let node = chance.usize(..NODES);
        let script = |rule: &str| self.chain.script(node, &[rule]).unwrap();
        match what {
            "lost reply" => script("broadcast_tx_sync:lost-reply@1-2"),
            "reset" => script("*:reset@1-3"),
            "hang" => script("broadcast_tx_sync:hang@1"),
            "unavailable" => script("*:http=503@1-4"),
            "cut short" => script("*:truncated@1-3"),
            "full mempool" => script("broadcast_tx_sync:full@1-2"),
            "no simulation" => script("Simulate:unknown@1-3"),
            "no index" => self.chain.view(node, |view| view.has_tx_index = false),
            "old sequence" => script("AccountInfo:old-sequence=1@1-2"),
            "evicted" => {
                self.chain.evict();
            }
            "price up" => self.chain.rules(|rules| rules.gas_price = (rules.gas_price * 3 / 2).min(PRICE * 3)),
            "price down" => self.chain.rules(|rules| rules.gas_price = PRICE),
            "index lag" => self.chain.view(node, |view| view.index_lag = 5),
            "restart" => self.chain.restart(node).unwrap(),
            "lagging node" => self.chain.view(node, |view| view.lag = 3),
            _ => self.chain.view(node, |view| *view = View::default()),
        }
        what
    }

    /// Everything is in order again.
    pub fn calm(&self) {
        for node in 0..NODES {
            self.chain.script(node, &[]).unwrap();
            self.chain.view(node, |view| *view = View::default());
        }
    }

    /// What the chain has of the submission with this key, also if it cost nothing.
    pub fn included_for<'t>(&self, truth: &'t Truth, key: &str) -> Vec<&'t Included> {
        let nonce = worker::nonce_of(key);
        let purpose = Purpose::Submission { topic: TOPIC, nonce, worker: self.address.clone() };
        truth.included.iter().filter(|tx| tx.purpose == purpose).collect()
    }
}

/// Whether a receipt says what the chain has.
pub fn is_receipt(tx: &Included, receipt: &Receipt, succeeded: bool) -> bool {
    tx.hash == receipt.hash.to_string()
        && u64::try_from(tx.height) == Ok(receipt.height)
        && tx.fee == receipt.fee_uallo
        && tx.gas_used == receipt.gas_used
        && tx.refusal.is_none() == succeeded
}
