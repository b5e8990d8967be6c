//! What earlier versions left behind says the same today. Their state directories, and what they said about them, are in
//! tests/data/state-v*.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use sentinel::exit::ExitError as _;
use sentinel::journal::{JournalError, JournalReader, proof};
use sentinel_actors::domain::intent::{Basis, IntentEvent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::Role;
use sentinel_actors::domain::schedule::Schedule;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{JournalAnswer, JournalRead, JournalStore as _, JournalWrite, Written};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::*;

const OLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/state-v2");

fn golden(name: &str) -> String {
    std::fs::read_to_string(Path::new(OLD).join(name)).unwrap()
}

/// A copy of the old state directory, not opened yet.
fn old_state() -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::copy(Path::new(OLD).join("journal.db"), dir.path().join("journal.db")).unwrap();
    dir
}

/// Upgrades the state directory of a version and compares every row with what that version said about it.
fn assert_shown_as_by(version: i64, counts: [usize; 2]) {
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/state-v{version}"));
    let dir = TempDir::new().unwrap();
    std::fs::copy(old.join("journal.db"), dir.path().join("journal.db")).unwrap();
    let node = open(dir.path());
    assert_eq!(node.recovered.migrated_from, Some(version));
    drop(node);
    for (rows, count) in ["cycles", "intents"].into_iter().zip(counts) {
        let old = std::fs::read_to_string(old.join(format!("{rows}.jsonl"))).unwrap();
        let new = show(dir.path(), &["journal", rows, "--format", "json"]).unwrap();
        assert_eq!((old.lines().count(), new.lines().count()), (count, count));
        old.lines().zip(new.lines()).for_each(|(old, new)| assert_keeps(old, new));
    }
    assert_eq!(JournalReader::open(dir.path()).unwrap().verify().unwrap().damaged_rows, 0);
}

#[test]
fn every_row_of_version_3_is_shown_as_version_3_showed_it() {
    assert_shown_as_by(3, [198, 7]);
}

#[test]
fn every_forecast_of_version_4_is_shown_as_version_4_showed_it() {
    assert_shown_as_by(4, [53, 53]);
}

#[test]
fn every_row_of_version_5_is_shown_as_version_5_showed_it() {
    assert_shown_as_by(5, [114, 18]);
}

#[test]
fn every_window_and_forecast_of_version_7_is_shown_as_version_7_showed_it() {
    assert_shown_as_by(7, [30, 30]);
}

#[test]
fn every_live_order_of_version_8_is_shown_as_version_8_showed_it() {
    assert_shown_as_by(8, [162, 3]);
}

/// The old state directory after its upgrade.
fn upgraded() -> TempDir {
    let dir = old_state();
    let node = open(dir.path());
    assert_eq!(node.recovered.migrated_from, Some(2));
    dir
}

/// Every field of the old line has its old value; new fields may stand beside them.
fn assert_keeps(old: &str, new: &str) {
    let (old, new): (BTreeMap<String, Value>, BTreeMap<String, Value>) =
        (serde_json::from_str(old).unwrap(), serde_json::from_str(new).unwrap());
    for (field, value) in &old {
        assert_eq!(new.get(field), Some(value), "{field} of {old:?}");
    }
}

#[test]
fn every_row_of_version_2_is_shown_as_version_2_showed_it() {
    let dir = upgraded();
    for rows in ["cycles", "intents"] {
        let old = golden(&format!("{rows}.jsonl"));
        let new = show(dir.path(), &["journal", rows, "--format", "json"]).unwrap();
        assert_eq!(
            (old.lines().count(), new.lines().count()),
            (if rows == "cycles" { 62 } else { 34 }, old.lines().count())
        );
        old.lines().zip(new.lines()).for_each(|(old, new)| assert_keeps(old, new));

        let csv = show(dir.path(), &["journal", rows, "--format", "csv"]).unwrap();
        let fields: BTreeMap<String, Value> = serde_json::from_str(old.lines().next().unwrap()).unwrap();
        let header: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
        assert!(fields.keys().all(|field| header.contains(&&**field)), "{header:?}");
        assert_eq!(header[fields.len() - 1], "intact", "new columns stand behind the old ones");
    }
}

/// Words of version 2 that were replaced since.
const REWORDED: [(&str, &str); 2] = [
    (": its fate became unknown: ", ": its outcome became unknown: "),
    (": held for a person to settle: ", ": held for the operator to settle: "),
];

#[test]
fn why_explains_the_slots_of_version_2_as_version_2_did() {
    let dir = upgraded();
    let why = REWORDED.iter().fold(golden("why.txt"), |text, (old, new)| text.replace(old, new));
    let mut slots = 0;
    for shown in why.split("$ sentinel ").skip(1) {
        let (command, old) = shown.split_once('\n').unwrap();
        let new = show(dir.path(), &command.split(' ').collect::<Vec<_>>()).unwrap();
        // What a reason means may be worded better; what happened may not.
        let facts = |text: &str| -> Vec<String> {
            text.trim_end().lines().filter(|line| !line.starts_with("Reason: ")).map(str::to_owned).collect()
        };
        assert_eq!(facts(&new), facts(old), "{command}");
        slots += 1;
    }
    assert_eq!(slots, 25);
}

#[test]
fn the_proof_of_version_2_comes_to_the_same() {
    let dir = upgraded();
    let hourly = Schedule::every(Duration::from_secs(3600), Duration::from_secs(2)).unwrap();
    let first: UtcMs = "2017-01-12T00:00:02Z".parse().unwrap();
    let reader = JournalReader::open(dir.path()).unwrap();
    let old = golden("proofs.txt");
    let pipelines: Vec<&str> = old.lines().map(|line| line.split_once(' ').unwrap().0).collect();
    assert_eq!(pipelines, reader.pipelines().unwrap());
    for line in old.lines() {
        let (pipeline, old) = line.split_once(' ').unwrap();
        let last = reader.last_slot(pipeline).unwrap().unwrap();
        let new = proof(dir.path(), pipeline, &hourly, first, last).unwrap();
        assert_keeps(old, &serde_json::to_string(&new).unwrap());
    }
    let verified = reader.verify().unwrap();
    assert!(verified.rows > 150 && verified.damaged_rows == 0, "{verified:?}");
    assert_eq!(reader.worked_slots().unwrap(), 62);
}

#[test]
fn an_upgrade_refuses_a_row_that_was_changed_in_version_2() {
    let dir = old_state();
    let path = dir.path().join("journal.db");
    let by_hand = Connection::open(&path).unwrap();
    by_hand
        .execute_batch("UPDATE intents SET filled_lots = '9.1' WHERE pipeline = 'filled' AND ticket = '1000007'")
        .unwrap();
    drop(by_hand);
    let error = refusal(dir.path());
    assert!(matches!(&error, JournalError::DamagedRow { row, .. } if row.starts_with("intents ewblb4j6")), "{error}");
    assert_eq!((error.exit_code(), dir.path().join("journal.db.backup-v2").exists()), (78, false));
    let version = Connection::open(&path).unwrap().query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    assert_eq!(version.unwrap(), 2, "it is left alone");
}

#[tokio::test]
async fn an_unknown_order_proven_absent_later_keeps_its_row() {
    let dir = old_state();
    let node = open(dir.path());
    let at: UtcMs = "2017-01-12T15:00:02Z".parse().unwrap();
    let slot = ["why", "lost", "2017-01-12T09:00:02Z"];
    let row = || {
        let all = show(dir.path(), &["journal", "cycles", "--format", "json", "--pipeline", "lost"]).unwrap();
        all.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|row| row["slot"] == slot[2]).unwrap()
    };
    assert!(show(dir.path(), &slot).unwrap().starts_with("lost, slot 2017-01-12T09:00:02Z: it acted (order_unknown)."));
    assert_eq!(row()["settled_later"], Value::Null);

    let key = IntentKey::stored("vc7i6ieob5womhn5spxjaxbh2v4waysk".to_owned());
    let event = IntentEvent::FoundAbsent { evidence: "not in its list".to_owned() };
    assert_eq!(node.write(vec![JournalWrite::Advance { key, event, at }]).await, [Written::Done]);
    let why = show(dir.path(), &slot).unwrap();
    assert!(why.contains(": it acted, later proven absent (order_unknown)."), "{why}");
    let row = row();
    assert_eq!(
        (&row["outcome"], &row["reason"], &row["settled_later"]),
        (&"acted".into(), &"order_unknown".into(), &"absent".into())
    );
    let table = show(dir.path(), &["journal", "cycles", "--pipeline", "lost"]).unwrap();
    assert_eq!(table.matches("acted, later proven absent").count(), 1, "{table}");
}

#[tokio::test]
async fn an_intent_of_version_2_is_found_by_its_decision_and_keeps_its_key() {
    let dir = old_state();
    let node = open(dir.path());
    let existing = |basis, slot| async move {
        let question = JournalRead::ExistingIntents { pipeline: "begun".into(), basis, slot };
        match node.journal.read(question).await.unwrap() {
            JournalAnswer::Intents(intents) => (intents, node),
            other => panic!("{other:?}"),
        }
    };
    let bar = Basis::Bar("2017-01-12T06:00:00Z".parse().unwrap());
    let slot: UtcMs = "2017-01-12T07:00:02Z".parse().unwrap();
    let (found, node) = existing(bar, slot).await;
    let [old] = &found[..] else { panic!("{found:?}") };
    assert_eq!((old.state, old.basis), (IntentState::Planned, bar));

    // Today's key is another one, and yet the decision cannot be planned a second time.
    let mut again = old.clone();
    again.key = IntentKey::derive(Mode::Live, "begun", "begun", bar, Role::Open);
    assert_ne!(again.key, old.key);
    let written = node.write(vec![JournalWrite::Plan(Box::new(again))]).await;
    assert_eq!(written, [Written::Exists(Box::new(old.clone()))]);
    let sent = JournalWrite::Advance { key: old.key.clone(), event: IntentEvent::Send, at: slot };
    assert_eq!(node.write(vec![sent]).await, [Written::Done]);
}

#[tokio::test]
async fn a_bar_and_a_slot_of_the_same_time_are_two_decisions() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let mut of_slot = intent(5, Role::Open);
    of_slot.basis = Basis::Slot(minute(5));
    of_slot.key = IntentKey::derive(Mode::DryRun, "demo", "eurusd", of_slot.basis, Role::Open);
    let of_bar = intent(6, Role::Open);
    assert_eq!(of_bar.basis, Basis::Bar(minute(5)));
    let plans = [&of_slot, &of_bar].map(|intent| JournalWrite::Plan(Box::new(intent.clone())));
    assert_eq!(node.write(plans.to_vec()).await, [Written::Done, Written::Done]);
    let existing = async |basis, slot| {
        let question = JournalRead::ExistingIntents { pipeline: "eurusd".into(), basis, slot };
        match node.journal.read(question).await.unwrap() {
            JournalAnswer::Intents(intents) => intents.into_iter().map(|intent| intent.key).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(existing(Basis::Bar(minute(5)), minute(6)).await, vec![of_bar.key.clone()]);
    assert_eq!(existing(Basis::Slot(minute(5)), minute(5)).await, vec![of_slot.key.clone()]);
    // A slot that decided itself before its pipeline was configured to decide bars has acted already.
    assert_eq!(existing(Basis::Bar(minute(4)), minute(5)).await, vec![of_slot.key.clone()]);
    assert_eq!(existing(Basis::Bar(minute(4)), minute(7)).await, []);
}
