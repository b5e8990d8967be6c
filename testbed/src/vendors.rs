//! Vendors of market bars, as EODHD and Tiingo answer: a server on loopback whose market, clock and troubles a test decides.
//!
//! What is known of the real ones, and how: from the vendor's documentation (documented), from a captured reply or a client that
//! parses it (captured), from a user's measurement (measured), or not at all (assumed). No live vendor was asked.
//!
//! EODHD, `GET /api/intraday/{TICKER}?interval=1m|5m|1h&from=UNIX&to=UNIX&fmt=json` (documented); key in `Authorization: Bearer`
//! or `api_token` (documented). Rows have `timestamp` (open, unix seconds), `gmtoffset`, `datetime`, four prices and `volume`
//! (captured); null prices and rows of zeros (captured); Saturday minutes, and native hours that differ from the minutes
//! (measured); the newest row may be forming (assumed). 401, 402, 403, 404, 429, `X-RateLimit-*`, the longest ranges (documented); the
//! body of 422 (captured).
//!
//! Tiingo, `GET /tiingo/crypto/prices?tickers=` and `GET /tiingo/fx/{ticker}/prices`, with `startDate`, `endDate`, `resampleFreq`
//! (documented); key in `Authorization: Token` (documented); both forms of `date`, `tradesDone` as a float (captured); at most
//! 10,000 rows (captured of another list of it), the oldest ones (assumed); words and `detail` with status 200 (captured).
//!
//! It shares no code with the clients that it judges.

mod market;
mod replies;
mod server;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

pub use self::market::{Market, Prices};
pub use self::server::Vendors;

/// Unix milliseconds.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Which request meets which trouble: by its number, from 1, and the server's time.
pub type Plan = Arc<dyn Fn(u64, i64) -> Option<Fault> + Send + Sync>;

/// What a server is.
#[derive(Clone)]
pub struct Options {
    pub market: Market,
    pub now: Now,
    /// The only key that is taken.
    pub key: String,
    pub plan: Plan,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Another status, with what belongs to it.
    Status { code: u16, headers: Vec<(&'static str, String)>, body: String },
    /// The connection stays open, and nothing comes.
    Hang,
    /// The right answer, byte by byte.
    Dribble,
    /// Half of the right answer.
    Truncated,
    /// More than anybody reads.
    Oversized,
    /// Said to be compressed.
    Compressed,
    /// The connection ends without an answer.
    Reset,
    /// The right answer, at a time that is off by so many seconds.
    DateOff(i64),
}

impl Fault {
    #[must_use]
    pub fn status(code: u16, body: &str) -> Self {
        Self::Status { code, headers: Vec::new(), body: body.to_owned() }
    }

    /// Words instead of bars.
    #[must_use]
    pub fn words(text: &str) -> Self {
        Self::status(200, text)
    }
}

/// A request that came.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    pub number: u64,
    /// The server's time.
    pub at: i64,
    pub path: String,
    /// Without the key.
    pub query: Vec<(String, String)>,
    pub has_key: bool,
    pub fault: Option<Fault>,
    pub status: u16,
    /// Rows of the right answer.
    pub rows: usize,
}

/// Every request, in the order in which they came.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Asked>>>);

impl Log {
    #[must_use]
    pub fn all(&self) -> Vec<Asked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, asked: Asked) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    }
}

/// Where it is.
fn base_url(address: SocketAddr) -> String {
    format!("http://{address}")
}
