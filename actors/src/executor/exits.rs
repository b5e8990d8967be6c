//! Protective exits: a position that is held for longer than `max_holding` is closed in the next slot in which positions are
//! known, with or without a prediction.
//!
//! The bar counts as undecided: no signal, and the slot as basis, so that the bar can still be decided later. If no order
//! leaves, the slot ends with the reason why there was no prediction.

use rust_decimal::Decimal;

use super::effect::Tally;
use super::{IntentProtocol, TradeStrategy};
use crate::cycle_flow::{Cycle, Undecided};
use crate::domain::cycle::SlotRecord;
use crate::domain::decision::closing;
use crate::domain::intent::{Basis, Mode};
use crate::domain::order::{Order, Position};
use crate::domain::reason::{Ending, Reason};

impl TradeStrategy {
    /// Closes overdue positions and returns the end of a cycle that has no prediction.
    pub(super) async fn end_undecided(
        &mut self,
        protocol: &mut IntentProtocol,
        cycle: &Cycle,
        record: &mut SlotRecord,
        Undecided(why): Undecided,
    ) -> Ending {
        match self.close_overdue(protocol, cycle, record, &why).await {
            Ok(None) => why,
            Ok(Some(closed)) => {
                let detail = format!("{}; without a decision ({}: {})", closed.detail, why.reason, why.detail);
                Ending::new(closed.reason, detail)
            }
            Err(open) => {
                let text = format!("overdue positions could not be closed ({}: {})", open.reason, open.detail);
                let detail = if why.detail.is_empty() { text } else { format!("{}; {text}", why.detail) };
                Ending::new(why.reason, detail)
            }
        }
    }

    /// Closes what is held for too long. `None`: nothing is.
    async fn close_overdue(
        &mut self,
        protocol: &mut IntentProtocol,
        cycle: &Cycle,
        record: &mut SlotRecord,
        why: &Ending,
    ) -> Result<Option<Ending>, Ending> {
        // Without a bar since the opening it is not known whether the market trades.
        if why.reason == Reason::MarketClosed || !self.calendar.is_open(cycle.slot) {
            return Ok(None);
        }
        let unavailable = |reason, error: &dyn std::error::Error| Ending::new(reason, error.to_string());
        if let Some(bars) = cycle.tracker.input().cloned() {
            let seen = self.book.observe(&self.symbol, &bars).await;
            seen.map_err(|error| unavailable(Reason::VenueUnavailable, &error))?;
            self.remember_price(&bars);
        }
        if !protocol.settled {
            let settled = protocol.settle(Some(cycle.slot)).await;
            settled.map_err(|error| unavailable(Reason::JournalUnavailable, &error))?;
        }
        let open = self.positions(protocol, cycle.slot).await?;
        let overdue = open.positions.iter().filter(|position| self.policy.is_too_old(position, cycle.slot));
        let orders = overdue
            .map(|position| self.exit(protocol.sink.mode(), position))
            .collect::<Result<Vec<Order>, Ending>>()?;
        if orders.is_empty() {
            return Ok(None);
        }
        if self.reads_account(protocol) {
            // So that what ended before is counted apart from what ends here. A close waits for no account that can be read.
            let _ = Box::pin(self.watch_account(protocol, cycle.slot)).await;
        }
        let mut tally = Tally { ended: Ending::new(why.reason, ""), acted: false };
        for order in orders {
            let effect = self.place_order(protocol, cycle, record, Basis::Slot(cycle.slot), order, None).await;
            if tally.add(effect).is_break() {
                break;
            }
        }
        if tally.acted { Ok(Some(tally.ended)) } else { Err(tally.ended) }
    }

    /// The closing order. A live venue fills at the market whatever the reference price, so the entry price will do. A paper
    /// book fills at the reference price, so it needs a price from a bar.
    pub(super) fn exit(&self, mode: Mode, position: &Position) -> Result<Order, Ending> {
        let entry = || (mode == Mode::Live).then_some(position.open_price);
        let price: Option<Decimal> = self.last_price.or_else(entry);
        let price = price.ok_or_else(|| Ending::new(Reason::StaleData, "no price is known since the start"))?;
        Ok(closing(position, price.round_dp(self.policy.price_digits)))
    }
}
