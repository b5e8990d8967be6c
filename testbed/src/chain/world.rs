//! The chain itself: its committed state, the state that checks are made on, the mempool and the blocks. It knows nothing of
//! sockets; a test could drive it alone.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::ante::{Mode, Paid, ante, out_of_gas};
use super::crypto::hash_of;
use super::emissions::Emissions;
use super::epochs::end_block;
use super::event::Event;
use super::fault::Scripted;
use super::genesis::Genesis;
use super::options::View;
use super::payload::execute;
use super::refusal::Refusal;
use super::state::State;
use super::truth::{Broadcast, Dropped, Effect, Included, Purpose, Reception, Truth};
use super::tx::{Command, Tx};

/// How many states are kept, for nodes that lag and for queries at a height.
const STATES_KEPT: i64 = 512;

/// A node as the chain sees it: what it shows, and which bytes it remembers.
#[derive(Default)]
pub(super) struct Node {
    pub(super) view: View,
    pub(super) script: Vec<Scripted>,
    pub(super) cache: HashSet<String>,
    /// How often each transaction was asked for after its block.
    pub(super) asked: HashMap<String, u32>,
    pub(super) is_up: bool,
}

pub(super) struct Pending {
    pub(super) hash: String,
    pub(super) bytes: Vec<u8>,
}

pub(super) struct Block {
    pub(super) height: i64,
    pub(super) time_ms: i64,
    /// Indices of `World::included`.
    pub(super) transactions: Vec<usize>,
    pub(super) events: Vec<Event>,
}

pub(super) struct World {
    pub(super) state: Arc<State>,
    check: State,
    states: BTreeMap<i64, Arc<State>>,
    pub(super) first_height: i64,
    block_ms: i64,
    pub(super) blocks: BTreeMap<i64, Block>,
    pub(super) included: Vec<Included>,
    pub(super) mempool: VecDeque<Pending>,
    broadcasts: Vec<Broadcast>,
    dropped: Vec<Dropped>,
    pub(super) nodes: Vec<Node>,
    /// Blocks that will take no transaction.
    pub(super) held: u64,
    pub(super) upgrade_at: Option<i64>,
}

impl World {
    pub(super) fn new(genesis: &Genesis, nodes: usize) -> Self {
        let state = Arc::new(State::new(genesis));
        let node = || Node { is_up: true, ..Node::default() };
        let first =
            Block { height: state.height, time_ms: state.time_ms, transactions: Vec::new(), events: Vec::new() };
        Self {
            check: State::clone(&state),
            states: BTreeMap::from([(state.height, Arc::clone(&state))]),
            first_height: state.height,
            block_ms: genesis.block_ms,
            blocks: BTreeMap::from([(state.height, first)]),
            state,
            included: Vec::new(),
            mempool: VecDeque::new(),
            broadcasts: Vec::new(),
            dropped: Vec::new(),
            nodes: (0..nodes).map(|_| node()).collect(),
            held: 0,
            upgrade_at: None,
        }
    }

    /// Makes the next block; its time is `now_ms`, or a block's time after the last one.
    pub(super) fn block(&mut self, now_ms: Option<i64>) -> i64 {
        let mut next = State::clone(&self.state);
        next.height += 1;
        let earliest = next.time_ms + 1;
        next.time_ms = now_ms.unwrap_or(next.time_ms + self.block_ms).max(earliest);
        let mut transactions = Vec::new();
        if self.held > 0 {
            self.held -= 1;
        } else {
            for (index, pending) in std::mem::take(&mut self.mempool).into_iter().enumerate() {
                let included = deliver(&mut next, index, pending.bytes);
                if included.refusal.is_some() {
                    // CometBFT forgets transactions that failed: the same bytes are checked again.
                    self.forget(&included.hash);
                }
                transactions.push(self.included.len());
                self.included.push(included);
            }
        }
        let events = end_block(&mut next);
        if self.upgrade_at.is_some_and(|at| next.height + 1 >= at) {
            next.emissions = Emissions::V10;
        }
        self.blocks.insert(next.height, Block { height: next.height, time_ms: next.time_ms, transactions, events });
        self.commit(next)
    }

    /// Takes a state as the committed one, and checks again what waits.
    fn commit(&mut self, next: State) -> i64 {
        let height = next.height;
        self.check = next.clone();
        self.state = Arc::new(next);
        self.states.insert(height, Arc::clone(&self.state));
        self.states.retain(|kept, _| *kept > height - STATES_KEPT);
        let waiting = std::mem::take(&mut self.mempool);
        for pending in waiting {
            match check(&mut self.check, &pending.bytes) {
                Ok(_) => self.mempool.push_back(pending),
                Err(refusal) => self.drop_pending(&pending.hash, &format!("checked again: {}", refusal.log)),
            }
        }
        height
    }

    /// Changes the committed state between two blocks, as no transaction could.
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut State)) {
        let mut next = State::clone(&self.state);
        change(&mut next);
        self.commit(next);
    }

    /// Bytes for the mempool of a node.
    pub(super) fn broadcast(&mut self, node: usize, bytes: &[u8], forced: Option<Reception>) -> Broadcast {
        let hash = hash_of(bytes);
        let reception = match forced {
            Some(reception) => reception,
            None => self.receive(node, &hash, bytes),
        };
        if reception == Reception::Accepted {
            self.mempool.push_back(Pending { hash: hash.clone(), bytes: bytes.to_vec() });
            for node in self.nodes.iter_mut().filter(|node| node.is_up) {
                node.cache.insert(hash.clone());
            }
        }
        let tx = Tx::decode(bytes, self.state.emissions).ok();
        let broadcast = Broadcast {
            node,
            height: self.state.height,
            hash,
            payer: tx.as_ref().and_then(|tx| tx.commands.first()).map_or("", Command::sender).to_owned(),
            sequence: tx.as_ref().and_then(|tx| tx.auth.signer_infos.first()).map(|info| info.sequence),
            purpose: tx.as_ref().map_or(Purpose::Unreadable, purpose),
            reception,
        };
        self.broadcasts.push(broadcast.clone());
        broadcast
    }

    fn receive(&mut self, node: usize, hash: &str, bytes: &[u8]) -> Reception {
        let rules = &self.state.rules;
        if bytes.len() > rules.transaction_bytes_max {
            let text = format!("Tx too large. Max size is {}, but got {}", rules.transaction_bytes_max, bytes.len());
            return Reception::NotAsked(Refusal::new("sdk", 21, text));
        }
        if self.nodes[node].cache.contains(hash) {
            return Reception::NotAsked(Refusal::new("sdk", 19, "tx already exists in cache"));
        }
        if self.mempool.len() >= rules.mempool_max {
            return Reception::NotAsked(self.full());
        }
        let checked = if self.is_plain(node) {
            check(&mut self.check, bytes)
        } else {
            let mut own = self.check_state_of(node);
            // A transaction that only this node takes for good does not reach the others.
            check(&mut own, bytes).and_then(|_| check(&mut self.check, bytes))
        };
        match checked {
            Ok(_) => Reception::Accepted,
            Err(refusal) => Reception::Refused(refusal),
        }
    }

    /// What a node says whose mempool is full.
    pub(super) fn full(&self) -> Refusal {
        let (count, most) = (self.mempool.len(), self.state.rules.mempool_max);
        let bytes: usize = self.mempool.iter().map(|pending| pending.bytes.len()).sum();
        let text =
            format!("mempool is full: number of txs {count} (max: {most}), total txs bytes {bytes} (max: 1073741824)");
        Refusal::new("sdk", 20, text)
    }

    /// What a transaction would cost and whether it would succeed, on the state that checks are made on.
    pub(super) fn simulate(&self, node: usize, bytes: &[u8]) -> Result<(u64, u64), (Refusal, u64)> {
        let mut state = self.check_state_of(node);
        let tx = Tx::decode(bytes, state.emissions).map_err(|refusal| (refusal, 0))?;
        let paid = ante(&mut state, &tx, Mode::Simulate).map_err(|refusal| (refusal, 0))?;
        let wanted = gas_limit(&tx);
        let used = paid.gas_used + message_gas(&state, &tx);
        if state.rules.simulation_is_metered && wanted > 0 && used > wanted {
            return Err((out_of_gas("WriteFlat", wanted, used), used));
        }
        match execute(&mut state, &tx.commands[0], &mut Vec::new()) {
            Ok(_) => Ok((wanted, used)),
            Err(refusal) => Err((refusal.of_message(), used)),
        }
    }

    /// The last height that a node shows.
    pub(super) fn height_of(&self, node: usize) -> i64 {
        let view = &self.nodes[node].view;
        let seen = self.state.height - view.lag;
        view.stuck_at.map_or(seen, |stuck| seen.min(stuck)).max(self.first_height)
    }

    /// The state of a node at a height; `None` when it does not have it.
    pub(super) fn state_of(&self, node: usize, height: Option<i64>) -> Option<Arc<State>> {
        let newest = self.height_of(node);
        let height = height.unwrap_or(newest);
        if height > newest {
            return None;
        }
        let state = self.states.get(&height)?;
        Some(match &self.nodes[node].view.chain_id {
            Some(chain_id) => Arc::new(State { chain_id: chain_id.clone(), ..State::clone(state) }),
            None => Arc::clone(state),
        })
    }

    fn is_plain(&self, node: usize) -> bool {
        let view = &self.nodes[node].view;
        view.chain_id.is_none() && self.height_of(node) == self.state.height
    }

    /// A node that lags still has in its mempool what is in blocks that it has not seen.
    fn check_state_of(&self, node: usize) -> State {
        let height = self.height_of(node);
        let Some(state) = self.state_of(node, None).filter(|_| !self.is_plain(node)) else {
            return self.check.clone();
        };
        let mut state = State::clone(&state);
        let unseen = self.included.iter().filter(|tx| tx.height > height).map(|tx| &tx.bytes);
        for bytes in unseen.chain(self.mempool.iter().map(|pending| &pending.bytes)) {
            let _ = check(&mut state, bytes);
        }
        state
    }

    /// Empties the mempool; returns how many transactions there were.
    pub(super) fn evict(&mut self, why: &str) -> usize {
        let all: Vec<String> = self.mempool.drain(..).map(|pending| pending.hash).collect();
        for hash in &all {
            self.drop_pending(hash, why);
        }
        self.check = State::clone(&self.state);
        all.len()
    }

    /// Takes one transaction out of the mempool.
    pub(super) fn evict_one(&mut self, hash: &str, why: &str) {
        self.mempool.retain(|pending| pending.hash != hash);
        self.drop_pending(hash, why);
        let mut check_state = State::clone(&self.state);
        self.mempool.retain(|pending| check(&mut check_state, &pending.bytes).is_ok());
        self.check = check_state;
    }

    fn drop_pending(&mut self, hash: &str, why: &str) {
        self.forget(hash);
        self.dropped.push(Dropped { hash: hash.to_owned(), height: self.state.height, why: why.to_owned() });
    }

    fn forget(&mut self, hash: &str) {
        for node in &mut self.nodes {
            node.cache.remove(hash);
        }
    }

    pub(super) fn broadcast_count(&self) -> usize {
        self.broadcasts.len()
    }

    /// The broadcast that came after so many others.
    pub(super) fn broadcast_after(&self, count: usize) -> Option<&Broadcast> {
        self.broadcasts.get(count)
    }

    pub(super) fn truth(&self) -> Truth {
        let state = &self.state;
        let stored = state.topics.values().flat_map(|topic| topic.stored.values().flatten().cloned());
        let live = state
            .topics
            .values()
            .flat_map(|topic| topic.live.keys().map(|(nonce, worker)| (topic.id, *nonce, worker.clone())));
        Truth {
            chain_id: state.chain_id.clone(),
            height: state.height,
            time_ms: state.time_ms,
            accounts: state.accounts.clone(),
            included: self.included.clone(),
            broadcasts: self.broadcasts.clone(),
            dropped: self.dropped.clone(),
            pending: self.mempool.iter().map(|pending| pending.hash.clone()).collect(),
            stored: stored.collect(),
            live: live.collect(),
        }
    }
}

fn check(state: &mut State, bytes: &[u8]) -> Result<Paid, Refusal> {
    let tx = Tx::decode(bytes, state.emissions)?;
    ante(state, &tx, Mode::Check)
}

fn gas_limit(tx: &Tx) -> u64 {
    tx.auth.fee.as_ref().map_or(0, |fee| fee.gas_limit)
}

fn message_gas(state: &State, tx: &Tx) -> u64 {
    match tx.commands.first() {
        Some(Command::Payload(..)) => state.rules.payload_gas,
        Some(Command::Register(_)) => state.rules.register_gas,
        None => 0,
    }
}

fn purpose(tx: &Tx) -> Purpose {
    match tx.commands.first() {
        Some(Command::Payload(payload, _)) => {
            let data = payload.data.clone().unwrap_or_default();
            let nonce = data.nonce.unwrap_or_default().block_height;
            Purpose::Submission { topic: data.topic_id, nonce, worker: data.worker }
        }
        Some(Command::Register(register)) => Purpose::Registration { topic: register.topic_id },
        None => Purpose::Unreadable,
    }
}

/// Carries out a transaction in a block: its fee and sequence stay also when its message fails.
fn deliver(state: &mut State, index: usize, bytes: Vec<u8>) -> Included {
    let mut included = Included {
        height: state.height,
        time_ms: state.time_ms,
        index,
        hash: hash_of(&bytes),
        payer: String::new(),
        sequence: 0,
        purpose: Purpose::Unreadable,
        fee: 0,
        gas_wanted: 0,
        gas_used: 0,
        refusal: None,
        effect: None,
        events: Vec::new(),
        bytes,
    };
    match run(state, &mut included) {
        Ok(effect) => included.effect = Some(effect),
        Err(refusal) => included.refusal = Some(refusal),
    }
    included
}

fn run(state: &mut State, included: &mut Included) -> Result<Effect, Refusal> {
    let tx = Tx::decode(&included.bytes, state.emissions)?;
    included.payer = tx.commands.first().map_or("", Command::sender).to_owned();
    included.sequence = tx.auth.signer_infos.first().map_or(0, |info| info.sequence);
    included.purpose = purpose(&tx);
    included.gas_wanted = gas_limit(&tx);
    let paid = ante(state, &tx, Mode::Deliver)?;
    included.fee = paid.fee;
    included
        .events
        .push(Event::plain("tx", &[("fee", format!("{}uallo", paid.fee)), ("fee_payer", paid.payer.clone())]));
    included.events.push(Event::plain("tx", &[("acc_seq", format!("{}/{}", paid.payer, paid.sequence))]));
    included.gas_used = paid.gas_used + message_gas(state, &tx) + state.rules.gas_beyond_simulation;
    if included.gas_used > included.gas_wanted {
        return Err(out_of_gas("WriteFlat", included.gas_wanted, included.gas_used));
    }
    let (mut after, mut events) = (state.clone(), Vec::new());
    let effect = execute(&mut after, &tx.commands[0], &mut events).map_err(Refusal::of_message)?;
    *state = after;
    included.events.extend(events);
    Ok(effect)
}

impl Block {
    /// A hash that is a block's own; nothing is proven with it.
    pub(super) fn digest(&self, chain_id: &str) -> Vec<u8> {
        Sha256::digest(format!("{chain_id}/{}", self.height)).to_vec()
    }
}
