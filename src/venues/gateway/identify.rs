//! Which dialect an unknown endpoint speaks, from one question that no known gateway or advisor takes for a trade.
//!
//! There is one question, it is sent once, and nothing is asked after it: the newer advisor trades on every message with `magic` or
//! `action` in it, also on a heartbeat, and the older one on every message with `TRADE` or `EXECUTION`. The question has none of
//! these words, so it is no request of any dialect but the newer advisor's. What an endpoint says to it tells what it is: each
//! refuses in a form of its own. A form that is nobody's tells nothing, and then nothing more is sent.

use serde_json::{Map, Value};

use super::dialect::{DIALECTS, Dialect};

/// What a message to an endpoint of unknown kind must not have, in small or capital letters.
const NEVER: [&str; 11] =
    ["action", "magic", "trade", "execution", "order", "open", "close", "buy", "sell", "kill", "volume"];

/// What the reply has told.
#[derive(Debug, PartialEq)]
pub enum Identity {
    /// A dialect that this program speaks.
    Spoken(&'static Dialect),
    /// The name of one that it does not speak.
    Foreign(&'static str),
    /// It cannot be told without risk; why.
    Unclear(String),
}

/// The question about the price of a symbol; `None`: the symbol's name could be taken for a command.
#[must_use]
pub fn question(symbol: &str) -> Option<Vec<u8>> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '#' | '+');
    let lower = symbol.to_ascii_lowercase();
    let is_safe = (1..=32).contains(&symbol.len())
        && symbol.chars().all(is_plain)
        && NEVER.iter().all(|word| !lower.contains(word));
    is_safe.then(|| format!("{{\"request\":\"GET_SYMBOL_INFO\",\"symbol\":\"{symbol}\"}}").into_bytes())
}

/// What a reply to [`question`] says of who has sent it.
#[must_use]
pub fn identify(reply: &[u8]) -> Identity {
    let Ok(Value::Object(reply)) = serde_json::from_slice(reply) else {
        return Identity::Unclear("its reply is no JSON object".to_owned());
    };
    if names_a_ticket(&reply) {
        let why = "its reply names a ticket, which no known gateway does: look at the account's positions and history";
        return Identity::Unclear(why.to_owned());
    }
    match name_of(&reply) {
        Some(name) => {
            let spoken = DIALECTS.iter().find(|dialect| dialect.name == name);
            spoken.map_or(Identity::Foreign(name), Identity::Spoken)
        }
        None => {
            let keys: Vec<&str> = reply.keys().take(8).map(String::as_str).collect();
            Identity::Unclear(format!("its reply has the form of no known gateway: it has {}", keys.join(", ")))
        }
    }
}

fn name_of(reply: &Map<String, Value>) -> Option<&'static str> {
    let text = |key: &str| reply.get(key).and_then(Value::as_str);
    let has = |keys: &[&str]| keys.iter().all(|key| reply.contains_key(*key));
    if text("v") == Some("sentinel/1") {
        return Some("sentinel");
    }
    if has(&["ticket", "retcode", "msg"]) && reply.get("error").is_some_and(Value::is_boolean) {
        return Some("order-send");
    }
    if has(&["req_id", "timestamp", "error"]) && matches!(text("status"), Some("SUCCESS" | "ERROR" | "PENDING")) {
        return Some("command");
    }
    let quote = reply.get("data").and_then(Value::as_object);
    let is_quote =
        quote.is_some_and(|data| ["bid", "ask"].iter().all(|side| data.get(*side).is_some_and(Value::is_number)));
    if text("status") == Some("OK") && is_quote {
        return Some("expert-advisor");
    }
    if text("status") == Some("REJECTED") && has(&["error_code", "error_msg"]) {
        return Some("zero-trust");
    }
    None
}

fn names_a_ticket(reply: &Map<String, Value>) -> bool {
    let inner = reply.get("data").and_then(Value::as_object);
    [Some(reply), inner]
        .into_iter()
        .flatten()
        .any(|of| of.get("ticket").is_some_and(|ticket| !matches!(ticket, Value::Null) && ticket.as_i64() != Some(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_has_no_word_that_any_known_gateway_or_advisor_trades_on() {
        let text = String::from_utf8(question("EURUSD").unwrap()).unwrap();
        let lower = text.to_ascii_lowercase();
        assert!(NEVER.iter().all(|word| !lower.contains(word)), "{text}");
        assert!(serde_json::from_str::<Value>(&text).unwrap().as_object().unwrap().len() == 2 && text.len() < 100);
        for wrong in ["", "TRADE", "MyAction", "eurMAGIC", "EUR\"USD", "EUR USD", "EXECUTION.m", &"A".repeat(33)] {
            assert_eq!(question(wrong), None, "{wrong}");
        }
    }

    fn named(reply: &str) -> &'static str {
        match identify(reply.as_bytes()) {
            Identity::Spoken(dialect) => dialect.name,
            Identity::Foreign(name) => name,
            Identity::Unclear(_) => "",
        }
    }

    #[test]
    fn each_dialect_is_known_by_the_form_of_its_refusal_and_everything_else_is_unclear() {
        for (reply, name) in [
            (r#"{"error":true,"ticket":0,"msg":"missing field: action","retcode":-2}"#, "order-send"),
            (r#"{"req_id":null,"status":"ERROR","timestamp":1.5,"data":null,"error":"no action"}"#, "command"),
            (r#"{"status":"OK","data":{"bid":1.1,"ask":1.2}}"#, "expert-advisor"),
            (r#"{"status":"REJECTED","error_code":"BAD","error_msg":"no uuid"}"#, "zero-trust"),
            (
                r#"{"v":"sentinel/1","id":null,"action":null,"ok":false,"error":{"code":"bad_version","text":""}}"#,
                "sentinel",
            ),
            (r#"{"v":"sentinel/2","ok":false}"#, ""),
            (r#"{"status":"ERROR","msg":"unknown"}"#, ""),
            (r#"{"status":"success"}"#, ""),
            (r#"{"status":"FILLED","ticket":12345}"#, ""),
            (r#"{"error":false,"ticket":7,"msg":"","retcode":10009}"#, ""),
            (r#"{"req_id":"1","status":"SUCCESS","timestamp":1,"error":null,"data":{"ticket":7}}"#, ""),
            ("[]", ""),
            ("OK", ""),
            ("", ""),
        ] {
            assert_eq!(named(reply), name, "{reply}");
        }
        let Identity::Unclear(why) = identify(br#"{"status":"FILLED","ticket":12345}"#) else { panic!() };
        assert!(why.contains("look at the account"), "{why}");
    }
}
