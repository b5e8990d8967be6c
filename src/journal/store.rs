//! The journal's writer: one thread owns the only writing connection; everyone else sends it batches and questions.
//!
//! Promises kept: an answer means durable (WAL, `synchronous=FULL`, one fsync per batch). After the first failure nothing
//! is written or answered any more, because after a failed fsync the page cache may show what the disk does not have. What
//! this directory remembers of its journal is on the disk before an order leaves. A panic of the thread answers everyone who
//! waits. It never reads a clock: all times come with the writes.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::TransactionBehavior;
use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{
    FaultInjector, FaultPoint, InjectedFault, JournalAnswer, JournalFatal, JournalRead, JournalStore, JournalWrite,
    PortFuture, Written,
};
use tokio::sync::{mpsc, oneshot};

use super::opening::{self, Opened};
use super::tables::RowFault;
use super::{JournalError, Recovered, Start, StateDir, apply, meta, queries, starts};
use crate::exit::with_advice;

/// Requests that may wait for the thread. The Journal actor sends one at a time; more than a few mean a stuck disk.
const QUEUE: usize = 16;

/// Who meets the faults on this thread.
const WHO: &str = "journal";

/// How the journal is opened.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// The start of a node, kept before anything else; `None` for commands, which end no slots.
    pub start: Option<Start>,
    /// Slots that are this much older than their pipeline's newest one are removed; `None` keeps all.
    pub retention: Option<Duration>,
    /// The file never grows beyond this many pages of 4 KiB; `None`: the disk decides.
    pub max_pages: Option<u32>,
    /// A person has compared the account by hand, at this wall time: a journal that is less than the state directory
    /// remembers is taken as it is. Refused when nothing is lost.
    pub accept_lost: Option<UtcMs>,
}

enum Request {
    Commit(Vec<JournalWrite>, oneshot::Sender<Result<Vec<Written>, JournalFatal>>),
    Read(Vec<JournalRead>, oneshot::Sender<Result<Vec<JournalAnswer>, JournalFatal>>),
}

/// The journal in its file. Dropping it waits for the write in progress and closes the file.
pub struct SqliteJournal {
    /// `None` only while it is dropped.
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<Result<(), JournalError>>>,
}

impl SqliteJournal {
    /// Opens or creates the journal of a locked state directory, and upgrades it after a backup when it is older.
    ///
    /// # Errors
    /// When the file is newer than this program, damaged, not a journal, not the one that the directory remembers, or the
    /// disk refuses.
    pub fn open(state: &Arc<StateDir>, faults: Arc<dyn FaultInjector>) -> Result<(Self, Recovered), JournalError> {
        Self::open_with(state, faults, StoreOptions::default())
    }

    /// The same, with options.
    ///
    /// # Errors
    /// As [`SqliteJournal::open`].
    pub fn open_with(
        state: &Arc<StateDir>,
        faults: Arc<dyn FaultInjector>,
        options: StoreOptions,
    ) -> Result<(Self, Recovered), JournalError> {
        let path = state.journal();
        let (opened, mut recovered) = opening::open(state.path(), &path, &options)?;
        if let Some(start) = &options.start {
            let kept = starts::keep(&opened.connection, start);
            recovered.start = Some(kept.map_err(|fault| JournalError::from_row(&path, "keeping the start", fault))?);
        }
        let (requests, inbox) = mpsc::channel(QUEUE);
        let (start, retention) = (recovered.start, options.retention);
        let _state = Arc::clone(state);
        let writer = Writer { opened, path: path.clone(), start, retention, faults, poison: None, _state };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(inbox))
            .map_err(|source| JournalError::Io { path, action: "starting its thread", source })?;
        Ok((Self { requests: Some(requests), thread: Some(thread) }, recovered))
    }

    /// Waits for the write in progress and moves the last commits from the log into the file.
    ///
    /// # Errors
    /// When the disk refuses. The commits are durable in the log, and the next start finds them there.
    pub fn close(mut self) -> Result<(), JournalError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), JournalError> {
        drop(self.requests.take());
        // A panic was reported by the panic hook and answered to every caller already.
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap_or(Ok(())))
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, JournalFatal>>) -> Request,
    ) -> Result<T, JournalFatal> {
        let gone = || JournalFatal("the journal's thread has ended".to_owned());
        let (reply, answer) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or_else(gone)?;
        requests.send(request(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl JournalStore for SqliteJournal {
    fn commit(&self, batch: Vec<JournalWrite>) -> PortFuture<'_, Result<Vec<Written>, JournalFatal>> {
        Box::pin(self.ask(|reply| Request::Commit(batch, reply)))
    }

    fn read(&self, question: JournalRead) -> PortFuture<'_, Result<JournalAnswer, JournalFatal>> {
        Box::pin(async move {
            let answers = self.read_all(vec![question]).await?;
            answers.into_iter().next().ok_or_else(|| JournalFatal("a question has no answer".to_owned()))
        })
    }

    fn read_all(&self, questions: Vec<JournalRead>) -> PortFuture<'_, Result<Vec<JournalAnswer>, JournalFatal>> {
        Box::pin(self.ask(|reply| Request::Read(questions, reply)))
    }
}

impl Drop for SqliteJournal {
    /// Waits for the thread, so that the lock of the state directory is free when the last owner is gone.
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// What lives on the thread.
struct Writer {
    opened: Opened,
    path: PathBuf,
    start: Option<i64>,
    retention: Option<Duration>,
    faults: Arc<dyn FaultInjector>,
    /// The first failure; it is the answer to everything after it.
    poison: Option<JournalFatal>,
    /// The directory stays locked for as long as anything may be written.
    _state: Arc<StateDir>,
}

impl Writer {
    fn run(mut self, mut inbox: mpsc::Receiver<Request>) -> Result<(), JournalError> {
        while let Some(request) = inbox.blocking_recv() {
            // A caller that has gone away does not matter: what it asked for is done or refused all the same.
            match request {
                Request::Commit(batch, reply) => drop(reply.send(self.attempt(|writer| writer.commit(batch)))),
                Request::Read(questions, reply) => drop(reply.send(self.attempt(|writer| writer.read(&questions)))),
            }
        }
        if self.poison.is_some() { Ok(()) } else { self.close() }
    }

    /// SQLite would do the same when it closes the file, and keep a failure to itself.
    fn close(&self) -> Result<(), JournalError> {
        let connection = &self.opened.connection;
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(|source| {
            let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            JournalError::from_sqlite(&self.path, "closing it", source)
        })
    }

    fn attempt<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, JournalError>) -> Result<T, JournalFatal> {
        if let Some(poison) = &self.poison {
            return Err(poison.clone());
        }
        work(self).map_err(|error| {
            let fatal = JournalFatal(with_advice(&error));
            self.poison = Some(fatal.clone());
            // Closing must not move pages that may exist in the cache only into the main file.
            let _ = self.opened.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            fatal
        })
    }

    fn read(&mut self, questions: &[JournalRead]) -> Result<Vec<JournalAnswer>, JournalError> {
        let Opened { connection, known, held, .. } = &mut self.opened;
        held.verify_all()?;
        let answers = questions.iter().map(|question| queries::answer(connection, known, question));
        answers.collect::<Result<_, _>>().map_err(|fault| JournalError::from_row(&self.path, "reading it", fault))
    }

    fn commit(&mut self, batch: Vec<JournalWrite>) -> Result<Vec<Written>, JournalError> {
        let is_send = |write: &JournalWrite| matches!(write, JournalWrite::Advance { event, .. } if event.is_send());
        self.opened.held.verify_log()?;
        let is_row = |write: &JournalWrite| {
            matches!(write, JournalWrite::EndSlot(_) | JournalWrite::MissSlots { .. } | JournalWrite::Announce { .. })
        };
        let has_more_than_rows = !batch.iter().all(is_row);
        let something_leaves = batch.iter().any(is_send);
        let written = self.write(batch).map_err(|fault| JournalError::from_row(&self.path, "writing it", fault))?;
        let Opened { held, mark, progress, .. } = &mut self.opened;
        // A commit into a file that was moved away does not count.
        if has_more_than_rows { held.verify_all() } else { held.verify_journal() }?;
        mark.note(progress, something_leaves).map_err(|source| {
            let path = mark.path().to_owned();
            JournalError::Io { path, action: "noting a commit", source }
        })?;
        Ok(written)
    }

    fn write(&mut self, batch: Vec<JournalWrite>) -> Result<Vec<Written>, RowFault> {
        let Opened { connection, known, meta, progress, .. } = &mut self.opened;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let written = apply::batch(&transaction, (known, meta), batch, self.start, self.retention)?;
        progress.commits += 1;
        for (name, number) in [
            (meta::COMMITS, progress.commits),
            (meta::INTENTS, known.intents),
            (meta::EVENTS, known.events),
            (meta::HALTS, known.halts),
            (meta::ACCOUNTS, known.losses.count()),
        ] {
            meta.set(name, Value::Integer(number));
        }
        meta.save(&transaction)?;
        inject_fault_blocking(&*self.faults, FaultPoint::BeforeCommit);
        transaction.commit()?;
        inject_fault_blocking(&*self.faults, FaultPoint::AfterCommit);
        Ok(written)
    }
}

/// A thread can panic and block; what only an async task can do passes.
#[expect(clippy::panic, reason = "the injected fault is a panic")]
fn inject_fault_blocking(faults: &dyn FaultInjector, point: FaultPoint) {
    match faults.at(point, WHO) {
        InjectedFault::None | InjectedFault::Hang | InjectedFault::Delay(_) => {}
        InjectedFault::Block(duration) => std::thread::sleep(duration),
        InjectedFault::Panic => panic!("injected at {point:?} in {WHO}"),
    }
}
