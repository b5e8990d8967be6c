//! Threads that are really blocked, on a worker runtime of their own. Real time: the tests wait for supervisor_events only.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use sentinel_actors::supervision::{ChildClass, Generation, Limits, SupervisorEvent};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::harness::{House, KidMsg, KidPlan, Kids, OwnerMsg, ends_of};

fn workers() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

fn quick() -> Limits {
    Limits { stuck_after: Duration::from_millis(20), ..Limits::default() }
}

/// Returns when the child's thread is blocked; it is until the sender is dropped.
async fn block(kid: &KidPlan) -> Sender<()> {
    let (begin, began) = oneshot::channel();
    let (release, until) = channel();
    kid.address.send(KidMsg::Block(begin, until)).ok().unwrap();
    began.await.unwrap();
    release
}

#[tokio::test]
async fn a_stuck_child_gets_no_twin_until_its_thread_is_free() {
    let workers = workers();
    let kids = Kids { runtime: workers.handle().clone(), ..Kids::new() };
    let kid = kids.kid("kid", ChildClass::Worker, &[]);
    let mut house = House::open(quick(), vec![kid.spec.clone()]).await;
    house.until_up("kid", 1).await;
    let release = block(&kid).await;
    house.send(OwnerMsg::DeadlineMissed("kid".into(), Generation(1)));
    assert_eq!(house.next().await, SupervisorEvent::Stuck { id: "kid".into(), generation: Generation(1) });
    assert_eq!(kids.diary(), ["kid/1 starts"]);
    drop(release);
    assert_eq!(ends_of(&house.until_up("kid", 2).await), ["hung: a request"]);
    assert_eq!(kids.diary(), ["kid/1 starts", "kid/1 ended", "kid/2 starts"]);
    workers.shutdown_background();
}

#[tokio::test]
async fn a_blocked_child_of_a_dead_owner_never_overlaps_with_its_successor() {
    let workers = workers();
    let kids = Kids { runtime: workers.handle().clone(), ..Kids::new() };
    let kid = kids.kid("kid", ChildClass::Worker, &[]);
    let mut house = House::open(quick(), vec![kid.spec.clone()]).await;
    house.until_up("kid", 1).await;
    let release = block(&kid).await;
    house.owner.kill();
    house.owner_task.await.unwrap();

    let limits = Limits { start_timeout: Duration::from_millis(20), ..quick() };
    let mut house = House::open(limits, vec![kid.spec.clone()]).await;
    let down = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Down { .. });
    for _ in 0..2 {
        let ends = ends_of(&house.until(down).await);
        assert_eq!(ends, ["did not start: the incarnation before it has not ended"]);
    }
    assert_eq!(kids.diary(), ["kid/1 starts"], "the successor has not even begun to start");
    drop(release);
    house.until(|event| matches!(event, SupervisorEvent::Up { .. })).await;
    let diary = kids.diary();
    assert_eq!(diary[..2], ["kid/1 starts", "kid/1 ended"]);
    assert_eq!(diary.len(), 3, "{diary:?}");
    workers.shutdown_background();
}

#[tokio::test]
async fn a_shutdown_reports_a_blocked_child_and_ends_when_it_does() {
    let workers = workers();
    let kids = Kids { runtime: workers.handle().clone(), ..Kids::new() };
    let low = kids.kid("low", ChildClass::Worker, &[]);
    let high = kids.kid("high", ChildClass::Worker, &[]);
    let specs = vec![low.spec.clone(), high.spec.clone().tier(1).grace(Duration::from_millis(20))];
    let mut house = House::open(quick(), specs).await;
    house.until_up("high", 1).await;
    let release = block(&high).await;
    house.send(OwnerMsg::Shutdown);
    let heard = house.until(|event| matches!(event, SupervisorEvent::Down { .. })).await;
    assert_eq!(heard[0], SupervisorEvent::Stuck { id: "high".into(), generation: Generation(1) });
    assert!(matches!(&heard[1], SupervisorEvent::Down { id, .. } if id.as_str() == "low"));
    drop(release);
    house.until(|event| *event == SupervisorEvent::AllStopped).await;
    workers.shutdown_background();
}
