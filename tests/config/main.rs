//! The configuration: everything wrong at once, each with its line; defaults that the example states truly.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise; clippy exempts the tests but not their helpers"
)]

mod alerts;
mod allora;
mod backup;
mod compatibility;
mod endpoints;
mod examples;
mod help;
mod hostile;
mod http;
mod jobs;
mod losses;
mod per_pipeline;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel::cli::check::{self, CheckArgs, CheckError, Judgement, Validators};
use sentinel::cli::overrides::Overrides;
use sentinel::config::{
    AlertsConfig, AlloraConfig, Config, ConfigErrors, Env, Flags, LogLevel, ModelConfig, Origin, PipelineConfig,
    SourceConfig, Speed,
};
use sentinel::exit::ExitError as _;
use sentinel_actors::domain::decision::OnOpposite;

const EXAMPLE: &str = include_str!("../../config/sentinel.toml");
const DEMO: &str = include_str!("../../config/demo/demo.toml");
/// Only what has no default.
const MINIMAL: &str = r#"
[[pipeline]]
name = "eurusd"
symbol = "EURUSD"
source.path = "demo/eurusd_1h_2017.csv"
model.path = "demo/model.onnx"
decision = { volume_lots = "0.10", stop_distance = "0.0050", target_distance = "0.0100" }
"#;

/// A directory that has the files which configurations name.
fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("demo")).unwrap();
    for name in [
        "demo/eurusd_1h_2017.csv",
        "demo/model.onnx",
        "demo/btcusd_1h.csv",
        "demo/btcusd.onnx",
        "eurusd_1h_2017.csv",
        "model.onnx",
    ] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    private(&dir.path().join("http.token"), "");
    for name in ["telegram.token", "webhook.url", "webhook.secret", "dead_man.url"] {
        alerts::write_secret(&dir.path().join(name), "c4n4ry");
    }
    dir
}

/// A file that only its owner can read.
fn private(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
}

fn read_with(text: &str, dir: &Path, env: &Env, flags: &Flags) -> Result<Config, ConfigErrors> {
    Config::from_str_at(text, "node.toml", dir, env, flags)
}

fn read(text: &str) -> Result<Config, ConfigErrors> {
    read_with(text, directory().path(), &Env::default(), &Flags::default())
}

fn refused(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    let message = refused(text);
    assert!(message.contains(expected), "expected '{expected}' in:\n{message}");
}

/// The minimal configuration with one line more in one of its tables.
fn with(table: &str, line: &str) -> String {
    let tables =
        MINIMAL.replace("source.path", "[pipeline.source]\npath").replace("model.path", "[pipeline.model]\npath");
    let tables = tables.replace("decision = {", "[pipeline.decision]\n").replace(", ", "\n").replace(" }", "");
    if tables.contains(&format!("[{table}]\n")) {
        tables.replace(&format!("[{table}]\n"), &format!("[{table}]\n{line}\n"))
    } else {
        format!("{tables}\n[{table}]\n{line}\n")
    }
}

#[test]
fn the_annotated_example_states_the_defaults() {
    let dir = directory();
    let read = |text| read_with(text, dir.path(), &Env::default(), &Flags::default()).unwrap();
    let (example, defaults) = (read(EXAMPLE), read(MINIMAL));
    assert_eq!(example.node, defaults.node);
    assert_eq!(example.log, defaults.log);
    assert_eq!(example.supervision, defaults.supervision);
    assert_eq!(example.deadlines, defaults.deadlines);
    assert_eq!(example.pipelines, defaults.pipelines);
}

#[test]
fn the_annotated_example_writes_every_key_out() {
    let config = read(EXAMPLE).unwrap();
    let silent: Vec<_> = config.settings.iter().filter(|setting| setting.origin != Origin::File).collect();
    assert!(silent.is_empty(), "the example leaves out {silent:?}");

    // The keys without a default are there too, commented out.
    let all =
        EXAMPLE.lines().map(|line| if line.contains("no default") { line.trim_start_matches("# ") } else { line });
    let all = read(&all.collect::<Vec<_>>().join("\n")).unwrap();
    let keys = |config: &Config| config.settings.iter().map(|setting| setting.key.clone()).collect::<BTreeSet<_>>();
    let optional: Vec<_> = keys(&all).difference(&keys(&config)).cloned().collect();
    let deadlines = ["cycle", "execute", "features", "fetch", "predict", "slot_lateness"];
    let expected = ["data.least_parts".to_owned()].into_iter().chain(deadlines.map(|key| format!("deadlines.{key}")));
    let expected =
        expected.chain(["decision.max_holding", "end", "made_from", "mode", "source.bars", "start"].map(str::to_owned));
    let allora = ["call_timeout", "chain_id", "emissions_version", "explorer", "max_fee", "max_fee_per_day"];
    let allora = allora.into_iter().chain(["max_registration", "network", "rpc", "stale_after"]);
    let expected =
        allora.map(|key| format!("allora.{key}")).chain(expected.map(|key| format!("pipeline.eurusd.{key}")));
    let http = ["hosts", "listen", "token_file"].map(|key| format!("http.{key}"));
    let expected = expected.collect::<Vec<_>>();
    let alerts = alerts::EXAMPLE_KEYS.map(|key| format!("alerts.{key}"));
    let backup = ["daily_at", "dir", "keep"].map(|key| format!("backup.{key}"));
    assert_eq!(optional, [&alerts[..], &expected[..10], &backup, &http, &expected[10..]].concat());
    alerts::check_example(&all.alerts);
    assert_eq!(config.alerts, AlertsConfig::default());
    assert_eq!(all.allora, Some(AlloraConfig::of_network("testnet").unwrap()), "the example states the defaults");
    assert_eq!(config.allora, None);
    assert_eq!(all.pipelines[0].deadlines, config.deadlines, "the example repeats the node's deadlines");
}

#[test]
fn every_mistake_is_reported_at_once_with_line_and_suggestion() {
    let text = r#"[node]
name = "My Node"
hartbeat = "1h"
mode = "live"

[log]
level = "inof"

[supervision]
child_restarts = "five"
backoff_base = "2m"
backoff_max = "60"

[deadlines]
cycle = "2s"

[[pipeline]]
name = "eurusd"
symbol = "EURUSD"
interval = "7m"
schedule = "whenever"
calendar = "America/New_Yrok; Sun 17:00-Fri 17:00"
start = "2026-02-01T00:00:00Z"
end = 2026-01-01T00:00:00Z
treshold = 0.6
[pipeline.source]
path = "missing.csv"
speed = 0
[pipeline.model]
kind = "onxn"
path = "model.onnx"
[pipeline.decision]
classes = ["sell", "hodl", "sell"]
threshold = 1.5
volume_lots = "0,1"
stop_distance = "0.000001"
on_opposite = true

[[pipeline]]
name = "eurusd"

[pipelines]
"#;
    let dir = directory();
    let errors = read_with(text, dir.path(), &Env::default(), &Flags::default()).unwrap_err();
    let message = errors.to_string().replace(&dir.path().display().to_string(), "DIR");
    let expected = r#"node.toml:2: node.name: 'My Node' is not a name; allowed: 1 to 32 of a-z, 0-9, _ and -
node.toml:3: node.hartbeat: unknown key; allowed: name, state, mode, heartbeat, retention, disk_warning_mb; did you mean 'heartbeat'?
node.toml:4: node.mode: 'live' is said at each start, with the flag --live, and never by a file alone; allowed: "dry_run"
node.toml:7: log.level: 'inof' is not known; allowed: "error", "warn", "info", "debug", "trace"; did you mean 'info'?
node.toml:10: supervision.child_restarts: is the string 'five', not an integer; allowed: a whole number from 0 to 1000000
node.toml:12: supervision.backoff_max: '60' is not a duration; allowed: a duration like 500ms, 10s or 1h, from 1ms to 1h
node.toml:15: deadlines.cycle: is shorter than fetch, features, predict and execute together, 18s
node.toml:20: pipeline.eurusd.interval: '7m' is not a bar interval; write one like 1m, 5m, 1h, 1d
node.toml:21: pipeline.eurusd.schedule: 'whenever' is not a schedule; write 'every 1m at :58', 'hourly at :00' or 'on bar close + 5s'
node.toml:22: pipeline.eurusd.calendar: 'America/New_Yrok' is not a time zone; write one like America/New_York
node.toml:24: pipeline.eurusd.end: 2026-01-01T00:00:00Z is not after start, 2026-02-01T00:00:00Z
node.toml:25: pipeline.eurusd.treshold: unknown key; allowed: name, symbol, job, mode, interval, source, made_from, schedule, calendar, start, end, deadlines, data, features, model, decision, risk, venue, paper; did you mean 'decision.threshold'?
node.toml:27: pipeline.eurusd.source.path: there is no file 'DIR/missing.csv'; allowed: the path of a file, relative to this configuration
node.toml:28: pipeline.eurusd.source.speed: 0 is out of range; allowed: "max" or a number above 0, up to 1000000
node.toml:30: pipeline.eurusd.model.kind: 'onxn' is not known; allowed: "onnx", "mlflow"; did you mean 'onnx'?
node.toml:32: pipeline.eurusd.decision.target_distance: is missing and has no default; allowed: a decimal like 0.0050, from 0.00000001 to 1000000, or "none"
node.toml:33: pipeline.eurusd.decision.classes: 'hodl' is not known; allowed: a list, each word at most once, of "sell", "hold", "buy"; did you mean 'hold'?
node.toml:33: pipeline.eurusd.decision.classes: 'sell' is there twice; allowed: a list, each word at most once, of "sell", "hold", "buy"
node.toml:34: pipeline.eurusd.decision.threshold: 1.5 is out of range; allowed: a number from 0 to 0.999
node.toml:35: pipeline.eurusd.decision.volume_lots: '0,1' is not an exact decimal; allowed: a decimal like 0.0050, from 0.00000001 to 10000
node.toml:36: pipeline.eurusd.decision.stop_distance: has more than the 5 decimal places of price_digits
node.toml:37: pipeline.eurusd.decision.on_opposite: is true, not a string; allowed: "ignore", "close", "reverse"
node.toml:39: pipeline.eurusd.symbol: is missing and has no default; allowed: the symbol's name, up to 32 characters without spaces
node.toml:39: pipeline.eurusd.source.path: is missing and has no default; allowed: the path of a file, relative to this configuration
node.toml:39: pipeline.eurusd.model.path: is missing and has no default; allowed: the path of a file, relative to this configuration
node.toml:39: pipeline.eurusd.decision.volume_lots: is missing and has no default; allowed: a decimal like 0.0050, from 0.00000001 to 10000
node.toml:39: pipeline.eurusd.decision.stop_distance: is missing and has no default; allowed: a decimal like 0.0050, from 0.00000001 to 1000000, or "none"
node.toml:39: pipeline.eurusd.decision.target_distance: is missing and has no default; allowed: a decimal like 0.0050, from 0.00000001 to 1000000, or "none"
node.toml:40: pipeline.eurusd.name: 'eurusd' is already the pipeline of line 18
node.toml:42: pipelines: unknown key; allowed: node, log, http, supervision, deadlines, alerts, backup, allora, pipeline; did you mean 'pipeline'?"#;
    assert_eq!(message, expected);
}

#[test]
fn each_mistake_has_a_message_that_says_how_to_fix_it() {
    for (table, line, expected) in [
        ("deadlines", "fetch = 10", "deadlines.fetch: is the number 10, not a string; allowed: a duration like 500ms"),
        (
            "deadlines",
            "fetch = \"2h\"",
            "2h is out of range; allowed: a duration like 500ms, 10s or 1h, from 1ms to 1h",
        ),
        ("supervision", "child_restarts = -1", "-1 is out of range; allowed: a whole number from 0 to 1000"),
        ("supervision", "parked_share = nan", "nan is out of range; allowed: a number from 0.01 to 1"),
        ("supervision", "watchdog = \"15s\"", "is shorter than 20s (twice ping_every, at least 2s)"),
        ("supervision", "ping_every = \"50ms\"\nwatchdog = \"1s\"", "is shorter than 2s"),
        (
            "log",
            "file = \"logs/\"",
            "'logs/' names no file; allowed: the path of a file, relative to the state directory",
        ),
        ("log", "format = \"JSON\"", "'JSON' is not known; allowed: \"pretty\", \"json\"; did you mean 'json'?"),
        ("pipeline.data", "max_age = \"30m\"", "is shorter than a bar, 1h: every bar would be stale"),
        ("pipeline.data", "settle = \"1h\"", "is out of range"),
        ("pipeline.features", "window = 20", "a whole number from 21 to 10000"),
        ("pipeline.features", "window = 60\nsequence = true", "is too short for a sequence, which needs 80 bars"),
        ("pipeline.decision", "price_digits = 2", "has more than the 2 decimal places of price_digits"),
        ("pipeline.decision", "classes = []", "is empty; allowed: a list, each word at most once"),
        ("pipeline.decision", "classes = \"sell\"", "is the string 'sell', not a list"),
        ("pipeline.paper", "spread = 1e-5", "'1e-5' is not an exact decimal"),
        ("pipeline.paper", "spread = 0x10", "is a number that is not decimal, not a string or"),
    ] {
        check_refused(&with(table, line), expected);
    }
    check_refused("", "node.toml:1: pipeline: there is none; write at least one [[pipeline]]");
    check_refused("pipeline = []", "pipeline: is empty");
    check_refused("[pipeline]\nname = \"a\"", "node.toml:1: pipeline: is a table, not a list; write [[pipeline]]");
    check_refused("log = 3", "node.toml:1: log: is the number 3, not a table");
}

#[test]
fn symbol_and_volume_have_no_default() {
    let message = refused("\n[[pipeline]]\nname = \"eurusd\"\n");
    for key in ["symbol", "source.path", "model.path", "decision.volume_lots", "decision.stop_distance"] {
        let expected = format!("node.toml:2: pipeline.eurusd.{key}: is missing and has no default; allowed: ");
        assert!(message.contains(&expected), "expected '{expected}' in:\n{message}");
    }
    let config = read(&MINIMAL.replace("\"0.0050\"", "\"none\"")).unwrap();
    assert_eq!(config.pipelines[0].order().unwrap().policy.stop_distance, None);
}

#[test]
fn every_syntax_error_has_its_line() {
    let message = refused("[node]\nname = \n[log]\nlevel = \"info\nformat = \"json\"\n");
    assert!(message.contains("node.toml:2: syntax: ") && message.contains("node.toml:4: syntax: "), "{message}");
}

#[test]
fn decimals_are_read_from_their_text_whether_quoted_or_not() {
    let policy = |text: &str| read(text).unwrap().pipelines.remove(0).order().unwrap().policy.clone();
    let bare = policy(&MINIMAL.replace("\"0.0050\"", "0.0050").replace("\"0.10\"", "0.10"));
    assert_eq!(policy(MINIMAL), bare);
    let stop = bare.stop_distance.unwrap();
    assert_eq!((stop, stop.to_string()), (Decimal::new(50, 4), "0.0050".to_owned()));
}

#[test]
fn the_environment_replaces_the_file_and_a_flag_replaces_both() {
    let text = format!("[node]\nstate = \"book\"\n[log]\nlevel = \"warn\"\n{MINIMAL}");
    let dir = directory();
    let file = read_with(&text, dir.path(), &Env::default(), &Flags::default()).unwrap();
    assert_eq!((file.node.state, file.log.level), (dir.path().join("book"), LogLevel::Warn));

    let env: Env = [("SENTINEL_STATE", "elsewhere"), ("SENTINEL_LOG_LEVEL", "debug")].into_iter().collect();
    let by_env = read_with(&text, dir.path(), &env, &Flags::default()).unwrap();
    assert_eq!((by_env.node.state.clone(), by_env.log.level), (PathBuf::from("elsewhere"), LogLevel::Debug));
    let banner: Vec<_> = by_env.banner().collect();
    assert!(banner.contains(&"node.state = elsewhere (environment SENTINEL_STATE)".to_owned()), "{banner:#?}");
    assert!(banner.contains(&"node.mode = dry_run (default)".to_owned()), "{banner:#?}");
    assert!(banner.contains(&"pipeline.eurusd.decision.volume_lots = 0.10".to_owned()), "{banner:#?}");

    let flags = Flags { log_level: Some("trace".to_owned()), ..Flags::default() };
    assert_eq!(read_with(&text, dir.path(), &env, &flags).unwrap().log.level, LogLevel::Trace);

    let flags = Flags { log_level: Some("loud".to_owned()), ..Flags::default() };
    let message = read_with(&text, dir.path(), &env, &flags).unwrap_err().to_string();
    assert!(message.starts_with("--log-level: log.level: 'loud' is not known; allowed: \"error\""), "{message}");
}

#[test]
fn a_dotenv_file_is_read_but_not_exported_and_a_broken_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".env"), "SENTINEL_TEST_ONLY='from the file'\n").unwrap();
    let env = Env::read(dir.path()).unwrap();
    assert_eq!(env.get("SENTINEL_TEST_ONLY"), Some("from the file"));
    assert!(std::env::var_os("SENTINEL_TEST_ONLY").is_none());
    assert!(!format!("{env:?}").contains("from the file"), "values of the environment are never printed");

    std::fs::write(dir.path().join(".env"), "no assignment\n").unwrap();
    assert!(Env::read(dir.path()).unwrap_err().to_string().ends_with(".env cannot be read"));
}

#[test]
fn paths_are_relative_to_the_file_wherever_the_node_was_started() {
    let dir = directory();
    let path = dir.path().join("node.toml");
    std::fs::write(&path, MINIMAL).unwrap();
    let config = Config::load(&path, &Env::default(), &Flags::default()).unwrap();
    let pipeline = &config.pipelines[0];
    let SourceConfig::Csv(source) = &pipeline.source else { panic!("{:?}", pipeline.source) };
    let ModelConfig::Onnx { path: model } = &pipeline.model else { panic!("{:?}", pipeline.model) };
    assert_eq!(source.path, dir.path().join("demo/eurusd_1h_2017.csv"));
    assert_eq!(model, &dir.path().join("demo/model.onnx"));
    assert_eq!(config.node.state, dir.path().join("state"));

    let missing = Config::load(&dir.path().join("no.toml"), &Env::default(), &Flags::default()).unwrap_err();
    assert!(missing.to_string().contains("no.toml: cannot be read: "), "{missing}");
}

#[test]
fn the_demo_is_valid_and_reverses_at_an_opposite_signal() {
    let config = read(DEMO).unwrap();
    let pipeline = &config.pipelines[0];
    assert_eq!(config.node.heartbeat, Duration::from_secs(10));
    assert_eq!((pipeline.name.as_str(), pipeline.features.set.window), ("eurusd", 200));
    assert_eq!(pipeline.order().unwrap().policy.on_opposite, OnOpposite::Reverse);
    let SourceConfig::Csv(source) = &pipeline.source else { panic!("{:?}", pipeline.source) };
    assert_eq!((source.speed, source.bars), (Speed::Max, None));
}

#[test]
fn check_prints_every_problem_or_a_line_per_pipeline() {
    let dir = directory();
    let args = CheckArgs { config: dir.path().join("node.toml"), probe: false, overrides: Overrides::default() };
    let run = |text: &str, verdict: Vec<String>| {
        std::fs::write(&args.config, text).unwrap();
        let mut out = Vec::new();
        let judge = |_: &PipelineConfig| Judgement { problems: verdict.clone(), facts: vec!["12 bars".to_owned()] };
        let validators = Validators { node: &|_| Vec::new(), pipeline: &judge };
        let result = check::run(&args, &Env::default(), validators, &mut out);
        (result.map(drop).map_err(|error: CheckError| error.exit_code()), String::from_utf8(out).unwrap())
    };

    let (result, out) = run(MINIMAL, Vec::new());
    assert_eq!(result, Ok(()));
    let line = "pipeline eurusd: EURUSD, bars of 1h, every 1h, 2s into it, features fx23/200, threshold 0.6, 0.10 lots, dry_run";
    assert_eq!(out, format!("{line}\n  12 bars\nconfiguration is valid\n"));

    let (result, out) = run(&with("node", "nmae = \"x\"\nheartbeat = \"0s\""), Vec::new());
    assert_eq!((result, out.lines().count()), (Err(78), 2), "{out}");

    let (result, out) = run(MINIMAL, vec!["the model does not load".to_owned()]);
    assert_eq!(result, Err(78));
    assert!(out.ends_with("node.toml: pipeline.eurusd: the model does not load\n"), "{out}");
}

#[test]
fn the_digest_is_that_of_the_effective_values_wherever_they_came_from() {
    let of = |text: &str, env: &Env, flags: &Flags| read_with(text, directory().path(), env, flags).unwrap().digest();
    let plain = |text: &str| of(text, &Env::default(), &Flags::default());
    let digest = plain(MINIMAL);
    assert_eq!((digest.len(), plain(&format!("# a comment\n{MINIMAL}"))), (64, digest.clone()));
    assert_eq!(plain(&format!("[node]\nname = \"sentinel\"\n{MINIMAL}")), digest, "a default that is written out");
    assert_ne!(plain(&format!("[node]\nname = \"other\"\n{MINIMAL}")), digest);
    let by_env: Env = [("SENTINEL_LOG_LEVEL", "debug")].into_iter().collect();
    assert_ne!(of(MINIMAL, &by_env, &Flags::default()), digest);
    let by_flag = Flags { threshold: Some(0.7), ..Flags::default() };
    assert_ne!(of(MINIMAL, &Env::default(), &by_flag), digest);
    let same_by_flag = Flags { threshold: Some(0.6), ..Flags::default() };
    assert_eq!(of(MINIMAL, &Env::default(), &same_by_flag), digest);
}

#[test]
fn retention_is_a_day_at_least_or_none() {
    let with = |value: &str| format!("[node]\nretention = \"{value}\"\n{MINIMAL}");
    assert_eq!(read(MINIMAL).unwrap().node.retention, None, "nothing is removed unasked");
    assert_eq!(read(&with("90d")).unwrap().node.retention, Some(Duration::from_secs(90 * 86_400)));
    check_refused(
        &with("12h"),
        "node.retention: 12h is out of range; allowed: a duration like 90d or 2y, from 1 to 36500 days",
    );
}
