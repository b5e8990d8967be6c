//! Whether this machine, the endpoints and the chain agree on what time it is.
//!
//! Pure. Windows and competitions go by the chain's time, so a clock of this machine that is wrong costs no window: an endpoint is
//! judged by the time of its own answer ([`super::health`]), and schedules follow [`super::chain_clock`]. It is worth a line all the
//! same, because everything else on the machine goes by its clock, logs and the source of bars above all.

use std::fmt;
use std::time::Duration;

use sentinel_actors::domain::time::UtcMs;

use super::health::{Tip, Trouble};
use super::rpc::Status;

/// Clocks that differ by more do not agree.
pub const APART: Duration = Duration::from_secs(60);
/// They agree again below this, so that a difference near the limit is no line for every block.
const TOGETHER: Duration = Duration::from_secs(45);

/// The three clocks, read at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// This machine's.
    pub machine: UtcMs,
    /// That of the endpoints, by the header `Date` of their answers, to the second; `None`: none has said it.
    pub endpoints: Option<UtcMs>,
    /// The newest block's time, which is behind by what has passed since.
    pub block: UtcMs,
}

/// Which clock differs from the others. All differences are in milliseconds, positive for a clock that is ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disagreement {
    /// Endpoints and chain agree.
    Machine { ahead_ms: i64 },
    /// This machine and the chain agree.
    Endpoints { ahead_ms: i64 },
    /// This machine and the endpoints agree.
    Blocks { ahead_ms: i64 },
    /// No endpoint says the time, and which of the two is right cannot be told.
    MachineOrBlocks { ahead_ms: i64 },
    /// No two agree. Both are compared with the newest block.
    All { machine_ahead_ms: i64, endpoints_ahead_ms: i64 },
}

impl ClockReading {
    /// The reading of one survey; `None` when no endpoint of the chain has answered. Of several endpoints' clocks it is the middle one.
    pub(super) fn of(
        reports: &[Status],
        troubles: &[Option<Trouble>],
        tip: Option<Tip>,
        machine: UtcMs,
    ) -> Option<Self> {
        let is_of_chain =
            |trouble: &Option<Trouble>| !matches!(trouble, Some(Trouble::OtherChain(_) | Trouble::CatchingUp { .. }));
        let is_wanted =
            |trouble: &Option<Trouble>| if tip.is_some() { trouble.is_none() } else { is_of_chain(trouble) };
        let wanted =
            || reports.iter().zip(troubles).filter(|(_, trouble)| is_wanted(trouble)).map(|(report, _)| report);
        let newest = wanted().max_by_key(|report| report.height)?.time;
        let mut dates: Vec<UtcMs> = wanted().filter_map(|report| report.date).collect();
        dates.sort_unstable();
        let endpoints = dates.get(dates.len() / 2).copied();
        Some(Self { machine, endpoints, block: tip.map_or(newest, |tip| tip.time) })
    }

    /// Which clock is further from the others than `apart`. A newest block may be as old as an endpoint's may be, `stale_after`.
    #[must_use]
    pub fn disagreement(&self, apart: Duration, stale_after: Duration) -> Option<Disagreement> {
        let limit = |limit: Duration| i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        let (near, age) = (limit(apart), limit(apart.max(stale_after)));
        let ahead = |one: UtcMs, other: UtcMs| one.0.saturating_sub(other.0);
        let of_block = ahead(self.machine, self.block);
        let is_far = |ms: i64, behind_by: i64| ms > behind_by || ms < -near;
        let Some(endpoints) = self.endpoints else {
            return is_far(of_block, age).then_some(Disagreement::MachineOrBlocks { ahead_ms: of_block });
        };
        let (of_endpoints, between) = (ahead(endpoints, self.block), ahead(self.machine, endpoints));
        match (is_far(between, near), is_far(of_endpoints, age), is_far(of_block, age)) {
            (true, false, _) => Some(Disagreement::Machine { ahead_ms: between }),
            (true, true, false) => Some(Disagreement::Endpoints { ahead_ms: -between }),
            (true, true, true) => {
                Some(Disagreement::All { machine_ahead_ms: of_block, endpoints_ahead_ms: of_endpoints })
            }
            (false, false, false) => None,
            (false, ..) => Some(Disagreement::Blocks { ahead_ms: -of_endpoints }),
        }
    }
}

/// "612 s ahead of".
struct Ahead(i64);

impl fmt::Display for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.0 < 0 { "behind" } else { "ahead of" };
        write!(f, "{} s {side}", self.0.unsigned_abs() / 1000)
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Machine { ahead_ms } => {
                write!(f, "this machine's clock is {} the endpoints and the chain", Ahead(ahead_ms))
            }
            Self::Endpoints { ahead_ms } => {
                write!(f, "the endpoints' clock is {} this machine and the chain", Ahead(ahead_ms))
            }
            Self::Blocks { ahead_ms } => {
                write!(f, "the newest block is {} this machine and the endpoints", Ahead(ahead_ms))
            }
            Self::MachineOrBlocks { ahead_ms } => {
                write!(f, "this machine's clock is {} the newest block, and no endpoint says the time", Ahead(ahead_ms))
            }
            Self::All { machine_ahead_ms, endpoints_ahead_ms } => write!(
                f,
                "this machine's clock is {} the newest block, and that of the endpoints is {} it",
                Ahead(machine_ahead_ms),
                Ahead(endpoints_ahead_ms)
            ),
        }
    }
}

impl Disagreement {
    /// What an operator can do about it.
    #[must_use]
    pub const fn to_do(&self) -> &'static str {
        match self {
            Self::Machine { .. } => "set this machine's clock, for example with chrony; no window is missed for it",
            Self::Endpoints { .. } => "use other endpoints in allora.rpc: a block's age cannot be told by these",
            Self::Blocks { .. } => "wait, or use other endpoints in allora.rpc: the chain stands still, or these do",
            Self::MachineOrBlocks { .. } => {
                "compare this machine's clock with another one; when it is right, the chain or its endpoints stand still"
            }
            Self::All { .. } => "set this machine's clock first, for example with chrony, and look again",
        }
    }
}

/// The newest reading, and whether the clocks agreed before it.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    newest: Option<ClockReading>,
    apart: Option<Disagreement>,
}

/// A line that is worth writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Disagree(Disagreement),
    Agree,
}

impl Clocks {
    /// The newest reading, with what differs.
    pub(super) fn newest(&self) -> Option<(ClockReading, Option<Disagreement>)> {
        self.newest.map(|reading| (reading, self.apart))
    }

    /// Takes a reading; what it changes, when another clock differs than before or none does any more.
    pub(super) fn note(&mut self, reading: ClockReading, stale_after: Duration) -> Option<Change> {
        let limit = if self.apart.is_some() { TOGETHER } else { APART };
        let before = std::mem::replace(&mut self.apart, reading.disagreement(limit, stale_after));
        self.newest = Some(reading);
        let kind = |apart: &Disagreement| std::mem::discriminant(apart);
        match self.apart {
            Some(apart) if before.as_ref().map(kind) != Some(kind(&apart)) => Some(Change::Disagree(apart)),
            None if before.is_some() => Some(Change::Agree),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    const STALE: Duration = Duration::from_secs(60);

    /// Seconds by which each is ahead of the true time.
    fn reading(machine: i64, endpoints: Option<i64>, block: i64) -> ClockReading {
        let at = |seconds: i64| UtcMs(NOW + seconds * 1000);
        ClockReading { machine: at(machine), endpoints: endpoints.map(at), block: at(block) }
    }

    fn apart(machine: i64, endpoints: Option<i64>, block: i64) -> Option<Disagreement> {
        reading(machine, endpoints, block).disagreement(APART, STALE)
    }

    #[test]
    fn the_clock_that_differs_from_the_other_two_is_named() {
        assert_eq!(apart(60, Some(0), 0), None);
        assert_eq!(apart(-600, Some(0), -5), Some(Disagreement::Machine { ahead_ms: -600_000 }));
        assert_eq!(apart(61, Some(0), 0), Some(Disagreement::Machine { ahead_ms: 61_000 }));
        assert_eq!(apart(0, Some(600), -5), Some(Disagreement::Endpoints { ahead_ms: 600_000 }));
        assert_eq!(apart(0, Some(1), -600), Some(Disagreement::Blocks { ahead_ms: -601_000 }));
        let all = Disagreement::All { machine_ahead_ms: 600_000, endpoints_ahead_ms: -600_000 };
        assert_eq!(apart(600, Some(-600), 0), Some(all));
        assert_eq!(apart(600, None, -5), Some(Disagreement::MachineOrBlocks { ahead_ms: 605_000 }));
        assert_eq!(apart(0, None, -60), None);
    }

    #[test]
    fn a_block_may_be_as_old_as_an_endpoint_that_is_used_may_show() {
        let slow = reading(0, Some(0), -300);
        assert!(slow.disagreement(APART, STALE).is_some());
        assert_eq!(slow.disagreement(APART, Duration::from_secs(600)), None);
        let skewed = reading(-90, Some(0), -300);
        let machine = Disagreement::Machine { ahead_ms: -90_000 };
        assert_eq!(skewed.disagreement(APART, Duration::from_secs(600)), Some(machine));
    }

    #[test]
    fn a_lasting_difference_near_the_limit_is_one_line() {
        let mut clocks = Clocks::default();
        let mut note = |machine| clocks.note(reading(machine, Some(0), 0), STALE);
        assert_eq!([note(0), note(59)], [None; 2]);
        assert_eq!(note(61), Some(Change::Disagree(Disagreement::Machine { ahead_ms: 61_000 })));
        assert_eq!([note(59), note(62), note(600), note(46)], [None; 4]);
        assert_eq!([note(44), note(59)], [Some(Change::Agree), None]);
    }

    #[test]
    fn each_text_says_which_clock_by_how_much_and_what_to_do() {
        let cases = [apart(600, Some(0), 0), apart(0, Some(600), 0), apart(0, Some(0), -600), apart(600, None, 0)];
        for apart in cases.into_iter().flatten() {
            assert!(apart.to_string().contains("600 s "), "{apart}");
            assert!(!apart.to_do().is_empty());
        }
        let behind = apart(-600, Some(0), 0).unwrap().to_string();
        assert_eq!(behind, "this machine's clock is 600 s behind the endpoints and the chain");
    }

    fn report(height: u64, time: i64, date: Option<i64>) -> Status {
        let at = |seconds: i64| UtcMs(NOW + seconds * 1000);
        Status { chain_id: "a".to_owned(), height, time: at(time), date: date.map(at), catching_up: false }
    }

    #[test]
    fn one_wrong_clock_among_three_endpoints_is_outvoted_and_one_in_trouble_is_not_asked() {
        let reports =
            [report(10, 0, Some(600)), report(10, 0, Some(1)), report(9, -5, Some(2)), report(99, 0, Some(900))];
        let troubles = [None, None, None, Some(Trouble::Implausible { height: 99 })];
        let tip = Some(Tip { height: 10, time: UtcMs(NOW) });
        let read = ClockReading::of(&reports, &troubles, tip, UtcMs(NOW));
        assert_eq!(read, Some(reading(0, Some(2), 0)));
        let other = [Some(Trouble::OtherChain("b".to_owned()))];
        assert_eq!(ClockReading::of(&reports[..1], &other, None, UtcMs(NOW)), None);
    }

    proptest! {
        #[test]
        fn a_wrong_machine_is_found_whatever_its_skew(
            skew in prop_oneof![-100_000_i64..-62, 62_i64..100_000], age in 0_i64..7, rounded in 0_i64..2,
        ) {
            let found = apart(skew, Some(-rounded), -age);
            prop_assert_eq!(found, Some(Disagreement::Machine { ahead_ms: (skew + rounded) * 1000 }));
        }

        #[test]
        fn no_reading_makes_it_panic(machine: i64, endpoints: Option<i64>, block: i64) {
            let reading =
                ClockReading { machine: UtcMs(machine), endpoints: endpoints.map(UtcMs), block: UtcMs(block) };
            if let Some(apart) = reading.disagreement(APART, STALE) {
                let _ = (apart.to_string(), apart.to_do());
            }
        }
    }
}
