//! The intent protocol: settle what is open, plan, `sent`, submit, record. It knows what an intent is, and not what it stands for.
//!
//! Promise 2 is kept here. Before a new effect, every open intent is settled by evidence. `planned` and `sent` are durable before
//! anything leaves, nothing is ever sent twice, and an effect without a usable answer stays `unknown`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::effect::{Effect, Refusals, existing_effect, outcome, unrecorded};
use super::settling::SettledByHand;
use crate::cycle_flow::Cycle;
use crate::domain::action::{Action, Receipt};
use crate::domain::cycle::SlotRecord;
use crate::domain::halt::{NewHalt, Place, RaisedBy, Scope, TradingState, one_line};
use crate::domain::intent::{Basis, Intent, IntentEvent, IntentKey, IntentState, Mode};
use crate::domain::order::Position;
use crate::domain::prediction::ModelIdentity;
use crate::domain::reason::{Ending, Reason};
use crate::domain::schedule::Window;
use crate::domain::time::UtcMs;
use crate::events;
use crate::halts::Halts;
use crate::journal::{JournalHandle, JournalUnavailable};
use crate::meters::PipelineMeters;
use crate::ports::{
    Arming, Clock, DiskSpace, FaultInjector, FaultPoint, NotArmed, Sink, Submission, Taken, Written, elapsed_now,
    inject_fault,
};
use crate::settings::Deadlines;
use crate::status::Holdings;

/// Nothing is sent when less than this part (a tenth) of the deadline is left: the answer would come too late.
const VENUE_LEAST: u32 = 10;

pub struct IntentProtocol {
    /// Pipeline name, part of every key.
    pub pipeline: String,
    /// Where its effects would leave.
    pub place: Place,
    /// `pipeline/executor`, for fault points.
    pub path: String,
    pub competition: Window,
    pub clock: Arc<dyn Clock>,
    pub sink: Arc<dyn Sink>,
    pub journal: JournalHandle,
    /// After repeated crashes: no effects.
    pub safe_mode: Arc<AtomicBool>,
    /// What keeps effects here until an operator lifts it.
    pub halts: Arc<Halts>,
    /// What an operator has armed.
    pub arming: Arc<dyn Arming>,
    /// How full the disk is on which all of this is recorded.
    pub disk: Arc<dyn DiskSpace>,
    /// Where faults are injected; nothing happens there in production.
    pub faults: Arc<dyn FaultInjector>,
    /// Of the stage, and of the decision's schedule time.
    pub deadlines: Deadlines,
    /// All venue calls of the work in hand end by then.
    pub venue_until: Instant,
    /// Every open intent of this pipeline is settled, or held for an operator.
    pub settled: bool,
    /// Whether an operator has settled one since.
    pub settled_by_hand: SettledByHand,
    /// Grows with every change of an intent: what was derived from the journal before it is out of date.
    pub changes: u64,
    /// When an intent was first asked about without an answer that decides.
    pub asked_since: HashMap<IntentKey, Instant>,
    /// Refusals in a row, since the process started.
    pub refusals: Refusals,
    /// Newest basis and newest slot that had an intent when this incarnation started, once read from the journal.
    pub newest_at_start: Option<(Option<UtcMs>, Option<UtcMs>)>,
    /// Counts what is under way.
    pub meters: Arc<PipelineMeters>,
    /// Published for status and heartbeat.
    pub holdings: Arc<ArcSwap<Holdings>>,
    /// As it is written in a shell command; for the advice in log lines.
    pub state_dir: Arc<str>,
}

impl IntentProtocol {
    /// Time left for the venue. All its calls share it, so that a slow venue does not make the stage count as hung.
    pub(super) fn venue_time(&self) -> Duration {
        self.venue_until.saturating_duration_since(elapsed_now())
    }

    /// Intents of an earlier run of this decision. Only a repeated cycle can have any, or one whose decision an earlier
    /// incarnation may have started.
    pub(super) async fn existing(&mut self, cycle: &Cycle, basis: Basis) -> Result<Vec<Intent>, JournalUnavailable> {
        let (decision, slot) = match self.newest_at_start {
            Some(newest_at_start) => newest_at_start,
            None => {
                let recovery = self.journal.recovery(&self.pipeline).await?;
                (recovery.newest_intent_basis, recovery.newest_intent_slot)
            }
        };
        self.newest_at_start = Some((decision, slot));
        let is_new =
            decision.is_none_or(|newest| basis.time() > newest) && slot.is_none_or(|newest| cycle.slot > newest);
        if cycle.attempt == 1 && is_new {
            return Ok(Vec::new());
        }
        let mut existing = self.journal.existing_intents(&self.pipeline, basis, cycle.slot).await?;
        existing.retain(|intent| self.is_ours(intent));
        Ok(existing)
    }

    /// Whether an intent belongs to this venue's mode and account. A dry run knows nothing about live orders, and vice versa.
    pub(super) fn is_ours(&self, intent: &Intent) -> bool {
        (intent.mode, intent.account.as_str()) == (self.sink.mode(), self.sink.account())
    }

    /// Whether an effect may still leave: safe mode, halts, room on the disk, competition, both clocks, and the Pipeline has not revoked the attempt.
    pub(super) async fn may_act(&self, cycle: &Cycle, action: &Action) -> Result<(), Ending> {
        if self.safe_mode.load(Ordering::Acquire) {
            return Err(Ending::new(Reason::SafeMode, "`sentinel resume` ends it early"));
        }
        self.is_let_out(action).await?;
        self.has_room(action)?;
        let now = self.clock.now();
        if !is_in_competition(&self.competition, cycle, now) {
            return Err(Ending::new(Reason::CompetitionOver, format!("schedule time is {now}")));
        }
        if cycle.tracker.is_withdrawn() {
            return Err(Ending::new(Reason::Withdrawn, ""));
        }
        if !is_in_time(&*self.clock, &self.deadlines, cycle, now) {
            return Err(Ending::new(Reason::DecisionExpired, format!("schedule time is {now}")));
        }
        let time_left = self.venue_time().min(cycle.time_left());
        if cycle.tracker.is_revoked() || time_left < self.deadlines.execute / VENUE_LEAST {
            return Err(Ending::new(Reason::DeadlineExceeded, "no time is left to send it and to receive the answer"));
        }
        Ok(())
    }

    /// Whether no halt keeps an effect here. A halt that the row will name is in the journal before the row is.
    async fn is_let_out(&self, action: &Action) -> Result<(), Ending> {
        if self.kept_by_halt(action).is_none() {
            return Ok(());
        }
        // It counts all the same, and whoever looks next tries again.
        let _ = Box::pin(self.halts.record_pending(&self.journal)).await;
        self.kept_by_halt(action).map_or(Ok(()), Err)
    }

    fn kept_by_halt(&self, action: &Action) -> Option<Ending> {
        let cover = self.halts.of(&self.place)?;
        let reason = cover.state.forbids(action.only_closes())?;
        Some(Ending::new(reason, cover.text))
    }

    /// A dry run stays here, and what only closes a position is neither new exposure nor a forecast.
    fn is_new_outside(&self, action: &Action) -> bool {
        self.sink.mode() == Mode::Live && !action.only_closes()
    }

    /// Whether there is room to record what becomes of it.
    fn has_room(&self, action: &Action) -> Result<(), Ending> {
        let full = self.disk.measured().filter(|disk| disk.is_nearly_full() && self.is_new_outside(action));
        full.map_or(Ok(()), |disk| {
            let detail = format!("{} MB of {} MB are free: make room", disk.free_mb, disk.size_mb);
            Err(Ending::new(Reason::DiskLow, detail))
        })
    }

    /// Takes one of the effects that the arm allows of this model; `None` when this one needs no arm.
    fn take_from_arm(&self, action: &Action, model: Option<&ModelIdentity>) -> Result<Option<Taken>, Ending> {
        if !self.is_new_outside(action) {
            return Ok(None);
        }
        self.arming.take(&self.pipeline, Some(known(model)?), self.clock.now()).map(Some).map_err(not_armed)
    }

    /// Whether the arm still lets it leave.
    fn is_armed(&self, taken: Option<Taken>, model: Option<&ModelIdentity>) -> Result<(), Ending> {
        let Some(taken) = taken else { return Ok(()) };
        self.arming.still_permits(taken, &self.pipeline, Some(known(model)?), self.clock.now()).map_err(not_armed)
    }

    /// Intents of this pipeline, mode and account that are not final, but for those of `slot`.
    pub(super) async fn open_before(&mut self, slot: UtcMs) -> Result<Vec<Intent>, JournalUnavailable> {
        let mut open = self.journal.open_intents(&self.pipeline).await?;
        open.retain(|intent| intent.slot != slot && self.is_ours(intent));
        Ok(open)
    }

    /// Identity of a new intent for the effect with this role, or of `earlier`, which an earlier run has planned: that one keeps
    /// its key and basis, because an older version may have derived another key for the same decision.
    pub(super) fn identity(
        &self,
        basis: Basis,
        role: impl fmt::Display,
        earlier: Option<&Intent>,
    ) -> (IntentKey, Basis) {
        let derive = || IntentKey::derive(self.sink.mode(), self.sink.account(), &self.pipeline, basis, &role);
        earlier.map_or_else(|| (derive(), basis), |intent| (intent.key.clone(), intent.basis))
    }

    /// Takes one effect from its plan to its recorded answer. The caller has made its own checks, [`Self::may_act`] first. `listed`
    /// are the positions of the symbol as the venue has just reported them.
    pub(super) async fn carry_out(
        &mut self,
        cycle: &Cycle,
        record: &mut SlotRecord,
        (key, basis): (IntentKey, Basis),
        action: Action,
        listed: Option<Vec<Position>>,
    ) -> Effect {
        let taken = match self.take_from_arm(&action, record.model.as_ref()) {
            Ok(taken) => taken,
            Err(ending) => return Effect::Nothing(ending),
        };
        let intent = Intent {
            key,
            mode: self.sink.mode(),
            account: self.sink.account().to_owned(),
            pipeline: self.pipeline.clone(),
            slot: cycle.slot,
            announced_as: cycle.announced.as_ref().map(|announced| announced.id.clone()),
            basis,
            action,
            state: IntentState::Planned,
            receipt: None,
            awaits: None,
            grade: None,
            listed: None,
            venue_note: None,
        };
        let (effect, may_have_left) = match self.reserve(record, &intent).await {
            Ok(None) => {
                let effect = self.send(cycle, &intent, (taken, record.model.as_ref()), listed).await;
                let may_have_left = !matches!(effect, Effect::Nothing(_));
                (effect, may_have_left)
            }
            // It left before, and counts as what left then.
            Ok(Some(existing)) => (existing, false),
            Err(error) => {
                // Whether it was planned is not known; the next cycle finds out before it acts.
                self.settled = false;
                (Effect::Nothing(Ending::new(Reason::JournalUnavailable, error.to_string())), false)
            }
        };
        match taken {
            Some(taken) if may_have_left => self.arming.use_up(taken),
            Some(taken) => self.arming.give_back(taken),
            None => {}
        }
        effect
    }

    /// Writes `planned` durably. `None`: this cycle may send it. Otherwise the key has an intent already, which says how this
    /// order ends; if this decision would order something else, nothing is sent. The row names only intents that exist and
    /// belong to its slot.
    async fn reserve(
        &mut self,
        record: &mut SlotRecord,
        intent: &Intent,
    ) -> Result<Option<Effect>, JournalUnavailable> {
        inject_fault(&*self.faults, FaultPoint::BeforePlan, &self.path).await;
        let written = self.journal.plan(intent.clone()).await?;
        let is_own = !matches!(&written, Written::Exists(existing) if existing.slot != intent.slot);
        if is_own && !record.intents.contains(&intent.key) {
            record.intents.push(intent.key.clone());
        }
        let Written::Exists(existing) = written else {
            inject_fault(&*self.faults, FaultPoint::AfterPlan, &self.path).await;
            return Ok(None);
        };
        let same = (existing.slot, &existing.action) == (intent.slot, &intent.action);
        if existing.state == IntentState::Planned && !same {
            self.journal.advance(&existing.key, IntentEvent::Abandon, self.clock.now()).await?;
            let ending = Ending::new(Reason::IntentStands, "the repeated cycle decided differently");
            return Ok(Some(Effect::Nothing(ending)));
        }
        Ok(existing_effect(&existing, intent.slot))
    }

    /// Writes `sent`, hands the effect over, records the answer.
    async fn send(
        &mut self,
        cycle: &Cycle,
        intent: &Intent,
        (taken, model): (Option<Taken>, Option<&ModelIdentity>),
        listed: Option<Vec<Position>>,
    ) -> Effect {
        let venue_note = self.sink.prepare(&intent.key, cycle.time_left());
        let sent = Intent { venue_note: venue_note.clone(), ..intent.clone() };
        self.changes += 1;
        let send = listed.map_or(IntentEvent::Send, |listed| IntentEvent::SendAfter { listed, venue_note });
        let not_sent = match self.journal.advance(&intent.key, send, self.clock.now()).await {
            Ok(Written::Done) => None,
            // The Journal was replaced before it answered, and `sent` was found on the second call.
            Ok(Written::Refused(why)) => Some(Ending::new(Reason::IntentStands, why)),
            Ok(other) => Some(Ending::new(Reason::IntentStands, format!("{other:?}"))),
            Err(error) => Some(Ending::new(Reason::JournalUnavailable, error.to_string())),
        };
        if let Some(ending) = not_sent {
            self.settled = false;
            // `sent` may still be written, and after it the row of this slot. The event that nothing left must lie between.
            let evidence = format!("it was never handed over: {}", ending.detail);
            self.journal.advance_without_waiting(&intent.key, IntentEvent::NeverLeft { evidence }, self.clock.now());
            return Effect::Nothing(ending);
        }
        inject_fault(&*self.faults, FaultPoint::AfterSent, &self.path).await;
        let may_act = self.may_act(cycle, &intent.action).await;
        let submission = match may_act.and_then(|()| self.is_armed(taken, model)) {
            // Writing took too long, or the arm ended meanwhile, so nothing was sent.
            Err(ending) => Submission::NeverLeft(format!("{}: {}", ending.reason, ending.detail)),
            Ok(()) => {
                let deadline = self.venue_time().min(cycle.time_left());
                let (clock, competition, deadlines) = (&*self.clock, &self.competition, &self.deadlines);
                let may_leave = || {
                    let now = clock.now();
                    is_in_competition(competition, cycle, now)
                        && !cycle.tracker.is_withdrawn()
                        && is_in_time(clock, deadlines, cycle, now)
                        && self.kept_by_halt(&intent.action).is_none()
                        && self.is_armed(taken, model).is_ok()
                };
                self.meters.set_sent(true);
                let answer = self.sink.submit(&sent, deadline, &may_leave).await;
                self.meters.set_sent(false);
                self.about(intent, answer)
            }
        };
        if let Submission::Acked(receipt) = &submission
            && self.venue_time().min(cycle.time_left()).is_zero()
        {
            self.log_late_confirmation(intent, receipt);
        }
        inject_fault(&*self.faults, FaultPoint::AfterSubmit, &self.path).await;
        let effect = self.record(intent, submission).await;
        inject_fault(&*self.faults, FaultPoint::AfterOutcome, &self.path).await;
        effect
    }

    /// The receipt of another kind of effect is about something else: it confirms nothing, and counts for nothing.
    fn about(&self, intent: &Intent, answer: Submission) -> Submission {
        match answer {
            Submission::Acked(receipt) if !receipt.fits(&intent.action) => {
                self.sink.disown(&intent.key);
                Submission::Unknown(format!("the answer is about something else: {receipt}"))
            }
            answer => answer,
        }
    }

    /// Records the venue's answer and returns what it means for the slot.
    async fn record(&mut self, intent: &Intent, submission: Submission) -> Effect {
        // One halt says it; what closes may still leave under it, and be refused for as long as the venue refuses.
        let too_many = self.refusals.record(&submission) && self.halts.state_of(&self.place) == TradingState::Active;
        let (event, effect) = outcome(intent, submission);
        if matches!(event, IntentEvent::LostTrack { .. }) {
            self.settled = false;
        }
        let receipt = event.receipt().cloned();
        let advanced = match self.refused_too_often(intent, &event).filter(|_| too_many) {
            Some(halt) => Box::pin(self.advance_with(intent, event, Some(halt))).await,
            None => self.journal.advance(&intent.key, event, self.clock.now()).await,
        };
        match (advanced, receipt) {
            (Ok(Written::TicketTaken(owner)), Some(receipt)) => {
                let evidence = self.disown(intent, &receipt, &owner);
                let halt = (!self.sink.asks_by_id()).then(|| self.one_ticket_twice(intent, &evidence));
                let (event, effect) = outcome(intent, Submission::Unknown(evidence));
                self.settled = false;
                // If this fails it stays `sent`, and is settled all the same.
                let _ = Box::pin(self.advance_with(intent, event, halt)).await;
                effect
            }
            // It stays `sent` in the journal until it is settled, and the row of the slot says no more than that.
            (Err(error), _) => {
                self.settled = false;
                unrecorded(&intent.action, effect, &error)
            }
            (Ok(_), receipt) => {
                if let Some(receipt) = &receipt {
                    events::effect_confirmed(intent, receipt);
                }
                effect
            }
        }
    }

    /// The halt for a refusal that was one too many. From now on only orders that close leave, until an operator lifts it.
    fn refused_too_often(&self, intent: &Intent, event: &IntentEvent) -> Option<NewHalt> {
        let IntentEvent::Rejected { code, text } = event else { return None };
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        Some(NewHalt {
            request: format!("refused {}", intent.key),
            scope: Scope::Pipeline(self.pipeline.clone()),
            state: TradingState::Reducing,
            by: RaisedBy::Node,
            who: "the node".to_owned(),
            why: "three orders or forecasts in a row were refused for a reason that only an operator can change"
                .to_owned(),
            evidence: one_line(&format!("the last one, {}: {text}{code}", intent.action)),
            since: self.clock.now(),
        })
    }

    /// The halt for a venue that gives two orders the same ticket: what it says about tickets is worth nothing then, and a close by
    /// ticket could close anything.
    pub(super) fn one_ticket_twice(&self, intent: &Intent, evidence: &str) -> NewHalt {
        NewHalt {
            request: format!("ticket {}", intent.key),
            scope: Scope::Symbol { account: intent.account.clone(), symbol: intent.action.symbol().to_owned() },
            state: TradingState::Halted,
            by: RaisedBy::Node,
            who: "the node".to_owned(),
            why: "the venue says of two orders that they have the same ticket".to_owned(),
            evidence: one_line(&format!("{}: {evidence}", intent.action)),
            since: self.clock.now(),
        }
    }

    /// Records an event, and the halt that it raises, in one transaction.
    pub(super) async fn advance_with(
        &self,
        intent: &Intent,
        event: IntentEvent,
        halt: Option<NewHalt>,
    ) -> Result<Written, JournalUnavailable> {
        let now = self.clock.now();
        let Some(new) = halt else { return self.journal.advance(&intent.key, event, now).await };
        // Before it is durable: whatever becomes of the journal, this process sends no more of it.
        self.halts.propose(new.clone());
        let (written, halt) = self.journal.advance_and_halt(&intent.key, event, now, new).await?;
        self.halts.record(halt);
        Ok(written)
    }

    pub(super) fn log_late_confirmation(&self, intent: &Intent, receipt: &Receipt) {
        events::effect_confirmed_late(intent, receipt, self.clock.now().since(intent.slot));
    }

    /// The answer about an order names the ticket of another one, so it confirms nothing. Returns that as evidence.
    pub(super) fn disown(&self, intent: &Intent, receipt: &Receipt, owner: &IntentKey) -> String {
        events::receipt_disowned(&self.pipeline, &intent.key, receipt, owner);
        self.sink.disown(&intent.key);
        format!("the answer names {receipt}, which belongs to the order {owner}; it said: {}", receipt.text())
    }
}

fn known(model: Option<&ModelIdentity>) -> Result<&ModelIdentity, Ending> {
    model.ok_or_else(|| Ending::new(Reason::NotArmed, "it is not known which model has decided it"))
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn not_armed(why: NotArmed) -> Ending {
    Ending::new(Reason::NotArmed, why.to_string())
}

/// An announced slot belongs to the competition when its window opens in it, and is used until the window closes. On a grid
/// nothing leaves outside of the competition, unless an operator says so.
fn is_in_competition(competition: &Window, cycle: &Cycle, now: UtcMs) -> bool {
    cycle.is_operators || competition.contains(if cycle.announced.is_some() { cycle.slot } else { now })
}

/// A replay's time says nothing about how old an operator's command is.
fn is_in_time(clock: &dyn Clock, deadlines: &Deadlines, cycle: &Cycle, now: UtcMs) -> bool {
    cycle.is_operators && clock.follows_cycles() || deadlines.may_leave(cycle.slot, cycle.closes(), now)
}
