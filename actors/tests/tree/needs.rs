//! What a person has to know although the node works on, from the part that knows it to the verdict.

use std::time::Duration;

use sentinel_actors::domain::announced::Announcement;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::domain::verdict::{Judgement, Need, NeedKind, Severity, Verdict};
use sentinel_actors::node::RunningNode;
use sentinel_actors::ports::{ModelError, Submission};
use sentinel_actors::status::Seen;

use crate::announced::announced;
use crate::harness::{HOUR, START, World};
use crate::test_pipeline::settings;

const MINUTE: Duration = Duration::from_secs(60);

fn judged(world: &World, node: &RunningNode) -> Judgement {
    let now = world.now();
    let seen = Seen { at: now, started_at: START, version: "", fresh_for: MINUTE };
    Judgement::of(&node.board.view(seen), now)
}

fn kinds(judgement: &Judgement) -> Vec<(NeedKind, Severity)> {
    judgement.needs.iter().map(|Need { kind, severity, .. }| (*kind, *severity)).collect()
}

#[tokio::test(start_paused = true)]
async fn another_model_that_decides_is_said_and_one_that_is_refused_is_bad_until_it_is_gone() {
    let world = World::new().with(|inner| inner.answer = Ok(vec![0.1, 0.8, 0.1]));
    let node = world.run(settings(), HOUR).await;
    assert_eq!(judged(&world, &node).to_string(), "working");
    let answer = std::mem::replace(
        &mut world.lock().answer,
        Err(ModelError::Changed("the answers to its probes differ".to_owned())),
    );
    tokio::time::sleep(HOUR).await;
    let refused = judged(&world, &node);
    assert_eq!(kinds(&refused), [(NeedKind::ModelChanged, Severity::Now)]);
    assert!(refused.to_string().contains("decides nothing, because another model answers"), "{refused}");
    world.lock().answer = answer;
    tokio::time::sleep(HOUR).await;
    assert_eq!(judged(&world, &node).to_string(), "working", "the first one is back");
    world.lock().served = "1";
    world.lock().armed = ("1", usize::MAX);
    tokio::time::sleep(HOUR).await;
    let taken_up = judged(&world, &node);
    assert_eq!(kinds(&taken_up), [(NeedKind::ModelChanged, Severity::Soon)], "the node decides with it");
    node.root.stop(None);
}

/// A window of two minutes at each of these minutes.
fn windows(minutes: &[i64]) -> Vec<Announcement> {
    let at = |minutes: i64| UtcMs(START.0 + minutes * 60_000);
    let window = |opens: &i64| Announcement::new(format!("nonce {opens}"), at(*opens), at(opens + 2)).unwrap();
    minutes.iter().map(window).collect()
}

#[tokio::test(start_paused = true)]
async fn three_windows_in_a_row_without_a_forecast_are_bad_and_the_next_good_one_ends_it() {
    let rejected = || Submission::Rejected { code: None, text: "no".to_owned(), lasting: false };
    let world = World::new().with(|inner| {
        inner.answer = Ok(vec![0.0125]);
        inner.replies = vec![rejected(), rejected()];
        inner.feed.as_mut().unwrap().announced = windows(&[1, 10, 30, 40]);
    });
    let node = world.run(announced(&world), 25 * MINUTE).await;
    assert!(!judged(&world, &node).is_bad(), "two were refused");
    world.lock().answer = Err(ModelError::Unavailable("down".to_owned()));
    tokio::time::sleep(10 * MINUTE).await;
    let missed = judged(&world, &node);
    assert_eq!((missed.verdict, missed.needs[0].kind), (Verdict::NotWorking, NeedKind::WindowsMissed), "{missed}");
    assert!(missed.to_string().contains("has missed its last 3 windows (model_unavailable)"), "{missed}");
    world.lock().answer = Ok(vec![0.0125]);
    tokio::time::sleep(10 * MINUTE).await;
    let kinds: Vec<NeedKind> = judged(&world, &node).needs.iter().map(|need| need.kind).collect();
    assert!(!kinds.contains(&NeedKind::WindowsMissed), "{kinds:?}");
    node.root.stop(None);
}

#[tokio::test(start_paused = true)]
async fn what_the_feed_says_of_the_account_is_kept_until_it_says_otherwise() {
    let world = World::new().with(|inner| inner.feed.as_mut().unwrap().runway = Some(24 * HOUR * 3));
    let node = world.run(announced(&world), MINUTE).await;
    assert_eq!(kinds(&judged(&world, &node)), [(NeedKind::RunwayShort, Severity::Soon)]);
    world.lock().feed.as_mut().unwrap().runway = None;
    tokio::time::sleep(MINUTE).await;
    assert_eq!(kinds(&judged(&world, &node)), [(NeedKind::RunwayShort, Severity::Soon)], "it says nothing new");
    world.lock().feed.as_mut().unwrap().runway = Some(HOUR);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(kinds(&judged(&world, &node)), [(NeedKind::RunwayShort, Severity::Now)]);
    world.lock().feed.as_mut().unwrap().runway = Some(HOUR * 24 * 30);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(kinds(&judged(&world, &node)), []);
    node.root.stop(None);
}
