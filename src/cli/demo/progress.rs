//! The demo's progress line. A thread of its own looks at the board; the node knows nothing of it.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use sentinel_actors::domain::schedule::Schedule;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::elapsed_now;
use sentinel_actors::status::{Board, Totals};

use crate::cli::text::{WIDTH, cell};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Without a terminal, one line per this many looks.
const LOOKS_PER_LINE: u32 = 20;

enum Note {
    Watch(Board, Option<Course>),
    Stop,
}

/// The slots from the first to the last one of a run.
#[derive(Debug, Clone)]
pub struct Course {
    schedule: Schedule,
    before_first: UtcMs,
    slots: u64,
}

impl Course {
    /// From `first` to `last`, both included; `None` when there are none.
    #[must_use]
    pub fn new(schedule: Schedule, first: UtcMs, last: UtcMs) -> Option<Self> {
        let before_first = UtcMs(first.0.saturating_sub(1));
        let slots = schedule.count(before_first, last);
        (slots > 0).then_some(Self { schedule, before_first, slots })
    }

    /// How many of them lie behind, when `slot` is the newest one that has ended.
    fn behind(&self, slot: UtcMs) -> u64 {
        self.schedule.count(self.before_first, slot).min(self.slots)
    }
}

/// What was seen at the end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Sums of this run.
    pub totals: Totals,
    /// Elapsed time from the first look to the last slot.
    pub elapsed: Duration,
}

pub struct Progress {
    notes: Sender<Note>,
    thread: JoinHandle<Seen>,
}

/// Gives the display the board to show.
pub struct Handle(Sender<Note>);

impl Handle {
    pub fn watch(&self, board: Board, course: Option<Course>) {
        let _ = self.0.send(Note::Watch(board, course));
    }
}

impl Progress {
    /// `effects` is what leaves the node.
    #[must_use]
    pub fn start(effects: &'static str) -> Self {
        let (notes, inbox) = channel();
        let thread = std::thread::spawn(move || show(&inbox, effects));
        Self { notes, thread }
    }

    /// For the code that starts the node.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(self.notes.clone())
    }

    #[must_use]
    pub fn stop(self) -> Seen {
        let _ = self.notes.send(Note::Stop);
        self.thread.join().unwrap_or_default()
    }
}

fn show(inbox: &Receiver<Note>, effects: &str) -> Seen {
    let Ok(Note::Watch(board, course)) = inbox.recv() else { return Seen::default() };
    let began = elapsed_now();
    let terminal = std::io::stdout().is_terminal();
    let mut looks = 0_u32;
    let mut range = SlotRange::default();
    loop {
        let stop = match inbox.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) => false,
            Ok(Note::Watch(..)) => continue,
            Ok(Note::Stop) | Err(RecvTimeoutError::Disconnected) => true,
        };
        let seen = Seen { totals: board.totals(), elapsed: elapsed_now() - began };
        range.update(&board, seen.elapsed);
        looks += 1;
        if terminal {
            // The last column stays free: a terminal may break the line there.
            let line = line(course.as_ref(), &range, &seen, effects);
            print!("\r\x1b[K{}", cell(&line, columns().saturating_sub(1)).trim_end());
            let _ = std::io::stdout().flush();
            if stop {
                println!();
            }
        } else if looks.is_multiple_of(LOOKS_PER_LINE) {
            println!("{}", line(course.as_ref(), &range, &seen, effects));
        }
        if stop {
            return seen;
        }
    }
}

/// How wide the terminal is now; it may be changed while the demo runs.
fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(WIDTH)
}

/// How far the schedule has come, by slot times: the counters of a restarted part begin at 0 again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct SlotRange {
    /// The newest slot at the first look that saw one, and when that was.
    first: Option<(UtcMs, Duration)>,
    newest: Option<UtcMs>,
}

impl SlotRange {
    fn update(&mut self, board: &Board, elapsed: Duration) {
        let newest = board.entries.values().filter_map(|entry| entry.status.load().last_slot).max();
        self.newest = self.newest.max(newest);
        self.first = self.first.or(newest.map(|newest| (newest, elapsed)));
    }
}

/// One line of fewer than 80 columns.
fn line(course: Option<&Course>, range: &SlotRange, seen: &Seen, effects: &str) -> String {
    let (Some((first, began)), Some(newest), Some(course)) = (range.first, range.newest, course) else {
        return "  0 % | waiting for the first slot".to_owned();
    };
    let behind = course.behind(newest);
    let (percent, left) = (behind * 100 / course.slots, course.slots - behind);
    let speed = rate(behind - course.behind(first), seen.elapsed.saturating_sub(began));
    let bar: String = newest.to_string().chars().take("2017-01-27T21:00".len()).collect();
    let Totals { effects: count, restarts, .. } = seen.totals;
    let bar = bar.replace('T', " ");
    let mut line = format!("{percent:>3} % | {bar} | {count} {effects}");
    if restarts > 0 {
        let _ = write!(line, " | {restarts} restarts");
    }
    if let Some(seconds) = seconds(left, speed) {
        // Beside restarts it says little, and the line has no room for both.
        if restarts == 0 {
            let _ = write!(line, " | {speed:.0} slots/s");
        }
        let left = humantime::format_duration(Duration::from_secs(seconds));
        let _ = write!(line, " | {left} left");
    }
    line
}

/// Until `left` slots are done; `None` while the speed is unknown.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time for people"
)]
fn seconds(left: u64, speed: f64) -> Option<u64> {
    (speed > 0.0).then(|| (left as f64 / speed).ceil() as u64)
}

/// Per second; zero before any time has passed.
#[expect(clippy::cast_precision_loss, reason = "a speed for people")]
pub(super) fn rate(count: u64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { count as f64 / elapsed.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course() -> Course {
        let hourly = Schedule::every(Duration::from_secs(3600), Duration::from_secs(2)).unwrap();
        Course::new(hourly, "2017-01-12T06:00:02Z".parse().unwrap(), "2017-12-29T21:00:02Z".parse().unwrap()).unwrap()
    }

    fn seen(effects: u64, restarts: u64, seconds: u64) -> Seen {
        Seen { totals: Totals { effects, restarts, ..Totals::default() }, elapsed: Duration::from_secs(seconds) }
    }

    #[test]
    fn the_progress_line_has_percent_and_remaining_time_and_fits_80_columns() {
        let at = |text: &str| Some(text.parse::<UtcMs>().unwrap());
        let first = at("2017-01-12T06:00:02Z").map(|slot| (slot, Duration::from_secs(1)));
        let range = SlotRange { first, newest: at("2017-07-06T01:00:02Z") };
        let line = line(Some(&course()), &range, &seen(43, 0, 22), "orders");
        assert_eq!(line, " 49 % | 2017-07-06 01:00 | 43 orders | 200 slots/s | 22s left");
        let line = super::line(Some(&course()), &range, &seen(9_856, 1234, 3), "forecasts");
        assert!(line.contains("9856 forecasts | 1234 restarts | ") && line.chars().count() < 80, "{line}");
        let at_first = SlotRange { newest: first.map(|first| first.0), ..range };
        let line = super::line(Some(&course()), &at_first, &seen(0, 0, 1), "orders");
        assert_eq!(line, "  0 % | 2017-01-12 06:00 | 0 orders", "the speed is not known yet");
        assert_eq!(
            super::line(Some(&course()), &SlotRange::default(), &seen(0, 0, 0), "orders"),
            "  0 % | waiting for the first slot"
        );
    }
}
