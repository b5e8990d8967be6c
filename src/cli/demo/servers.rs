//! The servers beside the demo's node: a model hub and a trade gateway, each a process of its own on loopback.
//!
//! They are subcommands of this program. They always end with the demo: in order when it ends, by a signal of the kernel
//! when it is killed.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sentinel_actors::ports::elapsed_now;

use crate::cli::exit;
use crate::cli::proof::venue::LEDGER_FILE;

/// A server that has not printed its address within this has failed.
const START_WITHIN: Duration = Duration::from_secs(20);
/// A server that does not end in order within this is killed.
const END_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("the {name} could not be started")]
    Spawn { name: &'static str, source: std::io::Error },
    /// What it needs belongs to another process.
    #[error("another {name} uses the files of this state; its log is {}", log.display())]
    InUse {
        name: &'static str,
        /// Its standard error.
        log: PathBuf,
    },
    /// It ended, or did not print its address in time.
    #[error("the {name} did not come up; its log is {}", log.display())]
    Silent {
        name: &'static str,
        /// Its standard error.
        log: PathBuf,
    },
}

/// What stands beside the node of the order job. The fields are in the order in which they end.
pub struct Servers {
    pub gateway: Server,
    pub hub: Server,
}

impl Servers {
    /// The hub and the gateway, listening.
    pub fn start(files: &Path, state: &Path) -> Result<Self, ServerError> {
        let (model, bars) = (files.join("model.onnx"), files.join("eurusd_1h_2017.csv"));
        let hub = Server::start("hub", &["hub", "--model", &model.to_string_lossy()], files)?;
        let bars = format!("EURUSD={}", bars.display());
        let ledger = state.join(LEDGER_FILE);
        let ledger = ledger.to_string_lossy();
        let clock = format!("EURUSD={}", state.join("replay/eurusd.time").display());
        let gateway = ["gateway", "--paper", "--bars", &bars, "--clock", &clock, "--ledger", &ledger];
        Ok(Self { gateway: Server::start("gateway", &gateway, files)?, hub })
    }
}

pub struct Server {
    name: &'static str,
    child: Child,
    /// Where it listens, on loopback.
    pub port: u16,
}

impl Server {
    /// Starts `sentinel ARGS` and waits until it prints its address. Its log goes to `NAME.log` in `dir`.
    ///
    /// The servers of a demo that was killed end a moment after it. Until then the ledger is theirs, and a new demo waits.
    fn start(name: &'static str, args: &[&str], dir: &Path) -> Result<Self, ServerError> {
        let until = elapsed_now() + END_WITHIN;
        loop {
            match Self::try_start(name, args, dir) {
                Err(ServerError::InUse { .. }) if elapsed_now() < until => std::thread::sleep(LOOK_EVERY),
                started => return started,
            }
        }
    }

    fn try_start(name: &'static str, args: &[&str], dir: &Path) -> Result<Self, ServerError> {
        let spawn = |source| ServerError::Spawn { name, source };
        let log = dir.join(format!("{name}.log"));
        let file = std::fs::File::options().create(true).append(true).open(&log).map_err(spawn)?;
        let program = std::env::current_exe().map_err(spawn)?;
        let mut child = Command::new(program)
            .args(args)
            .args(["--port", "0", "--end-with-parent"])
            // The model's runtime would start a thread per core, and keep them idle.
            .env("RTEN_NUM_THREADS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            // Not in the terminal's group: Ctrl-C is for the demo, which ends its servers after the node.
            .process_group(0)
            .spawn()
            .map_err(spawn)?;
        let said = child.stdout.take();
        let mut server = Self { name, child, port: 0 };
        let (sender, receiver) = std::sync::mpsc::channel();
        // A thread, because the line may never come; it ends with the server.
        std::thread::spawn(move || {
            let mut line = String::new();
            if said.is_some_and(|said| BufReader::new(said).read_line(&mut line).is_ok()) {
                let _ = sender.send(line);
            }
        });
        let line = receiver.recv_timeout(START_WITHIN).unwrap_or_default();
        if let Some(port) = line.trim().rsplit(':').next().and_then(|port| port.parse().ok()) {
            server.port = port;
            return Ok(server);
        }
        let in_use = server.ended_within(LOOK_EVERY * 10).and_then(|end| end.code()) == Some(exit::TEMPORARY.into());
        Err(if in_use { ServerError::InUse { name, log } } else { ServerError::Silent { name, log } })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn ended_within(&mut self, within: Duration) -> Option<ExitStatus> {
        let until = elapsed_now() + within;
        loop {
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || elapsed_now() >= until {
                return ended;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Server {
    /// Ends the process, in order when it listens.
    fn drop(&mut self) {
        if self.ended_within(Duration::ZERO).is_some() {
            if self.port != 0 {
                eprintln!("the {} ended before the demo did", self.name);
            }
            return;
        }
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if self.ended_within(END_WITHIN).is_none() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
