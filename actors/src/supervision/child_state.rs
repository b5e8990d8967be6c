//! One child as the policy sees it: where it stands, and the questions that only its own state answers.

use std::time::Duration;

use super::budget::Budget;
use super::event::Plan;
use super::identity::{ChildClass, ChildEnd, Generation};
use super::limits::Limits;

/// Where a child stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    /// Its tier has not been started.
    Idle,
    /// Answer to come. `overdue_at` is empty once it was reported as stuck.
    Starting { overdue_at: Option<Duration> },
    /// Up since then.
    Running { since: Duration, ping: Option<Ping> },
    /// Its end is to come. `started`: it has passed its start, so the answer will be `Ended`.
    Ending { reason: EndReason, started: bool, kill_at: Option<Duration>, overdue_at: Option<Duration> },
    /// Backing off.
    Waiting { until: Duration },
    /// Beyond its budget; probed then.
    Parked { until: Duration },
    /// Not started again, with nothing of it left.
    Final,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum EndReason {
    Itself,
    Hung(String),
    Asked,
}

/// `next` is empty while an answer is to come.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ping {
    pub(super) next: Option<Duration>,
    pub(super) missed: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Child {
    pub(super) plan: Plan,
    pub(super) generation: Generation,
    pub(super) state: State,
    /// In a row, without a healthy time between.
    pub(super) failures: u32,
    pub(super) probing: bool,
    pub(super) tried: bool,
    pub(super) fast: Budget,
    pub(super) slow: Budget,
    /// Its entry in the agenda.
    pub(super) due: Option<Duration>,
}

impl Child {
    pub(super) fn new(plan: Plan, limits: &Limits) -> Self {
        let fast = match plan.class {
            ChildClass::Worker => limits.child,
            ChildClass::Critical => limits.critical,
            ChildClass::Pipeline => limits.pipeline,
        };
        Self {
            generation: plan.last,
            state: State::Idle,
            failures: 0,
            probing: false,
            tried: false,
            fast: Budget::new(fast),
            slow: Budget::new(limits.child_slow),
            due: None,
            plan,
        }
    }

    /// An incarnation of it exists, or may.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.state, State::Starting { .. } | State::Running { .. } | State::Ending { .. })
    }

    pub(super) fn has_started(&self) -> bool {
        matches!(self.state, State::Running { .. } | State::Ending { started: true, .. })
    }

    /// A stuck child does not: nothing in this process can end it.
    pub(super) fn holds_shutdown(&self) -> bool {
        match &self.state {
            State::Running { .. } => true,
            State::Ending { kill_at, overdue_at, .. } => kill_at.is_some() || overdue_at.is_some(),
            _ => false,
        }
    }

    /// Spends one restart; false when that is beyond a budget. Both budgets are charged in any case.
    pub(super) fn spend(&mut self, now: Duration) -> bool {
        let fast = self.fast.spend(now);
        let slow = self.plan.class == ChildClass::Pipeline || self.slow.spend(now);
        fast && slow
    }

    /// It runs, and has for long enough.
    pub(super) fn is_healthy(&self, now: Duration, healthy_after: Duration) -> bool {
        matches!(self.state, State::Running { since, .. } if now >= since + healthy_after)
    }

    /// What really ended it: a kill of ours is a hang or a stop, anything else is what it is.
    pub(super) fn cause(&self, reported: ChildEnd) -> ChildEnd {
        match (&self.state, reported) {
            (State::Ending { reason: EndReason::Hung(what), .. }, ChildEnd::Killed) => ChildEnd::Hung(what.clone()),
            (
                State::Ending { reason: EndReason::Asked, .. },
                ChildEnd::Killed | ChildEnd::Finished | ChildEnd::StartFailed(_),
            ) => ChildEnd::Stopped,
            (_, reported) => reported,
        }
    }

    pub(super) fn next_due(&self, healthy_after: Duration) -> Option<Duration> {
        match &self.state {
            State::Idle | State::Final => None,
            State::Starting { overdue_at } => *overdue_at,
            State::Running { since, ping } => {
                let ping = ping.as_ref().and_then(|ping| ping.next);
                let healthy = self.probing.then(|| *since + healthy_after);
                ping.into_iter().chain(healthy).min()
            }
            State::Ending { kill_at, overdue_at, .. } => kill_at.or(*overdue_at),
            State::Waiting { until } | State::Parked { until } => Some(*until),
        }
    }
}
