//! What is certain: which answer is acted on, whether a transaction may be in a mempool, and whether it is in a block.

use std::time::Duration;

use data_encoding::BASE64;
use sentinel::venues::allora::endpoints::{Broadcast, EndpointsError, TxFate};
use sentinel::venues::allora::errors::Class;
use sentinel::venues::allora::signing::TxHash;
use serde_json::{Value, json};

use super::node::{Node, Reply, check_tx, not_found, query_answer, query_refused, status};
use super::{endpoints, until};

const TRANSACTION: &[u8] = b"a signed transaction";

/// Says `height`, and answers queries as of `queried`.
fn answering(height: u64, queried: u64, byte: u8) -> Node {
    Node::with(height, move |method, _| (method == "abci_query").then(|| query_answer(queried, &[byte])))
}

async fn agreed(nodes: &[&Node]) -> Result<u8, EndpointsError> {
    let answer = endpoints(nodes).read_agreed("/a.Query/B", &[], until()).await?;
    Ok(answer.value.first().copied().unwrap_or(0))
}

#[tokio::test]
async fn the_answer_of_the_greatest_height_is_acted_on() {
    let (old, new) = (answering(100, 100, 7), answering(101, 101, 8));
    assert_eq!(agreed(&[&old, &new]).await, Ok(8));
    let also_old = answering(100, 100, 7);
    assert_eq!(agreed(&[&old, &also_old, &new]).await, Ok(8), "two old ones do not outvote a newer one");
    assert_eq!(agreed(&[&old]).await, Ok(7), "with one endpoint its height is the greatest");
}

#[tokio::test]
async fn when_the_newest_are_of_two_minds_two_that_agree_are_acted_on() {
    let (lies, one, two) = (answering(101, 101, 3), answering(101, 101, 8), answering(100, 100, 8));
    assert_eq!(agreed(&[&lies, &one, &two]).await, Ok(8));
    let error = agreed(&[&lies, &one]).await.unwrap_err();
    assert!(matches!(error, EndpointsError::Disagree { .. }), "{error:?}");
    assert!(error.to_string().contains("as of block 101"), "{error}");
}

#[tokio::test]
async fn when_the_newest_is_silent_an_older_answer_is_not_taken_for_the_newest() {
    let silent = Node::with(101, |method, _| (method == "abci_query").then_some(Reply::Drop));
    let old = answering(100, 100, 7);
    assert!(matches!(agreed(&[&silent, &old]).await, Err(EndpointsError::Disagree { .. })));
    let also_old = answering(100, 100, 7);
    assert_eq!(agreed(&[&silent, &old, &also_old]).await, Ok(7), "two agree");
}

#[tokio::test]
async fn an_answer_as_of_an_absurd_height_is_not_acted_on() {
    let (absurd, sound) = (answering(100, 9_000_000_000, 3), answering(100, 100, 8));
    assert_eq!(agreed(&[&absurd, &sound]).await, Ok(8));
}

#[tokio::test]
async fn a_refusal_says_no_height_and_is_that_of_its_endpoint() {
    let refuses = |height| Node::with(height, |method, _| (method == "abci_query").then(|| query_refused(22, "x")));
    let (one, two) = (refuses(100), refuses(100));
    let answer = endpoints(&[&one, &two]).read_agreed("/a", &[], until()).await.unwrap();
    assert_eq!((answer.code, answer.height), (22, 100));
    assert!(endpoints(&[&one]).read_agreed("/a", &[], until()).await.is_ok());
    let newer = answering(101, 101, 8);
    assert_eq!(agreed(&[&one, &two, &newer]).await, Ok(8), "the account has just come to be");
}

#[tokio::test]
async fn what_one_refuses_and_others_answer_is_not_the_chains_refusal() {
    let sick = Node::with(101, |method, _| (method == "abci_query").then(|| query_refused(6, "database is locked")));
    let (one, two) = (answering(100, 100, 7), answering(100, 100, 7));
    assert_eq!(agreed(&[&sick, &one, &two]).await, Ok(7));
}

/// Answers a broadcast with `reply`.
fn mempool(height: u64, reply: Reply) -> Node {
    Node::with(height, move |method, _| (method == "broadcast_tx_sync").then(|| reply.clone()))
}

async fn broadcast(nodes: &[&Node]) -> Broadcast {
    endpoints(nodes).broadcast(TRANSACTION, until()).await.unwrap()
}

fn class(outcome: &Broadcast) -> Option<Class> {
    match outcome {
        Broadcast::Answered { class, .. } => Some(*class),
        _ => None,
    }
}

#[tokio::test]
async fn a_transaction_goes_to_one_endpoint_when_that_one_answers() {
    let text = "account sequence mismatch, expected 9, got 8: incorrect account sequence";
    for (reply, expected) in [
        (check_tx(0, ""), Class::Success),
        (check_tx(19, ""), Class::InMempool),
        (check_tx(32, text), Class::Sequence { expected: Some(9) }),
        (check_tx(13, "got: 1uallo required: 2uallo"), Class::Fee { required_uallo: Some(2) }),
    ] {
        let (first, second) = (mempool(101, reply), mempool(100, check_tx(0, "")));
        assert_eq!(class(&broadcast(&[&first, &second]).await), Some(expected));
        assert_eq!((first.asked("broadcast_tx_sync"), second.asked("broadcast_tx_sync")), (1, 0));
    }
}

#[tokio::test]
async fn after_a_lost_reply_the_same_bytes_go_to_the_next_endpoint() {
    for reply in [Reply::Hang, Reply::Drop, Reply::Raw("502 x", "", String::new())] {
        let (first, second) = (mempool(101, reply), mempool(100, check_tx(0, "")));
        assert_eq!(class(&broadcast(&[&first, &second]).await), Some(Class::Success));
        let sent = vec![json!({ "tx": BASE64.encode(TRANSACTION) })];
        assert_eq!(first.params("broadcast_tx_sync"), sent);
        assert_eq!(second.params("broadcast_tx_sync"), sent);
    }
}

#[tokio::test]
async fn a_refusal_after_a_lost_reply_is_no_proof_that_nobody_has_it() {
    let text = "account sequence mismatch, expected 9, got 8: incorrect account sequence";
    for (code, text) in [(32, text), (30, "tx timeout height"), (20, "mempool is full"), (5, "insufficient funds")] {
        let (first, second) = (mempool(101, Reply::Drop), mempool(100, check_tx(code, text)));
        match broadcast(&[&first, &second]).await {
            Broadcast::ReplyLost { lost, refusal } => {
                assert_eq!(lost.len(), 1);
                assert_eq!((lost[0].0.clone(), refusal.map(|refusal| refusal.code)), (first.name(), Some(code)));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_reply_that_nobody_gives_is_lost_and_what_reached_nobody_is_not_sent() {
    let (first, second) = (mempool(101, Reply::Hang), mempool(100, Reply::Raw("429 x", "", String::new())));
    let lost = broadcast(&[&first, &second]).await;
    assert!(matches!(&lost, Broadcast::ReplyLost { lost, refusal: None } if lost.len() == 1), "{lost:?}");
    let unsent = broadcast(&[&second]).await;
    assert!(matches!(&unsent, Broadcast::NotSent(reasons) if reasons.len() == 1), "{unsent:?}");
}

#[tokio::test]
async fn a_full_mempool_is_reported_only_when_every_one_is_full() {
    let full = || mempool(101, Reply::Fault(-32_603, "Internal error", "mempool is full: number of txs 1".to_owned()));
    let (first, second, third) = (full(), full(), mempool(100, check_tx(0, "")));
    assert_eq!(class(&broadcast(&[&first, &second, &third]).await), Some(Class::Success));
    assert_eq!(class(&broadcast(&[&first, &second]).await), Some(Class::MempoolFull));
}

fn found(height: u64, code: u32) -> Reply {
    let result = json!({ "code": code, "log": "", "codespace": "", "gas_wanted": "2", "gas_used": "1" });
    let hash = TxHash::of(TRANSACTION).to_string();
    Reply::Result(json!({ "hash": hash, "height": height.to_string(), "tx_result": result }))
}

/// Looks transactions up with `reply`.
fn index(height: u64, reply: Reply) -> Node {
    Node::with(height, move |method, _| (method == "tx").then(|| reply.clone()))
}

#[tokio::test]
async fn a_transaction_that_one_endpoint_finds_is_found() {
    let (lags, finds, silent) = (index(101, not_found("AB")), index(100, found(99, 75)), index(100, Reply::Hang));
    let fate = endpoints(&[&lags, &silent, &finds]).tx(TxHash::of(TRANSACTION), until()).await.unwrap();
    let TxFate::Found { endpoint, transaction } = fate else { panic!("{fate:?}") };
    assert_eq!((endpoint, transaction.height, transaction.code), (finds.name(), 99, 75));
}

#[tokio::test]
async fn one_that_is_not_found_comes_with_the_height_of_each_that_looked() {
    let off = Reply::Fault(-32_603, "Internal error", "transaction indexing is disabled".to_owned());
    let (one, two) = (index(101, not_found("AB")), index(100, not_found("AB")));
    let (without, drops) = (index(100, off), index(100, Reply::Drop));
    let endpoints = endpoints(&[&one, &two, &without, &drops]);
    let TxFate::NotFound { mut looked, mut silent } = endpoints.tx(TxHash::of(TRANSACTION), until()).await.unwrap()
    else {
        panic!("nobody has it")
    };
    looked.sort_by_key(|(_, height)| *height);
    assert_eq!(looked, [(two.name(), 100), (one.name(), 101)]);
    silent.sort_by_key(|(_, why)| why.clone());
    assert_eq!(silent.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), [without.name(), drops.name()]);
    assert!(!endpoints.health()[2].has_index && endpoints.health()[0].has_index);
}

#[tokio::test]
async fn the_height_of_who_does_not_find_it_is_from_before_the_look() {
    // Its next block comes between the look and whatever follows.
    let mut height = 100;
    let node = Node::with(0, move |method, _| match method {
        "status" => Some(Reply::Result(status(height))),
        "tx" => {
            height += 1;
            Some(not_found("AB"))
        }
        _ => None,
    });
    let fate = endpoints(&[&node]).tx(TxHash::of(TRANSACTION), until()).await.unwrap();
    assert_eq!(fate, TxFate::NotFound { looked: vec![(node.name(), 100)], silent: vec![] });
}

fn block(height: u64, transactions: &[&[u8]]) -> Value {
    let txs: Vec<String> = transactions.iter().map(|bytes| BASE64.encode(bytes)).collect();
    let header = json!({ "height": height.to_string(), "time": "2027-01-15T08:00:00Z" });
    json!({ "block": { "header": header, "data": { "txs": txs } } })
}

#[tokio::test]
async fn without_an_index_a_transaction_is_looked_for_in_the_blocks() {
    let node = Node::with(12, |method, params| {
        let height: u64 = params["height"].as_str().unwrap_or("0").parse().unwrap();
        match method {
            "block" if height == 11 => Some(Reply::Result(block(11, &[b"other", TRANSACTION]))),
            "block" if height <= 12 => Some(Reply::Result(block(height, &[]))),
            "block" => Some(Reply::Fault(-32_603, "Internal error", "must be less than or equal to 12".to_owned())),
            "block_results" => Some(Reply::Result(json!({ "height": "11", "txs_results": [
                { "code": 0, "gas_wanted": "1", "gas_used": "1" },
                { "code": 67, "codespace": "emissions", "log": "late", "gas_wanted": "1", "gas_used": "1" },
            ]}))),
            _ => None,
        }
    });
    let endpoints = endpoints(&[&node]);
    let look = async |heights| endpoints.tx_in_blocks(TxHash::of(TRANSACTION), heights, until()).await;
    let delivered = look(10..=12).await.unwrap().unwrap();
    assert_eq!((delivered.height, delivered.code), (11, 67));
    assert_eq!(look(12..=12).await, Ok(None), "it is in none of these");
    assert!(look(12..=13).await.is_err(), "a block that is not committed proves nothing");
}

#[tokio::test]
async fn a_block_that_has_it_without_results_is_no_proof_that_it_is_in_none() {
    let node = Node::with(12, |method, _| match method {
        "block" => Some(Reply::Result(block(11, &[TRANSACTION]))),
        "block_results" => Some(Reply::Result(json!({ "height": "11", "txs_results": null }))),
        _ => None,
    });
    let looked = endpoints(&[&node]).tx_in_blocks(TxHash::of(TRANSACTION), 11..=11, until()).await;
    assert!(looked.is_err(), "{looked:?}");
}

#[tokio::test]
async fn a_broadcast_with_nobody_to_send_it_to_says_that_nothing_was_sent() {
    let mut node = Node::at(100);
    let endpoints = endpoints(&[&node]);
    node.down();
    let error = endpoints.broadcast(TRANSACTION, until()).await.unwrap_err();
    assert!(matches!(error, EndpointsError::NoneUsable { .. }));
    assert!(until().left() > Duration::ZERO);
}
