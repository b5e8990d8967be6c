//! What the public gateways do in every message, and the Expert Advisors that take messages for orders.

use sentinel_testbed::gateway::{Advisor, Trap};
use serde_json::{Value, json};

use super::test_gateway::{TestGateway, command, d, status};

fn opening() -> Value {
    command(
        "OPEN_ORDER",
        0.0,
        json!({ "symbol": "EURUSD", "type": "BUY", "volume": 0.1, "price": 0, "sl": 0, "tp": 0 }),
    )
}

#[test]
fn a_hidden_refusal_is_a_success_without_ticket_and_volume() {
    let mut gateway = TestGateway::playing(&[Trap::HidesRefusals], None, &["refuse=10019@1"]);
    let reply = gateway.ask(&opening());
    assert_eq!(reply["status"], json!("SUCCESS"));
    assert_eq!(reply["data"], json!({ "status": "SUCCESS", "ticket": 0, "volume": 0.0, "price": 0.0 }));
    assert!(gateway.open().is_empty());
    assert_eq!(gateway.ask(&opening())["data"]["ticket"], json!(101), "a fill is told as it is");
}

#[test]
fn a_blind_gateway_lists_nothing_and_knows_no_account() {
    let mut gateway = TestGateway::playing(&[Trap::Blind], None, &[]);
    gateway.ask(&opening());
    assert_eq!(gateway.open().len(), 1);
    assert_eq!(gateway.ask(&command("GET_POSITIONS", 0.0, json!({})))["data"], json!([]));
    let account = &gateway.ask(&command("GET_ACCOUNT_INFO", 0.0, json!({})))["data"];
    assert!(account["error"].is_string() && account["balance"].is_null(), "{account}");
}

#[test]
fn what_cannot_close_counts_it_as_closed() {
    let mut gateway = TestGateway::playing(&[Trap::CannotClose], None, &[]);
    let ticket = gateway.ask(&opening())["data"]["ticket"].clone();
    let closed = gateway.ask(&command("CLOSE_POSITION", 0.0, json!({ "ticket": ticket })));
    assert_eq!((&closed["status"], &closed["data"]["status"]), (&json!("SUCCESS"), &json!("ERROR")));
    let killed = gateway.ask(&command("KILL_SWITCH", 0.0, json!({})));
    assert_eq!(killed["data"]["closed"], json!([ticket]));
    assert_eq!(gateway.open().len(), 1);
}

#[test]
fn a_close_that_is_only_said_leaves_the_position_open() {
    let mut gateway = TestGateway::playing(&[Trap::SaysClosed], None, &[]);
    let ticket = gateway.ask(&opening())["data"]["ticket"].clone();
    let closed = gateway.ask(&command("CLOSE_POSITION", 0.0, json!({ "ticket": ticket })));
    assert_eq!((&closed["data"]["status"], &closed["data"]["ticket"]), (&json!("SUCCESS"), &json!(102)));
    assert_eq!(gateway.open().len(), 1);
}

#[test]
fn constants_call_every_account_real_and_a_stub_trades_nothing() {
    let mut gateway = TestGateway::playing(&[Trap::Constants, Trap::Stub], None, &[]);
    let account = &gateway.ask(&command("GET_ACCOUNT_INFO", 0.0, json!({})))["data"];
    assert_eq!((&account["trade_mode"], &account["server_name"]), (&json!(2), &json!("UNKNOWN")));
    for _ in 0..2 {
        assert_eq!(gateway.ask(&opening())["data"]["ticket"], json!(12345));
    }
    assert!(gateway.open().is_empty());
}

#[test]
fn a_newer_advisor_trades_on_every_message_with_magic_or_action() {
    let mut advisor = TestGateway::playing(&[], Some(Advisor::Newer), &[]);
    let order =
        json!({"action": "TRADE", "symbol": "EURUSD", "type": "SELL", "volume": 0.2, "magic": 7, "sl": 1.2, "tp": 0});
    let filled = advisor.ask(&order);
    assert_eq!(filled, json!({"status": "FILLED", "ticket": 101, "retcode": 10009, "deal": 101}));
    assert_eq!((advisor.open()[0].volume, advisor.open()[0].sl), (d("0.2"), None), "it ignores the stop");
    for probe in [command("HEARTBEAT", 0.0, json!({})), status(1)] {
        let outcome = advisor.process(&probe);
        assert!(outcome.parsed.is_order(), "{probe}");
        let reply: Value = serde_json::from_slice(&outcome.reply).unwrap();
        assert_eq!((&reply["status"], &reply["ticket"]), (&json!("FILLED"), &json!(0)), "a volume of 0 is refused");
    }
    let quote = advisor.ask(&json!({"ask": "GET_SYMBOL_INFO"}));
    assert_eq!(quote["data"], json!({"bid": 1.09995, "ask": 1.10005}));
    assert_eq!(advisor.open().len(), 1);
}

#[test]
fn an_older_advisor_trades_its_own_chart_and_a_volume_of_its_own() {
    let mut advisor = TestGateway::playing(&[], Some(Advisor::Older), &["refuse=10018@2"]);
    let filled = advisor.ask(&json!({"text": "TRADE_EXECUTION", "symbol": "USDJPY", "type": "HOLD"}));
    assert_eq!(filled, json!({"status": "FILLED", "ticket": 101}));
    let position = advisor.open()[0];
    assert_eq!((position.symbol.as_str(), position.volume, position.side.code()), ("EURUSD", d("0.01"), "buy"));
    let refused = advisor.ask(&json!({"action": "TRADE", "symbol": "EURUSD", "type": "BUY", "volume": 0.1}));
    assert_eq!(refused, json!({"status": "ERROR", "retcode": 10018}));
    assert!(!advisor.process(&command("HEARTBEAT", 0.0, json!({}))).parsed.is_order());
}

#[test]
fn an_advisor_reads_no_more_than_its_buffer() {
    let mut advisor = TestGateway::playing(&[], Some(Advisor::Newer), &[]);
    let late = format!(r#"{{"pad":"{}","action":"TRADE"}}"#, "x".repeat(1_100));
    assert!(!advisor.handle(late.as_bytes()).parsed.is_order());
}
