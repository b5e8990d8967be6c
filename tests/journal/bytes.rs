//! Every byte of a small journal, changed one at a time: the node refuses, or what it knows and does is exactly the truth.
//!
//! `SENTINEL_JOURNAL_BYTES` says how many bytes are tried, spread evenly; more than the file has are all of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use sentinel::exit::ExitError as _;
use sentinel::journal::{SqliteJournal, StateDir};
use sentinel_actors::domain::intent::{Basis, IntentEvent, Mode};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::ports::{JournalRead, JournalStore, JournalWrite, NoFaults};
use tempfile::TempDir;

use crate::support::*;

/// How many bytes a plain `cargo test` tries.
const TRIED: usize = 240;

#[expect(clippy::disallowed_methods, reason = "a campaign reads its own size")]
fn tried() -> usize {
    std::env::var("SENTINEL_JOURNAL_BYTES").map_or(TRIED, |text| text.parse().unwrap())
}

/// In memory where there is such a place: a campaign is no test of the disk.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

/// A journal with orders in every state, on small pages, so that few of its bytes are empty.
fn small_journal() -> TempDir {
    let dir = scratch();
    let node = open(dir.path());
    let refused = IntentEvent::Rejected { code: Some(10_016), text: "invalid stops".into() };
    let held = IntentEvent::Hold { evidence: "the gateway cannot say".into() };
    let sent = |n| [plan(n), advance(n, IntentEvent::Send)];
    let mut history = Vec::new();
    for (n, events) in [(1, vec![acked()]), (2, vec![refused]), (3, vec![lost(), held]), (4, vec![lost()]), (5, vec![])]
    {
        history.extend(sent(n));
        history.extend(events.into_iter().map(|event| advance(n, event)));
        history.push(end(if n == 1 { full_record(n) } else { ended(n, Reason::OrderUnknown) }));
    }
    history.extend([miss(5, 7), end(ended(8, Reason::Hold)), plan(9)]);
    block_on(node.write(history));
    drop(node);
    let shrink = "PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM;";
    Connection::open(dir.path().join("journal.db")).unwrap().execute_batch(shrink).unwrap();
    dir
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn copy(from: &Path) -> TempDir {
    let to = scratch();
    for file in ["journal.db", "journal.mark"] {
        std::fs::copy(from.join(file), to.path().join(file)).unwrap();
    }
    to
}

/// What the node asks, and what it does next.
fn questions() -> Vec<JournalRead> {
    let (account, symbol, mode) = ("demo".to_owned(), "EURUSD".to_owned(), Mode::DryRun);
    let pipeline = || "eurusd".to_owned();
    vec![
        JournalRead::Recovery { pipeline: pipeline() },
        JournalRead::OpenIntents { pipeline: pipeline() },
        JournalRead::AckedIntents { account: account.clone(), symbol: symbol.clone(), mode },
        JournalRead::Exposure { account, symbol, mode, now: minute(10) },
        JournalRead::ExistingIntents { pipeline: pipeline(), basis: Basis::Bar(minute(8)), slot: minute(9) },
    ]
}

fn writes() -> Vec<JournalWrite> {
    vec![
        plan(9),
        advance(9, IntentEvent::Send),
        advance(9, acked()),
        advance(4, IntentEvent::FoundAbsent { evidence: "not in its lists".into() }),
        end(ended(9, Reason::OrderAcked)),
        miss(9, 11),
    ]
}

/// Everything that the node hears from its journal; an error ends it with 74.
fn acted_on(journal: &SqliteJournal) -> Result<Vec<String>, String> {
    block_on(async {
        let mut heard = Vec::new();
        for question in questions() {
            heard.push(format!("{:?}", journal.read(question).await.map_err(|fatal| fatal.to_string())?));
        }
        for write in writes() {
            heard.push(format!("{:?}", journal.commit(vec![write]).await.map_err(|fatal| fatal.to_string())?));
        }
        Ok(heard)
    })
}

/// What is in the files afterwards, as readers see it.
fn image(dir: &Path) -> String {
    format!("{:?} {:?}", slots(dir), intents(dir))
}

/// Opens the journal; a refusal says its exit code.
fn start(dir: &Path) -> Result<SqliteJournal, u8> {
    let state = StateDir::open(dir).unwrap();
    SqliteJournal::open(&state, Arc::new(NoFaults)).map(|(journal, _)| journal).map_err(|error| error.exit_code())
}

struct Truth {
    heard: Vec<String>,
    image: String,
}

fn truth(journal: &Path) -> Truth {
    let dir = copy(journal);
    let node = start(dir.path()).unwrap();
    let heard = acted_on(&node).unwrap();
    drop(node);
    Truth { heard, image: image(dir.path()) }
}

/// Changes the byte at `at`, another bit of it for each place.
fn change(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= [0x01, 0x80, 0x10, 0xFF, 0x20, 0x02, 0x08][at % 7];
    std::fs::write(file, bytes).unwrap();
}

/// How a trial ended.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Refused(u8),
    Fatal,
    Truth,
}

/// At rest: the start refuses, or everything is as if nothing had been changed.
fn changed_at_rest(journal: &Path, truth: &Truth, file: &str, at: usize) -> Result<End, String> {
    let dir = copy(journal);
    change(&dir.path().join(file), at);
    let node = match start(dir.path()) {
        Err(code @ (74 | 78)) => return Ok(End::Refused(code)),
        Err(code) => return Err(format!("exit code {code}")),
        Ok(node) => node,
    };
    let Ok(heard) = acted_on(&node) else { return Ok(End::Fatal) };
    drop(node);
    same(&heard, truth, &image(dir.path()))?;
    Ok(End::Truth)
}

/// Under a running node: another program makes it read its pages again.
fn changed_while_running(journal: &Path, truth: &Truth, file: &str, at: usize) -> Result<End, String> {
    let dir = copy(journal);
    let node = start(dir.path()).map_err(|code| format!("exit code {code} of a whole journal"))?;
    let path = dir.path().join(file);
    let before = std::fs::metadata(&path).unwrap().len();
    // In place: the file stays the one that is open.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[at] ^= [0x01, 0x80, 0x10, 0xFF, 0x20, 0x02, 0x08][at % 7];
    let open = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&open, &bytes[at..=at], at as u64).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), before);
    let other = Connection::open(dir.path().join("journal.db")).unwrap();
    // Where the change keeps it from writing, the node goes on with the pages that it has.
    let _ = ["+ 1", "- 1"].map(|change| {
        other.execute_batch(&format!("UPDATE meta SET value = value {change} WHERE name = 'worked_slots'"))
    });
    drop(other);
    let Ok(heard) = acted_on(&node) else { return Ok(End::Fatal) };
    drop(node);
    if heard != truth.heard {
        return Err(difference(&heard, truth));
    }
    match start(dir.path()) {
        Err(74 | 78) => {}
        Err(code) => return Err(format!("exit code {code} afterwards")),
        Ok(node) => {
            drop(node);
            same(&heard, truth, &image(dir.path()))?;
        }
    }
    Ok(End::Truth)
}

fn same(heard: &[String], truth: &Truth, image: &str) -> Result<(), String> {
    if heard != truth.heard {
        return Err(difference(heard, truth));
    }
    if image == truth.image { Ok(()) } else { Err(format!("left {image}\ninstead of {}", truth.image)) }
}

fn difference(heard: &[String], truth: &Truth) -> String {
    let (heard, should) = heard.iter().zip(&truth.heard).find(|(heard, should)| heard != should).unwrap();
    format!("heard {heard}\ninstead of {should}")
}

type Trial = fn(&Path, &Truth, &str, usize) -> Result<End, String>;

/// Tries bytes of `file`, on all processors, and says how often each end was met.
fn campaign(name: &str, file: &'static str, trial: Trial) {
    let journal = small_journal();
    let truth = truth(journal.path());
    let length = usize::try_from(std::fs::metadata(journal.path().join(file)).unwrap().len()).unwrap();
    let step = (length / tried()).max(1);
    let places: Vec<usize> = (0..length).skip(step / 2).step_by(step).collect();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<(usize, Result<End, String>)> = std::thread::scope(|scope| {
        let parts = places.chunks(places.len().div_ceil(workers));
        let work = |part: &'_ [usize]| {
            let part = part.to_vec();
            let (journal, truth): (PathBuf, &Truth) = (journal.path().to_owned(), &truth);
            scope.spawn(move || part.into_iter().map(|at| (at, trial(&journal, truth, file, at))).collect::<Vec<_>>())
        };
        let threads: Vec<_> = parts.map(work).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a changed byte made it panic")).collect()
    });
    let mut ends = std::collections::BTreeMap::new();
    let mut lies = Vec::new();
    for (at, result) in results {
        match result {
            Ok(end) => *ends.entry(end).or_insert(0) += 1,
            Err(lie) => lies.push(format!("byte {at}: {lie}")),
        }
    }
    println!("{name}: {} of {length} bytes of {file}: {ends:?}, {} lies", places.len(), lies.len());
    assert!(lies.is_empty(), "{} lies; the first of them:\n{}", lies.len(), lies[..lies.len().min(3)].join("\n"));
}

#[test]
fn a_byte_changed_at_rest_is_refused_or_changes_nothing() {
    campaign("at rest", "journal.db", changed_at_rest);
}

#[test]
fn a_byte_changed_under_a_running_node_ends_it_or_changes_nothing() {
    campaign("running", "journal.db", changed_while_running);
}

#[test]
fn a_byte_changed_in_the_mark_is_refused_or_changes_nothing() {
    campaign("mark", "journal.mark", changed_at_rest);
}
