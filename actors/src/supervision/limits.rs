//! The budgets and timeouts of supervision.

use std::time::Duration;

use super::backoff::Backoff;
use super::budget::Limit;

/// What happens when a worker or critical child is beyond its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeyondBudget {
    /// The owner fails, which costs it one of its own restarts. For a pipeline's stages.
    Escalate,
    /// The process ends and is started again from outside. For the root; the global rules apply only there.
    Meltdown,
}

/// The budgets and timeouts of one supervisor. The default is a pipeline's; [`Limits::root`] is the root's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub backoff: Backoff,
    /// A child up for this long starts again with short delays; a probed pipeline counts as recovered.
    pub healthy_after: Duration,
    /// Budget of a worker against fast loops.
    pub child: Limit,
    /// Budget of a worker or critical child against slow loops, such as one crash in every hourly cycle.
    pub child_slow: Limit,
    /// Budget of a critical child. Two restarts: the third failure is beyond it.
    pub critical: Limit,
    /// Budget of a pipeline; beyond it the pipeline is parked. Two restarts: the third failure is beyond it.
    pub pipeline: Limit,
    /// Budget of all worker and critical children together.
    pub global: Limit,
    /// A parked pipeline is started again, as a probe, after this long.
    pub probe_every: Duration,
    /// When more than this share of all pipelines is parked within `parked_within`, the node gives up.
    pub parked_share_percent: usize,
    /// With fewer parked pipelines than this the node never gives up.
    pub parked_at_least: usize,
    /// The window of the two numbers above.
    pub parked_within: Duration,
    /// What the owner of a child beyond its budget does.
    pub beyond_budget: BeyondBudget,
    /// A start that takes longer has failed.
    pub start_timeout: Duration,
    /// A child that has not ended this long after `kill` is stuck: it blocks a thread.
    pub stuck_after: Duration,
    /// Time between two pings, and time to answer one.
    pub ping_every: Duration,
    /// After this many unanswered pings in a row a child counts as hung.
    pub ping_misses: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            backoff: Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(60) },
            healthy_after: Duration::from_secs(60),
            child: Limit { restarts: 5, within: Duration::from_secs(60) },
            child_slow: Limit { restarts: 20, within: Duration::from_secs(24 * 3600) },
            critical: Limit { restarts: 2, within: Duration::from_secs(60) },
            pipeline: Limit { restarts: 2, within: Duration::from_secs(600) },
            global: Limit { restarts: 10, within: Duration::from_secs(60) },
            probe_every: Duration::from_secs(900),
            parked_share_percent: 20,
            parked_at_least: 3,
            parked_within: Duration::from_secs(600),
            beyond_budget: BeyondBudget::Escalate,
            start_timeout: Duration::from_secs(10),
            stuck_after: Duration::from_secs(5),
            ping_every: Duration::from_secs(10),
            ping_misses: 3,
        }
    }
}

impl Limits {
    /// Those of the root: beyond a budget the process ends.
    #[must_use]
    pub fn root() -> Self {
        Self { beyond_budget: BeyondBudget::Meltdown, ..Self::default() }
    }
}
