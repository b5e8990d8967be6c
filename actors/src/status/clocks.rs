//! This machine's clock beside those of others, as their answers tell it.
//!
//! An answer tells another clock only as exactly as its way and its resolution allow, so each is kept as bounds: a slow one says
//! little, and never that the clocks differ.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::node_view::ClockView;
use crate::domain::time::UtcMs;
use crate::domain::verdict::is_apart;

/// Sources that are kept. Those of one kind are few; more are not compared.
const SOURCES_MAX: usize = 16;

/// Written by whoever hears another clock.
#[derive(Debug, Default)]
pub struct ClockOffsets(Mutex<BTreeMap<String, ClockView>>);

impl ClockOffsets {
    /// An answer of `source` said `theirs`, which another clock showed at some moment of the `way` up to `now`, and for
    /// `resolution` after that.
    pub fn note(&self, source: &str, theirs: UtcMs, resolution: Duration, way: Duration, now: UtcMs) {
        let ahead = |ours: UtcMs, theirs: UtcMs| ours.0.saturating_sub(theirs.0);
        self.note_bounds(source, ahead(now.minus(way), theirs.plus(resolution)), ahead(now, theirs), now);
    }

    /// This machine's clock is ahead of that of `source` by `at_least_ms` to `at_most_ms`.
    pub fn note_bounds(&self, source: &str, at_least_ms: i64, at_most_ms: i64, now: UtcMs) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(source) && all.len() >= SOURCES_MAX {
            return;
        }
        let before = all.remove(source);
        let mut clock = ClockView { source: source.to_owned(), at_least_ms, at_most_ms, off_since: None, answers: 0 };
        if is_apart(clock.certain_ms()) {
            let (since, answers) = before.map_or((None, 0), |before| (before.off_since, before.answers));
            (clock.off_since, clock.answers) = (since.or(Some(now)), answers.saturating_add(1));
        }
        all.insert(source.to_owned(), clock);
    }

    #[must_use]
    pub fn all(&self) -> Vec<ClockView> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UtcMs = UtcMs(1_700_000_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    /// What an answer leaves that took `way_ms` and whose header is `theirs_ms` after now.
    fn heard(theirs_ms: i64, way_ms: u64) -> ClockView {
        let clocks = ClockOffsets::default();
        clocks.note("hub", UtcMs(NOW.0 + theirs_ms), SECOND, Duration::from_millis(way_ms), NOW);
        clocks.all().remove(0)
    }

    #[test]
    fn an_answer_says_of_another_clock_only_what_its_way_and_resolution_allow() {
        assert_eq!(heard(0, 100).certain_ms(), 0);
        // Written when it was asked, at the end of its second: 3 s and 0.1 s and 1 s before now.
        assert_eq!((heard(-4_100, 100).certain_ms(), heard(-4_100, 100).at_most_ms), (3_000, 4_100));
        assert_eq!(heard(3_000, 100).certain_ms(), -3_000);
        assert_eq!((heard(-9_000, 9_000).certain_ms(), heard(-9_000, 9_000).off_since), (0, None), "a slow answer");
        assert_eq!((heard(-2_900, 0).off_since, heard(-3_100, 0).off_since), (None, Some(NOW)));
    }

    #[test]
    fn the_beginning_of_a_difference_is_kept_until_an_answer_allows_that_there_is_none() {
        let clocks = ClockOffsets::default();
        let after = |seconds: u64| NOW.plus(SECOND * u32::try_from(seconds).unwrap());
        let off = |at: UtcMs| clocks.note("hub", UtcMs(at.0 + 5_000), SECOND, Duration::ZERO, at);
        off(after(0));
        off(after(60));
        let clock = clocks.all().remove(0);
        assert_eq!((clock.off_since, clock.answers, clock.certain_ms()), (Some(NOW), 2, -5_000));
        clocks.note("hub", after(120), SECOND, Duration::ZERO, after(120));
        assert_eq!(clocks.all()[0].off_since, None);
        off(after(180));
        let clock = clocks.all().remove(0);
        assert_eq!((clock.off_since, clock.answers), (Some(after(180)), 1));
    }

    #[test]
    fn sources_beyond_the_limit_are_not_kept() {
        let clocks = ClockOffsets::default();
        (0..100).for_each(|nth| clocks.note_bounds(&format!("source {nth}"), 0, 0, NOW));
        assert_eq!(clocks.all().len(), SOURCES_MAX);
    }
}
