//! One order: the checks before it, its intent, the venue's answer, and what the journal makes of that.
//!
//! `planned` and `sent` are durable before the order leaves. No order is ever sent twice.

use std::sync::atomic::Ordering;

use super::effect::{Effect, existing_effect, outcome, unrecorded};
use super::{Executor, VENUE_LEAST, count};
use crate::cycle_flow::Cycle;
use crate::domain::cycle::{SlotRecord, WeighedRisk};
use crate::domain::intent::{Basis, Intent, IntentEvent, IntentKey, IntentState};
use crate::domain::order::{Order, Receipt, Role};
use crate::domain::reason::{Ending, Reason};
use crate::domain::risk::{check_limits, outgrows_one_order, validate_order};
use crate::events;
use crate::journal::JournalUnavailable;
use crate::ports::{FaultPoint, Submission, Written, inject_fault};

impl Executor {
    /// Sends one order, if every check allows it. `earlier` is its intent when an earlier run has planned it: that one keeps its
    /// key and basis, because an older version may have derived another key for the same decision.
    pub(super) async fn place_order(
        &mut self,
        cycle: &Cycle,
        record: &mut SlotRecord,
        basis: Basis,
        order: Order,
        earlier: Option<&Intent>,
    ) -> Effect {
        if let Err(fault) = validate_order(&order, self.policy.volume_lots) {
            return Effect::Nothing(Ending::new(fault.reason(), fault.to_string()));
        }
        let derive = || IntentKey::derive(self.sink.mode(), self.sink.account(), &self.pipeline, basis, order.role);
        let (key, basis) = earlier.map_or_else(|| (derive(), basis), |intent| (intent.key.clone(), intent.basis));
        if let Err(ending) = self.may_act(cycle).await.and(self.check_risk(cycle, record, &key, &order).await) {
            return Effect::Nothing(ending);
        }
        let intent = Intent {
            key,
            mode: self.sink.mode(),
            account: self.sink.account().to_owned(),
            pipeline: self.pipeline.clone(),
            slot: cycle.slot,
            basis,
            order,
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

    /// Whether an order may still leave: safe mode, competition, both clocks, and the Pipeline has not revoked the attempt.
    async fn may_act(&self, cycle: &Cycle) -> Result<(), Ending> {
        if self.safe_mode.load(Ordering::Acquire) {
            return Err(Ending::new(Reason::SafeMode, "`sentinel resume` ends it early"));
        }
        let now = self.clock.now();
        if !self.window.contains(now) {
            return Err(Ending::new(Reason::CompetitionOver, format!("schedule time is {now}")));
        }
        if !self.deadlines.may_leave(cycle.slot, now) {
            return Err(Ending::new(Reason::DecisionExpired, format!("schedule time is {now}")));
        }
        let time_left = self.venue_time().min(cycle.time_left());
        if cycle.tracker.is_revoked() || time_left < self.deadlines.execute / VENUE_LEAST {
            return Err(Ending::new(
                Reason::DeadlineExceeded,
                "no time is left to send an order and to receive the answer",
            ));
        }
        Ok(())
    }

    async fn check_risk(
        &mut self,
        cycle: &Cycle,
        record: &mut SlotRecord,
        own: &IntentKey,
        order: &Order,
    ) -> Result<(), Ending> {
        if order.role == Role::Open && self.refusals.are_too_many() {
            return Err(Ending::new(Reason::Reducing, "find out why, then start the node again"));
        }
        let unavailable = |error: JournalUnavailable| Ending::new(Reason::JournalUnavailable, error.to_string());
        let (account, mode) = (self.sink.account().to_owned(), self.sink.mode());
        let mut exposure =
            self.journal.exposure(&account, &self.symbol, mode, cycle.slot).await.map_err(unavailable)?;
        // The intent of this very decision may stand half done from an earlier attempt; reserving it sorts that out.
        exposure.open_intents.retain(|intent| intent.key != *own);
        let open = self.positions().await?;
        if let Some(weighed) = &mut record.weighed {
            weighed.risk = Some(WeighedRisk {
                open_positions: count(open.positions.len()),
                max_open_positions: self.risk.max_open_positions,
                orders_last_hour: exposure.orders_last_hour,
                max_orders_per_hour: self.risk.max_orders_per_hour,
                orders_last_day: exposure.orders_last_day,
                max_orders_per_day: self.risk.max_orders_per_day,
                open_intents: count(exposure.open_intents.len()),
            });
        }
        check_limits(&self.risk, order, &open.positions, &exposure).map_err(|reason| {
            let open: Vec<&str> = exposure.open_intents.iter().map(|intent| intent.key.as_str()).collect();
            Ending::new(reason, open.join(" "))
        })?;
        if open.is_derived && outgrows_one_order(order, &open.positions, self.policy.volume_lots) {
            let why = "one order closes a derived position, so it may not grow larger than volume_lots";
            return Err(Ending::new(Reason::RiskMaxPositions, why));
        }
        Ok(())
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
        let same = (existing.slot, &existing.order) == (intent.slot, &intent.order);
        if existing.state == IntentState::Planned && !same {
            self.journal.advance(&existing.key, IntentEvent::Abandon, self.clock.now()).await?;
            let ending = Ending::new(Reason::IntentStands, "the repeated cycle decided differently");
            return Ok(Some(Effect::Nothing(ending)));
        }
        Ok(existing_effect(&existing, intent.slot))
    }

    /// Writes `sent`, sends the order, records the answer.
    async fn send(&mut self, cycle: &Cycle, intent: &Intent) -> Effect {
        self.sink.prepare(&intent.key);
        self.derived = None;
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
                let (clock, window, deadlines, slot) = (&*self.clock, &self.window, &self.deadlines, cycle.slot);
                let may_leave = || {
                    let now = clock.now();
                    window.contains(now) && deadlines.may_leave(slot, now)
                };
                self.sink.submit(&intent.key, &intent.order, slot, deadline, &may_leave).await
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
                unrecorded(effect, &error)
            }
            (Ok(_), receipt) => {
                if let Some(receipt) = &receipt {
                    events::order_confirmed(intent, receipt);
                }
                effect
            }
        }
    }

    pub(super) fn log_late_confirmation(&self, intent: &Intent, receipt: &Receipt) {
        events::order_confirmed_late(intent, receipt, self.clock.now().since(intent.slot));
    }

    /// The answer about an order names the ticket of another one, so it confirms nothing. Returns that as evidence.
    pub(super) fn disown(&self, intent: &Intent, receipt: &Receipt, owner: &IntentKey) -> String {
        events::receipt_disowned(&self.pipeline, &intent.key, receipt.ticket, owner);
        self.sink.disown(&intent.key);
        format!(
            "the answer names ticket {}, which belongs to the order {owner}; it said: {}",
            receipt.ticket, receipt.text
        )
    }
}
