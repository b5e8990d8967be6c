//! What a venue beside a state directory has on record: the ledger of a paper gateway, or the paper book of a dry run.

use std::path::{Path, PathBuf};

use rust_decimal::Decimal;
use sentinel_actors::domain::intent::{Intent, IntentKey, Mode};
use sentinel_actors::domain::time::UtcMs;
use serde::Serialize;

use super::ProofError;
use super::ledger::{Ledger, Realised};
use crate::venues::book::BOOK_FILE;
use crate::venues::book_reader::{BookPosition, BookReader, Closing};
use crate::venues::forecasts::BookForecast;

/// The gateway's ledger in a state directory; only the demo puts one there.
pub const LEDGER_FILE: &str = "gateway.db";
/// The kind of the paper book where it holds forecasts.
pub const FORECASTS: &str = "paper book of forecasts";

/// What the record of a gateway is called.
pub const LEDGER: &str = "ledger";

/// An order that a venue filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    pub ticket: u64,
    /// How the venue names it: its comment, which carries the beginning of the intent's key, where there is none the id of its
    /// request or its ticket, or in a paper book the key.
    pub comment: String,
    pub symbol: String,
    /// `buy` or `sell`.
    pub side: String,
    /// What was ordered, in lots.
    pub ordered_lots: Decimal,
    /// What of it was filled, in lots.
    pub lots: Decimal,
}

/// A position that is open at a venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenPosition {
    pub ticket: u64,
    pub symbol: String,
    /// `buy` or `sell`.
    pub side: String,
    /// Volume in lots.
    pub volume_lots: Decimal,
    pub open_price: Decimal,
    /// When it was opened, in the market's time.
    #[serde(serialize_with = "as_text")]
    pub opened_at: UtcMs,
}

impl OpenPosition {
    /// Lots; those of a short position are negative.
    #[must_use]
    pub fn signed_lots(&self) -> Decimal {
        if self.side == "buy" { self.volume_lots } else { -self.volume_lots }
    }
}

/// A position that was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedPosition {
    pub ticket: u64,
    pub symbol: String,
    /// `buy` or `sell`.
    pub side: String,
    /// Volume in lots that was closed last.
    pub volume_lots: Decimal,
    pub open_price: Decimal,
    /// In the market's time.
    pub opened_at: UtcMs,
    pub close_price: Decimal,
    /// In the market's time.
    pub closed_at: UtcMs,
    /// As the venue says it.
    pub reason: String,
    /// In quote currency.
    pub profit: Decimal,
    /// The intent that opened it, where the record says so; else its ticket leads to it.
    pub opened_by: Option<IntentKey>,
}

pub(in crate::cli) fn as_text<S: serde::Serializer>(time: &UtcMs, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(time)
}

/// One venue's own record, read-only.
pub struct Venue {
    file: PathBuf,
    record: Record,
}

enum Record {
    Ledger(Ledger),
    Book(BookReader),
}

impl Venue {
    /// Every record beside the journal in `dir`, and the one of `ledger`.
    ///
    /// # Errors
    /// When one is there and cannot be opened.
    pub fn all(dir: &Path, ledger: Option<&Path>) -> Result<Vec<Self>, ProofError> {
        let mut venues = Vec::new();
        let beside = dir.join(LEDGER_FILE);
        for file in ledger.map(Path::to_owned).into_iter().chain(beside.exists().then_some(beside)) {
            let record = Record::Ledger(Ledger::open(&file)?);
            venues.push(Self { file, record });
        }
        let book = dir.join(BOOK_FILE);
        if book.exists() {
            let record = Record::Book(BookReader::open(&book)?);
            venues.push(Self { file: book, record });
        }
        Ok(venues)
    }

    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What kind of record it is.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.record {
            Record::Ledger(_) => LEDGER,
            Record::Book(_) => "paper book",
        }
    }

    /// Which intents have their orders here.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        match self.record {
            Record::Ledger(_) => Mode::Live,
            Record::Book(_) => Mode::DryRun,
        }
    }

    /// How this venue names the order of an intent; at a gateway the comment is `sn:` and 20 characters of the key.
    pub(super) fn name(&self, intent: &Intent) -> String {
        let key = intent.key.as_str();
        match self.record {
            Record::Ledger(_) => key.get(..20).map_or_else(String::new, |short| format!("sn:{short}")),
            Record::Book(_) => key.to_owned(),
        }
    }

    /// Every order that was filled, oldest first.
    pub(super) fn filled(&self) -> Result<Vec<Filled>, ProofError> {
        match &self.record {
            Record::Ledger(ledger) => Ok(ledger.filled()?),
            Record::Book(book) => {
                let filled = |order: crate::venues::book_reader::BookOrder| Filled {
                    ticket: order.ticket.0,
                    comment: order.key.to_string(),
                    symbol: order.symbol,
                    side: order.side.code().to_owned(),
                    ordered_lots: order.volume_lots,
                    lots: order.volume_lots,
                };
                Ok(book.orders()?.into_iter().map(filled).collect())
            }
        }
    }

    /// Every forecast that was taken up, oldest first.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn forecasts(&self) -> Result<Vec<BookForecast>, ProofError> {
        match &self.record {
            Record::Ledger(_) => Ok(Vec::new()),
            Record::Book(book) => Ok(book.forecasts()?),
        }
    }

    /// Visits the forecasts that were taken up from `from` on and before `to`, oldest first.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn each_forecast(&self, range: (UtcMs, UtcMs), visit: impl FnMut(BookForecast)) -> Result<(), ProofError> {
        match &self.record {
            Record::Ledger(_) => Ok(()),
            Record::Book(book) => Ok(book.each_forecast(range, visit)?),
        }
    }

    /// Visits the positions that were closed from `from` on and before `to`, in the order of their ends.
    ///
    /// # Errors
    /// When the record cannot be read, or the visitor's own.
    pub fn each_closed<E: From<ProofError>>(
        &self,
        range: (UtcMs, UtcMs),
        mut visit: impl FnMut(ClosedPosition) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut failed = None;
        let mut visit = |position| {
            if failed.is_none() {
                failed = visit(position).err();
            }
        };
        match &self.record {
            Record::Ledger(ledger) => ledger.each_closed(range, &mut visit).map_err(ProofError::from)?,
            Record::Book(book) => {
                let closed = |position: BookPosition, closing: Closing| ClosedPosition {
                    ticket: position.ticket.0,
                    symbol: position.symbol,
                    side: position.side.code().to_owned(),
                    volume_lots: position.volume_lots,
                    open_price: position.open_price,
                    opened_at: position.opened_at,
                    close_price: closing.price,
                    closed_at: closing.at,
                    reason: closing.reason.code().to_owned(),
                    profit: closing.profit,
                    opened_by: Some(position.open_key),
                };
                book.each_closed(range, |position, closing| visit(closed(position, closing)))
                    .map_err(ProofError::from)?;
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Every position that is open, oldest first.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn open_positions(&self) -> Result<Vec<OpenPosition>, ProofError> {
        match &self.record {
            Record::Ledger(ledger) => Ok(ledger.open_positions()?),
            Record::Book(book) => {
                let open = book.positions()?.into_iter().filter(|position| position.closing.is_none());
                let open = open.map(|position| OpenPosition {
                    ticket: position.ticket.0,
                    symbol: position.symbol,
                    side: position.side.code().to_owned(),
                    volume_lots: position.volume_lots,
                    open_price: position.open_price,
                    opened_at: position.opened_at,
                });
                Ok(open.collect())
            }
        }
    }

    /// What positions brought that were closed before `boundary`, and from then on.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn realised(&self, boundary: UtcMs) -> Result<(Realised, Realised), ProofError> {
        match &self.record {
            Record::Ledger(ledger) => Ok(ledger.realised(boundary)?),
            Record::Book(book) => {
                let (mut before, mut after) = (Realised::default(), Realised::default());
                for closing in book.positions()?.into_iter().filter_map(|position| position.closing) {
                    let part = if closing.at < boundary { &mut before } else { &mut after };
                    part.add(closing.profit);
                }
                Ok((before, after))
            }
        }
    }
}
