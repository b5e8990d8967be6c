use std::sync::{Mutex, PoisonError};

use ractor::ActorRef;
use tokio::sync::oneshot;

use super::*;
use crate::domain::cycle::SlotRecord;
use crate::domain::intent::{IntentEvent, IntentKey, Mode};
use crate::domain::reason::Reason;
use crate::domain::time::UtcMs;
use crate::ports::{NoFaults, PortFuture, Recovery, elapsed_now};

/// A store that writes down its calls. A commit takes 100 ms.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<Vec<String>>>);

impl Store {
    fn note(&self, what: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn calls(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl JournalStore for Store {
    fn commit(&self, batch: Vec<JournalWrite>) -> PortFuture<'_, Result<Vec<Written>, JournalFatal>> {
        Box::pin(async move {
            let rows = batch.iter().filter(|write| matches!(write, JournalWrite::EndSlot(_))).count();
            self.note(format!("{} writes, {rows} of them rows", batch.len()));
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(batch.iter().map(|_| Written::Done).collect())
        })
    }

    fn read(&self, query: JournalRead) -> PortFuture<'_, Result<JournalAnswer, JournalFatal>> {
        Box::pin(async move {
            if let JournalRead::Recovery { pipeline } | JournalRead::OpenIntents { pipeline } = query {
                self.note(format!("query {pipeline}"));
            }
            Ok(JournalAnswer::Recovery(Recovery::default()))
        })
    }
}

async fn journal(store: &Store) -> ActorRef<JournalMsg> {
    let args = JournalArgs {
        store: Arc::new(store.clone()),
        on_fatal: Arc::new(|_| ()),
        meters: Arc::default(),
        progress: Arc::default(),
        faults: Arc::new(NoFaults),
    };
    ractor::Actor::spawn(None, Journal, args).await.unwrap().0
}

fn row(number: i64) -> JournalWrite {
    let slot = UtcMs(number);
    JournalWrite::EndSlot(Box::new(SlotRecord::new("eurusd", slot, Mode::DryRun, Reason::Hold, slot)))
}

/// Records a row; ends when it is durable.
fn record(journal: &ActorRef<JournalMsg>, number: i64) -> oneshot::Receiver<()> {
    let (done, durable) = oneshot::channel();
    let done = move || {
        let _ = done.send(());
    };
    journal.cast(JournalMsg::Record(row(number), Box::new(done))).unwrap();
    durable
}

fn write(journal: &ActorRef<JournalMsg>) -> oneshot::Receiver<Vec<Written>> {
    let (port, answer) = oneshot::channel();
    let key = IntentKey::stored("key".to_owned());
    let write = JournalWrite::Advance { key, event: IntentEvent::Send, at: UtcMs(0) };
    journal.cast(JournalMsg::Write(vec![write], port.into())).unwrap();
    answer
}

fn query(journal: &ActorRef<JournalMsg>, name: &str) -> oneshot::Receiver<JournalAnswer> {
    ask(journal, JournalRead::Recovery { pipeline: name.to_owned() })
}

fn ask(journal: &ActorRef<JournalMsg>, query: JournalRead) -> oneshot::Receiver<JournalAnswer> {
    let (port, answer) = oneshot::channel();
    journal.cast(JournalMsg::Read(query, port.into())).unwrap();
    answer
}

#[tokio::test(start_paused = true)]
async fn rows_gather_for_a_moment_and_share_a_commit() {
    let store = Store::default();
    let journal = journal(&store).await;
    let began = elapsed_now();
    let first = record(&journal, 1);
    tokio::time::sleep(GATHER_FOR[0] / 2).await;
    let second = record(&journal, 2);
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(store.calls(), ["2 writes, 2 of them rows"]);
    assert!(began.elapsed() <= Duration::from_millis(110), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_somebody_waits_for_is_not_held_back_by_rows_that_gather() {
    let store = Store::default();
    let journal = journal(&store).await;
    let began = elapsed_now();
    let durable = record(&journal, 1);
    write(&journal).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(100));
    durable.await.unwrap();
    assert_eq!(store.calls(), ["2 writes, 1 of them rows"]);
}

#[tokio::test(start_paused = true)]
async fn many_rows_do_not_wait_for_more() {
    let store = Store::default();
    let journal = journal(&store).await;
    let began = elapsed_now();
    let rows: Vec<_> = (0..64).map(|number| record(&journal, number)).collect();
    for durable in rows {
        durable.await.unwrap();
    }
    assert_eq!(began.elapsed(), Duration::from_millis(100));
    assert_eq!(store.calls(), ["64 writes, 64 of them rows"]);
}

#[tokio::test(start_paused = true)]
async fn a_question_about_intents_does_not_wait_for_rows_that_gather_on_a_slow_disk() {
    let store = Store::default();
    let journal = journal(&store).await;
    write(&journal).await.unwrap();
    let began = elapsed_now();
    let rows: Vec<_> = (0..100).map(|number| record(&journal, number)).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    ask(&journal, JournalRead::OpenIntents { pipeline: "a".to_owned() }).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(50));
    for durable in rows {
        durable.await.unwrap();
    }
    assert_eq!(began.elapsed(), Duration::from_millis(200), "they waited as long as the commit before took");
    assert_eq!(store.calls()[1..], ["query a", "100 writes, 100 of them rows"]);
}

/// On a slow disk a write after each query would otherwise get a commit of its own.
#[tokio::test(start_paused = true)]
async fn queries_do_not_divide_what_is_committed_together() {
    let store = Store::default();
    let journal = journal(&store).await;
    let first = write(&journal);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut waiting = Vec::new();
    for name in ["a", "b", "c"] {
        waiting.push((query(&journal, name), write(&journal)));
    }
    let last = query(&journal, "d");
    first.await.unwrap();
    for (answer, written) in waiting {
        answer.await.unwrap();
        written.await.unwrap();
    }
    last.await.unwrap();
    let expected = ["1 writes, 0 of them rows", "query a", "3 writes, 0 of them rows", "query b", "query c", "query d"];
    assert_eq!(store.calls(), expected, "each after the writes that were queued before it");
}

#[tokio::test(start_paused = true)]
async fn a_query_sees_the_writes_that_it_is_about_and_that_were_queued_before_it() {
    let open_intents = JournalRead::OpenIntents { pipeline: "a".to_owned() };
    let recovery = JournalRead::Recovery { pipeline: "a".to_owned() };
    for (query, is_row) in [(open_intents, false), (recovery.clone(), false), (recovery, true)] {
        let store = Store::default();
        let journal = journal(&store).await;
        let first = write(&journal);
        tokio::time::sleep(Duration::from_millis(1)).await;
        if is_row {
            drop(record(&journal, 1))
        } else {
            drop(write(&journal))
        }
        let answer = ask(&journal, query.clone());
        first.await.unwrap();
        answer.await.unwrap();
        let second = format!("1 writes, {} of them rows", u8::from(is_row));
        assert_eq!(store.calls(), ["1 writes, 0 of them rows", &second, "query a"], "{query:?}");
    }
}
