//! How a measured number is spread, in memory that does not grow with how often it was measured.
//!
//! Values are counted in buckets whose width is a 32nd of their value, as in G. Tene's HdrHistogram. A quantile is that of the nearest
//! rank, and is said as the upper end of its bucket: never too small, and at most 3.2 % too large.

use std::collections::BTreeMap;

/// Buckets of each power of two; smaller values than twice as many are exact.
const STEPS: u64 = 32;

/// Counted values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spread {
    /// By the upper end of the bucket.
    counts: BTreeMap<u64, u64>,
    count: u64,
    largest: u64,
}

impl Spread {
    pub fn add(&mut self, value: u64) {
        *self.counts.entry(upper_end(value)).or_default() += 1;
        self.count += 1;
        self.largest = self.largest.max(value);
    }

    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Exact; `None` while there is no value.
    #[must_use]
    pub const fn largest(&self) -> Option<u64> {
        if self.count > 0 { Some(self.largest) } else { None }
    }

    /// The value that `thousandths` of all do not exceed; `None` while there is none.
    #[must_use]
    pub fn quantile(&self, thousandths: u64) -> Option<u64> {
        let rank = (u128::from(self.count) * u128::from(thousandths)).div_ceil(1000).max(1);
        let mut seen = 0_u128;
        self.counts.iter().find_map(|(end, count)| {
            seen += u128::from(*count);
            (seen >= rank).then_some((*end).min(self.largest))
        })
    }
}

/// The largest value that shares its bucket.
const fn upper_end(value: u64) -> u64 {
    if value < 2 * STEPS {
        return value;
    }
    let shift = value.ilog2() - STEPS.ilog2();
    value | ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Spread {
        let mut spread = Spread::default();
        values.iter().for_each(|value| spread.add(*value));
        spread
    }

    #[test]
    fn small_values_are_exact_and_nothing_has_no_quantile() {
        let spread = of(&[3, 1, 2, 60, 4]);
        assert_eq!([0, 200, 500, 990, 1000].map(|share| spread.quantile(share).unwrap()), [1, 1, 3, 60, 60]);
        assert_eq!((Spread::default().quantile(500), Spread::default().largest()), (None, None));
    }

    proptest! {
        #[test]
        fn a_quantile_is_never_too_small_and_hardly_too_large(
            values in proptest::collection::vec(0..u64::MAX, 1..200), share in 0..=1000_u64,
        ) {
            let spread = of(&values);
            let mut sorted = values;
            sorted.sort_unstable();
            let rank = (sorted.len() as u64 * share).div_ceil(1000).max(1);
            let exact = sorted[usize::try_from(rank).unwrap() - 1];
            let said = spread.quantile(share).unwrap();
            prop_assert!(said >= exact && said - exact <= exact / 32, "{said} for {exact}");
            prop_assert_eq!(spread.largest(), sorted.last().copied());
        }

        #[test]
        fn its_memory_has_a_limit(values in proptest::collection::vec(0..100_000_u64, 1000..3000)) {
            prop_assert!(of(&values).counts.len() <= 64 + 32 * 11);
        }
    }
}
