//! What writes leave, and what the node's questions find.

use sentinel::journal::{JournalReader, proof};
use sentinel_actors::domain::action::Action;
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::intent::{Basis, Intent, IntentEvent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::{Fill, Role, Side, Ticket};
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{JournalWrite, Recovery, Written};
use tempfile::TempDir;

use crate::support::*;

#[tokio::test]
async fn every_field_of_a_slot_and_of_an_intent_comes_back_as_written() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let record = SlotRecord { weighed: Some(weighed()), waited_us: Some(70), ..full_record(5) };
    node.write(vec![plan(5), advance(5, IntentEvent::Send), advance(5, acked()), end(record.clone())]).await;
    drop(node);
    assert_eq!(slots(dir.path()), [record]);
    let settled = Intent { state: IntentState::Acked, receipt: Some(receipt().into()), ..intent(5, Role::Open) };
    assert_eq!(intents(dir.path()), [settled]);
}

#[tokio::test]
async fn an_answer_that_is_no_number_is_kept_too() {
    let dir = TempDir::new().unwrap();
    let record =
        SlotRecord { raw_output: Some(vec![f64::NAN, f64::NEG_INFINITY, 0.1]), ..ended(1, Reason::AnswerNotFinite) };
    open(dir.path()).write(vec![end(record)]).await;
    let raw = slots(dir.path())[0].raw_output.clone().unwrap();
    assert!(raw[0].is_nan() && raw[1] == f64::NEG_INFINITY && raw[2] == 0.1);
}

#[tokio::test]
async fn the_first_row_of_a_slot_stands() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    for record in [ended(1, Reason::Hold), ended(1, Reason::Hold), ended(1, Reason::SourceTimeout)] {
        assert_eq!(node.write(vec![end(record)]).await, [Written::Done]);
    }
    node.write(vec![miss(0, 1)]).await;
    assert_eq!(slots(dir.path()), [ended(1, Reason::Hold)]);
    assert_eq!(JournalReader::open(dir.path()).unwrap().worked_slots().unwrap(), 1);
}

/// It comes between two slots, or at the very time of one.
#[tokio::test]
async fn what_an_operator_asked_for_is_no_slot_s_and_changes_none() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let close = |at: UtcMs| {
        let (basis, role) = (Basis::Operator(at), Role::Close(Ticket(7)));
        let key = IntentKey::derive(Mode::DryRun, "demo", "eurusd", basis, role);
        Intent { key, slot: at, basis, ..intent(1, role) }
    };
    let of_slot = close(minute(3));
    let before_all = close(UtcMs(minute(2).0 - 1));
    assert_ne!(of_slot.key, intent(3, Role::Close(Ticket(7))).key);
    for asked in [&before_all, &of_slot] {
        let advance = |event| JournalWrite::Advance { key: asked.key.clone(), event, at: asked.slot };
        node.write(vec![JournalWrite::Plan(Box::new(asked.clone())), advance(IntentEvent::Send)]).await;
        assert_eq!(node.recovery().await, Recovery::default(), "it says nothing of slots");
        node.write(vec![advance(lost())]).await;
    }
    node.write(vec![miss(1, 3), end(ended(4, Reason::Hold))]).await;
    let open_of = node.exposure(minute(5)).await.open_intents;
    assert_eq!(open_of.len(), 2, "as any order that is open it blocks new ones");
    let recovery = Recovery { last_slot: Some(minute(4)), ..Recovery::default() };
    assert_eq!(node.recovery().await, recovery);
    drop(node);
    let node = open(dir.path());
    assert_eq!(node.recovery().await, recovery);
    drop(node);
    let rows = slots(dir.path());
    assert!(rows.iter().all(|row| row.intents.is_empty() && row.outcome() != Outcome::Acted), "{rows:?}");
    let proof = proof(dir.path(), "eurusd", &minutely(), minute(2), minute(4)).unwrap();
    assert_eq!((proof.contradictions, proof.open, proof.holes), (0, 1, 0));
}

#[tokio::test]
async fn a_second_plan_under_a_key_gets_the_intent_that_stands() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(1), advance(1, IntentEvent::Send)]).await;
    let mut other = intent(1, Role::Open);
    let Action::Order(order) = &mut other.action else { panic!("not an order") };
    order.side = Side::Sell;
    let written = node.write(vec![JournalWrite::Plan(Box::new(other)), end(ended(1, Reason::Hold))]).await;
    let existing = Intent { state: IntentState::Sent, ..intent(1, Role::Open) };
    assert_eq!(written, [Written::Exists(Box::new(existing)), Written::Done]);
}

/// A live order of minute `n` on `account`, sent.
fn sent_live(n: i64, account: &str) -> (IntentKey, Vec<JournalWrite>) {
    let mut live = intent(n, Role::Open);
    (live.mode, live.account) = (Mode::Live, account.to_owned());
    live.key = IntentKey::derive(Mode::Live, account, "eurusd", live.basis, Role::Open);
    let key = live.key.clone();
    let send = JournalWrite::Advance { key: key.clone(), event: IntentEvent::Send, at: minute(n) };
    (key, vec![JournalWrite::Plan(Box::new(live)), send])
}

#[tokio::test]
async fn a_ticket_that_confirmed_one_live_order_confirms_no_other_of_its_account() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let confirm = |key: &IntentKey, event| JournalWrite::Advance { key: key.clone(), event, at: minute(9) };
    let (first, mut batch) = sent_live(1, "demo");
    let (second, more) = sent_live(2, "demo");
    let (elsewhere, others) = sent_live(3, "other");
    batch.extend(more.into_iter().chain(others));
    assert!(node.write(batch).await.iter().all(|written| *written == Written::Done));

    let taken = Written::TicketTaken(first.clone());
    // In one batch and in the next one, and again for the order that it belongs to.
    let batch = vec![confirm(&first, acked()), confirm(&second, acked()), confirm(&elsewhere, acked())];
    assert_eq!(node.write(batch).await, [Written::Done, taken.clone(), Written::Done]);
    assert_eq!(
        node.write(vec![confirm(&second, acked()), confirm(&first, acked())]).await,
        [taken.clone(), Written::Done]
    );
    // An operator's confirmation is no better.
    let hold = IntentEvent::Hold { evidence: String::new() };
    let settled = IntentEvent::SettledAcked { receipt: receipt().into(), evidence: "seen".into() };
    let batch = vec![confirm(&second, lost()), confirm(&second, hold), confirm(&second, settled)];
    assert_eq!(node.write(batch).await, [Written::Done, Written::Done, taken]);
    drop(node);
    let stored = intents(dir.path());
    let second = stored.iter().find(|intent| intent.key == second).unwrap();
    assert_eq!((second.state, &second.receipt), (IntentState::Held, &None));
}

#[tokio::test]
async fn an_illegal_transition_is_refused_and_its_batch_goes_on() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let written =
        node.write(vec![advance(1, acked()), plan(1), advance(1, acked()), advance(1, IntentEvent::Send)]).await;
    assert!(matches!(written.as_slice(), [Written::Refused(_), Written::Done, Written::Refused(_), Written::Done]));
    assert_eq!(intents(dir.path())[0].state, IntentState::Sent);
}

#[tokio::test]
async fn a_repeated_report_is_done_but_a_repeated_send_is_refused() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(1), advance(1, IntentEvent::Send)]).await;
    assert!(matches!(node.write(vec![advance(1, IntentEvent::Send)]).await[0], Written::Refused(_)));
    assert_eq!(node.write(vec![advance(1, acked()), advance(1, acked())]).await, [Written::Done, Written::Done]);
    let another = IntentEvent::Acked { receipt: Fill { ticket: Ticket(8), ..receipt() }.into() };
    assert!(matches!(node.write(vec![advance(1, another)]).await[0], Written::Refused(_)));
    let steps = JournalReader::open(dir.path()).unwrap().steps(&intent(1, Role::Open).key).unwrap();
    assert_eq!(steps.len(), 3, "planned, send, acked");
}

#[tokio::test]
async fn slots_that_acted_before_the_crash_end_as_their_intents_say() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let rejected = IntentEvent::Rejected { code: Some(10_016), text: "invalid stops".into() };
    node.write(vec![plan(1), advance(1, IntentEvent::Send), advance(1, acked())]).await;
    node.write(vec![plan(2), advance(2, IntentEvent::Send)]).await;
    node.write(vec![plan(3), advance(3, IntentEvent::Send), advance(3, lost())]).await;
    node.write(vec![plan(4), advance(4, IntentEvent::Send), advance(4, rejected)]).await;
    node.write(vec![plan(5), advance(5, IntentEvent::Abandon)]).await;
    node.write(vec![end(ended(6, Reason::Hold)), miss(0, 7)]).await;
    use Reason as R;
    let expected =
        [R::OrderAcked, R::OrderUnknown, R::OrderUnknown, R::OrderRejected, R::IntentStands, R::Hold, R::NodeDown];
    assert_eq!(reasons(dir.path()), expected);
    let first = &slots(dir.path())[0];
    assert_eq!(first.decided_bar, Some(minute(0)));
    assert_eq!(first.intents, [intent(1, Role::Open).key]);
    assert_eq!(first.detail, "recovered from the journal");
}

#[tokio::test]
async fn a_crashed_cycle_whose_order_may_have_left_ends_as_acted() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(1), advance(1, IntentEvent::Send), advance(1, acked()), end(ended(1, Reason::StageCrashed))])
        .await;
    node.write(vec![plan(2), end(ended(2, Reason::StageCrashed))]).await;
    node.write(vec![end(ended(3, Reason::PoisonInput))]).await;
    assert_eq!(reasons(dir.path()), [Reason::OrderAcked, Reason::StageCrashed, Reason::PoisonInput]);
}

/// Killed after the confirmation and before the row, a cycle runs again and meets its own position.
#[tokio::test]
async fn a_cycle_that_is_run_again_cannot_hide_the_order_of_its_first_run() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(1), advance(1, IntentEvent::Send), advance(1, acked())]).await;
    node.write(vec![end(ended(1, Reason::RiskMaxPositions)), plan(2), advance(2, IntentEvent::Send)]).await;
    node.write(vec![advance(2, acked()), end(SlotRecord { intents: vec![], ..ended(2, Reason::OrderAcked) })]).await;
    let rows = slots(dir.path());
    assert_eq!(rows[0].reason, Reason::OrderAcked);
    assert!(rows[0].detail.contains("the cycle ended with 'risk_max_positions'"), "{}", rows[0].detail);
    for (row, number) in rows.iter().zip([1, 2]) {
        assert_eq!(row.intents, [intent(number, Role::Open).key]);
    }
}

#[tokio::test]
async fn a_week_of_missed_minutes_is_written_in_one_batch() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![end(ended(100, Reason::Hold)), miss(0, 10_080)]).await;
    drop(node);
    let proof = proof(dir.path(), "eurusd", &minutely(), minute(1), minute(10_080)).unwrap();
    assert!(proof.holds());
    assert_eq!((proof.count(Outcome::Missed), proof.count(Outcome::NoAction)), (10_079, 1));
}

#[tokio::test]
async fn recovery_names_the_newest_slot_and_the_newest_decided_bar() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    assert_eq!(node.recovery().await, Recovery::default());
    node.write(vec![end(full_record(5)), miss(5, 8)]).await;
    let expected = Recovery {
        last_slot: Some(minute(8)),
        last_decided_bar: Some(minute(4)),
        newest_intent_basis: None,
        newest_intent_slot: None,
    };
    assert_eq!(node.recovery().await, expected);
}

#[tokio::test]
async fn recovery_without_rows_begins_right_before_the_first_intent() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(9), plan(7)]).await;
    let recovery = node.recovery().await;
    assert_eq!((recovery.last_slot, recovery.last_decided_bar), (Some(UtcMs(minute(7).0 - 1)), None));
    assert!(recovery.newest_intent_basis.is_some());
}

#[tokio::test]
async fn exposure_counts_what_may_have_left_and_lists_what_is_open() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let close = intent(62, Role::Close(Ticket(7)));
    let (close_key, at) = (close.key.clone(), minute(62));
    node.write(vec![plan(1), advance(1, IntentEvent::Send), advance(1, acked())]).await;
    node.write(vec![plan(61), advance(61, IntentEvent::Send), advance(61, lost())]).await;
    node.write(vec![
        JournalWrite::Plan(Box::new(close)),
        JournalWrite::Advance { key: close_key, event: IntentEvent::Send, at },
    ])
    .await;
    node.write(vec![plan(63), plan(64), advance(64, IntentEvent::Abandon)]).await;
    let exposure = node.exposure(minute(65)).await;
    assert_eq!((exposure.orders_last_hour, exposure.orders_last_day), (1, 2));
    let open: Vec<IntentState> = exposure.open_intents.iter().map(|intent| intent.state).collect();
    assert_eq!(open, [IntentState::Unknown, IntentState::Sent, IntentState::Planned]);
    drop(node);
    assert_eq!(self::open(dir.path()).recovered.open_intents, 3);
}
