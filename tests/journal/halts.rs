//! Halts in the journal: each request raises one, nothing but a lift ends one, and a changed one is not believed.

use std::path::Path;

use rusqlite::Connection;
use sentinel::journal::{JournalError, JournalReader};
use sentinel_actors::domain::halt::{Halt, HaltId, Lifted, NewHalt, RaisedBy, Scope, TradingState};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::ports::{JournalWrite, Written};
use tempfile::TempDir;

use crate::support::*;

fn new(request: &str, scope: Scope) -> NewHalt {
    NewHalt {
        request: request.to_owned(),
        scope,
        state: TradingState::Halted,
        by: RaisedBy::Operator,
        who: "uid 7".to_owned(),
        why: "the gateway answers nonsense".to_owned(),
        evidence: "its log".to_owned(),
        since: minute(1),
    }
}

fn raise(request: &str) -> JournalWrite {
    JournalWrite::Raise(Box::new(new(request, Scope::Pipeline("eurusd".to_owned()))))
}

fn lift(id: u32, request: &str) -> JournalWrite {
    let lifted =
        Lifted { request: request.to_owned(), who: "uid 8".to_owned(), why: "mended".to_owned(), at: minute(2) };
    JournalWrite::Lift { id: HaltId(id), lifted }
}

fn halts(written: Vec<Written>) -> Vec<Halt> {
    let halt = |written| match written {
        Written::Halt(halt) => *halt,
        other => panic!("{other:?}"),
    };
    written.into_iter().map(halt).collect()
}

fn stand(dir: &Path) -> Vec<u32> {
    open(dir).recovered.halts.iter().map(|halt| halt.id.0).collect()
}

#[tokio::test]
async fn a_request_raises_one_halt_and_the_first_lift_of_it_stands() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let raised = halts(node.write(vec![raise("a"), raise("b"), raise("a")]).await);
    assert_eq!(raised.iter().map(|halt| halt.id.0).collect::<Vec<_>>(), [1, 2, 1]);
    let lifted = halts(node.write(vec![lift(1, "x"), lift(1, "y"), raise("a")]).await);
    for halt in &lifted {
        assert_eq!(halt.lifted.as_ref().unwrap().request, "x", "{halt:?}");
    }
    assert!(matches!(node.write(vec![lift(3, "z")]).await[0], Written::Refused(_)));
    let stored = JournalReader::open(dir.path()).unwrap().halts().unwrap();
    assert!(stored.iter().all(|halt| halt.is_intact));
    assert_eq!(stored[0].record, lifted[0]);
    assert_eq!(stored[1].record, raised[1]);
}

#[tokio::test]
async fn a_halt_stands_at_each_start_with_its_scope_until_it_is_lifted() {
    let dir = TempDir::new().unwrap();
    let symbol = Scope::Symbol { account: "demo".to_owned(), symbol: "EURUSD".to_owned() };
    let account = Scope::Account { account: "demo".to_owned() };
    let scopes = [Scope::All, Scope::Pipeline("eurusd".to_owned()), symbol, account];
    let writes = scopes.iter().map(|scope| JournalWrite::Raise(Box::new(new(&scope.to_string(), scope.clone()))));
    open(dir.path()).write(writes.collect()).await;
    for _ in 0..3 {
        let node = open(dir.path());
        let found: Vec<Scope> = node.recovered.halts.iter().map(|halt| halt.raised.scope.clone()).collect();
        assert_eq!(found, scopes);
        node.write(vec![end(ended(1, Reason::Halted))]).await;
    }
    open(dir.path()).write(vec![lift(2, "x")]).await;
    assert_eq!(stand(dir.path()), [1, 3, 4]);
}

/// Whatever somebody does to the rows with another program, a halt that was not lifted does not go away.
#[tokio::test]
async fn a_halt_that_was_removed_or_changed_keeps_the_node_from_starting() {
    for (sql, row) in [
        ("DELETE FROM halts", "halts"),
        ("DELETE FROM halts WHERE number = 2", "halts"),
        ("UPDATE halts SET lifted_ms = 1, lifted_request = 'x', lifted_who = 'x', lifted_why = ''", "halts 1"),
        ("UPDATE halts SET state = 'reducing' WHERE number = 2", "halts 2"),
        ("UPDATE halts SET pipeline = NULL WHERE number = 1", "halts 1"),
    ] {
        let dir = TempDir::new().unwrap();
        open(dir.path()).write(vec![raise("a"), raise("b")]).await;
        Connection::open(dir.path().join("journal.db")).unwrap().execute_batch(sql).unwrap();
        let error = refusal(dir.path());
        assert!(matches!(error, JournalError::DamagedRow { .. }) && error.to_string().contains(row), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_halt_that_is_changed_under_the_node_is_not_lifted_as_if_it_had_not_been() {
    for sql in ["DELETE FROM halts", "UPDATE halts SET why = 'no reason'"] {
        let dir = TempDir::new().unwrap();
        let node = open(dir.path());
        node.write(vec![raise("a")]).await;
        Connection::open(dir.path().join("journal.db")).unwrap().execute_batch(sql).unwrap();
        let failed = sentinel_actors::ports::JournalStore::commit(&node.journal, vec![lift(1, "x")]).await;
        assert!(failed.unwrap_err().0.contains("halts 1"), "{sql}");
    }
}
