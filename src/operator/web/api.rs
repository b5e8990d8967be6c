//! `/api/v1`: the node and its journal as JSON, the newest first.
//!
//! Promise kept: a question has a limit of rows and of time, so that none of them keeps the journal's file from being checkpointed.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::Clock as _;
use serde::Serialize;

use super::query::{Asked, AskedError};
use super::rows::{HaltRow, IntentRow, SlotRow};
use crate::journal::{Filter, JournalError, JournalReader};
use crate::operator::live_node::LiveNode;
use crate::operator::status::Status;
use crate::system::WallClock;

/// Of each pipeline at first, when several are asked for: most of the time they take turns.
const EACH_AT_LEAST: usize = 4;

pub(super) fn router(shown: Arc<LiveNode>) -> Router {
    Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/slots", get(slots))
        .route("/api/v1/intents", get(intents))
        .route("/api/v1/halts", get(halts))
        .with_state(shown)
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error(transparent)]
    Asked(#[from] AskedError),
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
}

#[derive(Serialize)]
struct Refusal {
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
}

impl From<ApiError> for Response {
    fn from(error: ApiError) -> Self {
        let (code, advice) = match &error {
            ApiError::Asked(_) => (StatusCode::UNPROCESSABLE_ENTITY, None),
            ApiError::Journal(error) if error.was_interrupted() => (
                StatusCode::SERVICE_UNAVAILABLE,
                Some("it took too long: ask for one pipeline, fewer rows, or no reason"),
            ),
            ApiError::Journal(_) => (StatusCode::SERVICE_UNAVAILABLE, Some("look at the node's log and its disk")),
        };
        (code, Json(Refusal { error: chain(&error), advice })).into_response()
    }
}

async fn status(State(shown): State<Arc<LiveNode>>, RawQuery(query): RawQuery) -> Response {
    match Asked::new(&query.unwrap_or_default(), &[]) {
        Ok(_) => Json::<Status>(shown.status(WallClock.now())).into_response(),
        Err(error) => ApiError::from(error).into(),
    }
}

#[derive(Serialize)]
struct Slots {
    slots: Vec<SlotRow>,
}

async fn slots(State(shown): State<Arc<LiveNode>>, RawQuery(query): RawQuery) -> Response {
    let answer = || -> Result<Slots, ApiError> {
        let query = query.unwrap_or_default();
        let asked = Asked::new(&query, &["pipeline", "outcome", "reason", "limit", "before"])?;
        let filter =
            Filter { outcome: asked.outcome()?, reason: asked.reason()?, before: asked.before()?, ..Filter::default() };
        let (reader, limit) = (shown.journal()?, rows(asked.limit()?));
        let names = names(&reader, &asked)?;
        let read = |filter: &Filter<'_>| {
            let mut found = Vec::new();
            reader.each_slot_of::<JournalError>(filter, |slot| {
                found.push((slot.record.slot, slot));
                Ok(())
            })?;
            Ok(found)
        };
        Ok(Slots { slots: newest(&names, limit, &filter, read)?.into_iter().map(SlotRow::from).collect() })
    };
    said(answer())
}

#[derive(Serialize)]
struct Intents {
    intents: Vec<IntentRow>,
}

async fn intents(State(shown): State<Arc<LiveNode>>, RawQuery(query): RawQuery) -> Response {
    let answer = || -> Result<Intents, ApiError> {
        let query = query.unwrap_or_default();
        let asked = Asked::new(&query, &["pipeline", "open", "limit", "before"])?;
        let filter = Filter { open: asked.open()?, before: asked.before()?, ..Filter::default() };
        let (reader, limit) = (shown.journal()?, rows(asked.limit()?));
        let names = names(&reader, &asked)?;
        let read = |filter: &Filter<'_>| {
            let mut found = Vec::new();
            reader.each_intent_of::<JournalError>(filter, |intent| {
                found.push((intent.record.slot, intent));
                Ok(())
            })?;
            Ok(found)
        };
        Ok(Intents { intents: newest(&names, limit, &filter, read)?.into_iter().map(IntentRow::from).collect() })
    };
    said(answer())
}

#[derive(Serialize)]
struct Halts {
    halts: Vec<HaltRow>,
}

async fn halts(State(shown): State<Arc<LiveNode>>, RawQuery(query): RawQuery) -> Response {
    let answer = || -> Result<Halts, ApiError> {
        let query = query.unwrap_or_default();
        let limit = rows(Asked::new(&query, &["limit"])?.limit()?);
        let halts = shown.journal()?.halts()?;
        Ok(Halts { halts: halts.into_iter().rev().take(limit).map(HaltRow::from).collect() })
    };
    said(answer())
}

fn said(answer: Result<impl Serialize, ApiError>) -> Response {
    match answer {
        Ok(rows) => Json(rows).into_response(),
        Err(error) => error.into(),
    }
}

fn rows(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// The pipelines that are asked for: one, or all that have rows.
fn names(reader: &JournalReader, asked: &Asked) -> Result<Vec<String>, JournalError> {
    match asked.text("pipeline") {
        Some(name) => Ok(vec![name.to_owned()]),
        None => reader.pipelines(),
    }
}

/// The newest rows of some pipelines together, newest first. Each pipeline's own come from an index by its slots; all together have none.
fn newest<T>(
    names: &[String],
    limit: usize,
    filter: &Filter<'_>,
    read: impl Fn(&Filter<'_>) -> Result<Vec<(UtcMs, T)>, JournalError>,
) -> Result<Vec<T>, JournalError> {
    let mut each = (2 * limit).div_ceil(names.len().max(1)).clamp(EACH_AT_LEAST.min(limit), limit);
    loop {
        let mut all = Vec::new();
        // Of a pipeline that has more rows, nothing is known before the oldest of these.
        let mut known_from = UtcMs(i64::MIN);
        for name in names {
            let last = u32::try_from(each).unwrap_or(u32::MAX);
            let found = read(&Filter { pipeline: Some(name), last: Some(last), ..*filter })?;
            if found.len() >= each {
                known_from = known_from.max(found.first().map_or(UtcMs(i64::MIN), |(slot, _)| *slot));
            }
            // A later row of one slot stays behind an earlier one of it.
            all.extend(found.into_iter().rev());
        }
        all.sort_by_key(|(slot, _)| std::cmp::Reverse(*slot));
        all.truncate(limit);
        let is_complete = all.len() == limit && all.last().is_none_or(|(slot, _)| *slot >= known_from);
        if is_complete || each >= limit || known_from.0 == i64::MIN {
            return Ok(all.into_iter().map(|(_, row)| row).collect());
        }
        each = (each * 2).min(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_many_pipelines_are_those_of_all_rows_together() {
        for seed in 0..200 {
            let mut chance = fastrand::Rng::with_seed(seed);
            let names: Vec<String> = (0..chance.usize(1..12)).map(|number| format!("p{number}")).collect();
            // Some end a slot every second, some once a minute, and one may have none at all.
            let rows: Vec<Vec<i64>> = names
                .iter()
                .map(|_| {
                    let (step, count) = ([1, 7, 60][chance.usize(0..3)], chance.i64(0..90));
                    (0..count).map(|number| number * step).collect()
                })
                .collect();
            let limit = chance.usize(1..60);
            let read = |filter: &Filter<'_>| {
                let own = names.iter().position(|name| Some(name.as_str()) == filter.pipeline).unwrap();
                let last = usize::try_from(filter.last.unwrap()).unwrap();
                let rows = &rows[own];
                Ok(rows[rows.len().saturating_sub(last)..].iter().map(|slot| (UtcMs(*slot), *slot)).collect())
            };
            let found = newest(&names, limit, &Filter::default(), read).unwrap();
            let mut expected: Vec<i64> = rows.iter().flatten().copied().collect();
            expected.sort_by_key(|slot| std::cmp::Reverse(*slot));
            expected.truncate(limit);
            assert_eq!(found, expected, "seed {seed}");
        }
    }
}
