//! When a broker's day begins: a wall time in the broker's time zone, so that it moves with daylight saving there.

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan as _;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::time::UtcMs;

/// When the broker's day begins, written `America/New_York 17:00`. Daylight saving comes from the time zone database.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerDay {
    text: String,
    zone: TimeZone,
    begins: Time,
}

/// A text that does not say when a day begins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' does not say when the broker's day begins; write it like America/New_York 17:00, or UTC 00:00")]
pub struct InvalidBrokerDay(String);

impl FromStr for BrokerDay {
    type Err = InvalidBrokerDay;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidBrokerDay(text.to_owned());
        let (zone, begins) = text.trim().rsplit_once(char::is_whitespace).ok_or_else(invalid)?;
        let (hour, minute) = begins.split_once(':').ok_or_else(invalid)?;
        let number = |part: &str| {
            (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| part.parse::<i8>().ok())
                .flatten()
                .ok_or_else(invalid)
        };
        Ok(Self {
            text: text.trim().to_owned(),
            zone: TimeZone::get(zone.trim()).map_err(|_| invalid())?,
            begins: Time::new(number(hour)?, number(minute)?, 0, 0).map_err(|_| invalid())?,
        })
    }
}

impl Default for BrokerDay {
    fn default() -> Self {
        Self { text: "UTC 00:00".to_owned(), zone: TimeZone::UTC, begins: Time::midnight() }
    }
}

impl fmt::Display for BrokerDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl BrokerDay {
    /// The newest beginning of a day that is not after `at`.
    #[must_use]
    pub fn start_of(&self, at: UtcMs) -> UtcMs {
        let date = self.zone.to_datetime(at.timestamp()).date();
        // Yesterday's and the one before: a begin in the evening lies after most of its own date, and a change of the clocks may
        // move one by an hour.
        let begins = (0..3).filter_map(|days| {
            let date = date.checked_sub(days.days()).ok()?;
            let begin = date.to_datetime(self.begins).to_zoned(self.zone.clone()).ok()?;
            Some(UtcMs(begin.timestamp().as_millisecond()))
        });
        begins.filter(|begin| *begin <= at).max().unwrap_or(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UtcMs {
        text.parse().unwrap()
    }

    #[test]
    fn a_brokers_day_begins_at_its_hour_in_summer_and_in_winter() {
        let day: BrokerDay = "America/New_York 17:00".parse().unwrap();
        for (now, begin) in [
            ("2026-07-01T20:59:59Z", "2026-06-30T21:00:00Z"),
            ("2026-07-01T21:00:00Z", "2026-07-01T21:00:00Z"),
            ("2026-01-15T21:59:59Z", "2026-01-14T22:00:00Z"),
            ("2026-01-15T22:00:00Z", "2026-01-15T22:00:00Z"),
            // The clocks go forward on 2026-03-08 at 02:00: this day has 23 hours.
            ("2026-03-08T20:59:59Z", "2026-03-07T22:00:00Z"),
            ("2026-03-08T21:00:00Z", "2026-03-08T21:00:00Z"),
        ] {
            assert_eq!(day.start_of(at(now)), at(begin), "{now}");
        }
    }

    #[test]
    fn a_day_is_written_with_a_zone_and_an_hour() {
        for text in ["UTC 00:00", "America/New_York 17:00", "  Europe/Nicosia   23:59 "] {
            assert_eq!(text.parse::<BrokerDay>().unwrap().to_string(), text.trim());
        }
        for text in ["", "17:00", "UTC", "UTC 24:00", "UTC 7:00", "Mars/Olympus 17:00", "UTC 17:00:00", "UTC +1:00"] {
            let error = text.parse::<BrokerDay>().unwrap_err().to_string();
            assert!(error.contains("America/New_York 17:00"), "{error}");
        }
    }
}
