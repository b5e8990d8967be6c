//! Absurd texts: every value is refused or taken, and none ends the process.

use std::fmt::Write as _;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// The section, the key, and a good value whose parts the strategies below damage.
const KEYS: [(&str, &str, &str); 18] = [
    ("pipeline", "calendar", "America/New_York; Sun 17:00-Fri 17:00; closed 12-25 00:00-17:00, 01-01 00:00-17:00"),
    ("pipeline", "calendar", "UTC; Mon 00:00-Fri 24:00"),
    ("pipeline", "schedule", "every 1m at :58"),
    ("pipeline", "schedule", "on bar close + 5s"),
    ("pipeline", "interval", "1h"),
    ("pipeline", "start", "2026-01-05T00:00:00Z"),
    ("pipeline", "end", "2026-02-05T00:00:00+02:00"),
    ("pipeline.data", "max_age", "1h 30m"),
    ("pipeline.data", "settle", "500ms"),
    ("pipeline.decision", "volume_lots", "0.10"),
    ("pipeline.decision", "stop_distance", "0.0050"),
    ("pipeline.decision", "max_holding", "24h"),
    ("pipeline.paper", "spread", "0.00010"),
    ("pipeline.paper", "contract_size", "100000"),
    ("pipeline.source", "speed", "max"),
    ("pipeline.source", "path", "demo/eurusd_1h_2017.csv"),
    ("node", "heartbeat", "1h"),
    ("log", "file", "logs/sentinel.log"),
];

/// A configuration whose `key` holds `value`, in place of the one that the minimal configuration has there.
fn holding(section: &str, key: &str, value: &str) -> String {
    let quoted = serde_json::Value::from(value); // its escapes are those of TOML too
    let mut own = BTreeMap::from([
        ("pipeline", vec!["name = \"eurusd\"".to_owned(), "symbol = \"EURUSD\"".to_owned()]),
        ("pipeline.source", vec!["path = \"demo/eurusd_1h_2017.csv\"".to_owned()]),
        ("pipeline.model", vec!["path = \"demo/model.onnx\"".to_owned()]),
        (
            "pipeline.decision",
            ["volume_lots = \"0.10\"", "stop_distance = \"none\"", "target_distance = \"none\""]
                .map(str::to_owned)
                .to_vec(),
        ),
    ]);
    let lines = own.entry(section).or_default();
    lines.retain(|line| !line.starts_with(&format!("{key} ")));
    lines.push(format!("{key} = {quoted}"));
    let mut text = String::new();
    for (section, lines) in &own {
        let head = if *section == "pipeline" { "[[pipeline]]".to_owned() } else { format!("[{section}]") };
        writeln!(text, "{head}\n{}", lines.join("\n")).unwrap();
    }
    text
}

/// Numbers that arithmetic of 8, 16, 32, 64 and 128 bits goes over with when they are taken for minutes, milliseconds and so on.
fn huge_numbers() -> impl Iterator<Item = String> {
    let bounds = [1_u128 << 7, 1 << 8, 1 << 15, 1 << 16, 1 << 31, 1 << 32, 1 << 63, 1 << 64, 1 << 96, u128::MAX];
    let units = [1_u128, 7, 24, 60, 1000, 3600, 1440, 86_400, 1_000_000, 1_000_000_000];
    bounds.into_iter().flat_map(move |bound| units.map(|unit| (bound / unit).saturating_add(1).to_string()))
}

/// A good value with a piece of it replaced.
fn damaged(good: &'static str) -> impl Strategy<Value = String> {
    let any_text = prop_oneof![r"[0-9a-z:;+. -]{0,12}", "\\PC{0,6}"];
    (any::<prop::sample::Index>(), 0..6_usize, any_text).prop_map(move |(from, length, new)| {
        let from = from.index(good.len());
        format!("{}{new}{}", &good[..from], &good[(from + length).min(good.len())..])
    })
}

/// Where the numbers of a text are.
fn number_runs(text: &str) -> Vec<(usize, usize)> {
    let mut runs = Vec::new();
    let mut start = None;
    for (at, byte) in text.bytes().chain([b' ']).enumerate() {
        match (byte.is_ascii_digit(), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                runs.push((from, at));
                start = None;
            }
            _ => {}
        }
    }
    runs
}

#[test]
fn a_calendar_with_hour_71582789_is_refused_with_its_line() {
    let text = holding("pipeline", "calendar", "UTC; Mon 71582789:00-Fri 17:00");
    check_refused(
        &text,
        "node.toml:4: pipeline.eurusd.calendar: 'Mon 71582789:00-Fri 17:00' is not an opening range; write one like Sun \
         17:00-Fri 17:00, with hours from 00:00 to 24:00",
    );
}

/// Made once: reading a configuration changes nothing in it.
static FILES: LazyLock<tempfile::TempDir> = LazyLock::new(directory);

/// Whatever is wrong is said with its line.
fn read_or_refuse((section, key, value): (&str, &str, &str)) {
    let text = holding(section, key, value);
    if let Err(errors) = read_with(&text, FILES.path(), &Env::default(), &Flags::default()) {
        assert!(errors.to_string().starts_with("node.toml:"), "{errors}");
    }
}

#[test]
fn no_number_in_any_value_is_too_large_to_be_refused() {
    for (section, key, good) in KEYS {
        for (from, to) in number_runs(good) {
            for huge in huge_numbers() {
                read_or_refuse((section, key, &format!("{}{huge}{}", &good[..from], &good[to..])));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_value_of_any_key_ends_the_process((which, value) in (0..KEYS.len()).prop_flat_map(|which| {
        (Just(which), prop_oneof![4 => damaged(KEYS[which].2).boxed(), 1 => "\\PC{0,40}".boxed()])
    })) {
        let (section, key, _) = KEYS[which];
        read_or_refuse((section, key, &value));
    }
}
