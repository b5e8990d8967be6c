//! Places where tests inject faults.

use std::time::Duration;

/// Named places in the code where the simulator, the chaos demo and the kill tests inject a fault. None is injected in
/// production.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultPoint {
    PreStart,
    PostStart,
    PostStop,
    SupervisorEvent,
    FetcherHandle,
    FeaturesHandle,
    PredictorHandle,
    ExecutorHandle,
    HeartbeatHandle,
    CompetitionClockHandle,
    SlotFeedHandle,
    JournalHandle,
    PipelineHandle,
    BeforePlan,
    AfterPlan,
    AfterSent,
    AfterSubmit,
    AfterOutcome,
    BeforeEndSlot,
    AfterEndSlot,
    BeforeCommit,
    AfterCommit,
    BeforeBookWrite,
    AfterBookWrite,
    BeforeModelSwap,
    BeforeSettle,
    BeforeSign,
    AfterSign,
    BeforeBroadcast,
    AfterBroadcast,
    AfterFate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InjectedFault {
    /// No fault: always, in production.
    None,
    Panic,
    /// Await without end.
    Hang,
    /// Block the thread for this long.
    Block(Duration),
    /// Await for this long.
    Delay(Duration),
}

/// Decides which fault, if any, happens at each point.
pub trait FaultInjector: Send + Sync {
    /// `who` is the child's path, for example `eurusd/executor`.
    fn at(&self, point: FaultPoint, who: &str) -> InjectedFault;
}

#[derive(Debug, Clone, Copy, Default)]
pub struct NoFaults;

impl FaultInjector for NoFaults {
    fn at(&self, _: FaultPoint, _: &str) -> InjectedFault {
        InjectedFault::None
    }
}

/// Carries out the fault that the injector has for this point.
///
/// # Panics
/// When the injected fault is one.
pub async fn inject_fault(faults: &dyn FaultInjector, point: FaultPoint, who: &str) {
    match faults.at(point, who) {
        InjectedFault::None => {}
        InjectedFault::Panic => injected_panic(point, who),
        InjectedFault::Hang => std::future::pending::<()>().await,
        InjectedFault::Block(duration) => std::thread::sleep(duration),
        InjectedFault::Delay(duration) => tokio::time::sleep(duration).await,
    }
}

#[expect(clippy::panic, reason = "the injected fault is a panic")]
fn injected_panic(point: FaultPoint, who: &str) -> ! {
    panic!("injected at {point:?} in {who}")
}
