//! The client's questions, in the version that the chain speaks, and what is made of the answers.

use prost::Message;
use sentinel::venues::allora::address::Address;
use sentinel::venues::allora::client::{AccountState, Client, ClientError, Simulation};
use sentinel::venues::allora::endpoints::EndpointsError;
use sentinel::venues::allora::errors::Class;
use sentinel::venues::allora::messages::Emissions;
use sentinel::venues::allora::queries::{Account, LatestInference};
use sentinel::venues::allora::signing::TxHash;
use serde_json::Value;

use super::node::{Node, Reply, query_answer, query_refused};
use super::{chance, clock, settings, until};

pub const ADDRESS: &str = "allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv";

/// A protobuf field of this test's own: number, and a text or a number.
pub enum Field<'a> {
    Text(u32, &'a str),
    Number(u32, u64),
    Message(u32, Vec<u8>),
}

/// The bytes of a message with these fields.
pub fn message(fields: &[Field<'_>]) -> Vec<u8> {
    use prost::encoding::{WireType, encode_key, encode_varint};
    let mut bytes = Vec::new();
    for field in fields {
        match field {
            Field::Number(tag, number) => {
                encode_key(*tag, WireType::Varint, &mut bytes);
                encode_varint(*number, &mut bytes);
            }
            Field::Text(tag, text) => put(&mut bytes, *tag, text.as_bytes()),
            Field::Message(tag, inner) => put(&mut bytes, *tag, inner),
        }
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, tag: u32, value: &[u8]) {
    prost::encoding::encode_key(tag, prost::encoding::WireType::LengthDelimited, bytes);
    prost::encoding::encode_varint(value.len() as u64, bytes);
    bytes.extend_from_slice(value);
}

use Field::{Message as Inner, Number, Text};

/// What the application says to a path; `None`: it does not know the path.
type Application = fn(&str) -> Option<Reply>;

pub fn unknown_path(path: &str) -> Reply {
    query_refused(6, &format!("unknown query path: {path}: unknown request"))
}

/// A node whose application is `says`.
pub fn node(height: u64, says: impl Fn(&str) -> Option<Reply> + Send + 'static) -> Node {
    Node::with(height, move |method, params: &Value| {
        let path = params["path"].as_str().unwrap_or_default();
        (method == "abci_query").then(|| says(path).unwrap_or_else(|| unknown_path(path)))
    })
}

pub fn params(path: &str, version: &str) -> Option<Reply> {
    let params = message(&[Text(28, "200000000000000000"), Text(44, "100"), Number(99, 1)]);
    (path == format!("/emissions.{version}.QueryService/GetParams"))
        .then(|| query_answer(100, &message(&[Inner(1, params)])))
}

fn client(nodes: &[&Node]) -> Client {
    Client::new(settings(nodes), None, clock(), chance()).unwrap()
}

fn address() -> Address {
    ADDRESS.parse().unwrap()
}

#[tokio::test]
async fn the_version_is_the_one_that_the_chain_speaks() {
    let applications: [(Application, Emissions); 2] =
        [(|path| params(path, "v10"), Emissions::V10), (|path| params(path, "v9"), Emissions::V9)];
    for (application, version) in applications {
        let node = node(100, application);
        let client = client(&[&node]);
        assert_eq!(client.emissions(until()).await.unwrap(), version);
        let asked = node.asked("abci_query");
        assert_eq!(client.emissions(until()).await.unwrap(), version);
        assert_eq!(node.asked("abci_query"), asked, "it is asked once");
    }
}

#[tokio::test]
async fn a_chain_of_an_unknown_version_is_an_error_and_nothing_is_guessed() {
    let node = node(100, |_| None);
    let error = client(&[&node]).emissions(until()).await.unwrap_err();
    assert_eq!(error, ClientError::NoVersion);
    assert!(error.to_string().contains("too old"));
    let fixed = Client::new(settings(&[&node]), Some(Emissions::V9), clock(), chance()).unwrap();
    let error = fixed.topic(67, until()).await.unwrap_err();
    assert_eq!(error, ClientError::OtherVersion(Emissions::V9));
    assert!(error.to_string().contains("emissions_version = \"auto\""));
}

#[tokio::test]
async fn code_6_with_another_text_is_a_failure_and_no_other_version() {
    let node = node(100, |path| path.contains("GetParams").then(|| query_refused(6, "collections: not found")));
    let error = client(&[&node]).emissions(until()).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { code: 6, .. }), "{error:?}");
}

#[tokio::test]
async fn an_upgrade_in_mid_run_is_noticed_and_the_question_asked_anew() {
    let topic = |path: &str, version: &str| {
        let topic = message(&[Number(1, 67), Text(3, "BTC/USD"), Number(9, 720), Number(17, 120), Number(24, 1)]);
        (path == format!("/emissions.{version}.QueryService/GetTopic"))
            .then(|| query_answer(100, &message(&[Inner(1, topic)])))
    };
    let node = node(100, move |path| params(path, "v9").or_else(|| topic(path, "v9")));
    let client = client(&[&node]);
    assert_eq!(client.topic(67, until()).await.unwrap().epoch_length, 720);
    assert_eq!(client.emissions(until()).await.unwrap(), Emissions::V9);
    node.follow(move |method, params_of| {
        let path = params_of["path"].as_str().unwrap_or_default();
        let known = params(path, "v10").or_else(|| topic(path, "v10"));
        (method == "abci_query").then(|| known.unwrap_or_else(|| unknown_path(path)))
    });
    assert_eq!(client.topic(67, until()).await.unwrap().window, 120);
    assert_eq!(client.emissions(until()).await.unwrap(), Emissions::V10);
}

#[tokio::test]
async fn a_refused_message_of_the_old_version_has_the_chain_asked_anew() {
    let node = node(100, |path| params(path, "v9"));
    let client = client(&[&node]);
    assert_eq!(client.emissions(until()).await.unwrap(), Emissions::V9);
    node.follow(|method, params_of| {
        let path = params_of["path"].as_str().unwrap_or_default();
        (method == "abci_query").then(|| params(path, "v10").unwrap_or_else(|| unknown_path(path)))
    });
    assert_eq!(client.probe(until()).await.unwrap(), Emissions::V10);
    assert_eq!(client.emissions(until()).await.unwrap(), Emissions::V10);
}

#[tokio::test]
async fn an_account_is_its_number_and_its_next_sequence() {
    let info = message(&[Text(1, ADDRESS), Number(3, 4711), Number(4, 8)]);
    let node = node(100, move |path| {
        (path == "/cosmos.auth.v1beta1.Query/AccountInfo")
            .then(|| query_answer(100, &message(&[Inner(1, info.clone())])))
    });
    let account = client(&[&node]).account(&address(), until()).await.unwrap();
    assert_eq!(account, AccountState::Known(Account { number: 4711, sequence: 8, height: 100 }));
}

#[tokio::test]
async fn an_account_that_nobody_funded_is_unfunded_and_not_sequence_0() {
    let node =
        node(100, |_| Some(query_refused(22, "rpc error: code = NotFound desc = account not found: key not found")));
    let client = client(&[&node]);
    assert_eq!(client.account(&address(), until()).await.unwrap(), AccountState::Unfunded);
    node.follow(|_, _| None);
    assert!(client.account(&address(), until()).await.is_err(), "no answer is no unfunded account");
    node.follow(|method, _| (method == "abci_query").then(|| query_answer(100, &[])));
    assert!(
        matches!(client.account(&address(), until()).await, Err(ClientError::Answer { .. })),
        "nor is an empty one"
    );
}

fn coin(path: &'static str, denom: &'static str, amount: &'static str) -> Node {
    let coin = message(&[Inner(1, message(&[Text(1, denom), Text(2, amount)]))]);
    node(100, move |asked| (asked == path).then(|| query_answer(100, &coin)))
}

#[tokio::test]
async fn a_balance_beyond_64_bits_is_exact() {
    let node = coin("/cosmos.bank.v1beta1.Query/Balance", "uallo", "123456789012345678901234567890");
    assert_eq!(client(&[&node]).balance_uallo(&address(), until()).await, Ok(123_456_789_012_345_678_901_234_567_890));
    let other = coin("/cosmos.bank.v1beta1.Query/Balance", "uatom", "1");
    assert!(client(&[&other]).balance_uallo(&address(), until()).await.is_err());
}

#[tokio::test]
async fn the_price_of_gas_is_scaled_and_a_fee_from_it_exact() {
    let node = coin("/feemarket.feemarket.v1.Query/GasPrice", "uallo", "10000000000000000001");
    let price = client(&[&node]).gas_price(until()).await.unwrap();
    assert_eq!((price.scaled(), price.fee_uallo(216_000)), (10_000_000_000_000_000_001, Some(2_160_001)));
    let decimal = coin("/feemarket.feemarket.v1.Query/GasPrice", "uallo", "10.000000000000000001");
    assert!(client(&[&decimal]).gas_price(until()).await.is_err(), "a decimal is another scale");
}

const SIMULATE: &str = "/cosmos.tx.v1beta1.Service/Simulate";

#[tokio::test]
async fn a_simulation_is_gas_or_a_classed_rejection() {
    let gas = message(&[Inner(1, message(&[Number(1, 500_000), Number(2, 404_123)]))]);
    let runs = node(100, move |path| (path == SIMULATE).then(|| query_answer(100, &gas)));
    assert_eq!(client(&[&runs]).simulate(vec![1], until()).await, Ok(Simulation::Gas(404_123)));
    let rejects = node(100, |_| {
        Some(query_refused(6, "failed to execute message; message index: 0: unfulfilled nonce not found"))
    });
    let Simulation::Rejected { class, text } = client(&[&rejects]).simulate(vec![1], until()).await.unwrap() else {
        panic!("it was rejected")
    };
    assert_eq!(class, Class::NonceGone);
    assert!(text.contains("message index: 0"), "{text}");
    let empty = node(100, |_| Some(query_answer(100, &[])));
    assert!(client(&[&empty]).simulate(vec![1], until()).await.is_err(), "no gas is not zero gas");
}

#[tokio::test]
async fn an_endpoint_that_does_not_simulate_leaves_it_to_one_that_does() {
    let gas = message(&[Inner(1, message(&[Number(2, 7)]))]);
    let (without, with) = (node(101, |_| None), node(100, move |_| Some(query_answer(100, &gas))));
    assert_eq!(client(&[&without, &with]).simulate(vec![1], until()).await, Ok(Simulation::Gas(7)));
    assert_eq!(client(&[&without]).simulate(vec![1], until()).await, Ok(Simulation::NotOffered));
}

#[tokio::test]
async fn the_newest_inference_is_read_in_both_versions_and_its_absence_too() {
    for (version, method) in
        [("v9", "GetWorkerLatestInferenceByTopicId"), ("v10", "GetWorkerLatestInputInferenceByTopicId")]
    {
        let inference = message(&[Number(1, 67), Number(2, 4321), Text(3, ADDRESS), Text(4, "-1.2E-7")]);
        let path_of = format!("/emissions.{version}.QueryService/{method}");
        let has = node(100, move |path| {
            let answer = || query_answer(100, &message(&[Inner(1, inference.clone())]));
            params(path, version).or_else(|| (path == path_of).then(answer))
        });
        let expected = LatestInference { nonce: 4321, value: "-1.2E-7".to_owned() };
        assert_eq!(client(&[&has]).latest_inference(67, &address(), until()).await, Ok(Some(expected)));
        for code in [22, 6] {
            let none = node(100, move |path| {
                params(path, version).or_else(|| path.contains(version).then(|| query_refused(code, "not found: key")))
            });
            assert_eq!(client(&[&none]).latest_inference(67, &address(), until()).await, Ok(None));
        }
    }
}

#[tokio::test]
async fn a_window_is_read_with_what_it_says_about_the_worker() {
    let window =
        message(&[Number(1, 1), Number(2, 4320), Number(3, 4320), Number(4, 4440), Number(5, 5040), Number(7, 1)]);
    let node = node(100, move |path| {
        let is_window = path == "/emissions.v10.QueryService/GetWorkerSubmissionWindowStatus";
        params(path, "v10").or_else(|| is_window.then(|| query_answer(100, &window)))
    });
    let window = client(&[&node]).window_status(67, &address(), until()).await.unwrap();
    assert!(window.is_open && window.is_registered && !window.is_whitelisted && !window.is_topic_active);
    assert_eq!((window.nonce, window.end, window.next_start), (4320, 4440, 5040));
    let sent = node.params("abci_query").last().unwrap()["data"].as_str().unwrap().to_owned();
    let expected = message(&[Number(1, 67), Text(2, ADDRESS)]);
    assert_eq!(sent, data_encoding::HEXLOWER.encode(&expected));
}

/// One that is behind still shows the window that has closed.
#[tokio::test]
async fn a_nonce_of_an_endpoint_that_is_behind_is_not_acted_on() {
    let is_window = |path: &str| path.ends_with("/GetWorkerSubmissionWindowStatus");
    let newest = node(101, move |path| params(path, "v10").or_else(|| is_window(path).then_some(Reply::Drop)));
    let behind = || {
        let window = message(&[Number(1, 1), Number(2, 4320), Number(3, 4320), Number(4, 4440)]);
        node(100, move |path| params(path, "v10").or_else(|| is_window(path).then(|| query_answer(100, &window))))
    };
    let (one, two) = (behind(), behind());
    let alone = client(&[&newest, &one]).window_status(67, &address(), until()).await;
    assert!(matches!(alone, Err(ClientError::Endpoints(EndpointsError::Disagree { .. }))), "{alone:?}");
    let agreed = client(&[&newest, &one, &two]).window_status(67, &address(), until()).await.unwrap();
    assert_eq!(agreed.nonce, 4320);
}

#[tokio::test]
async fn the_parameters_are_amounts_beyond_64_bits() {
    let node = node(100, |path| params(path, "v10"));
    let read = client(&[&node]).params(until()).await.unwrap();
    assert_eq!((read.registration_fee_uallo, read.data_sending_fee_uallo), (200_000_000_000_000_000, 100));
}

/// A broadcaster is a task of its own.
#[test]
fn what_waits_for_the_chain_can_be_moved_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let node = Node::at(100);
    let (client, address) = (client(&[&node]), address());
    let endpoints = client.endpoints();
    is_send(&client.account(&address, until()));
    is_send(&client.simulate(vec![], until()));
    is_send(&client.latest_inference(67, &address, until()));
    is_send(&client.probe(until()));
    is_send(&endpoints.broadcast(&[], until()));
    is_send(&endpoints.tx(TxHash::of(b"x"), until()));
    is_send(&endpoints.tx_in_blocks(TxHash::of(b"x"), 1..=2, until()));
    is_send(&endpoints.latest(until()));
    is_send(&endpoints.header(1, until()));
}

#[test]
fn a_number_of_this_tests_encoder_is_what_prost_reads() {
    #[derive(Clone, PartialEq, Message)]
    struct Two {
        #[prost(uint64, tag = "2")]
        number: u64,
        #[prost(string, tag = "31")]
        text: String,
    }
    let read = Two::decode(message(&[Number(2, 300), Text(31, "y")]).as_slice()).unwrap();
    assert_eq!((read.number, &*read.text), (300, "y"));
}
