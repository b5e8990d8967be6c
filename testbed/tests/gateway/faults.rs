//! What each fault does, in which order, and to which orders.

use std::time::Duration;

use sentinel_testbed::gateway::{AccountMode, FOREIGN_ID, OrderState, Outcome, Step};
use serde_json::{Value, json};

use super::test_gateway::{TestGateway, command, d, order, status};

const SECOND: Duration = Duration::from_secs(1);

fn one(fault: &str) -> (TestGateway, Outcome) {
    let mut gateway = TestGateway::new(AccountMode::Netting, &[fault]);
    let outcome = gateway.process(&order(1, "OP_BUY", 0.1));
    (gateway, outcome)
}

#[track_caller]
fn check_fills(fault: &str, steps: &[Step]) -> (TestGateway, Outcome) {
    let (gateway, outcome) = one(fault);
    assert_eq!(outcome.steps, steps, "{fault}");
    assert_eq!(outcome.order.as_ref().map(|row| row.filled), Some(d("0.1")), "{fault}");
    assert_eq!(gateway.open()[0].volume, d("0.1"), "{fault}");
    (gateway, outcome)
}

#[test]
fn an_order_without_a_fault_is_durable_before_its_reply() {
    let mut gateway = TestGateway::netting();
    assert_eq!(gateway.process(&order(1, "OP_BUY", 0.1)).steps, [Step::Commit, Step::Reply]);
}

#[test]
fn delay_fills_at_once_and_slow_fills_late() {
    check_fills("delay=1s", &[Step::Commit, Step::Wait(SECOND), Step::Reply]);
    check_fills("slow=1s", &[Step::Commit, Step::Reply]); // after it has waited
    check_fills("deaf=1s", &[Step::Commit, Step::Reply, Step::Wait(SECOND)]);
}

#[test]
fn a_lost_reply_leaves_the_id_known_and_being_away_does_not() {
    let (mut gateway, _) = check_fills("lost-reply", &[Step::Commit, Step::Reopen(Duration::ZERO)]);
    assert_eq!(gateway.ask(&status(1))["ticket"], json!(101));
    let (mut gateway, _) = check_fills("away=1s", &[Step::Commit, Step::Reopen(SECOND)]);
    assert_eq!(gateway.ask(&status(1))["retcode"], json!(-2));
}

#[test]
fn garbage_is_no_json_but_the_order_is_filled() {
    let (_, outcome) = check_fills("garbage", &[Step::Commit, Step::Reply]);
    assert!(serde_json::from_slice::<Value>(&outcome.reply).is_err());
}

#[test]
fn a_foreign_id_is_replied_where_replies_carry_ids() {
    let mut gateway = TestGateway::new(AccountMode::Netting, &["stranger-id"]);
    let opening = command("OPEN_ORDER", 0.0, json!({ "symbol": "EURUSD", "side": "BUY", "volume": 0.1 }));
    let reply = gateway.ask(&opening);
    assert_eq!((&reply["req_id"], &reply["data"]["ticket"]), (&json!(FOREIGN_ID), &json!(101)));
    assert_eq!(gateway.ask(&order(1, "OP_BUY", 0.1))["retcode"], json!(10009));
}

#[test]
fn a_peer_that_lags_by_one_sends_the_reply_to_the_order_before() {
    let mut gateway = TestGateway::new(AccountMode::Netting, &["refuse=10018@1", "previous-reply@1-9"]);
    assert_eq!(gateway.ask(&order(1, "OP_BUY", 0.1))["retcode"], json!(10018));
    assert_eq!(gateway.ask(&order(2, "OP_BUY", 0.2))["retcode"], json!(10018), "filled, and answered as the first");
    assert_eq!(gateway.open()[0].volume, d("0.2"));
    let third = gateway.ask(&order(3, "OP_SELL", 0.1));
    assert_eq!((&third["ticket"], &third["data"]["volume"]), (&json!(101), &json!(0.2)));
    assert_eq!(gateway.ask(&status(3))["ticket"], json!(102), "a question is answered in truth");
    let fourth = gateway.ask(&order(4, "OP_SELL", 0.1));
    assert_eq!(fourth["ticket"], json!(102));
}

#[test]
fn a_reused_ticket_names_the_previous_order_and_the_ledger_the_true_one() {
    let mut gateway = TestGateway::new(AccountMode::Netting, &["reused-ticket@1-2"]);
    assert_eq!(gateway.ask(&order(1, "OP_BUY", 0.1))["ticket"], json!(101), "there is none before the first");
    let outcome = gateway.process(&order(2, "OP_BUY", 0.3));
    let reply: Value = serde_json::from_slice(&outcome.reply).unwrap();
    assert_eq!((&reply["ticket"], &reply["data"]["volume"]), (&json!(101), &json!(0.3)));
    assert_eq!(outcome.order.unwrap().ticket, 102);
}

#[test]
fn a_refused_order_does_not_trade() {
    for (code, text) in [
        (10018, "Market is closed"),
        (-1, "Order status unknown: timeout at the terminal"),
        (77, "Unknown return code"),
    ] {
        let (gateway, outcome) = one(&format!("refuse={code}"));
        let reply: Value = serde_json::from_slice(&outcome.reply).unwrap();
        assert_eq!(reply, json!({ "error": true, "ticket": 0, "msg": text, "retcode": code }));
        assert!(outcome.order.is_none() && gateway.open().is_empty());
    }
}

#[test]
fn a_placed_order_has_a_ticket_and_no_fill() {
    let (gateway, outcome) = one("placed");
    let row = outcome.order.unwrap();
    assert_eq!((row.ticket, row.state, row.filled, row.price), (101, OrderState::Placed, d("0"), None));
    assert!(gateway.open().is_empty());
}

#[test]
fn a_partial_fill_is_half_and_the_smallest_volume_has_none() {
    for (volume, filled, code) in
        [(0.1, "0.05", 10010), (0.03, "0.01", 10010), (100.0, "50", 10010), (0.01, "0.01", 10009)]
    {
        let mut gateway = TestGateway::new(AccountMode::Netting, &["partial"]);
        let reply = gateway.ask(&order(1, "OP_SELL", volume));
        assert_eq!((&reply["retcode"], &reply["error"]), (&json!(code), &json!(code == 10010)));
        assert_eq!(gateway.open()[0].volume, d(filled));
        assert_eq!(reply["data"]["volume"], json!(filled.parse::<f64>().unwrap()));
    }
}

#[test]
fn dying_happens_after_the_fill_or_before_it() {
    check_fills("die", &[Step::Commit, Step::Die]);
    let (gateway, outcome) = one("die-before");
    assert_eq!(outcome.steps, [Step::Commit, Step::Die]);
    assert!(
        outcome.order.is_none() && outcome.answer.is_none() && outcome.changes.is_empty() && gateway.open().is_empty()
    );
}

#[test]
fn faults_count_orders_only_and_in_every_dialect() {
    let mut gateway = TestGateway::new(AccountMode::Netting, &["placed@2-3"]);
    let signal = json!({ "action": "place_order", "symbol": "EURUSD", "signal": "BUY", "confidence": 1 });
    let opening = command("OPEN_ORDER", 0.0, json!({ "symbol": "EURUSD", "side": "BUY", "volume": 0.1 }));
    let messages = [
        order(1, "OP_BUY", 0.1),
        status(1),
        command("HEARTBEAT", 0.0, json!({})),
        signal,
        opening,
        order(2, "OP_BUY", 0.1),
    ];
    let faults = messages.map(|message| gateway.process(&message).fault.map(|fault| fault.name()));
    assert_eq!(faults, [None, None, None, Some("placed"), Some("placed"), None]);
}

#[test]
fn a_close_by_ticket_meets_the_faults_of_an_order() {
    let closing = |fault: &str| {
        let mut gateway = TestGateway::new(AccountMode::Hedging, &[&format!("{fault}@2")]);
        gateway.ask(&order(1, "OP_BUY", 0.1));
        let outcome = gateway.process(&command("CLOSE_POSITION", 0.0, json!({ "ticket": 101 })));
        let open = gateway.open().first().map(|position| position.volume);
        (outcome, open)
    };
    let (lost, open) = closing("lost-reply");
    assert_eq!((lost.steps, open), (vec![Step::Commit, Step::Reopen(Duration::ZERO)], None));
    assert!(lost.market_ms.is_some() && lost.order.unwrap().filled == d("0.1"));
    for (fault, left) in [("die-before", "0.1"), ("refuse=10018", "0.1"), ("placed", "0.1"), ("partial", "0.05")] {
        let (outcome, open) = closing(fault);
        assert_eq!(open, Some(d(left)), "{fault}");
        assert_eq!(
            outcome.order.map(|row| row.filled),
            match fault {
                "placed" => Some(d("0")),
                "partial" => Some(d("0.05")),
                _ => None,
            },
            "{fault}"
        );
    }
}
