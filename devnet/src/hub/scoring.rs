//! The hub without its sockets: a request in, what becomes of it out. Everything that a client can see is decided here.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::HubError;
use super::answer::{Answer, JSON, Reply};
use super::json::{self, Unreadable};
use super::model::{Model, ModelError};
use super::mood::{Mood, Order};
use super::payload::{self, Key};
use super::python::repr_bytes;
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

/// A hub's model, moods and memory.
#[derive(Debug)]
pub struct Scoring {
    model: Model,
    moods: VecDeque<Planned>,
    seen: Seen,
}

/// A mood that waits for its turn, with its model when it brings one.
#[derive(Debug)]
struct Planned {
    order: Order,
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
struct MoodRequest {
    mood: String,
    count: Option<u64>,
}

impl Planned {
    fn new(order: Order) -> Result<Self, ModelError> {
        let model = if let Mood::Swap(file) = &order.mood { Some(Model::load(file)?) } else { None };
        Ok(Self { order, model })
    }
}

impl Scoring {
    /// A hub that goes through `moods` one after the other.
    ///
    /// # Errors
    /// When a mood cannot be reached, or one brings a model that cannot be served.
    pub fn new(model: Model, moods: Vec<Order>) -> Result<Self, HubError> {
        let lasts = |order: &Order| order.count.is_none() && !matches!(order.mood, Mood::Swap(_));
        if let Some([before, after]) = moods.array_windows().find(|[before, _]| lasts(before)) {
            return Err(HubError::Unreachable { before: before.mood.clone(), after: after.mood.clone() });
        }
        let moods = moods.into_iter().map(Planned::new).collect::<Result<_, _>>()?;
        Ok(Self { model, moods, seen: Seen::default() })
    }

    /// Notes that a connection was accepted.
    pub fn connected(&mut self) {
        self.seen.connections += 1;
    }

    /// What becomes of a request.
    pub fn reply(&mut self, asked: &Asked<'_>) -> Reply {
        let allow = match asked.path {
            "/ping" | "/health" | "/version" | "/devnet/asked" => "GET",
            "/invocations" | "/devnet/mood" => "POST",
            _ => return Reply::Whole(Answer::detail(404, "Not Found")),
        };
        if asked.method != allow {
            return Reply::Whole(Answer::method_not_allowed(allow));
        }
        Reply::Whole(match asked.path {
            "/invocations" => return self.invocation(asked),
            "/version" => Answer::json(VERSION),
            "/devnet/asked" => Answer::json(serde_json::to_vec(&self.seen).unwrap_or_default()),
            "/devnet/mood" => self.set_mood(asked.body).unwrap_or_else(|why| Answer::detail(400, &why)),
            _ => Answer::json("\n"),
        })
    }

    fn set_mood(&mut self, body: &[u8]) -> Result<Answer, String> {
        let request: MoodRequest =
            serde_json::from_slice(body).map_err(|e| format!("send {{\"mood\": \"nan\", \"count\": 3}}: {e}"))?;
        let mood: Mood = request.mood.parse().map_err(|e: super::MoodError| e.to_string())?;
        let said = format!(
            "{{\"mood\":{},\"count\":{}}}",
            serde_json::json!(mood.to_string()),
            serde_json::json!(request.count)
        );
        if let Mood::Swap(file) = &mood {
            self.model = Model::load(file).map_err(|e| format!("{e}: {}", e.advice()))?;
        } else {
            self.moods = VecDeque::from([Planned { order: Order { mood, count: request.count }, model: None }]);
        }
        Ok(Answer::json(said))
    }

    /// The mood of this invocation.
    fn mood(&mut self) -> Mood {
        while let Some(planned) = self.moods.front_mut() {
            if let Some(model) = planned.model.take() {
                self.model = model;
            } else if !matches!(planned.order.mood, Mood::Swap(_)) {
                match &mut planned.order.count {
                    Some(0) => {}
                    Some(left) => {
                        *left -= 1;
                        return planned.order.mood.clone();
                    }
                    None => return planned.order.mood.clone(),
                }
            }
            self.moods.pop_front();
        }
        Mood::None
    }

    fn invocation(&mut self, asked: &Asked<'_>) -> Reply {
        let document = read(asked);
        let payload = document.as_ref().map_err(Clone::clone).and_then(payload::payload);
        self.remember(payload.as_ref().ok().map(|(key, _)| *key));
        let mood = self.mood();
        if let Some(reply) = mood.before_reading() {
            return reply;
        }
        match payload.and_then(|(key, payload)| self.predict(key, payload)) {
            Ok(rows) => mood.spoil(rows),
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

    fn predict(&self, key: Key, payload: &json::Json) -> Result<Vec<Vec<f64>>, Refusal> {
        let rows = payload::rows(key, payload, self.model.takes())?;
        let raised =
            |error: Box<dyn std::error::Error + Send + Sync>| Refusal::Raised(format!("RuntimeError: {error}"));
        self.model.ask_all(&rows).map_err(raised)
    }
}

/// The JSON document of an invocation, when it says that it is one.
fn read(asked: &Asked<'_>) -> Result<json::Json, Refusal> {
    let content_type = asked.content_type.ok_or(Refusal::Uncaught)?;
    let mut parts = content_type.split(';').map(str::trim);
    let mime = parts.next().unwrap_or_default();
    let parameters: Vec<(&str, &str)> = parts.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    let charset = parameters.iter().rev().find(|(name, _)| *name == "charset").map_or("utf-8", |(_, value)| value);
    if !charset.eq_ignore_ascii_case("utf-8") {
        return Err(Refusal::Charset);
    }
    let mut strangers: Vec<String> = Vec::new();
    for (name, _) in parameters.iter().filter(|(name, _)| *name != "charset") {
        if !strangers.iter().any(|known| known == name) {
            strangers.push((*name).to_owned());
        }
    }
    if !strangers.is_empty() {
        return Err(Refusal::TypeParameters(strangers));
    }
    match mime {
        JSON => json::read(asked.body).map_err(|unreadable| match unreadable {
            Unreadable::TooDeep => Refusal::Uncaught,
            Unreadable::Malformed(error) => {
                let echo = repr_bytes(asked.body);
                Refusal::Invalid(format!(
                    "Ensure that input is a valid JSON formatted string. Error: '{error}'\nInput: \n{echo}\n"
                ))
            }
        }),
        "text/csv" | "application/vnd.apache.parquet" => {
            Err(Refusal::Raised(format!("NotImplementedError: this hub does not read {mime}")))
        }
        _ => Err(Refusal::Type(content_type.to_owned())),
    }
}
