//! No order is larger than the configured volume, and none carries a level that a gateway takes for none.

use proptest::prelude::*;
use rust_decimal::Decimal;
use sentinel_actors::domain::decision::OnOpposite;
use sentinel_actors::domain::intent::{Basis, Intent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::{Fill, Order, Position, Role, Side, Ticket};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;

use crate::harness::{HOUR, START, World};
use crate::test_pipeline::{TestPipeline, settings};

const SELL: [f64; 3] = [0.7, 0.2, 0.1];

fn acked(number: i64, side: Side, volume_lots: Decimal) -> Intent {
    let slot = UtcMs(START.0 - (100 - number) * 3_600_000);
    let basis = Basis::Bar(slot);
    let order = Order {
        role: Role::Open,
        symbol: "EURUSD".to_owned(),
        side,
        volume_lots,
        stop_price: None,
        target_price: None,
        reference_price: Decimal::ONE,
    };
    let fill = Fill { ticket: Ticket(number.unsigned_abs()), volume_lots, price: None, text: String::new() };
    Intent {
        key: IntentKey::derive(Mode::Live, "account", "eurusd", basis, Role::Open),
        mode: Mode::Live,
        account: "account".to_owned(),
        pipeline: "eurusd".to_owned(),
        slot,
        announced_as: None,
        basis,
        action: order.into(),
        state: IntentState::Acked,
        receipt: Some(fill.into()),
        awaits: None,
        grade: None,
        listed: None,
        venue_note: None,
    }
}

fn position(ticket: u64, side: Side, volume_lots: Decimal) -> Position {
    Position {
        ticket: Ticket(ticket),
        symbol: "EURUSD".to_owned(),
        side,
        volume_lots,
        open_price: Decimal::ONE,
        opened_at: Some(UtcMs(START.0 - 7_200_000)),
    }
}

/// A world whose positions are counted from these confirmed orders.
fn counting(orders: &[(Side, Decimal)]) -> World {
    World::new().with(|inner| {
        inner.positions = None;
        let intents = (1..).zip(orders).map(|(number, (side, volume))| acked(number, *side, *volume));
        inner.intents = intents.map(|intent| (intent.key.clone(), intent)).collect();
    })
}

/// What a world does in its first slot: the orders that left, and what its row says.
fn first_slot(world: &World, settings: TestPipeline) -> (Vec<Order>, Reason, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        world.with_fresh_time();
        let node = world.run(settings, HOUR).await;
        node.root.stop(None);
        let _ = node.ended.await;
    });
    let inner = world.lock();
    let row = inner.rows.values().next().unwrap();
    (inner.left.iter().map(|left| left.0.clone()).collect(), row.reason, row.detail.clone())
}

/// One byte of `filled_lots` was another one, and 0.9 lots were sent where 0.10 are configured.
#[test]
fn a_derived_position_above_the_volume_is_not_closed_and_says_so() {
    let world = counting(&[(Side::Buy, Decimal::new(9, 1))]).with(|inner| inner.answer = Ok(SELL.to_vec()));
    let (left, reason, detail) = first_slot(&world, settings());
    assert_eq!((left, reason), (vec![], Reason::OrderTooLarge));
    assert!(detail.contains("0.9 lots") && detail.contains("0.1 lots"), "{detail}");
}

#[test]
fn a_reported_position_larger_than_the_volume_is_not_closed() {
    let large = position(7, Side::Buy, Decimal::new(20, 2));
    let world = World::new().with(|inner| {
        inner.holds(vec![large]);
        inner.answer = Ok(SELL.to_vec());
    });
    let (left, reason, _) = first_slot(&world, settings());
    assert_eq!((left, reason), (vec![], Reason::OrderTooLarge));
}

/// Otherwise "none" as the limit would pile up what one order may not close.
#[test]
fn a_counted_position_never_grows_beyond_what_one_order_may_close() {
    let world = counting(&[(Side::Buy, Decimal::new(10, 2))]);
    let (left, reason, _) = first_slot(&world, settings());
    assert_eq!((left, reason), (vec![], Reason::RiskMaxPositions));
    let reported = World::new().with(|inner| inner.holds(vec![position(7, Side::Buy, Decimal::new(10, 2))]));
    assert_eq!(
        first_slot(&reported, settings()).0.len(),
        1,
        "where the venue reports positions each is closed by its ticket"
    );
}

#[test]
fn a_stop_or_a_target_at_or_below_zero_is_never_sent() {
    for (price, stop, target, answer) in [
        (0.0050, Some(50), None, [0.1, 0.2, 0.7]),
        (0.0049, Some(50), None, [0.1, 0.2, 0.7]),
        (0.0100, None, Some(100), SELL),
        (0.0001, Some(1), Some(100), SELL),
    ] {
        let world = World::new().with(|inner| (inner.price, inner.answer) = (price, Ok(answer.to_vec())));
        let mut settings = settings();
        settings.policy.stop_distance = stop.map(|distance| Decimal::new(distance, 4));
        settings.policy.target_distance = target.map(|distance| Decimal::new(distance, 4));
        let (left, reason, detail) = first_slot(&world, settings);
        assert_eq!((left, reason), (vec![], Reason::LevelNotPositive), "at {price}: {detail}");
    }
}

fn lots() -> impl Strategy<Value = Decimal> {
    (1_i64..=300).prop_map(|hundredths| Decimal::new(hundredths, 2))
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Buy), Just(Side::Sell)]
}

fn on_opposite() -> impl Strategy<Value = OnOpposite> {
    prop_oneof![Just(OnOpposite::Ignore), Just(OnOpposite::Close), Just(OnOpposite::Reverse)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_is_larger_than_configured_whatever_the_venue_reports(
        volume in lots(),
        holdings in prop::collection::vec((side(), lots()), 0..4),
        is_derived in any::<bool>(),
        buys in any::<bool>(),
        on_opposite in on_opposite(),
        max_holding in prop::option::of(Just(HOUR)),
        (price, stop, target) in (1_u32..30_000, prop::option::of(1_i64..10_000), prop::option::of(1_i64..10_000)),
    ) {
        let world = if is_derived {
            counting(&holdings)
        } else {
            let reported = (1..).zip(&holdings).map(|(ticket, (side, lots))| position(ticket, *side, *lots));
            World::new().with(|inner| inner.holds(reported.collect()))
        };
        let answer = if buys { [0.1, 0.2, 0.7] } else { SELL };
        let world = world.with(|inner| {
            (inner.price, inner.answer) = (f64::from(price) / 1e4, Ok(answer.to_vec()));
        });
        let mut settings = settings();
        (settings.policy.volume_lots, settings.policy.on_opposite) = (volume, on_opposite);
        settings.policy.max_holding = max_holding;
        if !is_derived {
            settings.policy.stop_distance = stop.map(|distance| Decimal::new(distance, 4));
            settings.policy.target_distance = target.map(|distance| Decimal::new(distance, 4));
        }
        let (left, reason, detail) = first_slot(&world, settings);
        for order in &left {
            prop_assert!(order.volume_lots <= volume, "{order:?}: {reason} {detail}");
            for level in [order.stop_price, order.target_price].into_iter().flatten() {
                prop_assert!(level > Decimal::ZERO, "{order:?}");
            }
        }
        let inner = world.lock();
        let planned = inner.intents.values().filter(|intent| intent.slot > START);
        for intent in planned {
            prop_assert!(intent.order().is_some_and(|order| order.volume_lots <= volume), "planned: {intent:?}");
        }
    }
}
