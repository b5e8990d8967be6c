//! What is not known is settled by the hash, by the state of the chain, and by the identical bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sentinel::venues::allora::broadcaster::{NotSent, Outcome, Request};
use sentinel::venues::allora::errors::Class;
use sentinel::venues::allora::outbox::OUTBOX_FILE;
use sentinel_actors::ports::{FaultInjector, FaultPoint, InjectedFault, elapsed_now};

use super::money::wait_until;
use super::support::{SOON, Site, address, included, inference, submission, until};

const KEY: &str = "topic 67, nonce 1001";
/// Ends what hangs; a busy machine gets everything else done in it.
const BRIEF: Duration = Duration::from_millis(1_500);

/// Hangs at one place, until it is told not to.
struct HangAt(FaultPoint, AtomicBool);

impl HangAt {
    fn new(place: FaultPoint) -> Arc<Self> {
        Arc::new(Self(place, AtomicBool::new(true)))
    }
}

impl FaultInjector for HangAt {
    fn at(&self, place: FaultPoint, _: &str) -> InjectedFault {
        if place == self.0 && self.1.load(Ordering::SeqCst) { InjectedFault::Hang } else { InjectedFault::None }
    }
}

#[tokio::test]
async fn a_submission_that_is_asked_for_again_is_not_sent_again() {
    let site = Site::new();
    let first = included(site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    let broadcaster = site.broadcaster();
    let again = included(broadcaster.submit(&submission(&inference()), until(SOON)).await);
    let settled = included(broadcaster.settle(KEY, until(SOON)).await);
    assert_eq!((&again, &settled), (&first, &first));
    assert_eq!(site.offers().len(), 1);
}

/// The official worker sends a new transaction, and two can land.
#[tokio::test]
async fn a_reply_that_is_lost_is_settled_by_the_hash() {
    let site = Site::new();
    site.chain.script(0, &["broadcast_tx_sync:lost-reply"]).unwrap();
    let receipt = included(site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    let truth = site.truth();
    assert_eq!(truth.included.len(), 1);
    assert_eq!(truth.included[0].hash, receipt.hash.to_string());
}

/// The second endpoint refuses the sequence, because the first one has taken the transaction.
#[tokio::test]
async fn a_refusal_after_a_lost_reply_is_no_proof() {
    let site = Site::with(2, None, |_| {});
    let broadcaster = site.broadcaster();
    for node in 0..2 {
        site.chain.script(node, &["broadcast_tx_sync:lost-reply@1", "broadcast_tx_sync:refused=sdk/32"]).unwrap();
    }
    let data = inference();
    let request = submission(&data);
    let (outcome, ()) = tokio::join!(broadcaster.submit(&request, until(SOON)), async {
        wait_until(|| site.offers().len() >= 2).await;
        site.chain.block();
    });
    included(outcome);
    assert_eq!((site.truth().included.len(), site.truth().paid_twice()), (1, Vec::new()));
}

/// The node has taken it, and refuses it the second time because of that.
#[tokio::test]
async fn a_refusal_of_a_later_offer_is_no_proof() {
    let site = Site::by_hand();
    site.chain.script(0, &["broadcast_tx_sync:lost-reply@1", "broadcast_tx_sync:refused=sdk/32"]).unwrap();
    let broadcaster = site.broadcaster();
    let data = inference();
    let request = submission(&data);
    let (outcome, ()) = tokio::join!(broadcaster.submit(&request, until(SOON)), async {
        wait_until(|| site.offers().len() >= 3).await;
        site.chain.block();
    });
    let receipt = included(outcome);
    assert!(site.offers().iter().all(|(hash, _)| *hash == receipt.hash.to_string()), "{:?}", site.offers());
}

#[tokio::test]
async fn a_transaction_that_the_mempool_forgot_is_offered_again_byte_for_byte() {
    let site = Site::by_hand();
    let broadcaster = site.broadcaster();
    let data = inference();
    let request = submission(&data);
    let (outcome, ()) = tokio::join!(broadcaster.submit(&request, until(SOON)), async {
        wait_until(|| !site.truth().pending.is_empty()).await;
        site.chain.restart(0).unwrap();
        site.chain.evict();
        wait_until(|| !site.truth().pending.is_empty()).await;
        site.chain.block();
    });
    let receipt = included(outcome);
    let offers = site.offers();
    assert!(offers.len() >= 2 && offers.iter().all(|(hash, _)| *hash == receipt.hash.to_string()), "{offers:?}");
}

#[tokio::test]
async fn a_full_mempool_is_offered_the_same_bytes_later() {
    let site = Site::new();
    site.chain.script(0, &["broadcast_tx_sync:full@1-2"]).unwrap();
    let receipt = included(site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    let offers = site.offers();
    assert!(offers.iter().all(|(hash, _)| *hash == receipt.hash.to_string()), "{offers:?}");
    assert_eq!(site.truth().included.len(), 1);
}

#[tokio::test]
async fn an_old_sequence_is_read_again_and_not_paid_for() {
    let site = Site::with(1, Some(Duration::from_millis(20)), |_| {});
    site.chain.set_sequence(&address(), 9);
    site.chain.script(0, &["AccountInfo:old-sequence=1@1"]).unwrap();
    included(site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    assert_eq!(site.truth().included.len(), 1);
    assert_eq!(site.truth().included[0].sequence, 9);
}

/// Found in the blocks, because the sequence is used and the index does not know the hash yet.
#[tokio::test]
async fn an_index_that_is_behind_makes_nobody_believe_that_it_never_landed() {
    let site = Site::new();
    site.chain.view(0, |view| view.index_lag = 1_000);
    let receipt = included(site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    assert_eq!(site.truth().included[0].hash, receipt.hash.to_string());
    assert_eq!(i64::try_from(receipt.height).unwrap(), site.truth().included[0].height);
}

#[tokio::test]
async fn a_node_without_an_index_is_searched_block_by_block() {
    let site = Site::new();
    site.chain.view(0, |view| view.has_tx_index = false);
    let receipt = included(site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    assert_eq!(receipt.fee_uallo, site.truth().included[0].fee);
}

#[tokio::test]
async fn what_no_block_has_taken_by_its_last_one_never_will_be() {
    let site = Site::by_hand();
    let broadcaster = site.broadcaster();
    let data = inference();
    let request = Request { last_height: 1_005, ..submission(&data) };
    let unknown = broadcaster.submit(&request, until(BRIEF)).await;
    let Outcome::Unknown { last_height: 1_005, .. } = unknown else { panic!("{unknown:?}") };
    let settled = broadcaster.settle(KEY, until(SOON)).await;
    assert!(matches!(settled, Outcome::Unknown { .. }), "block 1005 is to come: {settled:?}");
    site.chain.hold(100);
    site.chain.blocks_to(1_005);
    let settled = broadcaster.settle(KEY, until(SOON)).await;
    assert!(matches!(settled, Outcome::Unknown { .. }), "its last block may be the newest: {settled:?}");
    site.chain.blocks_to(1_006);
    let settled = broadcaster.settle(KEY, until(SOON)).await;
    let Outcome::NotSent(NotSent::Never(why)) = &settled else { panic!("{settled:?}") };
    assert_eq!(why, "block 1005 was its last one, and it is in none");
    assert_eq!(site.truth().fees(&address()), 0);
}

/// Somebody else signs with the key: the sequence is used, and what was signed with it is in no block.
#[tokio::test]
async fn a_sequence_that_another_program_used_is_noticed_before_the_window_ends() {
    let site = Site::by_hand();
    let broadcaster = site.broadcaster();
    let data = inference();
    let request = submission(&data);
    let (outcome, ()) = tokio::join!(broadcaster.submit(&request, until(SOON)), async {
        wait_until(|| !site.truth().pending.is_empty()).await;
        site.chain.evict();
        site.chain.set_sequence(&address(), 1);
        site.chain.block();
        wait_until(|| site.truth().broadcasts.iter().any(|one| one.sequence == Some(1))).await;
        site.chain.block();
    });
    let receipt = included(outcome);
    assert_eq!(site.truth().included[0].hash, receipt.hash.to_string());
    assert_eq!(site.truth().included.len(), 1);
}

#[tokio::test]
async fn nothing_else_is_signed_while_a_transaction_may_still_land() {
    let site = Site::by_hand();
    let broadcaster = site.broadcaster();
    let data = inference();
    broadcaster.submit(&submission(&data), until(BRIEF)).await;
    let other = Request { key: "another", ..submission(&data) };
    let outcome = broadcaster.submit(&other, until(SOON)).await;
    assert!(matches!(outcome, Outcome::NotSent(NotSent::Busy { last_height: 1_400, .. })), "{outcome:?}");
    site.chain.block();
    let outcome = broadcaster.submit(&other, until(SOON)).await;
    assert!(matches!(outcome, Outcome::Refused { class: Class::AlreadySubmitted, .. }), "{outcome:?}");
    included(broadcaster.settle(KEY, until(SOON)).await);
}

#[tokio::test]
async fn what_was_signed_and_not_offered_before_a_death_is_signed_anew_after_it() {
    let mut site = Site::new();
    site.faults = HangAt::new(FaultPoint::AfterSign);
    let late = site.broadcaster().submit(&submission(&inference()), until(BRIEF)).await;
    assert!(matches!(late, Outcome::NotSent(NotSent::Late)), "it has not left: {late:?}");
    site.faults = Arc::new(sentinel_actors::ports::NoFaults);
    let broadcaster = site.broadcaster();
    let settled = broadcaster.settle(KEY, until(SOON)).await;
    assert!(matches!(settled, Outcome::NotSent(NotSent::Never(_))), "{settled:?}");
    assert_eq!(site.offers(), [], "settling sends nothing");
    included(broadcaster.submit(&submission(&inference()), until(SOON)).await);
    assert_eq!(site.offers().len(), 1);
}

/// Keeps everybody else from writing the outbox, from the moment in which a transaction was signed, for longer than one write waits.
struct LockedFromSigning(std::path::PathBuf);

const LOCKED_FOR: Duration = Duration::from_millis(2_700);

impl FaultInjector for LockedFromSigning {
    fn at(&self, place: FaultPoint, _: &str) -> InjectedFault {
        if place == FaultPoint::AfterSign {
            let connection = rusqlite::Connection::open(&self.0).unwrap();
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            std::thread::spawn(move || {
                let until = elapsed_now() + LOCKED_FOR;
                while elapsed_now() < until {
                    std::thread::park_timeout(LOCKED_FOR);
                }
                drop(connection);
            });
        }
        InjectedFault::None
    }
}

#[tokio::test]
async fn a_time_that_ends_while_the_offer_is_noted_leaves_the_outcome_open_until_it_is_settled() {
    let mut site = Site::new();
    site.faults = Arc::new(LockedFromSigning(site.dir.path().join(OUTBOX_FILE)));
    let broadcaster = site.broadcaster();
    let outcome = broadcaster.submit(&submission(&inference()), until(BRIEF)).await;
    assert!(matches!(outcome, Outcome::Unknown { .. }), "it may yet be noted: {outcome:?}");
    drop(broadcaster);
    site.faults = Arc::new(sentinel_actors::ports::NoFaults);
    let broadcaster = site.broadcaster();
    let settled = broadcaster.settle(KEY, until(SOON)).await;
    assert!(matches!(settled, Outcome::NotSent(NotSent::Never(_))), "{settled:?}");
    assert_eq!(site.offers(), []);
    included(broadcaster.submit(&submission(&inference()), until(SOON)).await);
    assert_eq!((site.offers().len(), site.truth().paid_twice()), (1, Vec::new()));
}

#[tokio::test]
async fn a_death_around_the_broadcast_costs_one_fee() {
    for place in [FaultPoint::BeforeBroadcast, FaultPoint::AfterBroadcast, FaultPoint::AfterFate] {
        let mut site = Site::new();
        site.faults = HangAt::new(place);
        let outcome = site.broadcaster().submit(&submission(&inference()), until(BRIEF)).await;
        let is_known = matches!(outcome, Outcome::Included(_));
        assert_eq!(is_known, place == FaultPoint::AfterFate, "{place:?}: {outcome:?}");
        site.faults = Arc::new(sentinel_actors::ports::NoFaults);
        included(site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
        assert_eq!((site.truth().included.len(), site.truth().paid_twice()), (1, Vec::new()), "{place:?}");
    }
}

#[tokio::test]
async fn what_was_signed_and_never_offered_keeps_no_other_one_back() {
    let mut site = Site::new();
    site.faults = HangAt::new(FaultPoint::AfterSign);
    let data = inference();
    site.broadcaster().submit(&Request { key: "given up", ..submission(&data) }, until(BRIEF)).await;
    site.faults = Arc::new(sentinel_actors::ports::NoFaults);
    included(site.broadcaster().submit(&submission(&data), until(SOON)).await);
    assert_eq!(site.offers().len(), 1);
}

#[tokio::test]
async fn a_node_that_cannot_simulate_now_is_asked_again() {
    let site = Site::new();
    site.chain.script(0, &["Simulate:query-fails=failed to load state at height 1002@1-2"]).unwrap();
    included(site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    assert_eq!(site.offers().len(), 1);
}

/// A signature has no chance in it, so the second attempt has the bytes of the first.
#[tokio::test]
async fn what_has_reached_no_node_is_sent_by_the_next_attempt() {
    let site = Site::new();
    site.chain.script(0, &["broadcast_tx_sync:http=429/0@1"]).unwrap();
    let broadcaster = site.broadcaster();
    let unsent = broadcaster.submit(&submission(&inference()), until(SOON)).await;
    assert!(matches!(unsent, Outcome::NotSent(NotSent::Client(_))), "{unsent:?}");
    let next = tokio::time::timeout(SOON, async {
        loop {
            // The node that did not want to be asked rests for a moment.
            let outcome = broadcaster.submit(&submission(&inference()), until(SOON)).await;
            match outcome {
                Outcome::NotSent(NotSent::Client(_)) => tokio::task::yield_now().await,
                outcome => break outcome,
            }
        }
    });
    included(next.await.unwrap());
    assert_eq!(site.truth().included.len(), 1);
}

/// Found by the campaign: an index that is behind and a node with an old sequence say together that it never landed.
#[tokio::test]
async fn an_old_sequence_beside_a_slow_index_is_no_proof() {
    let site = Site::by_hand();
    let data = inference();
    let request = Request { last_height: 1_005, ..submission(&data) };
    let unknown = site.broadcaster().submit(&request, until(BRIEF)).await;
    assert!(matches!(unknown, Outcome::Unknown { .. }), "{unknown:?}");
    site.chain.view(0, |view| view.index_lag = 1_000);
    site.chain.script(0, &["AccountInfo:old-sequence=1"]).unwrap();
    site.chain.blocks_to(1_008);
    let receipt = included(site.broadcaster().settle(KEY, until(SOON)).await);
    assert_eq!(site.truth().included[0].hash, receipt.hash.to_string());
}

/// A pruned node does not keep the wallet waiting for ever, nor does it end the wait too early.
#[tokio::test]
async fn without_the_blocks_a_used_sequence_is_in_the_end_said_to_be_unproven() {
    let site = Site::by_hand();
    let data = inference();
    let request = Request { last_height: 1_005, ..submission(&data) };
    site.broadcaster().submit(&request, until(BRIEF)).await;
    site.chain.evict();
    site.chain.set_sequence(&address(), 1);
    site.chain.script(0, &["block:error=height is not available, lowest is 1100"]).unwrap();
    for (height, is_over) in [(1_105, false), (1_106, true)] {
        site.chain.blocks_to(height);
        let settled = site.broadcaster().settle(KEY, until(SOON)).await;
        assert_eq!(matches!(settled, Outcome::Unproven { .. }), is_over, "{height}: {settled:?}");
    }
    let again = site.broadcaster().submit(&submission(&data), until(SOON)).await;
    assert!(matches!(again, Outcome::Unproven { .. }), "it is not sent again: {again:?}");
    let other = Request { key: "another", ..submission(&data) };
    let (next, ()) = tokio::join!(async { site.broadcaster().submit(&other, until(SOON)).await }, async {
        wait_until(|| !site.truth().pending.is_empty()).await;
        site.chain.block();
    });
    included(next);
}

#[tokio::test]
async fn without_the_blocks_an_unused_sequence_is_proof_in_the_end() {
    let site = Site::by_hand();
    let data = inference();
    site.broadcaster().submit(&Request { last_height: 1_005, ..submission(&data) }, until(BRIEF)).await;
    site.chain.evict();
    site.chain.view(0, |view| view.has_tx_index = false);
    site.chain.script(0, &["block:error=height is not available, lowest is 1100"]).unwrap();
    for (height, is_over) in [(1_105, false), (1_106, true)] {
        site.chain.blocks_to(height);
        let settled = site.broadcaster().settle(KEY, until(SOON)).await;
        assert_eq!(matches!(settled, Outcome::NotSent(NotSent::Never(_))), is_over, "{height}: {settled:?}");
    }
}

/// Whatever is said of the dearer one: the one before it may still land.
#[tokio::test]
async fn the_refusal_of_a_dearer_one_is_no_refusal_of_the_one_that_waits() {
    let site = Site::by_hand();
    let broadcaster = site.broadcaster();
    let data = inference();
    let request = submission(&data);
    let (outcome, ()) = tokio::join!(broadcaster.submit(&request, until(SOON)), async {
        wait_until(|| !site.truth().pending.is_empty()).await;
        let rules = ["broadcast_tx_sync:refused=sdk/13@1", "broadcast_tx_sync:refused=sdk/21"];
        site.chain.script(0, &rules).unwrap();
        site.chain.rules(|rules| rules.gas_price *= 2);
    });
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    site.chain.script(0, &[]).unwrap();
    site.chain.rules(|rules| rules.gas_price /= 2);
    let (outcome, ()) = tokio::join!(broadcaster.submit(&request, until(SOON)), async {
        wait_until(|| !site.truth().pending.is_empty()).await;
        site.chain.block();
    });
    assert_eq!(site.offers()[0].0, included(outcome).hash.to_string(), "the one that waited has landed");
}

#[tokio::test]
async fn another_wallet_in_the_same_directory_does_not_answer_for_this_one() {
    let site = Site::new();
    included(site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    let mut other_chain = Site::new();
    other_chain.dir = site.dir;
    let settled = other_chain.broadcaster().settle(KEY, until(SOON)).await;
    assert!(matches!(settled, Outcome::NotSent(NotSent::NeverSigned)), "{settled:?}");
    included(other_chain.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    assert_eq!(other_chain.chain.truth().included.len(), 1);
}

/// The official worker's call can wait for ever.
#[tokio::test]
async fn a_submission_ends_by_its_deadline_whatever_hangs() {
    for hanging in ["*:hang", "broadcast_tx_sync:hang", "tx:hang", "AccountInfo:hang", "Simulate:hang"] {
        let site = Site::new();
        site.chain.script(0, &[hanging]).unwrap();
        let submitted = async { site.broadcaster().submit(&submission(&inference()), until(BRIEF)).await };
        let outcome = tokio::time::timeout(BRIEF * 4, submitted).await.expect(hanging);
        let may_have_left = matches!(hanging, "broadcast_tx_sync:hang" | "tx:hang");
        assert_eq!(matches!(outcome, Outcome::Unknown { .. }), may_have_left, "{hanging}: {outcome:?}");
    }
}

/// The official node's function returns no error after its last attempt, and the failure counts as a success.
#[tokio::test]
async fn after_the_last_attempt_the_refusal_stands() {
    let site = Site::new();
    site.chain.set_sequence(&address(), 9);
    site.chain.script(0, &["AccountInfo:old-sequence=1"]).unwrap();
    let outcome = site.broadcaster().submit(&submission(&inference()), until(SOON)).await;
    assert!(matches!(outcome, Outcome::Refused { class: Class::Sequence { expected: Some(9) }, .. }), "{outcome:?}");
    assert_eq!(site.truth().included.len(), 0);
}

#[tokio::test]
async fn no_word_of_the_wallet_is_in_what_it_writes() {
    let site = Site::new();
    included(site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    let mut files = 0;
    for file in std::fs::read_dir(site.dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"abandon"));
        files += 1;
    }
    assert!(files > 0);
}

/// The whitelist changes between simulation and block.
#[tokio::test]
async fn what_fails_in_its_block_has_cost_its_fee_and_is_not_sent_again() {
    let site = Site::by_hand();
    let broadcaster = site.broadcaster();
    let data = inference();
    let request = submission(&data);
    let (outcome, ()) = tokio::join!(broadcaster.submit(&request, until(SOON)), async {
        wait_until(|| !site.truth().pending.is_empty()).await;
        site.chain.topic(67, |topic| topic.whitelist = Some(Vec::new()));
        site.chain.block();
    });
    let Outcome::Failed { receipt, class: Class::NotWhitelisted, text } = outcome else { panic!("{outcome:?}") };
    assert!(text.contains("not permitted"), "{text}");
    assert_eq!(site.truth().fees(&address()), receipt.fee_uallo);
    let again = broadcaster.submit(&request, until(SOON)).await;
    assert!(matches!(again, Outcome::Failed { .. }), "{again:?}");
    assert_eq!(site.truth().included.len(), 1);
}
