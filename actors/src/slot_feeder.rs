//! SlotFeeder: asks what announces the slots of one pipeline, makes the answer durable, and tells the Pipeline.
//!
//! A child of the Pipeline and not part of it: an announcer that hangs or panics costs a restart of this actor, and no cycle. An
//! announcement is durable before the Pipeline hears of it, so that its slot gets a row even if the node dies right then
//! (promise 1). What a ledger says later about a forecast comes the same way, and is noted on its intent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::task::JoinSet;

use crate::domain::announced::FeedNews;
use crate::domain::fact::Fact;
use crate::domain::intent::{IntentEvent, IntentKey, Mode};
use crate::domain::schedule::Window;
use crate::domain::time::UtcMs;
use crate::events;
use crate::journal::{JournalHandle, JournalUnavailable};
use crate::messages::PipelineMsg;
use crate::ports::{
    Announcer, Clock, FaultInjector, FaultPoint, FeedAnswer, FeedError, FeedRequest, Written, elapsed_now, inject_fault,
};
use crate::supervision::Address;
use crate::warm_up::{WARM_UP_BEFORE, WarmUp};

/// Name of the child within its pipeline.
pub const SLOT_FEED: &str = "slot_feed";
/// Longest call of an announcer.
const DEADLINE: Duration = Duration::from_secs(5);
/// What it may take beyond that.
const GRACE: Duration = Duration::from_secs(1);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// Bounds of the pause that an announcer may ask for.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(600));
/// So many ids are told to the announcer, and so many forecasts are asked about at once.
const KNOWN_MAX: u32 = 1000;
const AWAITING_MAX: u32 = 64;
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
    /// That of the sink: the ledger is asked about its forecasts.
    pub account: String,
    /// Windows that open outside the competition are not due.
    pub window: Window,
    pub clock: Arc<dyn Clock>,
    pub journal: JournalHandle,
    pub pipeline: Address<PipelineMsg>,
    pub(crate) warm_up: WarmUp,
    /// Where faults are injected; nothing happens there in production.
    pub faults: Arc<dyn FaultInjector>,
}

pub struct SlotFeeder;

pub struct SlotFeederState {
    args: SlotFeederArgs,
    timer: JoinSet<()>,
    /// When it last warned, if the newest question failed.
    warned_at: Option<tokio::time::Instant>,
    /// The announcer knows of everything that is durable: it was told, and has announced nothing since.
    has_told: bool,
    /// What it waits for, as it was last logged.
    waits_for: Option<String>,
    /// The slot that was rehearsed for, by its expected time.
    rehearsed: Option<UtcMs>,
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
        let (timer, warned_at, waits_for) = (JoinSet::new(), None, None);
        Ok(SlotFeederState { args, timer, warned_at, has_told: false, waits_for, rehearsed: None })
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
                self.rehearse(news.next);
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
        let ids = if self.has_told { Vec::new() } else { journal.announced_ids(&name, KNOWN_MAX).await? };
        // In this order: a slot without a row gets an intent, and an intent that is confirmed awaits the ledger. None is missed.
        let mut unsettled = journal.open_intents(&name).await?;
        unsettled.retain(|intent| intent.mode == Mode::Live && intent.account == self.args.account);
        let awaiting = journal.awaiting_intents(&name, &self.args.account, AWAITING_MAX).await?;
        let now = self.args.clock.now();
        let (since, open) = (known.newest, known.open.clone());
        let request = FeedRequest { since, open, known: ids, unsettled, awaiting, now, deadline: DEADLINE };
        // One that keeps no deadline must not look like one that has nothing to say.
        let asked = tokio::time::timeout(DEADLINE + GRACE, self.args.announcer.ask(&request)).await;
        let silent = || Err(FeedError(format!("no answer within {:?}", DEADLINE + GRACE)));
        let answer = match asked.unwrap_or_else(|_| silent()) {
            Ok(answer) => answer,
            Err(error) => {
                self.warn(&error.to_string());
                let (open, withdrawn) = (known.open, BTreeSet::new());
                let news = FeedNews { open, withdrawn, asked_at: None, waits_for: None, next: None, runway: None };
                return Ok((news, RETRY));
            }
        };
        let FeedAnswer { mut announced, withdrawn, facts, as_of, waits_for, next, runway, ask_again } = answer;
        // Which of them are durable it learns with the next question, also when that fails here.
        self.has_told = announced.is_empty();
        if self.warned_at.take().is_some() {
            events::feed_answers_again(&name);
        }
        self.log_wait(waits_for.as_deref());
        announced.retain(|announcement| self.args.window.contains(announcement.opens()));
        // A clock that learns the time from the feed shows it only now.
        let noted_at = self.args.clock.now();
        if !announced.is_empty() {
            journal.announce(&name, announced, noted_at).await?;
            let before = std::mem::replace(&mut known, journal.announced(&name).await?);
            let new: Vec<_> = known.open.iter().filter(|slot| !before.open.contains(slot)).collect();
            if let Some(newest) = new.last() {
                events::slots_announced(&name, new.len(), newest);
            }
        }
        for (key, fact) in facts {
            self.note(&key, fact, noted_at).await?;
        }
        let (withdrawn, asked_at) = (withdrawn.into_iter().collect(), Some(as_of.unwrap_or(now)));
        let news = FeedNews { open: known.open, withdrawn, asked_at, waits_for, next, runway };
        Ok((news, ask_again.clamp(PAUSE.0, PAUSE.1)))
    }

    /// Notes on its intent what the ledger says. What was noted before changes nothing.
    async fn note(&self, key: &IntentKey, fact: Fact, at: UtcMs) -> Result<(), JournalUnavailable> {
        let event = IntentEvent::Noted { fact: fact.clone() };
        if let Written::Done = self.args.journal.advance(key, event, at).await? {
            events::forecast_noted(&self.args.name, key, &fact);
        }
        Ok(())
    }

    /// Rehearses the cycle of the next slot, once and beside everything else.
    fn rehearse(&mut self, next: Option<UtcMs>) {
        let Some(next) = next else { return };
        let is_new = self.rehearsed.is_none_or(|rehearsed| next.since(rehearsed) > WARM_UP_BEFORE);
        if is_new && WarmUp::is_due(next, self.args.clock.now()) {
            self.rehearsed = Some(next);
            self.timer.spawn(self.args.warm_up.clone().run());
        }
    }

    fn log_wait(&mut self, waits_for: Option<&str>) {
        if self.waits_for.as_deref() == waits_for {
            return;
        }
        match waits_for {
            Some(waits_for) => events::slots_unusable(&self.args.name, waits_for),
            None => events::slots_usable(&self.args.name),
        }
        self.waits_for = waits_for.map(str::to_owned);
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
