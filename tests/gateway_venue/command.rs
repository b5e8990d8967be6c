//! The contract of the dialect `command` without a socket: what is written, and what each reply is worth.

use proptest::prelude::*;
use sentinel::venues::gateway::Exits;
use sentinel::venues::gateway::command::Command;
use sentinel::venues::gateway::speech::{Reading, ReportsAccount as _, Speech as _, Terms, Unsendable};
use sentinel::venues::gateway::values::{question_id, req_id};
use sentinel_actors::domain::account::{AccountKind, Stated};
use sentinel_actors::domain::action::Receipt;
use sentinel_actors::domain::order::{Fill, Order, Role, Side, Ticket};
use sentinel_actors::ports::Submission;
use serde_json::{Value, json};

use super::{MAGIC, NOW, d, key, order};

fn terms() -> Terms {
    Terms { magic: MAGIC, exits: Exits::AtBroker, now: NOW }
}

fn written(order: &Order) -> Value {
    serde_json::from_str(&Command.order(&key(9), order, &terms()).unwrap()).unwrap()
}

/// A reply to the order with the key of nine o'clock.
pub fn answer(status: &str, data: &Value, error: &Value) -> String {
    json!({"req_id": req_id(&key(9)).to_string(), "status": status, "timestamp": 1.5, "data": data, "error": error})
        .to_string()
}

fn success(data: &Value) -> String {
    answer("SUCCESS", data, &Value::Null)
}

fn reading(reply: &str) -> Reading {
    Command.judge(reply.as_bytes(), &key(9), &order(), Exits::AtBroker)
}

fn judged(reply: &str) -> Submission {
    match reading(reply) {
        Reading::Own { submission, .. } => submission,
        other => panic!("it does not answer the order: {other:?}"),
    }
}

fn filled(reply: &str) -> Fill {
    match judged(reply) {
        Submission::Acked(Receipt::Fill(fill)) => fill,
        other => panic!("not filled: {other:?}"),
    }
}

fn unknown(reply: &str) -> String {
    match judged(reply) {
        Submission::Unknown(why) => why,
        other => panic!("not unknown: {other:?}"),
    }
}

#[test]
fn an_order_has_the_four_keys_and_its_numbers_are_floats() {
    let stopped = Order { side: Side::Sell, stop_price: Some(d("2")), ..order() };
    let expected = json!({
        "action": "OPEN_ORDER", "req_id": req_id(&key(9)).to_string(), "timestamp": 1_767_225_600.25,
        "payload": {
            "symbol": "EURUSD", "type": "SELL", "side": "SELL", "volume": 0.1, "price": 0.0, "sl": 2.0, "tp": 0.0,
        },
    });
    assert_eq!(written(&stopped), expected);
    let text = Command.order(&key(9), &stopped, &terms()).unwrap();
    for float in [r#""volume":0.10,"#, r#""price":0.0,"#, r#""sl":2.0,"#, r#""tp":0.0}"#] {
        assert!(text.contains(float), "{text}");
    }
}

#[test]
fn a_position_is_closed_by_its_ticket() {
    let close = Order { role: Role::Close(Ticket(77)), side: Side::Sell, ..order() };
    let close = written(&close);
    assert_eq!((&close["action"], &close["payload"]), (&json!("CLOSE_POSITION"), &json!({"ticket": 77})));
}

#[test]
fn what_cannot_be_written_is_not_sent() {
    let fine = Order { volume_lots: d("0.125"), ..order() };
    assert_eq!(Command.order(&key(9), &fine, &terms()), Err(Unsendable::Volume(d("0.125"))));
    let zero = Order { target_price: Some(d("0")), ..order() };
    assert_eq!(Command.order(&key(9), &zero, &terms()), Err(Unsendable::Level(d("0"))));
}

#[test]
fn an_order_is_filled_only_by_the_status_inside_with_ticket_and_volume() {
    let fill = filled(&success(&json!({"status": "SUCCESS", "ticket": 7, "volume": 0.1, "price": 1.1003})));
    assert_eq!((fill.ticket, fill.volume_lots, fill.price), (Ticket(7), d("0.1"), Some(d("1.1003"))));
    let part = filled(&success(&json!({"status": "FILLED", "ticket": 7, "volume": 0.03, "price": 0.0})));
    assert_eq!((part.volume_lots, part.price), (d("0.03"), None));
}

#[test]
fn success_outside_with_an_error_inside_is_no_success() {
    let refused = |data: Value| judged(&success(&data));
    let closed = refused(json!({"status": "ERROR", "retcode": 10018, "error": "Market is closed"}));
    assert!(matches!(closed, Submission::Rejected { code: Some(10018), lasting: false, .. }), "{closed:?}");
    let poor = refused(json!({"status": "ERROR", "error": "Symbol EURUSD not found"}));
    assert!(matches!(poor, Submission::Rejected { code: None, lasting: true, .. }), "{poor:?}");
    for open in ["order_send returned None", "IPC timeout", ""] {
        let left_open = refused(json!({"status": "ERROR", "error": open}));
        assert!(matches!(left_open, Submission::Unknown(_)), "{open}: {left_open:?}");
    }
    let ticketed = refused(json!({"status": "ERROR", "retcode": 10018, "ticket": 7}));
    assert!(matches!(ticketed, Submission::Unknown(_)), "a refusal names no order: {ticketed:?}");
}

/// The public gateway reports every result of its terminal as a success, a refusal too.
#[test]
fn a_success_without_ticket_or_volume_is_unknown_and_no_fill() {
    for hollow in [
        json!({"status": "SUCCESS", "ticket": 0, "volume": 0.1, "price": 1.1}),
        json!({"status": "SUCCESS", "ticket": 7, "volume": 0.0, "price": 1.1}),
        json!({"status": "FILLED", "ticket": 0, "volume": 0.0, "price": 0.0}),
        json!({"status": "SUCCESS", "ticket": 7}),
        json!({"status": "SUCCESS", "volume": 0.1}),
        json!({"status": "SUCCESS", "ticket": "7", "volume": 0.1}),
        json!({"status": "SUCCESS", "ticket": 7, "volume": 0.2}),
    ] {
        unknown(&success(&hollow));
    }
}

#[test]
fn a_return_code_wins_over_the_word_success() {
    let done = |retcode: i64| success(&json!({"status": "SUCCESS", "ticket": 7, "volume": 0.1, "retcode": retcode}));
    filled(&done(10009));
    filled(&done(10010));
    for open in [10008, 10011, 10019, 10031, 0, 12345] {
        unknown(&done(open));
    }
    let refused = judged(&success(&json!({"status": "SUCCESS", "ticket": 0, "volume": 0.0, "retcode": 10019})));
    assert!(matches!(refused, Submission::Rejected { code: Some(10019), lasting: true, .. }), "{refused:?}");
}

#[test]
fn what_says_nothing_about_the_order_leaves_it_open() {
    for (status, data) in [
        ("SUCCESS", Value::Null),
        ("SUCCESS", json!({"status": "alive"})),
        ("SUCCESS", json!([])),
        ("PENDING", json!({"status": "PENDING", "ticket": 7})),
        ("SUCCESS", json!({"status": "PENDING", "ticket": 7})),
        ("success", json!({"status": "SUCCESS", "ticket": 7, "volume": 0.1})),
        ("ERROR", Value::Null),
    ] {
        unknown(&answer(status, &data, &Value::Null));
    }
}

#[test]
fn an_error_outside_is_judged_by_its_words() {
    let refused = judged(&answer("ERROR", &Value::Null, &json!("payload is missing")));
    assert!(matches!(refused, Submission::Rejected { code: None, lasting: true, .. }), "{refused:?}");
    unknown(&answer("ERROR", &Value::Null, &json!("Exception in handler: 'NoneType' object")));
    unknown(&answer("ERROR", &Value::Null, &json!("Timeout waiting for terminal")));
}

#[test]
fn a_reply_with_another_id_is_a_strangers() {
    let fill = json!({"status": "SUCCESS", "ticket": 7, "volume": 0.1});
    for id in [
        json!(req_id(&key(8)).to_string()),
        json!("00000000-0000-0000-0000-000000000000"),
        Value::Null,
        json!(5),
        json!("x"),
    ] {
        let reply = json!({"req_id": id, "status": "SUCCESS", "data": fill, "error": null}).to_string();
        assert!(matches!(reading(&reply), Reading::Stranger(_)), "{reply}");
        assert!(!Command.is_sound(reply.as_bytes(), req_id(&key(9))), "its connection would be used again");
    }
    let own = success(&fill);
    assert!(Command.is_sound(own.as_bytes(), req_id(&key(9))));
    let without = json!({"status": "SUCCESS", "data": fill}).to_string();
    assert!(matches!(reading(&without), Reading::Unreadable(_)));
}

#[test]
fn a_reply_that_names_another_symbol_or_direction_is_a_strangers() {
    let echo = |more: (&str, &str)| {
        let mut data = json!({"status": "SUCCESS", "ticket": 7, "volume": 0.1});
        data[more.0] = json!(more.1);
        reading(&success(&data))
    };
    for more in [("symbol", "GBPUSD"), ("type", "SELL"), ("side", "sell")] {
        assert!(matches!(echo(more), Reading::Stranger(_)), "{more:?}");
    }
    for more in [("symbol", "EURUSD.m"), ("type", "buy")] {
        assert!(matches!(echo(more), Reading::Own { .. }), "{more:?}");
    }
}

#[test]
fn the_ticket_of_a_stub_is_named_as_one() {
    let fill = filled(&success(&json!({"status": "SUCCESS", "ticket": 12345, "volume": 0.1, "price": 1.1})));
    assert!(fill.text.contains("stub mode"), "{}", fill.text);
}

fn listed(data: Value) -> Result<Vec<sentinel_actors::domain::order::Position>, String> {
    let id = question_id(4);
    let reply = json!({"req_id": id.to_string(), "status": "SUCCESS", "timestamp": 1.0, "data": data, "error": null});
    Command.read_positions(reply.to_string().as_bytes(), id)
}

#[test]
fn positions_are_read_whole_or_not_at_all() {
    let one = |ticket: u64| {
        json!({
            "ticket": ticket, "symbol": "EURUSD", "type": "SELL", "volume": 0.30000000000000004, "open_price": 1.1,
            "current_price": 1.2, "profit": -3.0,
        })
    };
    let read = listed(json!([one(5), one(6)])).unwrap();
    assert_eq!((read[0].ticket, read[0].side, read[0].volume_lots), (Ticket(5), Side::Sell, d("0.3")));
    assert_eq!((read.len(), read[1].open_price, read[1].opened_at), (2, d("1.1"), None));
    assert!(listed(json!([one(5), one(5)])).unwrap_err().contains("two positions have the ticket 5"));
    for (name, wrong) in [
        ("ticket", json!(0)),
        ("ticket", json!("5")),
        ("type", json!("HOLD")),
        ("type", json!(0)),
        ("volume", json!(0)),
        ("volume", json!("0.1")),
        ("symbol", json!("")),
        ("open_price", json!(null)),
    ] {
        let mut damaged = one(7);
        damaged[name] = wrong.clone();
        assert!(listed(json!([one(5), damaged])).unwrap_err().contains("cannot be read"), "{name} {wrong}");
    }
    for none in [json!(null), json!({}), json!({"error": "not connected"}), json!("[]")] {
        assert!(listed(none.clone()).is_err(), "{none}");
    }
    let id = question_id(4);
    let stale = json!({"req_id": question_id(3).to_string(), "status": "SUCCESS", "data": []}).to_string();
    assert!(Command.read_positions(stale.as_bytes(), id).unwrap_err().contains("for another request"));
    let failed = json!({"req_id": id.to_string(), "status": "ERROR", "data": null, "error": "no terminal"}).to_string();
    assert!(Command.read_positions(failed.as_bytes(), id).unwrap_err().contains("no terminal"));
}

#[test]
fn a_trade_mode_and_a_server_that_are_constants_are_not_believed() {
    let report = |data: Value| {
        let id = question_id(4);
        let reply = json!({"req_id": id.to_string(), "status": "SUCCESS", "data": data, "error": null}).to_string();
        Command.read_account(reply.as_bytes(), id)
    };
    let constant =
        report(json!({"balance": 1e4, "trade_mode": 2, "server_name": "UNKNOWN", "currency": "USD"})).unwrap();
    assert!(matches!(constant.kind, Stated::Doubtful { said: AccountKind::Real, .. }), "{constant:?}");
    assert!(constant.server.to_string().starts_with("'UNKNOWN', not to be believed"), "{}", constant.server);
    assert_eq!((constant.balance, constant.used_margin), (Some(d("10000")), None));
    let known = report(json!({
        "balance": 10.5, "equity": 9.5, "used_margin": 0.0, "trade_mode": 0, "server_name": "Broker-Demo",
    }))
    .unwrap();
    assert_eq!(known.kind.believed(), Some(&AccountKind::Demo));
    assert_eq!(known.server.believed().map(String::as_str), Some("Broker-Demo"));
    assert_eq!((known.equity, known.used_margin), (Some(d("9.5")), Some(d("0.0"))));
    let mute = report(json!({"balance": 1.0})).unwrap();
    assert_eq!((mute.kind, mute.server), (Stated::Untold, Stated::Untold));
    assert!(report(json!({"error": "not connected"})).is_err());
    assert!(report(json!({"balance": 1.0, "error": "stale"})).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands inside, only a fitting id, both successes, a ticket and a volume confirm.
    #[test]
    fn no_reply_confirms_or_refuses_by_accident(
        status in prop_oneof![Just("SUCCESS"), Just("ERROR"), Just("PENDING"), Just("OK")],
        inside in prop_oneof![Just("SUCCESS"), Just("ERROR"), Just("FILLED"), Just("alive")],
        ticket in prop_oneof![Just(0_u64), 1_u64..100],
        hundredths in -2_i32..15,
        retcode in prop_oneof![3 => Just(None), 2 => (10_000_i64..10_050).prop_map(Some)],
        error in prop_oneof![Just(""), Just("timeout"), Just("Invalid volume")],
    ) {
        let data = json!({
            "status": inside, "ticket": ticket, "volume": f64::from(hundredths) / 100.0, "retcode": retcode, "error": error,
        });
        match judged(&answer(status, &data, &json!(error))) {
            Submission::Acked(_) => {
                prop_assert!(status == "SUCCESS" && matches!(inside, "SUCCESS" | "FILLED"));
                prop_assert!(ticket > 0 && (1..=10).contains(&hundredths));
                prop_assert!(matches!(retcode, None | Some(10009 | 10010)));
            }
            Submission::Rejected { .. } => prop_assert!(ticket == 0 && !(10_008..=10_012).contains(&retcode.unwrap_or(0))),
            Submission::Unknown(_) => {}
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
