//! The boot record: how the last run ended, and whether this start follows a crash loop.
//!
//! Promise kept: a node that crashes repeatedly waits longer before each start and, after five crashes in ten minutes
//! without a slot worked on in between, sends nothing for half an hour. A run that left no exit code has crashed too:
//! SIGKILL, SIGSEGV, an abort, a panic of the process and a power cut leave none, and an orderly end always does. The record
//! lives in two small files beside the journal, so that it also counts starts that fail because the journal does. Losing it
//! never stops a node.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use sentinel_actors::domain::node_view::LastEnd;
use sentinel_actors::domain::time::UtcMs;
use serde::{Deserialize, Serialize};

use super::{BOOTS_FILE, JournalError, JournalReader, LAST_EXIT_FILE, StateDir};
use crate::exit;
use crate::files::{Durability, replace};

/// Exit codes that mean a crash: meltdown, failed disk, abort. So does the lack of one.
const CRASHES: [u8; 3] = [exit::SOFTWARE, exit::IO, exit::ABORTED];
/// Crashes within this time belong together.
const WINDOW: Duration = Duration::from_secs(600);
/// This many of them are a crash loop.
const LOOP: usize = 5;
/// How long a node sends nothing after a crash loop.
const SAFE_MODE: Duration = Duration::from_secs(1800);
/// The longest wait before a start.
const DELAY_MAX: Duration = Duration::from_secs(60);
/// Boots that are remembered.
const KEPT: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastExit {
    /// Exit code; 134 for an abort.
    pub code: i32,
    /// Wall time.
    #[serde(rename = "at_ms")]
    pub at: UtcMs,
    /// By pipeline, the last slot that was to be run, when the run ended because nothing was left to do: a proof looks
    /// for rows until there.
    #[serde(rename = "finished_ms", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub finished: BTreeMap<String, UtcMs>,
}

/// One start of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Wall time.
    #[serde(rename = "at_ms")]
    pub at: UtcMs,
    /// Exit code of the run before; `None` when it left none, as after `kill -9` or a power cut, and when there was none.
    pub after: Option<i32>,
    /// How many slots the journal had worked on by then; `None` when it could not be asked.
    pub worked_slots: Option<i64>,
}

/// What follows from the boots so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BootVerdict {
    /// Crashes in a row within the window, up to this boot.
    pub crashes: usize,
    /// The start waits for a uniformly random part of this (full jitter).
    pub delay_max: Duration,
    /// Until then the node sends nothing.
    pub safe_mode_until: Option<UtcMs>,
}

/// Judges a history of boots, oldest first; the last one is the present boot.
#[must_use]
pub fn judge(boots: &[Boot], now: UtcMs) -> BootVerdict {
    let mut row: Vec<UtcMs> = Vec::new();
    let mut safe_mode_until = None;
    let mut worked_before = None;
    for (number, boot) in boots.iter().enumerate() {
        // Nothing ran before the first one that is known.
        let crashed = boot.after.map_or(number > 0, |code| CRASHES.map(i32::from).contains(&code));
        // A run that worked on a slot was of use: whatever ended it begins a new row.
        if let (Some(before), Some(now)) = (worked_before, boot.worked_slots)
            && now > before
        {
            row.clear();
        } else if crashed {
            row.push(boot.at);
        }
        worked_before = boot.worked_slots.or(worked_before);
        // Times after `boot.at` mean that the wall clock was set back; counting them is the careful choice.
        row.retain(|crash| boot.at.since(*crash) <= WINDOW);
        if row.len() >= LOOP {
            safe_mode_until = Some(boot.at.plus(SAFE_MODE));
        }
    }
    row.retain(|crash| now.since(*crash) <= WINDOW);
    BootVerdict {
        crashes: row.len(),
        delay_max: delay_max(row.len()),
        safe_mode_until: safe_mode_until.filter(|until| now < *until),
    }
}

fn delay_max(crashes: usize) -> Duration {
    match u32::try_from(crashes).ok().and_then(|n| 1_u64.checked_shl(n)) {
        Some(1) => Duration::ZERO,
        Some(seconds) => Duration::from_secs(seconds).min(DELAY_MAX),
        None => DELAY_MAX,
    }
}

/// The record of a state directory.
#[derive(Debug)]
pub struct BootRecord {
    pub last_exit: Option<LastExit>,
    /// Boots, oldest first; the last one is this one.
    pub boots: Vec<Boot>,
    pub verdict: BootVerdict,
}

impl BootRecord {
    /// Notes this start and judges it. Called once, before the journal is opened for writing.
    ///
    /// # Errors
    /// When the record cannot be written; the verdict of the next start may then be too mild.
    pub fn register(state: &StateDir, now: UtcMs) -> io::Result<Self> {
        let dir = state.path();
        let last_exit = read_last_exit(dir);
        let mut boots = read_boots(dir);
        let worked_slots = worked_slots(dir);
        boots.push(Boot { at: now, after: last_exit.as_ref().map(|exit| exit.code), worked_slots });
        let surplus = boots.len().saturating_sub(KEPT);
        boots.drain(..surplus);
        let text = serde_json::to_string(&boots)?;
        write(dir, BOOTS_FILE, &text)?;
        // Used up: when this run leaves none, it did not end in order.
        remove(dir, LAST_EXIT_FILE)?;
        let verdict = judge(&boots, now);
        Ok(Self { last_exit, boots, verdict })
    }

    /// How the run before ended, when it said that it did not end in order.
    #[must_use]
    pub fn ended_badly(&self) -> Option<LastEnd> {
        let LastExit { code, at, .. } = self.last_exit.as_ref()?;
        CRASHES.map(i32::from).contains(code).then_some(LastEnd { code: *code, at: *at })
    }

    /// Ends a safe mode, confirmed by the operator: the record of starts is removed.
    ///
    /// # Errors
    /// When the record cannot be removed.
    pub fn end_safe_mode(dir: &Path) -> io::Result<()> {
        remove(dir, BOOTS_FILE)
    }

    /// Whether the operator has done so since this run began.
    #[must_use]
    pub fn safe_mode_was_ended(dir: &Path) -> bool {
        !dir.join(BOOTS_FILE).exists()
    }
}

/// Writes how this run ends. Needs no lock and no other thread, so that a watchdog can call it before it aborts.
///
/// # Errors
/// When the file cannot be written; the exit then does not count.
pub fn write_last_exit(dir: &Path, code: i32, at: UtcMs) -> io::Result<()> {
    keep_last_exit(dir, &LastExit { code, at, finished: BTreeMap::new() })
}

/// The same, with all that there is to say.
///
/// # Errors
/// When the file cannot be written.
pub fn keep_last_exit(dir: &Path, exit: &LastExit) -> io::Result<()> {
    write(dir, LAST_EXIT_FILE, &serde_json::to_string(exit)?)
}

/// How the last run ended, when it said so.
#[must_use]
pub fn read_last_exit(dir: &Path) -> Option<LastExit> {
    serde_json::from_str(&std::fs::read_to_string(dir.join(LAST_EXIT_FILE)).ok()?).ok()
}

fn worked_slots(dir: &Path) -> Option<i64> {
    match JournalReader::open(dir) {
        Ok(reader) => reader.worked_slots().ok(),
        Err(JournalError::Missing { .. }) => Some(0),
        Err(_) => None,
    }
}

/// An unreadable record counts as none: it must not keep a node from starting.
fn read_boots(dir: &Path) -> Vec<Boot> {
    let text = std::fs::read_to_string(dir.join(BOOTS_FILE)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn write(dir: &Path, name: &str, text: &str) -> io::Result<()> {
    replace(&dir.join(name), Durability::Content, |file| writeln!(file, "{text}"))
}

fn remove(dir: &Path, name: &str) -> io::Result<()> {
    match std::fs::remove_file(dir.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boots(of: &[(i64, Option<i32>, i64)]) -> Vec<Boot> {
        let boot = |(minute, after, worked): &(i64, Option<i32>, i64)| Boot {
            at: UtcMs::from_secs(minute * 60),
            after: *after,
            worked_slots: Some(*worked),
        };
        of.iter().map(boot).collect()
    }

    fn minute(minute: i64) -> UtcMs {
        UtcMs::from_secs(minute * 60)
    }

    #[test]
    fn a_first_start_neither_waits_nor_is_safe() {
        assert_eq!(judge(&boots(&[(0, None, 0)]), minute(0)), BootVerdict::default());
    }

    #[test]
    fn five_crashes_in_ten_minutes_are_half_an_hour_of_safe_mode() {
        let mut history = boots(&[(0, Some(70), 3), (1, Some(74), 3), (2, Some(134), 3), (3, Some(70), 3)]);
        assert_eq!(judge(&history, minute(3)).safe_mode_until, None);
        history.extend(boots(&[(4, Some(70), 3)]));
        assert_eq!(judge(&history, minute(4)).safe_mode_until, Some(minute(34)));
        assert_eq!(judge(&history, minute(34)).safe_mode_until, None);
    }

    #[test]
    fn a_later_clean_start_stays_in_the_safe_mode() {
        let mut history = boots(&[(0, Some(70), 3), (1, Some(70), 3), (2, Some(70), 3), (3, Some(70), 3)]);
        history.extend(boots(&[(4, Some(70), 3), (20, Some(0), 3)]));
        assert_eq!(judge(&history, minute(20)).safe_mode_until, Some(minute(34)));
    }

    #[test]
    fn a_slot_worked_on_in_between_begins_a_new_row() {
        let history =
            boots(&[(0, Some(70), 1), (1, Some(70), 1), (2, Some(70), 1), (3, Some(70), 1), (4, Some(70), 2)]);
        assert_eq!(judge(&history, minute(4)), BootVerdict::default());
    }

    #[test]
    fn clean_ends_do_not_count_and_slow_crashes_are_no_loop() {
        let clean: Vec<_> = [None, Some(0), Some(64), Some(75), Some(78), Some(130)].map(|code| (0, code, 0)).to_vec();
        assert_eq!(judge(&boots(&clean), minute(0)), BootVerdict::default());
        let slow: Vec<_> = (0..8).map(|n| (n * 3, Some(70), 0)).collect();
        assert_eq!(judge(&boots(&slow), minute(21)).safe_mode_until, None);
    }

    #[test]
    fn seven_kills_in_one_second_without_an_exit_code_are_a_crash_loop() {
        let kills: Vec<_> = (0..=7).map(|_| (0, None, 0)).collect();
        for starts in 1..=kills.len() {
            let verdict = judge(&boots(&kills[..starts]), minute(0));
            assert_eq!(verdict.crashes, starts - 1);
            assert_eq!(verdict.safe_mode_until.is_some(), starts > 5, "{verdict:?}");
        }
        assert_eq!(judge(&boots(&kills), minute(0)).delay_max, DELAY_MAX);
    }

    #[test]
    fn a_kill_after_a_slot_that_was_worked_on_begins_a_new_row() {
        let history = boots(&[(0, None, 0), (1, None, 0), (2, None, 1), (3, None, 2)]);
        assert_eq!(judge(&history, minute(3)), BootVerdict::default());
    }

    #[test]
    fn each_crash_doubles_the_longest_wait_up_to_a_minute() {
        let waits: Vec<u64> = (0..9)
            .map(|crashes| {
                let history: Vec<_> = (0..crashes).map(|_| (0, Some(70), 0)).collect();
                judge(&boots(&history), minute(0)).delay_max.as_secs()
            })
            .collect();
        assert_eq!(waits, [0, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(delay_max(1000), DELAY_MAX);
    }

    #[test]
    fn an_unknown_count_of_slots_is_no_progress() {
        let mut history =
            boots(&[(0, Some(74), 3), (1, Some(74), 3), (2, Some(74), 3), (3, Some(74), 3), (4, Some(74), 3)]);
        history[3].worked_slots = None;
        assert!(judge(&history, minute(4)).safe_mode_until.is_some());
    }

    #[test]
    fn only_a_run_that_ended_with_a_crash_is_said_to_have_ended_badly() {
        for (code, is_bad) in [(0, false), (64, false), (78, false), (130, false), (70, true), (74, true), (134, true)]
        {
            let dir = tempfile::tempdir().unwrap();
            let state = StateDir::open(dir.path()).unwrap();
            write_last_exit(dir.path(), code, minute(7)).unwrap();
            let ended = BootRecord::register(&state, minute(8)).unwrap().ended_badly();
            assert_eq!(ended, is_bad.then_some(LastEnd { code, at: minute(7) }));
            assert_eq!(BootRecord::register(&state, minute(9)).unwrap().ended_badly(), None, "it is told once");
        }
    }
}
