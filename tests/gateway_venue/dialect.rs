//! The dialect and its codes without a socket: every code, every contradiction, and whatever bytes may come.

use std::ops::RangeInclusive;

use proptest::prelude::*;
use rust_decimal::Decimal;
use sentinel::venues::gateway::Exits;
use sentinel::venues::gateway::order_send::{order_request, read, status_request};
use sentinel::venues::gateway::retcode::{Class, class, class_of_text, meaning};
use sentinel::venues::gateway::speech::{Terms, Unsendable};
use sentinel::venues::gateway::values::comment;
use sentinel_actors::domain::action::Receipt;
use sentinel_actors::domain::intent::IntentKey;
use sentinel_actors::domain::order::{Order, Role, Side, Ticket};
use sentinel_actors::ports::Submission;
use serde_json::{Value, json};

use super::{MAGIC, NOW, acked, d, key, order, unknown};

const PASSING: [i64; 8] = [10004, 10006, 10018, 10020, 10021, 10024, 10028, 10029];
const LASTING: [RangeInclusive<i64>; 9] = [
    10007..=10007,
    10013..=10017,
    10019..=10019,
    10022..=10023,
    10025..=10027,
    10030..=10030,
    10032..=10046,
    -3..=-2,
    -1..=-1,
];

/// The table of the MQL5 reference and of the gateway's own codes, written down a second time.
fn expected(retcode: i64) -> Class {
    match retcode {
        10008 => Class::Placed,
        10009 => Class::Done,
        10010 => Class::Partial,
        _ if PASSING.contains(&retcode) => Class::Refused { lasting: false },
        _ if LASTING.iter().any(|range| range.contains(&retcode)) => Class::Refused { lasting: true },
        _ => Class::Unknown,
    }
}

fn terms(exits: Exits) -> Terms {
    Terms { magic: MAGIC, exits, now: NOW }
}

fn reply(retcode: i64, ticket: u64, error: bool, text: &str, data: &Value) -> String {
    json!({"error": error, "ticket": ticket, "msg": text, "retcode": retcode, "data": data}).to_string()
}

fn judged(reply: &str, exits: Exits) -> Submission {
    read(reply.as_bytes()).unwrap().judge(&order(), exits)
}

#[test]
fn every_code_has_its_class() {
    for retcode in (-100..=100).chain(9_900..=10_200).chain([i64::MIN, i64::MAX, 65_536]) {
        assert_eq!(class(retcode, "some text"), expected(retcode), "{retcode}");
    }
    for open in [0, -4, 10011, 10012, 10031, 10047, 10005] {
        assert_eq!(class(open, ""), Class::Unknown, "{open}");
    }
    for listed in (10004..=10046).filter(|code| ![10005, 10037].contains(code)) {
        assert_ne!(meaning(listed), meaning(12345), "{listed} has no name");
    }
}

#[test]
fn the_gateways_minus_one_is_a_refusal_only_without_a_word_of_time() {
    for text in ["Timeout waiting for terminal", "request TIMED OUT", "Status unknown, check the terminal", "time-out"]
    {
        assert_eq!(class(-1, text), Class::Unknown, "{text}");
        assert_eq!(class(-2, text), Class::Refused { lasting: true }, "only -1 means two things");
    }
    for text in ["JSON parse error", "", "Invalid request"] {
        assert_eq!(class(-1, text), Class::Refused { lasting: true }, "{text}");
    }
}

#[test]
fn an_error_without_a_code_is_a_refusal_only_where_it_says_that_nothing_was_asked() {
    for text in [
        "",
        "IPC timeout",
        "order_send returned None",
        "Unhandled Exception",
        "status unknown",
        "(-10004, 'No IPC')",
        "Trade server: no connection (10031)",
        "Request processing error",
        "(-1, 'Terminal: Call failed')",
        "disconnected",
        "result is null",
        "10012 then 10018",
        "Invalid volume, or a timeout",
        "error 10009",
    ] {
        assert_eq!(class_of_text(text), Class::Unknown, "{text}");
    }
    for text in ["Symbol EURUSD not found", "Invalid volume", "Market closed", "order failed: 10014"] {
        assert_eq!(class_of_text(text), Class::Refused { lasting: true }, "{text}");
    }
    assert_eq!(class_of_text("order failed, retcode=10018"), Class::Refused { lasting: false });
}

#[test]
fn every_code_is_judged_by_its_class_and_not_by_the_error_flag() {
    for retcode in (-10..=10).chain(9_990..=10_060) {
        for error in [true, false] {
            let bare = judged(&reply(retcode, 0, error, "text", &Value::Null), Exits::AtBroker);
            let ticketed = judged(&reply(retcode, 7, error, "text", &json!({"volume": 0.1})), Exits::AtBroker);
            match (expected(retcode), bare, ticketed) {
                (
                    Class::Refused { lasting },
                    Submission::Rejected { code, lasting: judged_reply, .. },
                    Submission::Unknown(_),
                ) => {
                    assert_eq!((code, judged_reply), (Some(retcode), lasting));
                }
                (Class::Done, Submission::Unknown(_), Submission::Acked(_)) => assert!(!error),
                (Class::Done, Submission::Unknown(_), Submission::Unknown(_)) => assert!(error),
                (Class::Partial | Class::Placed, Submission::Unknown(_), Submission::Acked(Receipt::Fill(receipt))) => {
                    assert_eq!(receipt.ticket, Ticket(7));
                }
                (Class::Unknown, Submission::Unknown(_), Submission::Unknown(_)) => {}
                other => panic!("{retcode}: {other:?}"),
            }
        }
    }
}

#[test]
fn volume_and_price_are_the_gateways_when_it_names_them() {
    let judged_reply =
        |retcode, data: Value| judged(&reply(retcode, 7, retcode != 10009, "text", &data), Exits::ByOrders);
    let receipt = acked(judged_reply(10009, json!({"volume": 0.07, "price": 1.10003, "more": [1, {"x": null}]})));
    assert_eq!((receipt.volume_lots, receipt.price), (d("0.07"), Some(d("1.10003"))));
    let receipt = acked(judged_reply(10010, json!({"volume": 0.03, "price": 0.0})));
    assert_eq!((receipt.volume_lots, receipt.price), (d("0.03"), None));
    for silent in [Value::Null, json!("text"), json!([1]), json!({"price": "1.1"}), json!({"volume": null})] {
        assert_eq!(acked(judged_reply(10009, silent.clone())).volume_lots, d("0.1"));
        assert!(unknown(judged_reply(10010, silent)).contains("without its volume"));
    }
    for wrong in [json!(0.0), json!(-0.1), json!(0.11), json!("0.1"), json!(1e300), json!({})] {
        for retcode in [10009, 10010] {
            assert!(unknown(judged_reply(retcode, json!({ "volume": wrong }))).contains("does not fit"), "{wrong}");
        }
    }
}

#[test]
fn a_placed_order_is_filled_only_where_positions_are_untracked() {
    let placed = reply(10008, 7, true, "Order placed", &Value::Null);
    assert!(acked(judged(&placed, Exits::AtBroker)).text.contains("placed, not yet filled"));
    assert!(unknown(judged(&placed, Exits::ByOrders)).contains("placed as ticket 7"));
}

#[test]
fn a_text_from_outside_is_shortened_and_carries_no_control_characters() {
    let text = format!("\u{1b}[31m{}\n", "ä".repeat(5_000));
    let Submission::Rejected { text, .. } = judged(&reply(10006, 0, true, &text, &Value::Null), Exits::ByOrders) else {
        panic!("not refused");
    };
    assert_eq!(text, format!("rejected (10006): [31m{}", "ä".repeat(196)));
    let why = read(&[b"\x07x".repeat(50_000), vec![0xff]].concat()).unwrap_err();
    assert!(why.chars().count() < 600 && !why.contains('\x07'), "{why}");
}

#[test]
fn a_comment_fits_the_terminal_whatever_the_key_is() {
    assert_eq!(comment(&key(9)), format!("sn:{}", &key(9).as_str()[..20]));
    assert_eq!(comment(&IntentKey::stored("ü\"".repeat(40))).chars().count(), 23);
    let question: Value = serde_json::from_str(&status_request(&key(9))).unwrap();
    assert_eq!(question.as_object().unwrap().len(), 3);
}

#[test]
fn a_close_is_the_opposite_order_where_positions_net() {
    let close = Order { role: Role::Close(Ticket(5)), side: Side::Sell, ..order() };
    let request = order_request(&key(9), &close, &terms(Exits::ByOrders)).unwrap();
    assert!(request.contains(r#""type":"OP_SELL","volume":0.10,"#), "{request}");
    assert_eq!(order_request(&key(9), &close, &terms(Exits::AtBroker)), Err(Unsendable::Close(Ticket(5))));
}

#[test]
fn a_level_at_or_below_zero_is_not_written_because_zero_means_none() {
    for level in [Decimal::ZERO, Decimal::new(-1, 5)] {
        let stopped = Order { stop_price: Some(level), ..order() };
        let aimed = Order { target_price: Some(level), ..order() };
        for order in [stopped, aimed] {
            assert_eq!(order_request(&key(9), &order, &terms(Exits::AtBroker)), Err(Unsendable::Level(level)));
        }
    }
}

/// What a reply must hold so that it may confirm or refuse, read by another eye.
fn may_settle(bytes: &[u8], submission: &Submission, exits: Exits) -> bool {
    let Ok(Value::Object(reply)) = serde_json::from_slice(bytes) else {
        return matches!(submission, Submission::Unknown(_));
    };
    let (Some(error), Some(ticket), Some(retcode), Some(_)) = (
        reply.get("error").and_then(Value::as_bool),
        reply.get("ticket").and_then(Value::as_u64),
        reply.get("retcode").and_then(Value::as_i64),
        reply.get("msg").and_then(Value::as_str),
    ) else {
        return matches!(submission, Submission::Unknown(_));
    };
    match submission {
        Submission::Acked(Receipt::Fill(receipt)) => {
            let is_confirmed = match retcode {
                10009 => !error,
                10010 => reply["data"]["volume"].is_number(),
                10008 => exits == Exits::AtBroker,
                _ => false,
            };
            let volume = receipt.volume_lots;
            is_confirmed
                && ticket > 0
                && receipt.ticket == Ticket(ticket)
                && volume > Decimal::ZERO
                && volume <= d("0.1")
        }
        Submission::Rejected { code, lasting, .. } => {
            *code == Some(retcode) && ticket == 0 && expected(retcode) == Class::Refused { lasting: *lasting }
        }
        Submission::Unknown(_) => true,
        Submission::Acked(Receipt::Inclusion(_)) | Submission::NeverLeft(_) | Submission::Withheld { .. } => false,
    }
}

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    for exits in [Exits::ByOrders, Exits::AtBroker] {
        let submission = match read(bytes) {
            Ok(reply) => reply.judge(&order(), exits),
            Err(why) => Submission::Unknown(why),
        };
        prop_assert!(may_settle(bytes, &submission, exits), "{submission:?} from {:?}", String::from_utf8_lossy(bytes));
    }
    Ok(())
}

fn some_reply() -> impl Strategy<Value = String> {
    let retcode = prop_oneof![3 => 10_000_i64..10_050, 1 => -5_i64..2, 1 => any::<i64>()];
    let ticket = prop_oneof![Just(0_u64), 1_u64..1_000_000, any::<u64>()];
    let data = prop_oneof![
        Just(Value::Null),
        (-10..30_i32, any::<f64>())
            .prop_map(|(lots, price)| json!({"volume": f64::from(lots) / 100.0, "price": price})),
        any::<String>().prop_map(Value::from),
    ];
    (retcode, ticket, any::<bool>(), ".{0,40}", data)
        .prop_map(|(retcode, ticket, error, text, data)| reply(retcode, ticket, error, &text, &data))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_confirm_or_refuse_by_accident(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes)?;
    }

    #[test]
    fn a_reply_settles_only_what_it_plainly_says(reply in some_reply()) {
        check(reply.as_bytes())?;
    }

    #[test]
    fn a_damaged_reply_settles_only_what_it_still_plainly_says(
        reply in some_reply(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..6),
    ) {
        let mut bytes = reply.into_bytes();
        for (at, edit, byte) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, byte),
                _ => bytes.truncate(at),
            }
        }
        check(&bytes)?;
    }

    #[test]
    fn a_volume_goes_out_with_exactly_two_decimals_or_not_at_all(units in -10_i64..2_000_000, scale in 0..5_u32) {
        let lots = Decimal::new(units, scale);
        let in_hundredths = lots * Decimal::ONE_HUNDRED;
        let fits = in_hundredths.fract().is_zero() && in_hundredths >= Decimal::ONE && lots <= Decimal::ONE_HUNDRED;
        let asked = order_request(&key(9), &Order { volume_lots: lots, ..order() }, &terms(Exits::ByOrders));
        match asked {
            Err(error) => {
                prop_assert!(!fits);
                prop_assert_eq!(error, Unsendable::Volume(lots));
            }
            Ok(request) => {
                prop_assert!(fits);
                let written = request.split(r#""volume":"#).nth(1).unwrap().split(',').next().unwrap();
                let (whole, decimals) = written.split_once('.').unwrap();
                prop_assert!(decimals.len() == 2 && (whole == "0" || !whole.starts_with('0')), "{}", written);
                prop_assert_eq!(d(written), lots);
                prop_assert!(serde_json::from_str::<Value>(&request).is_ok());
            }
        }
    }
}

/// A net position with a third decimal could never be closed: no order may have one.
#[test]
fn a_volume_is_taken_in_hundredths_and_float_noise_is_no_third_decimal() {
    let judged_reply = |volume: &str| {
        let reply = format!(
            r#"{{"error":true,"ticket":7,"msg":"partial","retcode":10010,"data":{{"volume":{volume},"price":1.1}}}}"#
        );
        read(reply.as_bytes()).unwrap().judge(&order(), Exits::ByOrders)
    };
    for noisy in ["0.030000000000000002", "0.029999999999999999"] {
        assert_eq!(acked(judged_reply(noisy)).volume_lots, d("0.03"));
    }
    for finer in ["0.035", "0.0301", "1e-10"] {
        assert!(unknown(judged_reply(finer)).contains("does not fit the order"), "{finer}");
    }
}
