//! The rows of the journal as they are shown: all their fields for programs, and at most 80 columns for people.

use sentinel_actors::domain::action::Receipt;
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::evidence::Grade;
use sentinel_actors::domain::intent::{Intent, IntentState};
use sentinel_actors::domain::time::UtcMs;
use serde::Serialize;

use super::{Line, ShowError};
use crate::cli::text::{cell, wrapped};
use crate::journal::{IntentTally, JournalReader, SlotTally, Stored};
use crate::operator::why;

/// Indent of a second line.
const INDENT: usize = 21;

#[derive(Debug, Serialize)]
pub(super) struct CycleLine {
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
    /// How an unknown order was settled after the slot: `acked`, `rejected` or `absent`.
    settled_later: Option<&'static str>,
    decide_on: Option<&'static str>,
    threshold: Option<f64>,
    /// What the decision was measured against, as JSON.
    weighed: Option<String>,
    /// The node's start under which the row was written, with its version and the digest of its configuration.
    start: Option<i64>,
    version: Option<String>,
    config_digest: Option<String>,
    /// Before it began and between its stages.
    waited_us: Option<u64>,
    #[serde(skip)]
    settled: Option<IntentState>,
}

fn time(time: Option<UtcMs>) -> Option<String> {
    time.map(|time| time.to_string())
}

/// NaN and infinities stand as text, as in the journal.
fn raw_output(raw: &[f64]) -> String {
    let cells: Vec<String> = raw
        .iter()
        .map(|value| serde_json::Number::from_f64(*value).map_or(format!("\"{value}\""), |number| number.to_string()))
        .collect();
    format!("[{}]", cells.join(","))
}

impl CycleLine {
    pub(super) fn new(
        Stored { record, is_intact }: Stored<SlotRecord>,
        reader: &JournalReader,
    ) -> Result<Self, ShowError> {
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
            waited_us: record.waited_us,
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
    const HEADER: &'static str = "slot                 pipeline   mode    outcome   reason               sig. conf";
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
        "waited_us",
    ];
    const NESTED: &'static [&'static str] = &["raw_output", "intents", "weighed"];

    /// One line, and under it what there is to say, so that it fits every terminal.
    fn table(&self) -> String {
        let line = format!(
            "{:<20} {} {:<7} {:<9} {:<20} {} {}",
            self.slot,
            cell(&self.pipeline, 10),
            self.mode,
            self.outcome,
            self.reason,
            cell(self.signal.as_deref().unwrap_or(""), 4),
            self.confidence.map(|value| format!("{value:.2}")).unwrap_or_default(),
        );
        let later = self.settled.map(|state| format!("{}: ", why::later(state))).unwrap_or_default();
        let damaged = if self.intact { "" } else { "DAMAGED ROW " };
        let text = format!("{damaged}{later}{}", self.detail);
        let indent = " ".repeat(INDENT);
        let under = if text.is_empty() { String::new() } else { format!("\n{}", wrapped(&indent, &indent, &text)) };
        format!("{}{under}", line.trim_end())
    }
}

#[derive(Debug, Serialize)]
pub(super) struct IntentLine {
    key: String,
    mode: &'static str,
    account: String,
    pipeline: String,
    slot: String,
    basis: String,
    role: String,
    symbol: String,
    side: Option<&'static str>,
    volume_lots: Option<String>,
    stop_price: Option<String>,
    target_price: Option<String>,
    reference_price: String,
    state: &'static str,
    ticket: Option<String>,
    filled_lots: Option<String>,
    fill_price: Option<String>,
    receipt_text: Option<String>,
    intact: bool,
    /// Whether `basis` is a bar, a slot or an operator's command.
    basis_kind: &'static str,
    /// Of a forecast, as its horizon.
    log_return: Option<String>,
    horizon_s: Option<u32>,
    /// Of a forecast's inclusion, as its height.
    hash: Option<String>,
    height: Option<u64>,
    /// How surely it is known that it was done, where its own reply does not say it.
    evidence: Option<&'static str>,
}

impl From<Stored<Intent>> for IntentLine {
    fn from(Stored { record, is_intact }: Stored<Intent>) -> Self {
        let (order, forecast) = (record.action.order(), record.action.forecast());
        let receipt = record.receipt.as_ref();
        let fill = receipt.and_then(Receipt::fill);
        let inclusion = receipt.and_then(Receipt::inclusion);
        let reference_price = order.map(|order| order.reference_price).or(forecast.map(|f| f.reference_price));
        Self {
            key: record.key.to_string(),
            mode: record.mode.code(),
            slot: record.slot.to_string(),
            basis: record.basis.time().to_string(),
            role: record.action.role(),
            side: order.map(|order| order.side.code()),
            volume_lots: order.map(|order| order.volume_lots.to_string()),
            stop_price: order.and_then(|order| order.stop_price).map(|price| price.to_string()),
            target_price: order.and_then(|order| order.target_price).map(|price| price.to_string()),
            reference_price: reference_price.map(|price| price.to_string()).unwrap_or_default(),
            state: record.state.code(),
            ticket: fill.map(|fill| fill.ticket.to_string()),
            filled_lots: fill.map(|fill| fill.volume_lots.to_string()),
            fill_price: fill.and_then(|fill| fill.price).map(|price| price.to_string()),
            receipt_text: receipt.map(|receipt| receipt.text().to_owned()),
            intact: is_intact,
            basis_kind: record.basis.kind().code(),
            log_return: forecast.map(|forecast| forecast.log_return.to_string()),
            horizon_s: forecast.map(|forecast| forecast.horizon_s),
            hash: inclusion.map(|inclusion| inclusion.hash.clone()),
            height: inclusion.map(|inclusion| inclusion.height),
            evidence: record.grade.map(Grade::code),
            symbol: record.action.symbol().to_owned(),
            account: record.account,
            pipeline: record.pipeline,
        }
    }
}

impl Line for IntentLine {
    const HEADER: &'static str = "slot                 pipeline   mode    state    order";
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
        "log_return",
        "horizon_s",
        "hash",
        "height",
        "evidence",
    ];
    const NESTED: &'static [&'static str] = &[];

    /// Two lines: what was ordered, and how it is found again.
    fn table(&self) -> String {
        let (side, lots) = (self.side.unwrap_or_default(), self.volume_lots.as_deref().unwrap_or_default());
        let order = match &self.log_return {
            None => format!("{} {side} {lots} {}", self.role, self.symbol),
            Some(log_return) => format!("{} {log_return} {}", self.role, self.symbol),
        };
        let (pipeline, state) = (cell(&self.pipeline, 10), self.state);
        let line = format!("{:<20} {pipeline} {:<7} {state:<8} {order}", self.slot, self.mode);
        let ticket = self.ticket.as_ref().map(|ticket| format!("ticket {ticket}")).unwrap_or_default();
        let included = self.hash.as_ref().zip(self.height).map(|(hash, height)| format!("{hash} at height {height}"));
        let ticket = included.unwrap_or(ticket);
        let price = self.fill_price.as_ref().map(|price| format!("at {price}")).unwrap_or_default();
        let damaged = if self.intact { "" } else { "DAMAGED ROW" };
        let under = format!("{} {ticket} {price} {damaged}", self.key);
        let indent = " ".repeat(INDENT);
        format!("{line}\n{}", wrapped(&indent, &indent, &under))
    }
}

/// Slots of one pipeline with one reason.
#[derive(Debug, Serialize)]
pub(super) struct CycleSum {
    pipeline: String,
    outcome: &'static str,
    reason: &'static str,
    slots: u64,
    first: String,
    last: String,
}

impl From<SlotTally> for CycleSum {
    fn from(tally: SlotTally) -> Self {
        Self {
            pipeline: tally.pipeline,
            outcome: tally.reason.outcome().code(),
            reason: tally.reason.code(),
            slots: tally.count,
            first: tally.first.to_string(),
            last: tally.last.to_string(),
        }
    }
}

impl Line for CycleSum {
    const HEADER: &'static str = "pipeline   outcome   reason                   slots newest";
    const FIELDS: &'static [&'static str] = &["pipeline", "outcome", "reason", "slots", "first", "last"];
    const NESTED: &'static [&'static str] = &[];

    fn table(&self) -> String {
        let pipeline = cell(&self.pipeline, 10);
        format!("{pipeline} {:<9} {:<20} {:>9} {}", self.outcome, self.reason, self.slots, self.last)
    }
}

/// Intents of one pipeline in one state.
#[derive(Debug, Serialize)]
pub(super) struct IntentSum {
    pipeline: String,
    state: &'static str,
    intents: u64,
    first: String,
    last: String,
}

impl From<IntentTally> for IntentSum {
    fn from(tally: IntentTally) -> Self {
        Self {
            pipeline: tally.pipeline,
            state: tally.state.code(),
            intents: tally.count,
            first: tally.first.to_string(),
            last: tally.last.to_string(),
        }
    }
}

impl Line for IntentSum {
    const HEADER: &'static str = "pipeline   state       intents newest";
    const FIELDS: &'static [&'static str] = &["pipeline", "state", "intents", "first", "last"];
    const NESTED: &'static [&'static str] = &[];

    fn table(&self) -> String {
        format!("{} {:<9} {:>9} {}", cell(&self.pipeline, 10), self.state, self.intents, self.last)
    }
}
