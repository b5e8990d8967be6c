//! A model behind an MLflow scoring server, the hub: `POST /invocations` over HTTP or HTTPS.
//!
//! A call ends by its deadline, with the hub's answer or with why there is none. A hub that fails again and again is not
//! asked for a while. A hub that serves another model than at the start is not believed: what it says may be right, but it
//! is not what was tested and configured. No secret and no byte of a server's choice reaches the log unchecked.
//!
//! Protocol: <https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/>, and what the server really does: the
//! tests.

mod address;
mod answer;
mod error;
mod identity;
mod json;
mod payload;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sentinel_actors::domain::feature::{FeatureFrame, FeatureSetId};
use sentinel_actors::domain::prediction::{ExpectedAnswer, ModelIdentity, Prediction, RawAnswer};
use sentinel_actors::error_chain::chain;
use sentinel_actors::meters::Calls;
use sentinel_actors::ports::{Model, ModelError, PortFuture, elapsed_now};
use tokio::time::Instant;

pub use self::address::HubAddress;
pub use self::error::MlflowError;
use self::identity::{Identity, IdentityFault, ProbeResult};
pub use self::payload::{FrameFault, SEQUENCE_ROWS};
use self::payload::{Layout, Row};
use super::Output;
use crate::config::HubPayload;
use crate::http::{Access, Breaker, ClientSettings, DateObserver, Deadline, Headers, HttpClient, Url};

/// An idle connection is not used again after this: MLflow's server drops it at about 5 s.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// Bytes of an answer.
const ANSWER_MAX: usize = 1 << 20;

/// How to ask a hub.
#[derive(Debug, Clone)]
pub struct MlflowSettings {
    /// Where it is.
    pub address: HubAddress,
    /// What its model's signature takes.
    pub payload: HubPayload,
    /// What it asks for.
    pub access: Access,
    /// What a proxy in front of it asks for beside that.
    pub headers: Headers,
    /// Names of the row's columns, in order.
    pub columns: Vec<String>,
    /// What the model was trained on.
    pub features: FeatureSetId,
    pub output: Output,
    /// For a whole call, from connecting to the last byte. A shorter one of the caller counts.
    pub deadline: Duration,
    /// What the model is known by: at least two different rows of `features`.
    pub probes: Vec<FeatureFrame>,
}

/// A model behind an MLflow server. May be shared by pipelines that expect the same.
pub struct MlflowModel {
    id: String,
    hub: HttpClient,
    invocations: Url,
    layout: Layout,
    /// Names of the classes in the order of the model's answers; none of a regression.
    classes: Vec<String>,
    expected: ExpectedAnswer,
    deadline: Duration,
    probes: Vec<Row>,
    batch_support: Mutex<BatchSupport>,
    state: Mutex<HubState>,
    /// Locked while the probes are asked, so that two pipelines do not ask them twice.
    identity: tokio::sync::Mutex<Identity>,
}

/// Whether the hub answers several rows of one request as it answers each by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum BatchSupport {
    /// Not tried yet.
    #[default]
    Untried,
    /// It does: the probe rows go with every question.
    Works,
    /// It does not: they are asked before every question, one by one.
    Fails,
}

/// What is known of the way to the hub.
#[derive(Default)]
struct HubState {
    breaker: Breaker,
    last_failure: String,
}

impl MlflowModel {
    /// A model whose hub was not asked yet: the first validation does that.
    ///
    /// # Errors
    /// When the settings cannot work.
    pub fn new(settings: MlflowSettings) -> Result<Self, MlflowError> {
        let MlflowSettings { address, payload, access, headers, columns, features, output, deadline, probes } =
            settings;
        if !are_distinct(&columns) {
            return Err(MlflowError::Columns(columns));
        }
        let expected = output.expected_answer();
        let classes = match output {
            Output::Classes(classes) if !are_distinct(&classes) => return Err(MlflowError::Classes(classes)),
            Output::Classes(classes) => classes,
            Output::Value { .. } => Vec::new(),
        };
        if probes.len() < 2 {
            return Err(MlflowError::Probes(probes.len()));
        }
        let layout = Layout::new(payload, features, columns);
        let row = |(probe, frame)| layout.row(frame).map_err(|fault| MlflowError::Probe { probe, fault });
        Ok(Self {
            id: address.to_string(),
            invocations: address.invocations()?,
            hub: HttpClient::new(ClientSettings {
                tls: address.tls,
                access,
                headers,
                connect_max: None,
                idle_max: IDLE_MAX,
                body_max: ANSWER_MAX,
            })?,
            probes: probes.iter().enumerate().map(row).collect::<Result<_, _>>()?,
            batch_support: Mutex::default(),
            layout,
            classes,
            expected,
            deadline,
            state: Mutex::default(),
            identity: tokio::sync::Mutex::default(),
        })
    }

    /// Counts its calls there from now on.
    pub fn count_in(&self, calls: Arc<Calls>) {
        self.hub.count_in(calls);
    }

    /// Tells `dates` from now on what time the hub says it is.
    #[must_use]
    pub fn telling_dates(mut self, dates: DateObserver) -> Self {
        self.hub.tell_dates(dates);
        self
    }

    /// Where it is, host and port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.id
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

    fn state(&self) -> MutexGuard<'_, HubState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call, when the circuit allows it.
    async fn ask(&self, body: &[u8], until: Deadline) -> Result<RawAnswer, ModelError> {
        let now = elapsed_now();
        self.admit(now, Breaker::admit)?;
        let until = until.earlier(Deadline::of(self.deadline, now));
        let answer =
            self.hub.post_json(&self.invocations, body, until).await.map_err(ModelError::from).and_then(|body| {
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
        let mut state = self.state();
        rule(&mut state.breaker, now).map_err(|wait| {
            ModelError::Unavailable(format!(
                "the hub failed {} times in a row and is not asked before another {} s have passed; the last time: {}",
                state.breaker.failures(),
                wait.as_secs() + 1,
                state.last_failure
            ))
        })
    }

    fn note_success(&self) {
        let mut state = self.state();
        if state.breaker.succeeded() {
            drop(state);
            tracing::info!(event = "hub_circuit_closed", hub = self.id, "the hub answers again");
        }
    }

    fn note_failure(&self, error: &ModelError) {
        // The kind of error is in the reason of the slot and in the sentence around this text.
        let error = match error {
            ModelError::Unavailable(cause) => cause.clone(),
            other => other.to_string(),
        };
        let mut state = self.state();
        state.last_failure.clone_from(&error);
        if state.breaker.failed(elapsed_now()) {
            let failures = state.breaker.failures();
            drop(state);
            tracing::error!(
                event = "hub_circuit_opened",
                hub = self.id,
                failures,
                error,
                "the hub failed again and again; it is asked once per half minute until it answers"
            );
        }
    }

    async fn validate_within(&self, until: Deadline) -> Result<ModelIdentity, ModelError> {
        self.admit(elapsed_now(), |breaker, now| breaker.look(now))?;
        let mut identity = self.identity.lock().await;
        if !identity.is_confirmed() || self.batch_support() == BatchSupport::Fails {
            self.check_identity(&mut identity, until).await?;
        }
        let hash = identity.hash().ok_or_else(|| ModelError::Unavailable("it was never asked".to_owned()))?;
        Ok(ModelIdentity { id: self.id.clone(), hash })
    }

    /// Asks the probe rows one by one and judges the answers.
    async fn check_identity(&self, identity: &mut Identity, until: Deadline) -> Result<(), ModelError> {
        identity.unconfirm();
        let answers = self.ask_probes(until).await?;
        self.judge(identity, &answers)
    }

    fn batch_support(&self) -> BatchSupport {
        *self.batch_support.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The question with the probe rows before it, in one request: who answers it is known without a moment between.
    async fn ask_with_probes(&self, row: &Row, until: Deadline) -> Result<RawAnswer, ModelError> {
        let answer = self.ask(&self.layout.body(self.probes.iter().chain([row])), until).await;
        let tried = self.batch_support();
        match answer {
            Ok(mut answer) if answer.rows.len() == self.probes.len() + 1 => {
                let question = answer.rows.split_off(self.probes.len());
                let mut identity = self.identity.lock().await;
                if identity.are_recorded(&answer.rows) {
                    self.note_batch_support(BatchSupport::Works);
                    return Ok(RawAnswer { rows: question });
                }
                if tried == BatchSupport::Works {
                    return self.undecidable(RawAnswer { rows: question }).map_err(|_| {
                        let differed = identity.differs();
                        let fault = identity.change();
                        self.refuse(&identity, differed, &fault)
                    });
                }
            }
            Ok(answer) if tried == BatchSupport::Works => {
                let have = answer.rows.len();
                let (want, text) = (self.probes.len() + 1, "rows were asked about, and the answer has");
                return self.undecidable(answer).map_err(|_| ModelError::Unparseable(format!("{want} {text} {have}")));
            }
            Ok(_) | Err(ModelError::Status { status: 400, .. }) if tried == BatchSupport::Untried => {}
            other => return other,
        }
        // The first time. It is another model, or one that cannot take several rows: asking them one by one decides it.
        self.check_identity(&mut *self.identity.lock().await, until).await?;
        self.note_batch_support(BatchSupport::Fails);
        self.ask(&self.layout.body([row]), until).await
    }

    /// An answer that cannot be decided on is returned as it is, because the domain has a reason for each.
    fn undecidable(&self, answer: RawAnswer) -> Result<RawAnswer, RawAnswer> {
        if Prediction::check(&answer, self.expected).is_err() { Ok(answer) } else { Err(answer) }
    }

    fn note_batch_support(&self, now: BatchSupport) {
        let mut batch_support = self.batch_support.lock().unwrap_or_else(PoisonError::into_inner);
        if *batch_support == now {
            return;
        }
        *batch_support = now;
        drop(batch_support);
        if now == BatchSupport::Fails {
            tracing::info!(
                event = "hub_rows_apart",
                hub = self.id,
                "the hub does not answer several rows of one request as each by itself; the probe rows are asked before every \
                 question, one by one"
            );
        }
    }

    async fn ask_probes(&self, until: Deadline) -> Result<Vec<RawAnswer>, ModelError> {
        let mut answers = Vec::with_capacity(self.probes.len());
        for probe in &self.probes {
            answers.push(self.ask(&self.layout.body([probe]), until).await?);
        }
        Ok(answers)
    }

    /// Judges the answers to the probe rows, and says when the recorded model is back.
    fn judge(&self, identity: &mut Identity, answers: &[RawAnswer]) -> Result<(), ModelError> {
        let differed = identity.differs();
        match identity.judge(answers, self.expected.width()) {
            Err(fault) => return Err(self.refuse(identity, differed, &fault)),
            Ok(ProbeResult::Back) => {
                tracing::info!(event = "hub_model_back", hub = self.id, "the hub answers as at the start of the node");
            }
            Ok(_) => {}
        }
        Ok(())
    }

    /// Nothing is decided with this model. The first time after it was recorded is worth an alert.
    fn refuse(&self, identity: &Identity, differed: bool, fault: &IdentityFault) -> ModelError {
        if !differed && identity.differs() {
            tracing::error!(
                event = "hub_model_changed",
                hub = self.id,
                recorded = identity.hash(),
                error = %fault,
                "the hub serves another model than at the start of the node, or the same one answers differently"
            );
        }
        if identity.differs() { ModelError::Changed(fault.to_string()) } else { ModelError::Invalid(fault.to_string()) }
    }
}

impl Model for MlflowModel {
    /// Asks the probe rows when it is not known who answers, or when they cannot go with the question.
    fn validate(&self, deadline: Duration) -> PortFuture<'_, Result<ModelIdentity, ModelError>> {
        Box::pin(async move {
            let until = Deadline::of(deadline, elapsed_now());
            until.keep(self.validate_within(until)).await
        })
    }

    fn predict<'a>(
        &'a self,
        frame: &'a FeatureFrame,
        deadline: Duration,
    ) -> PortFuture<'a, Result<RawAnswer, ModelError>> {
        Box::pin(async move {
            let until = Deadline::of(deadline, elapsed_now());
            let row = self.layout.row(frame).map_err(|fault| ModelError::Invalid(chain(&fault)))?;
            if self.batch_support() != BatchSupport::Fails {
                let (is_confirmed, is_recorded) = {
                    let identity = self.identity.lock().await;
                    (identity.is_confirmed(), identity.is_recorded())
                };
                if is_confirmed {
                    return until.keep(self.ask_with_probes(&row, until)).await;
                }
                if is_recorded {
                    return Err(ModelError::Invalid(
                        "who answers is in doubt since this cycle's validation".to_owned(),
                    ));
                }
                // It has not been validated yet, so there is nothing to compare with.
            }
            self.ask(&self.layout.body([&row]), until).await
        })
    }
}

fn are_distinct(names: &[String]) -> bool {
    let is_again = |nth: usize, name: &String| names[..nth].iter().any(|other| other.eq_ignore_ascii_case(name));
    !names.is_empty() && !names.iter().enumerate().any(|(nth, name)| name.is_empty() || is_again(nth, name))
}
