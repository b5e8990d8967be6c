//! The text of a scrape.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use sentinel::operator::metrics::{FAMILIES, Family, Kind, render};
use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::node_view::ArmView;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::status::{Board, PipelineStatus};

use super::live::{NOW, busy_node, node, pipeline};
use super::outside::find;
use super::samples::{Sample, read};

const HOSTILE: [&str; 5] =
    ["<script>alert(1)</script>", "a\"} 1\nsentinel_safe_mode 1", "back\\slash\\", "\u{202e}drowssap", ""];

fn text(pipelines: &[&str]) -> String {
    render(&busy_node(pipelines), NOW).unwrap()
}

fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let is_it = |sample: &&Sample| {
        sample.name == name
            && labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|own| own == value))
    };
    let found: Vec<_> = samples.iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{name} {labels:?}");
    found[0].value
}

/// The metric that a sample belongs to.
pub fn family_of(sample: &str) -> Option<&'static Family> {
    let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| sample.strip_suffix(end));
    let is_it =
        |family: &&Family| family.name == sample || (family.kind == Kind::Histogram && Some(family.name) == histogram);
    FAMILIES.iter().find(is_it)
}

#[test]
fn every_metric_of_the_table_is_shown_with_its_labels_and_nothing_else() {
    let samples = read(&text(&["eurusd"]));
    let mut shown = BTreeSet::new();
    for sample in &samples {
        let family = family_of(&sample.name).unwrap_or_else(|| panic!("{} is in no table", sample.name));
        let labels: BTreeSet<_> = sample.labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
        assert_eq!(labels, family.labels.iter().copied().collect(), "{}", family.name);
        shown.insert(family.name);
    }
    assert_eq!(shown, FAMILIES.iter().map(|family| family.name).collect());
    let mut names: Vec<_> = FAMILIES.iter().map(|family| family.name).collect();
    names.dedup();
    assert_eq!(names.len(), FAMILIES.len(), "each once");
}

#[tokio::test(start_paused = true)]
async fn what_the_node_decides_by_is_what_a_scrape_shows() {
    let samples = read(&text(&["eurusd"]));
    let value = |name, labels: &[_]| value(&samples, name, labels);
    assert_eq!(value("sentinel_decision_lateness_seconds", &[]), 41.0);
    assert_eq!(value("sentinel_decision_lateness_limit_seconds", &[]), 40.0);
    assert_eq!(value("sentinel_verdict", &[("verdict", "not_working")]), 1.0);
    assert_eq!(value("sentinel_verdict", &[("verdict", "working")]), 0.0);
    assert_eq!(value("sentinel_needs", &[("need", "held"), ("severity", "now")]), 1.0);
    assert_eq!(value("sentinel_needs", &[("need", "parked"), ("severity", "now")]), 0.0);
    assert_eq!(value("sentinel_faults_in_a_row", &[("pipeline", "eurusd")]), 2.0);
    assert_eq!(value("sentinel_next_due_timestamp_seconds", &[]), 1_699_999_959.0);
    assert_eq!(value("sentinel_newest_bar_timestamp_seconds", &[]), 1_699_992_800.0);
    let slots = |reason| value("sentinel_slots_total", &[("pipeline", "eurusd"), ("reason", reason)]);
    assert_eq!((slots("order_acked"), slots("node_down")), (3.0, 3.0));
    assert!(samples.iter().all(|sample| sample.labels.get("reason").is_none_or(|reason| reason != "gap")));
    for (state, open) in [("planned", 0.0), ("sent", 0.0), ("unknown", 1.0), ("held", 1.0)] {
        assert_eq!(value("sentinel_open_intents", &[("state", state)]), open, "{state}");
    }
    assert_eq!(value("sentinel_orders_total", &[("result", "absent")]), 1.0);
    assert_eq!(value("sentinel_windows_total", &[("result", "missed")]), 6.0);
    assert_eq!(value("sentinel_halts_active", &[("pipeline", "*")]), 1.0);
    assert_eq!(value("sentinel_halts_active", &[("pipeline", "eurusd")]), 1.0);
    assert_eq!(value("sentinel_restarts_total", &[("pipeline", "*"), ("part", "heartbeat")]), 1.0);
    assert_eq!(value("sentinel_restarts_total", &[("pipeline", "eurusd"), ("part", "predictor")]), 1.0);
    assert_eq!(value("sentinel_model_info", &[("model", "fedcba987654")]), 1.0);
    assert_eq!(value("sentinel_model_changes_total", &[]), 1.0);
    assert_eq!(value("sentinel_upstream_requests_total", &[("upstream", "hub"), ("result", "timeout")]), 1.0);
    assert_eq!(value("sentinel_armed_until_timestamp_seconds", &[]), 1_700_003_600.0);
    assert_eq!(value("sentinel_wallet_runway_seconds", &[]), 86_400.0);
    assert_eq!(value("sentinel_clock_offset_seconds", &[("source", "hub")]), -3.0);
    assert_eq!(value("sentinel_disk_free_ratio", &[]), 0.2);
    assert_eq!(value("sentinel_alerts_total", &[("route", "phone"), ("result", "sent")]), 1.0);
    assert_eq!(value("sentinel_progress_timestamp_seconds", &[("part", "journal")]), 1_700_000_000.0);
    assert_eq!(value("process_start_time_seconds", &[]), 1_699_996_400.0);
}

#[test]
fn an_arm_is_shown_by_its_end_whatever_ended_it_and_a_dry_run_has_none() {
    let until = |arm: Option<ArmView>, mode| {
        let mut board = Board::default();
        let entry = pipeline("eurusd", false);
        entry.status.store(Arc::new(PipelineStatus::new(mode)));
        board.entries.insert("eurusd".to_owned(), entry);
        board.arm.store(arm.map(Arc::new));
        let samples = read(&render(&node(board), NOW).unwrap());
        let shown = samples.iter().find(|sample| sample.name == "sentinel_armed_until_timestamp_seconds");
        shown.map(|sample| sample.value)
    };
    let ended = Some("all orders have left".to_owned());
    let later = Some(UtcMs(NOW.0 + 1_000));
    assert_eq!(until(None, Mode::DryRun), Some(0.0));
    assert_eq!(until(None, Mode::Live), None, "nobody has looked yet");
    assert_eq!(until(Some(ArmView { until: later, ..ArmView::default() }), Mode::Live), Some(1_700_000_001.0));
    assert_eq!(until(Some(ArmView { until: later, ended, ..ArmView::default() }), Mode::Live), Some(1_700_000_000.0));
    assert_eq!(until(Some(ArmView::default()), Mode::Live), Some(f64::INFINITY));
}

#[test]
fn a_duration_is_in_every_bucket_that_is_wide_enough() {
    let samples = read(&text(&["eurusd"]));
    let bucket = |le| value(&samples, "sentinel_stage_duration_seconds_bucket", &[("stage", "predictor"), ("le", le)]);
    let buckets = ["0.001", "1.0", "2.5", "5.0", "10.0", "+Inf"];
    let buckets = buckets.map(|le| if le.ends_with(".0") { bucket(le.trim_end_matches(".0")) } else { bucket(le) });
    assert_eq!(buckets, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    assert_eq!(value(&samples, "sentinel_stage_duration_seconds_sum", &[("stage", "predictor")]), 3.0);
    assert_eq!(value(&samples, "sentinel_stage_duration_seconds_count", &[("stage", "executor")]), 0.0);
    assert_eq!(value(&samples, "sentinel_journal_commit_duration_seconds_bucket", &[("le", "0.005")]), 1.0);
}

#[test]
fn hostile_names_stay_names_and_make_no_sample_of_their_own() {
    let samples = read(&text(&HOSTILE));
    let faults = samples.iter().filter(|sample| sample.name == "sentinel_faults_in_a_row");
    let names: BTreeSet<_> = faults.map(|sample| sample.labels["pipeline"].as_str()).collect();
    assert_eq!(names, HOSTILE.into_iter().collect());
    assert_eq!(value(&samples, "sentinel_safe_mode", &[]), 0.0, "and only one of it");
}

#[test]
fn a_node_that_has_just_begun_shows_no_value_that_nobody_has_measured() {
    let mut board = Board::default();
    board.entries.insert("grid".to_owned(), pipeline("grid", false));
    let samples = read(&render(&node(board), NOW).unwrap());
    for name in [
        "sentinel_backup_timestamp_seconds",
        "sentinel_disk_free_ratio",
        "sentinel_deadman_ping_timestamp_seconds",
        "sentinel_newest_bar_timestamp_seconds",
        "sentinel_next_due_timestamp_seconds",
        "sentinel_model_info",
        "sentinel_windows_total",
    ] {
        assert!(samples.iter().all(|sample| sample.name != name), "{name}");
    }
    assert_eq!(value(&samples, "sentinel_decision_lateness_seconds", &[]), 0.0);
}

#[test]
#[cfg_attr(not(has_program = "promtool"), ignore = "needs promtool: see CONTRIBUTING.md")]
fn promtool_reads_every_line_and_has_nothing_to_remark() {
    let names: Vec<&str> = HOSTILE.into_iter().filter(|name| !name.is_empty()).collect();
    promtool(&text(&names));
}

/// What it reads without a word is right.
pub fn promtool(text: &str) {
    let mut promtool = Command::new(find("promtool", "SENTINEL_PROMTOOL"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
