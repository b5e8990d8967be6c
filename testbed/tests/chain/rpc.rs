//! CometBFT's JSON-RPC: its forms of calls, answers and errors.

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::support::{NONCE, call, chain, get, include, open, parts, post, raw, request, status, submission, tx_at};

#[test]
fn a_status_tells_chain_height_and_time() {
    let (chain, _) = chain();
    chain.block();
    let status = status(&chain, 0);
    assert_eq!(status["node_info"]["network"], "allora-testnet-1");
    assert_eq!(status["sync_info"]["latest_block_height"], "1001");
    assert_eq!(status["sync_info"]["latest_block_time"], "2026-09-21T14:13:25Z");
    assert_eq!(status["sync_info"]["catching_up"], false);
    assert_eq!(call(&chain, 0, "abci_info", &json!({}))["result"]["response"]["last_block_height"], "1001");
    assert_eq!(call(&chain, 0, "health", &json!({}))["result"], json!({}));
}

#[test]
fn an_answer_has_the_id_of_its_call() {
    let (chain, _) = chain();
    for id in [json!(7), json!("a"), json!(0)] {
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": "health", "params": {} }).to_string();
        let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        let (_, _, answer) = parts(&raw(chain.rpc_address(0), head.as_bytes()));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((&answer["id"], &answer["jsonrpc"]), (&id, &json!("2.0")));
    }
}

#[test]
fn a_connection_serves_several_calls() {
    let (chain, _) = chain();
    let keeps = String::from_utf8(request("health", &json!({}))).unwrap().replace("Connection: close\r\n", "");
    let both = [keeps.as_bytes(), &request("status", &json!({}))].concat();
    let answer = String::from_utf8(raw(chain.rpc_address(0), &both)).unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2);
}

#[test]
fn calls_that_are_wrong_get_the_errors_of_json_rpc() {
    let (chain, _) = chain();
    let code = |method: &str, params: Value| call(&chain, 0, method, &params)["error"]["code"].clone();
    assert_eq!(code("dance", json!({})), -32_601);
    assert_eq!(code("tx", json!({ "hash": "%%" })), -32_602);
    assert_eq!(code("header", json!({ "height": "high" })), -32_602);
    let (_, _, body) =
        parts(&raw(chain.rpc_address(0), b"POST / HTTP/1.1\r\nContent-Length: 1\r\nConnection: close\r\n\r\n{"));
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["error"]["code"], -32_700);
    assert_eq!(get(&chain, 0, "/dance").0, 500, "a query string's error has a status of its own");
    assert_eq!(parts(&raw(chain.rpc_address(0), b"PUT / HTTP/1.1\r\nConnection: close\r\n\r\n")).0, 405);
}

#[test]
fn a_transaction_is_found_after_its_block_only() {
    let (chain, wallet) = open();
    let draft = submission(&wallet, 0, NONCE, "0.5");
    let hash = sentinel_testbed::chain::hash_of(&draft.bytes());
    crate::support::accept(&chain, &draft);
    let error = &tx_at(&chain, 0, &draft.bytes())["error"];
    assert_eq!((&error["code"], &error["data"]), (&json!(-32_603), &json!(format!("tx ({hash}) not found"))));
    chain.block();
    let found = tx_at(&chain, 0, &draft.bytes())["result"].clone();
    assert_eq!(
        (&found["hash"], &found["height"], &found["tx_result"]["code"]),
        (&json!(hash), &json!("1006"), &json!(0))
    );
    assert_eq!(found["tx"], BASE64.encode(&draft.bytes()));
    let (_, by_uri) = get(&chain, 0, &format!("/tx?hash=0x{hash}"));
    assert_eq!(by_uri["result"], found);
}

#[test]
fn a_failed_transaction_is_found_with_its_code() {
    let (chain, wallet) = open();
    let draft = submission(&wallet, 0, 999, "0.5");
    include(&chain, &draft);
    let result = &tx_at(&chain, 0, &draft.bytes())["result"]["tx_result"];
    assert_eq!((&result["code"], &result["codespace"]), (&json!(75), &json!("emissions")));
    assert_eq!(result["gas_wanted"], "500000");
}

#[test]
fn a_block_holds_its_transactions_and_the_results_their_codes() {
    let (chain, wallet) = open();
    let draft = submission(&wallet, 0, NONCE, "0.5");
    include(&chain, &draft);
    let at = |method: &str, height: &str| call(&chain, 0, method, &json!({ "height": height }));
    assert_eq!(at("block", "1006")["result"]["block"]["data"]["txs"], json!([BASE64.encode(&draft.bytes())]));
    assert_eq!(at("block_results", "1006")["result"]["txs_results"][0]["code"], 0);
    assert_eq!(at("block_results", "1005")["result"]["txs_results"], Value::Null);
    let header = at("header", "1005")["result"]["header"].clone();
    assert_eq!((&header["height"], &header["chain_id"]), (&json!("1005"), &json!("allora-testnet-1")));
    assert_eq!(header["time"], "2026-09-21T14:13:45Z");
    assert_eq!(at("block", "1005")["result"]["block"]["header"], header);
    let late = at("header", "1007")["error"]["data"].clone();
    assert_eq!(late, "height 1007 must be less than or equal to the current blockchain height 1006");
    assert!(at("block", "7")["error"]["data"].as_str().unwrap().contains("lowest height is 1000"));
}

#[test]
fn an_asynchronous_broadcast_says_nothing_of_the_check() {
    let (chain, wallet) = open();
    let tx = BASE64.encode(&submission(&wallet, 9, NONCE, "0.5").bytes());
    let answer = call(&chain, 0, "broadcast_tx_async", &json!({ "tx": tx }));
    assert_eq!(answer["result"]["code"], 0);
    assert!(chain.truth().pending.is_empty());
}

#[test]
fn every_request_is_in_the_log_with_what_was_said_to_its_transaction() {
    let (chain, wallet) = open();
    status(&chain, 0);
    crate::support::sequence_at(&chain, 0, &wallet.address);
    crate::support::accept(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    let log = chain.log();
    let names: Vec<(&str, &str)> = log.iter().map(|asked| (&*asked.method, &*asked.query)).collect();
    assert_eq!(names, [("status", ""), ("abci_query", "AccountInfo"), ("broadcast_tx_sync", "")]);
    assert!(log[2].hash.is_some() && log[2].reception == Some(sentinel_testbed::chain::Reception::Accepted));
    assert_eq!(post(&chain, 0, "health", &json!({})).0, 200);
    assert_eq!(chain.log().last().unwrap().number, 4);
}
