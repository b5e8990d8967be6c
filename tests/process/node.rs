//! A started `sentinel`: its output goes to files, it is killed when its guard goes, and every wait for it has a limit.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than any run of these tests takes on a busy machine.
pub const LONG: Duration = Duration::from_secs(240);
const LOOK_EVERY: Duration = Duration::from_millis(3);
static STARTED: AtomicU64 = AtomicU64::new(0);

/// A running process.
pub struct Node {
    child: Child,
    dir: PathBuf,
    output: [PathBuf; 2],
    began: Instant,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
    pub took: Duration,
}

pub const SENTINEL: &str = env!("CARGO_BIN_EXE_sentinel");

/// A program in `dir`, without the settings in the environment of the tests.
pub fn program(program: &str, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SENTINEL_")) {
        command.env_remove(name);
    }
    command
}

/// Runs `sentinel` in `dir` to its end.
pub fn run<S: AsRef<OsStr>>(dir: &Path, args: impl IntoIterator<Item = S>) -> Ended {
    Node::start(dir, args).end()
}

impl Node {
    pub fn start<S: AsRef<OsStr>>(dir: &Path, args: impl IntoIterator<Item = S>) -> Self {
        Self::spawn(dir, program(SENTINEL, dir).args(args))
    }

    pub fn spawn(dir: &Path, command: &mut Command) -> Self {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let output = ["out", "err"].map(|name| dir.join(format!("{number}.{name}")));
        let [out, err] = output.each_ref().map(|path| File::create(path).unwrap());
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap();
        Self { child, dir: dir.to_owned(), output, began: Instant::now() }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Both streams, as far as they are written.
    pub fn said(&self) -> (String, String) {
        let [out, err] = self.output.each_ref().map(|path| fs::read(path).unwrap_or_default());
        (String::from_utf8_lossy(&out).into_owned(), String::from_utf8_lossy(&err).into_owned())
    }

    /// The end of what it said to standard error, and of its log file where that is at its usual place.
    fn last_words(&self) -> String {
        let log = fs::read(self.dir.join("state/logs/sentinel.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let end = |text: &str| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(40)..].join("\n")
        };
        format!("{}\nits log ends with\n{}", end(&self.said().1), end(&log))
    }

    /// Waits until `is_there`, while the process lives.
    pub fn wait_for(&mut self, what: &str, mut is_there: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + LONG;
        while !is_there(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "no {what}: {ended:?}, {}", self.last_words());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits for the end, at most `within`.
    pub fn ended_within(&mut self, within: Duration) -> Option<Ended> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let (out, err) = self.said();
                return Some(Ended { status, out, err, took: self.began.elapsed() });
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    pub fn end(mut self) -> Ended {
        self.ended_within(LONG).unwrap_or_else(|| panic!("still running after {LONG:?}: {}", self.last_words()))
    }

    /// Waits until `is_there`, or until the process has ended.
    pub fn until(&mut self, mut is_there: impl FnMut() -> bool) {
        let deadline = Instant::now() + LONG;
        while !is_there() && self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it stands still: {}", self.last_words());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Kills the process after `delay`, unless it has ended by itself.
    pub fn killed_after(mut self, delay: Duration) -> Ended {
        if let Some(ended) = self.ended_within(delay) {
            return ended;
        }
        let _ = self.child.kill();
        self.end()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(Signal::KILL.as_raw())
    }

    /// The exit code is `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self:#?}");
        self
    }

    /// Standard error holds every one of these words.
    #[track_caller]
    pub fn complains(self, words: &[&str]) -> Self {
        let missing: Vec<_> = words.iter().filter(|word| !self.err.contains(**word)).collect();
        assert!(missing.is_empty(), "not in the message: {missing:?}\n{}", self.err);
        self.calm()
    }

    /// Standard output holds every one of these words.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        let missing: Vec<_> = words.iter().filter(|word| !self.out.contains(**word)).collect();
        assert!(missing.is_empty(), "not in the output: {missing:?}\n{}", self.out);
        self
    }

    /// A refusal is a message, never a panic.
    #[track_caller]
    fn calm(self) -> Self {
        assert!(!self.err.contains("panicked at"), "{}", self.err);
        self
    }
}

/// A number from the environment, for campaigns that are longer than a plain `cargo test`.
pub fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}
