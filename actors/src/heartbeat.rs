//! Heartbeat: an hourly line that carries useful work, and the progress that the watchdog demands.
//!
//! Its own beat proves that the control plane runs; for the workers it has each of them run a task. It never reports progress
//! that it did not see. It also detects that the wall clock was set or that the machine slept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::admission::{Admission, Load};
use crate::clock_watch::{ClockFace, ClockWatch, Step};
use crate::domain::overload::{OverloadReport, OverloadWatch};
use crate::domain::verdict::Judgement;
use crate::events;
use crate::journal::JournalHandle;
use crate::ports::{Arming, Clock, FaultInjector, FaultPoint, elapsed_now, inject_fault};
use crate::settings::Workers;
use crate::status::{Board, Seen, Totals};
use crate::supervision::watch::Progress;

#[derive(Clone)]
pub struct HeartbeatArgs {
    /// Elapsed time between two lines.
    pub line_every: Duration,
    /// Elapsed time between two beats.
    pub beat_every: Duration,
    pub board: Board,
    /// Where halts are recorded.
    pub journal: JournalHandle,
    /// The wall clock, to be compared with elapsed time at each beat.
    pub wall: Arc<dyn Clock>,
    pub progress: Arc<Progress>,
    /// The runtimes of the workers, each of which must run a task at each beat.
    pub workers: Workers,
    /// What is left of the arm is in each line.
    pub arming: Arc<dyn Arming>,
    /// Asked at each beat whether slots had to be shed.
    pub admission: Arc<Admission>,
    /// Where faults are injected; nothing happens there in production.
    pub faults: Arc<dyn FaultInjector>,
}

#[derive(Debug)]
pub enum HeartbeatMsg {
    Beat,
    Ping(RpcReplyPort<()>),
}

pub struct Heartbeat;

pub struct HeartbeatState {
    args: HeartbeatArgs,
    next_line: Instant,
    clock: ClockWatch,
    face: ClockFace,
    overload: OverloadWatch,
    last_beat: Instant,
    last_line: Instant,
    /// Totals at the last line.
    totals: Totals,
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
        inject_fault(&*args.faults, FaultPoint::PreStart, "heartbeat").await;
        let (last_line, totals) = (elapsed_now(), args.board.totals());
        let (next_line, clock, timer) = (last_line + args.line_every, ClockWatch::default(), JoinSet::new());
        let (overload, last_beat) = (OverloadWatch::default(), last_line);
        let face = ClockFace::default();
        Ok(HeartbeatState { args, next_line, clock, face, overload, last_beat, last_line, totals, timer })
    }

    async fn post_start(
        &self,
        myself: ActorRef<HeartbeatMsg>,
        state: &mut HeartbeatState,
    ) -> Result<(), ActorProcessingErr> {
        inject_fault(&*state.args.faults, FaultPoint::PostStart, "heartbeat").await;
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
                inject_fault(&*state.args.faults, FaultPoint::HeartbeatHandle, "heartbeat").await;
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
        self.ask_workers();
        self.look_at_halts();
        match self.clock.check(&*self.args.wall) {
            Some(Step { by_ms, steps }) if by_ms < 0 => {
                events::clock_set_back(Duration::from_millis(by_ms.unsigned_abs()), steps);
            }
            Some(Step { by_ms, steps }) => events::clock_jumped(Duration::from_millis(by_ms.unsigned_abs()), steps),
            None => {}
        }
        let now = elapsed_now();
        let (latest, stands_for) = self.face.look(now, self.args.wall.now());
        self.args.board.clock.note(latest, stands_for);
        self.look_at_load(now);
        if now >= self.next_line {
            self.write_lines(now);
            // Counted from now: after a suspend the missed lines are not made up for.
            self.next_line = now + self.args.line_every;
        }
        let (pause, myself) = (self.args.beat_every, myself.clone());
        self.timer.spawn(async move {
            tokio::time::sleep(pause).await;
            let _ = myself.cast(HeartbeatMsg::Beat);
        });
    }

    /// The last worker to answer reports progress for all.
    fn ask_workers(&mut self) {
        let silent = Arc::new(AtomicUsize::new(self.args.workers.all().len()));
        for worker in self.args.workers.all() {
            let (silent, progress) = (silent.clone(), self.args.progress.clone());
            let answer = async move {
                if silent.fetch_sub(1, Ordering::AcqRel) == 1 {
                    progress.beat_worker();
                }
            };
            self.timer.spawn_on(answer, worker);
        }
    }

    /// A kill switch is noticed although no effect is due, and what could not be recorded is tried again.
    fn look_at_halts(&mut self) {
        let halts = &self.args.board.halts;
        halts.look_at_switch();
        if halts.pending().is_empty() {
            return;
        }
        let (halts, journal) = (halts.clone(), self.args.journal.clone());
        self.timer.spawn(async move {
            // Failing, it is tried again with the next beat.
            let _ = halts.record_pending(&journal).await;
        });
    }

    /// The beat itself is progress.
    fn verdict(&self) -> Judgement {
        let now = self.args.wall.now();
        let seen = Seen { at: now, started_at: now, version: "", fresh_for: Duration::MAX };
        Judgement::of(&self.args.board.view(seen), now)
    }

    fn look_at_load(&mut self, now: Instant) {
        let Load { shed, worked } = self.args.admission.take_load();
        let passed = now.duration_since(std::mem::replace(&mut self.last_beat, now));
        match self.overload.look(shed, &worked, self.args.wall.now(), passed) {
            Some(OverloadReport::Began(overload)) => events::overload_began(&overload),
            Some(OverloadReport::Lasts(overload)) => events::overload_lasts(&overload),
            Some(OverloadReport::Ended(overload)) => events::overload_ended(&overload),
            None => {}
        }
        let present = self.overload.present().map(Arc::new);
        if present.is_some() || self.args.board.overload.load().is_some() {
            self.args.board.overload.store(present);
        }
    }

    fn write_lines(&mut self, now: Instant) {
        for (pipeline, entry) in &self.args.board.entries {
            let lateness = entry.status.load().lateness(entry.clock.now());
            let state = self.args.board.halts.state_of(&entry.place);
            events::heartbeat_pipeline(pipeline, entry, state, lateness);
        }
        for order in self.args.board.entries.values().flat_map(|entry| entry.holdings.load().held.clone()) {
            events::effect_held(&order);
        }
        for halt in self.args.board.halts.standing().recorded() {
            events::halts::stands(halt);
        }
        let totals = self.args.board.totals();
        let period = now.saturating_duration_since(std::mem::replace(&mut self.last_line, now));
        let arm = self.args.arming.left();
        let verdict = self.verdict();
        events::heartbeat(&self.args.board, &verdict, &totals.since(&self.totals), period, arm.as_deref());
        self.totals = totals;
    }
}
