//! The hub without its sockets: a request in, what becomes of it out. Everything that a client can see is decided here.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::HubError;
use super::answer::{Answer, JSON, Reply};
use super::fault::{Fault, FaultRule};
use super::json;
use super::model::{Model, ModelError};
use super::payload::{self, Key};
use super::refusal::Refusal;

/// The version that it behaves as.
const VERSION: &str = "3.17.2";
/// Payload keys that are remembered.
const REMEMBERED: usize = 64;

/// A request, with the body that came with it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Path without its query.
    pub path: &'a str,
    /// The header `content-type`.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// A hub's model, faults and memory.
#[derive(Debug)]
pub struct Scoring {
    model: Model,
    faults: VecDeque<Planned>,
    seen: Seen,
}

/// A fault that waits for its turn, with its model when it brings one.
#[derive(Debug)]
struct Planned {
    order: FaultRule,
    model: Option<Model>,
}

#[derive(Debug, Default, Serialize)]
struct Seen {
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

impl Planned {
    fn new(order: FaultRule, beside: &Model) -> Result<Self, ModelError> {
        let model = if let Fault::Swap(file) = &order.fault { Some(beside.load_beside(file)?) } else { None };
        Ok(Self { order, model })
    }
}

impl Scoring {
    /// A hub that goes through `faults` one after the other.
    ///
    /// # Errors
    /// When a fault cannot be reached, or one brings a model that cannot be served.
    pub fn new(model: Model, faults: Vec<FaultRule>) -> Result<Self, HubError> {
        let lasts = |order: &FaultRule| order.count.is_none() && !matches!(order.fault, Fault::Swap(_));
        if let Some([before, after]) = faults.array_windows().find(|[before, _]| lasts(before)) {
            return Err(HubError::Unreachable { before: before.fault.clone(), after: after.fault.clone() });
        }
        let faults = faults.into_iter().map(|order| Planned::new(order, &model)).collect::<Result<_, _>>()?;
        Ok(Self { model, faults, seen: Seen::default() })
    }

    /// Notes that a connection was accepted.
    pub fn connected(&mut self) {
        self.seen.connections += 1;
    }

    /// What becomes of a request.
    pub fn reply(&mut self, asked: &Asked<'_>) -> Reply {
        let allow = match asked.path {
            "/ping" | "/health" | "/version" | "/testbed/asked" | "/devnet/asked" => "GET",
            "/invocations" | "/testbed/fault" | "/devnet/mood" => "POST",
            _ => return Reply::Whole(Answer::detail(404, "Not Found")),
        };
        if asked.method != allow {
            return Reply::Whole(Answer::method_not_allowed(allow));
        }
        Reply::Whole(match asked.path {
            "/invocations" => return self.invocation(asked),
            "/version" => Answer::json(VERSION),
            "/testbed/asked" | "/devnet/asked" => Answer::json(serde_json::to_vec(&self.seen).unwrap_or_default()),
            "/testbed/fault" | "/devnet/mood" => {
                self.set_fault(asked.body).unwrap_or_else(|why| Answer::detail(400, &why))
            }
            _ => Answer::json("\n"),
        })
    }

    fn set_fault(&mut self, body: &[u8]) -> Result<Answer, String> {
        let request: FaultRequest =
            serde_json::from_slice(body).map_err(|e| format!("send {{\"fault\": \"nan\", \"count\": 3}}: {e}"))?;
        let fault: Fault = request.fault.parse().map_err(|e: super::FaultRuleError| e.to_string())?;
        let said = format!(
            "{{\"fault\":{},\"count\":{}}}",
            serde_json::json!(fault.to_string()),
            serde_json::json!(request.count)
        );
        if let Fault::Swap(file) = &fault {
            self.model = self.model.load_beside(file).map_err(|e| format!("{e}: {}", e.advice()))?;
        } else {
            self.faults = VecDeque::from([Planned { order: FaultRule { fault, count: request.count }, model: None }]);
        }
        Ok(Answer::json(said))
    }

    /// The fault of this invocation.
    fn fault(&mut self) -> Fault {
        while let Some(planned) = self.faults.front_mut() {
            if let Some(model) = planned.model.take() {
                self.model = model;
            } else if !matches!(planned.order.fault, Fault::Swap(_)) {
                match &mut planned.order.count {
                    Some(0) => {}
                    Some(left) => {
                        *left -= 1;
                        return planned.order.fault.clone();
                    }
                    None => return planned.order.fault.clone(),
                }
            }
            self.faults.pop_front();
        }
        Fault::None
    }

    fn invocation(&mut self, asked: &Asked<'_>) -> Reply {
        let document = read(asked);
        let payload = document.as_ref().map_err(Clone::clone).and_then(payload::payload);
        self.remember(payload.as_ref().ok().map(|(key, _)| *key));
        let fault = self.fault();
        if let Some(reply) = fault.before_reading() {
            return reply;
        }
        match payload.and_then(|(key, payload)| self.predict(key, payload)) {
            Ok(rows) => fault.spoil(rows),
            Err(refusal) => Reply::Whole(refusal.answer()),
        }
    }

    fn remember(&mut self, key: Option<Key>) {
        self.seen.invocations += 1;
        if self.seen.payloads.len() == REMEMBERED {
            self.seen.payloads.pop_front();
        }
        self.seen.payloads.push_back(key.map(Key::name));
    }

    fn predict(&self, key: Key, payload: &Value) -> Result<Vec<Vec<f64>>, Refusal> {
        let rows = payload::rows(key, payload, self.model.takes())?;
        let raised =
            |error: Box<dyn std::error::Error + Send + Sync>| Refusal::Raised(format!("RuntimeError: {error}"));
        self.model.ask_all(&rows).map_err(raised)
    }
}

/// The JSON document of an invocation, when it says that it is one.
fn read(asked: &Asked<'_>) -> Result<Value, Refusal> {
    let content_type = asked.content_type.ok_or(Refusal::Uncaught)?;
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
        JSON => json::read(asked.body).map_err(|error| Refusal::Invalid(format!("It is no JSON: {error}"))),
        "text/csv" | "application/vnd.apache.parquet" => {
            Err(Refusal::Raised(format!("NotImplementedError: this hub does not read {mime}")))
        }
        _ => Err(Refusal::Type(format!("This predictor does not support the content type '{content_type}'"))),
    }
}
