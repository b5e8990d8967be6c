//! A chain for a test, and a client of plain sockets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use sentinel_testbed::chain::{Chain, Genesis, Included, Options, TopicRules};
use serde_json::{Value, json};

use crate::proto::{Message, number, text};
use crate::wallet::{Draft, Payload, Wallet};

/// The account number of the first wallet, which is that of seed 1.
pub const NUMBER: u64 = 123_456;
/// The first nonce of the default genesis.
pub const NONCE: i64 = 1_005;
pub const BALANCE: u128 = 1_000_000_000;

/// A chain at height 1000 whose topic 67 opens its first window at 1005, with one registered wallet that has money.
pub fn chain() -> (Chain, Wallet) {
    chain_with(|_| {})
}

pub fn chain_with(change: impl FnOnce(&mut Options)) -> (Chain, Wallet) {
    let wallet = Wallet::new(1);
    let mut genesis = Genesis::with_balance(&wallet.address, BALANCE);
    topic_rules(&mut genesis).registered = vec![wallet.address.clone()];
    let mut options = Options::by_hand(genesis);
    change(&mut options);
    (Chain::start(options).unwrap(), wallet)
}

pub fn topic_rules(genesis: &mut Genesis) -> &mut TopicRules {
    genesis.topics.get_mut(&67).unwrap()
}

/// The same, with the window of the nonce 1005 open.
pub fn open() -> (Chain, Wallet) {
    let (chain, wallet) = chain();
    chain.blocks_to(NONCE);
    (chain, wallet)
}

/// A good transaction of a good payload.
pub fn submission(wallet: &Wallet, sequence: u64, nonce: i64, value: &str) -> Draft {
    Draft::new(wallet, NUMBER, sequence, Payload::new(wallet, nonce, value).message())
}

/// Milliseconds of a clock that only goes forward.
pub fn elapsed_ms() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}

/// Waits until something is so, and fails after that many seconds.
#[track_caller]
pub fn within_seconds(seconds: i64, is_so: impl Fn() -> bool) {
    let until = elapsed_ms() + seconds * 1_000;
    while !is_so() {
        assert!(elapsed_ms() < until, "it did not come to be within {seconds} s");
        std::thread::yield_now();
    }
}

/// All bytes of the answer to a request.
pub fn raw(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// Status, head and body.
pub fn parts(answer: &[u8]) -> (u16, String, String) {
    let answer = String::from_utf8_lossy(answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head.to_owned(), body.to_owned())
}

pub fn get(chain: &Chain, node: usize, target: &str) -> (u16, Value) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let (status, _, body) = parts(&raw(chain.rpc_address(node), request.as_bytes()));
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

pub fn request(method: &str, params: &Value) -> Vec<u8> {
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string();
    let length = body.len();
    format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").into_bytes()
}

/// Status and body, which may be anything.
pub fn post(chain: &Chain, node: usize, method: &str, params: &Value) -> (u16, String, String) {
    parts(&raw(chain.rpc_address(node), &request(method, params)))
}

/// A JSON-RPC answer.
pub fn call(chain: &Chain, node: usize, method: &str, params: &Value) -> Value {
    let (_, head, body) = post(chain, node, method, params);
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {head} {body}"))
}

pub fn status(chain: &Chain, node: usize) -> Value {
    call(chain, node, "status", &json!({}))["result"].clone()
}

/// Code and text of a broadcast's answer.
pub fn broadcast_to(chain: &Chain, node: usize, bytes: &[u8]) -> (u64, String) {
    let answer = call(chain, node, "broadcast_tx_sync", &json!({ "tx": BASE64.encode(bytes) }));
    if let Some(error) = answer.get("error") {
        return (u64::MAX, error["data"].as_str().unwrap().to_owned());
    }
    let result = &answer["result"];
    let space = result["codespace"].as_str().unwrap();
    (result["code"].as_u64().unwrap(), format!("{space}: {}", result["log"].as_str().unwrap()))
}

pub fn broadcast(chain: &Chain, draft: &Draft) -> (u64, String) {
    broadcast_to(chain, 0, &draft.bytes())
}

/// Demands that a broadcast is taken.
pub fn accept(chain: &Chain, draft: &Draft) {
    assert_eq!(broadcast(chain, draft), (0, ": ".to_owned()));
}

/// Takes a transaction, makes a block and returns what became of it.
pub fn include(chain: &Chain, draft: &Draft) -> Included {
    accept(chain, draft);
    chain.block();
    chain.truth().included.last().unwrap().clone()
}

/// Codespace, code and text of a transaction that failed in its block.
pub fn failure(included: &Included) -> (String, u32, String) {
    let refusal = included.refusal.clone().unwrap_or_else(|| panic!("{included:?}"));
    (refusal.codespace, refusal.code, refusal.log)
}

pub fn query_of(chain: &Chain, node: usize, path: &str, data: &[u8], height: i64) -> Result<Message, (u64, String)> {
    let params = json!({ "path": path, "data": HEXLOWER.encode(data), "height": height.to_string(), "prove": false });
    let answer = call(chain, node, "abci_query", &params);
    let response = &answer["result"]["response"];
    match response["code"].as_u64() {
        Some(0) => {
            let value = response["value"].as_str().unwrap_or_default();
            Ok(Message::read(&BASE64.decode(value.as_bytes()).unwrap()))
        }
        code => Err((code.unwrap_or(u64::MAX), response["log"].as_str().unwrap_or_default().to_owned())),
    }
}

pub fn query(chain: &Chain, path: &str, data: &[u8]) -> Result<Message, (u64, String)> {
    query_of(chain, 0, path, data, 0)
}

/// A query of the emissions module, version 10.
pub fn emissions(chain: &Chain, method: &str, data: &[u8]) -> Result<Message, (u64, String)> {
    query(chain, &format!("/emissions.v10.QueryService/{method}"), data)
}

/// A request of topic 67 and an address.
pub fn of_worker(address: &str) -> Vec<u8> {
    [number(1, 67), text(2, address)].concat()
}

pub fn of_height(height: i64) -> Vec<u8> {
    [number(1, 67), number(2, height as u64)].concat()
}

pub fn simulate_at(chain: &Chain, node: usize, draft: &Draft) -> Result<u64, (u64, String)> {
    let data = crate::proto::bytes(2, &draft.unsigned());
    query_of(chain, node, "/cosmos.tx.v1beta1.Service/Simulate", &data, 0).map(|reply| reply.message(1).number(2))
}

/// The gas that a simulation says, or its code and text.
pub fn simulate(chain: &Chain, draft: &Draft) -> Result<u64, (u64, String)> {
    simulate_at(chain, 0, draft)
}

/// The sequence that a node answers.
pub fn sequence_at(chain: &Chain, node: usize, address: &str) -> u64 {
    let reply = query_of(chain, node, "/cosmos.auth.v1beta1.Query/AccountInfo", &text(1, address), 0).unwrap();
    reply.message(1).number(4)
}

/// What `tx` answers, by the bytes of a transaction.
pub fn tx_at(chain: &Chain, node: usize, bytes: &[u8]) -> Value {
    let hash = data_encoding::HEXUPPER.decode(sentinel_testbed::chain::hash_of(bytes).as_bytes()).unwrap();
    call(chain, node, "tx", &json!({ "hash": BASE64.encode(&hash) }))
}
