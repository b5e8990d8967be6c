//! Whether the wall clock keeps pace with elapsed time. When it does not, the machine slept, or the clock was set or stands still.
//!
//! Nothing is decided here: the Executor compares each order's schedule time itself, and a pipeline never works on a slot
//! twice. This logs a step, at a limited rate.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::time::UtcMs;
use crate::ports::{Clock, elapsed_now};

/// A clock that moved this much more or less than elapsed time was set, or the machine slept.
const STEP: Duration = Duration::from_secs(2);
/// The comparison starts again after this long, so that a slow correction of the clock does not add up to a step.
const COMPARED_FOR: Duration = Duration::from_secs(60);
/// Readings of the two clocks that lie further apart are not compared: the thread was stopped between them.
const READ_WITHIN: Duration = Duration::from_millis(100);
/// Steps in the same direction are logged at most this often.
const LOG_EVERY: Duration = Duration::from_secs(600);

/// A step of the wall clock that is worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How far wall time moved beyond elapsed time, in milliseconds; negative when it was set back.
    pub by_ms: i64,
    /// Steps in this direction since the last one that was logged, this one included.
    pub steps: u32,
}

#[derive(Debug, Default)]
pub struct ClockWatch {
    /// Both clocks at the same moment.
    anchor: Option<(Instant, UtcMs)>,
    back: Steps,
    forward: Steps,
}

#[derive(Debug, Default)]
struct Steps {
    logged_at: Option<Instant>,
    steps: u32,
}

impl ClockWatch {
    /// Reads both clocks and compares them with the reading before.
    pub fn check(&mut self, wall: &dyn Clock) -> Option<Step> {
        let before = elapsed_now();
        let now = wall.now();
        let after = elapsed_now();
        if after.duration_since(before) > READ_WITHIN { None } else { self.compare(after, now) }
    }

    fn compare(&mut self, elapsed: Instant, wall: UtcMs) -> Option<Step> {
        let (since, then) = *self.anchor.get_or_insert((elapsed, wall));
        let passed = elapsed.duration_since(since);
        let by_ms = wall.0.saturating_sub(then.plus(passed).0);
        let is_step = Duration::from_millis(by_ms.unsigned_abs()) > STEP;
        if is_step || passed >= COMPARED_FOR {
            self.anchor = Some((elapsed, wall));
        }
        if !is_step {
            return None;
        }
        let direction = if by_ms < 0 { &mut self.back } else { &mut self.forward };
        direction.steps = direction.steps.saturating_add(1);
        if direction.logged_at.is_some_and(|at| elapsed.duration_since(at) < LOG_EVERY) {
            return None;
        }
        direction.logged_at = Some(elapsed);
        Some(Step { by_ms, steps: std::mem::take(&mut direction.steps) })
    }
}

/// The latest time that a clock has shown, and for how long it has shown the same.
#[derive(Debug, Default)]
pub struct ClockFace {
    latest: Option<UtcMs>,
    newest: Option<(UtcMs, Instant)>,
}

impl ClockFace {
    /// Takes a look: the latest time so far, and how long the clock has stood still.
    pub fn look(&mut self, elapsed: Instant, wall: UtcMs) -> (UtcMs, Duration) {
        let latest = self.latest.map_or(wall, |latest| latest.max(wall));
        self.latest = Some(latest);
        let since = match self.newest {
            Some((shown, since)) if shown == wall => since,
            _ => elapsed,
        };
        self.newest = Some((wall, since));
        (latest, elapsed.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks once a second; the wall clock is off by these milliseconds.
    fn steps(offsets: impl IntoIterator<Item = i64>) -> Vec<(u64, Step)> {
        let (start, mut watch) = (elapsed_now(), ClockWatch::default());
        let looks = (0_u64..).zip(offsets).filter_map(|(second, offset)| {
            let passed = Duration::from_secs(second);
            let wall = UtcMs(UtcMs(1_700_000_000_000).plus(passed).0 + offset);
            watch.compare(start + passed, wall).map(|step| (second, step))
        });
        looks.collect()
    }

    #[test]
    fn a_clock_that_keeps_pace_or_is_slowly_corrected_is_no_step() {
        assert_eq!(steps([0; 300]), []);
        // Five times as fast as a time service may turn a clock.
        assert_eq!(steps((0..86_400).map(|second| second * 5 / 2)), []);
    }

    #[test]
    fn a_clock_that_stands_still_is_told_from_one_that_was_set() {
        let (start, mut face, second) = (elapsed_now(), ClockFace::default(), Duration::from_secs(1));
        let mut look = |after: u32, wall: i64| face.look(start + second * after, UtcMs(wall));
        assert_eq!(look(0, 5_000), (UtcMs(5_000), Duration::ZERO));
        assert_eq!(look(1, 6_000), (UtcMs(6_000), Duration::ZERO));
        assert_eq!(look(9, 6_000), (UtcMs(6_000), 8 * second), "it stands");
        assert_eq!(look(10, 2_000), (UtcMs(6_000), Duration::ZERO), "it was set back");
        assert_eq!(look(11, 9_000), (UtcMs(9_000), Duration::ZERO));
    }

    #[test]
    fn a_clock_step_and_a_suspend_are_logged_with_their_length() {
        let step = |by_ms| Step { by_ms, steps: 1 };
        let hour = 3_600_000;
        assert_eq!(steps([0, 0, -hour, -hour, 0, 0]), [(2, step(-hour)), (4, step(hour))]);
        assert_eq!(steps([0, 1_999, 0]), [], "less than a step");
    }

    #[test]
    fn a_swinging_clock_is_logged_six_times_an_hour_in_each_direction() {
        let logged = steps((0..3 * 3600).map(|second| if second % 2 == 0 { 0 } else { -5_000 }));
        assert_eq!(logged.len(), 2 * 18);
        assert_eq!(logged.last().map(|(_, step)| step.steps), Some(300));
    }
}
