//! RootSupervisor: the top of the tree. One for one; a part that fails is replaced, a pipeline that fails again and again is
//! parked, and only a critical part or a correlated failure ends the node.
//!
//! It also decides how the process ends: in order when all competitions have ended or on request, at once when the journal's
//! disk fails.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::events;
use crate::messages::PipelineMsg;
use crate::ports::{Clock, JournalFatal};
use crate::settings::NodeShared;
use crate::status::Board;
use crate::supervision::{
    Address, BeyondBudget, ChildEnd, ChildId, ChildSpec, Limits, Notice, Supervisor, SupervisorEvent,
    SupervisorSettings,
};

/// Why the node ended. The root package maps it to an exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeEnd {
    /// Every slot that was to be run has ended: the competitions are over, or each pipeline has run its single slot.
    Finished,
    /// A signal or an operator asked for it; names which.
    ShutdownRequested(String),
    /// A critical part or too many parts fail again and again.
    Meltdown(String),
    /// The journal's disk failed.
    JournalFailed(String),
}

impl fmt::Display for NodeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("nothing is left to do"),
            Self::ShutdownRequested(by) => write!(f, "shutdown requested by {by}"),
            Self::Meltdown(why) | Self::JournalFailed(why) => f.write_str(why),
        }
    }
}

pub struct RootArgs {
    pub specs: Vec<ChildSpec>,
    pub pipelines: Vec<(ChildId, Address<PipelineMsg>)>,
    pub shared: NodeShared,
    pub board: Board,
    pub wall: Arc<dyn Clock>,
    /// How long cycles in flight may take before their pipelines are stopped.
    pub close_within: Duration,
    /// Receives once how the node ended.
    pub done: oneshot::Sender<NodeEnd>,
}

pub enum RootMsg {
    Child(Notice),
    /// End in order; names who or what asked for it.
    Shutdown(String),
    /// `close_within` has passed.
    CloseNow,
    /// The journal's disk failed.
    JournalFailed(JournalFatal),
    /// For fault injection: end a child as if from outside, by its path (`journal`, `eurusd`, `eurusd/executor`).
    Kill(String),
}

pub struct RootSupervisor;

pub struct RootState {
    supervisor: Supervisor,
    pipelines: Vec<(ChildId, Address<PipelineMsg>)>,
    running: usize,
    shared: NodeShared,
    board: Board,
    wall: Arc<dyn Clock>,
    close_within: Duration,
    end: Option<NodeEnd>,
    close_timer: Option<AbortHandle>,
    done: Option<oneshot::Sender<NodeEnd>>,
}

impl Actor for RootSupervisor {
    type Msg = RootMsg;
    type State = RootState;
    type Arguments = RootArgs;

    async fn pre_start(&self, myself: ActorRef<RootMsg>, args: RootArgs) -> Result<RootState, ActorProcessingErr> {
        let settings = SupervisorSettings {
            limits: Limits { beyond_budget: BeyondBudget::Meltdown, ..args.shared.limits },
            chance: args.shared.chance.clone(),
            control: args.shared.control.clone(),
            crashes: args.shared.crashes.clone(),
        };
        let owner = myself.clone();
        let notify = Arc::new(move |notice| {
            let _ = owner.cast(RootMsg::Child(notice));
        });
        Ok(RootState {
            supervisor: Supervisor::new(myself.get_cell(), settings, args.specs, notify),
            running: args.pipelines.len(),
            pipelines: args.pipelines,
            shared: args.shared,
            board: args.board,
            wall: args.wall,
            close_within: args.close_within,
            end: None,
            close_timer: None,
            done: Some(args.done),
        })
    }

    async fn post_start(&self, myself: ActorRef<RootMsg>, state: &mut RootState) -> Result<(), ActorProcessingErr> {
        let supervisor_events = state.supervisor.start();
        state.react(&myself, supervisor_events);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<RootMsg>,
        message: RootMsg,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RootMsg::Child(notice) => {
                let supervisor_events = state.supervisor.on_notice(notice);
                state.react(&myself, supervisor_events);
            }
            RootMsg::Shutdown(why) => state.close(&myself, NodeEnd::ShutdownRequested(why)),
            RootMsg::CloseNow => state.stop_children(&myself),
            RootMsg::JournalFailed(fatal) => {
                events::journal_failed(&fatal.to_string());
                // Nothing can be closed in order without a journal, and nothing may act any more.
                state.finish(&myself, NodeEnd::JournalFailed(fatal.to_string()));
            }
            RootMsg::Kill(path) => state.kill(&path),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<RootMsg>,
        event: SupervisionEvent,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        let supervisor_events = state.supervisor.on_supervision_event(event);
        state.react(&myself, supervisor_events);
        Ok(())
    }
}

impl RootState {
    fn react(&mut self, myself: &ActorRef<RootMsg>, supervisor_events: Vec<SupervisorEvent>) {
        for event in supervisor_events {
            match event {
                SupervisorEvent::Up { id, generation } => events::child_up(&id.to_string(), generation.0),
                SupervisorEvent::Down { cause: ChildEnd::Stopped | ChildEnd::Finished, .. } => {}
                SupervisorEvent::Down { id, cause, .. } => {
                    match self.board.entries.get(id.as_str()) {
                        Some(entry) => entry.meters.count_restart(None),
                        None => self.board.meters.count_service(id.as_str()),
                    }
                    events::child_down(&id.to_string(), &cause);
                }
                SupervisorEvent::Stuck { id, .. } => events::child_stuck(&id.to_string()),
                SupervisorEvent::Restarting { id, after } => events::child_restarting(&id.to_string(), after),
                SupervisorEvent::Parked { id, .. } => {
                    self.board.set_parked(&id.to_string(), true);
                    events::pipeline_parked(&id.to_string(), self.shared.limits.probe_every);
                }
                SupervisorEvent::Unparked { id } => {
                    self.board.set_parked(&id.to_string(), false);
                    events::pipeline_unparked(&id.to_string());
                }
                SupervisorEvent::Finished { .. } => {
                    self.running = self.running.saturating_sub(1);
                    if self.running == 0 {
                        self.end.get_or_insert(NodeEnd::Finished);
                        self.stop_children(myself);
                    }
                }
                SupervisorEvent::Escalate { id, cause } => self.melt_down(myself, format!("{id}: {cause}")),
                SupervisorEvent::Meltdown { why } => self.melt_down(myself, why),
                SupervisorEvent::AllStopped => {
                    let end = self.end.clone().unwrap_or(NodeEnd::Finished);
                    self.finish(myself, end);
                }
            }
        }
    }

    /// Stops the intake: pipelines finish what is in flight and end by themselves, then everything else is stopped.
    fn close(&mut self, myself: &ActorRef<RootMsg>, end: NodeEnd) {
        if self.end.is_some() {
            return;
        }
        if let NodeEnd::ShutdownRequested(why) = &end {
            events::shutdown_began(why);
        }
        self.end = Some(end);
        for (_, address) in &self.pipelines {
            let _ = address.send(PipelineMsg::Close);
        }
        if self.running == 0 {
            self.stop_children(myself);
            return;
        }
        let (within, myself) = (self.close_within, myself.clone());
        let timer = self.shared.control.spawn(async move {
            tokio::time::sleep(within).await;
            let _ = myself.cast(RootMsg::CloseNow);
        });
        self.close_timer = Some(timer.abort_handle());
    }

    fn melt_down(&mut self, myself: &ActorRef<RootMsg>, why: String) {
        events::meltdown(&why);
        self.close(myself, NodeEnd::Meltdown(why));
    }

    fn stop_children(&mut self, myself: &ActorRef<RootMsg>) {
        if let Some(timer) = self.close_timer.take() {
            timer.abort();
        }
        let supervisor_events = self.supervisor.shutdown();
        self.react(myself, supervisor_events);
    }

    fn finish(&mut self, myself: &ActorRef<RootMsg>, end: NodeEnd) {
        let Some(done) = self.done.take() else { return };
        if end == NodeEnd::Finished {
            events::final_summary(&self.board, self.supervisor.restarts(), self.wall.now());
        }
        let _ = done.send(end);
        myself.stop(None);
    }

    fn kill(&mut self, path: &str) {
        match path.split_once('/') {
            None => {
                self.supervisor.kill(&ChildId::from(path));
            }
            Some((pipeline, stage)) => {
                let id = ChildId::from(pipeline);
                if let Some((_, address)) = self.pipelines.iter().find(|(name, _)| *name == id) {
                    let _ = address.send(PipelineMsg::Kill(ChildId::from(stage)));
                }
            }
        }
    }
}
