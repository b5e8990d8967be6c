//! What a gateway is started with, and why it does not start or ends.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rust_decimal::Decimal;

use super::advisor::Advisor;
use super::book::AccountMode;
use super::fault::Fault;
use super::market::{Market, PRICE_MAX, Prices, read_bars};
use super::trap::Trap;
use crate::{FaultRule, Shadowed};

/// What is traded when nothing is given.
const DEFAULT_SYMBOL: &str = "EURUSD";
const DEFAULT_PRICE: Decimal = Decimal::from_parts(11, 0, 0, false, 1);

#[derive(Debug, Clone, PartialEq)]
pub struct GatewayOptions {
    pub host: String,
    /// TCP port; 0 takes any that is free.
    pub port: u16,
    pub account: AccountMode,
    pub ledger: PathBuf,
    /// Symbols with the file of their bars.
    pub bars: Vec<(String, PathBuf)>,
    /// Symbols whose market time is a replay's, with the file that holds it. All others have the wall clock's.
    pub clocks: Vec<(String, PathBuf)>,
    /// Symbols with a price that never changes.
    pub prices: Vec<(String, Decimal)>,
    /// Distance between bid and ask, in price units.
    pub spread: Decimal,
    /// The most by which a fill may be worse than the quote, in price units.
    pub slippage: Decimal,
    /// Units of the base currency in one lot.
    pub contract_size: Decimal,
    /// Money in the account of a new ledger.
    pub balance: Decimal,
    /// Makes slippage repeatable.
    pub seed: Option<u64>,
    /// Which orders meet a fault, and which.
    pub faults: Vec<FaultRule<Fault>>,
    /// What it does in every message.
    pub traps: Vec<Trap>,
    /// It plays this instead of a gateway.
    pub advisor: Option<Advisor>,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 5555,
            account: AccountMode::Netting,
            ledger: PathBuf::from("state/gateway/ledger.db"),
            bars: Vec::new(),
            clocks: Vec::new(),
            prices: Vec::new(),
            spread: Decimal::new(10, 5),
            slippage: Decimal::new(2, 5),
            contract_size: Decimal::from(100_000),
            balance: Decimal::from(10_000),
            seed: None,
            faults: Vec::new(),
            traps: Vec::new(),
            advisor: None,
        }
    }
}

impl GatewayOptions {
    /// The market that the options describe. Reads the bar files.
    pub(super) fn market(&self) -> Result<Market, GatewayError> {
        self.judge_numbers()?;
        let mut symbols = BTreeMap::new();
        for (symbol, file) in &self.bars {
            if symbols.insert(symbol.clone(), read_bars(file)?).is_some() {
                return Err(GatewayError::Twice(symbol.clone()));
            }
        }
        for (symbol, price) in &self.prices {
            if symbols.insert(symbol.clone(), Prices::Fixed(*price)).is_some() {
                return Err(GatewayError::Twice(symbol.clone()));
            }
        }
        if let Some((symbol, _)) = self.clocks.iter().find(|(symbol, _)| !symbols.contains_key(symbol)) {
            return Err(GatewayError::ClockOfNothing(symbol.clone()));
        }
        if symbols.is_empty() {
            symbols.insert(DEFAULT_SYMBOL.to_owned(), Prices::Fixed(DEFAULT_PRICE));
        }
        Ok(Market::new(symbols, self.spread))
    }

    /// Bounds inside which no sum can overflow a decimal.
    fn judge_numbers(&self) -> Result<(), GatewayError> {
        let judge = |name: &'static str, value: Decimal, least: Decimal, most: Decimal| {
            let inside = (least..=most).contains(&value) && value.scale() <= 10;
            if inside { Ok(()) } else { Err(GatewayError::Number { name, value, least, most }) }
        };
        let least = Decimal::new(1, 5);
        judge("spread", self.spread, Decimal::ZERO, Decimal::ONE_HUNDRED)?;
        judge("slippage", self.slippage, Decimal::ZERO, Decimal::ONE_HUNDRED)?;
        judge("contract size", self.contract_size, least, PRICE_MAX)?;
        judge("balance", self.balance, Decimal::ZERO, Decimal::from(1_000_000_000_000_i64))?;
        self.prices.iter().try_for_each(|(_, price)| judge("price", *price, least, PRICE_MAX))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error(
        "{endpoint} cannot be listened on; choose a free port with --port (0 takes any), or end what uses this one"
    )]
    Bind { endpoint: String, source: zmq::Error },
    #[error("the socket failed while {action}")]
    Socket { action: &'static str, source: zmq::Error },
    #[error(
        "{} is in use by another gateway, process {pid}; end that one, or give this one a file of its own with --ledger",
        file.display()
    )]
    LedgerInUse { file: PathBuf, pid: String },
    #[error("{} is no gateway ledger of this version; give another file with --ledger", .0.display())]
    NotALedger(PathBuf),
    #[error("{} holds a {kept} account; start with --account {kept}, or give another file with --ledger", file.display())]
    OtherMode { file: PathBuf, kept: String },
    #[error("the ledger {} failed; check the disk and that this user may write there", file.display())]
    Ledger { file: PathBuf, source: rusqlite::Error },
    /// The ledger's file, its lock or its directory cannot be made.
    #[error("the ledger {} cannot be opened; check that this user may write there", file.display())]
    LedgerFile { file: PathBuf, source: std::io::Error },
    #[error("{} cannot be used as bars: {what}", file.display())]
    Bars { file: PathBuf, what: String },
    #[error(transparent)]
    Shadowed(#[from] Shadowed),
    #[error("{0} is given twice; a symbol has one --bars or one --price")]
    Twice(String),
    #[error("there is a --clock for {0}, but no --bars; only bars have a time")]
    ClockOfNothing(String),
    /// Without these programs the frozen process would never continue.
    #[error("the process cannot freeze itself: that needs the programs sh, sleep and kill")]
    Freeze(#[source] std::io::Error),
    #[error("{name} is {value}; it must be {least} to {most} with ten decimals at most")]
    Number { name: &'static str, value: Decimal, least: Decimal, most: Decimal },
    /// The line that says where it listens could not be printed.
    #[error("standard output cannot be written")]
    Output(#[source] std::io::Error),
}
