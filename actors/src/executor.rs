//! Executor: decides, checks risk, writes the intent, acts, records the receipt.
//!
//! Promise 2 is kept here. Before anything new, every open intent is settled by evidence. `planned` and `sent` are durable
//! before the order leaves, nothing is ever resent, and an order without a usable answer stays `unknown`.

mod effect;
mod exits;
mod holdings;
mod positions;
mod settling;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use rust_decimal::Decimal;
use tokio::time::Instant;

pub use self::effect::Refusals;
use self::effect::{Effect, Tally, existing_effect, outcome, unwritten};
use crate::cycle_flow::{Cycle, Findings};
use crate::domain::bar::CleanBars;
use crate::domain::calendar::MarketCalendar;
use crate::domain::cycle::{SlotRecord, Stage, Weighed, WeighedRisk};
use crate::domain::decision::{DecideOn, Decision, Situation, TradePolicy};
use crate::domain::intent::{Basis, Intent, IntentEvent, IntentKey, IntentState};
use crate::domain::order::{Order, Position, Receipt, Role};
use crate::domain::prediction::Probabilities;
use crate::domain::reason::{Ending, Reason};
use crate::domain::risk::{RiskLimits, outgrows_one_order, permit, sound};
use crate::domain::schedule::Window;
use crate::domain::time::UtcMs;
use crate::events;
use crate::journal::{JournalHandle, JournalUnavailable};
use crate::ports::{
    Clock, FaultInjector, FaultPoint, PortFuture, Submission, Venue, Written, elapsed_now, inject_fault,
};
use crate::settings::Deadlines;
use crate::stage::{LOOK_LIMIT, StageWork};
use crate::status::Holdings;

/// Of the stage's deadline, so many fifths are for the venue; the rest is for writing down what it said.
const VENUE_FIFTHS: u32 = 4;
/// A tenth of the deadline: an order for which less is left does not leave, because its answer would come too late.
const VENUE_LEAST: u32 = 10;
/// So many are for a look at open intents between cycles: a cycle that comes meanwhile waits, and needs time of its own.
const LOOK_FIFTHS: u32 = 2;

pub struct Executor {
    /// Pipeline name, part of every key.
    pub pipeline: String,
    /// `pipeline/executor`, for fault points.
    pub path: String,
    pub symbol: String,
    pub policy: TradePolicy,
    pub risk: RiskLimits,
    pub window: Window,
    pub clock: Arc<dyn Clock>,
    pub venue: Arc<dyn Venue>,
    pub journal: JournalHandle,
    /// After repeated crashes: no effects.
    pub safe_mode: Arc<AtomicBool>,
    /// Where faults are injected; nothing happens there in production.
    pub faults: Arc<dyn FaultInjector>,
    /// Of the stage, and of the decision's schedule time.
    pub deadlines: Deadlines,
    /// All venue calls of the work in hand end by then.
    pub venue_until: Instant,
    /// Every intent of this pipeline that the journal has is settled, as far as asking can.
    pub settled: bool,
    /// What the confirmed orders add up to, where they have to be counted; `None`: to be counted.
    pub counted: Option<Vec<Position>>,
    /// Refusals in a row, since the process started.
    pub refusals: Refusals,
    /// Times of the newest decision and the newest slot that had an intent when this incarnation began, once the journal
    /// was asked.
    pub inherited: Option<(Option<UtcMs>, Option<UtcMs>)>,
    /// What others may know of its orders and positions.
    pub holdings: Arc<ArcSwap<Holdings>>,
    /// As a command takes it.
    pub state_dir: Arc<str>,
    pub calendar: MarketCalendar,
    /// Close of the newest bar that this incarnation has seen.
    pub last_price: Option<Decimal>,
}

impl StageWork for Executor {
    type Load = Findings;
    type Next = Infallible;
    const STAGE: Stage = Stage::Executor;
    const FAULT_POINT: FaultPoint = FaultPoint::ExecutorHandle;

    fn warm_up(&mut self) -> PortFuture<'_, ()> {
        Box::pin(async move {
            self.venue_until = elapsed_now() + (self.deadlines.execute * LOOK_FIFTHS / 5).min(LOOK_LIMIT / 2);
            self.journal.give_up_at(elapsed_now() + LOOK_LIMIT * 4 / 5);
            inject_fault(&*self.faults, FaultPoint::BeforeSettle, &self.path).await;
            // A failure is no harm: the next cycle settles before it acts.
            if let Err(error) = self.settle(None).await {
                events::settling_postponed(&self.pipeline, &error.to_string());
            }
        })
    }

    /// Cycles may end before they come here for hours: the bar is decided, the market is closed.
    fn is_unfinished(&self) -> bool {
        !self.settled
    }

    fn work<'a>(
        &'a mut self,
        cycle: &'a Cycle,
        record: &'a mut SlotRecord,
        findings: Self::Load,
    ) -> PortFuture<'a, Result<Infallible, Ending>> {
        // Since the cycle was handed over, because it is from then on that the stage is watched: it may have waited here.
        let since = cycle.tracker.holder().1;
        self.venue_until = since + self.deadlines.execute * VENUE_FIFTHS / 5;
        self.journal.give_up_at(since + self.deadlines.execute);
        Box::pin(async move {
            Err(match findings {
                Findings::Prediction(bars, probabilities) => self.execute(cycle, record, &bars, &probabilities).await,
                Findings::Nothing(undecided) => self.end_undecided(cycle, record, undecided).await,
            })
        })
    }
}

impl Executor {
    /// One budget for all calls, however many there are: a venue that takes its time must not look like a stage that hangs.
    fn venue_time(&self) -> Duration {
        self.venue_until.saturating_duration_since(elapsed_now())
    }

    async fn execute(
        &mut self,
        cycle: &Cycle,
        record: &mut SlotRecord,
        bars: &CleanBars,
        probabilities: &Probabilities,
    ) -> Ending {
        let Some(newest) = bars.newest() else {
            return Ending::new(Reason::StaleData, "no usable bar");
        };
        let basis = match self.policy.decide_on {
            DecideOn::Bar => Basis::Bar(newest.time),
            DecideOn::Slot => Basis::Slot(cycle.slot),
        };
        if let Err(error) = self.venue.observe(&self.symbol, bars).await {
            return Ending::new(Reason::VenueUnavailable, error.to_string());
        }
        if !self.settled
            && let Err(error) = self.settle(Some(cycle.slot)).await
        {
            return Ending::new(Reason::JournalUnavailable, error.to_string());
        }
        let open = match self.positions().await {
            Ok(open) => open,
            Err(ending) => return ending,
        };
        let Some(reference_price) = self.note_price(bars) else {
            return Ending::new(Reason::StaleData, format!("the close {} is no price", newest.close));
        };
        let existing = match self.existing(cycle, basis).await {
            Ok(existing) => existing,
            Err(error) => return Ending::new(Reason::JournalUnavailable, error.to_string()),
        };
        let closed_before = existing.iter().find(|intent| matches!(intent.order.role, Role::Close(_)));
        let situation = Situation {
            symbol: &self.symbol,
            positions: &open.positions,
            closed_before: closed_before.map(|intent| intent.order.side.opposite()),
            reference_price,
            now: cycle.slot,
        };
        let decision = self.policy.decide(probabilities, &situation);
        record.signal = Some(decision.signal.code().to_owned());
        record.confidence = Some(decision.confidence);
        record.decided_bar = Some(newest.time);
        // What an earlier slot did is told by its own row: each order has one.
        let own = existing.iter().filter(|intent| intent.slot == cycle.slot);
        record.intents = own.map(|intent| intent.key.clone()).collect();
        record.weighed = Some(Weighed {
            decide_on: self.policy.decide_on,
            threshold: self.policy.threshold,
            open_positions: count(open.positions.len()),
            risk: None,
        });
        self.act(cycle, record, basis, decision, existing).await
    }

    /// The close of the newest bar, which is remembered for exits that come without one.
    fn note_price(&mut self, bars: &CleanBars) -> Option<Decimal> {
        let price = bars.newest().and_then(|newest| Decimal::from_f64_retain(newest.close));
        self.last_price = price.or(self.last_price);
        price
    }

    /// What an earlier run of this decision has done already. Only a cycle that is run again can have any, or one whose
    /// decision an earlier incarnation may have begun.
    async fn existing(&mut self, cycle: &Cycle, basis: Basis) -> Result<Vec<Intent>, JournalUnavailable> {
        let (decision, slot) = match self.inherited {
            Some(inherited) => inherited,
            None => {
                let recovery = self.journal.recovery(&self.pipeline).await?;
                (recovery.newest_intent_basis, recovery.newest_intent_slot)
            }
        };
        self.inherited = Some((decision, slot));
        let is_new =
            decision.is_none_or(|newest| basis.time() > newest) && slot.is_none_or(|newest| cycle.slot > newest);
        if cycle.attempt == 1 && is_new {
            return Ok(Vec::new());
        }
        let mut existing = self.journal.existing_intents(&self.pipeline, basis, cycle.slot).await?;
        existing.retain(|intent| self.is_ours(intent));
        Ok(existing)
    }

    /// Whether this venue can say anything about an intent. A dry run knows nothing of live orders, nor the other way round.
    fn is_ours(&self, intent: &Intent) -> bool {
        (intent.mode, intent.account.as_str()) == (self.venue.mode(), self.venue.account())
    }

    /// Does the decision's orders one after the other and says what the slot ends with: what left the node weighs most.
    async fn act(
        &mut self,
        cycle: &Cycle,
        record: &mut SlotRecord,
        basis: Basis,
        decision: Decision,
        existing: Vec<Intent>,
    ) -> Ending {
        let mut tally = Tally { ended: Ending::new(decision.idle.unwrap_or(Reason::Hold), ""), acted: false };
        for done in existing.iter().filter(|done| decision.orders.iter().all(|order| order.role != done.order.role)) {
            // The repeated decision does not want it any more, because it is done.
            if let Some(effect) = existing_effect(done, cycle.slot) {
                let _ = tally.add(effect);
            }
        }
        for order in decision.orders {
            let stands = existing.iter().find(|done| done.order.role == order.role);
            let effect = match stands.and_then(|stands| existing_effect(stands, cycle.slot)) {
                Some(effect) => effect,
                None => self.effect(cycle, record, basis, order, stands).await,
            };
            if tally.add(effect).is_break() {
                break;
            }
        }
        tally.ended
    }

    /// `stands` is the intent of this order, when an earlier run has planned it: it is taken up under its own key and its
    /// own basis, because an older version may have derived another key for the same decision.
    async fn effect(
        &mut self,
        cycle: &Cycle,
        record: &mut SlotRecord,
        basis: Basis,
        order: Order,
        stands: Option<&Intent>,
    ) -> Effect {
        if let Err(fault) = sound(&order, self.policy.volume_lots) {
            return Effect::Nothing(Ending::new(fault.reason(), fault.to_string()));
        }
        let derive = || IntentKey::derive(self.venue.mode(), self.venue.account(), &self.pipeline, basis, order.role);
        let (key, basis) = stands.map_or_else(|| (derive(), basis), |stands| (stands.key.clone(), stands.basis));
        if let Err(ending) = self.may_act(cycle).await.and(self.permitted(cycle, record, &key, &order).await) {
            return Effect::Nothing(ending);
        }
        let intent = Intent {
            key,
            mode: self.venue.mode(),
            account: self.venue.account().to_owned(),
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
                // It may be planned or not; the next cycle finds out before it acts.
                self.settled = false;
                Effect::Nothing(Ending::new(Reason::JournalUnavailable, error.to_string()))
            }
        }
    }

    /// Whether an effect may still happen: competition, both clocks, safe mode, and the Pipeline still wants it.
    async fn may_act(&self, cycle: &Cycle) -> Result<(), Ending> {
        if self.safe_mode.load(Ordering::Acquire) {
            return Err(Ending::new(Reason::SafeMode, "`sentinel resume` ends it early"));
        }
        let now = self.clock.now();
        if !self.window.contains(now) {
            return Err(Ending::new(Reason::CompetitionOver, format!("schedule time is {now}")));
        }
        if !self.deadlines.lets_leave(cycle.slot, now) {
            return Err(Ending::new(Reason::DecisionExpired, format!("schedule time is {now}")));
        }
        let time_left = self.venue_time().min(cycle.time_left());
        if cycle.tracker.is_revoked() || time_left < self.deadlines.execute / VENUE_LEAST {
            return Err(Ending::new(Reason::DeadlineExceeded, "no time is left to send an order and hear of it"));
        }
        Ok(())
    }

    async fn permitted(
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
        let (account, mode) = (self.venue.account().to_owned(), self.venue.mode());
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
        permit(&self.risk, order, &open.positions, &exposure).map_err(|reason| {
            let open: Vec<&str> = exposure.open_intents.iter().map(|intent| intent.key.as_str()).collect();
            Ending::new(reason, open.join(" "))
        })?;
        if open.is_counted && outgrows_one_order(order, &open.positions, self.policy.volume_lots) {
            let why = "a counted position is closed by one order, so it grows no larger than volume_lots";
            return Err(Ending::new(Reason::RiskMaxPositions, why));
        }
        Ok(())
    }

    /// Writes `planned` durably. `None`: the key is ours to send. Otherwise an intent stands already and says how this
    /// order ends; a decision that would order something else than it does acts on nothing. The row names only what is there
    /// and of its own slot.
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

    /// `sent`, then the order, then what became of it.
    async fn send(&mut self, cycle: &Cycle, intent: &Intent) -> Effect {
        self.venue.prepare(&intent.key);
        self.counted = None;
        let unwritten = match self.journal.advance(&intent.key, IntentEvent::Send, self.clock.now()).await {
            Ok(Written::Done) => None,
            // A Journal that died with the answer was asked again, and found it done.
            Ok(Written::Refused(why)) => Some(Ending::new(Reason::IntentStands, why)),
            Ok(other) => Some(Ending::new(Reason::IntentStands, format!("{other:?}"))),
            Err(error) => Some(Ending::new(Reason::JournalUnavailable, error.to_string())),
        };
        if let Some(ending) = unwritten {
            self.settled = false;
            // It may be written yet, and the row of this slot after it: what is known must come between them.
            let evidence = format!("it was never handed over: {}", ending.detail);
            self.journal.note(&intent.key, IntentEvent::NeverLeft { evidence }, self.clock.now());
            return Effect::Nothing(ending);
        }
        inject_fault(&*self.faults, FaultPoint::AfterSent, &self.path).await;
        let submission = match self.may_act(cycle).await {
            // Writing took too long. Nothing has left, and we know it.
            Err(ending) => Submission::NeverLeft(format!("{}: {}", ending.reason, ending.detail)),
            Ok(()) => {
                let deadline = self.venue_time().min(cycle.time_left());
                self.venue.submit(&intent.key, &intent.order, cycle.slot, deadline).await
            }
        };
        if let Submission::Acked(receipt) = &submission
            && self.venue_time().min(cycle.time_left()).is_zero()
        {
            self.tell_late(intent, receipt);
        }
        inject_fault(&*self.faults, FaultPoint::AfterSubmit, &self.path).await;
        let effect = self.record(intent, submission).await;
        inject_fault(&*self.faults, FaultPoint::AfterOutcome, &self.path).await;
        effect
    }

    /// Writes down what the venue said, and what that makes of the slot.
    async fn record(&mut self, intent: &Intent, submission: Submission) -> Effect {
        self.refusals.note(&submission);
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
                // As below: without this event it stays `sent`, and is asked about all the same.
                let _ = self.journal.advance(&intent.key, event, self.clock.now()).await;
                effect
            }
            // It stays `sent` in the journal until the venue is asked, and until then its row says no more than that.
            (Err(error), _) => {
                self.settled = false;
                unwritten(effect, &error)
            }
            (Ok(_), receipt) => {
                if let Some(receipt) = &receipt {
                    events::order_confirmed(intent, receipt);
                }
                effect
            }
        }
    }

    fn tell_late(&self, intent: &Intent, receipt: &Receipt) {
        events::order_confirmed_late(intent, receipt, self.clock.now().since(intent.slot));
    }

    /// The answer about an order names the ticket of another one: it is no receipt. Says so.
    fn disown(&self, intent: &Intent, receipt: &Receipt, owner: &IntentKey) -> String {
        events::receipt_disowned(&self.pipeline, &intent.key, receipt.ticket, owner);
        self.venue.disown(&intent.key);
        format!(
            "the answer names ticket {}, which is that of the order {owner}; it said: {}",
            receipt.ticket, receipt.text
        )
    }
}

fn count(many: usize) -> u32 {
    u32::try_from(many).unwrap_or(u32::MAX)
}
