//! A chain, and a broadcaster that lives beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sentinel::http::{Deadline, Url};
use sentinel::system::{SystemChance, WallClock};
use sentinel::venues::allora::broadcaster::{Broadcaster, Message, OpenError, Outcome, Pace, Parts, Receipt, Request};
use sentinel::venues::allora::client::Client;
use sentinel::venues::allora::decimal::Dec;
use sentinel::venues::allora::endpoints::EndpointSettings;
use sentinel::venues::allora::fees::FeeCaps;
use sentinel::venues::allora::health::CoolDown;
use sentinel::venues::allora::signing::WorkerData;
use sentinel::venues::allora::wallet::Wallet;
use sentinel_actors::ports::{Clock as _, FaultInjector, NoFaults, elapsed_now};
use sentinel_testbed::chain::{Chain, Genesis, Options, Truth};

/// A public test mnemonic, which everyone knows.
const MNEMONIC: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
pub const TOPIC: u64 = 67;
/// Far more than any test costs.
pub const RICH: u128 = 1_000_000_000_000;
pub const SOON: Duration = Duration::from_secs(20);
/// What the default price asks for.
pub const CAPS: FeeCaps = FeeCaps { per_transaction: 20_000_000, per_day: 1_000_000_000, registration: 1_000 };

/// Each test has a chain of its own, by name too: a wallet is locked per chain.
fn next_chain_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("localnet-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn wallet() -> Wallet {
    Wallet::parse(MNEMONIC).unwrap()
}

pub fn address() -> String {
    wallet().address().to_string()
}

pub fn until(allowed: Duration) -> Deadline {
    Deadline::of(allowed, elapsed_now())
}

/// A chain with blocks of its own accord, and the state directory of its user.
pub struct Site {
    pub chain: Chain,
    pub chain_id: String,
    pub dir: tempfile::TempDir,
    pub caps: FeeCaps,
    pub faults: Arc<dyn FaultInjector>,
    nodes: usize,
}

impl Site {
    /// One node, a rich and registered worker, and a block every 20 ms.
    pub fn new() -> Self {
        Self::with(1, Some(Duration::from_millis(20)), |_| {})
    }

    pub fn by_hand() -> Self {
        Self::with(1, None, |_| {})
    }

    pub fn with(nodes: usize, every: Option<Duration>, change: impl FnOnce(&mut Genesis)) -> Self {
        let chain_id = next_chain_id();
        let mut genesis = Genesis { chain_id: chain_id.clone(), ..Genesis::with_balance(&address(), RICH) };
        let topic = genesis.topics.get_mut(&TOPIC).unwrap();
        (topic.epoch_length, topic.window, topic.epoch_last_ended) = (1_000, 500, 1);
        topic.registered.push(address());
        genesis.height = 990;
        change(&mut genesis);
        let now = Arc::new(|| WallClock.now().0);
        let chain = Chain::start(Options { nodes, every, now: Some(now), ..Options::by_hand(genesis) }).unwrap();
        // The window of nonce 1001 is open.
        chain.blocks_to(1_002);
        let dir = tempfile::tempdir().unwrap();
        Self { chain, chain_id, dir, caps: CAPS, faults: Arc::new(NoFaults), nodes }
    }

    pub fn client(&self) -> Arc<Client> {
        let rpc = (0..self.nodes).map(|node| Url::parse(&self.chain.rpc_url(node)).unwrap()).collect();
        let settings = EndpointSettings {
            chain_id: self.chain_id.clone(),
            rpc,
            call_max: Duration::from_secs(5),
            stale_after: Duration::from_secs(60),
            survey_every: Duration::from_millis(20),
            cool_down: CoolDown { first: Duration::from_millis(20), max: Duration::from_millis(100) },
        };
        Arc::new(Client::new(settings, None, Arc::new(WallClock), Arc::new(SystemChance)).unwrap())
    }

    pub fn open(&self) -> Result<Broadcaster, OpenError> {
        Broadcaster::open(Parts {
            client: self.client(),
            wallet: wallet(),
            state_dir: self.dir.path(),
            caps: self.caps,
            pace: Pace { look: Duration::from_millis(10), refresh: Duration::from_millis(50) },
            clock: Arc::new(WallClock),
            faults: self.faults.clone(),
        })
    }

    pub fn broadcaster(&self) -> Broadcaster {
        self.open().unwrap()
    }

    pub fn truth(&self) -> Truth {
        self.chain.truth()
    }

    /// What the chain has of each broadcast: how often it came, and what was said.
    pub fn offers(&self) -> Vec<(String, String)> {
        let said = |broadcast: &sentinel_testbed::chain::Broadcast| format!("{:?}", broadcast.reception);
        self.truth().broadcasts.iter().map(|broadcast| (broadcast.hash.clone(), said(broadcast))).collect()
    }
}

/// The inference of the window that is open.
pub fn inference() -> WorkerData {
    WorkerData::of_value(TOPIC, 1_001, Dec::parse("-0.0381357").unwrap())
}

/// A submission of it that is of use for the next 400 blocks.
pub fn submission(data: &WorkerData) -> Request<'_> {
    Request { key: "topic 67, nonce 1001", message: Message::Worker(data), last_height: 1_400 }
}

#[track_caller]
pub fn included(outcome: Outcome) -> Receipt {
    match outcome {
        Outcome::Included(receipt) => receipt,
        other => panic!("not included: {other:?}"),
    }
}
