//! One node: what is read of its answers, and what is refused.

use std::time::Duration;

use data_encoding::BASE64;
use sentinel::http::{CallError, RetryAfter};
use sentinel::venues::allora::rpc::{CheckTx, Delivered, Event, Lookup, Rpc, RpcError};
use sentinel::venues::allora::signing::TxHash;
use sentinel_actors::domain::time::UtcMs;
use serde_json::{Value, json};

use super::node::{Node, Reply, check_tx, not_found, query_answer, query_refused, status, status_of};
use super::{CHAIN, until};

const TRANSACTION: &[u8] = b"a signed transaction";

fn rpc(node: &Node) -> Rpc {
    Rpc::new(node.url()).unwrap()
}

fn unreadable<T: std::fmt::Debug>(answer: Result<T, RpcError>) {
    assert!(matches!(answer, Err(RpcError::Unreadable(_))), "{answer:?}");
}

/// A node with one answer for everything.
fn always(reply: Reply) -> Node {
    Node::with(100, move |_, _| Some(reply.clone()))
}

#[tokio::test]
async fn what_a_node_says_about_itself_is_read() {
    let node = always(Reply::Result(status_of(CHAIN, 123, "2027-01-15T08:00:00.123456789Z", true)));
    let read = rpc(&node).status(until()).await.unwrap();
    assert_eq!((read.chain_id.as_str(), read.height, read.catching_up), (CHAIN, 123, true));
    assert_eq!(read.time, UtcMs(1_800_000_000_123));
}

#[tokio::test]
async fn a_query_goes_in_hexadecimal_and_comes_back_in_base64() {
    let node = always(query_answer(77, &[8, 1]));
    let answer = rpc(&node).abci_query("/a.Query/B", &[0xAB, 0x01], until()).await.unwrap();
    assert_eq!((answer.code, answer.value, answer.height), (0, vec![8, 1], 77));
    assert_eq!(node.params("abci_query")[0]["data"], "ab01");
    let refused = rpc(&always(query_refused(22, "not\nfound"))).abci_query("/a", &[], until()).await.unwrap();
    assert_eq!((refused.code, &*refused.codespace, &*refused.log), (22, "sdk", "not found"));
    assert!(refused.value.is_empty());
}

#[tokio::test]
async fn truncated_json_is_an_error_that_says_so() {
    let broken = always(Reply::BrokenOff(status(100)));
    let error = rpc(&broken).status(until()).await.unwrap_err();
    assert!(matches!(error, RpcError::Call(CallError::Unavailable(_))), "{error:?}");
    let half = always(Reply::Raw("200 OK", "", r#"{"jsonrpc":"2.0","result":{"node_info":{"#.to_owned()));
    let error = rpc(&half).status(until()).await.unwrap_err();
    assert!(error.to_string().starts_with("its answer is not that of a CometBFT node: EOF"), "{error}");
}

#[tokio::test]
async fn an_answer_without_a_code_is_no_success() {
    unreadable(rpc(&always(Reply::Result(json!({ "log": "" })))).broadcast_tx_sync(TRANSACTION, until()).await);
    unreadable(rpc(&always(Reply::Result(json!({ "response": {} })))).abci_query("/a", &[], until()).await);
    let hash = TxHash::of(TRANSACTION);
    let found = json!({ "hash": hash.to_string(), "height": "5", "tx_result": {} });
    unreadable(rpc(&always(Reply::Result(found))).tx(hash, until()).await);
    unreadable(rpc(&always(Reply::Raw("200 OK", "", "{}".to_owned()))).status(until()).await);
    unreadable(rpc(&always(Reply::Raw("200 OK", "", r#"{"result":null}"#.to_owned()))).status(until()).await);
}

#[tokio::test]
async fn an_error_of_the_node_counts_whatever_its_status_is() {
    let body = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"Internal error","data":"height 9 is not available"}}"#;
    let node = always(Reply::Raw("500 Internal Server Error", "", body.to_owned()));
    let error = rpc(&node).block(9, until()).await.unwrap_err();
    let text = "Internal error: height 9 is not available".to_owned();
    assert_eq!(error, RpcError::Refused { code: -32_603, text });
}

#[tokio::test]
async fn a_proxy_that_limits_says_for_how_long() {
    let node = always(Reply::Raw("429 Too Many Requests", "Retry-After: 7\r\n", "slow down".to_owned()));
    let retry_after = Some(RetryAfter::Wait(Duration::from_secs(7)));
    let expected = RpcError::Status { status: 429, text: "slow down".to_owned(), retry_after };
    assert_eq!(rpc(&node).status(until()).await.unwrap_err(), expected);
}

#[tokio::test]
async fn a_transaction_is_found_not_found_or_not_indexed() {
    let hash = TxHash::of(TRANSACTION);
    let result = json!({ "code": 11, "log": "out of gas", "codespace": "sdk", "gas_wanted": "200", "gas_used": "210" });
    let found = json!({ "hash": hash.to_string(), "height": "41", "index": 0, "tx_result": result, "tx": "" });
    let node = always(Reply::Result(found));
    let expected = Delivered {
        height: 41,
        code: 11,
        codespace: "sdk".to_owned(),
        log: "out of gas".to_owned(),
        gas_wanted: 200,
        gas_used: 210,
    };
    assert_eq!(rpc(&node).tx(hash, until()).await.unwrap(), Lookup::Found(expected));
    let sent = BASE64.decode(node.params("tx")[0]["hash"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(data_encoding::HEXUPPER.encode(&sent), hash.to_string());
    assert_eq!(rpc(&always(not_found("AB"))).tx(hash, until()).await.unwrap(), Lookup::NotFound);
    let off = Reply::Fault(-32_603, "Internal error", "transaction indexing is disabled".to_owned());
    assert_eq!(rpc(&always(off)).tx(hash, until()).await.unwrap(), Lookup::NoIndex);
}

#[tokio::test]
async fn an_answer_about_another_transaction_or_block_is_refused() {
    let other = json!({ "hash": TxHash::of(b"other").to_string(), "height": "41", "tx_result": { "code": 0 } });
    unreadable(rpc(&always(Reply::Result(other))).tx(TxHash::of(TRANSACTION), until()).await);
    let header = json!({ "header": { "height": "8", "time": "2027-01-15T08:00:00Z" } });
    unreadable(rpc(&always(Reply::Result(header))).header(9, until()).await);
    let results = json!({ "height": "8", "txs_results": null });
    unreadable(rpc(&always(Reply::Result(results))).block_results(9, until()).await);
}

#[tokio::test]
async fn a_node_without_headers_is_asked_for_the_block() {
    let node = Node::with(100, |method, _| match method {
        "block" => Some(Reply::Result(block(9, &[]))),
        _ => None,
    });
    let header = rpc(&node).header(9, until()).await.unwrap();
    assert_eq!((header.height, header.time), (9, UtcMs(1_800_000_000_000)));
    assert_eq!((node.asked("header"), node.asked("block")), (1, 1));
}

fn block(height: u64, transactions: &[&[u8]]) -> Value {
    let txs: Vec<String> = transactions.iter().map(|bytes| BASE64.encode(bytes)).collect();
    let txs = if txs.is_empty() { Value::Null } else { json!(txs) };
    let header = json!({ "chain_id": CHAIN, "height": height.to_string(), "time": "2027-01-15T08:00:00Z" });
    json!({ "block_id": {}, "block": { "header": header, "data": { "txs": txs } } })
}

#[tokio::test]
async fn a_block_and_what_it_has_done_are_read() {
    let node = Node::with(100, |method, _| match method {
        "block" => Some(Reply::Result(block(9, &[b"one", TRANSACTION]))),
        "block_results" => Some(Reply::Result(json!({
            "height": "9",
            "txs_results": [
                { "code": 0, "gas_wanted": "1", "gas_used": "1" },
                { "code": 5, "codespace": "sdk", "log": "", "gas_wanted": "1", "gas_used": "1" },
            ],
            "finalize_block_events": [{
                "type": "emissions.v10.EventWorkerSubmissionWindowOpened",
                "attributes": [{ "key": "topic_id", "value": "\"67\"", "index": true }, { "key": "mode", "value": null }],
            }],
        }))),
        _ => None,
    });
    let read = rpc(&node).block(9, until()).await.unwrap();
    assert_eq!(read.transactions, [b"one".to_vec(), TRANSACTION.to_vec()]);
    let results = rpc(&node).block_results(9, until()).await.unwrap();
    assert_eq!(results.transactions.iter().map(|tx| (tx.height, tx.code)).collect::<Vec<_>>(), [(9, 0), (9, 5)]);
    let attributes = [("topic_id", "\"67\""), ("mode", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let kind = "emissions.v10.EventWorkerSubmissionWindowOpened".to_owned();
    assert_eq!(results.events, [Event { kind, attributes: attributes.to_vec() }]);
}

#[tokio::test]
async fn the_errors_of_a_mempool_have_the_codes_of_the_sdk() {
    for (text, code) in [
        ("tx already exists in cache", 19),
        ("mempool is full: number of txs 5000 (max: 5000), total txs bytes 1 (max: 2)", 20),
        ("Tx too large. Max size is 1048576, but got 1048577", 21),
    ] {
        let node = always(Reply::Fault(-32_603, "Internal error", text.to_owned()));
        let answer = rpc(&node).broadcast_tx_sync(TRANSACTION, until()).await.unwrap();
        assert_eq!((answer.code, &*answer.codespace), (code, "sdk"), "{}", answer.log);
    }
    let other = always(Reply::Fault(-32_603, "Internal error", "broadcast confirmation not received".to_owned()));
    assert!(matches!(rpc(&other).broadcast_tx_sync(TRANSACTION, until()).await, Err(RpcError::Refused { .. })));
}

#[tokio::test]
async fn a_transaction_is_offered_at_most_once_and_a_question_again() {
    let node = Node::at(100);
    let rpc = rpc(&node);
    rpc.status(until()).await.unwrap();
    // The connection is kept; the node ends it when the next request comes.
    let mut first = true;
    node.follow(move |_, _| std::mem::take(&mut first).then_some(Reply::Drop));
    rpc.status(until()).await.unwrap();
    assert_eq!(node.asked("status"), 3);
    node.follow(|_, _| Some(Reply::Drop));
    let error = rpc.broadcast_tx_sync(TRANSACTION, until()).await.unwrap_err();
    assert!(!error.has_not_arrived(), "{error:?}");
    assert_eq!(node.asked("broadcast_tx_sync"), 1);
}

#[tokio::test]
async fn only_what_surely_reached_nobody_counts_as_not_arrived() {
    let mut node = Node::at(100);
    let (rpc, offer) = (rpc(&node), async |rpc: &Rpc| rpc.broadcast_tx_sync(TRANSACTION, until()).await);
    for (status, has_not_arrived) in
        [("429 x", true), ("403 x", true), ("502 x", false), ("504 x", false), ("500 x", false)]
    {
        node.follow(move |_, _| Some(Reply::Raw(status, "", String::new())));
        assert_eq!(offer(&rpc).await.unwrap_err().has_not_arrived(), has_not_arrived, "{status}");
    }
    node.follow(|_, _| Some(check_tx(0, "")));
    let taken = CheckTx { code: 0, codespace: "sdk".to_owned(), log: String::new() };
    assert_eq!(offer(&rpc).await, Ok(taken));
    node.down();
    let fresh = Rpc::new(node.url()).unwrap();
    assert!(offer(&fresh).await.unwrap_err().has_not_arrived());
}
