//! Recorded bars as a pipeline's source, checked before anything starts, by `run` and by `check` alike.

use std::sync::Arc;

use sentinel_actors::domain::bar::Interval;
use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::made_bars::{IncompleteBar, Made, Making, make};
use sentinel_actors::domain::schedule::Schedule;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Clock;

use super::NodeError;
use super::source::{Source, Span};
use crate::config::{CsvSource, PipelineConfig, VenueConfig};
use crate::journal::{JournalReader, StateDir};
use crate::node::RunOptions;
use crate::sources::csv::{BarLine, read_lines};
use crate::sources::replay::{ReplayClock, ReplaySource};
use crate::sources::replay_time::ReplayTime;
use crate::sources::survey::{self, Expected, Survey, UnfitBars, judge_hours};
use crate::system::WallClock;

/// What the bars of a pipeline are.
///
/// # Errors
/// When it could not be run on them.
pub(super) fn survey(pipeline: &PipelineConfig, csv: &CsvSource) -> Result<Option<Survey>, NodeError> {
    Recorded::read(pipeline, csv, None).map(|recorded| recorded.survey)
}

/// Bars that a pipeline can be run on.
struct Recorded {
    source: ReplaySource,
    survey: Option<Survey>,
    /// From the opening of the first bar with a full window before it, to the close of the last one.
    decidable: (UtcMs, UtcMs),
}

impl Recorded {
    /// Reads the oldest bars, all of them when `limit` is `None`.
    fn read(pipeline: &PipelineConfig, csv: &CsvSource, limit: Option<usize>) -> Result<Self, NodeError> {
        let name = || pipeline.name.clone();
        let mut lines =
            read_lines(&csv.path).map_err(|source| NodeError::Source { pipeline: name(), source: Box::new(source) })?;
        let unfit = |source| NodeError::Unfit { pipeline: name(), file: csv.path.clone(), source: Box::new(source) };
        lines.sort_by_key(|line| line.bar.time);
        let mut incomplete = Vec::new();
        if let Some(made_from) = pipeline.features.set.made_from.filter(|_| !csv.already_made) {
            (lines, incomplete) = made(&lines, pipeline, made_from).map_err(unfit)?;
        }
        for limit in csv.bars.map(usize::from).into_iter().chain(limit) {
            lines.truncate(limit);
        }
        let need = pipeline.features.set.window;
        let expected = expected(pipeline, pipeline.interval);
        let survey = survey::survey(&lines, &expected).map_err(unfit)?;
        let source = ReplaySource::new(lines.iter().map(|line| line.bar).collect(), pipeline.interval)
            .with_incomplete(incomplete);
        let too_few = || NodeError::TooFewBars { pipeline: name(), have: source.bar_count(), need };
        let decidable = source.bounds(need).ok_or_else(too_few)?;
        judge_hours(&lines, &expected).map_err(unfit)?;
        Ok(Self { source, survey, decidable })
    }
}

fn expected(pipeline: &PipelineConfig, interval: Interval) -> Expected<'_> {
    Expected {
        interval,
        calendar: &pipeline.calendar,
        max_missing_bars: pipeline.data.max_missing_bars,
        window: pipeline.features.set.window,
        now: WallClock.now(),
    }
}

/// The pipeline's bars, made from shorter ones that are sorted by time; each has the line of its first part.
fn made(
    parts: &[BarLine],
    pipeline: &PipelineConfig,
    made_from: Interval,
) -> Result<(Vec<BarLine>, Vec<IncompleteBar>), UnfitBars> {
    survey::survey(parts, &expected(pipeline, made_from)).map_err(|unfit| match unfit {
        UnfitBars::Spacing { survey, .. } => UnfitBars::Parts { survey, made_from },
        other => other,
    })?;
    let Some(last) = parts.last() else { return Ok((Vec::new(), Vec::new())) };
    let how = Making {
        interval: pipeline.interval,
        made_from,
        calendar: &pipeline.calendar,
        least_parts: pipeline.data.least_parts,
        tick: pipeline.data.tick,
        // What the file does not reach the end of is still forming.
        now: made_from.close_of(last.bar.time),
    };
    let delivered: Vec<_> = parts.iter().map(|part| part.bar).collect();
    let line_of = |time| parts.get(parts.partition_point(|part| part.bar.time < time)).map_or(0, |part| part.line);
    let Made { bars, incomplete } = make(&delivered, &how);
    let lines = bars.into_iter().map(|bar| BarLine { line: line_of(bar.time), bar: bar.into() });
    Ok((lines.collect(), incomplete))
}

/// A replay that continues where the journal ends.
pub(super) fn source(
    pipeline: &PipelineConfig,
    csv: &CsvSource,
    schedule: &Schedule,
    state: &StateDir,
    options: &RunOptions,
) -> Result<Source, NodeError> {
    // The first decision looks at a whole window of bars, each further one at one bar more.
    let window = pipeline.features.set.window;
    let decided = options.bars.map(|bars| bars.saturating_add(window).saturating_sub(1));
    let Recorded { source, decidable, .. } = Recorded::read(pipeline, csv, decided)?;
    let span = span(pipeline, schedule, decidable);
    let reader = JournalReader::open(state.path())?;
    let recovery = reader.recovery(&pipeline.name)?;
    let accounted = recovery.last_slot.unwrap_or(span.first.before());
    let reached = recovery.reached(accounted);
    let clock = ReplayClock::new(reached, pipeline.interval, csv.speed, time_file(pipeline, state)?);
    Ok(Source { source: Arc::new(source), clock: Arc::new(clock), accounted, span: Some(span) })
}

/// All bars of a pipeline from the first one, with their slots: for a backtest.
pub(super) fn whole(
    pipeline: &PipelineConfig,
    csv: &CsvSource,
    schedule: &Schedule,
) -> Result<(ReplaySource, Span), NodeError> {
    let Recorded { source, decidable, .. } = Recorded::read(pipeline, csv, None)?;
    Ok((source, span(pipeline, schedule, decidable)))
}

/// Bars that are shown as far as they are closed by a clock that is not theirs.
pub(super) fn on_clock(pipeline: &PipelineConfig, csv: &CsvSource, clock: Arc<dyn Clock>) -> Result<Source, NodeError> {
    let Recorded { source, .. } = Recorded::read(pipeline, csv, None)?;
    let accounted = clock.now();
    Ok(Source { source: Arc::new(source), clock, accounted, span: None })
}

/// The slots of bars that can be decided. A window that begins or ends inside the data narrows the replay.
fn span(pipeline: &PipelineConfig, schedule: &Schedule, (first, last): (UtcMs, UtcMs)) -> Span {
    let window = pipeline.window;
    let first = schedule.after(first.before());
    let last = schedule.after(last.plus(pipeline.data.settle).before());
    Span {
        first: window.start.map_or(first, |start| first.max(schedule.after(start.before()))),
        last: window.end.map_or(last, |end| last.min(schedule.newest_due(end.before()))),
    }
}

/// Where a paper gateway reads the time of this replay.
fn time_file(pipeline: &PipelineConfig, state: &StateDir) -> Result<Option<ReplayTime>, NodeError> {
    let is_read = pipeline.mode == Mode::Live
        && matches!(pipeline.order().map(|order| &order.venue), Some(VenueConfig::Gateway(gateway)) if gateway.replay);
    if !is_read {
        return Ok(None);
    }
    let file = state.path().join("replay").join(format!("{}.time", pipeline.name));
    ReplayTime::open(&file).map(Some).map_err(|source| NodeError::ReplayTime { file, source })
}
