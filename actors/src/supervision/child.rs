//! What is supervised: the specification of a child.
//!
//! Specifications are built once, by the wiring, and cloned into every incarnation of their owner. What must outlive the
//! owner is in the specification: the occupancy permit (there are never two incarnations at once) and the generation counter
//! (a generation number is never used twice).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ractor::concurrency::JoinHandle;
use ractor::{Actor, ActorCell, Message, RpcReplyPort, SpawnErr};
use tokio::sync::Semaphore;

use super::address::{Address, Pointer};
use super::event::Plan;
use super::identity::{ChildClass, ChildId, Generation};

pub(super) type Started = Result<(ActorCell, JoinHandle<()>), SpawnErr>;
type StartFn = dyn Fn(ActorCell, Generation) -> Pin<Box<dyn Future<Output = Started> + Send>> + Send + Sync;
type PingFn = dyn Fn(Duration) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync;

/// Everything that is needed to start a child, any number of times.
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
                    // Without a name: names are process-wide and freed before the actor has ended.
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

    /// The supervisor will ping it regularly. `address` is the one given to [`ChildSpec::new`].
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
    pub(super) fn record_generation(&self, generation: Generation) {
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
