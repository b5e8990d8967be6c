//! Netting, hedging, levels, and prices in market time.

use std::collections::BTreeMap;
use std::time::Duration;

use sentinel_testbed::gateway::{AccountMode, Change, Closing, Now, Outcome, Position, Prices, Step, read_bars};
use serde_json::json;

use super::test_gateway::{HOUR_MS, T0_MS, TestGateway, command, d, hours, order, order_at};

/// Positions that the turn closed.
fn closed(outcome: &Outcome) -> Vec<(Position, Closing)> {
    let closed = outcome.changes.iter().filter_map(|change| match change {
        Change::Position(position) => Some((position.clone(), position.closed.clone()?)),
        Change::Balance(_) => None,
    });
    closed.collect()
}

#[test]
fn a_netting_account_averages_reduces_closes_and_reverses() {
    let mut gateway = TestGateway::with(AccountMode::Netting, &[], hours(&[["1.1"; 4], ["1.1"; 4], ["1.2"; 4]]), "0");
    let mut trade = |kind: &str, volume: f64, hours: f64| {
        let mut message = order_at(1, kind, hours, 0.0, 0.0);
        message["req_id"] = json!(super::test_gateway::id(u32::from(hours > 2.0) * 10 + (volume * 10.0) as u32));
        message["payload"]["volume"] = json!(volume);
        let outcome = gateway.process(&message);
        let open = gateway
            .open()
            .first()
            .map(|net| (net.id, net.side.code(), net.volume.to_string(), net.open_price.to_string()));
        (outcome, open)
    };
    let net = |id, side, volume: &str, price: &str| Some((id, side, volume.to_owned(), price.to_owned()));
    assert_eq!(trade("OP_BUY", 1.0, 1.5).1, net(101, "buy", "1", "1.10005"));
    assert_eq!(trade("OP_BUY", 3.0, 3.5).1, net(101, "buy", "4", "1.17505"));
    assert_eq!(trade("OP_SELL", 0.5, 3.5).1, net(101, "buy", "3.5", "1.17505"));
    let (outcome, open) = trade("OP_SELL", 5.0, 3.5);
    assert_eq!(open, net(104, "sell", "1.5", "1.19995"));
    let (long, closing) = closed(&outcome).remove(0);
    assert_eq!((long.id, closing.reason, long.profit), (101, "reversed", d("9960")));
    let (outcome, open) = trade("OP_BUY", 1.5, 3.5);
    assert_eq!(open, None);
    assert_eq!((closed(&outcome)[0].1.reason, closed(&outcome)[0].0.profit), ("order", d("-15")));
    assert_eq!(gateway.core.book().balance(), d("19945"));
}

#[test]
fn a_hedging_account_keeps_each_order_apart() {
    let mut gateway = TestGateway::new(AccountMode::Hedging, &[]);
    gateway.ask(&order(1, "OP_BUY", 1.0));
    gateway.ask(&order(2, "OP_SELL", 1.0));
    let open: Vec<_> = gateway.open().iter().map(|position| (position.id, position.side.code())).collect();
    assert_eq!(open, [(101, "buy"), (102, "sell")]);
}

#[test]
fn an_order_is_filled_at_the_close_of_the_newest_closed_bar() {
    let bars = hours(&[["1.1", "1.1", "1.1", "1.2"], ["1.2", "1.3", "1.2", "1.3"]]);
    for (at, ask) in
        [(-5.0, 1.10005), (0.99, 1.10005), (1.0, 1.20005), (1.99, 1.20005), (2.0, 1.30005), (99.0, 1.30005)]
    {
        let mut gateway = TestGateway::with(AccountMode::Netting, &[], bars.clone(), "0");
        assert_eq!(gateway.ask(&order_at(1, "OP_BUY", at, 0.0, 0.0))["data"]["price"], json!(ask), "at hour {at}");
    }
    let mut gateway = TestGateway::with(AccountMode::Netting, &[], bars, "0");
    gateway.now_ms = T0_MS + HOUR_MS;
    assert_eq!(
        gateway.ask(&order(1, "OP_BUY", 1.0))["data"]["price"],
        json!(1.20005),
        "without a time of its own: the wall's"
    );
}

/// Seen before: an order for hour 1 that came at hour 2 was filled at the price of hour 1, because that was its timestamp.
#[test]
fn a_late_order_is_filled_at_late_prices_whatever_it_says_the_time_is() {
    let bars = hours(&[["1.1"; 4], ["1.2"; 4], ["1.3"; 4]]);
    let message = order_at(1, "OP_BUY", 1.0, 0.0, 0.0).to_string();
    for (late_hours, price) in [(0, "1.10005"), (1, "1.20005"), (2, "1.30005")] {
        let mut gateway = TestGateway::with(AccountMode::Netting, &[], bars.clone(), "0");
        let came_ms = T0_MS + HOUR_MS * (1 + late_hours);
        let outcome = gateway.handle_at(message.as_bytes(), came_ms);
        let row = outcome.order.unwrap();
        assert_eq!((row.price, row.market_ms, outcome.market_ms), (Some(d(price)), came_ms, Some(came_ms)));
        assert_eq!(outcome.parsed.stated_ms, Some(T0_MS + HOUR_MS));
    }
}

#[test]
fn an_order_that_waits_arrives_in_time_and_is_filled_late() {
    let mut gateway =
        TestGateway::with(AccountMode::Netting, &["slow=1h"], hours(&[["1.1"; 4], ["1.2"; 4], ["1.3"; 4]]), "0");
    let at =
        |hour: i64| Now { wall_ms: 0, replayed: BTreeMap::from([("EURUSD".to_owned(), Some(T0_MS + HOUR_MS * hour))]) };
    let arrival = gateway.core.receive(order_at(1, "OP_BUY", 1.0, 0.0, 0.0).to_string().as_bytes(), at(1));
    assert_eq!(arrival.first_step(), Some(Step::Wait(Duration::from_secs(3600))));
    let outcome = gateway.core.process(arrival, at(2));
    let row = outcome.order.unwrap();
    assert_eq!((outcome.market_ms, row.market_ms), (Some(T0_MS + HOUR_MS), T0_MS + 2 * HOUR_MS));
    assert_eq!(row.price, Some(d("1.20005")));
}

/// A replay whose node died with the order on its way sets its clock back when the node starts again.
#[test]
fn an_order_that_waits_is_not_filled_before_it_came() {
    let bars = hours(&[["1.1"; 4], ["1.2"; 4], ["1.3"; 4]]);
    let mut gateway = TestGateway::with(AccountMode::Netting, &["slow=1s"], bars, "0");
    let at = |hour: i64, more_ms: i64| Now {
        wall_ms: 0,
        replayed: BTreeMap::from([("EURUSD".to_owned(), Some(T0_MS + HOUR_MS * hour + more_ms))]),
    };
    let arrival = gateway.core.receive(order(1, "OP_BUY", 0.1).to_string().as_bytes(), at(2, 7));
    let row = gateway.core.process(arrival, at(1, 0)).order.unwrap();
    assert_eq!((row.market_ms, row.price), (T0_MS + 2 * HOUR_MS + 7, Some(d("1.20005"))));
    assert_eq!(gateway.open()[0].opened_ms, row.market_ms);
}

#[test]
fn before_its_replay_begins_a_symbol_has_no_quotes_and_no_exits() {
    let mut gateway = TestGateway::with(AccountMode::Netting, &[], hours(&[["1.1"; 4], ["0.9"; 4], ["0.9"; 4]]), "0");
    gateway.ask(&order_at(1, "OP_BUY", 1.0, 1.0, 0.0));
    let nowhere = Now { wall_ms: T0_MS * 2, replayed: BTreeMap::from([("EURUSD".to_owned(), None)]) };
    let arrival = gateway.core.receive(order(2, "OP_BUY", 0.1).to_string().as_bytes(), nowhere.clone());
    let outcome = gateway.core.process(arrival, nowhere);
    assert_eq!(outcome.answer.unwrap().code(), "10021");
    assert_eq!(gateway.open().len(), 1);
}

/// Opens after the first bar, at 1.1, and looks at the position after the last one.
#[track_caller]
fn check_exit(kind: &str, levels: (f64, f64), bars: &[[&str; 4]], expected: Option<(&str, &str, i64)>) {
    let all: Vec<_> = [["1.1"; 4]].iter().chain(bars).copied().collect();
    let mut gateway = TestGateway::with(AccountMode::Netting, &[], hours(&all), "0");
    gateway.ask(&order_at(1, kind, 1.0, levels.0, levels.1));
    let outcome = gateway.process(&command("GET_POSITIONS", all.len() as f64, json!({})));
    let closings = closed(&outcome);
    let exit = closings.first().map(|(_, closing)| (closing.reason, closing.price, (closing.at_ms - T0_MS) / HOUR_MS));
    assert_eq!(exit, expected.map(|(reason, price, hour)| (reason, d(price), hour)));
    assert_eq!(gateway.open().len(), usize::from(expected.is_none()));
}

#[test]
fn levels_end_a_position_when_a_bar_reaches_them_on_its_side_of_the_spread() {
    let calm = ["1.1"; 4];
    check_exit("OP_BUY", (1.09, 1.11), &[calm, ["1.1", "1.10999", "1.09006", "1.1"]], None);
    check_exit("OP_BUY", (1.09, 1.11), &[calm, ["1.1", "1.1", "1.09005", "1.1"]], Some(("stop", "1.09", 3)));
    check_exit("OP_BUY", (1.09, 1.11), &[calm, ["1.1", "1.11005", "1.1", "1.1"]], Some(("target", "1.11", 3)));
    check_exit("OP_SELL", (1.11, 1.09), &[["1.1", "1.10995", "1.1", "1.1"]], Some(("stop", "1.11", 2)));
    check_exit("OP_SELL", (1.11, 1.09), &[["1.1", "1.1", "1.08995", "1.1"]], Some(("target", "1.09", 2)));
    check_exit("OP_SELL", (0.0, 0.0), &[["1.1", "2", "0.5", "1.1"]], None);
}

#[test]
fn the_stop_comes_first_in_a_bar_of_both_and_a_gap_is_filled_at_the_open() {
    check_exit("OP_BUY", (1.09, 1.11), &[["1.1", "1.2", "1.0", "1.1"]], Some(("stop", "1.09", 2)));
    check_exit("OP_BUY", (1.09, 1.11), &[["1.05", "1.2", "1.0", "1.1"]], Some(("stop", "1.04995", 2)));
    check_exit("OP_SELL", (1.11, 1.09), &[["1.05", "1.2", "1.0", "1.1"]], Some(("target", "1.05005", 2)));
}

#[test]
fn a_position_is_not_judged_by_bars_before_it_nor_by_a_heartbeat() {
    let falling = ["1.1", "1.1", "1.0", "1.1"];
    let mut gateway = TestGateway::with(AccountMode::Netting, &[], hours(&[falling, ["1.1"; 4], falling]), "0");
    gateway.ask(&order_at(1, "OP_BUY", 1.5, 1.05, 0.0));
    gateway.ask(&command("HEARTBEAT", 99.0, json!({})));
    gateway.ask(&command("GET_POSITIONS", 2.9, json!({})));
    assert_eq!(gateway.open().len(), 1);
    gateway.ask(&command("GET_POSITIONS", 3.0, json!({})));
    assert_eq!((gateway.open().len(), gateway.core.book().balance()), (0, d("4995")));
}

#[test]
fn slippage_is_against_the_trader_repeatable_and_bounded() {
    let fills = || {
        let mut gateway = TestGateway::with(AccountMode::Hedging, &[], Prices::Fixed(d("1.1")), "0.00002");
        let price = |number: u32| {
            gateway.ask(&order(number, if number.is_multiple_of(2) { "OP_BUY" } else { "OP_SELL" }, 0.1))["data"]["price"]
                .to_string()
        };
        (0..200).map(price).collect::<Vec<_>>()
    };
    let seen: std::collections::BTreeSet<_> = fills().into_iter().collect();
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        ["1.09993", "1.09994", "1.09995", "1.10005", "1.10006", "1.10007"]
    );
    assert_eq!(fills(), fills());
}

#[test]
fn a_bar_file_that_makes_no_sense_is_refused_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bars.csv");
    let head = "timestamp,open,high,low,close,volume\n2017-01-01T22:00:00Z,1,1,1,1,5\n";
    let read = |rest: &str| {
        std::fs::write(&file, format!("{head}{rest}")).unwrap();
        read_bars(&file).map_err(|error| error.to_string())
    };
    assert!(read("2017-01-01T23:00:00Z,1,1,1,1,\n").is_ok());
    for (rest, what) in [
        ("", "two bars"),
        ("2017-01-01T22:00:00Z,1,1,1,1,5\n", "line 3 is not later"),
        ("2017-01-01T23:00:00Z,1,1,0,1,5\n", "line 3 is no bar"),
        ("2017-01-01T23:00:00Z,1,1\n", "CSV"),
    ] {
        let error = read(rest).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
}
