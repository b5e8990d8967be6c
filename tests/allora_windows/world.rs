//! The chain, and where the worker keeps what it knows.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use sentinel::system::WallClock;
use sentinel_actors::ports::Clock as _;
use sentinel_testbed::chain::{Chain, Genesis, Options, Truth, View};

use super::{faults, worker};

pub const TOPIC: u64 = 67;
pub const NODES: usize = 3;
/// A window is longer than a feeder rests after a failure, five seconds.
const BLOCK: Duration = Duration::from_millis(100);
pub const WINDOW: i64 = 70;
pub const EPOCH: i64 = 80;
pub const PRICE: u128 = 10 * 10_u128.pow(18);
const FIRST_HEIGHT: i64 = 1_000;
const FIRST_NONCE: i64 = FIRST_HEIGHT + 20;

pub struct World {
    pub chain: Chain,
    pub chain_id: String,
    pub address: String,
    pub dir: tempfile::TempDir,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let address = worker::wallet().address().to_string();
        let chain_id = format!("windows-{}-{seed}", std::process::id());
        let mut genesis = Genesis { chain_id: chain_id.clone(), ..Genesis::with_balance(&address, 1 << 60) };
        genesis.height = FIRST_HEIGHT;
        genesis.emissions = faults::FIRST_VERSION;
        // So that one rival can take it.
        genesis.rules.active_set_max = 1;
        let topic = genesis.topics.get_mut(&TOPIC).unwrap();
        (topic.epoch_length, topic.window, topic.epoch_last_ended) = (EPOCH, WINDOW, FIRST_NONCE - EPOCH);
        // Nothing is scored and pruned during a campaign.
        topic.ground_truth_lag = 1_000_000;
        topic.registered.push(address.clone());
        let now = Arc::new(|| WallClock.now().0);
        genesis.time_ms = now();
        let options = Options { nodes: NODES, every: Some(BLOCK), now: Some(now), ..Options::by_hand(genesis) };
        Self { chain: Chain::start(options).unwrap(), chain_id, address, dir: tempfile::tempdir().unwrap() }
    }

    pub fn urls(&self) -> Vec<String> {
        (0..NODES).map(|node| self.chain.rpc_url(node)).collect()
    }

    /// Nonces of all windows that have opened.
    pub fn windows(&self) -> Vec<i64> {
        (FIRST_NONCE..=self.chain.height()).step_by(EPOCH as usize).collect()
    }

    /// Of the window that opens next.
    pub fn next_nonce(&self) -> i64 {
        self.windows().pop().map_or(FIRST_NONCE, |newest| newest + EPOCH)
    }

    /// Whether this worker's forecast is in the only place of an open window.
    pub fn is_live(&self, nonce: i64) -> bool {
        self.chain.truth().live.contains(&(TOPIC, nonce, self.address.clone()))
    }

    /// What really happened, and how often this worker's inferences were kept by the chain's own count then.
    pub fn truth(&self) -> (Truth, u64) {
        loop {
            let before = self.chain.inclusions(TOPIC, &self.address);
            let truth = self.chain.truth();
            if self.chain.inclusions(TOPIC, &self.address) == before {
                return (truth, before);
            }
        }
    }

    /// At which height the next request comes, after this call: that of a process that begins to work. 0: none has come.
    pub fn watch(&self) -> Arc<AtomicI64> {
        let first = Arc::new(AtomicI64::new(0));
        let seen = Arc::clone(&first);
        self.chain.watch(move |asked| {
            let _ = seen.compare_exchange(0, asked.height, Ordering::Relaxed, Ordering::Relaxed);
        });
        first
    }

    pub fn log_file(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// The end of what the processes have written to their standard error.
    pub fn said(&self) -> String {
        let log = std::fs::read_to_string(self.log_file()).unwrap_or_default();
        let last: Vec<_> = log.lines().rev().take(40).collect();
        let mut said = String::new();
        for line in last.into_iter().rev() {
            let _ = writeln!(said, "{line}");
        }
        said
    }

    #[track_caller]
    pub fn wait(&self, patience: Duration, what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < patience, "{} s without: {what}\n{}", patience.as_secs(), self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Everything is in order again.
    pub fn calm(&self) {
        self.chain.rules(|rules| rules.gas_price = PRICE);
        for node in 0..NODES {
            self.chain.script(node, &[]).unwrap();
            self.chain.view(node, |view| *view = View::default());
        }
    }
}
