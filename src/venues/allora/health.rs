//! Which endpoints can be used, judged by what they say about themselves and by what the others say.
//!
//! Pure: time is passed in. How old a node's newest block is shows the `Date` of the same answer: this machine's clock may be wrong
//! and would make every endpoint look stuck, or of the future. It counts only for an answer without that header.
//!
//! A node that is behind answers with old sequences and does not find transactions, and one that claims
//! a height which the chain has not would make a waiting transaction look lost. So a height counts when two endpoints agree on
//! it; when no two do, the lowest plausible one counts, because believing too little only delays.

use std::fmt;
use std::time::Duration;

use sentinel_actors::domain::time::UtcMs;
use tokio::time::Instant;

use super::rpc::Status;

/// Blocks that an endpoint may be behind.
pub(super) const LAG_BLOCKS_MAX: u64 = 5;
/// A block's time may be so far ahead of the clock that it is judged by.
const AHEAD_MAX: Duration = Duration::from_secs(30);
/// No chain makes blocks faster. Only for what is absurd: five seconds are usual.
const BLOCK_LEAST: Duration = Duration::from_millis(10);

/// The newest block of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    pub height: u64,
    /// Of that block.
    pub time: UtcMs,
}

/// Whose clock says how old a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockOf {
    /// The endpoint's, by the `Date` of the same answer.
    Endpoint,
    /// This machine's, because the answer has no `Date`.
    Machine,
}

/// Why an endpoint is not used at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It has not said yet how it is.
    Silent,
    /// It serves another chain.
    OtherChain(String),
    /// It is still reading old blocks.
    CatchingUp { height: u64 },
    /// Its newest block is old.
    Stuck { height: u64, age: Duration, clock: ClockOf },
    /// Its newest block is of the future.
    Ahead { by: Duration, clock: ClockOf },
    /// Others have newer blocks.
    Behind { blocks: u64 },
    /// It claims a height that the chain cannot have.
    Implausible { height: u64 },
    /// It failed, or wants rest.
    Resting { left: Duration, error: String },
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("it has not answered in time"),
            Self::OtherChain(chain) => write!(f, "it is of the chain '{chain}': remove it, or correct chain_id"),
            Self::CatchingUp { height } => write!(f, "it is catching up, at block {height}"),
            Self::Stuck { height, age, clock } => {
                let or = match clock {
                    ClockOf::Endpoint => "",
                    ClockOf::Machine => ", or this machine's clock is wrong",
                };
                write!(f, "its newest block, {height}, is {} s old{or}", age.as_secs())
            }
            Self::Ahead { by, clock: ClockOf::Endpoint } => {
                write!(f, "its newest block is {} s ahead of its own clock", by.as_secs())
            }
            Self::Ahead { by, clock: ClockOf::Machine } => {
                write!(f, "its newest block is {} s in the future: set this machine's clock", by.as_secs())
            }
            Self::Behind { blocks } => write!(f, "it is {blocks} blocks behind"),
            Self::Implausible { height } => write!(f, "it claims block {height}, which no other endpoint confirms"),
            Self::Resting { left, error } => write!(f, "it is not asked for another {} s: {error}", left.as_secs() + 1),
        }
    }
}

/// What is asked of an endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standard<'a> {
    pub(super) chain_id: &'a str,
    /// By this machine's clock.
    pub(super) now: UtcMs,
    /// An older newest block is stuck.
    pub(super) stale_after: Duration,
    /// The tip when it was last known: the chain cannot have grown by more than the time since then allows.
    pub(super) known: Option<Tip>,
}

/// The chain's newest block, and what is wrong with each endpoint.
pub(super) fn judge(reports: &[Status], standard: Standard<'_>) -> (Option<Tip>, Vec<Option<Trouble>>) {
    let mut troubles: Vec<_> = reports.iter().map(|report| own_trouble(report, standard)).collect();
    let sound: Vec<Tip> = reports.iter().zip(&troubles).filter(|(_, trouble)| trouble.is_none()).map(tip_of).collect();
    let tip = tip(&sound, standard.known);
    for (report, trouble) in reports.iter().zip(&mut troubles).filter(|(_, trouble)| trouble.is_none()) {
        *trouble = match tip {
            Some(tip) if report.height.saturating_add(LAG_BLOCKS_MAX) < tip.height => {
                Some(Trouble::Behind { blocks: tip.height - report.height })
            }
            Some(tip) if report.height <= tip.height.saturating_add(LAG_BLOCKS_MAX) => None,
            _ => Some(Trouble::Implausible { height: report.height }),
        };
    }
    (tip, troubles)
}

fn tip_of((report, _): (&Status, &Option<Trouble>)) -> Tip {
    Tip { height: report.height, time: report.time }
}

fn own_trouble(report: &Status, standard: Standard<'_>) -> Option<Trouble> {
    let (now, clock) = report.date.map_or((standard.now, ClockOf::Machine), |date| (date, ClockOf::Endpoint));
    let (age, by) = (now.since(report.time), report.time.since(now));
    match () {
        () if report.chain_id != standard.chain_id => Some(Trouble::OtherChain(report.chain_id.clone())),
        () if report.catching_up => Some(Trouble::CatchingUp { height: report.height }),
        () if age > standard.stale_after => Some(Trouble::Stuck { height: report.height, age, clock }),
        () if by > AHEAD_MAX => Some(Trouble::Ahead { by, clock }),
        () => None,
    }
}

fn tip(sound: &[Tip], known: Option<Tip>) -> Option<Tip> {
    let agrees =
        |one: &Tip| sound.iter().filter(|other| one.height.abs_diff(other.height) <= LAG_BLOCKS_MAX).count() > 1;
    if let Some(tip) = sound.iter().filter(|tip| agrees(tip)).max_by_key(|tip| tip.height) {
        return Some(*tip);
    }
    let can_follow = |known: Tip, tip: &Tip| {
        let blocks = tip.time.since(known.time).as_millis() / BLOCK_LEAST.as_millis();
        u128::from(tip.height.saturating_sub(known.height)) <= u128::from(LAG_BLOCKS_MAX) + blocks
    };
    let plausible = || sound.iter().filter(|tip| known.is_none_or(|known| can_follow(known, tip)));
    let lowest = plausible().min_by_key(|tip| tip.height)?;
    plausible().filter(|tip| can_follow(*lowest, tip)).max_by_key(|tip| tip.height).copied()
}

/// How long endpoints rest after failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoolDown {
    /// After the first failure; twice that after the second, and so on.
    pub first: Duration,
    /// The longest rest, also for one that asks for more.
    pub max: Duration,
}

impl Default for CoolDown {
    fn default() -> Self {
        Self { first: Duration::from_secs(5), max: Duration::from_secs(300) }
    }
}

/// So long an endpoint is left alone that wants it, even if there is no other. It asked for that, and a window is longer.
const WANTED_MAX: Duration = Duration::from_secs(30);

/// Failures in a row, and the rest that follows.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) failures: u32,
    failed_at: Option<Instant>,
    /// The endpoint's own wish.
    wanted_until: Option<Instant>,
    until: Option<Instant>,
    error: String,
}

impl Rest {
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// `unit` is a random number in `[0, 1)`: endpoints that fail together do not come back together. `asked_for` is what the
    /// endpoint wants.
    pub(super) fn failed(
        &mut self,
        rules: CoolDown,
        now: Instant,
        unit: f64,
        asked_for: Option<Duration>,
        error: String,
    ) {
        self.failures = self.failures.saturating_add(1);
        let doubled = rules.first.saturating_mul(2_u32.saturating_pow(self.failures.min(31) - 1)).min(rules.max);
        let rest = doubled.mul_f64(0.5 + unit / 2.0).max(asked_for.unwrap_or_default()).min(rules.max);
        self.failed_at = Some(now);
        self.wanted_until = asked_for.map(|wanted| now + wanted.min(WANTED_MAX).min(rules.max));
        self.until = Some(now + rest);
        self.error = error;
    }

    /// Whether the endpoint itself wants to be left alone.
    pub(super) fn is_wanted(&self, now: Instant) -> bool {
        self.wanted_until.is_some_and(|until| now < until)
    }

    /// Whether the last failure is so long ago.
    pub(super) fn has_lasted(&self, now: Instant, pause: Duration) -> bool {
        self.failed_at.is_none_or(|failed| now.saturating_duration_since(failed) >= pause)
    }

    /// What keeps it from being asked now.
    pub(super) fn trouble(&self, now: Instant) -> Option<Trouble> {
        let left = self.until?.checked_duration_since(now).filter(|left| !left.is_zero())?;
        Some(Trouble::Resting { left, error: self.error.clone() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sentinel_actors::ports::elapsed_now;

    use super::*;

    const NOW: UtcMs = UtcMs(1_800_000_000_000);

    fn report(height: u64, age_secs: u64) -> Status {
        let time = NOW.minus(Duration::from_secs(age_secs));
        Status { chain_id: "a".to_owned(), height, time, date: None, catching_up: false }
    }

    fn judged(reports: &[Status], known: Option<Tip>) -> (Option<u64>, Vec<Option<Trouble>>) {
        let standard = Standard { chain_id: "a", now: NOW, stale_after: Duration::from_secs(60), known };
        let (tip, troubles) = judge(reports, standard);
        (tip.map(|tip| tip.height), troubles)
    }

    #[test]
    fn the_greatest_height_that_two_agree_on_is_the_tip() {
        assert_eq!(judged(&[report(100, 6), report(101, 0), report(99, 12)], None), (Some(101), vec![None; 3]));
    }

    #[test]
    fn an_absurd_height_of_one_does_not_make_the_others_behind() {
        let absurd = Trouble::Implausible { height: 1_000_000_000 };
        let three = [report(100, 6), report(1_000_000_000, 0), report(101, 0)];
        assert_eq!(judged(&three, None), (Some(101), vec![None, Some(absurd.clone()), None]));
        assert_eq!(judged(&three[..2], None), (Some(100), vec![None, Some(absurd)]), "no two agree: the lower one");
    }

    #[test]
    fn an_absurd_height_of_the_only_one_left_is_not_believed() {
        let known = Some(Tip { height: 100, time: NOW.minus(Duration::from_secs(600)) });
        let absurd = Trouble::Implausible { height: 1_000_000_000 };
        assert_eq!(judged(&[report(1_000_000_000, 0)], known), (None, vec![Some(absurd)]));
        assert_eq!(judged(&[report(220, 0)], known), (Some(220), vec![None]));
    }

    #[test]
    fn two_that_agree_are_believed_over_what_was_known() {
        let known = Some(Tip { height: 1_000_000_000, time: NOW });
        assert_eq!(judged(&[report(100, 0), report(100, 0)], known), (Some(100), vec![None; 2]));
        let old = Some(Tip { height: 1, time: NOW });
        assert_eq!(judged(&[report(500_000, 0), report(500_001, 0)], old), (Some(500_001), vec![None; 2]));
    }

    #[test]
    fn one_that_is_behind_is_not_used_although_its_block_is_recent() {
        let behind = Trouble::Behind { blocks: 6 };
        assert_eq!(judged(&[report(100, 0), report(94, 36)], None), (Some(100), vec![None, Some(behind)]));
        assert_eq!(judged(&[report(100, 0), report(95, 30)], None), (Some(100), vec![None; 2]));
    }

    #[test]
    fn what_catches_up_is_stuck_ahead_or_elsewhere_is_not_used() {
        let other = Status { chain_id: "b".to_owned(), ..report(101, 0) };
        let catching = Status { catching_up: true, ..report(50, 0) };
        let ahead = Status { time: NOW.plus(Duration::from_secs(31)), ..report(100, 0) };
        let (tip, troubles) = judged(&[other, catching, report(40, 61), ahead, report(100, 0)], None);
        assert_eq!(tip, Some(100));
        let expected = [
            Some(Trouble::OtherChain("b".to_owned())),
            Some(Trouble::CatchingUp { height: 50 }),
            Some(Trouble::Stuck { height: 40, age: Duration::from_secs(61), clock: ClockOf::Machine }),
            Some(Trouble::Ahead { by: Duration::from_secs(31), clock: ClockOf::Machine }),
            None,
        ];
        assert_eq!(troubles, expected);
    }

    #[test]
    fn the_age_of_a_block_is_judged_by_the_date_of_the_same_answer() {
        let (hour, clock) = (Duration::from_secs(3600), ClockOf::Endpoint);
        // This machine's clock is an hour behind, then an hour ahead.
        for true_now in [NOW.plus(hour), NOW.minus(hour)] {
            let of = |height, age| Status {
                time: true_now.minus(Duration::from_secs(age)),
                date: Some(true_now),
                ..report(height, 0)
            };
            let ahead = Status { date: Some(true_now.minus(Duration::from_secs(31))), ..of(100, 0) };
            let (tip, troubles) = judged(&[of(101, 60), of(100, 61), ahead], None);
            assert_eq!(tip, Some(101));
            let stuck = Trouble::Stuck { height: 100, age: Duration::from_secs(61), clock };
            let ahead = Trouble::Ahead { by: Duration::from_secs(31), clock };
            assert_eq!(troubles, [None, Some(stuck), Some(ahead)]);
        }
    }

    #[test]
    fn rest_doubles_with_each_failure_up_to_a_limit_and_ends_with_success() {
        let (now, rules) = (elapsed_now(), CoolDown { first: Duration::from_secs(5), max: Duration::from_secs(300) });
        let mut rest = Rest::default();
        let mut left = |asked_for, unit| {
            rest.failed(rules, now, unit, asked_for, "down".to_owned());
            match rest.trouble(now) {
                Some(Trouble::Resting { left, .. }) => left.as_secs_f64(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!([left(None, 0.0), left(None, 0.0), left(None, 0.5)], [2.5, 5.0, 15.0]);
        assert_eq!(left(Some(Duration::from_secs(120)), 0.0), 120.0, "what it asks for");
        assert_eq!(left(Some(Duration::from_secs(86_400)), 0.0), 300.0, "within the limit");
        for _ in 0..100 {
            assert!(left(None, 0.999) <= 300.0);
        }
        rest.succeeded();
        assert_eq!((rest.trouble(now), rest.failures), (None, 0));
    }

    #[test]
    fn what_an_endpoint_asks_for_is_kept_for_half_a_minute_at_most() {
        let (now, mut rest) = (elapsed_now(), Rest::default());
        let wanted = |rest: &Rest| [0, 7, 29, 30].map(|secs| rest.is_wanted(now + Duration::from_secs(secs)));
        rest.failed(CoolDown::default(), now, 0.5, None, "down".to_owned());
        assert_eq!(wanted(&rest), [false; 4], "it has asked for nothing");
        rest.failed(CoolDown::default(), now, 0.5, Some(Duration::from_secs(7)), "busy".to_owned());
        assert_eq!(wanted(&rest), [true, false, false, false]);
        rest.failed(CoolDown::default(), now, 0.5, Some(Duration::from_secs(3600)), "busy".to_owned());
        assert_eq!(wanted(&rest), [true, true, true, false]);
        rest.succeeded();
        assert_eq!(wanted(&rest), [false; 4]);
    }

    proptest! {
        #[test]
        fn no_reports_make_it_panic_and_every_used_one_is_near_the_tip(
            reports in prop::collection::vec((prop_oneof![90_u64..110, any::<u64>()], 0_u64..80), 0..6),
            known in prop::option::of((any::<u64>(), 0_u64..1000)),
        ) {
            let reports: Vec<_> = reports.into_iter().map(|(height, age)| report(height, age)).collect();
            let known = known.map(|(height, age)| Tip { height, time: NOW.minus(Duration::from_secs(age)) });
            let (tip, troubles) = judged(&reports, known);
            for (report, trouble) in reports.iter().zip(troubles) {
                if trouble.is_none() {
                    prop_assert!(report.height.abs_diff(tip.unwrap()) <= LAG_BLOCKS_MAX);
                }
            }
        }
    }
}
