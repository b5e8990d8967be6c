//! `sentinel journal`: the journal's rows for people and programs.
//!
//! Reads only, beside a running node or after it. Rows are streamed: the size of the journal does not matter. JSON is one
//! object per line, CSV has a header line, and both carry the same fields under the same names.

use std::io::{self, Write};
use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::intent::{Intent, IntentState};
use sentinel_actors::domain::time::UtcMs;
use serde::Serialize;

use super::{StateFlag, exit, why};
use crate::journal::{JournalError, JournalReader, Stored};

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
    Cycles(Selection),
    /// One row per intended order, and where it stands.
    Intents(Selection),
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
    /// Only the newest rows; all of them when left out.
    #[arg(long, value_name = "N")]
    pub last: Option<u32>,
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
    /// The journal cannot be read.
    #[error("the journal cannot be shown")]
    Journal(#[from] JournalError),
    /// The output cannot be written.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

impl JournalArgs {
    /// Whose journal.
    #[must_use]
    pub const fn state(&self) -> &StateFlag {
        let (Rows::Cycles(selection) | Rows::Intents(selection)) = &self.rows;
        &selection.state
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

impl ShowError {
    /// What the process ends with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Journal(error) => error.exit_code(),
            Self::Output(_) => exit::IO,
        }
    }

    /// What a person can do.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Journal(error) => Some(error.advice()),
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
    let (Rows::Cycles(selection) | Rows::Intents(selection)) = &args.rows;
    let reader = JournalReader::open(state)?;
    let pipeline = selection.pipeline.as_deref();
    let mut printer = Printer::new(selection.format, out);
    match &args.rows {
        Rows::Cycles(_) => {
            printer.header::<CycleLine>()?;
            reader.each_slot(pipeline, selection.last, |slot| printer.line(&CycleLine::new(slot, &reader)?))?;
        }
        Rows::Intents(_) => {
            printer.header::<IntentLine>()?;
            reader.each_intent(pipeline, selection.last, |intent| printer.line(&IntentLine::from(intent)))?;
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
    /// The table's line.
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

#[derive(Debug, Serialize)]
struct CycleLine {
    pipeline: String,
    slot: String,
    mode: &'static str,
    outcome: &'static str,
    reason: &'static str,
    detail: String,
    attempts: u32,
    started_at: Option<String>,
    ended_at: String,
    fetch_us: Option<u64>,
    features_us: Option<u64>,
    predict_us: Option<u64>,
    execute_us: Option<u64>,
    newest_bar: Option<String>,
    bars: Option<u32>,
    dropped: String,
    missing_bars: Option<u32>,
    bars_digest: Option<String>,
    feature_set: Option<String>,
    features_digest: Option<String>,
    model_id: Option<String>,
    model_hash: Option<String>,
    raw_output: Option<String>,
    signal: Option<String>,
    confidence: Option<f64>,
    decided_bar: Option<String>,
    intents: String,
    intact: bool,
    /// How an order of unknown fate was settled after the slot: `acked`, `rejected` or `absent`.
    settled_later: Option<&'static str>,
    decide_on: Option<&'static str>,
    threshold: Option<f64>,
    /// What the decision was measured against, as JSON.
    weighed: Option<String>,
    /// The node's start under which the row was written, with its version and the digest of its configuration.
    start: Option<i64>,
    version: Option<String>,
    config_digest: Option<String>,
    #[serde(skip)]
    settled: Option<IntentState>,
}

fn time(time: Option<UtcMs>) -> Option<String> {
    time.map(|time| time.to_string())
}

/// What is no number stands as text, as it does in the journal.
fn raw_output(raw: &[f64]) -> String {
    let cells: Vec<String> = raw
        .iter()
        .map(|value| serde_json::Number::from_f64(*value).map_or(format!("\"{value}\""), |number| number.to_string()))
        .collect();
    format!("[{}]", cells.join(","))
}

impl CycleLine {
    fn new(Stored { record, is_intact }: Stored<SlotRecord>, reader: &JournalReader) -> Result<Self, ShowError> {
        let settled = reader.settled_later(&record)?;
        let start = record.start.map(|number| reader.start(number)).transpose()?.flatten().map(|start| start.record);
        let weighed = record.weighed.as_ref();
        let [fetch_us, features_us, predict_us, execute_us] = record.stage_us;
        let (model_id, model_hash) = record.model.clone().map(|model| (model.id, model.hash)).unzip();
        let keys: Vec<String> = record.intents.iter().map(|key| format!("\"{key}\"")).collect();
        Ok(Self {
            settled_later: settled.map(IntentState::code),
            decide_on: weighed.map(|weighed| weighed.decide_on.code()),
            threshold: weighed.map(|weighed| weighed.threshold),
            weighed: weighed.map(serde_json::to_string).transpose()?,
            start: record.start,
            version: start.as_ref().map(|start| start.version.clone()),
            config_digest: start.map(|start| start.config_digest),
            settled,
            slot: record.slot.to_string(),
            mode: record.mode.code(),
            outcome: record.outcome().code(),
            reason: record.reason.code(),
            attempts: record.attempts,
            started_at: time(record.started_at),
            ended_at: record.ended_at.to_string(),
            fetch_us,
            features_us,
            predict_us,
            execute_us,
            newest_bar: time(record.newest_bar),
            bars: record.bars,
            missing_bars: record.missing_bars,
            model_id,
            model_hash,
            raw_output: record.raw_output.as_deref().map(raw_output),
            confidence: record.confidence,
            decided_bar: time(record.decided_bar),
            intents: format!("[{}]", keys.join(",")),
            intact: is_intact,
            pipeline: record.pipeline,
            detail: record.detail,
            dropped: record.dropped,
            bars_digest: record.bars_digest,
            feature_set: record.feature_set,
            features_digest: record.features_digest,
            signal: record.signal,
        })
    }
}

impl Line for CycleLine {
    const HEADER: &'static str = "slot                  pipeline          mode     outcome    reason                signal  conf.   total ms  detail";
    const FIELDS: &'static [&'static str] = &[
        "pipeline",
        "slot",
        "mode",
        "outcome",
        "reason",
        "detail",
        "attempts",
        "started_at",
        "ended_at",
        "fetch_us",
        "features_us",
        "predict_us",
        "execute_us",
        "newest_bar",
        "bars",
        "dropped",
        "missing_bars",
        "bars_digest",
        "feature_set",
        "features_digest",
        "model_id",
        "model_hash",
        "raw_output",
        "signal",
        "confidence",
        "decided_bar",
        "intents",
        "intact",
        "settled_later",
        "decide_on",
        "threshold",
        "weighed",
        "start",
        "version",
        "config_digest",
    ];
    const NESTED: &'static [&'static str] = &["raw_output", "intents", "weighed"];

    fn table(&self) -> String {
        let stages = [self.fetch_us, self.features_us, self.predict_us, self.execute_us];
        let total: u64 = stages.into_iter().flatten().sum();
        let total = if self.attempts == 0 { String::new() } else { format!("{}.{:03}", total / 1000, total % 1000) };
        let damaged = if self.intact { "" } else { "DAMAGED ROW " };
        let later = self.settled.map(|state| format!("{}: ", why::later(state))).unwrap_or_default();
        let line = format!(
            "{:<21} {:<17} {:<8} {:<10} {:<21} {:<7} {:<7} {total:>8}  {damaged}{later}{}",
            self.slot,
            self.pipeline,
            self.mode,
            self.outcome,
            self.reason,
            self.signal.as_deref().unwrap_or(""),
            self.confidence.map(|value| format!("{value:.4}")).unwrap_or_default(),
            self.detail,
        );
        line.trim_end().to_owned()
    }
}

#[derive(Debug, Serialize)]
struct IntentLine {
    key: String,
    mode: &'static str,
    account: String,
    pipeline: String,
    slot: String,
    basis: String,
    role: String,
    symbol: String,
    side: &'static str,
    volume_lots: String,
    stop_price: Option<String>,
    target_price: Option<String>,
    reference_price: String,
    state: &'static str,
    ticket: Option<String>,
    filled_lots: Option<String>,
    fill_price: Option<String>,
    receipt_text: Option<String>,
    intact: bool,
    /// Whether `basis` is a bar or a slot.
    basis_kind: &'static str,
}

impl From<Stored<Intent>> for IntentLine {
    fn from(Stored { record, is_intact }: Stored<Intent>) -> Self {
        let (order, receipt) = (record.order, record.receipt);
        Self {
            key: record.key.to_string(),
            mode: record.mode.code(),
            slot: record.slot.to_string(),
            basis: record.basis.time().to_string(),
            role: order.role.to_string(),
            side: order.side.code(),
            volume_lots: order.volume_lots.to_string(),
            stop_price: order.stop_price.map(|price| price.to_string()),
            target_price: order.target_price.map(|price| price.to_string()),
            reference_price: order.reference_price.to_string(),
            state: record.state.code(),
            ticket: receipt.as_ref().map(|receipt| receipt.ticket.to_string()),
            filled_lots: receipt.as_ref().map(|receipt| receipt.volume_lots.to_string()),
            fill_price: receipt.as_ref().and_then(|receipt| receipt.price).map(|price| price.to_string()),
            receipt_text: receipt.map(|receipt| receipt.text),
            intact: is_intact,
            basis_kind: record.basis.kind().code(),
            account: record.account,
            pipeline: record.pipeline,
            symbol: order.symbol,
        }
    }
}

impl Line for IntentLine {
    const HEADER: &'static str = "slot                  pipeline          mode     state     order                              ticket      price      key";
    const FIELDS: &'static [&'static str] = &[
        "key",
        "mode",
        "account",
        "pipeline",
        "slot",
        "basis",
        "role",
        "symbol",
        "side",
        "volume_lots",
        "stop_price",
        "target_price",
        "reference_price",
        "state",
        "ticket",
        "filled_lots",
        "fill_price",
        "receipt_text",
        "intact",
        "basis_kind",
    ];
    const NESTED: &'static [&'static str] = &[];

    fn table(&self) -> String {
        let order = format!("{} {} {} {}", self.role, self.side, self.volume_lots, self.symbol);
        let damaged = if self.intact { "" } else { "  DAMAGED ROW" };
        format!(
            "{:<21} {:<17} {:<8} {:<9} {order:<34} {:<11} {:<10} {}{damaged}",
            self.slot,
            self.pipeline,
            self.mode,
            self.state,
            self.ticket.as_deref().unwrap_or(""),
            self.fill_price.as_deref().unwrap_or(""),
            self.key,
        )
    }
}
