//! Replays of both jobs, computed again from their bar files.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use sentinel::parity::limits::Why;
use sentinel_actors::domain::schedule::Window;
use sentinel_actors::domain::time::UtcMs;

use crate::support::{again, csv, demo_files, forecasts, order_job, orders, parsed, require_agreement, run};

#[test]
fn an_untouched_state_of_the_order_job_differs_in_nothing() {
    let mut config = orders(1_200);
    // Exits without a decision, limits and pauses make rows that follow from the account.
    let job = order_job(&mut config);
    job.policy.threshold = 0.4;
    job.policy.max_holding = Some(Duration::from_secs(5 * 3600));
    job.risk.max_orders_per_day = 3;
    let dir = tempfile::tempdir().unwrap();
    run(&config, dir.path());
    let found = again(&config, dir.path());
    require_agreement(&found);
    assert!(found.compared > 1_000 && found.compared == found.slots, "{found:?}");
    assert!(found.frames > 900 && found.answers == found.frames && found.decisions == found.frames, "{found:?}");
    assert!(found.effects > 30 && found.apart.is_empty() && found.partly.is_empty(), "{found:?}");
}

#[test]
fn an_untouched_state_of_the_forecast_job_differs_in_nothing() {
    let config = forecasts(600);
    let dir = tempfile::tempdir().unwrap();
    run(&config, dir.path());
    let found = again(&config, dir.path());
    require_agreement(&found);
    assert!(found.effects > 300 && found.effects == found.decisions && found.compared == found.slots, "{found:?}");
}

#[test]
fn a_range_is_computed_without_the_slots_before_it() {
    let config = orders(500);
    let dir = tempfile::tempdir().unwrap();
    run(&config, dir.path());
    let whole = again(&config, dir.path());
    let (first, last) = whole.range.unwrap();
    let middle = UtcMs(i64::midpoint(first.0, last.0));
    let range = Window { start: Some(middle), end: Some(last) };
    let found = sentinel::parity::engine::recompute(&config.pipelines[0], dir.path(), range, "").unwrap();
    require_agreement(&found);
    assert!(found.compared > 100 && found.compared < whole.compared, "{found:?}");
    assert!(found.range.unwrap().0 >= middle && found.range.unwrap().1 < last, "{found:?}");
}

#[test]
fn what_was_decided_otherwise_than_is_configured_is_counted_apart() {
    let config = orders(400);
    let dir = tempfile::tempdir().unwrap();
    run(&config, dir.path());
    let mut other = config.clone();
    order_job(&mut other).policy.threshold = 0.7;
    let found = again(&other, dir.path());
    require_agreement(&found);
    let apart: BTreeSet<_> = found.partly.keys().collect();
    assert_eq!(apart, [&Why::OtherThreshold("0.6".to_owned())].into());
    assert_eq!(found.partly.values().sum::<u64>(), found.decisions);
    let mut shorter = config.clone();
    shorter.pipelines[0].features.set.window = 150;
    let bars_and_more = sentinel::parity::engine::recompute(&shorter.pipelines[0], dir.path(), crate::support::ALL, "");
    // The model wants 200 bars: it is the first to refuse.
    assert!(bars_and_more.is_err());
}

#[test]
fn answers_of_another_model_are_decided_again_and_not_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["model.onnx", "model.json"] {
        fs::copy(demo_files().join(file), dir.path().join(file)).unwrap();
    }
    let mut config = orders(400);
    config.pipelines[0].model = sentinel::config::ModelConfig::Onnx { path: dir.path().join("model.onnx") };
    let state = dir.path().join("state");
    run(&config, &state);
    // One more byte at its end is another file with the same answers.
    let mut bytes = fs::read(dir.path().join("model.onnx")).unwrap();
    bytes.extend([0x9a, 0x06, 0x00]);
    fs::write(dir.path().join("model.onnx"), &bytes).unwrap();
    let manifest = fs::read_to_string(dir.path().join("model.json")).unwrap();
    let hash = |bytes: &[u8]| {
        use sha2::Digest as _;
        data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(bytes))
    };
    let old = hash(&fs::read(demo_files().join("model.onnx")).unwrap());
    assert!(manifest.contains(&old));
    fs::write(dir.path().join("model.json"), manifest.replace(&old, &hash(&bytes))).unwrap();
    let found = again(&config, &state);
    require_agreement(&found);
    assert_eq!(found.partly, [(Why::OtherModel(old[..12].to_owned()), found.decisions)].into());
    assert!(found.answers == 0 && found.decisions > 100, "{found:?}");
}

#[test]
fn slots_that_the_bar_file_does_not_reach_are_counted_apart() {
    let config = orders(600);
    let dir = tempfile::tempdir().unwrap();
    run(&config, dir.path());
    let mut shorter = config.clone();
    csv(&mut shorter).bars = 500_usize.try_into().ok();
    let found = again(&shorter, dir.path());
    require_agreement(&found);
    assert_eq!(found.apart.keys().collect::<Vec<_>>(), [&Why::NotInFile]);
    assert_eq!(found.apart[&Why::NotInFile] + found.compared, found.slots);
}

#[test]
fn a_model_on_a_server_is_not_asked_and_its_recorded_answers_are_decided_again() {
    let mut config = orders(400);
    let dir = tempfile::tempdir().unwrap();
    run(&config, dir.path());
    // Nobody listens there.
    config.pipelines[0].model = parsed(include_str!("../../config/demo/demo.toml")).pipelines[0].model.clone();
    let found = again(&config, dir.path());
    require_agreement(&found);
    assert_eq!(found.partly, [(Why::OnServer, found.decisions)].into());
    assert!(found.answers == 0 && found.decisions > 100 && found.effects > 0 && found.model.is_some(), "{found:?}");
}

#[test]
fn a_row_that_somebody_has_changed_is_named_with_what_it_says_otherwise() {
    let config = orders(300);
    let dir = tempfile::tempdir().unwrap();
    run(&config, dir.path());
    let journal = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
    let newest = "SELECT max(slot_ms) FROM slots WHERE confidence IS NOT NULL";
    let changed = journal.execute(&format!("UPDATE slots SET confidence = 0.99 WHERE slot_ms = ({newest})"), []);
    assert_eq!(changed.unwrap(), 1);
    let found = again(&config, dir.path());
    let named: Vec<&str> = found.verdict.first.iter().map(|difference| difference.field.as_str()).collect();
    assert_eq!((named.as_slice(), found.verdict.differing), (&["checksum", "confidence"][..], 1));
}
