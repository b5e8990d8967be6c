//! Knows which connections are new.
//!
//! A new connection may lead to another server, and its user may have to find out again who answers. And only a request on a
//! kept connection may be sent a second time when it fails: the server may have closed that connection while it was idle.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tower::{Layer, Service};

tokio::task_local! {
    /// Whether the request that this task sends has asked for a connection of its own.
    static CONNECTS: Cell<bool>;
}

/// Runs a request, and says whether it had a connection made instead of taking a kept one.
pub(super) async fn watching<T>(request: impl Future<Output = T>) -> (T, bool) {
    CONNECTS.scope(Cell::new(false), async move { (request.await, CONNECTS.with(Cell::get)) }).await
}

/// Number of connections that were made.
#[derive(Debug, Clone, Default)]
pub(super) struct Connects(Arc<AtomicU64>);

impl Connects {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S> Layer<S> for Connects {
    type Service = Watched<S>;

    fn layer(&self, connector: S) -> Watched<S> {
        Watched { connector, connects: self.clone() }
    }
}

/// A connector whose connections are counted.
#[derive(Clone)]
pub(super) struct Watched<S> {
    connector: S,
    connects: Connects,
}

impl<S, R> Service<R> for Watched<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, to: R) -> Self::Future {
        // The pool makes connections within the request's own task, so this finds the request that waits for it.
        let _ = CONNECTS.try_with(|connects| connects.set(true));
        let (connecting, connects) = (self.connector.call(to), self.connects.clone());
        Box::pin(async move {
            let connection = connecting.await?;
            connects.0.fetch_add(1, Ordering::Relaxed);
            Ok(connection)
        })
    }
}
