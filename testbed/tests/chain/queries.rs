//! Queries through `abci_query`: their replies, and how an error is told.

use data_encoding::BASE64;
use serde_json::json;

use crate::proto::{bytes, number, text};
use crate::support::{
    NONCE, NUMBER, call, chain, chain_with, emissions, get, include, of_height, of_worker, open, query, query_of,
    sequence_at, submission,
};
use crate::wallet::Wallet;

const ACCOUNT: &str = "/cosmos.auth.v1beta1.Query/AccountInfo";

#[test]
fn an_account_is_told_with_number_sequence_and_key() {
    let (chain, wallet) = open();
    let info = query(&chain, ACCOUNT, &text(1, &wallet.address)).unwrap().message(1);
    assert_eq!((info.text(1), info.number(3), info.number(4)), (wallet.address.clone(), NUMBER, 0));
    assert!(info.all(2).is_empty());
    include(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    let info = query(&chain, ACCOUNT, &text(1, &wallet.address)).unwrap().message(1);
    assert_eq!((info.number(4), info.message(2).text(1)), (1, "/cosmos.crypto.secp256k1.PubKey".to_owned()));
    let any = query(&chain, "/cosmos.auth.v1beta1.Query/Account", &text(1, &wallet.address)).unwrap().message(1);
    assert_eq!(any.text(1), "/cosmos.auth.v1beta1.BaseAccount");
    assert_eq!(any.message(2), info);
}

#[test]
fn an_account_that_does_not_exist_has_code_22_and_no_money() {
    let (chain, _) = chain();
    let stranger = Wallet::new(9).address;
    let (code, log) = query(&chain, ACCOUNT, &text(1, &stranger)).unwrap_err();
    assert_eq!(
        (code, log),
        (22, format!("rpc error: code = NotFound desc = account {stranger} not found: key not found"))
    );
    let coin = query(&chain, "/cosmos.bank.v1beta1.Query/Balance", &[text(1, &stranger), text(2, "uallo")].concat());
    assert_eq!(coin.unwrap().message(1).text(2), "0");
}

#[test]
fn each_kind_of_error_has_the_code_that_the_sdk_gives_it() {
    let (chain, wallet) = open();
    assert_eq!(query(&chain, ACCOUNT, &text(1, "allo1nonsense")).unwrap_err().0, 18);
    assert_eq!(query(&chain, ACCOUNT, &[0xff]).unwrap_err().0, 18);
    let unknown = (6, "unknown query path: unknown request".to_owned());
    assert_eq!(query(&chain, "/emissions.v9.QueryService/GetParams", b"").unwrap_err(), unknown);
    assert_eq!(query(&chain, "/emissions.v10.QueryService/GetNothing", &number(1, 67)).unwrap_err(), unknown);
    assert_eq!(query(&chain, "nothing", b"").unwrap_err(), unknown);
    let simulated = bytes(2, &submission(&wallet, 4, NONCE, "0.5").unsigned());
    let (code, log) = query(&chain, "/cosmos.tx.v1beta1.Service/Simulate", &simulated).unwrap_err();
    assert_eq!(
        (code, log.starts_with("rpc error: code = Unknown desc = account sequence mismatch, expected 0, got 4")),
        (6, true)
    );
    assert_eq!(query(&chain, "/cosmos.tx.v1beta1.Service/Simulate", b"").unwrap_err().0, 18);
    assert_eq!(emissions(&chain, "GetTopic", &number(1, 99)).unwrap_err().0, 22);
}

#[test]
fn a_balance_and_a_price_are_texts_of_any_size() {
    let (chain, wallet) = chain();
    chain.set_balance(&wallet.address, 10_u128.pow(27));
    let coin =
        query(&chain, "/cosmos.bank.v1beta1.Query/Balance", &[text(1, &wallet.address), text(2, "uallo")].concat());
    assert_eq!(coin.unwrap().message(1).text(2), "1000000000000000000000000000");
    let price = query(&chain, "/feemarket.feemarket.v1.Query/GasPrice", &text(1, "uallo")).unwrap().message(1);
    assert_eq!((price.text(1), price.text(2)), ("uallo".to_owned(), "10000000000000000000".to_owned()));
    assert_eq!(query(&chain, "/feemarket.feemarket.v1.Query/GasPrice", &text(1, "uatom")).unwrap_err().0, 6);
    let params = query(&chain, "/feemarket.feemarket.v1.Query/Params", b"").unwrap().message(1);
    assert_eq!((params.text(5), params.text(10)), ("10000000000000000000".to_owned(), "uallo".to_owned()));
    let state = query(&chain, "/feemarket.feemarket.v1.Query/State", b"").unwrap().message(1);
    assert_eq!(state.text(1), "10000000000000000000");
}

#[test]
fn a_topic_is_told_with_its_arity() {
    let (chain, wallet) = chain();
    let topic = emissions(&chain, "GetTopic", &number(1, 67)).unwrap().message(1);
    assert_eq!((topic.number(1), topic.number(9), topic.number(17), topic.number(24)), (67, 20, 10, 1));
    let yes = |method: &str| emissions(&chain, method, &of_worker(&wallet.address)).unwrap().number(1);
    assert_eq!((yes("TopicExists"), yes("IsTopicActive"), yes("IsWorkerRegisteredInTopicId")), (1, 1, 1));
    assert_eq!((yes("CanSubmitWorkerPayload"), yes("IsTopicWorkerWhitelistEnabled")), (1, 0));
    assert_eq!(yes("GetNextChurningBlockByTopicId"), 1_005);
    assert_eq!(emissions(&chain, "TopicExists", &number(1, 9)).unwrap().number(1), 0);
    assert_eq!(emissions(&chain, "IsWhitelistedGlobalWorker", &text(1, &wallet.address)).unwrap().number(1), 0);
    chain.topic(67, |rules| rules.whitelist = Some(vec![Wallet::new(2).address]));
    let yes = |method: &str| emissions(&chain, method, &of_worker(&wallet.address)).unwrap().number(1);
    assert_eq!((yes("CanSubmitWorkerPayload"), yes("IsTopicWorkerWhitelistEnabled")), (0, 1));
    assert_eq!(yes("IsWhitelistedTopicWorker"), 0);
}

#[test]
fn fees_and_limits_of_the_module_are_among_its_parameters() {
    let (chain, _) = chain();
    let params = emissions(&chain, "GetParams", b"").unwrap().message(1);
    assert_eq!(
        (params.text(28), params.text(44), params.number(2), params.number(31)),
        ("200".into(), "10".into(), 1_000_000, 6)
    );
}

#[test]
fn network_inferences_are_those_of_the_last_closed_window() {
    let (chain, wallet) = open();
    assert_eq!(emissions(&chain, "GetLatestNetworkInferences", &number(1, 67)).unwrap_err().0, 22);
    chain.rival(67, NONCE, &Wallet::new(2).address, "0.25", 0.1).unwrap();
    include(&chain, &submission(&wallet, 0, NONCE, "0.75"));
    let lowest = emissions(&chain, "GetCurrentLowestInfererScore", &number(1, 67)).unwrap().message(1);
    assert_eq!(lowest.text(3), wallet.address);
    chain.blocks_to(NONCE + 10);
    let latest = emissions(&chain, "GetLatestNetworkInferences", &number(1, 67)).unwrap();
    assert_eq!(latest.number(5), 1_005);
    assert_eq!(latest.message(1).message(3).text(3), "0.5");
    assert_eq!(latest.message(1).all(4).len(), 2);
    assert!(emissions(&chain, "GetNetworkInferencesAtBlock", &of_height(NONCE)).is_ok());
    let commit = emissions(&chain, "GetTopicLastWorkerCommitInfo", &number(1, 67)).unwrap().message(1);
    assert_eq!((commit.number(1), commit.message(3).number(1)), (1_015, 1_005));
}

#[test]
fn a_query_may_ask_for_an_earlier_height_and_not_for_a_later_one() {
    let (chain, wallet) = open();
    include(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    let at = |height: i64| query_of(&chain, 0, ACCOUNT, &text(1, &wallet.address), height);
    assert_eq!(at(1_005).unwrap().message(1).number(4), 0);
    assert_eq!(at(1_006).unwrap().message(1).number(4), 1);
    assert!(at(1_007).is_err_and(|(_, text)| text.contains("failed to load state at height 1007")));
    assert_eq!(sequence_at(&chain, 0, &wallet.address), 1);
}

#[test]
fn data_may_be_hex_or_base64_and_come_by_a_query_string() {
    let (chain, wallet) = chain();
    let data = text(1, &wallet.address);
    let by_base64 = call(&chain, 0, "abci_query", &json!({ "path": ACCOUNT, "data": BASE64.encode(&data) }));
    let hex = data_encoding::HEXLOWER.encode(&data);
    let (status, by_uri) = get(&chain, 0, &format!("/abci_query?path=%22{ACCOUNT}%22&data=0x{hex}"));
    assert_eq!(status, 200);
    assert_eq!(by_base64["result"], by_uri["result"]);
    assert_eq!(by_uri["result"]["response"]["code"], 0);
    assert_eq!(by_uri["result"]["response"]["height"], "1000");
}

#[test]
fn node_and_block_are_told_by_the_service_of_cometbft() {
    let (chain, _) = chain();
    let service = "/cosmos.base.tendermint.v1beta1.Service";
    let node = query(&chain, &format!("{service}/GetNodeInfo"), b"").unwrap();
    assert_eq!(
        (node.message(1).text(4), node.message(2).text(3)),
        ("allora-testnet-1".to_owned(), "v0.17.0".to_owned())
    );
    let header = query(&chain, &format!("{service}/GetLatestBlock"), b"").unwrap().message(3).message(1);
    assert_eq!(
        (header.text(2), header.number(3), header.message(4).number(1)),
        ("allora-testnet-1".into(), 1_000, 1_790_000_000)
    );
    chain.view(0, |view| view.catching_up = true);
    assert_eq!(query(&chain, &format!("{service}/GetSyncing"), b"").unwrap().number(1), 1);
}

#[test]
fn a_node_may_lack_the_services_of_transactions_and_of_cometbft() {
    let (chain, wallet) = chain_with(|options| options.nodes = 2);
    chain.view(1, |view| view.has_services = false);
    let unknown = (6, "unknown query path: unknown request".to_owned());
    let data = bytes(2, &submission(&wallet, 0, NONCE, "0.5").unsigned());
    assert_eq!(query_of(&chain, 1, "/cosmos.tx.v1beta1.Service/Simulate", &data, 0).unwrap_err(), unknown);
    assert_eq!(
        query_of(&chain, 1, "/cosmos.base.tendermint.v1beta1.Service/GetNodeInfo", b"", 0).unwrap_err(),
        unknown
    );
    assert!(query_of(&chain, 1, ACCOUNT, &text(1, &wallet.address), 0).is_ok());
    assert_ne!(query_of(&chain, 0, "/cosmos.tx.v1beta1.Service/Simulate", &data, 0).unwrap_err(), unknown);
}

#[test]
fn a_transaction_is_found_by_its_hash_through_the_service_too() {
    let (chain, wallet) = open();
    let draft = submission(&wallet, 0, NONCE, "0.5");
    let hash = sentinel_testbed::chain::hash_of(&draft.bytes());
    let path = "/cosmos.tx.v1beta1.Service/GetTx";
    let (code, log) = query(&chain, path, &text(1, &hash)).unwrap_err();
    assert!(code == 22 && log.contains(&format!("tx not found: {hash}")), "{log}");
    include(&chain, &draft);
    let reply = query(&chain, path, &text(1, &hash)).unwrap();
    let response = reply.message(2);
    assert_eq!((response.number(1), response.text(2), response.number(4)), (1_006, hash, 0));
    assert_eq!(reply.message(1).all(3), [draft.signature()]);
}
