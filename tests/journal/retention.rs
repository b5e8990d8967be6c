//! Old slots leave; what is counted, open or owed does not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use sentinel::journal::{JournalReader, SqliteJournal, StateDir, StoreOptions, proof};
use sentinel_actors::domain::intent::{IntentEvent, IntentState};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::ports::NoFaults;
use tempfile::TempDir;

use crate::support::*;

const DAY: Duration = Duration::from_secs(86_400);

/// A node that keeps one day of minutes.
fn keeping_a_day(dir: &Path) -> Node {
    let options = StoreOptions { retention: Some(DAY), ..StoreOptions::default() };
    let (journal, recovered) =
        SqliteJournal::open_with(&StateDir::open(dir).unwrap(), Arc::new(NoFaults), options).unwrap();
    Node { journal, recovered }
}

fn first_kept(dir: &Path) -> i64 {
    (slots(dir)[0].slot.0 - minute(0).0) / 60_000
}

#[tokio::test]
async fn retention_removes_200_slots_at_a_time_and_the_proof_knows_it() {
    let dir = TempDir::new().unwrap();
    open(dir.path()).write(vec![miss(0, 3000)]).await;
    let node = keeping_a_day(dir.path());
    assert_eq!(slots(dir.path()).len(), 3000, "opening removes nothing");
    for n in 3001..=3010 {
        node.write(vec![end(ended(n, Reason::Hold))]).await;
        // The newest slot is minute n, and a day has 1440.
        assert_eq!(first_kept(dir.path()), ((n - 3000) * 200 + 1).min(n - 1440), "after minute {n}");
        let proof = proof(dir.path(), "eurusd", &minutely(), minute(1), minute(n)).unwrap();
        assert!(proof.holds(), "{proof:?}");
        assert_eq!(proof.removed_until, Some(minute(first_kept(dir.path()) - 1)));
        assert_eq!(proof.due, u64::try_from(n - first_kept(dir.path()) + 1).unwrap());
    }
    let reader = JournalReader::open(dir.path()).unwrap();
    assert_eq!(reader.removed("eurusd").unwrap().unwrap().slots, 1569);
    assert_eq!(reader.verify().unwrap().damaged_rows, 0);
    let gone = show(dir.path(), &["why", "eurusd", &minute(7).to_string()]).unwrap_err();
    assert!(gone.contains("retention has removed the rows up to 2017-06-02T14:09:00Z"), "{gone}");

    // A row that is missing without retention's word is still a hole.
    drop(node);
    let by_hand = Connection::open(dir.path().join("journal.db")).unwrap();
    by_hand.execute("DELETE FROM slots WHERE slot_ms = ?1", [minute(2000).0]).unwrap();
    let broken = proof(dir.path(), "eurusd", &minutely(), minute(1), minute(3010)).unwrap();
    assert_eq!((broken.holds(), broken.first_holes), (false, vec![minute(2000)]));
}

#[tokio::test]
async fn retention_keeps_intents_newest_rows_and_all_that_a_start_needs() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(5), advance(5, IntentEvent::Send), advance(5, acked()), end(full_record(5)), miss(5, 100)])
        .await;
    drop(node);
    let node = keeping_a_day(dir.path());
    let before = node.recovery().await;
    assert_eq!(before.last_decided_bar, Some(minute(4)));
    node.write(vec![miss(100, 4000)]).await;
    let (mut kept, mut last) = (usize::MAX, slots(dir.path()).len());
    while last < kept {
        kept = last;
        // What ends no new slot removes some all the same.
        node.write(vec![miss(4000, 4000)]).await;
        last = slots(dir.path()).len();
    }
    assert_eq!((kept, first_kept(dir.path())), (1441, 2560));
    assert_eq!(intents(dir.path()).iter().map(|intent| intent.state).collect::<Vec<_>>(), [IntentState::Acked]);
    let recovery = node.recovery().await;
    assert_eq!((recovery.last_slot, recovery.last_decided_bar), (Some(minute(4000)), Some(minute(4))));
    assert_eq!(recovery.newest_intent_basis, before.newest_intent_basis);
    drop(node);
    assert_eq!(keeping_a_day(dir.path()).recovery().await, recovery, "after a restart too");

    // Far beyond: the newest row stays.
    let node = keeping_a_day(dir.path());
    for _ in 0..10 {
        node.write(vec![miss(9000, 9000)]).await;
    }
    assert_eq!((slots(dir.path()).len(), first_kept(dir.path())), (1, 4000));
}

#[tokio::test]
async fn retention_stops_at_the_slot_of_the_oldest_open_order() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![miss(0, 49), plan(50), advance(50, IntentEvent::Send), advance(50, lost())]).await;
    node.write(vec![advance(50, IntentEvent::Hold { evidence: "no answer".into() }), miss(49, 2000)]).await;
    drop(node);
    let node = keeping_a_day(dir.path());
    for _ in 0..5 {
        node.write(vec![miss(2000, 2000)]).await;
    }
    assert_eq!(first_kept(dir.path()), 50);
    assert!(show(dir.path(), &["why", "eurusd", &minute(50).to_string()]).unwrap().contains("held for the operator"));
    let proof = proof(dir.path(), "eurusd", &minutely(), minute(1), minute(2000)).unwrap();
    assert_eq!((proof.holds(), proof.open, proof.due), (true, 1, 1951));

    let absent = IntentEvent::SettledAbsent { evidence: "looked".into() };
    node.write(vec![advance(50, absent), miss(2000, 2000)]).await;
    assert_eq!(first_kept(dir.path()), 250);
}
