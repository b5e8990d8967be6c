//! Random numbers, and the faults at the fault points of the production code.

use std::time::Duration;

use sentinel_actors::ports::{Chance, FaultInjector, FaultPoint, InjectedFault};

use crate::clock;
use crate::world::{Part, Shared};

/// A cycle is between two stages here, or its order between two commits.
const IN_CYCLE: [FaultPoint; 6] = [
    FaultPoint::FeaturesHandle,
    FaultPoint::PredictorHandle,
    FaultPoint::ExecutorHandle,
    FaultPoint::AfterPlan,
    FaultPoint::AfterSent,
    FaultPoint::BeforeEndSlot,
];

/// What features take on a machine that is not slow.
const NORMAL: Duration = Duration::from_millis(5);

pub struct SimChance {
    pub world: Shared,
}

impl Chance for SimChance {
    fn unit(&self) -> f64 {
        self.world.chance("chance", "node")
    }
}

pub struct SimFaults(pub Shared);

impl FaultInjector for SimFaults {
    fn at(&self, point: FaultPoint, who: &str) -> InjectedFault {
        let world = &self.0;
        if point == FaultPoint::PreStart {
            world.lock().starts(who);
        }
        // Beats and checks happen every few seconds, the rest about once in a cycle.
        if IN_CYCLE.contains(&point) {
            clock::change_at_place(world, who, point);
        }
        let rarely = matches!(
            point,
            FaultPoint::JournalHandle
                | FaultPoint::HeartbeatHandle
                | FaultPoint::CompetitionClockHandle
                | FaultPoint::SlotFeedHandle
        );
        let p = match rarely {
            _ if who == "journal" && !world.options.node_faults => 0.0,
            true => 0.000_05,
            // A stage is stopped in order only when a node or a competition ends.
            false if point == FaultPoint::PostStop => 0.001_8,
            false => 0.000_6,
        };
        let (panic, hang, delay) = names(point);
        let crash = if world.options.node_faults { p / 6.0 } else { 0.0 };
        let weights = [(panic, p), (hang, p), (delay, p * 2.0), ("crash_at_place", crash)];
        let Some(fault) = world.pick("fate", &format!("{who}@{point:?}"), &weights) else {
            return slow_features(world, point);
        };
        let mut inner = world.lock();
        inner.note(format!("{fault} at {point:?} in {who}"));
        if fault == panic {
            return InjectedFault::Panic;
        }
        if fault == delay {
            let millis = inner.stream("delay", who).u64(1..3000);
            stalled(&mut inner, who);
            return InjectedFault::Delay(Duration::from_millis(millis));
        }
        stalled(&mut inner, who);
        if fault == "pass" {
            return InjectedFault::None;
        }
        if fault == "crash_at_place" {
            inner.tracker(format!("process is killed at {point:?} in {who}"));
            inner.crash.notify_one();
        }
        InjectedFault::Hang
    }
}

/// Features are computed in one go, so that a slow machine shows before they are.
fn slow_features(world: &Shared, point: FaultPoint) -> InjectedFault {
    if point != FaultPoint::FeaturesHandle {
        return InjectedFault::None;
    }
    match world.work(Part::Features, NORMAL, Duration::from_secs(2)) {
        NORMAL => InjectedFault::None,
        longer => InjectedFault::Delay(longer),
    }
}

/// A pipeline that hangs cannot notice that its stages hang.
fn stalled(inner: &mut crate::world::Inner, who: &str) {
    if !who.contains('/') {
        let now = inner.elapsed();
        inner.alive.owner_stalled_at.insert(who.to_owned(), now);
    }
}

fn names(point: FaultPoint) -> (&'static str, &'static str, &'static str) {
    match point {
        FaultPoint::PreStart => ("pre_start_panic", "pre_start_hang", "pre_start_slow"),
        FaultPoint::PostStart => ("post_start_panic", "post_start_hang", "post_start_slow"),
        FaultPoint::PostStop => ("post_stop_panic", "post_stop_hang", "post_stop_slow"),
        FaultPoint::SupervisorEvent => ("event_panic", "event_hang", "event_slow"),
        FaultPoint::JournalHandle => ("journal_actor_panic", "journal_actor_hang", "journal_actor_slow"),
        FaultPoint::HeartbeatHandle | FaultPoint::CompetitionClockHandle => {
            ("service_panic", "service_hang", "service_slow")
        }
        FaultPoint::PipelineHandle | FaultPoint::BeforeEndSlot | FaultPoint::AfterEndSlot => {
            ("pipeline_panic", "pipeline_hang", "pipeline_slow")
        }
        _ => ("stage_panic", "stage_hang", "stage_slow"),
    }
}
