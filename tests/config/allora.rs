//! `[allora]`: each network has its own defaults, and every other value is said or refused.

use sentinel::config::{AlloraConfig, Network};
use sentinel::venues::allora::messages::Emissions;
use sentinel::venues::allora::signing::TxHash;

use super::{MINIMAL, check_refused, read};

fn allora(lines: &str) -> AlloraConfig {
    read(&format!("[allora]\n{lines}\n{MINIMAL}")).unwrap().allora.unwrap()
}

#[test]
fn each_network_of_allora_has_its_own_chain_endpoints_and_explorer() {
    let (test, main) = (allora(""), allora("network = \"mainnet\""));
    assert_eq!((test.network, main.network), (Network::Testnet, Network::Mainnet));
    assert_eq!((&*test.chain_id, &*main.chain_id), ("allora-testnet-1", "allora-mainnet-1"));
    assert_eq!(test.rpc[0].as_str(), "https://allora-rpc.testnet.allora.network/");
    assert_eq!(main.rpc[0].as_str(), "https://allora-rpc.mainnet.allora.network/");
    assert_eq!(AlloraConfig::of_network("mainnet"), Ok(main.clone()));
    assert!(AlloraConfig::of_network("moon\"").is_err());
    let hash = TxHash::of(b"abc");
    let page = "https://explorer.allora.network/explorer/transactions/\
                BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
    assert_eq!(main.transaction_page(&hash), page);
}

#[test]
fn a_chain_of_ones_own_is_a_name_and_endpoints() {
    let own = allora("chain_id = \"localnet\"\nrpc = [\"http://127.0.0.1:26657\", \"https://a.example/x/\"]");
    assert_eq!((own.chain_id.as_str(), own.rpc.len()), ("localnet", 2));
    assert_eq!(allora("emissions_version = \"v9\"").emissions, Some(Emissions::V9));
    assert_eq!(allora("emissions_version = \"auto\"").emissions, None);
}

#[test]
fn what_is_no_endpoint_is_refused_without_repeating_a_key() {
    for (lines, expected) in [
        ("rpc = []", "allora.rpc: is empty; allowed: a list of addresses"),
        ("rpc = \"https://a.example\"", "allora.rpc: is the string 'https://a.example', not a list"),
        ("rpc = [\"https://a.example\", \"https://a.example\"]", "'https://a.example' is there twice"),
        ("rpc = [\"grpc+https://a.example:443\"]", "write that of CometBFT's RPC, with https"),
        ("rpc = [\"a.example:26657\"]", "is not an address of the web"),
        ("rpc = [\"https://a.example/?apikey=s3cret\"]", "has no user, query or fragment"),
        ("explorer = \"https://a.example/\"", "is not an https address with {hash} in it"),
        ("chain_id = \"\"", "'' is not the name of a chain"),
        ("emissions_version = \"v11\"", "allowed: \"auto\", \"v10\", \"v9\""),
        ("network = \"moon\"", "allowed: \"testnet\", \"mainnet\""),
        ("topic = 67", "allora.topic: unknown key"),
    ] {
        check_refused(&format!("[allora]\n{lines}\n{MINIMAL}"), expected);
    }
    let message = super::refused(&format!("[allora]\nrpc = [\"https://me:s3cret@a.example/\"]\n{MINIMAL}"));
    assert!(!message.contains("s3cret"), "{message}");
}
