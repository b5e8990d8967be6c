//! Full disks, dying threads and power cuts.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use sentinel::journal::{JournalError, JournalReader, SqliteJournal, StateDir, StoreOptions};
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::intent::{Intent, IntentEvent};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::ports::{
    FaultInjector, FaultPoint, InjectedFault, JournalRead, JournalStore as _, JournalWrite, NoFaults,
};
use tempfile::TempDir;

use crate::support::*;

#[tokio::test]
async fn a_full_disk_is_fatal_and_what_was_durable_stays() {
    let dir = TempDir::new().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let options = StoreOptions { max_pages: Some(40), ..StoreOptions::default() };
    let (journal, _) = SqliteJournal::open_with(&state, Arc::new(NoFaults), options).unwrap();
    journal.commit(vec![end(ended(1, Reason::Hold))]).await.unwrap();
    let fatal = journal.commit(vec![end(ended(2, Reason::Hold)), miss(2, 5000)]).await.unwrap_err();
    assert!(fatal.to_string().contains("full"), "{fatal}");
    // A small write would fit again; after a failure nothing is trusted any more.
    assert_eq!(journal.commit(vec![end(ended(2, Reason::Hold))]).await.unwrap_err(), fatal);
    let question = JournalRead::OpenIntents { pipeline: "eurusd".into() };
    assert_eq!(journal.read(question).await.unwrap_err(), fatal);
    drop((journal, state));
    drop(open(dir.path()));
    assert_eq!(slots(dir.path()), [ended(1, Reason::Hold)]);
}

const LIMITED_DIR: &str = "SENTINEL_TEST_LIMITED_DIR";

#[tokio::test]
#[ignore = "the other process of the next test"]
async fn write_until_the_disk_refuses() {
    let Some(dir) = std::env::var_os(LIMITED_DIR) else { return };
    let node = open(Path::new(&dir));
    let mut kept = 0;
    let fatal = loop {
        match node.journal.commit(vec![end(full_record(kept + 1))]).await {
            Ok(_) => kept += 1,
            Err(fatal) => break fatal,
        }
    };
    assert!(fatal.to_string().contains("I/O"), "{fatal}");
    assert_eq!(node.journal.commit(vec![]).await.unwrap_err(), fatal);
    println!("\nkept {kept}");
}

#[test]
fn a_write_that_the_disk_refuses_is_fatal_and_what_was_durable_stays() {
    let dir = TempDir::new().unwrap();
    // The kernel refuses to grow any file of that process beyond the limit: a disk that fails in the middle of a write.
    let limited = r#"trap "" XFSZ; ulimit -f 300; exec "$0" "$@""#;
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "failures::write_until_the_disk_refuses"])
        .env(LIMITED_DIR, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let kept = said.lines().find_map(|line| line.strip_prefix("kept ")).unwrap();
    drop(open(dir.path()));
    assert_eq!(slots(dir.path()).len().to_string(), kept);
}

/// The fault at the n-th pass of a point.
struct OnPass(FaultPoint, usize, AtomicUsize);

impl FaultInjector for OnPass {
    fn at(&self, point: FaultPoint, who: &str) -> InjectedFault {
        assert_eq!(who, "journal");
        let hit = point == self.0 && self.2.fetch_add(1, Ordering::Relaxed) == self.1;
        if hit { InjectedFault::Panic } else { InjectedFault::None }
    }
}

#[tokio::test]
async fn a_panic_of_the_writer_answers_every_caller_and_keeps_whole_batches() {
    for (point, kept) in [(FaultPoint::BeforeCommit, 1), (FaultPoint::AfterCommit, 2)] {
        let dir = TempDir::new().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let faults = Arc::new(OnPass(point, 1, AtomicUsize::new(0)));
        let (journal, _) = SqliteJournal::open(&state, faults).unwrap();
        journal.commit(vec![end(ended(1, Reason::Hold))]).await.unwrap();
        journal.commit(vec![end(ended(2, Reason::Hold))]).await.unwrap_err();
        journal.commit(vec![end(ended(3, Reason::Hold))]).await.unwrap_err();
        journal.read(JournalRead::Recovery { pipeline: "eurusd".into() }).await.unwrap_err();
        drop((journal, state));
        drop(open(dir.path()));
        assert_eq!(slots(dir.path()).len(), kept, "{point:?}");
    }
}

fn any_write() -> impl Strategy<Value = JournalWrite> {
    let reasons = prop::sample::select(vec![Reason::Hold, Reason::OrderAcked, Reason::StageCrashed, Reason::Late]);
    let events = prop::sample::select(vec![IntentEvent::Send, IntentEvent::Abandon, acked(), lost()]);
    prop_oneof![
        (1..20_i64, reasons).prop_map(|(n, reason)| end(ended(n, reason))),
        (1..6_i64).prop_map(plan),
        (1..6_i64, events).prop_map(|(n, event)| advance(n, event)),
        (0..20_i64, 0..20_i64).prop_map(|(after, until)| miss(after, until)),
    ]
}

fn image(dir: &Path) -> (Vec<SlotRecord>, Vec<Intent>) {
    (slots(dir), intents(dir))
}

/// What a power cut leaves: the files as they are, the write-ahead log torn at any byte.
fn cut(from: &Path, keep_of_wal: f64) -> TempDir {
    let to = TempDir::new().unwrap();
    std::fs::copy(from.join("journal.db"), to.path().join("journal.db")).unwrap();
    let wal = std::fs::read(from.join("journal.db-wal")).unwrap();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let kept = (wal.len() as f64 * keep_of_wal) as usize;
    std::fs::write(to.path().join("journal.db-wal"), &wal[..kept]).unwrap();
    std::fs::copy(from.join("journal.mark"), to.path().join("journal.mark")).unwrap();
    to
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_at_any_byte_leaves_exactly_the_first_batches(
        batches in prop::collection::vec(prop::collection::vec(any_write(), 1..8), 1..6),
        torn_at in 0.0..1.0_f64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = TempDir::new().unwrap();
        let node = open(dir.path());
        let mut images = vec![image(dir.path())];
        for batch in batches {
            let count = batch.len();
            prop_assert_eq!(runtime.block_on(node.write(batch)).len(), count);
            images.push(image(dir.path()));
        }
        let (killed, torn) = (cut(dir.path(), 1.0), cut(dir.path(), torn_at));
        prop_assert_eq!(Some(&image(killed.path())), images.last(), "read before any recovery");
        // A disk that lost what it had confirmed: refused, and with the mark lost as well it is what it is.
        let state = StateDir::open(torn.path()).unwrap();
        match SqliteJournal::open(&state, Arc::new(NoFaults)).err() {
            None => prop_assert_eq!(Some(&image(torn.path())), images.last()),
            Some(error) => {
                prop_assert!(matches!(&error, JournalError::Lost { .. }), "{:?}", error);
                std::fs::remove_file(torn.path().join("journal.mark")).unwrap();
            }
        }
        drop(state);
        for copy in [&killed, &torn] {
            drop(open(copy.path()));
            prop_assert_eq!(JournalReader::open(copy.path()).unwrap().verify().unwrap().damaged_rows, 0);
        }
        prop_assert_eq!(Some(&image(killed.path())), images.last());
        prop_assert!(images.contains(&image(torn.path())));
        drop(node);
        prop_assert_eq!(Some(&image(dir.path())), images.last());
    }
}
