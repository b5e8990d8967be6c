//! How records become rows of the [`super::tables`], and rows become records again.

use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::Value;
use rust_decimal::Decimal;
use sentinel_actors::domain::action::{Action, Forecast, Inclusion, Receipt};
use sentinel_actors::domain::announced::AnnouncedSlot;
use sentinel_actors::domain::cycle::{SlotRecord, Weighed};
use sentinel_actors::domain::evidence::Grade;
use sentinel_actors::domain::fact::Awaits;
use sentinel_actors::domain::intent::{Basis, BasisKind, Intent, IntentEvent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::{Fill, Order, Position, Role, Side, Ticket};
use sentinel_actors::domain::prediction::ModelIdentity;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use serde::{Deserialize, Serialize};

use super::retention::Removed;
use super::starts::Start;
use super::tables::{EVENTS, INTENTS, RowFault, SLOTS};

pub(super) fn meaningless(column: &'static str, text: impl Into<String>) -> RowFault {
    RowFault::Meaningless { column, text: text.into() }
}

pub(super) fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

pub(super) fn optional<T>(value: Option<T>, into: impl FnOnce(T) -> Value) -> Value {
    value.map_or(Value::Null, into)
}

fn time(value: Option<UtcMs>) -> Value {
    optional(value, |time| Value::Integer(time.0))
}

pub(super) fn number(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

/// A probability in JSON: NaN and infinities stand as text, because a journal must keep bad answers too.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Cell {
    Number(f64),
    Text(String),
}

fn raw_to_json(raw: &[f64]) -> String {
    let cells: Vec<Cell> = raw
        .iter()
        .map(|value| if value.is_finite() { Cell::Number(*value) } else { Cell::Text(value.to_string()) })
        .collect();
    serde_json::to_string(&cells).unwrap_or_default()
}

fn raw_from_json(json: &str) -> Option<Vec<f64>> {
    let cells: Vec<Cell> = serde_json::from_str(json).ok()?;
    cells
        .into_iter()
        .map(|cell| match cell {
            Cell::Number(value) => Some(value),
            Cell::Text(text) => text.parse().ok(),
        })
        .collect()
}

/// The row of a slot, in the order of [`SLOTS`].
pub(super) fn slot_values(record: &SlotRecord) -> Vec<Value> {
    let mut values = Vec::with_capacity(SLOTS.columns.len() + 1);
    values.extend([
        text(&record.pipeline),
        Value::Integer(record.slot.0),
        text(record.mode.code()),
        text(record.outcome().code()),
        text(record.reason.code()),
        text(&record.detail),
        Value::Integer(record.attempts.into()),
        time(record.started_at),
        Value::Integer(record.ended_at.0),
    ]);
    values.extend(record.stage_us.iter().map(|stage| optional(*stage, number)));
    values.extend([
        time(record.newest_bar),
        optional(record.bars, |n| Value::Integer(n.into())),
        text(&record.dropped),
        optional(record.missing_bars, |n| Value::Integer(n.into())),
        optional(record.bars_digest.as_ref(), text),
        optional(record.feature_set.as_ref(), text),
        optional(record.features_digest.as_ref(), text),
        optional(record.model.as_ref(), |model| text(&model.id)),
        optional(record.model.as_ref(), |model| text(&model.hash)),
        optional(record.raw_output.as_deref(), |raw| Value::Text(raw_to_json(raw))),
        optional(record.signal.as_ref(), text),
        optional(record.confidence.filter(|value| value.is_finite()), Value::Real),
        time(record.decided_bar),
        text(serde_json::to_string(&record.intents).unwrap_or_default()),
        optional(record.weighed.as_ref(), |weighed| text(serde_json::to_string(weighed).unwrap_or_default())),
        optional(record.start, Value::Integer),
        optional(record.waited_us, number),
        time(record.anchor),
    ]);
    values
}

/// Reads a row selected with [`SELECT_SLOTS`].
pub(super) fn slot_from(row: &Row<'_>) -> Result<SlotRecord, RowFault> {
    let reason: String = row.get("reason")?;
    let reason = Reason::from_code(&reason).ok_or_else(|| meaningless("reason", reason))?;
    let micros = |column| -> Result<Option<u64>, RowFault> {
        Ok(row.get::<_, Option<i64>>(column)?.and_then(|value| u64::try_from(value).ok()))
    };
    let time = |column| -> Result<Option<UtcMs>, RowFault> { Ok(row.get::<_, Option<i64>>(column)?.map(UtcMs)) };
    let raw = match row.get::<_, Option<String>>("raw_output")? {
        None => None,
        Some(json) => Some(raw_from_json(&json).ok_or_else(|| meaningless("raw_output", json))?),
    };
    let intents: String = row.get("intents")?;
    let weighed = match row.get::<_, Option<String>>("weighed")? {
        None => None,
        Some(json) => Some(serde_json::from_str::<Weighed>(&json).map_err(|_| meaningless("weighed", json))?),
    };
    let model = row.get::<_, Option<String>>("model_id")?.zip(row.get("model_hash")?);
    Ok(SlotRecord {
        pipeline: row.get("pipeline")?,
        slot: UtcMs(row.get("slot_ms")?),
        mode: mode_from(row)?,
        reason,
        detail: row.get("detail")?,
        attempts: row.get("attempts")?,
        started_at: time("started_ms")?,
        ended_at: UtcMs(row.get("ended_ms")?),
        stage_us: [micros("fetch_us")?, micros("features_us")?, micros("predict_us")?, micros("execute_us")?],
        waited_us: micros("waited_us")?,
        anchor: time("anchor_ms")?,
        newest_bar: time("newest_bar_ms")?,
        bars: row.get("bars")?,
        dropped: row.get("dropped")?,
        missing_bars: row.get("missing_bars")?,
        bars_digest: row.get("bars_digest")?,
        feature_set: row.get("feature_set")?,
        features_digest: row.get("features_digest")?,
        model: model.map(|(id, hash)| ModelIdentity { id, hash }),
        raw_output: raw,
        signal: row.get("signal")?,
        confidence: row.get("confidence")?,
        decided_bar: time("decided_bar_ms")?,
        intents: serde_json::from_str(&intents).map_err(|_| meaningless("intents", intents))?,
        weighed,
        start: row.get("start")?,
    })
}

/// Reads a slot that the node acts on.
pub(super) fn verified_slot(row: &Row<'_>) -> Result<SlotRecord, RowFault> {
    SLOTS.require_intact(row)?;
    slot_from(row)
}

pub(super) fn mode_from(row: &Row<'_>) -> Result<Mode, RowFault> {
    let code: String = row.get("mode")?;
    [Mode::DryRun, Mode::Live].into_iter().find(|mode| mode.code() == code).ok_or_else(|| meaningless("mode", code))
}

/// The row of an intent, in the order of [`INTENTS`].
pub(super) fn intent_values(intent: &Intent) -> Vec<Value> {
    let mut values = Vec::with_capacity(INTENTS.columns.len() + 1);
    let (order, forecast) = (intent.action.order(), intent.action.forecast());
    let reference_price = match &intent.action {
        Action::Order(order) => order.reference_price,
        Action::Forecast(forecast) => forecast.reference_price,
    };
    let receipt = intent.receipt.as_ref();
    let (fill, inclusion) = match receipt {
        Some(Receipt::Fill(fill)) => (Some(fill), None),
        Some(Receipt::Inclusion(inclusion)) => (None, Some(inclusion)),
        None => (None, None),
    };
    let price = |price: Decimal| text(price.to_string());
    values.extend([
        text(intent.key.as_str()),
        text(intent.mode.code()),
        text(&intent.account),
        text(&intent.pipeline),
        Value::Integer(intent.slot.0),
        Value::Integer(intent.basis.time().0),
        text(intent.action.role()),
        text(intent.action.symbol()),
        optional(order, |order| text(order.side.code())),
        optional(order, |order| price(order.volume_lots)),
        optional(order.and_then(|order| order.stop_price), price),
        optional(order.and_then(|order| order.target_price), price),
        price(reference_price),
        text(intent.state.code()),
        optional(fill, |fill| text(fill.ticket.to_string())),
        optional(fill, |fill| price(fill.volume_lots)),
        optional(fill.and_then(|fill| fill.price), price),
        optional(receipt, |receipt| text(receipt.text())),
        text(intent.basis.kind().code()),
        optional(forecast, |forecast| price(forecast.log_return)),
        optional(forecast, |forecast| number(forecast.horizon_s.into())),
        time(forecast.map(|forecast| forecast.reference_time)),
        optional(inclusion, |inclusion| text(&inclusion.hash)),
        optional(inclusion, |inclusion| number(inclusion.height)),
        optional(intent.announced_as.as_ref(), text),
        optional(intent.awaits, |awaits| text(awaits.code())),
        optional(intent.grade, |grade| text(grade.code())),
        optional(intent.listed.as_ref(), |listed| text(serde_json::to_string(listed).unwrap_or_default())),
        optional(intent.venue_note.as_ref(), text),
    ]);
    values
}

/// Reads a row selected with [`SELECT_INTENTS`].
pub(super) fn intent_from(row: &Row<'_>) -> Result<Intent, RowFault> {
    let state: String = row.get("state")?;
    let kind: String = row.get("basis_kind")?;
    let kind = BasisKind::from_code(&kind).ok_or_else(|| meaningless("basis_kind", kind))?;
    Ok(Intent {
        key: IntentKey::stored(row.get("key")?),
        mode: mode_from(row)?,
        account: row.get("account")?,
        pipeline: row.get("pipeline")?,
        slot: UtcMs(row.get("slot_ms")?),
        announced_as: row.get("announced_as")?,
        basis: Basis::new(kind, UtcMs(row.get("basis_ms")?)),
        action: action_from(row)?,
        state: IntentState::from_code(&state).ok_or_else(|| meaningless("state", state))?,
        receipt: receipt_from(row)?,
        awaits: awaits_from(row)?,
        grade: grade_from(row)?,
        listed: listed_from(row)?,
        venue_note: row.get("venue_note")?,
    })
}

fn grade_from(row: &Row<'_>) -> Result<Option<Grade>, RowFault> {
    let Some(code) = row.get::<_, Option<String>>("grade")? else { return Ok(None) };
    Grade::from_code(&code).map(Some).ok_or_else(|| meaningless("grade", code))
}

fn listed_from(row: &Row<'_>) -> Result<Option<Vec<Position>>, RowFault> {
    let Some(json) = row.get::<_, Option<String>>("listed")? else { return Ok(None) };
    serde_json::from_str(&json).map(Some).map_err(|_| meaningless("listed", json))
}

fn awaits_from(row: &Row<'_>) -> Result<Option<Awaits>, RowFault> {
    let Some(code) = row.get::<_, Option<String>>("awaits")? else { return Ok(None) };
    Awaits::from_code(&code).map(Some).ok_or_else(|| meaningless("awaits", code))
}

fn action_from(row: &Row<'_>) -> Result<Action, RowFault> {
    let symbol = row.get("symbol")?;
    let reference_price = parsed(row, "reference_price")?;
    let Some(log_return) = parsed_optional(row, "log_return")? else {
        return Ok(Action::Order(Order {
            role: role_from(row)?,
            symbol,
            side: side_from(row)?,
            volume_lots: parsed(row, "volume_lots")?,
            stop_price: parsed_optional(row, "stop_price")?,
            target_price: parsed_optional(row, "target_price")?,
            reference_price,
        }));
    };
    let role: String = row.get("role")?;
    if role != Forecast::ROLE {
        return Err(meaningless("role", role));
    }
    Ok(Action::Forecast(Forecast {
        symbol,
        log_return,
        horizon_s: row.get("horizon_s")?,
        reference_price,
        reference_time: UtcMs(row.get("reference_ms")?),
    }))
}

fn receipt_from(row: &Row<'_>) -> Result<Option<Receipt>, RowFault> {
    if let Some(ticket) = parsed_optional::<u64>(row, "ticket")? {
        return Ok(Some(Receipt::Fill(Fill {
            ticket: Ticket(ticket),
            volume_lots: parsed(row, "filled_lots")?,
            price: parsed_optional::<Decimal>(row, "fill_price")?,
            text: row.get("receipt_text")?,
        })));
    }
    let Some(hash) = row.get("hash")? else { return Ok(None) };
    Ok(Some(Receipt::Inclusion(Inclusion { hash, height: count(row, "height")?, text: row.get("receipt_text")? })))
}

fn count(row: &Row<'_>, column: &'static str) -> Result<u64, RowFault> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| meaningless(column, value.to_string()))
}

/// Reads an intent that the node acts on.
pub(super) fn verified_intent(row: &Row<'_>) -> Result<Intent, RowFault> {
    INTENTS.require_intact(row)?;
    intent_from(row)
}

pub(super) fn parsed<T: FromStr>(row: &Row<'_>, column: &'static str) -> Result<T, RowFault> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| meaningless(column, text))
}

fn parsed_optional<T: FromStr>(row: &Row<'_>, column: &'static str) -> Result<Option<T>, RowFault> {
    match row.get::<_, Option<String>>(column)? {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| meaningless(column, text)),
    }
}

fn role_from(row: &Row<'_>) -> Result<Role, RowFault> {
    let text: String = row.get("role")?;
    if text == "open" {
        return Ok(Role::Open);
    }
    let ticket = text.strip_prefix("close/").and_then(|ticket| ticket.parse().ok());
    ticket.map(|ticket| Role::Close(Ticket(ticket))).ok_or_else(|| meaningless("role", text))
}

fn side_from(row: &Row<'_>) -> Result<Side, RowFault> {
    let code: String = row.get("side")?;
    [Side::Buy, Side::Sell].into_iter().find(|side| side.code() == code).ok_or_else(|| meaningless("side", code))
}

/// The row of a start, in the order of [`STARTS`].
pub(super) fn start_values(number: i64, start: &Start) -> Vec<Value> {
    vec![
        Value::Integer(number),
        Value::Integer(start.at.0),
        text(&start.version),
        text(start.mode.code()),
        text(&start.config_digest),
    ]
}

/// Reads a row selected with [`SELECT_STARTS`].
pub(super) fn start_from(row: &Row<'_>) -> Result<Start, RowFault> {
    Ok(Start {
        at: UtcMs(row.get("at_ms")?),
        version: row.get("version")?,
        mode: mode_from(row)?,
        config_digest: row.get("config_digest")?,
    })
}

/// The row of what was removed, in the order of [`REMOVED`].
pub(super) fn removed_values(pipeline: &str, removed: &Removed) -> Vec<Value> {
    vec![text(pipeline), Value::Integer(removed.until.0), Value::Integer(removed.slots), time(removed.decided_bar)]
}

/// Reads a row selected with [`SELECT_REMOVED`].
pub(super) fn removed_from(row: &Row<'_>) -> Result<Removed, RowFault> {
    Ok(Removed {
        until: UtcMs(row.get("until_ms")?),
        slots: row.get("slots")?,
        decided_bar: row.get::<_, Option<i64>>("decided_bar_ms")?.map(UtcMs),
    })
}

/// The row of an announced slot, in the order of [`ANNOUNCED`].
pub(super) fn announced_values(pipeline: &str, slot: &AnnouncedSlot) -> Vec<Value> {
    vec![
        text(pipeline),
        Value::Integer(slot.slot.0),
        text(&slot.id),
        Value::Integer(slot.closes.0),
        Value::Integer(slot.announced_at.0),
    ]
}

/// Reads a row selected with [`SELECT_ANNOUNCED`].
pub(super) fn announced_from(row: &Row<'_>) -> Result<AnnouncedSlot, RowFault> {
    Ok(AnnouncedSlot {
        slot: UtcMs(row.get("slot_ms")?),
        closes: UtcMs(row.get("closes_ms")?),
        id: row.get("id")?,
        announced_at: UtcMs(row.get("announced_ms")?),
    })
}

/// One line of an intent's history: `planned` first, then each event of its machine.
#[derive(Debug, Clone, PartialEq)]
pub struct IntentStep {
    /// Schedule time; the plan itself carries none.
    pub at: Option<UtcMs>,
    /// `None`: the intent was written.
    pub event: Option<IntentEvent>,
}

const PLANNED: &str = r#"{"event":"planned"}"#;

/// The row of a step, in the order of [`EVENTS`].
pub(super) fn step_values(key: &IntentKey, number: i64, step: &IntentStep) -> Vec<Value> {
    let event = match &step.event {
        None => PLANNED.to_owned(),
        Some(event) => serde_json::to_string(event).unwrap_or_default(),
    };
    vec![text(key.as_str()), Value::Integer(number), time(step.at), text(event)]
}

/// Reads a row selected with [`SELECT_EVENTS`].
pub(super) fn step_from(row: &Row<'_>) -> Result<IntentStep, RowFault> {
    let json: String = row.get("event")?;
    let event = match json.as_str() {
        PLANNED => None,
        json => Some(serde_json::from_str(json).map_err(|_| meaningless("event", json))?),
    };
    Ok(IntentStep { at: row.get::<_, Option<i64>>("at_ms")?.map(UtcMs), event })
}

/// Reads a step that the node acts on, with its number.
pub(super) fn verified_step(row: &Row<'_>) -> Result<(i64, IntentStep), RowFault> {
    EVENTS.require_intact(row)?;
    Ok((row.get("number")?, step_from(row)?))
}
