//! Starts one incarnation and waits for its end.
//!
//! Two tasks: the *start* runs `pre_start` on the child's runtime and may be aborted; the *waiter* runs on the control
//! runtime, is never aborted and outlives the owner. That is safe: it holds no reference that keeps anything running, and it
//! ends with the child that it waits for. It must outlive the owner: the occupancy permit that it returns keeps the next owner
//! from starting a second incarnation while the first one still blocks a thread.

use std::sync::Arc;
use std::time::Duration;

use ractor::concurrency::JoinHandle;
use ractor::{ActorCell, ActorId, ActorStatus};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

use super::child::ChildSpec;
use super::crash::{CrashLog, CrashReport};
use super::identity::{ChildEnd, ChildId, Generation};
use crate::error_chain::chain;
use crate::ports::elapsed_now;

/// A message for the mailbox of an owner, which passes it to its [`super::Supervisor`].
#[derive(Debug)]
pub struct Notice(pub(super) Report);

pub(super) type Notify = Arc<dyn Fn(Notice) + Send + Sync>;

#[derive(Debug)]
pub(super) enum Report {
    Started { id: ChildId, generation: Generation, cell: ActorCell },
    StartFailed { id: ChildId, generation: Generation, cause: ChildEnd },
    Ended { id: ChildId, generation: Generation, actor: ActorId, crash: Option<CrashReport> },
    PingAnswered { id: ChildId, generation: Generation },
    PingMissed { id: ChildId, generation: Generation },
    Wake,
}

/// What all incarnations of one supervisor share.
pub(super) struct ChildSpawner {
    pub(super) owner: ActorCell,
    pub(super) control: Handle,
    pub(super) crashes: CrashLog,
    pub(super) notify: Notify,
    pub(super) start_timeout: Duration,
}

struct StartedChild {
    cell: ActorCell,
    task: JoinHandle<()>,
    permit: OwnedSemaphorePermit,
}

impl ChildSpawner {
    /// Starts an incarnation. Exactly one `StartFailed`, or one `Started` and later one `Ended`, will be reported.
    pub(super) fn spawn(&self, spec: &ChildSpec, generation: Generation) -> AbortHandle {
        let start = spec.runtime.spawn(start(spec.clone(), generation, self.owner.clone(), self.start_timeout));
        let abort = start.abort_handle();
        let (crashes, notify) = (self.crashes.clone(), Arc::clone(&self.notify));
        self.control.spawn(wait(start, spec.clone(), generation, crashes, notify));
        abort
    }
}

async fn start(
    spec: ChildSpec,
    generation: Generation,
    owner: ActorCell,
    start_timeout: Duration,
) -> Result<StartedChild, ChildEnd> {
    let deadline = elapsed_now() + start_timeout;
    let failed = |what: &str| ChildEnd::StartFailed(what.to_owned());
    let permit = tokio::time::timeout_at(deadline, Arc::clone(&spec.occupancy).acquire_owned())
        .await
        .map_err(|_| failed("the incarnation before it has not ended"))?
        .map_err(|_| failed("its permit was closed"))?;
    // The owner may have ended while this waited; its successor starts the children then.
    if owner.get_status() >= ActorStatus::Stopping {
        return Err(failed("its supervisor has ended"));
    }
    match tokio::time::timeout_at(deadline, (spec.start)(owner, generation)).await {
        Ok(Ok((cell, task))) => Ok(StartedChild { cell, task, permit }),
        Ok(Err(ractor::SpawnErr::StartupFailed(error))) => Err(ChildEnd::StartFailed(chain(error.as_ref()))),
        Ok(Err(error)) => Err(ChildEnd::StartFailed(error.to_string())),
        Err(_) => Err(failed(&format!("no answer within {start_timeout:?}"))),
    }
}

async fn wait(
    start: tokio::task::JoinHandle<Result<StartedChild, ChildEnd>>,
    spec: ChildSpec,
    generation: Generation,
    crashes: CrashLog,
    notify: Notify,
) {
    let (id, starter) = (spec.id.clone(), start.id());
    let started = start.await;
    let crash = crashes.take(starter);
    let started = match started {
        Ok(Ok(started)) => started,
        failed => {
            let cause = not_started(failed.map(Result::err), crash);
            notify(Notice(Report::StartFailed { id, generation, cause }));
            return;
        }
    };
    let (actor, task) = (started.cell.get_id(), started.task.id());
    notify(Notice(Report::Started { id: id.clone(), generation, cell: started.cell }));
    // The task ends after the actor's state is dropped, so a panic in that drop has no further effect.
    let _ = started.task.await;
    spec.pointer.clear(generation);
    drop(started.permit);
    notify(Notice(Report::Ended { id, generation, actor, crash: crashes.take(task) }));
}

/// `pre_start` runs in the start's own task, so a panic of it is reported under that task.
fn not_started(cause: Result<Option<ChildEnd>, tokio::task::JoinError>, crash: Option<CrashReport>) -> ChildEnd {
    match (cause, crash) {
        (Ok(Some(ChildEnd::StartFailed(text))), Some(crash)) if crash.explains(&text) => ChildEnd::Panicked(crash),
        (Ok(Some(cause)), _) => cause,
        (Err(error), Some(crash)) if error.is_panic() => ChildEnd::Panicked(crash),
        (Ok(None) | Err(_), _) => ChildEnd::StartFailed("the start was cancelled".to_owned()),
    }
}
