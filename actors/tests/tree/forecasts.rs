//! A pipeline that forecasts: the same intent protocol as for orders, without positions and risk.

use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::action::{Action, Receipt};
use sentinel_actors::domain::decision::DecideOn;
use sentinel_actors::domain::forecast::ForecastPolicy;
use sentinel_actors::domain::intent::IntentState;
use sentinel_actors::domain::order::{Fill, Ticket};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::ports::Submission;

use crate::harness::{HOUR, World};
use crate::test_pipeline::{TestPipeline, settings};

fn forecasting(decide_on: DecideOn) -> TestPipeline {
    let mut settings = settings();
    settings.forecasts = Some(ForecastPolicy { horizon: 168 * HOUR, max_abs: 1.5, decide_on });
    settings
}

fn answering(value: f64) -> World {
    World::new().with(|inner| inner.answer = Ok(vec![value]))
}

#[tokio::test(start_paused = true)]
async fn each_bar_gets_one_forecast_with_its_inclusion_and_no_position_is_asked_for() {
    let world = answering(0.0125);
    let _node = world.run(forecasting(DecideOn::Bar), 3 * HOUR).await;
    assert_eq!(world.reasons(), [Reason::ForecastAcked; 3]);
    let inner = world.lock();
    assert_eq!((inner.asked_for_positions, inner.left.len(), inner.forecasts.len()), (0, 0, 3));
    for (forecast, _) in &inner.forecasts {
        assert_eq!((forecast.log_return, forecast.horizon_s), (Decimal::new(125, 4), 604_800));
        assert_eq!(forecast.reference_price.to_string(), "1.1", "as the vendor wrote it");
    }
    for intent in inner.intents.values() {
        assert!(matches!(&intent.action, Action::Forecast(_)), "{intent:?}");
        assert!(matches!(&intent.receipt, Some(Receipt::Inclusion(_))), "{intent:?}");
        assert_eq!(inner.rows[&intent.slot].intents, std::slice::from_ref(&intent.key));
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_outside_the_bounds_or_of_nothing_never_leaves() {
    for (value, reason) in [(1.6, Reason::ForecastOutOfBounds), (0.0, Reason::ForecastZero)] {
        let world = answering(value);
        let _node = world.run(forecasting(DecideOn::Bar), HOUR).await;
        assert_eq!((world.reasons(), world.lock().forecasts.len()), (vec![reason], 0));
    }
}

#[tokio::test(start_paused = true)]
async fn probabilities_are_no_forecast() {
    let world = World::new();
    let _node = world.run(forecasting(DecideOn::Bar), HOUR).await;
    assert_eq!((world.reasons(), world.lock().forecasts.len()), (vec![Reason::AnswerValues], 0));
}

#[tokio::test(start_paused = true)]
async fn a_forecast_in_doubt_stays_unknown_and_nothing_more_leaves() {
    let world = answering(0.01).with(|inner| inner.replies = vec![Submission::Unknown("no reply".to_owned())]);
    let _node = world.run(forecasting(DecideOn::Slot), 3 * HOUR).await;
    assert_eq!(world.reasons(), [Reason::ForecastUnknown, Reason::IntentOpen, Reason::IntentOpen]);
    assert_eq!((world.states(), world.lock().forecasts.len()), (vec![IntentState::Unknown], 1));
}

#[tokio::test(start_paused = true)]
async fn a_forecast_that_waited_too_long_for_its_turn_does_not_leave() {
    let late = i64::try_from(Duration::from_secs(60).as_millis()).unwrap();
    let world = answering(0.01).with(|inner| inner.jump_ms.in_commit_of_sent = late);
    let _node = world.run(forecasting(DecideOn::Bar), HOUR).await;
    assert_eq!((world.reasons(), world.lock().forecasts.len()), (vec![Reason::ForecastNeverLeft], 0));
    assert_eq!(world.states(), [IntentState::Absent]);
}

#[tokio::test(start_paused = true)]
async fn the_receipt_of_an_order_confirms_no_forecast() {
    let fill = Fill { ticket: Ticket(7), volume_lots: Decimal::ONE, price: None, text: String::new() };
    let world = answering(0.01).with(|inner| inner.replies = vec![Submission::Acked(fill.into())]);
    let _node = world.run(forecasting(DecideOn::Bar), HOUR).await;
    assert_eq!((world.reasons(), world.states()), (vec![Reason::ForecastUnknown], vec![IntentState::Unknown]));
}

#[tokio::test(start_paused = true)]
async fn after_three_lasting_refusals_nothing_is_forecast_until_an_operator_lifts_the_halt() {
    let refusal = Submission::Rejected { code: Some(1), text: "not registered".to_owned(), lasting: true };
    let world = answering(0.01).with(|inner| inner.replies = vec![refusal; 4]);
    let _node = world.run(forecasting(DecideOn::Bar), 5 * HOUR).await;
    assert_eq!(world.lock().forecasts.len(), 3);
    assert_eq!(world.reasons()[2..], [Reason::ForecastRejected, Reason::Reducing, Reason::Reducing]);
}

#[tokio::test(start_paused = true)]
async fn the_receipt_of_an_order_does_not_end_a_row_of_refusals() {
    let refusal = || Submission::Rejected { code: Some(1), text: "not registered".to_owned(), lasting: true };
    let fill = Fill { ticket: Ticket(7), volume_lots: Decimal::ONE, price: None, text: String::new() };
    // Answers are taken from the end.
    let replies = vec![Submission::Acked(fill.into()), refusal(), refusal(), refusal()];
    let world = answering(0.01).with(|inner| inner.replies = replies);
    let _node = world.run(forecasting(DecideOn::Bar), 5 * HOUR).await;
    assert_eq!(world.lock().forecasts.len(), 3, "the fourth is not asked");
}
