//! Bars for `sentinel features` that are made from shorter ones, by the rule of the node (promise 5).

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;

use sentinel_actors::domain::bar::{Bar, Interval, RawBar};
use sentinel_actors::domain::calendar::MarketCalendar;
use sentinel_actors::domain::made_bars::{Made, Making, default_least_parts, make};
use sentinel_actors::domain::time::UtcMs;

/// The pipeline's keys of the same names: with others, a model would be trained on other bars than it is served.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub struct MadeArgs {
    /// The input has bars of this length, like 1m; longer ones are made from them as the node makes them
    #[arg(long, value_name = "LENGTH", requires_all = ["interval", "calendar"])]
    pub made_from: Option<Interval>,
    /// Length of the made bars, like 1h
    #[arg(long, value_name = "LENGTH", requires = "made_from")]
    pub interval: Option<Interval>,
    /// Market hours outside of which the input does not count, as in the pipeline's configuration
    #[arg(long, value_name = "HOURS", requires = "made_from")]
    pub calendar: Option<MarketCalendar>,
    /// So many parts of a whole bar must be there [default: 50 of 60]
    #[arg(long, value_name = "COUNT", requires = "made_from")]
    pub least_parts: Option<u32>,
    /// File to write the made bars to, whose closes a model's labels are computed from; an existing one is replaced
    #[arg(long, value_name = "CSV", requires = "made_from")]
    pub made_bars: Option<PathBuf>,
}

/// Lengths or counts that no bar can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMaking {
    #[error("bars of {interval} cannot be made from bars of {made_from}: choose a shorter length that divides theirs")]
    Lengths { interval: Interval, made_from: Interval },
    #[error("a bar of {parts} parts cannot need {least_parts} of them")]
    LeastParts { parts: u64, least_parts: u32 },
}

impl MadeArgs {
    /// The bars of `delivered`, of which the newest part ends the newest bar; `None`: they are bars already.
    ///
    /// # Errors
    /// When no bar can be of these lengths and counts.
    pub fn make(&self, delivered: &[RawBar], tick: f64) -> Result<Option<Made>, InvalidMaking> {
        let (Some(made_from), Some(interval), Some(calendar)) = (self.made_from, self.interval, &self.calendar) else {
            return Ok(None);
        };
        let (part, whole) = (made_from.length().as_secs(), interval.length().as_secs());
        if part >= whole || !whole.is_multiple_of(part) {
            return Err(InvalidMaking::Lengths { interval, made_from });
        }
        let (parts, default) = (whole / part, default_least_parts(interval, made_from));
        let least_parts = self.least_parts.unwrap_or(default);
        if least_parts == 0 || u64::from(least_parts) > parts {
            return Err(InvalidMaking::LeastParts { parts, least_parts });
        }
        let newest = delivered.iter().map(|part| part.time).max();
        let now = newest.map_or(UtcMs(0), |time| made_from.close_of(time));
        Ok(Some(make(delivered, &Making { interval, made_from, calendar, least_parts, tick, now })))
    }
}

/// Writes bars as a replay and the exporters read them; numbers read back as the same bits.
pub fn write_bars(file: &File, bars: &[Bar]) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    writeln!(out, "timestamp,open,high,low,close,volume")?;
    for Bar { time, open, high, low, close, volume } in bars {
        let volume = volume.map_or_else(String::new, |volume| volume.to_string());
        writeln!(out, "{time},{open},{high},{low},{close},{volume}")?;
    }
    out.flush()
}
