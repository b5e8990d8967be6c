//! How long, how often and how far an arm reaches: `sentinel arm --until --max-orders --max-loss`.
//!
//! They are part of what is typed. When one is reached the arm has ended, and only another `sentinel arm` changes that.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::time::UtcMs;
use serde::{Deserialize, Serialize};

/// A century: a longer arm is none that ends.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);

/// What ends an arm although nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub until: Option<Until>,
    /// So many orders that open, and forecasts, may leave.
    pub max_orders: Option<u32>,
    /// In the account's currency.
    pub max_loss: Option<Decimal>,
}

/// When an arm ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    At(UtcMs),
    /// So many milliseconds after it is recorded.
    AfterMs(u64),
}

impl Until {
    /// The instant, of an arm that is recorded at `armed_at`.
    #[must_use]
    pub fn instant(self, armed_at: UtcMs) -> UtcMs {
        match self {
            Self::At(instant) => instant,
            Self::AfterMs(ms) => armed_at.plus(Duration::from_millis(ms)),
        }
    }
}

/// A text that is neither a time nor a duration.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is neither a time like 2026-06-01T13:00:00Z nor a duration like 8h or 5d")]
pub struct InvalidUntil(String);

impl FromStr for Until {
    type Err = InvalidUntil;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(duration) = humantime::parse_duration(text) {
            let ms = u64::try_from(duration.as_millis()).ok().filter(|ms| *ms > 0 && duration <= LONGEST);
            return ms.map(Self::AfterMs).ok_or_else(|| InvalidUntil(text.to_owned()));
        }
        text.parse().map(Self::At).map_err(|_| InvalidUntil(text.to_owned()))
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(instant) => write!(f, "until {instant}"),
            Self::AfterMs(ms) => {
                write!(f, "until {} after it is armed", humantime::format_duration(Duration::from_millis(*ms)))
            }
        }
    }
}

impl fmt::Display for Limits {
    /// For the operator who is about to confirm them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = self.until.map(|until| until.to_string());
        let orders = self.max_orders.map(|orders| format!("at most {orders} orders that open, or forecasts"));
        let loss = self.max_loss.map(|loss| format!("at most {loss} lost, in the account's currency"));
        let all: Vec<String> = [until, orders, loss].into_iter().flatten().collect();
        if all.is_empty() { f.write_str("none: it ends with a change only") } else { f.write_str(&all.join("; ")) }
    }
}

/// As much of a duration as a person reads: its two largest units.
pub(super) fn rough(duration: Duration) -> String {
    let seconds = duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
    let rounded = if seconds >= 86_400 {
        seconds - seconds % 3600
    } else if seconds >= 3600 {
        seconds - seconds % 60
    } else {
        seconds
    };
    humantime::format_duration(Duration::from_secs(rounded)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_or_a_duration_and_nothing_else() {
        let at = UtcMs::from_secs(1_800_000_000);
        assert_eq!("8h".parse::<Until>().unwrap().instant(at), at.plus(Duration::from_secs(8 * 3600)));
        assert_eq!(at.to_string().parse::<Until>().unwrap().instant(UtcMs(0)), at);
        assert_eq!("2026-06-01T15:00:00+02:00".parse::<Until>().unwrap(), "2026-06-01T13:00:00Z".parse().unwrap());
        for wrong in ["", "0s", "tomorrow", "8", "2026-06-01", "2026-06-01T13:00:00", "-8h", "200y"] {
            assert!(wrong.parse::<Until>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn limits_are_shown_in_words() {
        assert_eq!(Limits::default().to_string(), "none: it ends with a change only");
        let limits = Limits { until: "8h".parse().ok(), max_orders: Some(3), max_loss: Some(Decimal::from(50)) };
        assert_eq!(
            limits.to_string(),
            "until 8h after it is armed; at most 3 orders that open, or forecasts; at most 50 lost, in the account's currency"
        );
        assert_eq!(rough(Duration::from_secs(2 * 86_400 + 3 * 3600 + 59)), "2days 3h");
    }
}
