//! Windows of a topic: when they open, take submissions and close, and what they leave.

use sentinel_testbed::chain::{Ema, Windows};

use crate::support::{
    NONCE, accept, call, chain, chain_with, emissions, failure, include, of_height, of_worker, open, simulate,
    submission, topic_rules,
};
use serde_json::{Value, json};

fn status(chain: &sentinel_testbed::chain::Chain, address: &str) -> Vec<u64> {
    let reply = emissions(chain, "GetWorkerSubmissionWindowStatus", &of_worker(address)).unwrap();
    (1..=9).map(|tag| reply.number(tag)).collect()
}

fn nonces(chain: &sentinel_testbed::chain::Chain, method: &str) -> Vec<u64> {
    let reply = emissions(chain, method, &of_worker("")).unwrap();
    let all = reply.message(1).all(1);
    all.iter().map(|nonce| crate::proto::Message::read(nonce).number(1)).collect()
}

fn events(chain: &sentinel_testbed::chain::Chain, height: i64) -> Vec<(String, Vec<(String, String)>)> {
    let results = call(chain, 0, "block_results", &json!({ "height": height.to_string() }));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let events = results["result"]["finalize_block_events"].as_array().unwrap().clone();
    let attributes = |event: &Value| {
        let all = event["attributes"].as_array().unwrap().clone();
        all.iter().map(|attribute| (text(&attribute["key"]), text(&attribute["value"]))).collect()
    };
    events.iter().map(|event| (text(&event["type"]), attributes(event))).collect()
}

#[test]
fn a_window_opens_with_its_epoch_and_is_told_by_an_event() {
    let (chain, wallet) = chain();
    chain.blocks_to(NONCE - 1);
    assert_eq!(status(&chain, &wallet.address), [0, 0, 0, 0, 1_005, 1_015, 1, 1, 1]);
    chain.block();
    assert_eq!(status(&chain, &wallet.address), [1, 1_005, 1_005, 1_015, 1_025, 1_035, 1, 1, 1]);
    assert_eq!(nonces(&chain, "GetUnfulfilledWorkerNonces"), [1_005]);
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let attributes = vec![
        pair("topic_id", "\"67\""),
        pair("nonce_block_height", "\"1005\""),
        pair("window_end_block", "\"1015\""),
        pair("mode", "EndBlock"),
    ];
    assert_eq!(events(&chain, NONCE), [("emissions.v10.EventWorkerSubmissionWindowOpened".to_owned(), attributes)]);
}

#[test]
fn the_last_block_of_a_window_takes_a_submission_and_the_next_one_does_not() {
    let (chain, wallet) = chain();
    chain.blocks_to(NONCE + 9);
    let included = include(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    assert_eq!((included.height, included.refusal), (NONCE + 10, None));
    let (late, wallet) = self::chain();
    late.blocks_to(NONCE + 10);
    let draft = submission(&wallet, 0, NONCE, "0.5");
    assert!(simulate(&late, &draft).is_err_and(|(_, text)| text.contains("unfulfilled nonce not found")));
    assert_eq!(failure(&include(&late, &draft)).1, 75);
}

#[test]
fn a_stale_nonce_stays_in_the_list_and_takes_nothing() {
    let (chain, wallet) = chain_with(|options| topic_rules(&mut options.genesis).keeps_stale_nonces = true);
    chain.blocks_to(NONCE + 10);
    assert_eq!(nonces(&chain, "GetUnfulfilledWorkerNonces"), [1_005]);
    // The simulation is as of the committed height and passes; the block is one later.
    let draft = submission(&wallet, 0, NONCE, "0.5");
    assert!(simulate(&chain, &draft).is_ok());
    let (_, code, log) = failure(&include(&chain, &draft));
    assert!(code == 67 && log.contains("Worker window not open"), "{log}");
    assert!(nonces(&chain, "GetOpenWorkerSubmissionWindows").is_empty());
    chain.blocks_to(NONCE + 20);
    assert_eq!(nonces(&chain, "GetUnfulfilledWorkerNonces"), [1_025, 1_005], "newest first");
    assert_eq!(nonces(&chain, "GetOpenWorkerSubmissionWindows"), [1_025]);
}

#[test]
fn closing_stores_what_was_active_and_clears_the_live_table() {
    let (chain, wallet) = open();
    include(&chain, &submission(&wallet, 0, NONCE, "-4.5E-7"));
    let latest = |_| emissions(&chain, "GetWorkerLatestInputInferenceByTopicId", &of_worker(&wallet.address));
    let live = latest(()).unwrap().message(1);
    assert_eq!((live.number(2), live.text(4), live.all(7).len()), (1_005, "-4.5E-7".to_owned(), 0));
    assert!(emissions(&chain, "GetInferencesAtBlock", &of_height(NONCE)).is_err_and(|(code, _)| code == 22));
    chain.blocks_to(NONCE + 10);
    assert!(latest(()).is_err_and(|(code, text)| code == 22 && text.contains("not found")));
    let stored = emissions(&chain, "GetInferencesAtBlock", &of_height(NONCE)).unwrap().message(1).message(1);
    assert_eq!(
        (stored.text(3), stored.text(4), stored.text(7)),
        (wallet.address.clone(), String::new(), "-4.5E-7".to_owned())
    );
    let count = emissions(&chain, "GetCountInfererInclusionsInTopic", &of_worker(&wallet.address)).unwrap();
    assert_eq!(count.number(1), 1);
    let ema = emissions(&chain, "GetInfererScoreEma", &of_worker(&wallet.address)).unwrap().message(1);
    assert_eq!((ema.number(2), ema.text(4)), (1_005, "0.1".to_owned()));
    let closing = events(&chain, NONCE + 10);
    let names: Vec<&str> = closing.iter().map(|(name, _)| name.rsplit('.').next().unwrap()).collect();
    assert_eq!(names, ["EventActiveInferersSet", "EventWorkerSubmissionWindowClosed"]);
    assert!(closing[0].1.contains(&("addresses".to_owned(), format!("[\"{}\"]", wallet.address))));
    let truth = chain.truth();
    assert_eq!(truth.submission(&wallet.address, 67, NONCE).stored.unwrap().values, ["-4.5E-7"]);
    assert!(truth.live.is_empty());
}

#[test]
fn scores_come_with_the_ground_truth_and_old_inferences_go() {
    let (chain, wallet) = chain_with(|options| options.genesis.rules.epochs_kept = 1);
    for (sequence, nonce) in [(0, 1_005), (1, 1_025), (2, 1_045)] {
        chain.blocks_to(nonce);
        include(&chain, &submission(&wallet, sequence, nonce, "0.5"));
    }
    let scores = |nonce: i64| {
        let reply = emissions(&chain, "GetWorkerInferenceScoresAtBlock", &of_height(nonce)).unwrap();
        reply.message(1).all(1).len()
    };
    assert_eq!((scores(1_005), scores(1_025)), (1, 0));
    chain.blocks_to(1_085);
    assert_eq!((scores(1_005), scores(1_025), scores(1_045)), (1, 1, 1));
    let names: Vec<String> = events(&chain, 1_045).into_iter().map(|(name, _)| name).collect();
    assert!(names.iter().any(|name| name.ends_with("EventScoresSet")), "{names:?}");
    assert!(names.iter().any(|name| name.ends_with("EventRewardsSettled")));
    let until = emissions(&chain, "GetInferenceScoresUntilBlock", &of_height(1_025)).unwrap();
    assert_eq!(until.all(1).len(), 2);
    assert!(emissions(&chain, "GetInferencesAtBlock", &of_height(1_005)).is_err(), "pruned");
    assert!(emissions(&chain, "GetInferencesAtBlock", &of_height(1_025)).is_ok());
    assert_eq!(emissions(&chain, "GetTopicRewardNonce", &of_worker("")).unwrap().number(1), 1_045);
}

#[test]
fn an_inactive_topic_opens_no_window() {
    let (chain, _) = chain();
    chain.topic(67, |rules| rules.is_active = false);
    chain.blocks_to(1_030);
    assert!(nonces(&chain, "GetUnfulfilledWorkerNonces").is_empty());
    assert_eq!(emissions(&chain, "IsTopicActive", &of_worker("")).unwrap().number(1), 0);
    chain.topic(67, |rules| rules.is_active = true);
    chain.block();
    assert_eq!(nonces(&chain, "GetUnfulfilledWorkerNonces"), [1_031]);
}

#[test]
fn with_a_scheduler_a_window_ends_by_block_time() {
    let (chain, wallet) = chain_with(|options| {
        let topic = topic_rules(&mut options.genesis);
        (topic.windows, topic.epoch_length, topic.window) = (Windows::Seconds, 60, 20);
    });
    // A block is five seconds: the epoch is over with block 1012, and its window with block 1016.
    chain.blocks_to(1_012);
    assert_eq!(nonces(&chain, "GetUnfulfilledWorkerNonces"), [1_012]);
    chain.blocks_to(1_015);
    assert_eq!(include(&chain, &submission(&wallet, 0, 1_012, "0.5")).refusal, None);
    assert_eq!(failure(&include(&chain, &submission(&wallet, 1, 1_012, "0.5"))).1, 75);
}

#[test]
fn a_score_that_a_test_sets_is_answered() {
    let (chain, wallet) = open();
    chain.set_ema(67, &wallet.address, Ema { block_height: 985, score: 0.000_000_12 });
    let ema = emissions(&chain, "GetInfererScoreEma", &of_worker(&wallet.address)).unwrap().message(1);
    assert_eq!((ema.number(2), ema.text(4)), (985, "1.2E-7".to_owned()));
    accept(&chain, &submission(&wallet, 0, NONCE, "0.5"));
}
