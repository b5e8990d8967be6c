//! What the chain does not take costs nothing, and is told at once.

use sentinel::venues::allora::broadcaster::{Message, NotSent, OpenError, Outcome, Request};
use sentinel::venues::allora::errors::{Action, Class};
use sentinel::venues::allora::wallet_lock::WalletLockError;
use sentinel_actors::error_chain::chain;
use sentinel_testbed::chain::Emissions;

use super::support::{SOON, Site, TOPIC, address, included, inference, submission, until};

#[track_caller]
fn refused(outcome: &Outcome) -> (Class, &str) {
    match outcome {
        Outcome::Refused { class, text } => (*class, text),
        other => panic!("not refused: {other:?}"),
    }
}

#[track_caller]
fn not_sent(outcome: &Outcome) -> String {
    match outcome {
        Outcome::NotSent(error) => chain(error),
        other => panic!("not unsent: {other:?}"),
    }
}

/// The official worker falls back to a default amount of gas, and pays for a transaction that fails.
#[tokio::test]
async fn what_a_simulation_rejects_is_never_broadcast() {
    let site = Site::new();
    site.chain.topic(TOPIC, |topic| topic.whitelist = Some(Vec::new()));
    let outcome = site.broadcaster().submit(&submission(&inference()), until(SOON)).await;
    let (class, text) = refused(&outcome);
    assert_eq!((class, class.action()), (Class::NotWhitelisted, Action::Pause), "{text}");
    assert_eq!(site.offers(), []);
    assert_eq!(site.truth().fees(&address()), 0);
}

/// The official worker waits 30 s for a block that cannot come, and reports a timeout.
#[tokio::test]
async fn the_code_of_the_check_is_the_outcome_and_nothing_is_waited_for() {
    let site = Site::new();
    site.chain.script(0, &["broadcast_tx_sync:refused=sdk/21"]).unwrap();
    let broadcaster = site.broadcaster();
    let outcome = broadcaster.submit(&submission(&inference()), until(SOON)).await;
    assert_eq!(refused(&outcome).0, Class::Refused);
    assert_eq!(site.chain.log().iter().filter(|asked| asked.method == "tx").count(), 0, "it cannot be in a block");
    let again = broadcaster.settle("topic 67, nonce 1001", until(SOON)).await;
    assert!(matches!(again, Outcome::NotSent(NotSent::Never(_))), "{again:?}");
}

#[tokio::test]
async fn a_second_inference_of_a_window_is_done_and_not_paid() {
    let site = Site::new();
    let broadcaster = site.broadcaster();
    included(broadcaster.submit(&submission(&inference()), until(SOON)).await);
    let data = inference();
    let other_key = Request { key: "another key", ..submission(&data) };
    let outcome = broadcaster.submit(&other_key, until(SOON)).await;
    let (class, text) = refused(&outcome);
    assert_eq!((class, class.action()), (Class::AlreadySubmitted, Action::RecordAsDone), "{text}");
    assert_eq!(site.offers().len(), 1);
}

#[tokio::test]
async fn a_registration_is_paid_once_and_one_that_stands_is_as_good() {
    let site = Site::with(1, Some(std::time::Duration::from_millis(20)), |genesis| {
        genesis.topics.get_mut(&TOPIC).unwrap().registered.clear();
    });
    let broadcaster = site.broadcaster();
    let data = inference();
    let early = broadcaster.submit(&Request { key: "early", ..submission(&data) }, until(SOON)).await;
    assert_eq!(refused(&early).0.action(), Action::Register);
    let register = |key| Request { key, message: Message::Register { topic_id: TOPIC }, last_height: 1_400 };
    included(broadcaster.submit(&register("registration"), until(SOON)).await);
    let again = broadcaster.submit(&register("registration again"), until(SOON)).await;
    assert_eq!(refused(&again).0, Class::AlreadyRegistered);
    included(broadcaster.submit(&submission(&data), until(SOON)).await);
    assert_eq!(site.offers().len(), 2);
}

#[tokio::test]
async fn a_nonce_whose_block_is_not_committed_is_not_signed_for() {
    let site = Site::by_hand();
    let mut data = inference();
    data.nonce = 1_003;
    let outcome = site.broadcaster().submit(&submission(&data), until(SOON)).await;
    assert_eq!(not_sent(&outcome), "block 1003 is the nonce, and only block 1002 is committed: wait for it");
}

#[tokio::test]
async fn nothing_is_signed_when_the_next_block_is_too_late() {
    let site = Site::by_hand();
    let data = inference();
    let outcome = site.broadcaster().submit(&Request { last_height: 1_002, ..submission(&data) }, until(SOON)).await;
    assert_eq!(
        not_sent(&outcome),
        "block 1002 is committed, and the submission has to be in a block up to 1002: it would come too late"
    );
    assert_eq!(site.offers(), []);
}

#[tokio::test]
async fn an_account_that_nobody_has_funded_says_so() {
    let site = Site::with(1, None, |genesis| genesis.balances.clear());
    let said = not_sent(&site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    assert!(said.contains(&address()) && said.ends_with("fund it with ALLO"), "{said}");
}

#[tokio::test]
async fn a_node_of_another_chain_is_not_used_and_named() {
    let site = Site::by_hand();
    site.chain.view(0, |view| view.chain_id = Some("allora-mainnet-1".to_owned()));
    let said = not_sent(&site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    assert!(said.contains("allora-mainnet-1") && said.contains(&site.chain_id), "{said}");
    assert_eq!(site.offers(), []);
}

#[tokio::test]
async fn without_any_endpoint_each_is_named_with_its_trouble() {
    let site = Site::with(2, None, |_| {});
    let broadcaster = site.broadcaster();
    let addresses = [site.chain.rpc_address(0), site.chain.rpc_address(1)];
    site.chain.down(0);
    site.chain.down(1);
    let said = not_sent(&broadcaster.submit(&submission(&inference()), until(SOON)).await);
    assert!(addresses.iter().all(|address| said.contains(&address.to_string())), "{said}");
}

#[tokio::test]
async fn answers_that_are_cut_short_are_no_answers() {
    let site = Site::by_hand();
    site.chain.script(0, &["*:truncated"]).unwrap();
    let said = not_sent(&site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    assert!(said.contains("not that of a CometBFT node"), "{said}");
}

#[tokio::test]
async fn a_chain_that_is_upgraded_in_mid_run_is_spoken_to_in_its_new_version() {
    let site = Site::with(1, None, |genesis| genesis.emissions = Emissions::V9);
    let broadcaster = site.broadcaster();
    let data = inference();
    let late = Request { key: "before the upgrade", last_height: 1_003, ..submission(&data) };
    let unknown = broadcaster.submit(&late, until(std::time::Duration::from_millis(200))).await;
    assert!(matches!(unknown, Outcome::Unknown { .. }), "{unknown:?}");
    site.chain.evict();
    site.chain.upgrade_at(1_003);
    site.chain.blocks_to(1_005);
    let request = submission(&data);
    let submitted = tokio::join!(broadcaster.submit(&request, until(SOON)), async {
        while site.truth().pending.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        site.chain.block();
    });
    included(submitted.0);
    assert_eq!(site.truth().included.len(), 1);
}

/// The old one may still land, so the new one has its sequence.
#[tokio::test]
async fn an_upgrade_under_a_waiting_transaction_costs_one_fee() {
    let site = Site::with(1, None, |genesis| genesis.emissions = Emissions::V9);
    let broadcaster = site.broadcaster();
    let data = inference();
    let request = submission(&data);
    let waits = || async {
        while site.truth().pending.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let (outcome, ()) = tokio::join!(broadcaster.submit(&request, until(SOON)), async {
        waits().await;
        site.chain.evict();
        site.chain.upgrade_at(1_003);
        site.chain.block();
        waits().await;
        site.chain.block();
    });
    included(outcome);
    let truth = site.truth();
    assert_eq!(truth.included.len(), 1);
    assert!(truth.broadcasts.iter().all(|one| one.sequence.is_none_or(|sequence| sequence == 0)), "{truth:?}");
}

#[tokio::test]
async fn a_wallet_that_is_in_use_is_refused_to_a_second_broadcaster() {
    let site = Site::by_hand();
    let first = site.broadcaster();
    let Err(OpenError::Lock(error @ WalletLockError::Taken(_))) = site.open() else { panic!("not refused") };
    assert_eq!(
        error.to_string(),
        format!(
            "another process on this machine signs with the wallet {}: stop it first, or give this one a wallet of its own",
            address()
        )
    );
    drop(first);
    site.broadcaster();
}
