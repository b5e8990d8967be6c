//! `sentinel check --probe` of a pipeline that submits to a topic: it says what stands in a worker's way, and sends nothing.

use std::path::Path;
use std::process::Command;

use sentinel::system::WallClock;
use sentinel_actors::ports::Clock as _;
use sentinel_testbed::chain::{Arity, Genesis, TopicRules};

use super::site::*;

const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
/// Blocks of five seconds, so that their time can be measured: the newest one is of now.
const BLOCKS: i64 = 101;
/// 168 hours of blocks of five seconds.
const WEEK: i64 = 120_960;

fn site(change: impl FnOnce(&mut Genesis)) -> Site {
    let site = Site::with(1, |genesis| {
        genesis.time_ms = WallClock.now().0 - BLOCKS * genesis.block_ms;
        let topic = genesis.topics.get_mut(&TOPIC).unwrap();
        *topic = TopicRules { epoch_length: 720, window: 20, ground_truth_lag: WEEK, ..topic.clone() };
        change(genesis);
    });
    site.chain.blocks_to(1_000 + BLOCKS);
    site
}

fn topic(genesis: &mut Genesis) -> &mut TopicRules {
    genesis.topics.get_mut(&TOPIC).unwrap()
}

/// Exit code, and everything that was printed.
fn probe(site: &Site, environment: &[(&str, &str)]) -> (i32, String) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo");
    let text = std::fs::read_to_string(demo.join("allora.toml")).unwrap();
    let text = text
        .replace("\"allora-demo\"", &format!("{:?}", site.truth().chain_id))
        .replace("http://127.0.0.1:26657/", &site.chain.rpc_url(0))
        .replace("\"btcusd_1h.csv\"", &format!("{:?}", demo.join("btcusd_1h.csv")))
        .replace("\"btcusd.onnx\"", &format!("{:?}", demo.join("btcusd.onnx")));
    std::fs::write(site.dir.path().join("node.toml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
    command.args(["check", "--probe", "--config", "node.toml"]).current_dir(site.dir.path()).env_clear();
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let text = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    assert!(site.truth().broadcasts.is_empty(), "the doctor sends nothing: {text}");
    assert!(!text.contains("abandon"), "the words are printed");
    (output.status.code().unwrap(), text)
}

#[track_caller]
fn check(site: &Site, environment: &[(&str, &str)], code: i32, parts: &[&str]) {
    let (ended, text) = probe(site, environment);
    for part in parts {
        assert!(text.contains(part), "no '{part}' in {text}");
    }
    assert_eq!(ended, code, "{text}");
}

#[test]
fn the_doctor_is_content_with_a_worker_who_may_submit_and_says_all() {
    let wallet = format!("ok       wallet of btcusd: opens, and is {}\n", address());
    let parts = [
        wallet.as_str(),
        "ok       chain of btcusd: worker-",
        "block 1101,",
        "emissions v10",
        "ok       clocks of btcusd: this machine, the endpoints and the chain agree",
        "ok       endpoint of btcusd: 127.0.0.1:",
        "number 123456, next sequence 0",
        "ok       balance of btcusd: 0.000001 ALLO, which lasts for more than 3650 days",
        "ok       topic of btcusd: 67, a window of 20 blocks every 720",
        "ok       registered of btcusd: yes",
        "ok       whitelist of btcusd: yes",
        "ok       window of btcusd: closed; the next one is expected in",
        "ok       horizon of btcusd: the model looks 7days ahead, and the topic's ground truth comes 120960 blocks after a window, \
         about 7days",
        "ok       model of btcusd: answers with a value",
    ];
    check(&site(|_| {}), &[("MNEMONIC", WORDS), ("TOPIC_ID", "67")], 0, &parts);
}

#[test]
fn the_doctor_names_a_topic_whose_horizon_is_another() {
    let site = site(|genesis| topic(genesis).ground_truth_lag = WEEK / 7);
    let horizon = "PROBLEM  horizon of btcusd: the model looks 7days ahead, and the topic's ground truth comes 17280 blocks after a \
                   window, about 1day: take a model for the topic's horizon and set forecast.horizon";
    check(&site, &[("MNEMONIC", WORDS)], 69, &[horizon]);
}

#[test]
fn the_doctor_names_another_topic_and_another_wallet_of_the_environment() {
    let site = site(|_| {});
    let other =
        "PROBLEM  topic of btcusd: the configuration has 67, and TOPIC_ID of the environment is 69: remove TOPIC_ID";
    check(&site, &[("MNEMONIC", WORDS), ("TOPIC_ID", "69")], 69, &[other, "ok       horizon of btcusd"]);
    let elsewhere = "allo1am058pdux3hyulcmfgj4m3hhrlfn8nzmf5xyce";
    let wallet = "PROBLEM  wallet of btcusd: the wallet in ";
    let told = [wallet, "but ALLORA_WALLET_ADDR is", "use the mnemonic of that address"];
    check(&site, &[("MNEMONIC", WORDS), ("ALLORA_WALLET_ADDR", elsewhere)], 69, &told);
    check(&site, &[], 69, &["PROBLEM  wallet of btcusd: there is no wallet", "set ALLORA_MNEMONIC_FILE"]);
}

#[test]
fn the_doctor_names_what_keeps_a_worker_from_submitting() {
    let told = |change: fn(&mut Genesis), code, part| check(&site(change), &[("MNEMONIC", WORDS)], code, &[part]);
    let registers = "ok       registered of btcusd: no: let a node run with this wallet: it registers the worker";
    told(|genesis| topic(genesis).registered.clear(), 0, registers);
    told(
        |genesis| topic(genesis).whitelist = Some(vec![]),
        69,
        "PROBLEM  whitelist of btcusd: no: ask the topic's creator",
    );
    told(|genesis| topic(genesis).is_active = false, 69, "this one is not active, so it has no windows");
    told(|genesis| topic(genesis).arity = Arity::Multi, 69, "this one wants several values");
    let balance = "PROBLEM  balance of btcusd: 0 ALLO: send it at least 0.00000000000529201 ALLO, for example from https://faucet.";
    told(|genesis| genesis.balances.clear(), 69, balance);
    let low = "which lasts for 0 days, 10 windows, at the price of now: send it more";
    told(|genesis| genesis.balances.extend([(address(), 53_000_000)]), 69, low);
}

#[test]
fn without_a_chain_the_doctor_says_what_to_check_and_ends() {
    let site = site(|_| {});
    site.chain.script(0, &["*:http=503"]).unwrap();
    let chain = "PROBLEM  chain of btcusd: ";
    check(&site, &[("MNEMONIC", WORDS)], 69, &[chain, "check this machine's network", "ok       model of btcusd"]);
}
