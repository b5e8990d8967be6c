//! `sentinel journal`: the journal's rows for people and programs.
//!
//! Reads only, beside a running node or after it. Rows are streamed: the size of the journal does not matter. JSON is one
//! object per line, CSV has a header line, and both carry the same fields under the same names.

mod lines;

use std::io::{self, Write};
use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;
use serde::Serialize;

use self::lines::{CycleLine, CycleSum, IntentLine, IntentSum};
use super::{StateFlag, examples, exit};
use crate::exit::ExitError;
use crate::journal::{Filter, JournalError, JournalReader};

/// Shows what the journal holds.
#[derive(Debug, Args)]
pub struct JournalArgs {
    /// Which rows.
    #[command(subcommand)]
    pub rows: Rows,
}

/// Which rows.
#[derive(Debug, Subcommand)]
pub enum Rows {
    /// One row per slot: how it ended, and why.
    #[command(after_help = examples::JOURNAL)]
    Cycles(CycleSelection),
    /// One row per intended order, and where it stands.
    #[command(after_help = examples::JOURNAL)]
    Intents(IntentSelection),
}

/// Which slots.
#[derive(Debug, Args)]
pub struct CycleSelection {
    /// What intents can be selected by too.
    #[command(flatten)]
    pub rows: Selection,
    /// Only slots that ended so.
    #[arg(long, value_parser = outcome)]
    pub outcome: Option<Outcome>,
    /// Only slots that ended for this reason, by its code in docs/reasons.md.
    #[arg(long, value_parser = reason)]
    pub reason: Option<Reason>,
}

/// Which intents.
#[derive(Debug, Args)]
pub struct IntentSelection {
    /// What slots can be selected by too.
    #[command(flatten)]
    pub rows: Selection,
    /// Only open orders: planned, sent, unknown or held.
    #[arg(long)]
    pub open: bool,
}

/// Which of them, and in what form.
#[derive(Debug, Args)]
pub struct Selection {
    /// The form; json is one object per line.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Whose journal.
    #[command(flatten)]
    pub state: StateFlag,
    /// Only this pipeline.
    #[arg(long)]
    pub pipeline: Option<String>,
    /// Only slots from this time on, like 2017-06-01T13:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<UtcMs>,
    /// Only the newest rows of those; all of them when left out.
    #[arg(long, value_name = "N")]
    pub last: Option<u32>,
    /// How many rows there are, by reason or state, in place of the rows.
    #[arg(long, conflicts_with = "last")]
    pub summary: bool,
}

fn outcome(text: &str) -> Result<Outcome, String> {
    let known = || Outcome::ALL.map(Outcome::code).join(", ");
    Outcome::ALL.into_iter().find(|outcome| outcome.code() == text).ok_or_else(|| format!("one of {}", known()))
}

fn reason(text: &str) -> Result<Reason, String> {
    Reason::from_code(text).ok_or_else(|| "no reason has this code; docs/reasons.md has them all".to_owned())
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people.
    Table,
    /// One JSON object per line.
    Json,
    /// Comma separated, with a header line.
    Csv,
}

/// Why rows could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    #[error("the journal cannot be shown")]
    Journal(#[from] JournalError),
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

impl JournalArgs {
    #[must_use]
    pub const fn state(&self) -> &StateFlag {
        &self.selection().state
    }

    const fn selection(&self) -> &Selection {
        match &self.rows {
            Rows::Cycles(cycles) => &cycles.rows,
            Rows::Intents(intents) => &intents.rows,
        }
    }

    /// The rows that were asked for.
    fn filter(&self) -> Filter<'_> {
        let Selection { pipeline, since, last, .. } = self.selection();
        let all = Filter { pipeline: pipeline.as_deref(), since: *since, last: *last, ..Filter::default() };
        match &self.rows {
            Rows::Cycles(cycles) => Filter { outcome: cycles.outcome, reason: cycles.reason, ..all },
            Rows::Intents(intents) => Filter { open: intents.open, ..all },
        }
    }
}

impl From<csv::Error> for ShowError {
    fn from(error: csv::Error) -> Self {
        Self::Output(io::Error::from(error))
    }
}

impl From<serde_json::Error> for ShowError {
    fn from(error: serde_json::Error) -> Self {
        Self::Output(io::Error::from(error))
    }
}

impl ExitError for ShowError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Journal(error) => error.exit_code(),
            Self::Output(_) => exit::IO,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Journal(error) => error.advice(),
            Self::Output(_) => None,
        }
    }
}

/// Runs the command on the journal in `state`. An output that was closed early, as by `head`, is no failure.
///
/// # Errors
/// When the journal cannot be read or the output not be written.
pub fn run(args: &JournalArgs, state: &Path, out: &mut dyn Write) -> Result<(), ShowError> {
    match show(args, state, out) {
        Err(ShowError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn show(args: &JournalArgs, state: &Path, out: &mut dyn Write) -> Result<(), ShowError> {
    let reader = JournalReader::open(state)?;
    let (selection, filter) = (args.selection(), args.filter());
    let mut printer = Printer::new(selection.format, out);
    match &args.rows {
        Rows::Cycles(_) if selection.summary => {
            printer.header::<CycleSum>()?;
            reader.slot_tallies(&filter)?.into_iter().try_for_each(|tally| printer.line(&CycleSum::from(tally)))?;
        }
        Rows::Intents(_) if selection.summary => {
            printer.header::<IntentSum>()?;
            reader.intent_tallies(&filter)?.into_iter().try_for_each(|tally| printer.line(&IntentSum::from(tally)))?;
        }
        Rows::Cycles(_) => {
            printer.header::<CycleLine>()?;
            reader.each_slot_of(&filter, |slot| printer.line(&CycleLine::new(slot, &reader)?))?;
        }
        Rows::Intents(_) => {
            printer.header::<IntentLine>()?;
            reader.each_intent_of(&filter, |intent| printer.line(&IntentLine::from(intent)))?;
        }
    }
    printer.finish()
}

/// A row as it is shown.
trait Line: Serialize {
    /// Header of the table.
    const HEADER: &'static str;
    /// Names of all fields, in order.
    const FIELDS: &'static [&'static str];
    /// Fields that hold JSON and stay JSON in JSON.
    const NESTED: &'static [&'static str];
    fn table(&self) -> String;
}

enum Printer<'a> {
    Table(&'a mut dyn Write),
    Json(&'a mut dyn Write),
    Csv(Box<csv::Writer<&'a mut dyn Write>>),
}

impl<'a> Printer<'a> {
    fn new(format: Format, out: &'a mut dyn Write) -> Self {
        match format {
            Format::Table => Self::Table(out),
            Format::Json => Self::Json(out),
            Format::Csv => Self::Csv(Box::new(csv::WriterBuilder::new().has_headers(false).from_writer(out))),
        }
    }

    fn header<L: Line>(&mut self) -> Result<(), ShowError> {
        match self {
            Self::Table(out) => writeln!(out, "{}", L::HEADER)?,
            Self::Json(_) => {}
            // By hand, so that a journal without rows still has one.
            Self::Csv(csv) => csv.write_record(L::FIELDS)?,
        }
        Ok(())
    }

    fn line<L: Line>(&mut self, line: &L) -> Result<(), ShowError> {
        match self {
            Self::Table(out) => writeln!(out, "{}", line.table())?,
            Self::Json(out) => writeln!(out, "{}", json(line)?)?,
            Self::Csv(csv) => csv.serialize(line)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<(), ShowError> {
        match self {
            Self::Table(out) | Self::Json(out) => out.flush()?,
            Self::Csv(mut csv) => csv.flush()?,
        }
        Ok(())
    }
}

fn json<L: Line>(line: &L) -> Result<serde_json::Value, serde_json::Error> {
    let mut value = serde_json::to_value(line)?;
    for field in L::NESTED {
        if let Some(nested) = value.get_mut(*field)
            && let Some(text) = nested.as_str()
        {
            *nested = serde_json::from_str(text)?;
        }
    }
    Ok(value)
}
