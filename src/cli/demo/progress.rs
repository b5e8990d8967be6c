//! The demo's progress line. A thread of its own looks at the board; the node knows nothing of it.

use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use sentinel_actors::domain::reason::Outcome;
use sentinel_actors::ports::elapsed_now;
use sentinel_actors::status::{Board, Totals};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Without a terminal each look would be a line in somebody's log.
const LOOKS_PER_LINE: u32 = 4;

enum Note {
    Watch(Board),
    Stop,
}

/// What was seen at the end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Sums of this run.
    pub totals: Totals,
    /// Elapsed time from the first look to the last slot.
    pub elapsed: Duration,
}

/// The running display.
pub struct Progress {
    notes: Sender<Note>,
    thread: JoinHandle<Seen>,
}

/// Tells the display what to look at.
pub struct Handle(Sender<Note>);

impl Handle {
    /// From now on.
    pub fn watch(&self, board: Board) {
        let _ = self.0.send(Note::Watch(board));
    }
}

impl Progress {
    /// Starts the display.
    #[must_use]
    pub fn start() -> Self {
        let (notes, inbox) = channel();
        let thread = std::thread::spawn(move || show(&inbox));
        Self { notes, thread }
    }

    /// For whoever starts the node.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(self.notes.clone())
    }

    /// Ends the display.
    #[must_use]
    pub fn stop(self) -> Seen {
        let _ = self.notes.send(Note::Stop);
        self.thread.join().unwrap_or_default()
    }
}

fn show(inbox: &Receiver<Note>) -> Seen {
    let Ok(Note::Watch(board)) = inbox.recv() else { return Seen::default() };
    let began = elapsed_now();
    let terminal = std::io::stdout().is_terminal();
    let mut looks = 0_u32;
    loop {
        let stop = match inbox.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) => false,
            Ok(Note::Watch(_)) => continue,
            Ok(Note::Stop) | Err(RecvTimeoutError::Disconnected) => true,
        };
        let seen = Seen { totals: board.totals(), elapsed: elapsed_now() - began };
        looks += 1;
        if terminal {
            print!("\r\x1b[K{}", line(&board, &seen));
            let _ = std::io::stdout().flush();
            if stop {
                println!();
            }
        } else if looks.is_multiple_of(LOOKS_PER_LINE) {
            println!("{}", line(&board, &seen));
        }
        if stop {
            return seen;
        }
    }
}

fn line(board: &Board, seen: &Seen) -> String {
    let bar = board.entries.values().find_map(|entry| entry.status.load().newest_decided_bar);
    let bar = bar.map_or_else(|| "waiting".to_owned(), |bar| bar.to_string());
    let speed = rate(seen.totals.slots(), seen.elapsed);
    let outcomes: Vec<String> =
        Outcome::ALL.iter().zip(seen.totals.outcomes).map(|(outcome, count)| format!("{outcome} {count}")).collect();
    format!(
        "paper gateway | bar {bar} | {speed:.0} slots/s | {} | orders {} | restarts {}",
        outcomes.join(", "),
        seen.totals.effects,
        seen.totals.restarts
    )
}

/// Per second; zero before any time has passed.
#[expect(clippy::cast_precision_loss, reason = "a speed for people")]
pub(super) fn rate(count: u64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { count as f64 / elapsed.as_secs_f64() }
}
