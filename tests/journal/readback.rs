//! Nothing that is read back is trusted: a changed row ends the node, at the start with 78, while it runs with 74.

use std::path::Path;

use rusqlite::Connection;
use sentinel::exit::ExitError as _;
use sentinel::journal::JournalError;
use sentinel_actors::domain::intent::{Basis, IntentEvent, Mode};
use sentinel_actors::domain::order::Role;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::ports::{JournalRead, JournalStore as _, JournalWrite};
use tempfile::TempDir;

use crate::support::*;

fn held() -> IntentEvent {
    IntentEvent::Hold { evidence: "the gateway cannot say".into() }
}

/// One confirmed order, one held, one planned, and two rows.
fn history() -> Vec<JournalWrite> {
    vec![
        plan(1),
        advance(1, IntentEvent::Send),
        advance(1, acked()),
        end(full_record(1)),
        plan(2),
        advance(2, IntentEvent::Send),
        advance(2, lost()),
        advance(2, held()),
        end(ended(2, Reason::OrderUnknown)),
        plan(3),
    ]
}

async fn journal_of_history() -> TempDir {
    let dir = TempDir::new().unwrap();
    open(dir.path()).write(history()).await;
    dir
}

/// Changes one byte of the file: `byte` is the offset in `before`, which must be there exactly once.
fn change_byte(dir: &Path, before: &[u8], byte: usize, to: u8) {
    let path = dir.join("journal.db");
    let mut file = std::fs::read(&path).unwrap();
    let at: Vec<usize> = (0..file.len() - before.len()).filter(|at| file[*at..].starts_with(before)).collect();
    assert_eq!(at.len(), 1, "{}", String::from_utf8_lossy(before));
    file[at[0] + byte] = to;
    std::fs::write(path, file).unwrap();
}

fn sql(dir: &Path, sql: &str) {
    let other = Connection::open(dir.join("journal.db")).unwrap();
    other.pragma_update(None, "foreign_keys", false).unwrap();
    other.execute_batch(sql).unwrap();
}

fn key(n: i64) -> String {
    intent(n, Role::Open).key.to_string()
}

/// The start is refused with 78, and the refusal names the row and the way out.
#[track_caller]
fn refused(dir: &Path, row: &str) {
    let error = refusal(dir);
    assert!(matches!(error, JournalError::DamagedRow { .. }), "{error:?}");
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().contains(row), "{error} does not name {row}");
    assert!(
        error.advice().unwrap().contains("check at the venue") && error.advice().unwrap().contains("backup"),
        "{}",
        error.advice().unwrap()
    );
}

#[tokio::test]
async fn a_filled_volume_of_0_10_that_became_0_90_is_not_traded_on() {
    let dir = journal_of_history().await;
    // The columns ticket, filled_lots and fill_price follow one another.
    change_byte(dir.path(), format!("{}0.101.12350", u64::MAX).as_bytes(), 22, b'9');
    let check = Connection::open(dir.path().join("journal.db")).unwrap();
    assert_eq!(check.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap(), "ok");
    drop(check);
    refused(dir.path(), &key(1));
}

#[tokio::test]
async fn a_changed_account_of_a_held_order_does_not_free_its_symbol() {
    let dir = journal_of_history().await;
    let row = format!("{}dry_rundemoeurusd", key(2));
    change_byte(dir.path(), row.as_bytes(), row.len() - 7, b'0');
    let error = refusal(dir.path());
    assert!(error.to_string().contains("intents"), "{error}");
}

#[tokio::test]
async fn a_changed_event_and_a_changed_slot_are_found_before_the_start() {
    let dir = journal_of_history().await;
    change_byte(dir.path(), b"the gateway cannot say", 4, b'G');
    refused(dir.path(), &format!("intent_events {} 3", key(2)));
    let dir = journal_of_history().await;
    change_byte(dir.path(), b"all fields, with 'quotes'", 0, b'A');
    refused(dir.path(), &format!("slots eurusd {}", minute(1).0));
}

#[tokio::test]
async fn an_intent_that_does_not_stand_where_its_events_lead_is_refused() {
    // Each row is intact in itself: it is the row of an earlier moment.
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(1), advance(1, IntentEvent::Send), advance(1, lost())]).await;
    sql(dir.path(), "CREATE TABLE kept AS SELECT * FROM intents");
    node.write(vec![advance(1, held())]).await;
    drop(node);
    sql(dir.path(), "DELETE FROM intents; INSERT INTO intents SELECT * FROM kept; DROP TABLE kept");
    refused(dir.path(), &key(1));
}

#[tokio::test]
async fn an_intent_and_its_events_cannot_be_missing_alone() {
    for (missing, named) in [
        ("DELETE FROM intents WHERE state = 'held'", format!("intent_events {} 0", key(2))),
        (
            "DELETE FROM intent_events WHERE number = 2 AND event LIKE '%lost_track%'",
            format!("intent_events {} 3", key(2)),
        ),
        ("DELETE FROM intent_events", "it has no events".to_owned()),
    ] {
        let dir = journal_of_history().await;
        sql(dir.path(), missing);
        let error = refusal(dir.path());
        assert!(matches!(error, JournalError::DamagedRow { .. }) && error.exit_code() == 78, "{missing}: {error:?}");
        assert!(error.to_string().contains(&named), "{missing}: {error}");
    }
}

/// Questions and writes that meet the row that `change` touches under a running node.
async fn fatal_at_runtime(change: &str, question: JournalRead, names: &str) {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(history()).await;
    node.journal.read(question.clone()).await.unwrap();
    sql(dir.path(), change);
    let fatal = node.journal.read(question).await.expect_err(change).to_string();
    assert!(fatal.contains(names) && fatal.contains("check at the venue"), "{change}: {fatal}");
    node.journal.commit(vec![plan(9)]).await.expect_err("nothing is written any more");
}

#[tokio::test]
async fn a_row_that_is_changed_under_a_running_node_ends_it_at_the_next_look() {
    let (account, symbol, mode) = ("demo".to_owned(), "EURUSD".to_owned(), Mode::DryRun);
    let acked = || JournalRead::AckedIntents { account: account.clone(), symbol: symbol.clone(), mode };
    let open = || JournalRead::OpenIntents { pipeline: "eurusd".into() };
    let recovery = || JournalRead::Recovery { pipeline: "eurusd".into() };
    let exposure = || JournalRead::Exposure { account: account.clone(), symbol: symbol.clone(), mode, now: minute(5) };
    let existing =
        || JournalRead::ExistingIntents { pipeline: "eurusd".into(), basis: Basis::Bar(minute(2)), slot: minute(3) };
    for (change, question, names) in [
        ("UPDATE intents SET filled_lots = '0.90' WHERE state = 'acked'", acked(), key(1)),
        ("UPDATE intents SET symbol = 'USDJPY' WHERE state = 'acked'", acked(), "EURUSD".into()),
        ("DELETE FROM intents WHERE state = 'acked'", acked(), "EURUSD".into()),
        ("UPDATE intents SET account = 'other' WHERE state = 'held'", exposure(), key(2)),
        ("UPDATE intents SET symbol = 'USDJPY' WHERE state = 'held'", exposure(), key(2)),
        ("UPDATE intents SET state = 'absent' WHERE state = 'held'", exposure(), key(2)),
        ("UPDATE intents SET slot_ms = 7 WHERE state = 'acked'", exposure(), key(1)),
        ("UPDATE intents SET state = 'absent' WHERE state = 'held'", open(), key(2)),
        ("UPDATE intents SET pipeline = 'other' WHERE state = 'held'", open(), key(2)),
        ("UPDATE intents SET basis_ms = 7 WHERE state = 'planned'", existing(), key(3)),
        ("UPDATE slots SET reason = 'hold' WHERE reason = 'order_unknown'", recovery(), minute(2).0.to_string()),
        ("DELETE FROM slots WHERE reason = 'order_unknown'", recovery(), minute(2).0.to_string()),
        ("UPDATE slots SET decided_bar_ms = NULL", recovery(), "slots eurusd".into()),
    ] {
        fatal_at_runtime(change, question, &names).await;
    }
}

#[tokio::test]
async fn a_write_that_meets_a_changed_row_is_fatal_too() {
    for (change, write, names) in [
        ("UPDATE intents SET volume_lots = '0.90' WHERE state = 'planned'", advance(3, IntentEvent::Send), key(3)),
        ("UPDATE intent_events SET at_ms = 7 WHERE number = 3", advance(2, held()), key(2)),
        ("DELETE FROM intents WHERE state = 'planned'", advance(3, IntentEvent::Send), key(3)),
        ("DELETE FROM intents WHERE state = 'planned'; DELETE FROM intent_events", plan(3), key(3)),
        ("UPDATE intents SET volume_lots = '0.90' WHERE state = 'planned'", plan(3), key(3)),
        ("UPDATE intents SET pipeline = 'other' WHERE state = 'planned'", end(ended(3, Reason::Hold)), key(3)),
    ] {
        let dir = TempDir::new().unwrap();
        let node = open(dir.path());
        node.write(history()).await;
        sql(dir.path(), change);
        let fatal = node.journal.commit(vec![write]).await.expect_err(change).to_string();
        assert!(fatal.contains(&names), "{change}: {fatal}");
    }
}
