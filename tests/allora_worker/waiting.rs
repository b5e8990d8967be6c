//! What keeps a worker from submitting: it waits, says what to do, and goes on by itself once it is mended.

use std::time::Duration;

use sentinel_actors::ports::{Submission, Withheld};
use sentinel_testbed::chain::{Arity, TopicRules, View};

use super::site::{RICH, Setup, Site, TOPIC, address, receptions};

fn why(submission: &Submission) -> Option<Withheld> {
    match submission {
        Submission::Withheld { why, .. } => Some(*why),
        _ => None,
    }
}

#[tokio::test]
async fn a_worker_that_is_not_whitelisted_waits_until_it_is() {
    let site = Site::of_topic(|topic| topic.whitelist = Some(Vec::new()));
    let mut worker = site.live();
    let answer = worker.ask_at(1_005).await;
    let text = answer.waits_for.unwrap();
    assert!(text.contains("is not on the whitelist of topic 67: ask the topic's owner"), "{text}");
    let submission = worker.submit(1_005).await;
    assert_eq!(why(&submission), Some(Withheld::NotPermitted), "{submission:?}");
    assert_eq!(receptions(&site), []);
    site.chain.topic(TOPIC, |topic| topic.whitelist = Some(vec![address()]));
    assert_eq!(worker.ask_at(1_025).await.waits_for, None);
    assert!(matches!(worker.submit(1_025).await, Submission::Acked(_)));
}

/// Where a node simulates, the simulation says so too.
#[tokio::test]
async fn without_a_simulation_a_worker_that_may_not_submit_sends_nothing_either() {
    let changes: [fn(&mut TopicRules); 2] =
        [|topic| topic.whitelist = Some(Vec::new()), |topic| topic.registered.clear()];
    for change in changes {
        let site = Site::of_topic(change);
        site.chain.script(0, &["Simulate:unknown"]).unwrap();
        site.chain.blocks_to(1_005);
        let submission = site.live().submit_within(1_005, Duration::from_secs(1), true).await;
        assert_eq!(why(&submission), Some(Withheld::NotPermitted), "{submission:?}");
        assert_eq!(receptions(&site), []);
    }
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_named_and_asked_for_rarely() {
    let site = Site::new();
    let mut worker = site.worker(Setup { topic: 68, ..Setup::default() });
    let answer = worker.ask().await;
    let text = answer.waits_for.unwrap();
    assert!(text.contains("has no topic 68: name another one"), "{text}");
    assert_eq!((answer.announced, answer.ask_again.as_secs()), (vec![], 60));
}

#[tokio::test]
async fn a_topic_of_several_labels_is_refused_by_name() {
    let site = Site::of_topic(|topic| topic.arity = Arity::Multi);
    let mut worker = site.live();
    let answer = worker.ask_at(1_006).await;
    assert!(answer.waits_for.unwrap().starts_with("topic 67 takes several labels"));
    assert_eq!((answer.announced, answer.ask_again.as_secs()), (vec![], 60));
}

#[tokio::test]
async fn an_inactive_topic_is_waited_for() {
    let site = Site::of_topic(|topic| topic.is_active = false);
    let mut worker = site.live();
    let answer = worker.ask_at(1_006).await;
    assert!(answer.waits_for.unwrap().starts_with("topic 67 is not active"));
    assert_eq!(answer.next, None);
    site.chain.topic(TOPIC, |topic| topic.is_active = true);
    assert_eq!(worker.ask_at(1_008).await.waits_for, None);
    assert_eq!(worker.announced, [1_007]);
}

#[tokio::test]
async fn an_empty_wallet_waits_and_says_what_is_needed() {
    let site = Site::new();
    site.chain.set_balance(&address(), 1_000);
    let mut worker = site.live();
    let text = worker.ask_at(1_001).await.waits_for.unwrap();
    assert!(text.contains("has 0.000000000000001 ALLO and needs about 0.0000000000053 ALLO for a window"), "{text}");
    assert_eq!(worker.ask_at(1_002).await.waits_for.as_ref(), Some(&text), "the same words, so the same line");
    worker.ask_at(1_005).await;
    let submission = worker.submit(1_005).await;
    assert_eq!(why(&submission), Some(Withheld::Unfunded), "{submission:?}");
    assert_eq!(receptions(&site), []);
    site.chain.fund(&address(), RICH);
    worker.ask_at(1_018).await;
    assert_eq!(worker.ask_at(1_019).await.waits_for, None);
    worker.ask_at(1_025).await;
    assert!(matches!(worker.submit(1_025).await, Submission::Acked(_)));
}

#[tokio::test]
async fn an_account_that_nobody_has_funded_waits_too() {
    let site = Site::with(1, |genesis| genesis.balances.clear());
    let mut worker = site.live();
    assert!(worker.ask_at(1_001).await.waits_for.unwrap().contains("has 0 ALLO"));
    worker.ask_at(1_005).await;
    let submission = worker.submit(1_005).await;
    assert_eq!(why(&submission), Some(Withheld::Unfunded), "{submission:?}");
}

#[tokio::test]
async fn nodes_that_catch_up_are_an_error_and_the_next_answer_comes_by_itself() {
    let site = Site::new();
    let mut worker = site.live();
    site.chain.view(0, |view| view.catching_up = true);
    let error = worker.try_ask().await.unwrap_err();
    assert!(error.to_string().contains("catching up"), "{error}");
    let submission = worker.submit(1_005).await;
    assert_eq!(why(&submission), Some(Withheld::LedgerUnavailable), "{submission:?}");
    site.chain.view(0, |view| *view = View::default());
    worker.ask_at(1_005).await;
    assert_eq!(worker.announced, [1_005]);
}

#[tokio::test]
async fn endpoints_that_contradict_each_other_are_no_reason_to_submit() {
    let site = Site::with(2, |_| {});
    let mut worker = site.live();
    site.chain.blocks_to(1_006);
    worker.ask().await;
    // The newest one does not answer, and the other one is behind.
    site.chain.view(1, |view| view.lag = 3);
    site.chain.script(0, &["GetWorkerSubmissionWindowStatus:http=503"]).unwrap();
    site.chain.blocks_to(1_009);
    let submission = worker.submit(1_005).await;
    assert_eq!(why(&submission), Some(Withheld::LedgerUnavailable), "{submission:?}");
    assert_eq!(receptions(&site), []);
}

#[tokio::test]
async fn one_endpoint_that_lags_costs_no_window() {
    let site = Site::with(2, |_| {});
    site.chain.view(1, |view| view.lag = 2);
    let mut worker = site.live();
    worker.ask_at(1_005).await;
    assert_eq!(worker.announced, [1_005]);
    assert!(matches!(worker.submit(1_005).await, Submission::Acked(_)));
}
