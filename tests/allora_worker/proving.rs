//! What became of an inference, compared with what the chain really has.

use sentinel_actors::domain::fact::Fact;
use sentinel_actors::ports::Submission;
use sentinel_testbed::chain::{Ema, Emissions};

use super::site::{Site, TOPIC, Worker, address};

const RIVAL: &str = "allo1rival00000000000000000000000000000000000";

async fn submitted<'a>(site: &'a Site) -> Worker<'a> {
    let mut worker = site.live();
    worker.ask_at(1_005).await;
    let submission = worker.submit(1_005).await;
    assert!(matches!(submission, Submission::Acked(_)), "{submission:?}");
    worker
}

#[tokio::test]
async fn an_inference_is_admitted_stored_and_scored_in_both_versions() {
    for emissions in [Emissions::V9, Emissions::V10] {
        let site = Site::with(1, |genesis| genesis.emissions = emissions);
        let mut worker = submitted(&site).await;
        worker.ask_at(1_007).await;
        assert_eq!(worker.codes(), [(1_005, "admitted")]);
        worker.ask_at(1_014).await;
        assert_eq!(worker.codes().len(), 1, "its window is still open");
        worker.ask_at(1_016).await;
        let Fact::Stored { value, inclusions, evidence } = &worker.facts[1].1 else { panic!("{:?}", worker.facts) };
        assert_eq!((&**value, *inclusions), ("-0.0381357", Some(1)));
        assert_eq!(evidence, "GetInferencesAtBlock(1005) as of block 1016");
        assert!(site.truth().submission(&address(), TOPIC, 1_005).stored.is_some());
        worker.ask_at(1_040).await;
        assert_eq!(worker.codes().len(), 2, "its ground truth is not there yet");
        worker.ask_at(1_047).await;
        worker.ask_at(1_055).await;
        assert_eq!(worker.facts[2..], [(1_005, Fact::Scored { score: "1".to_owned() })]);
        assert_eq!(worker.awaiting, []);
    }
}

#[tokio::test]
async fn an_inference_that_a_better_one_replaces_is_evicted_and_not_stored() {
    let site = Site::with(1, |genesis| genesis.rules.active_set_max = 1);
    let mut worker = submitted(&site).await;
    worker.ask_at(1_007).await;
    site.chain.rival(TOPIC, 1_005, RIVAL, "0.1", 9.0).unwrap();
    worker.ask_at(1_016).await;
    assert_eq!(worker.codes(), [(1_005, "admitted"), (1_005, "evicted")]);
    assert!(site.truth().submission(&address(), TOPIC, 1_005).stored.is_none());
}

/// Nobody looked while it was active: the block that has it says so.
#[tokio::test]
async fn an_eviction_that_nobody_saw_is_told_from_an_inference_that_was_never_admitted() {
    let site = Site::with(1, |genesis| genesis.rules.active_set_max = 1);
    let mut worker = submitted(&site).await;
    site.chain.rival(TOPIC, 1_005, RIVAL, "0.1", 9.0).unwrap();
    worker.ask_at(1_016).await;
    assert_eq!(worker.codes(), [(1_005, "evicted")]);
}

#[tokio::test]
async fn an_inference_for_which_the_active_set_is_full_is_not_admitted() {
    let site = Site::with(1, |genesis| genesis.rules.active_set_max = 1);
    let mut worker = site.live();
    worker.ask_at(1_005).await;
    site.chain.rival(TOPIC, 1_005, RIVAL, "0.1", 9.0).unwrap();
    site.chain.set_ema(TOPIC, &address(), Ema { block_height: 0, score: 0.5 });
    assert!(matches!(worker.submit(1_005).await, Submission::Acked(_)), "the transaction succeeds");
    worker.ask_at(1_007).await;
    assert_eq!(worker.codes(), []);
    worker.ask_at(1_016).await;
    let [(1_005, Fact::NotAdmitted { evidence })] = &worker.facts[..] else { panic!("{:?}", worker.facts) };
    assert_eq!(evidence, "GetInferencesAtBlock(1005) has 1 inferences as of block 1016, none of this worker");
}

#[tokio::test]
async fn the_inclusion_counter_grows_by_the_windows_that_are_reported_as_stored() {
    let site = Site::with(1, |genesis| genesis.rules.active_set_max = 1);
    let mut worker = site.live();
    let evicted = 1_045;
    for nonce in [1_005, 1_025, 1_045, 1_065] {
        worker.ask_at(i64::try_from(nonce).unwrap()).await;
        assert!(matches!(worker.submit(nonce).await, Submission::Acked(_)));
        if nonce == evicted {
            site.chain.rival(TOPIC, 1_045, RIVAL, "0.1", 9.0).unwrap();
        }
        worker.ask_at(i64::try_from(nonce + 11).unwrap()).await;
    }
    let counts: Vec<_> = worker
        .facts
        .iter()
        .filter_map(|(nonce, fact)| match fact {
            Fact::Stored { inclusions, .. } => Some((*nonce, inclusions.unwrap())),
            _ => None,
        })
        .collect();
    assert_eq!(counts, [(1_005, 1), (1_025, 2), (1_065, 3)]);
    let stored = site.truth().stored.iter().filter(|kept| kept.worker == address()).count();
    assert_eq!(stored, counts.len());
}

/// Two endpoints that are behind agree that nothing is stored: they have not seen the window's end.
#[tokio::test]
async fn an_endpoint_that_has_not_seen_the_windows_end_proves_no_absence() {
    let site = Site::with(3, |_| {});
    let mut worker = submitted(&site).await;
    site.chain.script(0, &["GetInferencesAtBlock:http=503"]).unwrap();
    for node in [1, 2] {
        site.chain.view(node, |view| view.lag = 3);
    }
    worker.ask_at(1_016).await;
    assert_eq!(worker.codes(), [], "the window is closed at 1016, and they show 1013");
    worker.ask_at(1_019).await;
    assert_eq!(worker.codes(), [(1_005, "stored")]);
}

#[tokio::test]
async fn what_was_pruned_while_the_node_was_down_is_proven_by_the_closing_block() {
    let site = Site::with(1, |genesis| genesis.rules.epochs_kept = 1);
    let mut worker = submitted(&site).await;
    site.chain.blocks_to(1_150);
    assert!(site.truth().submission(&address(), TOPIC, 1_005).stored.is_some(), "nobody else was rewarded since");
    site.chain.rival(TOPIC, 1_145, RIVAL, "0.1", 9.0).unwrap();
    site.chain.blocks_to(1_190);
    assert!(site.truth().submission(&address(), TOPIC, 1_005).stored.is_none());
    worker.ask().await;
    worker.ask_at(1_191).await;
    worker.ask_at(1_192).await;
    let stored = worker.facts.iter().find(|(_, fact)| matches!(fact, Fact::Stored { .. }));
    let Some((1_005, Fact::Stored { value, evidence, inclusions: None })) = stored else {
        panic!("{:?}", worker.facts)
    };
    assert_eq!(value, "-0.0381357");
    assert_eq!(evidence, "it was active at the end of block 1015; the value itself is pruned");
}

#[tokio::test]
async fn an_inference_about_which_a_question_fails_does_not_keep_others_from_being_proven() {
    let site = Site::new();
    let mut worker = submitted(&site).await;
    worker.ask_at(1_025).await;
    assert!(matches!(worker.submit(1_025).await, Submission::Acked(_)));
    site.chain.script(0, &["GetInferencesAtBlock:query-fails=moody@1"]).unwrap();
    worker.ask_at(1_037).await;
    assert_eq!(worker.codes(), [(1_025, "stored")]);
    worker.ask_at(1_038).await;
    assert_eq!(worker.codes(), [(1_025, "stored"), (1_005, "stored")]);
}
