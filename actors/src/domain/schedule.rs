//! Which decisions are due, and when: slots.
//!
//! A slot is identified by its due time alone. The slot index decides what to do, never the number of timer ticks, so a
//! suspended machine wakes up to one decision and not to a burst of them (promise 1: each slot has exactly one end).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::bar::Interval;
use super::time::UtcMs;

const DAY_MS: i64 = 86_400_000;

/// A fixed grid of due times: every `period`, `offset` after the grid's origin (unix epoch, UTC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    period_ms: i64,
    offset_ms: i64,
}

/// A text that is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// None of the known forms.
    #[error("'{0}' is not a schedule; write 'every 1m at :58', 'hourly at :00' or 'on bar close + 5s'")]
    Form(String),
    /// The period does not divide a day, so its slots would drift through it.
    #[error("a period of {0} does not divide a day; use one like 1m, 5m, 15m, 1h, 4h")]
    Period(String),
    /// The offset does not lie inside the period.
    #[error("'{0}' lies outside the period")]
    Offset(String),
}

impl Schedule {
    /// Every `period`, `offset` into it.
    ///
    /// # Errors
    /// When the period does not divide a day or the offset is not shorter than the period.
    pub fn every(period: Duration, offset: Duration) -> Result<Self, InvalidSchedule> {
        let (period_ms, offset_ms) = (period.as_millis(), offset.as_millis());
        if period_ms == 0 || !u128::from(DAY_MS.unsigned_abs()).is_multiple_of(period_ms) {
            return Err(InvalidSchedule::Period(format!("{period:?}")));
        }
        if offset_ms >= period_ms {
            return Err(InvalidSchedule::Offset(format!("{offset:?}")));
        }
        Ok(Self {
            period_ms: i64::try_from(period_ms).unwrap_or(DAY_MS),
            offset_ms: i64::try_from(offset_ms).unwrap_or(0),
        })
    }

    /// Parses a schedule; `interval` gives `on bar close` its period.
    ///
    /// # Errors
    /// When the text is none of the known forms.
    pub fn parse(text: &str, interval: Interval) -> Result<Self, InvalidSchedule> {
        let form = || InvalidSchedule::Form(text.to_owned());
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("on bar close") {
            let rest = rest.trim();
            let offset = match rest.strip_prefix('+') {
                Some(offset) => short_duration(offset.trim()).ok_or_else(form)?,
                None if rest.is_empty() => Duration::ZERO,
                None => return Err(form()),
            };
            return Self::every(interval.length(), offset);
        }
        let (period, at) = match text.split_once(" at ") {
            Some((period, at)) => (period.trim(), Some(at.trim())),
            None => (text, None),
        };
        let period = match period {
            "hourly" => Duration::from_secs(3600),
            other => other.strip_prefix("every ").and_then(|p| short_duration(p.trim())).ok_or_else(form)?,
        };
        let offset = match at {
            None => Duration::ZERO,
            Some(at) => {
                let value: u64 =
                    at.strip_prefix(':').and_then(|v| v.parse().ok()).filter(|v| *v < 60).ok_or_else(form)?;
                // ':58' means second 58 of a minute, and minute 58 of anything that is made of whole hours.
                let unit = if period.as_secs() % 3600 == 0 { 60 } else { 1 };
                Duration::from_secs(value * unit)
            }
        };
        Self::every(period, offset)
    }

    #[must_use]
    pub fn period(&self) -> Duration {
        Duration::from_millis(self.period_ms.unsigned_abs())
    }

    /// The first slot strictly after `time`; saturates at the end of time.
    #[must_use]
    pub fn after(&self, time: UtcMs) -> UtcMs {
        self.at(self.index(time).saturating_add(1))
    }

    /// The newest slot that is due at `now`, that is at or before it.
    #[must_use]
    pub fn newest_due(&self, now: UtcMs) -> UtcMs {
        self.at(self.index(now))
    }

    /// The `count`-th slot strictly after `time`; at 0 the newest one that is not.
    #[must_use]
    pub fn nth_after(&self, time: UtcMs, count: u64) -> UtcMs {
        self.at(self.index(time).saturating_add_unsigned(count))
    }

    /// How many slots lie in `(after, until]`.
    #[must_use]
    pub fn count(&self, after: UtcMs, until: UtcMs) -> u64 {
        u64::try_from(self.index(until).saturating_sub(self.index(after))).unwrap_or(0)
    }

    /// The slots in `(after, until]`, oldest first.
    pub fn slots(&self, after: UtcMs, until: UtcMs) -> impl Iterator<Item = UtcMs> + '_ {
        (self.index(after).saturating_add(1)..=self.index(until)).map(|index| self.at(index))
    }

    /// The number of the newest slot at or before `time`.
    const fn index(&self, time: UtcMs) -> i64 {
        time.0.saturating_sub(self.offset_ms).div_euclid(self.period_ms)
    }

    /// The slot with this number.
    const fn at(&self, index: i64) -> UtcMs {
        UtcMs(index.saturating_mul(self.period_ms).saturating_add(self.offset_ms))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "every {}, {} into it", Span(self.period_ms), Span(self.offset_ms))
    }
}

/// Milliseconds as people write them.
struct Span(i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0s"),
            ms if ms % 3_600_000 == 0 => write!(f, "{}h", ms / 3_600_000),
            ms if ms % 60_000 == 0 => write!(f, "{}m", ms / 60_000),
            ms if ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

/// `5s`, `2m`, `1h`.
fn short_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let value: u64 = text[..split].parse().ok()?;
    let unit = match &text[split..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(Duration::from_secs(value.checked_mul(unit)?))
}

/// The slots that a pipeline takes part in: `start` inclusive, `end` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// First instant of the competition; `None`: since ever.
    pub start: Option<UtcMs>,
    /// First instant after it; `None`: it never ends.
    pub end: Option<UtcMs>,
}

impl Window {
    /// Whether an effect may happen at `now`.
    #[must_use]
    pub fn contains(&self, now: UtcMs) -> bool {
        !self.is_before(now) && !self.is_over(now)
    }

    #[must_use]
    pub fn is_before(&self, now: UtcMs) -> bool {
        self.start.is_some_and(|start| now < start)
    }

    #[must_use]
    pub fn is_over(&self, now: UtcMs) -> bool {
        self.end.is_some_and(|end| now >= end)
    }
}

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let length = match text {
            "1d" => Some(Duration::from_secs(86_400)),
            other => short_duration(other),
        };
        length
            .and_then(Interval::new)
            .ok_or_else(|| format!("'{text}' is not a bar interval; write one like 1m, 5m, 1h, 1d"))
    }
}
