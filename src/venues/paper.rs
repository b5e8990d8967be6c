//! The dry run's venue: fills every order at once around the reference price, in a durable book of its own.
//!
//! It promises no more than a broker does. A key that comes a second time is refused and counted, not answered with the
//! first receipt, because a broker would fill it again; so a double order shows here before it costs money. Asking about a
//! key is without effect and definitive.

use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::account_risk::AccountReading;
use sentinel_actors::domain::action::Action;
use sentinel_actors::domain::bar::CleanBars;
use sentinel_actors::domain::intent::{Intent, Mode};
use sentinel_actors::domain::order::{Position, Ticket};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{
    BarObserver, Evidence, FaultInjector, FaultPoint, MayLeave, PortFuture, PositionBook, Positions, Sink, Submission,
    VenueError, inject_fault,
};

use super::book::{Book, BookError, Holding, Priced};
pub use super::exits::{CloseReason, Terms};
use super::exits::{decimal, first_exit};
pub use super::fills::{CODE_DOUBLE_SUBMIT, CODE_INVALID, CODE_NOT_OPEN};
use super::ledger::{BookRequest, Ledger, OpenPosition};

/// Applying bars is not an order and has no deadline of its own; this keeps it from waiting without end.
const OBSERVE_DEADLINE: Duration = Duration::from_secs(5);

/// One pipeline's view of the paper book.
pub struct PaperVenue {
    book: Book,
    terms: Arc<Terms>,
    faults: Arc<dyn FaultInjector>,
    /// The child's path that faults know it by, for example `eurusd/executor`.
    who: String,
}

impl PaperVenue {
    /// A venue on `book`.
    #[must_use]
    pub fn new(book: Book, terms: Terms, faults: Arc<dyn FaultInjector>, who: &str) -> Self {
        Self { book, terms: Arc::new(terms), faults, who: who.to_owned() }
    }

    /// Positions of other symbols count too, at the price that their pipelines have seen.
    fn money(&self, earned: Decimal, open: &[Position]) -> Result<AccountReading, VenueError> {
        money(&self.terms, earned, open, |symbol| self.book.price(&self.holding(symbol)))
    }

    fn holding(&self, symbol: &str) -> Holding {
        Holding { account: self.terms.account.clone(), symbol: symbol.to_owned() }
    }
}

/// What an account has that has `earned` so much, with the positions that are open, each at the newest price of its symbol.
pub(super) fn money(
    terms: &Terms,
    earned: Decimal,
    open: &[Position],
    price: impl Fn(&str) -> Option<Priced>,
) -> Result<AccountReading, VenueError> {
    let too_large = || VenueError("what the account has does not fit a decimal".to_owned());
    let balance = terms.balance.checked_add(earned).ok_or_else(too_large)?;
    let mut equity = balance;
    for position in open {
        let symbol = &position.symbol;
        let Priced { mid, terms } = price(symbol).ok_or_else(|| {
            VenueError(format!("no price of {symbol}, which is open on the account, was seen since the start"))
        })?;
        let worth = terms.worth(position, mid).and_then(|worth| equity.checked_add(worth));
        equity = worth.ok_or_else(too_large)?;
    }
    let mut open: Vec<Ticket> = open.iter().map(|position| position.ticket).collect();
    open.sort_unstable();
    Ok(AccountReading { balance: balance.normalize(), equity: equity.normalize(), open })
}

impl Sink for PaperVenue {
    fn mode(&self) -> Mode {
        Mode::DryRun
    }

    fn account(&self) -> &str {
        &self.terms.account
    }

    fn submit<'a>(&'a self, intent: &'a Intent, deadline: Duration, _: MayLeave<'a>) -> PortFuture<'a, Submission> {
        let Action::Order(order) = &intent.action else {
            return Box::pin(std::future::ready(Submission::NeverLeft("the paper book takes orders only".to_owned())));
        };
        Box::pin(async move {
            let (key, order, terms) = (intent.key.clone(), order.clone(), self.terms.clone());
            let now = intent.slot;
            inject_fault(&*self.faults, FaultPoint::BeforeBookWrite, &self.who).await;
            let answer = self
                .book
                .write(deadline, Some(self.holding(&order.symbol)), move |ledger| {
                    ledger.submit(&BookRequest { key: &key, order: &order, terms: &terms, now })
                })
                .await;
            inject_fault(&*self.faults, FaultPoint::AfterBookWrite, &self.who).await;
            match answer {
                Ok(submission) => submission,
                Err(error @ BookError::Busy) => Submission::NeverLeft(error.to_string()),
                Err(error) => Submission::Unknown(chain(&error)),
            }
        })
    }

    fn settle<'a>(&'a self, intent: &'a Intent, deadline: Duration) -> PortFuture<'a, Evidence> {
        Box::pin(async move {
            let key = intent.key.clone();
            match self.book.read(deadline, move |ledger| ledger.find(&key)).await {
                Ok(Some(fill)) => Evidence::Found(fill.into()),
                Ok(None) => Evidence::Absent("the paper book has no order with this key".to_owned()),
                Err(error) => Evidence::NotNow(chain(&error)),
            }
        })
    }
}

impl PositionBook for PaperVenue {
    fn positions<'a>(
        &'a self,
        symbol: &'a str,
        slot: UtcMs,
        deadline: Duration,
    ) -> PortFuture<'a, Result<Positions, VenueError>> {
        Box::pin(async move {
            let holding = self.holding(symbol);
            let open = match self.book.known_open_at(&holding, slot) {
                Some(open) => open,
                None => {
                    let answer = self.book.read(deadline, move |ledger| ledger.open_at(&holding, slot)).await;
                    answer.map_err(|error| VenueError(chain(&error)))?.into()
                }
            };
            let ours = open.iter().map(|open| open.position.clone());
            Ok(Positions::Reported(ours.collect()))
        })
    }

    fn tells_account(&self) -> bool {
        true
    }

    fn account_reading(
        &self,
        slot: UtcMs,
        deadline: Duration,
    ) -> PortFuture<'_, Result<Option<AccountReading>, VenueError>> {
        Box::pin(async move {
            let account = self.terms.account.clone();
            let answer = self.book.read(deadline, move |ledger| ledger.account_at(&account, slot)).await;
            let (earned, open) = answer.map_err(|error| VenueError(chain(&error)))?;
            self.money(earned, &open).map(Some)
        })
    }
}

impl BarObserver for PaperVenue {
    fn observe<'a>(&'a self, symbol: &'a str, bars: &'a CleanBars) -> PortFuture<'a, Result<(), VenueError>> {
        Box::pin(async move {
            let no_exit = |open: &OpenPosition| first_exit(&open.levels, &bars.bars, &self.terms).is_none();
            let holding = self.holding(symbol);
            if let Some(mid) = bars.newest().and_then(|newest| decimal(newest.close)) {
                self.book.show_price(holding.clone(), Priced { mid, terms: self.terms.clone() });
            }
            if let Some(open) = self.book.known_open(&holding)
                && open.iter().all(no_exit)
            {
                return Ok(()); // most bars end nothing, and then the disk need not be asked
            }
            let (terms, symbol, bars) = (self.terms.clone(), symbol.to_owned(), bars.bars.clone());
            let observe = move |ledger: &mut Ledger| ledger.observe(&symbol, &bars, &terms);
            let answer = self.book.write(OBSERVE_DEADLINE, Some(holding), observe).await;
            let ended = answer.map_err(|error| VenueError(chain(&error)))?;
            if ended > 0 {
                inject_fault(&*self.faults, FaultPoint::AfterBookWrite, &self.who).await;
            }
            Ok(())
        })
    }
}
