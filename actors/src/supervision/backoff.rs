//! Exponential back-off with full jitter: thousands of children that failed at the same moment do not all restart at the
//! same moment.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// After `n` earlier failures in a row a delay is at most `first * 2^n`.
    pub first: Duration,
    /// The upper limit of every delay.
    pub longest: Duration,
}

impl Backoff {
    /// The delay after `earlier` failures in a row. After the first failure there is none: one glitch is not a loop.
    /// `chance` is uniform in `[0, 1)`.
    #[must_use]
    pub fn delay(&self, earlier: u32, chance: f64) -> Duration {
        if earlier == 0 {
            return Duration::ZERO;
        }
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(earlier));
        doubled.min(self.longest).mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(60) };

    #[test]
    fn the_first_restart_is_immediate() {
        assert_eq!(BACKOFF.delay(0, 0.999), Duration::ZERO);
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        let half = |earlier| BACKOFF.delay(earlier, 0.5);
        assert_eq!(half(1), Duration::from_millis(100));
        assert_eq!(half(2), Duration::from_millis(200));
        assert_eq!(half(9), Duration::from_millis(25_600));
        assert_eq!(half(10), Duration::from_secs(30));
        assert_eq!(half(u32::MAX), Duration::from_secs(30));
    }

    #[test]
    fn jitter_is_full() {
        assert_eq!(BACKOFF.delay(5, 0.0), Duration::ZERO);
        assert!(BACKOFF.delay(5, 0.999) > Duration::from_secs(3));
    }
}
