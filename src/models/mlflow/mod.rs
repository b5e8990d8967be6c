//! A model behind an MLflow scoring server, the hub: `POST /invocations` over HTTP or HTTPS.
//!
//! A call ends by its deadline and answers with what the hub said or with why there is nothing. A hub that fails again and
//! again is left alone for a while. A hub that serves another model than at the start is not believed: what it says may be
//! right, but it is not what was tested and configured. No secret and no byte of a server's choice reaches the log unchecked.
//!
//! Protocol: <https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/>, and what the server really does: the tests.

mod access;
mod answer;
mod breaker;
mod client;
mod connects;
mod error;
mod identity;
mod json;
mod payload;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sentinel_actors::domain::feature::{FeatureFrame, FeatureSetId};
use sentinel_actors::domain::prediction::{ModelIdentity, RawAnswer};
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{Model, ModelError, PortFuture, elapsed_now};
use tokio::time::Instant;

pub use self::access::{Access, HubAddress, Secret};
use self::breaker::Breaker;
use self::client::{HubClient, IDLE_MAX, Limit};
pub use self::error::MlflowError;
use self::identity::{Checked, Finding, Identity};
use self::payload::Layout;
pub use self::payload::{FrameFault, Payload, SEQUENCE_ROWS};

/// How to ask a hub.
#[derive(Debug, Clone)]
pub struct MlflowSettings {
    /// Where it is.
    pub address: HubAddress,
    /// What its model's signature takes.
    pub payload: Payload,
    /// What it asks for.
    pub access: Access,
    /// Names of the row's columns, in order.
    pub columns: Vec<String>,
    /// What the model was trained on.
    pub features: FeatureSetId,
    /// Names of the classes in the order of the model's answers; case does not matter.
    pub classes: Vec<String>,
    /// For a whole call, from connecting to the last byte. A shorter one of the caller counts.
    pub deadline: Duration,
    /// What the model is known by: at least two different rows of `features`.
    pub probes: Vec<FeatureFrame>,
    /// Time between two looks at who answers, on a connection that lasts.
    pub identity_every: Duration,
}

/// A model behind an MLflow server. May be shared by pipelines that expect the same.
pub struct MlflowModel {
    id: String,
    hub: HubClient,
    layout: Layout,
    classes: Vec<String>,
    deadline: Duration,
    /// Requests with the probe rows, ready to be sent.
    probes: Vec<Vec<u8>>,
    identity_every: Duration,
    line: Mutex<Line>,
    /// Locked while the probes are asked, so that two pipelines do not ask them twice.
    identity: tokio::sync::Mutex<Identity>,
}

/// What is known of the way to the hub.
#[derive(Default)]
struct Line {
    breaker: Breaker,
    /// When it answered last.
    answered: Option<Instant>,
    last_failure: String,
}

impl MlflowModel {
    /// A model that nobody was asked about yet: the first validation does that.
    ///
    /// # Errors
    /// When the settings cannot work.
    pub fn new(settings: MlflowSettings) -> Result<Self, MlflowError> {
        let MlflowSettings { address, payload, access, columns, features, classes, deadline, probes, identity_every } =
            settings;
        if !are_distinct(&columns) {
            return Err(MlflowError::Columns(columns));
        }
        if !are_distinct(&classes) {
            return Err(MlflowError::Classes(classes));
        }
        if probes.len() < 2 {
            return Err(MlflowError::Probes(probes.len()));
        }
        let layout = Layout { payload, features, columns };
        let body = |(probe, frame)| layout.body(frame).map_err(|fault| MlflowError::Probe { probe, fault });
        Ok(Self {
            id: address.to_string(),
            hub: HubClient::new(&address, access)?,
            probes: probes.iter().enumerate().map(body).collect::<Result<_, _>>()?,
            layout,
            classes,
            deadline,
            identity_every,
            line: Mutex::default(),
            identity: tokio::sync::Mutex::default(),
        })
    }

    /// Connections made so far.
    #[must_use]
    pub fn connects(&self) -> u64 {
        self.hub.connects()
    }

    /// Calls that were made a second time because a kept connection was dead.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.hub.retries()
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call, when the circuit allows it.
    async fn ask(&self, body: &[u8], limit: Limit) -> Result<RawAnswer, ModelError> {
        let now = elapsed_now();
        self.admit(now, Breaker::admit)?;
        let limit = limit.earlier(Limit::of(self.deadline, now));
        let answer = self.hub.post(body, limit).await.and_then(|body| {
            answer::read(&body, &self.classes)
                .map_err(|error| ModelError::Unparseable(self.hub.printable(&error.to_string())))
        });
        match &answer {
            Ok(_) => self.note_success(),
            Err(error) => self.note_failure(error),
        }
        answer
    }

    fn admit(
        &self,
        now: Instant,
        rule: impl FnOnce(&mut Breaker, Instant) -> Result<(), Duration>,
    ) -> Result<(), ModelError> {
        let mut line = self.line();
        rule(&mut line.breaker, now).map_err(|wait| {
            ModelError::Unavailable(format!(
                "the hub failed {} times in a row and is not asked before another {} s have passed; the last time: {}",
                line.breaker.failures(),
                wait.as_secs() + 1,
                line.last_failure
            ))
        })
    }

    fn note_success(&self) {
        let mut line = self.line();
        line.answered = Some(elapsed_now());
        if line.breaker.succeeded() {
            drop(line);
            tracing::info!(event = "hub_circuit_closed", hub = self.id, "the hub answers again");
        }
    }

    fn note_failure(&self, error: &ModelError) {
        // What it comes to is said beside it, in the reason of the slot and in the sentence around it.
        let error = match error {
            ModelError::Unavailable(cause) => cause.clone(),
            other => other.to_string(),
        };
        let mut line = self.line();
        line.last_failure.clone_from(&error);
        if line.breaker.failed(elapsed_now()) {
            let failures = line.breaker.failures();
            drop(line);
            tracing::error!(
                event = "hub_circuit_opened",
                hub = self.id,
                failures,
                error,
                "the hub failed again and again; it is asked once per half minute until it answers"
            );
        }
    }

    async fn validate_within(&self, limit: Limit) -> Result<ModelIdentity, ModelError> {
        let now = elapsed_now();
        self.admit(now, |breaker, now| breaker.look(now))?;
        let mut identity = self.identity.lock().await;
        if self.next_call_connects(now) || identity.due(now, self.hub.connects(), self.identity_every) {
            identity.doubt();
            let answers = self.ask_probes(limit).await?;
            self.judge(&mut identity, &answers)?;
        }
        let hash = identity.hash().ok_or_else(|| ModelError::Unavailable("it was never asked".to_owned()))?;
        Ok(ModelIdentity { id: self.id.clone(), hash })
    }

    /// The kept connection, if there is one, will not be used again. Who answers on the new one is asked before the
    /// prediction and not a cycle after it.
    fn next_call_connects(&self, now: Instant) -> bool {
        self.line().answered.is_none_or(|answered| now.duration_since(answered) >= IDLE_MAX)
    }

    async fn ask_probes(&self, limit: Limit) -> Result<Vec<RawAnswer>, ModelError> {
        let mut answers = Vec::with_capacity(self.probes.len());
        for probe in &self.probes {
            answers.push(self.ask(probe, limit).await?);
        }
        Ok(answers)
    }

    fn judge(&self, identity: &mut Identity, answers: &[RawAnswer]) -> Result<(), ModelError> {
        let differed = identity.differs();
        let checked = Checked { at: elapsed_now(), connects: self.hub.connects() };
        let judged = identity.judge(answers, self.classes.len(), checked);
        match &judged {
            Err(fault) if !differed && identity.differs() => tracing::error!(
                event = "hub_model_changed",
                hub = self.id,
                recorded = identity.hash(),
                error = %fault,
                "the hub serves another model than at the start of the node, or the same one answers differently"
            ),
            Ok(Finding::Back) => {
                tracing::info!(event = "hub_model_back", hub = self.id, "the hub answers as at the start of the node");
            }
            _ => {}
        }
        judged.map(drop).map_err(|fault| ModelError::Invalid(fault.to_string()))
    }
}

impl Model for MlflowModel {
    /// Asks for the answers to the probe rows when they are due. Nothing is sent otherwise.
    fn validate(&self, deadline: Duration) -> PortFuture<'_, Result<ModelIdentity, ModelError>> {
        Box::pin(async move {
            let limit = Limit::of(deadline, elapsed_now());
            limit.keep(self.validate_within(limit)).await
        })
    }

    fn predict<'a>(
        &'a self,
        frame: &'a FeatureFrame,
        deadline: Duration,
    ) -> PortFuture<'a, Result<RawAnswer, ModelError>> {
        Box::pin(async move {
            let body = self.layout.body(frame).map_err(|fault| ModelError::Invalid(chain(&fault)))?;
            self.ask(&body, Limit::of(deadline, elapsed_now())).await
        })
    }
}

fn are_distinct(names: &[String]) -> bool {
    let is_again = |nth: usize, name: &String| names[..nth].iter().any(|other| other.eq_ignore_ascii_case(name));
    !names.is_empty() && !names.iter().enumerate().any(|(nth, name)| name.is_empty() || is_again(nth, name))
}
