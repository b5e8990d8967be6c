//! The paper book of a backtest: the dry run's market in memory, with nothing durable and nobody to wait for.
//!
//! What decides is shared with the book on the disk: prices, refusals, exits, what an account has, what came true. What has
//! ended is handed out once and then forgotten, so that the memory of a long backtest does not grow with its trades.

use std::collections::VecDeque;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::account_risk::AccountReading;
use sentinel_actors::domain::action::{Action, Forecast};
use sentinel_actors::domain::bar::CleanBars;
use sentinel_actors::domain::intent::{Intent, IntentKey, Mode};
use sentinel_actors::domain::order::{Order, Position, Role, Ticket};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{
    BarObserver, Evidence, MayLeave, PortFuture, PositionBook, Positions, Sink, Submission, VenueError,
};

use super::book::{BookError, Priced};
use super::book_reader::{BookPosition, Closing};
use super::exits::{CloseReason, Exit, Levels, Terms, decimal, first_exit};
use super::fills::{Refusal, close_price, fill, open_price};
use super::forecasts::{BookForecast, inclusion, log_return};
use super::paper::money;

/// Orders of one pipeline that is alone on its account.
pub struct MemoryVenue {
    terms: Arc<Terms>,
    state: Mutex<Account>,
}

#[derive(Default)]
struct Account {
    /// In the order of their tickets.
    open: Vec<BookPosition>,
    /// Closed, and not yet handed out.
    ended: Vec<BookPosition>,
    tickets: u64,
    earned: Decimal,
    /// The newest close.
    mid: Option<Decimal>,
}

impl MemoryVenue {
    /// With nothing open.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self { terms: Arc::new(terms), state: Mutex::default() }
    }

    /// The positions that have ended since the last call, in the order of their ends.
    #[must_use]
    pub fn take_ended(&self) -> Vec<BookPosition> {
        take(&mut self.lock().ended)
    }

    /// What is open now.
    #[must_use]
    pub fn open(&self) -> Vec<BookPosition> {
        self.lock().open.clone()
    }

    #[must_use]
    pub fn open_count(&self) -> usize {
        self.lock().open.len()
    }

    /// What the open positions would earn if they were closed at the newest price; `None`: the number does not fit.
    #[must_use]
    pub fn unrealised(&self) -> Option<Decimal> {
        let state = self.lock();
        let Some(mid) = state.mid else { return Some(Decimal::ZERO) };
        state
            .open
            .iter()
            .try_fold(Decimal::ZERO, |sum, position| sum.checked_add(self.terms.worth(&as_position(position), mid)?))
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry_out(&self, key: &IntentKey, order: &Order, now: UtcMs) -> Result<Submission, BookError> {
        let mut state = self.lock();
        match order.role {
            Role::Open => Ok(match open_price(order, &self.terms) {
                Ok(price) => {
                    state.tickets += 1;
                    let ticket = Ticket(state.tickets);
                    state.open.push(self.opened(key, order, (ticket, price), now));
                    Submission::Acked(fill("open", order, ticket, price).into())
                }
                Err(refusal) => refusal.into(),
            }),
            Role::Close(ticket) => {
                let Some(position) = state.open.iter().find(|open| open.ticket == ticket).map(as_position) else {
                    return Ok(Refusal::NotOpen.into());
                };
                let price = match close_price(&position, order, &self.terms) {
                    Ok(price) => price,
                    Err(refusal) => return Ok(refusal.into()),
                };
                let exit = Exit { reason: CloseReason::Order, price, at: now };
                let closing = self.closing(&position, exit, Some(key))?;
                state.end(ticket, closing)?;
                Ok(Submission::Acked(fill("close", order, ticket, price).into()))
            }
        }
    }

    fn opened(&self, key: &IntentKey, order: &Order, of: (Ticket, Decimal), now: UtcMs) -> BookPosition {
        BookPosition {
            ticket: of.0,
            account: self.terms.account.clone(),
            symbol: order.symbol.clone(),
            side: order.side,
            volume_lots: order.volume_lots,
            open_price: of.1,
            stop: order.stop_price,
            target: order.target_price,
            opened_at: now,
            open_key: key.clone(),
            closing: None,
        }
    }

    fn closing(&self, position: &Position, exit: Exit, key: Option<&IntentKey>) -> Result<Closing, BookError> {
        let profit = self.terms.profit(position.side, position.open_price, exit.price, position.volume_lots);
        let profit = profit.ok_or(BookError::Overflow(position.ticket))?;
        Ok(Closing { at: exit.at, price: exit.price, reason: exit.reason, key: key.cloned(), profit })
    }

    /// Ends what bars stop out or bring home: all of it, or nothing.
    fn show(&self, bars: &CleanBars) -> Result<(), BookError> {
        let mut state = self.lock();
        if let Some(mid) = bars.newest().and_then(|newest| decimal(newest.close)) {
            state.mid = Some(mid);
        }
        let mut ends = Vec::new();
        for open in &state.open {
            let levels = Levels {
                side: open.side,
                stop: open.stop,
                target: open.target,
                exposed_from: self.terms.exposed_from(open.opened_at),
            };
            if let Some(exit) = first_exit(&levels, &bars.bars, &self.terms) {
                ends.push((open.ticket, self.closing(&as_position(open), exit, None)?));
            }
        }
        ends.into_iter().try_for_each(|(ticket, closing)| state.end(ticket, closing))
    }
}

impl Account {
    fn end(&mut self, ticket: Ticket, closing: Closing) -> Result<(), BookError> {
        let Some(at) = self.open.iter().position(|open| open.ticket == ticket) else { return Ok(()) };
        self.earned = self.earned.checked_add(closing.profit).ok_or(BookError::Overflow(ticket))?;
        let open = self.open.remove(at);
        self.ended.push(BookPosition { closing: Some(closing), ..open });
        Ok(())
    }
}

fn as_position(open: &BookPosition) -> Position {
    Position {
        ticket: open.ticket,
        symbol: open.symbol.clone(),
        side: open.side,
        volume_lots: open.volume_lots,
        open_price: open.open_price,
        opened_at: Some(open.opened_at),
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> PortFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Sink for MemoryVenue {
    fn mode(&self) -> Mode {
        Mode::DryRun
    }

    fn account(&self) -> &str {
        &self.terms.account
    }

    fn submit<'a>(&'a self, intent: &'a Intent, _: Duration, _: MayLeave<'a>) -> PortFuture<'a, Submission> {
        let Action::Order(order) = &intent.action else {
            return ready(Submission::NeverLeft("the paper book takes orders only".to_owned()));
        };
        let answer = self.carry_out(&intent.key, order, intent.slot);
        ready(answer.unwrap_or_else(|error| Submission::Unknown(chain(&error))))
    }

    /// Asked only about what could not be carried out: every other order has its answer at once.
    fn settle<'a>(&'a self, _: &'a Intent, _: Duration) -> PortFuture<'a, Evidence> {
        ready(Evidence::Absent("the paper book has no order with this key".to_owned()))
    }
}

impl BarObserver for MemoryVenue {
    fn observe<'a>(&'a self, _: &'a str, bars: &'a CleanBars) -> PortFuture<'a, Result<(), VenueError>> {
        ready(self.show(bars).map_err(|error| VenueError(chain(&error))))
    }
}

impl PositionBook for MemoryVenue {
    fn positions<'a>(&'a self, _: &'a str, _: UtcMs, _: Duration) -> PortFuture<'a, Result<Positions, VenueError>> {
        ready(Ok(Positions::Reported(self.lock().open.iter().map(as_position).collect())))
    }

    fn tells_account(&self) -> bool {
        true
    }

    fn account_reading(&self, _: UtcMs, _: Duration) -> PortFuture<'_, Result<Option<AccountReading>, VenueError>> {
        let state = self.lock();
        let open: Vec<Position> = state.open.iter().map(as_position).collect();
        let price = |_: &str| state.mid.map(|mid| Priced { mid, terms: self.terms.clone() });
        ready(money(&self.terms, state.earned, &open, price).map(Some))
    }
}

/// Forecasts of one pipeline.
pub struct MemoryForecasts {
    account: String,
    state: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    number: i64,
    /// Those whose horizon is not over, oldest first.
    waiting: VecDeque<BookForecast>,
    /// Those that were compared, or never will be, and are not yet handed out.
    ended: Vec<BookForecast>,
}

impl MemoryForecasts {
    #[must_use]
    pub fn new(account: &str) -> Self {
        Self { account: account.to_owned(), state: Mutex::default() }
    }

    /// The forecasts that were compared since the last call, or whose last bar has passed without being there.
    #[must_use]
    pub fn take_ended(&self) -> Vec<BookForecast> {
        take(&mut self.lock().ended)
    }

    /// Those whose horizon is not over.
    #[must_use]
    pub fn take_waiting(&self) -> Vec<BookForecast> {
        take(&mut self.lock().waiting).into()
    }

    fn lock(&self) -> MutexGuard<'_, Made> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn include(&self, key: &IntentKey, forecast: &Forecast, now: UtcMs) -> Submission {
        let mut state = self.lock();
        state.number += 1;
        state.waiting.push_back(BookForecast {
            key: key.clone(),
            account: self.account.clone(),
            forecast: forecast.clone(),
            at: now,
            came_true: None,
        });
        Submission::Acked(inclusion(key, state.number).into())
    }
}

impl Made {
    /// Windows move on: a bar that is older than the oldest one of a window is in no later window.
    fn compare(&mut self, bars: &CleanBars) {
        let (Some(oldest), Some(newest)) = (bars.bars.first(), bars.newest()) else { return };
        let due = |made: &BookForecast| made.forecast.reference_time.plus(made.forecast.horizon());
        let over = self.waiting.partition_point(|made| due(made) <= newest.time);
        let mut still_waiting = Vec::new();
        for made in self.waiting.drain(..over) {
            let due = due(&made);
            let found = bars.bars.binary_search_by_key(&due, |bar| bar.time).ok().and_then(|at| bars.bars.get(at));
            let came_true = found.and_then(|bar| log_return(made.forecast.reference_price, bar.close));
            if came_true.is_some() || due < oldest.time {
                self.ended.push(BookForecast { came_true, ..made });
            } else {
                still_waiting.push(made);
            }
        }
        still_waiting.into_iter().rev().for_each(|made| self.waiting.push_front(made));
    }
}

impl Sink for MemoryForecasts {
    fn mode(&self) -> Mode {
        Mode::DryRun
    }

    fn account(&self) -> &str {
        &self.account
    }

    fn submit<'a>(&'a self, intent: &'a Intent, _: Duration, _: MayLeave<'a>) -> PortFuture<'a, Submission> {
        ready(match &intent.action {
            Action::Forecast(forecast) => self.include(&intent.key, forecast, intent.slot),
            Action::Order(_) => Submission::NeverLeft("it takes forecasts only".to_owned()),
        })
    }

    /// Every forecast has its answer at once.
    fn settle<'a>(&'a self, _: &'a Intent, _: Duration) -> PortFuture<'a, Evidence> {
        ready(Evidence::Absent("the paper book has no forecast with this key".to_owned()))
    }
}

impl BarObserver for MemoryForecasts {
    fn observe<'a>(&'a self, _: &'a str, bars: &'a CleanBars) -> PortFuture<'a, Result<(), VenueError>> {
        self.lock().compare(bars);
        ready(Ok(()))
    }
}
