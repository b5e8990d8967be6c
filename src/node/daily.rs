//! What is done once a day beside the node's work, on threads of its own and at a lower priority.

use sentinel_actors::domain::time::UtcMs;

/// So much less important than the node is what waits for nothing.
const LOWER_BY: i32 = 10;
const DAY_MS: i64 = 24 * 3600 * 1000;

/// The newest instant with this time of day, at or before `now`.
pub(super) fn last_due(at: jiff::civil::Time, now: UtcMs) -> UtcMs {
    let at_ms = (i64::from(at.hour()) * 60 + i64::from(at.minute())) * 60_000;
    let days = now.0.saturating_sub(at_ms).div_euclid(DAY_MS);
    UtcMs(days.saturating_mul(DAY_MS).saturating_add(at_ms))
}

/// Of this thread alone, and for good.
pub(super) fn lower() {
    // A thread that stays as important as the others does the same.
    let _ = rustix::process::nice(LOWER_BY);
}

/// On a thread of its own, because none gets its priority back.
pub(super) fn beside<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|error| error.to_string())?;
    thread.join().map_err(|_| "it panicked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_each_day_is_due_at_its_time_and_after_a_time_that_was_slept_through() {
        let at = jiff::civil::time(3, 30, 0, 0);
        let utc = |text: &str| text.parse::<UtcMs>().unwrap();
        for (now, due) in [
            ("2026-03-02T03:30:00Z", "2026-03-02T03:30:00Z"),
            ("2026-03-02T03:29:59Z", "2026-03-01T03:30:00Z"),
            ("2026-03-02T23:59:59Z", "2026-03-02T03:30:00Z"),
            ("2026-03-03T00:00:00Z", "2026-03-02T03:30:00Z"),
        ] {
            assert_eq!(last_due(at, utc(now)), utc(due), "{now}");
        }
    }
}
