//! The connection to a gateway: one ZeroMQ REQ socket per endpoint, one request at a time, each with a deadline of its own.
//!
//! It distinguishes what never left from what may have arrived. Until a connection stands, libzmq takes no message
//! (`ZMQ_IMMEDIATE`), so a send that is still pending at its deadline is proof that no byte left; its socket is closed with
//! linger 0 and delivers nothing later. After a completed send nothing is proven any more.
//!
//! A REQ socket that missed a reply may take that reply for the next one. So a socket is kept only after a complete
//! exchange: a caller that fails, gives up or is dropped closes it, and the next request begins with a fresh one.
//!
//! A socket belongs to the tokio runtime that opened it, so all requests of a process must come from one runtime.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use sentinel_actors::meters::{Called, Calls};
use sentinel_actors::ports::{MayLeave, elapsed_now};
use tmq::request_reply::RequestSender;
use tmq::{AsZmqSocket as _, Context, Message, Multipart, TmqError};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::sentinel::Session;

/// No reply of a gateway comes near this; a longer one ends the connection before it is read.
const REPLY_BYTES_MAX: i64 = 64 * 1024;

/// First and longest pause between two attempts to connect while a request waits.
const RECONNECT_MS: (i32, i32) = (100, 1_000);

/// Idle time before the first probe of a silent connection, pause between probes, and how many may go unanswered.
const KEEPALIVE: (i32, i32, i32) = (30, 10, 3);

/// Where a gateway listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GatewayAddress {
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl GatewayAddress {
    fn is_ipv6(&self) -> bool {
        self.host.contains(':')
    }
}

impl fmt::Display for GatewayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ipv6() {
            write!(f, "tcp://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "tcp://{}:{}", self.host, self.port)
        }
    }
}

/// How a request went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// The reply, as it came.
    Reply(Vec<u8>),
    /// No byte of the request left, and none will; the text is the proof.
    NeverLeft(String),
    /// The request was sent, and there is no reply to it.
    NoReply(String),
}

/// The connection to one endpoint, shared by all parts of the process that use it.
pub struct Link {
    address: GatewayAddress,
    line: Mutex<Line>,
    /// What was taken for a reply turned out to be none: the kept socket goes before the next request.
    distrusted: AtomicBool,
    /// Questions so far that are about no order: each has an id of its own.
    questions: AtomicU64,
    /// Where its requests are counted; nowhere until it is told.
    calls: OnceLock<Arc<Calls>>,
    /// For a dialect that talks in sessions.
    session: Session,
}

#[derive(Default)]
struct Line {
    /// Taken out while a request is under way.
    kept: Option<RequestSender>,
    /// A request left and its exchange did not come to a good end.
    missed: bool,
}

/// The process's link to this endpoint.
#[must_use]
pub fn link(address: GatewayAddress) -> Arc<Link> {
    static LINKS: OnceLock<std::sync::Mutex<HashMap<GatewayAddress, Weak<Link>>>> = OnceLock::new();
    let mut links = LINKS.get_or_init(Default::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(link) = links.get(&address).and_then(Weak::upgrade) {
        return link;
    }
    let link = Arc::new(Link {
        address: address.clone(),
        line: Mutex::default(),
        distrusted: AtomicBool::new(false),
        questions: AtomicU64::new(0),
        calls: OnceLock::new(),
        session: Session::default(),
    });
    links.retain(|_, link| link.strong_count() > 0);
    links.insert(address, Arc::downgrade(&link));
    link
}

impl Link {
    /// Where it leads.
    #[must_use]
    pub fn address(&self) -> &GatewayAddress {
        &self.address
    }

    /// What the gateway has said of itself, where its dialect talks in sessions.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Counts its requests there from now on, unless they are counted elsewhere already: a process has one link to an endpoint.
    pub fn count_in(&self, calls: Arc<Calls>) {
        let _ = self.calls.set(calls);
    }

    /// The number of the next question that is about no order.
    #[must_use]
    pub fn next_question(&self) -> u64 {
        self.questions.fetch_add(1, Ordering::Relaxed)
    }

    /// The last reply was not what it was taken for: the next request begins with a fresh socket.
    pub fn distrust(&self) {
        self.distrusted.store(true, Ordering::Release);
    }

    /// Sends a request and waits for its reply. `deadline` is for all of it, waiting for other requests included; `may_leave`
    /// is asked right before the send. A reply that is not `sound` is handed out as it came, and its socket is not used again.
    pub async fn exchange(
        &self,
        request: &[u8],
        deadline: Duration,
        may_leave: MayLeave<'_>,
        sound: impl Fn(&[u8]) -> bool,
    ) -> Exchange {
        let until = elapsed_now() + deadline;
        let exchange = self.try_exchange(request, (deadline, until), may_leave, &sound).await;
        if let Some(calls) = self.calls.get() {
            calls.count(match &exchange {
                Exchange::Reply(reply) if sound(reply) => Called::Ok,
                Exchange::Reply(_) => Called::Refused,
                Exchange::NoReply(_) if elapsed_now() >= until => Called::Timeout,
                Exchange::NoReply(_) | Exchange::NeverLeft(_) => Called::Failed,
            });
        }
        exchange
    }

    async fn try_exchange(
        &self,
        request: &[u8],
        (deadline, until): (Duration, Instant),
        may_leave: MayLeave<'_>,
        sound: &impl Fn(&[u8]) -> bool,
    ) -> Exchange {
        let Some(mut line) = before(until, &|| true, self.line.lock()).await else {
            return Exchange::NeverLeft(format!(
                "other requests occupied the link to {} for {deadline:?}",
                self.address
            ));
        };
        let socket = match self.socket(&mut line) {
            Ok(socket) => socket,
            Err(error) => {
                return Exchange::NeverLeft(format!("no socket to {} could be opened: {error}", self.address));
            }
        };
        // Dropping the pending send drops the socket, and the request with it.
        let waiting = match before(until, may_leave, socket.send(Multipart::from(Message::from(request)))).await {
            None if !may_leave() => {
                return Exchange::NeverLeft(format!("it became too old while it waited for {}", self.address));
            }
            None => return Exchange::NeverLeft(format!("{} did not take it within {deadline:?}", self.address)),
            Some(sent) => {
                line.missed = true;
                match sent {
                    Ok(waiting) => waiting,
                    Err(error) => return Exchange::NoReply(format!("sending to {} failed: {error}", self.address)),
                }
            }
        };
        // A reply that is there counts, even when it is looked at too late.
        let (parts, socket) = match timeout_at(until, waiting.recv()).await {
            Err(_) => return Exchange::NoReply(format!("{} did not reply within {deadline:?}", self.address)),
            Ok(Err(error)) => return Exchange::NoReply(format!("the reply of {} failed: {error}", self.address)),
            Ok(Ok(received)) => received,
        };
        let [reply] = &*Vec::from(parts.0) else {
            return Exchange::NoReply(format!("{} replied in several parts", self.address));
        };
        if sound(reply) {
            *line = Line { kept: Some(socket), missed: false };
        }
        Exchange::Reply(reply.to_vec())
    }

    /// The kept socket, or a fresh one when there is none or its connection is gone.
    fn socket(&self, line: &mut Line) -> Result<RequestSender, TmqError> {
        if self.distrusted.swap(false, Ordering::AcqRel) {
            *line = Line { kept: None, missed: true };
        }
        if let Some(kept) = line.kept.take()
            && kept.get_socket().get_events()?.contains(zmq::POLLOUT)
        {
            return Ok(kept);
        }
        if std::mem::take(&mut line.missed) {
            tracing::warn!(
                event = "gateway_socket_replaced",
                endpoint = %self.address,
                "the last request has no usable reply; its socket is closed and a fresh one takes its place"
            );
        }
        let (first, longest) = RECONNECT_MS;
        let (idle, pause, probes) = KEEPALIVE;
        tmq::request(context())
            .set_linger(0)
            .set_immediate(true)
            .set_ipv6(self.address.is_ipv6())
            .set_maxmsgsize(REPLY_BYTES_MAX)
            .set_reconnect_ivl(first)
            .set_reconnect_ivl_max(longest)
            .set_tcp_keepalive(1)
            .set_tcp_keepalive_idle(idle)
            .set_tcp_keepalive_intvl(pause)
            .set_tcp_keepalive_cnt(probes)
            .connect(&self.address.to_string())
    }
}

/// The process's one context. It is never dropped: ending a context waits for its sockets and can block without end.
fn context() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(Context::new)
}

/// What `work` comes to before `until`. At `until` it is not touched any more, however late the task gets to run: what
/// would be done too late is not done.
async fn before<T>(until: Instant, may_go_on: MayLeave<'_>, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let in_time = poll_fn(|cx| match elapsed_now() >= until || !may_go_on() {
        true => Poll::Ready(None),
        false => work.as_mut().poll(cx).map(Some),
    });
    timeout_at(until, in_time).await.unwrap_or(None)
}
