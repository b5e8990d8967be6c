//! gRPC: the methods of the official SDK and no others, with the answers of `abci_query`.

use std::future;
use std::time::Duration;

use h2::client;
use http::Request;
use hyper::body::Bytes;
use sentinel_testbed::chain::{Chain, Transport};
use tokio::net::TcpStream;

use crate::proto::{Message, bytes, number, text};
use crate::support::{NONCE, chain_with, of_worker, open, submission};

type Reply = Result<Message, (u32, String)>;

/// A unary call, which ends within the test's patience.
fn call(chain: &Chain, path: &str, data: &[u8]) -> Reply {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let frame = [&[0][..], &u32::try_from(data.len()).unwrap().to_be_bytes(), data].concat();
    let address = chain.grpc_address(0);
    let call = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = client::handshake(stream).await.unwrap();
        let exchange = async {
            let mut sender = sender.ready().await.unwrap();
            let request = Request::post(format!("http://{address}{path}")).header("te", "trailers").body(()).unwrap();
            let (response, mut body) = sender.send_request(request, false).unwrap();
            body.send_data(Bytes::from(frame), true).unwrap();
            let response = response.await.map_err(|error| (99, error.to_string()))?;
            let status = |headers: &http::HeaderMap| {
                let code = headers.get("grpc-status").map(|code| code.to_str().unwrap().parse::<u32>().unwrap());
                let text = headers.get("grpc-message").map(|text| text.to_str().unwrap().to_owned());
                (code, text.unwrap_or_default())
            };
            if let (Some(code), text) = status(response.headers()) {
                return Err((code, text));
            }
            let (mut body, mut reply) = (response.into_body(), Vec::new());
            while let Some(chunk) = body.data().await {
                reply.extend_from_slice(&chunk.unwrap());
            }
            assert_eq!(status(&body.trailers().await.unwrap().unwrap()).0, Some(0));
            Ok(Message::read(&reply[5..]))
        };
        tokio::select! {
            reply = exchange => reply,
            // A connection that ends still leaves the answers that came before.
            () = async { drop(connection.await); future::pending().await } => unreachable!(),
        }
    };
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), call).await.unwrap() })
}

#[test]
fn each_method_that_the_sdk_calls_is_served() {
    let (chain, wallet) = open();
    let address = text(1, &wallet.address);
    let mine = of_worker(&wallet.address);
    let get = |path: &str, data: &[u8]| call(&chain, path, data).unwrap_or_else(|error| panic!("{path}: {error:?}"));
    assert_eq!(get("/cosmos.base.tendermint.v1beta1.Service/GetNodeInfo", b"").message(1).text(4), "allora-testnet-1");
    assert_eq!(get("/cosmos.auth.v1beta1.Query/AccountInfo", &address).message(1).number(3), 123_456);
    assert_eq!(
        get("/cosmos.auth.v1beta1.Query/Account", &address).message(1).text(1),
        "/cosmos.auth.v1beta1.BaseAccount"
    );
    let balance = get("/cosmos.bank.v1beta1.Query/Balance", &[address.clone(), text(2, "uallo")].concat());
    assert_eq!(balance.message(1).text(2), "1000000000");
    assert_eq!(get("/feemarket.feemarket.v1.Query/GasPrice", &text(1, "uallo")).message(1).text(1), "uallo");
    assert_eq!(get("/emissions.v10.QueryService/GetTopic", &number(1, 67)).message(1).number(1), 67);
    assert_eq!(get("/emissions.v10.QueryService/IsWorkerRegisteredInTopicId", &mine).number(1), 1);
    assert_eq!(get("/emissions.v10.QueryService/CanSubmitWorkerPayload", &mine).number(1), 1);
    let nonces = get("/emissions.v10.QueryService/GetUnfulfilledWorkerNonces", &number(1, 67));
    assert_eq!(nonces.message(1).message(1).number(1), 1_005);
    let draft = submission(&wallet, 0, NONCE, "0.5");
    assert!(get("/cosmos.tx.v1beta1.Service/Simulate", &bytes(2, &draft.unsigned())).message(1).number(2) > 300_000);
    let broadcast = [bytes(1, &draft.bytes()), number(2, 2)].concat();
    let response = get("/cosmos.tx.v1beta1.Service/BroadcastTx", &broadcast).message(1);
    let hash = response.text(2);
    assert_eq!((response.number(4), hash.len()), (0, 64));
    let (code, log) = call(&chain, "/cosmos.tx.v1beta1.Service/GetTx", &text(1, &hash)).unwrap_err();
    assert!(code == 5 && log.contains("tx not found"), "{log}");
    chain.blocks_to(NONCE + 10);
    assert_eq!(get("/cosmos.tx.v1beta1.Service/GetTx", &text(1, &hash)).message(2).number(1), 1_006);
    let latest = get("/emissions.v10.QueryService/GetLatestNetworkInferences", &number(1, 67));
    assert_eq!(latest.number(5), 1_005);
    assert!(chain.log().iter().all(|asked| asked.transport == Transport::Grpc));
}

#[test]
fn a_method_beyond_those_is_not_implemented() {
    let (chain, _) = open();
    for path in ["/emissions.v10.QueryService/GetParams", "/emissions.v9.QueryService/GetTopic", "/x/Y"] {
        assert_eq!(call(&chain, path, b"").unwrap_err().0, 12, "{path}");
    }
}

#[test]
fn a_refused_broadcast_has_the_codes_of_grpc() {
    let (chain, wallet) = open();
    let send = |bytes: &[u8]| {
        let data = [crate::proto::bytes(1, bytes), number(2, 2)].concat();
        let response = call(&chain, "/cosmos.tx.v1beta1.Service/BroadcastTx", &data).unwrap().message(1);
        (response.number(4), response.text(3), response.text(6))
    };
    assert_eq!(send(&submission(&wallet, 3, NONCE, "0.5").bytes()).0, 32);
    let good = submission(&wallet, 0, NONCE, "0.5").bytes();
    assert_eq!(send(&good).0, 0);
    assert_eq!(send(&good), (19, "sdk".to_owned(), "tx already exists in cache".to_owned()));
}

#[test]
fn a_message_in_a_wrong_frame_is_an_invalid_argument() {
    let (chain, _) = open();
    assert_eq!(call(&chain, "/cosmos.auth.v1beta1.Query/AccountInfo", &[0xff]).unwrap_err().0, 3);
}

#[test]
fn grpc_meets_the_faults_of_its_node() {
    let (chain, wallet) = chain_with(|_| {});
    let ask = || call(&chain, "/cosmos.auth.v1beta1.Query/AccountInfo", &text(1, &wallet.address));
    let faults =
        ["AccountInfo:http=503@1", "AccountInfo:error=boom@2", "AccountInfo:lost-reply@3", "AccountInfo:go-away@4"];
    chain.script(0, &faults).unwrap();
    assert_eq!(ask().unwrap_err(), (14, "HTTP status 503".to_owned()));
    assert_eq!(ask().unwrap_err(), (2, "boom".to_owned()));
    assert!(ask().is_err_and(|(code, _)| code == 99));
    assert!(ask().is_ok(), "an answer that has begun is finished before the connection goes away");
    chain.script(0, &["AccountInfo:old-sequence=1", "*:delay=1ms"]).unwrap();
    assert_eq!(ask().unwrap().message(1).number(4), 0);
}

#[test]
fn a_node_that_is_down_serves_no_grpc_until_it_is_up() {
    let (chain, wallet) = chain_with(|_| {});
    let address = chain.grpc_address(0);
    chain.down(0);
    assert!(std::net::TcpStream::connect(address).is_err());
    chain.up(0).unwrap();
    assert!(call(&chain, "/cosmos.auth.v1beta1.Query/AccountInfo", &text(1, &wallet.address)).is_ok());
}
