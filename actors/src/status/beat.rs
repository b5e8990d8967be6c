//! Signs of life of what the watchdog does not see, and the face of this machine's clock.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::time::UtcMs;
use crate::ports::elapsed_now;

/// Whether a thread still moves. One that never began is not missed.
#[derive(Debug, Default)]
pub struct Beat(Mutex<Option<Instant>>);

impl Beat {
    /// It moves.
    pub fn note(&self) {
        self.set(Some(elapsed_now()));
    }

    /// It ends in order.
    pub fn end(&self) {
        self.set(None);
    }

    /// How long it has not moved; `None`: it was never begun, or has ended.
    #[must_use]
    pub fn silent_for(&self) -> Option<Duration> {
        let beat = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        beat.map(|at| elapsed_now().saturating_duration_since(at))
    }

    fn set(&self, at: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}

/// What a clock shows by itself.
#[derive(Debug, Default)]
pub struct ShownClock {
    /// 0: nothing was seen yet.
    latest_ms: AtomicI64,
    stands_ms: AtomicU64,
}

impl ShownClock {
    /// The latest time that it has shown, and how long it has shown the same.
    pub fn note(&self, latest: UtcMs, stands_for: Duration) {
        self.latest_ms.store(latest.0, Ordering::Relaxed);
        self.stands_ms.store(u64::try_from(stands_for.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    #[must_use]
    pub fn latest(&self) -> Option<UtcMs> {
        Some(self.latest_ms.load(Ordering::Relaxed)).filter(|latest| *latest != 0).map(UtcMs)
    }

    #[must_use]
    pub fn stands_for(&self) -> Duration {
        Duration::from_millis(self.stands_ms.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thread_is_silent_from_its_last_sign_of_life_until_it_ends() {
        let beat = Beat::default();
        assert_eq!(beat.silent_for(), None);
        beat.note();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(beat.silent_for(), Some(Duration::from_secs(3)));
        beat.end();
        assert_eq!(beat.silent_for(), None);
    }
}
