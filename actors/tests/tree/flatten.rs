//! An operator has everything closed that is open, while the node runs.

use std::time::Duration;

use sentinel_actors::domain::flatten::{Flattened, NotFlattened};
use sentinel_actors::domain::halt::TradingState;
use sentinel_actors::domain::intent::{Basis, Intent, IntentKey, IntentState};
use sentinel_actors::domain::order::{Order, Position, Role, Side, Ticket};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::node::RunningNode;
use sentinel_actors::ports::Submission;

use crate::harness::{HOUR, World};
use crate::test_pipeline::settings;

const WITHIN: Duration = Duration::from_secs(25);

async fn flatten(node: &RunningNode) -> Result<Flattened, NotFlattened> {
    node.flatteners["eurusd"].flatten(WITHIN).await.unwrap()
}

fn position(ticket: u64) -> Position {
    Position {
        ticket: Ticket(ticket),
        symbol: "EURUSD".to_owned(),
        side: Side::Buy,
        volume_lots: "0.1".parse().unwrap(),
        open_price: "1.1".parse().unwrap(),
        opened_at: None,
    }
}

fn closed(world: &World) -> Vec<Role> {
    world.lock().left.iter().map(|(order, ..)| order.role).filter(|role| *role != Role::Open).collect()
}

#[tokio::test(start_paused = true)]
async fn every_own_position_is_closed_by_an_intent_that_no_slot_reports() {
    let world = World::new().with(|inner| inner.holds(vec![position(7), position(8)]));
    let node = world.run(settings(), HOUR / 4).await;
    let flattened = flatten(&node).await.unwrap();
    assert!(flattened.is_flat(), "{flattened}");
    assert_eq!(closed(&world), [Role::Close(Ticket(7)), Role::Close(Ticket(8))]);
    {
        let inner = world.lock();
        let intents: Vec<_> = inner.intents.values().collect();
        assert!(intents.iter().all(|intent| matches!(intent.basis, Basis::Operator(at) if at == intent.slot)));
        assert!(intents.iter().all(|intent| intent.state == IntentState::Acked), "{intents:?}");
    }
    tokio::time::sleep(HOUR).await;
    let inner = world.lock();
    assert!(inner.rows.values().all(|row| row.reason == Reason::OrderAcked), "the slot decides and acts as ever");
    assert_eq!((inner.rows.len(), inner.left.len()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn what_another_hand_opened_is_named_and_left_and_so_nothing_is_flat() {
    let world = World::new().with(|inner| {
        inner.holds(vec![position(7)]);
        inner.positions.as_mut().unwrap().push(position(9));
    });
    let node = world.run(settings(), HOUR / 4).await;
    let flattened = flatten(&node).await.unwrap();
    assert_eq!(closed(&world), [Role::Close(Ticket(7))]);
    assert!(!flattened.is_flat());
    assert!(flattened.to_string().ends_with("not the node's, so not touched: ticket 9, buy 0.1 EURUSD"), "{flattened}");
}

/// The position may be closed already, and the close of another one at the same ticket must not follow.
#[tokio::test(start_paused = true)]
async fn a_close_without_a_reply_is_never_sent_again() {
    let lost = || Submission::Unknown("no reply".to_owned());
    let world = World::new().with(|inner| {
        inner.holds(vec![position(7)]);
        inner.replies = vec![lost()];
    });
    let node = world.run(settings(), HOUR / 4).await;
    for _ in 0..3 {
        let flattened = flatten(&node).await.unwrap();
        assert!(!flattened.is_flat(), "it is still listed: {flattened}");
    }
    assert_eq!(closed(&world), [Role::Close(Ticket(7))]);
    let said = flatten(&node).await.unwrap().to_string();
    assert!(said.contains("an earlier close is unknown: nothing is sent twice. `sentinel settle"), "{said}");
}

/// An intent of the slot that is due at the first full hour, as an earlier run has left it.
fn left_by_an_earlier_run(world: &World, role: Role, state: IntentState) {
    let mut inner = world.lock();
    let opener = inner.earlier[0].clone();
    let order = Order { role, ..opener.order().unwrap().clone() };
    let key = IntentKey::stored("left by an earlier run".to_owned());
    let intent = Intent { key: key.clone(), action: order.into(), state, receipt: None, ..opener };
    inner.intents.insert(key, intent);
}

/// It never left, and would keep its position open for ever.
#[tokio::test(start_paused = true)]
async fn a_close_that_was_only_planned_is_given_up_and_the_position_closed() {
    let world = World::new().with(|inner| inner.holds(vec![position(7)]));
    let node = world.run(settings(), HOUR / 4).await;
    left_by_an_earlier_run(&world, Role::Close(Ticket(7)), IntentState::Planned);
    let flattened = flatten(&node).await.unwrap();
    assert!(flattened.is_flat(), "{flattened}");
    assert_eq!(closed(&world), [Role::Close(Ticket(7))]);
    let mut states: Vec<IntentState> = world.lock().intents.values().map(|intent| intent.state).collect();
    states.sort_by_key(|state| state.to_string());
    assert_eq!(states, [IntentState::Absent, IntentState::Acked]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_flat_while_an_order_may_still_open_a_position() {
    let world = World::new().with(|inner| inner.holds(vec![position(7)]));
    let node = world.run(settings(), HOUR / 4).await;
    left_by_an_earlier_run(&world, Role::Open, IntentState::Held);
    let flattened = flatten(&node).await.unwrap();
    assert!(flattened.after.as_ref().unwrap().own.is_empty(), "{flattened}");
    assert!(!flattened.is_flat() && flattened.to_string().contains("may still open one"), "{flattened}");
}

#[tokio::test(start_paused = true)]
async fn two_commands_at_the_same_time_close_a_position_once() {
    let world = World::new().with(|inner| inner.holds(vec![position(7)]));
    let node = world.run(settings(), HOUR / 4).await;
    let (first, second) = tokio::join!(flatten(&node), flatten(&node));
    assert!(first.unwrap().is_flat() && second.unwrap().is_flat());
    assert_eq!(closed(&world), [Role::Close(Ticket(7))]);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_only_confirmed_is_not_believed_while_its_position_is_listed() {
    let world = World::new().with(|inner| {
        inner.holds(vec![position(7)]);
        let fill = sentinel_actors::domain::order::Fill {
            ticket: Ticket(50),
            volume_lots: "0.1".parse().unwrap(),
            price: None,
            text: "done".to_owned(),
        };
        inner.replies = vec![Submission::Acked(fill.into())];
    });
    let node = world.run(settings(), HOUR / 4).await;
    assert!(!flatten(&node).await.unwrap().is_flat());
}

#[tokio::test(start_paused = true)]
async fn where_positions_are_not_closed_by_ticket_nothing_is_tried() {
    let world = World::new().with(|inner| {
        inner.holds(vec![position(7)]);
        inner.closes_by_ticket = false;
    });
    let node = world.run(settings(), HOUR / 4).await;
    let Err(NotFlattened::CannotClose(why)) = flatten(&node).await else { panic!("it was tried") };
    assert_eq!((why.as_str(), closed(&world)), ("close it in the terminal", vec![]));
}

/// A halt that forbids everything goes before any command but the one that lifts it.
#[tokio::test(start_paused = true)]
async fn while_a_halt_forbids_everything_nothing_is_closed_and_it_is_named() {
    let world = World::new().with(|inner| {
        inner.holds(vec![position(7)]);
        inner.halts.propose(crate::halts::new(TradingState::Halted));
    });
    let node = world.run(settings(), HOUR / 4).await;
    let flattened = flatten(&node).await.unwrap();
    assert_eq!((flattened.is_flat(), closed(&world)), (false, vec![]));
    assert!(flattened.to_string().contains("not sent (halted): halt-1: all pipelines is halted"), "{flattened}");
    assert!(world.lock().intents.is_empty());
}
