//! The journal against the orders that a venue has on record, in both directions.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use sentinel_actors::domain::action::Receipt;
use sentinel_actors::domain::evidence::Grade;
use sentinel_actors::domain::intent::{Intent, IntentState};
use sentinel_actors::domain::netting::net_position;
use sentinel_actors::domain::order::{Role, Side};

use super::disagreements::{Disagreements, Kind};
use super::venue::{Filled, OpenPosition};
use crate::venues::forecasts::BookForecast;

/// Every filled order has its intent, every acked intent its order, with the same ticket, symbol, side and volumes, nothing
/// came twice, and both sides count the same position where orders alone make it. `intents` are keyed as the venue names
/// their orders.
pub(super) fn compare(
    intents: &BTreeMap<String, Intent>,
    filled: Vec<Filled>,
    positions: &[OpenPosition],
) -> Disagreements {
    let mut wrong = Disagreements::default();
    let mut orders: BTreeMap<String, Filled> = BTreeMap::new();
    for order in filled {
        let intent = intents.get(&order.comment);
        if let Some(intent) = intent {
            let different = differences(&order, intent);
            if !different.is_empty() {
                let (key, different) = (&intent.key, different.join(", "));
                wrong.add(Kind::Different, || format!("{key} and its order are not one in {different}: {order:?}"));
            }
        }
        let state = intent.map(|intent| intent.state);
        if !state.is_some_and(|state| state.may_have_left() && state != IntentState::Rejected) {
            let state = state.map_or("missing", IntentState::code);
            wrong.add(Kind::Lost, || format!("the venue filled {}, but its intent is {state}", order.comment));
        }
        if let Some(first) = orders.insert(order.comment.clone(), order) {
            wrong.add(Kind::Doubled, || format!("{} was filled twice, first as {}", first.comment, first.ticket));
        }
    }
    for (comment, intent) in intents.iter().filter(|(_, intent)| intent.state == IntentState::Acked) {
        if !orders.contains_key(comment) {
            wrong.add(Kind::Invented, || format!("{} is acked, but the venue has no such order", intent.key));
        }
    }
    for differs in positions_differ(intents, positions) {
        wrong.add(Kind::Position, || differs);
    }
    wrong
}

/// Every forecast that was taken up has its intent, and every acked intent of a forecast its entry, with the same values. The book
/// takes a key once.
pub(super) fn compare_forecasts(intents: &BTreeMap<String, Intent>, made: &[BookForecast]) -> Disagreements {
    let mut wrong = Disagreements::default();
    for entry in made {
        match intents.get(entry.key.as_str()) {
            Some(intent) if intent.action.forecast() != Some(&entry.forecast) => {
                wrong.add(Kind::Different, || format!("{} and its entry are not one forecast", entry.key));
            }
            Some(Intent { state, .. }) if state.may_have_left() && *state != IntentState::Rejected => {}
            intent => {
                let state = intent.map_or("missing", |intent| intent.state.code());
                wrong.add(Kind::Lost, || format!("the book took up {}, but its intent is {state}", entry.key));
            }
        }
    }
    let keys: BTreeSet<&str> = made.iter().map(|entry| entry.key.as_str()).collect();
    for (key, intent) in intents.iter().filter(|(_, intent)| intent.state == IntentState::Acked) {
        if !keys.contains(key.as_str()) {
            wrong.add(Kind::Invented, || format!("{} is acked, but the book has no such forecast", intent.key));
        }
    }
    wrong
}

/// In what a filled order is not the one that its intent asked for, or not as it was confirmed.
fn differences(order: &Filled, intent: &Intent) -> Vec<&'static str> {
    let Some(asked) = intent.order() else { return vec!["kind"] };
    let receipt = intent.receipt.as_ref().and_then(Receipt::fill);
    let is_seen_closed = intent.grade == Some(Grade::PositionDelta) && asked.role != Role::Open;
    let same = [
        ("symbol", order.symbol == asked.symbol),
        ("side", order.side == asked.side.code()),
        ("volume", order.ordered_lots == asked.volume_lots && order.lots <= order.ordered_lots),
        // A close that was seen in the positions has the ticket of its position.
        ("ticket", is_seen_closed || receipt.is_none_or(|receipt| receipt.ticket.0 == order.ticket)),
        ("filled volume", receipt.is_none_or(|receipt| receipt.volume_lots == order.lots)),
    ];
    same.into_iter().filter(|(_, same)| !same).map(|(what, _)| what).collect()
}

/// Symbols whose position is not what the confirmed orders add up to. One with an open order cannot be counted yet, and
/// one with stops never.
fn positions_differ(intents: &BTreeMap<String, Intent>, positions: &[OpenPosition]) -> Vec<String> {
    let symbols: BTreeSet<&str> = intents
        .values()
        .map(|intent| intent.action.symbol())
        .chain(positions.iter().map(|position| position.symbol.as_str()))
        .collect();
    let differs = |symbol: &str| {
        let of_symbol = || intents.values().filter(|intent| intent.action.symbol() == symbol);
        if of_symbol().any(|intent| intent.state.may_have_left() && !intent.state.is_final()) {
            return None;
        }
        let acked: Vec<Intent> = of_symbol().filter(|intent| intent.state == IntentState::Acked).cloned().collect();
        let counted = net_position(&acked).ok()?.map_or(Decimal::ZERO, |net| match net.side {
            Side::Buy => net.volume_lots,
            Side::Sell => -net.volume_lots,
        });
        let has: Decimal = positions.iter().filter(|open| open.symbol == symbol).map(OpenPosition::signed_lots).sum();
        (counted != has)
            .then(|| format!("the journal counts a position of {counted} lots of {symbol}, the venue has {has}"))
    };
    symbols.into_iter().filter_map(differs).collect()
}

#[cfg(test)]
mod tests {
    use sentinel_actors::domain::action::{Action, Forecast};
    use sentinel_actors::domain::intent::{Basis, IntentKey, Mode};
    use sentinel_actors::domain::time::UtcMs;

    use super::*;

    fn entry(value: i64) -> BookForecast {
        let key = IntentKey::derive(Mode::DryRun, "paper", "btcusd", Basis::Bar(UtcMs(0)), Forecast::ROLE);
        let forecast = Forecast {
            symbol: "BTCUSD".to_owned(),
            log_return: Decimal::new(value, 3),
            horizon_s: 3600,
            reference_price: Decimal::ONE,
            reference_time: UtcMs(0),
        };
        BookForecast { key, account: "paper".to_owned(), forecast, at: UtcMs(0), came_true: None }
    }

    fn intents(state: IntentState) -> BTreeMap<String, Intent> {
        let BookForecast { key, forecast, .. } = entry(1);
        let intent = Intent {
            key: key.clone(),
            mode: Mode::DryRun,
            account: "paper".to_owned(),
            pipeline: "btcusd".to_owned(),
            slot: UtcMs(0),
            announced_as: None,
            basis: Basis::Bar(UtcMs(0)),
            action: Action::Forecast(forecast),
            state,
            receipt: None,
            awaits: None,
            grade: None,
            listed: None,
            venue_note: None,
        };
        BTreeMap::from([(key.to_string(), intent)])
    }

    #[test]
    fn a_forecast_that_only_one_side_has_or_has_otherwise_is_named() {
        use IntentState as S;
        let wrong = |intents: &BTreeMap<String, Intent>, made: &[BookForecast]| {
            compare_forecasts(intents, made).counts().into_keys().collect::<Vec<_>>()
        };
        for state in [S::Acked, S::Sent, S::Unknown, S::Held] {
            assert!(wrong(&intents(state), &[entry(1)]).is_empty(), "{state}");
        }
        for state in [S::Planned, S::Absent, S::Rejected] {
            assert_eq!(wrong(&intents(state), &[entry(1)]), ["lost"], "{state}");
        }
        assert_eq!(wrong(&BTreeMap::new(), &[entry(1)]), ["lost"]);
        assert_eq!(wrong(&intents(S::Acked), &[]), ["invented"]);
        assert!(wrong(&intents(S::Sent), &[]).is_empty(), "it may never have arrived");
        assert_eq!(wrong(&intents(S::Acked), &[entry(2)]), ["different"]);
    }
}
