//! The endpoints themselves: what is known about each, who can be used now, and calls to one or to all of them.
//!
//! Endpoints are asked how they are every few seconds, before anything else is asked. A failure lets an endpoint rest; that it
//! says how it is does not end the failures of what it was asked otherwise.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sentinel_actors::ports::{Chance, Clock, elapsed_now};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::endpoints::EndpointsError;
use super::health::{CoolDown, Rest, Standard, Tip, Trouble, judge};
use super::rpc::{Rpc, RpcError, Status};
use crate::http::{CallError, Deadline, HttpError, RetryAfter, Url};

/// How endpoints are asked.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointSettings {
    /// Endpoints of another chain are not used.
    pub chain_id: String,
    /// In the order of preference; at least one.
    pub rpc: Vec<Url>,
    /// One call may take this long; an operation of several has its own deadline.
    pub call_max: Duration,
    /// An endpoint with an older newest block is stuck.
    pub stale_after: Duration,
    /// What is known about the endpoints is good for so long.
    pub survey_every: Duration,
    pub cool_down: CoolDown,
}

impl EndpointSettings {
    /// For a chain that makes a block every five seconds.
    pub const SURVEY_EVERY: Duration = Duration::from_secs(2);
}

/// What is known about an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointHealth {
    pub name: String,
    /// Its newest block.
    pub height: Option<u64>,
    /// Of its last answer.
    pub latency: Option<Duration>,
    /// In a row.
    pub failures: u32,
    /// Whether transactions can be looked up there, as far as known.
    pub has_index: bool,
    /// `None`: it is used.
    pub trouble: Option<Trouble>,
}

pub(super) struct Node {
    pub(super) rpc: Rpc,
    state: Mutex<NodeState>,
}

#[derive(Default)]
struct NodeState {
    rest: Rest,
    latency: Option<Duration>,
    status: Option<Status>,
    trouble: Option<Trouble>,
    lacks_index: bool,
    /// The last failure was that it did not say how it is.
    failed_survey: bool,
}

/// What an endpoint is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    HowItIs,
    Else,
}

#[derive(Default)]
struct Survey {
    at: Option<Instant>,
    tip: Option<Tip>,
}

/// The endpoints of one chain. May be shared.
pub struct Endpoints {
    nodes: Vec<Arc<Node>>,
    settings: EndpointSettings,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
    /// Locked while endpoints are asked how they are, so that two callers do not ask twice.
    survey: tokio::sync::Mutex<Survey>,
}

impl Endpoints {
    /// Endpoints that nobody has asked yet.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(settings: EndpointSettings, clock: Arc<dyn Clock>, chance: Arc<dyn Chance>) -> Result<Self, HttpError> {
        let node = |url: &Url| Ok(Arc::new(Node { rpc: Rpc::new(url.clone())?, state: Mutex::default() }));
        let nodes = settings.rpc.iter().map(node).collect::<Result<_, HttpError>>()?;
        Ok(Self { nodes, settings, clock, chance, survey: tokio::sync::Mutex::default() })
    }

    /// The chain that they are of.
    #[must_use]
    pub fn chain_id(&self) -> &str {
        &self.settings.chain_id
    }

    /// What is known about each, in the order of the settings; nothing is asked.
    #[must_use]
    pub fn health(&self) -> Vec<EndpointHealth> {
        let now = elapsed_now();
        let of = |node: &Arc<Node>| {
            let state = node.state();
            EndpointHealth {
                name: node.rpc.name().to_owned(),
                height: state.status.as_ref().map(|status| status.height),
                latency: state.latency,
                failures: state.rest.failures,
                has_index: !state.lacks_index,
                trouble: state.rest.trouble(now).or_else(|| state.trouble.clone()).or_else(|| silent(&state)),
            }
        };
        self.nodes.iter().map(of).collect()
    }

    /// The chain's newest block, as of now: see [`super::health`].
    ///
    /// # Errors
    /// When no endpoint can be used.
    pub async fn latest(&self, until: Deadline) -> Result<Tip, EndpointsError> {
        let mut survey = self.survey.lock().await;
        self.take(&mut survey, until).await.ok_or_else(|| self.none_usable())
    }

    /// The answer of the first endpoint that gives one, beginning with the greatest height.
    ///
    /// # Errors
    /// When none gives one.
    pub(super) async fn first<T, F>(
        &self,
        call: impl Fn(Arc<Node>, Deadline) -> F,
        until: Deadline,
    ) -> Result<T, EndpointsError>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        let mut failed = Vec::new();
        for node in self.usable(until).await?.1 {
            match self.ask(&node, |until| call(node.clone(), until), until).await {
                Ok(answer) => return Ok(answer),
                Err(error) => failed.push((node.name(), error)),
            }
        }
        Err(EndpointsError::NoneAnswered { endpoints: failed })
    }

    /// One call, with what it says about the endpoint noted.
    pub(super) async fn ask<T, F>(
        &self,
        node: &Node,
        call: impl FnOnce(Deadline) -> F,
        until: Deadline,
    ) -> Result<T, RpcError>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        let began = elapsed_now();
        let answer = call(until.earlier(Deadline::of(self.settings.call_max, began))).await;
        self.note(node, Asked::Else, answer.as_ref().err(), began, until);
        answer
    }

    /// The same call to all of them at once; answers in the order in which they come.
    pub(super) async fn ask_all<T, F>(
        &self,
        nodes: Vec<Arc<Node>>,
        call: impl Fn(Arc<Node>, Deadline) -> F,
        until: Deadline,
    ) -> Vec<(Arc<Node>, Result<T, RpcError>)>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, RpcError>> + Send + 'static,
    {
        self.all(nodes, Asked::Else, call, until).await
    }

    async fn all<T, F>(
        &self,
        nodes: Vec<Arc<Node>>,
        asked: Asked,
        call: impl Fn(Arc<Node>, Deadline) -> F,
        until: Deadline,
    ) -> Vec<(Arc<Node>, Result<T, RpcError>)>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, RpcError>> + Send + 'static,
    {
        let began = elapsed_now();
        let mut calls = JoinSet::new();
        for node in nodes {
            let answer = call(node.clone(), until.earlier(Deadline::of(self.settings.call_max, began)));
            calls.spawn(async move { (node, answer.await) });
        }
        let mut answers = Vec::new();
        while let Some(ended) = calls.join_next().await {
            // One that panicked has no answer.
            if let Ok((node, answer)) = ended {
                self.note(&node, asked, answer.as_ref().err(), began, until);
                answers.push((node, answer));
            }
        }
        answers
    }

    /// A refusal is an answer too: only what keeps an endpoint from answering is its failure, and a caller who had no more time
    /// is not.
    fn note(&self, node: &Node, asked: Asked, error: Option<&RpcError>, began: Instant, until: Deadline) {
        let now = elapsed_now();
        let mut state = node.state();
        let Some(error) = error.filter(|error| !matches!(error, RpcError::Refused { .. })) else {
            if asked == Asked::Else || state.failed_survey {
                state.rest.succeeded();
            }
            state.latency = Some(now.saturating_duration_since(began));
            return;
        };
        if matches!(error, RpcError::Call(CallError::Timeout(_))) && until.left().is_zero() {
            return;
        }
        let asked_for = match error {
            RpcError::Status { retry_after: Some(RetryAfter::Wait(wait)), .. } => Some(*wait),
            RpcError::Status { retry_after: Some(RetryAfter::At(at)), .. } => Some(at.since(self.clock.now())),
            _ => None,
        };
        state.failed_survey = asked == Asked::HowItIs;
        state.rest.failed(self.settings.cool_down, now, self.chance.unit(), asked_for, error.to_string());
    }

    /// Those that can be used, the one with the greatest height first, and the chain's newest block.
    ///
    /// # Errors
    /// When none can be used.
    pub(super) async fn usable(&self, until: Deadline) -> Result<(Tip, Vec<Arc<Node>>), EndpointsError> {
        let mut survey = self.survey.lock().await;
        let is_old = |at: Instant| elapsed_now().saturating_duration_since(at) >= self.settings.survey_every;
        let mut nodes = self.not_in_trouble();
        if nodes.is_empty() || survey.at.is_none_or(is_old) {
            self.take(&mut survey, until).await;
            nodes = self.not_in_trouble();
        }
        let tip = survey.tip.filter(|_| !nodes.is_empty()).ok_or_else(|| self.none_usable())?;
        let key = |node: &Arc<Node>| {
            let height = node.height();
            let state = node.state();
            (u64::MAX - height, state.rest.failures, state.latency)
        };
        nodes.sort_by_cached_key(key);
        Ok((tip, nodes))
    }

    fn not_in_trouble(&self) -> Vec<Arc<Node>> {
        let now = elapsed_now();
        let can_be_used = |node: &&Arc<Node>| {
            let state = node.state();
            state.status.is_some() && state.trouble.is_none() && state.rest.trouble(now).is_none()
        };
        self.nodes.iter().filter(can_be_used).cloned().collect()
    }

    /// Asks every endpoint that does not rest how it is, and judges the answers: the chain's newest block, when one of them can be
    /// used.
    async fn take(&self, survey: &mut Survey, until: Deadline) -> Option<Tip> {
        let now = elapsed_now();
        let awake = self.nodes.iter().filter(|node| node.state().rest.trouble(now).is_none()).cloned().collect();
        let status = |node: Arc<Node>, until| async move { node.rpc.status(until).await };
        let answers = self.all(awake, Asked::HowItIs, status, until).await;
        let (nodes, reports): (Vec<_>, Vec<_>) =
            answers.into_iter().filter_map(|(node, status)| Some((node, status.ok()?))).unzip();
        let standard = Standard {
            chain_id: &self.settings.chain_id,
            now: self.clock.now(),
            stale_after: self.settings.stale_after,
            known: survey.tip,
        };
        let (tip, troubles) = judge(&reports, standard);
        for ((node, status), trouble) in nodes.iter().zip(reports).zip(troubles) {
            node.found(status, trouble);
        }
        // Without one, the last known tip still says what a later one may be.
        *survey = Survey { at: tip.map(|_| now), tip: tip.or(survey.tip) };
        tip
    }

    /// Why nothing was asked: each endpoint with its trouble.
    fn none_usable(&self) -> EndpointsError {
        let trouble = |health: EndpointHealth| (health.name, health.trouble.unwrap_or(Trouble::Silent));
        let endpoints = self.health().into_iter().map(trouble).collect();
        EndpointsError::NoneUsable { chain_id: self.settings.chain_id.clone(), endpoints }
    }
}

fn silent(state: &NodeState) -> Option<Trouble> {
    state.status.is_none().then_some(Trouble::Silent)
}

impl Node {
    pub(super) fn name(&self) -> String {
        self.rpc.name().to_owned()
    }

    /// When it last said so.
    pub(super) fn height(&self) -> u64 {
        self.state().status.as_ref().map_or(0, |status| status.height)
    }

    pub(super) fn has_no_index(&self) {
        self.state().lacks_index = true;
    }

    fn state(&self) -> MutexGuard<'_, NodeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what it says about itself; a change is worth a line.
    fn found(&self, status: Status, trouble: Option<Trouble>) {
        let mut state = self.state();
        let (was, is) = (state.trouble.is_some(), trouble.is_some());
        state.status = Some(status);
        state.trouble.clone_from(&trouble);
        drop(state);
        match trouble {
            Some(trouble) if !was => {
                tracing::warn!(
                    event = "allora_endpoint_dropped",
                    endpoint = self.name(),
                    error = %trouble,
                    "an endpoint is not used until it is sound again"
                );
            }
            None if was && !is => {
                tracing::info!(event = "allora_endpoint_back", endpoint = self.name(), "an endpoint is used again");
            }
            _ => {}
        }
    }
}
