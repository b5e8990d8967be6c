//! How long something took, counted in buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in milliseconds: from a fast commit to the deadline of a slow stage.
pub const BOUNDS_MS: [u64; 13] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

/// Counts durations. Counting waits for nobody.
#[derive(Debug, Default)]
pub struct Histogram {
    /// By bucket, the last one for what is longer than every bound.
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_us: AtomicU64,
}

/// What a [`Histogram`] has counted so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// By bucket, not added up; the last one for what is longer than every bound.
    pub buckets: [u64; BOUNDS_MS.len() + 1],
    pub sum: Duration,
}

impl Histogram {
    pub fn count(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MS.iter().position(|bound| us <= bound * 1_000).unwrap_or(BOUNDS_MS.len());
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    #[must_use]
    pub fn read(&self) -> Counted {
        let buckets = self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
        Counted { buckets, sum: Duration::from_micros(self.sum_us.load(Ordering::Relaxed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for us in [0, 1_000, 1_001, 9_999_999, 10_000_000, 10_000_001] {
            histogram.count(Duration::from_micros(us));
        }
        let Counted { buckets, sum } = histogram.read();
        assert_eq!(buckets, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1]);
        assert_eq!(sum, Duration::from_micros(30_002_001));
    }
}
