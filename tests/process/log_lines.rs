//! Log lines as a parser reads them: every line of a real run is logfmt, and what operators look for is there.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::Signal;

use super::config::{Site, model_fixture};
use super::facts::Facts;
use super::gateway::free_port;

type Line = BTreeMap<String, String>;

/// Reads one line, strictly: `key=value`, one space between pairs, no key twice.
fn parse(line: &str) -> Result<Line, String> {
    let (mut pairs, mut rest) = (Line::new(), line);
    loop {
        let (key, value) = rest.split_once('=').ok_or_else(|| format!("no key in {rest:?}"))?;
        let is_key = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if key.is_empty() || !key.bytes().all(is_key) {
            return Err(format!("{key:?} is no key"));
        }
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = value.find(' ').unwrap_or(value.len());
                (value[..end].to_owned(), &value[end..])
            }
        };
        if !line.contains(&format!("{key}=\"")) && (value.is_empty() || value.contains(['"', '='])) {
            return Err(format!("{value:?} is to be quoted"));
        }
        if pairs.insert(key.to_owned(), value).is_some() {
            return Err(format!("{key} comes twice"));
        }
        match after.strip_prefix(' ') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(pairs),
            None => return Err(format!("no space before {after:?}")),
        }
    }
}

/// A quoted value without its quotes, and what follows it.
fn unquote(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match letters.next().map(|(_, escaped)| escaped) {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some('u') => {
                    let code: String = letters.by_ref().take(4).map(|(_, digit)| digit).collect();
                    let code = u32::from_str_radix(&code, 16).map_err(|error| error.to_string())?;
                    value.push(char::from_u32(code).ok_or("no character")?);
                }
                Some(escaped @ ('"' | '\\')) => value.push(escaped),
                other => return Err(format!("an unknown escape: {other:?}")),
            },
            control if control.is_control() => return Err(format!("a control character: {control:?}")),
            other => value.push(other),
        }
    }
    Err(format!("an open quote: {text}"))
}

#[track_caller]
fn lines(text: &str) -> Vec<Line> {
    let lines: Vec<Line> = text.lines().map(|line| parse(line).unwrap_or_else(|why| panic!("{why}\n{line}"))).collect();
    for line in &lines {
        let has = |key: &str| line.get(key).is_some_and(|value| !value.is_empty());
        assert!(has("mode") && has("ts") && has("level") && has("msg") && (has("event") || has("target")), "{line:?}");
    }
    lines
}

fn of_event<'l>(lines: &'l [Line], event: &str) -> Vec<&'l Line> {
    lines.iter().filter(|line| line.get("event").is_some_and(|name| name == event)).collect()
}

fn number(line: &Line, key: &str) -> u64 {
    line.get(key).unwrap_or_else(|| panic!("no {key}: {line:?}")).parse().unwrap()
}

fn at_level(level: &str) -> Site {
    Site::new().with("level = \"warn\" ", &format!("level = \"{level}\" "))
}

#[test]
fn every_line_of_a_real_run_parses_and_the_expected_events_are_there() {
    let site =
        at_level("debug").with("speed = \"max\"", "speed = 40").with("heartbeat = \"10s\"", "heartbeat = \"1s\"");
    let mut node = site.start(&[]);
    node.wait_for("confirmed order and two heartbeats", |node| {
        let text = node.said().1;
        text.contains("event=order_confirmed") && text.matches("event=heartbeat ").count() > 1
    });
    node.signal(Signal::TERM);
    let lines = lines(&node.end().expect(0).err);
    assert!(lines.iter().all(|line| line["mode"] == "dry_run"));

    let about: Vec<&str> = of_event(&lines, "starting").iter().map(|line| &*line["about"]).collect();
    assert_eq!(about, ["mode", "model", "endpoints", "decision", "competition"]);

    let slots = of_event(&lines, "slot_ended");
    for (before, (nth, slot)) in slots.iter().enumerate().enumerate() {
        assert_eq!((before, nth as u64 + 1), (nth, number(slot, "cycle")), "{slot:?}");
        assert!(slots.get(nth + 1).is_none_or(|next| next["slot"] == slot["next_slot"]), "{slot:?}");
    }
    let order = of_event(&lines, "order_confirmed")[0];
    assert!(number(order, "ticket") > 0 && order["symbol"] == "EURUSD" && order["volume_lots"] == "0.1", "{order:?}");

    let beats = of_event(&lines, "heartbeat");
    let added: u64 = beats.iter().map(|beat| number(beat, "new_cycles")).sum();
    let last = beats.last().unwrap();
    assert_eq!(added, number(last, "cycles"), "{beats:?}");
    assert!(number(last, "free_disk_mb") > 0 && number(last, "memory_mb") > 1, "{last:?}");
    assert_eq!((&*last["held_orders"], &*last["parked"], &*last["safe_mode"]), ("0", "0", "false"));
    assert!(number(last, "open_positions") <= 1);
    assert_eq!(of_event(&lines, "heartbeat_pipeline").len(), beats.len());

    let end = lines.last().unwrap();
    assert_eq!((&*end["event"], &*end["exit_code"], &*end["level"]), ("node_ended", "0", "INFO"));
    assert!(number(end, "cycles") as usize == slots.len() && end["why"].contains("SIGTERM"), "{end:?}");
    assert_eq!(Facts::read(&site.state()).slots.len(), slots.len());
}

#[test]
fn a_start_logs_five_info_lines_and_the_configuration_only_to_the_file() {
    let site = at_level("info").with_decisions(3);
    let lines = lines(&site.start(&[]).end().expect(0).err);
    assert_eq!(of_event(&lines, "starting").len(), 5);
    assert!(of_event(&lines, "configuration").is_empty());
    let words = [
        ("mode", "dry run"),
        ("model", "model.onnx is asked with fx23 of 200 bars"),
        ("endpoints", "paper account paper"),
        ("decision", "EURUSD once per 1h bar (every 1h, 2s into it), above 0.6, 0.1 lots"),
        ("competition", "eurusd: ends with its last slot, 2017-01-12T"),
    ];
    for (line, (about, word)) in of_event(&lines, "starting").into_iter().zip(words) {
        assert!(line["about"] == about && line["msg"].contains(word), "{line:?}");
    }
    let file = fs::read_to_string(site.state().join("logs/sentinel.log")).unwrap();
    assert!(file.lines().filter(|line| line.contains("event=configuration")).count() > 40);
    assert!(self::lines(&file).iter().any(|line| line.get("setting").is_some_and(|text| text == "node.name = demo")));
}

#[test]
fn a_closed_market_is_one_line_and_not_one_per_hour_of_the_weekend() {
    let site = at_level("info").with_decisions(100);
    let lines = lines(&site.start(&[]).end().expect(0).err);
    let closed = Facts::read(&site.state()).slots.iter().filter(|slot| slot.reason == "market_closed").count();
    let count = of_event(&lines, "slot_ended").into_iter().filter(|line| line["reason"] == "market_closed").count();
    assert!(closed > 40, "no weekend in the data: {closed}");
    assert_eq!(count, 1);
}

#[test]
fn a_hub_error_says_its_cause_once_and_no_path_steps_back() {
    let site = at_level("info").with_decisions(8);
    let port = free_port();
    let site = site.with("kind = \"onnx\"\npath = \"model.onnx\"", &format!("kind = \"mlflow\"\nport = {port}"));
    let site = site.with("[node]", "[node]\nstate = \"../state\"").with("path = \"eurusd", "path = \"../eurusd");
    fs::create_dir(site.path().join("conf")).unwrap();
    fs::write(site.path().join("conf/node.toml"), &site.text).unwrap();
    let ended = super::node::run(site.path(), ["run", "--config", "conf/node.toml"]).expect(0);
    let lines = lines(&ended.err);
    assert!(ended.err.lines().all(|line| !line.contains("..")), "{}", ended.err);
    let failed: Vec<&str> = of_event(&lines, "slot_ended").iter().map(|line| &*line["detail"]).collect();
    assert_eq!(failed.len(), 8);
    for detail in failed {
        assert_eq!(detail.matches("not available").count(), 1, "{detail}");
        assert_eq!(detail.matches("refused").count(), 1, "{detail}");
    }
}

/// The client of the model server knows neither of them.
#[test]
fn an_adapters_line_says_pipeline_and_slot_in_both_formats() {
    for format in ["pretty", "json"] {
        let model = format!("kind = \"mlflow\"\nport = {}", free_port());
        let site = at_level("warn").with_decisions(8).with("kind = \"onnx\"\npath = \"model.onnx\"", &model);
        let ended = site.adding("[log]", &format!("format = \"{format}\"")).start(&[]).end().expect(0);
        let lines: Vec<Line> =
            if format == "pretty" { lines(&ended.err) } else { ended.err.lines().map(flat).collect() };
        let opened = of_event(&lines, "hub_circuit_opened")[0];
        assert_eq!(opened["pipeline"], "eurusd", "{opened:?}");
        let failed = of_event(&lines, "slot_ended").into_iter().find(|line| line["slot"] == opened["slot"]);
        assert_eq!(failed.unwrap()["reason"], "model_unavailable", "{opened:?}");
    }
}

/// The texts of an object.
fn flat(object: &str) -> Line {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(object).unwrap();
    object.into_iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect()
}

#[test]
fn a_panic_with_its_backtrace_is_one_line_too() {
    let site = at_level("debug").with_decisions(3);
    let lines = lines(&site.start(&["--panic-from", "predictor"]).end().err);
    let crash = of_event(&lines, "crash_report")[0];
    assert!(crash["backtrace"].contains('\n') && crash["location"].contains("ports/faults.rs"), "{crash:?}");
}

#[test]
fn the_last_line_of_a_start_that_fails_names_the_exit_code() {
    let site = at_level("info");
    fs::copy(model_fixture("nan.onnx"), site.path().join("model.onnx")).unwrap();
    let ended = site.start(&[]).end().expect(78);
    let logged: Vec<&str> = ended.err.lines().filter(|line| line.starts_with("mode=")).collect();
    let end = parse(logged.last().unwrap()).unwrap();
    assert_eq!((&*end["event"], &*end["exit_code"], &*end["level"]), ("node_ended", "78", "ERROR"));
}
