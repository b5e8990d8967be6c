//! The judge: what must hold about every run, however it was ended and taken up again.
//!
//! Written from the promises and not from the program. It knows the schedule of these tests, an hourly slot two seconds
//! after the bar's close, and finds the due slots itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rust_decimal::Decimal;

use super::facts::{Facts, Hedged, Intent, Order, Position, Slot};

const HOUR_MS: i64 = 3_600_000;
const AFTER_CLOSE_MS: i64 = 2_000;
/// The number of the pipeline in these tests, and in the demo, by account.
pub const MAGICS: [(&str, i64); 2] = [("test", 7), ("demo", 2017)];
const OUTCOMES: [&str; 4] = ["acted", "no_action", "skipped", "missed"];

/// The first and the last due slot of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub first_ms: i64,
    pub last_ms: i64,
}

/// Reads what is in `state` and accepts it as a run whose slots reach from the first to the last one of `span`.
#[track_caller]
pub fn accept(state: &Path, span: Span) -> Facts {
    let facts = Facts::read(state);
    let faults = faults(&facts, span);
    assert!(faults.is_empty(), "{} faults in {}:\n{}", faults.len(), state.display(), faults.join("\n"));
    facts
}

/// Everything that is wrong with a run that is over.
pub fn faults(facts: &Facts, span: Span) -> Vec<String> {
    let mut faults = order_faults(facts);
    slots(&facts.slots, span, &mut faults);
    faults
}

/// Everything that is wrong with its orders, whatever slots were due.
pub fn order_faults(facts: &Facts) -> Vec<String> {
    let mut faults = facts.damage.clone();
    intents(facts, &mut faults);
    one_to_one(facts, &mut faults);
    match (facts.net_lots, &facts.hedged) {
        (Some(net), _) => net_position(&facts.intents, net, &mut faults),
        (None, Some(hedged)) => hedged_positions(facts, hedged, &mut faults),
        (None, None) => positions(&facts.positions, &facts.orders, &mut faults),
    }
    if facts.double_submits != 0 {
        faults.push(format!("doubled: {} orders came to the book twice", facts.double_submits));
    }
    faults
}

/// Each due slot has exactly one row with one known outcome, and each bar is decided at most once.
fn slots(slots: &[Slot], span: Span, faults: &mut Vec<String>) {
    let due: Vec<i64> = (span.first_ms..=span.last_ms).step_by(usize::try_from(HOUR_MS).unwrap()).collect();
    let rows: Vec<i64> = slots.iter().map(|slot| slot.at_ms).collect();
    if due != rows {
        let (due_set, row_set) = (BTreeSet::from_iter(&due), BTreeSet::from_iter(&rows));
        let holes: Vec<_> = due_set.difference(&row_set).take(5).collect();
        let strays: Vec<_> = row_set.difference(&due_set).take(5).collect();
        faults.push(format!("{} due, {} rows; holes {holes:?}, strays {strays:?}", due.len(), rows.len()));
    }
    let sum: usize = OUTCOMES.iter().map(|one| slots.iter().filter(|slot| slot.outcome == *one).count()).sum();
    if sum != due.len() {
        faults.push(format!("the outcomes add up to {sum}, {} slots were due", due.len()));
    }
    let mut decided = BTreeSet::new();
    for slot in slots {
        if let Some(bar) = slot.decided_bar_ms
            && !decided.insert(bar)
        {
            faults.push(format!("the bar {bar} was decided twice, the second time in {slot:?}"));
        }
        if slot.decided_bar_ms.is_some_and(|bar| bar + HOUR_MS + AFTER_CLOSE_MS > slot.at_ms) {
            faults.push(format!("decided on a bar that was not closed: {slot:?}"));
        }
    }
}

/// An intent's history is one that the rules allow, and its slot reports it.
fn intents(facts: &Facts, faults: &mut Vec<String>) {
    let rows: BTreeMap<i64, &Slot> = facts.slots.iter().map(|slot| (slot.at_ms, slot)).collect();
    for intent in &facts.intents {
        // Where the venue lists positions, they are noted with the same step.
        let history = intent.history.replace("send_after", "send");
        let steps: Vec<&str> = history.split(' ').collect();
        let sent = steps.iter().filter(|step| **step == "send").count();
        let ends_right = match intent.state.as_str() {
            "planned" => steps == ["planned"],
            "sent" => steps == ["planned", "send"],
            "acked" => sent == 1 && matches!(steps.last(), Some(&("acked" | "found" | "settled_acked"))),
            "rejected" => sent == 1 && steps.last() == Some(&"rejected"),
            "absent" => matches!(steps.last(), Some(&("abandon" | "never_left" | "found_absent" | "settled_absent"))),
            "unknown" | "held" => sent == 1,
            _ => false,
        };
        if !ends_right || steps.first() != Some(&"planned") || sent > 1 {
            faults.push(format!("no such history: {intent:?}"));
        }
        let Some(slot) = rows.get(&intent.slot_ms) else {
            faults.push(format!("its slot has no row: {intent:?}"));
            continue;
        };
        if intent.state == "acked" && (slot.outcome != "acted" || !slot.intents.contains(&intent.key)) {
            faults.push(format!("the order of {intent:?} is not reported by {slot:?}"));
        }
    }
    for slot in &facts.slots {
        let intents: Vec<&Intent> = facts.intents.iter().filter(|intent| intent.slot_ms == slot.at_ms).collect();
        let states: Vec<&str> = intents.iter().map(|intent| &*intent.state).collect();
        // The row stays as it was when asking proves later that the venue never had the order, or a person says so; that
        // nothing left is known at once, and no reason for a doubt.
        let ends_absent =
            |intent: &&Intent| ["found_absent", "settled_absent"].iter().any(|end| intent.history.ends_with(end));
        let found_absent = || intents.iter().any(ends_absent);
        let is_reported = match slot.reason.as_str() {
            "order_acked" => states.contains(&"acked"),
            "order_unknown" => {
                states.iter().any(|state| ["sent", "unknown", "held", "acked"].contains(state)) || found_absent()
            }
            "order_rejected" => states.contains(&"rejected"),
            _ => slot.outcome != "acted",
        };
        if !is_reported {
            faults.push(format!("says more than its intents {states:?}: {slot:?}"));
        }
    }
}

/// The book and the journal name the same orders.
fn one_to_one(facts: &Facts, faults: &mut Vec<String>) {
    let intents: BTreeMap<&str, &Intent> = facts.intents.iter().map(|intent| (&*intent.key, intent)).collect();
    let orders: BTreeMap<&str, &Order> = facts.orders.iter().map(|order| (&*order.key, order)).collect();
    if intents.len() != facts.intents.len() || orders.len() != facts.orders.len() {
        faults.push("doubled: a key stands twice".to_owned());
    }
    for order in &facts.orders {
        match intents.get(&*order.key) {
            None => faults.push(format!("invented: sent without an intent: {order:?}")),
            Some(intent) if !["acked", "sent", "unknown", "held"].contains(&&*intent.state) => {
                faults.push(format!("lost: the book has {order:?}, the journal {intent:?}"));
            }
            Some(intent) => {
                let differences = differences(order, intent);
                if !differences.is_empty() {
                    faults.push(format!(
                        "wrong: not the order that was intended, in {differences:?}: {order:?}, {intent:?}"
                    ));
                }
            }
        }
    }
    for intent in facts.intents.iter().filter(|intent| intent.state == "acked") {
        if !orders.contains_key(&*intent.key) {
            faults.push(format!("invented: the book has no order for {intent:?}"));
        }
    }
}

/// In what an order is not the one that its intent asked for, or not as it was confirmed.
fn differences(order: &Order, intent: &Intent) -> Vec<&'static str> {
    let is_acked = intent.state == "acked";
    let same = [
        ("symbol", intent.symbol == order.symbol),
        ("side", intent.side == order.side),
        ("volume", lots(Some(&intent.volume)) == lots(Some(&order.volume))),
        ("stop", lots(intent.stop.as_deref()) == lots(order.stop.as_deref())),
        ("target", lots(intent.target.as_deref()) == lots(order.target.as_deref())),
        ("magic", carries_the_number(order, intent)),
        ("role", intent.role.split('/').next() == Some(&order.role)),
        ("price", is_near(order, intent)),
        ("ticket", !is_acked || intent.ticket == Some(order.ticket.to_string())),
        ("filled", !is_acked || lots(intent.filled.as_deref()) == lots(Some(&order.filled))),
        // What was found by asking has no price.
        (
            "fill price",
            !is_acked || intent.price.is_none() || lots(intent.price.as_deref()) == lots(Some(&order.price)),
        ),
        ("time", if order.dialect.is_none() { order.at_ms == intent.slot_ms } else { order.at_ms >= intent.slot_ms }),
    ];
    same.into_iter().filter(|(_, same)| !same).map(|(what, _)| what).collect()
}

/// Only one dialect has a place for the pipeline's number.
fn carries_the_number(order: &Order, intent: &Intent) -> bool {
    match order.dialect.as_deref() {
        None => true,
        Some("order-send") => MAGICS.contains(&(&*intent.account, order.magic)),
        Some(_) => order.magic == 0,
    }
}

/// Whether the fill lies where the market was when the order was decided, against the trader by half a spread and at most
/// the slippage. An order that was filled in a later hour is another question.
fn is_near(order: &Order, intent: &Intent) -> bool {
    if order.price.is_empty() || order.at_ms - intent.slot_ms >= HOUR_MS - AFTER_CLOSE_MS {
        return true;
    }
    let (price, reference): (Decimal, Decimal) = (order.price.parse().unwrap(), intent.reference.parse().unwrap());
    let against = if order.side == "buy" { price - reference } else { reference - price };
    (Decimal::new(4, 5)..=Decimal::new(8, 5)).contains(&against)
}

/// On a netting account without stops, what the journal says was filled is the gateway's position, once nothing is open.
fn net_position(intents: &[Intent], net: Decimal, faults: &mut Vec<String>) {
    if intents.iter().any(|intent| ["sent", "unknown", "held"].contains(&&*intent.state)) {
        return;
    }
    let filled = |intent: &Intent| intent.filled.as_deref().map_or(Decimal::ZERO, |lots| lots.parse().unwrap());
    let signed = |intent: &Intent| if intent.side == "buy" { filled(intent) } else { -filled(intent) };
    let sum: Decimal = intents.iter().map(signed).sum();
    if sum != net {
        faults.push(format!("wrong: the journal's fills add up to {sum} lots, the gateway's position is {net}"));
    }
}

/// On a hedging account each order that was filled is one position with the levels of its intent, and only these end it.
fn hedged_positions(facts: &Facts, hedged: &[Hedged], faults: &mut Vec<String>) {
    let filled: Vec<&Order> = facts.orders.iter().filter(|order| !order.price.is_empty()).collect();
    if filled.len() != hedged.len() {
        faults.push(format!("{} orders were filled and made {} positions", filled.len(), hedged.len()));
    }
    for position in hedged {
        let order = filled.iter().find(|order| order.ticket == position.ticket);
        let same = order.is_some_and(|order| {
            (&order.symbol, &order.side, order.at_ms) == (&position.symbol, &position.side, position.opened_at_ms)
                && [order.filled.as_str(), order.price.as_str()].map(|text| lots(Some(text)))
                    == [Some(position.volume), Some(position.open_price)]
                && (lots(order.stop.as_deref()), lots(order.target.as_deref())) == (position.stop, position.target)
        });
        if !same {
            faults.push(format!("wrong: not the position of its order: {position:?}, {order:?}"));
        }
        let ends_right = position.closed.as_ref().is_none_or(|(at_ms, price, reason)| {
            let long = position.side == "buy";
            let reached = |level: Option<Decimal>, below: bool| {
                level.is_some_and(|level| if long == below { *price <= level } else { *price >= level })
            };
            *at_ms >= position.opened_at_ms
                && match reason.as_str() {
                    "stop" => reached(position.stop, true),
                    "target" => reached(position.target, false),
                    _ => false,
                }
        });
        if !ends_right {
            faults.push(format!("wrong: neither its stop nor its target ended {position:?}"));
        }
    }
    for intent in facts.intents.iter().filter(|intent| intent.role == "open") {
        let distance = |level: &Option<String>| {
            lots(level.as_deref()).map(|level| (level - intent.reference.parse::<Decimal>().unwrap()).abs().round_dp(4))
        };
        if (distance(&intent.stop), distance(&intent.target)) != (Some(Decimal::new(50, 4)), Some(Decimal::new(100, 4)))
        {
            faults.push(format!("wrong: its levels are not where the configuration puts them: {intent:?}"));
        }
    }
}

fn lots(text: Option<&str>) -> Option<Decimal> {
    text.map(|text| text.parse().unwrap())
}

/// A position is opened by one order and closed at most once, and at most one is open at any time.
fn positions(positions: &[Position], orders: &[Order], faults: &mut Vec<String>) {
    let mut by_role: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for order in orders {
        *by_role.entry((&*order.role, &*order.key)).or_default() += 1;
    }
    let opens = orders.iter().filter(|order| order.role == "open").count();
    let closes = orders.len() - opens;
    let closed_by_order = positions.iter().filter(|position| position.close_key.is_some()).count();
    if opens != positions.len() || closes != closed_by_order {
        faults.push(format!("{opens} opens and {closes} closes made {} positions", positions.len()));
    }
    let mut free_from = i64::MIN;
    for position in positions {
        let opened = by_role.get(&("open", &*position.open_key)) == Some(&1);
        let key = position.close_key.as_deref();
        let closed = key.is_none_or(|key| by_role.get(&("close", key)) == Some(&1));
        let lasted = position.closed_at_ms.is_none_or(|end| end >= position.opened_at_ms);
        if !opened || !closed || !lasted {
            faults.push(format!("no orders for {position:?}"));
        }
        if position.opened_at_ms < free_from {
            faults.push(format!("opened while another one was open: {position:?}"));
        }
        free_from = position.closed_at_ms.unwrap_or(i64::MAX);
    }
}
