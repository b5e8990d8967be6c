//! One endpoint, and what is known about it.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::lock;
use crate::venues::allora::health::{Rest, Trouble};
use crate::venues::allora::rpc::{Rpc, Status};

pub(in crate::venues::allora) struct Node {
    pub(in crate::venues::allora) rpc: Rpc,
    pub(super) state: Mutex<NodeState>,
}

#[derive(Default)]
pub(super) struct NodeState {
    pub(super) rest: Rest,
    pub(super) latency: Option<Duration>,
    pub(super) status: Option<Status>,
    pub(super) trouble: Option<Trouble>,
    pub(super) lacks_index: bool,
    /// The last failure was that it did not say how it is.
    pub(super) failed_survey: bool,
}

/// What an endpoint is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    HowItIs,
    Else,
}

impl Node {
    pub(in crate::venues::allora) fn name(&self) -> String {
        self.rpc.name().to_owned()
    }

    /// When it last said so.
    pub(in crate::venues::allora) fn height(&self) -> u64 {
        self.state().status.as_ref().map_or(0, |status| status.height)
    }

    pub(in crate::venues::allora) fn has_no_index(&self) {
        self.state().lacks_index = true;
    }

    pub(super) fn state(&self) -> MutexGuard<'_, NodeState> {
        lock(&self.state)
    }

    /// What keeps it from being used now.
    pub(super) fn trouble(&self, now: Instant) -> Option<Trouble> {
        let state = self.state();
        let silent = || state.status.is_none().then_some(Trouble::Silent);
        state.rest.trouble(now).or_else(|| state.trouble.clone()).or_else(silent)
    }

    pub(super) fn is_awake(&self, now: Instant) -> bool {
        self.state().rest.trouble(now).is_none()
    }

    /// It said last that it is sound, whether it rests or not.
    pub(super) fn is_sound(&self) -> bool {
        let state = self.state();
        state.status.is_some() && state.trouble.is_none() && !state.failed_survey
    }

    /// Whether it is asked in spite of its rest, because there is no other: at once when it only failed at a question, and else
    /// not sooner than `pause` after it failed last.
    pub(super) fn may_be_woken(&self, now: Instant, pause: Duration) -> bool {
        let state = self.state();
        !state.rest.is_wanted(now) && (!state.failed_survey || state.rest.has_lasted(now, pause))
    }

    /// Notes what it says about itself; a change is worth a line.
    pub(super) fn found(&self, status: Status, trouble: Option<Trouble>) {
        let mut state = self.state();
        let (was, is) = (state.trouble.is_some(), trouble.is_some());
        state.status = Some(status);
        state.trouble.clone_from(&trouble);
        drop(state);
        match trouble {
            Some(trouble) if !was => {
                tracing::warn!(
                    event = "allora_endpoint_dropped",
                    endpoint = self.name(),
                    error = %trouble,
                    "an endpoint is not used until it is sound again"
                );
            }
            None if was && !is => {
                tracing::info!(event = "allora_endpoint_back", endpoint = self.name(), "an endpoint is used again");
            }
            _ => {}
        }
    }
}
