//! Heartbeat: an hourly line that carries useful work, and the progress that the watchdog demands.
//!
//! It beats for the control plane by running at all, and for the workers by making one of them run. It never beats on
//! behalf of somebody else. Beside that it notices when the wall clock was set or the machine slept.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clock_watch::{ClockWatch, Step};
use crate::events;
use crate::ports::{Clock, Fates, Place, elapsed_now, pass};
use crate::status::Board;
use crate::supervision::watch::Progress;

/// What the Heartbeat is made of.
#[derive(Clone)]
pub struct HeartbeatArgs {
    /// Elapsed time between two lines.
    pub line_every: Duration,
    /// Elapsed time between two beats.
    pub beat_every: Duration,
    /// Whom it reports on.
    pub board: Board,
    /// The wall clock, to be compared with elapsed time at each beat.
    pub wall: Arc<dyn Clock>,
    /// What it beats.
    pub progress: Arc<Progress>,
    /// The workers that must prove themselves.
    pub workers: Handle,
    /// Fault places.
    pub fates: Arc<dyn Fates>,
}

/// Messages of the Heartbeat.
#[derive(Debug)]
pub enum HeartbeatMsg {
    /// Time for a beat.
    Beat,
    /// Liveness.
    Ping(RpcReplyPort<()>),
}

/// The actor.
pub struct Heartbeat;

/// Its state.
pub struct HeartbeatState {
    args: HeartbeatArgs,
    next_line: Instant,
    clock: ClockWatch,
    timer: JoinSet<()>,
}

impl Actor for Heartbeat {
    type Msg = HeartbeatMsg;
    type State = HeartbeatState;
    type Arguments = HeartbeatArgs;

    async fn pre_start(
        &self,
        _: ActorRef<HeartbeatMsg>,
        args: HeartbeatArgs,
    ) -> Result<HeartbeatState, ActorProcessingErr> {
        pass(&*args.fates, Place::PreStart, "heartbeat").await;
        let next_line = elapsed_now() + args.line_every;
        Ok(HeartbeatState { args, next_line, clock: ClockWatch::default(), timer: JoinSet::new() })
    }

    async fn post_start(
        &self,
        myself: ActorRef<HeartbeatMsg>,
        state: &mut HeartbeatState,
    ) -> Result<(), ActorProcessingErr> {
        pass(&*state.args.fates, Place::PostStart, "heartbeat").await;
        state.beat(&myself);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<HeartbeatMsg>,
        message: HeartbeatMsg,
        state: &mut HeartbeatState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            HeartbeatMsg::Beat => {
                pass(&*state.args.fates, Place::HeartbeatHandle, "heartbeat").await;
                state.beat(&myself);
            }
            HeartbeatMsg::Ping(reply) => {
                let _ = reply.send(());
            }
        }
        Ok(())
    }
}

impl HeartbeatState {
    fn beat(&mut self, myself: &ActorRef<HeartbeatMsg>) {
        while self.timer.try_join_next().is_some() {}
        self.args.progress.beat_control();
        let progress = self.args.progress.clone();
        self.timer.spawn_on(async move { progress.beat_worker() }, &self.args.workers);
        match self.clock.look(&*self.args.wall) {
            Some(Step { by_ms, steps }) if by_ms < 0 => {
                events::clock_set_back(Duration::from_millis(by_ms.unsigned_abs()), steps);
            }
            Some(Step { by_ms, steps }) => events::clock_jumped(Duration::from_millis(by_ms.unsigned_abs()), steps),
            None => {}
        }
        let now = elapsed_now();
        if now >= self.next_line {
            self.write_lines();
            // From now on and not from when it was due: a suspended machine owes no lines.
            self.next_line = now + self.args.line_every;
        }
        let (pause, myself) = (self.args.beat_every, myself.clone());
        self.timer.spawn(async move {
            tokio::time::sleep(pause).await;
            let _ = myself.cast(HeartbeatMsg::Beat);
        });
    }

    fn write_lines(&self) {
        for (pipeline, entry) in &self.args.board.entries {
            let status = entry.status.load();
            events::heartbeat_pipeline(pipeline, &status, status.lateness(entry.clock.now()));
        }
        for order in self.args.board.entries.values().flat_map(|entry| entry.holdings.load().held.clone()) {
            events::order_held(&order);
        }
        events::heartbeat(&self.args.board);
    }
}
