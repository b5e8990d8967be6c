//! What became of an inference that a block has: admitted or not, evicted, stored, scored. Each is proven from the chain's state.
//!
//! The chain shows an admitted inference only while its window is open, and a better worker may still take its place. So what counts
//! is what the chain keeps after the window has closed, and it is asked for that: who was active at its last block. An absence is
//! believed only of a state in which it had to be there. Scores come after the ground truth, about a week later at some horizons;
//! what is pruned until then is said to be.

use sentinel_actors::domain::fact::{Awaits, Fact};
use sentinel_actors::domain::intent::Intent;

use super::address::Address;
use super::chain_events::{ChainEvent, Kind};
use super::client::{Client, ClientError};
use super::endpoints::EndpointsError;
use super::queries::{At, Score, StoredInference, Topic, WindowStatus};
use super::rpc::{BlockResults, RpcError};
use super::windows::Verdict;
use crate::http::Deadline;

/// A confirmed inference, about which the chain has more to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub nonce: u64,
    pub awaits: Awaits,
    /// What was submitted, as a decimal.
    pub value: String,
    /// The block that has it, when the transaction is known.
    pub included_at: Option<u64>,
}

/// What is known about the topic at this moment.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub status: &'a WindowStatus,
    pub topic: &'a Topic,
    /// For so many epochs after its rewards an inference is kept.
    pub epochs_kept: u64,
}

/// Who asks the chain what became of one worker's inferences in one topic.
#[derive(Clone, Copy)]
pub struct Prover<'a> {
    pub client: &'a Client,
    pub worker: Address,
    pub until: Deadline,
}

/// Results of a block, when they are not pruned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Results {
    Kept(BlockResults),
    Pruned,
}

impl Claim {
    /// `None`: the intent is no submission for a nonce, or nothing more is said about it.
    #[must_use]
    pub fn of(intent: &Intent) -> Option<Self> {
        let inclusion = intent.receipt.as_ref().and_then(|receipt| receipt.inclusion());
        Some(Self {
            nonce: intent.announced_as.as_deref()?.parse().ok()?,
            awaits: intent.awaits?,
            value: intent.action.forecast()?.log_return.to_string(),
            included_at: inclusion.filter(|known| known.hash != super::worker::NO_HASH).map(|known| known.height),
        })
    }

    /// The last block of its window, as far as the topic's window has not changed.
    #[must_use]
    pub const fn end(&self, topic: &Topic) -> u64 {
        self.nonce.saturating_add(topic.window)
    }

    /// The block from which on it may have a score: scoring follows the ground truth, at the end of an epoch.
    #[must_use]
    pub fn scored_from(&self, topic: &Topic) -> u64 {
        self.nonce.saturating_add(topic.ground_truth_lag)
    }
}

impl Prover<'_> {
    /// What the chain says now; `None`: nothing yet.
    ///
    /// # Errors
    /// When the chain cannot be asked; to be asked again.
    pub async fn ask(&self, claim: &Claim, seen: Seen<'_>) -> Result<Option<Fact>, ClientError> {
        match claim.awaits {
            Awaits::Admission | Awaits::Storage => self.storage(claim, seen).await,
            Awaits::Score if seen.status.height < claim.scored_from(seen.topic) => Ok(None),
            Awaits::Score => self.score(claim, seen).await,
        }
    }

    async fn storage(&self, claim: &Claim, seen: Seen<'_>) -> Result<Option<Fact>, ClientError> {
        let (topic, nonce) = (seen.topic.id, claim.nonce);
        if seen.status.is_open && seen.status.nonce == nonce {
            return self.admission(claim, topic).await;
        }
        let At { height, value: stored } = self.client.inferences_at(topic, nonce, self.until).await?;
        let worker = self.worker.to_string();
        if let Some(own) = stored.iter().find(|inference| inference.worker == worker) {
            let inclusions = self.client.inclusions(topic, &self.worker, self.until).await?;
            let evidence = stored_evidence(claim, own, height);
            return Ok(Some(Fact::Stored { value: own.value.clone(), evidence, inclusions: Some(inclusions.value) }));
        }
        // Closed, and committed as such.
        let end = claim.end(seen.topic);
        if height < end {
            return Ok(None);
        }
        let closing = self.results(end).await?;
        let active = active_at(&closing, topic, nonce);
        if active.as_ref().is_some_and(|active| active.contains(&worker)) {
            let evidence = format!("it was active at the end of block {end}; the value itself is pruned");
            return Ok(Some(Fact::Stored { value: claim.value.clone(), evidence, inclusions: None }));
        }
        let reward = self.client.reward_nonce(topic, self.until).await?;
        // What is not rewarded yet is not pruned.
        let is_certain = !stored.is_empty() || active.is_some() || reward.value < nonce;
        let evidence = not_stored_evidence(stored.len(), nonce, height, is_certain);
        if !is_certain {
            return Ok(Some(Fact::NotStored { evidence }));
        }
        if claim.awaits == Awaits::Storage {
            return Ok(Some(Fact::Evicted { evidence }));
        }
        let inclusion = match claim.included_at {
            Some(height) => self.results(height).await?,
            None => Results::Pruned,
        };
        Ok(Some(match was_inserted(&inclusion, topic, nonce, &worker) {
            Some(true) => Fact::Evicted { evidence },
            Some(false) => Fact::NotAdmitted { evidence },
            None => Fact::NotStored { evidence },
        }))
    }

    /// While its window is open.
    async fn admission(&self, claim: &Claim, topic: u64) -> Result<Option<Fact>, ClientError> {
        if claim.awaits != Awaits::Admission {
            return Ok(None);
        }
        let latest = self.client.latest_inference(topic, &self.worker, self.until).await?;
        Ok(latest.filter(|latest| latest.nonce == claim.nonce).map(|_| Fact::Admitted))
    }

    async fn score(&self, claim: &Claim, seen: Seen<'_>) -> Result<Option<Fact>, ClientError> {
        let topic = seen.topic.id;
        // In this order: what is settled there must be in what is asked after it.
        let reward = self.client.reward_nonce(topic, self.until).await?;
        let scores = self.client.scores_at(topic, claim.nonce, self.until).await?;
        Ok(judge_score(claim, seen, &self.worker.to_string(), &reward, scores))
    }

    /// The results of a block. An endpoint that refuses them has them no more.
    pub(super) async fn results(&self, height: u64) -> Result<Results, ClientError> {
        match self.client.endpoints().block_results(height, self.until).await {
            Ok(results) => Ok(Results::Kept(results)),
            Err(error) if is_pruned(&error) => Ok(Results::Pruned),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether every endpoint that was asked for a committed block says that it has none.
pub(super) fn is_pruned(error: &EndpointsError) -> bool {
    let is_refusal = |(_, error): &(String, RpcError)| matches!(error, RpcError::Refused { .. });
    matches!(error, EndpointsError::NoneAnswered { endpoints } if endpoints.iter().all(is_refusal))
}

/// Compared as numbers: the chain writes a decimal in a spelling of its own.
fn stored_evidence(claim: &Claim, own: &StoredInference, height: u64) -> String {
    let is_same =
        matches!((own.value.parse::<f64>(), claim.value.parse::<f64>()), (Ok(one), Ok(other)) if one == other);
    let at = format!("GetInferencesAtBlock({}) as of block {height}", claim.nonce);
    if is_same { at } else { format!("{at}; but {} was submitted", claim.value) }
}

fn not_stored_evidence(others: usize, nonce: u64, height: u64, is_certain: bool) -> String {
    match is_certain {
        true => {
            format!("GetInferencesAtBlock({nonce}) has {others} inferences as of block {height}, none of this worker")
        }
        false => {
            format!("inferences of {nonce} are pruned as of block {height}, and so are the events of its last block")
        }
    }
}

/// What a block's events say about a window that should have opened with it.
pub(super) fn opened(results: &BlockResults, topic: u64, nonce: u64) -> Verdict {
    let end = ChainEvent::of(topic, &results.events).find_map(|event| match event {
        Kind::WindowOpened { nonce: of, end } if of == nonce => Some(end),
        _ => None,
    });
    end.map_or(Verdict::No, |end| Verdict::Opened { end })
}

fn active_at(closing: &Results, topic: u64, nonce: u64) -> Option<Vec<String>> {
    let Results::Kept(results) = closing else { return None };
    ChainEvent::of(topic, &results.events).find_map(|event| match event {
        Kind::ActiveInferers { nonce: of, workers } if of == nonce => Some(workers),
        _ => None,
    })
}

/// Whether a transaction of the block has put this worker's inference among the active ones.
fn was_inserted(inclusion: &Results, topic: u64, nonce: u64, worker: &str) -> Option<bool> {
    let Results::Kept(results) = inclusion else { return None };
    let is_it =
        |event: Kind| matches!(event, Kind::Inserted { nonce: of, worker: who } if of == nonce && who == worker);
    Some(results.transaction_events.iter().any(|events| ChainEvent::of(topic, events).any(is_it)))
}

fn judge_score(claim: &Claim, seen: Seen<'_>, worker: &str, reward: &At<u64>, scores: At<Vec<Score>>) -> Option<Fact> {
    let others = scores.value.len();
    if let Some(own) = scores.value.into_iter().find(|score| score.worker == worker) {
        return Some(Fact::Scored { score: own.score });
    }
    let Seen { topic, epochs_kept, .. } = seen;
    let pruned_from =
        topic.scored_about(claim.nonce).saturating_add((epochs_kept + 2).saturating_mul(topic.epoch_length));
    let is_settled = reward.value >= claim.nonce && scores.height >= reward.height;
    if !is_settled && scores.height <= pruned_from {
        return None;
    }
    let height = scores.height;
    let evidence = match others {
        0 => format!("the chain has no scores of {} as of block {height}", claim.nonce),
        others => format!("the chain has {others} scores of {} as of block {height}, none of this worker", claim.nonce),
    };
    Some(Fact::NoScore { evidence })
}
