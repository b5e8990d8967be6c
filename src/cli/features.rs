//! `sentinel features`: a bar file in, a feature file out, to train models on.
//!
//! Each row is computed by the same code and, unless `--window all` asks otherwise, from the same number of bars as the
//! live node's frame for that bar (promise 5). A cell that is not defined is left empty; none is ever filled. The output
//! appears complete or not at all.

mod made;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use sentinel_actors::domain::bar::{Bar, Cleaning, DropReason, clean};

use self::made::write_bars;
pub use self::made::{InvalidMaking, MadeArgs};
use super::exit;
use crate::exit::ExitError;
use crate::features::{SETS, SetInfo};
use crate::files::{Durability, replace};
use crate::sources::csv::{CsvError, read_bars};

/// Arguments of `sentinel features`.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct FeaturesArgs {
    /// Feature set
    #[arg(long, default_value = "fx23", value_parser = feature_set())]
    pub set: &'static SetInfo,
    /// Bars that each row is computed from, as in the pipeline's configuration, or 'all' for the whole history before it
    #[arg(long, default_value_t = Window::Bars(200))]
    pub window: Window,
    #[command(flatten)]
    pub made: MadeArgs,
    /// Bar file with the columns timestamp,open,high,low,close,volume
    #[arg(long, value_name = "CSV")]
    pub input: PathBuf,
    /// Feature file to write; an existing one is replaced
    #[arg(long, value_name = "CSV")]
    pub output: PathBuf,
    /// A close may lie outside its bar's low and high by this much, in quote currency
    #[arg(long, default_value_t = 1e-5)]
    pub tick: f64,
}

fn feature_set() -> impl TypedValueParser<Value = &'static SetInfo> {
    let names = SETS.iter().map(|set| PossibleValue::new(set.name).help(set.summary));
    PossibleValuesParser::new(names).try_map(|name| SetInfo::find(&name).ok_or("no such feature set"))
}

/// How much history a row sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// At most this many bars, its own included: what the live node sees.
    Bars(usize),
    /// Every bar up to its own.
    All,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bars(bars) => write!(f, "{bars}"),
            Self::All => f.write_str("all"),
        }
    }
}

/// A text that is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a window; write a number of bars, or 'all'")]
pub struct InvalidWindow(String);

impl FromStr for Window {
    type Err = InvalidWindow;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" {
            return Ok(Self::All);
        }
        let bars = text.parse().ok().filter(|bars| *bars > 0);
        bars.map(Self::Bars).ok_or_else(|| InvalidWindow(text.to_owned()))
    }
}

/// Why there is no feature file.
#[derive(Debug, thiserror::Error)]
pub enum FeaturesCommandError {
    #[error("the bars cannot be read")]
    Read(#[from] CsvError),
    /// In a smaller window the longest feature is defined in no row at all.
    #[error("a window of {window} bars is too short for {}, which needs {}", set.name, set.least_bars)]
    ShortWindow { window: usize, set: &'static SetInfo },
    #[error("none of the {delivered} bars in {} is usable ({})", input.display(), list(dropped))]
    NoUsableBars { input: PathBuf, delivered: usize, dropped: BTreeMap<DropReason, u32> },
    #[error(transparent)]
    Making(#[from] InvalidMaking),
    #[error("of the {delivered} bars in {} no longer one can be made: {incomplete} would have too few of them", input.display())]
    NoneMade { input: PathBuf, delivered: usize, incomplete: usize },
    /// The output would replace the input.
    #[error("{} is the input and would be overwritten; choose another output", .0.display())]
    SameFile(PathBuf),
    #[error("{} cannot be written", output.display())]
    Write { output: PathBuf, source: io::Error },
}

impl ExitError for FeaturesCommandError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Read(_) | Self::NoUsableBars { .. } | Self::NoneMade { .. } => exit::FAILED,
            Self::SameFile(_) | Self::ShortWindow { .. } | Self::Making(_) => exit::USAGE,
            Self::Write { .. } => exit::IO,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportReport {
    /// Rows written: one per usable bar.
    pub rows: usize,
    /// Rows without an empty cell.
    pub complete_rows: usize,
    /// Bars that got no row, by reason.
    pub dropped: BTreeMap<DropReason, u32>,
    /// Bars that could not be made, because too few of their parts are there.
    pub incomplete: usize,
}

impl fmt::Display for ExportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rows, {} of them complete; dropped bars: {}",
            self.rows,
            self.complete_rows,
            list(&self.dropped)
        )?;
        if self.incomplete > 0 {
            write!(f, "; bars not made, with too few parts: {}", self.incomplete)?;
        }
        Ok(())
    }
}

fn list(dropped: &BTreeMap<DropReason, u32>) -> String {
    if dropped.is_empty() {
        return "none".to_owned();
    }
    let parts: Vec<String> = dropped.iter().map(|(reason, count)| format!("{} {count}", reason.code())).collect();
    parts.join(", ")
}

/// Runs the command; the text is for standard output.
///
/// # Errors
/// When the input gives no usable bars or the output cannot be written.
pub fn run(args: &FeaturesArgs) -> Result<String, FeaturesCommandError> {
    let report = export(args)?;
    Ok(format!("{}: {report}", args.output.display()))
}

/// Writes one row of features per usable bar of `input`.
///
/// # Errors
/// When the input gives no usable bars or the output cannot be written.
pub fn export(args: &FeaturesArgs) -> Result<ExportReport, FeaturesCommandError> {
    let FeaturesArgs { set, window, made, input, output, tick } = args;
    let (set, window, tick) = (*set, *window, *tick);
    if let Window::Bars(window) = window
        && window < set.least_bars as usize
    {
        return Err(FeaturesCommandError::ShortWindow { window, set });
    }
    let delivered = read_bars(input)?;
    for output in std::iter::once(output).chain(&made.made_bars) {
        if let (Ok(from), Ok(to)) = (fs::canonicalize(input), fs::canonicalize(output))
            && from == to
        {
            return Err(FeaturesCommandError::SameFile(output.clone()));
        }
    }
    let cleaned = clean(&delivered, &Cleaning { tick, times: None, window: None });
    let dropped = cleaned.dropped;
    if cleaned.bars.is_empty() {
        let (input, delivered) = (input.clone(), delivered.len());
        return Err(FeaturesCommandError::NoUsableBars { input, delivered, dropped });
    }
    let (bars, incomplete) = match made.make(&delivered, tick)? {
        None => (cleaned.bars, 0),
        Some(made) => (made.bars, made.incomplete.len()),
    };
    if bars.is_empty() {
        return Err(FeaturesCommandError::NoneMade { input: input.clone(), delivered: delivered.len(), incomplete });
    }
    let rows = rows(set, &bars, window);
    let unwritten = |output: &PathBuf, source| FeaturesCommandError::Write { output: output.clone(), source };
    if let Some(file) = &made.made_bars {
        replace(file, Durability::Content, |file| write_bars(file, &bars)).map_err(|source| unwritten(file, source))?;
    }
    replace(output, Durability::Content, |file| write_rows(file, set.columns, &bars, &rows))
        .map_err(|source| unwritten(output, source))?;
    let complete_rows = rows.iter().filter(|row| row.iter().all(|cell| cell.is_finite())).count();
    Ok(ExportReport { rows: rows.len(), complete_rows, dropped, incomplete })
}

/// One row per bar; a cell that is not defined is not finite.
#[must_use]
pub fn rows(set: &SetInfo, bars: &[Bar], window: Window) -> Vec<Vec<f64>> {
    match window {
        Window::All => set.rows_of_history(bars),
        Window::Bars(count) => set.rows_of_windows(bars, count),
    }
}

fn write_rows(file: &File, columns: &[&str], bars: &[Bar], rows: &[Vec<f64>]) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    writeln!(out, "timestamp,{}", columns.join(","))?;
    let mut line = String::new();
    for (bar, row) in bars.iter().zip(rows) {
        line.clear();
        line.push_str(&bar.time.to_string());
        for cell in row {
            line.push(',');
            if cell.is_finite() {
                // Rust prints the shortest text that reads back as the same bits.
                write!(line, "{cell}").map_err(io::Error::other)?;
            }
        }
        writeln!(out, "{line}")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const HEADER: &str = "timestamp,open,high,low,close,volume\n";

    fn args(input: &Path, output: &Path, window: Window) -> FeaturesArgs {
        FeaturesArgs {
            set: SetInfo::find("fx23").unwrap(),
            window,
            made: MadeArgs::default(),
            input: input.to_owned(),
            output: output.to_owned(),
            tick: 1e-5,
        }
    }

    fn bar_file(text: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (input, output) = (dir.path().join("bars.csv"), dir.path().join("features.csv"));
        fs::write(&input, format!("{HEADER}{text}")).unwrap();
        (dir, input, output)
    }

    #[test]
    fn an_export_writes_one_row_per_usable_bar_and_counts_the_others() {
        let (dir, input, output) = bar_file(
            "2017-01-02T00:00:00Z,1,2,1,1.5,\n2017-01-02T01:00:00Z,1,2,1,,\n2017-01-02T02:00:00Z,1,2,1,3,\n\
             2017-01-02T03:00:00Z,1,2,1,1.75,\n",
        );
        fs::write(&output, "old").unwrap();
        let text = run(&args(&input, &output, Window::Bars(200))).unwrap();
        assert!(text.ends_with("2 rows, 0 of them complete; dropped bars: null 1, close_outside 1"), "{text}");
        let written = fs::read_to_string(&output).unwrap();
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("timestamp,feature_0,feature_1,") && lines[0].ends_with(",feature_22"));
        assert!(
            lines[1].starts_with("2017-01-02T00:00:00Z,,,,,,1.5,1.5,,,,0,0,0,2,0.75,1.5,,,0,0,,,0"),
            "{}",
            lines[1]
        );
        assert!(lines[2].starts_with("2017-01-02T03:00:00Z,0.16666666666666674,,"), "{}", lines[2]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing unfinished is left");
    }

    #[test]
    fn an_input_without_a_usable_bar_is_an_error_and_leaves_the_old_output() {
        let (_dir, input, output) = bar_file("0,1,1,1,,\n3600,1,1,1,0,\n");
        fs::write(&output, "old").unwrap();
        let error = run(&args(&input, &output, Window::All)).unwrap_err();
        assert!(error.to_string().ends_with("is usable (null 1, non_positive 1)"), "{error}");
        assert_eq!(fs::read_to_string(&output).unwrap(), "old");
    }

    #[test]
    fn the_input_is_never_overwritten() {
        let (_dir, input, _) = bar_file("0,1,1,1,1,\n");
        let made = MadeArgs { made_bars: Some(input.clone()), ..MadeArgs::default() };
        let over = FeaturesArgs { made, ..args(&input, &input.with_extension("features"), Window::All) };
        for args in [args(&input, &input, Window::All), over] {
            assert!(matches!(run(&args).unwrap_err(), FeaturesCommandError::SameFile(_)));
        }
        assert!(fs::read_to_string(&input).unwrap().starts_with(HEADER));
    }

    #[test]
    fn an_output_that_cannot_be_written_is_named() {
        let (dir, input, _) = bar_file("0,1,1,1,1,\n");
        let output = dir.path().join("no/such/features.csv");
        let error = run(&args(&input, &output, Window::All)).unwrap_err();
        assert_eq!(error.to_string(), format!("{} cannot be written", output.display()));
    }

    #[test]
    fn a_window_that_is_too_short_for_its_set_is_refused() {
        let (_dir, input, output) = bar_file("0,1,1,1,1,\n");
        for (set, window, error) in [
            ("fx23", 20, "a window of 20 bars is too short for fx23, which needs 21"),
            ("btc9", 72, "a window of 72 bars is too short for btc9, which needs 73"),
        ] {
            let args = FeaturesArgs { set: SetInfo::find(set).unwrap(), ..args(&input, &output, Window::Bars(window)) };
            assert_eq!(run(&args).unwrap_err().to_string(), error);
        }
    }

    /// A whole hour, the first `minutes` of the next one, and one that lacks its last minute and so is still forming.
    fn minute_file(minutes: u32) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let rows = (0..60).chain(60..60 + minutes).chain(120..179);
        bar_file(
            &rows
                .map(|minute| format!("{},1,{},1,1.5,2\n", 1_483_315_200 + minute * 60, 2 + minute % 60))
                .collect::<String>(),
        )
    }

    fn made(made_from: &str, least_parts: Option<u32>) -> MadeArgs {
        let (made_from, interval, calendar) = (made_from.parse().ok(), "1h".parse().ok(), "always".parse().ok());
        MadeArgs { made_from, interval, calendar, least_parts, made_bars: None }
    }

    #[test]
    fn features_of_made_hours_have_a_row_for_each_whole_hour() {
        let (_dir, input, output) = minute_file(49);
        let args = FeaturesArgs { made: made("1m", None), ..args(&input, &output, Window::Bars(200)) };
        let text = run(&args).unwrap();
        assert!(
            text.ends_with("1 rows, 0 of them complete; dropped bars: none; bars not made, with too few parts: 1"),
            "{text}"
        );
        let written = fs::read_to_string(&output).unwrap();
        assert!(written.lines().nth(1).unwrap().starts_with("2017-01-02T00:00:00Z,"), "{written}");
        let fewer = FeaturesArgs { made: made("1m", Some(49)), ..args };
        assert_eq!(export(&fewer).unwrap().rows, 1, "the last five minutes are missing");
        let made = MadeArgs { calendar: "UTC; Mon 01:00-Fri 17:00".parse().ok(), ..made("1m", Some(49)) };
        let error = run(&FeaturesArgs { made, ..fewer }).unwrap_err().to_string();
        assert!(
            error.ends_with("no longer one can be made: 1 would have too few of them"),
            "the first is closed: {error}"
        );
    }

    #[test]
    fn hours_that_cannot_be_made_are_an_error_that_says_why() {
        let (_dir, input, output) = bar_file("1483315200,1,1,1,1,\n1483318800,1,1,1,1,\n1483322400,1,1,1,1,\n");
        let with = |made| export(&FeaturesArgs { made, ..args(&input, &output, Window::All) }).unwrap_err().to_string();
        assert!(with(made("1m", None)).ends_with("no longer one can be made: 2 would have too few of them"));
        assert!(with(made("1h", None)).starts_with("bars of 1h cannot be made from bars of 1h"));
        assert_eq!(with(made("1m", Some(61))), "a bar of 60 parts cannot need 61 of them");
        assert_eq!(with(made("1m", Some(0))), "a bar of 60 parts cannot need 0 of them");
    }

    #[test]
    fn a_window_is_a_number_of_bars_or_all() {
        assert_eq!("200".parse(), Ok(Window::Bars(200)));
        assert_eq!("all".parse(), Ok(Window::All));
        for text in ["0", "-1", "ALL", ""] {
            let error = text.parse::<Window>().unwrap_err().to_string();
            assert_eq!(error, format!("'{text}' is not a window; write a number of bars, or 'all'"));
        }
    }
}
