//! Chance, and what happens at the named places of the production code.

use std::time::Duration;

use sentinel_actors::ports::{Chance, Fate, Fates, Place};

use crate::clock;
use crate::world::Shared;

/// A cycle is between two stages here, or its order between two commits.
const IN_CYCLE: [Place; 6] = [
    Place::FeaturesHandle,
    Place::PredictorHandle,
    Place::ExecutorHandle,
    Place::AfterPlan,
    Place::AfterSent,
    Place::BeforeEndSlot,
];

pub struct SimChance {
    pub world: Shared,
}

impl Chance for SimChance {
    fn unit(&self) -> f64 {
        self.world.chance("chance", "node")
    }
}

pub struct SimFates(pub Shared);

impl Fates for SimFates {
    fn at(&self, place: Place, who: &str) -> Fate {
        let world = &self.0;
        if place == Place::PreStart {
            world.lock().starts(who);
        }
        // Beats and looks happen every few seconds, the rest about once in a cycle.
        if IN_CYCLE.contains(&place) {
            clock::change_at_place(world, who, place);
        }
        let rarely = matches!(place, Place::JournalHandle | Place::HeartbeatHandle | Place::CompetitionClockHandle);
        let p = match rarely {
            _ if who == "journal" && !world.options.node_faults => 0.0,
            true => 0.000_05,
            // A stage is stopped in order only when a node or a competition ends.
            false if place == Place::PostStop => 0.001_8,
            false => 0.000_6,
        };
        let (panic, hang, delay) = names(place);
        let crash = if world.options.node_faults { p / 6.0 } else { 0.0 };
        let weights = [(panic, p), (hang, p), (delay, p * 2.0), ("crash_at_place", crash)];
        let Some(mood) = world.pick("fate", &format!("{who}@{place:?}"), &weights) else { return Fate::Pass };
        let mut inner = world.lock();
        inner.note(format!("{mood} at {place:?} in {who}"));
        if mood == panic {
            return Fate::Panic;
        }
        if mood == delay {
            let millis = inner.stream("delay", who).u64(1..3000);
            stalled(&mut inner, who);
            return Fate::Delay(Duration::from_millis(millis));
        }
        stalled(&mut inner, who);
        if mood == "pass" {
            return Fate::Pass;
        }
        if mood == "crash_at_place" {
            inner.trace(format!("process dies at {place:?} in {who}"));
            inner.crash.notify_one();
        }
        Fate::Hang
    }
}

/// While a pipeline stands still it cannot notice that its stages do.
fn stalled(inner: &mut crate::world::Inner, who: &str) {
    if !who.contains('/') {
        let now = inner.elapsed();
        inner.alive.owner_stalled_at.insert(who.to_owned(), now);
    }
}

fn names(place: Place) -> (&'static str, &'static str, &'static str) {
    match place {
        Place::PreStart => ("pre_start_panic", "pre_start_hang", "pre_start_slow"),
        Place::PostStart => ("post_start_panic", "post_start_hang", "post_start_slow"),
        Place::PostStop => ("post_stop_panic", "post_stop_hang", "post_stop_slow"),
        Place::SupervisorEvent => ("event_panic", "event_hang", "event_slow"),
        Place::JournalHandle => ("journal_actor_panic", "journal_actor_hang", "journal_actor_slow"),
        Place::HeartbeatHandle | Place::CompetitionClockHandle => ("service_panic", "service_hang", "service_slow"),
        Place::PipelineHandle | Place::BeforeEndSlot | Place::AfterEndSlot => {
            ("pipeline_panic", "pipeline_hang", "pipeline_slow")
        }
        _ => ("stage_panic", "stage_hang", "stage_slow"),
    }
}
