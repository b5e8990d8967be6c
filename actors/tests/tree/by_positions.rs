//! Orders without a reply at a venue that can only list positions: what is found there, and what it is worth.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use rust_decimal::Decimal;
use sentinel_actors::domain::evidence::Grade;
use sentinel_actors::domain::intent::{Intent, IntentState};
use sentinel_actors::domain::order::{Position, Role, Side, Ticket};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::ports::Submission;

use crate::harness::{HOUR, World};
use crate::test_pipeline::settings;

pub fn position(ticket: u64, volume_lots: Decimal) -> Position {
    Position {
        ticket: Ticket(ticket),
        symbol: "EURUSD".to_owned(),
        side: Side::Buy,
        volume_lots,
        open_price: Decimal::new(12, 1),
        opened_at: None,
    }
}

/// The reply to its first order is lost, and positions are all that it can be asked for.
fn losing_a_reply(least: Grade) -> World {
    World::new().with(|inner| {
        inner.replies = vec![Submission::Unknown("no reply".to_owned())];
        (inner.settles_by_positions, inner.least_evidence) = (true, least);
    })
}

fn first(world: &World) -> Intent {
    let inner = world.lock();
    inner.intents.values().min_by_key(|intent| intent.slot).unwrap().clone()
}

fn appears(world: &World, position: Position) {
    world.lock().positions.as_mut().unwrap().push(position);
}

#[tokio::test(start_paused = true)]
async fn a_new_position_confirms_a_lost_order_where_nobody_else_trades() {
    let world = losing_a_reply(Grade::PositionDelta);
    let _node = world.run(settings(), Duration::from_secs(1_810)).await;
    assert_eq!((first(&world).state, first(&world).listed), (IntentState::Unknown, Some(Vec::new())));
    appears(&world, position(900, settings().policy.volume_lots));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let found = first(&world);
    assert_eq!((found.state, found.grade), (IntentState::Acked, Some(Grade::PositionDelta)));
    assert_eq!(found.receipt.unwrap().ticket(), Some(Ticket(900)));
}

#[tokio::test(start_paused = true)]
async fn evidence_that_is_weaker_than_the_operator_wants_leaves_the_order_held() {
    let world = losing_a_reply(Grade::Id);
    let _node = world.run(settings(), Duration::from_secs(1_810)).await;
    appears(&world, position(900, settings().policy.volume_lots));
    tokio::time::sleep(HOUR).await;
    let held = first(&world);
    assert_eq!((held.state, held.grade, held.receipt), (IntentState::Held, None, None));
    assert_eq!(world.reasons(), [Reason::OrderUnknown, Reason::IntentOpen]);
    assert_eq!(world.left(), 1);
}

/// That nothing is listed proves nothing, and no time that passes ends an order.
#[tokio::test(start_paused = true)]
async fn an_order_of_which_nothing_is_seen_is_held_and_never_absent() {
    let world = losing_a_reply(Grade::PositionDelta);
    let _node = world.run(settings(), Duration::from_secs(1_830)).await;
    assert_eq!(first(&world).state, IntentState::Unknown, "it may still appear");
    tokio::time::sleep(HOUR).await;
    assert_eq!(first(&world).state, IntentState::Held);
    appears(&world, position(900, settings().policy.volume_lots));
    tokio::time::sleep(HOUR).await;
    assert_eq!(first(&world).state, IntentState::Held, "a person has to look now");
}

#[tokio::test(start_paused = true)]
async fn of_several_new_positions_none_confirms_a_lost_order() {
    let world = losing_a_reply(Grade::PositionDelta);
    let _node = world.run(settings(), Duration::from_secs(1_810)).await;
    for ticket in [900, 901] {
        appears(&world, position(ticket, settings().policy.volume_lots));
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(first(&world).state, IntentState::Held);
}

/// Another hand opened it: it is neither the node's nor to be closed by it.
#[tokio::test(start_paused = true)]
async fn a_position_that_no_order_explains_blocks_new_exposure_and_is_left_alone() {
    let world = World::new();
    appears(&world, position(900, settings().policy.volume_lots));
    let mut settings = settings();
    settings.policy.max_holding = Some(Duration::from_secs(60));
    let _node = world.run(settings, HOUR * 2).await;
    assert_eq!(world.reasons(), [Reason::UnexplainedPosition, Reason::UnexplainedPosition]);
    assert_eq!(world.left(), 0);
    {
        let inner = world.lock();
        let detail = &inner.rows.values().next().unwrap().detail;
        assert!(detail.contains("ticket 900, buy 0.1 EURUSD"), "{detail}");
    }
    world.lock().positions.as_mut().unwrap().clear();
    tokio::time::sleep(HOUR).await;
    assert_eq!(world.left(), 1, "it is gone, so the next slot trades");
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_grew_by_another_hand_blocks_new_exposure() {
    let world = World::new();
    let _node = world.run(settings(), HOUR).await;
    world.lock().positions.as_mut().unwrap()[0].volume_lots += Decimal::ONE;
    tokio::time::sleep(HOUR).await;
    assert_eq!(world.reasons(), [Reason::OrderAcked, Reason::UnexplainedPosition]);
    assert_eq!(world.left(), 1);
}

/// What another hand does with the account between two slots.
#[derive(Debug, Clone, Copy)]
enum Hand {
    Nothing,
    Opens(Side, i64),
    /// Closes the oldest position, whoever opened it.
    Closes,
    /// Adds to the newest position.
    Adds,
}

fn hand() -> impl Strategy<Value = Hand> {
    let side = prop_oneof![Just(Side::Buy), Just(Side::Sell)];
    prop_oneof![
        3 => Just(Hand::Nothing),
        2 => (side, 1..30_i64).prop_map(|(side, hundredths)| Hand::Opens(side, hundredths)),
        2 => Just(Hand::Closes),
        1 => Just(Hand::Adds),
    ]
}

/// Tickets of another hand begin here.
const THEIRS: u64 = 5_000;

fn act(world: &World, number: u64, hand: Hand) {
    let mut inner = world.lock();
    let positions = inner.positions.as_mut().unwrap();
    match hand {
        Hand::Nothing => {}
        Hand::Opens(side, hundredths) => {
            positions.push(Position { side, ..position(THEIRS + number, Decimal::new(hundredths, 2)) });
        }
        Hand::Closes if positions.is_empty() => {}
        Hand::Closes => drop(positions.remove(0)),
        Hand::Adds => {
            positions.iter_mut().next_back().into_iter().for_each(|newest| newest.volume_lots += Decimal::ONE)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each of its trades is found in the next slot, and none is adopted or closed.
    #[test]
    fn trades_of_another_hand_are_found_within_one_slot_and_left_alone(
        hands in prop::collection::vec((hand(), any::<bool>()), 1..12),
    ) {
        let world = World::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            world.with_fresh_time();
            let mut pipeline = settings();
            pipeline.policy.max_holding = Some(HOUR * 2);
            let node = world.start(pipeline).await;
            for (number, (hand, buys)) in (0..).zip(&hands) {
                act(&world, number, *hand);
                world.lock().answer = Ok(if *buys { vec![0.1, 0.2, 0.7] } else { vec![0.7, 0.2, 0.1] });
                let theirs = |position: &Position| {
                    position.ticket.0 >= THEIRS || position.volume_lots > settings().policy.volume_lots
                };
                let foreign: BTreeSet<Ticket> = {
                    let inner = world.lock();
                    let open = inner.positions.as_ref().unwrap();
                    open.iter().filter(|position| theirs(position)).map(|position| position.ticket).collect()
                };
                let before = world.left();
                tokio::time::sleep(HOUR).await;
                let inner = world.lock();
                for (order, ..) in &inner.left[before..] {
                    match order.role {
                        Role::Open => assert!(foreign.is_empty(), "opened beside {foreign:?}"),
                        Role::Close(ticket) => assert!(!foreign.contains(&ticket), "closed theirs, {ticket}"),
                    }
                }
                if !foreign.is_empty() && inner.left.len() == before {
                    let row = inner.rows.values().next_back().unwrap();
                    assert!(row.reason == Reason::UnexplainedPosition, "{}: {}", row.reason, row.detail);
                }
            }
            node.root.stop(None);
            let _ = node.ended.await;
        });
    }
}
