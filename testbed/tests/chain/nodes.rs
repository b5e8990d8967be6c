//! Several nodes of one chain: what each shows, and what happens when one goes away.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::json;

use crate::support::{
    NONCE, accept, broadcast_to, call, chain_with, include, post, query_of, sequence_at, simulate_at, status,
    submission, tx_at,
};
use crate::wallet::Wallet;
use sentinel_testbed::chain::Chain;

fn two() -> (Chain, Wallet) {
    let (chain, wallet) = chain_with(|options| options.nodes = 2);
    chain.blocks_to(NONCE);
    (chain, wallet)
}

fn height(chain: &Chain, node: usize) -> String {
    status(chain, node)["sync_info"]["latest_block_height"].as_str().unwrap().to_owned()
}

#[test]
fn nodes_of_one_chain_share_its_transactions() {
    let (chain, wallet) = two();
    let draft = submission(&wallet, 0, NONCE, "0.5");
    assert_eq!(broadcast_to(&chain, 1, &draft.bytes()).0, 0);
    assert_eq!(broadcast_to(&chain, 0, &draft.bytes()).1, "tx already exists in cache");
    chain.block();
    assert!(tx_at(&chain, 0, &draft.bytes()).get("result").is_some());
}

#[test]
fn a_node_that_lags_knows_neither_the_transaction_nor_the_sequence() {
    let (chain, wallet) = two();
    chain.view(1, |view| view.lag = 1);
    let draft = submission(&wallet, 0, NONCE, "0.5");
    include(&chain, &draft);
    assert_eq!((height(&chain, 0), height(&chain, 1)), ("1006".to_owned(), "1005".to_owned()));
    assert_eq!((sequence_at(&chain, 0, &wallet.address), sequence_at(&chain, 1, &wallet.address)), (1, 0));
    assert!(tx_at(&chain, 1, &draft.bytes())["error"]["data"].as_str().unwrap().contains("not found"));
    assert!(call(&chain, 1, "header", &json!({ "height": "1006" })).get("error").is_some());
    // In its mempool the transaction is still pending, so the next sequence is the right one there too.
    let next = submission(&wallet, 1, NONCE, "0.6");
    assert!(simulate_at(&chain, 1, &next).is_ok());
    assert_eq!(broadcast_to(&chain, 1, &next.bytes()).0, 0);
    chain.block();
    assert!(tx_at(&chain, 1, &draft.bytes()).get("result").is_some());
}

#[test]
fn a_node_that_is_stuck_shows_no_later_block() {
    let (chain, _) = two();
    chain.view(1, |view| view.stuck_at = Some(1_003));
    chain.block();
    assert_eq!((height(&chain, 0), height(&chain, 1)), ("1006".to_owned(), "1003".to_owned()));
    let times = |node: usize| status(&chain, node)["sync_info"]["latest_block_time"].clone();
    assert_ne!(times(0), times(1));
}

#[test]
fn a_node_may_catch_up_or_claim_an_absurd_height() {
    let (chain, _) = two();
    chain.view(1, |view| {
        view.catching_up = true;
        view.claimed_height = Some(999_999_999);
    });
    assert_eq!(status(&chain, 1)["sync_info"]["catching_up"], true);
    assert_eq!(height(&chain, 1), "999999999");
    assert!(call(&chain, 1, "header", &json!({ "height": "999999999" })).get("error").is_some());
}

#[test]
fn a_node_of_another_chain_says_so_and_refuses_our_signatures() {
    let (chain, wallet) = two();
    chain.view(1, |view| view.chain_id = Some("allora-mainnet-1".to_owned()));
    assert_eq!(status(&chain, 1)["node_info"]["network"], "allora-mainnet-1");
    let node = query_of(&chain, 1, "/cosmos.base.tendermint.v1beta1.Service/GetNodeInfo", b"", 0).unwrap();
    assert_eq!(node.message(1).text(4), "allora-mainnet-1");
    let draft = submission(&wallet, 0, NONCE, "0.5");
    let (code, text) = broadcast_to(&chain, 1, &draft.bytes());
    assert!(code == 4 && text.contains("chain-id (allora-mainnet-1)"), "{text}");
    accept(&chain, &draft);
}

#[test]
fn a_node_that_is_down_refuses_connections_and_comes_back_where_it_was() {
    let (chain, wallet) = two();
    let address = chain.rpc_address(1);
    let mut open = std::net::TcpStream::connect(address).unwrap();
    chain.down(1);
    assert!(std::net::TcpStream::connect(address).is_err());
    assert_eq!(std::io::Read::read(&mut open, &mut [0; 1]).unwrap_or(0), 0, "its connections end");
    include(&chain, &submission(&wallet, 0, NONCE, "0.5"));
    chain.up(1).unwrap();
    assert_eq!(chain.rpc_address(1), address);
    assert_eq!(sequence_at(&chain, 1, &wallet.address), 1, "it has what came meanwhile");
}

#[test]
fn a_pending_transaction_outlives_one_node_and_not_all_of_them() {
    let (chain, wallet) = two();
    let draft = submission(&wallet, 0, NONCE, "0.5");
    accept(&chain, &draft);
    chain.restart(0).unwrap();
    assert_eq!(chain.truth().pending.len(), 1);
    chain.down(0);
    chain.down(1);
    chain.up(0).unwrap();
    chain.up(1).unwrap();
    let truth = chain.truth();
    assert!(truth.pending.is_empty() && truth.dropped[0].why == "no node is up");
    accept(&chain, &draft);
}

#[test]
fn the_port_of_a_node_that_is_down_stays_its_own() {
    let (chain, _) = two();
    let std::net::SocketAddr::V4(address) = chain.rpc_address(1) else { panic!("no address of loopback") };
    for _ in 0..20 {
        chain.down(1);
        let other =
            rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
        assert_eq!(rustix::net::bind(&other, &address), Err(rustix::io::Errno::ADDRINUSE));
        assert!(std::net::TcpStream::connect(address).is_err());
        chain.up(1).unwrap();
        assert!(std::net::TcpStream::connect(address).is_ok());
    }
}

/// The header `Date` of a node's answer.
fn date(chain: &Chain, node: usize) -> Option<String> {
    let (_, head, _) = post(chain, node, "status", &json!({}));
    head.lines().find_map(|line| line.strip_prefix("Date: ")).map(str::to_owned)
}

#[test]
fn a_node_dates_its_answers_by_its_newest_block_when_the_chain_has_no_clock() {
    let (chain, _) = chain_with(|options| {
        options.nodes = 2;
        options.genesis.block_ms = 300_000;
    });
    assert_eq!(date(&chain, 0).as_deref(), Some("Mon, 21 Sep 2026 14:13:20 GMT"));
    chain.block();
    chain.view(1, |view| view.stuck_at = Some(1_000));
    assert_eq!(date(&chain, 0).as_deref(), Some("Mon, 21 Sep 2026 14:18:20 GMT"), "five minutes for each block");
    assert_eq!(date(&chain, 1), date(&chain, 0), "what is stuck is not its clock");
}

#[test]
fn the_clock_of_a_node_may_be_wrong_or_not_be_shown() {
    let now = Arc::new(AtomicI64::new(1_790_000_000_999));
    let of_chain = now.clone();
    let (chain, _) = chain_with(|options| {
        options.nodes = 2;
        options.now = Some(Arc::new(move || of_chain.load(Ordering::SeqCst)));
    });
    chain.view(1, |view| view.date_skew_ms = Some(-600_000));
    now.fetch_add(60_000, Ordering::SeqCst);
    assert_eq!(date(&chain, 0).as_deref(), Some("Mon, 21 Sep 2026 14:14:20 GMT"), "time passes without a block");
    assert_eq!(date(&chain, 1).as_deref(), Some("Mon, 21 Sep 2026 14:04:20 GMT"));
    chain.view(1, |view| view.date_skew_ms = None);
    assert_eq!(date(&chain, 1), None);
}
