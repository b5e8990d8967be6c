//! Executor: decides, checks risk, writes the intent, acts, records the receipt.
//!
//! Promise 2 is kept here. Before a new order, every open intent is settled by evidence. `planned` and `sent` are durable
//! before an order leaves, none is ever sent twice, and an order without a usable answer stays `unknown`.

mod effect;
mod exits;
mod holdings;
mod positions;
mod sending;
mod settling;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;
use rust_decimal::Decimal;
use tokio::time::Instant;

pub use self::effect::Refusals;
use self::effect::{Tally, existing_effect};
use crate::cycle_flow::{Cycle, ExecutorInput};
use crate::domain::bar::CleanBars;
use crate::domain::calendar::MarketCalendar;
use crate::domain::cycle::{SlotRecord, Stage, Weighed};
use crate::domain::decision::{DecideOn, Decision, Situation, TradePolicy};
use crate::domain::intent::{Basis, Intent};
use crate::domain::order::{Position, Role};
use crate::domain::prediction::Probabilities;
use crate::domain::reason::{Ending, Reason};
use crate::domain::risk::RiskLimits;
use crate::domain::schedule::Window;
use crate::domain::time::UtcMs;
use crate::events;
use crate::journal::{JournalHandle, JournalUnavailable};
use crate::ports::{Clock, FaultInjector, FaultPoint, PortFuture, PositionBook, Sink, elapsed_now, inject_fault};
use crate::settings::Deadlines;
use crate::stage::{StageWork, WARM_UP_TIMEOUT};
use crate::status::Holdings;

/// Fifths of the stage's deadline that are for calls of the venue; the rest is for recording its answers.
const VENUE_FIFTHS: u32 = 4;
/// No order is sent when less than this part (a tenth) of the deadline is left: its answer would come too late.
const VENUE_LEAST: u32 = 10;
/// Fifths of it that settling between cycles may take: a cycle that arrives meanwhile has to wait.
const WARM_UP_FIFTHS: u32 = 2;

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
    pub sink: Arc<dyn Sink>,
    pub book: Arc<dyn PositionBook>,
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
    /// The position that the confirmed orders add up to, for venues that cannot report it; `None`: not up to date.
    pub derived: Option<Vec<Position>>,
    /// Refusals in a row, since the process started.
    pub refusals: Refusals,
    /// Newest basis and newest slot that had an intent when this incarnation started, once read from the journal.
    pub newest_at_start: Option<(Option<UtcMs>, Option<UtcMs>)>,
    /// Published for status and heartbeat.
    pub holdings: Arc<ArcSwap<Holdings>>,
    /// As it is written in a shell command; for the advice in log lines.
    pub state_dir: Arc<str>,
    pub calendar: MarketCalendar,
    /// Close of the newest bar that this incarnation has seen.
    pub last_price: Option<Decimal>,
}

impl StageWork for Executor {
    type Load = ExecutorInput;
    type Next = Infallible;
    const STAGE: Stage = Stage::Executor;
    const FAULT_POINT: FaultPoint = FaultPoint::ExecutorHandle;

    fn warm_up(&mut self) -> PortFuture<'_, ()> {
        Box::pin(async move {
            self.venue_until = elapsed_now() + (self.deadlines.execute * WARM_UP_FIFTHS / 5).min(WARM_UP_TIMEOUT / 2);
            self.journal.give_up_at(elapsed_now() + WARM_UP_TIMEOUT * 4 / 5);
            inject_fault(&*self.faults, FaultPoint::BeforeSettle, &self.path).await;
            // On failure nothing is lost: the next cycle settles before it acts.
            if let Err(error) = self.settle(None).await {
                events::settling_postponed(&self.pipeline, &error.to_string());
            }
        })
    }

    /// For hours no cycle may reach this stage: the bar is already decided, or the market is closed.
    fn is_unfinished(&self) -> bool {
        !self.settled
    }

    fn work<'a>(
        &'a mut self,
        cycle: &'a Cycle,
        record: &'a mut SlotRecord,
        findings: Self::Load,
    ) -> PortFuture<'a, Result<Infallible, Ending>> {
        // Counted from the hand-over, as the Pipeline does: the cycle may have waited in the mailbox.
        let since = cycle.tracker.holder().1;
        self.venue_until = since + self.deadlines.execute * VENUE_FIFTHS / 5;
        self.journal.give_up_at(since + self.deadlines.execute);
        Box::pin(async move {
            Err(match findings {
                ExecutorInput::Prediction(bars, probabilities) => {
                    self.execute(cycle, record, &bars, &probabilities).await
                }
                ExecutorInput::NoPrediction(undecided) => self.end_undecided(cycle, record, undecided).await,
            })
        })
    }
}

impl Executor {
    /// Time left for the venue. All its calls share it, so that a slow venue does not make the stage count as hung.
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
        if let Err(error) = self.book.observe(&self.symbol, bars).await {
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
        let Some(reference_price) = self.remember_price(bars) else {
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
        // Orders of an earlier slot are named in that slot's row.
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

    /// The close of the newest bar. Kept for exits in later cycles that have no bar.
    fn remember_price(&mut self, bars: &CleanBars) -> Option<Decimal> {
        let price = bars.newest().and_then(|newest| Decimal::from_f64_retain(newest.close));
        self.last_price = price.or(self.last_price);
        price
    }

    /// Intents of an earlier run of this decision. Only a repeated cycle can have any, or one whose decision an earlier
    /// incarnation may have started.
    async fn existing(&mut self, cycle: &Cycle, basis: Basis) -> Result<Vec<Intent>, JournalUnavailable> {
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
    fn is_ours(&self, intent: &Intent) -> bool {
        (intent.mode, intent.account.as_str()) == (self.sink.mode(), self.sink.account())
    }

    /// Sends the decision's orders one after the other and returns the end of the slot.
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
            // The repeated decision does not contain this order any more, because it was done.
            if let Some(effect) = existing_effect(done, cycle.slot) {
                let _ = tally.add(effect);
            }
        }
        for order in decision.orders {
            let earlier = existing.iter().find(|done| done.order.role == order.role);
            let effect = match earlier.and_then(|intent| existing_effect(intent, cycle.slot)) {
                Some(effect) => effect,
                None => self.place_order(cycle, record, basis, order, earlier).await,
            };
            if tally.add(effect).is_break() {
                break;
            }
        }
        tally.ended
    }
}

fn count(many: usize) -> u32 {
    u32::try_from(many).unwrap_or(u32::MAX)
}
