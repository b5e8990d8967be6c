//! What a submission costs: exactly what the fee market requires and a twentieth, below every cap.

use std::time::Duration;

use sentinel::venues::allora::broadcaster::{Message, NotSent, Outcome, Request};
use sentinel::venues::allora::errors::Class;
use sentinel::venues::allora::fees::{FeeCaps, FeeError};

use super::support::{CAPS, RICH, SOON, Site, address, included, inference, submission, until};

fn required(site: &Site, index: usize) -> u128 {
    let truth = site.truth();
    u128::from(truth.included[index].gas_wanted) * 10
}

#[tokio::test]
async fn a_submission_costs_what_is_required_and_a_twentieth() {
    let site = Site::new();
    let receipt = included(site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    let truth = site.truth();
    let tx = &truth.included[0];
    assert_eq!(
        (tx.fee, tx.hash.as_str(), tx.gas_used),
        (receipt.fee_uallo, &*receipt.hash.to_string(), receipt.gas_used)
    );
    assert_eq!(i64::try_from(receipt.height).unwrap(), tx.height);
    assert_eq!(receipt.fee_uallo, (required(&site, 0) * 105).div_ceil(100));
    let used = f64::from(u32::try_from(tx.gas_used).unwrap());
    let wanted = f64::from(u32::try_from(tx.gas_wanted).unwrap());
    assert!((1.19..=1.2).contains(&(wanted / used)), "by simulation, without a signature, and a fifth: {tx:?}");
}

#[tokio::test]
async fn a_price_that_jumps_before_the_broadcast_costs_one_dearer_transaction() {
    let site = Site::new();
    site.chain.script(0, &["GasPrice:then-price=14@1"]).unwrap();
    let receipt = included(site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    assert_eq!(receipt.fee_uallo, (required(&site, 0) * 14 / 10 * 105).div_ceil(100));
    assert_eq!((site.offers().len(), site.truth().included.len()), (2, 1));
}

/// The dearer one has the sequence of the one that may still land, so the chain takes one of them.
#[tokio::test]
async fn a_price_that_jumps_under_a_waiting_transaction_costs_one_fee() {
    let site = Site::by_hand();
    let broadcaster = site.broadcaster();
    let data = inference();
    let request = submission(&data);
    let (outcome, ()) = tokio::join!(broadcaster.submit(&request, until(SOON)), async {
        wait_until(|| !site.truth().pending.is_empty()).await;
        site.chain.rules(|rules| rules.gas_price *= 2);
        site.chain.block(); // what no longer pays leaves the mempool
        wait_until(|| !site.truth().pending.is_empty()).await;
        site.chain.block();
    });
    let receipt = included(outcome);
    let truth = site.truth();
    assert_eq!(truth.included.len(), 1);
    assert_eq!(receipt.fee_uallo, (required(&site, 0) * 2 * 105).div_ceil(100));
    let sequences: Vec<_> = truth.broadcasts.iter().map(|broadcast| broadcast.sequence).collect();
    assert!(sequences.iter().all(|sequence| *sequence == Some(0)), "{sequences:?}");
}

#[tokio::test]
async fn what_runs_out_of_gas_is_tried_once_more_with_more() {
    let site = Site::new();
    site.chain.rules(|rules| rules.gas_beyond_simulation = 100_000);
    let receipt = included(site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    let truth = site.truth();
    let codes: Vec<_> = truth.included.iter().map(|tx| tx.refusal.as_ref().map_or(0, |refusal| refusal.code)).collect();
    assert_eq!(codes, [11, 0]);
    assert_eq!(truth.included[1].hash, receipt.hash.to_string());
}

/// The first one has failed, and the second may still land.
#[tokio::test]
async fn a_second_attempt_that_waits_is_not_reported_as_the_failure_of_the_first() {
    let site = Site::by_hand();
    site.chain.rules(|rules| rules.gas_beyond_simulation = 100_000);
    let broadcaster = site.broadcaster();
    let data = inference();
    let request = submission(&data);
    let (outcome, ()) = tokio::join!(broadcaster.submit(&request, until(Duration::from_secs(1))), async {
        wait_until(|| !site.truth().pending.is_empty()).await;
        site.chain.block();
        wait_until(|| !site.truth().pending.is_empty()).await;
    });
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    let settled = broadcaster.settle(request.key, until(SOON)).await;
    assert!(matches!(settled, Outcome::Unknown { .. }), "{settled:?}");
    site.chain.block();
    included(broadcaster.settle(request.key, until(SOON)).await);
}

#[tokio::test]
async fn what_runs_out_of_gas_twice_ends() {
    let site = Site::by_hand();
    site.chain.rules(|rules| rules.gas_beyond_simulation = 200_000);
    let broadcaster = site.broadcaster();
    let data = inference();
    let request = submission(&data);
    let (outcome, ()) = tokio::join!(broadcaster.submit(&request, until(SOON)), async {
        for beyond in [200_000, 800_000] {
            wait_until(|| !site.truth().pending.is_empty()).await;
            site.chain.rules(|rules| rules.gas_beyond_simulation = beyond);
            site.chain.block();
        }
    });
    assert!(matches!(outcome, Outcome::Failed { class: Class::OutOfGas { .. }, .. }), "{outcome:?}");
    let again = broadcaster.submit(&request, until(SOON)).await;
    assert!(matches!(again, Outcome::Failed { class: Class::OutOfGas { .. }, .. }), "{again:?}");
    assert_eq!((site.truth().included.len(), site.offers().len()), (2, 2), "asking again costs nothing");
}

#[tokio::test]
async fn a_fee_above_a_cap_is_not_offered() {
    let mut site = Site::by_hand();
    site.caps = FeeCaps { per_transaction: 4_000_000, ..site.caps };
    let outcome = site.broadcaster().submit(&submission(&inference()), until(SOON)).await;
    let Outcome::NotSent(NotSent::Fee(error @ FeeError::AboveCap { fee, .. })) = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        error.to_string(),
        format!(
            "it would cost {fee} uallo, and one transaction may cost 4000000: wait for a lower price, or raise max_fee in \
             [allora]"
        )
    );
    assert_eq!(site.offers(), []);
}

#[tokio::test]
async fn a_days_cap_counts_what_was_spent_before_a_restart() {
    let mut site = Site::new();
    site.caps = FeeCaps { per_day: 7_000_000, ..site.caps };
    included(site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    let data = inference();
    let register = Request { key: "registration", message: Message::Register { topic_id: 68 }, ..submission(&data) };
    site.chain.script(0, &["Simulate:unknown"]).unwrap();
    let outcome = site.broadcaster().submit(&register, until(SOON)).await;
    let spent = site.truth().fees(&address());
    assert!(
        matches!(outcome, Outcome::NotSent(NotSent::Fee(FeeError::AboveDaysCap { spent: counted, .. })) if counted == spent + 10),
        "{outcome:?} {spent}"
    );
    assert_eq!(site.offers().len(), 1);
}

#[tokio::test]
async fn a_topic_that_takes_too_much_gets_neither_a_registration_nor_a_forecast() {
    let site = Site::new();
    site.chain.script(0, &["Simulate:unknown", "Simulate:unknown"]).unwrap();
    site.chain.rules(|rules| (rules.registration_fee, rules.data_sending_fee) = (1_001, CAPS.per_transaction));
    let broadcaster = site.broadcaster();
    let data = inference();
    let register = Request { key: "registration", message: Message::Register { topic_id: 68 }, ..submission(&data) };
    let outcome = broadcaster.submit(&register, until(SOON)).await;
    let above = FeeError::AboveRegistrationCap { needed: 1_001, cap: 1_000 };
    assert!(matches!(outcome, Outcome::NotSent(NotSent::Fee(error)) if error == above), "{outcome:?}");
    let outcome = broadcaster.submit(&submission(&data), until(SOON)).await;
    assert!(matches!(outcome, Outcome::NotSent(NotSent::Fee(FeeError::AboveCap { .. }))), "{outcome:?}");
    assert_eq!(site.offers(), []);
}

#[tokio::test]
async fn a_balance_below_the_fee_says_how_much_is_missing() {
    let site = Site::by_hand();
    site.chain.set_balance(&address(), 1_000);
    site.chain.script(0, &["Simulate:unknown"]).unwrap();
    let outcome = site.broadcaster().submit(&submission(&inference()), until(SOON)).await;
    let is_it = matches!(
        outcome,
        Outcome::NotSent(NotSent::Fee(FeeError::AboveBalance { balance: 1_000, fee: 5_292_000, .. }))
    );
    assert!(is_it, "{outcome:?}");
    assert_eq!(site.offers(), []);
}

/// The simulation passes with one uallo of a fee, and the real one would leave too little for the topic.
#[tokio::test]
async fn what_the_topic_takes_is_left_beside_the_fee() {
    let site = Site::new();
    let broadcaster = site.broadcaster();
    let data = inference();
    let register = Request { key: "registration", message: Message::Register { topic_id: 68 }, ..submission(&data) };
    site.chain.script(0, &["Simulate:unknown"]).unwrap();
    let fee = 2_520_000;
    for (balance, is_enough) in [(fee + 199, false), (fee + 200, true)] {
        site.chain.set_balance(&address(), balance);
        let outcome = broadcaster.submit(&register, until(SOON)).await;
        let is_short = matches!(outcome, Outcome::NotSent(NotSent::Fee(FeeError::AboveBalance { besides: 200, .. })));
        assert_eq!(is_short, !is_enough, "{outcome:?}");
    }
    assert_eq!(site.offers().len(), 1);
}

#[tokio::test]
async fn where_no_node_simulates_enough_gas_is_offered() {
    let site = Site::new();
    site.chain.script(0, &["Simulate:unknown"]).unwrap();
    included(site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    assert_eq!(site.truth().included[0].gas_wanted, 504_000);
}

/// Truth of the account: nothing but fees and what the topic takes has left it.
#[tokio::test]
async fn the_account_has_paid_what_the_receipt_says() {
    let site = Site::new();
    let receipt = included(site.broadcaster().submit(&submission(&inference()), until(SOON)).await);
    let balance = site.truth().accounts[&address()].balance;
    assert_eq!(RICH - balance, receipt.fee_uallo + 10, "10 uallo is what a payload costs besides");
}

pub async fn wait_until(mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(SOON, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("it never came to it");
}
