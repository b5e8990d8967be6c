//! Files that are refused or upgraded.

use rusqlite::Connection;
use sentinel::exit::ExitError as _;
use sentinel::journal::{JournalError, JournalReader, SCHEMA_VERSION, proof};
use sentinel_actors::domain::intent::{IntentEvent, IntentState};
use sentinel_actors::domain::reason::Reason;
use tempfile::TempDir;

use crate::support::*;

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    drop(open(dir.path()));
    let path = dir.path().join("journal.db");
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let error = refusal(dir.path());
    assert!(matches!(error, JournalError::NewerSchema { have: 99, known: SCHEMA_VERSION, .. }));
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().contains("99") && error.advice().unwrap().contains("99"));
    assert!(matches!(JournalReader::open(dir.path()), Err(JournalError::NewerSchema { .. })));
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("journal.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(refusal(dir.path()), JournalError::Foreign { .. }));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// As `kill -9` leaves it while a node begins its journal, before the write-ahead log.
#[tokio::test]
async fn a_journal_that_was_left_half_way_says_so_and_the_next_node_mends_it() {
    let dir = TempDir::new().unwrap();
    open(dir.path()).write(vec![miss(0, 2000)]).await;
    let last_slot = || JournalReader::open(dir.path()).map(|reader| reader.last_slot("eurusd").unwrap());
    let before = last_slot().unwrap();
    let (path, half) = (dir.path().join("journal.db"), dir.path().join("journal.db-journal"));
    let kept = {
        let killed = Connection::open(&path).unwrap();
        // Without waiting for the disk, so that what is to be taken back counts at once.
        let begun = "PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF; BEGIN; PRAGMA user_version = 99";
        killed.execute_batch(begun).unwrap();
        std::fs::read(&half).unwrap()
    };
    std::fs::write(&half, kept).unwrap();
    let error = last_slot().expect_err("only a writer can take back what was begun");
    assert!(matches!(error, JournalError::HalfWay { .. }), "{error:?}");
    assert_eq!(error.exit_code(), 78);
    assert!(error.advice().unwrap().contains("start the node once"));
    drop(open(dir.path()));
    assert!(before.is_some() && last_slot().unwrap() == before);
}

#[tokio::test]
async fn a_damaged_file_is_refused_with_advice() {
    let dir = TempDir::new().unwrap();
    open(dir.path()).write(vec![miss(0, 2000)]).await;
    let path = dir.path().join("journal.db");
    let whole = std::fs::read(&path).unwrap();
    let noise = vec![0xA5; whole.len()];
    let torn = whole[..whole.len() / 2].to_vec();
    let mut scratched = whole.clone();
    scratched[8192..16_384].fill(0x5A);
    for bytes in [noise, torn, scratched] {
        std::fs::write(&path, bytes).unwrap();
        let error = refusal(dir.path());
        assert!(matches!(error, JournalError::Damaged { .. }), "{error:?}");
        assert_eq!(error.exit_code(), 74);
        assert!(error.advice().unwrap().contains("check at the venue"));
    }
}

#[tokio::test]
async fn a_row_that_was_changed_by_hand_is_recognised() {
    let dir = TempDir::new().unwrap();
    open(dir.path()).write(vec![plan(1), end(ended(1, Reason::Hold)), end(ended(2, Reason::Hold))]).await;
    let reader = JournalReader::open(dir.path()).unwrap();
    assert_eq!((reader.verify().unwrap().rows, reader.verify().unwrap().damaged_rows), (4, 0));
    let by_hand = Connection::open(dir.path().join("journal.db")).unwrap();
    by_hand.execute("UPDATE slots SET reason = 'order_acked' WHERE slot_ms = ?1", [minute(2).0]).unwrap();
    let verified = reader.verify().unwrap();
    assert_eq!(verified.damaged_rows, 1);
    assert!(verified.damaged[0].contains(&minute(2).0.to_string()));
    assert!(show(dir.path(), &["why", "eurusd", &minute(2).to_string()]).unwrap().contains("DAMAGED ROW"));
    assert!(!proof(dir.path(), "eurusd", &minutely(), minute(1), minute(2)).unwrap().holds());
}

#[tokio::test]
async fn an_older_file_is_upgraded_after_a_backup() {
    let dir = TempDir::new().unwrap();
    // Rows as version 1 wrote them: those of today without their checksums.
    open(dir.path()).write(vec![plan(5), advance(5, IntentEvent::Send), end(full_record(5)), miss(5, 9)]).await;
    let path = dir.path().join("journal.db");
    let today = dir.path().join("today.db");
    std::fs::remove_file(dir.path().join("journal.mark")).unwrap();
    std::fs::rename(&path, &today).unwrap();
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../../src/journal/schema/0001_initial.sql")).unwrap();
    old.execute("ATTACH ?1 AS today", [today.to_string_lossy()]).unwrap();
    for table in ["meta", "slots", "intents", "intent_events"] {
        let names: String = old
            .query_row(&format!("SELECT group_concat(name) FROM pragma_table_info('{table}')"), [], |row| row.get(0))
            .unwrap();
        let which = if table == "meta" { "WHERE name = 'worked_slots'" } else { "" };
        old.execute_batch(&format!("INSERT INTO {table} SELECT {names} FROM today.{table} {which}")).unwrap();
    }
    old.execute_batch("PRAGMA application_id = 0x534E544C; PRAGMA user_version = 1").unwrap();
    drop(old);
    assert!(matches!(JournalReader::open(dir.path()), Err(JournalError::OlderSchema { have: 1, .. })));

    let node = open(dir.path());
    assert_eq!(node.recovered.migrated_from, Some(1));
    let backup = Connection::open(node.recovered.backup.as_ref().unwrap()).unwrap();
    assert_eq!(backup.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    assert_eq!(backup.query_row("SELECT count(*) FROM slots", [], |row| row.get::<_, i64>(0)).unwrap(), 5);
    let verified = JournalReader::open(dir.path()).unwrap().verify().unwrap();
    assert_eq!((verified.rows, verified.damaged_rows), (8, 0));
    assert_eq!(slots(dir.path())[0], full_record(5));
    assert_eq!(intents(dir.path())[0].state, IntentState::Sent);
    drop(node);
    assert_eq!(open(dir.path()).recovered.migrated_from, None);
}
