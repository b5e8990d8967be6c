//! What is said to the gateway. Pure.

use rust_decimal::Decimal;
use sentinel_actors::domain::intent::IntentKey;
use sentinel_actors::domain::order::{Order, Role};
use serde_json::{Value, json};

use super::super::dialect::IN_HUNDREDTHS;
use super::super::speech::Unsendable;
use super::account::Guard;
use super::note::{EXPIRY_AHEAD_MAX_MS, Note};
use super::reply::VERSION;
use super::session::Heard;

/// How far a price may move between quote and fill, where the broker's execution has such a limit at all: Market and Exchange have none.
const DEVIATION_POINTS_MAX: u32 = 20;

/// What `ledger_at_send` says where it is not known, or where the gateway was started since: no store has this name, so the gateway goes by evidence.
const NO_LEDGER: &str = "unknown";

/// The action that an order is.
pub(super) const fn action(order: &Order) -> &'static str {
    match order.role {
        Role::Open => "OPEN",
        Role::Close(_) => "CLOSE",
    }
}

/// An order. `expires_at` is by the gateway's clock.
///
/// # Errors
/// When the protocol has no words for it.
pub(super) fn effect(
    key: &IntentKey,
    order: &Order,
    magic: u32,
    (note, seen, expires_at): (&Note, u64, i64),
) -> Result<String, Unsendable> {
    if !IN_HUNDREDTHS.allow(order.volume_lots) {
        return Err(Unsendable::Volume(order.volume_lots));
    }
    let [stop, target] = [order.stop_price, order.target_price];
    if let Some(level) = [stop, target].into_iter().flatten().find(|level| *level <= Decimal::ZERO) {
        return Err(Unsendable::Level(level));
    }
    let volume = text(order.volume_lots);
    let payload = match order.role {
        Role::Open => json!({
            "symbol": order.symbol, "side": order.side.code(), "volume": volume, "sl": stop.map(text), "tp": target.map(text),
            "magic": magic, "max_deviation_points": DEVIATION_POINTS_MAX,
        }),
        Role::Close(ticket) => json!({
            "ticket": ticket.0, "symbol": order.symbol, "volume": volume, "magic": magic,
            "max_deviation_points": DEVIATION_POINTS_MAX,
        }),
    };
    let request = json!({
        "v": VERSION, "id": key.as_str(), "action": action(order), "expires_at": expires_at, "guard": note.guard,
        "ledger": note.ledger, "seen": seen, "payload": payload,
    });
    Ok(request.to_string())
}

/// A question that is about no order. With a guard it is answered for that account only.
pub(super) fn question(id: &str, action: &str, guard: Option<&Guard>, payload: Value) -> String {
    let mut request = json!({ "v": VERSION, "id": id, "action": action, "payload": payload });
    if let Some(guard) = guard {
        request["guard"] = json!(guard);
    }
    request.to_string()
}

/// What a question about an order goes by.
pub(super) struct About<'a> {
    pub(super) key: &'a IntentKey,
    pub(super) order: &'a Order,
    pub(super) magic: u32,
    /// `None`: it is not known how it was handed over.
    pub(super) note: Option<&'a Note>,
}

/// Asks the gateway that has said this of itself what became of an order.
pub(super) fn status(id: &str, about: &About<'_>, guard: Option<&Guard>, heard: &Heard) -> String {
    let About { key, order, magic, note } = about;
    let ledger_at_send = note.filter(|note| note.is_of_start(heard.boot)).map_or(NO_LEDGER, |note| &note.ledger);
    let seen = note.filter(|note| note.ledger == heard.ledger).map_or(heard.seen, |note| heard.seen.max(note.seen));
    let mut asked = json!({
        "action": action(order), "symbol": order.symbol, "side": order.side.code(), "volume": text(order.volume_lots), "magic": magic,
    });
    if let Role::Close(ticket) = order.role {
        asked["ticket"] = json!(ticket.0);
    }
    let payload = json!({
        "about": key.as_str(),
        "ledger_at_send": ledger_at_send,
        "sent_at": note.map_or(0, |note| note.sent_at),
        "expires_at": note.map_or_else(|| heard.now().saturating_add(EXPIRY_AHEAD_MAX_MS), |note| note.expires_by),
        "order": asked,
    });
    let mut request = json!({
        "v": VERSION, "id": id, "action": "ORDER_STATUS", "ledger": heard.ledger, "seen": seen, "payload": payload,
    });
    if let Some(guard) = guard {
        request["guard"] = json!(guard);
    }
    request.to_string()
}

fn text(number: Decimal) -> String {
    number.normalize().to_string()
}
