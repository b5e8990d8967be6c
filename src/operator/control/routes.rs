//! What is done for whoever was let in.
//!
//! Actions are done one after the other. What an id was answered is remembered, and a halt and its end keep the id in the journal, so
//! that a repetition after a restart finds it there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Extension, FromRequest as _, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use sentinel_actors::domain::halt::{Halt, HaltId, Lifted, NewHalt, Place, RaisedBy, Scope, TradingState, one_line};
use sentinel_actors::error_chain::chain;
use sentinel_actors::flattener::Flattener;
use sentinel_actors::node::{JournalHandle, JournalUnavailable};
use sentinel_actors::ports::{Clock as _, JournalWrite, Written};
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use super::messages::{
    Answer, AskFlatten, AskHalt, AskResume, AskSettle, FLATTEN, HALT, METRICS, RESUME, SETTLE, STATUS,
};
use crate::exit::{self, ExitError as _};
use crate::journal::JournalReader;
use crate::kill_file::KillFile;
use crate::operator::flattening;
use crate::operator::live_node::LiveNode;
use crate::operator::metrics;
use crate::operator::settling::{SettleError, Settlement};
use crate::operator::status::Status;
use crate::system::{WallClock, shell_path};

/// A request's body is there within this.
const BODY_WITHIN: Duration = Duration::from_secs(5);
/// The longest body, in bytes.
const BODY_BYTES: usize = 4 << 10;
/// Flattening is answered within this, because a connection lasts no longer than 30 s.
const FLATTEN_WITHIN: Duration = Duration::from_secs(27);
/// So many answers are remembered.
const ANSWERS: usize = 256;
/// The longest id of an action, in bytes.
const ID_BYTES: usize = 64;

/// What the socket reaches of a running node.
#[derive(Clone)]
pub struct Control {
    pub node: LiveNode,
    pub journal: JournalHandle,
    /// By pipeline.
    pub flatteners: BTreeMap<String, Flattener>,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub uid: u32,
}

struct Server {
    control: Control,
    /// Held while an action is done.
    answers: Mutex<Answers>,
    /// Of flattening, which takes as long as the venue does: a halt does not wait for it.
    flattened: Mutex<Answers>,
}

/// By the action's id, the newest first.
type Answers = VecDeque<(String, Done)>;

type Done = (StatusCode, Answer);

pub(super) fn router(control: Control) -> Router {
    let server = Arc::new(Server { control, answers: Mutex::default(), flattened: Mutex::default() });
    Router::new()
        .route(STATUS, get(status))
        .route(METRICS, get(metrics_text))
        .route(HALT, post(halt))
        .route(RESUME, post(resume))
        .route(SETTLE, post(settle))
        .route(FLATTEN, post(flatten))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(server)
}

async fn status(State(server): State<Arc<Server>>) -> Json<Status> {
    Json(server.control.node.status(WallClock.now()))
}

/// As they are scraped, in one JSON text.
async fn metrics_text(State(server): State<Arc<Server>>) -> Response {
    match metrics::render(&server.control.node, WallClock.now()) {
        Ok(text) => Json(text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn halt(State(server): State<Arc<Server>>, Extension(peer): Extension<Peer>, request: Request) -> Response {
    let asked: AskHalt = match body(request).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    server.once(&asked.id, server.control.halt(&asked, peer)).await
}

async fn resume(State(server): State<Arc<Server>>, Extension(peer): Extension<Peer>, request: Request) -> Response {
    let asked: AskResume = match body(request).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    server.once(&asked.id, server.control.resume(&asked, peer)).await
}

async fn settle(State(server): State<Arc<Server>>, request: Request) -> Response {
    let asked: AskSettle = match body(request).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    server.once(&asked.id, server.control.settle(&asked)).await
}

async fn flatten(State(server): State<Arc<Server>>, Extension(peer): Extension<Peer>, request: Request) -> Response {
    let asked: AskFlatten = match body(request).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    server.beside(&asked.id, server.control.flatten(&asked, peer)).await
}

async fn body<T: DeserializeOwned>(request: Request) -> Result<T, Response> {
    match tokio::time::timeout(BODY_WITHIN, Json::<T>::from_request(request, &())).await {
        Ok(Ok(Json(asked))) => Ok(asked),
        Ok(Err(rejection)) => Err(refused(rejection.status(), rejection.body_text())),
        Err(_) => Err(refused(StatusCode::REQUEST_TIMEOUT, "the request was not complete in time".to_owned())),
    }
}

impl Server {
    /// Does an action, unless one of this id was done.
    async fn once(&self, id: &str, action: impl Future<Output = Done>) -> Response {
        if let Some(refusal) = refused_id(id) {
            return refusal;
        }
        let mut answers = self.answers.lock().await;
        if let Some(response) = remembered(&answers, id) {
            return response;
        }
        let done = action.await;
        answered(&mut answers, id, done)
    }

    /// The same, of what is safe to do twice at a time.
    async fn beside(&self, id: &str, action: impl Future<Output = Done>) -> Response {
        if let Some(refusal) = refused_id(id) {
            return refusal;
        }
        if let Some(response) = remembered(&*self.flattened.lock().await, id) {
            return response;
        }
        let done = action.await;
        answered(&mut *self.flattened.lock().await, id, done)
    }
}

fn refused_id(id: &str) -> Option<Response> {
    (id.is_empty() || id.len() > ID_BYTES).then(|| {
        let text = format!("an action has an id of 1 to {ID_BYTES} bytes");
        refused(StatusCode::UNPROCESSABLE_ENTITY, text)
    })
}

fn remembered(answers: &Answers, id: &str) -> Option<Response> {
    let (_, (code, answer)) = answers.iter().find(|(known, _)| known == id)?;
    Some((*code, Json(answer.clone())).into_response())
}

/// What could not be done for now is not remembered: it is tried again when it is asked for again.
fn answered(answers: &mut Answers, id: &str, (code, answer): Done) -> Response {
    if !code.is_server_error() {
        answers.truncate(ANSWERS - 1);
        answers.push_front((id.to_owned(), (code, answer.clone())));
    }
    (code, Json(answer)).into_response()
}

fn refused(code: StatusCode, text: String) -> Response {
    (code, Json(Answer { text, advice: None, exit: exit::FAILED })).into_response()
}

fn done(text: String) -> Done {
    (StatusCode::OK, Answer { text, advice: None, exit: exit::OK })
}

fn not_done(code: StatusCode, text: String, advice: Option<String>) -> Done {
    (code, Answer { text, advice, exit: exit::FAILED })
}

impl Control {
    async fn halt(&self, asked: &AskHalt, peer: Peer) -> Done {
        if let Some(name) = asked.pipeline.as_ref().filter(|name| !self.node.board.entries.contains_key(*name)) {
            let advice = "leave the name out to halt all of them".to_owned();
            return not_done(StatusCode::NOT_FOUND, self.no_pipeline(name), Some(advice));
        }
        let why = one_line(&asked.reason);
        if why.is_empty() {
            return not_done(StatusCode::UNPROCESSABLE_ENTITY, "the reason is empty".to_owned(), None);
        }
        let new = NewHalt {
            request: asked.id.clone(),
            scope: asked.pipeline.clone().map_or(Scope::All, Scope::Pipeline),
            state: TradingState::Halted,
            by: RaisedBy::Operator,
            who: peer.name(),
            why,
            evidence: String::new(),
            since: WallClock.now(),
        };
        // Before it is durable: nothing leaves from now on, whatever becomes of the journal.
        self.node.board.halts.propose(new.clone());
        match self.journal.halt(new).await {
            Ok(halt) => {
                let text = format!("{halt}\nnothing of it leaves any more; `sentinel resume {}` lifts it", halt.id);
                self.node.board.halts.record(halt);
                done(text)
            }
            Err(error) => unrecorded("it is halted, and that is not in the journal yet", error),
        }
    }

    async fn resume(&self, asked: &AskResume, peer: Peer) -> Done {
        let id: HaltId = match asked.halt.parse() {
            Ok(id) => id,
            Err(error) => return not_done(StatusCode::UNPROCESSABLE_ENTITY, format!("{error}"), None),
        };
        let file = KillFile::of(&self.node.state);
        if file.is_there() {
            let file = shell_path(file.path());
            let text = format!("the kill file {file} is there: while it is, nothing leaves, and no halt is lifted");
            let advice = format!("find out who has put it there, then `rm {file}`, then give this command again");
            return not_done(StatusCode::CONFLICT, text, Some(advice));
        }
        let why = one_line(&asked.reason);
        let lifted = Lifted { request: asked.id.clone(), who: peer.name(), why, at: WallClock.now() };
        match self.journal.lift(id, lifted).await {
            Ok(Some(halt)) => {
                let by = halt.lifted.clone().filter(|lifted| lifted.request != asked.id);
                let scope = halt.raised.scope.clone();
                self.node.board.halts.record(halt);
                match by {
                    Some(lifted) => {
                        let text = format!("{id} was lifted at {} by {}", lifted.at, lifted.who);
                        not_done(StatusCode::CONFLICT, text, None)
                    }
                    None => done(format!("{id} is lifted: {scope} may act again, unless another halt covers it")),
                }
            }
            Ok(None) => {
                let standing = self.node.board.halts.standing();
                let ids: Vec<String> = standing.recorded().iter().map(|halt| halt.id.to_string()).collect();
                let stands =
                    if ids.is_empty() { "none stands".to_owned() } else { format!("there stands {}", ids.join(", ")) };
                not_done(StatusCode::NOT_FOUND, format!("there is no {id}; {stands}"), None)
            }
            Err(error) => unrecorded("whether it is lifted is not known", error),
        }
    }
}

impl Control {
    async fn settle(&self, asked: &AskSettle) -> Done {
        let refused = |error: SettleError| {
            let (text, advice, exit) = (chain(&error), error.advice(), error.exit_code());
            (StatusCode::CONFLICT, Answer { text, advice, exit })
        };
        let reader = JournalReader::open(&self.node.state).map_err(SettleError::from);
        let settlement = reader.and_then(|reader| Settlement::of(&reader, &asked.seen, true, WallClock.now()));
        let settlement = match settlement {
            Ok(settlement) => settlement,
            Err(error) => return refused(error),
        };
        let written = {
            let _tell = TellExecutors(&self.node.board.settled_by_hand);
            self.journal.write_all(settlement.writes.clone()).await
        };
        match written {
            Err(error) => unrecorded("whether it is settled is not known", error),
            Ok(written) => match settlement.accept(&written) {
                Ok(()) => {
                    self.count(&settlement, &written);
                    done(format!("{} is settled as {}", settlement.intent.key, settlement.ends))
                }
                Err(error) => refused(error),
            },
        }
    }
}

impl Control {
    /// What was settled has come to its end; what was so before is not counted again.
    fn count(&self, settlement: &Settlement, written: &[Written]) {
        let Some(entry) = self.node.board.entries.get(&settlement.intent.pipeline) else { return };
        for pair in settlement.writes.iter().zip(written) {
            if let (JournalWrite::Advance { event, .. }, Written::Done) = pair {
                entry.meters.count_event(event);
            }
        }
    }

    async fn flatten(&self, asked: &AskFlatten, peer: Peer) -> Done {
        let found = self.node.board.entries.get(&asked.pipeline).zip(self.flatteners.get(&asked.pipeline));
        let Some((entry, flattener)) = found else {
            return not_done(StatusCode::NOT_FOUND, self.no_pipeline(&asked.pipeline), None);
        };
        if let Err(why) = flattener.require_closable() {
            return not_done(StatusCode::CONFLICT, why.to_string(), None);
        }
        let phrase = flattening::phrase(&entry.place);
        if asked.confirmed.trim() != phrase {
            let text = format!("that is not {phrase}, so nothing was changed");
            return not_done(StatusCode::CONFLICT, text, None);
        }
        let halt = match self.halt_to_flatten(&entry.place, asked, peer).await {
            Ok(halt) => halt,
            Err(error) => return unrecorded("nothing was closed; it is halted, and that is not in the journal", error),
        };
        match flattener.flatten(FLATTEN_WITHIN).await {
            Ok(Ok(flattened)) => {
                let (text, exit) = flattening::told(&halt, &flattened);
                (StatusCode::OK, Answer { text, advice: None, exit })
            }
            Ok(Err(why)) => not_done(StatusCode::CONFLICT, format!("{halt}\nnothing was closed: {why}"), None),
            Err(error) => {
                let advice = "look at `sentinel journal intents --open`, then give this command again: it reads the positions first, \
                              and repeats no close whose result is not known";
                let text = format!("{halt}\nwhat was closed is not known: {error}");
                not_done(StatusCode::SERVICE_UNAVAILABLE, text, Some(advice.to_owned()))
            }
        }
    }

    /// Nothing may open while everything is closed. The halt of an earlier command will do, as long as it stands.
    async fn halt_to_flatten(&self, place: &Place, asked: &AskFlatten, peer: Peer) -> Result<Halt, JournalUnavailable> {
        let standing = self.node.board.halts.standing();
        if let Some(halt) = standing.recorded().iter().find(|halt| flattening::keeps_flat(halt, place)) {
            return Ok(halt.clone());
        }
        // Another command may be about to raise it.
        let pending = standing.pending().iter().find(|new| flattening::is_of(new, &place.account, &place.symbol));
        let new = pending.cloned();
        let new = new.unwrap_or_else(|| flattening::new_halt(place, &asked.id, peer.name(), WallClock.now()));
        self.node.board.halts.propose(new.clone());
        let halt = self.journal.halt(new).await?;
        self.node.board.halts.record(halt.clone());
        Ok(halt)
    }

    fn no_pipeline(&self, name: &str) -> String {
        let known: Vec<&str> = self.node.board.entries.keys().map(String::as_str).collect();
        format!("this node has no pipeline '{}'; it has: {}", one_line(name), known.join(", "))
    }
}

/// Tells the executors that what they know of their intents is out of date, whatever was written; also when the client has gone
/// meanwhile, and nobody waits for the answer any more. What was asked of the journal before is in what they then read.
struct TellExecutors<'a>(&'a AtomicU64);

impl Drop for TellExecutors<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

impl Peer {
    fn name(self) -> String {
        format!("uid {}", self.uid)
    }
}

fn unrecorded(what: &str, error: JournalUnavailable) -> Done {
    let advice = "look at the node's log and its disk, then give this command again".to_owned();
    not_done(StatusCode::SERVICE_UNAVAILABLE, format!("{what}: {error}"), Some(advice))
}
