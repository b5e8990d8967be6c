//! The paper book's owner: a thread that alone touches the file, and handles that ask it.
//!
//! A commit waits for the disk; doing that on a worker of the runtime would stop other pipelines. Questions are answered in
//! the order in which they were asked, so an answer to "do you have this order?" counts every order handed over before. What
//! arrives during a commit goes into the next one together, and is answered when it is durable. An order whose asker has given up
//! by the time its turn comes is not carried out any more.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use tokio::sync::{mpsc, oneshot};

use super::exits::Terms;
pub use super::ledger::BookError;
use super::ledger::{Ledger, OpenPosition};

/// The book's file in the state directory.
pub const BOOK_FILE: &str = "paper.db";
/// Questions that may wait. More means that the disk cannot keep up, and waiting longer would not help.
const QUEUE: usize = 4096;
/// Questions of one commit at most.
const GROUP_MAX: usize = 256;

/// Answers a question, once it is known whether what it wrote is durable.
type Answer = Box<dyn FnOnce(Result<(), Arc<BookError>>) + Send>;

/// Asks the ledger, or answers at once why it cannot be asked. Nothing is left to say to an asker who has given up.
type Ask = Box<dyn FnOnce(Result<&mut Ledger, Arc<BookError>>) -> Option<Answer> + Send>;

/// What somebody wants to know or to have done.
struct Question {
    /// The positions that it may change.
    changes: Option<Holding>,
    /// Whether it may write at all.
    writes: bool,
    ask: Ask,
}

/// The positions of one account in one symbol.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holding {
    pub(super) account: String,
    pub(super) symbol: String,
}

/// A handle on the book. The file is closed when the last handle is dropped.
#[derive(Clone)]
pub struct Book(Arc<Owner>);

struct Owner {
    /// `None` only while the owner is dropped.
    questions: Option<mpsc::Sender<Question>>,
    thread: Option<JoinHandle<()>>,
    view: Arc<View>,
    /// What the open positions of a holding are worth at the newest bar that this process has seen.
    prices: Mutex<BTreeMap<Holding, Priced>>,
}

/// The newest price of a symbol, and on which terms a position of it is closed.
#[derive(Clone)]
pub(super) struct Priced {
    pub(super) mid: Decimal,
    pub(super) terms: Arc<Terms>,
}

/// What is open, as of the last commit; a holding that is not here has nothing.
struct View(Mutex<BTreeMap<Holding, Shown>>);

#[derive(Clone)]
struct Shown {
    /// Questions on their way that may change it. What is shown is certain only without them.
    waiting: usize,
    /// `None` when it could not be read.
    open: Option<Arc<[OpenPosition]>>,
    /// At slots before it, something else may have been open.
    holds_from: UtcMs,
}

impl Default for Shown {
    fn default() -> Self {
        Self { waiting: 0, open: Some(Arc::new([])), holds_from: UtcMs(i64::MIN) }
    }
}

impl View {
    fn of(ledger: &Ledger) -> Result<Self, BookError> {
        let view = Self(Mutex::default());
        for holding in ledger.holdings()? {
            view.refresh(ledger, &holding);
        }
        Ok(view)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Holding, Shown>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, holding: &Holding) -> Option<Shown> {
        let shown = self.lock().get(holding).cloned().unwrap_or_default();
        (shown.waiting == 0).then_some(shown)
    }

    /// A question that may change the holding is on its way.
    fn expect(&self, holding: Option<&Holding>) {
        if let Some(holding) = holding {
            self.lock().entry(holding.clone()).or_default().waiting += 1;
        }
    }

    /// It has been dealt with, or could not be handed over.
    fn settle(&self, holding: Option<&Holding>) {
        let Some(holding) = holding else { return };
        if let Some(shown) = self.lock().get_mut(holding) {
            shown.waiting -= 1;
        }
    }

    /// Takes what the ledger has. When it cannot be read, nothing is known, and everyone asks the thread.
    fn refresh(&self, ledger: &Ledger, holding: &Holding) {
        let (open, holds_from) = (ledger.open_of(holding).ok().map(Arc::from), ledger.ended_until(holding));
        let mut view = self.lock();
        let shown = view.entry(holding.clone()).or_default();
        (shown.open, shown.holds_from) = (open, holds_from);
    }
}

/// What the thread does: takes what has arrived, carries it out, makes it durable together, and answers.
fn keep(mut ledger: Ledger, mut questions: mpsc::Receiver<Question>, view: &View) {
    while let Some(first) = questions.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP_MAX
            && let Ok(next) = questions.try_recv()
        {
            group.push(next);
        }
        answer(&mut ledger, group, view);
    }
    if let Err(error) = ledger.close() {
        tracing::error!(
            event = "book_not_closed",
            error = %chain(&error),
            "the last orders of the paper book stay in the log beside its file; the next start moves them"
        );
    }
}

fn answer(ledger: &mut Ledger, group: Vec<Question>, view: &View) {
    let before = ledger.changes();
    let writes = group.iter().any(|question| question.writes);
    // Nothing is answered from a transaction that could not be ended, and nothing is done without one.
    let begun = ledger.end_dangling().and_then(|()| if writes { ledger.begin() } else { Ok(()) }).map_err(Arc::new);
    let (mut answers, mut changed) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
    for question in group {
        changed.push(question.changes);
        // A panic takes back what the question wrote, and is its asker's failure only.
        let ready = begun.clone().map(|()| &mut *ledger);
        if let Ok(Some(answer)) = catch_unwind(AssertUnwindSafe(|| (question.ask)(ready))) {
            answers.push(answer);
        }
    }
    let committed = if writes && begun.is_ok() { ledger.commit().map_err(Arc::new) } else { begun };
    if ledger.changes() != before {
        for holding in changed.iter().flatten() {
            view.refresh(ledger, holding);
        }
    }
    for holding in changed.iter().flatten() {
        view.settle(Some(holding));
    }
    for answer in answers {
        answer(committed.clone());
    }
}

impl Book {
    /// Opens the book, or begins one.
    ///
    /// # Errors
    /// When the file cannot be used, or is something else.
    pub fn open(path: &Path) -> Result<Self, BookError> {
        let ledger = Ledger::open(path)?;
        let view = Arc::new(View::of(&ledger)?);
        let (questions, queue) = mpsc::channel(QUEUE);
        let shown = view.clone();
        let thread = std::thread::Builder::new()
            .name("paper-book".to_owned())
            .spawn(move || keep(ledger, queue, &shown))
            .map_err(BookError::Thread)?;
        Ok(Self(Arc::new(Owner { questions: Some(questions), thread: Some(thread), view, prices: Mutex::default() })))
    }

    /// What is open, when that is certain without asking: nothing is on its way that may change it.
    pub(super) fn known_open(&self, holding: &Holding) -> Option<Arc<[OpenPosition]>> {
        self.0.view.known(holding)?.open
    }

    /// What was open at a slot, when that is certain without asking.
    pub(super) fn known_open_at(&self, holding: &Holding, slot: UtcMs) -> Option<Arc<[OpenPosition]>> {
        self.0.view.known(holding).filter(|shown| shown.holds_from <= slot)?.open
    }

    pub(super) fn show_price(&self, holding: Holding, priced: Priced) {
        self.prices().insert(holding, priced);
    }

    pub(super) fn price(&self, holding: &Holding) -> Option<Priced> {
        self.prices().get(holding).cloned()
    }

    fn prices(&self) -> MutexGuard<'_, BTreeMap<Holding, Priced>> {
        self.0.prices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks about what the book has, and waits for the answer, at most `deadline`.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        deadline: Duration,
        ask: impl FnOnce(&mut Ledger) -> Result<T, BookError> + Send + 'static,
    ) -> Result<T, BookError> {
        self.ask(deadline, None, false, ask).await
    }

    /// Has something written, which may change the positions of `changes`. The answer comes when it is durable, at most after
    /// `deadline`.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        deadline: Duration,
        changes: Option<Holding>,
        ask: impl FnOnce(&mut Ledger) -> Result<T, BookError> + Send + 'static,
    ) -> Result<T, BookError> {
        self.ask(deadline, changes, true, ask).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        deadline: Duration,
        changes: Option<Holding>,
        writes: bool,
        ask: impl FnOnce(&mut Ledger) -> Result<T, BookError> + Send + 'static,
    ) -> Result<T, BookError> {
        let (reply, answer) = oneshot::channel();
        let ask = Box::new(move |ledger: Result<&mut Ledger, Arc<BookError>>| {
            if reply.is_closed() {
                return None;
            }
            let outcome = ledger.map_err(BookError::Unusable).and_then(ask);
            // The asker may give up meanwhile: what was done stays, and asking again finds it.
            let answer = move |committed: Result<(), Arc<BookError>>| {
                let _ = reply.send(committed.map_err(BookError::Unusable).and(outcome));
            };
            Some(Box::new(answer) as Answer)
        });
        let questions = self.0.questions.as_ref().ok_or(BookError::Gone)?;
        self.0.view.expect(changes.as_ref());
        questions.try_send(Question { changes, writes, ask }).map_err(|error| {
            let (question, error) = match error {
                mpsc::error::TrySendError::Full(question) => (question, BookError::Busy),
                mpsc::error::TrySendError::Closed(question) => (question, BookError::Gone),
            };
            self.0.view.settle(question.changes.as_ref());
            error
        })?;
        match tokio::time::timeout(deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(BookError::Gone),
            Err(_) => Err(BookError::Late(deadline)),
        }
    }
}

impl Drop for Owner {
    /// Waits until what was asked is done, so that the file may be opened again at once.
    fn drop(&mut self) {
        drop(self.questions.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::task::JoinHandle;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the tests wait for each of them")]
    fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        tokio::spawn(task)
    }

    const SOON: Duration = Duration::from_secs(30);

    fn count(ledger: &Ledger, what: &str) -> u32 {
        let sql = format!("SELECT value FROM meta WHERE name = '{what}'");
        ledger.connection.query_row(&sql, [], |row| row.get(0)).unwrap_or(0)
    }

    fn add(ledger: &mut Ledger, what: &str) -> Result<(), BookError> {
        let sql = "INSERT INTO meta VALUES (?1, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1";
        ledger.connection.savepoint().and_then(|savepoint| {
            savepoint.execute(sql, [what])?;
            savepoint.commit()
        })?;
        Ok(())
    }

    /// Commits in the write-ahead log: frames that carry the size of the file.
    fn commits(dir: &Path) -> usize {
        let log = std::fs::read(dir.join("paper.db-wal")).unwrap();
        log[32..].chunks(24 + 4096).filter(|frame| frame[4..8] != [0; 4]).count()
    }

    /// A book whose thread waits until the sender is dropped.
    async fn held_up(dir: &Path) -> (Book, mpsc::Sender<()>, JoinHandle<Result<(), BookError>>) {
        let book = Book::open(&dir.join(BOOK_FILE)).unwrap();
        let (release, held) = mpsc::channel::<()>();
        let (begun, has_begun) = oneshot::channel();
        let asked = book.clone();
        let first = spawn(async move {
            let wait = move |_: &mut Ledger| {
                let _ = begun.send(());
                let _ = held.recv();
                Ok(())
            };
            asked.read(SOON, wait).await
        });
        has_begun.await.unwrap();
        (book, release, first)
    }

    #[tokio::test]
    async fn what_arrives_during_a_commit_goes_into_the_next_one_together() {
        let dir = tempfile::tempdir().unwrap();
        let (book, release, first) = held_up(dir.path()).await;
        let before = commits(dir.path());
        let writes = futures_of(100, |_| {
            let book = book.clone();
            async move { book.write(SOON, None, |ledger| add(ledger, "writes")).await }
        });
        until_queued(&book, 100).await;
        drop(release);
        first.await.unwrap().unwrap();
        for write in writes {
            write.await.unwrap().unwrap();
        }
        assert_eq!(book.read(SOON, |ledger| Ok(count(ledger, "writes"))).await.unwrap(), 100);
        assert_eq!(commits(dir.path()) - before, 1);
    }

    #[tokio::test]
    async fn a_question_that_panics_or_fails_takes_back_only_what_it_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let (book, release, first) = held_up(dir.path()).await;
        let writes = futures_of(9, |number| {
            let book = book.clone();
            async move {
                let write = move |ledger: &mut Ledger| {
                    let savepoint = ledger.connection.savepoint()?;
                    savepoint.execute("INSERT INTO meta VALUES (?1, 1)", [format!("write {number}")])?;
                    assert!(number != 4, "on purpose");
                    if number == 5 {
                        return Err(BookError::NotABook);
                    }
                    savepoint.commit()?;
                    Ok(())
                };
                book.write(SOON, None, write).await
            }
        });
        until_queued(&book, 9).await;
        drop(release);
        first.await.unwrap().unwrap();
        let mut answers = Vec::new();
        for write in writes {
            answers.push(write.await.unwrap());
        }
        assert!(matches!(answers[4], Err(BookError::Gone)) && matches!(answers[5], Err(BookError::NotABook)));
        for (number, answer) in answers.iter().enumerate() {
            let written = book.read(SOON, move |ledger| Ok(count(ledger, &format!("write {number}")))).await.unwrap();
            assert_eq!(written == 1, answer.is_ok(), "{number}");
        }
    }

    /// SQLite itself takes a whole transaction back when the disk is full.
    #[tokio::test]
    async fn nothing_is_confirmed_when_the_transaction_was_taken_back_half_way() {
        let dir = tempfile::tempdir().unwrap();
        let (book, release, first) = held_up(dir.path()).await;
        let writes = futures_of(9, |number| {
            let book = book.clone();
            async move {
                let write = move |ledger: &mut Ledger| match number {
                    4 => Ok(ledger.connection.execute_batch("ROLLBACK")?),
                    _ => add(ledger, "writes"),
                };
                book.write(SOON, None, write).await
            }
        });
        until_queued(&book, 9).await;
        drop(release);
        first.await.unwrap().unwrap();
        for write in writes {
            let answer = write.await.unwrap();
            assert!(matches!(answer, Err(BookError::Unusable(_))), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_transaction_that_was_left_open_is_taken_back_before_anything_is_answered() {
        let dir = tempfile::tempdir().unwrap();
        let book = Book::open(&dir.path().join(BOOK_FILE)).unwrap();
        let leave = |ledger: &mut Ledger| {
            ledger.begin()?;
            add(ledger, "left")
        };
        book.read(SOON, leave).await.unwrap();
        assert_eq!(book.read(SOON, |ledger| Ok(count(ledger, "left"))).await.unwrap(), 0);
        book.read(SOON, leave).await.unwrap();
        book.write(SOON, None, |ledger| add(ledger, "writes")).await.unwrap();
        let beside = Ledger::open(&dir.path().join(BOOK_FILE)).unwrap();
        assert_eq!((count(&beside, "writes"), count(&beside, "left")), (1, 0), "what is confirmed is durable");
    }

    #[tokio::test]
    async fn what_is_open_is_certain_only_while_nothing_is_on_its_way_that_may_change_it() {
        let dir = tempfile::tempdir().unwrap();
        let (book, release, first) = held_up(dir.path()).await;
        let holding = |symbol: &str| Holding { account: "paper".to_owned(), symbol: symbol.to_owned() };
        assert_eq!(book.known_open(&holding("EURUSD")).unwrap().len(), 0, "a question that reads changes nothing");
        let write = spawn({
            let (book, holding) = (book.clone(), holding("EURUSD"));
            async move { book.write(SOON, Some(holding), |ledger| add(ledger, "writes")).await }
        });
        until_queued(&book, 1).await;
        assert!(book.known_open(&holding("EURUSD")).is_none());
        assert!(book.known_open(&holding("GBPUSD")).is_some(), "another one is not in doubt");
        drop(release);
        first.await.unwrap().unwrap();
        write.await.unwrap().unwrap();
        assert!(book.known_open(&holding("EURUSD")).is_some());
    }

    async fn until_queued(book: &Book, count: usize) {
        let questions = book.0.questions.as_ref().unwrap();
        while questions.max_capacity() - questions.capacity() < count {
            tokio::task::yield_now().await;
        }
    }

    fn futures_of<F>(count: usize, make: impl Fn(usize) -> F) -> Vec<JoinHandle<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        (0..count).map(|number| spawn(make(number))).collect()
    }
}
