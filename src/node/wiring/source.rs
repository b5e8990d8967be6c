//! Where the bars of a pipeline come from, on which clock, and which slots a run has.

use std::sync::Arc;

use sentinel_actors::domain::schedule::{Schedule, Window};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{BarSource, Clock, FeatureSet, Model};

use super::feeds::{self, Feeds};
use super::{NodeError, recorded};
use crate::config::{PipelineConfig, SourceConfig};
use crate::journal::StateDir;
use crate::node::RunOptions;
use crate::sources::survey::Survey;

/// A source with the clock that its pipeline lives on.
pub(super) struct Source {
    pub(super) source: Arc<dyn BarSource>,
    pub(super) clock: Arc<dyn Clock>,
    /// The run works on the slots after this time.
    pub(super) accounted: UtcMs,
    /// `None`: it goes on.
    pub(super) span: Option<Span>,
}

/// First and last slot of recorded bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: UtcMs,
    pub(super) last: UtcMs,
}

/// The source of a pipeline.
///
/// `chain_clock`: that of a chain, for a pipeline that goes by its windows.
pub(super) fn source(
    pipeline: &PipelineConfig,
    state: &StateDir,
    feeds: Option<&mut Feeds>,
    (features, model): (Arc<dyn FeatureSet>, Arc<dyn Model>),
    chain_clock: Option<Arc<dyn Clock>>,
    options: &RunOptions,
) -> Result<Source, NodeError> {
    match (&pipeline.source, feeds, chain_clock, pipeline.slots.grid()) {
        (SourceConfig::Csv(csv), _, Some(clock), _) => recorded::on_clock(pipeline, csv, clock),
        (SourceConfig::Csv(csv), _, None, Some(schedule)) => recorded::source(pipeline, csv, schedule, state, options),
        (SourceConfig::Vendor(vendor), Some(feeds), clock, _) => {
            let source = feeds.source(pipeline, vendor, features, model)?;
            Ok(match clock {
                Some(clock) => Source { accounted: clock.now(), clock, ..source },
                None => source,
            })
        }
        _ => unreachable!("a pipeline has a grid or a chain, and feeds are opened for every vendor"),
    }
}

/// What the bars of a pipeline are, when they can be looked at before a run.
///
/// # Errors
/// When it could not be run on them.
pub fn survey_bars(pipeline: &PipelineConfig) -> Result<Option<Survey>, NodeError> {
    match &pipeline.source {
        SourceConfig::Csv(csv) => recorded::survey(pipeline, csv),
        SourceConfig::Vendor(vendor) => feeds::require_key(pipeline, vendor).map(|()| None),
    }
}

/// Which slots a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunSlots {
    pub(super) window: Window,
    /// A pipeline without rows begins with it; `None`: with the next one.
    pub(super) first: Option<UtcMs>,
    /// It is worked on however late it is.
    pub(super) any_lateness: bool,
}

/// The slots of a run: those of the competition, as far as there are bars. A single run on recorded bars has the next slot. On a
/// live source it has the newest one that is due, at once: that is the one which decides the newest closed bar.
pub(super) fn slots_of_run(
    competition: Window,
    schedule: &Schedule,
    accounted: UtcMs,
    span: Option<Span>,
    once: bool,
    at_once: bool,
) -> RunSlots {
    let is_live = span.is_none();
    let newest = (is_live && (once || at_once)).then(|| schedule.newest_due(accounted));
    let only = once.then(|| newest.unwrap_or_else(|| schedule.after(accounted)));
    let last = span.map(|span| span.last).into_iter().chain(only).min();
    let after_last = last.map(|last| UtcMs(last.0.saturating_add(1)));
    let window = Window { start: competition.start, end: competition.end.into_iter().chain(after_last).min() };
    RunSlots { window, first: newest, any_lateness: newest.is_some() }
}

/// The slots of a run that goes by a chain's windows: all of the competition, or the one that opened at `only`.
pub(super) fn windows_of_run(competition: Window, only: Option<UtcMs>) -> RunSlots {
    let window = only.map_or(competition, |only| Window { start: Some(only), end: Some(UtcMs(only.0 + 1)) });
    RunSlots { window, first: None, any_lateness: false }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn hour(index: i64) -> UtcMs {
        UtcMs::from_secs(index * 3600)
    }

    fn slots(competition_end: Option<UtcMs>, now: UtcMs, span: Option<Span>, once: bool) -> RunSlots {
        let schedule = Schedule::every(HOUR, Duration::ZERO).unwrap();
        let competition = Window { start: Some(hour(1)), end: competition_end };
        let slots = slots_of_run(competition, &schedule, now, span, once, false);
        assert_eq!(slots.window.start, competition.start);
        slots
    }

    fn end(competition_end: Option<UtcMs>, now: UtcMs, span: Option<Span>, once: bool) -> Option<UtcMs> {
        slots(competition_end, now, span, once).window.end
    }

    fn right_after(slot: UtcMs) -> Option<UtcMs> {
        Some(UtcMs(slot.0 + 1))
    }

    #[test]
    fn a_run_on_recorded_bars_ends_with_their_last_slot_and_once_with_the_next() {
        let span = Some(Span { first: hour(5), last: hour(9) });
        assert_eq!(end(None, hour(4), span, false), right_after(hour(9)));
        assert_eq!(end(None, hour(6), span, true), right_after(hour(7)));
        assert_eq!(end(None, hour(9), span, true), right_after(hour(9)), "no bars, no slot");
        assert_eq!(slots(None, hour(6), span, true).first, None);
    }

    #[test]
    fn a_single_run_on_a_live_source_has_the_newest_due_slot_however_late() {
        let now = UtcMs(hour(6).0 + 59 * 60_000);
        let once = slots(None, now, None, true);
        assert_eq!((once.window.end, once.first, once.any_lateness), (right_after(hour(6)), Some(hour(6)), true));
        let over = slots(Some(hour(6)), now, None, true);
        assert_eq!(over.window.end, Some(hour(6)), "the competition was over before that slot");
    }

    #[test]
    fn a_live_run_that_begins_at_once_goes_on_after_the_newest_due_slot() {
        let schedule = Schedule::every(HOUR, Duration::ZERO).unwrap();
        let now = UtcMs(hour(6).0 + 59 * 60_000);
        let slots = slots_of_run(Window::default(), &schedule, now, None, false, true);
        assert_eq!((slots.window.end, slots.first, slots.any_lateness), (None, Some(hour(6)), true));
        let recorded = Some(Span { first: hour(5), last: hour(9) });
        assert_eq!(slots_of_run(Window::default(), &schedule, hour(4), recorded, false, true).first, None);
    }

    #[test]
    fn a_run_on_a_live_source_begins_with_the_next_slot_and_ends_as_configured() {
        let now = UtcMs(hour(6).0 + 1);
        for competition_end in [None, Some(hour(8))] {
            let slots = slots(competition_end, now, None, false);
            assert_eq!((slots.window.end, slots.first, slots.any_lateness), (competition_end, None, false));
        }
    }
}
