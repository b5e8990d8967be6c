//! Whatever arrives: an answer, no panic, and an account that agrees with its orders.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rust_decimal::Decimal;
use sentinel_testbed::gateway::{AccountMode, Change, Step};
use serde_json::{Value, json};

use super::test_gateway::{TestGateway, command, d, hours, order_at};

fn valid() -> impl Strategy<Value = Value> {
    let order = (0..6_u32, any::<bool>(), 0..40_u8, 0.5..1.5, 0.5..1.5).prop_map(|(number, buys, hours, sl, tp)| {
        order_at(number, if buys { "OP_BUY" } else { "OP_SELL" }, f64::from(hours) / 10.0, sl, tp)
    });
    let actions = ["HEARTBEAT", "OPEN_ORDER", "CLOSE_POSITION", "GET_ACCOUNT_INFO", "GET_POSITIONS", "KILL_SWITCH"];
    let payload =
        json!({ "symbol": "EURUSD", "side": "BUY", "volume": 1, "price": 0, "sl": 0, "tp": 0, "ticket": 102 });
    let other = (proptest::sample::select(actions.to_vec()), 0..40_u8)
        .prop_map(move |(action, hours)| command(action, f64::from(hours) / 10.0, payload.clone()));
    let signal = any::<bool>().prop_map(|places| {
        let action = if places { "place_order" } else { "check_connection" };
        json!({ "action": action, "symbol": "EURUSD", "signal": "SELL", "confidence": 0.5 })
    });
    prop_oneof![4 => order, 4 => other, 1 => signal]
}

fn strange() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<f64>().prop_map(|number| json!(number)),
        any::<i64>().prop_map(|number| json!(number)),
        any::<String>().prop_map(|text| json!(text)),
        Just(json!([[{}]])),
        Just(json!({ "symbol": 1 })),
        proptest::sample::select(vec![
            json!(1e-300),
            json!(1e300),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(-0.0),
            json!(1e11)
        ]),
        Just(json!("9999-12-31T23:59:59.999999999-23:59")),
    ]
}

/// A valid message with one field replaced, or one byte.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let field = (valid(), strange(), any::<prop::sample::Index>()).prop_map(|(mut message, value, index)| {
        let inner: Vec<String> =
            message["payload"].as_object().map(|inner| inner.keys().cloned().collect()).unwrap_or_default();
        let outer: Vec<String> = message.as_object().unwrap().keys().cloned().collect();
        let place = index.index(outer.len() + inner.len());
        match outer.get(place) {
            Some(key) => message[key] = value,
            None => message["payload"][&inner[place - outer.len()]] = value,
        }
        message.to_string().into_bytes()
    });
    let byte = (valid(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(message, index, byte)| {
        let mut raw = message.to_string().into_bytes();
        let place = index.index(raw.len());
        raw[place] = byte;
        raw
    });
    prop_oneof![field, byte, valid().prop_map(|message| message.to_string().into_bytes())]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_answered(raw in prop::collection::vec(any::<u8>(), 0..200), now_ms in any::<i64>()) {
        let outcome = TestGateway { now_ms, ..TestGateway::netting() }.handle(&raw);
        prop_assert_eq!(&outcome.steps, &[Step::Commit, Step::Reply]);
        prop_assert!(serde_json::from_slice::<Value>(&outcome.reply).is_ok_and(|reply| reply.is_object()));
    }

    #[test]
    fn any_run_of_messages_leaves_an_account_that_agrees_with_its_orders(
        messages in prop::collection::vec(mutated(), 1..40),
        hedging in any::<bool>(),
        fault in proptest::sample::select(vec!["partial@2", "placed@3", "refuse=10004@1-2", "garbage@5", "away=1s@4"]),
    ) {
        let mode = if hedging { AccountMode::Hedging } else { AccountMode::Netting };
        let bars = hours(&[["1.1"; 4], ["1.1", "1.3", "1.0", "1.2"], ["1.2", "1.5", "0.9", "1.0"], ["1.0"; 4]]);
        let mut gateway = TestGateway::with(mode, &[fault], bars, "0.00002");
        let (mut ticket, mut earned) = (100, BTreeMap::new());
        for (raw, seq) in messages.iter().zip(1..) {
            let outcome = gateway.handle(raw);
            prop_assert_eq!(outcome.seq, seq);
            if let Some(row) = &outcome.order {
                ticket += 1;
                prop_assert_eq!(row.ticket, ticket);
                prop_assert!(row.filled <= row.order.volume && row.price.is_some() != row.filled.is_zero());
            }
            for change in &outcome.changes {
                if let Change::Position(position) = change {
                    earned.insert(position.id, position.profit);
                }
            }
            prop_assert_eq!(gateway.core.book().balance(), d("10000") + earned.values().sum::<Decimal>());
            let open = gateway.open();
            prop_assert!(hedging || open.len() <= 1);
            prop_assert!(open.iter().all(|position| position.volume >= d("0.01") && position.closed.is_none()));
        }
    }
}
