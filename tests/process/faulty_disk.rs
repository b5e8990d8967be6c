//! A disk whose fsync fails or takes nine seconds, at each call of a run of five decisions in turn: a library that is loaded
//! into the real program stands between it and the system.
//!
//! A failure is never passed over: the process ends with 74, or says what it lost where that is harmless. A later start makes
//! up for everything. A slow disk costs decisions, never a restart and never a wrong record of an order.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use super::config::{Site, demo_span};
use super::evidence::{accept, faults};
use super::facts::Facts;
use super::node::{Ended, Node, SENTINEL, program, run, setting};

const DECISIONS: usize = 5;
/// How slow the slow disk is: longer than the node waits for its journal, shorter than the watchdog's patience.
const SLOW_MS: usize = 9_000;
/// Slow runs of a plain `cargo test`; `SENTINEL_SLOW_FSYNCS` asks for more, at most one for each call.
const SLOW_RUNS: usize = 4;
/// Runs at a time: those that fail are work, those on the slow disk sleep.
const FAILING_AT_ONCE: usize = 3;
const SLOW_AT_ONCE: usize = 12;

/// The library, built once per run of the tests.
fn library() -> &'static Path {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, library) = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("faulty_disk.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/faulty_disk.c");
        let mut cc = Command::new(std::env::var_os("SENTINEL_CC").unwrap_or_else(|| "cc".into()));
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&library).arg(source);
        let built = cc.args(["-ldl", "-lpthread"]).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        (folder, library)
    });
    library
}

/// One run on such a disk.
struct OnDisk {
    site: Site,
    ended: Ended,
    /// Path of the file whose call was the first one disturbed; empty when the run made fewer calls.
    hit: String,
    calls: usize,
}

impl OnDisk {
    fn file(&self) -> &str {
        self.hit.rsplit('/').next().unwrap_or_default()
    }

    fn logged(&self, words: &[&str]) -> bool {
        words.iter().all(|word| self.ended.err.contains(word))
    }
}

/// Runs five decisions while the disk does what these variables say; its log marks what it disturbed with `mark`.
fn run_on_disk(variables: &[(&str, String)], mark: &str) -> OnDisk {
    let site = Site::new().with_decisions(DECISIONS).with("level = \"warn\" ", "level = \"debug\" ");
    let log = site.path().join("calls");
    let mut command = program(SENTINEL, site.path());
    command.args(site.args()).env("LD_PRELOAD", library()).env("FAULTY_DISK_LOG", &log);
    // It writes a file of its own that may be lost.
    command.env("FAULTY_DISK_SPARE", "telemetry").envs(variables.iter().map(|(name, value)| (*name, value)));
    let ended = Node::spawn(site.path(), &mut command).end();
    let calls = fs::read_to_string(log).unwrap();
    let hit = calls.lines().find(|line| line.ends_with(mark)).and_then(|line| line.split(' ').nth(2));
    let hit = hit.unwrap_or_default().to_owned();
    OnDisk { site, ended, hit, calls: calls.lines().filter(|line| line.ends_with(" passed")).count() }
}

/// How many calls an undisturbed run makes.
fn calls_of_a_run() -> usize {
    let whole = run_on_disk(&[], " failed");
    assert_eq!(whole.ended.status.code(), Some(0), "{:#?}", whole.ended);
    accept(&whole.site.state(), demo_span(DECISIONS));
    assert!(whole.calls > 25, "only {} calls: the library is not between program and disk", whole.calls);
    whole.calls
}

/// Judges each of these numbers, `at_once` at a time.
#[track_caller]
fn judge_each(numbers: Vec<usize>, at_once: usize, judge: impl Fn(usize) -> Result<(), String> + Sync) {
    let (numbers, faults) = (Mutex::new(numbers.into_iter()), Mutex::new(Vec::new()));
    let next = || numbers.lock().unwrap().next();
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(number) = next() {
                    if let Err(fault) = judge(number) {
                        faults.lock().unwrap().push(format!("call {number}: {fault}"));
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Whether the failure ended the node, or was logged where it does no harm.
fn is_reported(met: &OnDisk) -> bool {
    let harmless: &[&str] = match met.file() {
        "boots.new" => &["event=boot_record_lost"],
        "last_exit.new" => &["event=last_exit_lost"],
        // The book is the venue. When an order's fill is not durable there, the order is unknown until the book is asked.
        "paper.db-wal" if met.logged(&["reason=order_unknown"]) => &["level=WARN event=slot_ended"],
        "paper.db-wal" | "paper.db" => &["level=ERROR event=book_not_closed"],
        _ => &[],
    };
    match met.ended.status.code() {
        Some(74 | 78) => met.logged(&["level=ERROR event=node_ended", "exit_code=7"]) || met.logged(&["what to do: "]),
        Some(0) => !harmless.is_empty() && met.logged(harmless),
        _ => false,
    }
}

#[test]
#[cfg_attr(not(has_program = "cc"), ignore = "needs cc: see CONTRIBUTING.md")]
fn any_failed_fsync_ends_the_node_or_is_logged_and_the_next_start_recovers() {
    let calls = calls_of_a_run();
    judge_each((1..=calls).collect(), FAILING_AT_ONCE, |number| {
        let met = run_on_disk(&[("FAULTY_DISK_FAIL_AT", number.to_string())], " failed");
        if !met.hit.is_empty() && !is_reported(&met) {
            return Err(format!("{} failed in silence: {:?} {}", met.hit, met.ended.status, met.ended.err));
        }
        // It was no crash loop: the next start need not wait.
        fs::write(met.site.state().join("last_exit"), r#"{"code":0,"at_ms":0}"#).unwrap();
        let again = run(met.site.path(), met.site.args());
        let found = faults(&Facts::read(&met.site.state()), demo_span(DECISIONS));
        if again.status.code() != Some(0) || !found.is_empty() {
            return Err(format!("{} failed, and the next start did not recover: {again:#?} {found:#?}", met.hit));
        }
        Ok(())
    });
    println!("failed fsync: each of {calls} calls");
}

#[test]
#[cfg_attr(not(has_program = "cc"), ignore = "needs cc: see CONTRIBUTING.md")]
fn an_fsync_of_nine_seconds_restarts_nothing_and_leaves_no_order_open() {
    let calls = calls_of_a_run();
    let runs = setting("SENTINEL_SLOW_FSYNCS").unwrap_or(SLOW_RUNS).clamp(1, calls);
    // The last ones are of the decisions, the first ones of the start.
    let numbers: Vec<usize> = (1..=runs).map(|nth| nth * calls / runs).collect();
    judge_each(numbers, SLOW_AT_ONCE, |number| {
        let met = run_on_disk(&[("FAULTY_DISK_DELAY", format!("{number}:{SLOW_MS}:ONCE"))], " slow");
        let facts = Facts::read(&met.site.state());
        let mut found = faults(&facts, demo_span(DECISIONS));
        for event in ["child_down", "child_stuck", "cycle_rerun", "pipeline_parked", "watchdog_abort"] {
            if met.logged(&[&format!("event={event}")]) {
                found.push(event.to_owned());
            }
        }
        // Its row says that an order is unknown when the book is slow, which alone knows whether it took it, and when the commit
        // of the outcome itself outlasts the cycle. Both are settled afterwards.
        let is_outcome = met.file() == "journal.db-wal"
            && met.logged(&["reason=order_unknown", "ticket 1; not recorded: the journal did not confirm"]);
        let doubts = facts.slots.iter().filter(|slot| slot.reason == "order_unknown").count();
        let open = facts.intents.iter().filter(|intent| ["unknown", "held"].contains(&&*intent.state)).count();
        if open > 0 || (doubts > 0 && !met.file().starts_with("paper.db") && !is_outcome) {
            found.push(format!("{doubts} slots in doubt, {open} orders left open"));
        }
        if met.ended.status.code() != Some(0) || !found.is_empty() {
            return Err(format!("{} was slow: {found:#?} {:#?}", met.hit, met.ended));
        }
        Ok(())
    });
    println!("slow fsync: {runs} of {calls} calls");
}
