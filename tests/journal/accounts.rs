//! What losses are counted from, in the journal: durable, made only from what stands, and missed when it is gone.

use rusqlite::Connection;
use sentinel::journal::{JournalError, JournalReader, KeptAccount};
use sentinel_actors::domain::account_risk::{AccountBaselines, AccountRecord, OrderTrace};
use sentinel_actors::domain::halt::{NewHalt, RaisedBy, Scope, TradingState};
use sentinel_actors::domain::intent::{IntentEvent, Mode};
use sentinel_actors::domain::order::{Role, Ticket};
use sentinel_actors::ports::{AccountWrite, JournalAnswer, JournalRead, JournalStore as _, JournalWrite, Written};
use tempfile::TempDir;

use crate::support::*;

fn baselines(revision: u64) -> AccountBaselines {
    AccountBaselines {
        revision,
        day: minute(0),
        day_equity: "1000.50".parse().unwrap(),
        peak_equity: "1001".parse().unwrap(),
        balance: "999.99".parse().unwrap(),
        balance_since: minute(1),
        open: vec![Ticket(7), Ticket(9)],
        steps: 3,
        losses_in_row: 2,
        cooling_until: Some(minute(60)),
        halt: Some("max_drawdown of live demo".to_owned()),
    }
}

fn halt() -> NewHalt {
    NewHalt {
        request: "max_drawdown of live demo".to_owned(),
        scope: Scope::Account { account: "demo".to_owned() },
        state: TradingState::Reducing,
        by: RaisedBy::Node,
        who: "the node".to_owned(),
        why: "a loss".to_owned(),
        evidence: String::new(),
        since: minute(1),
    }
}

fn keep(from: Option<u64>, revision: u64) -> JournalWrite {
    let (account, baselines) = ("demo".to_owned(), baselines(revision));
    JournalWrite::Account(Box::new(AccountWrite { mode: Mode::Live, account, from, baselines, halt: None }))
}

fn keep_with_halt(from: Option<u64>, revision: u64) -> JournalWrite {
    let JournalWrite::Account(write) = keep(from, revision) else { unreachable!() };
    JournalWrite::Account(Box::new(AccountWrite { halt: Some(halt()), ..*write }))
}

async fn read(node: &Node, mode: Mode) -> AccountRecord {
    let question = JournalRead::Account { account: "demo".to_owned(), mode };
    match node.journal.read(question).await.unwrap() {
        JournalAnswer::Account(record) => *record,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn baselines_stand_at_each_start_and_are_made_only_from_those_that_stand() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    assert_eq!(read(&node, Mode::Live).await, AccountRecord::default());
    assert_eq!(node.write(vec![keep(None, 1), keep(None, 1)]).await, [Written::Done, Written::Done]);
    assert!(matches!(node.write(vec![keep(None, 2)]).await[0], Written::Refused(_)), "another one was first");
    assert_eq!(node.write(vec![keep(Some(1), 2)]).await, [Written::Done]);
    drop(node);
    let node = open(dir.path());
    assert_eq!(read(&node, Mode::Live).await.baselines, Some(baselines(2)));
    assert_eq!(read(&node, Mode::DryRun).await.baselines, None, "a dry run loses on its own");
    let stored = JournalReader::open(dir.path()).unwrap().accounts().unwrap();
    assert!(stored.iter().all(|account| account.is_intact));
    let kept = KeptAccount { mode: Mode::Live, account: "demo".to_owned(), baselines: baselines(2) };
    assert_eq!(stored[0].record, kept);
}

#[tokio::test]
async fn a_halt_comes_with_its_baselines_or_not_at_all() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    assert!(matches!(node.write(vec![keep_with_halt(Some(4), 5)]).await[0], Written::Refused(_)));
    assert_eq!(JournalReader::open(dir.path()).unwrap().halts().unwrap().len(), 0);
    let written = node.write(vec![keep_with_halt(None, 1), keep_with_halt(None, 1)]).await;
    let [Written::Halt(first), Written::Halt(again)] = &written[..] else { panic!("{written:?}") };
    assert_eq!((first, &first.raised), (again, &halt()));
    drop(node);
    assert_eq!(open(dir.path()).recovered.halts, [*first.clone()]);
}

/// As many as before a restart, so that two readings of which one was before it can be compared.
#[tokio::test]
async fn the_steps_of_orders_that_may_have_left_are_counted_across_restarts() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let order = |n| intent(n, Role::Open);
    let advance = |n, event| JournalWrite::Advance { key: order(n).key, event, at: minute(n) };
    node.write(vec![JournalWrite::Plan(Box::new(order(1))), JournalWrite::Plan(Box::new(order(2)))]).await;
    assert_eq!(read(&node, Mode::DryRun).await.orders, OrderTrace::default(), "a plan moves nothing");
    node.write(vec![advance(1, IntentEvent::Abandon), advance(2, IntentEvent::Send)]).await;
    let under_way = OrderTrace { steps: 1, is_under_way: true };
    assert_eq!(read(&node, Mode::DryRun).await.orders, under_way);
    assert_eq!(read(&node, Mode::Live).await.orders, OrderTrace::default());
    drop(node);
    let node = open(dir.path());
    assert_eq!(read(&node, Mode::DryRun).await.orders, under_way);
    let rejected = IntentEvent::Rejected { code: None, text: String::new() };
    node.write(vec![advance(2, rejected)]).await;
    drop(node);
    let ended = OrderTrace { steps: 2, is_under_way: false };
    assert_eq!(read(&open(dir.path()), Mode::DryRun).await.orders, ended);
}

#[tokio::test]
async fn baselines_that_were_removed_or_changed_keep_the_node_from_starting() {
    for (sql, row) in [
        ("DELETE FROM accounts", "accounts"),
        ("UPDATE accounts SET peak_equity = '900'", "accounts live demo"),
        ("UPDATE accounts SET halt = NULL", "accounts live demo"),
        ("UPDATE accounts SET mode = 'dry_run'", "accounts dry_run demo"),
    ] {
        let dir = TempDir::new().unwrap();
        open(dir.path()).write(vec![keep(None, 1)]).await;
        Connection::open(dir.path().join("journal.db")).unwrap().execute_batch(sql).unwrap();
        let error = refusal(dir.path());
        assert!(matches!(error, JournalError::DamagedRow { .. }) && error.to_string().contains(row), "{sql}: {error}");
    }
}

#[tokio::test]
async fn baselines_that_vanish_or_change_under_the_node_are_missed() {
    for sql in ["DELETE FROM accounts", "UPDATE accounts SET balance = '5'"] {
        let dir = TempDir::new().unwrap();
        let node = open(dir.path());
        node.write(vec![keep(None, 1)]).await;
        Connection::open(dir.path().join("journal.db")).unwrap().execute_batch(sql).unwrap();
        let question = JournalRead::Account { account: "demo".to_owned(), mode: Mode::Live };
        assert!(node.journal.read(question).await.unwrap_err().0.contains("accounts live demo"), "{sql}");
    }
}
