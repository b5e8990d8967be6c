//! When a market is open, written in one line:
//! `America/New_York; Sun 17:00-Fri 17:00; closed 12-25 00:00-17:00, 01-01 00:00-17:00`, or `always`.
//!
//! A closed hour only *excuses* a missing bar; a delivered bar that exists is used. Bars are made from shorter ones of open
//! hours only. Daylight saving comes from the time zone database.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use super::bar::{Bar, Interval};
use super::time::UtcMs;

const MINUTES_PER_DAY: u32 = 24 * 60;
const MINUTES_PER_WEEK: u32 = 7 * MINUTES_PER_DAY;
const WEEKS_PER_YEAR: u64 = 52;

/// Weekly opening hours with yearly closures, in one time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct MarketCalendar {
    text: String,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq)]
enum Rule {
    Always,
    Weekly {
        zone: TimeZone,
        open: Vec<WeekRange>,
        closed: Vec<Closure>,
        /// How much of a week is open, closures aside; at least one.
        open_minutes: u32,
    },
}

/// Minutes since Monday 00:00 local time; `end` may lie before `start` (the range wraps over the week's end).
#[derive(Debug, Clone, Copy, PartialEq)]
struct WeekRange {
    start: u32,
    end: u32,
}

/// A closure on one day of every year, minutes of that day, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Closure {
    month: i8,
    day: i8,
    start: u32,
    end: u32,
}

/// A text that is no market calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCalendar {
    /// The zone is not in the time zone database.
    #[error("'{0}' is not a time zone; write one like America/New_York")]
    Zone(String),
    /// An opening range does not parse.
    #[error("'{0}' is not an opening range; write one like Sun 17:00-Fri 17:00, with hours from 00:00 to 24:00")]
    Range(String),
    /// A closure does not parse.
    #[error("'{0}' is not a closure; write one like 12-25 00:00-17:00, with hours from 00:00 to 24:00")]
    Closure(String),
    /// Nothing is ever open.
    #[error("the calendar has no opening range; write 'always' for a market that never closes")]
    Empty,
}

impl MarketCalendar {
    #[must_use]
    pub fn always() -> Self {
        Self { text: "always".to_owned(), rule: Rule::Always }
    }

    /// Whether the market is open at `at`.
    #[must_use]
    pub fn is_open(&self, at: UtcMs) -> bool {
        let Rule::Weekly { zone, open, closed, .. } = &self.rule else { return true };
        let local = zone.to_datetime(at.timestamp());
        let minute_of_day = minute_of_day(local.hour(), local.minute());
        let minute_of_week =
            u32::from(local.weekday().to_monday_zero_offset().unsigned_abs()) * MINUTES_PER_DAY + minute_of_day;
        let shut = closed
            .iter()
            .any(|c| (c.month, c.day) == (local.month(), local.day()) && (c.start..c.end).contains(&minute_of_day));
        !shut && open.iter().any(|range| range.contains(minute_of_week))
    }

    /// The longest time in which the market may be open no longer than `open`, up to a week more.
    #[must_use]
    pub fn longest_for(&self, open: Duration) -> Duration {
        let Rule::Weekly { closed, open_minutes, .. } = &self.rule else { return open };
        let weeks = open.as_secs() / (u64::from(*open_minutes) * 60) + 1;
        let closures = u64::try_from(closed.len()).unwrap_or(u64::MAX);
        let closed_days = (weeks / WEEKS_PER_YEAR + 1).saturating_mul(closures);
        Duration::from_secs(weeks.saturating_mul(7).saturating_add(closed_days).saturating_mul(86_400))
    }

    /// Bars of `interval` that should exist with open times in `[from, to]` although none of `bars` has that time.
    ///
    /// `bars` is sorted by time. A bar is expected when the market is open at its open time. Each bar that fits into the
    /// range is looked at, so the caller bounds the range.
    #[must_use]
    pub fn missing_bars(&self, bars: &[Bar], interval: Interval, from: UtcMs, to: UtcMs) -> u32 {
        let mut missing = 0;
        let mut expected = from;
        let mut present = bars.iter().map(|bar| bar.time).skip_while(|time| *time < from).peekable();
        while expected <= to {
            if present.next_if_eq(&expected).is_some() {
                expected = interval.close_of(expected);
                continue;
            }
            if present.peek().is_some_and(|time| *time < expected) {
                present.next();
                continue;
            }
            missing += u32::from(self.is_open(expected));
            let next = interval.close_of(expected);
            if next == expected {
                break; // the largest time there is
            }
            expected = next;
        }
        missing
    }
}

impl WeekRange {
    fn contains(&self, minute: u32) -> bool {
        if self.start < self.end {
            (self.start..self.end).contains(&minute)
        } else {
            minute >= self.start || minute < self.end
        }
    }
}

impl fmt::Display for MarketCalendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for MarketCalendar {
    type Err = InvalidCalendar;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text == "always" {
            return Ok(Self::always());
        }
        let mut parts = text.split(';').map(str::trim);
        let zone_name = parts.next().unwrap_or_default();
        let zone = TimeZone::get(zone_name).map_err(|_| InvalidCalendar::Zone(zone_name.to_owned()))?;
        let (mut open, mut closed) = (Vec::new(), Vec::new());
        for part in parts.filter(|part| !part.is_empty()) {
            if let Some(list) = part.strip_prefix("closed ") {
                for item in list.split(',').map(str::trim) {
                    closed.push(parse_closure(item).ok_or_else(|| InvalidCalendar::Closure(item.to_owned()))?);
                }
            } else {
                for item in part.split(',').map(str::trim) {
                    open.push(parse_range(item).ok_or_else(|| InvalidCalendar::Range(item.to_owned()))?);
                }
            }
        }
        if open.is_empty() {
            return Err(InvalidCalendar::Empty);
        }
        let is_open = |minute: &u32| open.iter().any(|range| range.contains(*minute));
        let open_minutes = u32::try_from((0..MINUTES_PER_WEEK).filter(is_open).count()).unwrap_or(MINUTES_PER_WEEK);
        Ok(Self { text: text.to_owned(), rule: Rule::Weekly { zone, open, closed, open_minutes } })
    }
}

fn minute_of_day(hour: i8, minute: i8) -> u32 {
    u32::from(hour.unsigned_abs()) * 60 + u32::from(minute.unsigned_abs())
}

fn parse_range(text: &str) -> Option<WeekRange> {
    let (from, to) = split_dash(text)?;
    let point = |text: &str| {
        let (day, time) = text.trim().split_once(' ')?;
        Some(parse_day(day)? * MINUTES_PER_DAY + parse_time(time)?)
    };
    let (from, end) = (point(from)?, point(to)?);
    let start = from % MINUTES_PER_WEEK; // 'Sun 24:00' is 'Mon 00:00'
    (from != end && start != end).then_some(WeekRange { start, end })
}

fn parse_closure(text: &str) -> Option<Closure> {
    let (date, hours) = text.split_once(' ')?;
    let (month, day) = date.split_once('-')?;
    let (from, to) = split_dash(hours)?;
    let (month, day) = (i8::try_from(two_digits(month)?).ok()?, i8::try_from(two_digits(day)?).ok()?);
    jiff::civil::Date::new(2024, month, day).ok()?; // a leap year: 02-29 is a day
    let (start, end) = (parse_time(from)?, parse_time(to)?);
    (start < end).then_some(Closure { month, day, start, end })
}

/// Both the hyphen and the en dash that people paste from a table.
fn split_dash(text: &str) -> Option<(&str, &str)> {
    text.split_once('–').or_else(|| text.split_once('-'))
}

/// `HH:MM`, 24:00 included, in minutes.
fn parse_time(text: &str) -> Option<u32> {
    let (hour, minute) = text.trim().split_once(':')?;
    let (hour, minute) = (two_digits(hour)?, two_digits(minute)?);
    (minute < 60 && hour * 60 + minute <= MINUTES_PER_DAY).then_some(hour * 60 + minute)
}

/// One or two digits and nothing else, so that no sum of them overflows.
fn two_digits(text: &str) -> Option<u32> {
    let plain = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn parse_day(text: &str) -> Option<u32> {
    let day = match text.to_ascii_lowercase().as_str() {
        "mon" => Weekday::Monday,
        "tue" => Weekday::Tuesday,
        "wed" => Weekday::Wednesday,
        "thu" => Weekday::Thursday,
        "fri" => Weekday::Friday,
        "sat" => Weekday::Saturday,
        "sun" => Weekday::Sunday,
        _ => return None,
    };
    Some(u32::from(day.to_monday_zero_offset().unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FX: &str = "America/New_York; Sun 17:00–Fri 17:00; closed 12-25 00:00–17:00, 01-01 00:00–17:00";

    fn at(text: &str) -> UtcMs {
        text.parse().unwrap()
    }

    #[test]
    fn the_fx_week_opens_an_hour_earlier_in_utc_during_new_york_summer_time() {
        let fx: MarketCalendar = FX.parse().unwrap();
        for (time, open) in [
            ("2017-03-05T21:59:00Z", false), // winter: 17:00 New York is 22:00 UTC
            ("2017-03-05T22:00:00Z", true),
            ("2017-03-12T20:59:00Z", false), // the day the clocks went forward
            ("2017-03-12T21:00:00Z", true),
            ("2017-11-05T21:59:00Z", false), // the day they went back
            ("2017-11-05T22:00:00Z", true),
            ("2017-06-02T20:59:00Z", true),
            ("2017-06-02T21:00:00Z", false), // Friday 17:00 New York
            ("2017-12-25T21:00:00Z", false), // Christmas
            ("2017-12-25T22:00:00Z", true),
        ] {
            assert_eq!(fx.is_open(at(time)), open, "{time}");
        }
    }

    #[test]
    fn a_weekend_is_no_gap_and_a_missing_open_hour_is_one() {
        let fx: MarketCalendar = FX.parse().unwrap();
        let hour = Interval::new(Duration::from_secs(3600)).unwrap();
        let bar = |text: &str| Bar { time: at(text), open: 1.0, high: 1.0, low: 1.0, close: 1.0, volume: None };
        let bars = [bar("2017-06-02T20:00:00Z"), bar("2017-06-04T21:00:00Z"), bar("2017-06-04T23:00:00Z")];
        assert_eq!(fx.missing_bars(&bars, hour, bars[0].time, bars[2].time), 1);
    }

    #[test]
    fn an_fx_week_of_open_hours_takes_no_more_than_two_weeks_and_its_closures() {
        let fx: MarketCalendar = FX.parse().unwrap();
        let (hour, day) = (Duration::from_secs(3600), Duration::from_secs(86_400));
        assert_eq!(fx.longest_for(hour * 119), day * 9);
        assert_eq!(fx.longest_for(hour * 120), day * 16);
        assert_eq!(MarketCalendar::always().longest_for(hour * 120), hour * 120);
        let rare: MarketCalendar = "UTC; Mon 00:00-Mon 00:01".parse().unwrap();
        assert_eq!(rare.longest_for(Duration::from_secs(180)), day * 28);
    }

    #[test]
    fn an_hour_of_71582789_is_no_opening_range_and_no_panic() {
        for (text, error) in [
            ("UTC; Mon 71582789:00-Fri 17:00", InvalidCalendar::Range("Mon 71582789:00-Fri 17:00".to_owned())),
            (
                "UTC; Mon 00:00-Fri 17:00; closed 12-25 00:00-4294967295:59",
                InvalidCalendar::Closure("12-25 00:00-4294967295:59".to_owned()),
            ),
        ] {
            assert_eq!(text.parse::<MarketCalendar>().unwrap_err(), error);
        }
    }

    #[test]
    fn a_wrong_calendar_names_the_part_that_is_wrong() {
        for (text, error) in [
            ("Mars/Olympus; Sun 17:00-Fri 17:00", InvalidCalendar::Zone("Mars/Olympus".to_owned())),
            ("UTC; Someday 17:00-Fri 17:00", InvalidCalendar::Range("Someday 17:00-Fri 17:00".to_owned())),
            ("UTC; Mon 00:00-Fri 25:00", InvalidCalendar::Range("Mon 00:00-Fri 25:00".to_owned())),
            ("UTC; Mon +1:00-Fri 22:00", InvalidCalendar::Range("Mon +1:00-Fri 22:00".to_owned())),
            ("UTC; Sun 24:00-Mon 00:00", InvalidCalendar::Range("Sun 24:00-Mon 00:00".to_owned())),
            (
                "UTC; Mon 00:00-Fri 22:00; closed 13-40 00:00-17:00",
                InvalidCalendar::Closure("13-40 00:00-17:00".to_owned()),
            ),
            ("UTC", InvalidCalendar::Empty),
        ] {
            assert_eq!(text.parse::<MarketCalendar>().unwrap_err(), error);
        }
    }
}
