//! The log file: more lines than the console shows, rotated before it grows too long, kept in the state directory.
//!
//! Promise kept: it never stops or slows the node. Lines go through a bounded queue to a thread of their own; when the disk
//! is full, slow or read-only, lines are lost, counted and reported once. Nothing is written before the
//! state directory is locked: a second node there must not rotate the files of the first.

use std::fs::DirBuilder;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use logroller::{LogRoller, LogRollerBuilder, Rotation, RotationSize};
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::elapsed_now;
use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

/// Size in bytes at which the file is rotated.
const BYTES_MAX: u64 = 50 * 1024 * 1024;
/// Rotated files that are kept; with the current one there are five.
const ASIDE_MAX: u64 = 4;
/// Lines that may wait for the disk, or for the state directory to be locked.
const QUEUE: usize = 4096;
/// After lines were written, new ones gather for this long: a busy node then wakes the thread a few times a second, and not for
/// each line.
const GATHER_FOR: Duration = Duration::from_millis(20);
/// So much is written at once.
const WRITE_BYTES: usize = 64 * 1024;
/// Elapsed time until a file that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(60);

enum Job {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Sends lines to the file.
#[derive(Clone)]
pub struct LogFile(Arc<Shared>);

struct Shared {
    /// As configured: relative to the state directory.
    path: PathBuf,
    jobs: SyncSender<Job>,
    /// Taken by the thread when it starts.
    inbox: Mutex<Option<Receiver<Job>>>,
    lost: AtomicU64,
}

impl LogFile {
    /// Lines wait until [`LogFile::start`].
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        let (jobs, inbox) = sync_channel(QUEUE);
        Self(Arc::new(Shared { path, jobs, inbox: Mutex::new(Some(inbox)), lost: AtomicU64::new(0) }))
    }

    /// Writes from now on, below this state directory. Only the first call counts.
    pub fn start(&self, state: &Path) {
        let Some(inbox) = self.0.inbox.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let (path, shared) = (state.join(&self.0.path), self.0.clone());
        let file = Rotating::new(path, BYTES_MAX);
        // Without the thread the queue stays full and every line is lost; the node goes on.
        let _ = std::thread::Builder::new().name("log".to_owned()).spawn(move || keep(file, &inbox, &shared.lost));
    }

    /// Waits until all lines so far are written, but not longer than `within`: before the process ends.
    pub fn flush(&self, within: Duration) {
        let (done, wait) = sync_channel(1);
        if self.0.jobs.try_send(Job::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(within);
        }
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = OneLine<'a>;

    fn make_writer(&'a self) -> OneLine<'a> {
        OneLine(&self.0)
    }
}

/// Takes one line, whole.
pub struct OneLine<'a>(&'a Shared);

impl io::Write for OneLine<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.jobs.try_send(Job::Line(line.to_vec())).is_err() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what has gathered, and lets new lines gather again.
fn keep(mut file: Rotating, inbox: &Receiver<Job>, lost: &AtomicU64) {
    while let Ok(first) = inbox.recv() {
        let mut lines = Lines::default();
        for job in std::iter::once(first).chain(inbox.try_iter()) {
            match job {
                Job::Line(line) => lines.add(&line),
                Job::Flush(done) => {
                    lines.write(&mut file, lost);
                    file.flush();
                    let _ = done.try_send(());
                }
            }
            if lines.bytes.len() >= WRITE_BYTES {
                lines.write(&mut file, lost);
            }
        }
        lines.write(&mut file, lost);
        std::thread::sleep(GATHER_FOR);
    }
}

/// Lines that are written together.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    count: u64,
}

impl Lines {
    fn add(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.count += 1;
    }

    fn write(&mut self, file: &mut Rotating, lost: &AtomicU64) {
        let Self { bytes, count } = std::mem::take(self);
        if count == 0 {
            return;
        }
        if file.is_resting() {
            lost.fetch_add(count, Ordering::Relaxed);
            return;
        }
        match file.write(&bytes) {
            Ok(()) => report_lost_lines(file, lost),
            Err(error) => {
                lost.fetch_add(count, Ordering::Relaxed);
                report_failure_once(file, &error);
            }
        }
    }
}

fn report_failure_once(file: &mut Rotating, error: &io::Error) {
    if !std::mem::replace(&mut file.failure_logged, true) {
        tracing::warn!(
            event = "log_file_failed",
            file = %file.path.display(),
            error = %chain(error),
            "the log file cannot be written; the node goes on without it and tries again every minute"
        );
    }
}

/// At most once a minute: the reports themselves go through the queue.
fn report_lost_lines(file: &mut Rotating, lost: &AtomicU64) {
    file.failure_logged = false;
    let now = elapsed_now();
    if lost.load(Ordering::Relaxed) > 0 && file.reported_at.is_none_or(|at| now >= at + RETRY_AFTER) {
        file.reported_at = Some(now);
        let lines = lost.swap(0, Ordering::Relaxed);
        tracing::warn!(
            event = "log_lines_lost",
            lines,
            "the log file was too slow or could not be written for a while"
        );
    }
}

struct Rotating {
    path: PathBuf,
    bytes_max: u64,
    open: Option<LogRoller>,
    rests_until: Option<Instant>,
    /// Whether the failure has been logged.
    failure_logged: bool,
    /// When lost lines were last reported.
    reported_at: Option<Instant>,
}

impl Rotating {
    const fn new(path: PathBuf, bytes_max: u64) -> Self {
        Self { path, bytes_max, open: None, rests_until: None, failure_logged: false, reported_at: None }
    }

    fn is_resting(&self) -> bool {
        self.rests_until.is_some_and(|until| elapsed_now() < until)
    }

    /// After a failure the file is opened anew, later.
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let result = self.try_write(line);
        self.rests_until = None;
        if result.is_err() {
            self.open = None;
            self.rests_until = Some(elapsed_now() + RETRY_AFTER);
        }
        result
    }

    fn try_write(&mut self, line: &[u8]) -> io::Result<()> {
        let file = match &mut self.open {
            Some(file) => file,
            closed => closed.insert(open(&self.path, self.bytes_max)?),
        };
        file.write_all(line)
    }

    fn flush(&mut self) {
        if let Some(file) = &mut self.open {
            let _ = file.flush();
        }
    }
}

fn open(path: &Path, bytes_max: u64) -> io::Result<LogRoller> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("it is not the path of a file"));
    };
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    LogRollerBuilder::new(dir, Path::new(name))
        .rotation(Rotation::SizeBased(RotationSize::Bytes(bytes_max)))
        .max_keep_files(ASIDE_MAX)
        .file_mode(0o600)
        .graceful_shutdown(true)
        .build()
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn say(file: &LogFile, line: &str) {
        file.make_writer().write_all(line.as_bytes()).unwrap();
    }

    #[test]
    fn lines_wait_for_the_state_directory_and_belong_to_its_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = LogFile::new("logs/node.log".into());
        say(&file, "before\n");
        assert!(!dir.path().join("logs").exists());
        file.start(dir.path());
        say(&file, "after\n");
        file.flush(PATIENCE);
        let path = dir.path().join("logs/node.log");
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\nafter\n");
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn there_are_never_more_than_five_files_and_the_newest_lines_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = Rotating::new(dir.path().join("node.log"), 100);
        for number in 0..100 {
            file.write(format!("line {number:03}\n").as_bytes()).unwrap();
            file.flush();
        }
        let files: Vec<PathBuf> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 5, "{files:?}");
        assert!(files.iter().all(|path| fs::metadata(path).unwrap().len() <= 100 && mode(path) == 0o600));
        let mut lines: Vec<String> = files
            .iter()
            .flat_map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        lines.sort();
        let expected: Vec<String> = (100 - lines.len()..100).map(|number| format!("line {number:03}")).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_file_that_cannot_be_written_costs_lines_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("logs"), "a file where the directory should be").unwrap();
        let file = LogFile::new("logs/node.log".into());
        file.start(dir.path());
        for _ in 0..3 {
            say(&file, "a line\n");
        }
        file.flush(PATIENCE);
        assert_eq!(file.0.lost.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_full_queue_drops_lines_and_never_blocks() {
        let file = LogFile::new("node.log".into());
        for _ in 0..QUEUE + 7 {
            say(&file, "a line\n");
        }
        assert_eq!(file.0.lost.load(Ordering::Relaxed), 7);
    }
}
