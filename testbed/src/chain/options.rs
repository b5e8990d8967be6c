//! How a chain is played: how many nodes, when blocks come, and what each node shows of it.

use std::sync::Arc;
use std::time::Duration;

use super::genesis::Genesis;

/// Unix milliseconds.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How blocks come.
#[derive(Clone)]
pub struct Options {
    pub genesis: Genesis,
    /// Nodes of the chain, each with a JSON-RPC and a gRPC address.
    pub nodes: usize,
    /// A block each time this has passed; `None`: only when a test asks for one.
    pub every: Option<Duration>,
    /// Block time, and with it the clock of every node; `None` counts from the genesis, and a node's clock shows the newest block's
    /// time. So a block may come each 20 ms and be five minutes after the one before, as `block_ms` of the genesis says.
    pub now: Option<Now>,
    /// JSON-RPC ports of the nodes, gRPC ports after them; missing ones are any that are free.
    pub ports: Vec<u16>,
}

impl Options {
    /// One node, and a block when the test asks for one.
    #[must_use]
    pub fn by_hand(genesis: Genesis) -> Self {
        Self { genesis, nodes: 1, every: None, now: None, ports: Vec::new() }
    }

    /// One node, and a block each time this has passed.
    #[must_use]
    pub fn automatic(genesis: Genesis, every: Duration) -> Self {
        Self { every: Some(every), ..Self::by_hand(genesis) }
    }
}

/// What a node shows of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Blocks that it is behind.
    pub lag: i64,
    /// It has seen no block above this one.
    pub stuck_at: Option<i64>,
    pub catching_up: bool,
    /// It is a node of another chain.
    pub chain_id: Option<String>,
    /// What it says its height is, whatever it has.
    pub claimed_height: Option<i64>,
    /// Transactions can be asked for by their hash.
    pub has_tx_index: bool,
    /// The services of transactions and of CometBFT are among its queries.
    pub has_services: bool,
    /// How often a transaction is not found after its block.
    pub index_lag: u32,
    /// By how much the clock in its answers' header `Date` is ahead, in milliseconds; `None`: there is no such header.
    pub date_skew_ms: Option<i64>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            lag: 0,
            stuck_at: None,
            catching_up: false,
            chain_id: None,
            claimed_height: None,
            has_tx_index: true,
            has_services: true,
            index_lag: 0,
            date_skew_ms: Some(0),
        }
    }
}
