//! What people see, and the proof.

use std::time::Duration;

use clap::Parser as _;
use sentinel::cli::{self, Cli, exit};
use sentinel::journal::{JournalReader, proof};
use sentinel_actors::domain::intent::{IntentEvent, IntentState};
use sentinel_actors::domain::order::{Role, Ticket};
use sentinel_actors::domain::reason::{Outcome, Reason};
use tempfile::TempDir;

use crate::support::*;

#[tokio::test]
async fn why_tells_the_whole_chain_while_the_node_runs() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(5), advance(5, IntentEvent::Send), advance(5, acked()), end(full_record(5))]).await;
    let by_slot = show(dir.path(), &["why", "eurusd", &minute(5).to_string()]).unwrap();
    let by_bar = show(dir.path(), &["why", "eurusd", &minute(4).to_string()]).unwrap();
    assert_eq!(by_slot, by_bar);
    for part in [
        "it acted (order_acked)",
        "DRY RUN",
        Reason::OrderAcked.meaning(),
        "started at 2017-06-01T12:05:00.003Z, 3 ms after",
        "120 usable bars; dropped: null=3,duplicate=1; missing in the window: 2",
        "fx23, with the digest bb22",
        "demo.onnx (0123456789ab…)",
        "class 2 = 0.7 (BUY)",
        "confidence 0.7",
        "about to be handed over",
        "confirmed as ticket 18446744073709551615, 0.10 lots at 1.12350",
        "data_fetcher 1.500 ms",
    ] {
        assert!(by_slot.contains(part), "'{part}' is missing in:\n{by_slot}");
    }
}

#[tokio::test]
async fn why_names_the_slots_nearby_when_there_is_none() {
    let dir = TempDir::new().unwrap();
    open(dir.path()).write(vec![miss(0, 9)]).await;
    let error = show(dir.path(), &["why", "eurusd", "2017-06-01T12:05:30Z"]).unwrap_err();
    assert!(error.contains("12:05:00Z  missed (node_down)") && error.contains("12:06:00Z"), "{error}");
    let error = show(dir.path(), &["why", "typo", NOON]).unwrap_err();
    assert!(error.contains("knows the pipelines: eurusd"), "{error}");
}

#[test]
fn a_directory_without_a_journal_is_named_by_every_command() {
    let dir = TempDir::new().unwrap();
    let error = JournalReader::open(dir.path()).err().unwrap();
    assert!(error.to_string().contains("there is no journal") && error.advice().contains("--state"));
    assert!(show(dir.path(), &["journal", "cycles"]).is_err());
    assert!(show(dir.path(), &["why", "eurusd", NOON]).is_err());
}

#[tokio::test]
async fn settle_beside_a_running_node_names_its_process_and_what_to_do() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(5), advance(5, IntentEvent::Send), advance(5, lost())]).await;
    let key = intent(5, Role::Open).key.to_string();
    let state = dir.path().display().to_string();
    let args = ["sentinel", "settle", &key[..12], "--absent", "--evidence", "looked", "--state", &state];
    let failure = cli::run(Cli::try_parse_from(args).unwrap()).unwrap_err();
    assert_eq!(failure.code, exit::TEMPORARY);
    let pid = std::process::id();
    for words in ["the node", &format!("process {pid}"), "stop it", &format!("kill {pid}"), "start the node"] {
        assert!(failure.text.contains(words), "'{words}' is missing in: {}", failure.text);
    }
    assert!(!failure.text.contains("directory of its own"), "{}", failure.text);
    assert_eq!(intents(dir.path())[0].state, IntentState::Unknown);
}

#[tokio::test]
async fn rows_are_shown_as_table_json_lines_and_csv() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(5), end(full_record(5)), miss(5, 9)]).await;

    let table = show(dir.path(), &["journal", "cycles", "--last", "2"]).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[1].starts_with("2017-06-01T12:08:00Z  eurusd") && lines[2].contains("node_down"));

    let json = show(dir.path(), &["journal", "cycles", "--format", "json", "--pipeline", "eurusd"]).unwrap();
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(first["raw_output"], serde_json::json!([0.1, 0.2, 0.7]));
    assert_eq!(first["intents"][0], intent(5, Role::Open).key.as_str());
    assert_eq!((json.lines().count(), &first["outcome"]), (5, &serde_json::json!("acted")));

    let csv = show(dir.path(), &["journal", "cycles", "--format", "csv"]).unwrap();
    let mut csv = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(csv.headers().unwrap().len(), first.as_object().unwrap().len());
    let row = csv.records().next().unwrap().unwrap();
    assert_eq!((&row[4], &row[5]), ("order_acked", full_record(5).detail.as_str()));

    for format in ["table", "json", "csv"] {
        let intents = show(dir.path(), &["journal", "intents", "--format", format]).unwrap();
        assert!(intents.contains(intent(5, Role::Open).key.as_str()) && intents.contains("planned"), "{intents}");
    }
    assert_eq!(show(dir.path(), &["journal", "cycles", "--format", "json", "--pipeline", "no"]).unwrap(), "");
}

#[tokio::test]
async fn the_proof_finds_holes_strays_and_contradictions() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(1), advance(1, IntentEvent::Send), advance(1, acked()), end(full_record(1)), miss(1, 3)])
        .await;
    let whole = proof(dir.path(), "eurusd", &minutely(), minute(1), minute(3)).unwrap();
    assert!(whole.holds());
    assert_eq!((whole.due, whole.count(Outcome::Acted), whole.count(Outcome::Missed)), (3, 1, 2));
    assert_eq!(whole.acked[0].receipt.as_ref().unwrap().ticket, Ticket(u64::MAX));

    let mut stray = ended(6, Reason::Hold);
    stray.slot = stray.slot.plus(Duration::from_secs(7));
    node.write(vec![
        end(stray),
        plan(4),
        end(ended(4, Reason::Hold)),
        advance(4, IntentEvent::Send),
        advance(4, acked()),
    ])
    .await;
    let broken = proof(dir.path(), "eurusd", &minutely(), minute(1), minute(7)).unwrap();
    assert!(!broken.holds());
    assert_eq!((broken.holes, broken.strays, broken.contradictions), (3, 1, 1));
    assert_eq!(broken.first_holes, [minute(5), minute(6), minute(7)]);
    assert_eq!((broken.open, broken.intents[&IntentState::Acked]), (0, 2));
}
