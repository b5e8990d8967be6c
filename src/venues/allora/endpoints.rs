//! Several endpoints of one chain as one: who is asked, who is believed, and what is certain when some of them do not answer.
//!
//! Every operation ends by its deadline, and one endpoint may take only a part of it, so that another can still be asked. An
//! answer about what may have an effect is never made up: a broadcast without an answer is [`Broadcast::ReplyLost`], also when
//! another endpoint refuses the same bytes afterwards.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::errors::{Class, Stage};
use super::health::{LAG_BLOCKS_MAX, Trouble};
use super::pool::Node;
pub use super::pool::{EndpointHealth, EndpointSettings, Endpoints, TipObserver};
use super::rpc::{Block, BlockResults, CheckTx, Delivered, Header, Lookup, QueryAnswer, RpcError};
use super::signing::TxHash;
use crate::http::Deadline;

/// Why the endpoints together have no answer. Each text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointsError {
    #[error("no endpoint of the chain {chain_id} can be used: {}", listed(endpoints))]
    NoneUsable {
        chain_id: String,
        /// Each with its trouble.
        endpoints: Vec<(String, Trouble)>,
    },
    #[error("no endpoint has answered: {}", listed(endpoints))]
    NoneAnswered {
        /// Each with its error.
        endpoints: Vec<(String, RpcError)>,
    },
    /// Neither the one with the greatest height nor two that agree.
    #[error("the endpoints do not agree, and which one is right cannot be told: {}", listed(answers))]
    Disagree {
        /// Each with the height of its answer.
        answers: Vec<(String, AtBlock)>,
    },
}

/// "block 17".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtBlock(pub u64);

impl fmt::Display for AtBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "as of block {}", self.0)
    }
}

fn listed<T: fmt::Display>(endpoints: &[(String, T)]) -> String {
    endpoints.iter().map(|(name, what)| format!("{name}: {what}")).collect::<Vec<_>>().join("; ")
}

/// What is known after bytes were offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broadcast {
    /// A node has said what it thinks of them, and no other one can have them.
    Answered { endpoint: String, answer: CheckTx, class: Class },
    /// At least one node may have taken them. What others said afterwards is no proof of the contrary.
    ReplyLost {
        /// Those without an answer, with the reason.
        lost: Vec<(String, RpcError)>,
        /// What another one has refused them with.
        refusal: Option<CheckTx>,
    },
    /// They have reached no node.
    NotSent(Vec<(String, RpcError)>),
}

/// Where a transaction is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxFate {
    /// In a block.
    Found { endpoint: String, transaction: Delivered },
    /// Those that looked did not find it.
    NotFound {
        /// Each with the height that it had before it looked. An index may be behind by some blocks.
        looked: Vec<(String, u64)>,
        /// Those that could not look, with the reason.
        silent: Vec<(String, String)>,
    },
}

impl Endpoints {
    /// A query's answer from the endpoint with the greatest height that gives one. One that `lacks` what is asked for is passed
    /// over for those that have it.
    ///
    /// # Errors
    /// When no endpoint answers.
    pub async fn read(
        &self,
        path: &str,
        request: &[u8],
        lacks: impl Fn(&QueryAnswer) -> bool,
        until: Deadline,
    ) -> Result<QueryAnswer, EndpointsError> {
        let (mut failed, mut lacking) = (Vec::new(), None);
        for node in self.usable(until).await?.1 {
            match self.ask(&node, |until| node.rpc.abci_query(path, request, until), until).await {
                Ok(answer) if lacks(&answer) => lacking = Some(answer),
                Ok(answer) => return Ok(answer),
                Err(error) => failed.push((node.name(), error)),
            }
        }
        lacking.ok_or(EndpointsError::NoneAnswered { endpoints: failed })
    }

    /// A query's answer that can be acted on: from the endpoint with the greatest height, or from two that agree.
    ///
    /// # Errors
    /// When no endpoint answers, or which answer is right cannot be told.
    pub async fn read_agreed(
        &self,
        path: &str,
        request: &[u8],
        until: Deadline,
    ) -> Result<QueryAnswer, EndpointsError> {
        let (tip, nodes) = self.usable(until).await?;
        let endpoints = nodes.len();
        let (path, request): (Arc<str>, Arc<[u8]>) = (path.into(), request.into());
        let call = move |node: Arc<Node>, until| {
            let (path, request) = (path.clone(), request.clone());
            async move { node.rpc.abci_query(&path, &request, until).await }
        };
        let (mut answers, mut failed) = (Vec::new(), Vec::new());
        for (node, answer) in self.ask_all(nodes, call, until).await {
            match answer {
                Ok(answer) => answers.push((node.name(), at_block(&node, answer))),
                Err(error) => failed.push((node.name(), error)),
            }
        }
        if answers.is_empty() {
            return Err(EndpointsError::NoneAnswered { endpoints: failed });
        }
        agreed(&answers, tip.height, endpoints == 1).cloned().ok_or_else(|| EndpointsError::Disagree {
            answers: answers.into_iter().map(|(name, answer)| (name, AtBlock(answer.height))).collect(),
        })
    }

    /// Offers a signed transaction to one endpoint, and the same bytes to the next one when there is no answer or its mempool
    /// is full. Nothing is waited for beyond that.
    ///
    /// # Errors
    /// When no endpoint can be used; nothing was sent then.
    pub async fn broadcast(&self, transaction: &[u8], until: Deadline) -> Result<Broadcast, EndpointsError> {
        let (mut lost, mut unsent, mut refusal) = (Vec::new(), Vec::new(), None);
        for node in self.usable(until).await?.1 {
            let offer = |until| node.rpc.broadcast_tx_sync(transaction, until);
            let answer = match self.ask(&node, offer, until).await {
                Ok(answer) => answer,
                Err(error) => {
                    let list = if error.has_not_arrived() { &mut unsent } else { &mut lost };
                    list.push((node.name(), error));
                    continue;
                }
            };
            let class = Class::of(Stage::Check, &answer.codespace, answer.code, &answer.log);
            let is_taken = matches!(class, Class::Success | Class::InMempool);
            if is_taken || lost.is_empty() && class != Class::MempoolFull {
                return Ok(Broadcast::Answered { endpoint: node.name(), answer, class });
            }
            refusal = Some((node.name(), answer, class));
            if class != Class::MempoolFull {
                break;
            }
        }
        Ok(match refusal {
            _ if !lost.is_empty() => Broadcast::ReplyLost { lost, refusal: refusal.map(|(_, answer, _)| answer) },
            Some((endpoint, answer, class)) => Broadcast::Answered { endpoint, answer, class },
            None => Broadcast::NotSent(unsent),
        })
    }

    /// Looks a transaction up at every endpoint that can be used.
    ///
    /// # Errors
    /// When none can be used.
    pub async fn tx(&self, hash: TxHash, until: Deadline) -> Result<TxFate, EndpointsError> {
        let nodes = self.usable(until).await?.1;
        let call = move |node: Arc<Node>, until| async move {
            // Before looking: what it finds or does not find is then at least of this height.
            let height = node.rpc.status(until).await?.height;
            Ok((height, node.rpc.tx(hash, until).await?))
        };
        let (mut looked, mut silent) = (Vec::new(), Vec::new());
        for (node, answer) in self.ask_all(nodes, call, until).await {
            match answer {
                Ok((_, Lookup::Found(transaction))) => return Ok(TxFate::Found { endpoint: node.name(), transaction }),
                Ok((height, Lookup::NotFound)) => looked.push((node.name(), height)),
                Ok((_, Lookup::NoIndex)) => {
                    node.has_no_index();
                    silent.push((node.name(), "it keeps no index of transactions".to_owned()));
                }
                Err(error) => silent.push((node.name(), error.to_string())),
            }
        }
        Ok(TxFate::NotFound { looked, silent })
    }

    /// Looks for a transaction in committed blocks, for endpoints without an index. `None` is a proof that it is in none of
    /// them.
    ///
    /// # Errors
    /// When one of the blocks cannot be had, for example because it is not committed yet, or when there are no results of the one that
    /// has it.
    pub async fn tx_in_blocks(
        &self,
        hash: TxHash,
        heights: RangeInclusive<u64>,
        until: Deadline,
    ) -> Result<Option<Delivered>, EndpointsError> {
        for height in heights {
            let block = self.block(height, until).await?;
            let Some(at) = block.transactions.iter().position(|bytes| TxHash::of(bytes) == hash) else { continue };
            let results = self.block_results(height, until).await?;
            // It is there, whatever a node without results says: that is no proof of the contrary.
            let missing =
                || RpcError::Unreadable(format!("block {height} has the transaction, and its results do not"));
            return match results.transactions.into_iter().nth(at) {
                Some(delivered) => Ok(Some(delivered)),
                None => Err(EndpointsError::NoneAnswered { endpoints: vec![("block_results".to_owned(), missing())] }),
            };
        }
        Ok(None)
    }

    /// The header of a committed block: when it was, above all.
    ///
    /// # Errors
    /// When no endpoint has it.
    pub async fn header(&self, height: u64, until: Deadline) -> Result<Header, EndpointsError> {
        self.first(move |node, until| async move { node.rpc.header(height, until).await }, until).await
    }

    /// A committed block.
    ///
    /// # Errors
    /// When no endpoint has it.
    pub async fn block(&self, height: u64, until: Deadline) -> Result<Block, EndpointsError> {
        self.first(move |node, until| async move { node.rpc.block(height, until).await }, until).await
    }

    /// What a committed block has done.
    ///
    /// # Errors
    /// When no endpoint has it.
    pub async fn block_results(&self, height: u64, until: Deadline) -> Result<BlockResults, EndpointsError> {
        self.first(move |node, until| async move { node.rpc.block_results(height, until).await }, until).await
    }
}

/// A failed query says no height; it is then that of the endpoint.
fn at_block(node: &Node, mut answer: QueryAnswer) -> QueryAnswer {
    if answer.height == 0 {
        answer.height = node.height();
    }
    answer
}

/// The answer with the greatest height, when nobody with that height says anything else and it is the tip's or there is no other
/// endpoint; else one that two agree on.
fn agreed(answers: &[(String, QueryAnswer)], tip: u64, is_only_one: bool) -> Option<&QueryAnswer> {
    // What one refuses and others answer is that one's trouble.
    let has_answer = answers.iter().any(|(_, answer)| answer.code == 0);
    let is_answer = move |one: &&QueryAnswer| !has_answer || one.code == 0;
    let plausible = || {
        let answers = answers.iter().map(|(_, answer)| answer).filter(is_answer);
        answers.filter(|one| one.height <= tip.saturating_add(LAG_BLOCKS_MAX))
    };
    let is_same = |one: &QueryAnswer, other: &QueryAnswer| (one.code, &one.value) == (other.code, &other.value);
    let top = plausible().map(|answer| answer.height).max()?;
    let newest = plausible().find(|answer| answer.height == top)?;
    let is_newest = top >= tip || is_only_one;
    if is_newest && plausible().filter(|answer| answer.height == top).all(|answer| is_same(answer, newest)) {
        return Some(newest);
    }
    let has_second = |one: &&QueryAnswer| plausible().filter(|other| is_same(one, other)).count() > 1;
    plausible().filter(has_second).max_by_key(|answer| answer.height)
}
