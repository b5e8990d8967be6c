//! A worker is registered once, whatever dies, and the balance that it takes is said.

use sentinel::venues::allora::fees::FeeCaps;
use sentinel_actors::domain::schedule::Window;
use sentinel_actors::ports::Submission;
use sentinel_testbed::chain::Purpose;

use super::announcing::time_of;
use super::site::{CAPS, RICH, Setup, Site, TOPIC, address};

fn registrations(site: &Site) -> (usize, usize) {
    let purpose = Purpose::Registration { topic: TOPIC };
    let truth = site.truth();
    let included = truth.included.iter().filter(|tx| tx.purpose == purpose);
    let sent: std::collections::BTreeSet<_> =
        truth.broadcasts.iter().filter(|sent| sent.purpose == purpose).map(|sent| &sent.hash).collect();
    (included.count(), sent.len())
}

fn unregistered() -> Site {
    Site::of_topic(|topic| topic.registered.clear())
}

#[tokio::test]
async fn a_worker_is_registered_once_and_then_submits() {
    let site = unregistered();
    let mut worker = site.live();
    let answer = worker.ask_with_blocks().await;
    assert!(answer.waits_for.is_some());
    for height in 1_003..1_005 {
        assert_eq!(worker.ask_at(height).await.waits_for, None);
    }
    worker.ask_at(1_005).await;
    assert!(matches!(worker.submit(1_005).await, Submission::Acked(_)));
    assert_eq!(registrations(&site), (1, 1));
}

#[tokio::test]
async fn a_registration_that_a_crash_interrupts_is_paid_once() {
    let site = unregistered();
    // Its reply is lost, and nothing lands before the process dies.
    site.chain.script(0, &["broadcast_tx_sync:lost-reply@1"]).unwrap();
    {
        let mut worker = site.live();
        let answer = worker.try_ask();
        let died = tokio::time::timeout(std::time::Duration::from_millis(1_500), answer).await;
        assert!(died.is_err(), "it still waits for a block: {died:?}");
    }
    assert_eq!(site.truth().pending.len(), 1);
    let mut again = site.live();
    again.ask_with_blocks().await;
    drop(again);
    site.chain.block();
    let mut third = site.live();
    third.ask().await;
    assert_eq!(registrations(&site), (1, 1), "one transaction, offered as often as needed");
    let fee = site.truth().fees(&address());
    assert_eq!(site.truth().accounts[&address()].balance, RICH - fee - 200);
}

/// Each attempt costs a fee, also one after a restart.
#[tokio::test]
async fn a_registration_that_fails_in_a_block_is_not_paid_again_at_once() {
    let site = unregistered();
    site.chain.rules(|rules| rules.gas_beyond_simulation = 10_000_000);
    for _ in 0..2 {
        let mut worker = site.live();
        for _ in 0..3 {
            let why = worker.ask_with_blocks().await.waits_for.unwrap();
            assert!(why.contains("it failed in a block and is tried again in about an hour"), "{why}");
            site.chain.block();
        }
    }
    assert_eq!(registrations(&site), (1, 1), "with enough gas it would cost more than one transaction may");
}

#[tokio::test]
async fn somebody_else_may_have_registered_the_worker_meanwhile() {
    let site = unregistered();
    site.chain.script(0, &["Simulate:query-fails=address is already registered in this topic"]).unwrap();
    let mut worker = site.live();
    let answer = worker.ask_with_blocks().await;
    assert_eq!(answer.waits_for, None, "it is registered: that is all that was wanted");
    assert_eq!(registrations(&site), (0, 0));
}

#[tokio::test]
async fn a_balance_that_is_too_small_for_it_is_said_and_nothing_is_sent() {
    let site = unregistered();
    site.chain.rules(|rules| rules.registration_fee = 2 * RICH);
    let mut worker = site.live();
    let text = worker.ask().await.waits_for.unwrap();
    assert!(text.contains("needs about 0.0000021 ALLO for its registration and a window: send it ALLO"), "{text}");
    assert_eq!(registrations(&site), (0, 0));
    site.chain.fund(&address(), 3 * RICH);
    site.chain.block();
    worker.ask_with_blocks().await;
    assert_eq!(registrations(&site), (1, 1));
}

#[tokio::test]
async fn a_dry_run_registers_nobody_and_rehearses_all_the_same() {
    let site = unregistered();
    let mut worker = site.worker(Setup { is_live: false, ..Setup::default() });
    worker.ask_at(1_001).await;
    worker.ask_at(1_005).await;
    let submission = worker.submit(1_005).await;
    assert!(matches!(submission, Submission::Acked(_)), "{submission:?}");
    assert_eq!(registrations(&site), (0, 0));
}

/// A block takes longer than a question may.
#[tokio::test]
async fn a_registration_that_waits_for_its_block_does_not_cost_the_answer() {
    let site = unregistered();
    let mut worker = site.live();
    let answer = worker.try_ask().await.expect("it is answered in time");
    assert!(answer.waits_for.is_some_and(|why| why.contains("is on its way")));
    assert_eq!(registrations(&site), (0, 1));
    worker.ask_with_blocks().await;
    assert_eq!(registrations(&site), (1, 1));
}

#[tokio::test]
async fn a_registration_is_paid_only_shortly_before_a_competition_starts() {
    let site = unregistered();
    let competition = Window { start: Some(time_of(&site, 1_400)), end: None };
    let mut worker = site.worker(Setup { competition, ..Setup::default() });
    for height in [1_001, 1_200] {
        site.chain.blocks_to(height);
        let why = worker.ask_with_blocks().await.waits_for.unwrap();
        assert!(why.contains("it is shortly before the competition starts at 20"), "{why}");
        assert_eq!(registrations(&site), (0, 0));
    }
    site.chain.blocks_to(1_290);
    worker.ask_with_blocks().await;
    assert_eq!(registrations(&site), (1, 1));
}

#[tokio::test]
async fn no_registration_is_paid_when_no_window_of_the_competition_is_left() {
    let site = unregistered();
    for (end, asked) in [(1_024, 1_018), (1_030, 1_034)] {
        let competition = Window { start: None, end: Some(time_of(&site, end)) };
        let mut worker = site.worker(Setup { competition, ..Setup::default() });
        site.chain.blocks_to(asked);
        worker.ask_with_blocks().await;
        let why = worker.ask_with_blocks().await.waits_for.unwrap();
        assert!(why.contains("no window opens before the competition's end"), "{why}");
    }
    assert_eq!(registrations(&site), (0, 0));
}

/// Each change of the words is a line in the log.
#[tokio::test]
async fn a_registration_that_cannot_be_sent_is_tried_every_ten_blocks_and_said_in_the_same_words() {
    let site = unregistered();
    let caps = FeeCaps { per_transaction: 1, ..CAPS };
    let mut worker = site.worker(Setup { caps, known: vec![1_005], ..Setup::default() });
    let tried = || site.chain.log().iter().filter(|asked| asked.query == "Simulate").count();
    let mut said = std::collections::BTreeSet::new();
    for height in 1_016..1_036 {
        said.insert(worker.ask_at(height).await.waits_for);
    }
    assert!(said.len() == 1 && said.first().unwrap().as_ref().unwrap().contains("raise the cap"), "{said:?}");
    assert_eq!(tried(), 2);
}
