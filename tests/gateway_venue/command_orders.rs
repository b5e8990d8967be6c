//! A venue that speaks `command` against gateways that play each of its traps.

use std::sync::Arc;

use sentinel::venues::gateway::{Exits, GatewayVenue};
use sentinel_actors::domain::order::{Order, Role, Side, Ticket};
use sentinel_actors::ports::{Evidence, NoFaults, PositionBook as _, Positions, Sink as _, Submission, VenueError};
use serde_json::{Value, json};

use super::peer::{Act, Heard, Peer, SILENCE, say};
use super::{NOW, SHORT, SOON, acked, d, intent_of, key, not_now, order, settle, submit, unknown};

fn venue(port: u16) -> GatewayVenue {
    super::speaking("command", port, Exits::AtBroker, Arc::new(NoFaults))
}

/// A reply that carries the id of its request.
pub fn reply(to: &Heard, data: &Value) -> String {
    json!({"req_id": to.json()["req_id"], "status": "SUCCESS", "timestamp": 1.0, "data": data, "error": null})
        .to_string()
}

pub fn position(ticket: u64, symbol: &str, side: &str, volume: f64) -> Value {
    json!({"ticket": ticket, "symbol": symbol, "type": side, "volume": volume, "open_price": 1.1, "current_price": 1.1, "profit": 0.0})
}

pub fn account(used_margin: f64) -> Value {
    json!({"balance": 1e4, "equity": 1e4, "free_margin": 1e4, "used_margin": used_margin, "currency": "USD"})
}

/// Answers each action with what the script has for it.
fn playing(mut script: impl FnMut(&str) -> Value + Send + 'static) -> Peer {
    Peer::start(move |number, heard| {
        let data = script(heard.json()["action"].as_str().unwrap());
        say(number, reply(heard, &data))
    })
}

fn actions(gateway: &Peer) -> Vec<String> {
    gateway.heard().iter().map(|heard| heard.json()["action"].as_str().unwrap().to_owned()).collect()
}

async fn positions(venue: &GatewayVenue) -> Result<Positions, VenueError> {
    venue.positions("EURUSD", NOW, SOON).await
}

async fn close(venue: &GatewayVenue, ticket: u64) -> Submission {
    let close = Order { role: Role::Close(Ticket(ticket)), side: Side::Sell, ..order() };
    venue.prepare(&key(9), crate::LIFE);
    venue.submit(&intent_of(&key(9), close), SHORT * 4, &|| true).await
}

#[tokio::test]
async fn an_order_is_confirmed_by_the_reply_with_its_own_id() {
    let gateway = playing(|_| json!({"status": "SUCCESS", "ticket": 7, "volume": 0.1, "price": 1.1}));
    assert_eq!(acked(submit(&venue(gateway.port), &key(9), SOON).await).ticket, Ticket(7));
    assert_eq!(actions(&gateway), ["OPEN_ORDER"]);
}

#[tokio::test]
async fn a_reply_for_another_request_confirms_nothing_and_costs_the_socket() {
    let gateway = Peer::start(|number, heard| {
        let fill = json!({"status": "SUCCESS", "ticket": 7 + number, "volume": 0.1});
        let mut answer: Value = serde_json::from_str(&reply(heard, &fill)).unwrap();
        if number == 0 {
            answer["req_id"] = json!("00000000-0000-0000-0000-000000000000");
        }
        say(number, answer.to_string())
    });
    let venue = venue(gateway.port);
    assert!(unknown(submit(&venue, &key(1), SOON).await).contains("for another request"));
    assert_eq!(acked(submit(&venue, &key(2), SOON).await).ticket, Ticket(8));
    let heard = gateway.heard();
    assert_ne!(heard[0].from, heard[1].from, "the socket that brought it was used again");
}

#[tokio::test]
async fn the_positions_of_the_symbol_are_those_that_the_gateway_lists() {
    let gateway = playing(|_| json!([position(5, "EURUSD.m", "BUY", 0.1), position(6, "GBPUSD", "BUY", 0.1)]));
    let Ok(Positions::Reported(listed)) = positions(&venue(gateway.port)).await else { panic!("not reported") };
    let listed: Vec<(Ticket, &str)> = listed.iter().map(|open| (open.ticket, open.symbol.as_str())).collect();
    assert_eq!(listed, [(Ticket(5), "EURUSD")], "under the name that the orders have");
    assert_eq!(actions(&gateway), ["GET_POSITIONS"]);
}

/// It is also what a gateway answers that lost its terminal.
#[tokio::test]
async fn an_empty_position_list_proves_nothing() {
    let flat = playing(|action| if action == "GET_POSITIONS" { json!([]) } else { account(0.0) });
    assert_eq!(positions(&venue(flat.port)).await, Ok(Positions::Reported(Vec::new())), "the account says the same");
    for (account, why) in [
        (json!({"error": "not connected"}), "proves nothing"),
        (account(110.0), "uses a margin of 110"),
        (json!({"balance": 1e4}), "does not tell its margin"),
        (json!(null), "proves nothing"),
    ] {
        let gateway = playing(move |action| if action == "GET_POSITIONS" { json!([]) } else { account.clone() });
        let VenueError(text) = positions(&venue(gateway.port)).await.unwrap_err();
        assert!(text.contains(why), "{text}");
    }
}

#[tokio::test]
async fn a_gateway_that_does_not_answer_leaves_positions_unknown() {
    let gateway = Peer::start(|_, _| vec![Act::Leave]);
    let asked = venue(gateway.port);
    asked.positions("EURUSD", NOW, SHORT).await.unwrap_err();
}

#[tokio::test]
async fn a_close_is_believed_only_when_positions_were_read_again() {
    let closed = json!({"status": "SUCCESS", "ticket": 8, "volume": 0.1, "price": 1.1});
    let reply = closed.clone();
    let other = json!([position(6, "GBPUSD", "BUY", 0.1)]);
    let gateway = playing(move |action| if action == "GET_POSITIONS" { other.clone() } else { reply.clone() });
    assert_eq!(acked(close(&venue(gateway.port), 5).await).ticket, Ticket(8));
    assert_eq!(actions(&gateway), ["CLOSE_POSITION", "GET_POSITIONS"]);

    let still = json!([position(5, "EURUSD", "BUY", 0.1)]);
    let gateway = playing(move |action| if action == "GET_POSITIONS" { still.clone() } else { closed.clone() });
    let why = unknown(close(&venue(gateway.port), 5).await);
    assert!(why.contains("says that it closed") && why.contains("still listed"), "{why}");
}

#[tokio::test]
async fn a_close_that_a_blind_gateway_reports_is_not_believed() {
    let gateway = playing(|action| match action {
        "GET_POSITIONS" => json!([]),
        "GET_ACCOUNT_INFO" => json!({"error": "not connected"}),
        _ => json!({"status": "SUCCESS", "ticket": 8, "volume": 0.1}),
    });
    assert!(unknown(close(&venue(gateway.port), 5).await).contains("proves nothing"));
}

/// The public gateway calls a function that its terminal's library does not have.
#[tokio::test]
async fn a_gateway_that_cannot_close_refuses_and_the_position_is_seen_to_be_open() {
    let error = json!({"status": "ERROR", "error": "module 'MetaTrader5' has no attribute 'Close'"});
    for (left, is_refused) in
        [(json!([position(5, "EURUSD", "BUY", 0.1)]), true), (json!([position(6, "X", "BUY", 1.0)]), false)]
    {
        let error = error.clone();
        let gateway = playing(move |action| if action == "GET_POSITIONS" { left.clone() } else { error.clone() });
        let submission = close(&venue(gateway.port), 5).await;
        assert_eq!(matches!(submission, Submission::Rejected { lasting: true, .. }), is_refused, "{submission:?}");
    }
}

#[tokio::test]
async fn a_kept_answer_about_the_account_is_read_with_its_doubts() {
    let gateway = playing(
        |_| json!({"balance": 1e4, "equity": 1e4, "used_margin": 0.0, "trade_mode": 2, "server_name": "UNKNOWN"}),
    );
    let report = venue(gateway.port).account_report(NOW, SOON).await.unwrap();
    assert_eq!((report.balance, report.kind.believed(), report.server.believed()), (Some(d("10000")), None, None));
    let silent = super::venue(gateway.port).account_report(NOW, SOON).await.unwrap();
    assert_eq!(silent, sentinel_actors::domain::account::AccountReport::SILENT);
}

/// What a position earned is in the balance as soon as it is not listed any more.
#[tokio::test]
async fn the_money_of_an_account_is_read_between_two_lists_that_show_the_same() {
    let mut lists = [vec![5, 6], vec![6], vec![6]].into_iter();
    let gateway = playing(move |action| match action {
        "GET_POSITIONS" => {
            let open = lists.next().unwrap();
            Value::Array(open.into_iter().map(|ticket| position(ticket, "EURUSD", "BUY", 0.1)).collect())
        }
        _ => account(11.0),
    });
    let reading = venue(gateway.port).account_reading(NOW, SOON).await.unwrap().unwrap();
    assert_eq!((reading.balance, reading.open), (d("10000"), vec![Ticket(6)]));
    let asked = ["GET_POSITIONS", "GET_ACCOUNT_INFO", "GET_POSITIONS", "GET_ACCOUNT_INFO", "GET_POSITIONS"];
    assert_eq!(actions(&gateway), asked, "one was closed after the first list");
}

#[tokio::test]
async fn an_account_that_is_not_told_or_contradicts_its_positions_is_not_read() {
    let flat = playing(|action| if action == "GET_POSITIONS" { json!([]) } else { account(0.0) });
    let reading = venue(flat.port).account_reading(NOW, SOON).await.unwrap().unwrap();
    assert_eq!((reading.equity, reading.open), (d("10000"), Vec::new()));
    for (money, said) in [
        (account(11.0), "lists no position, and its account does not say"),
        (json!({"balance": 1e4, "used_margin": 0.0}), "does not tell the equity"),
        (json!({"error": "not connected"}), "not connected"),
    ] {
        let gateway = playing(move |action| if action == "GET_POSITIONS" { json!([]) } else { money.clone() });
        let error = venue(gateway.port).account_reading(NOW, SOON).await.unwrap_err();
        assert!(error.0.contains(said), "{error}");
    }
    let mut ticket = 0;
    let restless = playing(move |action| {
        ticket += 1;
        if action == "GET_POSITIONS" { json!([position(ticket, "EURUSD", "BUY", 0.1)]) } else { account(11.0) }
    });
    let error = venue(restless.port).account_reading(NOW, SOON).await.unwrap_err();
    assert!(error.0.contains("come and go"), "{error}");
    let silent = super::venue(restless.port);
    assert_eq!((silent.tells_account(), silent.account_reading(NOW, SOON).await), (false, Ok(None)));
}

/// There is no other way to ask about an order, and the venue does not know what explains a position.
#[tokio::test]
async fn an_order_without_a_reply_is_asked_about_by_the_positions_of_its_symbol() {
    let mut asked = 0;
    let gateway = Peer::start(move |number, heard| {
        let data = match heard.json()["action"].as_str().unwrap() {
            "OPEN_ORDER" => return SILENCE,
            "GET_ACCOUNT_INFO" => account(11.0),
            _ => {
                asked += 1;
                if asked == 1 {
                    json!([])
                } else {
                    json!([position(5, "EURUSD", "BUY", 0.1), position(6, "XAUUSD", "BUY", 0.1)])
                }
            }
        };
        say(number, reply(heard, &data))
    });
    let venue = venue(gateway.port);
    unknown(submit(&venue, &key(1), SHORT).await);
    assert!(not_now(settle(&venue, &key(1), SOON).await).contains("uses a margin"));
    let Evidence::Positions(listed) = settle(&venue, &key(1), SOON).await else { panic!("no positions") };
    assert_eq!(listed.iter().map(|position| position.ticket).collect::<Vec<_>>(), [Ticket(5)]);
    assert_eq!(actions(&gateway), ["OPEN_ORDER", "GET_POSITIONS", "GET_ACCOUNT_INFO", "GET_POSITIONS"]);
}
