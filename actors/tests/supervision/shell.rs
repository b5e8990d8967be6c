//! The shell, on paused time: what ractor and the supervisor do together.

use std::time::Duration;

use sentinel_actors::supervision::{CallError, ChildClass, ChildEnd, ChildId, Generation, Limits, SupervisorEvent};

use crate::harness::{House, KidMsg, KidPlan, Kids, OwnerMsg, Start, ends_of};

async fn one(starts: &[Start]) -> (House, KidPlan, Kids) {
    let kids = Kids::new();
    let kid = kids.kid("kid", ChildClass::Worker, starts);
    let house = House::open(Limits::default(), vec![kid.spec.clone()]).await;
    (house, kid, kids)
}

async fn who(kid: &KidPlan) -> Result<u64, CallError> {
    kid.address.call(KidMsg::Who, Duration::from_secs(1)).await.map(|generation| generation.0)
}

fn deadline_missed(generation: u64) -> OwnerMsg {
    OwnerMsg::DeadlineMissed("kid".into(), Generation(generation))
}

#[tokio::test(start_paused = true)]
async fn a_child_that_panics_is_replaced_and_reached_under_its_old_address() {
    let (mut house, kid, kids) = one(&[]).await;
    house.until_up("kid", 1).await;
    assert_eq!(who(&kid).await, Ok(1));
    kid.address.send(KidMsg::Panic).ok().unwrap();
    let heard = house.until_up("kid", 2).await;
    let SupervisorEvent::Down { cause: ChildEnd::Panicked(report), .. } = &heard[0] else { panic!("{heard:?}") };
    assert_eq!(report.message, "on request");
    assert!(report.location.contains("harness.rs"), "{report}");
    assert_eq!(who(&kid).await, Ok(2));
    assert_eq!(kids.diary(), ["kid/1 starts", "kid/1 ended", "kid/2 starts"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_a_failure_with_its_text() {
    let (mut house, kid, _kids) = one(&[]).await;
    house.until_up("kid", 1).await;
    kid.address.send(KidMsg::Fail).ok().unwrap();
    assert_eq!(ends_of(&house.until_up("kid", 2).await), ["failed: on request"]);
}

#[tokio::test(start_paused = true)]
async fn a_child_killed_from_outside_is_replaced() {
    let (mut house, kid, _kids) = one(&[]).await;
    house.until_up("kid", 1).await;
    house.send(OwnerMsg::Kill("kid".into()));
    assert_eq!(ends_of(&house.until_up("kid", 2).await), ["was killed"]);
    assert_eq!(who(&kid).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_hang_is_ended_by_a_missed_deadline_of_its_own_generation_only() {
    let (mut house, kid, _kids) = one(&[]).await;
    house.until_up("kid", 1).await;
    kid.address.send(KidMsg::Hang).ok().unwrap();
    house.send(deadline_missed(1));
    assert_eq!(ends_of(&house.until_up("kid", 2).await), ["hung: a request"]);
    house.send(deadline_missed(1));
    assert_eq!(who(&kid).await, Ok(2), "a deadline of an old generation kills no child");
}

#[tokio::test(start_paused = true)]
async fn a_child_that_answers_no_pings_is_replaced() {
    let kids = Kids::new();
    let kid = kids.kid("kid", ChildClass::Worker, &[]);
    let spec = kid.spec.clone().pinged(&kid.address, KidMsg::Ping);
    let mut house = House::open(Limits::default(), vec![spec]).await;
    house.until_up("kid", 1).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(who(&kid).await, Ok(1), "one that answers is left alone");
    kid.address.send(KidMsg::Hang).ok().unwrap();
    assert_eq!(ends_of(&house.until_up("kid", 2).await), ["hung: 3 pings were not answered"]);
}

#[tokio::test(start_paused = true)]
async fn failing_and_hanging_starts_are_failures_and_tried_again() {
    let (mut house, kid, _kids) = one(&[Start::Panic, Start::Err, Start::Hang, Start::PanicAfter]).await;
    let ends = ends_of(&house.until_up("kid", 5).await);
    assert!(ends[0].starts_with("panicked at") && ends[0].ends_with("no start"), "{ends:?}");
    assert_eq!(ends[1], "did not start: no luck");
    assert_eq!(ends[2], "did not start: no answer within 10s");
    assert!(ends[3].ends_with("after the start"), "{ends:?}");
    assert_eq!(who(&kid).await, Ok(5));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_stops_is_replaced_even_if_dropping_its_state_panics() {
    let kids = Kids { drop_panics: true, ..Kids::new() };
    let kid = kids.kid("kid", ChildClass::Worker, &[]);
    let mut house = House::open(Limits::default(), vec![kid.spec.clone()]).await;
    house.until_up("kid", 1).await;
    kid.address.send(KidMsg::StopYourself).ok().unwrap();
    assert_eq!(ends_of(&house.until_up("kid", 2).await), ["ended by itself"]);
    kid.address.send(KidMsg::Panic).ok().unwrap();
    house.until_up("kid", 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_comes_back_when_the_actor_is_not_running() {
    let (mut house, kid, _kids) = one(&[]).await;
    assert!(matches!(kid.address.send(KidMsg::Panic), Err(KidMsg::Panic)));
    assert_eq!(who(&kid).await, Err(CallError::NotRunning));
    house.until_up("kid", 1).await;
    kid.address.send(KidMsg::Panic).ok().unwrap();
    assert_eq!(who(&kid).await, Err(CallError::Ended), "a queued call ends with the mailbox");
    house.until_up("kid", 2).await;
    kid.address.send(KidMsg::Hang).ok().unwrap();
    assert_eq!(who(&kid).await, Err(CallError::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn tiers_start_upwards_and_stop_downwards() {
    let kids = Kids::new();
    let kid = |name, tier, starts: &[Start]| kids.kid(name, ChildClass::Worker, starts).spec.tier(tier);
    // "a" hangs in its first start: the tiers above wait for the end of that one, not for a success.
    let specs = vec![kid("c", 2, &[]), kid("a", 0, &[Start::Hang]), kid("b", 1, &[])];
    let mut house = House::open(Limits::default(), specs).await;
    house.until_up("c", 1).await;
    house.send(OwnerMsg::Shutdown);
    let heard = house.until(|event| *event == SupervisorEvent::AllStopped).await;
    assert_eq!(ends_of(&heard), ["was stopped"; 3]);
    let diary = kids.diary();
    assert_eq!(diary[0..2], ["a/1 starts", "a/2 starts"]);
    assert_eq!(diary[2..], ["b/1 starts", "c/1 starts", "c/1 ended", "b/1 ended", "a/2 ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_what_starts_what_hangs_and_what_backs_off() {
    let kids = Kids::new();
    let starting = kids.kid("starting", ChildClass::Worker, &[Start::Hang]);
    let hanging = kids.kid("hanging", ChildClass::Worker, &[]);
    let failing = kids.kid("failing", ChildClass::Worker, &[Start::Err; 3]);
    let specs = [&starting, &hanging, &failing].map(|kid| kid.spec.clone());
    let mut house = House::open(Limits::default(), specs.to_vec()).await;
    let backing_off =
        |event: &SupervisorEvent| matches!(event, SupervisorEvent::Restarting { after, .. } if !after.is_zero());
    house.until(backing_off).await;
    hanging.address.send(KidMsg::Hang).ok().unwrap();
    house.send(OwnerMsg::Shutdown);
    let heard = house.until(|event| *event == SupervisorEvent::AllStopped).await;
    assert_eq!(ends_of(&heard), ["was stopped"; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_keeps_failing_is_parked_probed_and_taken_up_again() {
    let kids = Kids::new();
    let starts: Vec<_> = [Start::Err; 4].into_iter().collect();
    let kid = kids.kid("kid", ChildClass::Pipeline, &starts);
    let mut house = House::open(Limits::root(), vec![kid.spec.clone()]).await;
    let parked = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Parked { .. });
    assert_eq!(ends_of(&house.until(parked).await).len(), 3);
    assert_eq!(ends_of(&house.until(parked).await).len(), 1, "one probe");
    let heard = house.until(|event| matches!(event, SupervisorEvent::Unparked { .. })).await;
    assert_eq!(heard[0], SupervisorEvent::Up { id: ChildId::from("kid"), generation: Generation(5) });
    kid.address.send(KidMsg::StopYourself).ok().unwrap();
    let heard = house.until(|event| matches!(event, SupervisorEvent::Finished { .. })).await;
    assert_eq!(ends_of(&heard), ["ended by itself"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_owner_goes_on_counting_generations() {
    let (mut house, kid, kids) = one(&[]).await;
    house.until_up("kid", 1).await;
    house.owner.kill();
    house.owner_task.await.unwrap();
    let mut house = House::open(Limits::default(), vec![kid.spec.clone()]).await;
    house.until_up("kid", 2).await;
    assert_eq!(who(&kid).await, Ok(2));
    assert_eq!(kids.diary(), ["kid/1 starts", "kid/1 ended", "kid/2 starts"]);
}

#[tokio::test(start_paused = true)]
async fn a_start_under_way_ends_with_its_owner() {
    let (house, kid, kids) = one(&[Start::Hang]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    house.owner.kill();
    house.owner_task.await.unwrap();
    let mut house = House::open(Limits::default(), vec![kid.spec.clone()]).await;
    assert_eq!(ends_of(&house.until_up("kid", 2).await), [] as [&str; 0], "the permit was free at once");
    assert_eq!(kids.diary(), ["kid/1 starts", "kid/2 starts"]);
}

#[tokio::test(start_paused = true)]
async fn two_runs_of_the_same_seed_log_the_same_words() {
    let mut stories = vec![];
    for _ in 0..2 {
        let kids = Kids::new();
        let plans: Vec<_> = (0..20).map(|n| kids.kid(&format!("kid-{n}"), ChildClass::Pipeline, &[])).collect();
        let mut house = House::open(Limits::root(), plans.iter().map(|plan| plan.spec.clone()).collect()).await;
        house.until_up("kid-9", 1).await;
        for plan in plans.iter().rev().step_by(3) {
            plan.address.send(KidMsg::Panic).ok().unwrap();
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        house.send(OwnerMsg::Shutdown);
        let heard = house.until(|event| *event == SupervisorEvent::AllStopped).await;
        stories.push(format!("{heard:?} {:?}", kids.diary()));
    }
    assert_eq!(stories[0], stories[1]);
}
