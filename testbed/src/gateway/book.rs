//! The account: open positions and what they earned. Pure; what changes is returned as [`Change`]s, which the ledger makes
//! durable before a reply leaves.
//!
//! Profit is in the symbol's quote currency and is booked as it is; no conversion, swap, commission or margin call is
//! simulated. A netting account has one position for each symbol, a hedging account one for each order.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::clock::Now;
use super::market::{ExitLevels, Market, Side};
use super::request::Order;

/// Open positions at most.
pub const POSITIONS_MAX: usize = 10_000;
/// Decimal places of an average opening price.
const AVERAGE_DIGITS: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountMode {
    /// One net position for each symbol; an opposite order reduces, closes or reverses it.
    Netting,
    /// Each order its own position.
    Hedging,
}

impl AccountMode {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Netting => "netting",
            Self::Hedging => "hedging",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Closing {
    /// Market time.
    pub at_ms: i64,
    pub price: Decimal,
    /// `order`, `reversed`, `close`, `kill-switch`, `stop` or `target`.
    pub reason: &'static str,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Position {
    /// Ticket of the order that opened it.
    pub id: i64,
    pub symbol: String,
    pub side: Side,
    /// Lots that are open; of a closed position, those that its last deal closed.
    pub volume: Decimal,
    /// What it was opened at, on average.
    pub open_price: Decimal,
    /// Market time of its first deal.
    pub opened_ms: i64,
    pub sl: Option<Decimal>,
    pub tp: Option<Decimal>,
    /// Market time up to which its levels have been checked; older bars cannot end it.
    pub seen_ms: i64,
    /// What it has earned so far, in quote currency, without what is open.
    pub profit: Decimal,
    pub closed: Option<Closing>,
}

impl Position {
    /// What `volume` lots of it earn at this price.
    fn earned(&self, price: Decimal, volume: Decimal, contract_size: Decimal) -> Decimal {
        let difference = match self.side {
            Side::Buy => price - self.open_price,
            Side::Sell => self.open_price - price,
        };
        (difference * volume * contract_size).normalize()
    }

    fn exit_levels(&self) -> ExitLevels {
        ExitLevels { side: self.side, sl: self.sl, tp: self.tp, seen_ms: self.seen_ms }
    }
}

/// A deal: an order that was filled.
#[derive(Debug, Clone, Copy)]
pub struct Deal<'a> {
    pub ticket: i64,
    pub order: &'a Order,
    pub filled: Decimal,
    pub price: Decimal,
    /// Market time.
    pub at_ms: i64,
}

/// What the ledger has to write down about the account.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Position(Position),
    Balance(Decimal),
}

#[derive(Debug, Clone)]
pub struct Book {
    mode: AccountMode,
    contract_size: Decimal,
    balance: Decimal,
    open: BTreeMap<i64, Position>,
}

impl Book {
    /// An account as the ledger remembers it.
    #[must_use]
    pub fn new(mode: AccountMode, contract_size: Decimal, balance: Decimal, open: Vec<Position>) -> Self {
        let open = open.into_iter().map(|position| (position.id, position)).collect();
        Self { mode, contract_size, balance, open }
    }

    /// Money that was earned, in account currency.
    #[must_use]
    pub const fn balance(&self) -> Decimal {
        self.balance
    }

    /// The open positions, oldest ticket first.
    pub fn open(&self) -> impl Iterator<Item = &Position> {
        self.open.values()
    }

    #[must_use]
    pub fn position(&self, id: i64) -> Option<&Position> {
        self.open.get(&id)
    }

    /// Whether the order would need a position more than there may be.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.open.len() >= POSITIONS_MAX
    }

    /// What a position would earn at this price.
    #[must_use]
    pub fn floating(&self, position: &Position, price: Decimal) -> Decimal {
        position.earned(price, position.volume, self.contract_size)
    }

    /// Units of the base currency in one lot.
    #[must_use]
    pub const fn contract_size(&self) -> Decimal {
        self.contract_size
    }

    /// Advances to this market time: positions end where bars reach their levels.
    pub fn advance(&mut self, market: &Market, now: &Now, changes: &mut Vec<Change>) {
        let mut ended = Vec::new();
        for position in self.open.values_mut() {
            let Some(at_ms) = now.market_ms(&position.symbol).filter(|at_ms| position.seen_ms < *at_ms) else {
                continue;
            };
            if let Some(exit) = market.first_exit(&position.symbol, &position.exit_levels(), at_ms) {
                ended.push((position.id, exit));
            }
            position.seen_ms = at_ms;
        }
        ended.sort_by_key(|(id, exit)| (exit.at_ms, *id));
        for (id, exit) in ended {
            let reason = if exit.stopped { "stop" } else { "target" };
            self.close(id, Closing { at_ms: exit.at_ms, price: exit.price, reason }, changes);
        }
    }

    pub fn trade(&mut self, deal: &Deal, changes: &mut Vec<Change>) {
        let same_symbol = |position: &&Position| position.symbol == deal.order.symbol;
        let net = match self.mode {
            AccountMode::Netting => self.open.values().find(same_symbol).cloned(),
            AccountMode::Hedging => None,
        };
        let Some(net) = net else { return self.begin(deal, deal.filled, changes) };
        if net.side == deal.order.side {
            return self.enlarge(net, deal, changes);
        }
        let closing = |reason| Closing { at_ms: deal.at_ms, price: deal.price, reason };
        if deal.filled < net.volume {
            self.reduce(net, deal.filled, deal.price, changes);
        } else if deal.filled == net.volume {
            self.close(net.id, closing("order"), changes);
        } else {
            self.close(net.id, closing("reversed"), changes);
            self.begin(deal, deal.filled - net.volume, changes);
        }
    }

    /// Closes so much of a position.
    pub fn close_lots(&mut self, id: i64, lots: Decimal, closing: Closing, changes: &mut Vec<Change>) {
        match self.open.get(&id).filter(|position| lots < position.volume).cloned() {
            Some(position) => self.reduce(position, lots, closing.price, changes),
            None => self.close(id, closing, changes),
        }
    }

    pub fn close(&mut self, id: i64, closing: Closing, changes: &mut Vec<Change>) {
        let Some(mut position) = self.open.remove(&id) else { return };
        let earned = position.earned(closing.price, position.volume, self.contract_size);
        position.profit += earned;
        position.closed = Some(closing);
        self.earn(earned, changes);
        changes.push(Change::Position(position));
    }

    fn begin(&mut self, deal: &Deal, volume: Decimal, changes: &mut Vec<Change>) {
        let position = Position {
            id: deal.ticket,
            symbol: deal.order.symbol.clone(),
            side: deal.order.side,
            volume,
            open_price: deal.price,
            opened_ms: deal.at_ms,
            sl: deal.order.sl,
            tp: deal.order.tp,
            seen_ms: deal.at_ms,
            profit: Decimal::ZERO,
            closed: None,
        };
        self.keep(position, changes);
    }

    fn enlarge(&mut self, mut net: Position, deal: &Deal, changes: &mut Vec<Change>) {
        let volume = net.volume + deal.filled;
        let cost = net.open_price * net.volume + deal.price * deal.filled;
        net.open_price = (cost / volume).round_dp(AVERAGE_DIGITS).normalize();
        net.volume = volume;
        // The newest levels count; an order without any leaves those that there are.
        net.sl = deal.order.sl.or(net.sl);
        net.tp = deal.order.tp.or(net.tp);
        self.keep(net, changes);
    }

    fn reduce(&mut self, mut net: Position, lots: Decimal, price: Decimal, changes: &mut Vec<Change>) {
        let earned = net.earned(price, lots, self.contract_size);
        net.volume -= lots;
        net.profit += earned;
        self.earn(earned, changes);
        self.keep(net, changes);
    }

    fn keep(&mut self, position: Position, changes: &mut Vec<Change>) {
        changes.push(Change::Position(position.clone()));
        self.open.insert(position.id, position);
    }

    fn earn(&mut self, earned: Decimal, changes: &mut Vec<Change>) {
        self.balance += earned;
        changes.push(Change::Balance(self.balance));
    }
}
