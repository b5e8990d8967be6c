//! What the sockets of all nodes share: the world behind a lock, the log, and what a request goes through on both transports.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use super::ante::required_fee;
use super::fault::{Fault, Scripted};
use super::options::Now;
use super::truth::Reception;
use super::world::World;

/// By what prices are scaled.
const ONE: u128 = 10_u128.pow(18);

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Transport {
    JsonRpc,
    Grpc,
}

/// A request that came to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// From 1, over all nodes.
    pub number: usize,
    pub node: usize,
    pub transport: Transport,
    /// Of JSON-RPC, or the last part of a gRPC path.
    pub method: String,
    /// The last part of a query's path, else empty.
    pub query: String,
    /// The chain's height when it came.
    pub height: i64,
    /// Of the transaction that was broadcast.
    pub hash: Option<String>,
    /// What was said to that transaction.
    pub reception: Option<Reception>,
    pub fault: Option<Fault>,
}

/// Called for each request after it was done and before it is answered. It must not start, end or restart nodes.
pub type Hook = Arc<dyn Fn(&Asked) + Send + Sync>;

pub(super) struct Shared {
    world: Mutex<World>,
    log: Mutex<Vec<Asked>>,
    hook: Mutex<Option<Hook>>,
    now: Option<Now>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(world: World, now: Option<Now>) -> Self {
        Self { world: Mutex::new(world), log: Mutex::default(), hook: Mutex::default(), now }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub(super) fn log(&self) -> Vec<Asked> {
        lock(&self.log).clone()
    }

    pub(super) fn watch(&self, hook: Option<Hook>) {
        *lock(&self.hook) = hook;
    }

    pub(super) fn block(&self) -> i64 {
        let now_ms = self.now.as_ref().map(|now| now());
        self.world().block(now_ms)
    }

    /// What a node says the time is, as HTTP has it; `None`: it does not say so.
    pub(super) fn date(&self, node: usize) -> Option<String> {
        let world = self.world();
        let skew_ms = world.nodes[node].view.date_skew_ms?;
        let now_ms = self.now.as_ref().map_or(world.state.time_ms, |now| now());
        let date = Timestamp::from_millisecond(now_ms.saturating_add(skew_ms)).unwrap_or_default();
        Some(date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
    }

    /// Takes a request through its fault, its work and the log; `work` is not done when the fault says so.
    pub(super) fn handle<A>(
        &self,
        (node, transport): (usize, Transport),
        names: &[&str],
        work: impl FnOnce(&mut World, Option<&Fault>) -> (A, Option<(String, Reception)>),
    ) -> (Option<A>, Option<Fault>) {
        let mut world = self.world();
        let fault = Scripted::decide(&mut world.nodes[node].script, names);
        let height = world.state.height;
        let prevents = matches!(fault, Some(Fault::Reset | Fault::Hang | Fault::Http(..) | Fault::Html));
        let (answer, broadcast) = match prevents {
            true => (None, None),
            false => {
                let (answer, broadcast) = work(&mut world, fault.as_ref());
                (Some(answer), broadcast)
            }
        };
        match fault {
            Some(Fault::ThenPrice(price)) => world.edit(|state| state.rules.gas_price = u128::from(price) * ONE),
            Some(Fault::ThenBlocks(blocks)) => {
                for _ in 0..blocks {
                    let now_ms = self.now.as_ref().map(|now| now());
                    world.block(now_ms);
                }
            }
            _ => {}
        }
        let (hash, reception) = broadcast.unzip();
        let mut log = lock(&self.log);
        let asked = Asked {
            number: log.len() + 1,
            node,
            transport,
            method: names.first().copied().unwrap_or_default().to_owned(),
            query: names.get(1).copied().unwrap_or_default().to_owned(),
            height,
            hash,
            reception,
            fault: fault.clone(),
        };
        log.push(asked.clone());
        drop((log, world));
        let hook = lock(&self.hook).clone();
        if let Some(hook) = hook {
            hook(&asked);
        }
        (answer, fault)
    }
}

/// The least fee in uallo for so much gas at a price in uallo times 10^18.
#[must_use]
pub fn least_fee(gas_price: u128, gas: u64) -> u128 {
    required_fee(gas_price, gas)
}
