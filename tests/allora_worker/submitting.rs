//! One transaction for one window, or none with the reason.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sentinel::venues::allora::fees::FeeCaps;
use sentinel_actors::ports::{Evidence, Sink as _, Submission, Withheld};

use super::site::{CAPS, Setup, Site, TOPIC, address, receptions};

#[track_caller]
fn withheld(submission: Submission) -> (Withheld, String) {
    match submission {
        Submission::Withheld { why, text } => (why, text),
        other => panic!("it was not withheld: {other:?}"),
    }
}

#[tokio::test]
async fn a_forecast_is_carried_out_once_with_the_value_that_was_made() {
    let site = Site::new();
    let mut worker = site.live();
    worker.ask_at(1_005).await;
    let Submission::Acked(receipt) = worker.submit(1_005).await else { panic!("it was taken") };
    let truth = site.truth();
    let submission = truth.submission(&address(), TOPIC, 1_005);
    assert_eq!((submission.effects, submission.paid), (1, 1));
    assert_eq!(receipt.inclusion().unwrap().hash, submission.included[0].hash);
    let again = worker.submit(1_005).await;
    assert!(matches!(again, Submission::Acked(_)), "the same key is the same effect: {again:?}");
    assert_eq!(site.truth().included.len(), 1);
}

#[tokio::test]
async fn a_stale_or_foreign_nonce_is_never_signed_for() {
    let site = Site::new();
    let mut worker = site.live();
    worker.ask_at(1_027).await;
    for nonce in [1_005, 1_024, 1_026, 1_045] {
        let (why, text) = withheld(worker.submit(nonce).await);
        assert_eq!(why, Withheld::WindowClosed, "{text}");
        assert!(text.contains("that of 1025 is open"), "{text}");
    }
    assert_eq!(receptions(&site), []);
}

#[tokio::test]
async fn nothing_is_sent_that_could_only_land_after_the_margin() {
    let site = Site::new();
    let mut worker = site.live();
    worker.ask_at(1_005).await;
    site.chain.blocks_to(1_014);
    let (why, text) = withheld(worker.submit(1_005).await);
    assert_eq!(
        (why, &*text),
        (Withheld::WindowClosed, "block 1014 is committed, and block 1014 is the last one for window 1005")
    );
    site.chain.blocks_to(1_033);
    worker.ask().await;
    assert!(matches!(worker.submit(1_025).await, Submission::Acked(_)), "block 1034 is within it");
    assert_eq!(site.truth().included[0].height, 1_034);
}

/// Chain issue 993: a transaction that waits in the mempool executes in a wrong window.
#[tokio::test]
async fn a_transaction_that_waits_in_the_mempool_is_never_carried_out_in_a_wrong_window() {
    let site = Site::new();
    let mut worker = site.live();
    worker.ask_at(1_005).await;
    site.chain.hold(12);
    let submission = worker.submit_within(1_005, Duration::from_secs(1), false).await;
    assert!(matches!(submission, Submission::Unknown(_)), "{submission:?}");
    site.chain.blocks_to(1_027);
    assert_eq!(site.truth().included, [], "its timeout height is the window's last block but one");
    let evidence = worker.sink.settle(&worker.intent(1_005), Duration::from_secs(5)).await;
    assert!(matches!(evidence, Evidence::Absent(_)), "{evidence:?}");
    worker.ask().await;
    assert!(matches!(worker.submit(1_025).await, Submission::Acked(_)), "and the next window is used");
    assert_eq!(site.truth().fees(&address()), site.truth().included[0].fee, "one fee");
}

#[tokio::test]
async fn a_lost_reply_is_unknown_until_a_block_has_it_and_then_found() {
    let site = Site::new();
    let mut worker = site.live();
    worker.ask_at(1_005).await;
    site.chain.script(0, &["broadcast_tx_sync:lost-reply@1"]).unwrap();
    let submission = worker.submit_within(1_005, Duration::from_millis(700), false).await;
    assert!(matches!(submission, Submission::Unknown(_)), "{submission:?}");
    drop(worker);
    let worker = site.live();
    let intent = worker.intent(1_005);
    let before = worker.sink.settle(&intent, Duration::from_secs(5)).await;
    assert!(matches!(before, Evidence::NotNow(_)), "{before:?}");
    site.chain.block();
    let after = worker.sink.settle(&intent, Duration::from_secs(5)).await;
    assert!(matches!(after, Evidence::Found(_)), "{after:?}");
    assert_eq!(site.truth().included.len(), 1);
}

/// Lessons 5 and 8: only what the chain has is done, and what it has is done, whoever sent it.
#[tokio::test]
async fn a_window_that_has_the_workers_own_inference_is_done_and_no_alert() {
    let site = Site::new();
    let mut worker = site.live();
    worker.ask_at(1_005).await;
    site.chain.rival(TOPIC, 1_005, &address(), "0.5", 1.0).unwrap();
    let submission = worker.submit(1_005).await;
    assert!(matches!(submission, Submission::Acked(_)), "{submission:?}");
    assert_eq!(receptions(&site), [], "the simulation says so, and nothing is paid");
}

/// Lesson 5: 75 is "nonce not found", and no "already submitted".
#[tokio::test]
async fn a_nonce_that_is_gone_is_a_window_missed_and_not_one_done() {
    let site = Site::new();
    let mut worker = site.live();
    worker.ask_at(1_005).await;
    site.chain.script(0, &["Simulate:query-fails=unfulfilled nonce not found"]).unwrap();
    let (why, _) = withheld(worker.submit(1_005).await);
    assert_eq!(why, Withheld::WindowClosed);
    assert_eq!(receptions(&site), []);
}

/// Lesson 6: the official worker falls back to default gas and broadcasts what was rejected.
#[tokio::test]
async fn what_a_simulation_rejects_is_not_broadcast_and_costs_nothing() {
    let site = Site::new();
    let mut worker = site.live();
    worker.ask_at(1_005).await;
    for (text, expected) in [
        ("Worker window not open", Withheld::WindowClosed),
        ("Worker is not permitted to submit payload", Withheld::NotPermitted),
        ("worker is not registered in this topic", Withheld::NotPermitted),
        ("invalid topic ID", Withheld::NotPermitted),
        ("data sender does not have enough denom", Withheld::Unfunded),
    ] {
        site.chain.script(0, &[&*format!("Simulate:query-fails={text}")]).unwrap();
        assert_eq!(withheld(worker.submit(1_005).await).0, expected, "{text}");
    }
    assert_eq!((receptions(&site), site.truth().fees(&address())), (vec![], 0));
}

/// Lesson 8: a network failure is no missed epoch while its window is open.
#[tokio::test]
async fn a_network_failure_leaves_the_window_to_the_next_attempt() {
    let site = Site::new();
    let mut worker = site.live();
    worker.ask_at(1_005).await;
    site.chain.script(0, &["AccountInfo:http=503@1-50"]).unwrap();
    let submission = worker.submit_within(1_005, Duration::from_millis(400), true).await;
    assert_eq!(withheld(submission).0, Withheld::LedgerUnavailable);
    site.chain.script(0, &[]).unwrap();
    tokio::time::timeout(Duration::from_secs(5), async {
        while !matches!(worker.submit(1_005).await, Submission::Acked(_)) {}
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_endpoint_that_fails_for_a_moment_costs_no_window() {
    for fails in ["AccountInfo:http=503@1-4", "GetWorkerSubmissionWindowStatus:http=429@1-4", "GasPrice:reset@1-4"] {
        let site = Site::new();
        let mut worker = site.live();
        worker.ask_at(1_005).await;
        site.chain.script(0, &[fails]).unwrap();
        let submission = worker.submit_within(1_005, Duration::from_secs(8), true).await;
        assert!(matches!(submission, Submission::Acked(_)), "{fails}: {submission:?}");
        assert_eq!(site.chain.truth().paid_twice(), []);
    }
}

#[tokio::test]
async fn what_is_recalled_while_it_waits_for_its_turn_never_leaves() {
    let site = Site::new();
    let mut worker = site.live();
    worker.ask_at(1_005).await;
    let asked = AtomicUsize::new(0);
    // Withdrawn, or disarmed, after the sink has looked at the window.
    let may_leave = || asked.fetch_add(1, Ordering::Relaxed) == 0;
    let intent = worker.intent(1_005);
    let submission = worker.sink.submit(&intent, Duration::from_secs(2), &may_leave).await;
    assert!(matches!(submission, Submission::NeverLeft(_)), "{submission:?}");
    assert_eq!(receptions(&site).len(), 0);
}

#[tokio::test]
async fn a_fee_above_a_cap_is_withheld() {
    let site = Site::new();
    let caps = FeeCaps { per_transaction: 1_000, ..CAPS };
    let mut worker = site.worker(Setup { caps, ..Setup::default() });
    worker.ask_at(1_005).await;
    let (why, text) = withheld(worker.submit(1_005).await);
    assert_eq!(why, Withheld::FeeCap, "{text}");
    drop(worker);
    let caps = FeeCaps { per_day: 6_000_000, ..CAPS };
    let mut worker = site.worker(Setup { caps, known: vec![1_005], ..Setup::default() });
    assert!(matches!(worker.submit(1_005).await, Submission::Acked(_)));
    worker.ask_at(1_025).await;
    assert_eq!(withheld(worker.submit(1_025).await).0, Withheld::FeeCap, "of a day");
    assert_eq!(receptions(&site).len(), 1);
}

#[tokio::test]
async fn a_dry_run_signs_and_simulates_and_no_byte_of_it_leaves() {
    let site = Site::new();
    let mut worker = site.worker(Setup { is_live: false, ..Setup::default() });
    worker.ask_at(1_005).await;
    let submission = worker.submit(1_005).await;
    assert!(matches!(submission, Submission::Acked(_)), "{submission:?}");
    let asked = site.chain.log();
    assert!(asked.iter().any(|asked| asked.query == "Simulate"), "it was simulated");
    assert!(asked.iter().all(|asked| !asked.method.starts_with("broadcast")));
    assert_eq!(site.truth().broadcasts, []);
    let found = worker.sink.settle(&worker.intent(1_005), Duration::from_secs(5)).await;
    assert!(matches!(found, Evidence::Found(_)), "{found:?}");
    site.chain.rules(|rules| rules.gas_price *= 1_000);
    worker.ask_at(1_025).await;
    assert_eq!(withheld(worker.submit(1_025).await).0, Withheld::FeeCap, "its caps are those of a live run");
    worker.ask_at(1_034).await;
    assert_eq!(withheld(worker.submit(1_025).await).0, Withheld::WindowClosed);
}

#[tokio::test]
async fn an_upgrade_between_two_windows_costs_none() {
    let site = Site::with(1, |genesis| genesis.emissions = sentinel_testbed::chain::Emissions::V9);
    site.chain.upgrade_at(1_015);
    let mut worker = site.live();
    worker.ask_at(1_005).await;
    assert!(matches!(worker.submit(1_005).await, Submission::Acked(_)));
    worker.ask_at(1_018).await;
    worker.ask_at(1_025).await;
    assert!(matches!(worker.submit(1_025).await, Submission::Acked(_)));
    worker.ask_at(1_038).await;
    worker.ask_at(1_039).await;
    assert_eq!(worker.codes(), [(1_005, "stored"), (1_025, "stored")]);
}
