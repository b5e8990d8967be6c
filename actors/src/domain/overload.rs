//! Whether the node sheds load: slots whose turn to begin did not come in time, since when, and what cycles spend their time on.
//!
//! Pure: it is shown what was counted, and how much time passed.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cycle::Stage;
use super::time::UtcMs;

/// Without a shed slot for this long, an overload is over.
pub const CALM_AFTER: Duration = Duration::from_secs(5);
/// Time between two reports of an overload that lasts.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// What cycles spent their time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageTimes {
    pub cycles: u64,
    /// Sums, in the order of [`Stage::ALL`].
    pub stages: [Duration; 4],
}

impl StageTimes {
    fn add(&mut self, more: &Self) {
        self.cycles += more.cycles;
        for (sum, stage) in self.stages.iter_mut().zip(more.stages) {
            *sum += stage;
        }
    }

    /// The stage that took longest, with its mean time in a cycle; `None` when no cycle ended.
    #[must_use]
    pub fn slowest(&self) -> Option<(Stage, Duration)> {
        let cycles = u32::try_from(self.cycles).unwrap_or(u32::MAX);
        let (stage, sum) = Stage::ALL.into_iter().zip(self.stages).max_by_key(|(_, sum)| *sum)?;
        Some((stage, sum.checked_div(cycles)?))
    }
}

/// Slots were due that could not be worked on in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overload {
    #[serde(rename = "since_ms")]
    pub since: UtcMs,
    /// Slots that ended as missed because of it.
    pub slots: u64,
    /// The stage on which cycles spend most of their time meanwhile; `None` when none has ended.
    pub slowest: Option<Stage>,
    /// Its mean time in a cycle.
    pub slowest_ms: u64,
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} slots since {} could not begin in time", self.slots, self.since)?;
        match self.slowest {
            Some(stage) => write!(f, "; cycles spend most of their time in {stage}, {} ms each", self.slowest_ms),
            None => f.write_str("; no cycle has ended since"),
        }
    }
}

/// What is worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverloadReport {
    Began(Overload),
    Lasts(Overload),
    Ended(Overload),
}

/// Follows the load from look to look.
#[derive(Debug, Default)]
pub struct OverloadWatch {
    present: Option<Overload>,
    worked: StageTimes,
    calm_for: Duration,
    silent_for: Duration,
}

impl OverloadWatch {
    /// The overload that lasts.
    #[must_use]
    pub const fn present(&self) -> Option<Overload> {
        self.present
    }

    /// `shed` slots were shed and `worked` was done in the last `passed`.
    pub fn look(&mut self, shed: u64, worked: &StageTimes, now: UtcMs, passed: Duration) -> Option<OverloadReport> {
        let Some(mut overload) = self.present else {
            if shed == 0 {
                return None;
            }
            (self.worked, self.calm_for, self.silent_for) = (*worked, Duration::ZERO, Duration::ZERO);
            let overload = self.with_slowest(Overload { since: now, slots: shed, slowest: None, slowest_ms: 0 });
            self.present = Some(overload);
            return Some(OverloadReport::Began(overload));
        };
        self.worked.add(worked);
        overload.slots += shed;
        overload = self.with_slowest(overload);
        self.calm_for = if shed == 0 { self.calm_for + passed } else { Duration::ZERO };
        self.silent_for += passed;
        if self.calm_for >= CALM_AFTER {
            self.present = None;
            return Some(OverloadReport::Ended(overload));
        }
        self.present = Some(overload);
        if self.silent_for < REPORT_EVERY {
            return None;
        }
        self.silent_for = Duration::ZERO;
        Some(OverloadReport::Lasts(overload))
    }

    fn with_slowest(&self, overload: Overload) -> Overload {
        let Some((stage, mean)) = self.worked.slowest() else { return overload };
        let slowest_ms = u64::try_from(mean.as_millis()).unwrap_or(u64::MAX);
        Overload { slowest: Some(stage), slowest_ms, ..overload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn worked(cycles: u64, executor_ms: u64) -> StageTimes {
        let stages = [Duration::from_millis(1), Duration::ZERO, Duration::ZERO, Duration::from_millis(executor_ms)];
        StageTimes { cycles, stages }
    }

    #[test]
    fn an_overload_is_reported_when_it_begins_each_minute_and_when_it_is_over() {
        let mut watch = OverloadWatch::default();
        assert_eq!(watch.look(0, &worked(5, 1), UtcMs(1000), SECOND), None);
        let began = watch.look(3, &worked(2, 400), UtcMs(2000), SECOND);
        let overload = Overload { since: UtcMs(2000), slots: 3, slowest: Some(Stage::Executor), slowest_ms: 200 };
        assert_eq!(began, Some(OverloadReport::Began(overload)));
        let reports: Vec<_> = (0..60).filter_map(|_| watch.look(1, &worked(0, 0), UtcMs(3000), SECOND)).collect();
        assert_eq!(reports, [OverloadReport::Lasts(Overload { slots: 63, ..overload })]);
        let after: Vec<_> = (0..5).map(|_| watch.look(0, &worked(0, 0), UtcMs(9000), SECOND)).collect();
        assert_eq!(after[..4], [None; 4]);
        assert_eq!(after[4], Some(OverloadReport::Ended(Overload { slots: 63, ..overload })));
        assert_eq!(watch.present(), None);
    }

    #[test]
    fn an_overload_in_which_nothing_ends_says_so() {
        let mut watch = OverloadWatch::default();
        let Some(OverloadReport::Began(overload)) = watch.look(1, &StageTimes::default(), UtcMs(0), SECOND) else {
            panic!("it began");
        };
        let text = "1 slots since 1970-01-01T00:00:00Z could not begin in time; no cycle has ended since";
        assert_eq!(overload.to_string(), text);
    }
}
