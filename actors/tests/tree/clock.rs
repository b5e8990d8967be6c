//! A wall clock that jumps or is set back while the node works. Elapsed time does not see it, so schedule time is asked too.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use sentinel_actors::domain::intent::IntentState;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::root_supervisor::RootMsg;

use crate::harness::{HOUR, Jumps, START, World};
use crate::test_pipeline::settings;

const HOUR_MS: i64 = 3_600_000;
/// A minute is left until the next slot.
const ALMOST_AN_HOUR_MS: i64 = HOUR_MS - 60_000;
/// What a slot's lateness and its cycle may take together.
const LIMIT: Duration = Duration::from_secs(40);

fn jumping(jump_ms: Jumps) -> World {
    World::new().with(|inner| inner.jump_ms = jump_ms)
}

/// The wall clock moved an hour while the model was asked, and ten orders left an hour late.
#[tokio::test(start_paused = true)]
async fn no_order_leaves_when_the_clock_moves_while_the_model_is_asked() {
    let world = jumping(Jumps { in_predict: ALMOST_AN_HOUR_MS, ..Jumps::default() });
    let _node = world.run(settings(), HOUR).await;
    let (left, reasons) = (world.left(), world.reasons());
    assert_eq!(left, 0, "{reasons:?}");
    assert!(reasons.len() >= 10 && reasons.iter().all(|reason| *reason == Reason::DecisionExpired), "{reasons:?}");
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_clock_moved_during_the_sent_commit_never_left() {
    let world = jumping(Jumps { in_commit_of_sent: ALMOST_AN_HOUR_MS, ..Jumps::default() });
    let _node = world.run(settings(), HOUR).await;
    let (left, reasons) = (world.left(), world.reasons());
    assert_eq!(left, 0);
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| *reason == Reason::OrderNeverLeft), "{reasons:?}");
    assert!(world.states().iter().all(|state| *state == IntentState::Absent));
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_clock_moved_while_it_waited_at_the_venue_never_left() {
    let world = jumping(Jumps { in_submit: ALMOST_AN_HOUR_MS, ..Jumps::default() });
    let _node = world.run(settings(), HOUR).await;
    let (left, reasons) = (world.left(), world.reasons());
    assert_eq!(left, 0);
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| *reason == Reason::OrderNeverLeft), "{reasons:?}");
    assert!(world.states().iter().all(|state| *state == IntentState::Absent));
}

#[tokio::test(start_paused = true)]
async fn an_order_of_a_slot_ahead_of_a_clock_set_back_is_not_sent() {
    let world = jumping(Jumps { in_predict: -HOUR_MS, ..Jumps::default() });
    let _node = world.run(settings(), HOUR).await;
    assert_eq!((world.left(), world.reasons()), (0, vec![Reason::DecisionExpired]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_leaves_outside_the_limits_of_its_slot_when_the_clock_jumps(
        in_predict in -100_i64..100, in_positions in -100_i64..100, in_commit_of_sent in -100_i64..100,
        in_submit in -100_i64..100,
    ) {
        let jump = |seconds: i64| seconds * 1000;
        let world = jumping(Jumps {
            in_predict: jump(in_predict),
            in_positions: jump(in_positions),
            in_commit_of_sent: jump(in_commit_of_sent),
            in_submit: jump(in_submit),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            world.with_fresh_time();
            let _node = world.run(settings(), 2 * HOUR).await;
        });
        let inner = world.lock();
        for (order, at, slot) in &inner.left {
            prop_assert!(at.since(*slot) <= LIMIT, "{order:?} of {slot} left at {at}");
            prop_assert!(slot.since(*at) <= Duration::from_secs(20), "{order:?} of {slot} left at {at}");
        }
    }
}

/// The names of all events, by a subscriber of the test's own.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    fn count(&self, name: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|event| *event == name).count()
    }
}

struct Name(Option<String>);

impl tracing::field::Visit for Name {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "event" {
            self.0 = Some(format!("{value:?}").trim_matches('"').to_owned());
        }
    }
}

impl tracing::Subscriber for Events {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut name = Name(None);
        event.record(&mut name);
        self.0.lock().unwrap().extend(name.0);
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

fn slot(hour: i64) -> UtcMs {
    UtcMs(START.0 - 1_800_000 + hour * HOUR_MS + 2_000)
}

fn slots(world: &World) -> Vec<UtcMs> {
    world.lock().rows.keys().copied().collect()
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_is_reported_and_no_slot_runs_twice() {
    let events = Events::default();
    let _guard = tracing::subscriber::set_default(events.clone());
    let world = World::new();
    let node = world.start(settings()).await;
    tokio::time::sleep(3 * HOUR).await;
    assert_eq!(slots(&world), [slot(1), slot(2), slot(3)]);
    world.lock().offset_ms = -2 * HOUR_MS;
    tokio::time::sleep(HOUR + HOUR / 2).await;
    assert_eq!(slots(&world).len(), 3, "those of the repeated hours have their end already");
    let status = node.board.entries["eurusd"].status.load();
    assert_eq!(status.accounted, Some(slot(3)), "what health compares the clock with");
    assert_eq!((events.count("clock_set_back"), events.count("clock_jumped")), (1, 0));
    assert_eq!(events.count("schedule_waits"), 2, "once at first, once an hour while it lasts");
    tokio::time::sleep(HOUR + HOUR / 2).await;
    assert_eq!(slots(&world).last(), Some(&slot(4)), "the schedule goes on when the clock has caught up");
    let left: Vec<UtcMs> = world.lock().left.iter().map(|left| left.2).collect();
    assert_eq!(left, [slot(1), slot(2), slot(3), slot(4)], "one order each");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_put_right_again_is_noticed_within_a_minute() {
    let events = Events::default();
    let _guard = tracing::subscriber::set_default(events.clone());
    let world = World::new();
    let _node = world.start(settings()).await;
    tokio::time::sleep(HOUR).await;
    world.lock().offset_ms = -24 * HOUR_MS;
    tokio::time::sleep(HOUR / 2 - Duration::from_secs(60)).await;
    world.lock().offset_ms = 0;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(slots(&world), [slot(1), slot(2)]);
    assert!(world.reasons().iter().all(|reason| *reason == Reason::OrderAcked), "on time");
    assert_eq!((events.count("clock_set_back"), events.count("clock_jumped")), (1, 1));
}

/// A clock that waits without a look at itself, as the port allows: it says so only when the instant has come.
#[tokio::test(start_paused = true)]
async fn a_waiting_pipeline_checks_its_clock_at_least_once_a_minute() {
    let world = World::new().with(|inner| inner.waits_blindly = true);
    let _node = world.start(settings()).await;
    tokio::time::sleep(Duration::from_secs(90)).await;
    world.lock().offset_ms = 20 * 60 * 1000;
    tokio::time::sleep(Duration::from_secs(9 * 60)).await;
    assert_eq!((slots(&world), world.reasons()), (vec![slot(1)], vec![Reason::OrderAcked]));
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_clock_is_behind_its_journal_logs_that_it_waits() {
    let world = World::new();
    let node = world.run(settings(), 3 * HOUR).await;
    node.root.cast(RootMsg::Shutdown("the test asked".to_owned())).unwrap();
    node.ended.await.unwrap();
    world.lock().offset_ms = -6 * HOUR_MS;
    let events = Events::default();
    let _guard = tracing::subscriber::set_default(events.clone());
    let node = world.run(settings(), Duration::from_secs(60)).await;
    assert_eq!(events.count("schedule_waits"), 1);
    assert_eq!(node.board.entries["eurusd"].status.load().accounted, Some(slot(3)));
}
