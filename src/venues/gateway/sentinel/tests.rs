//! Whatever a gateway says, reading it ends, and nothing is confirmed or denied without what proves it.

use proptest::prelude::*;
use rust_decimal::Decimal;
use sentinel_actors::domain::intent::{Basis, IntentKey, Mode};
use sentinel_actors::domain::order::{Order, Role, Side};
use sentinel_actors::domain::time::UtcMs;
use serde_json::{Value, json};

use super::super::values::comment;
use super::account::{self, Hello};
use super::record::{Asked, Outcome, outcome};
use super::reply::{decimal, read};

const MAGIC: u32 = 2017;

fn key() -> IntentKey {
    IntentKey::derive(Mode::Live, "demo-1", "eurusd", Basis::Bar(UtcMs(0)), Role::Open)
}

fn order() -> Order {
    Order {
        role: Role::Open,
        symbol: "EURUSD".to_owned(),
        side: Side::Buy,
        volume_lots: Decimal::new(1, 1),
        stop_price: None,
        target_price: None,
        reference_price: Decimal::ONE,
    }
}

/// Values that mean something in a Record, and others.
fn value() -> impl Strategy<Value = Value> {
    let known = [
        json!("done"),
        json!("refused"),
        json!("absent"),
        json!("placed"),
        json!("unknown"),
        json!("held"),
        json!("barred"),
        json!("history"),
        json!("deals"),
        json!("order"),
        json!("expired"),
        json!("0"),
        json!("0.1"),
        json!("0.10"),
        json!("-0.1"),
        json!("1e1"),
        json!("99999999999999999999999999999999"),
        json!(MAGIC),
        json!(comment(&key())),
        json!([9102]),
        json!([]),
        json!(true),
        json!(false),
        Value::Null,
        json!(9001),
        json!(u64::MAX),
        json!(-1),
        json!(0.1),
    ];
    let leaf = prop_oneof![
        proptest::sample::select(known.to_vec()),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".{0,8}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

const FIELDS: [&str; 16] = [
    "state",
    "final",
    "sent",
    "proof",
    "order",
    "deals",
    "filled",
    "price",
    "volume",
    "magic",
    "comment",
    "lasting",
    "retcode",
    "text",
    "candidates",
    "replayed",
];

fn whole(state: &str) -> Value {
    let is_final = matches!(state, "done" | "refused" | "absent");
    let proof = match state {
        "done" => "deals",
        "absent" => "barred",
        _ => "retcode",
    };
    let filled = if state == "done" { "0.10" } else { "0" };
    let order = if state == "done" { json!(9001) } else { Value::Null };
    json!({
        "state": state, "final": is_final, "sent": state == "done", "proof": proof, "order": order, "deals": [], "filled": filled,
        "price": "1.15353", "volume": "0.1", "magic": MAGIC, "comment": comment(&key()), "lasting": false, "retcode": null, "text": "",
    })
}

/// A Record of which some fields are others.
fn record() -> impl Strategy<Value = Value> {
    let state = proptest::sample::select(vec!["done", "refused", "absent", "placed", "unknown", "held"]);
    let changes = proptest::collection::vec((proptest::sample::select(FIELDS.to_vec()), value(), any::<bool>()), 0..4);
    (state, changes).prop_map(|(state, changes)| {
        let mut record = whole(state);
        for (field, value, is_gone) in changes {
            match is_gone {
                true => drop(record.as_object_mut().unwrap().remove(field)),
                false => record[field] = value,
            }
        }
        record
    })
}

/// What must be true of a Record that confirms or denies an order.
fn assert_proven(record: &Value, outcome: &Outcome) {
    let echo = |name: &str, fits: &dyn Fn(&Value) -> bool| record[name].is_null() || fits(&record[name]);
    if matches!(outcome, Outcome::Done { .. } | Outcome::Absent(_) | Outcome::Refused { .. }) {
        assert_eq!(record["final"], json!(true));
        assert!(
            echo("magic", &|magic| *magic == json!(MAGIC)) && echo("comment", &|text| *text == json!(comment(&key())))
        );
        assert!(echo("volume", &|volume| decimal(volume) == Some(Decimal::new(1, 1))));
    }
    let has_deals = record["deals"].as_array().is_some_and(|deals| !deals.is_empty());
    match outcome {
        Outcome::Done { fill, .. } => {
            assert_eq!((&record["state"], &record["sent"]), (&json!("done"), &json!(true)));
            assert_eq!(
                (fill.ticket.0, Some(fill.volume_lots)),
                (record["order"].as_u64().unwrap(), decimal(&record["filled"]))
            );
            assert!(fill.ticket.0 > 0 && fill.volume_lots > Decimal::ZERO && fill.volume_lots <= order().volume_lots);
            assert!(["deals", "order", "position"].contains(&record["proof"].as_str().unwrap()));
        }
        Outcome::Absent(_) => {
            assert_eq!(record["state"], "absent");
            assert!(["barred", "history"].contains(&record["proof"].as_str().unwrap()));
            assert!(!has_deals && record["filled"].as_str().is_none_or(|filled| filled == "0"));
        }
        Outcome::Refused { never_left, .. } => {
            assert_eq!(record["state"], "refused");
            assert!(!has_deals && !record["proof"].as_str().unwrap().is_empty());
            assert!(!never_left || record["sent"] == json!(false));
        }
        Outcome::Open(_) | Outcome::Held(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_record_confirms_and_denies_only_with_the_fields_that_prove_it(record in prop_oneof![record(), value()]) {
        let (key, order) = (key(), order());
        if let Ok(outcome) = outcome(&record, Asked { key: &key, order: &order, magic: MAGIC }) {
            assert_proven(&record, &outcome);
        }
    }

    #[test]
    fn whatever_comes_is_read_to_its_end(data in value(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes, "q", "OPEN");
        let _ = read(data.to_string().as_bytes(), "q", "OPEN");
        let _ = Hello::read(data.clone()).map(|hello| hello.text("EURUSD"));
        let _ = Hello::read(data.clone()).map(|hello| hello.obstacles("EURUSD", Decimal::ONE, true));
        let _ = account::money(&data);
        let _ = account::spread(&data);
        let _ = [true, false].map(|is_hedging| account::positions(&json!({ "positions": data }), is_hedging));
    }

    #[test]
    fn a_reply_counts_only_with_the_id_and_action_of_its_request(
        field in proptest::sample::select(vec!["v", "id", "action", "ok", "now", "ledger", "boot", "seq", "data"]), other in value(),
    ) {
        let mut reply = json!({
            "v": "sentinel/1", "id": "q", "action": "OPEN", "ok": true, "now": 1, "ledger": "l", "boot": 1, "seq": 1, "data": {},
        });
        prop_assert!(read(reply.to_string().as_bytes(), "q", "OPEN").is_ok());
        reply[field] = other;
        if read(reply.to_string().as_bytes(), "q", "OPEN").is_ok() {
            prop_assert_eq!((&reply["v"], &reply["id"], &reply["action"], &reply["ok"]), (&json!("sentinel/1"), &json!("q"), &json!("OPEN"), &json!(true)));
        }
    }
}
