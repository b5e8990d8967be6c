//! What is supervised: the identity of a child, its specification, and how an incarnation of it ended.
//!
//! Specifications are built once, by the wiring, and cloned into every incarnation of their owner. What must outlive the
//! owner is in the specification: the occupancy permit (never two incarnations at once, invariant I5) and the generation
//! counter (a generation number is never used twice).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ractor::concurrency::JoinHandle;
use ractor::{Actor, ActorCell, Message, RpcReplyPort, SpawnErr};
use tokio::sync::Semaphore;

use super::address::{Address, Pointer};
use super::crash::CrashReport;
use super::event::Plan;

/// Names a child inside its supervisor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(Arc<str>);

impl ChildId {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ChildId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for ChildId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for ChildId {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

/// Numbers the incarnations of a child, from 1, across restarts of its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Decides what a failure costs and what comes beyond the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildClass {
    /// Runs for ever; ending by itself is a failure.
    Worker,
    /// A worker without which nothing may go on.
    Critical,
    /// Beyond its budget it is parked and probed; ending normally it has finished.
    Pipeline,
}

/// How an incarnation ended.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ChildEnd {
    /// A panic, in its start or later.
    #[error("{0}")]
    Panicked(CrashReport),
    /// It returned an error.
    #[error("failed: {0}")]
    Failed(String),
    /// Killed, or its task cancelled, by nobody in here.
    #[error("was killed")]
    Killed,
    /// Killed by the supervisor, because it did not answer.
    #[error("hung: {0}")]
    Hung(String),
    /// It did not pass its start.
    #[error("did not start: {0}")]
    StartFailed(String),
    /// It ended normally, by itself.
    #[error("ended by itself")]
    Finished,
    /// It ended because the supervisor asked for it.
    #[error("was stopped")]
    Stopped,
}

pub(super) type Started = Result<(ActorCell, JoinHandle<()>), SpawnErr>;
type StartFn = dyn Fn(ActorCell, Generation) -> Pin<Box<dyn Future<Output = Started> + Send>> + Send + Sync;
type PingFn = dyn Fn(Duration) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync;

/// All that is needed to start a child, again and again.
#[derive(Clone)]
pub struct ChildSpec {
    pub(super) id: ChildId,
    pub(super) class: ChildClass,
    pub(super) tier: u8,
    pub(super) grace: Duration,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) start: Arc<StartFn>,
    pub(super) pointer: Arc<dyn Pointer>,
    pub(super) ping: Option<Arc<PingFn>>,
    pub(super) occupancy: Arc<Semaphore>,
    last: Arc<AtomicU64>,
}

impl ChildSpec {
    /// A child of tier 0 with a grace of 5 s. `make` runs on `runtime`, once for each incarnation.
    pub fn new<A: Actor>(
        id: impl Into<ChildId>,
        class: ChildClass,
        runtime: tokio::runtime::Handle,
        address: &Address<A::Msg>,
        make: impl Fn(Generation) -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> Self {
        let make = Arc::new(make);
        Self {
            id: id.into(),
            class,
            tier: 0,
            grace: Duration::from_secs(5),
            runtime,
            start: Arc::new(move |owner, generation| {
                let make = Arc::clone(&make);
                Box::pin(async move {
                    let (actor, arguments) = make(generation);
                    // Without a name: names are process-wide and freed before the actor is gone.
                    let (actor, task) = Actor::spawn_linked(None, actor, arguments, owner).await?;
                    Ok((actor.get_cell(), task))
                })
            }),
            pointer: Arc::new(address.clone()),
            ping: None,
            occupancy: Arc::new(Semaphore::new(1)),
            last: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Tiers are started in ascending and stopped in descending order; inside a tier all at once. A tier is started when
    /// every child of the one before has started, or failed to, once.
    #[must_use]
    pub fn tier(self, tier: u8) -> Self {
        Self { tier, ..self }
    }

    /// Time between `stop` and `kill` when it is asked to end.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Lets the supervisor ask it regularly whether it is alive. `address` is the one given to [`ChildSpec::new`].
    #[must_use]
    pub fn pinged<M: Message>(
        self,
        address: &Address<M>,
        make: impl Fn(RpcReplyPort<()>) -> M + Send + Sync + 'static,
    ) -> Self {
        let (address, make) = (address.clone(), Arc::new(make));
        let ping: Arc<PingFn> = Arc::new(move |timeout| {
            let (address, make) = (address.clone(), Arc::clone(&make));
            Box::pin(async move { address.call(|port| make(port), timeout).await.is_ok() })
        });
        Self { ping: Some(ping), ..self }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &ChildId {
        &self.id
    }

    pub(super) fn plan(&self) -> Plan {
        Plan {
            id: self.id.clone(),
            class: self.class,
            tier: self.tier,
            grace: self.grace,
            pinged: self.ping.is_some(),
            last: Generation(self.last.load(Ordering::Acquire)),
        }
    }

    /// Lets a later owner number its incarnations after this one.
    pub(super) fn note(&self, generation: Generation) {
        self.last.fetch_max(generation.0, Ordering::AcqRel);
    }
}

impl std::fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("class", &self.class)
            .field("tier", &self.tier)
            .finish_non_exhaustive()
    }
}
