//! The dialect `command`: envelopes, the status inside the status, positions and account.

use serde_json::{Value, json};

use super::test_gateway::{TestGateway, command, d, id, order};

fn opening(volume: Value) -> Value {
    command(
        "OPEN_ORDER",
        0.0,
        json!({ "symbol": "EURUSD", "side": "SELL", "volume": volume, "price": 0, "sl": 0, "tp": 0 }),
    )
}

#[test]
fn every_reply_carries_the_id_and_the_time() {
    let mut gateway = TestGateway::netting();
    for action in ["HEARTBEAT", "GET_ACCOUNT_INFO", "GET_POSITIONS", "KILL_SWITCH"] {
        let reply = gateway.ask(&command(action, 0.0, json!({})));
        assert_eq!((&reply["req_id"], &reply["status"]), (&json!(id(900)), &json!("SUCCESS")), "{action}");
        assert_eq!((&reply["timestamp"], &reply["error"]), (&json!(1_483_228_800.0), &Value::Null));
    }
    let data = &gateway.ask(&command("HEARTBEAT", 0.0, json!({})))["data"];
    assert_eq!(data["status"], json!("alive"));
}

#[test]
fn each_of_the_four_keys_is_required() {
    for key in ["req_id", "timestamp", "payload"] {
        let mut message = opening(json!(0.1));
        message.as_object_mut().unwrap().remove(key);
        let mut gateway = TestGateway::netting();
        let reply = gateway.ask(&message);
        assert_eq!(reply["status"], json!("ERROR"), "{key}");
        assert_eq!(reply["error"], json!(format!("{key} is missing")));
        assert!(gateway.open().is_empty());
    }
}

#[test]
fn a_filled_order_tells_ticket_volume_and_price_inside() {
    let mut gateway = TestGateway::netting();
    let reply = gateway.ask(&opening(json!(0.3)));
    assert_eq!(reply["data"], json!({ "status": "SUCCESS", "ticket": 101, "volume": 0.3, "price": 1.09995 }));
    let by_type = command("OPEN_ORDER", 0.0, json!({ "symbol": "EURUSD", "type": "BUY", "volume": 0.1 }));
    assert_eq!(gateway.ask(&by_type)["data"]["price"], json!(1.10005));
}

#[test]
fn success_outside_may_be_an_error_inside() {
    let mut gateway = TestGateway::new(sentinel_testbed::gateway::AccountMode::Netting, &["refuse=10018@1"]);
    let reply = gateway.ask(&opening(json!(0.1)));
    assert_eq!(reply["status"], json!("SUCCESS"));
    assert_eq!(reply["data"], json!({ "status": "ERROR", "retcode": 10018, "error": "Market is closed" }));
    let limit = command("OPEN_ORDER", 0.0, json!({ "symbol": "EURUSD", "side": "BUY", "volume": 0.1, "price": 1.0 }));
    assert_eq!(gateway.ask(&limit)["data"]["retcode"], json!(10015));
    assert_eq!(gateway.ask(&command("CLOSE_POSITION", 0.0, json!({ "ticket": 5 })))["data"]["retcode"], json!(10036));
}

#[test]
fn the_same_id_trades_twice_here() {
    let mut gateway = TestGateway::netting();
    gateway.ask(&opening(json!(0.3)));
    assert_eq!(gateway.ask(&opening(json!(0.3)))["data"]["ticket"], json!(102));
    assert_eq!(gateway.open()[0].volume, d("0.6"));
}

#[test]
fn positions_carry_no_comment_and_no_magic_and_are_closed_by_ticket() {
    let mut gateway = TestGateway::netting();
    gateway.ask(&order(1, "OP_BUY", 0.1));
    let reply = gateway.ask(&command("GET_POSITIONS", 0.0, json!({})));
    let expected = json!([{
        "ticket": 101, "symbol": "EURUSD", "type": "BUY", "volume": 0.1, "open_price": 1.10005, "current_price": 1.09995,
        "profit": -1.0,
    }]);
    assert_eq!(reply["data"], expected);
    let closed = gateway.ask(&command("CLOSE_POSITION", 0.0, json!({ "ticket": 101 })));
    assert_eq!(closed["data"], json!({ "status": "SUCCESS", "ticket": 102, "volume": 0.1, "price": 1.09995 }));
    assert_eq!((gateway.open().len(), gateway.core.book().balance()), (0, d("9999")));
}

#[test]
fn the_account_tells_equity_and_margin() {
    let mut gateway = TestGateway::netting();
    gateway.ask(&order(1, "OP_BUY", 1.0));
    let data = &gateway.ask(&command("GET_ACCOUNT_INFO", 0.0, json!({})))["data"];
    let expected = json!({
        "balance": 10000.0, "equity": 9990.0, "used_margin": 1100.05, "free_margin": 8889.95, "margin_level": 908.14,
        "currency": "USD", "trade_mode": 0, "server_name": "sentinel-paper",
    });
    assert_eq!(*data, expected);
}

#[test]
fn the_kill_switch_closes_everything() {
    let mut gateway = TestGateway::new(sentinel_testbed::gateway::AccountMode::Hedging, &[]);
    for number in 1..=3 {
        gateway.ask(&order(number, "OP_BUY", 0.1));
    }
    let reply = gateway.ask(&command("KILL_SWITCH", 0.0, json!({})));
    assert_eq!(reply["data"], json!({ "status": "SUCCESS", "closed": [101, 102, 103] }));
    assert_eq!((gateway.open().len(), gateway.core.book().balance()), (0, d("9997")));
}

#[test]
fn a_placed_order_is_pending() {
    let mut gateway = TestGateway::new(sentinel_testbed::gateway::AccountMode::Netting, &["placed"]);
    let reply = gateway.ask(&opening(json!(0.3)));
    assert_eq!(reply["status"], json!("PENDING"));
    assert_eq!(reply["data"], json!({ "status": "PENDING", "ticket": 101 }));
    assert!(gateway.open().is_empty());
}
