//! The endpoints themselves: what is known about each, who can be used now, and calls to one or to all of them.
//!
//! Endpoints are asked how they are every few seconds, before anything else is asked. A failure lets an endpoint rest; that it
//! says how it is does not end the failures of what it was asked otherwise.
//!
//! Rest is for the sake of endpoints that have others beside them. Where none is left, one that only failed at a question is used all
//! the same, and one that is down is asked every few seconds whether it is back: a window may open at any moment.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sentinel_actors::meters::Calls;
use sentinel_actors::ports::{Chance, Clock, elapsed_now};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::clocks::{Change, ClockReading, Clocks, Disagreement};
use super::endpoints::EndpointsError;
use super::health::{CoolDown, Standard, Tip, Trouble, judge};
use super::rpc::{Rpc, RpcError};
use crate::http::{CallError, Deadline, HttpError, RetryAfter, Url};

mod node;

use node::Asked;
pub(super) use node::Node;

/// How endpoints are asked.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointSettings {
    /// Endpoints of another chain are not used.
    pub chain_id: String,
    /// In the order of preference; at least one.
    pub rpc: Vec<Url>,
    /// One call may take this long; an operation of several has its own deadline.
    pub call_max: Duration,
    /// An endpoint with an older newest block is stuck, by the `Date` of its own answer, or by the wall clock when it has none.
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

#[derive(Default)]
struct Survey {
    at: Option<Instant>,
    tip: Option<Tip>,
}

/// Is told each newest block that is believed.
pub type TipObserver = Arc<dyn Fn(Tip) + Send + Sync>;

/// The endpoints of one chain. May be shared.
pub struct Endpoints {
    nodes: Vec<Arc<Node>>,
    settings: EndpointSettings,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
    observer: Option<TipObserver>,
    clocks: Mutex<Clocks>,
    /// Locked while endpoints are asked how they are, so that two callers do not ask twice.
    survey: tokio::sync::Mutex<Survey>,
}

impl Endpoints {
    /// Endpoints that nobody has asked yet; `clock` is the wall clock.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(settings: EndpointSettings, clock: Arc<dyn Clock>, chance: Arc<dyn Chance>) -> Result<Self, HttpError> {
        let node = |url: &Url| Ok(Arc::new(Node { rpc: Rpc::new(url.clone())?, state: Mutex::default() }));
        let nodes = settings.rpc.iter().map(node).collect::<Result<_, HttpError>>()?;
        let (clocks, survey) = (Mutex::default(), tokio::sync::Mutex::default());
        Ok(Self { nodes, settings, clock, chance, observer: None, clocks, survey })
    }

    /// Counts calls of all nodes there from now on.
    pub fn count_in(&self, calls: &Arc<Calls>) {
        self.nodes.iter().for_each(|node| node.rpc.count_in(calls.clone()));
    }

    /// Tells `observer` each newest block that is believed, from now on. It must return at once.
    #[must_use]
    pub fn observed_by(mut self, observer: TipObserver) -> Self {
        self.observer = Some(observer);
        self
    }

    /// What this machine, the endpoints and the chain last said the time is, and which of them differs; nothing is asked. `None`:
    /// no endpoint has answered yet.
    #[must_use]
    pub fn clocks(&self) -> Option<(ClockReading, Option<Disagreement>)> {
        lock(&self.clocks).newest()
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
        let used = self.can_be_used();
        let of = |node: &Arc<Node>| {
            let is_used = used.iter().any(|used| Arc::ptr_eq(used, node));
            let trouble = if is_used { None } else { node.trouble(now) };
            let state = node.state();
            EndpointHealth {
                name: node.rpc.name().to_owned(),
                height: state.status.as_ref().map(|status| status.height),
                latency: state.latency,
                failures: state.rest.failures,
                has_index: !state.lacks_index,
                trouble,
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
                state.failed_survey = false;
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
        let mut nodes = self.can_be_used();
        if nodes.is_empty() || survey.at.is_none_or(is_old) {
            self.take(&mut survey, until).await;
            nodes = self.can_be_used();
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

    /// The sound ones that do not rest, or else those that rest only because they failed at a question.
    fn can_be_used(&self) -> Vec<Arc<Node>> {
        let now = elapsed_now();
        let (awake, resting): (Vec<_>, Vec<_>) =
            self.nodes.iter().filter(|node| node.is_sound()).cloned().partition(|node| node.is_awake(now));
        if !awake.is_empty() {
            return awake;
        }
        resting.into_iter().filter(|node| node.may_be_woken(now, Duration::MAX)).collect()
    }

    /// Asks the endpoints how they are: those that do not rest, and when none of them can be used, the others. The chain's newest
    /// block, when one can be used.
    async fn take(&self, survey: &mut Survey, until: Deadline) -> Option<Tip> {
        let now = elapsed_now();
        let (awake, resting): (Vec<_>, Vec<_>) = self.nodes.iter().cloned().partition(|node| node.is_awake(now));
        if let Some(tip) = self.survey(awake, survey, until).await {
            return Some(tip);
        }
        let pause = self.settings.survey_every.max(self.settings.cool_down.first);
        let woken = resting.into_iter().filter(|node| node.may_be_woken(now, pause)).collect();
        self.survey(woken, survey, until).await
    }

    /// Asks these how they are, and judges the answers.
    async fn survey(&self, nodes: Vec<Arc<Node>>, survey: &mut Survey, until: Deadline) -> Option<Tip> {
        let now = elapsed_now();
        let status = |node: Arc<Node>, until| async move { node.rpc.status(until).await };
        let answers = self.all(nodes, Asked::HowItIs, status, until).await;
        let (nodes, reports): (Vec<_>, Vec<_>) =
            answers.into_iter().filter_map(|(node, status)| Some((node, status.ok()?))).unzip();
        let standard = Standard {
            chain_id: &self.settings.chain_id,
            now: self.clock.now(),
            stale_after: self.settings.stale_after,
            known: survey.tip,
        };
        let (tip, troubles) = judge(&reports, standard);
        if let Some(reading) = ClockReading::of(&reports, &troubles, tip, standard.now) {
            self.compare(reading);
        }
        if let Some((observer, tip)) = self.observer.as_ref().zip(tip) {
            observer(tip);
        }
        for ((node, status), trouble) in nodes.iter().zip(reports).zip(troubles) {
            node.found(status, trouble);
        }
        // Without one, the last known tip still says what a later one may be.
        *survey = Survey { at: tip.map(|_| now), tip: tip.or(survey.tip) };
        tip
    }

    fn compare(&self, reading: ClockReading) {
        let change = lock(&self.clocks).note(reading, self.settings.stale_after);
        match change {
            Some(Change::Disagree(apart)) => tracing::warn!(
                event = "clocks_disagree",
                chain = self.settings.chain_id,
                error = %apart,
                "{}",
                apart.to_do()
            ),
            Some(Change::Agree) => tracing::info!(
                event = "clocks_agree",
                chain = self.settings.chain_id,
                "this machine's clock, the endpoints and the chain agree again"
            ),
            None => {}
        }
    }

    /// Why nothing was asked: each endpoint with its trouble.
    fn none_usable(&self) -> EndpointsError {
        let trouble = |health: EndpointHealth| (health.name, health.trouble.unwrap_or(Trouble::Silent));
        let endpoints = self.health().into_iter().map(trouble).collect();
        EndpointsError::NoneUsable { chain_id: self.settings.chain_id.clone(), endpoints }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
