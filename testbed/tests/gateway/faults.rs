//! What each fault does, in which order, and to which orders.

use std::time::Duration;

use sentinel_testbed::gateway::{AccountMode, OrderState, STRANGER, Step, Turn};
use serde_json::{Value, json};

use super::desk::{Desk, command, d, order, status};

const SECOND: Duration = Duration::from_secs(1);

fn one(fault: &str) -> (Desk, Turn) {
    let mut desk = Desk::new(AccountMode::Netting, &[fault]);
    let turn = desk.turn(&order(1, "OP_BUY", 0.1));
    (desk, turn)
}

#[track_caller]
fn check_fills(fault: &str, steps: &[Step]) -> (Desk, Turn) {
    let (desk, turn) = one(fault);
    assert_eq!(turn.steps, steps, "{fault}");
    assert_eq!(turn.order.as_ref().map(|row| row.filled), Some(d("0.1")), "{fault}");
    assert_eq!(desk.open()[0].volume, d("0.1"), "{fault}");
    (desk, turn)
}

#[test]
fn an_order_without_a_fault_is_durable_before_its_reply() {
    let mut desk = Desk::netting();
    assert_eq!(desk.turn(&order(1, "OP_BUY", 0.1)).steps, [Step::Commit, Step::Reply]);
}

#[test]
fn delay_fills_at_once_and_slow_fills_late() {
    check_fills("delay=1s", &[Step::Commit, Step::Wait(SECOND), Step::Reply]);
    check_fills("slow=1s", &[Step::Commit, Step::Reply]); // after it has waited
    check_fills("deaf=1s", &[Step::Commit, Step::Reply, Step::Wait(SECOND)]);
}

#[test]
fn a_lost_reply_leaves_the_id_known_and_being_away_does_not() {
    let (mut desk, _) = check_fills("lost-reply", &[Step::Commit, Step::Reopen(Duration::ZERO)]);
    assert_eq!(desk.ask(&status(1))["ticket"], json!(101));
    let (mut desk, _) = check_fills("away=1s", &[Step::Commit, Step::Reopen(SECOND)]);
    assert_eq!(desk.ask(&status(1))["retcode"], json!(-2));
}

#[test]
fn garbage_is_no_json_but_the_order_is_filled() {
    let (_, turn) = check_fills("garbage", &[Step::Commit, Step::Reply]);
    assert!(serde_json::from_slice::<Value>(&turn.reply).is_err());
}

#[test]
fn a_stranger_is_answered_where_replies_carry_ids() {
    let mut desk = Desk::new(AccountMode::Netting, &["stranger-id"]);
    let opening = command("OPEN_ORDER", 0.0, json!({ "symbol": "EURUSD", "side": "BUY", "volume": 0.1 }));
    let reply = desk.ask(&opening);
    assert_eq!((&reply["req_id"], &reply["data"]["ticket"]), (&json!(STRANGER), &json!(101)));
    assert_eq!(desk.ask(&order(1, "OP_BUY", 0.1))["retcode"], json!(10009));
}

#[test]
fn a_peer_that_lags_by_one_answers_an_order_with_the_reply_to_the_one_before() {
    let mut desk = Desk::new(AccountMode::Netting, &["refuse=10018@1", "previous-reply@1-9"]);
    assert_eq!(desk.ask(&order(1, "OP_BUY", 0.1))["retcode"], json!(10018));
    assert_eq!(desk.ask(&order(2, "OP_BUY", 0.2))["retcode"], json!(10018), "filled, and answered as the first");
    assert_eq!(desk.open()[0].volume, d("0.2"));
    let third = desk.ask(&order(3, "OP_SELL", 0.1));
    assert_eq!((&third["ticket"], &third["data"]["volume"]), (&json!(101), &json!(0.2)));
    assert_eq!(desk.ask(&status(3))["ticket"], json!(102), "a question is answered in truth");
    let fourth = desk.ask(&order(4, "OP_SELL", 0.1));
    assert_eq!(fourth["ticket"], json!(102));
}

#[test]
fn a_reused_ticket_names_the_previous_order_and_the_ledger_the_true_one() {
    let mut desk = Desk::new(AccountMode::Netting, &["reused-ticket@1-2"]);
    assert_eq!(desk.ask(&order(1, "OP_BUY", 0.1))["ticket"], json!(101), "there is none before the first");
    let turn = desk.turn(&order(2, "OP_BUY", 0.3));
    let reply: Value = serde_json::from_slice(&turn.reply).unwrap();
    assert_eq!((&reply["ticket"], &reply["data"]["volume"]), (&json!(101), &json!(0.3)));
    assert_eq!(turn.order.unwrap().ticket, 102);
}

#[test]
fn a_refused_order_does_not_trade() {
    for (code, text) in [
        (10018, "Market is closed"),
        (-1, "Order status unknown: timeout at the terminal"),
        (77, "Unknown return code"),
    ] {
        let (desk, turn) = one(&format!("refuse={code}"));
        let reply: Value = serde_json::from_slice(&turn.reply).unwrap();
        assert_eq!(reply, json!({ "error": true, "ticket": 0, "msg": text, "retcode": code }));
        assert!(turn.order.is_none() && desk.open().is_empty());
    }
}

#[test]
fn a_placed_order_has_a_ticket_and_no_fill() {
    let (desk, turn) = one("placed");
    let row = turn.order.unwrap();
    assert_eq!((row.ticket, row.state, row.filled, row.price), (101, OrderState::Placed, d("0"), None));
    assert!(desk.open().is_empty());
}

#[test]
fn a_partial_fill_is_half_and_the_smallest_volume_has_none() {
    for (volume, filled, code) in
        [(0.1, "0.05", 10010), (0.03, "0.01", 10010), (100.0, "50", 10010), (0.01, "0.01", 10009)]
    {
        let mut desk = Desk::new(AccountMode::Netting, &["partial"]);
        let reply = desk.ask(&order(1, "OP_SELL", volume));
        assert_eq!((&reply["retcode"], &reply["error"]), (&json!(code), &json!(code == 10010)));
        assert_eq!(desk.open()[0].volume, d(filled));
        assert_eq!(reply["data"]["volume"], json!(filled.parse::<f64>().unwrap()));
    }
}

#[test]
fn dying_happens_after_the_fill_or_before_it() {
    check_fills("die", &[Step::Commit, Step::Die]);
    let (desk, turn) = one("die-before");
    assert_eq!(turn.steps, [Step::Commit, Step::Die]);
    assert!(turn.order.is_none() && turn.answer.is_none() && turn.changes.is_empty() && desk.open().is_empty());
}

#[test]
fn faults_count_orders_only_and_in_every_dialect() {
    let mut desk = Desk::new(AccountMode::Netting, &["placed@2-3"]);
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
    let faults = messages.map(|message| desk.turn(&message).fault.map(|fault| fault.name()));
    assert_eq!(faults, [None, None, None, Some("placed"), Some("placed"), None]);
}
