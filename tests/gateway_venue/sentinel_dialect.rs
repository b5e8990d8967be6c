//! The dialect `sentinel`: what is said to the gateway, what each of its replies is worth, and that nothing is sent twice, late, or to
//! another store or account than an order was meant for.

mod faults;
mod records;
mod scripted;

use sentinel::venues::gateway::Venue as _;
use sentinel_actors::domain::order::{Order, Position, Role, Side, Ticket};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{PositionBook as _, Positions, Sink as _, Submission};
use serde_json::json;

use self::scripted::{
    GATEWAY_MS, Is, LEDGER, LOGIN, answer, done, error, gateway, gateway_that_is, intent_with, ready, say, submit,
    venue, venue_with,
};
use super::logged::Log;
use super::peer::SILENCE;
use super::{MAGIC, NOW, SOON, acked, d, key, never_left, order};

#[tokio::test]
async fn an_order_goes_to_one_store_and_one_account_and_says_how_long_it_is_good() {
    let gateway = gateway(|request| say(answer(request, &done(request, 9001))));
    let venue = ready(&gateway).await;
    let stopped = Order { stop_price: Some(d("1.15000")), ..order() };
    let fill = acked(submit(&venue, &key(1), stopped).await);
    assert_eq!((fill.ticket, fill.volume_lots, fill.price), (Ticket(9001), d("0.1"), Some(d("1.15353"))));
    let heard = gateway.heard();
    assert_eq!(heard.len(), 2, "HELLO once, and the order once");
    let request = heard[1].json();
    let expires_at = request["expires_at"].as_i64().unwrap();
    assert!((GATEWAY_MS + 1..=GATEWAY_MS + 6_000).contains(&expires_at), "by the gateway's clock, within the deadline");
    assert_eq!(
        request,
        json!({
            "v": "sentinel/1", "id": key(1).as_str(), "action": "OPEN", "expires_at": expires_at, "ledger": LEDGER, "seen": 41,
            "guard": { "login": LOGIN, "server": "Broker-Demo", "trade_mode": "demo", "margin_mode": "hedging" },
            "payload": {
                "symbol": "EURUSD", "side": "buy", "volume": "0.1", "sl": "1.15", "tp": null, "magic": MAGIC, "max_deviation_points": 20,
            },
        })
    );
}

#[tokio::test]
async fn a_position_is_closed_by_its_ticket() {
    let gateway = gateway(|request| say(answer(request, &done(request, 9002))));
    let venue = ready(&gateway).await;
    let close = Order { role: Role::Close(Ticket(9001)), side: Side::Sell, ..order() };
    assert_eq!(acked(submit(&venue, &key(1), close).await).ticket, Ticket(9002));
    let request = gateway.heard()[1].json();
    assert_eq!(request["action"], "CLOSE");
    assert_eq!(
        request["payload"],
        json!({ "ticket": 9001, "symbol": "EURUSD", "volume": "0.1", "magic": MAGIC, "max_deviation_points": 20 })
    );
    assert_eq!(venue.closes_by_ticket(), Ok(()));
}

#[tokio::test]
async fn no_order_is_good_for_more_than_a_minute() {
    let gateway = gateway(|request| say(answer(request, &done(request, 9001))));
    let venue = ready(&gateway).await;
    let note = venue.prepare(&key(1), crate::LIFE);
    let submission = venue.submit(&intent_with(&key(1), order(), note), SOON * 60, &|| true).await;
    acked(submission);
    let expires_at = gateway.heard()[1].json()["expires_at"].as_i64().unwrap();
    assert!(expires_at <= GATEWAY_MS + 60_500, "{expires_at}");
}

#[tokio::test]
async fn without_a_hello_before_it_nothing_leaves() {
    let gateway = gateway(|request| say(answer(request, &done(request, 9001))));
    let venue = venue(gateway.port);
    assert_eq!(venue.prepare(&key(1), crate::LIFE), None);
    never_left(venue.submit(&intent_with(&key(1), order(), None), SOON, &|| true).await);
    assert_eq!(gateway.heard().len(), 0);
}

#[tokio::test]
async fn what_an_order_cannot_say_never_leaves() {
    let gateway = gateway(|request| say(answer(request, &done(request, 9001))));
    let venue = ready(&gateway).await;
    never_left(submit(&venue, &key(1), Order { volume_lots: d("0.105"), ..order() }).await);
    never_left(submit(&venue, &key(2), Order { target_price: Some(d("-1")), ..order() }).await);
    assert_eq!(gateway.heard().len(), 1, "only HELLO");
}

/// A broker may give a position another ticket overnight.
#[tokio::test]
async fn a_position_is_known_by_the_order_that_opened_it_where_the_account_hedges_and_by_its_ticket_where_it_nets() {
    for (margin_mode, expected) in [("hedging", 9001), ("netting", 9077), ("exchange", 9077)] {
        let is = Is { says: vec![("/data/account/margin_mode", json!(margin_mode))], ..Is::default() };
        let gateway = gateway_that_is(is, 0, |request| {
            let position = json!({
                "ticket": 9077, "identifier": 9001, "symbol": "EURUSD", "side": "buy", "volume": "0.10", "open_price": "1.15353",
                "opened_at": 1_795_514_402_280_i64,
            });
            say(answer(request, &json!({ "synced_for_s": 9, "positions": [position], "orders": [] })))
        });
        let listed = venue(gateway.port).positions("EURUSD", NOW, SOON).await.unwrap();
        let Positions::Reported(positions) = listed else { panic!("{listed:?}") };
        let tickets: Vec<Ticket> = positions.iter().map(|position| position.ticket).collect();
        assert_eq!(tickets, [Ticket(expected)], "{margin_mode}");
    }
}

#[tokio::test]
async fn positions_are_those_of_the_symbol_by_its_exact_name() {
    let gateway = gateway(|request| {
        let position = |ticket: u64, symbol: &str| {
            json!({
                "ticket": ticket + 50, "identifier": ticket, "symbol": symbol, "side": "sell", "volume": "0.10", "open_price": "1.15353",
                "opened_at": 1_795_514_402_280_i64,
            })
        };
        match request["action"].as_str() {
            Some("POSITIONS") => {
                let listed = [position(9001, "EURUSD"), position(9002, "EURUSD.m")];
                say(answer(request, &json!({ "synced_for_s": 9, "positions": listed, "orders": [] })))
            }
            _ => SILENCE,
        }
    });
    let venue = venue(gateway.port);
    let expected = Position {
        ticket: Ticket(9001),
        symbol: "EURUSD".to_owned(),
        side: Side::Sell,
        volume_lots: d("0.1"),
        open_price: d("1.15353"),
        opened_at: Some(UtcMs(1_795_514_402_280)),
    };
    assert_eq!(venue.positions("EURUSD", NOW, SOON).await, Ok(Positions::Reported(vec![expected])));
    let asked = gateway.heard()[1].json();
    assert_eq!((&asked["payload"], &asked["guard"]["login"]), (&json!({ "symbol": "EURUSD" }), &json!(LOGIN)));
    assert!(venue.prepare(&key(1), crate::LIFE).is_some(), "an order may follow");
}

#[tokio::test]
async fn too_little_is_no_list_of_positions() {
    let gateway = gateway(|request| say(error(request, "not_synced", "wait")));
    let why = venue(gateway.port).positions("EURUSD", NOW, SOON).await.unwrap_err();
    assert!(why.0.contains("not_synced"), "{why}");
}

#[tokio::test]
async fn an_account_is_told_with_login_and_margin_mode_and_read_between_two_equal_lists() {
    let gateway = gateway(|request| {
        let data = match request["action"].as_str() {
            Some("POSITIONS") => json!({ "positions": [], "orders": [] }),
            _ => json!({ "balance": "10000.00", "equity": "9999.50", "margin": "115.35" }),
        };
        say(answer(request, &data))
    });
    let venue = venue(gateway.port);
    let report = venue.account_report(NOW, SOON).await.unwrap();
    assert_eq!((report.balance, report.used_margin), (Some(d("10000")), Some(d("115.35"))));
    assert_eq!(report.login.believed(), Some(&LOGIN.to_string()));
    assert_eq!(report.margin_mode.believed(), Some(&"hedging".to_owned()));
    let reading = venue.account_reading(NOW, SOON).await.unwrap().unwrap();
    assert_eq!((reading.balance, reading.equity, reading.open.len()), (d("10000"), d("9999.5"), 0));
    let heard: Vec<_> =
        gateway.heard().iter().map(|heard| heard.json()["action"].as_str().unwrap().to_owned()).collect();
    assert_eq!(heard, ["HELLO", "ACCOUNT", "POSITIONS", "ACCOUNT", "POSITIONS"]);
}

#[tokio::test]
async fn nothing_is_opened_at_a_wider_or_older_spread_than_the_limit_and_positions_are_still_closed() {
    let of_now = json!(120);
    for (ask, age_ms, opens) in [
        ("1.15363", of_now.clone(), true),
        ("1.15363", json!(10_000), true),
        ("1.15363", json!(10_001), false),
        ("1.15363", json!(null), false),
        ("1.15364", of_now.clone(), false),
        ("", of_now.clone(), false),
        ("1.15352", of_now.clone(), false),
    ] {
        let said = format!("{ask}, {age_ms} ms old");
        let gateway = gateway(move |request| match request["action"].as_str() {
            Some("TICK") => {
                say(answer(request, &json!({ "bid": "1.15353", "ask": ask, "age_ms": age_ms, "moving": true })))
            }
            _ => say(answer(request, &done(request, 9001))),
        });
        let venue = venue_with(gateway.port, |settings| settings.max_spread = Some(d("0.00010")));
        venue.introduction("EURUSD", SOON).await.unwrap();
        let opened = submit(&venue, &key(1), order()).await;
        assert_eq!(matches!(opened, Submission::Acked(_)), opens, "{said}: {opened:?}");
        let close = Order { role: Role::Close(Ticket(9001)), side: Side::Sell, ..order() };
        acked(submit(&venue, &key(2), close).await);
    }
}

#[tokio::test]
async fn a_configuration_of_another_kind_of_account_opens_nothing_and_still_closes() {
    let gateway = gateway(|request| say(answer(request, &done(request, 9001))));
    let venue = venue_with(gateway.port, |settings| settings.is_hedging = false);
    venue.introduction("EURUSD", SOON).await.unwrap();
    let why = never_left(submit(&venue, &key(1), order()).await);
    assert!(why.contains("account_mode is \"netting\""), "{why}");
    let close = Order { role: Role::Close(Ticket(9001)), side: Side::Sell, ..order() };
    acked(submit(&venue, &key(2), close).await);
}

#[tokio::test]
async fn what_would_keep_orders_from_being_executed_is_told_to_a_person() {
    type Said = (&'static str, serde_json::Value);
    let lots = |least: &str, step: &str| {
        ("/data/symbols", json!({ "EURUSD": { "volume_min": least, "volume_step": step, "volume_max": "100" } }))
    };
    let cases: [(Said, Option<&str>); 9] = [
        (lots("0.01", "0.01"), None),
        (("/data/symbols", json!({})), Some("no symbol EURUSD")),
        (lots("0.2", "0.1"), Some("from 0.2 to 100 lots")),
        (lots("0.04", "0.04"), Some("in steps of 0.04")),
        (("/data/terminal/connected", json!(false)), Some("not connected")),
        (("/data/terminal/trade_allowed", json!(false)), Some("algo trading is off")),
        (("/data/account/trade_allowed", json!(false)), Some("may not trade")),
        (("/data/account/trade_expert", json!(false)), Some("programs may not trade")),
        (
            ("/data/account/margin_mode", json!("exchange")),
            Some("margin mode is exchange, and account_mode is \"hedging\""),
        ),
    ];
    for (said, obstacle) in cases {
        let is = Is { says: vec![lots("0.01", "0.01"), said], ..Is::default() };
        let gateway = gateway_that_is(is, 0, |_| SILENCE);
        let found = venue(gateway.port).obstacles("EURUSD", d("0.10"), SOON).await.unwrap();
        match obstacle {
            None => assert_eq!(found, Vec::<String>::new()),
            Some(obstacle) => assert!(found.len() == 1 && found[0].contains(obstacle), "{obstacle}: {found:?}"),
        }
    }
}

/// A process that closes what is open has heard nothing before it, and must not take the account of the day for its own.
#[tokio::test]
async fn what_is_open_is_not_listed_from_another_account_than_that_of_the_orders() {
    let noted = ready(&gateway(|_| SILENCE)).await.prepare(&key(1), crate::LIFE).unwrap();
    let is = Is::default();
    is.login.store(LOGIN + 1, std::sync::atomic::Ordering::Relaxed);
    let gateway = gateway_that_is(is, 0, |request| say(answer(request, &json!({ "positions": [], "orders": [] }))));
    let venue = venue(gateway.port);
    venue.begin_with(&noted);
    let why = venue.positions("EURUSD", NOW, SOON).await.unwrap_err();
    let both = why.0.contains("terminal is on the account 5012346") && why.0.contains("is on the account 5012345");
    assert!(both, "{why}");
}

#[tokio::test]
async fn what_hello_says_is_told_to_a_person() {
    let gateway = gateway(|_| SILENCE);
    let text = venue(gateway.port).introduction("EURUSD", SOON).await.unwrap().unwrap();
    for part in [
        "account 5012345 at Broker-Demo, demo, hedging",
        "currency USD",
        "build 6231",
        "magic intact",
        "no symbol EURUSD",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// Nobody asks about an absent order again; a position of it is nobody's.
#[tokio::test]
async fn an_absent_order_that_shows_at_the_broker_is_an_error_once() {
    let (log, _guard) = Log::capture();
    let mut reported = Vec::new();
    let (mut port, mut link) = (0, None);
    for contradictions in [2, 3, 3] {
        let is = Is { says: vec![("/data/contradictions", json!(contradictions))], ..Is::default() };
        let gateway = gateway_that_is(is, port, |request| say(error(request, "not_synced", "wait")));
        // The process is the same all the while.
        link.get_or_insert_with(|| venue(gateway.port)).account_report(NOW, SOON).await.unwrap();
        let events = log.lines().into_iter().filter(|line| line["fields"]["event"] == "absent_order_found").count();
        reported.push(events);
        port = gateway.gone();
    }
    assert_eq!(reported, [0, 1, 1]);
}

#[tokio::test]
async fn a_position_that_lost_its_stop_is_an_error_once() {
    let (log, _guard) = Log::capture();
    for (sl, expected) in [(json!("1.15"), 0), (json!(null), 1), (json!("0.00000"), 1)] {
        let before = log.lines().iter().filter(|line| line["fields"]["event"] == "levels_missing").count();
        let gateway = gateway(move |request| match request["action"].as_str() {
            Some("POSITIONS") => {
                let position = |ticket: u64, sl: &serde_json::Value| {
                    json!({
                        "ticket": ticket, "identifier": ticket, "symbol": "EURUSD", "side": "buy", "volume": "0.10",
                        "open_price": "1.15353", "sl": sl, "tp": null, "opened_at": GATEWAY_MS,
                    })
                };
                // The second is another hand's.
                let listed = [position(9001, &sl), position(9002, &json!(null))];
                say(answer(request, &json!({ "positions": listed, "orders": [] })))
            }
            _ => say(answer(request, &done(request, 9001))),
        });
        let venue = ready(&gateway).await;
        acked(submit(&venue, &key(1), Order { stop_price: Some(d("1.15000")), ..order() }).await);
        for _ in 0..2 {
            venue.positions("EURUSD", NOW, SOON).await.unwrap();
        }
        let lines = log.lines();
        let told: Vec<_> =
            lines.iter().filter(|line| line["fields"]["event"] == "levels_missing").skip(before).collect();
        assert_eq!(told.len(), expected, "{told:?}");
        assert!(told.iter().all(|line| line["fields"]["ticket"] == "9001"), "{told:?}");
    }
}
