//! Where the bars of a pipeline come from, on which clock, and which slots a run has.

use std::sync::Arc;

use sentinel_actors::domain::schedule::{Schedule, Window};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{BarSource, Clock};

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
pub(super) fn source(pipeline: &PipelineConfig, state: &StateDir, options: &RunOptions) -> Result<Source, NodeError> {
    match &pipeline.source {
        SourceConfig::Csv(csv) => recorded::source(pipeline, csv, state, options),
    }
}

/// What the bars of a pipeline are, when they can be looked at before a run.
///
/// # Errors
/// When it could not be run on them.
pub fn survey_bars(pipeline: &PipelineConfig) -> Result<Option<Survey>, NodeError> {
    match &pipeline.source {
        SourceConfig::Csv(csv) => recorded::survey(pipeline, csv),
    }
}

/// The competition of this run. It ends with the recorded bars, and a single run ends with the next slot: a pipeline works on
/// no slot before its start.
pub(super) fn window_of_run(
    configured: Window,
    schedule: &Schedule,
    accounted: UtcMs,
    span: Option<Span>,
    once: bool,
) -> Window {
    let next = once.then(|| schedule.after(accounted));
    let last = span.map(|span| span.last).into_iter().chain(next).min();
    let after_last = last.map(|last| UtcMs(last.0.saturating_add(1)));
    Window { start: configured.start, end: configured.end.into_iter().chain(after_last).min() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn hour(index: i64) -> UtcMs {
        UtcMs::from_secs(index * 3600)
    }

    fn end(configured: Option<UtcMs>, now: UtcMs, span: Option<Span>, once: bool) -> Option<UtcMs> {
        let schedule = Schedule::every(HOUR, Duration::ZERO).unwrap();
        let configured = Window { start: Some(hour(1)), end: configured };
        let window = window_of_run(configured, &schedule, now, span, once);
        assert_eq!(window.start, configured.start);
        window.end
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
    }

    #[test]
    fn a_run_without_an_end_of_bars_ends_as_configured_and_once_with_the_next() {
        let now = UtcMs(hour(6).0 + 1);
        assert_eq!(end(None, now, None, false), None);
        assert_eq!(end(Some(hour(8)), now, None, false), Some(hour(8)));
        assert_eq!(end(None, now, None, true), right_after(hour(7)));
        assert_eq!(end(Some(hour(7)), now, None, true), Some(hour(7)), "the competition is over before the next slot");
    }
}
