//! Executor: decides, checks risk, writes the intent, acts, records the receipt.
//!
//! Promise 2 is kept here. Before anything new, every open intent is settled by evidence. `planned` and `sent` are durable
//! before the order leaves, nothing is ever resent, and an order without a usable answer stays `unknown`.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rust_decimal::Decimal;

use crate::cycle_flow::Cycle;
use crate::domain::bar::CleanBars;
use crate::domain::cycle::{SlotRecord, Stage};
use crate::domain::decision::{DecideOn, Decision, Policy, Situation};
use crate::domain::freshness::Ending;
use crate::domain::intent::{Intent, IntentEvent, IntentKey, IntentState};
use crate::domain::netting::net_position;
use crate::domain::order::{Order, Position, Role};
use crate::domain::prediction::Probabilities;
use crate::domain::reason::Reason;
use crate::domain::risk::{RiskLimits, permit};
use crate::domain::schedule::Window;
use crate::domain::time::UtcMs;
use crate::events;
use crate::journal::{JournalHandle, JournalUnavailable};
use crate::ports::{Clock, Evidence, Fates, Place, PortFuture, Positions, Submission, Venue, Written, pass};
use crate::stage::StageWork;

/// The stage.
pub struct Executor {
    /// Pipeline name, part of every key.
    pub pipeline: String,
    /// `pipeline/executor`, for fault places.
    pub path: String,
    /// The venue's symbol.
    pub symbol: String,
    /// From probabilities to orders.
    pub policy: Policy,
    /// Limits.
    pub risk: RiskLimits,
    /// The competition.
    pub window: Window,
    /// Schedule time.
    pub clock: Arc<dyn Clock>,
    /// Where effects go.
    pub venue: Arc<dyn Venue>,
    /// The durable record.
    pub journal: JournalHandle,
    /// After repeated crashes: no effects.
    pub safe_mode: Arc<AtomicBool>,
    /// Fault places.
    pub fates: Arc<dyn Fates>,
    /// Deadline of one venue call.
    pub deadline: Duration,
    /// Every intent of this pipeline that the journal has is settled, as far as asking can.
    pub settled: bool,
    /// What the confirmed orders add up to, where they have to be counted; `None`: to be counted.
    pub counted: Option<Vec<Position>>,
    /// Refusals in a row, since the process started.
    pub refusals: Refusals,
    /// Newest decision that had an intent when this incarnation began, once the journal was asked.
    pub inherited: Option<Option<UtcMs>>,
}

/// Lasting refusals in a row. Shared by the incarnations of one Executor; a new process starts anew.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<AtomicU32>);

impl Refusals {
    /// At so many, new exposure stops: something is wrong that only a person can put right.
    const MAX: u32 = 3;

    fn note(&self, submission: &Submission) {
        match submission {
            Submission::Rejected { lasting: true, .. } => drop(self.0.fetch_add(1, Ordering::Relaxed)),
            Submission::Acked(_) => self.0.store(0, Ordering::Relaxed),
            _ => {}
        }
    }

    fn are_too_many(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Self::MAX
    }
}

/// What an order came to.
enum Effect {
    /// Bytes left, or may have.
    Acted(Reason, String),
    /// Nothing left.
    Nothing(Ending),
}

impl StageWork for Executor {
    type Load = (Arc<CleanBars>, Probabilities);
    type Next = Infallible;
    const STAGE: Stage = Stage::Executor;
    const PLACE: Place = Place::ExecutorHandle;

    fn warm_up(&mut self) -> PortFuture<'_, ()> {
        Box::pin(async move {
            pass(&*self.fates, Place::BeforeSettle, &self.path).await;
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
        (bars, probabilities): Self::Load,
    ) -> PortFuture<'a, Result<Infallible, Ending>> {
        Box::pin(async move { Err(self.execute(cycle, record, &bars, &probabilities).await) })
    }
}

impl Executor {
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
            DecideOn::Bar => newest.time,
            DecideOn::Slot => cycle.slot,
        };
        if let Err(error) = self.venue.observe(&self.symbol, bars).await {
            return Ending::new(Reason::VenueUnavailable, error.to_string());
        }
        if !self.settled
            && let Err(error) = self.settle(Some(cycle.slot)).await
        {
            return Ending::new(Reason::JournalUnavailable, error.to_string());
        }
        let positions = match self.positions().await {
            Ok(positions) => positions,
            Err(ending) => return ending,
        };
        let Some(reference_price) = Decimal::from_f64_retain(newest.close) else {
            return Ending::new(Reason::StaleData, format!("the close {} is no price", newest.close));
        };
        let standing = match self.standing(cycle, basis).await {
            Ok(standing) => standing,
            Err(error) => return Ending::new(Reason::JournalUnavailable, error.to_string()),
        };
        let closed_before = standing.iter().find(|intent| matches!(intent.order.role, Role::Close(_)));
        let situation = Situation {
            symbol: &self.symbol,
            positions: &positions,
            closed_before: closed_before.map(|intent| intent.order.side.opposite()),
            reference_price,
            now: cycle.slot,
        };
        let decision = self.policy.decide(probabilities, &situation);
        record.signal = Some(decision.signal.code().to_owned());
        record.confidence = Some(decision.confidence);
        record.decided_bar = Some(newest.time);
        record.intents = standing.iter().map(|intent| intent.key.clone()).collect();
        self.act(cycle, record, basis, decision, standing).await
    }

    /// What an earlier run of this decision has done already. Only a cycle that is run again can have any, or one whose
    /// decision an earlier incarnation may have begun.
    async fn standing(&mut self, cycle: &Cycle, basis: UtcMs) -> Result<Vec<Intent>, JournalUnavailable> {
        let inherited = match self.inherited {
            Some(inherited) => inherited,
            None => self.journal.recovery(&self.pipeline).await?.newest_intent_basis,
        };
        self.inherited = Some(inherited);
        if cycle.attempt == 1 && inherited.is_none_or(|newest| basis > newest) {
            return Ok(Vec::new());
        }
        self.journal.standing_intents(&self.pipeline, basis).await
    }

    /// Does the decision's orders one after the other and says what the slot ends with: what left the node weighs most.
    async fn act(
        &mut self,
        cycle: &Cycle,
        record: &mut SlotRecord,
        basis: UtcMs,
        decision: Decision,
        standing: Vec<Intent>,
    ) -> Ending {
        let mut tally = Tally { ended: Ending::new(decision.idle.unwrap_or(Reason::Hold), ""), acted: false };
        for done in standing.iter().filter(|done| decision.orders.iter().all(|order| order.role != done.order.role)) {
            // The repeated decision does not want it any more, because it is done.
            if let Some(effect) = standing_effect(done) {
                let _ = tally.add(effect);
            }
        }
        for order in decision.orders {
            let done = standing.iter().find(|done| done.order.role == order.role).and_then(standing_effect);
            let effect = match done {
                Some(effect) => effect,
                None => self.effect(cycle, record, basis, order).await,
            };
            if tally.add(effect).is_break() {
                break;
            }
        }
        tally.ended
    }

    async fn effect(&mut self, cycle: &Cycle, record: &mut SlotRecord, basis: UtcMs, order: Order) -> Effect {
        if let Err(ending) = self.may_act(cycle).await.and(self.permitted(cycle, basis, &order).await) {
            return Effect::Nothing(ending);
        }
        let key = IntentKey::derive(self.venue.mode(), self.venue.account(), &self.pipeline, basis, order.role);
        if !record.intents.contains(&key) {
            record.intents.push(key.clone());
        }
        let intent = Intent {
            key: key.clone(),
            mode: self.venue.mode(),
            account: self.venue.account().to_owned(),
            pipeline: self.pipeline.clone(),
            slot: cycle.slot,
            basis,
            order,
            state: IntentState::Planned,
            receipt: None,
        };
        match self.reserve(&intent).await {
            Ok(None) => self.send(cycle, &intent).await,
            Ok(Some(standing)) => standing,
            Err(error) => {
                // It may be planned or not; the next cycle finds out before it acts.
                self.settled = false;
                Effect::Nothing(Ending::new(Reason::JournalUnavailable, error.to_string()))
            }
        }
    }

    /// Whether an effect may still happen: competition, deadline, safe mode, and the Pipeline still wants it.
    async fn may_act(&self, cycle: &Cycle) -> Result<(), Ending> {
        if self.safe_mode.load(Ordering::Acquire) {
            return Err(Ending::new(Reason::SafeMode, "`sentinel resume` ends it early"));
        }
        if !self.window.contains(self.clock.now()) {
            return Err(Ending::new(Reason::CompetitionOver, format!("schedule time is {}", self.clock.now())));
        }
        if cycle.trace.is_revoked() || cycle.time_left().is_zero() {
            return Err(Ending::new(Reason::DeadlineExceeded, "before the intent was written"));
        }
        Ok(())
    }

    async fn permitted(&mut self, cycle: &Cycle, basis: UtcMs, order: &Order) -> Result<(), Ending> {
        if order.role == Role::Open && self.refusals.are_too_many() {
            return Err(Ending::new(Reason::Reducing, "find out why, then start the node again"));
        }
        let unavailable = |error: JournalUnavailable| Ending::new(Reason::JournalUnavailable, error.to_string());
        let (account, mode) = (self.venue.account().to_owned(), self.venue.mode());
        let mut exposure =
            self.journal.exposure(&account, &self.symbol, mode, cycle.slot).await.map_err(unavailable)?;
        // The intent of this very decision may stand half done from an earlier attempt; reserving it sorts that out.
        let own = IntentKey::derive(mode, &account, &self.pipeline, basis, order.role);
        exposure.open_intents.retain(|intent| intent.key != own);
        let positions = self.positions().await?;
        permit(&self.risk, order, &positions, &exposure).map_err(|reason| {
            let open: Vec<&str> = exposure.open_intents.iter().map(|intent| intent.key.as_str()).collect();
            Ending::new(reason, open.join(" "))
        })
    }

    /// Writes `planned` durably. `None`: the key is ours to send. Otherwise an intent stands already and says how this
    /// order ends; a decision that would order something else than it does acts on nothing.
    async fn reserve(&mut self, intent: &Intent) -> Result<Option<Effect>, JournalUnavailable> {
        pass(&*self.fates, Place::BeforePlan, &self.path).await;
        let Written::Exists(standing) = self.journal.plan(intent.clone()).await? else {
            pass(&*self.fates, Place::AfterPlan, &self.path).await;
            return Ok(None);
        };
        let same = (standing.slot, &standing.order) == (intent.slot, &intent.order);
        if standing.state == IntentState::Planned && !same {
            self.journal.advance(&standing.key, IntentEvent::Abandon, self.clock.now()).await?;
            let ending = Ending::new(Reason::IntentStands, "the repeated cycle decided differently");
            return Ok(Some(Effect::Nothing(ending)));
        }
        Ok(standing_effect(&standing))
    }

    /// `sent`, then the order, then what became of it.
    async fn send(&mut self, cycle: &Cycle, intent: &Intent) -> Effect {
        self.venue.prepare(&intent.key);
        self.counted = None;
        match self.journal.advance(&intent.key, IntentEvent::Send, self.clock.now()).await {
            Ok(Written::Done) => {}
            Ok(other) => {
                self.settled = false;
                return Effect::Nothing(Ending::new(Reason::IntentStands, format!("{other:?}")));
            }
            Err(error) => {
                self.settled = false;
                return Effect::Nothing(Ending::new(Reason::JournalUnavailable, error.to_string()));
            }
        }
        pass(&*self.fates, Place::AfterSent, &self.path).await;
        let submission = match self.may_act(cycle).await {
            // Writing took too long. Nothing has left, and we know it.
            Err(ending) => Submission::NeverLeft(format!("{}: {}", ending.reason, ending.detail)),
            Ok(()) => {
                let deadline = self.deadline.min(cycle.time_left());
                self.venue.submit(&intent.key, &intent.order, cycle.slot, deadline).await
            }
        };
        self.refusals.note(&submission);
        pass(&*self.fates, Place::AfterSubmit, &self.path).await;
        let (event, effect) = outcome(intent, submission);
        if matches!(event, IntentEvent::LostTrack { .. }) {
            self.settled = false;
        }
        // Unconfirmed, it stays `sent` in the journal until the venue is asked: that is the truth.
        if self.journal.advance(&intent.key, event, self.clock.now()).await.is_err() {
            self.settled = false;
        }
        pass(&*self.fates, Place::AfterOutcome, &self.path).await;
        effect
    }

    async fn positions(&mut self) -> Result<Vec<Position>, Ending> {
        match self.venue.positions(&self.symbol, self.deadline).await {
            Ok(Positions::Told(positions)) => Ok(positions),
            Ok(Positions::Unseen) => Ok(Vec::new()),
            Ok(Positions::Counted) => self.count_position().await,
            Err(error) => Err(Ending::new(Reason::VenueUnavailable, error.to_string())),
        }
    }

    /// The position that the confirmed orders add up to. Counted again whenever an intent may have moved.
    async fn count_position(&mut self) -> Result<Vec<Position>, Ending> {
        if let Some(counted) = &self.counted {
            return Ok(counted.clone());
        }
        let (account, mode) = (self.venue.account().to_owned(), self.venue.mode());
        let acked = self.journal.acked_intents(&account, &self.symbol, mode).await;
        let acked = acked.map_err(|error| Ending::new(Reason::JournalUnavailable, error.to_string()))?;
        let counted: Vec<Position> = net_position(&acked).into_iter().collect();
        // An unsettled order may still be confirmed.
        self.counted = self.settled.then(|| counted.clone());
        Ok(counted)
    }

    /// Asks the venue about every open intent of this pipeline. A planned intent of the slot in hand is left to be taken
    /// up again. Any other planned one never left and is abandoned: the slot that wrote it has ended, and says so. Without a
    /// slot in hand planned intents wait: the cycle that wrote one may be about to run again.
    async fn settle(&mut self, slot: Option<UtcMs>) -> Result<(), JournalUnavailable> {
        let mut all_settled = true;
        for intent in self.journal.open_intents(&self.pipeline).await? {
            match intent.state {
                IntentState::Planned if slot.is_some_and(|slot| slot != intent.slot) => {
                    self.journal.advance(&intent.key, IntentEvent::Abandon, self.clock.now()).await?;
                }
                IntentState::Planned => all_settled = false,
                IntentState::Sent | IntentState::Unknown => all_settled &= self.ask(&intent).await?,
                _ => {}
            }
        }
        self.settled = all_settled;
        self.counted = None;
        Ok(())
    }

    /// Asks about one intent; `false` when it must be asked again.
    async fn ask(&mut self, intent: &Intent) -> Result<bool, JournalUnavailable> {
        let evidence = self.venue.settle(intent, self.deadline).await;
        let now = self.clock.now();
        let lost_track = |text: &str| IntentEvent::LostTrack { evidence: text.to_owned() };
        let (through_unknown, event, settled) = match evidence {
            Evidence::Found(receipt) => (None, Some(IntentEvent::Acked { receipt }), true),
            Evidence::Refused { code, text } => (None, Some(IntentEvent::Rejected { code, text }), true),
            Evidence::Absent(evidence) => {
                (Some(lost_track(&evidence)), Some(IntentEvent::FoundAbsent { evidence }), true)
            }
            Evidence::Undecidable(evidence) => {
                (Some(lost_track(&evidence)), Some(IntentEvent::Hold { evidence }), true)
            }
            Evidence::NotNow(evidence) => (Some(lost_track(&evidence)), None, false),
        };
        if let Some(event) = through_unknown.filter(|_| intent.state == IntentState::Sent) {
            self.journal.advance(&intent.key, event, now).await?;
        }
        if let Some(event) = event {
            events::intent_settled(&self.pipeline, intent.key.as_str(), event.name());
            self.journal.advance(&intent.key, event, now).await?;
        }
        Ok(settled)
    }
}

/// What an intent that stands already says about its order; `None` when it was only planned and is ours to send.
fn standing_effect(standing: &Intent) -> Option<Effect> {
    let text = format!("the intent {} stands as {}", standing.key, standing.state);
    match standing.state {
        IntentState::Planned => None,
        IntentState::Acked => Some(Effect::Acted(Reason::OrderAcked, text)),
        IntentState::Rejected => Some(Effect::Acted(Reason::OrderRejected, text)),
        IntentState::Sent | IntentState::Unknown | IntentState::Held => Some(Effect::Acted(Reason::OrderUnknown, text)),
        IntentState::Absent => Some(Effect::Nothing(Ending::new(Reason::IntentStands, text))),
    }
}

/// What a slot ends with, as its orders come in.
struct Tally {
    ended: Ending,
    acted: bool,
}

impl Tally {
    /// Breaks when what comes after this order counts on it.
    fn add(&mut self, effect: Effect) -> ControlFlow<()> {
        match effect {
            Effect::Acted(reason, text) => {
                let detail = if self.acted { format!("{}; {text}", self.ended.detail) } else { text };
                self.ended = Ending::new(reason, detail);
                self.acted = true;
                if reason == Reason::OrderAcked { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            }
            Effect::Nothing(ending) if self.acted => {
                self.ended.detail = format!("{}; then {}: {}", self.ended.detail, ending.reason, ending.detail);
                ControlFlow::Break(())
            }
            Effect::Nothing(ending) => {
                self.ended = ending;
                ControlFlow::Break(())
            }
        }
    }
}

fn outcome(intent: &Intent, submission: Submission) -> (IntentEvent, Effect) {
    let order = &intent.order;
    let what = format!("{} {} {} ({})", order.side, order.volume_lots.normalize(), order.symbol, order.role);
    match submission {
        Submission::Acked(receipt) => {
            let text = format!("{what}: ticket {}", receipt.ticket);
            (IntentEvent::Acked { receipt }, Effect::Acted(Reason::OrderAcked, text))
        }
        Submission::Rejected { code, text, .. } => {
            let detail = format!("{what}: {text}");
            (IntentEvent::Rejected { code, text }, Effect::Acted(Reason::OrderRejected, detail))
        }
        Submission::NeverLeft(evidence) => {
            let ending = Ending::new(Reason::OrderNeverLeft, format!("{what}: {evidence}"));
            (IntentEvent::NeverLeft { evidence }, Effect::Nothing(ending))
        }
        Submission::Unknown(evidence) => {
            let detail = format!("{what}: {evidence}");
            (IntentEvent::LostTrack { evidence }, Effect::Acted(Reason::OrderUnknown, detail))
        }
    }
}
