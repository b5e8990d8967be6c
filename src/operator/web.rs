//! The page's server: what is seen of a running node over TCP. It changes nothing: halt, resume and settle go through the control socket.
//!
//! Promises kept: nothing here delays a cycle, because thread, runtime and journal handle are its own. A request under a foreign name is
//! answered by nothing, so that no page of the web can read this one. Beyond loopback nothing is answered without the token.
//!
//! * [`rules`]: who may ask for what. * [`token`]: what proves it. * `gate`: what every request and every answer goes through.
//! * `probes`, [`api`]: what is answered to programs. * [`events`]: how an open page learns that something is new.

pub mod api;
pub mod events;
mod gate;
mod probes;
mod query;
mod rows;
pub mod rules;
pub mod token;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use sentinel_actors::error_chain::chain;
use sentinel_actors::status::Beat;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use self::gate::Gate;
use self::rules::Rules;
use super::live_node::LiveNode;
use super::metrics;
use super::page;
use super::serving::{self, Door, Handler, Listen};

pub use super::serving::Limits;

/// Between two signs that the thread moves.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// All that is answered, before anybody is asked who he is.
pub fn router(shown: LiveNode) -> Router {
    let metrics = metrics::router(shown.clone());
    let page = page::router(shown.clone());
    let shown = Arc::new(shown);
    let own = probes::router(shown.clone()).merge(api::router(shown.clone())).merge(events::router(shown));
    own.merge(metrics).merge(page).fallback(gate::not_here)
}

/// The address of the page, taken before the node does anything: whoever connects waits until it is served.
pub struct Listening {
    listener: StdListener,
    address: SocketAddr,
}

impl Listening {
    /// Port 0 takes one that is free.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn at(address: SocketAddr) -> io::Result<Self> {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self { address: listener.local_addr()?, listener })
    }

    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves it from a thread of its own.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn serve(self, rules: Rules, limits: Limits, shown: LiveNode) -> io::Result<WebServer> {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let Self { listener, address } = self;
        let beat = shown.board.page.clone();
        // From here on it is missed when it does not move.
        beat.note();
        std::thread::Builder::new().name("web".to_owned()).spawn(move || {
            let _end = End;
            let door = Page(Arc::new(Gate::new(rules, address.ip(), router(shown))));
            let served = runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                tokio::select! {
                    served = serving::serve(&listener, &door, limits, stopped) => served,
                    never = beat_of(&beat) => match never {},
                }
            });
            match served {
                Ok(()) => beat.end(),
                Err(error) => {
                    warn!(event = "page_failed", error = %chain(&error), "the page cannot be served");
                }
            }
            runtime.shutdown_background();
        })?;
        info!(event = "page_served", %address, "the page, its metrics and its probes are served");
        Ok(WebServer { stop: Some(stop), address })
    }
}

/// The server of a running node. It ends when this value goes.
pub struct WebServer {
    stop: Option<oneshot::Sender<()>>,
    address: SocketAddr,
}

impl WebServer {
    /// Listens and serves.
    ///
    /// # Errors
    /// When the address cannot be had, or the thread not be started.
    pub fn start(listen: SocketAddr, rules: Rules, shown: LiveNode) -> io::Result<Self> {
        Listening::at(listen)?.serve(rules, Limits::default(), shown)
    }

    /// Where it listens; with the port that it has.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        // Nobody waits for the thread: the end of the node must not depend on it.
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

/// Shows the verdict that the thread moves.
async fn beat_of(beat: &Beat) -> Infallible {
    loop {
        beat.note();
        tokio::time::sleep(BEAT_EVERY).await;
    }
}

/// Says that the thread has ended although nobody told it to.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        if std::thread::panicking() {
            warn!(event = "page_failed", error = "its thread panicked", "the page is not served any more");
        }
    }
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn accept_one(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

struct Page(Arc<Gate>);

impl Door for Page {
    type Stream = TcpStream;

    fn admit(&self, stream: &TcpStream) -> Option<Handler> {
        // Who is gone already has no address.
        let peer = stream.peer_addr().ok()?.ip();
        let gate = self.0.clone();
        Some(Box::new(move |request: Request| {
            let gate = gate.clone();
            Box::pin(async move { gate.answer(request, peer).await })
        }))
    }

    fn refuses(&self, error: &io::Error) {
        warn!(event = "page_refuses", error = %chain(error), "nobody can look at the page for a while");
    }

    fn broke_off(why: &dyn fmt::Display) {
        debug!(event = "page_connection_ended", error = %why, "a connection to the page did not end in order");
    }
}
