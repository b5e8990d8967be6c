//! Announced slots in the file: each id once, each slot with a time of its own, open until it has a row.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use sentinel::journal::{DueSlots, JournalReader, SqliteJournal, StateDir, StoreOptions, proof_of};
use sentinel_actors::domain::announced::{AnnouncedSlot, Announcement};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Announced, JournalAnswer, JournalRead, JournalStore as _, JournalWrite, NoFaults};
use tempfile::TempDir;

use crate::support::*;

/// A window that opens at minute `n` and is open for `length` minutes.
fn window(n: i64, length: i64) -> Announcement {
    Announcement::new(n.to_string(), minute(n), minute(n + length)).unwrap()
}

fn announce(windows: &[Announcement]) -> JournalWrite {
    JournalWrite::Announce { pipeline: "eurusd".into(), announced: windows.to_vec(), at: minute(0) }
}

fn slot(n: i64, length: i64) -> AnnouncedSlot {
    AnnouncedSlot { slot: minute(n), closes: minute(n + length), id: n.to_string(), announced_at: minute(0) }
}

async fn announced(node: &Node) -> Announced {
    match node.journal.read(JournalRead::Announced { pipeline: "eurusd".into() }).await.unwrap() {
        JournalAnswer::Announced(announced) => announced,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_announcement_of_an_id_stands_also_after_a_start() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![announce(&[window(1, 5), window(2, 5)]), announce(&[window(2, 5)])]).await;
    let longer = Announcement::new("1", minute(3), minute(90)).unwrap();
    node.write(vec![announce(std::slice::from_ref(&longer))]).await;
    let both = Announced { newest: Some(minute(2)), open: vec![slot(1, 5), slot(2, 5)] };
    assert_eq!(announced(&node).await, both);
    drop(node);
    let again = open(dir.path());
    again.write(vec![announce(&[longer])]).await;
    assert_eq!(announced(&again).await, both);
}

#[tokio::test]
async fn a_slot_is_open_until_it_has_a_row() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![announce(&[window(1, 5), window(2, 5)]), end(ended(1, Reason::ForecastAcked))]).await;
    let one = Announced { newest: Some(minute(2)), open: vec![slot(2, 5)] };
    assert_eq!(announced(&node).await, one);
    drop(node);
    assert_eq!(announced(&open(dir.path())).await, one);
}

#[tokio::test]
async fn slots_of_the_same_instant_get_times_of_their_own() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let same = |id: &str| Announcement::new(id, minute(1), minute(6)).unwrap();
    node.write(vec![end(ended(1, Reason::Hold)), announce(&[same("a"), same("b")])]).await;
    let times: Vec<i64> = announced(&node).await.open.iter().map(|slot| slot.slot.0 - minute(1).0).collect();
    assert_eq!(times, [1, 2], "a row of a grid has the first");
}

#[tokio::test]
async fn an_announced_slot_that_was_changed_or_removed_stops_the_journal() {
    for change in ["UPDATE announced_slots SET closes_ms = closes_ms + 1", "DELETE FROM announced_slots"] {
        let dir = TempDir::new().unwrap();
        let node = open(dir.path());
        node.write(vec![announce(&[window(1, 5)])]).await;
        Connection::open(dir.path().join("journal.db")).unwrap().execute(change, []).unwrap();
        let read = node.journal.read(JournalRead::Announced { pipeline: "eurusd".into() }).await;
        assert!(read.unwrap_err().0.contains("announced_slots eurusd"), "{change}");
    }
}

#[tokio::test]
async fn a_start_on_a_changed_announcement_is_refused() {
    let dir = TempDir::new().unwrap();
    open(dir.path()).write(vec![announce(&[window(1, 5)])]).await;
    let change = "UPDATE announced_slots SET closes_ms = closes_ms + 1";
    Connection::open(dir.path().join("journal.db")).unwrap().execute(change, []).unwrap();
    assert!(refusal(dir.path()).to_string().contains("announced_slots eurusd"));
}

#[tokio::test]
async fn the_proof_counts_announced_slots_and_finds_those_without_a_row() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let windows: Vec<Announcement> = [1, 2, 3, 10, 20].map(|n| window(n, 5)).to_vec();
    let ends = [1, 3, 10].map(|n| end(ended(n, Reason::ForecastAcked)));
    node.write([vec![announce(&windows)], ends.to_vec()].concat()).await;
    let reader = JournalReader::open(dir.path()).unwrap();
    let proof = |until| proof_of(&reader, "eurusd", DueSlots::Announced, minute(1), until).unwrap();
    let found = proof(minute(30));
    assert_eq!((found.holds(), found.due, found.rows, found.holes), (false, 4, 3, 1));
    assert_eq!((found.first_holes, found.announced_open), (vec![minute(2)], 1));

    node.write(vec![end(ended(2, Reason::Overrun))]).await;
    let found = proof(minute(30));
    assert_eq!((found.holds(), found.due, found.announced_open), (true, 4, 1), "the last one may be open");

    // A withdrawn slot has its row early; those before it are not late because of it.
    node.write(vec![announce(&[window(28, 5)]), end(ended(28, Reason::Withdrawn))]).await;
    let found = proof(minute(30));
    assert_eq!((found.holds(), found.due, found.announced_open), (true, 5, 1));
}

#[tokio::test]
async fn a_slot_that_was_announced_just_before_the_end_of_a_process_is_no_hole() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let late = JournalWrite::Announce { pipeline: "eurusd".into(), announced: vec![window(1, 2)], at: minute(20) };
    node.write(vec![late, announce(&[window(20, 5)]), end(ended(20, Reason::ForecastAcked))]).await;
    let reader = JournalReader::open(dir.path()).unwrap();
    let proof = || proof_of(&reader, "eurusd", DueSlots::Announced, minute(1), minute(30)).unwrap();
    assert_eq!((proof().holds(), proof().announced_open), (true, 1), "the next start ends it");
    node.write(vec![announce(&[window(22, 1)]), end(ended(22, Reason::ForecastAcked))]).await;
    assert_eq!((proof().holds(), proof().first_holes), (false, vec![minute(1)]), "nobody has ended it");
}

#[tokio::test]
async fn beside_a_grid_announced_slots_are_due_and_other_rows_are_strays() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let between = |n: i64| UtcMs(minute(n).0 + 30_000);
    let off_grid = Announcement::new("a", between(2), minute(9)).unwrap();
    let row = |slot, reason| {
        let mut record = ended(1, reason);
        record.slot = slot;
        end(record)
    };
    let rows = [row(minute(1), Reason::Hold), row(minute(2), Reason::Hold), row(between(2), Reason::ForecastAcked)];
    node.write([vec![announce(&[off_grid])], rows.to_vec()].concat()).await;
    let reader = JournalReader::open(dir.path()).unwrap();
    let proof = || {
        proof_of(&reader, "eurusd", DueSlots::Grid(&minutely()), minute(1), minute(2).plus(Duration::from_secs(45)))
            .unwrap()
    };
    assert_eq!((proof().holds(), proof().due, proof().strays), (true, 3, 0));
    node.write(vec![row(between(1), Reason::Hold)]).await;
    assert_eq!((proof().holds(), proof().due, proof().strays), (false, 3, 1));
}

#[tokio::test]
async fn retention_keeps_an_open_slot_and_makes_none_of_the_removed_due_again() {
    let dir = TempDir::new().unwrap();
    let day = StoreOptions { retention: Some(Duration::from_secs(86_400)), ..StoreOptions::default() };
    let state = StateDir::open(dir.path()).unwrap();
    let (journal, recovered) = SqliteJournal::open_with(&state, Arc::new(NoFaults), day).unwrap();
    let node = Node { journal, recovered };
    let two_days = |n: i64| n + 2 * 24 * 60;
    let windows = [1, 2, 3].map(|n| window(n, 5));
    node.write([vec![announce(&windows)], [1, 3].map(|n| end(ended(n, Reason::ForecastAcked))).to_vec()].concat())
        .await;
    node.write(vec![end(ended(two_days(0), Reason::Hold))]).await;
    let removed = || JournalReader::open(dir.path()).unwrap().removed("eurusd").unwrap().map(|removed| removed.until);
    assert_eq!(removed(), Some(minute(1)), "nothing from the oldest slot without a row on is removed");
    assert_eq!(announced(&node).await.open, [slot(2, 5)]);

    node.write(vec![end(ended(2, Reason::Late)), end(ended(two_days(1), Reason::Hold))]).await;
    assert_eq!(removed(), Some(minute(3)));
    node.write(vec![announce(&windows)]).await;
    assert_eq!(announced(&node).await.open, [], "what was removed has had its row");
    assert_eq!(JournalReader::open(dir.path()).unwrap().announced("eurusd", minute(1)).unwrap(), None);
}

#[tokio::test]
async fn why_names_the_announcement() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![announce(&[window(1, 5)]), end(ended(1, Reason::Withdrawn))]).await;
    let text = show(dir.path(), &["why", "eurusd", &minute(1).to_string()]).unwrap();
    assert!(
        text.contains("It was announced as 1 at 2017-06-01T12:00:00Z, and open until 2017-06-01T12:06:00Z."),
        "{text}"
    );
}

#[tokio::test]
async fn a_slot_that_was_withdrawn_before_it_was_due_is_not_where_a_start_continues() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let ends = [end(ended(1, Reason::Hold)), end(ended(90, Reason::Withdrawn))];
    node.write([vec![announce(&[window(90, 5)])], ends.to_vec()].concat()).await;
    assert_eq!(node.recovery().await.last_slot, Some(minute(1)));
    drop(node);
    assert_eq!(open(dir.path()).recovery().await.last_slot, Some(minute(1)));
}
