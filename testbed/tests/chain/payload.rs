//! The message of a worker: every check, its code and its text, in a block and in a simulation.

use sentinel_testbed::chain::{Admission, Arity, Effect};

use crate::proto::{bytes, number, text};
use crate::support::{
    BALANCE, NONCE, NUMBER, accept, chain, chain_with, failure, include, open, simulate, submission, topic_rules,
};
use crate::wallet::{Draft, Payload, Wallet, high_s, registration};

/// Demands that a changed payload fails with this codespace, code and text, is simulated with the same text, and pays its fee.
#[track_caller]
fn fails(change: impl FnOnce(&mut Payload), space: &str, code: u32, holds: &str) {
    let (chain, wallet) = open();
    let draft = Draft::new(&wallet, NUMBER, 0, Payload::new(&wallet, NONCE, "0.5").with(change).message());
    let simulated = simulate(&chain, &draft).unwrap_err();
    assert!(simulated.0 == 6 && simulated.1.contains(holds), "{simulated:?}");
    let included = include(&chain, &draft);
    let (got_space, got_code, log) = failure(&included);
    assert_eq!((&*got_space, got_code, log.contains(holds)), (space, code, true), "{log}");
    assert!(log.starts_with("failed to execute message; message index: 0: "), "{log}");
    assert_eq!((included.fee, included.effect), (5_000_000, None));
    assert_eq!(chain.truth().accounts[&wallet.address].balance, BALANCE - 5_000_000);
}

#[track_caller]
fn succeeds(change: impl FnOnce(&mut Payload), values: &[&str]) {
    let (chain, wallet) = open();
    let draft = Draft::new(&wallet, NUMBER, 0, Payload::new(&wallet, NONCE, "0.5").with(change).message());
    assert!(simulate(&chain, &draft).is_ok());
    let included = include(&chain, &draft);
    assert_eq!(included.refusal, None);
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    let worker = wallet.address;
    let admission = Admission::Admitted;
    assert_eq!(included.effect, Some(Effect::Inference { topic: 67, nonce: NONCE, worker, values, admission }));
}

#[test]
fn a_good_payload_is_admitted_and_costs_the_fee_and_the_data_fee() {
    let (chain, wallet) = open();
    let included = include(&chain, &submission(&wallet, 0, NONCE, "0.0011430727317929268"));
    assert_eq!((included.refusal, included.fee), (None, 5_000_000));
    let truth = chain.truth();
    assert_eq!(truth.accounts[&wallet.address].balance, BALANCE - 5_000_000 - 10);
    assert_eq!(truth.live, [(67, NONCE, wallet.address.clone())]);
    let kinds: Vec<&str> = included.events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["tx", "tx", "emissions.v10.EventInsertInfererPayload"]);
}

#[test]
fn the_inner_signature_is_over_what_the_chain_writes_again() {
    let text = "bundle signature verification failed";
    for (value, canonical) in [("1.2e-7", "1.2E-7"), ("0.00000012", "1.2E-7"), ("+0.5", "0.5"), ("1e2", "1E+2")] {
        fails(|payload| payload.values[0].1 = value.to_owned(), "sdk", 4, text);
        succeeds(|payload| payload.values[0].1 = canonical.to_owned(), &[canonical]);
        // Signed over what will be written, and sent as it was: the chain takes it.
        succeeds(
            |payload| {
                let written = payload.clone().with(|payload| payload.values[0].1 = canonical.to_owned());
                payload.values[0].1 = value.to_owned();
                payload.signed = Some(written.bundle());
            },
            &[canonical],
        );
    }
}

#[test]
fn a_scalar_that_is_missing_is_written_as_zero() {
    fails(|payload| payload.value.clear(), "sdk", 4, "bundle signature verification failed");
    succeeds(|payload| payload.value = "0".to_owned(), &["0.5"]);
}

#[test]
fn an_inner_signature_must_be_this_workers_and_have_a_low_s() {
    let text = "bundle signature verification failed";
    fails(|payload| payload.signed = Some(b"other".to_vec()), "sdk", 4, text);
    fails(|payload| payload.signature = Some(Vec::new()), "sdk", 4, text);
    fails(|payload| payload.signature = Some(high_s(&payload.wallet.sign(&payload.bundle()))), "sdk", 4, text);
    fails(|payload| payload.signature = Some(Wallet::new(2).sign(&payload.bundle())), "sdk", 4, text);
}

#[test]
fn inner_and_outer_fields_must_agree() {
    fails(|payload| payload.inner_topic = 68, "sdk", 4, "the topic of the inner message does not match");
    fails(|payload| payload.inner_nonce = NONCE + 1, "sdk", 4, "the block height of the inner message does not match");
    fails(|payload| payload.inferer = Wallet::new(2).address, "sdk", 4, "the author of the inner message");
    let other = data_encoding::HEXLOWER.encode(&Wallet::new(2).public_key());
    fails(|payload| payload.public_key = other, "sdk", 4, "the address of the public key does not match");
}

#[test]
fn the_inner_public_key_is_lower_case_hex() {
    fails(|payload| payload.public_key = payload.public_key.to_uppercase(), "sdk", 8, "lower-case hex");
    fails(
        |payload| payload.public_key = data_encoding::BASE64.encode(&payload.wallet.public_key()),
        "sdk",
        8,
        "lower-case hex",
    );
}

#[test]
fn a_payload_has_a_nonce_and_something_to_say() {
    fails(|payload| (payload.nonce = 0, payload.inner_nonce = 0).0, "sdk", 18, "nonce block height must be positive");
    fails(|payload| payload.has_inference = false, "sdk", 18, "cannot both be nil");
}

#[test]
fn values_are_within_forty_powers_of_ten() {
    fails(|payload| payload.values[0].1 = "1E+41".to_owned(), "math", 8, "out of range");
    fails(|payload| payload.values[0].1 = "1E-41".to_owned(), "math", 8, "out of range");
    succeeds(|payload| payload.values[0].1 = "-1E+40".to_owned(), &["-1E+40"]);
    succeeds(|payload| payload.values[0].1 = "-0".to_owned(), &["-0"]);
}

#[test]
fn a_topic_of_one_value_takes_one_labelled_y_or_the_scalar() {
    let value = |label: &'static str| (label, "0.5".to_owned());
    fails(|payload| payload.values = vec![value("x")], "sdk", 18, "single-arity label must be \"y\"");
    fails(|payload| payload.values = vec![value("y"), value("z")], "sdk", 18, "takes one value");
    fails(|payload| payload.values = vec![value("")], "emissions", 95, "invalid label name");
    succeeds(|payload| (payload.values.clear(), payload.value = "0.7".to_owned()).0, &["0.7"]);
}

#[test]
fn a_topic_of_several_values_knows_its_labels() {
    let with = |values: Vec<(&'static str, String)>| {
        let (chain, wallet) = chain_with(|options| {
            options.genesis.rules.labels_max = 2;
            let topic = topic_rules(&mut options.genesis);
            topic.arity = Arity::Multi;
            topic.labels = vec!["up".to_owned(), "down".to_owned()];
        });
        chain.blocks_to(NONCE);
        let payload = Payload::new(&wallet, NONCE, "0").with(|payload| payload.values = values);
        include(&chain, &Draft::new(&wallet, NUMBER, 0, payload.message()))
    };
    let value = |label: &'static str| (label, "0.5".to_owned());
    for (values, code) in [
        (vec![value("left")], 97),
        (vec![value("up"), value("up")], 95),
        (vec![value("up"), value("down"), value("left")], 98),
        (vec![], 99),
    ] {
        assert_eq!(failure(&with(values)).1, code);
    }
    assert_eq!(with(vec![value("up"), value("down")]).refusal, None);
}

#[test]
fn the_nonce_must_be_open() {
    let both = |nonce: i64| move |payload: &mut Payload| (payload.nonce, payload.inner_nonce) = (nonce, nonce);
    fails(both(NONCE - 1), "emissions", 75, "unfulfilled nonce not found");
    fails(both(NONCE + 1), "emissions", 75, "unfulfilled nonce not found");
}

#[test]
fn the_topic_must_exist() {
    fails(|payload| (payload.topic, payload.inner_topic) = (99, 99), "emissions", 6, "invalid topic ID");
}

#[test]
fn who_is_not_on_the_whitelist_may_not_submit() {
    let (chain, wallet) = open();
    chain.topic(67, |rules| rules.whitelist = Some(vec![Wallet::new(2).address]));
    let draft = submission(&wallet, 0, NONCE, "0.5");
    assert!(
        simulate(&chain, &draft).is_err_and(|(_, text)| text.contains("Worker is not permitted to submit payload"))
    );
    assert_eq!(failure(&include(&chain, &draft)).1, 83);
    chain.topic(67, |rules| rules.whitelist = Some(vec![wallet.address.clone()]));
    assert_eq!(include(&chain, &submission(&wallet, 1, NONCE, "0.5")).refusal, None);
}

#[test]
fn who_is_not_registered_is_refused_until_the_registration_is_in() {
    let (chain, wallet) = chain_with(|options| topic_rules(&mut options.genesis).registered.clear());
    chain.blocks_to(NONCE);
    let (_, code, log) = failure(&include(&chain, &submission(&wallet, 0, NONCE, "0.5")));
    assert!(code == 13 && log.contains("worker is not registered in this topic"), "{log}");
    let included = include(&chain, &Draft::new(&wallet, NUMBER, 1, registration(10, 67, &wallet.address)));
    assert_eq!(included.effect, Some(Effect::Registered { topic: 67, worker: wallet.address.clone() }));
    assert_eq!(chain.truth().accounts[&wallet.address].balance, BALANCE - 2 * 5_000_000 - 200);
    assert_eq!(include(&chain, &submission(&wallet, 2, NONCE, "0.5")).refusal, None);
}

#[test]
fn a_registration_needs_a_topic_money_and_a_worker_that_is_new() {
    let (chain, wallet) = chain();
    let register =
        |sequence: u64, topic: u64| Draft::new(&wallet, NUMBER, sequence, registration(10, topic, &wallet.address));
    assert_eq!(failure(&include(&chain, &register(0, 99))).1, 23);
    assert_eq!(failure(&include(&chain, &register(1, 67))).1, 8);
    let other = Wallet::new(2);
    chain.fund(&other.address, 5_000_199);
    let draft = Draft::new(&other, NUMBER + 1, 0, registration(10, 67, &other.address));
    let (space, code, log) = failure(&include(&chain, &draft));
    assert!((&*space, code) == ("emissions", 48) && log.contains("not have enough denom"), "{log}");
}

#[test]
fn the_data_fee_must_be_there_after_the_gas() {
    let (chain, wallet) = open();
    chain.set_balance(&wallet.address, 5_000_009);
    let (_, code, log) = failure(&include(&chain, &submission(&wallet, 0, NONCE, "0.5")));
    assert!(code == 73 && log.contains("data sender does not have enough denom"), "{log}");
    assert_eq!(chain.truth().accounts[&wallet.address].balance, 9);
}

#[test]
fn another_account_may_pay_for_a_worker() {
    let (chain, wallet) = open();
    let payer = Wallet::new(2);
    chain.fund(&payer.address, BALANCE);
    let payload = Payload::new(&wallet, NONCE, "0.5").with(|payload| payload.sender = payer.address.clone());
    let included = include(&chain, &Draft::new(&payer, NUMBER + 1, 0, payload.message()));
    assert_eq!((included.refusal, included.payer), (None, payer.address));
    assert_eq!(chain.truth().submission(&wallet.address, 67, NONCE).effects, 1);
}

#[test]
fn a_second_submission_for_a_nonce_is_refused_and_still_pays() {
    let (chain, wallet) = open();
    assert_eq!(include(&chain, &submission(&wallet, 0, NONCE, "0.5")).refusal, None);
    let again = submission(&wallet, 1, NONCE, "0.6");
    assert!(simulate(&chain, &again).is_err_and(|(_, text)| text.contains("inference already submitted")));
    let (space, code, log) = failure(&include(&chain, &again));
    assert!((&*space, code) == ("undefined", 1) && log.contains("inference already submitted"), "{log}");
    let truth = chain.truth();
    let of_nonce = truth.submission(&wallet.address, 67, NONCE);
    assert_eq!((of_nonce.paid, of_nonce.fees, of_nonce.effects), (2, 10_000_000, 1));
    assert_eq!(truth.paid_twice().len(), 1);
    assert!(truth.done_twice().is_empty());
}

#[test]
fn a_worker_below_a_full_active_set_is_not_admitted_with_code_zero() {
    let (chain, wallet) = chain_with(|options| options.genesis.rules.active_set_max = 1);
    chain.blocks_to(NONCE);
    let rival = Wallet::new(2).address;
    assert_eq!(chain.rival(67, NONCE, &rival, "0.1", 0.9), Ok(Admission::Admitted));
    let included = include(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    assert_eq!(included.refusal, None);
    assert!(matches!(included.effect, Some(Effect::Inference { admission: Admission::NotAdmitted, .. })));
    assert!(included.events.iter().all(|event| !event.kind.contains("EventInsertInfererPayload")));
    let (_, code, log) = failure(&include(&chain, &submission(&wallet, 1, NONCE, "0.5")));
    assert!(code == 78 && log.contains("cannot update EMA more than once per window"), "{log}");
    chain.blocks_to(NONCE + 10);
    let truth = chain.truth();
    assert_eq!(truth.submission(&wallet.address, 67, NONCE).stored, None);
    assert_eq!(truth.stored.iter().map(|kept| &kept.worker).collect::<Vec<_>>(), [&rival]);
}

#[test]
fn a_better_worker_evicts_an_admitted_one_which_cannot_come_back() {
    let (chain, wallet) = chain_with(|options| options.genesis.rules.active_set_max = 1);
    chain.blocks_to(NONCE);
    assert_eq!(include(&chain, &submission(&wallet, 0, NONCE, "0.5")).refusal, None);
    let rival = Wallet::new(2).address;
    assert_eq!(chain.rival(67, NONCE, &rival, "0.1", 0.9), Ok(Admission::Evicting(wallet.address.clone())));
    assert_eq!(failure(&include(&chain, &submission(&wallet, 1, NONCE, "0.5"))).1, 78);
    chain.blocks_to(NONCE + 10);
    assert_eq!(chain.truth().submission(&wallet.address, 67, NONCE).stored, None);
}

#[test]
fn a_forecast_needs_elements_and_leaves_no_inference() {
    let forecast = |elements: &[u8]| {
        let (chain, wallet) = open();
        let forecast = [number(1, 67), number(2, NONCE as u64), text(3, &wallet.address), elements.to_vec()].concat();
        let payload = Payload::new(&wallet, NONCE, "0").with(|payload| {
            payload.has_inference = false;
            payload.forecast = bytes(2, &forecast);
        });
        include(&chain, &Draft::new(&wallet, NUMBER, 0, payload.message()))
    };
    assert_eq!(failure(&forecast(b"")).1, 77);
    let element = [text(1, &Wallet::new(2).address), text(2, "-4.5E-7")].concat();
    assert!(matches!(forecast(&bytes(4, &element)).effect, Some(Effect::Forecast { .. })));
}

#[test]
fn a_message_may_not_be_larger_than_the_chain_says() {
    let (chain, wallet) = open();
    chain.rules(|rules| rules.message_bytes_max = 100);
    let draft = submission(&wallet, 0, NONCE, "0.5");
    accept(&chain, &draft);
    chain.block();
    let (_, code, log) = failure(chain.truth().included.last().unwrap());
    assert!(code == 18 && log.contains("max_serialized_msg_length"), "{log}");
}
