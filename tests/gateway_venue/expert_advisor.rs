//! The contract of the dialect `expert-advisor`: what is written, what each reply is worth, and that nothing but an order is sent.

use std::sync::Arc;

use proptest::prelude::*;
use sentinel::venues::gateway::dialect::{DIALECTS, Talk};
use sentinel::venues::gateway::expert_advisor::ExpertAdvisor;
use sentinel::venues::gateway::speech::{Reading, Speech as _, Terms, Unsendable};
use sentinel::venues::gateway::{Exits, GatewayVenue};
use sentinel_actors::domain::account::AccountReport;
use sentinel_actors::domain::action::Receipt;
use sentinel_actors::domain::order::{Fill, Order, Role, Side, Ticket};
use sentinel_actors::ports::{NoFaults, PositionBook as _, Positions, Sink as _, Submission};
use serde_json::{Value, json};

use super::peer::{Peer, SILENCE, say};
use super::{MAGIC, NOW, SHORT, SOON, acked, d, intent_of, key, order, settle, speech, submit, undecidable, unknown};

fn terms(exits: Exits) -> Terms {
    Terms { magic: MAGIC, exits, now: NOW }
}

fn written(order: &Order) -> Result<String, Unsendable> {
    ExpertAdvisor.order(&key(9), order, &terms(Exits::ByOrders))
}

fn judged(reply: &Value) -> Submission {
    match ExpertAdvisor.judge(reply.to_string().as_bytes(), &key(9), &order(), Exits::ByOrders) {
        Reading::Own { submission, .. } => submission,
        other => panic!("it does not answer the order: {other:?}"),
    }
}

fn filled(reply: &Value) -> Fill {
    match judged(reply) {
        Submission::Acked(Receipt::Fill(fill)) => fill,
        other => panic!("not filled: {other:?}"),
    }
}

fn left_open(reply: &Value) -> String {
    match judged(reply) {
        Submission::Unknown(why) => why,
        other => panic!("not unknown: {reply} gave {other:?}"),
    }
}

fn venue(port: u16) -> GatewayVenue {
    super::speaking("expert-advisor", port, Exits::ByOrders, Arc::new(NoFaults))
}

#[test]
fn an_order_is_one_flat_object_with_everything_said() {
    let sell = Order { side: Side::Sell, volume_lots: d("2.5"), ..order() };
    let text = r#"{"action":"TRADE","symbol":"EURUSD","type":"SELL","volume":2.50,"magic":20260101,"sl":0.0,"tp":0.0}"#;
    assert_eq!(written(&sell), Ok(text.to_owned()));
}

/// It would trade without them.
#[test]
fn a_stop_or_a_target_is_never_left_to_an_advisor_that_ignores_it() {
    assert_eq!(written(&Order { stop_price: Some(d("1")), ..order() }), Err(Unsendable::Levels));
    let aimed = Order { target_price: Some(d("2")), ..order() };
    assert_eq!(ExpertAdvisor.order(&key(9), &aimed, &terms(Exits::AtBroker)), Err(Unsendable::Levels));
}

/// Its parser searches the whole text.
#[test]
fn the_words_that_are_commands_stand_in_no_value() {
    for symbol in ["TRADE", "xTradeX", "MAGIC.m", "Execution", "ACTION", "a\"b", "a\\b", "{", "a b", "ü"] {
        let named = Order { symbol: symbol.to_owned(), ..order() };
        assert_eq!(written(&named), Err(Unsendable::Word(symbol.to_owned())));
    }
}

#[test]
fn a_message_fits_the_buffer_of_the_advisor() {
    let named = |length| Order { symbol: "X".repeat(length), ..order() };
    let room = 1_023 - written(&named(1)).unwrap().len() + 1;
    assert_eq!(written(&named(room)).unwrap().len(), 1_023);
    assert_eq!(written(&named(room + 1)), Err(Unsendable::TooLong(1_024)));
}

#[test]
fn a_close_is_the_opposite_order_where_positions_net() {
    let close = Order { role: Role::Close(Ticket(5)), side: Side::Sell, ..order() };
    assert!(written(&close).unwrap().contains(r#""type":"SELL""#));
    let hedging = ExpertAdvisor.order(&key(9), &close, &terms(Exits::AtBroker));
    assert_eq!(hedging, Err(Unsendable::Close(Ticket(5))));
}

#[test]
fn filled_is_believed_with_a_ticket_and_a_fitting_code_only() {
    for done in [
        json!({"status": "FILLED", "ticket": 7}),
        json!({"status": "FILLED", "ticket": 7, "retcode": 10009, "deal": 8}),
        json!({"status": "FILLED", "ticket": 7, "retcode": 10010, "volume": 0.1}),
    ] {
        assert_eq!((filled(&done).ticket, filled(&done).volume_lots), (Ticket(7), d("0.1")));
    }
    for open in [
        json!({"status": "FILLED", "ticket": 0}),
        json!({"status": "FILLED"}),
        json!({"status": "FILLED", "ticket": "7"}),
        json!({"status": "FILLED", "ticket": 0, "retcode": 10009}),
        json!({"status": "FILLED", "ticket": 7, "retcode": 10009, "volume": 0.0}),
        json!({"status": "FILLED", "ticket": 7, "retcode": 10009, "deal": 0}),
        json!({"status": "FILLED", "ticket": 7, "retcode": 10010}),
        json!({"status": "OK", "ticket": 7}),
        json!({"status": "filled", "ticket": 7}),
    ] {
        left_open(&open);
    }
}

/// The newer advisor says FILLED whenever the terminal took the request.
#[test]
fn filled_with_another_code_is_judged_by_the_code() {
    for (code, lasting) in [(10018, false), (10019, true), (10027, true)] {
        let refused = judged(&json!({"status": "FILLED", "ticket": 0, "retcode": code}));
        assert!(matches!(refused, Submission::Rejected { code: Some(c), lasting: l, .. } if (c, l) == (code, lasting)));
        left_open(&json!({"status": "FILLED", "ticket": 7, "retcode": code}));
    }
    for code in [json!(10008), json!(10012), json!(10031), json!(0), json!(4711), json!("10009")] {
        left_open(&json!({"status": "FILLED", "ticket": 7, "retcode": code}));
    }
}

#[test]
fn an_error_is_a_refusal_where_nothing_was_left_open() {
    let refused = judged(&json!({"status": "ERROR", "retcode": 10018}));
    assert!(matches!(refused, Submission::Rejected { code: Some(10018), lasting: false, .. }), "{refused:?}");
    let unread = judged(&json!({"status": "ERROR", "msg": "Unknown symbol"}));
    assert!(matches!(unread, Submission::Unknown(_)), "it has the word of something open: {unread:?}");
    let unread = judged(&json!({"status": "ERROR", "msg": "Invalid symbol"}));
    assert!(matches!(unread, Submission::Rejected { code: None, lasting: true, .. }), "{unread:?}");
    for open in [
        json!({"status": "ERROR"}),
        json!({"status": "ERROR", "retcode": 10012}),
        json!({"status": "ERROR", "retcode": 10009}),
        json!({"status": "ERROR", "retcode": 10018, "ticket": 7}),
        json!({"status": "ERROR", "msg": "timeout"}),
    ] {
        left_open(&open);
    }
}

#[test]
fn a_reply_about_another_symbol_is_a_strangers() {
    let reply = json!({"status": "FILLED", "ticket": 7, "symbol": "GBPUSD"}).to_string();
    let reading = ExpertAdvisor.judge(reply.as_bytes(), &key(9), &order(), Exits::ByOrders);
    assert!(matches!(reading, Reading::Stranger(_)), "{reading:?}");
}

/// Any other message could be a trade.
#[tokio::test]
async fn an_advisor_is_sent_nothing_but_orders() {
    let advisor = Peer::start(
        |number, _| {
            if number == 0 { SILENCE } else { say(number, r#"{"status":"ERROR","retcode":10018}"#) }
        },
    );
    let venue = venue(advisor.port);
    unknown(submit(&venue, &key(1), SHORT).await);
    let advice = undecidable(settle(&venue, &key(1), SOON).await);
    assert!(advice.contains("cannot be asked") && advice.contains("EURUSD"), "{advice}");
    assert_eq!(venue.positions("EURUSD", NOW, SOON).await, Ok(Positions::Derived));
    assert_eq!(venue.account_report(NOW, SOON).await, Ok(AccountReport::SILENT));
    let refused = submit(&venue, &key(2), SOON).await;
    assert!(matches!(refused, Submission::Rejected { .. }), "{refused:?}");
    let heard: Vec<String> = advisor.heard().into_iter().map(|heard| heard.text).collect();
    assert_eq!(heard.len(), 2, "two orders and no question: {heard:?}");
    assert!(
        heard.iter().all(|text| text.starts_with(r#"{"action":"TRADE","symbol":"EURUSD","type":"BUY","volume":0.10,"#))
    );
}

#[tokio::test]
async fn an_order_is_confirmed_by_the_ticket_of_its_reply() {
    let advisor = Peer::start(|number, _| say(number, r#"{"status":"FILLED","ticket":7,"retcode":10009,"deal":9}"#));
    let close = Order { role: Role::Close(Ticket(7)), side: Side::Sell, ..order() };
    let venue = venue(advisor.port);
    venue.prepare(&key(3), crate::LIFE);
    assert_eq!(acked(venue.submit(&intent_of(&key(3), close), SOON, &|| true).await).ticket, Ticket(7));
}

/// What a dialect is said to do, and what its code can do, are the same.
#[test]
fn the_capabilities_of_each_dialect_are_those_of_its_code() {
    for dialect in DIALECTS.iter().filter(|dialect| matches!(dialect.talk, Talk::Requests(_))) {
        let (name, speech) = (dialect.name, speech(dialect));
        assert_eq!(dialect.asks_by_id, speech.by_id().is_some(), "{name}");
        assert_eq!(dialect.reports_positions, speech.reports().is_some(), "{name}");
        assert_eq!(dialect.tells_account, speech.reports().is_some(), "{name}");
        let close = Order { role: Role::Close(Ticket(5)), side: Side::Sell, ..order() };
        let closes = speech.order(&key(9), &close, &terms(Exits::AtBroker)).is_ok();
        assert_eq!(dialect.closes_by_ticket, closes, "{name}");
        let stopped = Order { stop_price: Some(d("1.05")), ..order() };
        let carries = speech.order(&key(9), &stopped, &terms(Exits::AtBroker)).is_ok();
        assert_eq!(dialect.carries_exits, carries, "{name}");
        for (lots, fits) in [("0.01", true), ("100", true), ("0.005", false), ("100.01", false)] {
            let sized = Order { volume_lots: d(lots), ..order() };
            let sent = speech.order(&key(9), &sized, &terms(Exits::ByOrders)).is_ok();
            assert_eq!((sent, dialect.lots.allow(d(lots))), (fits, fits), "{name} {lots}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_written_is_one_trade_and_small(
        symbol in "[!-~]{1,32}", hundredths in 1_i64..=10_000, magic in 0_u32..=2_147_483_647,
    ) {
        let order = Order { symbol, volume_lots: rust_decimal::Decimal::new(hundredths, 2), ..order() };
        let terms = Terms { magic, exits: Exits::ByOrders, now: NOW };
        if let Ok(text) = ExpertAdvisor.order(&key(9), &order, &terms) {
            for word in ["TRADE", "magic", "action"] {
                prop_assert_eq!(text.matches(word).count(), 1, "{}", text);
            }
            prop_assert!(!text.to_uppercase().contains("EXECUTION") && text.len() < 1_024);
            let read: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read.as_object().unwrap().len(), 7);
            prop_assert_eq!(read["symbol"].as_str(), Some(order.symbol.as_str()));
        }
    }
}
