//! SlotFeeder: asks what announces the slots of one pipeline, makes the answer durable, and tells the Pipeline.
//!
//! A child of the Pipeline and not part of it: an announcer that hangs or panics costs a restart of this actor, and no cycle. An
//! announcement is durable before the Pipeline hears of it, so that its slot gets a row even if the node dies right then
//! (promise 1).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::task::JoinSet;

use crate::domain::announced::FeedNews;
use crate::domain::schedule::Window;
use crate::events;
use crate::journal::{JournalHandle, JournalUnavailable};
use crate::messages::PipelineMsg;
use crate::ports::{Announcer, Clock, FaultInjector, FaultPoint, FeedAnswer, FeedRequest, elapsed_now, inject_fault};
use crate::supervision::Address;

/// Name of the child within its pipeline.
pub const SLOT_FEED: &str = "slot_feed";
/// Longest call of an announcer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// Bounds of the pause that an announcer may ask for.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(600));
/// Elapsed time between two warnings about the same lasting failure.
const WARNING_EVERY: Duration = Duration::from_secs(600);

pub enum SlotFeedMsg {
    Ask,
    Ping(RpcReplyPort<()>),
}

#[derive(Clone)]
pub struct SlotFeederArgs {
    /// Name of the pipeline.
    pub name: String,
    pub announcer: Arc<dyn Announcer>,
    /// Windows that open outside the competition are not due.
    pub window: Window,
    pub clock: Arc<dyn Clock>,
    pub journal: JournalHandle,
    pub pipeline: Address<PipelineMsg>,
    /// Where faults are injected; nothing happens there in production.
    pub faults: Arc<dyn FaultInjector>,
}

pub struct SlotFeeder;

pub struct SlotFeederState {
    args: SlotFeederArgs,
    timer: JoinSet<()>,
    /// When it last warned, if the newest question failed.
    warned_at: Option<tokio::time::Instant>,
}

impl Actor for SlotFeeder {
    type Msg = SlotFeedMsg;
    type State = SlotFeederState;
    type Arguments = SlotFeederArgs;

    async fn pre_start(
        &self,
        _: ActorRef<SlotFeedMsg>,
        args: SlotFeederArgs,
    ) -> Result<SlotFeederState, ActorProcessingErr> {
        inject_fault(&*args.faults, FaultPoint::PreStart, &path(&args.name)).await;
        Ok(SlotFeederState { args, timer: JoinSet::new(), warned_at: None })
    }

    async fn post_start(
        &self,
        myself: ActorRef<SlotFeedMsg>,
        state: &mut SlotFeederState,
    ) -> Result<(), ActorProcessingErr> {
        inject_fault(&*state.args.faults, FaultPoint::PostStart, &path(&state.args.name)).await;
        let _ = myself.cast(SlotFeedMsg::Ask);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<SlotFeedMsg>,
        message: SlotFeedMsg,
        state: &mut SlotFeederState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SlotFeedMsg::Ask => {
                inject_fault(&*state.args.faults, FaultPoint::SlotFeedHandle, &path(&state.args.name)).await;
                let pause = state.ask().await;
                state.ask_after(pause, &myself);
            }
            SlotFeedMsg::Ping(reply) => {
                let _ = reply.send(());
            }
        }
        Ok(())
    }
}

fn path(pipeline: &str) -> String {
    format!("{pipeline}/{SLOT_FEED}")
}

impl SlotFeederState {
    /// Asks, and tells the Pipeline. Returns how long to wait until the next question.
    async fn ask(&mut self) -> Duration {
        match self.news().await {
            Ok((news, pause)) => {
                // A Pipeline that is being replaced brings a new feeder, which asks at once.
                let _ = self.args.pipeline.send(PipelineMsg::Announced(Box::new(news)));
                pause
            }
            Err(error) => {
                self.warn(&error.to_string());
                RETRY
            }
        }
    }

    /// Asks, and makes durable what is new. When there is no answer the Pipeline still has to know what was announced before.
    async fn news(&mut self) -> Result<(FeedNews, Duration), JournalUnavailable> {
        let (name, journal) = (self.args.name.clone(), self.args.journal.clone());
        let mut known = journal.announced(&name).await?;
        let now = self.args.clock.now();
        let request = FeedRequest { since: known.newest, open: known.open.clone(), now, deadline: DEADLINE };
        let FeedAnswer { mut announced, withdrawn, ask_again } = match self.args.announcer.ask(&request).await {
            Ok(answer) => answer,
            Err(error) => {
                self.warn(&error.to_string());
                let news = FeedNews { open: known.open, withdrawn: BTreeSet::new(), asked_at: None };
                return Ok((news, RETRY));
            }
        };
        if self.warned_at.take().is_some() {
            events::feed_answers_again(&name);
        }
        announced.retain(|announcement| self.args.window.contains(announcement.opens()));
        if !announced.is_empty() {
            journal.announce(&name, announced, now).await?;
            let before = std::mem::replace(&mut known, journal.announced(&name).await?);
            let new: Vec<_> = known.open.iter().filter(|slot| !before.open.contains(slot)).collect();
            if let Some(newest) = new.last() {
                events::slots_announced(&name, new.len(), newest);
            }
        }
        let news = FeedNews { open: known.open, withdrawn: withdrawn.into_iter().collect(), asked_at: Some(now) };
        Ok((news, ask_again.clamp(PAUSE.0, PAUSE.1)))
    }

    fn warn(&mut self, error: &str) {
        let now = elapsed_now();
        if self.warned_at.is_none_or(|at| now.duration_since(at) >= WARNING_EVERY) {
            self.warned_at = Some(now);
            events::feed_failed(&self.args.name, error);
        }
    }

    fn ask_after(&mut self, pause: Duration, myself: &ActorRef<SlotFeedMsg>) {
        while self.timer.try_join_next().is_some() {}
        let myself = myself.clone();
        self.timer.spawn(async move {
            tokio::time::sleep(pause).await;
            let _ = myself.cast(SlotFeedMsg::Ask);
        });
    }
}
