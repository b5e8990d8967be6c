//! The gateway without socket, clock and disk: a message and the state give an [`Outcome`], which says what to write down,
//! what to reply and in which order. It must never panic: any bytes that reach the socket come here.

use rust_decimal::prelude::ToPrimitive as _;
use rust_decimal::{Decimal, RoundingStrategy};

use super::advisor::Advisor;
use super::book::{Book, Change, Closing, Deal, Position};
use super::clock::Now;
use super::codes;
use super::fault::Fault;
use super::market::{Market, Quote, Side, digits};
use super::memory::IdMemory;
use super::outcome::{Arrival, OrderRow, OrderState, Outcome, steps};
use super::reply::{AccountView, Answer, FOREIGN_ID, PositionView, render};
use super::request::{Dialect, Order, Request, RequestError, parse};
use super::trap::Trap;
use crate::FaultRule;

/// Lots of a position are margined at this ratio.
const LEVERAGE: Decimal = Decimal::ONE_HUNDRED;
/// What a gateway without a terminal fills every order as.
const STUB_TICKET: i64 = 12_345;
/// No JSON, and no UTF-8 either.
const GARBAGE: &[u8] = b"\xff\xfe{\"error\": no json";

/// Where a ledger left off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    pub seq: i64,
    pub ticket: i64,
}

#[derive(Debug)]
pub struct Core {
    market: Market,
    book: Book,
    memory: IdMemory,
    faults: Vec<FaultRule<Fault>>,
    traps: Vec<Trap>,
    /// It plays one in the place of a gateway, on the chart of this symbol.
    advisor: Option<(Advisor, String)>,
    /// Order requests since the process began.
    orders: u64,
    /// The answer to the newest of them, before any fault changed it.
    last_answer: Option<Answer>,
    numbers: Numbers,
    slippage: Decimal,
    chance: fastrand::Rng,
}

impl Core {
    /// A gateway that continues where `book` and `numbers` left off. `slippage` is the most that a fill may lie against the
    /// trader, in price units.
    #[must_use]
    pub fn new(
        market: Market,
        book: Book,
        numbers: Numbers,
        faults: Vec<FaultRule<Fault>>,
        slippage: Decimal,
        chance: fastrand::Rng,
    ) -> Self {
        Self {
            market,
            book,
            memory: IdMemory::default(),
            faults,
            traps: Vec::new(),
            advisor: None,
            orders: 0,
            last_answer: None,
            numbers,
            slippage,
            chance,
        }
    }

    /// What it does in every message.
    #[must_use]
    pub fn playing(mut self, traps: Vec<Trap>, advisor: Option<Advisor>) -> Self {
        let chart = self.market.first_symbol().unwrap_or_default().to_owned();
        self.traps = traps;
        self.advisor = advisor.map(|advisor| (advisor, chart));
        self
    }

    #[must_use]
    pub const fn book(&self) -> &Book {
        &self.book
    }

    pub fn receive(&mut self, raw: &[u8], now: Now) -> Arrival {
        let parsed = match &self.advisor {
            Some((advisor, chart)) => advisor.parse(raw, chart),
            None => parse(raw),
        };
        let fault = if parsed.is_order() { self.next_fault() } else { None };
        let seq = self.numbers.seq;
        self.numbers.seq += 1;
        Arrival { seq, parsed, fault, now }
    }

    /// Processes a message that was received. `now` is later than its arrival when it had to wait; where it is earlier, by a
    /// clock that was set back, the time of its arrival counts.
    pub fn process(&mut self, arrival: Arrival, now: Now) -> Outcome {
        let Arrival { seq, parsed, fault, now: arrived } = arrival;
        let now = &now.not_before(&arrived);
        let market_ms = match &parsed.request {
            Ok(Request::Order(order)) => arrived.market_ms(&order.symbol),
            Ok(Request::Close(id)) => self.book.position(*id).and_then(|position| arrived.market_ms(&position.symbol)),
            _ => None,
        };
        let mut outcome = Outcome {
            seq,
            arrived_ms: arrived.wall_ms,
            market_ms,
            parsed,
            fault,
            answer: None,
            order: None,
            changes: Vec::new(),
            reply: Vec::new(),
            steps: steps(fault),
        };
        if matches!(outcome.parsed.request, Ok(Request::Close(_))) && self.is_trapped(Trap::LostClose) {
            outcome.steps = steps(Some(Fault::LostReply));
        }
        if fault == Some(Fault::DieBefore) {
            return outcome;
        }
        let now_ms = now.wall_ms;
        let answer = self.answer(&mut outcome, now);
        let said = self.said(&outcome, &answer);
        let before = self.last_answer.as_ref().unwrap_or(&said);
        let advisor = self.advisor.as_ref().map(|(advisor, _)| *advisor);
        let id = outcome.parsed.req_id.as_deref();
        outcome.reply = match fault {
            Some(Fault::Garbage) => GARBAGE.to_vec(),
            Some(Fault::StrangerId) => render(&outcome.parsed, advisor, Some(FOREIGN_ID), now_ms, &said),
            Some(Fault::PreviousReply) => render(&outcome.parsed, advisor, id, now_ms, before),
            Some(Fault::ReusedTicket) => {
                render(&outcome.parsed, advisor, id, now_ms, &said.clone().with_ticket(before.ticket()))
            }
            _ => render(&outcome.parsed, advisor, id, now_ms, &said),
        };
        if outcome.parsed.is_order() {
            self.last_answer = Some(answer.clone());
        }
        outcome.answer = Some(answer);
        if matches!(fault, Some(Fault::Away(_))) {
            self.memory.forget_all();
        }
        outcome
    }

    fn next_fault(&mut self) -> Option<Fault> {
        self.orders += 1;
        FaultRule::decide(&self.faults, self.orders).copied()
    }

    fn is_trapped(&self, trap: Trap) -> bool {
        self.traps.contains(&trap)
    }

    /// What it says instead of the truth.
    fn said(&self, outcome: &Outcome, answer: &Answer) -> Answer {
        match answer {
            Answer::Refused(error)
                if error.code > 0 && outcome.parsed.is_order() && self.is_trapped(Trap::HidesRefusals) =>
            {
                let (symbol, volume, price) = (String::new(), Decimal::ZERO, Decimal::ZERO);
                Answer::Filled { ticket: 0, symbol, volume, price, partial: false }
            }
            Answer::Positions(_) if self.is_trapped(Trap::Blind) => Answer::Positions(Vec::new()),
            Answer::Account(_) if self.is_trapped(Trap::Blind) => Answer::Failed("not connected to the terminal"),
            Answer::Account(account) if self.is_trapped(Trap::Constants) => Answer::ConstantAccount(account.clone()),
            truth => truth.clone(),
        }
    }

    fn answer(&mut self, outcome: &mut Outcome, now: &Now) -> Answer {
        // Before anything else is looked at: that is what makes an unknown action a safe question.
        if outcome.parsed.dialect == Dialect::OrderSend
            && let Some(id) = &outcome.parsed.req_id
            && let Some(ticket) = self.memory.ticket(id, now.wall_ms)
        {
            return Answer::Cached(ticket);
        }
        let request = match outcome.parsed.request.clone() {
            Ok(ask) => ask,
            Err(error) => return Answer::Refused(error),
        };
        // A heartbeat changes nothing.
        if !matches!(request, Request::Heartbeat | Request::Connection) {
            self.book.advance(&self.market, now, &mut outcome.changes);
        }
        match request {
            Request::Order(order) => self.order(outcome, order, now),
            Request::Close(_) if self.is_trapped(Trap::CannotClose) => {
                Answer::Failed("module 'MetaTrader5' has no attribute 'Close'")
            }
            Request::Close(ticket) => self.close(outcome, ticket, now),
            Request::Quote(symbol) => {
                let quote = now.market_ms(&symbol).and_then(|at_ms| self.market.quote(&symbol, at_ms));
                quote.map_or_else(|| Answer::Refused(RequestError::new(codes::PARSE, "No tick")), Answer::Quote)
            }
            Request::KillSwitch => {
                let open: Vec<i64> = self.book.open().map(|position| position.id).collect();
                if self.is_trapped(Trap::CannotClose) {
                    return Answer::Closed(open);
                }
                open.iter().for_each(|id| self.close_at_market(*id, now, "kill-switch", &mut outcome.changes));
                Answer::Closed(open)
            }
            Request::Account => Answer::Account(self.account(now)),
            Request::Positions => {
                Answer::Positions(self.book.open().map(|position| self.view(position, now)).collect())
            }
            Request::Heartbeat | Request::Connection => Answer::Alive,
        }
    }

    fn order(&mut self, outcome: &mut Outcome, order: Order, now: &Now) -> Answer {
        if self.is_trapped(Trap::Stub) {
            let Order { symbol, volume, .. } = order;
            return Answer::Filled { ticket: STUB_TICKET, symbol, volume, price: Decimal::ONE, partial: false };
        }
        if let Some(Fault::Refuse(code)) = outcome.fault {
            return Answer::Refused(RequestError::new(code, codes::text(code)));
        }
        let (at_ms, quote) = match self.admit(&order, now) {
            Ok(admitted) => admitted,
            Err(error) => return Answer::Refused(error),
        };
        let ticket = self.numbers.ticket;
        self.numbers.ticket += 1;
        let mut row =
            OrderRow { ticket, order, filled: Decimal::ZERO, price: None, state: OrderState::Placed, market_ms: at_ms };
        if outcome.fault == Some(Fault::Placed) {
            outcome.order = Some(row);
            return Answer::Placed(ticket);
        }
        (row.filled, row.state) = filled(row.order.volume, outcome.fault);
        let partial = row.state == OrderState::Partial;
        let price = self.slipped(&row.order, quote);
        row.price = Some(price);
        let deal = Deal { ticket, order: &row.order, filled: row.filled, price, at_ms };
        self.book.trade(&deal, &mut outcome.changes);
        if let (Dialect::OrderSend, false, Some(id)) = (outcome.parsed.dialect, partial, &outcome.parsed.req_id) {
            self.memory.remember(id, ticket, now.wall_ms);
        }
        let answer = Answer::Filled { ticket, symbol: row.order.symbol.clone(), volume: row.filled, price, partial };
        outcome.order = Some(row);
        answer
    }

    /// Whether the terminal accepts the order, and if so at which market time and quote.
    fn admit(&self, order: &Order, now: &Now) -> Result<(i64, Quote), RequestError> {
        let refused = |code: i64, why: &str| RequestError::new(code, format!("{}: {why}", codes::text(code)));
        let Some(at_ms) = now.market_ms(&order.symbol) else {
            return Err(refused(codes::NO_QUOTES, "its replay has not begun"));
        };
        let Some(quote) = self.market.quote(&order.symbol, at_ms) else {
            return Err(refused(codes::INVALID, "the symbol is not known here"));
        };
        // Levels are judged by the price at which the position would be closed.
        let exit = quote.of(order.side.opposite());
        let (below, above) = match order.side {
            Side::Buy => (order.sl, order.tp),
            Side::Sell => (order.tp, order.sl),
        };
        if below.is_some_and(|level| level >= exit) || above.is_some_and(|level| level <= exit) {
            return Err(refused(codes::INVALID_STOPS, "a level lies on the wrong side of the market"));
        }
        if order.volume <= Decimal::ZERO {
            return Err(refused(codes::INVALID_VOLUME, "an order needs a volume"));
        }
        if self.book.is_full() {
            return Err(RequestError::new(codes::POSITION_LIMIT, codes::text(codes::POSITION_LIMIT)));
        }
        Ok((at_ms, quote))
    }

    /// A fill at the quote or up to the slippage worse, in whole steps of the symbol's last digit.
    fn slipped(&mut self, order: &Order, quote: Quote) -> Decimal {
        let step = Decimal::new(1, digits(&order.symbol));
        let steps_max = (self.slippage / step).to_u32().unwrap_or(0);
        let slip = step * Decimal::from(self.chance.u32(0..=steps_max));
        match order.side {
            Side::Buy => quote.ask + slip,
            Side::Sell => quote.bid - slip,
        }
    }

    /// Closes by ticket; to the market that is an order, with a ticket of its own.
    fn close(&mut self, outcome: &mut Outcome, id: i64, now: &Now) -> Answer {
        if let Some(Fault::Refuse(code)) = outcome.fault {
            return Answer::Refused(RequestError::new(code, codes::text(code)));
        }
        let Some(position) = self.book.position(id) else {
            return Answer::Refused(RequestError::new(codes::POSITION_CLOSED, codes::text(codes::POSITION_CLOSED)));
        };
        let (symbol, side, volume) = (position.symbol.clone(), position.side.opposite(), position.volume);
        let quoted = now.market_ms(&symbol).and_then(|at_ms| Some((at_ms, self.market.quote(&symbol, at_ms)?)));
        let Some((at_ms, quote)) = quoted else {
            return Answer::Refused(RequestError::new(codes::NO_QUOTES, codes::text(codes::NO_QUOTES)));
        };
        let ticket = self.numbers.ticket;
        self.numbers.ticket += 1;
        let price = quote.of(side);
        if self.is_trapped(Trap::SaysClosed) {
            return Answer::Filled { ticket, symbol, volume, price, partial: false };
        }
        let order =
            Order { symbol: symbol.clone(), side, volume, sl: None, tp: None, magic: 0, comment: String::new() };
        let mut row =
            OrderRow { ticket, order, filled: Decimal::ZERO, price: None, state: OrderState::Placed, market_ms: at_ms };
        if outcome.fault == Some(Fault::Placed) {
            outcome.order = Some(row);
            return Answer::Placed(ticket);
        }
        (row.filled, row.state) = filled(volume, outcome.fault);
        row.price = Some(price);
        self.book.close_lots(id, row.filled, Closing { at_ms, price, reason: "close" }, &mut outcome.changes);
        let (volume, partial) = (row.filled, row.state == OrderState::Partial);
        outcome.order = Some(row);
        Answer::Filled { ticket, symbol, volume, price, partial }
    }

    fn close_at_market(&mut self, id: i64, now: &Now, reason: &'static str, changes: &mut Vec<Change>) {
        let Some(position) = self.book.position(id) else { return };
        // A ledger may hold positions of a symbol that this run has no prices for; they end where they began.
        let price = self.exit_price(&position.symbol, position.side, now).unwrap_or(position.open_price);
        let at_ms = now.market_ms(&position.symbol).unwrap_or(position.seen_ms);
        self.book.close(id, Closing { at_ms, price, reason }, changes);
    }

    fn exit_price(&self, symbol: &str, side: Side, now: &Now) -> Option<Decimal> {
        self.market.quote(symbol, now.market_ms(symbol)?).map(|quote| quote.of(side.opposite()))
    }

    fn view(&self, position: &Position, now: &Now) -> PositionView {
        let current_price = self.exit_price(&position.symbol, position.side, now).unwrap_or(position.open_price);
        PositionView {
            ticket: position.id,
            symbol: position.symbol.clone(),
            side: position.side,
            volume: position.volume,
            open_price: position.open_price,
            current_price,
            profit: self.book.floating(position, current_price).round_dp(2),
        }
    }

    fn account(&self, now: &Now) -> AccountView {
        let balance = self.book.balance();
        let floating: Decimal = self.book.open().map(|position| self.view(position, now).profit).sum();
        let size = self.book.contract_size();
        let value = |position: &Position| position.volume * size * position.open_price;
        let used_margin = (self.book.open().map(value).sum::<Decimal>() / LEVERAGE).round_dp(2);
        AccountView { balance: balance.round_dp(2), equity: (balance + floating).round_dp(2), used_margin }
    }
}

/// What of an order is filled.
fn filled(volume: Decimal, fault: Option<Fault>) -> (Decimal, OrderState) {
    let lots = if fault == Some(Fault::Partial) { half(volume) } else { volume };
    (lots, if lots < volume { OrderState::Partial } else { OrderState::Filled })
}

/// Half of a volume in whole hundredths of a lot; the smallest volume has no half and is filled whole.
fn half(volume: Decimal) -> Decimal {
    let half = (volume / Decimal::TWO).round_dp_with_strategy(2, RoundingStrategy::ToZero);
    if half.is_zero() { volume } else { half.normalize() }
}
