//! `sentinel allora status`: what an operator reads, and what to do about it.

use std::path::Path;
use std::process::{Command, Output};

use sentinel::system::WallClock;
use sentinel_actors::ports::Clock as _;
use serde_json::Value;

use super::CHAIN;
use super::client::Field::{Message as Inner, Number, Text};
use super::client::{ADDRESS, message, params, unknown_path};
use super::node::{Node, Reply, query_answer, query_refused, status_of};

/// A chain as one worker sees it.
#[derive(Clone)]
struct Chain {
    id: &'static str,
    /// `None`: nobody has sent it anything.
    balance: Option<&'static str>,
    registered: u64,
    whitelisted: u64,
    active: u64,
    arity: u64,
}

const READY: Chain =
    Chain { id: CHAIN, balance: Some("12500000000000000000"), registered: 1, whitelisted: 1, active: 1, arity: 1 };

impl Chain {
    fn start(self) -> Node {
        Node::with(0, move |method, params: &Value| {
            let now = WallClock.now().timestamp().to_string();
            match method {
                "status" => Some(Reply::Result(status_of(self.id, 4330, &now, false))),
                "abci_query" => {
                    let path = params["path"].as_str().unwrap_or_default();
                    Some(self.answer(path).unwrap_or_else(|| unknown_path(path)))
                }
                _ => None,
            }
        })
    }

    fn answer(&self, path: &str) -> Option<Reply> {
        let coin = |amount| Some(message(&[Inner(1, message(&[Text(1, "uallo"), Text(2, amount)]))]));
        let value = match path.rsplit('/').next()? {
            _ if path.contains("emissions.v9") => None,
            "GetParams" => return params(path, "v10"),
            "AccountInfo" if self.balance.is_none() => return Some(query_refused(22, "account not found")),
            "AccountInfo" => {
                let info = message(&[Text(1, ADDRESS), Number(3, 17), Number(4, 3)]);
                Some(message(&[Inner(1, info)]))
            }
            "Balance" => coin(self.balance.unwrap_or("0")),
            "GasPrice" => coin("10000000000000000000"),
            "GetTopic" => {
                let topic = message(&[Number(1, 67), Number(9, 720), Number(17, 120), Number(24, self.arity)]);
                Some(message(&[Inner(1, topic)]))
            }
            "GetWorkerSubmissionWindowStatus" => Some(message(&[
                Number(1, 1),
                Number(2, 4320),
                Number(4, 4440),
                Number(5, 5040),
                Number(7, self.registered),
                Number(8, self.whitelisted),
                Number(9, self.active),
            ])),
            "GetWorkerLatestInputInferenceByTopicId" => {
                let inference = message(&[Number(1, 67), Number(2, 4320), Text(3, ADDRESS), Text(4, "0.0125")]);
                Some(message(&[Inner(1, inference)]))
            }
            _ => None,
        };
        value.map(|value| query_answer(4330, &value))
    }
}

fn status(nodes: &[&Node]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let forecast = std::fs::read_to_string(root.join("config/forecast.toml")).unwrap();
    let forecast = forecast.replace("\"demo/", &format!("\"{}/config/demo/", root.display()));
    let rpc: Vec<String> = nodes.iter().map(|node| format!("{:?}", node.url().as_str())).collect();
    let allora = format!("\n[allora]\nrpc = [{}]\ncall_timeout = \"2s\"\n", rpc.join(", "));
    std::fs::write(dir.path().join("node.toml"), forecast + &allora).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
    command.args(["allora", "status", "--config", "node.toml", "--topic", "67", "--address", ADDRESS]);
    command.env_clear().current_dir(dir.path()).output().unwrap()
}

/// Exit code, and everything that was printed with its line breaks taken out.
fn told(output: &Output) -> (i32, String) {
    let text = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    (output.status.code().unwrap(), text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[track_caller]
fn check(chain: Chain, code: i32, parts: &[&str]) {
    let node = chain.start();
    let told = told(&status(&[&node]));
    for part in parts {
        assert!(told.1.contains(part), "no '{part}' in {}", told.1);
    }
    assert_eq!(told.0, code, "{}", told.1);
}

#[test]
fn the_status_of_a_worker_who_may_submit_says_all_and_ends_with_0() {
    let parts = [
        "Chain: allora-testnet-1, block 4330,",
        "emissions v10",
        "answers in",
        "number 17, next sequence 3",
        "Balance: 12.5 ALLO",
        "Topic: 67, a window of 120 blocks every 720",
        "Registered: yes",
        "Whitelist: yes",
        "Window: open for nonce 4320, for 110 more blocks, until 4440",
        "Inference: 0.0125 for nonce 4320",
    ];
    check(READY, 0, &parts);
}

#[test]
fn the_status_of_an_unfunded_worker_says_how_much_it_needs() {
    // (504,000 + 240,000 gas) at 10 uallo and 5 % more, 100 for the data, and the registration.
    let parts = [
        "nobody has sent it anything",
        "Balance: 0 ALLO. What to do: send it at least 0.2000000000078121 ALLO, for example from https://faucet.",
    ];
    check(Chain { balance: None, registered: 0, ..READY }, 1, &parts);
}

#[test]
fn what_only_an_operator_can_change_is_told_with_what_to_do() {
    let registers =
        "Registered: no. What to do: let a node run with this wallet: it registers the worker, for 0.2 ALLO";
    check(Chain { registered: 0, ..READY }, 1, &[registers]);
    check(Chain { whitelisted: 0, ..READY }, 1, &["Whitelist: no. What to do: ask the topic's creator"]);
    check(Chain { active: 0, ..READY }, 1, &["What to do: wait, or choose another topic: this one is not active"]);
    check(Chain { arity: 2, ..READY }, 1, &["this one wants several values"]);
}

#[test]
fn endpoints_of_another_chain_end_with_78_and_the_name_of_that_chain() {
    let parts = ["it is of the chain 'other-1'", "let chain_id and rpc in [allora] be those of one network"];
    check(Chain { id: "other-1", ..READY }, 78, &parts);
}

#[test]
fn with_all_endpoints_down_the_status_names_them_and_what_to_check() {
    let mut nodes = [READY.start(), READY.start()];
    nodes.iter_mut().for_each(Node::down);
    let (code, text) = told(&status(&[&nodes[0], &nodes[1]]));
    for part in [&nodes[0].name(), &nodes[1].name(), "what to do: check this machine's network", "name more than one"] {
        assert!(text.contains(part), "no '{part}' in {text}");
    }
    assert_eq!(code, 69, "{text}");
}

#[test]
fn truncated_json_is_told_as_such_and_another_endpoint_stands_in() {
    let broken = || Node::with(0, |_, _| Some(Reply::Raw("200 OK", "", r#"{"jsonrpc":"2.0","resu"#.to_owned())));
    let (first, second) = (broken(), READY.start());
    let (code, text) = told(&status(&[&first]));
    assert!(text.contains("its answer is not that of a CometBFT node: EOF"), "{text}");
    assert_eq!(code, 69, "{text}");
    let (code, text) = told(&status(&[&first, &second]));
    assert!(text.contains(&format!("{} is not used: it is not asked for another", first.name())), "{text}");
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_chain_that_was_upgraded_beyond_this_program_is_told_as_such() {
    let node = Node::with(0, |method, params| {
        let now = WallClock.now().timestamp().to_string();
        match method {
            "status" => Some(Reply::Result(status_of(CHAIN, 4330, &now, false))),
            _ => Some(unknown_path(params["path"].as_str().unwrap_or_default())),
        }
    });
    let (code, text) = told(&status(&[&node]));
    assert!(text.contains("this version of sentinel is too old for it"), "{text}");
    assert_eq!(code, 78, "{text}");
}

#[test]
fn a_configuration_without_the_network_is_told_where_to_find_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
    command.args(["allora", "status", "--config", "config/forecast.toml", "--topic", "67", "--address", ADDRESS]);
    let (code, text) = told(&command.env_clear().current_dir(root).output().unwrap());
    assert!(text.contains("has no section [allora]") && text.contains("sentinel config sentinel"), "{text}");
    assert_eq!(code, 78, "{text}");
}
