//! Schedule time of everything that goes by a chain: windows, and the start and the end of a competition.
//!
//! It is the newest believed block's time, carried on by elapsed time until the next one. This machine's clock has no part in it once
//! the chain was seen, so a wrong one costs no window and lets none be used after a competition's end. It never goes back, and it is
//! never ahead of the chain: a block is seen after its time, so of all observations the one that shows the latest time is the best.
//! Because it never goes back, one wrong time would stay: a block that is far ahead of it has to be confirmed by a later one.
//!
//! Before the first observation it shows what is certain, the latest time that the journal has. Without a journal it shows this
//! machine's clock; nothing is due then, because only the chain announces what is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Clock, PortFuture, elapsed_now};
use tokio::time::Instant;

use super::endpoints::EndpointSettings;
use super::health::Tip;

/// Longest single sleep: an observation may have moved the time meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// A journal can be ahead of the first observation by what an endpoint's newest block may be old, and not by more: then it shows
/// another clock's time, or that of another chain.
const JOURNAL_AHEAD_MAX: Duration = Duration::from_secs(120);

/// A block may be so far ahead of what is shown: only time in which this machine slept, or a wrong block, makes it more.
const JUMP_MAX: Duration = Duration::from_millis(JUMP_MAX_MS);
const JUMP_MAX_MS: u64 = 120_000;

/// A block that is too far ahead to be believed alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Jump {
    height: u64,
    /// The chain's time at the moment from which elapsed time counts, by this block.
    at_start: UtcMs,
    seen: Duration,
}

impl Jump {
    /// Another block, later by a survey at least, is about as far ahead.
    fn is_confirmed_by(&self, later: Self) -> bool {
        later.height > self.height
            && later.seen.saturating_sub(self.seen) >= EndpointSettings::SURVEY_EVERY
            && self.is_of_one_chain_with(later)
    }

    const fn is_of_one_chain_with(&self, other: Self) -> bool {
        other.at_start.0.abs_diff(self.at_start.0) <= JUMP_MAX_MS
    }
}

/// What is known about the chain's time. Knows no clock: elapsed time since any fixed moment is passed in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainTime {
    /// The chain's time at the moment from which elapsed time counts.
    at_start: Option<UtcMs>,
    /// What is too far for one block; `None`: two minutes.
    jump_max: Option<Duration>,
    /// The block that would have moved it too far.
    jump: Option<Jump>,
    /// The latest time of the journal.
    resumed: Option<UtcMs>,
    /// First and latest time that was shown by this machine's clock.
    by_machine: Option<(UtcMs, UtcMs)>,
}

impl ChainTime {
    /// This block was seen.
    pub fn note(&mut self, block: Tip, elapsed: Duration) {
        let seen = Jump { height: block.height, at_start: block.time.minus(elapsed), seen: elapsed };
        let is_first = self.at_start.is_none();
        let is_far = self.at_start.is_some_and(|known| seen.at_start.since(known) > self.jump_max.unwrap_or(JUMP_MAX));
        if !is_far {
            self.jump = None;
        } else if self.jump.take_if(|jump| jump.is_confirmed_by(seen)).is_none() {
            // The first of one and the same block counts: it is seen again and again.
            if self.jump.is_none_or(|jump| !jump.is_of_one_chain_with(seen)) {
                self.jump = Some(seen);
            }
            return;
        }
        self.at_start = self.at_start.max(Some(seen.at_start));
        if is_first {
            self.resumed = self.resumed.filter(|resumed| self.can_be(*resumed, elapsed));
        }
    }

    /// The journal has this time.
    pub fn resume_at(&mut self, reached: UtcMs, elapsed: Duration) {
        // What a new pipeline begins with is what this clock has shown it, and no news.
        let is_own = self.by_machine.is_some_and(|(first, last)| (first..=last).contains(&reached));
        if !is_own && self.can_be(reached, elapsed) {
            self.resumed = self.resumed.max(Some(reached));
        }
    }

    fn can_be(&self, time: UtcMs, elapsed: Duration) -> bool {
        self.estimate(elapsed).is_none_or(|estimate| time.since(estimate) <= JOURNAL_AHEAD_MAX)
    }

    fn estimate(&self, elapsed: Duration) -> Option<UtcMs> {
        self.at_start.map(|at_start| at_start.plus(elapsed))
    }

    /// Whether the chain was seen.
    #[must_use]
    pub const fn is_of_chain(&self) -> bool {
        self.at_start.is_some()
    }

    /// Now. `machine` is this machine's clock, which counts only while nothing else is known.
    pub fn now(&mut self, elapsed: Duration, machine: UtcMs) -> UtcMs {
        self.estimate(elapsed).max(self.resumed).unwrap_or_else(|| {
            let (first, last) = self.by_machine.unwrap_or((machine, machine));
            self.by_machine = Some((first.min(machine), last.max(machine)));
            machine
        })
    }
}

/// The clock of one chain, for every pipeline that goes by it.
pub struct ChainClock {
    machine: Arc<dyn Clock>,
    began: Instant,
    time: Mutex<ChainTime>,
}

impl ChainClock {
    /// A clock that has seen no block; `machine` is this machine's.
    #[must_use]
    pub fn new(machine: Arc<dyn Clock>) -> Self {
        Self { machine, began: elapsed_now(), time: Mutex::default() }
    }

    /// The same, of a chain whose time passes faster than here: one block may be so far ahead.
    #[must_use]
    pub fn with_jumps_up_to(self, jump_max: Duration) -> Self {
        self.time().jump_max = Some(jump_max);
        self
    }

    /// A block was seen whose time is believed, for example as the newest one ([`super::endpoints::Endpoints::observed_by`]). An old
    /// one does no harm.
    pub fn note(&self, block: Tip) {
        self.time().note(block, self.elapsed());
    }

    /// Whether it shows the chain's time by now.
    #[must_use]
    pub fn is_of_chain(&self) -> bool {
        self.time().is_of_chain()
    }

    fn elapsed(&self) -> Duration {
        elapsed_now().saturating_duration_since(self.began)
    }

    fn time(&self) -> MutexGuard<'_, ChainTime> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ChainClock {
    fn now(&self) -> UtcMs {
        self.time().now(self.elapsed(), self.machine.now())
    }

    fn wait_until(&self, until: UtcMs) -> PortFuture<'_, ()> {
        Box::pin(async move { tokio::time::sleep(until.since(self.now()).min(SLEEP_MAX)).await })
    }

    /// What it shows before the first block may be this machine's time, and so may what a pipeline took for its start.
    fn learns_time(&self) -> bool {
        true
    }

    fn resume_at(&self, reached: UtcMs) {
        self.time().resume_at(reached, self.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GENESIS: i64 = 1_800_000_000_000;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(seconds: i64) -> UtcMs {
        UtcMs(GENESIS + seconds * 1000)
    }

    const fn block(height: u64, time: UtcMs) -> Tip {
        Tip { height, time }
    }

    #[test]
    fn it_shows_the_journal_before_the_chain_and_this_machine_only_without_both() {
        let mut time = ChainTime::default();
        assert_eq!(time.now(ms(0), at(999)), at(999));
        time.resume_at(at(999), ms(0));
        assert_eq!(time.resumed, None, "it is what this clock has shown");
        time.resume_at(at(50), ms(0));
        assert_eq!(time.now(ms(7_000), at(999)), at(50));
        time.note(block(1, at(40)), ms(8_000));
        assert_eq!(time.now(ms(8_000), at(999)), at(50), "the newest block may be older than what was written");
        assert_eq!(time.now(ms(20_000), at(999)), at(52));
    }

    #[test]
    fn a_journal_of_another_clock_does_not_hold_the_chain_up() {
        let mut time = ChainTime::default();
        time.resume_at(at(600), ms(0));
        time.note(block(1, at(0)), ms(10));
        assert_eq!(time.now(ms(1_010), at(5)), at(1));
        time.resume_at(at(600), ms(1_010));
        assert_eq!(time.now(ms(481_010), at(5)), at(481), "nor later, when it is near");
    }

    #[test]
    fn a_jump_ahead_is_believed_when_a_later_block_confirms_it() {
        let mut time = ChainTime::default();
        time.note(block(10, at(0)), ms(0));
        // The machine has slept for ten minutes, in which no time has elapsed.
        time.note(block(110, at(601)), ms(1_000));
        time.note(block(110, at(601)), ms(4_000));
        time.note(block(111, at(602)), ms(2_000));
        assert_eq!(time.now(ms(4_000), at(0)), at(4), "the same block again, and one of the same survey");
        time.note(block(111, at(607)), ms(7_000));
        assert_eq!(time.now(ms(8_000), at(0)), at(608));
    }

    #[test]
    fn a_jump_that_a_sound_block_or_another_jump_contradicts_is_not_believed() {
        let mut time = ChainTime::default();
        time.note(block(10, at(0)), ms(0));
        time.note(block(11, at(3_600)), ms(6_000));
        time.note(block(11, at(6)), ms(9_000));
        time.note(block(12, at(3_606)), ms(12_000));
        time.note(block(13, at(7_200)), ms(18_000));
        assert_eq!(time.now(ms(20_000), at(0)), at(20));
        time.note(block(14, at(144)), ms(24_000));
        assert_eq!(time.now(ms(24_000), at(0)), at(144), "two minutes are believed");
    }

    struct Wrong;

    impl Clock for Wrong {
        fn now(&self) -> UtcMs {
            at(-600)
        }

        fn wait_until(&self, _: UtcMs) -> PortFuture<'_, ()> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_at_the_chain_s_time_although_blocks_move_it() {
        let clock = ChainClock::new(Arc::new(Wrong));
        assert_eq!((clock.now(), clock.is_of_chain()), (at(-600), false));
        clock.note(block(1, at(0)));
        let began = elapsed_now();
        while clock.now() < at(10) {
            clock.wait_until(at(10)).await;
            if elapsed_now() == began + ms(3_000) {
                clock.note(block(2, at(8)));
            }
        }
        assert_eq!((elapsed_now() - began, clock.is_of_chain()), (ms(5_000), true));
        assert!(!clock.follows_cycles());
    }

    /// What happens to a clock, each some milliseconds after the one before.
    #[derive(Debug, Clone)]
    enum Step {
        /// A block is seen that is so old.
        Block {
            age_ms: i64,
        },
        /// The journal has the chain's time of so long ago.
        Journal {
            ago_ms: i64,
        },
        Look,
    }

    fn step() -> impl Strategy<Value = (u64, Step)> {
        let what = prop_oneof![
            (0_i64..60_000).prop_map(|age_ms| Step::Block { age_ms }),
            (0_i64..600_000).prop_map(|ago_ms| Step::Journal { ago_ms }),
            Just(Step::Look),
        ];
        (0_u64..20_000, what)
    }

    proptest! {
        #[test]
        fn it_never_goes_back_nor_ahead_of_the_chain_with_any_skew_of_the_machine(
            skew_ms in -600_000_i64..600_000,
            journal_ms in prop::option::of(0_i64..60_000),
            steps in prop::collection::vec(step(), 1..60),
        ) {
            let (mut time, mut elapsed) = (ChainTime::default(), 0);
            // The journal is of the chain's time, and older than this process.
            if let Some(ago) = journal_ms {
                time.resume_at(UtcMs(GENESIS - ago), ms(0));
            }
            let mut shown = None;
            for (pause, step) in steps {
                elapsed += pause;
                let chain = GENESIS + i64::try_from(elapsed).unwrap();
                match step {
                    Step::Block { age_ms } => time.note(block(elapsed, UtcMs(chain - age_ms)), ms(elapsed)),
                    Step::Journal { ago_ms } => time.resume_at(UtcMs(chain - ago_ms), ms(elapsed)),
                    Step::Look => {}
                }
                let now = time.now(ms(elapsed), UtcMs(chain + skew_ms));
                if time.is_of_chain() || time.resumed.is_some() {
                    prop_assert!(now.0 <= chain, "it is ahead of the chain");
                    prop_assert!(!time.is_of_chain() || now.0 >= chain - 60_000, "it is behind its newest block");
                    prop_assert!(shown.is_none_or(|shown| shown <= now), "it went back");
                    shown = Some(now);
                }
            }
        }

        #[test]
        fn one_lying_block_never_moves_it_far_and_a_real_jump_is_followed(
            lie_ms in 120_001_i64..86_400_000,
            pauses in prop::collection::vec((1_u64..8_000, any::<bool>()), 1..60),
        ) {
            let (mut time, mut elapsed) = (ChainTime::default(), 0);
            time.note(block(1, at(0)), ms(0));
            for (height, (pause, lies)) in (2..).zip(&pauses) {
                elapsed += pause;
                let chain = GENESIS + i64::try_from(elapsed).unwrap();
                if *lies {
                    time.note(block(height, UtcMs(chain + lie_ms)), ms(elapsed));
                }
                prop_assert_eq!(time.now(ms(elapsed), at(0)), UtcMs(chain));
                time.note(block(height, UtcMs(chain)), ms(elapsed));
            }
            for (height, later) in [(100, 1), (101, 2_001)] {
                elapsed += later;
                let jumped = at(0).0 + i64::try_from(elapsed).unwrap() + lie_ms;
                time.note(block(height, UtcMs(jumped)), ms(elapsed));
                prop_assert_eq!(time.now(ms(elapsed), at(0)).0 == jumped, height == 101);
            }
        }

        #[test]
        fn after_the_first_block_the_machine_s_clock_says_nothing(skews in prop::collection::vec(any::<i64>(), 2..9)) {
            let mut time = ChainTime::default();
            for skew in &skews {
                let _ = time.now(ms(0), UtcMs(*skew));
                time.resume_at(UtcMs(*skew), ms(0));
            }
            time.note(block(1, at(0)), ms(100));
            for (elapsed, skew) in (100..).zip(skews) {
                prop_assert_eq!(time.now(ms(elapsed), UtcMs(skew)), UtcMs(GENESIS + i64::try_from(elapsed).unwrap() - 100));
            }
        }
    }
}
