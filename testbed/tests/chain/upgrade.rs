//! The chain's program changes its version of the emissions module at a height.

use sentinel_testbed::chain::Emissions;

use crate::proto::number;
use crate::support::{
    NONCE, NUMBER, accept, broadcast, chain_with, emissions, include, of_height, of_worker, query, submission,
    topic_rules,
};
use crate::wallet::{Draft, Payload, registration};

fn v9() -> (sentinel_testbed::chain::Chain, crate::wallet::Wallet) {
    let (chain, wallet) = chain_with(|options| options.genesis.emissions = Emissions::V9);
    chain.blocks_to(NONCE);
    (chain, wallet)
}

fn query_v9(
    chain: &sentinel_testbed::chain::Chain,
    method: &str,
    data: &[u8],
) -> Result<crate::proto::Message, (u64, String)> {
    query(chain, &format!("/emissions.v9.QueryService/{method}"), data)
}

#[test]
fn version_nine_takes_its_own_messages_and_answers_in_its_own_form() {
    let (chain, wallet) = v9();
    let included = include(&chain, &Draft::new(&wallet, NUMBER, 0, Payload::v9(&wallet, NONCE, "-4.5E-7").message()));
    assert_eq!(included.refusal, None);
    assert!(included.events.iter().any(|event| event.kind == "emissions.v9.EventInsertInfererPayload"));
    let latest = query_v9(&chain, "GetWorkerLatestInferenceByTopicId", &of_worker(&wallet.address)).unwrap().message(1);
    assert_eq!(latest.text(4), "-4.5E-7");
    chain.blocks_to(NONCE + 10);
    let stored = query_v9(&chain, "GetInferencesAtBlock", &of_height(NONCE)).unwrap().message(1).message(1);
    assert_eq!((stored.text(4), stored.all(7).len()), ("-4.5E-7".to_owned(), 0));
    let network = query_v9(&chain, "GetLatestNetworkInferences", &number(1, 67)).unwrap().message(1);
    assert_eq!(network.text(5), "-4.5E-7");
    assert_eq!(query_v9(&chain, "GetTopic", &number(1, 67)).unwrap().message(1).number(24), 0);
}

#[test]
fn version_nine_refuses_version_ten() {
    let (chain, wallet) = v9();
    let (code, text) = broadcast(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    assert!(
        code == 2 && text.contains("unable to resolve type URL /emissions.v10.InsertWorkerPayloadRequest"),
        "{text}"
    );
    let labelled = Payload::new(&wallet, NONCE, "0.5").with(|payload| payload.version = 9);
    let (code, text) = broadcast(&chain, &Draft::new(&wallet, NUMBER, 0, labelled.message()));
    assert!(code == 2 && text.contains("TagNum: 7"), "{text}");
    assert_eq!(emissions(&chain, "GetParams", b"").unwrap_err(), (6, "unknown query path: unknown request".to_owned()));
}

#[test]
fn after_the_upgrade_only_version_ten_is_known() {
    let (chain, wallet) = v9();
    chain.upgrade_at(1_008);
    chain.blocks_to(1_006);
    assert!(query_v9(&chain, "GetParams", b"").is_ok());
    chain.block();
    assert!(emissions(&chain, "GetParams", b"").is_ok());
    assert_eq!(query_v9(&chain, "GetParams", b"").unwrap_err().0, 6);
    let (code, _) = broadcast(&chain, &Draft::new(&wallet, NUMBER, 0, registration(9, 67, &wallet.address)));
    assert_eq!(code, 2);
    assert_eq!(include(&chain, &submission(&wallet, 0, NONCE, "0.5")).refusal, None, "in the window of before");
}

#[test]
fn what_waits_over_the_upgrade_is_dropped_without_a_fee() {
    let (chain, wallet) = v9();
    chain.upgrade_at(1_007);
    chain.hold(1);
    accept(&chain, &Draft::new(&wallet, NUMBER, 0, Payload::v9(&wallet, NONCE, "0.5").message()));
    chain.block();
    let truth = chain.truth();
    assert!(truth.dropped[0].why.contains("tx parse error"), "{:?}", truth.dropped);
    assert_eq!(truth.fees(&wallet.address), 0);
}

#[test]
fn a_topic_keeps_its_rules_over_the_upgrade() {
    let (chain, _) = v9();
    chain.upgrade_at(1_006);
    chain.block();
    assert_eq!(emissions(&chain, "GetTopic", &number(1, 67)).unwrap().message(1).number(24), 1);
    let mut genesis = sentinel_testbed::chain::Genesis::default();
    assert_eq!(topic_rules(&mut genesis).window, 10);
}
