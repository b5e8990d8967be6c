//! Replies that are lost, late, doubled or somebody else's; stores, starts and accounts that change; processes that end.

use std::sync::atomic::Ordering;

use sentinel_actors::domain::account::Stated;
use sentinel_actors::ports::{Evidence, PositionBook as _, Sink as _};
use serde_json::{Value, json};

use super::scripted::{
    BOOT, GATEWAY_MS, Is, LEDGER, LOGIN, answer, done, error, gateway, gateway_that_is, intent_with, ready,
    record_with, say, submit, venue,
};
use crate::peer::{Peer, SILENCE};
use crate::{NOW, SHORT, SOON, acked, key, never_left, not_now, order, undecidable, unknown};

fn actions(gateway: &Peer) -> Vec<String> {
    gateway.heard().iter().map(|heard| heard.json()["action"].as_str().unwrap().to_owned()).collect()
}

/// Orders are not answered, questions about them are.
fn loses_replies(ticket: u64) -> Peer {
    gateway(move |request| match request["action"].as_str() {
        Some("ORDER_STATUS") => say(answer(request, &done(request, ticket))),
        Some("HEARTBEAT") => say(answer(request, &json!({ "terminal": "ready" }))),
        _ => SILENCE,
    })
}

#[tokio::test]
async fn an_order_whose_reply_was_lost_is_found_by_its_id_and_never_sent_again() {
    let gateway = loses_replies(9001);
    let venue = ready(&gateway).await;
    let note = venue.prepare(&key(1), crate::LIFE);
    let intent = intent_with(&key(1), order(), note);
    unknown(venue.submit(&intent, SHORT, &|| true).await);
    assert!(matches!(venue.settle(&intent, SOON).await, Evidence::Found(_)));
    unknown(venue.submit(&intent, SOON, &|| true).await);
    assert_eq!(actions(&gateway), ["HELLO", "OPEN", "HEARTBEAT", "ORDER_STATUS"]);
}

#[tokio::test]
async fn another_process_asks_by_what_was_noted_before_the_order_left() {
    let gateway = loses_replies(9001);
    let before = ready(&gateway).await;
    let note = before.prepare(&key(1), crate::LIFE);
    let intent = intent_with(&key(1), order(), note);
    unknown(before.submit(&intent, SHORT, &|| true).await);
    // Its link and all that it knew of the gateway end with it.
    drop(before);
    let after = venue(gateway.port);
    assert!(matches!(after.settle(&intent, SOON).await, Evidence::Found(_)));
    assert_eq!(actions(&gateway), ["HELLO", "OPEN", "HEARTBEAT", "ORDER_STATUS"]);
}

#[tokio::test]
async fn a_question_names_store_account_and_times_of_the_hand_over() {
    let gateway = loses_replies(9001);
    let venue = ready(&gateway).await;
    let intent = intent_with(&key(1), order(), venue.prepare(&key(1), std::time::Duration::from_secs(7)));
    unknown(venue.submit(&intent, SHORT, &|| true).await);
    venue.settle(&intent, SOON).await;
    let heard = gateway.heard();
    let (sent, asked) = (heard[1].json(), heard[3].json());
    let payload = &asked["payload"];
    assert_eq!((&payload["about"], &payload["ledger_at_send"]), (&sent["id"], &sent["ledger"]));
    assert_eq!((&asked["ledger"], &asked["seen"], &asked["guard"]), (&sent["ledger"], &json!(41), &sent["guard"]));
    assert_ne!(asked["id"], sent["id"], "a late reply to the order is none to the question");
    let times = [&payload["sent_at"], &sent["expires_at"], &payload["expires_at"]].map(|time| time.as_i64().unwrap());
    assert!(GATEWAY_MS <= times[0] && times.is_sorted() && times[2] == times[0] + 7_000, "{times:?}");
    let order = json!({ "action": "OPEN", "symbol": "EURUSD", "side": "buy", "volume": "0.1", "magic": crate::MAGIC });
    assert_eq!(payload["order"], order);
}

#[tokio::test]
async fn a_prepared_order_is_absent_without_asking_and_is_never_sent() {
    let gateway = loses_replies(9001);
    let venue = ready(&gateway).await;
    let intent = intent_with(&key(1), order(), venue.prepare(&key(1), crate::LIFE));
    assert!(matches!(venue.settle(&intent, SOON).await, Evidence::Absent(_)));
    never_left(venue.submit(&intent, SOON, &|| true).await);
    assert_eq!(actions(&gateway), ["HELLO"]);
}

#[tokio::test]
async fn a_reply_to_another_request_confirms_nothing() {
    type Change = fn(&mut Value);
    let changes: [Change; 6] = [
        |reply| reply["id"] = json!("k4tqk4tqk4tqk4tqk4tqk4tqk4tqk4tq"),
        |reply| reply["action"] = json!("CLOSE"),
        |reply| reply["v"] = json!("sentinel/2"),
        |reply| reply["ok"] = json!(false),
        |reply| reply["ledger"] = json!("another-store"),
        |reply| drop(reply.as_object_mut().unwrap().remove("boot")),
    ];
    for change in changes {
        let gateway = gateway(move |request| {
            let mut reply = answer(request, &done(request, 9001));
            change(&mut reply);
            say(reply)
        });
        let venue = ready(&gateway).await;
        unknown(submit(&venue, &key(1), order()).await);
    }
}

#[tokio::test]
async fn a_late_reply_of_one_order_is_none_of_the_next() {
    let gateway = gateway(|_| SILENCE);
    let venue = ready(&gateway).await;
    let first = intent_with(&key(1), order(), venue.prepare(&key(1), crate::LIFE));
    unknown(venue.submit(&first, SHORT, &|| true).await);
    let late = answer(&gateway.heard()[1].json(), &done(&gateway.heard()[1].json(), 9001));
    let second = intent_with(&key(2), order(), venue.prepare(&key(2), crate::LIFE));
    let (submission, ()) = tokio::join!(venue.submit(&second, SHORT, &|| true), async {
        gateway.hears(3).await;
        gateway.say(1, late.to_string());
    });
    unknown(submission);
}

#[tokio::test]
async fn a_reply_that_comes_twice_is_none_of_the_next_question() {
    let gateway = gateway(|request| {
        let reply = answer(request, &done(request, 9001));
        [say(reply.clone()), say(reply)].into_iter().flatten().collect()
    });
    let venue = ready(&gateway).await;
    acked(submit(&venue, &key(1), order()).await);
    // The second of the two comes first for this order.
    let second = submit(&venue, &key(2), order()).await;
    if let sentinel_actors::ports::Submission::Acked(receipt) = &second {
        assert!(receipt.ticket().is_some(), "its own reply");
    }
    let heard = gateway.heard();
    let orders = heard.iter().filter(|heard| heard.json()["action"] == "OPEN").count();
    assert_eq!(orders, 2, "each order was sent once");
}

#[tokio::test]
async fn another_store_refuses_the_order_and_the_next_one_is_for_that_store() {
    let first = gateway(|_| SILENCE);
    let venue = ready(&first).await;
    let note = venue.prepare(&key(1), crate::LIFE);
    let port = first.gone();
    let is = Is { ledger: "another-store".to_owned(), ..Is::default() };
    let second = gateway_that_is(is, port, |request| match request["ledger"] == "another-store" {
        true => say(answer(request, &done(request, 9001))),
        false => say(error(request, "other_ledger", "say HELLO first")),
    });
    let why = never_left(venue.submit(&intent_with(&key(1), order(), note), SOON, &|| true).await);
    assert!(why.contains("other_ledger"), "{why}");
    assert_eq!(venue.prepare(&key(2), crate::LIFE), None, "HELLO is due");
    venue.account_report(NOW, SOON).await.unwrap_err();
    acked(submit(&venue, &key(3), order()).await);
    assert_eq!(actions(&second).iter().filter(|action| *action == "HELLO").count(), 1);
}

#[tokio::test]
async fn a_question_to_another_store_says_which_one_the_order_was_sent_to() {
    let first = gateway(|_| SILENCE);
    let venue = ready(&first).await;
    let intent = intent_with(&key(1), order(), venue.prepare(&key(1), crate::LIFE));
    unknown(venue.submit(&intent, SHORT, &|| true).await);
    let port = first.gone();
    let is = Is { ledger: "another-store".to_owned(), ..Is::default() };
    let second = gateway_that_is(is, port, |request| match request["ledger"] == "another-store" {
        _ if request["action"] == "HEARTBEAT" => say(answer(request, &json!({ "terminal": "ready" }))),
        true => say(answer(request, &record_with(request, &json!({ "text": "another store may know this id" })))),
        false => say(error(request, "other_ledger", "say HELLO first")),
    });
    not_now(venue.settle(&intent, SOON).await);
    let heard = second.heard();
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[1].json()["payload"]["ledger_at_send"], LEDGER);
}

/// A gateway that believes what it is told of the store: it never had the id, so it bars it where that store is its own.
fn forgets(is: Is, port: u16) -> Peer {
    gateway_that_is(is, port, |request| match request["action"].as_str() {
        Some("HEARTBEAT") => say(answer(request, &json!({ "terminal": "ready" }))),
        Some("ORDER_STATUS") if request["payload"]["ledger_at_send"] == LEDGER => {
            say(answer(request, &record_with(request, &absent_by_bar())))
        }
        Some("ORDER_STATUS") => say(answer(request, &record_with(request, &json!({})))),
        _ => SILENCE,
    })
}

fn absent_by_bar() -> Value {
    json!({ "state": "absent", "final": true, "sent": false, "proof": "barred", "filled": "0" })
}

/// The store is put back to exactly what had been seen in it, and the order came after that.
#[tokio::test]
async fn a_gateway_that_was_started_again_goes_by_evidence_and_not_by_what_its_store_lacks() {
    for asks_anew in [false, true] {
        let first = forgets(Is::default(), 0);
        let before = ready(&first).await;
        let intent = intent_with(&key(1), order(), before.prepare(&key(1), crate::LIFE));
        unknown(before.submit(&intent, SHORT, &|| true).await);
        let port = first.gone();
        let is = Is::default();
        is.boot.store(BOOT + 1, Ordering::Relaxed);
        let second = forgets(is, port);
        let asking = if asks_anew { venue(port) } else { before };
        not_now(asking.settle(&intent, SOON).await);
        let asked = second.heard().last().unwrap().json();
        assert_eq!((&asked["payload"]["ledger_at_send"], &asked["seen"]), (&json!("unknown"), &json!(41)));
        assert!(asked["payload"]["sent_at"].as_i64().unwrap() >= GATEWAY_MS, "what it was is still told");
    }
}

#[tokio::test]
async fn the_same_start_of_the_gateway_is_believed_that_it_never_got_an_order() {
    let gateway = forgets(Is::default(), 0);
    let before = ready(&gateway).await;
    let note = before.prepare(&key(1), crate::LIFE);
    let intent = intent_with(&key(1), order(), note.clone());
    unknown(before.submit(&intent, SHORT, &|| true).await);
    assert!(matches!(before.settle(&intent, SOON).await, Evidence::Absent(_)));
    // An older version of the node wrote no start.
    let mut older: Value = serde_json::from_str(&note.unwrap()).unwrap();
    older.as_object_mut().unwrap().remove("boot").unwrap();
    not_now(venue(gateway.port).settle(&intent_with(&key(1), order(), Some(older.to_string())), SOON).await);
}

/// Between its last word and the question; what it says then is of a store that may lack the order.
#[tokio::test]
async fn a_gateway_that_is_started_again_while_it_is_asked_makes_nothing_absent() {
    let is = Is::default();
    let boot = is.boot.clone();
    let gateway = gateway_that_is(is, 0, move |request| match request["action"].as_str() {
        Some("HEARTBEAT") => say(answer(request, &json!({ "terminal": "ready" }))),
        Some("ORDER_STATUS") => {
            boot.store(BOOT + 1, Ordering::Relaxed);
            say(answer(request, &record_with(request, &absent_by_bar())))
        }
        _ => SILENCE,
    });
    let venue = ready(&gateway).await;
    let intent = intent_with(&key(1), order(), venue.prepare(&key(1), crate::LIFE));
    unknown(venue.submit(&intent, SHORT, &|| true).await);
    undecidable(venue.settle(&intent, SOON).await);
}

#[tokio::test]
async fn a_gateway_that_was_started_again_is_told_hello_before_the_next_order() {
    let is = Is::default();
    let boot = is.boot.clone();
    let gateway = gateway_that_is(is, 0, |request| match request["action"].as_str() {
        Some("POSITIONS") => say(answer(request, &json!({ "positions": [], "orders": [] }))),
        _ => say(answer(request, &done(request, 9001))),
    });
    let venue = ready(&gateway).await;
    boot.store(BOOT + 1, Ordering::Relaxed);
    venue.positions("EURUSD", NOW, SOON).await.unwrap();
    acked(submit(&venue, &key(1), order()).await);
    assert_eq!(actions(&gateway), ["HELLO", "POSITIONS", "HELLO", "OPEN"]);
}

#[tokio::test]
async fn a_terminal_on_another_account_gets_no_order_and_is_told_to_the_operator() {
    let is = Is::default();
    let (boot, login) = (is.boot.clone(), is.login.clone());
    let gateway = gateway_that_is(is, 0, |request| say(answer(request, &done(request, 9001))));
    let venue = ready(&gateway).await;
    let note = venue.prepare(&key(1), crate::LIFE);
    boot.store(BOOT + 1, Ordering::Relaxed);
    login.store(LOGIN + 1, Ordering::Relaxed);
    let report = venue.account_report(NOW, SOON).await.unwrap();
    assert!(matches!(report.login, Stated::Doubtful { .. }), "{report:?}");
    let why = never_left(venue.submit(&intent_with(&key(1), order(), note), SOON, &|| true).await);
    assert!(why.contains("account 5012346") && why.contains("start the node again"), "{why}");
    assert_eq!(venue.prepare(&key(2), crate::LIFE), None);
    venue.positions("EURUSD", NOW, SOON).await.unwrap_err();
    assert!(actions(&gateway).iter().all(|action| action == "HELLO"), "{:?}", actions(&gateway));
}

/// The store would believe that it never got the order, and the terminal's history would be that of another account.
#[tokio::test]
async fn an_order_without_a_note_is_never_absent_by_itself() {
    let gateway = gateway(|request| say(answer(request, &record_with(request, &absent_by_bar()))));
    let venue = venue(gateway.port);
    undecidable(venue.settle(&intent_with(&key(1), order(), None), SOON).await);
    undecidable(venue.settle(&intent_with(&key(1), order(), Some("ledger 7".to_owned())), SOON).await);
    let heard = gateway.heard();
    assert_eq!(heard.last().unwrap().json()["payload"]["ledger_at_send"], "unknown");
}

#[tokio::test]
async fn an_order_is_looked_for_on_the_account_that_it_was_meant_for() {
    let first = gateway(|_| SILENCE);
    let before = ready(&first).await;
    let intent = intent_with(&key(1), order(), before.prepare(&key(1), crate::LIFE));
    unknown(before.submit(&intent, SHORT, &|| true).await);
    drop(before);
    let port = first.gone();
    let is = Is::default();
    is.login.store(LOGIN + 1, Ordering::Relaxed);
    let second = gateway_that_is(is, port, |request| say(answer(request, &record_with(request, &json!({})))));
    let after = ready(&second).await;
    not_now(after.settle(&intent, SOON).await);
    assert_eq!(second.heard().last().unwrap().json()["guard"]["login"], LOGIN);
}

#[tokio::test]
async fn an_order_that_becomes_too_old_on_its_way_never_leaves() {
    let gateway = loses_replies(9001);
    let venue = ready(&gateway).await;
    let intent = intent_with(&key(1), order(), venue.prepare(&key(1), crate::LIFE));
    never_left(venue.submit(&intent, SOON, &|| false).await);
    assert_eq!(actions(&gateway), ["HELLO"]);
    assert!(matches!(venue.settle(&intent, SOON).await, Evidence::Absent(_)));
}

/// A node that lost its journal decides the same bar again.
#[tokio::test]
async fn an_id_that_was_used_before_is_left_to_the_operator() {
    let gateway = gateway(|request| match request["action"].as_str() {
        Some("OPEN") => say(error(request, "id_conflict", "this id was used for another request")),
        _ => {
            let mut record = done(request, 9001);
            record["sent_at"] = json!(GATEWAY_MS - 3_600_000);
            say(answer(request, &record))
        }
    });
    let before = ready(&gateway).await;
    let intent = intent_with(&key(1), order(), before.prepare(&key(1), crate::LIFE));
    unknown(before.submit(&intent, SOON, &|| true).await);
    undecidable(before.settle(&intent, SOON).await);
    undecidable(venue(gateway.port).settle(&intent, SOON).await);
}
