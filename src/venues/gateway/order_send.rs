//! The dialect `order-send`: what is asked in which bytes, and what a reply is worth. Pure.
//!
//! An order is confirmed or refused only by a well-formed reply whose parts agree with one another and with the order;
//! everything else leaves open what became of it. `retcode` decides, not `error`, which this dialect also raises for orders
//! that were carried out in part.
//!
//! The gateway remembers the ids of orders that ended 10009, and only those, and looks there before it looks at the action.
//! So the same id under an action that it does not know asks about an order without any effect.

use rust_decimal::Decimal;
use sentinel_actors::domain::intent::{Intent, IntentKey};
use sentinel_actors::domain::order::{Fill, Order, Role, Side, Ticket};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Evidence, Submission};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::Exits;
use super::dialect::{Dialect, LotLimits, Protocol};
use super::retcode::{Class, DONE, class, meaning};

pub const DIALECT: Dialect = Dialect {
    name: "order-send",
    protocol: Protocol::OrderSend,
    reports_positions: false,
    closes_by_ticket: false,
    has_order_ids: true,
    has_quotes: false,
    lots: LotLimits { least: Decimal::from_parts(1, 0, 0, false, 2), most: Decimal::ONE_HUNDRED, decimals: 2 },
};

/// Namespace of the request ids. Changing it would make orders of earlier versions unknown to the gateway.
const NAMESPACE: Uuid = Uuid::from_u128(0x308e_1ce2_3f4c_42f9_a2e3_1b75_9ac4_a078);

/// Characters of a gateway's text that are kept.
const TEXT_CHARS_MAX: usize = 200;

/// Characters of the key in an order's comment, which takes 31 at most.
const COMMENT_KEY_CHARS: usize = 20;

/// Why this dialect cannot carry an order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// Lots go out with two decimals.
    #[error("a volume of {0} lots is not between 0.01 and 100.00 in steps of 0.01")]
    Volume(Decimal),
    /// Only an opposite order ends a position, and only where positions net.
    #[error("this dialect closes a position by an opposite order, on a netting account only; ticket {0} stays open")]
    Close(Ticket),
    /// 0 says "none" here, and a negative price nothing.
    #[error("a stop or target at {0} is no price")]
    Level(Decimal),
    /// A position that ends at the broker unseen cannot be counted.
    #[error("positions are counted from confirmed orders here, so an order may have no stop and no target")]
    Levels,
}

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

/// The id that all requests about a key carry.
#[must_use]
pub fn req_id(key: &IntentKey) -> Uuid {
    Uuid::new_v5(&NAMESPACE, key.as_str().as_bytes())
}

/// The comment by which a person finds the order in the terminal.
#[must_use]
pub fn comment(key: &IntentKey) -> String {
    format!("sn:{}", key.as_str().chars().take(COMMENT_KEY_CHARS).collect::<String>())
}

/// The request for an order. Written by hand because the volume is a number with exactly two decimals.
///
/// # Errors
/// When the dialect has no words for it.
pub fn order_request(
    key: &IntentKey,
    order: &Order,
    magic: u32,
    exits: Exits,
    now: UtcMs,
) -> Result<String, Unsendable> {
    let kind = match order.side {
        Side::Buy => "OP_BUY",
        Side::Sell => "OP_SELL",
    };
    if let (Role::Close(ticket), Exits::AtBroker) = (order.role, exits) {
        return Err(Unsendable::Close(ticket));
    }
    if exits == Exits::ByOrders && (order.stop_price.is_some() || order.target_price.is_some()) {
        return Err(Unsendable::Levels);
    }
    if let Some(level) =
        [order.stop_price, order.target_price].into_iter().flatten().find(|level| *level <= Decimal::ZERO)
    {
        return Err(Unsendable::Level(level));
    }
    let level = |price: Option<Decimal>| price.unwrap_or_default().normalize();
    Ok(format!(
        concat!(
            r#"{{"action":"ORDER_SEND","req_id":"{}","timestamp":{},"payload":{{"symbol":{},"type":"{}","volume":{},"#,
            r#""magic":{},"comment":{},"sl":{},"tp":{}}}}}"#
        ),
        req_id(key),
        Decimal::new(now.0, 3),
        Value::from(order.symbol.as_str()),
        kind,
        volume(order.volume_lots)?,
        magic,
        Value::from(comment(key)),
        level(order.stop_price),
        level(order.target_price),
    ))
}

/// The question what became of a key. It names no order, so no gateway could carry one out.
#[must_use]
pub fn status_request(key: &IntentKey) -> String {
    format!(r#"{{"action":"ORDER_STATUS","req_id":"{}","payload":{{}}}}"#, req_id(key))
}

/// Two decimals, no more and no fewer.
fn volume(lots: Decimal) -> Result<Decimal, Unsendable> {
    let mut volume = lots;
    volume.rescale(DIALECT.lots.decimals);
    if DIALECT.lots.allow(lots) { Ok(volume) } else { Err(Unsendable::Volume(lots)) }
}

/// Reads a reply.
///
/// # Errors
/// The text says why it is none.
pub fn read(bytes: &[u8]) -> Result<Reply, String> {
    let cause = match serde_json::from_slice(bytes) {
        // A list of the right values would pass for the object.
        Ok(_) if !bytes.trim_ascii_start().starts_with(b"{") => "no object".to_owned(),
        Ok(reply) => return Ok(reply),
        Err(error) => error.to_string(),
    };
    let text = String::from_utf8_lossy(bytes.get(..TEXT_CHARS_MAX * 4).unwrap_or(bytes));
    Err(format!("the reply is none of this dialect ({}): {}", cleaned(&cause), cleaned(&text)))
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
        let (id, symbol) = (req_id(key).to_string(), order.symbol.to_ascii_lowercase());
        let stated_id = [&self.req_id, &self.data["req_id"]].into_iter().find_map(text);
        let stated_side = [&self.data["type"], &self.data["side"]].into_iter().find_map(text);
        let other = [
            stated_id.filter(|stated| *stated != id),
            // Brokers add suffixes to their symbols.
            text(&self.data["symbol"]).filter(|stated| !stated.contains(&symbol) && !symbol.contains(stated.as_str())),
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
        let price = decimal(&self.data["price"]).filter(|price| *price > Decimal::ZERO);
        Ok(Submission::Acked(Fill { ticket, volume_lots, price, text: self.to_string() }.into()))
    }

    /// The filled volume, when the reply names one.
    fn stated_volume(&self, order: &Order) -> Result<Option<Decimal>, String> {
        let stated = &self.data["volume"];
        if stated.is_null() {
            return Ok(None);
        }
        match decimal(stated)
            .and_then(in_hundredths)
            .filter(|volume| *volume > Decimal::ZERO && *volume <= order.volume_lots)
        {
            Some(volume) => Ok(Some(volume)),
            None => Err(format!("a volume of {} does not fit the order", cleaned(&stated.to_string()))),
        }
    }
}

/// For people: the meaning of the code and the gateway's own words.
impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}): {}", meaning(self.retcode), self.retcode, cleaned(&self.msg))
    }
}

/// A volume in steps of 0.01, less the noise of a float. Any other could never be closed.
fn in_hundredths(lots: Decimal) -> Option<Decimal> {
    let rounded = lots.round_dp(2);
    ((lots - rounded).abs() < Decimal::new(1, 9)).then_some(rounded)
}

/// A JSON number as it was written, to the last digit that a float keeps.
fn decimal(value: &Value) -> Option<Decimal> {
    let text = value.as_number()?.to_string();
    Decimal::from_str_exact(&text).or_else(|_| Decimal::from_scientific(&text)).ok()
}

/// A text from outside, safe to print and to keep.
fn cleaned(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(TEXT_CHARS_MAX).collect()
}
