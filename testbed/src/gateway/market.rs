//! Prices: what a symbol is worth at a moment of the market's own time, and when a bar ends a position. Pure. Bars are mid
//! prices; one buys half a spread above and sells half a spread below.

use std::collections::BTreeMap;
use std::path::Path;

use rust_decimal::{Decimal, RoundingStrategy};

use super::GatewayError;

/// Prices beyond this are mistakes; below it no sum of this module can overflow.
pub const PRICE_MAX: Decimal = Decimal::from_parts(10_000_000, 0, 0, false, 0);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Buys at the ask.
    Buy,
    /// Sells at the bid.
    Sell,
}

impl Side {
    /// The side of the order that closes it.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// `buy` or `sell`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }
}

/// One bar of mid prices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// When it began, in Unix milliseconds.
    pub open_ms: i64,
    pub open: Decimal,
    pub high: Decimal,
    pub low: Decimal,
    pub close: Decimal,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Prices {
    /// One price at all times.
    Fixed(Decimal),
    /// Bars, oldest first.
    Bars {
        /// At least two.
        bars: Vec<Bar>,
        /// The smallest distance between two of them.
        interval_ms: i64,
    },
}

impl Prices {
    /// The close of the last bar in Unix milliseconds; from then on the price does not change.
    #[must_use]
    pub fn end_ms(&self) -> Option<i64> {
        match self {
            Self::Fixed(_) => None,
            Self::Bars { bars, interval_ms } => bars.last().map(|bar| bar.open_ms.saturating_add(*interval_ms)),
        }
    }

    fn mid(&self, at_ms: i64) -> Option<Decimal> {
        match self {
            Self::Fixed(price) => Some(*price),
            Self::Bars { bars, interval_ms } => match closed(bars, *interval_ms, at_ms) {
                0 => bars.first().map(|bar| bar.open),
                count => bars.get(count - 1).map(|bar| bar.close),
            },
        }
    }
}

/// How many bars are closed at that time.
fn closed(bars: &[Bar], interval_ms: i64, at_ms: i64) -> usize {
    bars.partition_point(|bar| bar.open_ms.saturating_add(interval_ms) <= at_ms)
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quote {
    /// The price of a sell.
    pub bid: Decimal,
    /// The price of a buy.
    pub ask: Decimal,
}

impl Quote {
    /// What a trade of this side is filled at.
    #[must_use]
    pub const fn of(&self, side: Side) -> Decimal {
        match side {
            Side::Buy => self.ask,
            Side::Sell => self.bid,
        }
    }
}

/// The levels that end a position, and since when they have been checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExitLevels {
    pub side: Side,
    pub sl: Option<Decimal>,
    pub tp: Option<Decimal>,
    /// Market time up to which they have been checked.
    pub seen_ms: i64,
}

/// An exit that the market forced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exit {
    pub stopped: bool,
    pub price: Decimal,
    /// Close of the bar.
    pub at_ms: i64,
}

#[derive(Debug, Clone)]
pub struct Market {
    symbols: BTreeMap<String, Prices>,
    /// Half of the distance between bid and ask.
    half: Decimal,
}

impl Market {
    #[must_use]
    pub fn new(symbols: BTreeMap<String, Prices>, spread: Decimal) -> Self {
        Self { symbols, half: spread / Decimal::TWO }
    }

    /// Any symbol that is traded here.
    #[must_use]
    pub fn first_symbol(&self) -> Option<&str> {
        self.symbols.keys().next().map(String::as_str)
    }

    /// When the bars of a symbol end, in Unix milliseconds; `None` where none do.
    #[must_use]
    pub fn end_ms(&self, symbol: &str) -> Option<i64> {
        self.symbols.get(symbol)?.end_ms()
    }

    /// The quote of a symbol; `None` for a symbol that is not traded here.
    #[must_use]
    pub fn quote(&self, symbol: &str, at_ms: i64) -> Option<Quote> {
        Some(self.around(symbol, self.symbols.get(symbol)?.mid(at_ms)?))
    }

    fn around(&self, symbol: &str, mid: Decimal) -> Quote {
        Quote { bid: rounded(symbol, mid - self.half), ask: rounded(symbol, mid + self.half) }
    }

    /// The first exit that bars closed until `at_ms` force on a position.
    #[must_use]
    pub fn first_exit(&self, symbol: &str, levels: &ExitLevels, at_ms: i64) -> Option<Exit> {
        let Prices::Bars { bars, interval_ms } = self.symbols.get(symbol)? else { return None };
        let passed = closed(bars, *interval_ms, levels.seen_ms)..closed(bars, *interval_ms, at_ms);
        bars.get(passed)?.iter().find_map(|bar| {
            let (stopped, price) = self.exit_in(symbol, levels, bar)?;
            Some(Exit { stopped, price, at_ms: bar.open_ms.saturating_add(*interval_ms) })
        })
    }

    fn exit_in(&self, symbol: &str, levels: &ExitLevels, bar: &Bar) -> Option<(bool, Decimal)> {
        let price = |mid| self.around(symbol, mid).of(levels.side.opposite());
        let long = levels.side == Side::Buy;
        let lost = |price: Decimal| levels.sl.is_some_and(|sl| if long { price <= sl } else { price >= sl });
        let won = |price: Decimal| levels.tp.is_some_and(|tp| if long { price >= tp } else { price <= tp });
        let (open, low, high) = (price(bar.open), price(bar.low), price(bar.high));
        let (worst, best) = if long { (low, high) } else { (high, low) };
        if lost(open) || won(open) {
            return Some((lost(open), open)); // the market jumped over the level: its first price is the fill
        }
        if lost(worst) {
            return levels.sl.map(|sl| (true, sl)); // both in one bar: the worse one is assumed to have come first
        }
        if won(best) { levels.tp.map(|tp| (false, tp)) } else { None }
    }
}

/// Digits after the point that prices of this symbol have.
#[must_use]
pub fn digits(symbol: &str) -> u32 {
    if symbol.ends_with("JPY") { 3 } else { 5 }
}

/// A price as the symbol quotes it.
#[must_use]
pub fn rounded(symbol: &str, price: Decimal) -> Decimal {
    price.round_dp_with_strategy(digits(symbol), RoundingStrategy::MidpointAwayFromZero)
}

/// Reads `timestamp,open,high,low,close,…` with RFC 3339 opening times.
///
/// # Errors
/// When the file cannot be read, or a line of it makes no sense.
pub fn read_bars(file: &Path) -> Result<Prices, GatewayError> {
    let refused = |what: String| GatewayError::Bars { file: file.to_owned(), what };
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(file).map_err(|error| refused(error.to_string()))?;
    let header = reader.headers().map_err(|error| refused(error.to_string()))?;
    if header.iter().take(5).ne(["timestamp", "open", "high", "low", "close"]) {
        return Err(refused("the first line must be timestamp,open,high,low,close,volume".to_owned()));
    }
    let mut bars: Vec<Bar> = Vec::new();
    let mut interval_ms = i64::MAX;
    for (record, line) in reader.records().zip(2_u64..) {
        let record = record.map_err(|error| refused(error.to_string()))?;
        let bar =
            bar(&record).ok_or_else(|| refused(format!("line {line} is no bar: a time and four prices above zero")))?;
        if let Some(last) = bars.last() {
            let distance = bar.open_ms - last.open_ms;
            if distance <= 0 {
                return Err(refused(format!("line {line} is not later than the line before it")));
            }
            interval_ms = interval_ms.min(distance);
        }
        bars.push(bar);
    }
    if bars.len() < 2 {
        return Err(refused("it needs two bars at least: their distance is the length of a bar".to_owned()));
    }
    Ok(Prices::Bars { bars, interval_ms })
}

fn bar(record: &csv::StringRecord) -> Option<Bar> {
    let open_ms = record.get(0)?.parse::<jiff::Timestamp>().ok()?.as_millisecond();
    let price = |column: usize| {
        let price: Decimal = record.get(column)?.parse().ok()?;
        (price > Decimal::ZERO && price <= PRICE_MAX).then_some(price)
    };
    Some(Bar { open_ms, open: price(1)?, high: price(2)?, low: price(3)?, close: price(4)? })
}
