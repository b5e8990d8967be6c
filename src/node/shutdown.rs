//! How the process ends: signals become an orderly shutdown, and the aborter ends what does not end by itself.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::Clock as _;
use sentinel_actors::root_supervisor::RootMsg;
use sentinel_actors::status::Board;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use super::LOG_FLUSH_WITHIN;
use super::health_reporter::HealthReporter;
use crate::exit;
use crate::journal::write_last_exit;
use crate::system::WallClock;
use crate::telemetry::record::Recorder;

/// SIGTERM, SIGINT and SIGHUP, caught from the moment this exists.
pub(super) struct Signals([tokio::signal::unix::Signal; 3]);

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?]))
    }

    /// The name of the first signal.
    pub(super) async fn first(&mut self) -> &'static str {
        let [term, int, hup] = &mut self.0;
        tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
            _ = hup.recv() => "SIGHUP",
        }
    }

    /// Turns the first signal into an orderly shutdown, and aborts if that takes too long.
    pub(super) async fn forward(
        mut self,
        root: ractor::ActorRef<RootMsg>,
        health_reporter: HealthReporter,
        aborter: Aborter,
        within: Duration,
    ) {
        let name = self.first().await;
        health_reporter.stopping(name);
        let _ = root.cast(RootMsg::Shutdown(name.to_owned()));
        // A thread, because the runtime itself may be what hangs.
        let overdue = move || {
            std::thread::sleep(within);
            aborter.abort("the node did not end in time after a signal");
        };
        if let Err(error) = std::thread::Builder::new().name("shutdown".to_owned()).spawn(overdue) {
            warn!(event = "shutdown_unwatched", error = %chain(&error), "no thread could be started to force the shutdown");
        }
    }
}

/// Writes the last log line and exit code, and aborts the process when it must.
#[derive(Clone)]
pub(super) struct Aborter {
    pub(super) state: PathBuf,
    pub(super) recorder: Recorder,
    /// Once the tree runs.
    pub(super) board: Arc<OnceLock<Board>>,
}

impl Aborter {
    /// Logs the last line of a node, whatever ended it.
    pub(super) fn log_end(&self, exit_code: u8, why: &str) {
        let cycles = self.board.get().map_or(0, |board| board.totals().slots());
        macro_rules! log {
            ($level:ident) => {
                $level!(event = "node_ended", exit_code, cycles, why, "the node has ended")
            };
        }
        if exit_code == exit::OK { log!(info) } else { log!(error) }
    }

    /// Ends the process at once: exit status 134, no core file (see `main`), and the exit code kept for the next start.
    pub(super) fn abort(&self, why: &str) {
        error!(event = "watchdog_abort", why, "the node aborts so that the service manager restarts it");
        let _ = write_last_exit(&self.state, exit::ABORTED.into(), WallClock.now());
        self.log_end(exit::ABORTED, why);
        self.recorder.flush(LOG_FLUSH_WITHIN);
        std::process::abort();
    }
}
