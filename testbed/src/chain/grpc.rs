//! The gRPC socket of a node: plain-text HTTP/2, unary calls, and exactly the methods that the official SDK calls. The answers
//! are those of `abci_query`.

use std::cell::Cell;
use std::future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::body::Bytes;
use prost::Message as _;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet};
use tokio_util::sync::CancellationToken;

use super::fault::Fault;
use super::port::listen;
use super::proto::{BroadcastReply, BroadcastRequest, TxResponse};
use super::query::{self, Query};
use super::refusal::Status;
use super::rpc;
use super::shared::{Shared, Transport};
use super::truth::{Broadcast, Reception};
use super::world::World;

const BROADCAST: &str = "/cosmos.tx.v1beta1.Service/BroadcastTx";
/// What the SDK calls, besides the broadcast.
const METHODS: [&str; 12] = [
    "/cosmos.base.tendermint.v1beta1.Service/GetNodeInfo",
    "/cosmos.auth.v1beta1.Query/AccountInfo",
    "/cosmos.auth.v1beta1.Query/Account",
    "/cosmos.bank.v1beta1.Query/Balance",
    "/cosmos.tx.v1beta1.Service/Simulate",
    "/cosmos.tx.v1beta1.Service/GetTx",
    "/feemarket.feemarket.v1.Query/GasPrice",
    "/emissions.v10.QueryService/GetTopic",
    "/emissions.v10.QueryService/IsWorkerRegisteredInTopicId",
    "/emissions.v10.QueryService/CanSubmitWorkerPayload",
    "/emissions.v10.QueryService/GetUnfulfilledWorkerNonces",
    "/emissions.v10.QueryService/GetLatestNetworkInferences",
];
/// Bytes of a request.
const REQUEST_MAX: usize = 4 << 20;
/// A message's frame: whether it is compressed, and its length.
const FRAME: usize = 5;

/// A node's socket; it ends when this is dropped, and so do its connections.
pub(super) struct Server {
    ends: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Serving {
    shared: Arc<Shared>,
    node: usize,
}

/// What a connection and its calls tell each other.
#[derive(Default)]
struct Leaving {
    is_wanted: Cell<bool>,
    told: Notify,
}

impl Server {
    /// Listens there.
    pub(super) fn start(shared: Arc<Shared>, node: usize, address: SocketAddr) -> io::Result<Self> {
        let listener = listen(address)?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ends = CancellationToken::new();
        let (serving, of_thread) = (Serving { shared, node }, ends.clone());
        let thread = thread::spawn(move || {
            LocalSet::new().block_on(&runtime, async move {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                let mut connections = JoinSet::new();
                loop {
                    let accepted = tokio::select! {
                        () = of_thread.cancelled() => break,
                        accepted = listener.accept() => accepted,
                    };
                    if let Ok((stream, _)) = accepted {
                        connections.spawn_local(serving.clone().connection(stream));
                    }
                }
            });
        });
        Ok(Self { ends, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Serving {
    /// A client that goes away or speaks no HTTP/2 is its own affair.
    async fn connection(self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        let (mut calls, leaving) = (JoinSet::new(), Rc::new(Leaving::default()));
        loop {
            let next = tokio::select! {
                next = connection.accept() => next,
                () = leaving.told.notified() => {
                    connection.graceful_shutdown();
                    continue;
                }
            };
            match next {
                Some(Ok((request, respond))) => {
                    calls.spawn_local(self.clone().call(request, respond, Rc::clone(&leaving)));
                }
                _ => return,
            }
        }
    }

    async fn call(self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>, leaving: Rc<Leaving>) {
        let path = request.uri().path().to_owned();
        let message = message(request.into_body()).await;
        let method = path.rsplit('/').next().unwrap_or_default().to_owned();
        let (reply, fault) = self.shared.handle((self.node, Transport::Grpc), &[&method], |world, fault| match message
            .as_deref()
            .map_err(Clone::clone)
        {
            Ok(data) => reply(world, self.node, &path, data, fault),
            Err(status) => (Err(status), None),
        });
        let reply = match (reply, rpc::grpc_fault(fault.as_ref())) {
            (_, Some(status)) => Err(status),
            (Some(reply), None) => reply,
            (None, None) => Err(Status::new(Status::UNAVAILABLE, "")),
        };
        match fault {
            Some(Fault::Hang) => future::pending().await,
            Some(Fault::LostReply | Fault::Reset | Fault::CutOff) => return respond.send_reset(Reason::INTERNAL_ERROR),
            Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
            Some(Fault::GoAway) if !leaving.is_wanted.replace(true) => leaving.told.notify_one(),
            _ => {}
        }
        // The client may have gone.
        let _ = send(&mut respond, reply);
    }
}

type Reply = Result<Vec<u8>, Status>;

fn reply(
    world: &mut World,
    node: usize,
    path: &str,
    data: &[u8],
    fault: Option<&Fault>,
) -> (Reply, Option<(String, Reception)>) {
    if path == BROADCAST {
        return match query::read::<BroadcastRequest>(data) {
            Ok(request) => broadcast(world, node, &request, fault),
            Err(status) => (Err(status), None),
        };
    }
    if !METHODS.contains(&path) {
        return (Err(Status::new(Status::UNIMPLEMENTED, format!("unknown method {path}"))), None);
    }
    let old_sequence = match fault {
        Some(Fault::OldSequence(by)) => *by,
        _ => 0,
    };
    (query::answer(world, &Query { node, path, data, height: None, old_sequence }), None)
}

fn broadcast(
    world: &mut World,
    node: usize,
    request: &BroadcastRequest,
    fault: Option<&Fault>,
) -> (Reply, Option<(String, Reception)>) {
    let Broadcast { hash, reception, .. } = rpc::receive(world, node, &request.tx_bytes, fault);
    let mut response = TxResponse { txhash: hash.clone(), ..TxResponse::default() };
    if let Reception::Refused(refusal) | Reception::NotAsked(refusal) = &reception {
        response.codespace.clone_from(&refusal.codespace);
        response.code = refusal.code;
        response.raw_log.clone_from(&refusal.log);
    }
    (Ok(BroadcastReply { tx_response: Some(response) }.encode_to_vec()), Some((hash, reception)))
}

/// The message of a unary call.
async fn message(mut body: RecvStream) -> Result<Vec<u8>, Status> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(|error| Status::new(Status::UNKNOWN, error.to_string()))?;
        let _ = body.flow_control().release_capacity(chunk.len());
        bytes.extend_from_slice(&chunk);
        if bytes.len() > REQUEST_MAX {
            return Err(Status::new(Status::INVALID_ARGUMENT, "the message is too large"));
        }
    }
    let bad = || Status::new(Status::INVALID_ARGUMENT, "the frame of the message is wrong");
    let (frame, message) = bytes.split_at_checked(FRAME).ok_or_else(bad)?;
    let length = u32::from_be_bytes(frame[1..].try_into().map_err(|_| bad())?);
    if frame[0] != 0 || usize::try_from(length).ok() != Some(message.len()) {
        return Err(bad());
    }
    Ok(message.to_vec())
}

fn send(respond: &mut SendResponse<Bytes>, reply: Reply) -> Result<(), h2::Error> {
    let mut head = Response::new(());
    head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    match reply {
        Ok(message) => {
            let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
            let frame = [&[0][..], &length.to_be_bytes(), &message].concat();
            let mut stream = respond.send_response(head, false)?;
            stream.send_data(Bytes::from(frame), false)?;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            stream.send_trailers(trailers)
        }
        Err(status) => {
            let text = HeaderValue::from_str(&escaped(&status.message)).ok();
            head.headers_mut().insert("grpc-status", HeaderValue::from(status.code));
            head.headers_mut().extend(text.map(|text| (http::HeaderName::from_static("grpc-message"), text)));
            respond.send_response(head, true).map(drop)
        }
    }
}

/// Percent-encoded where gRPC demands it.
fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
