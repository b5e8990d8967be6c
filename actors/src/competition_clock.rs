//! CompetitionClock: opens and closes the competition window of each pipeline.
//!
//! It only announces. That no effect happens outside a window is checked again by the Executor right before each effect,
//! so a dead clock can delay an end but never extend it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinSet;

use crate::domain::schedule::Window;
use crate::events;
use crate::messages::{CompetitionMsg, PipelineMsg};
use crate::ports::{FaultInjector, FaultPoint, inject_fault};
use crate::status::Board;
use crate::supervision::Address;

#[derive(Clone)]
pub struct Competition {
    /// Start and end.
    pub window: Window,
    pub pipeline: Address<PipelineMsg>,
}

#[derive(Clone)]
pub struct CompetitionClockArgs {
    /// Competitions by pipeline name.
    pub competitions: BTreeMap<String, Competition>,
    /// Schedule time and state of each pipeline.
    pub board: Board,
    /// Elapsed time between two checks.
    pub check_every: Duration,
    /// Where faults are injected; nothing happens there in production.
    pub faults: Arc<dyn FaultInjector>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Before,
    Open,
    Over,
}

pub struct CompetitionClock;

pub struct CompetitionClockState {
    args: CompetitionClockArgs,
    announced: BTreeMap<String, Phase>,
    timer: JoinSet<()>,
}

impl Actor for CompetitionClock {
    type Msg = CompetitionMsg;
    type State = CompetitionClockState;
    type Arguments = CompetitionClockArgs;

    async fn pre_start(
        &self,
        _: ActorRef<CompetitionMsg>,
        args: CompetitionClockArgs,
    ) -> Result<CompetitionClockState, ActorProcessingErr> {
        inject_fault(&*args.faults, FaultPoint::PreStart, "competition_clock").await;
        Ok(CompetitionClockState { args, announced: BTreeMap::new(), timer: JoinSet::new() })
    }

    async fn post_start(
        &self,
        myself: ActorRef<CompetitionMsg>,
        state: &mut CompetitionClockState,
    ) -> Result<(), ActorProcessingErr> {
        inject_fault(&*state.args.faults, FaultPoint::PostStart, "competition_clock").await;
        state.check(&myself);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<CompetitionMsg>,
        message: CompetitionMsg,
        state: &mut CompetitionClockState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            CompetitionMsg::Check => {
                inject_fault(&*state.args.faults, FaultPoint::CompetitionClockHandle, "competition_clock").await;
                state.check(&myself);
            }
            CompetitionMsg::WindowPassed { pipeline } => state.announce(&pipeline),
            CompetitionMsg::Ping(reply) => {
                let _ = reply.send(());
            }
        }
        Ok(())
    }
}

impl CompetitionClockState {
    fn check(&mut self, myself: &ActorRef<CompetitionMsg>) {
        while self.timer.try_join_next().is_some() {}
        let names: Vec<String> = self.args.competitions.keys().cloned().collect();
        for name in names {
            self.announce(&name);
        }
        let (pause, myself) = (self.args.check_every, myself.clone());
        self.timer.spawn(async move {
            tokio::time::sleep(pause).await;
            let _ = myself.cast(CompetitionMsg::Check);
        });
    }

    fn announce(&mut self, pipeline: &str) {
        let (Some(competition), Some(entry)) =
            (self.args.competitions.get(pipeline), self.args.board.entries.get(pipeline))
        else {
            return;
        };
        let (window, now, status) = (competition.window, entry.clock.now(), entry.status.load());
        let phase = match window {
            _ if window.is_over(now) => Phase::Over,
            _ if window.is_before(now) => Phase::Before,
            _ => Phase::Open,
        };
        // Sent again at each check until the pipeline has ended: it may have been restarting.
        if phase == Phase::Over && !status.ended {
            let _ = competition.pipeline.send(PipelineMsg::WindowOver);
        }
        if self.announced.insert(pipeline.to_owned(), phase) == Some(phase) {
            return;
        }
        match (phase, window.start) {
            (Phase::Before, Some(start)) => events::competition_waits(pipeline, start),
            (Phase::Over, _) => events::competition_ended(pipeline, &status),
            (Phase::Open, Some(_)) => events::competition_opened(pipeline),
            _ => {}
        }
    }
}
