//! Positions that are held too long are closed, whether or not there is a prediction.

use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::bar::Interval;
use sentinel_actors::domain::intent::{Basis, IntentState};
use sentinel_actors::domain::order::{Position, Role, Side, Ticket};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::schedule::Schedule;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{ModelError, SlotFeed, SourceError, Submission};
use sentinel_actors::root_supervisor::RootMsg;

use crate::harness::{HOUR, START, World};
use crate::test_pipeline::{TestPipeline, settings};

const HOUR_MS: i64 = 3_600_000;

fn slot(hour: i64) -> UtcMs {
    UtcMs(START.0 - 1_800_000 + hour * HOUR_MS + 2_000)
}

fn holding(limit: Duration) -> TestPipeline {
    let mut settings = settings();
    settings.policy.max_holding = Some(limit);
    settings
}

fn every_minute(mut settings: TestPipeline) -> TestPipeline {
    settings.slots = SlotFeed::Grid(Schedule::parse("every 1m at :30", Interval::new(HOUR).unwrap()).unwrap());
    settings
}

fn hub_at_500() -> ModelError {
    ModelError::Status { status: 500, text: "ill".to_owned() }
}

/// Ticket 7, bought two hours ago.
fn position() -> Position {
    Position {
        ticket: Ticket(7),
        symbol: "EURUSD".to_owned(),
        side: Side::Buy,
        volume_lots: Decimal::new(10, 2),
        open_price: Decimal::new(12, 1),
        opened_at: Some(UtcMs(START.0 - 2 * HOUR_MS)),
    }
}

/// A world with that position and a hub at 500.
fn holding_without_a_hub() -> World {
    World::new().with(|inner| {
        inner.holds(vec![position()]);
        inner.answer = Err(hub_at_500());
    })
}

/// The closes that left: slot and reference price.
fn closes(world: &World) -> Vec<(UtcMs, Decimal)> {
    let inner = world.lock();
    let closes = inner.left.iter().filter(|left| matches!(left.0.role, Role::Close(_)));
    closes.map(|(order, _, slot)| (*slot, order.reference_price.normalize())).collect()
}

/// A hub at 500 kept a position open for forty hours that was to be closed after four.
#[tokio::test(start_paused = true)]
async fn a_position_is_closed_in_time_while_the_hub_fails_for_40_hours() {
    for counted in [false, true] {
        let world = World::new().with(|inner| inner.positions = (!counted).then(Vec::new));
        let node = world.run(holding(4 * HOUR), HOUR).await;
        assert_eq!(world.left(), 1, "a position is opened in the first slot");
        world.lock().answer = Err(hub_at_500());
        tokio::time::sleep(40 * HOUR).await;
        assert_eq!(closes(&world), [(slot(5), Decimal::new(11, 1))], "counted: {counted}");
        let (row, others, next) = {
            let inner = world.lock();
            let others: Vec<Reason> = inner.rows.range(slot(6)..).map(|(_, row)| row.reason).collect();
            (inner.rows[&slot(5)].clone(), others, inner.rows[&slot(6)].detail.clone())
        };
        assert_eq!((row.reason, row.decided_bar, row.intents.len()), (Reason::OrderAcked, None, 1), "{}", row.detail);
        assert!(row.detail.contains("without a decision (answer_status"), "{}", row.detail);
        assert!(others.len() > 30 && others.iter().all(|reason| *reason == Reason::AnswerStatus));
        assert_eq!(next, hub_at_500().to_string(), "where nothing is to be closed, nothing is said");
        let status = node.board.entries["eurusd"].status.load();
        assert_eq!(status.faults_in_a_row, u64::try_from(others.len()).unwrap() + 4, "an exit is no decision");
        assert_eq!(status.last_fault, Some(Reason::AnswerStatus));
        node.root.cast(RootMsg::Shutdown("the test asked".to_owned())).unwrap();
        node.ended.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn positions_are_closed_even_if_the_bar_source_fails() {
    let world = holding_without_a_hub();
    let _node = world.run(holding(5 * HOUR), HOUR).await;
    world.lock().source_error = Some(SourceError::Failed("500".to_owned()));
    tokio::time::sleep(5 * HOUR).await;
    assert_eq!(closes(&world), [(slot(4), Decimal::new(11, 1))]);
    let fresh = holding_without_a_hub().with(|inner| inner.source_error = Some(SourceError::Failed("500".to_owned())));
    let _node = fresh.run(holding(HOUR), HOUR).await;
    assert_eq!(
        closes(&fresh),
        [(slot(1), Decimal::new(12, 1))],
        "no bar since the start: the price that it was opened at"
    );
}

#[tokio::test(start_paused = true)]
async fn a_closed_market_sends_nothing_and_the_first_bar_after_it_closes() {
    let world = holding_without_a_hub();
    let mut settings = holding(HOUR);
    // START is a Monday at half past midnight.
    settings.freshness.calendar = "UTC; Mon 06:00-Fri 22:00".parse().unwrap();
    let no_bars_before = slot(7);
    world.lock().no_bars_before = Some(UtcMs(no_bars_before.0 - HOUR_MS - 2_000));
    let _node = world.run(settings, 9 * HOUR).await;
    assert_eq!(closes(&world).iter().map(|close| close.0).collect::<Vec<_>>(), [no_bars_before]);
    assert!(world.lock().rows.range(..slot(6)).all(|(_, row)| row.reason == Reason::MarketClosed));
}

#[tokio::test(start_paused = true)]
async fn a_slot_on_a_decided_bar_still_closes_a_position_held_too_long() {
    let world = World::new().with(|inner| {
        inner.holds(vec![position()]);
        inner.answer = Ok(vec![0.1, 0.8, 0.1]);
    });
    let _node = world.run(every_minute(holding(2 * HOUR + 10 * Duration::from_secs(60))), HOUR / 2).await;
    let at: Vec<UtcMs> = closes(&world).iter().map(|close| close.0).collect();
    assert_eq!(at, [UtcMs(START.0 + 630_000)], "ten minutes and half a minute after the start");
    let inner = world.lock();
    assert!(inner.rows[&at[0]].detail.contains("without a decision (bar_already_decided"));
    assert_eq!(inner.rows.values().filter(|row| row.decided_bar.is_some()).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_exit_is_retried_in_the_next_slot_and_the_bar_stays_open() {
    let refused = Submission::Rejected { code: Some(10_004), text: "requote".to_owned(), lasting: false };
    let world = holding_without_a_hub().with(|inner| inner.replies = vec![refused.clone(), refused]);
    let _node = world.start(every_minute(holding(HOUR))).await;
    tokio::time::sleep(Duration::from_secs(230)).await;
    assert_eq!(closes(&world).len(), 3, "two were refused");
    world.lock().answer = Ok(vec![0.1, 0.2, 0.7]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let inner = world.lock();
    let states = |wanted| inner.intents.values().filter(|intent| intent.state == wanted).count();
    assert_eq!((states(IntentState::Rejected), states(IntentState::Acked)), (2, 2));
    let decided: Vec<_> = inner.rows.values().filter(|row| row.decided_bar.is_some()).collect();
    assert_eq!((decided.len(), decided[0].reason), (1, Reason::OrderAcked), "no exit has used up the bar");
    for intent in inner.intents.values() {
        assert_eq!(matches!(intent.basis, Basis::Slot(_)), intent.action.role() != "open", "{intent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_exit_that_has_to_wait_leaves_the_fault_as_the_reason_and_says_so() {
    let world = holding_without_a_hub().with(|inner| inner.replies = vec![Submission::Unknown("no reply".to_owned())]);
    let _node = world.run(holding(HOUR), 2 * HOUR).await;
    assert_eq!(closes(&world).len(), 1, "an exit that is in doubt is not sent twice");
    let inner = world.lock();
    assert_eq!(inner.rows[&slot(1)].reason, Reason::OrderUnknown);
    let waiting = &inner.rows[&slot(2)];
    assert_eq!(waiting.reason, Reason::AnswerStatus);
    assert!(waiting.detail.contains("overdue positions could not be closed (intent_open"), "{}", waiting.detail);
}
