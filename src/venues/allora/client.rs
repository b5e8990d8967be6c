//! Questions to the chain, in the version of the emissions module that it speaks.
//!
//! The version is found out at run time, and again when the chain stops knowing what it is asked or refuses a message of the old
//! version: a chain is upgraded under a running node. Nothing is guessed: when no version is known to the chain, that is an
//! error.

mod ledger;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::Message as _;
use sentinel_actors::ports::{Chance, Clock};

use super::address::Address;
use super::endpoints::{EndpointSettings, Endpoints, EndpointsError, TipObserver};
use super::errors::{Class, Stage};
use super::health::Trouble;
use super::messages::Emissions;
use super::queries::{self, Account, AnswerError, GasPrice, LatestInference, Params, Topic, WindowStatus};
use super::query_messages::{
    AccountRequest, BalanceRequest, CosmosQuery, EmissionsQuery, GasPriceRequest, LatestInferenceRequest,
    ParamsRequest, Query, SimulateRequest, TopicRequest, WindowRequest,
};
use super::rpc::QueryAnswer;
use super::signing::DENOM;
use crate::exit::{self, ExitError};
use crate::http::{Deadline, HttpError};

/// What the Cosmos SDK maps "not found" to in a query.
const NOT_FOUND: u32 = 22;

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Endpoints(#[from] EndpointsError),
    /// The chain's application has refused the question.
    #[error("the chain has refused {what} with {code}: {text}")]
    Refused { what: &'static str, code: u32, text: String },
    #[error("the chain's answer to {what} cannot be used")]
    Answer {
        what: &'static str,
        #[source]
        error: AnswerError,
    },
    /// It speaks none of the versions that are known here.
    #[error(
        "the chain knows neither emissions v10 nor v9: it was upgraded, and this version of sentinel is too old for it; or the \
         endpoints are not of Allora"
    )]
    NoVersion,
    /// Another version than the configured one.
    #[error("the chain does not know emissions {0}, which emissions_version names: write emissions_version = \"auto\"")]
    OtherVersion(Emissions),
}

impl ExitError for ClientError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Endpoints(EndpointsError::NoneUsable { endpoints, .. }) if are_elsewhere(endpoints) => exit::CONFIG,
            Self::NoVersion | Self::OtherVersion(_) => exit::CONFIG,
            Self::Endpoints(_) | Self::Answer { .. } => exit::UNAVAILABLE,
            Self::Refused { .. } => exit::FAILED,
        }
    }

    fn advice(&self) -> Option<String> {
        let advice = match self {
            Self::Endpoints(EndpointsError::NoneUsable { endpoints, .. }) if are_elsewhere(endpoints) => {
                "let chain_id and rpc in [allora] be those of one network; nothing was sent"
            }
            Self::Endpoints(EndpointsError::NoneUsable { .. } | EndpointsError::NoneAnswered { .. }) => {
                "check this machine's network and the addresses in allora.rpc, and name more than one; a node tries again by itself"
            }
            Self::Endpoints(EndpointsError::Disagree { .. }) => {
                "try again in a few seconds; when it stays so, remove the endpoint that is behind from allora.rpc"
            }
            Self::Answer { .. } => "the chain may have been upgraded: look for a newer version of sentinel",
            Self::Refused { .. } | Self::NoVersion | Self::OtherVersion(_) => return None,
        };
        Some(advice.to_owned())
    }
}

fn are_elsewhere(endpoints: &[(String, Trouble)]) -> bool {
    endpoints.iter().all(|(_, trouble)| matches!(trouble, Trouble::OtherChain(_)))
}

/// What a simulation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Simulation {
    /// It would run, with so much gas.
    Gas(u64),
    /// It would fail, so it must not be broadcast: a failed transaction costs its fee too.
    Rejected { class: Class, text: String },
    /// No endpoint simulates.
    NotOffered,
}

/// An account, as far as the chain knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountState {
    Known(Account),
    /// Nobody has ever sent it anything.
    Unfunded,
}

/// The chain, for everyone who asks it. May be shared.
pub struct Client {
    endpoints: Endpoints,
    /// By the configuration; `None`: what the chain says.
    fixed: Option<Emissions>,
    /// What the chain has last said.
    found: Mutex<Option<Emissions>>,
}

impl Client {
    /// A client that has asked nothing yet. `emissions`: the only version to speak; `None`: the chain's.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(
        settings: EndpointSettings,
        emissions: Option<Emissions>,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
    ) -> Result<Self, HttpError> {
        let endpoints = Endpoints::new(settings, clock, chance)?;
        Ok(Self { endpoints, fixed: emissions, found: Mutex::default() })
    }

    /// Tells `observer` each newest block that is believed, from now on. It must return at once.
    #[must_use]
    pub fn observed_by(self, observer: TipObserver) -> Self {
        Self { endpoints: self.endpoints.observed_by(observer), ..self }
    }

    /// For broadcasts, transactions, blocks and heights.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The version that the chain speaks; it is asked once.
    ///
    /// # Errors
    /// When the chain cannot be asked, or speaks none that is known here.
    pub async fn emissions(&self, until: Deadline) -> Result<Emissions, ClientError> {
        let known = self.fixed.or(*self.found());
        match known {
            Some(version) => Ok(version),
            None => self.probe(until).await,
        }
    }

    /// Asks the chain for its version anew: for after [`Class::WrongVersion`].
    ///
    /// # Errors
    /// As [`Client::emissions`].
    pub async fn probe(&self, until: Deadline) -> Result<Emissions, ClientError> {
        let candidates = self.fixed.map_or(vec![Emissions::V10, Emissions::V9], |fixed| vec![fixed]);
        for version in candidates {
            let request = ParamsRequest {}.encode_to_vec();
            let answer = self.endpoints.read(&ParamsRequest::path(version), &request, is_unknown_path, until).await?;
            if is_unknown_path(&answer) {
                continue;
            }
            accepted("GetParams", &answer)?;
            self.note(version);
            return Ok(version);
        }
        Err(self.fixed.map_or(ClientError::NoVersion, ClientError::OtherVersion))
    }

    /// The account's number, and the sequence of its next transaction, as the endpoint with the greatest height or two endpoints
    /// say it.
    ///
    /// # Errors
    /// When the chain cannot be asked, or the endpoints do not agree.
    pub async fn account(&self, address: &Address, until: Deadline) -> Result<AccountState, ClientError> {
        const WHAT: &str = "AccountInfo";
        let address = address.to_string();
        let request = AccountRequest { address: address.clone() };
        let answer = self.endpoints.read_agreed(AccountRequest::PATH, &request.encode_to_vec(), until).await?;
        if answer.code == NOT_FOUND {
            return Ok(AccountState::Unfunded);
        }
        accepted(WHAT, &answer)?;
        let account = decoded::<AccountRequest>(WHAT, &answer)?;
        understood(WHAT, queries::account(account, &address, answer.height)).map(AccountState::Known)
    }

    /// What an account has, in uallo; nothing when nobody knows it.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    pub async fn balance_uallo(&self, address: &Address, until: Deadline) -> Result<u128, ClientError> {
        let request = BalanceRequest { address: address.to_string(), denom: DENOM.to_owned() };
        let answer = self.ask_cosmos("Balance", &request, until).await?;
        understood("Balance", queries::coin(answer, DENOM, "the balance"))
    }

    /// The price of gas that the next block asks for.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    pub async fn gas_price(&self, until: Deadline) -> Result<GasPrice, ClientError> {
        let request = GasPriceRequest { denom: DENOM.to_owned() }.encode_to_vec();
        let answer = self.endpoints.read_agreed(GasPriceRequest::PATH, &request, until).await?;
        accepted("GasPrice", &answer)?;
        let answer = decoded::<GasPriceRequest>("GasPrice", &answer)?;
        understood("GasPrice", queries::coin(answer, DENOM, "the price of gas")).map(GasPrice::from_scaled)
    }

    /// Lets the chain try a transaction whose signature is empty, on the state after the newest block and with what is in the
    /// mempool.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    pub async fn simulate(&self, transaction: Vec<u8>, until: Deadline) -> Result<Simulation, ClientError> {
        let request = SimulateRequest { tx_bytes: transaction }.encode_to_vec();
        // The trouble of one node is not the transaction's.
        let cannot_tell = |answer: &QueryAnswer| {
            let class = Class::of(Stage::Simulate, &answer.codespace, answer.code, &answer.log);
            is_unknown_path(answer) || matches!(class, Class::NodeTrouble | Class::Unknown)
        };
        let answer = self.endpoints.read(SimulateRequest::PATH, &request, cannot_tell, until).await?;
        if is_unknown_path(&answer) {
            return Ok(Simulation::NotOffered);
        }
        if answer.code != 0 {
            let class = Class::of(Stage::Simulate, &answer.codespace, answer.code, &answer.log);
            return Ok(Simulation::Rejected { class, text: answer.log });
        }
        let simulated = decoded::<SimulateRequest>("Simulate", &answer)?;
        let gas = simulated.gas_info.ok_or(AnswerError::Missing("the gas"));
        understood("Simulate", gas).map(|gas| Simulation::Gas(gas.gas_used))
    }

    /// Whether a worker may submit to a topic, and when: what is signed for a nonce rests on it, so it is from the endpoint with the
    /// greatest height or from two that agree.
    ///
    /// # Errors
    /// When the chain cannot be asked, the endpoints do not agree, or there is no such topic.
    pub async fn window_status(
        &self,
        topic: u64,
        worker: &Address,
        until: Deadline,
    ) -> Result<WindowStatus, ClientError> {
        const WHAT: &str = "GetWorkerSubmissionWindowStatus";
        let request = WindowRequest { topic, address: worker.to_string() };
        let (answer, height) = self.ask_by(WHAT, &request, Trust::Agreed, until).await?;
        understood(WHAT, queries::window(&answer, height))
    }

    /// A worker's newest inference; `None` when there is none, or its window is closed.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    pub async fn latest_inference(
        &self,
        topic: u64,
        worker: &Address,
        until: Deadline,
    ) -> Result<Option<LatestInference>, ClientError> {
        const WHAT: &str = "the worker's newest inference";
        let worker = worker.to_string();
        let request = LatestInferenceRequest { topic, worker: worker.clone() };
        match self.ask(WHAT, &request, until).await {
            Ok(answer) => understood(WHAT, queries::latest_inference(answer, topic, &worker)),
            Err(ClientError::Refused { code, text, .. }) if is_missing(code, &text) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A topic.
    ///
    /// # Errors
    /// When the chain cannot be asked, or has no such topic.
    pub async fn topic(&self, id: u64, until: Deadline) -> Result<Topic, ClientError> {
        let answer = self.ask("GetTopic", &TopicRequest { topic: id }, until).await?;
        understood("GetTopic", queries::topic(answer, id))
    }

    /// The emissions module's parameters.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    pub async fn params(&self, until: Deadline) -> Result<Params, ClientError> {
        let answer = self.ask("GetParams", &ParamsRequest {}, until).await?;
        understood("GetParams", queries::params(answer))
    }

    async fn ask_cosmos<Q: CosmosQuery>(
        &self,
        what: &'static str,
        request: &Q,
        until: Deadline,
    ) -> Result<Q::Answer, ClientError> {
        let answer = self.endpoints.read(Q::PATH, &request.encode_to_vec(), is_unknown_path, until).await?;
        accepted(what, &answer)?;
        decoded::<Q>(what, &answer)
    }

    async fn ask<Q: EmissionsQuery>(
        &self,
        what: &'static str,
        request: &Q,
        until: Deadline,
    ) -> Result<Q::Answer, ClientError> {
        self.ask_by(what, request, Trust::Newest, until).await.map(|(answer, _)| answer)
    }

    /// A question to the emissions module, asked again when the chain has changed its version in the meantime. With the answer comes
    /// the block after which it was so.
    async fn ask_by<Q: EmissionsQuery>(
        &self,
        what: &'static str,
        request: &Q,
        trust: Trust,
        until: Deadline,
    ) -> Result<(Q::Answer, u64), ClientError> {
        let answer = self.answer_by(request, trust, until).await?;
        accepted(what, &answer)?;
        Ok((decoded::<Q>(what, &answer)?, answer.height))
    }

    async fn answer_by<Q: EmissionsQuery>(
        &self,
        request: &Q,
        trust: Trust,
        until: Deadline,
    ) -> Result<QueryAnswer, ClientError> {
        let bytes = request.encode_to_vec();
        let read = async |path: &str| match trust {
            Trust::Newest => self.endpoints.read(path, &bytes, is_unknown_path, until).await,
            Trust::Agreed => self.endpoints.read_agreed(path, &bytes, until).await,
        };
        let path = Q::path(self.emissions(until).await?);
        let mut answer = read(&path).await?;
        if is_unknown_path(&answer) {
            let now = Q::path(self.probe(until).await?);
            if now != path {
                answer = read(&now).await?;
            }
        }
        Ok(answer)
    }

    /// Keeps the version; a change is worth a line.
    fn note(&self, version: Emissions) {
        let before = self.found().replace(version);
        if before.is_some_and(|before| before != version) {
            tracing::warn!(
                event = "allora_upgraded",
                chain = self.endpoints.chain_id(),
                emissions = %version,
                "the chain was upgraded; its new version is known and used from now on"
            );
        }
    }

    fn found(&self) -> MutexGuard<'_, Option<Emissions>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose answer is taken.
#[derive(Debug, Clone, Copy)]
enum Trust {
    /// That of the endpoint with the greatest height that gives one.
    Newest,
    /// That of the endpoint with the greatest height, or of two that agree; nobody else's.
    Agreed,
}

/// Code 6 is that of every failure without one of its own; only the text tells.
fn is_unknown_path(answer: &QueryAnswer) -> bool {
    answer.code != 0 && answer.log.contains("unknown query path")
}

/// Some versions let the code of a missing entry through as that of any failure.
fn is_missing(code: u32, text: &str) -> bool {
    code == NOT_FOUND || code != 0 && text.contains("not found")
}

fn accepted(what: &'static str, answer: &QueryAnswer) -> Result<(), ClientError> {
    if answer.code == 0 {
        return Ok(());
    }
    Err(ClientError::Refused { what, code: answer.code, text: answer.log.clone() })
}

fn decoded<Q: Query>(what: &'static str, answer: &QueryAnswer) -> Result<Q::Answer, ClientError> {
    let decoded = Q::Answer::decode(answer.value.as_slice()).map_err(|error| AnswerError::Decode(error.to_string()));
    understood(what, decoded)
}

fn understood<T>(what: &'static str, answer: Result<T, AnswerError>) -> Result<T, ClientError> {
    answer.map_err(|error| ClientError::Answer { what, error })
}
