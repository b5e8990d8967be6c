//! The intent protocol: settle what is open, plan, `sent`, submit, record. It knows what an intent is, and not what it stands for.
//!
//! Promise 2 is kept here. Before a new effect, every open intent is settled by evidence. `planned` and `sent` are durable before
//! anything leaves, nothing is ever sent twice, and an effect without a usable answer stays `unknown`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::effect::{Effect, Refusals, existing_effect, outcome, unrecorded};
use crate::cycle_flow::Cycle;
use crate::domain::action::{Action, Receipt};
use crate::domain::cycle::SlotRecord;
use crate::domain::intent::{Basis, Intent, IntentEvent, IntentKey, IntentState};
use crate::domain::reason::{Ending, Reason};
use crate::domain::schedule::Window;
use crate::domain::time::UtcMs;
use crate::events;
use crate::journal::{JournalHandle, JournalUnavailable};
use crate::ports::{Clock, FaultInjector, FaultPoint, Sink, Submission, Written, elapsed_now, inject_fault};
use crate::settings::Deadlines;
use crate::status::Holdings;

/// Nothing is sent when less than this part (a tenth) of the deadline is left: the answer would come too late.
const VENUE_LEAST: u32 = 10;

pub struct IntentProtocol {
    /// Pipeline name, part of every key.
    pub pipeline: String,
    /// `pipeline/executor`, for fault points.
    pub path: String,
    pub competition: Window,
    pub clock: Arc<dyn Clock>,
    pub sink: Arc<dyn Sink>,
    pub journal: JournalHandle,
    /// After repeated crashes: no effects.
    pub safe_mode: Arc<AtomicBool>,
    /// Where faults are injected; nothing happens there in production.
    pub faults: Arc<dyn FaultInjector>,
    /// Of the stage, and of the decision's schedule time.
    pub deadlines: Deadlines,
    /// All venue calls of the work in hand end by then.
    pub venue_until: Instant,
    /// Every open intent of this pipeline is settled, or held for an operator.
    pub settled: bool,
    /// Grows with every change of an intent: what was derived from the journal before it is out of date.
    pub changes: u64,
    /// Refusals in a row, since the process started.
    pub refusals: Refusals,
    /// Newest basis and newest slot that had an intent when this incarnation started, once read from the journal.
    pub newest_at_start: Option<(Option<UtcMs>, Option<UtcMs>)>,
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

    /// Whether an effect may still leave: safe mode, competition, both clocks, and the Pipeline has not revoked the attempt.
    pub(super) async fn may_act(&self, cycle: &Cycle) -> Result<(), Ending> {
        if self.safe_mode.load(Ordering::Acquire) {
            return Err(Ending::new(Reason::SafeMode, "`sentinel resume` ends it early"));
        }
        let now = self.clock.now();
        if !self.competition.contains(now) {
            return Err(Ending::new(Reason::CompetitionOver, format!("schedule time is {now}")));
        }
        if cycle.tracker.is_withdrawn() {
            return Err(Ending::new(Reason::Withdrawn, ""));
        }
        if !self.deadlines.may_leave(cycle.slot, cycle.closes(), now) {
            return Err(Ending::new(Reason::DecisionExpired, format!("schedule time is {now}")));
        }
        let time_left = self.venue_time().min(cycle.time_left());
        if cycle.tracker.is_revoked() || time_left < self.deadlines.execute / VENUE_LEAST {
            return Err(Ending::new(Reason::DeadlineExceeded, "no time is left to send it and to receive the answer"));
        }
        Ok(())
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

    /// Takes one effect from its plan to its recorded answer. The caller has made its own checks, [`Self::may_act`] first.
    pub(super) async fn carry_out(
        &mut self,
        cycle: &Cycle,
        record: &mut SlotRecord,
        (key, basis): (IntentKey, Basis),
        action: Action,
    ) -> Effect {
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
        };
        match self.reserve(record, &intent).await {
            Ok(None) => self.send(cycle, &intent).await,
            Ok(Some(existing)) => existing,
            Err(error) => {
                // Whether it was planned is not known; the next cycle finds out before it acts.
                self.settled = false;
                Effect::Nothing(Ending::new(Reason::JournalUnavailable, error.to_string()))
            }
        }
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
    async fn send(&mut self, cycle: &Cycle, intent: &Intent) -> Effect {
        self.sink.prepare(&intent.key);
        self.changes += 1;
        let not_sent = match self.journal.advance(&intent.key, IntentEvent::Send, self.clock.now()).await {
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
        let submission = match self.may_act(cycle).await {
            // Writing took too long, so nothing was sent.
            Err(ending) => Submission::NeverLeft(format!("{}: {}", ending.reason, ending.detail)),
            Ok(()) => {
                let deadline = self.venue_time().min(cycle.time_left());
                let (clock, competition, deadlines) = (&*self.clock, &self.competition, &self.deadlines);
                let may_leave = || {
                    let now = clock.now();
                    competition.contains(now)
                        && !cycle.tracker.is_withdrawn()
                        && deadlines.may_leave(cycle.slot, cycle.closes(), now)
                };
                let answer = self.sink.submit(intent, deadline, &may_leave).await;
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
        self.refusals.record(&submission);
        self.show_refusals();
        let (event, effect) = outcome(intent, submission);
        if matches!(event, IntentEvent::LostTrack { .. }) {
            self.settled = false;
        }
        let receipt = event.receipt().cloned();
        match (self.journal.advance(&intent.key, event, self.clock.now()).await, receipt) {
            (Ok(Written::TicketTaken(owner)), Some(receipt)) => {
                let submission = Submission::Unknown(self.disown(intent, &receipt, &owner));
                let (event, effect) = outcome(intent, submission);
                self.settled = false;
                // If this fails it stays `sent`, and is settled all the same.
                let _ = self.journal.advance(&intent.key, event, self.clock.now()).await;
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
