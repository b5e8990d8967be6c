//! The sink of a worker: one transaction for one window of a topic, or none with the reason.
//!
//! Right before anything is signed the chain is asked once more: the intent's nonce must be the one whose window is open, its block
//! committed, and a block before the margin still to come. So no forecast is carried out for a stale or foreign nonce, whatever waited
//! in between. What is sent can be in no block after the margin, because its timeout height says so.
//!
//! What the chain refuses before it is in a block is withheld and not rejected: it cost nothing, and the next window may take it.

mod outcome;
mod rehearsal;

use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::action::{Action, Forecast, Inclusion};
use sentinel_actors::domain::intent::{Intent, Mode};
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{Evidence, MayLeave, PortFuture, Sink, Submission, Withheld, elapsed_now};

use super::address::Address;
use super::broadcaster::{Broadcaster, Message, NotSent, Outcome, Request};
use super::client::{Client, ClientError};
use super::decimal::Dec;
use super::queries::WindowStatus;
use super::signing::WorkerData;
use super::windows;
use crate::http::Deadline;
use crate::venues::forecasts::PaperForecasts;

pub use self::rehearsal::Rehearsal;

/// In place of the hash of a transaction that is not this node's, or not known any more.
pub const NO_HASH: &str = "not known";

/// How a submission is carried out.
pub enum Way {
    Live(Arc<Broadcaster>),
    /// Everything but the broadcast; the paper book takes the forecast in the chain's place.
    DryRun {
        rehearsal: Arc<Rehearsal>,
        paper: Arc<PaperForecasts>,
    },
}

/// What a sink is made of.
pub struct WorkerParts {
    pub client: Arc<Client>,
    pub topic: u64,
    pub worker: Address,
    /// Part of every intent key: of a live worker chain, address and topic.
    pub account: String,
    /// The last blocks of a window that are left alone.
    pub margin_blocks: u64,
    /// Before another attempt, when something was in the way that may have passed.
    pub pause: Duration,
    pub way: Way,
}

/// One worker in one topic.
pub struct WorkerSink {
    parts: WorkerParts,
}

/// Why nothing is to be sent.
struct Held {
    why: Withheld,
    text: String,
    /// In a moment it may be otherwise.
    may_pass: bool,
}

impl Held {
    const fn lasting(why: Withheld, text: String) -> Self {
        Self { why, text, may_pass: false }
    }

    const fn passing(why: Withheld, text: String) -> Self {
        Self { why, text, may_pass: true }
    }
}

impl WorkerSink {
    #[must_use]
    pub const fn new(parts: WorkerParts) -> Self {
        Self { parts }
    }

    async fn hand_over(&self, intent: &Intent, deadline: Duration, may_leave: MayLeave<'_>) -> Submission {
        let until = Deadline::of(deadline, elapsed_now());
        let Some((nonce, forecast)) = nonce_and_forecast(intent) else {
            return Submission::NeverLeft("it takes forecasts for announced windows only".to_owned());
        };
        let data = match self.data(nonce, forecast) {
            Ok(data) => data,
            Err(text) => return Submission::NeverLeft(text),
        };
        loop {
            let (submission, may_pass) = self.attempt(intent, nonce, &data, until, may_leave).await;
            // An endpoint that fails for a moment must not cost a window of many blocks. The same key goes on where it was.
            let is_withheld = matches!(submission, Submission::Withheld { .. });
            if !is_withheld || !may_pass || until.left() < self.parts.pause * 2 || !may_leave() {
                return submission;
            }
            tokio::time::sleep(self.parts.pause).await;
        }
    }

    /// One attempt, and whether what was in its way may have passed in a moment: nothing has left then.
    async fn attempt(
        &self,
        intent: &Intent,
        nonce: u64,
        data: &WorkerData,
        until: Deadline,
        may_leave: MayLeave<'_>,
    ) -> (Submission, bool) {
        let last_height = match self.last_height(nonce, until).await {
            Ok(last_height) => last_height,
            Err(Held { why, text, may_pass }) => return (Submission::Withheld { why, text }, may_pass),
        };
        if !may_leave() {
            return (Submission::NeverLeft("its time was over before it left".to_owned()), false);
        }
        let request = Request { key: intent.key.as_str(), message: Message::Worker(data), last_height };
        match &self.parts.way {
            Way::Live(broadcaster) => {
                let outcome = broadcaster.submit_while(&request, until, may_leave).await;
                let may_pass = outcome::may_pass(&outcome);
                let is_done = self.is_done(nonce, &outcome, until).await;
                (outcome::submission(outcome, is_done), may_pass)
            }
            Way::DryRun { rehearsal, paper } => match rehearsal.run(&request, until).await {
                Ok(()) => (paper.submit(intent, until.left(), may_leave).await, false),
                Err(outcome) => {
                    let may_pass = outcome::may_pass(&outcome);
                    (outcome::submission(outcome, false), may_pass)
                }
            },
        }
    }

    fn data(&self, nonce: u64, forecast: &Forecast) -> Result<WorkerData, String> {
        // The text of a decimal reads as the nearest double.
        let value = forecast.log_return.to_string().parse::<f64>().map_err(|error| error.to_string())?;
        let value = Dec::of_forecast(value).map_err(|error| error.to_string())?;
        let nonce = i64::try_from(nonce).map_err(|_| format!("{nonce} is no height of a block"))?;
        Ok(WorkerData::of_value(self.parts.topic, nonce, value))
    }

    /// The last block that may have a submission for this nonce, when one may be sent now.
    async fn last_height(&self, nonce: u64, until: Deadline) -> Result<u64, Held> {
        let Self { parts: WorkerParts { client, topic, worker, .. } } = self;
        let status = client.window_status(*topic, worker, until).await;
        let status = status.map_err(|error| Held::passing(Withheld::LedgerUnavailable, chain(&error)))?;
        self.check(nonce, &status)
    }

    fn check(&self, nonce: u64, status: &WindowStatus) -> Result<u64, Held> {
        let WorkerParts { topic, worker, margin_blocks, way, .. } = &self.parts;
        let height = status.height;
        let Some(open) = windows::open(status).filter(|open| open.nonce == nonce) else {
            let now = match windows::open(status) {
                Some(other) => format!("that of {} is open", other.nonce),
                None => "none is open".to_owned(),
            };
            let text = format!("the window of {nonce} is not open at block {height}; {now}");
            // An endpoint that is behind has not seen it open.
            return Err(Held { why: Withheld::WindowClosed, text, may_pass: height < nonce });
        };
        let last = open.end.saturating_sub(*margin_blocks);
        if height >= last {
            let text = format!("block {height} is committed, and block {last} is the last one for window {nonce}");
            return Err(Held::lasting(Withheld::WindowClosed, text));
        }
        if !status.is_whitelisted {
            return Err(Held::lasting(Withheld::NotPermitted, not_whitelisted(*topic, worker)));
        }
        if !status.is_registered && matches!(way, Way::Live(_)) {
            let text = format!("{worker} is not registered in topic {topic} yet, which the node does by itself");
            return Err(Held::passing(Withheld::NotPermitted, text));
        }
        Ok(last)
    }

    /// Whether the chain has an inference of this worker for the nonce, when an outcome leaves that open.
    async fn is_done(&self, nonce: u64, outcome: &Outcome, until: Deadline) -> bool {
        outcome::asks_for_own(outcome) && self.has_own(nonce, until).await.unwrap_or(false)
    }

    /// While the window is open the chain shows it; a submission that was not admitted, or is over, is in the worker's score.
    async fn has_own(&self, nonce: u64, until: Deadline) -> Result<bool, ClientError> {
        let WorkerParts { client, topic, worker, .. } = &self.parts;
        let latest = client.latest_inference(*topic, worker, until).await?;
        if latest.is_some_and(|latest| latest.nonce == nonce) {
            return Ok(true);
        }
        let score = client.score_ema(*topic, worker, until).await?;
        if score.value.is_some_and(|score| score.nonce == nonce) {
            return Ok(true);
        }
        // Both are newer by now when this is asked later.
        let own = worker.to_string();
        let kept = client.inferences_at(*topic, nonce, until).await?;
        Ok(kept.value.iter().any(|inference| inference.worker == own))
    }

    async fn find(&self, broadcaster: &Broadcaster, intent: &Intent, until: Deadline) -> Evidence {
        let outcome = broadcaster.settle(intent.key.as_str(), until).await;
        let Some((nonce, _)) = nonce_and_forecast(intent).filter(|_| outcome::asks_for_own(&outcome)) else {
            return outcome::evidence(outcome, false);
        };
        match self.has_own(nonce, until).await {
            Ok(is_done) => outcome::evidence(outcome, is_done),
            Err(error) => Evidence::NotNow(chain(&error)),
        }
    }
}

pub(super) fn not_whitelisted(topic: u64, worker: &Address) -> String {
    format!(
        "{worker} is not on the whitelist of topic {topic}: ask the topic's owner to add it; it is used as soon as it is there"
    )
}

fn nonce_and_forecast(intent: &Intent) -> Option<(u64, &Forecast)> {
    let Action::Forecast(forecast) = &intent.action else { return None };
    Some((intent.announced_as.as_deref()?.parse().ok()?, forecast))
}

impl Sink for WorkerSink {
    fn mode(&self) -> Mode {
        match self.parts.way {
            Way::Live(_) => Mode::Live,
            Way::DryRun { .. } => Mode::DryRun,
        }
    }

    fn account(&self) -> &str {
        match &self.parts.way {
            Way::Live(_) => &self.parts.account,
            Way::DryRun { paper, .. } => paper.account(),
        }
    }

    fn submit<'a>(
        &'a self,
        intent: &'a Intent,
        deadline: Duration,
        may_leave: MayLeave<'a>,
    ) -> PortFuture<'a, Submission> {
        Box::pin(self.hand_over(intent, deadline, may_leave))
    }

    fn settle<'a>(&'a self, intent: &'a Intent, deadline: Duration) -> PortFuture<'a, Evidence> {
        match &self.parts.way {
            Way::DryRun { paper, .. } => paper.settle(intent, deadline),
            Way::Live(broadcaster) => Box::pin(self.find(broadcaster, intent, Deadline::of(deadline, elapsed_now()))),
        }
    }
}

/// Of a transaction of this node.
fn inclusion(hash: impl ToString, height: u64, text: String) -> Inclusion {
    Inclusion { hash: hash.to_string(), height, text }
}
