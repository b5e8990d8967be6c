//! The envelope of a reply: whose it is, and what the gateway says of itself with every one. Pure.
//!
//! A reply counts only when it carries protocol, id and action of the request. What an error says is that its message did nothing;
//! a code that is not listed says nothing.

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;

use super::super::values::{cleaned, object};

pub(super) const VERSION: &str = "sentinel/1";

/// Longest name of a ledger that can be said again.
const LEDGER_CHARS_MAX: usize = 64;

/// Codes that say of their own message that it did nothing. `id_conflict` is not one of them: the id was used. Nor is `too_large`, which
/// may be about the reply to an order that was sent.
const DID_NOTHING: [&str; 10] = [
    "bad_request",
    "bad_version",
    "bad_expiry",
    "unknown_action",
    OTHER_LEDGER,
    "ledger_rolled_back",
    "not_ready",
    NOT_SYNCED,
    "account_mismatch",
    "time_unknown",
];
pub(super) const OTHER_LEDGER: &str = "other_ledger";
/// The id was used for another order.
pub(super) const ID_CONFLICT: &str = "id_conflict";
pub(super) const NOT_SYNCED: &str = "not_synced";

/// What every reply says of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Its clock, in milliseconds UTC.
    pub(super) now: i64,
    /// The name of its store.
    pub(super) ledger: String,
    /// How often it has started on this store.
    pub(super) boot: u64,
    /// Requests that its store holds.
    pub(super) seq: u64,
}

/// An error, which is about its own message.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) text: String,
    #[serde(default)]
    pub(super) lasting: bool,
}

impl Refusal {
    /// Whether it proves that its message did nothing.
    pub(super) fn did_nothing(&self) -> bool {
        DID_NOTHING.contains(&self.code.as_str())
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", cleaned(&self.code), cleaned(&self.text))
    }
}

/// A reply to the request that it was read for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reply {
    pub(super) stamp: Stamp,
    pub(super) answer: Result<Value, Refusal>,
}

#[derive(Debug, Deserialize)]
struct Envelope {
    v: String,
    id: Option<String>,
    action: Option<String>,
    ok: bool,
    now: i64,
    ledger: String,
    boot: u64,
    seq: u64,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    error: Option<Refusal>,
}

/// The reply to the request with this id and action.
///
/// # Errors
/// The text says why it is none.
pub(super) fn read(bytes: &[u8], id: &str, action: &str) -> Result<Reply, String> {
    let said: Envelope = object(bytes)?;
    if said.v != VERSION {
        return Err(format!("the reply speaks {}, and not {VERSION}", cleaned(&said.v)));
    }
    if (said.id.as_deref(), said.action.as_deref()) != (Some(id), Some(action)) {
        let [stated, asked] = [said.id, said.action].map(|part| cleaned(part.as_deref().unwrap_or("none")));
        return Err(format!("the reply is for another request, {asked} {stated}"));
    }
    if !(1..=LEDGER_CHARS_MAX).contains(&said.ledger.chars().count()) || said.now < 0 {
        return Err("the reply says neither of which ledger it is nor what time it is".to_owned());
    }
    let answer = match (said.ok, said.error) {
        (true, None) if said.data.is_object() => Ok(said.data),
        (false, Some(refusal)) => Err(refusal),
        _ => return Err("the reply is neither an answer nor an error".to_owned()),
    };
    Ok(Reply { stamp: Stamp { now: said.now, ledger: said.ledger, boot: said.boot, seq: said.seq }, answer })
}

/// A decimal string.
pub(super) fn decimal(value: &Value) -> Option<Decimal> {
    let text = value.as_str()?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    if is_plain { Decimal::from_str_exact(text).ok() } else { None }
}
