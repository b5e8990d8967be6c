//! An MQL5 Expert Advisor that answers messages by itself: it searches the text for words, and whatever it takes for an order it
//! trades. Pure.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::{Value, json};

use super::codes;
use super::market::Side;
use super::reply::Answer;
use super::request::{Dialect, Order, Parsed, Request, RequestError};

/// Which of the two that are in the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advisor {
    /// Trades on "magic" and "action"; says FILLED with whatever code the server gave.
    Newer,
    /// Trades on "TRADE" and "EXECUTION", always the symbol of its chart, and 0.01 lots unless the message says more.
    Older,
}

impl Advisor {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Newer => "newer",
            Self::Older => "older",
        }
    }

    /// Bytes of a message that it reads.
    const fn buffer(self) -> usize {
        match self {
            Self::Newer => 1_023,
            Self::Older => 4_095,
        }
    }

    /// A message as it is understood. `chart` is the symbol of the chart that the advisor is attached to.
    #[must_use]
    pub fn parse(self, raw: &[u8], chart: &str) -> Parsed {
        let text = String::from_utf8_lossy(raw.get(..self.buffer()).unwrap_or(raw));
        let is_trade = match self {
            Self::Newer => ["magic", "action"].iter().any(|word| text.contains(word)),
            Self::Older => ["TRADE", "EXECUTION"].iter().any(|word| text.contains(word)),
        };
        let (action, request) = match (is_trade, text.contains("GET_SYMBOL_INFO")) {
            (true, _) => ("TRADE", Ok(Request::Order(self.order(&text, chart)))),
            (false, true) => ("GET_SYMBOL_INFO", Ok(Request::Quote(chart.to_owned()))),
            (false, false) => ("", Err(RequestError::new(codes::PARSE, "Unknown message"))),
        };
        Parsed { dialect: Dialect::ExpertAdvisor, action: action.to_owned(), req_id: None, stated_ms: None, request }
    }

    fn order(self, text: &str, chart: &str) -> Order {
        let default = match self {
            Self::Newer => Decimal::ZERO,
            Self::Older => Decimal::new(1, 2),
        };
        let symbol = match self {
            Self::Newer => after(text, "\"symbol\"").map(|rest| rest.chars().take_while(|c| *c != '"').collect()),
            Self::Older => None,
        };
        let number = |name: &str| {
            let digits = |rest: &str| rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect::<String>();
            after(text, name).map(digits).and_then(|digits| digits.parse::<Decimal>().ok())
        };
        Order {
            symbol: symbol.unwrap_or_else(|| chart.to_owned()),
            side: if text.contains("\"SELL\"") { Side::Sell } else { Side::Buy },
            volume: number("\"volume\"").unwrap_or(default).normalize(),
            // Both ignore them.
            sl: None,
            tp: None,
            magic: number("\"magic\"").and_then(|magic| magic.to_i64()).unwrap_or(0),
            comment: String::new(),
        }
    }

    #[must_use]
    pub fn render(self, answer: &Answer) -> Value {
        match answer {
            Answer::Filled { ticket, partial, .. } => {
                let code = if *partial { codes::DONE_PARTIALLY } else { codes::DONE };
                match self {
                    Self::Newer => json!({"status": "FILLED", "ticket": ticket, "retcode": code, "deal": ticket}),
                    Self::Older => json!({"status": "FILLED", "ticket": ticket}),
                }
            }
            Answer::Placed(ticket) => {
                json!({"status": "FILLED", "ticket": ticket, "retcode": codes::PLACED, "deal": 0})
            }
            Answer::Refused(error) if error.code > 0 => match self {
                Self::Newer => json!({"status": "FILLED", "ticket": 0, "retcode": error.code, "deal": 0}),
                Self::Older => json!({"status": "ERROR", "retcode": error.code}),
            },
            Answer::Refused(error) => json!({"status": "ERROR", "msg": error.text}),
            Answer::Quote(quote) => {
                json!({"status": "OK", "data": {"bid": quote.bid.to_f64(), "ask": quote.ask.to_f64()}})
            }
            _ => json!({"status": "ERROR", "msg": "Unknown message"}),
        }
    }
}

/// The value of a key, without the colon and an opening quote.
fn after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let rest = text.split_once(key)?.1.trim_start().strip_prefix(':')?.trim_start();
    Some(rest.strip_prefix('"').unwrap_or(rest))
}
