//! What goes wrong at a node, and with which requests: `METHOD:FAULT[=VALUE][@N[-M]]`. The method is one of JSON-RPC
//! (`broadcast_tx_sync`), the last part of a query's path (`Simulate`, `AccountInfo`), or `*` for every request; requests are
//! counted for each rule, from 1, since the script was given.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::{FaultRule, FaultRuleError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is done, and the connection ends without an answer.
    LostReply,
    /// The connection is reset, and nothing is done.
    Reset,
    /// Nothing is done, and nothing comes.
    Hang,
    /// The answer comes after so long.
    Delay(Duration),
    /// This HTTP status in place of an answer, and `Retry-After` in seconds.
    Http(u16, Option<u32>),
    /// The answer without its second half, as a whole body.
    Truncated,
    /// The connection ends in the middle of the answer.
    CutOff,
    /// A page of HTML with status 200.
    Html,
    /// A JSON-RPC error with this text.
    Error(String),
    /// The application answers a query with this text.
    QueryFails(String),
    /// The query's path or the method is unknown to this node.
    Unknown,
    /// CheckTx answers this code.
    Refused(String, u32),
    /// The mempool is full.
    Full,
    /// The transaction is taken, and vanishes from the mempool.
    Evicted,
    /// The sequence is smaller by so much.
    OldSequence(u64),
    /// After the answer was made, the price of gas is so many uallo.
    ThenPrice(u64),
    /// After the answer was made, so many blocks follow.
    ThenBlocks(u32),
    /// A gRPC connection is told to go away; over HTTP it is closed.
    GoAway,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    #[error("'{0}' names no method; write METHOD:FAULT, such as broadcast_tx_sync:lost-reply@2")]
    NoMethod(String),
    #[error(transparent)]
    Rule(#[from] FaultRuleError<FaultError>),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no fault of a chain's node")]
pub struct FaultError(String);

/// A rule of a script, and how many requests it was asked about.
#[derive(Debug, Clone)]
pub(super) struct Scripted {
    method: String,
    rule: FaultRule<Fault>,
    seen: u64,
}

impl Scripted {
    /// Which fault a request with these names meets: that of the first rule for it.
    pub(super) fn decide(script: &mut [Self], names: &[&str]) -> Option<Fault> {
        let mut decided = None;
        for scripted in
            script.iter_mut().filter(|scripted| scripted.method == "*" || names.contains(&&*scripted.method))
        {
            scripted.seen += 1;
            if decided.is_none() && (scripted.rule.first..=scripted.rule.last).contains(&scripted.seen) {
                decided = Some(scripted.rule.fault.clone());
            }
        }
        decided.flatten()
    }
}

impl FromStr for Scripted {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (method, rule) = text.split_once(':').ok_or_else(|| ScriptError::NoMethod(text.to_owned()))?;
        if method.is_empty() {
            return Err(ScriptError::NoMethod(text.to_owned()));
        }
        Ok(Self { method: method.to_owned(), rule: rule.parse()?, seen: 0 })
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || FaultError(text.to_owned());
        fn number<T: FromStr>(value: &str) -> Option<T> {
            value.parse().ok()
        }
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let fault = match (name, value) {
            ("lost-reply", None) => Some(Self::LostReply),
            ("reset", None) => Some(Self::Reset),
            ("hang", None) => Some(Self::Hang),
            ("truncated", None) => Some(Self::Truncated),
            ("cut-off", None) => Some(Self::CutOff),
            ("html", None) => Some(Self::Html),
            ("unknown", None) => Some(Self::Unknown),
            ("full", None) => Some(Self::Full),
            ("evicted", None) => Some(Self::Evicted),
            ("go-away", None) => Some(Self::GoAway),
            ("delay", Some(value)) => humantime::parse_duration(value).ok().map(Self::Delay),
            ("http", Some(value)) => match value.split_once('/') {
                Some((status, after)) => number(status).zip(number(after)).map(|(s, a)| Self::Http(s, Some(a))),
                None => number(value).map(|status| Self::Http(status, None)),
            },
            ("error", Some(value)) => Some(Self::Error(value.to_owned())),
            ("query-fails", Some(value)) => Some(Self::QueryFails(value.to_owned())),
            ("refused", Some(value)) => {
                value.split_once('/').and_then(|(space, code)| Some(Self::Refused(space.to_owned(), number(code)?)))
            }
            ("old-sequence", Some(value)) => number(value).map(Self::OldSequence),
            ("then-price", Some(value)) => number(value).map(Self::ThenPrice),
            ("then-blocks", Some(value)) => number(value).map(Self::ThenBlocks),
            _ => None,
        };
        fault.ok_or_else(bad)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LostReply => f.write_str("lost-reply"),
            Self::Reset => f.write_str("reset"),
            Self::Hang => f.write_str("hang"),
            Self::Delay(time) => write!(f, "delay={}", humantime::format_duration(*time).to_string().replace(' ', "")),
            Self::Http(status, None) => write!(f, "http={status}"),
            Self::Http(status, Some(after)) => write!(f, "http={status}/{after}"),
            Self::Truncated => f.write_str("truncated"),
            Self::CutOff => f.write_str("cut-off"),
            Self::Html => f.write_str("html"),
            Self::Error(text) => write!(f, "error={text}"),
            Self::QueryFails(text) => write!(f, "query-fails={text}"),
            Self::Unknown => f.write_str("unknown"),
            Self::Refused(space, code) => write!(f, "refused={space}/{code}"),
            Self::Full => f.write_str("full"),
            Self::Evicted => f.write_str("evicted"),
            Self::OldSequence(by) => write!(f, "old-sequence={by}"),
            Self::ThenPrice(price) => write!(f, "then-price={price}"),
            Self::ThenBlocks(blocks) => write!(f, "then-blocks={blocks}"),
            Self::GoAway => f.write_str("go-away"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_as_it_is_written() {
        for text in [
            "lost-reply",
            "reset",
            "hang",
            "delay=250ms",
            "http=429/7",
            "http=503",
            "truncated",
            "cut-off",
            "html",
            "error=boom",
            "unknown",
            "refused=sdk/20",
            "full",
            "evicted",
            "old-sequence=1",
            "then-price=25",
            "then-blocks=3",
            "go-away",
        ] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        for text in ["moody", "http", "http=x", "delay=soon", "refused=sdk", "reset=1"] {
            assert_eq!(text.parse::<Fault>(), Err(FaultError(text.to_owned())));
        }
    }

    #[test]
    fn each_rule_counts_the_requests_that_it_is_for() {
        let mut script: Vec<Scripted> =
            ["tx:reset@2", "Simulate:hang", "*:html@4"].map(|text| text.parse().unwrap()).into();
        let mut decide = |names: &[&str]| Scripted::decide(&mut script, names);
        assert_eq!(decide(&["tx"]), None);
        assert_eq!(decide(&["abci_query", "Simulate"]), Some(Fault::Hang));
        assert_eq!(decide(&["tx"]), Some(Fault::Reset));
        assert_eq!(decide(&["status"]), Some(Fault::Html));
        assert_eq!(decide(&["status"]), None);
    }

    #[test]
    fn a_rule_without_a_method_is_refused() {
        for text in ["reset", ":reset"] {
            assert_eq!(text.parse::<Scripted>().map(|_| ()), Err(ScriptError::NoMethod(text.to_owned())));
        }
        assert!(matches!("tx:moody".parse::<Scripted>().map(|_| ()), Err(ScriptError::Rule(_))));
    }
}
