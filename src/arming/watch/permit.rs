//! What the intent protocol asks of an arm before and after each effect.

use sentinel_actors::domain::prediction::ModelIdentity;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Arming, NotArmed, Taken, elapsed_now};

use super::{Arm, Current, State, Watch};

impl Watch {
    pub(super) fn permit<'s>(
        &self,
        state: &'s mut State,
        pipeline: &str,
        model: Option<&ModelIdentity>,
        now: Option<UtcMs>,
    ) -> Result<&'s mut Current, NotArmed> {
        self.follow_file(state);
        let change = match (&state.arm, model) {
            (Arm::Valid(current), Some(model)) => current.armed.terms.change_of(pipeline, model),
            _ => None,
        };
        if let Some(what) = change {
            self.end(state, &what);
        }
        self.look_at_time(state, now);
        let heard = state.heard.contains_key(pipeline);
        match &mut state.arm {
            Arm::Valid(current) if !heard && current.armed.terms.account_of(pipeline).is_some() => {
                let what = format!(
                    "the venue of the pipeline {pipeline} has not said yet since the start whose account it is"
                );
                Err(self.ended(&what).into())
            }
            Arm::Valid(current) => match current.remaining.is_blind(elapsed_now()) {
                Some(what) => Err(self.ended(&what).into()),
                None => Ok(current),
            },
            Arm::Over(_, what) | Arm::Not(what) => Err(self.ended(what).into()),
        }
    }
}

impl Arming for Watch {
    fn permits(&self, pipeline: &str, model: Option<&ModelIdentity>, now: UtcMs) -> Result<(), NotArmed> {
        self.with_state(|state| self.permit(state, pipeline, model, Some(now)).map(|_| ()))
    }

    fn take(&self, pipeline: &str, model: Option<&ModelIdentity>, now: UtcMs) -> Result<Taken, NotArmed> {
        self.with_state(|state| {
            let current = self.permit(state, pipeline, model, Some(now))?;
            // Not the end for good: one that is under way may still be given back.
            current.remaining.take().map_err(|what| self.ended(&what))?;
            current.under_way += 1;
            Ok(Taken(state.generation))
        })
    }

    fn still_permits(
        &self,
        taken: Taken,
        pipeline: &str,
        model: Option<&ModelIdentity>,
        now: UtcMs,
    ) -> Result<(), NotArmed> {
        let generation = self.with_state(|state| {
            self.permit(state, pipeline, model, Some(now))?;
            Ok::<_, NotArmed>(state.generation)
        })?;
        if generation == taken.0 {
            return Ok(());
        }
        Err(NotArmed("the node was armed again while this was about to leave; the next decision may act".to_owned()))
    }

    fn use_up(&self, taken: Taken) {
        let mut state = self.state();
        let (generation, is_begun) = (state.generation, state.is_begun);
        let (Arm::Valid(current) | Arm::Over(current, _)) = &mut state.arm else { return };
        if generation != taken.0 {
            return;
        }
        current.under_way = current.under_way.saturating_sub(1);
        if let (Arm::Valid(current), true) = (&state.arm, is_begun)
            && current.under_way == 0
            && let Some(what) = current.remaining.is_spent()
        {
            self.log_end(&what);
        }
    }

    fn give_back(&self, taken: Taken) {
        let mut state = self.state();
        let generation = state.generation;
        if let Arm::Valid(current) | Arm::Over(current, _) = &mut state.arm
            && generation == taken.0
        {
            current.under_way = current.under_way.saturating_sub(1);
            current.remaining.give_back();
        }
    }

    fn left(&self) -> Option<String> {
        Some(match &self.state().arm {
            Arm::Valid(current) => match current.remaining.is_spent() {
                Some(what) => format!("ended: {what}"),
                None => current.remaining.text(self.clock.now(), elapsed_now()),
            },
            Arm::Over(_, what) | Arm::Not(what) => format!("ended: {what}"),
        })
    }
}
