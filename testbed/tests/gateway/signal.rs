//! The dialect `signal`: no id, no volume.

use sentinel_testbed::gateway::{AccountMode, SIGNAL_VOLUME};
use serde_json::{Value, json};

use super::test_gateway::TestGateway;

fn signal(action: &str, signal: &str, timestamp: &str) -> Value {
    json!({ "action": action, "symbol": "EURUSD", "signal": signal, "confidence": 0.8, "timestamp": timestamp })
}

#[test]
fn the_gateway_sizes_the_order() {
    for timestamp in ["2017-01-01T00:00:00Z", "2017-01-01T00:00:00.123456", "2017-01-01T01:00:00+01:00"] {
        let mut gateway = TestGateway::netting();
        let reply = gateway.ask(&signal("place_order", "SELL", timestamp));
        let expected =
            json!({ "status": "success", "ticket": 101, "symbol": "EURUSD", "volume": 0.01, "price": 1.09995 });
        assert_eq!(reply, expected, "{timestamp}");
        assert_eq!(gateway.open()[0].volume, SIGNAL_VOLUME);
    }
}

#[test]
fn hold_is_a_question_and_no_order() {
    let mut gateway = TestGateway::netting();
    assert_eq!(gateway.ask(&signal("check_connection", "HOLD", "2017-01-01T00:00:00Z")), json!({ "status": "ok" }));
    let refused = gateway.ask(&signal("place_order", "HOLD", "2017-01-01T00:00:00Z"));
    assert_eq!((&refused["status"], &refused["retcode"]), (&json!("error"), &json!(-3)));
    assert!(gateway.open().is_empty());
}

#[test]
fn a_refusal_is_stated() {
    let mut gateway = TestGateway::new(AccountMode::Netting, &["refuse=10019@1"]);
    let reply = gateway.ask(&signal("place_order", "BUY", "2017-01-01T00:00:00Z"));
    let text = "There is not enough money to complete the request";
    assert_eq!(reply, json!({ "status": "error", "retcode": 10019, "message": text }));
    assert_eq!(gateway.ask(&signal("place_order", "BUY", "yesterday"))["retcode"], json!(-3));
}
