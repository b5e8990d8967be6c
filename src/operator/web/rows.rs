//! Rows of the journal as JSON, with the names that `sentinel journal --format json` gives their fields.

use sentinel_actors::domain::action::Receipt;
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::halt::Halt;
use sentinel_actors::domain::intent::Intent;
use sentinel_actors::domain::time::UtcMs;
use serde::Serialize;

use crate::journal::Stored;

#[derive(Serialize)]
pub(super) struct SlotRow {
    pipeline: String,
    slot: String,
    slot_ms: UtcMs,
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
    waited_us: Option<u64>,
    newest_bar: Option<String>,
    bars_digest: Option<String>,
    features_digest: Option<String>,
    model_id: Option<String>,
    model_hash: Option<String>,
    signal: Option<String>,
    confidence: Option<f64>,
    decided_bar: Option<String>,
    intents: Vec<String>,
    /// Whether it is still what the node wrote.
    intact: bool,
}

impl From<Stored<SlotRecord>> for SlotRow {
    fn from(Stored { record, is_intact }: Stored<SlotRecord>) -> Self {
        let [fetch_us, features_us, predict_us, execute_us] = record.stage_us;
        let (model_id, model_hash) = record.model.clone().map(|model| (model.id, model.hash)).unzip();
        Self {
            slot: record.slot.to_string(),
            slot_ms: record.slot,
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
            model_id,
            model_hash,
            confidence: record.confidence,
            decided_bar: time(record.decided_bar),
            intents: record.intents.iter().map(ToString::to_string).collect(),
            intact: is_intact,
            pipeline: record.pipeline,
            detail: record.detail,
            bars_digest: record.bars_digest,
            features_digest: record.features_digest,
            signal: record.signal,
        }
    }
}

#[derive(Serialize)]
pub(super) struct IntentRow {
    key: String,
    mode: &'static str,
    account: String,
    pipeline: String,
    slot: String,
    slot_ms: UtcMs,
    role: String,
    symbol: String,
    /// The order or the forecast, in words.
    what: String,
    state: &'static str,
    ticket: Option<String>,
    /// Of a forecast's inclusion.
    hash: Option<String>,
    /// What the venue or the ledger said.
    receipt_text: Option<String>,
    intact: bool,
}

impl From<Stored<Intent>> for IntentRow {
    fn from(Stored { record, is_intact }: Stored<Intent>) -> Self {
        let receipt = record.receipt.as_ref();
        Self {
            key: record.key.to_string(),
            mode: record.mode.code(),
            slot: record.slot.to_string(),
            slot_ms: record.slot,
            role: record.action.role(),
            symbol: record.action.symbol().to_owned(),
            what: record.action.to_string(),
            state: record.state.code(),
            ticket: receipt.and_then(Receipt::fill).map(|fill| fill.ticket.to_string()),
            hash: receipt.and_then(Receipt::inclusion).map(|inclusion| inclusion.hash.clone()),
            receipt_text: receipt.map(|receipt| receipt.text().to_owned()),
            intact: is_intact,
            account: record.account,
            pipeline: record.pipeline,
        }
    }
}

#[derive(Serialize)]
pub(super) struct HaltRow {
    id: String,
    scope: String,
    state: String,
    since: String,
    by: &'static str,
    who: String,
    why: String,
    evidence: String,
    /// When somebody lifted it; it stands as long as there is none.
    lifted_at: Option<String>,
    lifted_by: Option<String>,
    lifted_why: Option<String>,
    intact: bool,
}

impl From<Stored<Halt>> for HaltRow {
    fn from(Stored { record, is_intact }: Stored<Halt>) -> Self {
        let Halt { id, raised, lifted } = record;
        let (lifted_at, lifted_by, lifted_why) = match lifted {
            Some(lifted) => (Some(lifted.at.to_string()), Some(lifted.who), Some(lifted.why)),
            None => (None, None, None),
        };
        Self {
            id: id.to_string(),
            scope: raised.scope.to_string(),
            state: raised.state.to_string(),
            since: raised.since.to_string(),
            by: raised.by.code(),
            who: raised.who,
            why: raised.why,
            evidence: raised.evidence,
            lifted_at,
            lifted_by,
            lifted_why,
            intact: is_intact,
        }
    }
}

fn time(time: Option<UtcMs>) -> Option<String> {
    time.map(|time| time.to_string())
}
