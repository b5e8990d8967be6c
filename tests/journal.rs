//! The journal on real files: what it keeps, what it refuses, and what is left after a crash.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Parser;
use proptest::prelude::*;
use rusqlite::Connection;
use sentinel::cli;
use sentinel::journal::boot::{self, BootRecord};
use sentinel::journal::{
    JournalError, JournalReader, Recovered, SCHEMA_VERSION, SqliteJournal, StateDir, StateError, StoreOptions,
    Telemetry, TelemetryEvent, proof,
};
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::intent::{Intent, IntentEvent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::{Order, Receipt, Role, Side, Ticket};
use sentinel_actors::domain::prediction::ModelIdentity;
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::risk::Exposure;
use sentinel_actors::domain::schedule::Schedule;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{
    Fate, Fates, JournalAnswer, JournalRead, JournalStore as _, JournalWrite, NoFates, Place, Recovery, Written,
    elapsed_now,
};
use tempfile::TempDir;

const NOON: &str = "2017-06-01T12:00:00Z";

fn minute(n: i64) -> UtcMs {
    NOON.parse::<UtcMs>().unwrap().plus(Duration::from_secs(n.unsigned_abs() * 60))
}

fn minutely() -> Schedule {
    Schedule::every(Duration::from_secs(60), Duration::ZERO).unwrap()
}

struct Node {
    journal: SqliteJournal,
    recovered: Recovered,
}

fn open(dir: &Path) -> Node {
    let state = StateDir::open(dir).unwrap();
    let (journal, recovered) = SqliteJournal::open(&state, Arc::new(NoFates)).unwrap();
    Node { journal, recovered }
}

fn refusal(dir: &Path) -> JournalError {
    let state = StateDir::open(dir).unwrap();
    SqliteJournal::open(&state, Arc::new(NoFates)).err().expect("the journal must refuse to open")
}

impl Node {
    async fn write(&self, batch: Vec<JournalWrite>) -> Vec<Written> {
        self.journal.commit(batch).await.unwrap()
    }

    async fn exposure(&self, now: UtcMs) -> Exposure {
        let question =
            JournalRead::Exposure { account: "demo".into(), symbol: "EURUSD".into(), mode: Mode::DryRun, now };
        match self.journal.read(question).await.unwrap() {
            JournalAnswer::Exposure(exposure) => exposure,
            other => panic!("{other:?}"),
        }
    }

    async fn recovery(&self) -> Recovery {
        match self.journal.read(JournalRead::Recovery { pipeline: "eurusd".into() }).await.unwrap() {
            JournalAnswer::Recovery(recovery) => recovery,
            other => panic!("{other:?}"),
        }
    }
}

fn ended(n: i64, reason: Reason) -> SlotRecord {
    let slot = minute(n);
    let mut record = SlotRecord::new("eurusd", slot, Mode::DryRun, reason, slot.plus(Duration::from_millis(40)));
    record.attempts = 1;
    record.started_at = Some(slot.plus(Duration::from_millis(3)));
    record
}

fn full_record(n: i64) -> SlotRecord {
    SlotRecord {
        detail: "all fields, with 'quotes', a comma, and ü".into(),
        stage_us: [Some(1500), Some(20), Some(300), Some(u64::from(u32::MAX))],
        newest_bar: Some(minute(n - 1)),
        bars: Some(120),
        dropped: "null=3,duplicate=1".into(),
        missing_bars: Some(2),
        bars_digest: Some("aa11".into()),
        feature_set: Some("fx23".into()),
        features_digest: Some("bb22".into()),
        model: Some(ModelIdentity { id: "demo.onnx".into(), hash: "0123456789abcdef".into() }),
        raw_output: Some(vec![0.1, 0.2, 0.7]),
        signal: Some("BUY".into()),
        confidence: Some(0.7),
        decided_bar: Some(minute(n - 1)),
        intents: vec![intent(n, Role::Open).key],
        ..ended(n, Reason::OrderAcked)
    }
}

fn intent(n: i64, role: Role) -> Intent {
    let basis = minute(n - 1);
    Intent {
        key: IntentKey::derive(Mode::DryRun, "demo", "eurusd", basis, role),
        mode: Mode::DryRun,
        account: "demo".into(),
        pipeline: "eurusd".into(),
        slot: minute(n),
        basis,
        order: Order {
            role,
            symbol: "EURUSD".into(),
            side: Side::Buy,
            volume_lots: "0.10".parse().unwrap(),
            stop_price: Some("1.1200".parse().unwrap()),
            target_price: None,
            reference_price: "1.12345".parse().unwrap(),
        },
        state: IntentState::Planned,
        receipt: None,
    }
}

fn receipt() -> Receipt {
    Receipt {
        ticket: Ticket(u64::MAX),
        volume_lots: "0.10".parse().unwrap(),
        price: Some("1.12350".parse().unwrap()),
        text: "done".into(),
    }
}

fn end(record: SlotRecord) -> JournalWrite {
    JournalWrite::EndSlot(Box::new(record))
}

fn plan(n: i64) -> JournalWrite {
    JournalWrite::Plan(Box::new(intent(n, Role::Open)))
}

fn advance(n: i64, event: IntentEvent) -> JournalWrite {
    JournalWrite::Advance { key: intent(n, Role::Open).key, event, at: minute(n).plus(Duration::from_millis(20)) }
}

fn acked() -> IntentEvent {
    IntentEvent::Acked { receipt: receipt() }
}

fn lost() -> IntentEvent {
    IntentEvent::LostTrack { evidence: "no reply within 2s".into() }
}

fn miss(after: i64, until: i64) -> JournalWrite {
    JournalWrite::MissSlots {
        pipeline: "eurusd".into(),
        mode: Mode::DryRun,
        schedule: minutely(),
        after: minute(after),
        until: minute(until),
        reason: Reason::NodeDown,
        noted_at: minute(until),
    }
}

fn slots(dir: &Path) -> Vec<SlotRecord> {
    let mut all = Vec::new();
    let reader = JournalReader::open(dir).unwrap();
    reader
        .each_slot::<JournalError>(None, None, |slot| {
            assert!(slot.is_intact);
            all.push(slot.record);
            Ok(())
        })
        .unwrap();
    all
}

fn intents(dir: &Path) -> Vec<Intent> {
    let mut all = Vec::new();
    let reader = JournalReader::open(dir).unwrap();
    reader
        .each_intent::<JournalError>(None, None, |intent| {
            assert!(intent.is_intact);
            all.push(intent.record);
            Ok(())
        })
        .unwrap();
    all
}

fn reasons(dir: &Path) -> Vec<Reason> {
    slots(dir).iter().map(|slot| slot.reason).collect()
}

// what is kept

#[tokio::test]
async fn every_field_of_a_slot_and_of_an_intent_comes_back_as_written() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(5), advance(5, IntentEvent::Send), advance(5, acked()), end(full_record(5))]).await;
    drop(node);
    assert_eq!(slots(dir.path()), [full_record(5)]);
    let settled = Intent { state: IntentState::Acked, receipt: Some(receipt()), ..intent(5, Role::Open) };
    assert_eq!(intents(dir.path()), [settled]);
}

#[tokio::test]
async fn an_answer_that_is_no_number_is_kept_too() {
    let dir = TempDir::new().unwrap();
    let record =
        SlotRecord { raw_output: Some(vec![f64::NAN, f64::NEG_INFINITY, 0.1]), ..ended(1, Reason::AnswerNotFinite) };
    open(dir.path()).write(vec![end(record)]).await;
    let raw = slots(dir.path())[0].raw_output.clone().unwrap();
    assert!(raw[0].is_nan() && raw[1] == f64::NEG_INFINITY && raw[2] == 0.1);
}

#[tokio::test]
async fn the_first_row_of_a_slot_stands_however_often_it_ends() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    for record in [ended(1, Reason::Hold), ended(1, Reason::Hold), ended(1, Reason::SourceTimeout)] {
        assert_eq!(node.write(vec![end(record)]).await, [Written::Done]);
    }
    node.write(vec![miss(0, 1)]).await;
    assert_eq!(slots(dir.path()), [ended(1, Reason::Hold)]);
    assert_eq!(JournalReader::open(dir.path()).unwrap().worked_slots().unwrap(), 1);
}

#[tokio::test]
async fn a_second_plan_under_a_key_gets_the_intent_that_stands() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(1), advance(1, IntentEvent::Send)]).await;
    let mut other = intent(1, Role::Open);
    other.order.side = Side::Sell;
    let written = node.write(vec![JournalWrite::Plan(Box::new(other)), end(ended(1, Reason::Hold))]).await;
    let standing = Intent { state: IntentState::Sent, ..intent(1, Role::Open) };
    assert_eq!(written, [Written::Exists(Box::new(standing)), Written::Done]);
}

#[tokio::test]
async fn an_illegal_transition_is_refused_and_its_batch_goes_on() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let written =
        node.write(vec![advance(1, acked()), plan(1), advance(1, acked()), advance(1, IntentEvent::Send)]).await;
    assert!(matches!(written.as_slice(), [Written::Refused(_), Written::Done, Written::Refused(_), Written::Done]));
    assert_eq!(intents(dir.path())[0].state, IntentState::Sent);
}

#[tokio::test]
async fn a_repeated_report_is_done_but_a_repeated_send_is_refused() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(1), advance(1, IntentEvent::Send)]).await;
    assert!(matches!(node.write(vec![advance(1, IntentEvent::Send)]).await[0], Written::Refused(_)));
    assert_eq!(node.write(vec![advance(1, acked()), advance(1, acked())]).await, [Written::Done, Written::Done]);
    let another = IntentEvent::Acked { receipt: Receipt { ticket: Ticket(8), ..receipt() } };
    assert!(matches!(node.write(vec![advance(1, another)]).await[0], Written::Refused(_)));
    let steps = JournalReader::open(dir.path()).unwrap().steps(&intent(1, Role::Open).key).unwrap();
    assert_eq!(steps.len(), 3, "planned, send, acked");
}

// what was done is never reported as missed

#[tokio::test]
async fn slots_that_acted_before_the_crash_end_as_their_intents_say() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let rejected = IntentEvent::Rejected { code: Some(10_016), text: "invalid stops".into() };
    node.write(vec![plan(1), advance(1, IntentEvent::Send), advance(1, acked())]).await;
    node.write(vec![plan(2), advance(2, IntentEvent::Send)]).await;
    node.write(vec![plan(3), advance(3, IntentEvent::Send), advance(3, lost())]).await;
    node.write(vec![plan(4), advance(4, IntentEvent::Send), advance(4, rejected)]).await;
    node.write(vec![plan(5), advance(5, IntentEvent::Abandon)]).await;
    node.write(vec![end(ended(6, Reason::Hold)), miss(0, 7)]).await;
    use Reason as R;
    let expected =
        [R::OrderAcked, R::OrderUnknown, R::OrderUnknown, R::OrderRejected, R::IntentStands, R::Hold, R::NodeDown];
    assert_eq!(reasons(dir.path()), expected);
    let first = &slots(dir.path())[0];
    assert_eq!(first.decided_bar, Some(minute(0)));
    assert_eq!(first.intents, [intent(1, Role::Open).key]);
    assert_eq!(first.detail, "recovered from the journal");
}

#[tokio::test]
async fn a_crashed_cycle_whose_order_may_have_left_ends_as_acted() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(1), advance(1, IntentEvent::Send), advance(1, acked()), end(ended(1, Reason::StageCrashed))])
        .await;
    node.write(vec![plan(2), end(ended(2, Reason::StageCrashed))]).await;
    node.write(vec![end(ended(3, Reason::PoisonInput))]).await;
    assert_eq!(reasons(dir.path()), [Reason::OrderAcked, Reason::StageCrashed, Reason::PoisonInput]);
}

#[tokio::test]
async fn a_week_of_missed_minutes_is_written_in_one_batch() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![end(ended(100, Reason::Hold)), miss(0, 10_080)]).await;
    drop(node);
    let proof = proof(dir.path(), "eurusd", &minutely(), minute(1), minute(10_080)).unwrap();
    assert!(proof.holds());
    assert_eq!((proof.count(Outcome::Missed), proof.count(Outcome::NoAction)), (10_079, 1));
}

// questions

#[tokio::test]
async fn recovery_names_the_newest_slot_and_the_newest_decided_bar() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    assert_eq!(node.recovery().await, Recovery::default());
    node.write(vec![end(full_record(5)), miss(5, 8)]).await;
    let expected = Recovery { last_slot: Some(minute(8)), last_decided_bar: Some(minute(4)) };
    assert_eq!(node.recovery().await, expected);
}

#[tokio::test]
async fn exposure_counts_what_may_have_left_and_lists_what_is_open() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let close = intent(62, Role::Close(Ticket(7)));
    let (close_key, at) = (close.key.clone(), minute(62));
    node.write(vec![plan(1), advance(1, IntentEvent::Send), advance(1, acked())]).await;
    node.write(vec![plan(61), advance(61, IntentEvent::Send), advance(61, lost())]).await;
    node.write(vec![
        JournalWrite::Plan(Box::new(close)),
        JournalWrite::Advance { key: close_key, event: IntentEvent::Send, at },
    ])
    .await;
    node.write(vec![plan(63), plan(64), advance(64, IntentEvent::Abandon)]).await;
    let exposure = node.exposure(minute(65)).await;
    assert_eq!((exposure.orders_last_hour, exposure.orders_last_day), (1, 2));
    let open: Vec<IntentState> = exposure.open_intents.iter().map(|intent| intent.state).collect();
    assert_eq!(open, [IntentState::Unknown, IntentState::Sent, IntentState::Planned]);
    drop(node);
    assert_eq!(self::open(dir.path()).recovered.open_intents, 3);
}

// the state directory

#[test]
fn a_second_node_on_the_same_directory_is_refused() {
    let dir = TempDir::new().unwrap();
    let first = StateDir::open(dir.path()).unwrap();
    let error = StateDir::open(dir.path()).unwrap_err();
    assert!(matches!(error, StateError::Locked { .. }));
    assert_eq!(error.exit_code(), 75);
    drop(first);
    StateDir::open(dir.path()).unwrap();
}

#[test]
fn a_directory_stays_locked_for_as_long_as_its_journal_may_write() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    assert!(StateDir::open(dir.path()).is_err());
    drop(node);
    StateDir::open(dir.path()).unwrap();
}

const HELD_DIR: &str = "SENTINEL_TEST_HELD_DIR";

#[test]
#[ignore = "the other process of the next test"]
fn hold_the_lock_until_killed() {
    let Some(dir) = std::env::var_os(HELD_DIR) else { return };
    let _held = StateDir::open(Path::new(&dir)).unwrap();
    println!("\nheld");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn a_node_in_another_process_holds_the_lock_until_it_is_killed() {
    let dir = TempDir::new().unwrap();
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "hold_the_lock_until_killed"])
        .env(HELD_DIR, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(other.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "held"));
    assert!(matches!(StateDir::open(dir.path()), Err(StateError::Locked { .. })));
    other.kill().unwrap();
    other.wait().unwrap();
    StateDir::open(dir.path()).unwrap();
}

#[test]
fn a_state_directory_that_cannot_exist_is_refused_with_advice() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("state")] {
        let error = StateDir::open(&path).unwrap_err();
        assert!(matches!(error, StateError::Unusable { .. }));
        assert_eq!(error.exit_code(), 78);
        assert!(error.advice().contains(&path.display().to_string()));
    }
}

#[test]
fn boots_after_crashes_are_counted_and_kills_are_not() {
    let dir = TempDir::new().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    for n in 0..5 {
        boot::write_last_exit(dir.path(), 70, minute(n)).unwrap();
        let record = BootRecord::register(&state, minute(n)).unwrap();
        assert_eq!(record.last_exit.unwrap().code, 70);
        assert_eq!(record.verdict.crashes, usize::try_from(n).unwrap() + 1);
        assert_eq!(record.verdict.safe_mode_until.is_some(), n == 4);
        // Without a word at its end the run was killed, and that start does not count.
        assert_eq!(BootRecord::register(&state, minute(n)).unwrap().last_exit, None);
    }
    BootRecord::forgive(dir.path()).unwrap();
    assert_eq!(BootRecord::register(&state, minute(5)).unwrap().verdict, boot::BootVerdict::default());
}

#[tokio::test]
async fn a_slot_worked_on_ends_a_row_of_crashes_and_a_missed_one_does_not() {
    let dir = TempDir::new().unwrap();
    let crash = |n: i64| {
        boot::write_last_exit(dir.path(), 74, minute(n)).unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        BootRecord::register(&state, minute(n)).unwrap().verdict.crashes
    };
    open(dir.path()).write(vec![miss(0, 1)]).await;
    assert_eq!(crash(1), 1);
    open(dir.path()).write(vec![miss(1, 2)]).await;
    assert_eq!(crash(2), 2);
    open(dir.path()).write(vec![end(ended(3, Reason::Hold))]).await;
    assert_eq!(crash(3), 0);
}

#[test]
fn telemetry_is_kept_and_an_unusable_file_costs_only_the_events() {
    let dir = TempDir::new().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let event = |n: i64| TelemetryEvent {
        at: minute(n),
        kind: "restart".into(),
        pipeline: "eurusd".into(),
        text: format!("number {n}"),
    };
    let telemetry = Telemetry::open(&state);
    (0..3).for_each(|n| telemetry.note(event(n)));
    drop(telemetry);
    assert_eq!(Telemetry::newest(dir.path(), 2).unwrap(), [event(2), event(1)]);

    for name in ["telemetry.db", "telemetry.db-wal", "telemetry.db-shm"] {
        let _ = std::fs::remove_file(dir.path().join(name));
    }
    std::fs::create_dir(dir.path().join("telemetry.db")).unwrap();
    Telemetry::open(&state).note(event(3));
    assert!(Telemetry::newest(dir.path(), 2).is_err());
}

// refusals

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    drop(open(dir.path()));
    let path = dir.path().join("journal.db");
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let error = refusal(dir.path());
    assert!(matches!(error, JournalError::NewerSchema { have: 99, known: SCHEMA_VERSION, .. }));
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().contains("99") && error.advice().contains("99"));
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
        assert!(error.advice().contains("check at the venue"));
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
    std::fs::rename(&path, &today).unwrap();
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../src/journal/schema/0001_initial.sql")).unwrap();
    old.execute("ATTACH ?1 AS today", [today.to_string_lossy()]).unwrap();
    for table in ["meta", "slots", "intents", "intent_events"] {
        let names: String = old
            .query_row(&format!("SELECT group_concat(name) FROM pragma_table_info('{table}')"), [], |row| row.get(0))
            .unwrap();
        old.execute_batch(&format!("INSERT INTO {table} SELECT {names} FROM today.{table}")).unwrap();
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

// failing disks and threads

#[tokio::test]
async fn a_full_disk_is_fatal_and_what_was_durable_stays() {
    let dir = TempDir::new().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let options = StoreOptions { max_pages: Some(40) };
    let (journal, _) = SqliteJournal::open_with(&state, Arc::new(NoFates), options).unwrap();
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

/// The fate of the n-th pass of a place.
struct OnPass(Place, usize, AtomicUsize);

impl Fates for OnPass {
    fn at(&self, place: Place, who: &str) -> Fate {
        assert_eq!(who, "journal");
        let hit = place == self.0 && self.2.fetch_add(1, Ordering::Relaxed) == self.1;
        if hit { Fate::Panic } else { Fate::Pass }
    }
}

#[tokio::test]
async fn a_panic_of_the_writer_answers_every_caller_and_keeps_whole_batches() {
    for (place, kept) in [(Place::BeforeCommit, 1), (Place::AfterCommit, 2)] {
        let dir = TempDir::new().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let fates = Arc::new(OnPass(place, 1, AtomicUsize::new(0)));
        let (journal, _) = SqliteJournal::open(&state, fates).unwrap();
        journal.commit(vec![end(ended(1, Reason::Hold))]).await.unwrap();
        journal.commit(vec![end(ended(2, Reason::Hold))]).await.unwrap_err();
        journal.commit(vec![end(ended(3, Reason::Hold))]).await.unwrap_err();
        journal.read(JournalRead::Recovery { pipeline: "eurusd".into() }).await.unwrap_err();
        drop((journal, state));
        drop(open(dir.path()));
        assert_eq!(slots(dir.path()).len(), kept, "{place:?}");
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

// commands

#[derive(Parser)]
enum Cli {
    Journal(cli::journal::JournalArgs),
    Why(cli::why::WhyArgs),
}

fn show(dir: &Path, args: &[&str]) -> Result<String, String> {
    let state = dir.to_string_lossy();
    let all = ["sentinel"].iter().chain(args).copied().chain(["--state", &state]);
    let mut out = Vec::new();
    match Cli::try_parse_from(all).unwrap() {
        Cli::Journal(args) => cli::journal::run(&args, &mut out).map_err(|error| error.to_string())?,
        Cli::Why(args) => cli::why::run(&args, &mut out).map_err(|error| error.to_string())?,
    }
    Ok(String::from_utf8(out).unwrap())
}

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

// speed

/// `cargo test --release --test journal -- --ignored --nocapture speed`
#[tokio::test]
#[ignore = "prints figures of this machine"]
async fn speed_of_the_journal() {
    let dir = TempDir::new_in(".").unwrap();
    let mut syncs: Vec<Duration> = Vec::new();
    let mut file = std::fs::File::create(dir.path().join("probe")).unwrap();
    for _ in 0..300 {
        std::io::Write::write_all(&mut file, &[7; 4096]).unwrap();
        let before = elapsed_now();
        file.sync_data().unwrap();
        syncs.push(before.elapsed());
    }
    syncs.sort_unstable();
    println!("fdatasync of 4 KiB: p50 {:?}, p99 {:?}", syncs[150], syncs[297]);
    let node = open(dir.path());
    let mut n = 0;
    for (size, batches) in [(1, 500), (8, 300), (64, 200), (256, 100)] {
        let before = elapsed_now();
        for _ in 0..batches {
            node.write((n..n + size).map(|n| end(full_record(n + 1))).collect()).await;
            n += size;
        }
        let each = before.elapsed() / batches;
        println!(
            "batches of {size}: {each:?} each, {:.0} rows/s",
            f64::from(i32::try_from(size).unwrap()) / each.as_secs_f64()
        );
    }
    let before = elapsed_now();
    node.write(vec![miss(n, n + 525_600)]).await;
    println!("a year of missed minutes: {:?}", before.elapsed());
    let before = elapsed_now();
    let recovery = node.recovery().await;
    println!("recovery {:?} in {:?}", recovery.last_slot, before.elapsed());
    drop(node);
    let before = elapsed_now();
    drop(open(dir.path()));
    println!(
        "reopened with quick_check in {:?}; file {} MB",
        before.elapsed(),
        dir.path().join("journal.db").metadata().unwrap().len() >> 20
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", status.lines().filter(|line| line.starts_with("VmHWM")).collect::<String>());
}
