//! What a return code says about an order: MetaTrader 5's trade return codes (MQL5 reference, "Return Codes of the Trade
//! Server") and the gateway's own negative ones.
//!
//! A code is a refusal only where the order provably was not carried out. Every code that leaves that open, and every code
//! that is not listed, is [`Class::Unknown`]: a timeout is not a refusal.

/// What a code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Carried out in full.
    Done,
    /// Carried out in part.
    Partial,
    /// Accepted, not carried out yet.
    Placed,
    /// Refused.
    Refused {
        /// The same order would be refused again until a person changes something.
        lasting: bool,
    },
    /// The order may be at the broker or not.
    Unknown,
}

impl Class {
    /// For the table in the docs: what it is called there, and what the node does.
    #[must_use]
    pub const fn consequence(self) -> (&'static str, &'static str) {
        match self {
            Self::Done => ("done", "The order is `acked`, where the rest of the reply agrees; its ticket is recorded."),
            Self::Partial => {
                ("partial", "The order is `acked` with the volume that the reply states; without one it is `unknown`.")
            }
            Self::Placed => (
                "placed",
                "The order is `unknown`, unless `order-send` leaves positions to stops at the broker: there it is `acked`.",
            ),
            Self::Refused { lasting: false } => ("refused", "The order is `rejected`. The next slot may decide again."),
            Self::Refused { lasting: true } => (
                "refused until something changes",
                "The order is `rejected`. After three of these in a row only closing orders leave (`reducing`).",
            ),
            Self::Unknown => {
                ("unknown", "The order is `unknown`. It is never sent again, and settled by evidence or by a person.")
            }
        }
    }
}

/// Every code that has a meaning of its own.
pub fn listed() -> impl Iterator<Item = i64> {
    (-4..=-1).rev().chain(10_004..=10_046).filter(|code| meaning(*code) != UNLISTED)
}

/// The order is complete.
pub const DONE: i64 = 10009;

/// The gateway could not read the request, or does not know what became of it; its text says which.
const GATEWAY_UNREAD: i64 = -1;

/// The class of a code. `text` decides where a gateway uses one code for two things.
#[must_use]
pub fn class(retcode: i64, text: &str) -> Class {
    match retcode {
        10008 => Class::Placed,
        DONE => Class::Done,
        10010 => Class::Partial,
        10004 | 10006 | 10018 | 10020 | 10021 | 10024 | 10028 | 10029 => Class::Refused { lasting: false },
        GATEWAY_UNREAD if leaves_open(text) => Class::Unknown,
        10007
        | 10013..=10017
        | 10019
        | 10022
        | 10023
        | 10025..=10027
        | 10030
        | 10032..=10046
        | GATEWAY_UNREAD
        | -2
        | -3 => Class::Refused { lasting: true },
        _ => Class::Unknown,
    }
}

/// Errors in words that a gateway has only before an order is carried out. Any other words leave open what became of it: gateways
/// say "no connection" and "call failed" also when the terminal has taken the order.
const REFUSALS: [&str; 14] = [
    "symbol not found",
    "invalid symbol",
    "invalid volume",
    "invalid price",
    "invalid stops",
    "invalid request",
    "market closed",
    "market is closed",
    "not enough money",
    "trade disabled",
    "autotrading disabled",
    "has no attribute",
    "missing field",
    "payload is missing",
];

/// The class of an error without a code of its own: that of a return code which its words name, else a refusal only when the words
/// are on a short list.
#[must_use]
pub fn class_of_text(text: &str) -> Class {
    if leaves_open(text) {
        return Class::Unknown;
    }
    let words = text.to_lowercase();
    let named: Vec<i64> = words
        // With its sign: negative numbers are errors of the terminal's interface.
        .split(|char: char| !char.is_ascii_digit() && char != '-')
        .filter(|digits| digits.len() == 5 && digits.starts_with("100"))
        .filter_map(|digits| digits.parse().ok())
        .collect();
    match named[..] {
        [code] => match class(code, text) {
            refused @ Class::Refused { .. } => refused,
            _ => Class::Unknown,
        },
        [] if is_refusal(&words) => Class::Refused { lasting: true },
        _ => Class::Unknown,
    }
}

fn is_refusal(words: &str) -> bool {
    // "Symbol EURUSD not found": the name stands between.
    let symbol = words.contains("symbol") && (words.contains("not found") || words.contains("not available"));
    symbol || REFUSALS.iter().any(|refusal| words.contains(refusal))
}

/// Whether a text says that the terminal did not answer in time.
fn leaves_open(text: &str) -> bool {
    let text = text.to_lowercase();
    ["timeout", "time out", "timed out", "time-out", "unknown"].iter().any(|sign| text.contains(sign))
}

const UNLISTED: &str = "a code that is not listed";

/// What a code is called.
#[must_use]
pub const fn meaning(retcode: i64) -> &'static str {
    match retcode {
        10004 => "requote",
        10006 => "rejected",
        10007 => "cancelled by the trader",
        10008 => "placed, not yet filled",
        DONE => "done",
        10010 => "done partially",
        10011 => "processing error",
        10012 => "cancelled by timeout",
        10013 => "invalid request",
        10014 => "invalid volume",
        10015 => "invalid price",
        10016 => "invalid stops",
        10017 => "trade disabled",
        10018 => "market closed",
        10019 => "not enough money",
        10020 => "prices changed",
        10021 => "no quotes",
        10022 => "invalid expiration",
        10023 => "order state changed",
        10024 => "too many requests",
        10025 => "no changes",
        10026 => "autotrading disabled by the server",
        10027 => "autotrading disabled by the terminal",
        10028 => "locked for processing",
        10029 => "order or position frozen",
        10030 => "invalid filling type",
        10031 => "no connection to the trade server",
        10032 => "only on live accounts",
        10033 => "limit of pending orders",
        10034 => "limit of volume",
        10035 => "incorrect order type",
        10036 => "position already closed",
        10038 => "close volume too large",
        10039 => "close order exists",
        10040 => "limit of positions",
        10041..=10046 => "refused by a rule of the symbol or account",
        GATEWAY_UNREAD => "the gateway could not read or follow the request",
        -2 => "the gateway misses a field",
        -3 => "a field is out of the gateway's range",
        -4 => "the gateway failed inside",
        _ => UNLISTED,
    }
}
