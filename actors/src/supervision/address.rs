//! The stable address of a restartable child. A ractor reference is of no use once its incarnation has ended; an address is
//! handed out once, by the wiring, and the supervisor points it at each new incarnation.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use ractor::{ActorCell, ActorRef, Message, MessagingErr, RpcReplyPort};

use super::identity::Generation;

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No incarnation takes messages; the request was not delivered.
    #[error("the actor is not running")]
    NotRunning,
    /// The incarnation ended, or dropped the request, without an answer.
    #[error("the actor ended before it answered")]
    Ended,
    /// No answer in time; the request may still be handled.
    #[error("the actor did not answer in time")]
    TimedOut,
}

/// Where messages for a child are sent, across its restarts.
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
    /// An address that points at no incarnation yet.
    #[must_use]
    pub fn new() -> Self {
        Self { current: Arc::new(ArcSwapOption::empty()) }
    }

    /// The address of an actor that is never replaced.
    #[must_use]
    pub fn of(actor: ActorRef<M>) -> Self {
        Self { current: Arc::new(ArcSwapOption::from_pointee((Generation(0), actor))) }
    }

    /// Sends to the running incarnation and says which that is. `Ok` means accepted, never handled: a mailbox is dropped
    /// with its actor.
    ///
    /// # Errors
    /// Returns the message when no incarnation runs.
    pub fn send(&self, message: M) -> Result<Generation, M> {
        let Some((generation, actor)) = self.current() else { return Err(message) };
        match actor.cast(message) {
            Err(MessagingErr::SendErr(message)) => Err(message),
            // The other errors are about wrong types and closed receivers; a typed cast has neither.
            Ok(()) | Err(_) => Ok(generation),
        }
    }

    /// The incarnation that messages go to now. It may be ending.
    #[must_use]
    pub fn current(&self) -> Option<(Generation, ActorRef<M>)> {
        self.current.load().as_ref().map(|current| (current.0, current.1.clone()))
    }

    /// Sends a request and waits for the answer.
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
            return Err(CallError::NotRunning);
        }
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(CallError::Ended),
            Err(_) => Err(CallError::TimedOut),
        }
    }
}

/// What supervision does with an address. It does not know the message type.
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
