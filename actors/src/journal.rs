//! Journal: the one way to the durable record.
//!
//! Writes that arrive during a commit go into the next transaction together, and queries are answered together between two
//! commits, each after the earlier writes that it is about. Rows of slots that have ended gather for a few milliseconds first, because
//! nobody waits for them; whatever somebody waits for is never held back. It replies only when
//! writes are durable. After a failed commit nothing may act: it reports to the root, and the process exits with 74.

mod handle;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::handle::{JournalHandle, JournalUnavailable};
use crate::meters::Meters;
use crate::ports::{
    FaultInjector, FaultPoint, JournalAnswer, JournalFatal, JournalRead, JournalStore, JournalWrite, Written,
    elapsed_now, inject_fault,
};
use crate::supervision::watch::Progress;

/// Writes of one transaction at most. A slow disk takes hundreds of milliseconds for a commit, whatever is in it: what waits
/// then must fit into the next ones.
const BATCH_MAX: usize = 1000;

/// A transaction with this many rows takes no further write, so that other writers do not wait too long.
const BATCH_ROWS_MAX: u64 = 1000;

/// How long rows gather for one commit, at least and at most. Between the two it is as long as the last commit took, so that a
/// slow disk is free for others at least half of the time.
const GATHER_FOR: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(1)];
/// So many rows do not wait for more: a pipeline that replays goes on with less than twice as many on their way.
const GATHER_ROWS: u64 = 64;
/// The same on a slow disk.
const GATHER_ROWS_SLOW: u64 = BATCH_ROWS_MAX / 2;

pub enum JournalMsg {
    /// Writes in order; the reply has one entry per write and comes when they are durable.
    Write(Vec<JournalWrite>, RpcReplyPort<Vec<Written>>),
    /// One write; the callback runs when it is durable.
    Record(JournalWrite, Box<dyn FnOnce() + Send>),
    /// A query. It sees every write that was queued before it; one about intents need not see rows.
    Read(JournalRead, RpcReplyPort<JournalAnswer>),
    /// Rows have gathered for long enough.
    Gathered,
    /// A call of the store has returned.
    Done(Box<StoreResult>),
    /// A call of the store panicked.
    StorePanicked,
    Ping(RpcReplyPort<()>),
}

pub enum StoreResult {
    Committed(Result<Vec<Written>, JournalFatal>),
    Answered(Result<Vec<JournalAnswer>, JournalFatal>),
}

#[derive(Clone)]
pub struct JournalArgs {
    pub store: Arc<dyn JournalStore>,
    /// Called once, when the storage fails.
    pub on_fatal: Arc<dyn Fn(JournalFatal) + Send + Sync>,
    /// Gets a beat with each commit, and with each ping while idle.
    pub progress: Arc<Progress>,
    /// Counts how long commits take.
    pub meters: Arc<Meters>,
    /// Where faults are injected; nothing happens there in production.
    pub faults: Arc<dyn FaultInjector>,
}

pub struct Journal;

pub struct JournalState {
    args: JournalArgs,
    /// In the order in which they came, each with its place among writes and queries.
    writes: VecDeque<(u64, WriteItem)>,
    queries: VecDeque<(u64, JournalRead, RpcReplyPort<JournalAnswer>)>,
    next_place: u64,
    in_flight: Option<InFlight>,
    gathering: Gathering,
    gather_for: Duration,
    tasks: JoinSet<()>,
}

/// Whether the rows in the queue wait for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gathering {
    No,
    Since,
    Over,
}

enum WriteItem {
    Call(Vec<JournalWrite>, RpcReplyPort<Vec<Written>>),
    Record(JournalWrite, Box<dyn FnOnce() + Send>),
}

enum InFlight {
    Batch(Vec<Waiter>, Instant),
    Queries(Vec<RpcReplyPort<JournalAnswer>>),
}

enum Waiter {
    Port(usize, RpcReplyPort<Vec<Written>>),
    Callback(Box<dyn FnOnce() + Send>),
}

impl WriteItem {
    /// Rows that it writes.
    fn rows(&self) -> u64 {
        match self {
            Self::Call(writes, _) => writes.iter().map(JournalWrite::rows).sum(),
            Self::Record(write, _) => write.rows(),
        }
    }

    /// Whether it is rows of slots, which nobody waits for.
    const fn is_rows(&self) -> bool {
        matches!(self, Self::Record(JournalWrite::EndSlot(_) | JournalWrite::MissSlots { .. }, _))
    }
}

impl Actor for Journal {
    type Msg = JournalMsg;
    type State = JournalState;
    type Arguments = JournalArgs;

    async fn pre_start(&self, _: ActorRef<JournalMsg>, args: JournalArgs) -> Result<JournalState, ActorProcessingErr> {
        inject_fault(&*args.faults, FaultPoint::PreStart, "journal").await;
        Ok(JournalState {
            args,
            writes: VecDeque::new(),
            queries: VecDeque::new(),
            next_place: 0,
            in_flight: None,
            gathering: Gathering::No,
            gather_for: GATHER_FOR[0],
            tasks: JoinSet::new(),
        })
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
            JournalMsg::Write(writes, reply) => {
                let place = state.place();
                state.writes.push_back((place, WriteItem::Call(writes, reply)));
            }
            JournalMsg::Record(write, done) => {
                let place = state.place();
                state.writes.push_back((place, WriteItem::Record(write, done)));
            }
            JournalMsg::Read(query, reply) => {
                let place = state.place();
                state.queries.push_back((place, query, reply));
            }
            JournalMsg::Gathered => {
                // A commit may have taken them meanwhile.
                if state.gathering == Gathering::Since {
                    state.gathering = Gathering::Over;
                }
            }
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
    /// The next place in the order of writes and queries.
    const fn place(&mut self) -> u64 {
        self.next_place += 1;
        self.next_place
    }

    /// Passes what has queued up to the store, when the store is free: first the queries that no write is in front of which they
    /// must see.
    fn start_next(&mut self, myself: &ActorRef<JournalMsg>) {
        if self.in_flight.is_some() {
            return;
        }
        let store = self.args.store.clone();
        let (queries, replies) = self.take_queries();
        if !queries.is_empty() {
            self.in_flight = Some(InFlight::Queries(replies));
            let guard = CompletionGuard(Some(myself.clone()));
            self.tasks.spawn(async move {
                let answers = store.read_all(queries).await;
                guard.complete(StoreResult::Answered(answers));
            });
            return;
        }
        if self.gathers(myself) {
            return;
        }
        self.gathering = Gathering::No;
        let (batch, waiters) = self.take_batch();
        if batch.is_empty() {
            return;
        }
        self.in_flight = Some(InFlight::Batch(waiters, elapsed_now()));
        let guard = CompletionGuard(Some(myself.clone()));
        self.tasks.spawn(async move {
            let written = store.commit(batch).await;
            guard.complete(StoreResult::Committed(written));
        });
    }

    fn take_queries(&mut self) -> (Vec<JournalRead>, Vec<RpcReplyPort<JournalAnswer>>) {
        let place = |write: Option<&(u64, WriteItem)>| write.map_or(u64::MAX, |(place, _)| *place);
        let first = place(self.writes.front());
        let first_of_intents = place(self.writes.iter().find(|(_, item)| !item.is_rows()));
        let ready = |(place, query, _): &&(u64, JournalRead, _)| match query {
            JournalRead::Recovery { .. } | JournalRead::Announced { .. } => *place < first,
            _ => *place < first_of_intents,
        };
        let ready = self.queries.iter().take_while(ready).count();
        self.queries.drain(..ready.min(BATCH_MAX)).map(|(_, query, reply)| (query, reply)).unzip()
    }

    /// Whether what is in the queue waits for more rows.
    fn gathers(&mut self, myself: &ActorRef<JournalMsg>) -> bool {
        let enough = if self.gather_for > GATHER_FOR[0] { GATHER_ROWS_SLOW } else { GATHER_ROWS };
        let mut rows = 0;
        let nobody_waits = self.queries.is_empty()
            && self.writes.iter().all(|(_, item)| {
                rows += item.rows();
                item.is_rows() && rows < enough
            });
        if !nobody_waits || self.writes.is_empty() || self.gathering == Gathering::Over {
            return false;
        }
        if self.gathering == Gathering::No {
            self.gathering = Gathering::Since;
            let (myself, gather_for) = (myself.clone(), self.gather_for);
            self.tasks.spawn(async move {
                tokio::time::sleep(gather_for).await;
                let _ = myself.cast(JournalMsg::Gathered);
            });
        }
        true
    }

    fn take_batch(&mut self) -> (Vec<JournalWrite>, Vec<Waiter>) {
        let (mut batch, mut waiters, mut rows) = (Vec::new(), Vec::new(), 0);
        while batch.len() < BATCH_MAX && rows < BATCH_ROWS_MAX {
            let Some((_, item)) = self.writes.pop_front() else { break };
            rows += item.rows();
            match item {
                WriteItem::Call(writes, reply) => {
                    waiters.push(Waiter::Port(writes.len(), reply));
                    batch.extend(writes);
                }
                WriteItem::Record(write, done) => {
                    waiters.push(Waiter::Callback(done));
                    batch.push(write);
                }
            }
        }
        (batch, waiters)
    }

    fn finish(&mut self, result: StoreResult) -> Result<(), ActorProcessingErr> {
        while self.tasks.try_join_next().is_some() {}
        match (self.in_flight.take(), result) {
            (Some(InFlight::Batch(waiters, began)), StoreResult::Committed(Ok(written))) => {
                let took = began.elapsed();
                self.gather_for = took.clamp(GATHER_FOR[0], GATHER_FOR[1]);
                self.args.meters.commits.count(took);
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
            (Some(InFlight::Queries(replies)), StoreResult::Answered(Ok(answers))) => {
                // A ping may always find it at work on the next question.
                self.args.progress.beat_journal();
                for (reply, answer) in replies.into_iter().zip(answers) {
                    let _ = reply.send(answer);
                }
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
