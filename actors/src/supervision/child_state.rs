//! The state of one child, as the restart policy sees it.

use std::time::Duration;

use super::budget::Budget;
use super::event::Plan;
use super::identity::{ChildClass, ChildEnd, Generation};
use super::limits::Limits;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    /// Its tier has not been started.
    Idle,
    /// Waits for `Started` or `StartFailed`. `overdue_at` is empty once it was reported as stuck.
    Starting {
        overdue_at: Option<Duration>,
    },
    Running {
        since: Duration,
        ping: Option<Ping>,
    },
    /// Waits for `Ended` if `started`, else for `StartFailed`.
    Ending {
        reason: EndReason,
        started: bool,
        kill_at: Option<Duration>,
        overdue_at: Option<Duration>,
    },
    BackingOff {
        until: Duration,
    },
    /// Beyond its budget; started again, as a probe, at `until`.
    Parked {
        until: Duration,
    },
    /// Has ended and will not be started again.
    Final,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum EndReason {
    ByItself,
    Hung(String),
    StopRequested,
}

/// `next` is empty while a ping waits for its answer.
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
    /// Failures in a row. Reset when it has run for `healthy_after`.
    pub(super) failures: u32,
    pub(super) probing: bool,
    /// Its first start has succeeded or failed.
    pub(super) start_attempted: bool,
    pub(super) fast: Budget,
    pub(super) slow: Budget,
    /// Its entry in the policy's agenda.
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
            start_attempted: false,
            fast: Budget::new(fast),
            slow: Budget::new(limits.child_slow),
            due: None,
            plan,
        }
    }

    /// Whether an incarnation of it exists, or may exist.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.state, State::Starting { .. } | State::Running { .. } | State::Ending { .. })
    }

    pub(super) fn has_started(&self) -> bool {
        matches!(self.state, State::Running { .. } | State::Ending { started: true, .. })
    }

    /// Whether a shutdown waits for it. It does not wait for a stuck child: nothing in this process can end that.
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

    pub(super) fn is_healthy(&self, now: Duration, healthy_after: Duration) -> bool {
        matches!(self.state, State::Running { since, .. } if now >= since + healthy_after)
    }

    /// Why it ended: after the supervisor's own kill a hang or a stop, otherwise what was reported.
    pub(super) fn cause(&self, reported: ChildEnd) -> ChildEnd {
        match (&self.state, reported) {
            (State::Ending { reason: EndReason::Hung(what), .. }, ChildEnd::Killed) => ChildEnd::Hung(what.clone()),
            (
                State::Ending { reason: EndReason::StopRequested, .. },
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
            State::BackingOff { until } | State::Parked { until } => Some(*until),
        }
    }
}
