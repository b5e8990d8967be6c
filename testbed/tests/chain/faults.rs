//! Faults of a request: each is what its name says, and the truth says what was done all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use data_encoding::BASE64;
use sentinel_testbed::chain::{Chain, Fault, ScriptError};
use serde_json::{Value, json};

use crate::support::{
    NONCE, accept, broadcast, call, chain, elapsed_ms, include, open, parts, post, raw, request, sequence_at, simulate,
    submission, tx_at,
};
use crate::wallet::Draft;

fn send(chain: &Chain, draft: &Draft) -> Vec<u8> {
    raw(chain.rpc_address(0), &request("broadcast_tx_sync", &json!({ "tx": BASE64.encode(&draft.bytes()) })))
}

#[test]
fn a_lost_reply_is_of_a_transaction_that_lands() {
    let (chain, wallet) = open();
    chain.script(0, &["broadcast_tx_sync:lost-reply@1"]).unwrap();
    let draft = submission(&wallet, 0, NONCE, "0.5");
    assert!(send(&chain, &draft).is_empty());
    assert_eq!(broadcast(&chain, &draft).1, "tx already exists in cache");
    chain.block();
    assert_eq!(chain.truth().submission(&wallet.address, 67, NONCE).effects, 1);
    assert_eq!(chain.log()[0].fault, Some(Fault::LostReply));
}

#[test]
fn a_reset_leaves_nothing_done() {
    let (chain, wallet) = open();
    chain.script(0, &["broadcast_tx_sync:reset@1"]).unwrap();
    let draft = submission(&wallet, 0, NONCE, "0.5");
    assert!(send(&chain, &draft).is_empty());
    let truth = chain.truth();
    assert!(truth.pending.is_empty() && truth.broadcasts.is_empty());
    accept(&chain, &draft);
}

#[test]
fn http_errors_are_answered_with_their_status_and_when_to_try_again() {
    let (chain, _) = chain();
    chain.script(0, &["status:http=429/7@1", "status:http=502@2", "status:http=503@3"]).unwrap();
    let (status, head, _) = post(&chain, 0, "status", &json!({}));
    assert!(status == 429 && head.contains("Retry-After: 7"), "{head}");
    assert_eq!(post(&chain, 0, "status", &json!({})).0, 502);
    assert_eq!(post(&chain, 0, "status", &json!({})).0, 503);
    assert_eq!(post(&chain, 0, "status", &json!({})).0, 200);
}

#[test]
fn broken_bodies_are_broken_in_their_own_way() {
    let (chain, _) = chain();
    chain.script(0, &["status:truncated@1", "status:cut-off@2", "status:html@3", "status:error=boom@4"]).unwrap();
    let ask = || parts(&raw(chain.rpc_address(0), &request("status", &json!({}))));
    let length = |head: &str| -> usize {
        head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap()
    };
    let (_, head, body) = ask();
    assert!(body.len() == length(&head) && serde_json::from_str::<Value>(&body).is_err());
    let (_, head, body) = ask();
    assert!(body.len() < length(&head));
    let (status, head, body) = ask();
    assert!(status == 200 && head.contains("text/html") && body.contains("nginx"));
    assert_eq!(serde_json::from_str::<Value>(&ask().2).unwrap()["error"]["data"], "boom");
}

#[test]
fn a_request_that_hangs_is_answered_by_nobody_and_does_nothing() {
    let (chain, wallet) = open();
    chain.script(0, &["broadcast_tx_sync:hang"]).unwrap();
    let mut stream = std::net::TcpStream::connect(chain.rpc_address(0)).unwrap();
    let tx = BASE64.encode(&submission(&wallet, 0, NONCE, "0.5").bytes());
    std::io::Write::write_all(&mut stream, &request("broadcast_tx_sync", &json!({ "tx": tx }))).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    let read = std::io::Read::read(&mut stream, &mut [0; 1]);
    assert!(read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    assert!(chain.truth().broadcasts.is_empty());
}

#[test]
fn an_answer_may_come_late() {
    let (chain, _) = chain();
    chain.script(0, &["status:delay=60ms"]).unwrap();
    let began = elapsed_ms();
    assert_eq!(post(&chain, 0, "status", &json!({})).0, 200);
    assert!(elapsed_ms() - began >= 59);
}

#[test]
fn an_evicted_transaction_was_taken_and_never_lands() {
    let (chain, wallet) = open();
    chain.script(0, &["broadcast_tx_sync:evicted@1"]).unwrap();
    let draft = submission(&wallet, 0, NONCE, "0.5");
    accept(&chain, &draft);
    chain.block();
    let truth = chain.truth();
    assert!(truth.included.is_empty() && truth.dropped[0].why == "evicted");
    assert_eq!(sequence_at(&chain, 0, &wallet.address), 0);
    assert_eq!(include(&chain, &draft).refusal, None, "the same bytes are taken again");
}

#[test]
fn a_check_may_be_forced_to_a_code_and_a_mempool_to_be_full() {
    let (chain, wallet) = open();
    chain.script(0, &["broadcast_tx_sync:refused=sdk/20@1", "broadcast_tx_sync:full@2"]).unwrap();
    let draft = submission(&wallet, 0, NONCE, "0.5");
    assert_eq!(broadcast(&chain, &draft), (20, "sdk: forced: mempool is full".to_owned()));
    assert!(broadcast(&chain, &draft).1.starts_with("mempool is full: number of txs 0"));
    accept(&chain, &draft);
}

#[test]
fn the_price_jumps_between_simulation_and_broadcast() {
    let (chain, wallet) = open();
    chain.script(0, &["Simulate:then-price=25@1"]).unwrap();
    let draft = submission(&wallet, 0, NONCE, "0.5");
    assert!(simulate(&chain, &draft).is_ok());
    let (code, text) = broadcast(&chain, &draft);
    assert!(code == 13 && text.contains("required: 12500000uallo"), "{text}");
}

#[test]
fn blocks_may_come_between_two_requests() {
    let (chain, wallet) = open();
    chain.script(0, &["Simulate:then-blocks=10@1"]).unwrap();
    let draft = submission(&wallet, 0, NONCE, "0.5").with(|draft| draft.timeout = 1_014);
    assert!(simulate(&chain, &draft).is_ok());
    assert_eq!(chain.height(), 1_015);
    assert_eq!(broadcast(&chain, &draft).0, 30);
}

#[test]
fn a_node_may_tell_an_old_sequence() {
    let (chain, wallet) = open();
    include(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    chain.script(0, &["AccountInfo:old-sequence=1@1"]).unwrap();
    assert_eq!(sequence_at(&chain, 0, &wallet.address), 0);
    assert_eq!(sequence_at(&chain, 0, &wallet.address), 1);
}

#[test]
fn a_query_path_may_be_unknown_for_a_while() {
    let (chain, wallet) = open();
    chain.script(0, &["Simulate:unknown@1"]).unwrap();
    let draft = submission(&wallet, 0, NONCE, "0.5");
    assert_eq!(simulate(&chain, &draft).unwrap_err().1, "unknown query path: unknown request");
    assert!(simulate(&chain, &draft).is_ok());
}

#[test]
fn a_script_is_of_its_node_and_replaces_the_one_before() {
    let (chain, _) = crate::support::chain_with(|options| options.nodes = 2);
    chain.script(1, &["*:http=503"]).unwrap();
    assert_eq!(post(&chain, 0, "status", &json!({})).0, 200);
    assert_eq!(post(&chain, 1, "status", &json!({})).0, 503);
    chain.script(1, &[]).unwrap();
    assert_eq!(post(&chain, 1, "status", &json!({})).0, 200);
    assert!(matches!(chain.script(0, &["reset"]), Err(ScriptError::NoMethod(_))));
}

#[test]
fn a_transaction_is_not_found_so_often_after_its_block() {
    let (chain, wallet) = open();
    chain.view(0, |view| view.index_lag = 2);
    let draft = submission(&wallet, 0, NONCE, "0.5");
    include(&chain, &draft);
    let found = || tx_at(&chain, 0, &draft.bytes()).get("result").is_some();
    assert_eq!([found(), found(), found()], [false, false, true]);
}

#[test]
fn without_an_index_the_blocks_still_hold_the_transaction() {
    let (chain, wallet) = open();
    chain.view(0, |view| view.has_tx_index = false);
    let draft = submission(&wallet, 0, NONCE, "0.5");
    include(&chain, &draft);
    assert_eq!(tx_at(&chain, 0, &draft.bytes())["error"]["data"], "transaction indexing is disabled");
    assert_eq!(crate::support::status(&chain, 0)["node_info"]["other"]["tx_index"], "off");
    let block = call(&chain, 0, "block", &json!({ "height": "1006" }));
    assert_eq!(block["result"]["block"]["data"]["txs"][0], BASE64.encode(&draft.bytes()));
}

#[test]
fn a_test_sees_each_request_before_its_answer() {
    let (chain, wallet) = open();
    let seen = Arc::new(AtomicUsize::new(0));
    let of_hook = Arc::clone(&seen);
    chain.watch(move |asked| {
        of_hook.fetch_add(usize::from(asked.hash.is_some()), Ordering::SeqCst);
    });
    accept(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    chain.unwatch();
    broadcast(&chain, &submission(&wallet, 1, NONCE, "0.5"));
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}
