//! Everything that people and programs rely on by name, as the first version had it: tests/data/config-v0/interface.txt.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clap::CommandFactory as _;
use sentinel::cli::Cli;
use sentinel_actors::domain::reason::Reason;
use tempfile::TempDir;

use super::{Config, Env, Flags};

const INTERFACE: &str = include_str!("../data/config-v0/interface.txt");
const FILES: [(&str, &str); 3] = [
    ("sentinel", include_str!("../data/config-v0/sentinel.toml")),
    ("mt5", include_str!("../data/config-v0/mt5.toml")),
    ("demo", include_str!("../data/config-v0/demo.toml")),
];

/// The lines of one kind, without it.
fn old(kind: &str) -> Vec<&'static str> {
    INTERFACE.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' ')).collect()
}

#[track_caller]
fn assert_none_is_gone(what: &str, gone: &[&str], least: usize, known: usize) {
    assert!(gone.is_empty(), "{what} that this version does not know any more: {gone:?}");
    assert!(known >= least, "only {known} {what}");
}

#[test]
fn the_configuration_files_of_the_first_version_still_mean_the_same() {
    let dir = super::directory();
    let mut compared = 0;
    for (file, text) in FILES {
        let config = Config::from_str_at(text, file, dir.path(), &Env::default(), &Flags::default())
            .unwrap_or_else(|errors| panic!("{file}: {errors}"));
        let new: BTreeMap<&str, &str> =
            config.settings.iter().map(|setting| (&*setting.key, &*setting.value)).collect();
        for line in old(&format!("setting {file}")) {
            let (key, value) = line.split_once(" = ").unwrap();
            assert_eq!(new.get(key), Some(&value), "{file}: {key}");
            compared += 1;
        }
    }
    assert_eq!(compared, 209);
}

#[test]
fn every_flag_of_the_first_version_is_still_taken() {
    let all = old("flag");
    let is_gone = |line: &&str| {
        let (path, flag) = line.split_once(" --").unwrap();
        let mut command = Cli::command();
        for name in path.split(' ') {
            let Some(inner) = command.find_subcommand(name) else { return true };
            command = inner.clone();
        }
        let takes = |argument: &clap::Arg| {
            argument.get_long() == Some(flag)
                || argument.get_all_aliases().is_some_and(|aliases| aliases.contains(&flag))
        };
        !command.get_arguments().any(takes)
    };
    let gone: Vec<&str> = all.iter().copied().filter(is_gone).collect();
    assert_none_is_gone("flags", &gone, 64, all.len());
}

#[test]
fn every_event_and_reason_of_the_first_version_keeps_its_name() {
    let events = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.md")).unwrap();
    let all = old("event");
    let gone: Vec<&str> = all.iter().copied().filter(|name| !events.contains(&format!("| `{name}` |"))).collect();
    assert_none_is_gone("events", &gone, 47, all.len());
    let all = old("reason");
    let is_gone = |line: &&str| {
        let (outcome, code) = line.split_once(' ').unwrap();
        Reason::from_code(code).is_none_or(|reason| reason.outcome().code() != outcome)
    };
    let gone: Vec<&str> = all.iter().copied().filter(is_gone).collect();
    assert_none_is_gone("reasons", &gone, 42, all.len());
}

/// The journal's fields are compared with their values by the tests of the journal.
#[test]
fn the_first_health_file_can_be_read_and_its_fields_are_still_written() {
    let old_file = r#"{"written_at_ms":1,"started_at_ms":1,"pid":7,"version":"0.1.0","fresh_for_ms":15000,
        "late_after_ms":40000,"pipelines":{"eurusd":{"wall_time":true,"last_slot_ms":null,"next_due_ms":null,"late_ms":0,
        "faults_in_a_row":0,"last_reason":"hold","ended":false}}}"#;
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join(sentinel::node::health::HEALTH_FILE), old_file).unwrap();
    let view = sentinel::node::health::read(dir.path()).unwrap();
    sentinel::node::health::write(&view, dir.path()).unwrap();
    let text = std::fs::read_to_string(dir.path().join(sentinel::node::health::HEALTH_FILE)).unwrap();
    let new: serde_json::Value = serde_json::from_str(&text).unwrap();
    let fields = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let (of_file, of_pipeline) = (fields(&new), fields(&new["pipelines"]["eurusd"]));
    assert!(old("json health").iter().all(|field| of_file.contains(*field)), "{of_file:?}");
    assert!(old("json health.pipeline").iter().all(|field| of_pipeline.contains(*field)), "{of_pipeline:?}");
}
