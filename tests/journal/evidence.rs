//! What an intent keeps of how surely it is known what became of it.

use sentinel::journal::JournalReader;
use sentinel::operator::settling::{Seen, SeenThere, Settlement};
use sentinel_actors::domain::evidence::Grade;
use sentinel_actors::domain::intent::{Intent, IntentEvent, IntentState, Mode};
use sentinel_actors::domain::order::{Fill, Position, Role, Side, Ticket};
use sentinel_actors::ports::{JournalWrite, Written};
use tempfile::TempDir;

use crate::support::*;

fn position(ticket: u64) -> Position {
    Position {
        ticket: Ticket(ticket),
        symbol: "EURUSD".into(),
        side: Side::Buy,
        volume_lots: "0.10".parse().unwrap(),
        open_price: "1.1".parse().unwrap(),
        opened_at: None,
    }
}

fn found(ticket: u64, grade: Grade) -> IntentEvent {
    IntentEvent::Found { receipt: Fill { ticket: Ticket(ticket), ..receipt() }.into(), grade }
}

#[tokio::test]
async fn the_grade_the_positions_before_it_and_the_note_of_the_venue_come_back_as_written() {
    let dir = TempDir::new().unwrap();
    let (listed, node) = (vec![position(3), position(4)], open(dir.path()));
    let note = Some("ledger 7".to_owned());
    let send = IntentEvent::SendAfter { listed: listed.clone(), venue_note: note.clone() };
    node.write(vec![plan(1), advance(1, send), advance(1, lost()), advance(1, found(7, Grade::PositionDelta))]).await;
    drop(node);
    // The events lead to what the row says, which every start checks.
    drop(open(dir.path()));
    let kept = Intent {
        state: IntentState::Acked,
        receipt: Some(Fill { ticket: Ticket(7), ..receipt() }.into()),
        grade: Some(Grade::PositionDelta),
        listed: Some(listed),
        venue_note: note,
        ..intent(1, Role::Open)
    };
    assert_eq!(intents(dir.path()), [kept]);
    let shown = show(dir.path(), &["journal", "intents", "--format", "json"]).unwrap();
    assert!(shown.contains(r#""evidence":"position delta""#), "{shown}");
}

#[tokio::test]
async fn a_second_send_is_refused_whatever_it_lists() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    node.write(vec![plan(1), advance(1, IntentEvent::SendAfter { listed: vec![], venue_note: None })]).await;
    for again in [IntentEvent::Send, IntentEvent::SendAfter { listed: vec![], venue_note: None }] {
        assert!(matches!(&*node.write(vec![advance(1, again)]).await, [Written::Refused(_)]));
    }
}

/// A position that is gone has no ticket of its own, and a reply that names it belongs to the order that opened it.
#[tokio::test]
async fn only_a_close_that_was_seen_in_the_positions_may_carry_the_ticket_of_its_position() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let live = |n, role| Intent { mode: Mode::Live, ..intent(n, role) };
    let take = |of: &Intent, event| JournalWrite::Advance { key: of.key.clone(), event, at: minute(9) };
    let open = live(1, Role::Open);
    let closes = [live(2, Role::Close(Ticket(7))), live(3, Role::Close(Ticket(7))), live(4, Role::Close(Ticket(8)))];
    for intent in closes.iter().chain([&open]) {
        node.write(vec![JournalWrite::Plan(Box::new(intent.clone())), take(intent, IntentEvent::Send)]).await;
    }
    let acked = IntentEvent::Acked { receipt: Fill { ticket: Ticket(7), ..receipt() }.into() };
    assert_eq!(node.write(vec![take(&open, acked.clone())]).await, [Written::Done]);
    let taken = [Written::TicketTaken(open.key.clone())];
    assert_eq!(node.write(vec![take(&closes[1], acked)]).await, taken, "a reply");
    assert_eq!(node.write(vec![take(&closes[1], found(7, Grade::Id))]).await, taken, "an answer by id");
    assert_eq!(node.write(vec![take(&closes[2], found(7, Grade::PositionDelta))]).await, taken, "another position");
    assert_eq!(node.write(vec![take(&closes[0], found(7, Grade::PositionDelta))]).await, [Written::Done]);
}

/// At a venue that lists positions a close may have no ticket but that of its position; elsewhere it always has one of its own.
#[tokio::test]
async fn an_operator_settles_a_close_by_its_position_only_where_positions_are_listed() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let live = |n, role| Intent { mode: Mode::Live, ..intent(n, role) };
    let take = |of: &Intent, event| JournalWrite::Advance { key: of.key.clone(), event, at: minute(9) };
    let seen = |ticket| IntentEvent::SettledAcked {
        receipt: Fill { ticket: Ticket(ticket), ..receipt() }.into(),
        evidence: "seen".to_owned(),
    };
    let opener = live(1, Role::Open);
    let acked = IntentEvent::Acked { receipt: Fill { ticket: Ticket(7), ..receipt() }.into() };
    node.write(vec![
        JournalWrite::Plan(Box::new(opener.clone())),
        take(&opener, IntentEvent::Send),
        take(&opener, acked),
    ])
    .await;
    let held = IntentEvent::Hold { evidence: "?".to_owned() };
    let listing = IntentEvent::SendAfter { listed: vec![], venue_note: None };
    let closes = [live(2, Role::Close(Ticket(7))), live(3, Role::Close(Ticket(7))), live(4, Role::Close(Ticket(8)))];
    for (close, send) in closes.iter().zip([listing.clone(), IntentEvent::Send, listing]) {
        let steps = [send, lost(), held.clone()].map(|event| take(close, event));
        node.write([vec![JournalWrite::Plan(Box::new(close.clone()))], steps.to_vec()].concat()).await;
    }
    let taken = [Written::TicketTaken(opener.key.clone())];
    assert_eq!(node.write(vec![take(&closes[1], seen(7))]).await, taken, "positions were not listed");
    assert_eq!(node.write(vec![take(&closes[2], seen(7))]).await, taken, "another position");
    let what = SeenThere::Filled { ticket: 7, volume: None, price: None };
    let seen = Seen { key: closes[0].key.to_string(), what, evidence: "it is gone".to_owned() };
    let settlement = Settlement::of(&JournalReader::open(dir.path()).unwrap(), &seen, true, minute(9)).unwrap();
    settlement.accept(&node.write(settlement.writes.clone()).await).unwrap();
    assert_eq!(settlement.ends, IntentState::Acked);
}
