//! The other side's own books: what really became of each order and forecast and which positions are open, and the judge of
//! what the journal says about them. Kept apart from everything that the node believes; shares no code with the executor.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::action::{Action, Forecast, Inclusion, Receipt};
use sentinel_actors::domain::intent::{Intent, IntentEvent, IntentKey, IntentState};
use sentinel_actors::domain::netting::net_position;
use sentinel_actors::domain::order::{Fill, Order, Position, Role, Side, Ticket};
use sentinel_actors::domain::time::UtcMs;

use crate::world::{Inner, fnv};

#[derive(Default)]
pub struct Ledger {
    pub entries: BTreeMap<IntentKey, Entry>,
    pub books: BTreeMap<String, Book>,
    tickets: u64,
    /// Blocks of the network that takes forecasts; each holds one.
    height: u64,
    /// What was forecast, by symbol: each bar, or each slot.
    pub forecast: BTreeSet<(String, UtcMs)>,
    /// What the journal's confirmed orders add up to, by symbol: buys count up, sells down.
    acked: BTreeMap<String, Decimal>,
}

impl Ledger {
    /// Accounts that have not traded, by symbol.
    pub fn with(books: BTreeMap<String, Book>) -> Self {
        Self { books, ..Self::default() }
    }
}

/// One symbol of an account.
pub enum Book {
    /// Each order opens a position of its own, or closes one by its ticket.
    Hedging(Vec<Position>),
    /// Whatever is bought or sold moves the one position.
    Netting(Net),
}

/// The position of a netting account; flat when it is zero.
#[derive(Default)]
pub struct Net {
    /// Lots; negative when short.
    pub lots: Decimal,
    /// The order that took it from flat, or over to the other side.
    pub opened_by: Option<Ticket>,
}

/// An effect that was handed over.
pub struct Entry {
    pub action: Action,
    pub slot: UtcMs,
    /// Bytes left, whatever became of them.
    pub left: bool,
    /// Elapsed time at which it arrives; the venue drops what arrives after its expiry.
    pub arrives: Option<Duration>,
    /// `None`: the venue knows no expiry, and an order that left may be filled at any time.
    pub expires: Option<Duration>,
    pub refuse: bool,
    /// So much of an order's volume is filled.
    pub part: Decimal,
    pub verdict: Option<Verdict>,
}

pub enum Verdict {
    Confirmed(Receipt),
    Refused,
}

impl Entry {
    pub fn receipt(&self) -> Option<&Receipt> {
        match self.verdict.as_ref()? {
            Verdict::Confirmed(receipt) => Some(receipt),
            Verdict::Refused => None,
        }
    }

    /// What an order moved: its side, and the lots that were filled.
    fn moved(&self) -> Option<Decimal> {
        Some(signed(self.action.order()?.side, self.receipt()?.fill()?.volume_lots))
    }
}

/// What really became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    Confirmed,
    Refused,
    /// It never arrived and never will.
    Nothing,
    /// It may still arrive.
    Open,
}

/// The truth about a key, now.
pub fn truth(inner: &mut Inner, key: &IntentKey) -> Truth {
    arrive(inner, key);
    let now = inner.elapsed();
    match inner.ledger.entries.get(key) {
        None => Truth::Nothing,
        Some(Entry { verdict: Some(Verdict::Confirmed(_)), .. }) => Truth::Confirmed,
        Some(Entry { verdict: Some(Verdict::Refused), .. }) => Truth::Refused,
        Some(entry) if entry.arrives.is_some() => Truth::Open,
        Some(entry) if entry.left && entry.expires.is_some_and(|expires| now < expires) => Truth::Open,
        Some(_) => Truth::Nothing,
    }
}

/// Whether the other side itself can ever say that it does not have this effect.
pub fn can_prove_absence(inner: &Inner, key: &IntentKey) -> bool {
    inner.ledger.entries.get(key).is_none_or(|entry| !entry.left || entry.expires.is_some())
}

/// What confirms a key.
pub fn receipt(inner: &Inner, key: &IntentKey) -> Option<Receipt> {
    inner.ledger.entries.get(key)?.receipt().cloned()
}

/// Says whether the journal invents an ending.
pub fn judge_ending(inner: &mut Inner, key: &IntentKey, state: IntentState) {
    let truth = truth(inner, key);
    let honest = match state {
        IntentState::Acked => truth == Truth::Confirmed,
        IntentState::Rejected => truth == Truth::Refused,
        IntentState::Absent => matches!(truth, Truth::Nothing | Truth::Refused),
        _ => true,
    };
    if !honest {
        inner.violation(format!("the journal says {state} of {key}, the venue says {truth:?}"));
    }
}

/// Judges a step of an intent: its ending, its evidence, and what the account is counted to hold after it.
pub fn judge_step(inner: &mut Inner, intent: &Intent, event: &IntentEvent, next: IntentState) {
    judge_ending(inner, &intent.key, next);
    if matches!(event, IntentEvent::FoundAbsent { .. }) && !can_prove_absence(inner, &intent.key) {
        inner.violation(format!("{} is called absent, and its venue can fill it at any time", intent.key));
    }
    if let Some(receipt) = event.receipt() {
        let confirmed = inner.ledger.entries.get(&intent.key).and_then(Entry::receipt);
        if confirmed != Some(receipt) {
            let text = format!("{} has the receipt {receipt:?}, what confirms it is {confirmed:?}", intent.key);
            inner.violation(text);
        }
    }
    let Some(order) = intent.order() else { return };
    if let Some(fill) = event.receipt().and_then(Receipt::fill) {
        let sum = inner.ledger.acked.entry(order.symbol.clone()).or_default();
        *sum += signed(order.side, fill.volume_lots);
    }
    judge_account(inner, &order.symbol);
}

/// On a netting account the confirmed orders and those that were filled and are still open add up to the position.
fn judge_account(inner: &mut Inner, symbol: &str) {
    let Some(Book::Netting(net)) = inner.ledger.books.get(symbol) else { return };
    let acked = inner.ledger.acked.get(symbol).copied().unwrap_or_default();
    let sum = acked + unconfirmed(inner, symbol);
    if sum != net.lots {
        let text = format!("{symbol}: the journal accounts for {sum} lots, and the venue holds {}", net.lots);
        inner.violation(text);
    }
}

/// What was filled of orders that are still open in the journal.
fn unconfirmed(inner: &Inner, symbol: &str) -> Decimal {
    let open = inner.disk.open.get(&pipeline_of(symbol)).into_iter().flatten();
    open.filter_map(|key| inner.ledger.entries.get(key)?.moved()).sum()
}

/// Judges what the node is about to count a position from.
pub fn judge_count(inner: &mut Inner, symbol: &str, acked: &[Intent]) {
    let Some(Book::Netting(net)) = inner.ledger.books.get(symbol) else { return };
    // An order whose confirmation is not durable yet cannot be in the count, and nothing new leaves before it is.
    if unconfirmed(inner, symbol) != Decimal::ZERO {
        return;
    }
    let counted = net_position(acked).map(|position| position.map(|p| (p.ticket, signed(p.side, p.volume_lots))));
    let held = net.opened_by.filter(|_| !net.lots.is_zero()).map(|ticket| (ticket, net.lots));
    if counted.as_ref() != Ok(&held) {
        inner.violation(format!("{symbol}: the node counts {counted:?}, and the venue holds {held:?}"));
    }
}

/// In here a pipeline and its symbol share their number.
pub fn pipeline_of(symbol: &str) -> String {
    symbol.replace("SYM", "p")
}

/// Lots, counted up for a buy and down for a sell.
pub fn signed(side: Side, lots: Decimal) -> Decimal {
    match side {
        Side::Buy => lots,
        Side::Sell => -lots,
    }
}

/// Lets an effect arrive whose time has come.
pub fn arrive(inner: &mut Inner, key: &IntentKey) {
    let now = inner.elapsed();
    let Some(entry) = inner.ledger.entries.get_mut(key) else { return };
    let Some(at) = entry.arrives.filter(|at| *at <= now) else { return };
    entry.arrives = None;
    if entry.expires.is_some_and(|expires| at > expires) {
        return;
    }
    let (action, refuse, part) = (entry.action.clone(), entry.refuse, entry.part);
    let verdict = match &action {
        _ if refuse => Verdict::Refused,
        Action::Order(order) => trade(inner, order, part),
        Action::Forecast(forecast) => include(inner, forecast),
    };
    let word = if matches!(verdict, Verdict::Confirmed(_)) { "taken" } else { "refused" };
    inner.tracker(format!("{word}: {action}"));
    if let Some(entry) = inner.ledger.entries.get_mut(key) {
        entry.verdict = Some(verdict);
    }
    if let Action::Order(order) = &action {
        judge_account(inner, &order.symbol);
    }
}

/// A forecast is taken up into a block of its own.
fn include(inner: &mut Inner, forecast: &Forecast) -> Verdict {
    inner.ledger.height += 1;
    let height = inner.ledger.height;
    let hash = format!("{:016X}", fnv(height, &forecast.to_string()));
    Verdict::Confirmed(Inclusion { hash, height, text: "included".to_owned() }.into())
}

/// An order is filled as far as the account allows.
fn trade(inner: &mut Inner, order: &Order, part: Decimal) -> Verdict {
    inner.ledger.tickets += 1;
    let ticket = Ticket(inner.ledger.tickets);
    let opened_at = Some(inner.now());
    let lots = (order.volume_lots * part).trunc_with_scale(2);
    let lots = if lots.is_zero() { order.volume_lots } else { lots };
    let filled = match inner.ledger.books.get_mut(&order.symbol) {
        Some(Book::Netting(net)) => {
            net.fill(ticket, signed(order.side, lots));
            Some(())
        }
        Some(Book::Hedging(positions)) => fill(positions, order, ticket, lots, opened_at),
        None => None,
    };
    match filled {
        None => Verdict::Refused,
        Some(()) => {
            let (price, text) = (Some(order.reference_price), "filled".to_owned());
            Verdict::Confirmed(Fill { ticket, volume_lots: lots, price, text }.into())
        }
    }
}

impl Net {
    fn fill(&mut self, ticket: Ticket, lots: Decimal) {
        let before = self.lots;
        self.lots += lots;
        let turned = !self.lots.is_zero() && before.is_sign_negative() != self.lots.is_sign_negative();
        if before.is_zero() || turned {
            self.opened_by = Some(ticket);
        }
    }
}

/// `None`: there is no such position any more.
fn fill(
    positions: &mut Vec<Position>,
    order: &Order,
    ticket: Ticket,
    lots: Decimal,
    opened_at: Option<UtcMs>,
) -> Option<()> {
    if let Role::Close(closed) = order.role {
        let index = positions.iter().position(|position| position.ticket == closed)?;
        positions[index].volume_lots -= lots;
        if positions[index].volume_lots <= Decimal::ZERO {
            positions.remove(index);
        }
        return Some(());
    }
    let (symbol, side, open_price) = (order.symbol.clone(), order.side, order.reference_price);
    positions.push(Position { ticket, symbol, side, volume_lots: lots, open_price, opened_at });
    Some(())
}

/// Everything that was delayed arrives now: without faults nothing is delayed.
pub fn thaw(inner: &mut Inner) {
    let now = inner.elapsed();
    let frozen = inner.ledger.entries.values_mut().filter(|entry| entry.expires.is_none());
    frozen.for_each(|entry| entry.arrives = entry.arrives.map(|at| at.min(now)));
}
