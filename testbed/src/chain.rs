//! An Allora chain on loopback that judges a worker: CometBFT's JSON-RPC and the gRPC methods that the official SDK calls, for one
//! or several nodes of one chain.
//!
//! It takes nothing on trust. A transaction is read with every unknown field refused; its signature is checked over the bytes that
//! came, and the inner signature of a payload over the bytes that the chain would write: with each decimal in its canonical form.
//! Checks stand in the chain's order, so a client sees the code and the text that the real one would answer. The whole fee is
//! taken, also when the message fails. What really happened is [`Chain::truth`]; every request is in [`Chain::log`].
//!
//! Blocks come when a test asks for one, or on their own. The chain lives as long as the value: a client may be killed as often as
//! one likes, a node may go down and come up again on its address. Faults are rules, never chance: [`Fault`] and [`View`].
//!
//! What it does not play: proofs, several messages in one transaction, fee grants, reputers, the REST API and websockets. Scores
//! are all one. It shares no code with the client that it judges.

mod ante;
mod crypto;
mod decimal;
mod emissions;
mod emissions_query;
mod epochs;
mod event;
mod fault;
mod genesis;
mod grpc;
mod http;
mod options;
mod payload;
mod port;
mod proto;
mod query;
mod refusal;
mod rpc;
mod shared;
mod state;
mod strict;
mod truth;
mod tx;
mod world;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio_util::sync::CancellationToken;

pub use self::crypto::hash_of;
pub use self::decimal::{Decimal, DecimalError};
pub use self::emissions::Emissions;
pub use self::event::Event;
pub use self::fault::{Fault, FaultError, ScriptError};
pub use self::genesis::{Arity, Genesis, Rules, TopicRules, Windows};
pub use self::options::{Now, Options, View};
pub use self::refusal::Refusal;
pub use self::shared::{Asked, Hook, Transport, least_fee};
pub use self::state::{Account, Ema, StoredInference};
pub use self::truth::{Admission, Broadcast, Dropped, Effect, Included, Purpose, Reception, Submission, Truth};

use self::emissions::InputInference;
use self::fault::Scripted;
use self::port::Port;
use self::shared::Shared;
use self::state::Topic;
use self::world::World;

/// A running chain; it ends when this is dropped.
pub struct Chain {
    shared: Arc<Shared>,
    sockets: Mutex<Vec<Sockets>>,
    ends: CancellationToken,
    ticker: Option<JoinHandle<()>>,
}

/// A node's ports, and its servers while it is up.
struct Sockets {
    rpc: Port,
    grpc: Port,
    servers: Option<(http::Server, grpc::Server)>,
}

impl Sockets {
    /// Listens on the node's ports.
    fn up(&mut self, shared: &Arc<Shared>, node: usize) -> io::Result<()> {
        let rpc = http::Server::start(Arc::clone(shared), node, self.rpc.address())?;
        let grpc = grpc::Server::start(Arc::clone(shared), node, self.grpc.address())?;
        self.servers = Some((rpc, grpc));
        Ok(())
    }
}

impl Chain {
    /// # Errors
    /// When the system has no port or no thread for it.
    pub fn start(options: Options) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(World::new(&options.genesis, options.nodes), options.now));
        let port = |index: usize| options.ports.get(index).copied().unwrap_or(0);
        let mut sockets = Vec::new();
        for node in 0..options.nodes {
            let (rpc, grpc) = (Port::reserve(port(node))?, Port::reserve(port(options.nodes + node))?);
            let mut own = Sockets { rpc, grpc, servers: None };
            own.up(&shared, node)?;
            sockets.push(own);
        }
        let ends = CancellationToken::new();
        let ticker = options.every.map(|every| {
            let (shared, ends) = (Arc::clone(&shared), ends.clone());
            thread::spawn(move || {
                let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
                runtime.block_on(async {
                    while tokio::time::timeout(every, ends.cancelled()).await.is_err() {
                        shared.block();
                    }
                });
            })
        });
        Ok(Self { shared, sockets: Mutex::new(sockets), ends, ticker })
    }

    fn sockets(&self) -> MutexGuard<'_, Vec<Sockets>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a node answers JSON-RPC, for example `http://127.0.0.1:26657`.
    #[must_use]
    pub fn rpc_url(&self, node: usize) -> String {
        format!("http://{}", self.rpc_address(node))
    }

    #[must_use]
    pub fn rpc_address(&self, node: usize) -> SocketAddr {
        self.sockets()[node].rpc.address()
    }

    /// Where a node answers gRPC, in the SDK's form: `grpc+http://127.0.0.1:9090`.
    #[must_use]
    pub fn grpc_url(&self, node: usize) -> String {
        format!("grpc+http://{}", self.grpc_address(node))
    }

    #[must_use]
    pub fn grpc_address(&self, node: usize) -> SocketAddr {
        self.sockets()[node].grpc.address()
    }

    /// Makes a block; returns its height.
    pub fn block(&self) -> i64 {
        self.shared.block()
    }

    /// Makes blocks up to this height.
    pub fn blocks_to(&self, height: i64) {
        while self.height() < height {
            self.block();
        }
    }

    #[must_use]
    pub fn height(&self) -> i64 {
        self.shared.world().state.height
    }

    /// Replaces the faults of a node by these, in the form `METHOD:FAULT[=VALUE][@N[-M]]`; the first one for a request decides.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn script(&self, node: usize, faults: &[&str]) -> Result<(), ScriptError> {
        let script = faults.iter().map(|text| text.parse::<Scripted>()).collect::<Result<_, _>>()?;
        self.shared.world().nodes[node].script = script;
        Ok(())
    }

    /// Changes what a node shows.
    pub fn view(&self, node: usize, change: impl FnOnce(&mut View)) {
        change(&mut self.shared.world().nodes[node].view);
    }

    /// Ends a node's sockets and all of their connections. Pending transactions stay while another node is up.
    pub fn down(&self, node: usize) {
        let servers = self.sockets()[node].servers.take();
        drop(servers);
        let mut world = self.shared.world();
        world.nodes[node].is_up = false;
        world.nodes[node].cache.clear();
        if world.nodes.iter().all(|node| !node.is_up) {
            world.evict("no node is up");
        }
    }

    /// Starts a node's sockets again, on its addresses.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn up(&self, node: usize) -> io::Result<()> {
        let mut sockets = self.sockets();
        if sockets[node].servers.is_none() {
            sockets[node].up(&self.shared, node)?;
            self.shared.world().nodes[node].is_up = true;
        }
        Ok(())
    }

    /// Ends a node and starts it again: it forgets which transactions it has seen.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn restart(&self, node: usize) -> io::Result<()> {
        self.down(node);
        self.up(node)
    }

    /// Lets all pending transactions vanish; returns how many there were.
    pub fn evict(&self) -> usize {
        self.shared.world().evict("evicted")
    }

    /// Lets the next blocks be without transactions, which wait in the mempool.
    pub fn hold(&self, blocks: u64) {
        self.shared.world().held = blocks;
    }

    /// From the block of this height on, the chain's program has version 10 of the emissions module.
    pub fn upgrade_at(&self, height: i64) {
        self.shared.world().upgrade_at = Some(height);
    }

    /// Changes the rules of the chain from the next request on, the price of gas for example.
    pub fn rules(&self, change: impl FnOnce(&mut Rules)) {
        self.shared.world().edit(|state| change(&mut state.rules));
    }

    /// Changes the rules of a topic from the next request on.
    pub fn topic(&self, topic: u64, change: impl FnOnce(&mut TopicRules)) {
        self.edit_topic(topic, |topic| change(&mut topic.rules));
    }

    /// Gives an account so many uallo, and makes it when there is none.
    pub fn fund(&self, address: &str, amount: u128) {
        self.shared.world().edit(|state| state.fund(address, amount));
    }

    /// Sets the balance of an account that there is.
    pub fn set_balance(&self, address: &str, balance: u128) {
        self.edit_account(address, |account| account.balance = balance);
    }

    /// Sets the sequence of an account that there is, as another user of the wallet would.
    pub fn set_sequence(&self, address: &str, sequence: u64) {
        self.edit_account(address, |account| account.sequence = sequence);
    }

    pub fn register(&self, topic: u64, address: &str) {
        self.edit_topic(topic, |topic| {
            topic.registered.insert(address.to_owned());
        });
    }

    /// Sets a worker's score.
    pub fn set_ema(&self, topic: u64, worker: &str, ema: Ema) {
        self.edit_topic(topic, |topic| {
            topic.ema.insert(worker.to_owned(), ema);
        });
    }

    /// Another worker, with this score, submits for a nonce without a transaction. Returns what became of it.
    ///
    /// # Errors
    /// As a transaction would be refused.
    pub fn rival(&self, topic: u64, nonce: i64, worker: &str, value: &str, score: f64) -> Result<Admission, Refusal> {
        let mut result = Err(Refusal::emissions(6, "invalid topic ID"));
        self.shared.world().edit(|state| {
            let active_max = state.rules.active_set_max;
            if let Some(topic) = state.topics.get_mut(&topic) {
                topic.ema.insert(worker.to_owned(), Ema { block_height: 0, score });
                let inference = InputInference {
                    topic_id: topic.id,
                    block_height: nonce,
                    inferer: worker.to_owned(),
                    value: value.to_owned(),
                    ..InputInference::default()
                };
                result = payload::admit(topic, active_max, nonce, worker, inference);
            }
        });
        result
    }

    fn edit_topic(&self, topic: u64, change: impl FnOnce(&mut Topic)) {
        self.shared.world().edit(|state| {
            if let Some(topic) = state.topics.get_mut(&topic) {
                change(topic);
            }
        });
    }

    fn edit_account(&self, address: &str, change: impl FnOnce(&mut Account)) {
        self.shared.world().edit(|state| {
            if let Some(account) = state.accounts.get_mut(address) {
                change(account);
            }
        });
    }

    /// Hands bytes to a node's mempool without a socket.
    pub fn submit(&self, node: usize, transaction: &[u8]) -> Broadcast {
        self.shared.world().broadcast(node, transaction, None)
    }

    /// What really happened.
    #[must_use]
    pub fn truth(&self) -> Truth {
        self.shared.world().truth()
    }

    /// How often a worker's inference was kept when its window closed, by the chain's own count.
    #[must_use]
    pub fn inclusions(&self, topic: u64, worker: &str) -> u64 {
        let world = self.shared.world();
        world.state.topics.get(&topic).and_then(|topic| topic.inclusions.get(worker).copied()).unwrap_or_default()
    }

    /// All requests in the order in which they came.
    #[must_use]
    pub fn log(&self) -> Vec<Asked> {
        self.shared.log()
    }

    /// Calls this for each request from now on, after it was done and before it is answered: the moment to kill a client.
    pub fn watch(&self, hook: impl Fn(&Asked) + Send + Sync + 'static) {
        self.shared.watch(Some(Arc::new(hook)));
    }

    /// Ends what [`Chain::watch`] began.
    pub fn unwatch(&self) {
        self.shared.watch(None);
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.ends.cancel();
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
    }
}
