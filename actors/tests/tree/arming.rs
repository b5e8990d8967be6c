//! What leaves while the arm does not cover it, and what goes on all the same.

use sentinel_actors::domain::decision::{DecideOn, OnOpposite};
use sentinel_actors::domain::forecast::ForecastPolicy;
use sentinel_actors::domain::intent::IntentState;
use sentinel_actors::domain::order::Role;
use sentinel_actors::domain::prediction::ModelIdentity;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Arming, NotArmed, Submission, Taken};

use crate::harness::{HOUR, World};
use crate::test_pipeline::{TestPipeline, settings};

const SELL: [f64; 3] = [0.7, 0.2, 0.1];

impl Arming for World {
    fn permits(&self, pipeline: &str, model: Option<&ModelIdentity>, _: UtcMs) -> Result<(), NotArmed> {
        assert_eq!(pipeline, "eurusd");
        let mut inner = self.lock();
        let (hash, lasts) = inner.armed;
        if lasts == 0 || model.is_none_or(|model| model.hash != hash) {
            return Err(NotArmed("`sentinel arm`".to_owned()));
        }
        inner.armed.1 -= 1;
        Ok(())
    }

    fn take(&self, pipeline: &str, model: Option<&ModelIdentity>, now: UtcMs) -> Result<Taken, NotArmed> {
        self.permits(pipeline, model, now)?;
        self.lock().taken += 1;
        Ok(Taken::default())
    }

    fn give_back(&self, _: Taken) {
        self.lock().taken -= 1;
    }
}

fn reversing() -> TestPipeline {
    let mut settings = settings();
    settings.policy.on_opposite = OnOpposite::Reverse;
    settings
}

fn forecasting() -> TestPipeline {
    let mut settings = settings();
    settings.forecasts = Some(ForecastPolicy { horizon: 168 * HOUR, max_abs: 1.5, decide_on: DecideOn::Bar });
    settings
}

fn roles(world: &World) -> Vec<bool> {
    world.lock().left.iter().map(|(order, ..)| order.role == Role::Open).collect()
}

#[tokio::test(start_paused = true)]
async fn an_order_that_opens_does_not_leave_without_an_arm() {
    let world = World::new().with(|inner| inner.armed.1 = 0);
    let _node = world.run(settings(), 3 * HOUR).await;
    assert_eq!((world.reasons(), world.left()), (vec![Reason::NotArmed; 3], 0));
    let inner = world.lock();
    assert!(inner.intents.is_empty(), "nothing is planned either");
    assert!(inner.rows.values().all(|row| row.detail == "`sentinel arm`" && row.model.is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_position_is_closed_without_an_arm_and_none_is_opened_in_its_place() {
    let world = World::new();
    let _node = world.run(reversing(), HOUR).await;
    assert_eq!((world.reasons(), roles(&world)), (vec![Reason::OrderAcked], vec![true]));
    {
        let mut inner = world.lock();
        (inner.served, inner.answer) = ("another model", Ok(SELL.to_vec()));
    }
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(roles(&world), [true, false], "the position is closed, and stays closed");
    assert_eq!(world.reasons(), [Reason::OrderAcked, Reason::OrderAcked, Reason::NotArmed]);
    let row = world.lock().rows.values().nth(1).unwrap().clone();
    assert!(row.detail.contains("; then not_armed: `sentinel arm`"), "{}", row.detail);
    assert!(world.lock().positions.as_ref().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_forecast_leaves_only_while_the_model_that_made_it_is_armed() {
    let world = World::new().with(|inner| inner.answer = Ok(vec![0.01]));
    let _node = world.run(forecasting(), HOUR).await;
    world.lock().served = "another model";
    tokio::time::sleep(2 * HOUR).await;
    world.lock().armed.0 = "another model";
    tokio::time::sleep(HOUR).await;
    use Reason::{ForecastAcked, NotArmed};
    assert_eq!(world.reasons(), [ForecastAcked, NotArmed, NotArmed, ForecastAcked]);
    assert_eq!(world.lock().forecasts.len(), 2);
}

/// It was there when the intent was planned, or when `sent` was durable, and not any more when it was to leave.
#[tokio::test(start_paused = true)]
async fn an_arm_that_ends_at_the_last_moment_still_keeps_the_effect_here() {
    for (lasts, reason) in [(1, Reason::OrderNeverLeft), (2, Reason::OrderNeverLeft), (3, Reason::OrderAcked)] {
        let world = World::new().with(|inner| inner.armed.1 = lasts);
        let _node = world.run(settings(), HOUR).await;
        let state = if reason == Reason::OrderAcked { IntentState::Acked } else { IntentState::Absent };
        assert_eq!((world.reasons(), world.states()), (vec![reason], vec![state]), "{lasts}");
        assert_eq!(world.left(), usize::from(lasts == 3));
    }
}

/// What may have left stays taken, also when its answer is lost or refuses it.
#[tokio::test(start_paused = true)]
async fn what_was_taken_from_the_arm_is_given_back_when_it_never_left() {
    let refused = Submission::Rejected { code: None, text: "no money".to_owned(), lasting: false };
    for (reply, taken) in [
        (Submission::NeverLeft("the gateway is down".to_owned()), 0),
        (refused, 1),
        (Submission::Unknown("no reply".to_owned()), 1),
    ] {
        let world = World::new().with(|inner| inner.replies = vec![reply.clone()]);
        let _node = world.run(settings(), HOUR).await;
        let kept = world.lock().taken;
        assert_eq!((kept, world.states().len()), (taken, 1), "{reply:?}");
    }
    let world = World::new().with(|inner| inner.armed.1 = 1);
    let _node = world.run(settings(), HOUR).await;
    let kept = world.lock().taken;
    assert_eq!((kept, world.left()), (0, 0), "the arm ended after it was planned");
    let world = World::new();
    let _node = world.run(reversing(), HOUR).await;
    world.lock().answer = Ok(SELL.to_vec());
    tokio::time::sleep(HOUR).await;
    assert_eq!(roles(&world), [true, false, true]);
    assert_eq!(world.lock().taken, 2, "what only closes takes nothing");
}

#[tokio::test(start_paused = true)]
async fn an_open_intent_is_settled_without_an_arm() {
    let world = World::new().with(|inner| {
        inner.answer = Ok(vec![0.01]);
        inner.replies = vec![Submission::Unknown("no reply".to_owned())];
    });
    let _node = world.run(forecasting(), HOUR).await;
    assert_eq!(world.states(), [IntentState::Unknown]);
    {
        let mut inner = world.lock();
        (inner.armed.1, inner.is_absent) = (0, true);
    }
    tokio::time::sleep(HOUR).await;
    assert_eq!(world.states(), [IntentState::Absent]);
    assert_eq!(world.reasons(), [Reason::ForecastUnknown, Reason::NotArmed]);
}
