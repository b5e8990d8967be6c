//! `try` and `check --probe` as processes, on the real clock.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use sentinel::system::WallClock;
use sentinel_actors::ports::Clock as _;
use sentinel_testbed::vendors::{Fault, Market, Options, Vendors};

use super::support::*;

fn now() -> i64 {
    WallClock.now().0
}

/// A vendor on the real clock.
fn vendor(market: Market, key: &str, plan: impl Fn(u64, i64) -> Option<Fault> + Send + Sync + 'static) -> Vendors {
    Vendors::start(Options { market, now: Arc::new(now), key: key.to_owned(), plan: Arc::new(plan) }).unwrap()
}

fn sentinel(dir: &Path, args: &[&str]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
    command.current_dir(dir).args(args).env("EODHD_API_TOKEN", KEY);
    for name in ["SENTINEL_STATE", "SENTINEL_LOG_LEVEL"] {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output, text)
}

#[test]
fn a_newcomer_sees_a_first_decision_and_how_to_go_on() {
    for (symbol, ticker, level, says) in
        [("BTCUSD", "BTC-USD.CC", 60_000.0, "the model expects "), ("EURUSD", "EURUSD.FOREX", 1.1, "the model says ")]
    {
        let dir = tempfile::tempdir().unwrap();
        let vendor = vendor(Market::plain(ticker, level, 5), "demo", no_fault);
        let (output, text) =
            sentinel(dir.path(), &["try", "--symbol", symbol, "--once", "--base-url", &vendor.base_url()]);
        assert!(text.contains(says) && text.contains("It has no edge"), "{text}");
        assert!(text.contains("sentinel config mt5 > sentinel.toml"), "{text}");
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert_eq!(vendor.log().all().len(), 1, "its few calls a day are respected");
    }
}

#[test]
fn without_a_network_the_newcomer_is_told_so_and_the_trial_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (output, text) = sentinel(dir.path(), &["try", "--base-url", "http://127.0.0.1:9"]);
    assert!(text.contains("There are no bars. Is this machine online"), "{text}");
    assert_eq!(output.status.code(), Some(69), "{text}");
}

/// A configuration file with the vendor; `model` is the pipeline's.
fn write(dir: &Path, vendor: &Vendors) {
    let keys = "made_from = \"native\"\ncalendar = \"always\"";
    let text = order_pipeline("eurusd", &vendor.base_url(), keys, "kind = \"eodhd\"", &demo("model.onnx"));
    std::fs::write(dir.join("node.toml"), text).unwrap();
}

const PROBE: &[&str] = &["check", "--config", "node.toml", "--probe"];

#[test]
fn the_doctor_has_a_line_for_everything_and_is_content_when_all_is_well() {
    let dir = tempfile::tempdir().unwrap();
    let vendor = vendor(Market::plain("EURUSD.FOREX", 1.1, 5), KEY, no_fault);
    write(dir.path(), &vendor);
    let (output, text) = sentinel(dir.path(), PROBE);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for expected in [
        "ok       disk: ",
        "ok       bars of eurusd: EURUSD.FOREX: the newest bar, ",
        "ok       clock of eurusd: agrees with that of eodhd",
        "ok       calls of eurusd: 998 by the vendor's count, 999 requests are left by the node's count",
        "ok       model of eurusd: answers with 3 probabilities",
        "ok       orders of eurusd: not tried",
    ] {
        assert!(text.contains(expected), "expected '{expected}' in: {text}");
    }
}

#[test]
fn no_key_gets_into_a_file_or_an_output_whatever_the_vendor_does() {
    let elsewhere = Fault::Status {
        code: 302,
        headers: vec![("Location", format!("http://127.0.0.1:9/?api_token={KEY}"))],
        body: format!("moved with {KEY}"),
    };
    let echo = Fault::status(401, &format!("{{\"message\":\"Unauthenticated: Bearer {KEY}, api_token={KEY}\"}}"));
    for (fault, is_up) in [(Some(elsewhere), true), (Some(echo), true), (Some(Fault::Reset), true), (None, false)] {
        for token_in in ["header", "query"] {
            let dir = tempfile::tempdir().unwrap();
            let fault = fault.clone();
            let vendor = vendor(Market::plain("EURUSD.FOREX", 1.1, 5), KEY, move |_, _| fault.clone());
            let base_url = if is_up { vendor.base_url() } else { "http://127.0.0.1:9".to_owned() };
            let keys = "made_from = \"native\"\ncalendar = \"always\"";
            let source = format!("kind = \"eodhd\"\ntoken_in = \"{token_in}\"");
            let text = order_pipeline("eurusd", &base_url, keys, &source, &demo("model.onnx"));
            std::fs::write(dir.path().join("node.toml"), format!("[log]\nlevel = \"trace\"\n{text}")).unwrap();
            let (output, said) = sentinel(dir.path(), &["run", "--config", "node.toml", "--once"]);
            assert_eq!(output.status.code(), Some(69), "{said}");
            assert!(said.contains("source_") && !said.contains(KEY), "{said}");
            assert!(dir.path().join("state/logs/sentinel.log").exists());
            super::bad_week::no_key_is_anywhere(dir.path());
        }
    }
}

#[test]
fn the_doctor_says_what_to_do_about_each_trouble() {
    let hour = 60 * MINUTE;
    let late = vec![(now() - 1000 * hour, now() + 1000 * hour, 30 * hour)];
    let market = || Market::plain("EURUSD.FOREX", 1.1, 5);
    let unauthorised = |_, _| Some(Fault::status(401, r#"{"message":"Unauthenticated"}"#));
    let ahead = |_, _| Some(Fault::DateOff(-100));
    for (vendor, expected) in [
        (vendor(market(), KEY, unauthorised), "PROBLEM  bars of eurusd: the bar source refused the node's credentials"),
        (vendor(Market { late, ..market() }, KEY, no_fault), " s of market time ago, allowed 7200: look at the ticker"),
        (vendor(market(), KEY, ahead), "PROBLEM  clock of eurusd: this machine is "),
        (vendor(Market::plain("GBPUSD.FOREX", 1.1, 5), KEY, no_fault), "look at source.ticker"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &vendor);
        let (output, text) = sentinel(dir.path(), PROBE);
        assert!(text.contains(expected), "expected '{expected}' in: {text}");
        assert_eq!(output.status.code(), Some(69), "{text}");
        assert!(!text.contains(KEY), "{text}");
    }
}

#[test]
fn the_doctor_calls_nothing_well_that_it_could_not_look_at() {
    let dir = tempfile::tempdir().unwrap();
    let vendor = vendor(Market::plain("EURUSD.FOREX", 1.1, 5), KEY, |_, _| Some(Fault::Reset));
    write(dir.path(), &vendor);
    let (output, text) = sentinel(dir.path(), PROBE);
    assert!(text.contains("PROBLEM  clock of eurusd: not compared: eodhd has not said its time"), "{text}");
    assert!(
        text.contains("PROBLEM  bars of eurusd: ") && text.contains("look at the network, at source.base_url"),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(69), "{text}");
}
