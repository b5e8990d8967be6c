//! What goes over the wire: a message to a webhook or to Telegram, and a ping. One attempt each, with a deadline.
//!
//! Promises kept: no redirect is followed, at most 16 KB of an answer are read, and no text that comes from here holds an address, a
//! token or a secret.

use std::time::Duration;

use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::elapsed_now;
use serde::Deserialize;

use super::dead_man::Ping;
use super::message::Message;
use super::outbox::Attempt;
use crate::http::{
    Access, Answer, CallError, ClientSettings, Deadline, Headers, Hook, HttpClient, HttpError, RetryAfter, Secret,
    SecretUrl,
};

/// For one attempt.
const WITHIN: Duration = Duration::from_secs(10);
/// A connection is not used again after this.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// Bytes of an answer that a client holds.
const BODY_MAX: usize = 16 << 10;
/// The header with the HMAC-SHA256 of a webhook's body: `sha256=` and 64 hexadecimal digits.
pub const SIGNATURE: &str = "x-sentinel-signature";

/// Where a route leads.
#[derive(Debug, Clone)]
pub enum Place {
    Webhook {
        url: SecretUrl,
        secret: Option<Secret>,
    },
    /// `url`: that of `sendMessage`, with the token of the bot.
    Telegram {
        url: SecretUrl,
        chat: String,
    },
}

#[derive(Debug, Clone)]
pub struct Route {
    /// As in the configuration.
    pub name: String,
    pub place: Place,
}

/// The service that notices silence.
#[derive(Debug, Clone)]
pub struct DeadManCheck {
    pub url: SecretUrl,
    /// Between two pings.
    pub every: Duration,
}

/// What is told, and to whom. The default tells nobody anything.
#[derive(Debug, Clone, Default)]
pub struct AlertSettings {
    pub routes: Vec<Route>,
    pub dead_man: Option<DeadManCheck>,
}

impl AlertSettings {
    /// Nobody is told anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.dead_man.is_none()
    }

    fn urls(&self) -> impl Iterator<Item = &SecretUrl> {
        self.routes.iter().map(|route| route.place.url()).chain(self.dead_man.iter().map(|check| &check.url))
    }

    fn secrets(&self) -> Vec<Secret> {
        let keys = self.routes.iter().filter_map(|route| match &route.place {
            Place::Webhook { secret, .. } => secret.clone(),
            Place::Telegram { .. } => None,
        });
        self.urls().flat_map(SecretUrl::secrets).chain(keys).collect()
    }
}

impl Place {
    const fn url(&self) -> &SecretUrl {
        match self {
            Self::Webhook { url, .. } | Self::Telegram { url, .. } => url,
        }
    }
}

/// How an attempt ended, and what to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub attempt: Attempt,
    /// One line without a secret.
    pub said: String,
}

/// Makes the calls.
pub struct Courier {
    tls: Option<HttpClient>,
    plain: Option<HttpClient>,
}

impl Courier {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// When the system has no certificates.
    pub fn new(settings: &AlertSettings) -> Result<Self, HttpError> {
        let client = |tls: bool| {
            let is_needed = settings.urls().any(|url| url.is_tls() == tls);
            let client = is_needed.then(|| {
                HttpClient::new(ClientSettings {
                    tls,
                    access: Access::Open,
                    headers: Headers::default(),
                    connect_max: None,
                    idle_max: IDLE_MAX,
                    body_max: BODY_MAX,
                })
            });
            Ok::<_, HttpError>(client.transpose()?.map(|client| client.hiding(settings.secrets())))
        };
        Ok(Self { tls: client(true)?, plain: client(false)? })
    }

    /// One attempt to tell a route.
    pub async fn tell(&self, route: &Route, message: &Message, wall: UtcMs) -> Told {
        match &route.place {
            Place::Webhook { url, secret } => {
                let body = serde_json::to_vec(message).unwrap_or_default();
                let signed = secret.as_ref().map(|secret| (SIGNATURE, format!("sha256={}", secret.hmac_sha256(&body))));
                let hook = Hook { url, content_type: "application/json", header: signed, body };
                self.outcome(url, self.post(hook).await, |_| true, wall)
            }
            Place::Telegram { url, chat } => {
                let body = serde_json::json!({
                    "chat_id": chat, "text": message.chat(), "link_preview_options": { "is_disabled": true },
                });
                let hook =
                    Hook { url, content_type: "application/json", header: None, body: body.to_string().into_bytes() };
                let is_ok = |body: &[u8]| serde_json::from_slice::<Telegram>(body).is_ok_and(|answer| answer.ok);
                self.outcome(url, self.post(hook).await, is_ok, wall)
            }
        }
    }

    /// One attempt to ping.
    pub async fn ping(&self, check: &DeadManCheck, ping: &Ping, wall: UtcMs) -> Told {
        let url = if ping.is_fail { check.url.below("fail") } else { check.url.clone() };
        let body = ping.sentence.clone().into_bytes();
        let hook = Hook { url: &url, content_type: "text/plain; charset=utf-8", header: None, body };
        self.outcome(&url, self.post(hook).await, |_| true, wall)
    }

    async fn post(&self, hook: Hook<'_>) -> Result<Answer, CallError> {
        let client = if hook.url.is_tls() { &self.tls } else { &self.plain };
        match client {
            Some(client) => client.post_hook(hook, Deadline::of(WITHIN, elapsed_now())).await,
            None => Err(CallError::Unreachable("there is no client for it".to_owned())),
        }
    }

    fn outcome(
        &self,
        url: &SecretUrl,
        answer: Result<Answer, CallError>,
        is_accepted: impl Fn(&[u8]) -> bool,
        wall: UtcMs,
    ) -> Told {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Told { attempt: Attempt::Failed { retry_after: None }, said: error.to_string() },
        };
        let attempt = match answer.status {
            200..=299 if is_accepted(&answer.body) => Attempt::Accepted,
            408 | 425 | 429 | 500..=599 => Attempt::Failed { retry_after: pause(&answer, wall) },
            200..=299 => Attempt::Failed { retry_after: None },
            _ => Attempt::Refused,
        };
        let client = if url.is_tls() { &self.tls } else { &self.plain };
        let text = String::from_utf8_lossy(&answer.body);
        let text = client.as_ref().map(|client| client.printable(&text)).unwrap_or_default();
        Told {
            attempt,
            said: format!("the server answered {}: {text}", answer.status).trim_end_matches([':', ' ']).to_owned(),
        }
    }
}

/// What Telegram's Bot API answers.
#[derive(Debug, Default, Deserialize)]
struct Telegram {
    ok: bool,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Debug, Default, Deserialize)]
struct Parameters {
    /// Seconds.
    #[serde(default)]
    retry_after: Option<u64>,
}

/// How long a server wants to be left alone: in its header, or in the body as Telegram says it.
fn pause(answer: &Answer, wall: UtcMs) -> Option<Duration> {
    let telegram = || serde_json::from_slice::<Telegram>(&answer.body).ok()?.parameters.retry_after;
    let pause = match answer.retry_after() {
        Some(RetryAfter::Wait(pause)) => Some(pause),
        Some(RetryAfter::At(at)) => Some(at.since(wall)),
        None => telegram().map(Duration::from_secs),
    };
    // None at all would make a turn of every call.
    pause.map(|pause| pause.max(Duration::from_secs(1)))
}
