//! What an account may lose, and the baselines that losses are counted from.
//!
//! Pure: from the baselines that the journal keeps and one more reading of the account follow the next baselines, and the halt that
//! they call for. Both are durable in one transaction before anyone acts on them, so that a restart forgets no loss, no peak and no
//! row of losing trades. Only an operator who lifts the halt of a breach lets losses count anew.

use std::fmt;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

pub use super::broker_day::BrokerDay;
use super::halt::{NewHalt, RaisedBy, Scope, TradingState, one_line};
use super::intent::Mode;
use super::order::Ticket;
use super::time::UtcMs;

/// What a venue says of an account's money and positions at one instant, in the account's currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountReading {
    /// Without open positions.
    pub balance: Decimal,
    /// With the profit of open positions.
    pub equity: Decimal,
    /// Positions that are open on the account, whatever their symbol; in order.
    pub open: Vec<Ticket>,
}

/// Limits on what an account may lose.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccountLimits {
    /// How far equity may fall below that at the beginning of the broker's day, in the account's currency.
    pub max_daily_loss: Option<Decimal>,
    /// How far it may fall below its peak.
    pub max_drawdown: Option<Decimal>,
    pub cool_down: Option<CoolDown>,
    pub day: BrokerDay,
}

impl AccountLimits {
    /// Whether the account has to be read for them.
    #[must_use]
    pub const fn need_readings(&self) -> bool {
        self.max_daily_loss.is_some() || self.max_drawdown.is_some() || self.cool_down.is_some()
    }
}

/// A pause after losing trades in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoolDown {
    /// At least one.
    pub after_losses: u32,
    pub lasts: Duration,
}

/// What the journal knows of an account: what losses are counted from, and what its orders did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountRecord {
    /// `None` before its first reading.
    pub baselines: Option<AccountBaselines>,
    pub orders: OrderTrace,
}

/// How far the node's orders on an account have got. Two equal ones without an order under way: none was sent, confirmed or settled
/// between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OrderTrace {
    /// Grows with each step of an order that may have left.
    pub steps: u64,
    /// An order may have left, and its end is not known.
    pub is_under_way: bool,
}

/// What losses of an account are counted from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountBaselines {
    /// Grows with each change: two that read at the same time cannot both write.
    pub revision: u64,
    /// When the present broker's day began.
    pub day: UtcMs,
    /// Equity at the first reading of that day.
    pub day_equity: Decimal,
    /// The largest equity that was read since losses count.
    pub peak_equity: Decimal,
    /// Of the newest reading.
    pub balance: Decimal,
    /// When this balance was read first.
    pub balance_since: UtcMs,
    /// Of the newest reading.
    pub open: Vec<Ticket>,
    /// [`OrderTrace::steps`] right before the newest reading.
    pub steps: u64,
    /// Losing trades since the last one that won. Trades that end between two readings count as one.
    pub losses_in_row: u32,
    /// New exposure has to wait until then.
    pub cooling_until: Option<UtcMs>,
    /// The request of the halt that the newest breach has raised. Once an operator has lifted it, losses count anew.
    pub halt: Option<String>,
}

/// A loss that is larger than a limit allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breach {
    DailyLoss { since: UtcMs, from: Decimal, to: Decimal, limit: Decimal },
    Drawdown { from: Decimal, to: Decimal, limit: Decimal },
}

impl Breach {
    const fn code(&self) -> &'static str {
        match self {
            Self::DailyLoss { .. } => "max_daily_loss",
            Self::Drawdown { .. } => "max_drawdown",
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DailyLoss { since, from, to, limit } => write!(
                f,
                "equity has fallen from {from} to {to} since the broker's day of {since}, and max_daily_loss is {limit}"
            ),
            Self::Drawdown { from, to, limit } => {
                write!(f, "equity has fallen from its peak of {from} to {to}, and max_drawdown is {limit}")
            }
        }
    }
}

/// One reading, and what the journal knew of the account's orders right before and right after it.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    pub mode: Mode,
    pub account: &'a str,
    pub reading: &'a AccountReading,
    pub before: OrderTrace,
    pub after: OrderTrace,
    pub now: UtcMs,
}

/// What follows from a reading. Nothing is to be written when the revision has not grown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follows {
    pub baselines: AccountBaselines,
    /// To be raised together with the baselines.
    pub halt: Option<NewHalt>,
}

impl Seen<'_> {
    /// The next baselines. `stands` says whether the halt of a request stands.
    #[must_use]
    pub fn follow(
        &self,
        known: Option<&AccountBaselines>,
        limits: &AccountLimits,
        stands: impl Fn(&str) -> bool,
    ) -> Follows {
        let Some(known) = known else { return Follows { baselines: self.begin(limits), halt: None } };
        if self.mode == Mode::DryRun && self.now < known.balance_since {
            // A replay that was killed repeats slots, of which the account has been read before.
            return Follows { baselines: known.clone(), halt: None };
        }
        let mut base = known.clone();
        let is_accepted = base.halt.as_deref().is_some_and(|request| !stands(request));
        if is_accepted {
            // The operator has accepted the loss: what is there now is what losses are counted from.
            base.halt = None;
            base.day = limits.day.start_of(self.now).max(base.day);
            (base.day_equity, base.peak_equity) = (self.reading.equity, self.reading.equity);
        }
        let mut next = self.after(&base, limits);
        let halt = match self.unexplained(&base) {
            Some(why) => {
                if !is_accepted {
                    self.move_baselines(&base, &mut next);
                }
                Some(self.halt("balance", known.revision + 1, &why, &next))
            }
            None if next.halt.is_none() => self.breach(&next, limits).map(|breaches| {
                let codes: Vec<&str> = breaches.iter().map(Breach::code).collect();
                let texts: Vec<String> = breaches.iter().map(ToString::to_string).collect();
                let halt = self.halt(&codes.join("+"), known.revision + 1, &texts.join("; "), &next);
                next.halt = Some(halt.request.clone());
                halt
            }),
            None => None,
        };
        next.revision += u64::from(next != *known);
        Follows { baselines: next, halt }
    }

    fn begin(&self, limits: &AccountLimits) -> AccountBaselines {
        let AccountReading { balance, equity, open } = self.reading.clone();
        AccountBaselines {
            revision: 1,
            day: limits.day.start_of(self.now),
            day_equity: equity,
            peak_equity: equity,
            balance,
            balance_since: self.now,
            open,
            steps: self.before.steps,
            losses_in_row: 0,
            cooling_until: None,
            halt: None,
        }
    }

    fn has_closed(&self, base: &AccountBaselines) -> bool {
        base.open.iter().any(|ticket| !self.reading.open.contains(ticket))
    }

    /// The baselines after this reading. A clock that was set back begins no day again.
    fn after(&self, base: &AccountBaselines, limits: &AccountLimits) -> AccountBaselines {
        let reading = self.reading;
        let day = limits.day.start_of(self.now).max(base.day);
        let has_closed = self.has_closed(base);
        let losses_in_row = match reading.balance.cmp(&base.balance) {
            std::cmp::Ordering::Less if has_closed => base.losses_in_row.saturating_add(1),
            std::cmp::Ordering::Greater if has_closed => 0,
            _ => base.losses_in_row,
        };
        let begun = limits
            .cool_down
            .filter(|rule| losses_in_row > base.losses_in_row && losses_in_row >= rule.after_losses)
            .map(|rule| self.now.plus(rule.lasts));
        AccountBaselines {
            revision: base.revision,
            day,
            day_equity: if day > base.day { reading.equity } else { base.day_equity },
            peak_equity: base.peak_equity.max(reading.equity),
            balance: reading.balance,
            balance_since: if reading.balance == base.balance { base.balance_since } else { self.now },
            open: reading.open.clone(),
            steps: self.before.steps,
            losses_in_row,
            cooling_until: begun.max(base.cooling_until),
            halt: base.halt.clone(),
        }
    }

    /// Money that came or went is no profit and no loss: what losses are counted from moves with it, and no loss before it is
    /// forgiven when an operator accepts it.
    fn move_baselines(&self, base: &AccountBaselines, next: &mut AccountBaselines) {
        let moved = self.reading.balance.saturating_sub(base.balance);
        if next.day == base.day {
            next.day_equity = base.day_equity.saturating_add(moved);
        }
        next.peak_equity = base.peak_equity.saturating_add(moved).max(self.reading.equity);
    }

    /// A change of a live balance that neither an order of the node explains nor a position that has gone. Orders of any symbol do:
    /// an order that was under way at any moment between the two readings may have changed it.
    fn unexplained(&self, base: &AccountBaselines) -> Option<String> {
        let (from, to) = (base.balance, self.reading.balance);
        let has_moved = self.after.steps != base.steps || self.after.is_under_way;
        let is_explained = self.mode == Mode::DryRun || from == to || has_moved || self.has_closed(base);
        (!is_explained).then(|| {
            format!(
                "the balance was {from} since {} and was read as {to} at {}, and no order of the node and no position that ended \
                 explains it: a deposit, a withdrawal, a fee, a rollover or another hand",
                base.balance_since, self.now
            )
        })
    }

    /// The limits that the reading, which `next` includes, has reached.
    fn breach(&self, next: &AccountBaselines, limits: &AccountLimits) -> Option<Vec<Breach>> {
        let to = self.reading.equity;
        let is_reached = |from: Decimal, limit: &Decimal| from.saturating_sub(to) >= *limit;
        let daily = limits.max_daily_loss.filter(|limit| is_reached(next.day_equity, limit));
        let drawdown = limits.max_drawdown.filter(|limit| is_reached(next.peak_equity, limit));
        let daily = daily.map(|limit| Breach::DailyLoss { since: next.day, from: next.day_equity, to, limit });
        let drawdown = drawdown.map(|limit| Breach::Drawdown { from: next.peak_equity, to, limit });
        let breaches: Vec<Breach> = daily.into_iter().chain(drawdown).collect();
        (!breaches.is_empty()).then_some(breaches)
    }

    /// The revision is written once, so that no later breach has the request of an earlier one, which may have been lifted.
    fn halt(&self, kind: &str, revision: u64, why: &str, next: &AccountBaselines) -> NewHalt {
        let AccountReading { balance, equity, open } = self.reading;
        NewHalt {
            request: format!("{kind} of {} {}, day {}, change {revision}", self.mode.code(), self.account, next.day),
            scope: Scope::Account { account: self.account.to_owned() },
            state: TradingState::Reducing,
            by: RaisedBy::Node,
            who: "the node".to_owned(),
            why: one_line(why),
            evidence: one_line(&format!(
                "balance {balance}, equity {equity}, {} open positions; the day of {} began with {}, the peak is {}",
                open.len(),
                next.day,
                next.day_equity,
                next.peak_equity
            )),
            since: self.now,
        }
    }
}

impl AccountBaselines {
    /// Until when new exposure has to wait after losing trades.
    #[must_use]
    pub fn cools_until(&self, now: UtcMs) -> Option<UtcMs> {
        self.cooling_until.filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests;
