//! Blocks: what a transaction pays and consumes when it fails, what it costs, what waits, and what the truth says of it all.

use sentinel_testbed::chain::{Chain, Effect, Options, Purpose, Reception};

use crate::support::{
    BALANCE, NONCE, NUMBER, accept, broadcast, chain, chain_with, failure, include, open, sequence_at, simulate,
    submission, topic_rules, within_seconds,
};
use crate::wallet::{Draft, Wallet, registration};

#[test]
fn the_whole_fee_is_taken_also_what_is_beyond_the_price() {
    let (chain, wallet) = open();
    let draft = submission(&wallet, 0, NONCE, "0.5").with(|draft| draft.fee = vec![("uallo", "9720000".to_owned())]);
    assert_eq!(include(&chain, &draft).fee, 9_720_000);
    assert_eq!(chain.truth().accounts[&wallet.address].balance, BALANCE - 9_720_000 - 10);
}

#[test]
fn a_simulation_says_what_the_delivery_costs_and_changes_nothing() {
    let (chain, wallet) = open();
    let gas = simulate(&chain, &submission(&wallet, 0, NONCE, "0.5")).unwrap();
    let included = include(&chain, &submission(&wallet, 0, NONCE, "0.5").with(|draft| draft.gas = gas));
    assert_eq!((included.refusal, included.gas_used), (None, gas));
    assert_eq!(chain.truth().included.len(), 1);
}

#[test]
fn a_simulation_asks_for_no_price() {
    let (chain, wallet) = open();
    let draft = submission(&wallet, 0, NONCE, "0.5").with(|draft| draft.fee = vec![("uallo", "1".to_owned())]);
    assert!(simulate(&chain, &draft).is_ok());
    assert_eq!(broadcast(&chain, &draft).0, 13);
}

#[test]
fn a_simulation_checks_the_sequence_of_the_mempool_and_not_the_signature() {
    let (chain, wallet) = open();
    accept(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    let text = simulate(&chain, &submission(&wallet, 0, NONCE, "0.6")).unwrap_err().1;
    assert!(text.contains("account sequence mismatch, expected 1, got 0"), "{text}");
    assert!(simulate(&chain, &submission(&wallet, 1, NONCE, "0.6")).is_ok());
}

#[test]
fn a_simulation_with_too_little_gas_runs_out_where_it_is_metered() {
    let (chain, wallet) = open();
    let (code, text) =
        simulate(&chain, &submission(&wallet, 0, NONCE, "0.5").with(|draft| draft.gas = 300_000)).unwrap_err();
    assert!(code == 6 && text.contains("out of gas in location: ") && text.contains("with gas used: '"), "{text}");
    chain.rules(|rules| rules.simulation_is_metered = false);
    let gas = simulate(&chain, &submission(&wallet, 0, NONCE, "0.5").with(|draft| draft.gas = 1)).unwrap();
    assert!(gas > 300_000, "{gas}");
}

#[test]
fn a_simulation_of_an_account_without_money_says_so() {
    let (chain, _) = open();
    let stranger = Wallet::new(3);
    let (code, text) = simulate(&chain, &submission(&stranger, 0, NONCE, "0.5")).unwrap_err();
    assert!(code == 6 && text.contains("does not exist: unknown address"), "{text}");
}

#[test]
fn gas_that_runs_out_in_the_block_costs_the_fee_and_the_sequence() {
    let (chain, wallet) = open();
    chain.rules(|rules| rules.gas_beyond_simulation = 200_000);
    let (space, code, log) = failure(&include(&chain, &submission(&wallet, 0, NONCE, "0.5")));
    assert_eq!((&*space, code), ("sdk", 11));
    assert!(log.starts_with("out of gas in location: WriteFlat; gasWanted: 500000, gasUsed: "), "{log}");
    let truth = chain.truth();
    assert_eq!((truth.accounts[&wallet.address].sequence, truth.fees(&wallet.address)), (1, 5_000_000));
    assert_eq!(truth.submission(&wallet.address, 67, NONCE).effects, 0);
}

#[test]
fn a_timeout_in_the_block_costs_neither_fee_nor_sequence() {
    let (chain, wallet) = open();
    accept(&chain, &submission(&wallet, 0, NONCE, "0.5").with(|draft| draft.timeout = 1_005));
    chain.block();
    let truth = chain.truth();
    let included = truth.included.last().unwrap();
    assert_eq!((failure(included).1, included.fee), (30, 0));
    assert_eq!(truth.accounts[&wallet.address].sequence, 0);
    assert_eq!(truth.submission(&wallet.address, 67, NONCE).paid, 0);
}

#[test]
fn a_transaction_that_waits_is_checked_again_after_each_block() {
    let (chain, wallet) = open();
    chain.hold(2);
    let draft = submission(&wallet, 0, NONCE, "0.5").with(|draft| draft.timeout = 1_006);
    accept(&chain, &draft);
    chain.block();
    assert_eq!(chain.truth().pending.len(), 1);
    chain.block();
    let truth = chain.truth();
    assert!(truth.pending.is_empty() && truth.included.is_empty());
    assert!(truth.dropped[0].why.contains("tx timeout height"), "{:?}", truth.dropped);
}

#[test]
fn a_transaction_that_waits_too_long_runs_in_another_window_and_fails() {
    let (chain, wallet) = open();
    chain.hold(11);
    accept(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    chain.blocks_to(NONCE + 12);
    let included = chain.truth().included.last().cloned().unwrap();
    assert_eq!((failure(&included).1, included.fee), (75, 5_000_000));
}

#[test]
fn transactions_of_one_account_are_in_a_block_in_their_order() {
    let (chain, wallet) = chain();
    for sequence in 0..3 {
        accept(&chain, &Draft::new(&wallet, NUMBER, sequence, registration(10, 99, &wallet.address)));
    }
    chain.block();
    let truth = chain.truth();
    let sequences: Vec<u64> = truth.sequences(&wallet.address).into_iter().map(|(sequence, _)| sequence).collect();
    assert_eq!(sequences, [0, 1, 2]);
    assert_eq!(truth.included.iter().map(|tx| tx.index).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(sequence_at(&chain, 0, &wallet.address), 3);
}

#[test]
fn a_price_that_rises_drops_what_waits_below_it() {
    let (chain, wallet) = open();
    accept(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    chain.rules(|rules| rules.gas_price *= 3);
    let truth = chain.truth();
    assert!(truth.pending.is_empty() && truth.dropped[0].why.contains("insufficient fee"), "{:?}", truth.dropped);
    let (code, text) = broadcast(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    assert!(code == 13 && text.contains("required: 15000000uallo, minGasPrice: 30.0000"), "{text}");
}

#[test]
fn a_rejected_broadcast_is_never_in_a_block() {
    let (chain, wallet) = open();
    assert_eq!(broadcast(&chain, &submission(&wallet, 5, NONCE, "0.5")).0, 32);
    chain.block();
    let truth = chain.truth();
    assert!(truth.included.is_empty());
    assert!(matches!(truth.broadcasts[0].reception, Reception::Refused(_)));
}

#[test]
fn the_truth_tells_two_fees_for_one_registration() {
    let (chain, wallet) = chain_with(|options| topic_rules(&mut options.genesis).registered.clear());
    for sequence in 0..2 {
        include(&chain, &Draft::new(&wallet, NUMBER, sequence, registration(10, 67, &wallet.address)));
    }
    let truth = chain.truth();
    assert_eq!(truth.paid_twice(), [(wallet.address.clone(), Purpose::Registration { topic: 67 })]);
    assert!(truth.done_twice().is_empty());
    assert!(matches!(truth.included[0].effect, Some(Effect::Registered { .. })));
    assert_eq!(truth.fees(&wallet.address), 10_000_000);
}

#[test]
fn the_truth_can_be_written_as_json() {
    let (chain, wallet) = open();
    include(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    let json = serde_json::to_value(chain.truth()).unwrap();
    assert_eq!(json["included"][0]["fee"], 5_000_000);
    assert_eq!(json["accounts"][&wallet.address]["sequence"], 1);
}

#[test]
fn blocks_come_on_their_own_in_automatic_mode() {
    let (chain, _) = chain_with(|options| {
        *options = Options::automatic(options.genesis.clone(), std::time::Duration::from_millis(5));
    });
    within_seconds(20, || chain.height() >= 1_003);
}

#[test]
fn block_time_is_counted_or_given() {
    let counted = chain().0;
    let began = counted.truth().time_ms;
    counted.block();
    assert_eq!(counted.truth().time_ms, began + 5_000);
    let (given, _) = chain_with(|options| options.now = Some(std::sync::Arc::new(|| 1_900_000_000_000)));
    given.block();
    given.block();
    assert_eq!(given.truth().time_ms, 1_900_000_000_001, "time goes on also when the clock stands");
}

#[test]
fn a_genesis_is_read_from_json_and_knows_no_other_keys() {
    let genesis = serde_json::from_str(r#"{ "chain_id": "localnet", "emissions": "v9", "rules": { "gas_price": 7 } }"#);
    let chain = Chain::start(Options::by_hand(genesis.unwrap())).unwrap();
    assert_eq!(chain.truth().chain_id, "localnet");
    assert!(serde_json::from_str::<sentinel_testbed::chain::Genesis>(r#"{ "chain": "x" }"#).is_err());
}
