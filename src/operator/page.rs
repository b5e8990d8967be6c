//! The operator's page: is it alive and useful, what did it do and why, what needs you. It is read-only: where something is to be done
//! it shows the command to type.
//!
//! Promises kept: the verdict is that of every other surface. Its cost does not depend on how long the node has run. What comes from a
//! venue, a model or a configuration stays text. Without script it says the same; with script it keeps itself up to date, and fades
//! when it cannot.
//!
//! * [`asked`]: which rows a reader wants to see. * [`facts`], [`rows`]: what is shown, from the board and from the journal.
//! * The other modules turn facts into a part of the page each; they know no server and no clock.

mod around;
pub mod asked;
pub(super) mod cells;
pub(super) mod chart;
mod chart_facts;
pub(super) mod chart_parts;
pub mod facts;
pub(super) mod frame;
mod needs;
mod pipelines;
pub mod rows;
mod sentence;
mod slots;
mod story;
pub(crate) mod told;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::Markup;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Clock as _;

use self::asked::Asked;
use self::facts::Node;
use self::frame::Tone;
use self::rows::Rows;
use super::live_node::LiveNode;
use crate::system::WallClock;

pub const STYLE: &str = "/assets/page.css";
pub const SCRIPT: &str = "/assets/page.js";

/// What the page looks like; a report that is kept as a file has it inside.
pub(super) const CSS: &str = include_str!("page/assets/page.css");

/// Pipelines that one page shows: the worst ones.
pub const PIPELINES: usize = 50;
/// Up to so many pipelines have their charts on the first page.
pub const CHARTS: usize = 4;

/// The page, its parts and its assets.
pub fn router(shown: LiveNode) -> Router {
    let assets = Router::new()
        .route(STYLE, get(|| async { asset("text/css; charset=utf-8", CSS) }))
        .route(SCRIPT, get(|| async { asset("text/javascript; charset=utf-8", include_str!("page/assets/page.js")) }))
        .route("/assets/{icon}", get(icon));
    let pages = Router::new()
        .route("/", get(first))
        .route("/p/{pipeline}", get(pipeline_page))
        .route("/p/{pipeline}/slots/{slot}", get(slot_page));
    pages.with_state(Arc::new(shown)).merge(assets)
}

fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], text)
}

async fn icon(Path(name): Path<String>) -> Response {
    let tone = name.strip_suffix(".svg").and_then(Tone::from_code);
    let Some(tone) = tone else { return (StatusCode::NOT_FOUND, "there is no such icon\n").into_response() };
    ([(header::CONTENT_TYPE, "image/svg+xml")], frame::icon(tone).into_string()).into_response()
}

async fn first(State(shown): State<Arc<LiveNode>>, RawQuery(query): RawQuery) -> Response {
    let node = Node::of(&shown, WallClock.now());
    let asked = match Asked::from_query(query.as_deref().unwrap_or_default()) {
        Ok(asked) => asked,
        Err(error) => return refused(&node, StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let rows = Rows::of_node(shown.journal(), &node, &asked);
    html(StatusCode::OK, frame::first_page(&node, &rows, &asked))
}

async fn pipeline_page(
    State(shown): State<Arc<LiveNode>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let node = Node::of(&shown, WallClock.now());
    if !node.pipelines.contains_key(&name) {
        return refused(&node, StatusCode::NOT_FOUND, &format!("This node has no pipeline '{name}'."));
    }
    let asked = match Asked::from_query(query.as_deref().unwrap_or_default()) {
        Ok(asked) => asked.of_pipeline(&name),
        Err(error) => return refused(&node, StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let rows = Rows::of_pipeline(shown.journal(), &asked, &name);
    html(StatusCode::OK, frame::pipeline_page(&node, &rows, &asked, &name))
}

async fn slot_page(State(shown): State<Arc<LiveNode>>, Path((name, time)): Path<(String, String)>) -> Response {
    let node = Node::of(&shown, WallClock.now());
    let time: UtcMs = match time.parse() {
        Ok(time) => time,
        Err(error) => return refused(&node, StatusCode::NOT_FOUND, &format!("{error}.")),
    };
    match shown.journal().and_then(|journal| story::Told::of(&journal, &name, time)) {
        Ok(Some(told)) => html(StatusCode::OK, frame::slot_page(&node, &told)),
        Ok(None) => refused(&node, StatusCode::NOT_FOUND, &format!("'{name}' has no slot that was due at {time}.")),
        Err(error) => {
            let text = sentinel_actors::error_chain::chain(&error);
            refused(&node, StatusCode::SERVICE_UNAVAILABLE, &format!("The journal cannot be read now: {text}."))
        }
    }
}

fn refused(node: &Node, code: StatusCode, text: &str) -> Response {
    html(code, frame::refusal(node, text))
}

fn html(code: StatusCode, page: Markup) -> Response {
    (code, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page.into_string()).into_response()
}

#[cfg(test)]
mod tests;
