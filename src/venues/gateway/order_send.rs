//! The dialect `order-send`: what is asked in which bytes, and what a reply is worth. Pure.
//!
//! An order is confirmed or refused only by a well-formed reply whose parts agree with one another and with the order;
//! everything else leaves open what became of it. `retcode` decides, not `error`, which this dialect also raises for orders
//! that were carried out in part.
//!
//! The gateway remembers the ids of orders that ended 10009, and only those, and looks there before it looks at the action.
//! So the same id under an action that it does not know asks about an order without any effect.

use rust_decimal::Decimal;
use sentinel_actors::domain::evidence::Grade;
use sentinel_actors::domain::intent::{Intent, IntentKey};
use sentinel_actors::domain::order::{Fill, Order, Role, Side, Ticket};
use sentinel_actors::ports::{Evidence, Submission};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::Exits;
use super::dialect::{Dialect, IN_HUNDREDTHS, Talk};
use super::retcode::{Class, DONE, class, meaning};
use super::speech::{AsksById, Reading, Speech, Terms, Unsendable};
use super::values::{cleaned, comment, filled_of, is_same_symbol, levels, object, price, req_id, two_decimals};

pub const DIALECT: Dialect = Dialect {
    name: "order-send",
    talk: Talk::Requests(&OrderSend),
    reports_positions: false,
    closes_by_ticket: false,
    carries_exits: true,
    echoes_ids: false,
    asks_by_id: true,
    tells_account: false,
    has_quotes: false,
    evidence: &[Grade::Id],
    lots: IN_HUNDREDTHS,
    words: &[],
};

#[derive(Debug)]
pub struct OrderSend;

/// A reply that can be read.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Reply {
    error: bool,
    /// 0: none.
    ticket: u64,
    msg: String,
    retcode: i64,
    #[serde(default)]
    data: Value,
    /// Not part of the dialect.
    #[serde(default)]
    req_id: Value,
}

/// The request for an order. Written by hand because the volume is a number with exactly two decimals.
///
/// # Errors
/// When the dialect has no words for it.
pub fn order_request(key: &IntentKey, order: &Order, terms: &Terms) -> Result<String, Unsendable> {
    let kind = match order.side {
        Side::Buy => "OP_BUY",
        Side::Sell => "OP_SELL",
    };
    if let (Role::Close(ticket), Exits::AtBroker) = (order.role, terms.exits) {
        return Err(Unsendable::Close(ticket));
    }
    if terms.exits == Exits::ByOrders && (order.stop_price.is_some() || order.target_price.is_some()) {
        return Err(Unsendable::Levels);
    }
    let [stop, target] = levels(order)?;
    Ok(format!(
        concat!(
            r#"{{"action":"ORDER_SEND","req_id":"{}","timestamp":{},"payload":{{"symbol":{},"type":"{}","volume":{},"#,
            r#""magic":{},"comment":{},"sl":{},"tp":{}}}}}"#
        ),
        req_id(key),
        Decimal::new(terms.now.0, 3),
        Value::from(order.symbol.as_str()),
        kind,
        two_decimals(order.volume_lots)?,
        terms.magic,
        Value::from(comment(key)),
        stop.normalize(),
        target.normalize(),
    ))
}

/// The question what became of a key. It names no order, so no gateway could carry one out.
#[must_use]
pub fn status_request(key: &IntentKey) -> String {
    format!(r#"{{"action":"ORDER_STATUS","req_id":"{}","payload":{{}}}}"#, req_id(key))
}

/// Reads a reply.
///
/// # Errors
/// The text says why it is none.
pub fn read(bytes: &[u8]) -> Result<Reply, String> {
    object(bytes)
}

impl Speech for OrderSend {
    fn order(&self, key: &IntentKey, order: &Order, terms: &Terms) -> Result<String, Unsendable> {
        order_request(key, order, terms)
    }

    fn judge(&self, reply: &[u8], key: &IntentKey, order: &Order, exits: Exits) -> Reading {
        let reply = match read(reply) {
            Ok(reply) => reply,
            Err(why) => return Reading::Unreadable(why),
        };
        if reply.is_remembered() {
            let text = format!("the gateway knew this id before the order was handed over: {reply}");
            return Reading::Remembered(text);
        }
        match reply.about_another(key, order) {
            Some(why) => Reading::Stranger(why),
            None => Reading::Own { submission: reply.judge(order, exits), ticket: reply.ticket() },
        }
    }

    /// A reply carries no id.
    fn is_sound(&self, reply: &[u8], _: Uuid) -> bool {
        read(reply).is_ok()
    }

    fn by_id(&self) -> Option<&dyn AsksById> {
        Some(self)
    }
}

impl AsksById for OrderSend {
    fn question(&self, key: &IntentKey) -> String {
        status_request(key)
    }

    fn answer(&self, reply: &[u8], intent: &Intent, magic: u32, ticket: Option<Ticket>) -> Evidence {
        match read(reply) {
            Ok(reply) => reply.judge_status(intent, magic, ticket),
            Err(why) => Evidence::NotNow(why),
        }
    }

    fn names_an_order(&self, reply: &[u8]) -> Option<String> {
        read(reply).ok().filter(|reply| reply.ticket().is_some()).map(|reply| reply.to_string())
    }
}

impl Reply {
    /// The ticket that it names, whatever it is worth.
    #[must_use]
    pub fn ticket(&self) -> Option<Ticket> {
        (self.ticket > 0).then_some(Ticket(self.ticket))
    }

    /// Whether it was answered from the gateway's memory of ids: right for a question about an order, wrong for an order.
    #[must_use]
    pub fn is_remembered(&self) -> bool {
        self.retcode == DONE && self.msg.starts_with("Cached")
    }

    /// Why it cannot be the reply to this order, when it says so itself. The dialect promises no id and no echo of the
    /// order; what a gateway adds all the same must fit.
    #[must_use]
    pub fn about_another(&self, key: &IntentKey, order: &Order) -> Option<String> {
        let text = |value: &Value| value.as_str().map(str::to_ascii_lowercase);
        let id = req_id(key).to_string();
        let stated_id = [&self.req_id, &self.data["req_id"]].into_iter().find_map(text);
        let stated_side = [&self.data["type"], &self.data["side"]].into_iter().find_map(text);
        let other = [
            stated_id.filter(|stated| *stated != id),
            self.data["symbol"].as_str().filter(|stated| !is_same_symbol(stated, &order.symbol)).map(str::to_owned),
            stated_side.filter(|stated| stated.trim_start_matches("op_") != order.side.code()),
        ];
        let stated = other.into_iter().flatten().next()?;
        Some(format!("the reply is about another order, '{}': {self}", cleaned(&stated)))
    }

    /// What it says about the order that it answers.
    #[must_use]
    pub fn judge(&self, order: &Order, exits: Exits) -> Submission {
        self.verdict(order, exits).unwrap_or_else(|why| Submission::Unknown(format!("{why}: {self}")))
    }

    fn verdict(&self, order: &Order, exits: Exits) -> Result<Submission, String> {
        match class(self.retcode, &self.msg) {
            Class::Done if self.error => Err("an order that is done comes as an error".to_owned()),
            Class::Done => self.receipt(self.stated_volume(order)?.unwrap_or(order.volume_lots)),
            Class::Partial => match self.stated_volume(order)? {
                Some(filled) => self.receipt(filled),
                None => Err("a partial fill comes without its volume".to_owned()),
            },
            Class::Placed => match (exits, self.ticket()) {
                (Exits::AtBroker, _) => self.receipt(order.volume_lots),
                (Exits::ByOrders, Some(ticket)) => {
                    Err(format!("placed as ticket {ticket}, and this dialect cannot say whether it filled"))
                }
                (Exits::ByOrders, None) => Err("placed, and this dialect cannot say whether it filled".to_owned()),
            },
            Class::Refused { .. } if self.ticket > 0 => Err("a refusal comes with a ticket".to_owned()),
            Class::Refused { lasting } => {
                Ok(Submission::Rejected { code: Some(self.retcode), text: self.to_string(), lasting })
            }
            Class::Unknown => Err("the reply leaves open what became of the order".to_owned()),
        }
    }

    /// What it says about an order when it answers [`status_request`]. `ticket` is what an earlier reply named.
    #[must_use]
    pub fn judge_status(&self, intent: &Intent, magic: u32, ticket: Option<Ticket>) -> Evidence {
        let Some(order) = intent.order() else {
            return Evidence::Undecidable("a gateway knows of orders only".to_owned());
        };
        let why = match self.is_remembered().then(|| self.verdict(order, Exits::AtBroker)) {
            Some(Ok(Submission::Acked(receipt))) => return Evidence::Found(receipt),
            Some(Err(why)) => why,
            _ => "the gateway cannot tell, and that it does not remember an order proves nothing".to_owned(),
        };
        let ticket = ticket.or(self.ticket()).map(|ticket| format!(", ticket {ticket}")).unwrap_or_default();
        Evidence::Undecidable(format!(
            "{why} ({self}); look in the terminal's orders, deals and positions for a {} of {} {} with the comment {} and \
             the magic number {magic}{ticket}",
            order.side,
            order.volume_lots.normalize(),
            order.symbol,
            comment(&intent.key),
        ))
    }

    fn receipt(&self, volume_lots: Decimal) -> Result<Submission, String> {
        let ticket = self.ticket().ok_or("an order that was carried out comes without a ticket")?;
        let price = price(&self.data["price"]);
        Ok(Submission::Acked(Fill { ticket, volume_lots, price, text: self.to_string() }.into()))
    }

    /// The filled volume, when the reply names one.
    fn stated_volume(&self, order: &Order) -> Result<Option<Decimal>, String> {
        let stated = &self.data["volume"];
        if stated.is_null() { Ok(None) } else { filled_of(stated, order.volume_lots).map(Some) }
    }
}

/// For people: the meaning of the code and the gateway's own words.
impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}): {}", meaning(self.retcode), self.retcode, cleaned(&self.msg))
    }
}
