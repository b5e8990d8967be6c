//! The hub's sockets: one thread, HTTP/1.1, kept-alive connections that end after [`IDLE`] as uvicorn's do.
//!
//! It decides nothing: [`Scoring`] makes the answers. It never holds more than [`CONNECTIONS_MAX`] connections and never
//! reads more than [`BODY_MAX`] of a body.

use std::cell::RefCell;
use std::future;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, SERVER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{Answer, Reply};
use super::body::Outgoing;
use super::proxy::Proxy;
use super::scoring::{HubRequest, Scoring};
use super::{HubError, Options};

/// A connection without a request for this long ends.
const IDLE: Duration = Duration::from_secs(5);
/// Largest body that is read, in bytes.
const BODY_MAX: usize = 16 * 1024 * 1024;
/// Connections at a time; the next one waits.
const CONNECTIONS_MAX: usize = 256;
/// How long a request that has begun may take when the hub ends.
const GRACE: Duration = Duration::from_secs(1);
/// Pause after an accept that failed, for example for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// The connection is to end without an answer.
#[derive(Debug, thiserror::Error)]
#[error("dropped")]
struct Dropped;

struct Hub {
    proxy: Proxy,
    scoring: RefCell<Scoring>,
}

pub(super) fn run(
    options: &Options,
    scoring: Scoring,
    listening: impl FnOnce(SocketAddr),
    shutdown: &CancellationToken,
) -> Result<(), HubError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(HubError::System)?;
    LocalSet::new().block_on(&runtime, async {
        let refused = |source| HubError::Listen { host: options.host.clone(), port: options.port, source };
        let listener = TcpListener::bind((options.host.as_str(), options.port)).await.map_err(refused)?;
        listening(listener.local_addr().map_err(HubError::System)?);
        let hub = Rc::new(Hub { proxy: options.proxy.clone(), scoring: RefCell::new(scoring) });
        accept(&listener, hub, shutdown).await;
        Ok(())
    })
}

async fn accept(listener: &TcpListener, hub: Rc<Hub>, shutdown: &CancellationToken) {
    let connections = TaskTracker::new();
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let next = async { (Arc::clone(&free).acquire_owned().await, listener.accept().await) };
        let (permit, accepted) = tokio::select! {
            () = shutdown.cancelled() => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                hub.scoring.borrow_mut().connected();
                let connection = connection(stream, Rc::clone(&hub), shutdown.clone());
                spawn_local(connections.track_future(async move {
                    let _permit = permit;
                    connection.await;
                }));
            }
            Err(_) => sleep(ACCEPT_AGAIN).await,
        }
    }
    connections.close();
    let _ = timeout(GRACE, connections.wait()).await;
}

async fn connection(stream: TcpStream, hub: Rc<Hub>, shutdown: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(request, &hub));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // A client that goes away or sends no HTTP is its own affair.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer(request: Request<Incoming>, hub: &Hub) -> Result<Response<Outgoing>, Dropped> {
    let (head, body) = request.into_parts();
    let too_large = || response(Answer::detail(413, "Request body too large"), Outgoing::whole);
    if body.size_hint().lower() > BODY_MAX as u64 {
        return too_large();
    }
    let body = match Limited::new(body, BODY_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return too_large(),
        Err(_) => return Err(Dropped),
    };
    if let Some(page) = hub.proxy.refuse(&head.headers) {
        return response(page, Outgoing::whole);
    }
    // Header values may be any bytes; the web framework takes them for Latin-1.
    let latin = |value: &HeaderValue| value.as_bytes().iter().copied().map(char::from).collect::<String>();
    let content_type = head.headers.get(CONTENT_TYPE).map(latin);
    let asked = HubRequest {
        method: head.method.as_str(),
        path: head.uri.path(),
        content_type: content_type.as_deref(),
        body: &body,
    };
    let reply = hub.scoring.borrow_mut().reply(&asked);
    match reply {
        Reply::Whole(answer) => response(answer, Outgoing::whole),
        Reply::Dribble(answer, time) => response(answer, |body| Outgoing::dribble(body, time)),
        Reply::Hang => future::pending().await,
        Reply::Drop => Err(Dropped),
    }
}

fn response(answer: Answer, body: impl FnOnce(Vec<u8>) -> Outgoing) -> Result<Response<Outgoing>, Dropped> {
    let mut response =
        Response::builder().status(answer.status).header(SERVER, "uvicorn").header(CONTENT_TYPE, answer.content_type);
    if let Some(allow) = answer.allow {
        response = response.header(ALLOW, allow);
    }
    response.body(body(answer.body)).map_err(|_| Dropped)
}
