//! What service managers and load balancers ask: does it live, and does it do its work?

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use sentinel_actors::domain::verdict::no_progress;
use sentinel_actors::ports::Clock as _;
use serde::Serialize;

use crate::operator::live_node::LiveNode;
use crate::operator::status::NeedShown;
use crate::system::WallClock;

pub(super) fn router(shown: Arc<LiveNode>) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/healthz", get(health))
        .with_state(shown)
}

/// Whether its parts make progress, and nothing else: who restarts by this must not restart because an order is held.
async fn live(State(shown): State<Arc<LiveNode>>) -> Response {
    let now = WallClock.now();
    match no_progress(&shown.view(now), now) {
        None => (StatusCode::OK, "all parts make progress\n").into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// The verdict, as `sentinel health` says it.
async fn ready(State(shown): State<Arc<LiveNode>>) -> Response {
    let judgement = shown.judgement(WallClock.now());
    (code(judgement.is_bad()), format!("{judgement}\n")).into_response()
}

/// The same for a program.
#[derive(Serialize)]
struct Health {
    verdict: String,
    is_bad: bool,
    /// Worst first.
    needs: Vec<NeedShown>,
    remarks: Vec<String>,
}

async fn health(State(shown): State<Arc<LiveNode>>) -> Response {
    let judgement = shown.judgement(WallClock.now());
    let health = Health {
        verdict: judgement.verdict.to_string(),
        is_bad: judgement.is_bad(),
        needs: judgement.needs.iter().map(NeedShown::from).collect(),
        remarks: judgement.remarks.clone(),
    };
    (code(health.is_bad), Json(health)).into_response()
}

const fn code(is_bad: bool) -> StatusCode {
    if is_bad { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}
