//! The paper book's owner: a thread that alone touches the file, and handles that ask it.
//!
//! A commit waits for the disk; doing that on a worker of the runtime would stop other pipelines. Questions are answered in
//! the order in which they were asked, so an answer to "do you have this order?" counts every order handed over before.
//! An order whose asker has given up by the time its turn comes is not carried out any more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use sentinel_actors::error_chain::chain;
use tokio::sync::{mpsc, oneshot};

pub use super::ledger::BookError;
use super::ledger::{Ledger, OpenPosition};

/// The book's file in the state directory.
pub const BOOK_FILE: &str = "paper.db";
/// Questions that may wait. More means that the disk cannot keep up, and waiting longer would not help.
const QUEUE: usize = 4096;

type Job = Box<dyn FnOnce(&mut Ledger) + Send>;

/// A handle on the book. The file is closed when the last handle is dropped.
#[derive(Clone)]
pub struct Book(Arc<Owner>);

struct Owner {
    /// `None` only while the owner is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    view: Arc<View>,
}

/// What is open, as of the last commit. Good for an answer only while nothing waits for the thread.
struct View {
    waiting: AtomicUsize,
    open: ArcSwap<Vec<OpenPosition>>,
}

impl View {
    /// Takes what the ledger has; on failure nothing is shown as known, and everyone asks the thread.
    fn refresh(&self, ledger: &Ledger) {
        match ledger.all_open() {
            Ok(open) => self.open.store(Arc::new(open)),
            Err(_) => {
                self.waiting.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

impl Book {
    /// Opens the book, or begins one.
    ///
    /// # Errors
    /// When the file cannot be used, or is something else.
    pub fn open(path: &Path) -> Result<Self, BookError> {
        let mut ledger = Ledger::open(path)?;
        let view = Arc::new(View { waiting: AtomicUsize::new(0), open: ArcSwap::from_pointee(ledger.all_open()?) });
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        let shown = view.clone();
        let work = move || {
            while let Some(job) = queue.blocking_recv() {
                let before = ledger.changes();
                // A panic rolls its transaction back and is its asker's failure only.
                let _ = catch_unwind(AssertUnwindSafe(|| job(&mut ledger)));
                if ledger.changes() != before {
                    shown.refresh(&ledger);
                }
                shown.waiting.fetch_sub(1, Ordering::SeqCst);
            }
            if let Err(error) = ledger.close() {
                tracing::error!(
                    event = "book_not_closed",
                    error = %chain(&error),
                    "the last orders of the paper book stay in the log beside its file; the next start moves them"
                );
            }
        };
        let thread =
            std::thread::Builder::new().name("paper-book".to_owned()).spawn(work).map_err(BookError::Thread)?;
        Ok(Self(Arc::new(Owner { jobs: Some(jobs), thread: Some(thread), view })))
    }

    /// Everything that is open, when that is certain without asking: nothing is waiting to change it.
    pub(super) fn known_open(&self) -> Option<Arc<Vec<OpenPosition>>> {
        (self.0.view.waiting.load(Ordering::SeqCst) == 0).then(|| self.0.view.open.load_full())
    }

    /// Has `job` done and waits for its answer, at most `deadline`.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        deadline: Duration,
        job: impl FnOnce(&mut Ledger) -> Result<T, BookError> + Send + 'static,
    ) -> Result<T, BookError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(move |ledger: &mut Ledger| {
            if !reply.is_closed() {
                // The asker may give up meanwhile: what was done stays, and asking again finds it.
                let _ = reply.send(job(ledger));
            }
        });
        let jobs = self.0.jobs.as_ref().ok_or(BookError::Gone)?;
        self.0.view.waiting.fetch_add(1, Ordering::SeqCst);
        jobs.try_send(job).map_err(|error| {
            self.0.view.waiting.fetch_sub(1, Ordering::SeqCst);
            match error {
                mpsc::error::TrySendError::Full(_) => BookError::Busy,
                mpsc::error::TrySendError::Closed(_) => BookError::Gone,
            }
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
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
