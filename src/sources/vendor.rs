//! A vendor of bars: one client for all pipelines with the same key.
//!
//! What it may be asked is counted before a request goes out, in the bar cache, so that a node which is killed and started
//! again keeps the vendor's limits too. When the vendor wants rest it gets it. Only what may work right away is asked again, within
//! the caller's deadline. No price is ever made up.

mod eodhd;
mod refusal;
mod tiingo;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sentinel_actors::domain::bar::{Interval, RawBar};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::meters::Calls;
use sentinel_actors::ports::{Chance, Clock, SourceError};

use self::refusal::Refusal;
use super::cache::{BarCache, CacheError, Limit, Spent};
use crate::http::{
    Access, Answer, CallError, ClientSettings, DateObserver, Deadline, Headers, HttpClient, HttpError, RetryAfter, Url,
};

/// Bytes of an answer.
const ANSWER_MAX: usize = 16 << 20;
/// For making a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// An idle connection is not used again after this; vendors keep them for a minute or more.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// A request is repeated this often.
const RETRIES: u32 = 2;
/// The longest pause before the first repetition; twice that before the second.
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// How long a vendor is left alone that does not say how long it wants to be.
const REST: Duration = Duration::from_secs(60);
/// The longest rest that a vendor gets.
const REST_MAX: Duration = Duration::from_secs(86_400);
/// A difference between the clocks that is worth a warning.
const CLOCK_WARNING: Duration = Duration::from_secs(2);
/// A difference between the clocks with which a forming bar may pass for a closed one.
const CLOCK_MAX: Duration = Duration::from_secs(30);
/// `Date` has whole seconds.
const DATE_STEP_MS: i64 = 1000;
const DAY_MS: i64 = 86_400_000;

/// Whose bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vendor {
    Eodhd,
    Tiingo,
}

/// Which of a vendor's lists a symbol is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Market {
    Fx,
    Crypto,
}

impl Vendor {
    /// As the configuration names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eodhd => "eodhd",
            Self::Tiingo => "tiingo",
        }
    }

    /// Where it is.
    #[must_use]
    pub const fn base_url(self) -> &'static str {
        match self {
            Self::Eodhd => "https://eodhd.com",
            Self::Tiingo => "https://api.tiingo.com",
        }
    }

    /// The variable of the environment that holds its key.
    #[must_use]
    pub const fn key_variable(self) -> &'static str {
        match self {
            Self::Eodhd => "EODHD_API_TOKEN",
            Self::Tiingo => "TIINGO_API_KEY",
        }
    }

    /// Its ticker of a symbol such as `EURUSD`.
    #[must_use]
    pub fn ticker(self, symbol: &str, market: Market) -> String {
        match self {
            Self::Eodhd => eodhd::ticker(symbol, market),
            Self::Tiingo => tiingo::ticker(symbol),
        }
    }

    /// Whether it has bars of this length.
    #[must_use]
    pub fn has(self, interval: Interval) -> bool {
        self.span_max(interval).is_some()
    }

    fn span_max(self, interval: Interval) -> Option<Duration> {
        match self {
            Self::Eodhd => eodhd::span_max(interval),
            Self::Tiingo => tiingo::span_max(interval),
        }
    }

    fn url(self, base: &Url, ask: &Ask<'_>) -> Url {
        match self {
            Self::Eodhd => eodhd::url(base, ask),
            Self::Tiingo => tiingo::url(base, ask),
        }
    }

    fn read(self, answer: &Answer, ask: &Ask<'_>) -> Result<Vec<RawBar>, Refusal> {
        match self {
            Self::Eodhd => eodhd::read(answer),
            Self::Tiingo => tiingo::read(answer, ask),
        }
    }
}

/// A range of bars.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub ticker: &'a str,
    pub market: Market,
    pub interval: Interval,
    /// Open time of the first bar.
    pub first: UtcMs,
    /// Open time of the last bar.
    pub last: UtcMs,
}

/// How a vendor is asked.
pub struct VendorSettings {
    pub vendor: Vendor,
    pub base_url: Url,
    /// How the key goes along.
    pub access: Access,
    /// Whose requests are counted together: the vendor and a fingerprint of the key.
    pub account: String,
    /// What may be asked.
    pub limits: Vec<Limit>,
}

/// A vendor with one key.
pub struct VendorClient {
    vendor: Vendor,
    base_url: Url,
    http: HttpClient,
    account: String,
    limits: Vec<Limit>,
    cache: Arc<BarCache>,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
    seen: Mutex<Seen>,
}

/// What the vendor's last answers showed.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// How far this machine's clock is ahead, in milliseconds; at least so much, because `Date` has whole seconds. `None`: no answer
    /// has said it.
    ahead_ms: Option<i64>,
    /// The calls that are left by the vendor's own count.
    left: Option<u64>,
}

/// A request without bars.
enum Fault {
    Call(CallError),
    Refused { refusal: Refusal, retry_after: Option<Duration> },
}

impl VendorClient {
    /// A client that has asked nothing yet.
    ///
    /// # Errors
    /// When the key cannot be sent, or the system has no certificates.
    pub fn new(
        settings: VendorSettings,
        cache: Arc<BarCache>,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
    ) -> Result<Self, HttpError> {
        let VendorSettings { vendor, base_url, access, account, limits } = settings;
        let http = HttpClient::new(ClientSettings {
            tls: base_url.scheme() == "https",
            access,
            headers: Headers::default(),
            connect_max: Some(CONNECT_MAX),
            idle_max: IDLE_MAX,
            body_max: ANSWER_MAX,
        })?;
        Ok(Self { vendor, base_url, http, account, limits, cache, clock, chance, seen: Mutex::default() })
    }

    /// Counts its calls there from now on.
    pub fn count_in(&self, calls: Arc<Calls>) {
        self.http.count_in(calls);
    }

    /// Tells `dates` from now on what time the vendor says it is.
    pub fn tell_dates(&mut self, dates: DateObserver) {
        self.http.tell_dates(dates);
    }

    #[must_use]
    pub const fn vendor(&self) -> Vendor {
        self.vendor
    }

    /// `first` to `last` in ranges of one request each, the newest first: when a limit is hit half-way, the newest bars are there.
    #[must_use]
    pub fn requests(&self, interval: Interval, first: UtcMs, last: UtcMs) -> Vec<(UtcMs, UtcMs)> {
        let Some(span) = self.vendor.span_max(interval) else { return Vec::new() };
        let mut ranges = Vec::new();
        let mut end = last;
        while end >= first {
            let begin = interval.close_of(end).minus(span).max(first);
            ranges.push((begin, end));
            end = begin.minus(interval.length());
        }
        ranges
    }

    /// The calls that are left by the vendor's own count, when it has said so.
    #[must_use]
    pub fn calls_left(&self) -> Option<u64> {
        self.seen().left
    }

    /// How many requests the node may still make.
    ///
    /// # Errors
    /// When the cache cannot be used.
    pub fn budget(&self, now: UtcMs) -> Result<Spent, CacheError> {
        self.cache.budget(&self.account, &self.limits, now)
    }

    /// How far this machine's clock is ahead of the vendor's, in milliseconds, as far as is certain; `None`: no answer has said it.
    #[must_use]
    pub fn clock_ahead_ms(&self) -> Option<i64> {
        self.seen().ahead_ms
    }

    /// Demands that the clocks agree well enough to tell a closed bar from a forming one.
    ///
    /// # Errors
    /// When they do not.
    pub fn require_clock(&self) -> Result<(), SourceError> {
        match self.clock_ahead_ms() {
            Some(ahead_ms) if !is_within(ahead_ms, CLOCK_MAX) => Err(SourceError::ClockOff { ahead_ms }),
            _ => Ok(()),
        }
    }

    /// The bars of a range that fits into one request, as delivered: in any order, and with others around the range. Any may be
    /// unusable.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn bars(&self, ask: &Ask<'_>, until: Deadline) -> Result<Vec<RawBar>, SourceError> {
        let url = self.vendor.url(&self.base_url, ask);
        let mut attempt = 0;
        loop {
            self.spend().await?;
            let fault = match self.once(&url, ask, until).await {
                Ok(bars) => return Ok(bars),
                Err(fault) => fault,
            };
            let pause = (PAUSE_MAX * 2_u32.pow(attempt)).mul_f64(self.chance.unit());
            let pause = match &fault {
                Fault::Call(CallError::Unreachable(_) | CallError::Unavailable(_))
                | Fault::Refused { refusal: Refusal::Trouble(_), retry_after: None } => pause,
                Fault::Refused { refusal: Refusal::Trouble(_) | Refusal::TooOften(_), retry_after: Some(wait) } => {
                    pause + *wait
                }
                _ => return Err(self.give_up(fault).await),
            };
            if attempt == RETRIES || pause >= until.left() {
                return Err(self.give_up(fault).await);
            }
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    async fn once(&self, url: &Url, ask: &Ask<'_>, until: Deadline) -> Result<Vec<RawBar>, Fault> {
        let asked = self.clock.now();
        let answer = self.http.get(url, until).await.map_err(Fault::Call)?;
        let answered = self.clock.now();
        if let Some(date) = answer.date() {
            self.note_clock(date, asked, answered);
        }
        if let Some(left) = answer.number("x-ratelimit-remaining") {
            self.seen().left = Some(left);
        }
        let retry_after = answer.retry_after().map(|after| match after {
            RetryAfter::Wait(wait) => wait,
            // By the vendor's clock, as far as it says what that shows.
            RetryAfter::At(at) => at.since(answer.date().unwrap_or(answered)),
        });
        // No vendor means more than a day.
        let retry_after = retry_after.map(|wait| wait.min(REST_MAX));
        self.vendor.read(&answer, ask).map_err(|refusal| Fault::Refused { refusal, retry_after })
    }

    /// Counts a request, or says why there may be none.
    async fn spend(&self) -> Result<(), SourceError> {
        let (account, limits, at) = (self.account.clone(), self.limits.clone(), self.clock.now());
        let spent = self.with_cache(move |cache| {
            if let Some(until) = cache.rest_until(&account, at)? {
                return Ok(Err((until, "it wants no requests until then")));
            }
            Ok(match cache.spend(&account, &limits, at)? {
                Spent::Allowed { .. } => Ok(()),
                Spent::Refused { until } => Err((until, "the node has used up what the configuration lets it ask")),
            })
        });
        spent.await?.map_err(|(until, why)| SourceError::RateLimited {
            retry_after: Some(until.since(at)),
            text: format!("{why}: {until}"),
        })
    }

    async fn with_cache<T: Send + 'static>(
        &self,
        work: impl FnOnce(&BarCache) -> Result<T, CacheError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let cache = self.cache.clone();
        let done = tokio::task::spawn_blocking(move || work(&cache)).await;
        done.map_err(|_| SourceError::Failed("the bar cache was closed".to_owned()))?.map_err(failed_cache)
    }

    /// What a fault means to the cycle. A vendor that wants rest gets it from now on.
    async fn give_up(&self, fault: Fault) -> SourceError {
        let (refusal, retry_after) = match fault {
            Fault::Call(CallError::Timeout(allowed)) => return SourceError::Timeout(allowed),
            Fault::Call(error) => return SourceError::Failed(error.to_string()),
            Fault::Refused { refusal, retry_after } => (refusal, retry_after),
        };
        let now = self.clock.now();
        let rest = match &refusal {
            Refusal::DayUsedUp(_) => Some(next_day(now).since(now)),
            Refusal::TooOften(_) | Refusal::Words(_) => Some(retry_after.unwrap_or(REST)),
            _ => retry_after,
        };
        if let Some(rest) = rest {
            let (account, until) = (self.account.clone(), now.plus(rest));
            if let Err(error) = self.with_cache(move |cache| cache.rest(&account, now, until)).await {
                return error;
            }
        }
        let say = |said: &str| self.http.printable(said);
        let name = self.vendor.name();
        match &refusal {
            Refusal::Credentials(said) => SourceError::Unauthorised(format!(
                "{name}: {}; look at the key in {} or token_file, and whether its plan has these bars",
                say(said),
                self.vendor.key_variable()
            )),
            Refusal::DayUsedUp(said) | Refusal::TooOften(said) => {
                SourceError::RateLimited { retry_after: rest, text: say(said) }
            }
            Refusal::Ticker(said) => {
                SourceError::Failed(format!("{name} does not know {}: look at source.ticker", say(said)))
            }
            Refusal::Request(said) => SourceError::Failed(format!("{name} refused the request: {}", say(said))),
            Refusal::Words(said) => {
                SourceError::Failed(format!("{name} answered in words, so it is left alone for a while: {}", say(said)))
            }
            Refusal::Trouble(said) => SourceError::Failed(format!("{name} has trouble: {}", say(said))),
            Refusal::Unreadable(said) => {
                SourceError::Failed(format!("the answer of {name} cannot be read: {}", say(said)))
            }
        }
    }

    /// The clocks are compared in the middle of a call, and what the call and the whole seconds of `Date` leave open is taken for
    /// agreement.
    fn note_clock(&self, date: UtcMs, asked: UtcMs, answered: UtcMs) {
        let half_call = answered.0.saturating_sub(asked.0) / 2;
        let difference = asked.0.saturating_add(half_call).saturating_sub(date.0.saturating_add(DATE_STEP_MS / 2));
        let open = DATE_STEP_MS / 2 + half_call.abs();
        let ahead_ms = difference.signum() * (difference.abs() - open).max(0);
        let before = self.seen().ahead_ms.replace(ahead_ms).unwrap_or(0);
        let vendor = self.vendor.name();
        match (is_within(before, CLOCK_WARNING), is_within(ahead_ms, CLOCK_WARNING)) {
            (true, false) => tracing::warn!(
                event = "clock_off",
                vendor,
                ahead_ms,
                "this machine's clock differs from the vendor's; with more than 30 s nothing is decided"
            ),
            (false, true) => {
                tracing::info!(event = "clock_agrees", vendor, "this machine's clock agrees with the vendor's again");
            }
            _ => {}
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn failed_cache(error: CacheError) -> SourceError {
    SourceError::Failed(format!("the bar cache cannot be used: {}", sentinel_actors::error_chain::chain(&error)))
}

fn is_within(ahead_ms: i64, max: Duration) -> bool {
    u128::from(ahead_ms.unsigned_abs()) <= max.as_millis()
}

/// The next midnight, UTC.
fn next_day(now: UtcMs) -> UtcMs {
    UtcMs((now.0.div_euclid(DAY_MS).saturating_add(1)).saturating_mul(DAY_MS))
}
