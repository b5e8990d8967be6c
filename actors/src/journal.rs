//! Journal: the one way to the durable record.
//!
//! Writes that arrive during a commit go into the next transaction together; it never waits for more of them. It replies only
//! when they are durable. After a failed commit nothing may act: it reports to the root, and the process exits with 74.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::domain::announced::Announcement;
use crate::domain::intent::{Basis, Intent, IntentEvent, IntentKey, Mode};
use crate::domain::risk::Exposure;
use crate::domain::time::UtcMs;
use crate::ports::{
    Announced, FaultInjector, FaultPoint, JournalAnswer, JournalFatal, JournalRead, JournalStore, JournalWrite,
    Recovery, Written, elapsed_now, inject_fault,
};
use crate::supervision::watch::Progress;
use crate::supervision::{Address, CallError};

/// Writes of one transaction at most.
const BATCH_MAX: usize = 256;

/// A transaction with this many rows takes no further write, so that other writers do not wait too long.
const BATCH_ROWS_MAX: u64 = 1000;

/// Longest wait for a commit; a slower disk counts as failed.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause before a replaced Journal is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

pub enum JournalMsg {
    /// Writes in order; the reply has one entry per write and comes when they are durable.
    Write(Vec<JournalWrite>, RpcReplyPort<Vec<Written>>),
    /// One write; the callback runs when it is durable.
    Record(JournalWrite, Box<dyn FnOnce() + Send>),
    /// A query. It sees every write that was queued before it.
    Read(JournalRead, RpcReplyPort<JournalAnswer>),
    /// A call of the store has returned.
    Done(Box<StoreResult>),
    /// A call of the store panicked.
    StorePanicked,
    Ping(RpcReplyPort<()>),
}

pub enum StoreResult {
    Committed(Result<Vec<Written>, JournalFatal>),
    Answered(Result<JournalAnswer, JournalFatal>),
}

#[derive(Clone)]
pub struct JournalArgs {
    pub store: Arc<dyn JournalStore>,
    /// Called once, when the storage fails.
    pub on_fatal: Arc<dyn Fn(JournalFatal) + Send + Sync>,
    /// Gets a beat with each commit, and with each ping while idle.
    pub progress: Arc<Progress>,
    /// Where faults are injected; nothing happens there in production.
    pub faults: Arc<dyn FaultInjector>,
}

pub struct Journal;

pub struct JournalState {
    args: JournalArgs,
    queue: VecDeque<Item>,
    in_flight: Option<InFlight>,
    tasks: JoinSet<()>,
}

enum Item {
    Write(Vec<JournalWrite>, RpcReplyPort<Vec<Written>>),
    Record(JournalWrite, Box<dyn FnOnce() + Send>),
    Read(JournalRead, RpcReplyPort<JournalAnswer>),
}

enum InFlight {
    Batch(Vec<Waiter>),
    Query(RpcReplyPort<JournalAnswer>),
}

enum Waiter {
    Port(usize, RpcReplyPort<Vec<Written>>),
    Callback(Box<dyn FnOnce() + Send>),
}

impl Actor for Journal {
    type Msg = JournalMsg;
    type State = JournalState;
    type Arguments = JournalArgs;

    async fn pre_start(&self, _: ActorRef<JournalMsg>, args: JournalArgs) -> Result<JournalState, ActorProcessingErr> {
        inject_fault(&*args.faults, FaultPoint::PreStart, "journal").await;
        Ok(JournalState { args, queue: VecDeque::new(), in_flight: None, tasks: JoinSet::new() })
    }

    async fn post_start(&self, _: ActorRef<JournalMsg>, state: &mut JournalState) -> Result<(), ActorProcessingErr> {
        inject_fault(&*state.args.faults, FaultPoint::PostStart, "journal").await;
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<JournalMsg>,
        message: JournalMsg,
        state: &mut JournalState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            JournalMsg::Write(writes, reply) => state.queue.push_back(Item::Write(writes, reply)),
            JournalMsg::Record(write, done) => state.queue.push_back(Item::Record(write, done)),
            JournalMsg::Read(query, reply) => state.queue.push_back(Item::Read(query, reply)),
            JournalMsg::Done(result) => state.finish(*result)?,
            // Waiting callers get an error; the next incarnation finds out what is durable.
            JournalMsg::StorePanicked => return Err("the store panicked".into()),
            JournalMsg::Ping(reply) => {
                if state.in_flight.is_none() {
                    state.args.progress.beat_journal();
                }
                let _ = reply.send(());
            }
        }
        inject_fault(&*state.args.faults, FaultPoint::JournalHandle, "journal").await;
        state.start_next(&myself);
        Ok(())
    }
}

/// Reports the result of a call of the store to the Journal, also when the call panicked: otherwise the Journal would wait
/// for it without end.
struct CompletionGuard(Option<ActorRef<JournalMsg>>);

impl CompletionGuard {
    fn complete(mut self, result: StoreResult) {
        if let Some(journal) = self.0.take() {
            let _ = journal.cast(JournalMsg::Done(Box::new(result)));
        }
    }
}

impl Drop for CompletionGuard {
    fn drop(&mut self) {
        if let Some(journal) = self.0.take() {
            let _ = journal.cast(JournalMsg::StorePanicked);
        }
    }
}

impl JournalState {
    /// Passes what has queued up to the store, when the store is free.
    fn start_next(&mut self, myself: &ActorRef<JournalMsg>) {
        if self.in_flight.is_some() {
            return;
        }
        let store = self.args.store.clone();
        if let Some(Item::Read(..)) = self.queue.front() {
            let Some(Item::Read(query, reply)) = self.queue.pop_front() else { return };
            self.in_flight = Some(InFlight::Query(reply));
            let guard = CompletionGuard(Some(myself.clone()));
            self.tasks.spawn(async move {
                let answer = store.read(query).await;
                guard.complete(StoreResult::Answered(answer));
            });
            return;
        }
        let (batch, waiters) = self.take_batch();
        if batch.is_empty() {
            return;
        }
        self.in_flight = Some(InFlight::Batch(waiters));
        let guard = CompletionGuard(Some(myself.clone()));
        self.tasks.spawn(async move {
            let written = store.commit(batch).await;
            guard.complete(StoreResult::Committed(written));
        });
    }

    fn take_batch(&mut self) -> (Vec<JournalWrite>, Vec<Waiter>) {
        let (mut batch, mut waiters, mut rows) = (Vec::new(), Vec::new(), 0);
        while batch.len() < BATCH_MAX
            && rows < BATCH_ROWS_MAX
            && !matches!(self.queue.front(), None | Some(Item::Read(..)))
        {
            match self.queue.pop_front() {
                Some(Item::Write(writes, reply)) => {
                    waiters.push(Waiter::Port(writes.len(), reply));
                    rows += writes.iter().map(JournalWrite::rows).sum::<u64>();
                    batch.extend(writes);
                }
                Some(Item::Record(write, done)) => {
                    waiters.push(Waiter::Callback(done));
                    rows += write.rows();
                    batch.push(write);
                }
                _ => break,
            }
        }
        (batch, waiters)
    }

    fn finish(&mut self, result: StoreResult) -> Result<(), ActorProcessingErr> {
        while self.tasks.try_join_next().is_some() {}
        match (self.in_flight.take(), result) {
            (Some(InFlight::Batch(waiters)), StoreResult::Committed(Ok(written))) => {
                self.args.progress.beat_journal();
                let mut written = written.into_iter();
                for waiter in waiters {
                    match waiter {
                        Waiter::Port(count, reply) => {
                            let _ = reply.send(written.by_ref().take(count).collect());
                        }
                        Waiter::Callback(done) => {
                            written.next();
                            done();
                        }
                    }
                }
                Ok(())
            }
            (Some(InFlight::Query(reply)), StoreResult::Answered(Ok(answer))) => {
                let _ = reply.send(answer);
                Ok(())
            }
            (_, StoreResult::Committed(Err(fatal)) | StoreResult::Answered(Err(fatal))) => {
                (self.args.on_fatal)(fatal.clone());
                Err(Box::new(fatal))
            }
            _ => Ok(()),
        }
    }
}

/// The journal did not confirm in time. A write may or may not have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JournalUnavailable {
    #[error("the journal did not confirm: {0}")]
    Call(CallError),
    /// A bug: the answer does not belong to the query.
    #[error("the journal gave an answer of the wrong kind")]
    WrongAnswer,
}

/// The client side of the Journal.
#[derive(Clone)]
pub struct JournalHandle {
    address: Address<JournalMsg>,
    until: Option<Instant>,
}

impl JournalHandle {
    #[must_use]
    pub const fn new(address: Address<JournalMsg>) -> Self {
        Self { address, until: None }
    }

    /// From now on every call ends by then, because the caller itself has to answer by then.
    pub const fn give_up_at(&mut self, until: Instant) {
        self.until = Some(until);
    }

    /// Writes a new intent durably.
    ///
    /// # Errors
    /// When it was not confirmed; it may be written.
    pub async fn plan(&self, intent: Intent) -> Result<Written, JournalUnavailable> {
        self.write(JournalWrite::Plan(Box::new(intent))).await
    }

    /// Applies an event to an intent durably.
    ///
    /// # Errors
    /// When it was not confirmed; it may be written.
    pub async fn advance(&self, key: &IntentKey, event: IntentEvent, at: UtcMs) -> Result<Written, JournalUnavailable> {
        self.write(JournalWrite::Advance { key: key.clone(), event, at }).await
    }

    /// Moves an intent, after all earlier writes, and does not wait. The change is lost when the Journal ends before it.
    pub fn advance_without_waiting(&self, key: &IntentKey, event: IntentEvent, at: UtcMs) {
        let write = JournalWrite::Advance { key: key.clone(), event, at };
        let _ = self.address.send(JournalMsg::Record(write, Box::new(|| {})));
    }

    async fn write(&self, write: JournalWrite) -> Result<Written, JournalUnavailable> {
        let written = self.ask(|reply| JournalMsg::Write(vec![write.clone()], reply)).await?;
        written.into_iter().next().ok_or(JournalUnavailable::WrongAnswer)
    }

    /// Calls the Journal, and calls again when it was replaced meanwhile. Every write is safe to repeat: a plan finds the same
    /// intent, a transition finds that it was made.
    async fn ask<R: Send + 'static>(
        &self,
        make: impl Fn(RpcReplyPort<R>) -> JournalMsg,
    ) -> Result<R, JournalUnavailable> {
        let give_up = elapsed_now() + REPLY_TIMEOUT;
        let give_up = self.until.map_or(give_up, |until| until.min(give_up));
        loop {
            let left = give_up.saturating_duration_since(elapsed_now());
            match self.address.call(&make, left).await {
                Ok(answer) => return Ok(answer),
                Err(CallError::NotRunning | CallError::Ended) if left > RETRY_PAUSE => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(error) => return Err(JournalUnavailable::Call(error)),
            }
        }
    }

    /// What a pipeline has to know at its start.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn recovery(&self, pipeline: &str) -> Result<Recovery, JournalUnavailable> {
        match self.read(JournalRead::Recovery { pipeline: pipeline.to_owned() }).await? {
            JournalAnswer::Recovery(recovery) => Ok(recovery),
            _ => Err(JournalUnavailable::WrongAnswer),
        }
    }

    /// Makes announcements durable.
    ///
    /// # Errors
    /// When it was not confirmed; they may be written.
    pub async fn announce(
        &self,
        pipeline: &str,
        announced: Vec<Announcement>,
        at: UtcMs,
    ) -> Result<(), JournalUnavailable> {
        self.write(JournalWrite::Announce { pipeline: pipeline.to_owned(), announced, at }).await.map(|_| ())
    }

    /// Announced slots of a pipeline.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn announced(&self, pipeline: &str) -> Result<Announced, JournalUnavailable> {
        match self.read(JournalRead::Announced { pipeline: pipeline.to_owned() }).await? {
            JournalAnswer::Announced(announced) => Ok(announced),
            _ => Err(JournalUnavailable::WrongAnswer),
        }
    }

    /// Open intents and recent orders of an account and symbol.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn exposure(
        &self,
        account: &str,
        symbol: &str,
        mode: Mode,
        now: UtcMs,
    ) -> Result<Exposure, JournalUnavailable> {
        let query = JournalRead::Exposure { account: account.to_owned(), symbol: symbol.to_owned(), mode, now };
        match self.read(query).await? {
            JournalAnswer::Exposure(exposure) => Ok(exposure),
            _ => Err(JournalUnavailable::WrongAnswer),
        }
    }

    /// Intents of a pipeline that are not final, oldest first.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn open_intents(&self, pipeline: &str) -> Result<Vec<Intent>, JournalUnavailable> {
        self.intents(JournalRead::OpenIntents { pipeline: pipeline.to_owned() }).await
    }

    /// Confirmed orders of an account and symbol, oldest first.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn acked_intents(
        &self,
        account: &str,
        symbol: &str,
        mode: Mode,
    ) -> Result<Vec<Intent>, JournalUnavailable> {
        let (account, symbol) = (account.to_owned(), symbol.to_owned());
        self.intents(JournalRead::AckedIntents { account, symbol, mode }).await
    }

    /// Intents of one decision, in any state.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn existing_intents(
        &self,
        pipeline: &str,
        basis: Basis,
        slot: UtcMs,
    ) -> Result<Vec<Intent>, JournalUnavailable> {
        self.intents(JournalRead::ExistingIntents { pipeline: pipeline.to_owned(), basis, slot }).await
    }

    async fn intents(&self, query: JournalRead) -> Result<Vec<Intent>, JournalUnavailable> {
        match self.read(query).await? {
            JournalAnswer::Intents(intents) => Ok(intents),
            _ => Err(JournalUnavailable::WrongAnswer),
        }
    }

    async fn read(&self, query: JournalRead) -> Result<JournalAnswer, JournalUnavailable> {
        self.ask(|reply| JournalMsg::Read(query.clone(), reply)).await
    }
}
