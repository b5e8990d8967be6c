//! What supervision relies on in ractor, pinned: an upgrade that changes one of these must be noticed here.
//! Measured in 0.16.5, which is why the dependency is pinned exactly.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::rpc::CallResult;
use ractor::{
    Actor, ActorProcessingErr, ActorRef, ActorStatus, MessagingErr, RpcReplyPort, SpawnErr, SupervisionEvent,
};
use sentinel_actors::supervision::CrashLog;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(1);

/// What was seen, in order.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Notes its supervision events, and messages as they are handled.
struct Boss;

enum BossMsg {
    Note(String),
    /// Handled when the sender sends.
    Busy(tokio::sync::oneshot::Receiver<()>),
}

impl Actor for Boss {
    type Msg = BossMsg;
    type State = (Seen, mpsc::UnboundedSender<()>);
    type Arguments = Self::State;

    async fn pre_start(&self, _: ActorRef<BossMsg>, state: Self::State) -> Result<Self::State, ActorProcessingErr> {
        Ok(state)
    }

    async fn handle(
        &self,
        _: ActorRef<BossMsg>,
        message: BossMsg,
        (seen, notify): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            BossMsg::Note(what) => seen.note(what),
            BossMsg::Busy(until) => until.await?,
        }
        let _ = notify.send(());
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<BossMsg>,
        event: SupervisionEvent,
        (seen, notify): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        seen.note(match event {
            SupervisionEvent::ActorStarted(_) => "event: started".to_owned(),
            SupervisionEvent::ActorFailed(_, error) => {
                let kind = if error.is::<Typed>() { "typed" } else { "text" };
                format!("event: failed ({kind}): {error}")
            }
            SupervisionEvent::ActorTerminated(_, state, reason) => {
                let state = if state.is_some() { "with" } else { "without" };
                format!("event: terminated {state} state: {reason:?}")
            }
            other => format!("event: {other}"),
        });
        let _ = notify.send(());
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("typed")]
struct Typed;

enum KidMsg {
    Panic,
    Fail,
    Hang,
    Note(&'static str),
    Call(RpcReplyPort<()>),
}

#[derive(Clone, Copy, PartialEq)]
enum Start {
    Pass,
    Panic,
    Err,
    Hang,
    PanicAfter,
}

struct Kid(Start, Seen);

/// Notes its drop, and that of a message or a handler's future when it is held by one.
struct Noted(&'static str, Seen);

impl Drop for Noted {
    fn drop(&mut self) {
        self.1.note(self.0);
    }
}

impl Actor for Kid {
    type Msg = KidMsg;
    type State = Noted;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<KidMsg>, (): ()) -> Result<Noted, ActorProcessingErr> {
        match self.0 {
            Start::Panic => panic!("in pre_start"),
            Start::Err => return Err("in pre_start".into()),
            Start::Hang => std::future::pending().await,
            Start::Pass | Start::PanicAfter => {}
        }
        Ok(Noted("state dropped", self.1.clone()))
    }

    async fn post_start(&self, _: ActorRef<KidMsg>, _: &mut Noted) -> Result<(), ActorProcessingErr> {
        assert!(self.0 != Start::PanicAfter, "in post_start");
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<KidMsg>, _: &mut Noted) -> Result<(), ActorProcessingErr> {
        self.1.note("post_stop");
        Ok(())
    }

    async fn handle(&self, _: ActorRef<KidMsg>, message: KidMsg, _: &mut Noted) -> Result<(), ActorProcessingErr> {
        match message {
            KidMsg::Panic => panic!("in handle"),
            KidMsg::Fail => return Err(Typed.into()),
            KidMsg::Hang => {
                self.1.note("hangs");
                let _future = Noted("future dropped", self.1.clone());
                std::future::pending().await
            }
            KidMsg::Note(what) => self.1.note(what),
            KidMsg::Call(port) => drop(port.send(())),
        }
        Ok(())
    }
}

struct Scene {
    boss: ActorRef<BossMsg>,
    boss_task: JoinHandle<()>,
    notified: mpsc::UnboundedReceiver<()>,
    seen: Seen,
}

impl Scene {
    async fn new() -> Self {
        let (notify, notified) = mpsc::unbounded_channel();
        let seen = Seen::default();
        let (boss, boss_task) = Actor::spawn(None, Boss, (seen.clone(), notify)).await.unwrap();
        // The panics here are wanted; the log keeps them off the terminal.
        let _ = CrashLog::install();
        Self { boss, boss_task, notified, seen }
    }

    async fn spawn(&self, start: Start) -> Result<(ActorRef<KidMsg>, JoinHandle<()>), SpawnErr> {
        Actor::spawn_linked(None, Kid(start, self.seen.clone()), (), self.boss.get_cell()).await
    }

    async fn kid(&mut self) -> (ActorRef<KidMsg>, JoinHandle<()>) {
        let kid = self.spawn(Start::Pass).await.unwrap();
        self.notified.recv().await.unwrap();
        assert_eq!(std::mem::take(&mut *self.seen.0.lock().unwrap()), ["event: started"]);
        kid
    }

    /// What was seen when the boss has heard of the end.
    async fn after_end(&mut self, task: JoinHandle<()>) -> Vec<String> {
        let _ = task.await;
        self.notified.recv().await.unwrap();
        self.seen.all()
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_is_reported_to_the_spawner_only() {
    let scene = Scene::new().await;
    for start in [Start::Panic, Start::Err] {
        let Err(SpawnErr::StartupFailed(error)) = scene.spawn(start).await else { panic!("it started") };
        assert_eq!(error.to_string(), "in pre_start");
    }
    tokio::time::sleep(SOON).await;
    assert_eq!(scene.seen.all(), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_hung_start_can_be_cancelled_and_leaves_no_child() {
    let scene = Scene::new().await;
    assert!(tokio::time::timeout(SOON, scene.spawn(Start::Hang)).await.is_err());
    assert_eq!(scene.boss.get_children().len(), 0);
    tokio::time::sleep(SOON).await;
    assert_eq!(scene.seen.all(), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_after_the_start_is_a_failure_that_was_never_started() {
    let mut scene = Scene::new().await;
    let (_, task) = scene.spawn(Start::PanicAfter).await.unwrap();
    assert_eq!(scene.after_end(task).await, ["state dropped", "event: failed (text): in post_start"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_handler_is_a_failure_without_post_stop() {
    let mut scene = Scene::new().await;
    let (kid, task) = scene.kid().await;
    kid.cast(KidMsg::Panic).unwrap();
    let seen = scene.after_end(task).await;
    assert!(seen.contains(&"event: failed (text): in handle".to_owned()), "{seen:?}");
    assert!(!seen.contains(&"post_stop".to_owned()), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_handler_keeps_its_type() {
    let mut scene = Scene::new().await;
    let (kid, task) = scene.kid().await;
    kid.cast(KidMsg::Fail).unwrap();
    assert!(scene.after_end(task).await.contains(&"event: failed (typed): typed".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_kill_drops_the_future_and_is_a_termination_that_says_killed() {
    let mut scene = Scene::new().await;
    let (kid, task) = scene.kid().await;
    kid.cast(KidMsg::Hang).unwrap();
    tokio::time::sleep(SOON).await;
    kid.kill();
    let seen = scene.after_end(task).await;
    assert_eq!(seen[..2], ["hangs", "future dropped"]);
    let killed = "event: terminated with state: Some(\"killed\")".to_owned();
    assert!(seen.contains(&killed) && !seen.contains(&"post_stop".to_owned()), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_task_is_a_termination_that_says_so() {
    let mut scene = Scene::new().await;
    let (_kid, task) = scene.kid().await;
    task.abort();
    let seen = scene.after_end(task).await;
    assert!(seen.contains(&"event: terminated without state: Some(\"actor_task_cancelled\")".to_owned()), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_overtakes_the_queue_and_has_no_reason() {
    let mut scene = Scene::new().await;
    let (kid, task) = scene.kid().await;
    for _ in 0..1000 {
        kid.cast(KidMsg::Note("handled")).unwrap();
    }
    kid.stop(None);
    assert_eq!(kid.cast(KidMsg::Note("late")).ok(), Some(()), "accepted, and lost");
    let seen = scene.after_end(task).await;
    assert_eq!(seen, ["post_stop", "state dropped", "event: terminated with state: None"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_handler_and_a_kill_after_it_still_works() {
    let mut scene = Scene::new().await;
    let (kid, mut task) = scene.kid().await;
    kid.cast(KidMsg::Hang).unwrap();
    tokio::time::sleep(SOON).await;
    kid.stop(None);
    assert!(tokio::time::timeout(60 * SOON, &mut task).await.is_err());
    kid.kill();
    assert!(scene.after_end(task).await.contains(&"event: terminated with state: Some(\"killed\")".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_mailbox_dies_with_the_actor_and_its_calls_are_answered_by_an_ok() {
    let mut scene = Scene::new().await;
    let (kid, task) = scene.kid().await;
    kid.cast(KidMsg::Panic).unwrap();
    kid.cast(KidMsg::Note("handled")).unwrap();
    let call = kid.call(KidMsg::Call, None).await;
    assert!(matches!(call, Ok(CallResult::SenderError)), "{call:?}");
    let seen = scene.after_end(task).await;
    assert!(!seen.contains(&"handled".to_owned()), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn an_old_reference_gives_the_message_back() {
    let mut scene = Scene::new().await;
    let (kid, task) = scene.kid().await;
    kid.cast(KidMsg::Panic).unwrap();
    scene.after_end(task).await;
    assert!(matches!(kid.cast(KidMsg::Panic), Err(MessagingErr::SendErr(KidMsg::Panic))));
    assert!(kid.call(KidMsg::Call, None).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_state_is_dropped_before_the_join_handle_ends() {
    let mut scene = Scene::new().await;
    let (kid, task) = scene.kid().await;
    kid.cast(KidMsg::Panic).unwrap();
    task.await.unwrap();
    assert!(scene.seen.all().contains(&"state dropped".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_event_of_an_end_overtakes_every_message_that_was_sent_after_it() {
    let mut scene = Scene::new().await;
    let (kid, task) = scene.kid().await;
    let (release, busy) = tokio::sync::oneshot::channel();
    scene.boss.cast(BossMsg::Busy(busy)).unwrap();
    kid.cast(KidMsg::Panic).unwrap();
    task.await.unwrap();
    scene.boss.cast(BossMsg::Note("ended".to_owned())).unwrap();
    release.send(()).unwrap();
    for _ in 0..3 {
        scene.notified.recv().await.unwrap();
    }
    let seen: Vec<_> = scene.seen.all().into_iter().filter(|what| what != "state dropped").collect();
    assert_eq!(seen, ["event: failed (text): in handle", "ended"]);
}

#[tokio::test(start_paused = true)]
async fn children_are_killed_with_their_parent_which_does_not_wait_for_them() {
    let mut scene = Scene::new().await;
    let (kid, task) = scene.kid().await;
    kid.cast(KidMsg::Hang).unwrap();
    scene.boss.stop(None);
    (&mut scene.boss_task).await.unwrap();
    task.await.unwrap();
    assert_eq!(kid.get_status(), ActorStatus::Stopped);
    assert!(!scene.seen.all().contains(&"post_stop".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_dead_parent_takes_no_children() {
    let scene = Scene::new().await;
    scene.boss.kill();
    while scene.boss.get_status() != ActorStatus::Stopped {
        tokio::task::yield_now().await;
    }
    assert!(matches!(scene.spawn(Start::Pass).await, Err(SpawnErr::StartupFailed(_))));
}

#[tokio::test(start_paused = true)]
async fn the_panic_hook_sees_the_task_of_the_join_handle() {
    let mut scene = Scene::new().await;
    let (kid, task) = scene.kid().await;
    let id = task.id();
    kid.cast(KidMsg::Panic).unwrap();
    task.await.unwrap();
    let report = CrashLog::install().take(id).unwrap();
    assert_eq!(report.message, "in handle");
    assert!(report.location.contains("ractor_semantics.rs"));
    assert_eq!(CrashLog::install().take(id), None);
}

#[tokio::test]
async fn parent_and_child_may_live_on_two_runtimes() {
    let workers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let mut scene = Scene::new().await;
    let (boss, seen) = (scene.boss.get_cell(), scene.seen.clone());
    let spawn = workers.spawn(async move { Actor::spawn_linked(None, Kid(Start::Pass, seen), (), boss).await });
    let (kid, task) = spawn.await.unwrap().unwrap();
    kid.call(KidMsg::Call, None).await.unwrap();
    kid.cast(KidMsg::Panic).unwrap();
    task.await.unwrap();
    for _ in 0..2 {
        scene.notified.recv().await.unwrap();
    }
    let events: Vec<_> = scene.seen.all().into_iter().filter(|what| what.starts_with("event")).collect();
    assert_eq!(events, ["event: started", "event: failed (text): in handle"]);
    workers.shutdown_background();
}
