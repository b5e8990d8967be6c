//! Exits that protect: a position that is held longer than `max_holding` is closed in the next slot in which positions can be
//! known, whether or not there is a prediction.
//!
//! It decides nothing about the bar: no signal, no decided bar, and a basis of its own (the slot), so that the bar's decision
//! may still come. What kept the cycle from a decision stays its reason when no order left.

use rust_decimal::Decimal;

use super::Executor;
use super::effect::Tally;
use crate::cycle_flow::{Cycle, Undecided};
use crate::domain::cycle::SlotRecord;
use crate::domain::decision::closing;
use crate::domain::intent::{Basis, Mode};
use crate::domain::order::{Order, Position};
use crate::domain::reason::{Ending, Reason};

impl Executor {
    /// What a cycle without a prediction ends with, after its positions were looked after.
    pub(super) async fn end_undecided(
        &mut self,
        cycle: &Cycle,
        record: &mut SlotRecord,
        Undecided(why): Undecided,
    ) -> Ending {
        match self.close_overdue(cycle, record, &why).await {
            Ok(None) => why,
            Ok(Some(closed)) => {
                let detail = format!("{}; without a decision ({}: {})", closed.detail, why.reason, why.detail);
                Ending::new(closed.reason, detail)
            }
            Err(open) => {
                let text = format!("positions could not be looked after ({}: {})", open.reason, open.detail);
                let detail = if why.detail.is_empty() { text } else { format!("{}; {text}", why.detail) };
                Ending::new(why.reason, detail)
            }
        }
    }

    /// Closes what is held too long. `None`: nothing is.
    async fn close_overdue(
        &mut self,
        cycle: &Cycle,
        record: &mut SlotRecord,
        why: &Ending,
    ) -> Result<Option<Ending>, Ending> {
        // Without a bar since the market opened there is no market that is known to trade.
        if why.reason == Reason::MarketClosed || !self.calendar.is_open(cycle.slot) {
            return Ok(None);
        }
        let unavailable = |reason, error: &dyn std::error::Error| Ending::new(reason, error.to_string());
        if let Some(bars) = cycle.tracker.input().cloned() {
            let seen = self.venue.observe(&self.symbol, &bars).await;
            seen.map_err(|error| unavailable(Reason::VenueUnavailable, &error))?;
            self.note_price(&bars);
        }
        if !self.settled {
            let settled = self.settle(Some(cycle.slot)).await;
            settled.map_err(|error| unavailable(Reason::JournalUnavailable, &error))?;
        }
        let open = self.positions().await?;
        let overdue = open.positions.iter().filter(|position| self.policy.is_too_old(position, cycle.slot));
        let orders = overdue.map(|position| self.exit(position)).collect::<Result<Vec<Order>, Ending>>()?;
        if orders.is_empty() {
            return Ok(None);
        }
        let mut tally = Tally { ended: Ending::new(why.reason, ""), acted: false };
        for order in orders {
            let effect = self.effect(cycle, record, Basis::Slot(cycle.slot), order, None).await;
            if tally.add(effect).is_break() {
                break;
            }
        }
        if tally.acted { Ok(Some(tally.ended)) } else { Err(tally.ended) }
    }

    /// A live venue fills at the market whatever price the order remembers, so a protecting order never waits for one. A paper
    /// book fills at it, and no price is invented for that.
    fn exit(&self, position: &Position) -> Result<Order, Ending> {
        let entry = || (self.venue.mode() == Mode::Live).then_some(position.open_price);
        let price: Option<Decimal> = self.last_price.or_else(entry);
        let price = price.ok_or_else(|| Ending::new(Reason::StaleData, "no price is known since the start"))?;
        Ok(closing(position, price.round_dp(self.policy.price_digits)))
    }
}
