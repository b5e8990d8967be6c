//! What people see, and the proof.

use std::time::Duration;

use clap::Parser as _;
use sentinel::cli::{self, Cli, exit};
use std::sync::Arc;

use sentinel::exit::ExitError as _;
use sentinel::journal::{JournalReader, SqliteJournal, Start, StateDir, StoreOptions, proof};
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::intent::{IntentEvent, IntentState, Mode};
use sentinel_actors::domain::order::{Role, Ticket};
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::ports::{JournalStore as _, NoFaults};
use tempfile::TempDir;

use crate::support::*;

#[tokio::test]
async fn why_prints_the_whole_chain_while_the_node_runs() {
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
    assert!(error.to_string().contains("there is no journal") && error.advice().unwrap().contains("--state"));
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
    assert!(lines[1].starts_with("2017-06-01T12:08:00Z eurusd") && lines[2].contains("node_down"));

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
async fn rows_are_selected_by_time_outcome_reason_and_state_and_summed() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(5), advance(5, IntentEvent::Send), advance(5, acked()), end(full_record(5))]).await;
    node.write(vec![miss(5, 9), end(ended(10, Reason::Hold)), plan(11), advance(11, IntentEvent::Send)]).await;
    let rows = |args: &[&str]| {
        let all = [&["journal"], args, &["--format", "json"]].concat();
        let text = show(dir.path(), &all).unwrap();
        text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let since = minute(8).to_string();
    assert_eq!(rows(&["cycles"]).len(), 6);
    assert_eq!(rows(&["cycles", "--since", &since]).len(), 3);
    assert_eq!(rows(&["cycles", "--outcome", "missed"]).len(), 4);
    assert_eq!(
        rows(&["cycles", "--outcome", "missed", "--since", &since, "--last", "1"])[0]["slot"],
        minute(9).to_string()
    );
    assert_eq!(rows(&["cycles", "--reason", "hold", "--pipeline", "eurusd"])[0]["slot"], minute(10).to_string());
    assert_eq!(rows(&["intents", "--open"])[0]["state"], "sent");
    assert_eq!((rows(&["intents"]).len(), rows(&["intents", "--open"]).len()), (2, 1));

    let sums = rows(&["cycles", "--summary"]);
    let sum = |reason: &str| sums.iter().find(|sum| sum["reason"] == reason).unwrap()["slots"].clone();
    assert_eq!((sum("node_down"), sum("order_acked"), sum("hold")), (4.into(), 1.into(), 1.into()));
    assert_eq!(rows(&["cycles", "--summary", "--outcome", "missed"]).len(), 1);
    let states: Vec<_> = rows(&["intents", "--summary"]).iter().map(|sum| sum["state"].clone()).collect();
    assert_eq!(states, ["acked", "sent"]);
    assert!(show(dir.path(), &["journal", "intents", "--summary"]).unwrap().contains("acked"));
}

#[tokio::test]
async fn every_table_fits_80_columns() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let mut record = full_record(5);
    record.detail = "a reason that a venue took many words for ".repeat(8);
    node.write(vec![plan(5), advance(5, IntentEvent::Send), advance(5, acked()), end(record), miss(5, 9)]).await;
    for args in [&["cycles"][..], &["intents"], &["cycles", "--summary"], &["intents", "--summary"]] {
        let table = show(dir.path(), &[&["journal"], args].concat()).unwrap();
        let wide: Vec<&str> = table.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty() && table.lines().count() > 1, "{args:?}: {wide:#?}");
    }
}

#[test]
fn an_unknown_outcome_or_reason_is_refused_with_what_is_known() {
    let parse = |args: &[&str]| Cli::try_parse_from([&["sentinel", "journal", "cycles"], args].concat());
    let error = parse(&["--outcome", "skiped"]).unwrap_err().to_string();
    assert!(error.contains("acted, no_action, skipped, missed"), "{error}");
    assert!(parse(&["--reason", "nonsense"]).unwrap_err().to_string().contains("docs/reasons.md"));
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

fn start(version: &str, digest: &str) -> Start {
    Start { at: minute(0), version: version.to_owned(), mode: Mode::DryRun, config_digest: digest.to_owned() }
}

/// A pipeline can be kept in dry run in a node that trades live.
#[tokio::test]
async fn why_says_of_a_live_node_whether_the_pipeline_was_live() {
    let dir = TempDir::new().unwrap();
    let (dry, mut live) = (ended(1, Reason::Hold), ended(2, Reason::Hold));
    live.mode = Mode::Live;
    let node = open_as(dir.path(), Start { mode: Mode::Live, ..start("0.1.0", "aaaabbbbccccdddd") });
    node.commit(vec![end(dry), end(live)]).await.unwrap();
    let why = |n| show(dir.path(), &["why", "eurusd", &minute(n).to_string()]).unwrap();
    let (dry, live) = (why(1), why(2));
    assert!(dry.contains("started live, with this pipeline in dry run, at 2017") && dry.contains("DRY RUN:"), "{dry}");
    assert!(live.contains("started live at 2017") && !live.contains("DRY RUN"), "{live}");
}

/// A journal as a node opens it.
fn open_as(dir: &std::path::Path, start: Start) -> SqliteJournal {
    let options = StoreOptions { start: Some(start), ..StoreOptions::default() };
    SqliteJournal::open_with(&StateDir::open(dir).unwrap(), Arc::new(NoFaults), options).unwrap().0
}

#[tokio::test]
async fn why_shows_thresholds_limits_version_and_configuration() {
    let dir = TempDir::new().unwrap();
    let mut quiet = ended(1, Reason::BelowThreshold);
    (quiet.signal, quiet.confidence) = (Some("buy".into()), Some(0.52));
    (quiet.decided_bar, quiet.weighed) = (Some(minute(0)), Some(weighed()));
    let mut busy = quiet.clone();
    (busy.slot, busy.reason, busy.confidence) = (minute(2), Reason::OrderAcked, Some(0.600_04));
    let first = open_as(dir.path(), start("0.1.0", "aaaabbbbccccdddd"));
    first.commit(vec![end(quiet)]).await.unwrap();
    drop(first);
    open_as(dir.path(), start("0.2.0", "eeeeffff00001111")).commit(vec![end(busy), miss(2, 3)]).await.unwrap();

    let why = |n| show(dir.path(), &["why", "eurusd", &minute(n).to_string()]).unwrap();
    let text = why(1);
    assert!(text.contains("Against the threshold: 0.52 is not above 0.60.\n"), "{text}");
    let counts = "Against the limits: 0 open positions without a limit, 2 orders of at most 6 in the last hour, 5 of at most 24 \
                  in the last 24 hours, 0 other open intents.\n";
    assert!(text.contains(counts), "{text}");
    let by =
        "Written by sentinel 0.1.0, started in dry run at 2017-06-01T12:00:00Z with the configuration aaaabbbbcccc….\n";
    assert!(text.contains(by), "{text}");
    assert!(why(2).contains("0.60004 is above 0.60000.") && why(2).contains("sentinel 0.2.0"), "{}", why(2));
    assert!(why(3).contains("sentinel 0.2.0"), "a missed slot too: {}", why(3));

    let json = show(dir.path(), &["journal", "cycles", "--format", "json"]).unwrap();
    let rows: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |field| rows.iter().map(|row| row[field].clone()).collect::<Vec<_>>();
    assert_eq!(of("start"), [1, 2, 2]);
    assert_eq!(of("config_digest"), ["aaaabbbbccccdddd", "eeeeffff00001111", "eeeeffff00001111"]);
    assert_eq!((&rows[0]["threshold"], &rows[0]["weighed"]["risk"]["orders_last_day"]), (&0.6.into(), &5.into()));
    assert_eq!(JournalReader::open(dir.path()).unwrap().verify().unwrap().damaged_rows, 0);
}

#[tokio::test]
async fn why_shows_time_in_a_queue_apart_from_time_in_work() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let worked = SlotRecord { waited_us: Some(1_200_345), ..full_record(5) };
    let shed = SlotRecord { attempts: 0, started_at: None, waited_us: Some(20_000_000), ..ended(6, Reason::Overload) };
    node.write(vec![plan(5), end(worked), end(shed)]).await;
    let why = |n: i64| show(dir.path(), &["why", "eurusd", &minute(n).to_string()]).unwrap();
    let durations = "data_fetcher 1.500 ms, feature_builder 0.020 ms, predictor 0.300 ms, executor 4294967.295 ms";
    let expected = format!("Durations: {durations}; before and between them it waited 1200.345 ms for its turns.");
    assert!(why(5).contains(&expected), "{}", why(5));
    assert!(why(6).contains("No stage has worked on it; it waited 20000.000 ms for its turns."), "{}", why(6));
}
