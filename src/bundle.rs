//! What is sent with a question about a node: one archive, small enough for a mail, without any secret.
//!
//! Promises kept: it reads and changes nothing; every text of it goes through the [`Redactor`]; it is never larger than
//! [`BYTES_MAX`], because the journal's slice and the log's tail shrink until it fits. What cannot be read is left out and named.

mod redact;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use serde::Serialize;

pub use self::redact::Redactor;
use crate::exit::{self, ExitError};
use crate::files::create_private_dir;
use crate::journal::{JOURNAL_FILE, JournalError, LAST_EXIT_FILE, Telemetry, slice};
use crate::operator::control::client;
use crate::operator::control::messages::{METRICS, STATUS};

/// The largest archive, in bytes.
pub const BYTES_MAX: usize = 5_000_000;
/// The log's tail before anything shrinks.
const LOG_BYTES: u64 = 8 << 20;
/// Crashes, warnings and errors of the telemetry.
const EVENTS: u32 = 2_000;
/// How often the large parts are halved before they are left out.
const HALVINGS: u32 = 12;

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("there is no directory {}", .0.display())]
    NoState(PathBuf),
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    #[error("{}: {action} failed", file.display())]
    Io { file: PathBuf, action: &'static str, source: io::Error },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("it would be {0} bytes even without journal and log")]
    TooLarge(usize),
}

impl ExitError for BundleError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::NoState(_) => exit::CONFIG,
            Self::Exists(_) | Self::TooLarge(_) => exit::FAILED,
            Self::Io { .. } => exit::IO,
            Self::Journal(error) => error.exit_code(),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::NoState(_) => Some("give --state the directory of a node that has run".to_owned()),
            Self::Exists(_) => Some("give another name".to_owned()),
            Self::Io { file, .. } => Some(format!("check the disk and the permissions of {}", file.display())),
            Self::Journal(error) => error.advice(),
            Self::TooLarge(_) => None,
        }
    }
}

/// What is asked for.
pub struct Wanted<'a> {
    pub state: &'a Path,
    /// The effective configuration, one line per key, or why there is none.
    pub configuration: &'a str,
    /// The journal's newest part.
    pub span: Duration,
    pub now: UtcMs,
}

/// What is in a bundle.
#[derive(Debug, Serialize)]
pub struct Contents {
    made_at: String,
    sentinel: &'static str,
    sqlite: &'static str,
    kernel: String,
    machine: &'static str,
    /// Hours of the journal; it was shortened when they are fewer than were asked for.
    pub journal_hours: u64,
    pub log_bytes: u64,
    /// What could not be read, and why.
    pub left_out: Vec<String>,
}

struct Part {
    name: &'static str,
    bytes: Vec<u8>,
}

/// Writes a bundle to the file `to`, which is not there yet. Says what is in it, and how many bytes it has.
///
/// # Errors
/// When there is no state directory, or it cannot be written. What cannot be read is left out.
pub fn write(wanted: &Wanted<'_>, redactor: &Redactor, to: &Path) -> Result<(Contents, usize), BundleError> {
    if !wanted.state.is_dir() {
        return Err(BundleError::NoState(wanted.state.to_owned()));
    }
    if fs::symlink_metadata(to).is_ok() {
        return Err(BundleError::Exists(to.to_owned()));
    }
    let mut contents = Contents::new(wanted.now);
    let small = small_parts(wanted, redactor, &mut contents.left_out);
    let left_out = contents.left_out.len();
    for halving in 0..=HALVINGS {
        let is_last = halving == HALVINGS;
        contents.left_out.truncate(left_out);
        let hours = if is_last { 0 } else { (wanted.span.as_secs() / 3600) >> halving };
        contents.journal_hours = hours;
        let mut parts = vec![log_tail(wanted.state, if is_last { 0 } else { LOG_BYTES >> halving }, redactor)];
        contents.log_bytes = parts.iter().map(|part| part.bytes.len() as u64).sum();
        match journal_slice(wanted, hours, redactor, to) {
            Ok(part) => parts.push(part),
            Err(error) => contents.left_out.push(format!("{JOURNAL_FILE}: {}", redactor.hide(&chain(&error)))),
        }
        let bytes = pack(&contents, small.iter().chain(&parts), wanted.now).map_err(io_error(to, "packing it"))?;
        if bytes.len() <= BYTES_MAX {
            place(to, &bytes)?;
            return Ok((contents, bytes.len()));
        }
        if is_last {
            return Err(BundleError::TooLarge(bytes.len()));
        }
    }
    Err(BundleError::TooLarge(0))
}

impl Contents {
    fn new(now: UtcMs) -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            made_at: now.to_string(),
            sentinel: env!("SENTINEL_VERSION"),
            sqlite: rusqlite::version(),
            kernel: kernel.trim().to_owned(),
            machine: std::env::consts::ARCH,
            journal_hours: 0,
            log_bytes: 0,
            left_out: Vec::new(),
        }
    }
}

/// All but the journal and the log.
fn small_parts(wanted: &Wanted<'_>, redactor: &Redactor, left_out: &mut Vec<String>) -> Vec<Part> {
    let text = |name, text: &str| Part { name, bytes: redactor.hide(text).into_bytes() };
    let mut parts = vec![text("configuration.txt", wanted.configuration)];
    for (name, file) in [("last_exit.json", LAST_EXIT_FILE), ("starts.json", "boots"), ("health.json", "health.json")] {
        // Each is there at some times only.
        if let Ok(found) = fs::read_to_string(wanted.state.join(file)) {
            parts.push(text(name, &found));
        }
    }
    match Telemetry::newest(wanted.state, EVENTS) {
        Ok(events) => {
            let line = |event: &crate::journal::TelemetryEvent| {
                let (at, pipeline) = (event.at.to_string(), &event.pipeline);
                let line =
                    serde_json::json!({ "at": at, "kind": event.kind, "pipeline": pipeline, "text": event.text });
                format!("{line}\n")
            };
            parts.push(text("crashes_and_warnings.jsonl", &events.iter().map(line).collect::<String>()));
        }
        Err(error) => left_out.push(format!("crashes_and_warnings.jsonl: {}", redactor.hide(&chain(&error)))),
    }
    let status = client::get::<serde_json::Value>(wanted.state, STATUS).map(|status| format!("{status:#}"));
    let metrics = client::get::<String>(wanted.state, METRICS);
    for (name, asked) in [("status.json", status), ("metrics.txt", metrics)] {
        match asked {
            Ok(found) => parts.push(text(name, &found)),
            Err(error) => left_out.push(format!("{name}: {}", chain(&error))),
        }
    }
    parts
}

/// The newest lines of the log file.
fn log_tail(state: &Path, bytes: u64, redactor: &Redactor) -> Part {
    let tail = File::open(state.join("logs/sentinel.log")).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
        let mut tail = Vec::new();
        file.take(bytes).read_to_end(&mut tail)?;
        // What was cut off at its beginning may be the rest of a secret.
        let is_cut = length > bytes;
        let first =
            if is_cut { tail.iter().position(|byte| *byte == b'\n').map_or(tail.len(), |at| at + 1) } else { 0 };
        Ok(String::from_utf8_lossy(tail.get(first..).unwrap_or_default()).into_owned())
    });
    Part { name: "log.txt", bytes: redactor.hide(&tail.unwrap_or_default()).into_bytes() }
}

/// In a file beside the bundle, which goes again.
fn journal_slice(wanted: &Wanted<'_>, hours: u64, redactor: &Redactor, to: &Path) -> Result<Part, BundleError> {
    // A name that nobody else has given: the directory is removed.
    let dir = crate::files::with_suffix(to, &format!(".{}.partial", crate::system::random_id()));
    create_private_dir(&dir).map_err(io_error(&dir, "creating it"))?;
    let file = dir.join(JOURNAL_FILE);
    let span = Duration::from_secs(hours * 3600);
    let sliced = slice(wanted.state, span, &file, |text| redactor.hide(text));
    let read = sliced.map_err(BundleError::from).and_then(|()| fs::read(&file).map_err(io_error(&file, "reading it")));
    let _ = fs::remove_dir_all(&dir);
    Ok(Part { name: JOURNAL_FILE, bytes: read? })
}

fn pack<'p>(contents: &Contents, parts: impl Iterator<Item = &'p Part>, now: UtcMs) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let mut append = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(now.secs()).unwrap_or(0));
        archive.append_data(&mut header, format!("sentinel-bundle/{name}"), bytes)
    };
    append("contents.json", &serde_json::to_vec_pretty(contents)?)?;
    for part in parts {
        append(part.name, &part.bytes)?;
    }
    archive.into_inner()?.finish()
}

fn place(to: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let mut file = file.map_err(io_error(to, "creating it"))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|error| {
        // Half an archive must not pass for one.
        let _ = fs::remove_file(to);
        io_error(to, "writing it")(error)
    })
}

fn io_error(file: &Path, action: &'static str) -> impl FnOnce(io::Error) -> BundleError {
    let file = file.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::AlreadyExists => BundleError::Exists(file),
        _ => BundleError::Io { file, action, source },
    }
}
