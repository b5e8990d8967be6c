//! The dialect `expert-advisor`: straight to a program inside the terminal that searches messages for words. Pure.
//!
//! A newer one trades on any message in which `magic` or `action` stands, an older one on `TRADE` or `EXECUTION`; what it cannot
//! read it fills in, BUY for the direction and 0.01 for the volume. So nothing but orders is ever sent to it: no heartbeat, no
//! question about an order, about positions or quotes. It ignores a stop and a target, and an older one ignores the symbol and
//! trades that of its chart.

use sentinel_actors::domain::intent::IntentKey;
use sentinel_actors::domain::order::{Fill, Order, Role, Ticket};
use sentinel_actors::ports::Submission;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::Exits;
use super::dialect::{Dialect, IN_HUNDREDTHS, Talk};
use super::retcode::{Class, class, class_of_text, meaning};
use super::speech::{Reading, Speech, Terms, Unsendable};
use super::values::{cleaned, direction, filled_of, is_same_symbol, object, price, two_decimals};

pub const DIALECT: Dialect = Dialect {
    name: "expert-advisor",
    talk: Talk::Requests(&ExpertAdvisor),
    reports_positions: false,
    closes_by_ticket: false,
    carries_exits: false,
    echoes_ids: false,
    asks_by_id: false,
    tells_account: false,
    has_quotes: false,
    evidence: &[],
    lots: IN_HUNDREDTHS,
    words: &["TRADE", "EXECUTION", "magic", "action"],
};

/// Its buffer has 1,024 bytes, and the last one ends the text.
const BYTES_MAX: usize = 1_023;

#[derive(Debug)]
pub struct ExpertAdvisor;

/// A reply that can be read.
#[derive(Debug, Deserialize)]
struct Reply {
    status: String,
    #[serde(default)]
    ticket: Value,
    #[serde(default)]
    retcode: Value,
    #[serde(default)]
    deal: Value,
    #[serde(default)]
    msg: Value,
    #[serde(default)]
    volume: Value,
    #[serde(default)]
    price: Value,
    #[serde(default)]
    symbol: Value,
}

impl Speech for ExpertAdvisor {
    /// Flat, because it knows no nested objects, and without an id or a comment, which it would not pass on.
    fn order(&self, _: &IntentKey, order: &Order, terms: &Terms) -> Result<String, Unsendable> {
        if let (Role::Close(ticket), Exits::AtBroker) = (order.role, terms.exits) {
            return Err(Unsendable::Close(ticket));
        }
        if order.stop_price.is_some() || order.target_price.is_some() {
            return Err(Unsendable::Levels);
        }
        let is_plain =
            order.symbol.chars().all(|char| char.is_ascii_graphic() && !matches!(char, '"' | '\\' | '{' | '}'));
        if !is_plain || DIALECT.word_in(&order.symbol).is_some() {
            return Err(Unsendable::Word(order.symbol.clone()));
        }
        let request = format!(
            r#"{{"action":"TRADE","symbol":"{}","type":"{}","volume":{},"magic":{},"sl":0.0,"tp":0.0}}"#,
            order.symbol,
            direction(order.side),
            two_decimals(order.volume_lots)?,
            terms.magic,
        );
        if request.len() > BYTES_MAX { Err(Unsendable::TooLong(request.len())) } else { Ok(request) }
    }

    fn judge(&self, reply: &[u8], _: &IntentKey, order: &Order, _: Exits) -> Reading {
        let reply: Reply = match object(reply) {
            Ok(reply) => reply,
            Err(why) => return Reading::Unreadable(why),
        };
        match reply.symbol.as_str().filter(|stated| !is_same_symbol(stated, &order.symbol)) {
            Some(stated) => {
                Reading::Stranger(format!("the reply is about another symbol, '{}': {reply}", cleaned(stated)))
            }
            None => Reading::Own { submission: reply.judge(order), ticket: reply.ticket() },
        }
    }

    /// A reply carries no id.
    fn is_sound(&self, reply: &[u8], _: Uuid) -> bool {
        object::<Reply>(reply).is_ok()
    }
}

impl Reply {
    /// The ticket that it names, whatever it is worth.
    fn ticket(&self) -> Option<Ticket> {
        self.ticket.as_u64().filter(|ticket| *ticket > 0).map(Ticket)
    }

    fn judge(&self, order: &Order) -> Submission {
        let verdict = match self.status.as_str() {
            "FILLED" => self.filled(order),
            "ERROR" => self.refused(),
            _ => Err("the status is none of this dialect".to_owned()),
        };
        verdict.unwrap_or_else(|why| Submission::Unknown(format!("{why}: {self}")))
    }

    /// It says so whenever the terminal took the request, whatever the trade server made of it: the return code decides.
    fn filled(&self, order: &Order) -> Result<Submission, String> {
        let is_partial = match self.retcode.as_i64().map(|code| class(code, &self.text())) {
            None if self.retcode.is_null() => false,
            Some(Class::Done) => false,
            Some(Class::Partial) => true,
            Some(Class::Refused { .. }) => return self.refused(),
            Some(Class::Placed) => return Err("placed, and this dialect cannot say whether it filled".to_owned()),
            Some(Class::Unknown) | None => {
                return Err("the return code leaves open what became of the order".to_owned());
            }
        };
        let ticket = self.ticket().ok_or("an order that is said to be filled comes without a ticket")?;
        if self.deal.as_u64() == Some(0) {
            return Err("an order that is said to be filled comes without a deal".to_owned());
        }
        let volume_lots = match (&self.volume, is_partial) {
            (Value::Null, false) => order.volume_lots,
            (Value::Null, true) => return Err("a partial fill comes without its volume".to_owned()),
            (stated, _) => filled_of(stated, order.volume_lots)?,
        };
        Ok(Submission::Acked(Fill { ticket, volume_lots, price: price(&self.price), text: self.to_string() }.into()))
    }

    fn refused(&self) -> Result<Submission, String> {
        if self.ticket().is_some() {
            return Err("a refusal comes with a ticket".to_owned());
        }
        let code = self.retcode.as_i64();
        match code.map_or_else(|| class_of_text(&self.text()), |code| class(code, &self.text())) {
            Class::Refused { lasting } => Ok(Submission::Rejected { code, text: self.to_string(), lasting }),
            _ => Err("the error leaves open what became of the order".to_owned()),
        }
    }

    fn text(&self) -> String {
        self.msg.as_str().map(cleaned).unwrap_or_default()
    }
}

/// For people: the status, the meaning of the code, and the advisor's own words.
impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&cleaned(&self.status))?;
        if let Some(code) = self.retcode.as_i64() {
            write!(f, ", {} ({code})", meaning(code))?;
        }
        if let Some(ticket) = self.ticket() {
            write!(f, ", ticket {ticket}")?;
        }
        let text = self.text();
        if text.is_empty() { Ok(()) } else { write!(f, ": {text}") }
    }
}
