//! The thread: looks at the node every two seconds, and lets messages leave meanwhile.
//!
//! It shares nothing with the node but what it reads from memory. A call that hangs holds up its own route and nothing else, and a
//! panic is caught: the thread takes its work up again from what it has written down.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::domain::verdict::Judgement;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{Clock as _, elapsed_now};
use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::counters::{AlertCounters, AlertResult};
use super::courier::{AlertSettings, Courier, Told};
use super::dead_man::Ping;
use super::incident::{Condition, Turn};
use super::notice::Notice;
use super::outbox::{Attempt, Parcel};
use super::state::AlertState;
use crate::http::HttpError;
use crate::journal::AlertMemory;
use crate::operator::live_node::LiveNode;
use crate::system::WallClock;

/// Between two looks at the node.
const TURN: Duration = Duration::from_secs(2);
/// After a panic.
const PAUSE: Duration = Duration::from_secs(60);
/// How long the end of the node waits for what is under way.
const END_WITHIN: Duration = Duration::from_secs(2);
/// What the dead-man service is told at the end of the competition.
const ENDED: &str = Notice::LastPing.code();

/// Why nobody can be told anything.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    #[error("no client can be made for the alerts")]
    Client(#[from] HttpError),
    #[error("the thread of the alerts cannot be started")]
    Thread(#[from] io::Error),
}

/// How the node ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    Stopped,
    /// Every slot of the competition has ended.
    Ended,
}

/// The thread of a running node.
pub struct Alerts {
    stop: watch::Sender<Stop>,
    done: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Alerts {
    /// Starts it. Without a route and a check nothing is started.
    ///
    /// # Errors
    /// When there is no client, or no thread.
    pub fn start(settings: AlertSettings, node: LiveNode) -> Result<Option<Self>, AlertError> {
        if settings.is_empty() {
            return Ok(None);
        }
        let courier = Arc::new(Courier::new(&settings)?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(Stop::No);
        let (finished, done) = oneshot::channel();
        std::thread::Builder::new().name("alerts".to_owned()).spawn(move || {
            loop {
                let service = Service::new(&settings, node.clone(), courier.clone());
                let work = AssertUnwindSafe(|| runtime.block_on(service.run(stopped.clone())));
                if catch_unwind(work).is_ok() {
                    break;
                }
                error!(event = "alerts_failed", "the thread of the alerts panicked; it begins again in a minute");
                let mut stopped = stopped.clone();
                let ends =
                    async { tokio::time::timeout(PAUSE, stopped.wait_for(|stop| *stop != Stop::No)).await.is_ok() };
                if runtime.block_on(ends) {
                    break;
                }
            }
            runtime.shutdown_background();
            let _ = finished.send(());
        })?;
        Ok(Some(Self { stop, done: Mutex::new(Some(done)) }))
    }

    /// Ends the thread, and gives what is under way a moment. `is_over`: the competition has ended, which the dead-man service is
    /// told.
    pub async fn end(&self, is_over: bool) {
        let _ = self.stop.send(if is_over { Stop::Ended } else { Stop::Stopped });
        if let Some(done) = self.done.lock().await.take() {
            let _ = tokio::time::timeout(END_WITHIN, done).await;
        }
    }
}

/// What has come back from a call.
enum Back {
    Route(String, Parcel, Told),
    Ping(Ping, Told),
}

struct Service {
    settings: AlertSettings,
    node: LiveNode,
    courier: Arc<Courier>,
    state: AlertState,
    memory: AlertMemory,
    counters: Arc<AlertCounters>,
    calls: JoinSet<Back>,
    is_pinging: bool,
    /// The clock of the rules: what it showed at an instant.
    began: (UtcMs, Instant),
    logged: Logged,
}

/// What was logged, so that it is not logged again while it lasts.
#[derive(Default)]
struct Logged {
    memory: bool,
    ping: bool,
    routes: BTreeMap<String, Attempt>,
}

impl Service {
    fn new(settings: &AlertSettings, node: LiveNode, courier: Arc<Courier>) -> Self {
        let mut state = AlertState::new(&node.name, settings.routes.iter().map(|route| route.name.clone()));
        let mut memory = AlertMemory::of(&node.state);
        let mut logged = Logged::default();
        match memory.read() {
            Ok(rows) => {
                let unread = state.restore(rows);
                if unread > 0 {
                    warn!(
                        event = "alert_memory_damaged",
                        rows = unread,
                        "a part of what the alerts remember is not understood"
                    );
                }
            }
            Err(error) => log_memory(&mut logged, &chain(&error)),
        }
        let began = (state.begins(WallClock.now()), elapsed_now());
        let counters = node.alerts.clone();
        let service = Self {
            settings: settings.clone(),
            node,
            courier,
            state,
            memory,
            counters,
            calls: JoinSet::new(),
            is_pinging: false,
            began,
            logged,
        };
        service.show_broken();
        service
    }

    async fn run(mut self, mut stop: watch::Receiver<Stop>) {
        let mut next = elapsed_now();
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop != Stop::No) => break,
                Some(back) = self.calls.join_next(), if !self.calls.is_empty() => {
                    match back.map_err(JoinError::try_into_panic) {
                        Ok(back) => self.back(back),
                        // Its route would wait for an answer for ever: the whole thread begins again from what is written down.
                        Err(Ok(panic)) => resume_unwind(panic),
                        Err(Err(_ended)) => {}
                    }
                }
                () = tokio::time::sleep_until(next) => {
                    self.look();
                    next = elapsed_now() + TURN;
                }
            }
            self.send();
            self.keep();
        }
        let is_over = *stop.borrow() == Stop::Ended;
        self.end(is_over).await;
    }

    fn turn(&self) -> Turn {
        let (at, since) = self.began;
        Turn { now: at.plus(elapsed_now().saturating_duration_since(since)), wall: WallClock.now() }
    }

    fn look(&mut self) {
        let turn = self.turn();
        let view = self.node.view(turn.wall);
        let judgement = Judgement::of(&view, turn.wall);
        for (route, count) in self.state.turn(&Condition::of(&judgement.needs), &view, turn) {
            self.counters.add(&route, AlertResult::Dropped, count);
            warn!(
                event = "alert_dropped",
                route, count, "messages could not be delivered, and too many or too old ones were dropped"
            );
        }
        let Some(check) = self.settings.dead_man.as_ref().filter(|_| !self.is_pinging) else { return };
        if let Some(ping) = self.state.dead_man.due(&judgement, check.every, turn) {
            self.ping(ping);
        }
    }

    fn ping(&mut self, ping: Ping) {
        let Some(check) = self.settings.dead_man.clone() else { return };
        self.is_pinging = true;
        let courier = self.courier.clone();
        self.calls.spawn(async move {
            let told = courier.ping(&check, &ping, WallClock.now()).await;
            Back::Ping(ping, told)
        });
    }

    /// Lets each route have its next message.
    fn send(&mut self) {
        let turn = self.turn();
        let node = self.state.node().to_owned();
        for route in &self.settings.routes {
            let Some(parcel) = self.state.routes.get_mut(&route.name).and_then(|outbox| outbox.due(&node, turn)) else {
                continue;
            };
            let (route, courier) = (route.clone(), self.courier.clone());
            self.calls.spawn(async move {
                let told = courier.tell(&route, &parcel.message, WallClock.now()).await;
                Back::Route(route.name, parcel, told)
            });
        }
    }

    fn back(&mut self, back: Back) {
        match back {
            Back::Ping(ping, told) => self.pinged(&ping, &told),
            Back::Route(route, parcel, told) => {
                let turn = self.turn();
                if let Some(outbox) = self.state.routes.get_mut(&route) {
                    outbox.done(&parcel, &told.attempt, turn);
                }
                let result = if told.attempt == Attempt::Accepted { AlertResult::Sent } else { AlertResult::Failed };
                self.counters.add(&route, result, 1);
                self.show_broken();
                self.log_route(&route, &parcel, &told);
            }
        }
    }

    /// On the board: the verdict of every surface has it, and the other routes say it.
    fn show_broken(&self) {
        let broken = self.state.routes.iter().filter(|(_, outbox)| outbox.broken).map(|(name, _)| name.clone());
        self.node.board.broken_routes.store(Arc::new(broken.collect()));
    }

    fn pinged(&mut self, ping: &Ping, told: &Told) {
        self.is_pinging = false;
        if told.attempt == Attempt::Accepted {
            self.counters.pinged(WallClock.now());
            self.logged.ping = false;
            debug!(event = "dead_man_pinged", fail = ping.is_fail, "the dead-man service has taken a ping");
        } else if !std::mem::replace(&mut self.logged.ping, true) {
            warn!(
                event = "dead_man_failed",
                fail = ping.is_fail,
                why = told.said,
                "the dead-man service has not taken a ping"
            );
        }
    }

    fn log_route(&mut self, route: &str, parcel: &Parcel, told: &Told) {
        let title = &parcel.message.title;
        let before = self.logged.routes.insert(route.to_owned(), told.attempt.clone());
        let had_failed = before.as_ref().is_some_and(|before| *before != Attempt::Accepted);
        match &told.attempt {
            Attempt::Accepted => info!(event = "alert_sent", route, title, "a route has taken a message"),
            Attempt::Refused if before != Some(Attempt::Refused) => {
                error!(
                    event = "alert_route_broken",
                    route,
                    why = told.said,
                    "a route refuses what it is told: look at its address and token"
                );
            }
            Attempt::Failed { .. } if !had_failed => {
                warn!(
                    event = "alert_failed",
                    route,
                    why = told.said,
                    title,
                    "a route has not taken a message; it is tried again"
                );
            }
            _ => debug!(
                event = "alert_failed_again",
                route,
                why = told.said,
                "a route has not taken a message; it is tried again"
            ),
        }
    }

    fn keep(&mut self) {
        match self.memory.keep(self.state.rows()) {
            Ok(()) => self.logged.memory = false,
            Err(error) => log_memory(&mut self.logged, &chain(&error)),
        }
    }

    /// What is under way may still come back, and a competition that is over says so.
    async fn end(mut self, is_over: bool) {
        let until = elapsed_now() + END_WITHIN;
        let last = self.state.dead_man.end(ENDED).filter(|_| is_over && self.settings.dead_man.is_some());
        if let Some(ping) = last {
            self.ping(ping);
        }
        while let Ok(Some(back)) = tokio::time::timeout_at(until, self.calls.join_next()).await {
            if let Ok(back) = back {
                self.back(back);
            }
        }
        self.keep();
    }
}

fn log_memory(logged: &mut Logged, error: &str) {
    if !std::mem::replace(&mut logged.memory, true) {
        warn!(
            event = "alert_memory_lost",
            error, "what the alerts remember cannot be kept; they go on, and a restart may repeat something"
        );
    }
}
