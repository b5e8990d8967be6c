//! The stable address of a restartable child. A ractor reference dies with the incarnation; this one is handed out once
//! by the wiring and re-pointed by the supervisor.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use ractor::{ActorCell, ActorRef, Message, MessagingErr, RpcReplyPort};

use super::identity::Generation;

/// EndReason a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No incarnation takes messages; the request was not delivered.
    #[error("nobody is there")]
    NotThere,
    /// The incarnation ended, or dropped the request, without an answer.
    #[error("it died before it answered")]
    Died,
    /// No answer in time; the request may still be handled.
    #[error("it did not answer in time")]
    TimedOut,
}

/// Where a child is reached, across its restarts.
pub struct Address<M> {
    current: Arc<ArcSwapOption<(Generation, ActorRef<M>)>>,
}

impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self { current: Arc::clone(&self.current) }
    }
}

impl<M> std::fmt::Debug for Address<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the actor's id, which differs from run to run.
        f.debug_tuple("Address").field(&self.current.load().as_ref().map(|current| current.0)).finish()
    }
}

impl<M: Message> Default for Address<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Message> Address<M> {
    /// Nobody is there yet.
    #[must_use]
    pub fn new() -> Self {
        Self { current: Arc::new(ArcSwapOption::empty()) }
    }

    /// Sends to the running incarnation and says which that is. `Ok` means accepted, never handled: a mailbox is dropped
    /// with its actor.
    ///
    /// # Errors
    /// Gives the message back when nobody takes it.
    pub fn send(&self, message: M) -> Result<Generation, M> {
        let Some((generation, actor)) = self.current() else { return Err(message) };
        match actor.cast(message) {
            Err(MessagingErr::SendErr(message)) => Err(message),
            // The other errors are about wrong types and closed receivers; a typed cast has neither.
            Ok(()) | Err(_) => Ok(generation),
        }
    }

    /// The incarnation that messages go to now. It may be dying.
    #[must_use]
    pub fn current(&self) -> Option<(Generation, ActorRef<M>)> {
        self.current.load().as_ref().map(|current| (current.0, current.1.clone()))
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When there is no answer; see [`CallError`].
    pub async fn call<R: Send + 'static>(
        &self,
        make: impl FnOnce(RpcReplyPort<R>) -> M,
        timeout: Duration,
    ) -> Result<R, CallError> {
        let (port, answer) = tokio::sync::oneshot::channel();
        if self.send(make(RpcReplyPort::from((port, timeout)))).is_err() {
            return Err(CallError::NotThere);
        }
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(CallError::Died),
            Err(_) => Err(CallError::TimedOut),
        }
    }
}

/// The side of an address that supervision works: it does not know the message type.
pub(super) trait Pointer: Send + Sync {
    fn point_at(&self, generation: Generation, cell: ActorCell);

    /// Clears the address if it still points at `generation`.
    fn clear(&self, generation: Generation);
}

impl<M: Message> Pointer for Address<M> {
    fn point_at(&self, generation: Generation, cell: ActorCell) {
        self.current.store(Some(Arc::new((generation, ActorRef::from(cell)))));
    }

    fn clear(&self, generation: Generation) {
        self.current.rcu(|current| match current {
            Some(current) if current.0 == generation => None,
            other => other.clone(),
        });
    }
}
