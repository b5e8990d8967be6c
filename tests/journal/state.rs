//! The state directory, the boot record and telemetry.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use sentinel::exit::ExitError as _;
use sentinel::journal::boot::{self, BootRecord};
use sentinel::journal::{StateDir, StateError, Telemetry, TelemetryEvent};
use sentinel_actors::domain::reason::Reason;
use tempfile::TempDir;

use crate::support::*;

#[test]
fn a_second_node_on_the_same_directory_is_refused_with_the_holder() {
    let dir = TempDir::new().unwrap();
    let first = StateDir::open(dir.path()).unwrap();
    let error = StateDir::open(dir.path()).unwrap_err();
    assert!(matches!(error, StateError::Locked { pid: Some(pid), .. } if pid == std::process::id()));
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
        .args(["--ignored", "--exact", "--nocapture", "state::hold_the_lock_until_killed"])
        .env(HELD_DIR, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(other.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "held"));
    let locked = StateDir::open(dir.path()).unwrap_err();
    assert!(matches!(locked, StateError::Locked { pid: Some(pid), .. } if pid == other.id()), "{locked}");
    assert_eq!(StateDir::holder(dir.path()), Some(other.id()));
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(StateDir::holder(dir.path()), None, "a process that has ended holds nothing");
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
        assert!(error.advice().unwrap().contains(&path.display().to_string()));
    }
}

#[test]
fn a_start_after_a_crash_or_after_an_end_without_a_word_is_counted() {
    let dir = TempDir::new().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    assert_eq!(BootRecord::register(&state, minute(0)).unwrap().verdict.crashes, 0, "nothing ran before");
    for n in 0..5 {
        // A meltdown says so; SIGKILL, SIGSEGV and exit 101 say nothing; an orderly end in between changes nothing.
        let is_meltdown = n % 2 == 0;
        if is_meltdown {
            boot::write_last_exit(dir.path(), 70, minute(n)).unwrap();
        }
        let record = BootRecord::register(&state, minute(n)).unwrap();
        assert_eq!(record.last_exit.map(|exit| exit.code), is_meltdown.then_some(70));
        assert_eq!(record.verdict.crashes, usize::try_from(n).unwrap() + 1);
        assert_eq!(record.verdict.safe_mode_until.is_some(), n == 4);
        boot::write_last_exit(dir.path(), 0, minute(n)).unwrap();
        assert_eq!(BootRecord::register(&state, minute(n)).unwrap().verdict.crashes, usize::try_from(n).unwrap() + 1);
    }
    BootRecord::end_safe_mode(dir.path()).unwrap();
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
