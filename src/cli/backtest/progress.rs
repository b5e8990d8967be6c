//! How far a backtest is, on standard error: all the time on a terminal, and elsewhere when it takes long.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use sentinel_actors::ports::elapsed_now;
use tokio::time::Instant;

/// Slots between two looks at the time.
const LOOK_EVERY: u64 = 512;
/// Elapsed time between two lines, on a terminal and elsewhere.
const TERMINAL_EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Of one pipeline.
pub(super) struct Progress {
    name: String,
    slots: u64,
    done: u64,
    told_at: Instant,
    is_terminal: bool,
    has_told: bool,
}

impl Progress {
    pub(super) fn new(name: &str) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { name: name.to_owned(), slots: 0, done: 0, told_at: elapsed_now(), is_terminal, has_told: false }
    }

    pub(super) const fn begin(&mut self, slots: u64) {
        self.slots = slots;
    }

    /// One more slot is done.
    pub(super) fn step(&mut self) {
        self.done += 1;
        if !self.done.is_multiple_of(LOOK_EVERY) {
            return;
        }
        let every = if self.is_terminal { TERMINAL_EVERY } else { LINE_EVERY };
        if self.told_at.elapsed() < every {
            return;
        }
        (self.told_at, self.has_told) = (elapsed_now(), true);
        let Self { name, slots, done, .. } = self;
        let percent = *done * 100 / (*slots).max(1);
        let end = if self.is_terminal { "\r" } else { "\n" };
        // Whoever has closed it does not want to know.
        let _ = write!(std::io::stderr(), "{name}: {percent:>3} %, {done} of {slots} slots{end}");
    }

    /// Leaves the terminal's line to what follows.
    pub(super) fn end(&self) {
        if self.has_told && self.is_terminal {
            let _ = write!(std::io::stderr(), "{:78}\r", "");
        }
    }
}
