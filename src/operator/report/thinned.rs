//! Few of many points, evenly taken, in memory that does not grow with them.

/// At most twice [`Self::KEPT`] points: when there are more, every second one goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Thinned<T> {
    points: Vec<T>,
    seen: u64,
    stride: u64,
}

impl<T> Default for Thinned<T> {
    fn default() -> Self {
        Self { points: Vec::new(), seen: 0, stride: 1 }
    }
}

impl<T> Thinned<T> {
    /// Enough for a drawing.
    pub const KEPT: usize = 400;

    pub fn add(&mut self, point: T) {
        if self.seen.is_multiple_of(self.stride) {
            self.points.push(point);
        }
        self.seen += 1;
        if self.points.len() > 2 * Self::KEPT {
            let mut index = 0_usize;
            self.points.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.stride *= 2;
        }
    }

    /// One more point that is kept whatever was left out before it.
    pub fn end_with(&mut self, point: T) {
        self.points.push(point);
    }

    /// Those that are kept, in their order.
    #[must_use]
    pub fn points(&self) -> &[T] {
        &self.points
    }

    /// How many there were.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether some are left out.
    #[must_use]
    pub const fn is_thinned(&self) -> bool {
        self.stride > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_points_that_are_kept_are_evenly_taken_and_few() {
        let mut thinned = Thinned::default();
        for n in 0..10_000_u32 {
            thinned.add(n);
            assert!(thinned.points().len() <= 2 * Thinned::<u32>::KEPT);
        }
        assert_eq!((thinned.seen(), thinned.is_thinned()), (10_000, true));
        let steps: Vec<u32> = thinned.points().windows(2).map(|two| two[1] - two[0]).collect();
        assert!(thinned.points().len() >= Thinned::<u32>::KEPT && steps.iter().all(|step| *step == steps[0]));
        let mut few = Thinned::default();
        (0..5).for_each(|n| few.add(n));
        assert_eq!((few.points(), few.is_thinned()), (&[0, 1, 2, 3, 4][..], false));
    }
}
