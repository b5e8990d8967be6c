//! The service manager's socket: `sd_notify` of systemd, which others understand too.
//!
//! Without `NOTIFY_SOCKET` in the environment there is no [`Notify`], and nothing is sent. What a message says is
//! decided by [`super::health_reporter`], on its own thread: sending blocks when the manager does not read.

use std::time::Duration;

use sd_notify::NotifyState;
use sentinel_actors::domain::reason::Outcome;
use sentinel_actors::error_chain::chain;
use sentinel_actors::status::Board;
use tracing::warn;

/// A service manager that listens.
pub(super) struct Notify {
    /// Whether the failure to send has been logged.
    failure_logged: bool,
}

impl Notify {
    /// The manager that started this process, when it listens.
    pub(super) fn from_env() -> Option<Self> {
        std::env::var_os("NOTIFY_SOCKET")
            .is_some_and(|socket| !socket.is_empty())
            .then_some(Self { failure_logged: false })
    }

    /// How long the manager waits for a sign of life before it ends the process.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero())
    }

    /// Sends one message. The variable stays in the environment: changing that is unsound in a process with threads.
    pub(super) fn send(&mut self, states: &[NotifyState<'_>]) {
        match sd_notify::notify(states) {
            Ok(()) => self.failure_logged = false,
            Err(error) if self.failure_logged => drop(error),
            Err(error) => {
                self.failure_logged = true;
                warn!(event = "notify_failed", error = %chain(&error), "the service manager cannot be notified");
            }
        }
    }

    /// Asks the manager to wait for the start at least this long from now.
    pub(super) fn extend(&mut self, by: Duration) {
        self.send(&[NotifyState::ExtendTimeoutUsec(u32::try_from(by.as_micros()).unwrap_or(u32::MAX))]);
    }
}

/// The status line: counts by outcome, the newest reason, the next due slot, and what needs attention.
pub(super) fn status(board: &Board) -> String {
    let totals = board.totals();
    let counts: Vec<String> =
        Outcome::ALL.iter().zip(totals.outcomes).map(|(outcome, count)| format!("{outcome} {count}")).collect();
    let statuses: Vec<_> = board.entries.values().map(|entry| entry.status.load()).collect();
    let ended = statuses.iter().filter(|status| status.ended).count();
    let newest = statuses.iter().max_by_key(|status| status.last_slot).and_then(|status| status.last_reason);
    let next = statuses.iter().filter(|status| !status.ended).filter_map(|status| status.next_due).min();
    let mut line = format!("{}; {} pipelines", counts.join(", "), statuses.len());
    if ended > 0 {
        line.push_str(&format!(", {ended} ended"));
    }
    if let Some(reason) = newest {
        line.push_str(&format!("; last {reason}"));
    }
    if let Some(next) = next {
        line.push_str(&format!("; next due {next}"));
    }
    for (count, what) in [(board.parked(), "parked"), (board.held_orders(), "held orders")] {
        if count > 0 {
            line.push_str(&format!("; {what}: {count}"));
        }
    }
    if board.is_safe_mode() {
        line.push_str("; safe mode");
    }
    line
}
