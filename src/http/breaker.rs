//! The circuit breaker: a server that failed five times in a row is left alone, and asked once per half minute whether it
//! is back. So a dead server costs a cycle nothing, and one that struggles to its feet is not pushed down again.
//!
//! A pure state machine: time is passed in, and no caller has to report how a trial ended. One that is lost, because the
//! cycle that made it was ended, is followed by the next.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that open the circuit.
pub const FAILURES_MAX: u32 = 5;

/// Time between two trials of an open circuit.
pub const TRIAL_EVERY: Duration = Duration::from_secs(30);

/// Counts failures and says who may ask.
#[derive(Debug, Default)]
pub struct Breaker {
    /// In a row.
    failures: u32,
    /// The circuit is open, and this is when the next trial may be made.
    next_trial: Option<Instant>,
}

impl Breaker {
    /// May the server be asked? When the circuit is open and a trial is due, the caller is the one who makes it.
    ///
    /// # Errors
    /// How long no call is allowed.
    pub fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        self.look(now)?;
        if self.next_trial.is_some() {
            self.next_trial = Some(now + TRIAL_EVERY);
        }
        Ok(())
    }

    /// As [`Breaker::admit`], for a caller who is not about to ask.
    ///
    /// # Errors
    /// How long no call is allowed.
    pub fn look(&self, now: Instant) -> Result<(), Duration> {
        match self.next_trial {
            Some(trial) if now < trial => Err(trial - now),
            _ => Ok(()),
        }
    }

    /// The server answered. True when that closed the circuit.
    pub fn succeeded(&mut self) -> bool {
        self.failures = 0;
        self.next_trial.take().is_some()
    }

    /// The server did not answer. True when that opened the circuit.
    pub fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES_MAX {
            return false;
        }
        self.next_trial.replace(now + TRIAL_EVERY).is_none()
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sentinel_actors::ports::elapsed_now;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for nth in 1..=FAILURES_MAX {
            assert_eq!(breaker.admit(now), Ok(()));
            assert_eq!(breaker.failed(now), nth == FAILURES_MAX, "failure {nth}");
        }
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_four_do_not() {
        let now = elapsed_now();
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            for _ in 1..FAILURES_MAX {
                assert!(!breaker.failed(now));
            }
            assert_eq!(breaker.admit(now), Ok(()));
            assert!(!breaker.succeeded(), "it was not open");
        }
        assert_eq!(opened(now).admit(now), Err(TRIAL_EVERY));
    }

    #[test]
    fn one_trial_per_half_minute_passes_an_open_circuit() {
        let start = elapsed_now();
        let mut breaker = opened(start);
        assert_eq!(breaker.admit(start + 29 * SECOND), Err(SECOND));
        let trial = start + 31 * SECOND;
        assert_eq!(breaker.look(trial), Ok(()), "looking is no trial");
        assert_eq!(breaker.admit(trial), Ok(()));
        assert_eq!(breaker.admit(trial), Err(TRIAL_EVERY), "a second caller is not the trial");
        assert!(!breaker.failed(trial + SECOND), "it was open already");
        assert_eq!(breaker.admit(trial + 2 * SECOND), Err(29 * SECOND), "half a minute from the end of the trial");
        // A trial whose end is never reported does not keep the circuit open without end.
        assert_eq!(breaker.admit(trial + 31 * SECOND), Ok(()));
        assert_eq!(breaker.admit(trial + 61 * SECOND), Ok(()));
    }

    #[test]
    fn a_trial_that_succeeds_closes_it() {
        let start = elapsed_now();
        let mut breaker = opened(start);
        assert_eq!(breaker.admit(start + TRIAL_EVERY), Ok(()));
        assert!(breaker.succeeded());
        for _ in 1..FAILURES_MAX {
            assert!(!breaker.failed(start + TRIAL_EVERY));
        }
        assert_eq!(breaker.admit(start + TRIAL_EVERY), Ok(()), "it counts from nothing again");
    }

    proptest! {
        #[test]
        fn an_open_circuit_lets_at_most_one_call_through_per_half_minute(steps in prop::collection::vec(0u64..20, 1..60)) {
            let mut now = elapsed_now();
            let mut breaker = opened(now);
            let mut last = now;
            for seconds in steps {
                now += Duration::from_secs(seconds);
                if breaker.admit(now).is_ok() {
                    prop_assert!(now - last >= TRIAL_EVERY);
                    last = now;
                    breaker.failed(now);
                }
            }
        }
    }
}
