//! What goes over the wire for an order, and what a reply makes of it.

use std::sync::Arc;

use sentinel::venues::gateway::Exits;
use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::order::Ticket;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{NoFaults, PositionBook as _, Positions, Sink as _, Submission};
use serde_json::json;

use super::peer::{Peer, say};
use super::{MAGIC, SOON, acked, d, failed, filled, intent_of, key, order, submit, venue, venue_with};

#[tokio::test]
async fn an_order_is_sent_once_with_all_that_is_needed_to_find_it_again() {
    let gateway = Peer::start(|number, _| say(number, filled(4711)));
    let receipt = acked(submit(&venue(gateway.port), &key(9), SOON).await);
    assert_eq!((receipt.ticket, receipt.volume_lots, receipt.price), (Ticket(4711), d("0.1"), None));
    assert_eq!(receipt.text, "done (10009): Request executed");

    let heard = gateway.heard();
    assert_eq!(heard.len(), 1);
    let expected = json!({
        "action": "ORDER_SEND",
        "req_id": heard[0].json()["req_id"],
        "timestamp": 1_767_225_600.25,
        "payload": {
            "symbol": "EURUSD", "type": "OP_BUY", "volume": 0.1, "magic": MAGIC,
            "comment": format!("sn:{}", &key(9).as_str()[..20]), "sl": 0, "tp": 0,
        },
    });
    assert_eq!(heard[0].json(), expected);
    assert!(heard[0].text.contains(r#""volume":0.10,"#), "{}", heard[0].text);
    let id: uuid::Uuid = heard[0].json()["req_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 5);
}

#[tokio::test]
async fn the_id_depends_on_the_key_alone_so_that_every_process_asks_by_the_same() {
    let gateway = Peer::start(|number, _| say(number, filled(1)));
    let venue = venue_with(gateway.port, Exits::AtBroker, Arc::new(NoFaults));
    let mut other = order();
    other.volume_lots = d("2.5");
    other.stop_price = Some(d("1.09500"));
    acked(submit(&venue, &key(9), SOON).await);
    let again = venue_with(gateway.port, Exits::AtBroker, Arc::new(NoFaults));
    acked(again.submit(&intent_of(&key(9), other.clone()), SOON, &|| true).await);
    acked(again.submit(&intent_of(&key(10), other.clone()), SOON, &|| true).await);
    let ids: Vec<_> = gateway.heard().iter().map(|heard| heard.json()["req_id"].clone()).collect();
    // Worked out by Python's uuid.uuid5: another id would make every earlier order unknown to the gateway.
    assert_eq!(ids[0], "68284aea-e9fc-5c23-81de-997b51825e79");
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
    assert!(gateway.heard()[1].text.contains(r#""sl":1.095,"tp":0"#));
}

#[tokio::test]
async fn a_refusal_carries_its_code_and_whether_it_will_last() {
    let gateway = Peer::start(|number, _| {
        say(number, if number == 0 { failed(10018, "Market is closed") } else { failed(10019, "No\\u0007 money") })
    });
    let venue = venue(gateway.port);
    let refused = |code, text: &str, lasting| Submission::Rejected { code: Some(code), text: text.to_owned(), lasting };
    let closed = submit(&venue, &key(9), SOON).await;
    assert_eq!(closed, refused(10018, "market closed (10018): Market is closed", false));
    let poor = submit(&venue, &key(10), SOON).await;
    assert_eq!(poor, refused(10019, "not enough money (10019): No money", true));
}

#[tokio::test]
async fn it_is_live_and_says_what_it_cannot_tell() {
    for (exits, positions) in [(Exits::ByOrders, Positions::Derived), (Exits::AtBroker, Positions::Untracked)] {
        let venue = venue_with(1, exits, Arc::new(NoFaults));
        assert_eq!((venue.mode(), venue.account()), (Mode::Live, "demo-1"));
        assert_eq!(venue.positions("EURUSD", UtcMs(0), SOON).await.unwrap(), positions);
    }
}
