//! How many restarts a child, or all of them together, may use inside a sliding window.

use std::collections::VecDeque;
use std::time::Duration;

/// At most `restarts` inside any window of length `within`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Restarts that are allowed; the failure after the last of them is beyond the budget.
    pub restarts: usize,
    pub within: Duration,
}

/// What was spent of a [`Limit`].
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    limit: Limit,
    spent: VecDeque<Duration>,
}

impl Budget {
    /// Nothing spent yet.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        Self { limit, spent: VecDeque::new() }
    }

    /// Spends one; false when that is beyond the limit.
    pub fn spend(&mut self, now: Duration) -> bool {
        self.forget_before(now);
        self.spent.push_back(now);
        // One more than the limit is all that is needed to know that it is exceeded.
        if self.spent.len() > self.limit.restarts.saturating_add(1) {
            self.spent.pop_front();
        }
        self.spent.len() <= self.limit.restarts
    }

    /// Makes the whole budget available again.
    pub fn refill(&mut self) {
        self.spent.clear();
    }

    fn forget_before(&mut self, now: Duration) {
        while self.spent.front().is_some_and(|at| now.saturating_sub(*at) >= self.limit.within) {
            self.spent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_failure_after_the_last_allowed_restart_is_beyond_the_budget() {
        let mut budget = Budget::new(Limit { restarts: 2, within: seconds(60) });
        assert!(budget.spend(seconds(0)));
        assert!(budget.spend(seconds(1)));
        assert!(!budget.spend(seconds(2)));
    }

    #[test]
    fn what_left_the_window_is_forgotten() {
        let mut budget = Budget::new(Limit { restarts: 1, within: seconds(60) });
        assert!(budget.spend(seconds(0)));
        assert!(budget.spend(seconds(60)));
        assert!(!budget.spend(seconds(119)));
    }

    #[test]
    fn a_storm_does_not_grow_the_memory() {
        let mut budget = Budget::new(Limit { restarts: 3, within: seconds(60) });
        for _ in 0..10_000 {
            budget.spend(seconds(1));
        }
        assert_eq!(budget.spent.len(), 4);
    }
}
