//! What the trade strategy wants done: the policy's decision, checked against risk and open positions, order by order.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rust_decimal::Decimal;

use super::IntentProtocol;
use super::effect::{Effect, Tally, existing_effect};
use crate::cycle_flow::Cycle;
use crate::domain::action::Action;
use crate::domain::bar::CleanBars;
use crate::domain::calendar::MarketCalendar;
use crate::domain::cycle::{SlotRecord, Weighed, WeighedRisk};
use crate::domain::decision::{DecideOn, Decision, Situation, TradePolicy};
use crate::domain::explained::Unexplained;
use crate::domain::intent::{Basis, Intent, IntentKey, Mode};
use crate::domain::order::{Order, Position, Role};
use crate::domain::prediction::Probabilities;
use crate::domain::reason::{Ending, Reason};
use crate::domain::risk::{RiskLimits, check_limits, outgrows_one_order, validate_order};
use crate::journal::JournalUnavailable;
use crate::ports::PositionBook;
use crate::status::Holdings;

pub struct TradeStrategy {
    pub symbol: String,
    pub policy: TradePolicy,
    pub risk: RiskLimits,
    pub calendar: MarketCalendar,
    pub book: Arc<dyn PositionBook>,
    /// The position that the confirmed orders add up to, for venues that cannot report it, and the number of changes of intents
    /// that it includes.
    pub derived: Option<(u64, Vec<Position>)>,
    /// Confirmed orders, as they were read last.
    pub acked: Vec<Intent>,
    /// The positions that no order explains, as they were logged last.
    pub unexplained: Vec<Unexplained>,
    /// Close of the newest bar that this incarnation has seen.
    pub last_price: Option<Decimal>,
    /// What keeps new exposure here since the account was read last.
    pub kept: Option<Ending>,
    /// Trades in a row that had lost by then.
    pub losses_in_row: u32,
    /// Published for status and heartbeat.
    pub holdings: Arc<ArcSwap<Holdings>>,
}

impl TradeStrategy {
    pub(super) async fn execute(
        &mut self,
        protocol: &mut IntentProtocol,
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
        if !protocol.settled
            && let Err(error) = protocol.settle(Some(cycle.slot)).await
        {
            return Ending::new(Reason::JournalUnavailable, error.to_string());
        }
        let open = match self.positions(protocol, cycle.slot).await {
            Ok(open) => open,
            Err(ending) => return ending,
        };
        let Some(reference_price) = self.remember_price(bars) else {
            return Ending::new(Reason::StaleData, format!("the close {} is no price", newest.close));
        };
        let existing = match protocol.existing(cycle, basis).await {
            Ok(existing) => existing,
            Err(error) => return Ending::new(Reason::JournalUnavailable, error.to_string()),
        };
        let mut earlier = existing.iter().filter_map(Intent::order);
        let closed_before = earlier.find(|order| matches!(order.role, Role::Close(_)));
        let situation = Situation {
            symbol: &self.symbol,
            positions: &open.positions,
            closed_before: closed_before.map(|order| order.side.opposite()),
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
            open_positions: count(open.count()),
            risk: None,
        });
        // Boxed, because most cycles of a dry run do not need it.
        (self.kept, self.losses_in_row) = (None, 0);
        if self.reads_account(protocol) {
            match Box::pin(self.watch_account(protocol, cycle.slot)).await {
                Ok(losses_in_row) => self.losses_in_row = losses_in_row,
                Err(ending) => self.kept = Some(ending),
            }
        }
        self.act(protocol, cycle, record, basis, decision, existing).await
    }

    /// The close of the newest bar. Kept for exits in later cycles that have no bar.
    pub(super) fn remember_price(&mut self, bars: &CleanBars) -> Option<Decimal> {
        let price = bars.newest().and_then(|newest| Decimal::from_f64_retain(newest.close));
        self.last_price = price.or(self.last_price);
        price
    }

    /// Sends the decision's orders one after the other and returns the end of the slot.
    async fn act(
        &mut self,
        protocol: &mut IntentProtocol,
        cycle: &Cycle,
        record: &mut SlotRecord,
        basis: Basis,
        decision: Decision,
        existing: Vec<Intent>,
    ) -> Ending {
        let mut tally = Tally { ended: Ending::new(decision.idle.unwrap_or(Reason::Hold), ""), acted: false };
        for done in existing.iter().filter(|done| decision.orders.iter().all(|order| !is_of(done, order.role))) {
            // The repeated decision does not contain this order any more, because it was done.
            if let Some(effect) = existing_effect(done, cycle.slot) {
                let _ = tally.add(effect);
            }
        }
        for order in decision.orders {
            if tally.acted {
                self.wait_for_the_result_of_a_close();
            }
            let earlier = existing.iter().find(|done| is_of(done, order.role));
            let effect = match earlier.and_then(|intent| existing_effect(intent, cycle.slot)) {
                Some(effect) => effect,
                None => self.place_order(protocol, cycle, record, basis, order, earlier).await,
            };
            if tally.add(effect).is_break() {
                break;
            }
        }
        tally.ended
    }

    /// What was closed in this cycle may have lost, and be the loss after which nothing is opened.
    fn wait_for_the_result_of_a_close(&mut self) {
        let losses = self.losses_in_row.saturating_add(1);
        if self.risk.account.cool_down.is_some_and(|rule| losses >= rule.after_losses) {
            let why =
                format!("until the next decision: if what was just closed has lost, it is number {losses} in a row");
            self.kept.get_or_insert(Ending::new(Reason::RiskCoolDown, why));
        }
    }

    /// Sends one order, if every check allows it. `earlier` is its intent when an earlier run has planned it.
    pub(super) async fn place_order(
        &mut self,
        protocol: &mut IntentProtocol,
        cycle: &Cycle,
        record: &mut SlotRecord,
        basis: Basis,
        order: Order,
        earlier: Option<&Intent>,
    ) -> Effect {
        if let Err(fault) = validate_order(&order, self.policy.volume_lots) {
            return Effect::Nothing(Ending::new(fault.reason(), fault.to_string()));
        }
        let (key, basis) = protocol.identity(basis, order.role, earlier);
        let action = Action::from(order.clone());
        let may_act = protocol.may_act(cycle, &action).await;
        match may_act.and(self.check_risk(protocol, cycle, record, &key, &order).await) {
            // Boxed, as other rare steps are: the future of every cycle would have the size of all that it could do.
            Ok(listed) => Box::pin(protocol.carry_out(cycle, record, (key, basis), action, listed)).await,
            Err(ending) => Effect::Nothing(ending),
        }
    }

    /// Returns the positions that the venue lists, where it does, and where another hand may trade.
    async fn check_risk(
        &mut self,
        protocol: &mut IntentProtocol,
        cycle: &Cycle,
        record: &mut SlotRecord,
        own: &IntentKey,
        order: &Order,
    ) -> Result<Option<Vec<Position>>, Ending> {
        let unavailable = |error: JournalUnavailable| Ending::new(Reason::JournalUnavailable, error.to_string());
        let (account, mode) = (protocol.sink.account().to_owned(), protocol.sink.mode());
        let mut exposure =
            protocol.journal.exposure(&account, &self.symbol, mode, cycle.slot).await.map_err(unavailable)?;
        // The intent of this very decision may stand half done from an earlier attempt; reserving it sorts that out.
        exposure.open_intents.retain(|intent| intent.key != *own);
        let open = self.positions(protocol, cycle.slot).await?;
        if let Some(weighed) = &mut record.weighed {
            weighed.risk = Some(WeighedRisk {
                open_positions: count(open.count()),
                max_open_positions: self.risk.max_open_positions,
                orders_last_hour: exposure.orders_last_hour,
                max_orders_per_hour: self.risk.max_orders_per_hour,
                orders_last_day: exposure.orders_last_day,
                max_orders_per_day: self.risk.max_orders_per_day,
                open_intents: count(exposure.open_intents.len()),
            });
        }
        if order.role == Role::Open && exposure.open_intents.is_empty() && !open.unexplained.is_empty() {
            let named: Vec<String> = open.unexplained.iter().map(ToString::to_string).collect();
            return Err(Ending::new(Reason::UnexplainedPosition, named.join("; ")));
        }
        check_limits(&self.risk, order, &open.positions, &exposure, cycle.slot)?;
        if let Some(kept) = self.kept.as_ref().filter(|_| order.role == Role::Open) {
            return Err(kept.clone());
        }
        if open.is_derived && outgrows_one_order(order, &open.positions, self.policy.volume_lots) {
            let why = "one order closes a derived position, so it may not grow larger than volume_lots";
            return Err(Ending::new(Reason::RiskMaxPositions, why));
        }
        Ok(open.listed().filter(|_| mode == Mode::Live))
    }
}

fn is_of(intent: &Intent, role: Role) -> bool {
    intent.order().is_some_and(|order| order.role == role)
}

fn count(many: usize) -> u32 {
    u32::try_from(many).unwrap_or(u32::MAX)
}
