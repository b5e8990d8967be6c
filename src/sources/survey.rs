//! What a file of bars holds, and whether it fits its pipeline's configuration.
//!
//! `check` and `run` both ask this before anything starts. The cost is bounded by the number of bars and the longest
//! accepted gap, never by the times in the file.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use sentinel_actors::domain::bar::{Interval, OLDEST_BAR};
use sentinel_actors::domain::calendar::MarketCalendar;
use sentinel_actors::domain::freshness::OUTAGE_MAX;
use sentinel_actors::domain::time::UtcMs;

use super::csv::BarLine;

/// When this program was written: a machine's clock before it is not set yet, and bars are not compared with it.
const WRITTEN_AT: UtcMs = UtcMs::from_secs(1_790_812_800);
/// Clocks differ, and some vendors write local time.
const AHEAD_MAX: Duration = Duration::from_secs(86_400);
/// Gaps that the calendar does not explain mean a wrong calendar when they repeat and make up more than this share of the
/// bars: an FX week has 29 % of its hours on the weekend.
const GAPS_PERCENT_MAX: u64 = 20;

/// What the pipeline says about its bars.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'e> {
    pub interval: Interval,
    pub calendar: &'e MarketCalendar,
    /// Bars that may be missing in one window.
    pub max_missing_bars: u32,
    /// Bars of one window.
    pub window: usize,
    /// Wall time: no bar is from the future.
    pub now: UtcMs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survey {
    pub bars: usize,
    /// The oldest.
    pub first: UtcMs,
    pub last: UtcMs,
    /// The most frequent distance between two neighbours.
    pub spacing: Duration,
    /// How many neighbours have it.
    pub with_spacing: usize,
    /// The longest distance between two neighbours, and where it begins.
    pub longest: (Duration, UtcMs),
}

/// A duration in days and hours, or in the largest unit that it is a whole number of.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            s if s % 86_400 == 0 => write!(f, "{}d", s / 86_400),
            s if s > 3 * 86_400 => write!(f, "{}d {}h", s / 86_400, s % 86_400 / 3600),
            s if s % 3600 == 0 => write!(f, "{}h", s / 3600),
            s if s % 60 == 0 => write!(f, "{}m", s / 60),
            s => write!(f, "{s}s"),
        }
    }
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bars, first, last, spacing, with_spacing, longest: (longest, from) } = self;
        write!(f, "{bars} bars from {first} to {last}, {} apart {with_spacing} times", Span(*spacing))?;
        if longest > spacing {
            write!(f, "; the longest hole, {}, follows {from}", Span(*longest))?;
        }
        Ok(())
    }
}

/// Why a pipeline cannot be run on these bars. Lines count from 1, the header included.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitBars {
    /// Older than any bar, or from the future.
    #[error("line {line}: {time} is no plausible open time of a bar; expected {OLDEST_BAR} to {latest}")]
    Time {
        line: u64,
        /// What it says.
        time: UtcMs,
        /// The latest plausible one.
        latest: UtcMs,
    },
    /// A wrong time, or two files in one.
    #[error(
        "line {line}: {time} lies {} after the bar before it, {before} in line {line_before}; a hole is {} at most: put the \
         time right, or make two files of it",
        Span(*hole), Span(OUTAGE_MAX)
    )]
    Hole {
        /// Where it ends.
        line: u64,
        /// The bar there.
        time: UtcMs,
        /// Where it begins.
        line_before: u64,
        before: UtcMs,
        /// How far apart they are, in whole seconds.
        hole: Duration,
    },
    /// Bars of another length.
    #[error(
        "its bars are {} apart ({} of {} times), and `interval` is {interval}: give the interval of the file, or another file",
        Span(survey.spacing), survey.with_spacing, survey.bars - 1
    )]
    Spacing {
        survey: Box<Survey>,
        /// Configured.
        interval: Interval,
    },
    /// Bars of another length than those that the pipeline makes its bars from.
    #[error(
        "its bars are {} apart ({} of {} times), and `made_from` is {made_from}: give the interval of the file, or already_made = true when it has the made bars",
        Span(survey.spacing), survey.with_spacing, survey.bars - 1
    )]
    Parts {
        survey: Box<Survey>,
        /// Configured.
        made_from: Interval,
    },
    /// The calendar calls the market open when it is closed.
    #[error(
        "`calendar` expects {expected} bars, and {missing} of them are missing in {holes} holes, the longest of {} after {from}: \
         give the market's own hours, or allow more with data.max_missing_bars",
        Span(*longest)
    )]
    Calendar {
        /// Bars that the calendar expects between the first and the last one.
        expected: u64,
        /// Bars that are missing in these holes.
        missing: u64,
        /// Holes with more missing bars than are allowed.
        holes: usize,
        /// The longest of them.
        longest: Duration,
        /// Where it begins.
        from: UtcMs,
    },
    /// Not one decision could be made.
    #[error(
        "each of its {windows} windows of {window} bars has more than the {allowed} missing bars that data.max_missing_bars allows, \
         so nothing could ever be decided"
    )]
    Gaps {
        /// How many there are.
        windows: usize,
        /// Bars of one.
        window: usize,
        allowed: u32,
    },
}

/// Judges the times of bars that are sorted by them: whether they are plausible, and how far apart. `None` without two bars.
///
/// # Errors
/// When one is not, or they are bars of another length.
pub fn survey(lines: &[BarLine], expected: &Expected<'_>) -> Result<Option<Survey>, UnfitBars> {
    let latest = expected.now.max(WRITTEN_AT).plus(AHEAD_MAX);
    if let Some(BarLine { line, bar }) = lines.iter().find(|line| !(OLDEST_BAR..=latest).contains(&line.bar.time)) {
        return Err(UnfitBars::Time { line: *line, time: bar.time, latest });
    }
    let mut spacings: BTreeMap<Duration, usize> = BTreeMap::new();
    let mut longest = (Duration::ZERO, OLDEST_BAR);
    for pair in lines.windows(2) {
        let (before, time) = (pair[0].bar.time, pair[1].bar.time);
        let spacing = time.since(before);
        if spacing > OUTAGE_MAX {
            let (line_before, line, hole) = (pair[0].line, pair[1].line, Duration::from_secs(spacing.as_secs()));
            return Err(UnfitBars::Hole { line, time, line_before, before, hole });
        }
        if !spacing.is_zero() {
            *spacings.entry(spacing).or_default() += 1;
        }
        longest = longest.max((spacing, before));
    }
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return Ok(None) };
    let often = spacings.values().max().copied().unwrap_or_default();
    let wanted = spacings.get(&expected.interval.length()).is_some_and(|times| *times == often);
    let most = spacings.iter().find(|(_, times)| **times == often).map(|(spacing, _)| *spacing);
    let Some(spacing) = (if wanted { Some(expected.interval.length()) } else { most }) else { return Ok(None) };
    let bars = spacings.values().sum::<usize>() + 1;
    let survey = Survey { bars, first: first.bar.time, last: last.bar.time, spacing, with_spacing: often, longest };
    if wanted {
        Ok(Some(survey))
    } else {
        Err(UnfitBars::Spacing { survey: Box::new(survey), interval: expected.interval })
    }
}

/// Judges the holes of surveyed bars against the market's hours.
///
/// # Errors
/// When the calendar contradicts the file, or no window is whole enough to decide on.
pub fn judge_hours(lines: &[BarLine], expected: &Expected<'_>) -> Result<(), UnfitBars> {
    let step = expected.interval.length();
    let mut times: Vec<UtcMs> = lines.iter().map(|line| line.bar.time).collect();
    times.dedup();
    let missing: Vec<u32> = times
        .windows(2)
        .map(|pair| expected.calendar.missing_bars(&[], expected.interval, pair[0].plus(step), pair[1].before()))
        .collect();
    let holes = missing.iter().zip(&times).zip(times.iter().skip(1));
    let holes: Vec<_> = holes.filter(|((missing, _), _)| **missing > expected.max_missing_bars).collect();
    let in_holes: u64 = holes.iter().map(|((missing, _), _)| u64::from(**missing)).sum();
    let expected_bars = times.len() as u64 + missing.iter().map(|missing| u64::from(*missing)).sum::<u64>();
    let longest = holes.iter().map(|((_, from), to)| (to.since(**from), **from)).max();
    if let Some((longest, from)) = longest
        && holes.len() > 1
        && in_holes * 100 > expected_bars * GAPS_PERCENT_MAX
    {
        let (expected, missing, holes) = (expected_bars, in_holes, holes.len());
        return Err(UnfitBars::Calendar { expected, missing, holes, longest, from });
    }
    let inside = expected.window.saturating_sub(1).max(1);
    let is_gap = |window: &[u32]| {
        window.iter().map(|missing| u64::from(*missing)).sum::<u64>() > expected.max_missing_bars.into()
    };
    let windows = missing.windows(inside).len();
    if windows > 0 && missing.windows(inside).all(is_gap) {
        return Err(UnfitBars::Gaps { windows, window: expected.window, allowed: expected.max_missing_bars });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sentinel_actors::domain::bar::RawBar;

    use super::*;

    const HOUR: i64 = 3_600_000;
    /// A Monday.
    const MONDAY: i64 = 1_483_315_200_000;
    const FX: &str = "America/New_York; Sun 17:00-Fri 17:00";

    const NOW: &str = "2027-01-01T00:00:00Z";

    /// Bars at these hours after a Monday, in the file's order.
    fn lines(hours: impl IntoIterator<Item = i64>) -> Vec<BarLine> {
        let bar = |(line, hour): (u64, i64)| {
            let time = UtcMs(MONDAY.saturating_add(hour.saturating_mul(HOUR)));
            BarLine { line, bar: RawBar { time, open: None, high: None, low: None, close: None, volume: None } }
        };
        let mut lines: Vec<BarLine> = (2..).zip(hours).map(bar).collect();
        lines.sort_by_key(|line| line.bar.time);
        lines
    }

    /// Hours of whole FX weeks: 120 of 168.
    fn fx_weeks(weeks: i64) -> impl Iterator<Item = i64> {
        (0..weeks * 168).filter(|hour| !(118..166).contains(&(hour % 168)))
    }

    fn judged(lines: &[BarLine], interval: &str, calendar: &str) -> Result<Option<Survey>, UnfitBars> {
        let calendar: MarketCalendar = calendar.parse().unwrap();
        let expected = Expected {
            interval: interval.parse().unwrap(),
            calendar: &calendar,
            max_missing_bars: 20,
            window: 200,
            now: NOW.parse().unwrap(),
        };
        let survey = survey(lines, &expected)?;
        judge_hours(lines, &expected).map(|()| survey)
    }

    #[test]
    fn a_survey_names_count_range_spacing_and_longest_gap() {
        let survey = judged(&lines(fx_weeks(4).chain([5])), "1h", FX).unwrap().unwrap();
        assert_eq!(
            survey.to_string(),
            "480 bars from 2017-01-02T00:00:00Z to 2017-01-29T23:00:00Z, 1h apart 475 times; the longest hole, 49h, follows \
             2017-01-27T21:00:00Z"
        );
        assert_eq!(judged(&lines([]), "1h", FX), Ok(None));
        assert_eq!(judged(&lines([7, 7]), "1h", FX), Ok(None));
    }

    #[test]
    fn bars_of_1h_are_no_bars_of_4h_and_the_other_way_round() {
        for (hours, interval, expected) in [
            (lines(fx_weeks(4)), "4h", "its bars are 1h apart (475 of 479 times), and `interval` is 4h"),
            (
                lines((0..480).map(|bar| bar * 4)),
                "1h",
                "its bars are 4h apart (479 of 479 times), and `interval` is 1h",
            ),
        ] {
            let error = judged(&hours, interval, "always").unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_bar_of_the_year_9999_or_1970_is_refused_with_its_line() {
        let far = |hour| judged(&lines(fx_weeks(4).chain([hour])), "1h", FX).unwrap_err().to_string();
        let year_9999 = far(69_900_000);
        assert!(year_9999.starts_with("line 482: 9"), "{year_9999}");
        assert!(year_9999.ends_with("expected 1971-01-01T00:00:00Z to 2027-01-02T00:00:00Z"), "{year_9999}");
        for hour in [i64::MIN, -411_600, 87_648 + 72, i64::MAX] {
            assert!(far(hour).starts_with("line 482: "), "{hour}: {}", far(hour));
        }
        let month = far(27 * 24 + 23 + 31 * 24 + 1);
        let expected = "line 482: 2017-03-02T00:00:00Z lies 31d 1h after the bar before it, 2017-01-29T23:00:00Z in line 481; a hole \
                    is 31d at most";
        assert!(month.starts_with(expected), "{month}");
        judged(&lines(fx_weeks(4).chain([27 * 24 + 23 + 31 * 24])), "1h", FX).unwrap();
    }

    #[test]
    fn a_clock_that_is_not_set_yet_is_no_judge_of_bars() {
        let calendar = MarketCalendar::always();
        let interval = "1h".parse().unwrap();
        let expected = Expected { interval, calendar: &calendar, max_missing_bars: 20, window: 200, now: UtcMs(0) };
        assert!(survey(&lines(0..300), &expected).unwrap().is_some());
        assert!(survey(&lines([69_900_000]), &expected).is_err());
    }

    #[test]
    fn an_fx_file_is_refused_with_calendar_always_and_fits_its_own_hours() {
        let error = judged(&lines(fx_weeks(4)), "1h", "always").unwrap_err();
        let expected = "`calendar` expects 672 bars, and 192 of them are missing in 4 holes, the longest of 49h after";
        assert!(error.to_string().starts_with(expected), "{error}");
        judged(&lines(fx_weeks(4)), "1h", FX).unwrap();
        judged(&lines(0..1000), "1h", "always").unwrap();
        // One outage is none of the calendar's business.
        judged(&lines((0..400).chain(600..1000)), "1h", "always").unwrap();
    }

    #[test]
    fn a_file_without_one_window_to_decide_on_is_refused() {
        let error = judged(&lines((0..150).chain(200..349)), "1h", "always").unwrap_err();
        assert_eq!(error, UnfitBars::Gaps { windows: 100, window: 200, allowed: 20 });
    }
}
