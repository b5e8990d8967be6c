//! A journal that is less than its state directory remembers is no journal to act on.

use std::path::Path;
use std::sync::Arc;

use sentinel::exit::ExitError as _;
use sentinel::journal::{
    JournalError, JournalReader, Loss, Recovered, SqliteJournal, StateDir, StateError, StoreOptions, require_remembered,
};
use sentinel_actors::domain::intent::IntentEvent;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::ports::{JournalRead, JournalStore as _, NoFaults};
use tempfile::TempDir;

use crate::support::*;

/// Three commits; the last of them let an order leave.
async fn journal_of_an_order() -> TempDir {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![end(ended(1, Reason::Hold))]).await;
    node.write(vec![plan(2)]).await;
    node.write(vec![advance(2, IntentEvent::Send)]).await;
    dir
}

fn journal(dir: &Path) -> std::path::PathBuf {
    dir.join("journal.db")
}

fn accept(dir: &Path) -> Result<(SqliteJournal, Recovered), JournalError> {
    let state = StateDir::open(dir).unwrap();
    let options = StoreOptions { accept_lost: Some(minute(7)), ..StoreOptions::default() };
    SqliteJournal::open_with(&state, Arc::new(NoFaults), options)
}

/// Refused with 78 and both ways out, for a node and for a command, and left as it is.
#[track_caller]
fn lost(dir: &Path) -> Loss {
    let before = std::fs::read(journal(dir)).ok();
    let error = refusal(dir);
    assert_eq!(error.exit_code(), 78);
    assert!(
        error.advice().unwrap().contains("backup")
            && error.advice().unwrap().contains("sentinel run --accept-lost-journal")
    );
    assert_eq!(require_remembered(dir).unwrap_err().to_string(), error.to_string());
    assert_eq!(std::fs::read(journal(dir)).ok(), before);
    match error {
        JournalError::Lost { loss, .. } => loss,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_emptied_a_missing_and_another_journal_are_not_taken_for_a_new_one() {
    // Naming it is the first commit.
    let commits = 4;
    let dir = journal_of_an_order().await;
    require_remembered(dir.path()).unwrap();
    std::fs::write(journal(dir.path()), "").unwrap();
    assert_eq!(lost(dir.path()), Loss::Gone { commits });
    std::fs::remove_file(journal(dir.path())).unwrap();
    assert_eq!(lost(dir.path()), Loss::Gone { commits });

    let other = journal_of_an_order().await;
    std::fs::copy(journal(other.path()), journal(dir.path())).unwrap();
    assert_eq!(lost(dir.path()), Loss::Another { commits });
}

#[tokio::test]
async fn a_journal_that_ends_before_the_last_order_is_refused() {
    // A backup from before the order.
    let dir = TempDir::new().unwrap();
    let backup = dir.path().join("backup");
    open(dir.path()).write(vec![end(ended(1, Reason::Hold))]).await;
    std::fs::copy(journal(dir.path()), &backup).unwrap();
    open(dir.path()).write(vec![plan(2), advance(2, IntentEvent::Send)]).await;
    std::fs::copy(&backup, journal(dir.path())).unwrap();
    assert_eq!(lost(dir.path()), Loss::Younger { have: 2, commits: 3 });
    // The directory of an older version has no id: another one.
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/state-v2/journal.db");
    std::fs::copy(old, journal(dir.path())).unwrap();
    let error = refusal(dir.path());
    assert!(matches!(error, JournalError::Lost { loss: Loss::Another { commits: 3 }, .. }), "{error:?}");
    assert!(!dir.path().join("journal.db.backup-v2").exists(), "nothing was begun");
}

#[tokio::test]
async fn a_journal_whose_wal_alone_is_lost_is_refused() {
    // What a killed node leaves: everything since the last checkpoint is in the write-ahead log.
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(2)]).await;
    node.write(vec![advance(2, IntentEvent::Send)]).await;
    let killed = |files: &[&str]| {
        let copy = TempDir::new().unwrap();
        for file in files {
            std::fs::copy(dir.path().join(file), copy.path().join(file)).unwrap();
        }
        copy
    };
    let whole = killed(&["journal.db", "journal.db-wal", "journal.mark"]);
    assert_eq!(open(whole.path()).recovered.open_intents, 1);
    let without = killed(&["journal.db", "journal.mark"]);
    assert!(matches!(lost(without.path()), Loss::Gone { commits: 3 } | Loss::Younger { commits: 3, .. }));
}

#[tokio::test]
async fn an_accepted_loss_is_noted_and_begins_a_journal_of_its_own_once() {
    let dir = journal_of_an_order().await;
    let kept = dir.path().join("kept");
    std::fs::rename(journal(dir.path()), &kept).unwrap();
    let (node, recovered) = accept(dir.path()).unwrap();
    assert_eq!(recovered.accepted_loss, Some(Loss::Gone { commits: 4 }));
    drop(node);
    let noted = JournalReader::open(dir.path()).unwrap().accepted_losses().unwrap();
    assert_eq!(noted, Some((1, minute(7))));
    // From here on it is the directory's own, and the old one is another one.
    assert_eq!(open(dir.path()).recovered.accepted_loss, None);
    let Err(again) = accept(dir.path()) else { panic!("the flag must not stay") };
    assert!(matches!(again, JournalError::NothingLost { .. }) && again.exit_code() == 78, "{again:?}");
    std::fs::copy(&kept, journal(dir.path())).unwrap();
    assert!(matches!(lost(dir.path()), Loss::Another { .. }));
    // The old one may be accepted just as well, with all that it has.
    let (node, recovered) = accept(dir.path()).unwrap();
    assert_eq!((recovered.open_intents, recovered.mark_was_missing), (1, false));
    drop(node);
    assert_eq!(open(dir.path()).recovered.open_intents, 1);
}

#[tokio::test]
async fn an_unreadable_journal_mark_refuses_the_start_and_a_missing_one_warns() {
    let dir = journal_of_an_order().await;
    let mark = dir.path().join("journal.mark");
    std::fs::write(&mark, "").unwrap();
    assert_eq!(lost(dir.path()), Loss::Unreadable { mark: mark.clone() });
    std::fs::remove_file(&mark).unwrap();
    assert!(open(dir.path()).recovered.mark_was_missing);
    assert!(!open(dir.path()).recovered.mark_was_missing);
}

#[test]
fn the_directory_of_an_earlier_version_is_taken_in_silently() {
    let dir = TempDir::new().unwrap();
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/state-v2/journal.db");
    std::fs::copy(old, journal(dir.path())).unwrap();
    let recovered = open(dir.path()).recovered;
    assert_eq!((recovered.accepted_loss, recovered.mark_was_missing), (None, false));
    require_remembered(dir.path()).unwrap();
    std::fs::write(journal(dir.path()), "").unwrap();
    assert!(matches!(lost(dir.path()), Loss::Gone { .. }));
}

#[tokio::test]
async fn a_file_that_is_taken_away_under_the_writer_ends_it_before_it_answers() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 7] = [
        ("unlinked", |dir| std::fs::remove_file(journal(dir)).unwrap()),
        ("truncated", |dir| std::fs::write(journal(dir), "").unwrap()),
        ("replaced", |dir| {
            std::fs::copy(journal(dir), dir.join("copy")).unwrap();
            std::fs::rename(dir.join("copy"), journal(dir)).unwrap();
        }),
        ("its wal unlinked", |dir| std::fs::remove_file(dir.join("journal.db-wal")).unwrap()),
        ("its wal truncated", |dir| std::fs::write(dir.join("journal.db-wal"), "").unwrap()),
        ("its shm unlinked", |dir| std::fs::remove_file(dir.join("journal.db-shm")).unwrap()),
        ("its mark unlinked", |dir| std::fs::remove_file(dir.join("journal.mark")).unwrap()),
    ];
    for (what, change) in changes {
        let dir = TempDir::new().unwrap();
        let node = open(dir.path());
        node.write(vec![plan(2)]).await;
        change(dir.path());
        let fatal = node.journal.commit(vec![advance(2, IntentEvent::Send)]).await.expect_err(what).to_string();
        assert!(fatal.contains("removed, replaced or cut off"), "{what}: {fatal}");
        node.journal.read(JournalRead::Recovery { pipeline: "eurusd".into() }).await.expect_err(what);
    }
}

#[tokio::test]
async fn every_commit_is_remembered_and_never_before_it_was_made() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let remembered = || {
        let mark = std::fs::read_to_string(dir.path().join("journal.mark")).unwrap();
        let commits = |record: &str| record.split_whitespace().nth(3).unwrap().parse::<i64>().unwrap();
        mark.split('\n').map(|record| record.trim_matches('\0')).filter(|record| !record.is_empty()).map(commits).max()
    };
    let had = remembered().unwrap();
    for more in 1..=5 {
        node.write(vec![end(ended(more, Reason::Hold))]).await;
        assert_eq!(remembered(), Some(had + more));
    }
    drop(node);
    assert_eq!(open(dir.path()).recovered.accepted_loss, None);
}

#[test]
fn a_removed_lock_file_does_not_let_a_second_node_in() {
    let dir = TempDir::new().unwrap();
    let first = StateDir::open(dir.path()).unwrap();
    std::fs::remove_file(dir.path().join("lock")).unwrap();
    assert!(matches!(StateDir::open(dir.path()), Err(StateError::Locked { .. })));
    drop(first);
    StateDir::open(dir.path()).unwrap();
}
