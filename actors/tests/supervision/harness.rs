//! A minimal owner, and children that panic, fail, hang or end on request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use sentinel_actors::ports::Chance;
use sentinel_actors::supervision::{
    Address, ChildClass, ChildId, ChildSpec, CrashLog, Generation, Limits, Notice, Supervisor, SupervisorEvent,
    SupervisorSettings,
};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

pub struct Half;

impl Chance for Half {
    fn unit(&self) -> f64 {
        0.5
    }
}

/// What happened inside the children, in order.
pub type Diary = Arc<Mutex<Vec<String>>>;

pub struct Owner;

pub enum OwnerMsg {
    Notice(Notice),
    DeadlineMissed(ChildId, Generation),
    Kill(ChildId),
    Shutdown,
}

pub struct OwnerState {
    supervisor: Supervisor,
    events: mpsc::UnboundedSender<SupervisorEvent>,
}

impl Actor for Owner {
    type Msg = OwnerMsg;
    type State = OwnerState;
    type Arguments = (SupervisorSettings, Vec<ChildSpec>, mpsc::UnboundedSender<SupervisorEvent>);

    async fn pre_start(
        &self,
        myself: ActorRef<OwnerMsg>,
        (settings, specs, events): Self::Arguments,
    ) -> Result<OwnerState, ActorProcessingErr> {
        let owner = myself.get_cell();
        let notify = Arc::new(move |notice| drop(myself.cast(OwnerMsg::Notice(notice))));
        Ok(OwnerState { supervisor: Supervisor::new(owner, settings, specs, notify), events })
    }

    async fn post_start(&self, _: ActorRef<OwnerMsg>, state: &mut OwnerState) -> Result<(), ActorProcessingErr> {
        let supervisor_events = state.supervisor.start();
        state.pass_on(supervisor_events);
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<OwnerMsg>,
        message: OwnerMsg,
        state: &mut OwnerState,
    ) -> Result<(), ActorProcessingErr> {
        let supervisor_events = match message {
            OwnerMsg::Notice(notice) => state.supervisor.on_notice(notice),
            OwnerMsg::DeadlineMissed(id, generation) => state.supervisor.deadline_missed(&id, generation, "a request"),
            OwnerMsg::Kill(id) => {
                assert!(state.supervisor.kill(&id));
                vec![]
            }
            OwnerMsg::Shutdown => state.supervisor.shutdown(),
        };
        state.pass_on(supervisor_events);
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<OwnerMsg>,
        event: SupervisionEvent,
        state: &mut OwnerState,
    ) -> Result<(), ActorProcessingErr> {
        let supervisor_events = state.supervisor.on_supervision_event(event);
        state.pass_on(supervisor_events);
        Ok(())
    }
}

impl OwnerState {
    fn pass_on(&self, supervisor_events: Vec<SupervisorEvent>) {
        for event in supervisor_events {
            let _ = self.events.send(event);
        }
    }
}

pub enum KidMsg {
    Panic,
    Fail,
    Hang,
    /// Blocks the thread until the sender is dropped; says when it begins.
    Block(oneshot::Sender<()>, std::sync::mpsc::Receiver<()>),
    StopYourself,
    Who(RpcReplyPort<Generation>),
    Ping(RpcReplyPort<()>),
}

/// What a start does.
#[derive(Clone, Copy, PartialEq)]
pub enum Start {
    Pass,
    Panic,
    Err,
    Hang,
    PanicAfter,
}

pub struct Kid {
    name: String,
    generation: Generation,
    start: Start,
    diary: Diary,
    drop_panics: bool,
}

/// Writes down when nothing is left of a kid.
pub struct KidState {
    name: String,
    diary: Diary,
    drop_panics: bool,
}

impl Drop for KidState {
    fn drop(&mut self) {
        self.diary.lock().unwrap().push(format!("{} ended", self.name));
        assert!(!self.drop_panics, "the drop of a state");
    }
}

impl Actor for Kid {
    type Msg = KidMsg;
    type State = KidState;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<KidMsg>, (): ()) -> Result<KidState, ActorProcessingErr> {
        self.diary.lock().unwrap().push(format!("{} starts", self.name));
        match self.start {
            Start::Panic => panic!("no start"),
            Start::Err => return Err("no luck".into()),
            Start::Hang => std::future::pending().await,
            Start::Pass | Start::PanicAfter => {}
        }
        let Self { name, diary, drop_panics, .. } = self;
        Ok(KidState { name: name.clone(), diary: Arc::clone(diary), drop_panics: *drop_panics })
    }

    async fn post_start(&self, _: ActorRef<KidMsg>, _: &mut KidState) -> Result<(), ActorProcessingErr> {
        assert!(self.start != Start::PanicAfter, "after the start");
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<KidMsg>,
        message: KidMsg,
        _: &mut KidState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            KidMsg::Panic => panic!("on request"),
            KidMsg::Fail => return Err("on request".into()),
            KidMsg::Hang => std::future::pending().await,
            KidMsg::Block(began, until) => {
                began.send(()).unwrap();
                let _ = until.recv();
            }
            KidMsg::StopYourself => myself.stop(None),
            KidMsg::Who(port) => drop(port.send(self.generation)),
            KidMsg::Ping(port) => drop(port.send(())),
        }
        Ok(())
    }
}

/// One child of a test.
#[derive(Clone)]
pub struct KidPlan {
    pub spec: ChildSpec,
    pub address: Address<KidMsg>,
}

/// Builds specs that share a diary. `starts` holds the faults of the coming starts; after them all pass.
pub struct Kids {
    pub diary: Diary,
    pub runtime: Handle,
    pub drop_panics: bool,
}

impl Kids {
    pub fn new() -> Self {
        Self { diary: Diary::default(), runtime: Handle::current(), drop_panics: false }
    }

    pub fn kid(&self, name: &str, class: ChildClass, starts: &[Start]) -> KidPlan {
        let address = Address::new();
        let faults = Mutex::new(VecDeque::from(starts.to_vec()));
        let (diary, name_of, drop_panics) = (Arc::clone(&self.diary), name.to_owned(), self.drop_panics);
        let spec = ChildSpec::new(name, class, self.runtime.clone(), &address, move |generation| {
            let start = faults.lock().unwrap().pop_front().unwrap_or(Start::Pass);
            let name = format!("{name_of}/{generation}");
            (Kid { name, generation, start, diary: Arc::clone(&diary), drop_panics }, ())
        });
        KidPlan { spec, address }
    }

    pub fn diary(&self) -> Vec<String> {
        self.diary.lock().unwrap().clone()
    }
}

/// A running owner and the events that it gets.
pub struct House {
    pub owner: ActorRef<OwnerMsg>,
    pub owner_task: tokio::task::JoinHandle<()>,
    heard: mpsc::UnboundedReceiver<SupervisorEvent>,
}

impl House {
    pub async fn open(limits: Limits, specs: Vec<ChildSpec>) -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        let settings = SupervisorSettings {
            limits,
            chance: Arc::new(Half),
            control: Handle::current(),
            crashes: CrashLog::install(),
        };
        let (owner, owner_task) = Actor::spawn(None, Owner, (settings, specs, sender)).await.unwrap();
        Self { owner, owner_task, heard }
    }

    pub async fn next(&mut self) -> SupervisorEvent {
        // Far more than any test needs, in paused or real time.
        tokio::time::timeout(Duration::from_secs(7200), self.heard.recv()).await.expect("silence").expect("owner ended")
    }

    /// All supervisor_events up to the first one that is wanted.
    pub async fn until(&mut self, wanted: impl Fn(&SupervisorEvent) -> bool) -> Vec<SupervisorEvent> {
        let mut heard = vec![];
        loop {
            let event = self.next().await;
            heard.push(event);
            if wanted(&heard[heard.len() - 1]) {
                return heard;
            }
        }
    }

    pub async fn until_up(&mut self, id: &str, generation: u64) -> Vec<SupervisorEvent> {
        let up = SupervisorEvent::Up { id: id.into(), generation: Generation(generation) };
        self.until(|event| *event == up).await
    }

    pub fn send(&self, message: OwnerMsg) {
        self.owner.cast(message).unwrap();
    }
}

pub fn ends_of(supervisor_events: &[SupervisorEvent]) -> Vec<String> {
    let end = |event: &SupervisorEvent| match event {
        SupervisorEvent::Down { cause, .. } => Some(cause.to_string()),
        _ => None,
    };
    supervisor_events.iter().filter_map(end).collect()
}
