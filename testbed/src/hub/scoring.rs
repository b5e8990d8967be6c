//! The hub without its sockets: a request in, its reply out. Everything that a client can see is decided here.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Answer, JSON, Reply};
use super::fault::{Fault, FaultArg, FaultError, fault_rules};
use super::form::Form;
use super::json;
use super::model::{Model, ModelError};
use super::payload::{self, Key};
use super::refusal::Refusal;
use crate::{FaultRule, FaultRuleError};

const VERSION: &str = "3.17.2";
/// Payload keys that are remembered.
const REMEMBERED: usize = 64;

/// A request, with the body that came with it.
#[derive(Debug, Clone, Copy)]
pub struct HubRequest<'a> {
    pub method: &'a str,
    /// Path without its query.
    pub path: &'a str,
    pub content_type: Option<&'a str>,
    pub body: &'a [u8],
}

/// How the model is written around its numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wrapping {
    /// A cell of `X_tabular` in a DataFrame is a list that holds the row, and not the row.
    pub is_nested: bool,
    /// What it answers with.
    pub form: Form,
}

#[derive(Debug)]
pub struct Scoring {
    model: Model,
    wrapping: Wrapping,
    /// Models that replace it, each from this invocation on.
    swaps: Vec<(u64, Model)>,
    faults: Vec<FaultRule<Fault>>,
    /// Invocations before the rules were set; the rules do not count them.
    before_faults: u64,
    counters: Counters,
}

#[derive(Debug, Default, Serialize)]
struct Counters {
    invocations: u64,
    connections: u64,
    payloads: VecDeque<Option<&'static str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultRequest {
    #[serde(alias = "mood")]
    fault: String,
    count: Option<u64>,
}

impl Scoring {
    /// # Errors
    /// When a rule brings a model that cannot be served.
    pub fn new(model: Model, rules: Vec<FaultRule<Fault>>) -> Result<Self, ModelError> {
        let (swaps, faults, counters) = (Vec::new(), Vec::new(), Counters::default());
        let wrapping = Wrapping::default();
        let mut scoring = Self { model, wrapping, swaps, faults, before_faults: 0, counters };
        rules.into_iter().try_for_each(|rule| scoring.add(rule))?;
        Ok(scoring)
    }

    #[must_use]
    pub fn wrapped(self, wrapping: Wrapping) -> Self {
        Self { wrapping, ..self }
    }

    fn add(&mut self, rule: FaultRule<Fault>) -> Result<(), ModelError> {
        match &rule.fault {
            Some(Fault::Swap(file)) if rule.first == 1 => self.model = self.model.load_beside(file)?,
            Some(Fault::Swap(file)) => {
                self.swaps.push((self.counters.invocations.saturating_add(rule.first), self.model.load_beside(file)?));
            }
            _ => self.faults.push(rule),
        }
        Ok(())
    }

    pub fn connected(&mut self) {
        self.counters.connections += 1;
    }

    pub fn reply(&mut self, request: &HubRequest<'_>) -> Reply {
        let allow = match request.path {
            "/ping" | "/health" | "/version" | "/testbed/asked" | "/devnet/asked" => "GET",
            "/invocations" | "/testbed/fault" | "/devnet/mood" => "POST",
            _ => return Reply::Whole(Answer::detail(404, "Not Found")),
        };
        if request.method != allow {
            return Reply::Whole(Answer::method_not_allowed(allow));
        }
        Reply::Whole(match request.path {
            "/invocations" => return self.invocation(request),
            "/version" => Answer::json(VERSION),
            "/testbed/asked" | "/devnet/asked" => Answer::json(serde_json::to_vec(&self.counters).unwrap_or_default()),
            "/testbed/fault" | "/devnet/mood" => {
                self.set_fault(request.body).unwrap_or_else(|why| Answer::detail(400, &why))
            }
            _ => Answer::json("\n"),
        })
    }

    fn set_fault(&mut self, body: &[u8]) -> Result<Answer, String> {
        let request: FaultRequest =
            serde_json::from_slice(body).map_err(|e| format!("send {{\"fault\": \"nan@1-3\"}}: {e}"))?;
        let text = match request.count {
            Some(count) => format!("{}*{count}", request.fault),
            None => request.fault,
        };
        let arg: FaultArg = text.parse().map_err(|e: FaultRuleError<FaultError>| e.to_string())?;
        let rules = fault_rules(&[arg]).map_err(|e| e.to_string())?;
        let answer = Answer::json(json!({ "fault": rules.first().map(ToString::to_string) }).to_string());
        if !matches!(rules.as_slice(), [FaultRule { fault: Some(Fault::Swap(_)), .. }]) {
            self.swaps.clear();
            self.faults.clear();
            self.before_faults = self.counters.invocations;
        }
        rules.into_iter().try_for_each(|rule| self.add(rule)).map_err(|e| format!("{e}: {}", e.advice()))?;
        Ok(answer)
    }

    /// The fault of this invocation, which has been counted already.
    fn fault(&mut self) -> Option<Fault> {
        let number = self.counters.invocations;
        if let Some((_, model)) = self.swaps.extract_if(.., |(first, _)| *first <= number).last() {
            self.model = model;
        }
        FaultRule::decide(&self.faults, number - self.before_faults).cloned()
    }

    fn invocation(&mut self, request: &HubRequest<'_>) -> Reply {
        let document = read(request);
        let payload = document.as_ref().map_err(Clone::clone).and_then(payload::payload);
        self.remember(payload.as_ref().ok().map(|(key, _)| *key));
        let fault = self.fault();
        if let Some(reply) = fault.as_ref().and_then(Fault::before_reading) {
            return reply;
        }
        match payload.and_then(|(key, payload)| self.predict(key, payload)) {
            Ok(rows) => match fault {
                Some(fault) => fault.distort(rows, &self.wrapping.form),
                None => Reply::Whole(self.wrapping.form.answer(&rows)),
            },
            Err(refusal) => Reply::Whole(refusal.answer()),
        }
    }

    fn remember(&mut self, key: Option<Key>) {
        self.counters.invocations += 1;
        if self.counters.payloads.len() == REMEMBERED {
            self.counters.payloads.pop_front();
        }
        self.counters.payloads.push_back(key.map(Key::name));
    }

    fn predict(&self, key: Key, payload: &Value) -> Result<Vec<Vec<f64>>, Refusal> {
        let rows = payload::rows(key, payload, self.model.inputs(), self.wrapping.is_nested)?;
        let raised =
            |error: Box<dyn std::error::Error + Send + Sync>| Refusal::Raised(format!("RuntimeError: {error}"));
        self.model.ask_all(&rows).map_err(raised)
    }
}

/// The JSON document of an invocation, when it says that it is one.
fn read(request: &HubRequest<'_>) -> Result<Value, Refusal> {
    let content_type = request.content_type.ok_or(Refusal::Uncaught)?;
    let mut parts = content_type.split(';').map(str::trim);
    let mime = parts.next().unwrap_or_default();
    for (name, value) in parts.map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
        if name != "charset" {
            return Err(Refusal::Type(format!("Unrecognized content type parameters: {name}")));
        }
        if !value.eq_ignore_ascii_case("utf-8") {
            return Err(Refusal::Type("The scoring server only supports UTF-8".to_owned()));
        }
    }
    match mime {
        JSON => json::read(request.body).map_err(|error| Refusal::Invalid(format!("It is no JSON: {error}"))),
        "text/csv" | "application/vnd.apache.parquet" => {
            Err(Refusal::Raised(format!("NotImplementedError: this hub does not read {mime}")))
        }
        _ => Err(Refusal::Type(format!("This predictor does not support the content type '{content_type}'"))),
    }
}
