//! One HTTP call to the hub: POST, one deadline for all of it, one answer or one error.
//!
//! The deadline is over connecting, writing and reading together, so a server that sends byte by byte holds no caller longer
//! than one that says nothing. A call that fails on a kept connection is made once more on a new one: asking has no effect,
//! and servers drop idle connections without notice. No other failure is repeated here; the next cycle asks again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url, redirect, retry};
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::ModelError;
use tokio::time::{Instant, timeout_at};

use super::access::{Access, HubAddress};
use super::connects::{Connects, watching};
use super::error::{MlflowError, short};

/// An idle connection is not used again after this: MLflow's server drops it at about 5 s.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// Bytes of an answer.
const ANSWER_MAX: usize = 1 << 20;

/// Bytes of an error's text that are read: enough for what is kept of it.
const ERROR_MAX: usize = 16 << 10;

/// When a call must be over. One instant is shared by all that a call consists of, so that an inner part ends, and is noted
/// as a failure, no later than the whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    until: Instant,
    allowed: Duration,
}

impl Limit {
    pub(super) fn of(allowed: Duration, from: Instant) -> Self {
        Self { until: from + allowed, allowed }
    }

    pub(super) fn earlier(self, other: Self) -> Self {
        if other.until < self.until { other } else { self }
    }

    pub(super) async fn keep<T>(self, call: impl Future<Output = Result<T, ModelError>>) -> Result<T, ModelError> {
        timeout_at(self.until, call).await.unwrap_or(Err(ModelError::Timeout(self.allowed)))
    }
}

/// The connection to a hub.
pub(super) struct HubClient {
    http: Client,
    url: Url,
    access: Access,
    connects: Connects,
    retries: AtomicU64,
}

impl HubClient {
    pub(super) fn new(address: &HubAddress, access: Access) -> Result<Self, MlflowError> {
        let url = address.invocations()?;
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        if let Some(value) = access.header()? {
            headers.insert(AUTHORIZATION, value);
        }
        let connects = Connects::default();
        // Certificates are checked with ring against the system's store. An error means that a provider was chosen before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder()
            .user_agent(concat!("sentinel/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .http1_only()
            .tcp_nodelay(true)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(retry::never())
            .https_only(address.tls)
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(1)
            .connector_layer(connects.clone());
        // Without TLS nothing is looked up in the system's store, which a small container does not have.
        let builder = if address.tls { builder } else { builder.tls_certs_only([]) };
        let http = builder.build().map_err(MlflowError::Client)?;
        Ok(Self { http, url, access, connects, retries: AtomicU64::new(0) })
    }

    /// Connections made so far.
    pub(super) fn connects(&self) -> u64 {
        self.connects.count()
    }

    /// Calls that were made a second time.
    pub(super) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// The body of the answer.
    pub(super) async fn post(&self, body: &[u8], limit: Limit) -> Result<Vec<u8>, ModelError> {
        let call = async {
            let response = self.send(body).await?;
            if response.status() == StatusCode::OK { self.answer(response).await } else { self.refusal(response).await }
        };
        limit.keep(call).await
    }

    /// A server's text, made safe for a log.
    pub(super) fn printable(&self, text: &str) -> String {
        short(&self.access.hide(text))
    }

    async fn send(&self, body: &[u8]) -> Result<Response, ModelError> {
        let request = || self.http.post(self.url.clone()).body(body.to_vec()).send();
        match watching(request()).await {
            (Ok(response), _) => Ok(response),
            (Err(_), false) => {
                self.retries.fetch_add(1, Ordering::Relaxed);
                request().await.map_err(|error| self.unavailable(error))
            }
            (Err(error), true) => Err(self.unavailable(error)),
        }
    }

    async fn answer(&self, mut response: Response) -> Result<Vec<u8>, ModelError> {
        let body = self.read(&mut response, ANSWER_MAX).await?;
        body.ok_or_else(|| ModelError::Unparseable(format!("it is longer than {ANSWER_MAX} bytes")))
    }

    async fn refusal(&self, mut response: Response) -> Result<Vec<u8>, ModelError> {
        let mut text = Vec::new();
        while text.len() < ERROR_MAX {
            // A text that breaks off is still the best there is.
            let Ok(Some(chunk)) = response.chunk().await else { break };
            text.extend_from_slice(&chunk);
        }
        let text = self.printable(&String::from_utf8_lossy(&text));
        Err(ModelError::Status { status: response.status().as_u16(), text })
    }

    /// The whole body, or nothing when it is too long.
    async fn read(&self, response: &mut Response, bytes_max: usize) -> Result<Option<Vec<u8>>, ModelError> {
        if response.content_length().is_some_and(|length| length > bytes_max as u64) {
            return Ok(None);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unavailable(error))? {
            if body.len() + chunk.len() > bytes_max {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body))
    }

    fn unavailable(&self, error: reqwest::Error) -> ModelError {
        ModelError::Unavailable(self.printable(&chain(&error.without_url())))
    }
}
