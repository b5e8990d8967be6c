//! `/events`: how an open page learns that something is new. Ids only: the page asks for what it shows.
//!
//! ```text
//! event: tick      data: {"at_ms":1700000000000}                      at once, and every 5 s
//! event: slot      data: {"pipeline":"eurusd","slot_ms":1700000000000}  the newest slot of a pipeline is another one, or it ended more
//! event: needs     data: {"needs":2}                                  the verdict, or what needs a person, is another one
//! ```
//!
//! Promise kept: the journal is not asked, and nothing is queued. Each open page looks at the board four times a second, when its client
//! has taken what came before.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use hyper::body::Frame;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::domain::verdict::{NeedKind, Verdict};
use sentinel_actors::ports::Clock as _;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior};

use crate::operator::live_node::LiveNode;
use crate::operator::serving::Lasting;
use crate::system::WallClock;

/// Open pages at a time.
pub const LIVE_PAGES: usize = 8;
/// Between two looks at the board.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Looks between two of what needs a person: it costs as much as a page's head.
const NEEDS_EVERY: u32 = 4;
/// Looks between two ticks.
const TICK_EVERY: u32 = 20;

pub(super) fn router(shown: Arc<LiveNode>) -> Router {
    Router::new().route("/events", get(events)).with_state(Pages { shown, free: Arc::new(Semaphore::new(LIVE_PAGES)) })
}

#[derive(Clone)]
struct Pages {
    shown: Arc<LiveNode>,
    free: Arc<Semaphore>,
}

async fn events(State(pages): State<Pages>, lasting: Option<Extension<Lasting>>, method: Method) -> Response {
    let head = [(header::CONTENT_TYPE, "text/event-stream")];
    if method == Method::HEAD {
        return head.into_response();
    }
    let Ok(page) = pages.free.try_acquire_owned() else {
        let text = format!("{LIVE_PAGES} pages are open already; this one is loaded and not kept up to date\n");
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    if let Some(Extension(lasting)) = lasting {
        lasting.set();
    }
    (head, Body::new(Live::new(pages.shown, page))).into_response()
}

/// What a page knows of a pipeline: its newest slot, and how many have ended since the start.
type Known = (Option<UtcMs>, u64);

/// What it knows of what needs a person.
type KnownNeeds = (Verdict, Vec<(NeedKind, Option<String>, String)>);

/// One open page.
struct Live {
    shown: Arc<LiveNode>,
    looks: Interval,
    /// How often it has looked.
    looked: u32,
    /// In the order of the board.
    slots: Vec<Known>,
    needs: KnownNeeds,
    /// Held as long as it is open.
    _page: OwnedSemaphorePermit,
}

#[derive(Serialize)]
struct Tick {
    at_ms: UtcMs,
}

#[derive(Serialize)]
struct Slot<'s> {
    pipeline: &'s str,
    slot_ms: Option<UtcMs>,
}

#[derive(Serialize)]
struct Needs {
    needs: usize,
}

impl Live {
    fn new(shown: Arc<LiveNode>, page: OwnedSemaphorePermit) -> Self {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let slots = shown.board.entries.values().map(|entry| known(&entry.status.load())).collect();
        let needs = needs_of(&shown);
        Self { shown, looks, looked: 0, slots, needs, _page: page }
    }

    /// What is new since the last look; empty when nothing is.
    fn look(&mut self) -> String {
        let mut news = String::new();
        let Self { shown, slots, .. } = self;
        for ((name, entry), known_slots) in shown.board.entries.iter().zip(slots) {
            let now = known(&entry.status.load());
            if now != *known_slots {
                *known_slots = now;
                write(&mut news, "slot", &Slot { pipeline: name, slot_ms: now.0 });
            }
        }
        if self.looked.is_multiple_of(NEEDS_EVERY) {
            let now = needs_of(&self.shown);
            if now != self.needs {
                write(&mut news, "needs", &Needs { needs: now.1.len() });
                self.needs = now;
            }
        }
        if self.looked.is_multiple_of(TICK_EVERY) {
            write(&mut news, "tick", &Tick { at_ms: WallClock.now() });
        }
        self.looked = self.looked.wrapping_add(1);
        news
    }
}

fn known(status: &sentinel_actors::status::PipelineStatus) -> Known {
    (status.last_slot, status.slots())
}

fn needs_of(shown: &LiveNode) -> KnownNeeds {
    let judgement = shown.judgement(WallClock.now());
    // What they say holds durations, which are new every second.
    let needs = judgement.needs.into_iter().map(|need| (need.kind, need.pipeline, need.subject));
    (judgement.verdict, needs.collect())
}

fn write(news: &mut String, event: &str, data: &impl Serialize) {
    // In JSON no name breaks a line.
    if let Ok(data) = serde_json::to_string(data) {
        news.push_str(&format!("event: {event}\ndata: {data}\n\n"));
    }
}

impl hyper::body::Body for Live {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let live = self.get_mut();
        loop {
            ready!(live.looks.poll_tick(cx));
            let news = live.look();
            if !news.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(news.into()))));
            }
        }
    }
}
