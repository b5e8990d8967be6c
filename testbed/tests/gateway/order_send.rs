//! The dialect `order-send`: validation, return codes, and the id memory.

use serde_json::{Value, json};

use super::test_gateway::{HOUR_MS, TestGateway, d, id, order, status};

#[test]
fn a_filled_order_is_answered_with_its_ticket_volume_and_price_and_no_id() {
    let reply = TestGateway::netting().ask(&order(1, "OP_BUY", 0.1));
    let expected = json!({
        "error": false, "ticket": 101, "msg": "Request completed", "retcode": 10009,
        "data": { "volume": 0.1, "price": 1.10005 },
    });
    assert_eq!(reply, expected);
    assert_eq!(TestGateway::netting().ask(&order(1, "OP_SELL", 0.1))["data"]["price"], json!(1.09995));
}

#[track_caller]
fn check_refused(change: impl FnOnce(&mut Value), code: i64) {
    let (mut gateway, mut message) = (TestGateway::netting(), order(1, "OP_BUY", 0.1));
    change(&mut message);
    let outcome = gateway.process(&message);
    let reply: Value = serde_json::from_slice(&outcome.reply).unwrap();
    assert_eq!(
        (&reply["retcode"], &reply["ticket"], &reply["error"]),
        (&json!(code), &json!(0), &json!(true)),
        "{message}"
    );
    assert!(outcome.order.is_none() && gateway.open().is_empty(), "a refused order traded: {message}");
}

#[test]
fn each_missing_field_is_refused_with_minus_two() {
    for field in ["action", "req_id", "payload"] {
        check_refused(|message| drop(message.as_object_mut().unwrap().remove(field)), -2);
    }
    for field in ["symbol", "type", "volume", "magic", "comment", "sl", "tp"] {
        check_refused(|message| drop(message["payload"].as_object_mut().unwrap().remove(field)), -2);
        check_refused(|message| message["payload"][field] = Value::Null, -2);
    }
}

#[test]
fn each_value_out_of_range_is_refused_with_minus_three() {
    for volume in
        [json!(0), json!(0.001), json!(0.015), json!(100.01), json!(-1), json!("0.1"), json!(1e300), json!(0.1 + 0.2)]
    {
        check_refused(|message| message["payload"]["volume"] = volume, -3);
    }
    for magic in [json!(-1), json!(2_147_483_648_i64), json!(1.5), json!("7")] {
        check_refused(|message| message["payload"]["magic"] = magic, -3);
    }
    for sl in [json!(-1.0), json!("1.1"), json!(1e12)] {
        check_refused(|message| message["payload"]["sl"] = sl, -3);
    }
    for (field, value) in [("type", json!("BUY")), ("comment", json!("c".repeat(32))), ("symbol", json!(""))] {
        check_refused(|message| message["payload"][field] = value, -3);
    }
    for (field, value) in
        [("req_id", json!("7")), ("timestamp", json!("now")), ("timestamp", json!(1e12)), ("payload", json!([]))]
    {
        check_refused(|message| message[field] = value, -3);
    }
}

#[test]
fn the_bounds_themselves_are_traded() {
    for (volume, magic, comment) in [(0.01, 0, ""), (100.0, 2_147_483_647_i64, "é".repeat(31).as_str())] {
        let mut message = order(1, "OP_BUY", volume);
        message["payload"]["magic"] = json!(magic);
        message["payload"]["comment"] = json!(comment);
        assert_eq!(TestGateway::netting().ask(&message)["retcode"], json!(10009), "{message}");
    }
}

#[test]
fn what_is_no_json_object_is_a_parse_error() {
    for raw in ["", "{", "[]", "7", "\"ORDER_SEND\"", "{\"action\":\"ORDER_SEND\"}x"] {
        let reply: Value = serde_json::from_slice(&TestGateway::netting().handle(raw.as_bytes()).reply).unwrap();
        assert_eq!((&reply["retcode"], &reply["error"]), (&json!(-1), &json!(true)), "{raw}");
    }
}

#[test]
fn unknown_symbols_and_levels_on_the_wrong_side_are_refused() {
    check_refused(|message| message["payload"]["symbol"] = json!("GBPUSD"), 10013);
    check_refused(|message| message["payload"]["sl"] = json!(1.2), 10016);
    check_refused(|message| message["payload"]["tp"] = json!(1.0), 10016);
}

#[test]
fn a_repeated_id_is_answered_with_its_first_ticket_whatever_is_asked() {
    let mut gateway = TestGateway::netting();
    gateway.ask(&order(1, "OP_BUY", 0.1));
    let broken = json!({ "req_id": id(1), "action": "ORDER_SEND", "payload": "nothing" });
    for again in [order(1, "OP_BUY", 0.1), order(1, "OP_SELL", 5.0), status(1), broken, json!({ "req_id": id(1) })] {
        let outcome = gateway.process(&again);
        let reply: Value = serde_json::from_slice(&outcome.reply).unwrap();
        assert!(reply["msg"].as_str().unwrap().starts_with("Cached"), "{reply}");
        assert_eq!((&reply["ticket"], &reply["retcode"], &reply["error"]), (&json!(101), &json!(10009), &json!(false)));
        assert!(outcome.order.is_none());
    }
    assert_eq!(gateway.open()[0].volume, d("0.1"));
}

#[test]
fn an_id_that_no_order_used_is_an_unknown_action() {
    let reply = TestGateway::netting().ask(&status(1));
    assert_eq!((&reply["retcode"], &reply["ticket"]), (&json!(-2), &json!(0)));
}

#[test]
fn an_id_trades_again_after_an_hour() {
    let mut gateway = TestGateway::netting();
    gateway.ask(&order(1, "OP_BUY", 0.1));
    gateway.now_ms += HOUR_MS;
    assert_eq!(gateway.ask(&order(1, "OP_BUY", 0.1))["ticket"], json!(102));
    assert_eq!(gateway.open()[0].volume, d("0.2"));
}

#[test]
fn a_refused_id_is_not_remembered() {
    let mut gateway = TestGateway::new(sentinel_testbed::gateway::AccountMode::Netting, &["refuse=10004@1"]);
    let reply = gateway.ask(&order(1, "OP_BUY", 0.1));
    assert_eq!(reply, json!({ "error": true, "ticket": 0, "msg": "Requote", "retcode": 10004 }));
    assert_eq!(gateway.ask(&order(1, "OP_BUY", 0.1))["ticket"], json!(101));
}

#[test]
fn a_repeated_order_after_a_partial_or_a_placed_one_trades_again() {
    for (fault, code) in [("partial", 10010), ("placed", 10008)] {
        let mut gateway = TestGateway::new(sentinel_testbed::gateway::AccountMode::Netting, &[fault]);
        for ticket in [101, 102] {
            let reply = gateway.ask(&order(1, "OP_BUY", 0.1));
            assert_eq!(
                (&reply["retcode"], &reply["ticket"], &reply["error"]),
                (&json!(code), &json!(ticket), &json!(true))
            );
        }
        assert_eq!(gateway.ask(&status(1))["retcode"], json!(-2), "{fault} is not remembered");
    }
}

#[test]
fn prices_of_the_yen_have_three_digits() {
    let mut message = order(1, "OP_BUY", 0.1);
    message["payload"]["symbol"] = json!("USDJPY");
    assert_eq!(TestGateway::netting().ask(&message)["data"]["price"], json!(110.123));
}
