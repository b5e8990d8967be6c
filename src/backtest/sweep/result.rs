//! What one rule of a sweep came to, measured on its way through the slots as a backtest measures its own.

use std::collections::HashMap;
use std::mem::take;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use sentinel_actors::domain::action::Receipt;
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::intent::Intent;
use sentinel_actors::domain::order::{Role, Ticket};
use sentinel_actors::domain::time::UtcMs;

use crate::backtest::money::Money;
use crate::config::{JobConfig, PipelineConfig};
use crate::operator::report::facts::Realised;
use crate::operator::report::part::{Part, Periods};
use crate::venues::book_reader::BookPosition;

const DAY_MS: i64 = 86_400_000;

/// What a rule came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What was sent.
    pub orders: u64,
    /// The trades that ended.
    pub trades: Realised,
    /// Those of them whose opening was decided on a bar that the model never saw.
    pub unseen: Realised,
    pub money: Money,
    /// Positions that are open after the last slot.
    pub open: usize,
    /// What it would have halted for.
    pub halts: usize,
    /// By how much equity changed on each day that has slots.
    pub days: Vec<Day>,
}

/// One day, UTC.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Day {
    /// Since 1970.
    pub number: i64,
    /// Of equity, from the last slot of the day before to its own last one.
    pub change: f64,
    /// The model saw none of its bars.
    pub is_unseen: bool,
}

/// A rule on its way.
pub(super) struct Running {
    periods: Option<Periods>,
    balance: Decimal,
    realised: Decimal,
    orders: u64,
    trades: Realised,
    unseen: Realised,
    /// The part of the bar on which each open position was decided.
    openings: HashMap<Ticket, Part>,
    money: Money,
    /// After the newest slot in which it was computed.
    equity: Option<Decimal>,
    near: Near,
    today: Option<Today>,
    /// Equity at the end of the day before.
    before: Decimal,
    days: Vec<Day>,
}

struct Today {
    number: i64,
    is_unseen: bool,
}

/// Floats beside the exact numbers: they tell in which slots an exact number would change nothing.
#[derive(Default)]
struct Near {
    base: f64,
    peak: f64,
    drawdown: f64,
    /// Nothing was open after the newest slot whose equity was computed, and nothing has ended since.
    is_flat: bool,
    /// Equity is no longer that of the newest slot.
    is_stale: bool,
}

impl Running {
    /// `None`: the rule is none for orders.
    pub(super) fn new(rule: &PipelineConfig, periods: Option<Periods>) -> Option<Self> {
        let JobConfig::Order(order) = &rule.job else { return None };
        let balance = order.paper.balance;
        Some(Self {
            periods,
            balance,
            realised: Decimal::ZERO,
            orders: 0,
            trades: Realised::default(),
            unseen: Realised::default(),
            openings: HashMap::new(),
            money: Money::default(),
            equity: None,
            near: Near::default(),
            today: None,
            before: balance,
            days: Vec::new(),
        })
    }

    /// What a slot sent.
    pub(super) fn acted(&mut self, record: &SlotRecord, intents: &[Intent]) {
        for intent in intents {
            self.orders += 1;
            let opens = intent.order().is_some_and(|order| order.role == Role::Open);
            if let (true, Some(ticket)) = (opens, intent.receipt.as_ref().and_then(Receipt::ticket)) {
                self.openings.insert(ticket, Part::of(self.periods.as_ref(), record.newest_bar));
            }
        }
    }

    pub(super) fn closed(&mut self, position: &BookPosition) {
        let part = self.openings.remove(&position.ticket).unwrap_or(Part::Unknown);
        let Some(closing) = &position.closing else { return };
        self.realised = self.realised.saturating_add(closing.profit);
        self.trades.add(closing.profit);
        if part == Part::Unseen {
            self.unseen.add(closing.profit);
        }
        self.near.is_flat = false;
    }

    /// Whether equity has to be computed before the slot moves on: its day ends, and the newest number is older.
    pub(super) fn wants_equity(&self, slot: UtcMs) -> bool {
        self.near.is_stale && self.today.as_ref().is_some_and(|today| today.number != day_of(slot))
    }

    /// Takes the equity of the newest slot, in which it changed neither peak nor drawdown.
    pub(super) fn take_equity(&mut self, unrealised: Option<Decimal>) {
        self.equity = self.equity_with(unrealised).or(self.equity);
        self.near.is_stale = false;
    }

    /// The slot is over.
    pub(super) fn end_slot(&mut self, record: &SlotRecord, open: usize, unrealised: Option<Decimal>) {
        self.turn_day(record);
        let equity = self.equity_with(unrealised);
        self.money.add(equity, open);
        self.equity = equity.or(self.equity);
        let float = |value: Decimal| value.to_f64().unwrap_or(f64::NAN);
        let base = self.balance.checked_add(self.realised).map_or(f64::NAN, float);
        let (peak, drawdown) = (self.money.peak().map_or(f64::NAN, float), float(self.money.drawdown));
        self.near = Near { base, peak, drawdown, is_flat: open == 0 && equity.is_some(), is_stale: false };
    }

    /// The same when [`Running::may_pass`].
    pub(super) fn pass(&mut self, record: &SlotRecord, open: usize) {
        self.turn_day(record);
        self.money.pass(open);
        self.near.is_stale |= open > 0;
    }

    /// Whether equity is surely neither above its peak nor further below it than it has been. `worth`: what is open is worth about so
    /// much, give or take the second number.
    pub(super) fn may_pass(&self, open: usize, worth: Option<(f64, f64)>) -> bool {
        let Near { base, peak, drawdown, is_flat, .. } = self.near;
        if open == 0 {
            return is_flat;
        }
        let Some((worth, margin)) = worth else { return false };
        let (equity, margin) = (base + worth, margin + base.abs() * 1e-9);
        // Not a number: neither comparison holds.
        equity + margin < peak && peak - equity + margin < drawdown
    }

    pub(super) fn finish(mut self, open: usize, halts: usize) -> Outcome {
        self.end_day();
        let Self { orders, trades, unseen, money, days, .. } = self;
        Outcome { orders, trades, unseen, money, open, halts, days }
    }

    fn equity_with(&self, unrealised: Option<Decimal>) -> Option<Decimal> {
        self.balance.checked_add(self.realised)?.checked_add(unrealised?)
    }

    fn turn_day(&mut self, record: &SlotRecord) {
        let number = day_of(record.slot);
        if self.today.as_ref().is_none_or(|today| today.number != number) {
            self.end_day();
            self.today = Some(Today { number, is_unseen: self.periods.is_some() });
        }
        if let (Some(today), Some(periods), Some(bar)) = (&mut self.today, &self.periods, record.newest_bar) {
            today.is_unseen &= periods.part_of(bar) == Part::Unseen;
        }
    }

    fn end_day(&mut self) {
        let Some(Today { number, is_unseen }) = take(&mut self.today) else { return };
        let equity = self.equity.unwrap_or(self.before);
        let change = equity.saturating_sub(self.before).to_f64().unwrap_or(0.0);
        self.days.push(Day { number, change, is_unseen });
        self.before = equity;
    }
}

const fn day_of(slot: UtcMs) -> i64 {
    slot.0.div_euclid(DAY_MS)
}
