//! `sentinel bars fetch`: a range of a vendor's bars into a file.
//!
//! The file is written beside its place and put there when it is whole. Each part of the range is on disk before the next one is
//! asked for, so that nothing is asked for twice when the command stops on the way.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::bar::{Bar, Cleaning, Interval, RawBar, clean};
use sentinel_actors::domain::made_bars::make;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Clock, SourceError, elapsed_now};
use tokio::runtime::Builder;

use super::{load, pipeline};
use crate::cli::{Ended, exit};
use crate::config::{PipelineConfig, SourceConfig};
use crate::exit::ExitError;
use crate::files::{Durability, replace, with_suffix};
use crate::http::{Deadline, Secret};
use crate::node::{self, NodeError, OpenVendor};
use crate::sources::cache::CacheError;
use crate::sources::csv::read_bars;
use crate::sources::live::Recipe;
use crate::sources::vendor::Ask;
use crate::system::WallClock;

const HEADER: &str = "timestamp,open,high,low,close,volume\n";
/// For one request.
const REQUEST_MAX: Duration = Duration::from_secs(60);
/// A vendor's wish for rest that is waited for. A longer one ends the command.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// Made bars of one part; a minute's part is as much as a vendor answers in one request.
const PART_MAX: Duration = Duration::from_secs(10 * 86_400);
/// Holes that are named.
const HOLES_SHOWN: usize = 5;

/// Which bars, and where to.
#[derive(Debug, Clone, clap::Args)]
pub struct FetchArgs {
    /// The configuration whose source is asked.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Its pipeline; may be left out when there is one.
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// Open time of the first bar, like 2026-01-05T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub from: UtcMs,
    /// First instant after the bars.
    #[arg(long, value_name = "TIME")]
    pub to: UtcMs,
    /// The file to write: timestamp,open,high,low,close,volume. It must not exist.
    #[arg(long, value_name = "CSV")]
    pub output: PathBuf,
    /// Take the bars that the node has seen, from its cache, and ask nobody.
    #[arg(long)]
    pub cached: bool,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the bars of pipeline {0} come from a file: there is nothing to fetch")]
    NoVendor(String),
    #[error("{} is there already: remove it, or choose another --output", .0.display())]
    Exists(PathBuf),
    #[error("--from must be before --to, and in the past")]
    Range,
    #[error("{} cannot be written", file.display())]
    Write { file: PathBuf, source: io::Error },
    #[error("{} is not the beginning of this fetch: remove it", .0.display())]
    Begun(PathBuf),
    #[error("the bar cache cannot be used")]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("no threads can be started")]
    Runtime(#[source] io::Error),
    /// What was fetched until then is kept.
    #[error("stopped at {at}: {source}")]
    Stopped { at: UtcMs, source: SourceError },
}

impl ExitError for FetchError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::NoVendor(_) | Self::Exists(_) | Self::Range => exit::USAGE,
            Self::Write { .. } | Self::Begun(_) | Self::Cache(_) => exit::IO,
            Self::Node(error) => error.exit_code(),
            Self::Runtime(_) => exit::SOFTWARE,
            Self::Stopped { .. } => exit::UNAVAILABLE,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Node(error) => error.advice(),
            Self::Stopped { source: SourceError::RateLimited { retry_after: Some(wait), .. }, .. } => {
                let wait = humantime::format_duration(Duration::from_secs(wait.as_secs() + 1));
                Some(format!("give the same command again in {wait}: it goes on from there"))
            }
            Self::Stopped { .. } => Some("give the same command again: it goes on from there".to_owned()),
            _ => None,
        }
    }
}

/// Fetches, and says what came.
///
/// # Errors
/// When there is no file at the end.
pub fn run(args: &FetchArgs) -> Ended {
    let config = load(&args.config, args.cached)?;
    let pipeline = pipeline(&config, args.pipeline.as_deref())?;
    let clock: Arc<dyn Clock> = Arc::new(WallClock);
    let found = fetch(args, pipeline, &config.node.state, clock)?;
    println!("{found}");
    Ok(exit::OK)
}

/// Fetches into the file.
///
/// # Errors
/// When there is no file at the end.
pub fn fetch(
    args: &FetchArgs,
    pipeline: &PipelineConfig,
    state: &Path,
    clock: Arc<dyn Clock>,
) -> Result<Found, FetchError> {
    let SourceConfig::Vendor(source) = &pipeline.source else {
        return Err(FetchError::NoVendor(pipeline.name.clone()));
    };
    if args.output.exists() {
        return Err(FetchError::Exists(args.output.clone()));
    }
    let (interval, settle) = (pipeline.interval, pipeline.data.settle);
    let at_or_before = |time: UtcMs| interval.newest_closed(interval.close_of(time));
    let first = at_or_before(UtcMs(args.from.0.saturating_add(millis(interval) - 1)));
    let end = at_or_before(args.to).min(interval.close_of(interval.newest_closed(clock.now().minus(settle))));
    if first >= end {
        return Err(FetchError::Range);
    }
    let vendor = node::open_vendor(pipeline, source, state, clock)?;
    let mut part = PartFile::open(args, &vendor, first)?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(FetchError::Runtime)?;
    while part.next < end {
        let until = end.min(part.next.plus(PART_MAX));
        let parts = if args.cached {
            cached(&vendor, part.next, until)?
        } else {
            runtime.block_on(asked(&vendor, part.next, until))?
        };
        part.add(
            &bars_of(vendor.recipe.as_ref(), pipeline.data.tick, &parts, until),
            until,
            clock_text(first, end, until),
        )?;
    }
    part.finish(args, pipeline, (first, end))
}

/// The bars of a part of the range, from the vendor. A short rest is waited for.
async fn asked(vendor: &OpenVendor, first: UtcMs, end: UtcMs) -> Result<Vec<RawBar>, FetchError> {
    let instrument = &vendor.instrument;
    let interval = instrument.interval;
    let mut bars = Vec::new();
    // What stops here begins again with the whole part.
    let stopped = |source| FetchError::Stopped { at: first, source };
    let mut requests = vendor.client.requests(interval, first, end.minus(interval.length()));
    while let Some((first, last)) = requests.last().copied() {
        let ask = Ask { ticker: &instrument.ticker, market: instrument.market, interval, first, last };
        match vendor.client.bars(&ask, Deadline::of(REQUEST_MAX, elapsed_now())).await {
            Ok(delivered) => {
                // With a clock that is ahead a forming bar would pass for a closed one.
                vendor.client.require_clock().map_err(stopped)?;
                bars.extend(delivered.into_iter().filter(|bar| (first..=last).contains(&bar.time)));
                requests.pop();
            }
            Err(SourceError::RateLimited { retry_after: Some(wait), text }) if wait <= WAIT_MAX => {
                eprintln!("waiting {} s: {text}", wait.as_secs() + 1);
                tokio::time::sleep(wait + Duration::from_secs(1)).await;
            }
            Err(source) => return Err(stopped(source)),
        }
    }
    Ok(bars)
}

fn cached(vendor: &OpenVendor, first: UtcMs, end: UtcMs) -> Result<Vec<RawBar>, FetchError> {
    let series = vendor.cache.series(&vendor.key)?;
    let mut bars = vendor.cache.load(series, first)?.bars;
    bars.retain(|bar| bar.time < end);
    Ok(bars)
}

/// The pipeline's bars of a part.
fn bars_of(recipe: Option<&Recipe>, tick: f64, parts: &[RawBar], until: UtcMs) -> Vec<Bar> {
    match recipe {
        None => clean(parts, &Cleaning { tick, times: None, window: None }).bars,
        Some(recipe) => make(parts, &recipe.making(until)).bars,
    }
}

fn clock_text(first: UtcMs, end: UtcMs, until: UtcMs) -> String {
    let whole = end.since(first).as_secs().max(1);
    format!("{:3} %  up to {until}", until.since(first).as_secs() * 100 / whole)
}

fn millis(interval: Interval) -> i64 {
    i64::try_from(interval.length().as_millis()).unwrap_or(i64::MAX)
}

/// The file while it is not whole.
struct PartFile {
    path: PathBuf,
    file: File,
    /// Open time of the first bar that was not asked for.
    next: UtcMs,
    bars: usize,
}

impl PartFile {
    /// Begins it, or goes on with one of the same fetch.
    fn open(args: &FetchArgs, vendor: &OpenVendor, first: UtcMs) -> Result<Self, FetchError> {
        let FetchArgs { from, to, cached, .. } = args;
        // Another range or source must not go on in it.
        let what = Secret::new(format!("{:?} {:?} {from} {to} {cached}", vendor.key, vendor.recipe)).fingerprint();
        let path = with_suffix(&args.output, &format!(".{what}.part"));
        let wrong = |source| FetchError::Write { file: path.clone(), source };
        let mut next = first;
        let mut bars = 0;
        if path.exists() {
            let text = fs::read_to_string(&path).map_err(wrong)?;
            // A line that a kill has cut off is fetched again, with the part that it belongs to.
            let marks = text.rmatch_indices("# up to ").next().and_then(|(at, _)| text.get(at..)?.split_once('\n'));
            if let Some((mark, _)) = marks {
                let length = text.rfind(mark).map_or(0, |at| at + mark.len() + 1);
                next = mark.trim_start_matches("# up to ").parse().map_err(|_| FetchError::Begun(path.clone()))?;
                bars = text[..length].lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).count();
                let file = OpenOptions::new().write(true).open(&path).map_err(wrong)?;
                file.set_len(length as u64).map_err(wrong)?;
                eprintln!("going on at {next}, after {bars} bars");
            } else {
                fs::remove_file(&path).map_err(wrong)?;
            }
        }
        let is_new = !path.exists();
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(wrong)?;
        if is_new {
            file.write_all(HEADER.as_bytes()).map_err(wrong)?;
        }
        Ok(Self { path, file, next, bars })
    }

    /// Adds the bars of a part, and the mark that it is whole.
    fn add(&mut self, bars: &[Bar], until: UtcMs, progress: String) -> Result<(), FetchError> {
        let mut text = String::new();
        for Bar { time, open, high, low, close, volume } in bars {
            let volume = volume.map_or_else(String::new, |volume| volume.to_string());
            let _ = writeln!(text, "{time},{open},{high},{low},{close},{volume}");
        }
        let _ = writeln!(text, "# up to {until}");
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|source| FetchError::Write { file: self.path.clone(), source })?;
        self.bars += bars.len();
        self.next = until;
        eprintln!("{progress}  {} bars", self.bars);
        Ok(())
    }

    /// Puts it in its place, without the marks.
    fn finish(
        self,
        args: &FetchArgs,
        pipeline: &PipelineConfig,
        (first, end): (UtcMs, UtcMs),
    ) -> Result<Found, FetchError> {
        let wrong = |source| FetchError::Write { file: args.output.clone(), source };
        let text = fs::read_to_string(&self.path).map_err(wrong)?;
        let lines = text.split_inclusive('\n').filter(|line| !line.starts_with('#'));
        let text: String = lines.collect();
        replace(&args.output, Durability::ContentAndName, |file| file.write_all(text.as_bytes())).map_err(wrong)?;
        fs::remove_file(&self.path).map_err(wrong)?;
        // An empty file has no bars, which the reader calls an error.
        let bars = read_bars(&args.output).unwrap_or_default();
        Ok(Found::of(args, pipeline, &bars, (first, end)))
    }
}

/// What came, honest about what did not.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    output: PathBuf,
    pub bars: usize,
    pub first: UtcMs,
    pub end: UtcMs,
    /// Bars of an open market that are not there: open time of the first of a hole, and how many.
    pub holes: Vec<(UtcMs, u32)>,
    interval: Interval,
}

impl Found {
    fn of(args: &FetchArgs, pipeline: &PipelineConfig, bars: &[RawBar], (first, end): (UtcMs, UtcMs)) -> Self {
        let interval = pipeline.interval;
        let mut holes: Vec<(UtcMs, u32)> = Vec::new();
        let (mut at, mut is_hole) = (first, false);
        let mut times = bars.iter().map(|bar| bar.time).peekable();
        while at < end {
            while times.next_if(|time| *time < at).is_some() {}
            if times.peek() == Some(&at) {
                is_hole = false;
            } else if pipeline.calendar.is_open(at) {
                match holes.last_mut().filter(|_| is_hole) {
                    Some((_, count)) => *count += 1,
                    None => holes.push((at, 1)),
                }
                is_hole = true;
            }
            at = interval.close_of(at);
        }
        Self { output: args.output.clone(), bars: bars.len(), first, end, holes, interval }
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { output, bars, first, end, holes, interval } = self;
        write!(f, "{bars} bars of {interval} from {first} to {end} are in {}", output.display())?;
        let missing: u32 = holes.iter().map(|(_, count)| count).sum();
        if missing == 0 {
            return f.write_str("; none is missing");
        }
        write!(f, "; {missing} are missing while the market was open, in {} holes:", holes.len())?;
        let mut largest = holes.clone();
        largest.sort_by_key(|(time, count)| (std::cmp::Reverse(*count), *time));
        for (time, count) in largest.iter().take(HOLES_SHOWN) {
            write!(f, "\n  {count} from {time}")?;
        }
        if largest.len() > HOLES_SHOWN {
            write!(f, "\n  and {} smaller ones", largest.len() - HOLES_SHOWN)
        } else {
            Ok(())
        }
    }
}
