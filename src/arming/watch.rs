//! The arm of a running node: whether what runs is still what was armed.
//!
//! Any change ends it, and so does a limit that is reached; it stays ended until `sentinel arm` is typed again, while the node runs
//! or before the next start. The file is read only when its stamp changes, and a model is known by the identity that its adapter
//! has anyway, so that it costs a look at a file's metadata. What ends it is one log line, however many slots want to act afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sentinel_actors::domain::account::AccountReport;
use sentinel_actors::domain::node_view::ArmView;
use sentinel_actors::domain::prediction::ModelIdentity;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{Clock, NotArmed, elapsed_now};

use super::record::{self, Armed};
use super::remaining::Remaining;
use super::seen::{self, Seen};
use super::{ArmId, Effects, Plan, Terms, VenueSays};
use crate::files::Stamp;

/// Where the arm of a run is.
#[derive(Debug, Clone)]
pub enum ArmOf {
    /// In this file.
    Recorded(PathBuf),
    /// The caller gives it, for this run alone.
    Given(Box<Terms>),
}

/// Asks the journal.
pub type CountEffects = Box<dyn Fn() -> Result<Effects, String> + Send + Sync>;

/// Why nothing may leave, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Ended {
    /// What has changed, or that nothing was armed.
    pub what: String,
    /// What arms it again.
    pub command: String,
}

impl From<Ended> for NotArmed {
    fn from(ended: Ended) -> Self {
        Self(format!("{}; `{}` shows it and arms it again", ended.what, ended.command))
    }
}

/// Compares what runs with what was armed.
pub struct Watch {
    plan: Plan,
    command: String,
    file: Option<PathBuf>,
    /// The wall clock.
    clock: Arc<dyn Clock>,
    count: CountEffects,
    state: Mutex<State>,
    /// Held by whoever writes what was seen: the newest is written last.
    writing: Mutex<()>,
}

struct State {
    /// Of the file when it was read.
    stamp: Stamp,
    arm: Arm,
    /// What venues have said of themselves since the start, by pipeline.
    heard: BTreeMap<String, VenueSays>,
    /// Which arm it is: it grows when another one is taken up.
    generation: u64,
    /// The journal can be asked.
    can_count: bool,
    /// The node has started: what happens from now on is an event.
    is_begun: bool,
    /// What was seen under an arm and has to be kept.
    unkept: Option<(Armed, Seen)>,
}

impl State {
    /// Keeps what was seen under the arm once the state is free again.
    fn note_seen(&mut self, at: UtcMs, lost: Option<String>) {
        if let Arm::Valid(current) = &self.arm {
            self.unkept = Some((current.armed.clone(), Seen { at, lost }));
        }
    }
}

enum Arm {
    Valid(Box<Current>),
    /// It was that of this run, and one of its limits was reached.
    Over(Box<Current>, String),
    /// Nothing is armed, or something else.
    Not(String),
}

impl Arm {
    /// An arm that is recorded while the node runs counts for what the venues are now.
    fn unless_heard_otherwise(self, heard: &BTreeMap<String, VenueSays>) -> Self {
        let (Self::Valid(current) | Self::Over(current, _)) = &self else { return self };
        let change = heard.iter().find_map(|(pipeline, says)| current.armed.terms.venue_change_of(pipeline, says));
        change.map_or(self, Self::Not)
    }
}

struct Current {
    armed: Armed,
    remaining: Remaining,
    /// Effects that were taken, and of which it is not known yet whether they have left.
    under_way: u32,
    /// A loss has ended it, or it cannot be told any more what is left of it: nobody meant it to end so.
    is_spoilt: bool,
}

impl Watch {
    /// Of a node that would do `plan`. `command` arms it.
    #[must_use]
    pub fn new(plan: Plan, arm_of: ArmOf, command: String, clock: Arc<dyn Clock>, count: CountEffects) -> Self {
        let (file, stamp) = match &arm_of {
            // Before reading: a write in between makes the next question look again.
            ArmOf::Recorded(file) => (Some(file.clone()), Stamp::of(file)),
            ArmOf::Given(_) => (None, Stamp::default()),
        };
        let arm = Arm::Not(String::new());
        let state = State {
            stamp,
            arm,
            heard: BTreeMap::new(),
            generation: 0,
            can_count: false,
            is_begun: false,
            unkept: None,
        };
        let watch = Self { plan, command, file, clock, count, state: Mutex::new(state), writing: Mutex::new(()) };
        let arm = match arm_of {
            ArmOf::Recorded(file) => watch.look(&file, false),
            ArmOf::Given(terms) => {
                let armed = Armed {
                    terms: *terms,
                    at: watch.clock.now(),
                    effects: Effects::default(),
                    equity: BTreeMap::new(),
                };
                watch.judge(armed, None, false)
            }
        };
        watch.state().arm = arm;
        watch
    }

    /// What is armed, also when its limits are reached: what only closes leaves then, and open intents are settled.
    ///
    /// # Errors
    /// When nothing is, or something else.
    pub fn armed(&self) -> Result<ArmId, Ended> {
        match &self.state().arm {
            Arm::Valid(current) | Arm::Over(current, _) => Ok(current.armed.terms.id()),
            Arm::Not(what) => Err(self.ended(what)),
        }
    }

    /// What is left of it, for the node's verdict.
    #[must_use]
    pub fn standing(&self) -> ArmView {
        let (until, ended, as_intended) = match &self.state().arm {
            Arm::Valid(current) => (current.remaining.ends(), current.remaining.is_spent(), true),
            Arm::Over(current, what) => (None, Some(what.clone()), !current.is_spoilt),
            Arm::Not(what) => (None, Some(what.clone()), false),
        };
        ArmView { until, ended, as_intended, command: self.command.clone() }
    }

    /// Whether nothing new may leave.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        match &self.state().arm {
            Arm::Valid(current) => current.remaining.is_spent().is_some(),
            Arm::Over(..) | Arm::Not(_) => true,
        }
    }

    /// The journal is open: what has left under this arm is counted.
    pub fn count(&self) {
        let mut state = self.state();
        state.can_count = true;
        state.arm = match std::mem::replace(&mut state.arm, Arm::Not(String::new())) {
            Arm::Valid(current) => self.counted(*current, true),
            other => other,
        };
    }

    /// The node starts: from now on a change is logged.
    pub fn begin(&self) {
        let mut state = self.state();
        state.is_begun = true;
        if let Arm::Over(_, what) = &state.arm {
            self.log_end(what);
        }
    }

    /// Looks at file and clock without being asked, and keeps the time that was seen. Blocks on the disk.
    pub fn look_around(&self) {
        self.with_state(|state| {
            self.follow_file(state);
            self.look_at_time(state, None);
            if matches!(&state.arm, Arm::Valid(current) if current.remaining.has_end()) {
                state.note_seen(self.clock.now(), None);
            }
        });
    }

    /// Ends the arm, unless it has ended already.
    fn end(&self, state: &mut State, what: &str) {
        if !matches!(state.arm, Arm::Valid(_)) {
            return;
        }
        state.arm = Arm::Not(what.to_owned());
        if state.is_begun {
            self.log_end(what);
        }
    }

    fn log_end(&self, what: &str) {
        tracing::error!(
            event = "arm_ended",
            what,
            command = self.command,
            "the arm has ended: no new exposure and no forecast leaves; positions are still closed, and open intents settled"
        );
    }

    /// Takes up a file that has changed.
    fn follow_file(&self, state: &mut State) {
        let Some(file) = &self.file else { return };
        let stamp = Stamp::of(file);
        if stamp == state.stamp {
            return;
        }
        state.stamp = stamp;
        match self.look(file, state.can_count).unless_heard_otherwise(&state.heard) {
            Arm::Not(what) => self.end(state, &what),
            arm => {
                let was_valid = matches!(&state.arm, Arm::Valid(current) if current.remaining.is_spent().is_none());
                if let (Arm::Valid(current), false, true) = (&arm, was_valid, state.is_begun) {
                    tracing::info!(event = "armed_again", arm = %current.armed.terms.id(), "what runs was armed again");
                }
                if let (Arm::Over(_, what), true, true) = (&arm, was_valid, state.is_begun) {
                    self.log_end(what);
                }
                state.generation += 1;
                state.arm = arm;
            }
        }
    }

    fn look(&self, file: &Path, can_count: bool) -> Arm {
        match record::read(file) {
            Err(error) => Arm::Not(chain(&error)),
            Ok(armed) => self.judge(armed, Some(seen::file_beside(file)), can_count),
        }
    }

    fn judge(&self, armed: Armed, seen: Option<PathBuf>, can_count: bool) -> Arm {
        let changes = self.plan.changes_since(&armed.terms);
        if !changes.is_empty() {
            return Arm::Not(changes.join("; "));
        }
        let limits = &armed.terms.limits;
        let is_seen = limits.until.is_some() || limits.max_loss.is_some();
        let seen = seen.filter(|_| is_seen).map_or(Ok(None), |file| seen::read(&file, &armed));
        let (wall, elapsed) = (self.clock.now(), elapsed_now());
        let (seen, lost) = match seen {
            Ok(seen) => (seen.as_ref().map(|seen| seen.at), seen.and_then(|seen| seen.lost)),
            Err(what) => (None, Some(what)),
        };
        let remaining = Remaining::new(&armed, seen, wall, elapsed);
        let is_spoilt = lost.is_some();
        let over = lost.or_else(|| remaining.is_over(None, wall, elapsed));
        let current = Current { armed, remaining, under_way: 0, is_spoilt };
        match over {
            Some(what) => Arm::Over(Box::new(current), what),
            None => self.counted(current, can_count),
        }
    }

    fn counted(&self, mut current: Current, can_count: bool) -> Arm {
        if !can_count || !current.remaining.counts() {
            return Arm::Valid(Box::new(current));
        }
        match (self.count)().and_then(|effects| effects.since(&current.armed.effects)) {
            Ok(taken) => {
                current.remaining.set_taken(taken);
                match current.remaining.is_spent() {
                    Some(what) => Arm::Over(Box::new(current), what),
                    None => Arm::Valid(Box::new(current)),
                }
            }
            Err(what) => {
                current.is_spoilt = true;
                Arm::Over(Box::new(current), what)
            }
        }
    }

    fn look_at_time(&self, state: &mut State, schedule: Option<UtcMs>) {
        let Arm::Valid(current) = &state.arm else { return };
        let Some(what) = current.remaining.is_over(schedule, self.clock.now(), elapsed_now()) else { return };
        // Whatever the clock shows at the next start, it has ended.
        if let Some(until) = current.armed.terms.limits.until {
            let end = until.instant(current.armed.at);
            state.note_seen(end, None);
        }
        self.reach(state, what);
    }

    /// A limit was reached.
    fn reach(&self, state: &mut State, what: String) {
        state.arm = match std::mem::replace(&mut state.arm, Arm::Not(String::new())) {
            Arm::Valid(current) => {
                if state.is_begun {
                    self.log_end(&what);
                }
                Arm::Over(current, what)
            }
            other => other,
        };
    }

    /// Looks at the state or changes it; what has to be kept of it is written when others may look again.
    fn with_state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let answer = look(&mut state);
        let has_news = state.unkept.is_some();
        drop(state);
        if has_news {
            self.keep_seen();
        }
        answer
    }

    fn keep_seen(&self) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((armed, seen)) = self.state().unkept.take() else { return };
        let Some(file) = self.file.as_deref().map(seen::file_beside) else { return };
        if let Err(error) = seen::write(&file, &armed, seen) {
            tracing::warn!(
                event = "arm_seen_lost",
                error = %chain(&error),
                "what was seen under the arm cannot be kept; a clock that is set back before the next start would lengthen it"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, what: &str) -> Ended {
        Ended { what: what.to_owned(), command: self.command.clone() }
    }

    /// Another model was seen behind a pipeline, and it is not known which.
    pub(super) fn model_changed(&self, pipeline: &str, how: &str) {
        let mut state = self.state();
        // What is armed now is what counts.
        self.follow_file(&mut state);
        self.end(&mut state, &format!("the model of the pipeline {pipeline} has changed: {how}"));
    }

    /// A venue has said what it is: another one than the armed one ends the arm, and so does a loss that is too large.
    pub fn hear(&self, pipeline: &str, report: &AccountReport) {
        self.with_state(|state| self.take_in(state, pipeline, report));
    }

    fn take_in(&self, state: &mut State, pipeline: &str, report: &AccountReport) {
        self.follow_file(state);
        let says = VenueSays::of(report);
        let Arm::Valid(current) = &mut state.arm else {
            state.heard.insert(pipeline.to_owned(), says);
            return;
        };
        let change = current.armed.terms.venue_change_of(pipeline, &says);
        let lost = current.remaining.note_equity(pipeline, report.equity, elapsed_now());
        if let Some(lost) = &lost {
            state.note_seen(self.clock.now(), Some(lost.clone()));
        }
        state.heard.insert(pipeline.to_owned(), says);
        if let Some(what) = change {
            self.end(state, &what);
        } else if let Some(what) = lost {
            if let Arm::Valid(current) = &mut state.arm {
                current.is_spoilt = true;
            }
            self.reach(state, what);
        }
    }

    /// Whether a loss ends the arm, so that accounts must be asked often.
    #[must_use]
    pub fn watches_loss(&self) -> bool {
        matches!(&self.state().arm, Arm::Valid(current) if current.remaining.watches_loss())
    }

    /// A model has said who it is: another one than the armed one ends the arm.
    pub fn note_model(&self, pipeline: &str, model: &ModelIdentity) {
        let _ = self.with_state(|state| self.permit(state, pipeline, Some(model), None).map(|_| ()));
    }
}

mod permit;
#[cfg(test)]
mod tests;
