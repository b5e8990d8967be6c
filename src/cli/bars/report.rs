//! `sentinel bars report`: what the bars are like that a node has seen.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use sentinel_actors::domain::calendar::MarketCalendar;
use sentinel_actors::domain::time::UtcMs;

use super::load;
use crate::cli::{Ended, Failure, StateFlag, exit};
use crate::config::{Config, FX_CALENDAR, SourceConfig};
use crate::exit::ExitError;
use crate::sources::cache::{BARS_FILE, BarCache, CacheError, SeriesFacts, SeriesKey};
use crate::sources::series::is_usable;

/// Whose cache.
#[derive(Debug, Clone, clap::Args)]
pub struct ReportArgs {
    /// The configuration of the node; its market calendars tell a gap from a weekend.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Whose cache.
    #[command(flatten)]
    pub state: StateFlag,
}

impl ExitError for CacheError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::None(_) => exit::FAILED,
            _ => exit::IO,
        }
    }
}

/// Prints a block for each series.
///
/// # Errors
/// When there is no cache, or it cannot be read.
pub fn run(args: &ReportArgs) -> Ended {
    let config = args.config.as_deref().map(|file| load(file, true)).transpose()?;
    let state = args.state.of(config.as_ref())?;
    let cache = BarCache::read_only(&state.join(BARS_FILE))?;
    print!("{}", report(&cache, config.as_ref()).map_err(Failure::from)?);
    Ok(exit::OK)
}

/// The whole report.
///
/// # Errors
/// When the cache cannot be read.
pub fn report(cache: &BarCache, config: Option<&Config>) -> Result<String, CacheError> {
    let mut text = String::new();
    for facts in cache.facts()? {
        block(cache, &facts, &calendar(&facts.key, config), &mut text)?;
    }
    if text.is_empty() {
        text.push_str("the cache has no bars yet\n");
    }
    Ok(text)
}

/// The market of a series: that of the pipeline which uses it, else what its bars usually are.
fn calendar(key: &SeriesKey, config: Option<&Config>) -> MarketCalendar {
    let uses = |source: &SourceConfig| matches!(source, SourceConfig::Vendor(vendor) if vendor.vendor.name() == key.vendor && vendor.ticker == key.ticker);
    let pipelines = config.map(|config| config.pipelines.as_slice()).unwrap_or_default();
    let of_pipeline =
        pipelines.iter().find(|pipeline| uses(&pipeline.source)).map(|pipeline| pipeline.calendar.clone());
    let is_fx = || key.ticker.ends_with(".FOREX");
    of_pipeline.unwrap_or_else(|| {
        if is_fx() {
            FX_CALENDAR.parse().unwrap_or_else(|_| MarketCalendar::always())
        } else {
            MarketCalendar::always()
        }
    })
}

fn block(
    cache: &BarCache,
    facts: &SeriesFacts,
    calendar: &MarketCalendar,
    text: &mut String,
) -> Result<(), CacheError> {
    let SeriesFacts { key, id, lags_ms, nulls, zeros, revisions } = facts;
    let stored = cache.load(*id, UtcMs(i64::MIN))?;
    let usable = stored.bars.iter().filter(|bar| is_usable(bar)).map(|bar| bar.time);
    let closed = stored.bars.iter().filter(|bar| !calendar.is_open(bar.time)).count();
    let (first, last) = stored.covered.unwrap_or_default();
    let _ = writeln!(text, "{} {}, bars of {}, {first} to {last}", key.vendor, key.ticker, key.interval);
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<12}{value}");
    };
    line("bars", stored.bars.len().to_string());
    line("lag", lag(lags_ms));
    let rows = format!("{nulls} without a price, {zeros} with a price of zero, {closed} outside market hours");
    line("odd rows", rows);
    line("gaps", gaps(usable, first, last, key, calendar));
    let largest = revisions.iter().filter_map(|revised| Some((revised.is.close? - revised.was.close?).abs()));
    let largest = largest.fold(0.0, f64::max);
    let changed = match revisions.len() {
        0 => "none".to_owned(),
        count => format!("{count}; the largest change of a close is {largest:.6}"),
    };
    line("revisions", changed);
    Ok(())
}

/// How long after its close a bar was first seen, of those that were looked for.
fn lag(sorted_ms: &[i64]) -> String {
    let at = |share: f64| {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index"
        )]
        let index = ((sorted_ms.len() - 1) as f64 * share).ceil() as usize;
        let ms = sorted_ms.get(index).copied().unwrap_or_default().max(0).unsigned_abs();
        humantime::format_duration(Duration::from_millis(ms)).to_string()
    };
    match sorted_ms.len() {
        0 => "not known yet".to_owned(),
        count => format!("half within {}, 95 % within {}, worst {}, of {count} bars", at(0.5), at(0.95), at(1.0)),
    }
}

/// Bars of an open market that were asked for and are not there.
fn gaps(
    usable: impl Iterator<Item = UtcMs>,
    first: UtcMs,
    last: UtcMs,
    key: &SeriesKey,
    calendar: &MarketCalendar,
) -> String {
    let mut usable = usable.peekable();
    let (mut missing, mut holes, mut longest, mut current) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut at = first;
    while at <= last {
        while usable.next_if(|time| *time < at).is_some() {}
        if usable.peek() == Some(&at) {
            current = 0;
        } else if calendar.is_open(at) {
            missing += 1;
            holes += u64::from(current == 0);
            current += 1;
            longest = longest.max(current);
        }
        at = key.interval.close_of(at);
    }
    match holes {
        0 => "none while the market was open".to_owned(),
        holes => format!("{missing} bars in {holes} gaps while the market was open, the longest {longest} bars"),
    }
}
