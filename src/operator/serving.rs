//! How a server of the operator's side lets clients in, and for how long: the one accept loop of control socket and page.
//!
//! Promises kept: there are never more connections than the limit. One that is silent, dribbles or does not read is closed. When the
//! system lets nobody in, because no file descriptors are left, it is asked again more and more rarely, and the node goes on.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sentinel_actors::error_chain::chain;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::Sleep;

/// How long nobody is accepted after the system refused to: it has no file descriptors left, as a rule.
const ACCEPT_PAUSE: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// What a client may take. A connection carries one request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A request's head is there within this, or the connection is closed; also that of one that says nothing at all.
    pub head_within: Duration,
    /// A connection lasts no longer, whether or not its client reads, unless its answer has no end, as news for an open page have none.
    pub connection_max: Duration,
    /// A client that takes nothing of an answer for so long does not read it.
    pub taken_within: Duration,
    /// More connections than these wait until one of them has ended.
    pub connections: usize,
    /// The longest head of a request, in bytes.
    pub head_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_within: Duration::from_secs(5),
            connection_max: Duration::from_secs(30),
            taken_within: Duration::from_secs(30),
            connections: 64,
            head_bytes: 16 << 10,
        }
    }
}

/// Set by what answers without an end: its connection lasts as long as its client reads.
#[derive(Debug, Clone, Default)]
pub struct Lasting(Arc<AtomicBool>);

impl Lasting {
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

pub(super) type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Answers the request of one connection.
pub(super) type Handler = Box<dyn Fn(Request) -> Answering + Send + Sync>;

/// A server: who is let in, and what is said of those who are not.
pub(super) trait Door {
    type Stream;

    /// What answers whoever is at the other end; `None` when nothing does.
    fn admit(&self, stream: &Self::Stream) -> Option<Handler>;

    /// The system lets nobody in. Said once, until it has let somebody in again.
    fn refuses(&self, error: &io::Error);

    /// A connection did not end in order.
    fn broke_off(why: &dyn fmt::Display);
}

/// Where clients come from.
pub(super) trait Listen {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept_one(&self) -> impl Future<Output = io::Result<Self::Stream>>;
}

impl Listen for UnixListener {
    type Stream = UnixStream;

    async fn accept_one(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// Serves until it is told to stop.
///
/// # Errors
/// When it can serve nobody any more.
pub(super) async fn serve<L, D>(
    listener: &L,
    door: &D,
    limits: Limits,
    mut stop: oneshot::Receiver<()>,
) -> io::Result<()>
where
    L: Listen,
    D: Door<Stream = L::Stream> + 'static,
{
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    let mut pause = ACCEPT_PAUSE[0];
    loop {
        while connections.try_join_next().is_some() {}
        let permit = tokio::select! {
            _ = &mut stop => return Ok(()),
            permit = permits.clone().acquire_owned() => permit.map_err(io::Error::other)?,
        };
        let accepted = tokio::select! {
            _ = &mut stop => return Ok(()),
            accepted = listener.accept_one() => accepted,
        };
        match accepted {
            Ok(stream) => {
                pause = ACCEPT_PAUSE[0];
                if let Some(handler) = door.admit(&stream) {
                    connections.spawn(connection::<D, _>(stream, handler, limits, permit));
                }
            }
            Err(error) => {
                if pause == ACCEPT_PAUSE[0] {
                    door.refuses(&error);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE[1]);
            }
        }
    }
}

async fn connection<D, S>(stream: S, handler: Handler, limits: Limits, permit: OwnedSemaphorePermit)
where
    D: Door<Stream = S>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let _permit = permit;
    let lasting = Lasting::default();
    let service = service_fn(|request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(lasting.clone());
        let answering = handler(request);
        async { Ok::<_, Infallible>(answering.await) }
    });
    let mut served = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_within)
            .max_buf_size(limits.head_bytes)
            .keep_alive(false)
            .serve_connection(TokioIo::new(Taken::within(limits.taken_within, stream)), service)
    );
    let ended = match tokio::time::timeout(limits.connection_max, &mut served).await {
        Err(_) if lasting.is_set() => Ok(served.await),
        ended => ended,
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => D::broke_off(&chain(&error)),
        Err(_) => D::broke_off(&"it lasted too long"),
    }
}

/// A connection that fails when its client has taken nothing for so long although there was something.
struct Taken<S> {
    stream: S,
    limit: Duration,
    /// Runs while the client takes nothing.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Taken<S> {
    const fn within(limit: Duration, stream: S) -> Self {
        Self { stream, limit, waiting: None }
    }

    fn wait<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = None;
            return polled;
        }
        let limit = self.limit;
        ready!(self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "its client does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wait(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.wait(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
