//! What the official SDK signed is taken as it is, by a chain that never saw the SDK.

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use sentinel_testbed::chain::{Chain, Decimal, Effect, Emissions, Genesis, Options, hash_of};
use serde_json::Value;

use crate::support::{NONCE, accept, broadcast_to, open, query, submission, topic_rules};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../data/allora.json")).unwrap()
}

fn chain_for(case: &Value) -> Chain {
    let (text, number) = (|key: &str| case[key].as_str().unwrap(), |key: &str| case[key].as_u64().unwrap());
    let nonce = case["nonce"].as_i64().unwrap();
    let address = text("address");
    let mut genesis = Genesis::with_balance(address, 1_000_000_000);
    genesis.emissions = if text("emissions") == "v9" { Emissions::V9 } else { Emissions::V10 };
    genesis.account_number = number("account_number");
    genesis.rules.payload_gas = 100_000;
    let topic = topic_rules(&mut genesis);
    if nonce > 0 {
        topic.registered = vec![address.to_owned()];
        topic.epoch_last_ended = nonce - topic.epoch_length;
        genesis.height = nonce - 1;
    }
    let chain = Chain::start(Options::by_hand(genesis)).unwrap();
    chain.set_sequence(address, number("sequence"));
    chain.block();
    chain
}

#[test]
fn every_transaction_of_the_official_sdk_is_taken_and_carried_out() {
    let vectors = vectors();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let chain = chain_for(case);
        let bytes = HEXLOWER.decode(case["tx_raw"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(hash_of(&bytes), case["tx_hash"].as_str().unwrap());
        assert_eq!(broadcast_to(&chain, 0, &bytes), (0, ": ".to_owned()), "{}", case["name"]);
        chain.block();
        let truth = chain.truth();
        let included = truth.included.last().unwrap();
        assert_eq!(included.refusal, None, "{}", case["name"]);
        match (included.effect.clone().unwrap(), case["value"].as_str()) {
            (Effect::Inference { values, .. }, Some(value)) => assert_eq!(values, [value]),
            (Effect::Registered { topic: 67, .. }, None) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A byte of any place of a good transaction is changed: the chain refuses it, or its message fails; never is it carried out.
#[test]
fn no_transaction_with_a_changed_byte_is_carried_out() {
    let vectors = vectors();
    let case = &vectors["cases"][0];
    let bytes = HEXLOWER.decode(case["tx_raw"].as_str().unwrap().as_bytes()).unwrap();
    let chain = chain_for(case);
    for index in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[index] ^= 0x01;
        let (code, text) = broadcast_to(&chain, 0, &changed);
        assert_ne!(code, 0, "byte {index}: {text}");
    }
    assert_eq!(broadcast_to(&chain, 0, &bytes).0, 0);
}

#[test]
fn decimals_are_written_as_the_official_sdk_writes_them() {
    let vectors = vectors();
    let decimals = vectors["decimals"].as_array().unwrap();
    assert_eq!(decimals.len(), 34);
    for decimal in decimals {
        let text = decimal["text"].as_str().unwrap();
        assert_eq!(Decimal::parse(text).unwrap().to_string(), decimal["canonical"].as_str().unwrap(), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// Whatever comes as a transaction or as a query's data, the node answers, and goes on.
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..400_usize) {
        let (chain, wallet) = open();
        let good = submission(&wallet, 0, NONCE, "0.5").bytes();
        let mixed = [&good[..cut], &bytes].concat();
        for bytes in [&bytes, &mixed] {
            prop_assert_ne!(broadcast_to(&chain, 0, bytes).0, 0);
            for path in ["/cosmos.tx.v1beta1.Service/Simulate", "/emissions.v10.QueryService/GetInferencesAtBlock"] {
                let _ = query(&chain, path, bytes);
            }
        }
        chain.block();
        prop_assert!(chain.truth().included.is_empty());
        accept(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    }

    #[test]
    fn a_canonical_decimal_is_its_own_canonical_form(digits in "-?[0-9]{1,30}", places in "([.][0-9]{0,30})?", power in -60..60) {
        let written = Decimal::parse(&format!("{digits}{places}e{power}")).unwrap().to_string();
        prop_assert_eq!(Decimal::parse(&written).unwrap().to_string(), written);
    }
}
