//! When a call must be over.

use std::time::Duration;

use sentinel_actors::ports::elapsed_now;
use tokio::time::{Instant, timeout_at};

use super::error::CallError;

/// One instant that is shared by all that a call consists of, so that an inner part ends, and is noted as a failure, no
/// later than the whole.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    until: Instant,
    allowed: Duration,
}

impl Deadline {
    /// The end of what is `allowed`, counted `from` an instant.
    #[must_use]
    pub fn of(allowed: Duration, from: Instant) -> Self {
        Self { until: from + allowed, allowed }
    }

    /// The one that ends first.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        if other.until < self.until { other } else { self }
    }

    /// One that ends earlier by `spare`, so that what it bounds leaves this much to the rest.
    #[must_use]
    pub fn less(self, spare: Duration) -> Self {
        let until = self.until.checked_sub(spare).unwrap_or(self.until);
        Self { until, allowed: self.allowed.saturating_sub(spare) }
    }

    /// What is left of it.
    #[must_use]
    pub fn left(self) -> Duration {
        self.until.saturating_duration_since(elapsed_now())
    }

    /// What `call` returns, when it does so in time.
    ///
    /// # Errors
    /// Those of the call, and [`CallError::Timeout`].
    pub async fn keep<T, E: From<CallError>>(self, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        timeout_at(self.until, call).await.unwrap_or_else(|_| Err(CallError::Timeout(self.allowed).into()))
    }
}
