//! A pipeline whose slots are announced from outside: repeated, withdrawn, late, and while the node was down.

use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::announced::{AnnouncedSlot, Announcement};
use sentinel_actors::domain::decision::DecideOn;
use sentinel_actors::domain::forecast::ForecastPolicy;
use sentinel_actors::domain::intent::IntentState;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{FeedError, SlotFeed, Submission};

use crate::harness::{HOUR, START, World};
use crate::test_pipeline::{TestPipeline, settings};

const MINUTE: Duration = Duration::from_secs(60);

/// A pipeline that forecasts once per announced slot.
pub fn announced(world: &World) -> TestPipeline {
    let mut settings = settings();
    settings.slots = SlotFeed::Announced(Arc::new(world.clone()));
    settings.forecasts = Some(ForecastPolicy { horizon: 168 * HOUR, max_abs: 1.5, decide_on: DecideOn::Slot });
    settings
}

fn forecasting() -> World {
    World::new().with(|inner| inner.answer = Ok(vec![0.0125]))
}

/// Minutes after the start.
fn at(minutes: i64) -> UtcMs {
    UtcMs(START.0 + minutes * 60_000)
}

/// A window from one minute to another.
fn window(opens: i64, closes: i64) -> Announcement {
    Announcement::new(format!("nonce {opens}"), at(opens), at(closes)).unwrap()
}

impl World {
    fn announce(&self, windows: &[Announcement]) {
        self.lock().feed.as_mut().unwrap().announced.extend_from_slice(windows);
    }

    fn withdraw(&self, opens: i64) {
        self.lock().feed.as_mut().unwrap().withdrawn.push(format!("nonce {opens}"));
    }

    /// How each slot ended, by the minute at which it opened.
    fn ends(&self) -> Vec<(i64, Reason)> {
        self.lock().rows.iter().map(|(slot, row)| ((slot.0 - START.0) / 60_000, row.reason)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn each_announced_window_gets_one_forecast_that_names_it() {
    let world = forecasting();
    world.announce(&[window(1, 3), window(10, 12)]);
    let _node = world.run(announced(&world), 15 * MINUTE).await;
    assert_eq!(world.ends(), [(1, Reason::ForecastAcked), (10, Reason::ForecastAcked)]);
    let inner = world.lock();
    assert_eq!(inner.forecasts.len(), 2, "it was announced anew with every answer");
    let ids: Vec<_> = inner.intents.values().map(|intent| (intent.slot, intent.announced_as.clone())).collect();
    for (slot, id) in ids {
        assert_eq!(id, Some(format!("nonce {}", (slot.0 - START.0) / 60_000)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_forecast_in_doubt_keeps_no_later_window_from_being_used() {
    let world = forecasting().with(|inner| inner.replies = vec![Submission::Unknown("no reply".to_owned())]);
    world.announce(&[window(1, 3), window(10, 12)]);
    let _node = world.run(announced(&world), 15 * MINUTE).await;
    assert_eq!(world.ends(), [(1, Reason::ForecastUnknown), (10, Reason::ForecastAcked)]);
    assert_eq!(world.lock().forecasts.len(), 2, "each window once");
    let open: Vec<_> = world.lock().intents.values().filter(|intent| intent.slot == at(1)).cloned().collect();
    assert_eq!(open[0].state, IntentState::Unknown, "an operator still sees it");
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_announced_late_is_used_until_it_closes() {
    let world = forecasting();
    let _node = world.run(announced(&world), 9 * MINUTE).await;
    world.announce(&[window(1, 10), window(2, 8)]);
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(world.ends(), [(1, Reason::ForecastAcked), (2, Reason::Late)]);
}

#[tokio::test(start_paused = true)]
async fn windows_that_passed_while_the_node_was_down_get_their_rows() {
    let world = forecasting();
    world.announce(&[window(-30, -20), window(-10, 5)]);
    let known = AnnouncedSlot { slot: at(-60), closes: at(-50), id: "nonce -60".to_owned(), announced_at: at(-61) };
    world.lock().announced.insert(known.slot, known.clone());
    let _node = world.run(announced(&world), MINUTE).await;
    assert_eq!(
        world.ends(),
        [(-60, Reason::NodeDown), (-30, Reason::NodeDown), (-10, Reason::ForecastAcked)],
        "what was announced before, what was not, and what is still open"
    );
    let first = world.lock().feed_requests[0].clone();
    assert_eq!((first.since, first.open), (Some(at(-60)), vec![known]));
}

#[tokio::test(start_paused = true)]
async fn nothing_leaves_for_a_window_that_was_withdrawn() {
    let world = forecasting();
    world.announce(&[window(5, 9), window(6, 9)]);
    world.withdraw(5);
    let _node = world.run(announced(&world), 15 * MINUTE).await;
    assert_eq!(world.ends(), [(5, Reason::Withdrawn), (6, Reason::ForecastAcked)]);
}

#[tokio::test(start_paused = true)]
async fn nothing_leaves_for_a_window_that_is_withdrawn_while_the_model_thinks() {
    let world = forecasting().with(|inner| inner.thinks_for = Duration::from_secs(5));
    world.announce(&[window(1, 9)]);
    let mut settings = announced(&world);
    settings.deadlines.predict = Duration::from_secs(8);
    let _node = world.run(settings, MINUTE + Duration::from_secs(1)).await;
    world.withdraw(1);
    tokio::time::sleep(MINUTE).await;
    assert_eq!((world.ends(), world.lock().forecasts.len()), (vec![(1, Reason::Withdrawn)], 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_leaves_after_a_window_has_closed_while_the_model_thought() {
    let world = forecasting().with(|inner| inner.jump_ms.in_predict = 2 * 60_000 - 100);
    world.announce(&[window(1, 3)]);
    let _node = world.run(announced(&world), 2 * MINUTE).await;
    assert_eq!(world.ends(), [(1, Reason::ForecastAcked)], "it is open for two minutes");
    let world = forecasting().with(|inner| inner.jump_ms.in_predict = 2 * 60_000 + 100);
    world.announce(&[window(1, 3)]);
    let _node = world.run(announced(&world), 2 * MINUTE).await;
    assert_eq!(world.ends(), [(1, Reason::DecisionExpired)]);
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_is_silent_at_the_start_keeps_a_known_window_from_being_used() {
    let world = forecasting();
    let known = AnnouncedSlot { slot: at(-1), closes: at(2), id: "nonce -1".to_owned(), announced_at: at(-2) };
    world.lock().announced.insert(known.slot, known);
    world.lock().feed = Err(FeedError("no answer".to_owned()));
    let node = world.run(announced(&world), 3 * MINUTE).await;
    assert_eq!(world.ends(), [(-1, Reason::FeedSilent)], "it could have been withdrawn");
    let status = node.board.entries["eurusd"].status.load_full();
    assert!(status.waiting_since.is_some(), "a node that is not told what is due does no useful work");
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_fails_later_keeps_no_known_window_from_being_used() {
    let world = forecasting();
    world.announce(&[window(5, 9)]);
    let node = world.run(announced(&world), 2 * MINUTE).await;
    let status = || node.board.entries["eurusd"].status.load_full();
    assert_eq!((status().waiting_since, status().next_due), (None, Some(at(5))));
    world.lock().feed = Err(FeedError("no answer".to_owned()));
    tokio::time::sleep(5 * MINUTE).await;
    assert_eq!(world.ends(), [(5, Reason::ForecastAcked)]);
    assert!(status().waiting_since.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_competition_ends_when_the_feed_was_asked_after_its_end() {
    let world = forecasting();
    world.announce(&[window(1, 3), window(5, 20), window(11, 20)]);
    let mut settings = announced(&world);
    settings.window.end = Some(at(10));
    let mut node = world.run(settings, 11 * MINUTE).await;
    assert_eq!(world.ends(), [(1, Reason::ForecastAcked), (5, Reason::ForecastAcked)], "the third opens after the end");
    assert!(node.done.try_recv().is_ok(), "the node has ended by itself");
}

/// Only then can it tell what became durable from what was lost on the way.
#[tokio::test(start_paused = true)]
async fn an_announcer_is_told_what_is_durable_until_it_announces_nothing_new() {
    let world = forecasting();
    world.announce(&[window(1, 3)]);
    let _node = world.run(announced(&world), 5 * MINUTE).await;
    let repeated = world.lock().feed_requests.last().unwrap().known.clone();
    assert_eq!(repeated, ["nonce 1"], "it announces it with every answer");
    world.lock().feed.as_mut().unwrap().announced.clear();
    tokio::time::sleep(MINUTE).await;
    assert!(world.lock().feed_requests.last().unwrap().known.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_announcer_is_told_which_effects_nobody_knows_the_outcome_of() {
    let world = forecasting().with(|inner| inner.replies = vec![Submission::Unknown("no reply".to_owned())]);
    world.announce(&[window(1, 3)]);
    let _node = world.run(announced(&world), 2 * MINUTE).await;
    let inner = world.lock();
    let told = inner.feed_requests.last().unwrap().unsettled.clone();
    let open: Vec<_> = inner.intents.values().filter(|intent| !intent.state.is_final()).cloned().collect();
    assert!(open.len() == 1 && told == open, "{told:?}");
}
