//! One HTTP call to a server: one deadline for all of it, one answer or one error.
//!
//! The deadline is over connecting, writing and reading together, so a server that sends byte by byte holds no caller longer
//! than one that says nothing. A POST that fails on a kept connection is made once more on a new one, because servers drop
//! idle connections without notice: only what has no effect may be asked for in this way. No other failure is repeated here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode, Url, redirect, retry};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use sentinel_actors::meters::Calls;
use sentinel_actors::ports::elapsed_now;

use super::access::Access;
use super::answer::{Answer, date_of};
use super::connects::{Connects, watching};
use super::counted::Counted;
use super::deadline::Deadline;
use super::error::{CallError, HttpError};
use super::headers::Headers;
use super::secret::{Secret, Secrets};
use super::secret_url::SecretUrl;
use super::text::{redacted, shortened};

/// Bytes of an error's text that are read: enough for what is kept of it.
const ERROR_MAX: usize = 16 << 10;

/// How a server is asked.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// HTTPS and nothing else, checked against the system's certificates; without it HTTP, for which a system needs none.
    pub tls: bool,
    /// Sent with every call.
    pub access: Access,
    /// Sent with every call.
    pub headers: Headers,
    /// For making a connection; `None`: as long as the call may take.
    pub connect_max: Option<Duration>,
    /// An idle connection is not used again after this.
    pub idle_max: Duration,
    /// Bytes of an answer.
    pub body_max: usize,
}

/// Resolution of the header `Date`.
pub const DATE_RESOLUTION: Duration = Duration::from_secs(1);

/// Is told at once what an answer's `Date` says, and how long its head was on its way. It must return at once.
pub type DateObserver = Arc<dyn Fn(UtcMs, Duration) + Send + Sync>;

/// What is posted to an address that is a secret.
#[derive(Debug)]
pub struct Hook<'h> {
    pub url: &'h SecretUrl,
    pub content_type: &'static str,
    /// One more, by name and value.
    pub header: Option<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// The client of one server; keeps at most one idle connection to it. Its secrets go wherever it is used.
pub struct HttpClient {
    http: Client,
    access: Access,
    secrets: Secrets,
    body_max: usize,
    connects: Connects,
    retries: AtomicU64,
    dates: Option<DateObserver>,
    counted: Counted,
}

impl HttpClient {
    /// A client that has connected to nothing yet.
    ///
    /// # Errors
    /// When what the server asks for cannot be sent, or the system has no certificates.
    pub fn new(settings: ClientSettings) -> Result<Self, HttpError> {
        let ClientSettings { tls, access, headers, connect_max, idle_max, body_max } = settings;
        let mut always = HeaderMap::new();
        headers.add_to(&mut always);
        if let Some(value) = access.header()? {
            always.insert(AUTHORIZATION, value);
        }
        let secrets = Secrets::new(access.secrets().into_iter().chain(headers.secrets()).collect());
        let connects = Connects::default();
        // Certificates are checked with ring against the system's store. An error means that a provider was chosen before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder()
            .user_agent(concat!("sentinel/", env!("CARGO_PKG_VERSION")))
            .default_headers(always)
            .http1_only()
            .tcp_nodelay(true)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(retry::never())
            .https_only(tls)
            .pool_idle_timeout(idle_max)
            .pool_max_idle_per_host(1)
            .connector_layer(connects.clone());
        // Without TLS nothing is looked up in the system's store, which a small container does not have.
        let builder = if tls { builder } else { builder.tls_certs_only([]) };
        let builder = connect_max.into_iter().fold(builder, ClientBuilder::connect_timeout);
        let http = builder.build().map_err(HttpError::Client)?;
        let (retries, counted) = (AtomicU64::new(0), Counted::default());
        Ok(Self { http, access, secrets, body_max, connects, retries, dates: None, counted })
    }

    /// Counts its calls there from now on, unless they are counted elsewhere already.
    pub fn count_in(&self, calls: Arc<Calls>) {
        self.counted.count_in(calls);
    }

    /// Tells `dates` from now on what time the server says it is.
    pub fn tell_dates(&mut self, dates: DateObserver) {
        self.dates = Some(dates);
    }

    /// Connections made so far.
    #[must_use]
    pub fn connects(&self) -> u64 {
        self.connects.count()
    }

    /// Calls that were made a second time, because a kept connection was dead.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// The body of the answer to a POST. The call may reach the server twice.
    ///
    /// # Errors
    /// When there is no answer, it is too long, or its status is not 200.
    pub async fn post_json(&self, url: &Url, body: &[u8], until: Deadline) -> Result<Vec<u8>, CallError> {
        self.counted.note(until.keep(self.call(|| self.json(url, body))).await)
    }

    /// The answer to a POST of JSON, whatever its status. The call may reach the server twice.
    ///
    /// # Errors
    /// When there is no answer, it is too long, or it is compressed.
    pub async fn post(&self, url: &Url, body: &[u8], until: Deadline) -> Result<Answer, CallError> {
        let call = async { self.whole(self.send(|| self.json(url, body)).await?).await };
        self.counted.note(until.keep(call).await)
    }

    /// As [`HttpClient::post`], for what may have an effect: the call reaches the server at most once.
    ///
    /// # Errors
    /// When there is no answer, it is too long, or it is compressed.
    pub async fn post_once(&self, url: &Url, body: &[u8], until: Deadline) -> Result<Answer, CallError> {
        let call = async {
            let response = self.head(self.json(url, body)).await.map_err(|error| self.no_response(error))?;
            self.whole(response).await
        };
        self.counted.note(until.keep(call).await)
    }

    /// The answer to what is posted to an address that is a secret, at most once. Its status counts: of its body only the beginning is
    /// read, and one that cannot be read is empty.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post_hook(&self, hook: Hook<'_>, until: Deadline) -> Result<Answer, CallError> {
        let Hook { url, content_type, header, body } = hook;
        let request = self.http.post(url.url().clone()).header(CONTENT_TYPE, content_type).body(body);
        let request = header.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let send = async { request.send().await.map_err(|error| self.no_response(error)) };
        let response = until.keep(send).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = until.keep(async { Ok::<_, CallError>(beginning(response).await) }).await.unwrap_or_default();
        Ok(Answer { status, headers, body })
    }

    /// Keeps more out of every text.
    #[must_use]
    pub fn hiding(self, more: Vec<Secret>) -> Self {
        Self { secrets: self.secrets.and(more), ..self }
    }

    /// The answer to a GET, whatever its status. The call reaches the server at most once, so that its caller can count it.
    ///
    /// # Errors
    /// When there is no answer, it is too long, or it is compressed.
    pub async fn get(&self, url: &Url, until: Deadline) -> Result<Answer, CallError> {
        let mut url = url.clone();
        self.access.add_to(&mut url);
        let call = async {
            let response = self.head(self.http.get(url)).await.map_err(|error| self.no_response(error))?;
            self.whole(response).await
        };
        self.counted.note(until.keep(call).await)
    }

    /// A server's text, made safe for a log.
    #[must_use]
    pub fn printable(&self, text: &str) -> String {
        shortened(&redacted(&self.secrets.hide(text)))
    }

    fn json(&self, url: &Url, body: &[u8]) -> RequestBuilder {
        self.http.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body.to_vec())
    }

    async fn whole(&self, response: Response) -> Result<Answer, CallError> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if let Some(encoding) = headers.get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
            return Err(CallError::Encoded(self.printable(&String::from_utf8_lossy(encoding.as_bytes()))));
        }
        Ok(Answer { status, headers, body: self.answer(response).await? })
    }

    async fn call(&self, request: impl Fn() -> RequestBuilder) -> Result<Vec<u8>, CallError> {
        let response = self.send(request).await?;
        if response.status() == StatusCode::OK { self.answer(response).await } else { self.refusal(response).await }
    }

    async fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Response, CallError> {
        match watching(self.head(request())).await {
            (Ok(response), _) => Ok(response),
            (Err(_), false) => {
                self.retries.fetch_add(1, Ordering::Relaxed);
                self.head(request()).await.map_err(|error| self.unavailable(error))
            }
            (Err(error), true) => Err(self.no_response(error)),
        }
    }

    /// The head of an answer. That of a request that is never answered says nothing.
    async fn head(&self, request: RequestBuilder) -> Result<Response, reqwest::Error> {
        let asked = elapsed_now();
        let response = request.send().await?;
        if let (Some(dates), Some(date)) = (&self.dates, date_of(response.headers())) {
            dates(date, elapsed_now().saturating_duration_since(asked));
        }
        Ok(response)
    }

    async fn answer(&self, mut response: Response) -> Result<Vec<u8>, CallError> {
        let bytes_max = self.body_max;
        if response.content_length().is_some_and(|length| length > bytes_max as u64) {
            return Err(CallError::TooLong { bytes_max });
        }
        // At once, because growing would hold the answer twice.
        let expected = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(0);
        let mut body = Vec::with_capacity(expected.min(bytes_max));
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unavailable(error))? {
            if body.len() + chunk.len() > bytes_max {
                return Err(CallError::TooLong { bytes_max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    async fn refusal(&self, response: Response) -> Result<Vec<u8>, CallError> {
        let status = response.status().as_u16();
        let text = self.printable(&String::from_utf8_lossy(&beginning(response).await));
        Err(CallError::Status { status, text })
    }

    /// Of a request that was made on a new connection, or on none.
    fn no_response(&self, error: reqwest::Error) -> CallError {
        match (error.is_connect(), self.unavailable(error)) {
            (true, CallError::Unavailable(text)) => CallError::Unreachable(text),
            (_, error) => error,
        }
    }

    fn unavailable(&self, error: reqwest::Error) -> CallError {
        CallError::Unavailable(self.printable(&chain(&error.without_url())))
    }
}

/// What a server says, as far as somebody reads it.
async fn beginning(mut response: Response) -> Vec<u8> {
    let mut text = Vec::new();
    while text.len() < ERROR_MAX {
        // A text that breaks off is still the best there is.
        let Ok(Some(chunk)) = response.chunk().await else { break };
        text.extend_from_slice(&chunk);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request on each connection with this head.
    async fn serve(listener: TcpListener, head: &str) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n{head}\r\n{{}}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    async fn told(head: &'static str) -> Vec<(UtcMs, Duration)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let settings = ClientSettings {
            tls: false,
            access: Access::Open,
            headers: Headers::default(),
            connect_max: None,
            idle_max: Duration::ZERO,
            body_max: 100,
        };
        let (mut client, told) = (HttpClient::new(settings).unwrap(), Arc::new(Mutex::new(Vec::new())));
        let kept = told.clone();
        client.tell_dates(Arc::new(move |date, way| kept.lock().unwrap().push((date, way))));
        let calls = async {
            let until = Deadline::of(Duration::from_secs(30), elapsed_now());
            client.get(&url, until).await.unwrap();
            client.post_json(&url, b"{}", until).await.unwrap();
            client.post_once(&url, b"{}", until).await.unwrap();
        };
        tokio::select! {
            () = serve(listener, head) => {}
            () = calls => {}
        }
        told.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn every_answer_tells_the_servers_time_unless_a_cache_has_kept_it() {
        let date = UtcMs::from_secs(784_111_777);
        let told_dates = told("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n").await;
        assert_eq!(told_dates.iter().map(|(told, _)| *told).collect::<Vec<_>>(), [date; 3]);
        assert!(told_dates.iter().all(|(_, way)| *way < Duration::from_secs(30)), "{told_dates:?}");
        assert_eq!(told("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nAge: 3\r\n").await, []);
        assert_eq!(told("").await, []);
    }
}
