//! CheckTx: each thing that can be wrong, its code and its text, and the order of the checks.

use sentinel_testbed::chain::{Purpose, Reception, least_fee};

use crate::proto::{number, text};
use crate::support::{NONCE, NUMBER, accept, broadcast, broadcast_to, chain, chain_with, include, open, submission};
use crate::wallet::{Draft, Payload, Wallet, any, high_s, registration};

/// Demands that a changed transaction is refused with this code and a text that holds this.
#[track_caller]
fn refused(change: impl FnOnce(&mut Draft), code: u64, holds: &str) {
    let (chain, wallet) = open();
    let (got, text) = broadcast(&chain, &submission(&wallet, 0, NONCE, "0.5").with(change));
    assert!((got, text.contains(holds)) == (code, true), "{got} {text}");
    assert!(chain.truth().pending.is_empty());
    accept(&chain, &submission(&wallet, 0, NONCE, "0.5"));
}

#[test]
fn a_good_transaction_is_taken_and_its_hash_is_told() {
    let (chain, wallet) = open();
    let draft = submission(&wallet, 0, NONCE, "0.5");
    accept(&chain, &draft);
    let truth = chain.truth();
    let [one] = &truth.broadcasts[..] else { panic!("{truth:?}") };
    assert_eq!((&one.reception, one.sequence, &one.payer), (&Reception::Accepted, Some(0), &wallet.address));
    assert_eq!(one.purpose, Purpose::Submission { topic: 67, nonce: NONCE, worker: wallet.address.clone() });
    assert_eq!(truth.pending, std::slice::from_ref(&one.hash));
}

#[test]
fn fields_that_a_message_does_not_have_are_refused() {
    refused(|draft| draft.more_body = number(9, 1), 2, "errUnknownField");
    refused(|draft| draft.more_raw = number(4, 1), 2, "errUnknownField");
    let (chain, wallet) = open();
    let payload = Payload::new(&wallet, NONCE, "1").with(|payload| payload.more_inference = text(8, "x"));
    let (code, text) = broadcast(&chain, &Draft::new(&wallet, NUMBER, 0, payload.message()));
    assert!(code == 2 && text.contains("InputInference"), "{text}");
}

#[test]
fn outer_bytes_in_another_encoding_are_refused() {
    // An empty third signature field in front is valid protobuf, and not ADR-027.
    let (chain, wallet) = open();
    let bytes = submission(&wallet, 0, NONCE, "0.5").bytes();
    let turned = [&bytes[bytes.len() - 66..], &bytes[..bytes.len() - 66]].concat();
    let (code, text) = broadcast_to(&chain, 0, &turned);
    assert!(code == 2 && text.contains("ADR-027"), "{text}");
}

#[test]
fn messages_of_another_version_or_kind_cannot_be_resolved() {
    for url in ["/emissions.v9.RegisterRequest", "/emissions.v11.RegisterRequest", "/cosmos.bank.v1beta1.MsgSend"] {
        refused(|draft| draft.messages = vec![any(url, b"")], 2, &format!("unable to resolve type URL {url}"));
    }
}

#[test]
fn a_value_that_is_no_finite_number_is_refused_before_the_mempool() {
    for value in ["NaN", "Infinity", "1.2.3", "0x1", " 1"] {
        let (chain, wallet) = open();
        let (code, text) = broadcast(&chain, &submission(&wallet, 0, NONCE, value));
        assert!(code == 2 && text.contains("invalid decimal"), "{value}: {code} {text}");
    }
}

#[test]
fn a_transaction_has_one_message_of_a_valid_sender() {
    refused(|draft| (draft.messages.clear(), draft.memo = "x".to_owned()).0, 18, "invalid request");
    refused(|draft| draft.messages.push(draft.messages[0].clone()), 18, "exactly one");
    refused(|draft| draft.messages = vec![registration(10, 67, "cosmos1abc")], 7, "invalid address");
}

#[test]
fn a_timeout_is_compared_with_the_last_committed_height() {
    let (chain, wallet) = open();
    let at = |timeout: u64| submission(&wallet, 0, NONCE, "0.5").with(|draft| draft.timeout = timeout);
    let (code, text) = broadcast(&chain, &at(1_004));
    assert_eq!((code, &*text), (30, "sdk: block height: 1005, timeout height: 1004: tx timeout height"));
    accept(&chain, &at(1_005));
}

#[test]
fn a_memo_has_256_bytes_at_most() {
    refused(|draft| draft.memo = "x".repeat(257), 12, "memo too large");
    let (chain, wallet) = open();
    accept(&chain, &submission(&wallet, 0, NONCE, "0.5").with(|draft| draft.memo = "x".repeat(256)));
}

#[test]
fn gas_that_does_not_carry_the_bytes_runs_out_in_the_check() {
    refused(|draft| draft.gas = 60_000, 11, "out of gas in location: txSize; gasWanted: 60000, gasUsed: ");
    refused(|draft| draft.gas = 0, 41, "must provide positive gas");
}

#[test]
fn the_public_key_must_be_that_of_the_sender() {
    refused(|draft| draft.public_key = Wallet::new(2).public_key(), 8, "pubKey does not match signer address");
    refused(|draft| draft.public_key.truncate(32), 8, "invalid pubkey");
}

#[test]
fn an_account_that_has_no_money_yet_is_unknown() {
    let (chain, _) = open();
    let stranger = Wallet::new(3);
    let (code, text) = broadcast(&chain, &submission(&stranger, 0, NONCE, "0.5"));
    assert_eq!((code, text), (9, format!("sdk: account {} does not exist: unknown address", stranger.address)));
}

#[test]
fn a_sequence_must_be_the_next_one_of_the_mempool_too() {
    let expected = "sdk: account sequence mismatch, expected 0, got 3: incorrect account sequence";
    refused(|draft| draft.sequence = 3, 32, expected);
    let (chain, wallet) = open();
    accept(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    let (code, text) = broadcast(&chain, &submission(&wallet, 0, NONCE, "0.6"));
    assert!(code == 32 && text.contains("expected 1, got 0"), "{text}");
    accept(&chain, &submission(&wallet, 1, NONCE, "0.6"));
}

#[test]
fn the_signature_is_over_these_bytes_this_chain_and_this_account() {
    let text = "signature verification failed; please verify account number (123456), sequence (0) and chain-id \
                (allora-testnet-1)";
    refused(|draft| draft.chain_id = "allora-mainnet-1".to_owned(), 4, text);
    refused(|draft| draft.number = 7, 4, text);
    refused(|draft| draft.mode = 127, 4, text);
    refused(|draft| draft.signatures = Some(vec![vec![1; 64]]), 4, text);
    refused(|draft| draft.signatures = Some(vec![draft.signature()[..63].to_vec()]), 4, text);
    refused(|draft| draft.signatures = Some(Vec::new()), 15, "no signatures");
    refused(|draft| draft.signatures = Some(vec![draft.signature(), draft.signature()]), 4, "invalid number of signer");
}

#[test]
fn a_signature_with_a_high_s_is_refused() {
    refused(|draft| draft.signatures = Some(vec![high_s(&draft.signature())]), 4, "signature verification failed");
}

#[test]
fn a_fee_is_one_coin_of_uallo_and_at_least_the_price() {
    let coin = |amount: &str| ("uallo", amount.to_owned());
    refused(|draft| draft.fee.clear(), 2, "feemarket: got length 0: no fee coin provided");
    refused(|draft| draft.fee = vec![coin("5000000"), coin("1")], 3, "feemarket: got length 2: too many fee coins");
    refused(|draft| draft.fee = vec![("uatom", "5000000".to_owned())], 18, "invalid fee coin");
    refused(
        |draft| draft.fee = vec![coin("4999999")],
        13,
        "sdk: got: 4999999uallo required: 5000000uallo, minGasPrice: 10.000000000000000000uallo, gas: 500000: \
         insufficient fee",
    );
    refused(|draft| draft.granter = draft.wallet.address.clone(), 18, "nobody else");
}

#[test]
fn a_price_that_is_no_whole_number_is_rounded_up() {
    let price = 10 * 10_u128.pow(18) + 1;
    assert_eq!(least_fee(price, 500_000), 5_000_001);
    assert_eq!(least_fee(u128::MAX, u64::MAX), u128::MAX);
    let (chain, wallet) = open();
    chain.rules(|rules| rules.gas_price = price);
    let (code, text) = broadcast(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    assert!(code == 13 && text.contains("required: 5000001uallo, minGasPrice: 10.000000000000000001uallo"), "{text}");
}

#[test]
fn a_fee_beyond_the_balance_is_refused_and_pending_ones_count() {
    let (chain, wallet) = open();
    chain.set_balance(&wallet.address, 9_999_999);
    accept(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    let (code, text) = broadcast(&chain, &submission(&wallet, 1, NONCE, "0.6"));
    assert_eq!(
        (code, &*text),
        (5, "sdk: spendable balance 4999999uallo is smaller than 5000000uallo: insufficient funds")
    );
    assert_eq!(chain.truth().accounts[&wallet.address].balance, 9_999_999, "a check takes nothing");
}

#[test]
fn of_two_faults_the_first_one_in_the_chains_order_decides() {
    let old = |draft: &mut Draft| draft.timeout = 1;
    let sequence = |draft: &mut Draft| draft.sequence = 9;
    let memo = |draft: &mut Draft| draft.memo = "x".repeat(300);
    let poor = |draft: &mut Draft| draft.fee = vec![("uallo", "1".to_owned())];
    let other_chain = |draft: &mut Draft| draft.chain_id = "x".to_owned();
    refused(|draft| (old(draft), memo(draft)).0, 30, "");
    refused(|draft| (memo(draft), sequence(draft)).0, 12, "");
    refused(|draft| (sequence(draft), other_chain(draft), poor(draft)).0, 32, "");
    refused(|draft| (other_chain(draft), poor(draft)).0, 4, "");
}

#[test]
fn the_same_bytes_are_in_the_cache_until_they_fail_or_vanish() {
    let (chain, wallet) = open();
    let draft = submission(&wallet, 0, NONCE, "0.5");
    accept(&chain, &draft);
    let cached = (u64::MAX, "tx already exists in cache".to_owned());
    assert_eq!(broadcast(&chain, &draft), cached);
    chain.block();
    assert_eq!(broadcast(&chain, &draft), cached, "also after its block");
    chain.restart(0).unwrap();
    let (code, text) = broadcast(&chain, &draft);
    assert!(code == 32 && text.contains("expected 1, got 0"), "{text}");
    let next = submission(&wallet, 1, NONCE, "0.6");
    accept(&chain, &next);
    assert_eq!(chain.evict(), 1);
    accept(&chain, &next);
}

#[test]
fn bytes_that_failed_in_their_block_are_checked_again() {
    let (chain, wallet) = open();
    let draft = submission(&wallet, 0, 999, "0.5");
    assert!(include(&chain, &draft).refusal.is_some());
    let (code, text) = broadcast(&chain, &draft);
    assert!(code == 32 && text.contains("expected 1, got 0"), "{text}");
}

#[test]
fn sizes_and_the_mempool_have_limits() {
    let (chain, wallet) = chain_with(|options| {
        options.genesis.rules.mempool_max = 1;
        options.genesis.rules.transaction_bytes_max = 1_000;
    });
    let draft = Draft::new(&wallet, NUMBER, 0, registration(10, 67, &wallet.address));
    let (code, text) = broadcast(&chain, &draft.clone().with(|draft| draft.memo = "x".repeat(1_000)));
    assert!(code == u64::MAX && text.starts_with("Tx too large. Max size is 1000, but got "), "{text}");
    accept(&chain, &draft);
    let (code, text) = broadcast(&chain, &draft.with(|draft| draft.sequence = 1));
    assert!(code == u64::MAX && text.starts_with("mempool is full: number of txs 1 (max: 1)"), "{text}");
}

#[test]
fn bytes_that_are_no_transaction_are_refused_and_recorded() {
    let (chain, _) = chain();
    for bytes in [&b""[..], b"\x00", b"hello", &[0xff; 100]] {
        let (code, text) = broadcast_to(&chain, 0, bytes);
        assert!(matches!(code, 2 | 18), "{code} {text}");
    }
    let truth = chain.truth();
    assert_eq!(truth.broadcasts.len(), 4);
    assert_eq!(truth.broadcasts[2].purpose, Purpose::Unreadable);
}
