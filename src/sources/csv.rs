//! Bars from a CSV file with the columns `timestamp,open,high,low,close,volume`.
//!
//! The whole file is read before anything is computed, and the first thing that cannot be read refuses it with file and
//! line: a replay or an export on half a file would look like a result. An empty cell is a null, as vendors deliver it;
//! judging bars is left to `clean`. Order, duplicates and gaps are kept as they are.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, Trim};
use sentinel_actors::domain::bar::RawBar;
use sentinel_actors::domain::time::UtcMs;

/// The columns that a bar file has, in any order; others are not looked at.
const COLUMNS: [&str; 6] = ["timestamp", "open", "high", "low", "close", "volume"];

/// Unix seconds beyond this (year 5138) are milliseconds that someone forgot to divide.
const SECONDS_MAX: i64 = 100_000_000_000;

/// Why a file gives no bars.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    #[error("{} cannot be opened", file.display())]
    Open { file: PathBuf, source: std::io::Error },
    #[error("{} is empty; the first line must be {}", file.display(), COLUMNS.join(","))]
    Empty { file: PathBuf },
    /// The first line has none of the column names.
    #[error("{} has no header; the first line must be {}", file.display(), COLUMNS.join(","))]
    MissingHeader { file: PathBuf },
    #[error("{} has no column '{column}'; the header must name {} (cells may be empty)", file.display(), COLUMNS.join(","))]
    MissingColumn {
        file: PathBuf,
        /// The first column that is missing.
        column: &'static str,
    },
    #[error("{} has a header but no bars", file.display())]
    NoBars { file: PathBuf },
    /// The line is no CSV record of the header's length, or reading failed.
    #[error("{} line {line} is not a row of as many cells as the header has", file.display())]
    Row {
        file: PathBuf,
        /// Counted from 1, the header included.
        line: u64,
        source: csv::Error,
    },
    /// A cell does not hold what its column is for.
    #[error("{} line {line}: {column} is '{text}'; expected {expected}", file.display())]
    Cell {
        file: PathBuf,
        /// Counted from 1, the header included.
        line: u64,
        column: &'static str,
        text: String,
        expected: &'static str,
    },
}

/// A bar and where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BarLine {
    /// Counted from 1, the header included.
    pub line: u64,
    pub bar: RawBar,
}

/// All bars of a file, in the file's order.
///
/// # Errors
/// When the file cannot be read or any of its lines is no bar.
pub fn read_bars(file: &Path) -> Result<Vec<RawBar>, CsvError> {
    Ok(read_lines(file)?.into_iter().map(|line| line.bar).collect())
}

/// All bars of a file with their lines, in the file's order.
///
/// # Errors
/// When the file cannot be read or any of its lines is no bar.
pub fn read_lines(file: &Path) -> Result<Vec<BarLine>, CsvError> {
    let opened = File::open(file).map_err(|source| CsvError::Open { file: file.to_owned(), source })?;
    read_lines_from(opened, file)
}

/// The same from `input`; `file` is only its name in errors.
///
/// # Errors
/// When any line is no bar.
pub fn read_lines_from(input: impl Read, file: &Path) -> Result<Vec<BarLine>, CsvError> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(input);
    let header = reader.headers().map_err(|source| row_error(file, source))?;
    let places = Places::find(header, file)?;
    let mut bars = Vec::new();
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|source| row_error(file, source))? {
        let line = record.position().map_or(0, csv::Position::line);
        bars.push(BarLine { line, bar: places.bar(&record, file, line)? });
    }
    if bars.is_empty() {
        return Err(CsvError::NoBars { file: file.to_owned() });
    }
    Ok(bars)
}

fn row_error(file: &Path, source: csv::Error) -> CsvError {
    let line = source.position().map_or(1, csv::Position::line);
    CsvError::Row { file: file.to_owned(), line, source }
}

/// Where each of [`COLUMNS`] is in a record.
struct Places([usize; COLUMNS.len()]);

impl Places {
    fn find(header: &StringRecord, file: &Path) -> Result<Self, CsvError> {
        if header.is_empty() {
            return Err(CsvError::Empty { file: file.to_owned() });
        }
        let place = |column: &str| header.iter().position(|name| name.eq_ignore_ascii_case(column));
        if COLUMNS.iter().all(|column| place(column).is_none()) {
            return Err(CsvError::MissingHeader { file: file.to_owned() });
        }
        let mut places = [0; COLUMNS.len()];
        for (slot, column) in places.iter_mut().zip(COLUMNS) {
            *slot = place(column).ok_or_else(|| CsvError::MissingColumn { file: file.to_owned(), column })?;
        }
        Ok(Self(places))
    }

    fn bar(&self, record: &StringRecord, file: &Path, line: u64) -> Result<RawBar, CsvError> {
        let text = |column: usize| record.get(self.0[column]).unwrap_or_default();
        let wrong = |column: usize, expected: &'static str| CsvError::Cell {
            file: file.to_owned(),
            line,
            column: COLUMNS[column],
            text: text(column).to_owned(),
            expected,
        };
        let number = |column: usize| match text(column) {
            "" => Ok(None),
            cell => cell.parse().map(Some).map_err(|_| wrong(column, "a number, or nothing for null")),
        };
        let time = parse_time(text(0)).map_err(|expected| wrong(0, expected))?;
        Ok(RawBar { time, open: number(1)?, high: number(2)?, low: number(3)?, close: number(4)?, volume: number(5)? })
    }
}

/// The error says what is expected.
fn parse_time(text: &str) -> Result<UtcMs, &'static str> {
    match text.parse::<i64>() {
        Ok(seconds) if seconds.unsigned_abs() > SECONDS_MAX.unsigned_abs() => {
            Err("unix seconds; this looks like milliseconds or finer")
        }
        Ok(seconds) => Ok(UtcMs::from_secs(seconds)),
        Err(_) => text.parse().map_err(|_| "the open time, like 2017-06-01T13:00:00Z or unix seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<RawBar>, String> {
        let lines = read_lines_from(text.as_bytes(), Path::new("bars.csv")).map_err(|error| error.to_string())?;
        Ok(lines.into_iter().map(|line| line.bar).collect())
    }

    #[test]
    fn rows_are_bars_in_the_files_order_with_empty_cells_as_nulls() {
        let bars = read(
            "timestamp,open,high,low,close,volume\n\
             2017-01-01T23:00:00Z,1.1,1.2,1.0,1.15,7\n\
             1483308000, ,1.2,,1.15,\n",
        )
        .unwrap();
        assert_eq!(bars.len(), 2);
        assert_eq!(bars[0].time, UtcMs::from_secs(1_483_311_600));
        assert_eq!((bars[0].open, bars[0].close, bars[0].volume), (Some(1.1), Some(1.15), Some(7.0)));
        assert_eq!(bars[1].time, UtcMs::from_secs(1_483_308_000));
        assert_eq!((bars[1].open, bars[1].high, bars[1].low, bars[1].volume), (None, Some(1.2), None, None));
    }

    #[test]
    fn columns_are_found_by_name_whatever_their_order_and_case() {
        let bars = read("\u{feff}Volume,Close,note,Low,High,Open,Timestamp\n9,4,x,2,5,3,0\n").unwrap();
        let expected = RawBar {
            time: UtcMs(0),
            open: Some(3.0),
            high: Some(5.0),
            low: Some(2.0),
            close: Some(4.0),
            volume: Some(9.0),
        };
        assert_eq!(bars, [expected]);
    }

    #[test]
    fn a_file_that_is_no_bar_file_says_where_and_what_is_expected() {
        const HEADER: &str = "timestamp,open,high,low,close,volume";
        for (text, error) in [
            (String::new(), format!("bars.csv is empty; the first line must be {HEADER}")),
            ("\n\n".to_owned(), format!("bars.csv is empty; the first line must be {HEADER}")),
            ("0,1,1,1,1,1\n".to_owned(), format!("bars.csv has no header; the first line must be {HEADER}")),
            (
                "timestamp,open,high,low,close\n".to_owned(),
                format!("bars.csv has no column 'volume'; the header must name {HEADER} (cells may be empty)"),
            ),
            (format!("{HEADER}\n"), "bars.csv has a header but no bars".to_owned()),
            (
                format!("{HEADER}\n0,1,1,1,1,1\n3600,1,1\n"),
                "bars.csv line 3 is not a row of as many cells as the header has".to_owned(),
            ),
            (
                format!("{HEADER}\n0,1,1,1,one,1\n"),
                "bars.csv line 2: close is 'one'; expected a number, or nothing for null".to_owned(),
            ),
            (
                format!("{HEADER}\nyesterday,1,1,1,1,1\n"),
                "bars.csv line 2: timestamp is 'yesterday'; expected the open time, like 2017-06-01T13:00:00Z or unix \
                 seconds"
                    .to_owned(),
            ),
            (
                format!("{HEADER}\n1483308000000,1,1,1,1,1\n"),
                "bars.csv line 2: timestamp is '1483308000000'; expected unix seconds; this looks like milliseconds or \
                 finer"
                    .to_owned(),
            ),
        ] {
            assert_eq!(read(&text).unwrap_err(), error);
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read_bars(Path::new("no/such/bars.csv")).unwrap_err();
        assert_eq!(error.to_string(), "no/such/bars.csv cannot be opened");
    }
}
