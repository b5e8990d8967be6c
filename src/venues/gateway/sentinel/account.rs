//! What the gateway says of the account: HELLO, POSITIONS and ACCOUNT. Pure.
//!
//! The gateway answers `not_synced` rather than too little, so a list of positions is believed, an empty one too.

use std::fmt;

use rust_decimal::Decimal;
use sentinel_actors::domain::account::{AccountKind, AccountReport, Stated};
use sentinel_actors::domain::order::{Position, Side, Ticket};
use sentinel_actors::domain::time::UtcMs;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::values::cleaned;
use super::reply::decimal;

/// More open positions than any account has.
const POSITIONS_MAX: usize = 10_000;

/// The gateway's own limit.
const LOGIN_MAX: u64 = 1 << 53;

/// Longest text that the gateway takes for a server.
const SERVER_BYTES_MAX: usize = 128;

/// An older quote says nothing of the spread now.
const QUOTE_AGE_MAX_MS: i64 = 10_000;

/// The account that an order is meant for. The gateway compares it with the terminal's immediately before it sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    pub login: u64,
    pub server: String,
    pub trade_mode: TradeMode,
    pub margin_mode: MarginMode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TradeMode {
    Demo,
    Contest,
    Real,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarginMode {
    Netting,
    Exchange,
    Hedging,
}

impl MarginMode {
    const fn name(self) -> &'static str {
        match self {
            Self::Netting => "netting",
            Self::Exchange => "exchange",
            Self::Hedging => "hedging",
        }
    }
}

impl TradeMode {
    const fn kind(self) -> AccountKind {
        match self {
            Self::Demo => AccountKind::Demo,
            Self::Contest => AccountKind::Contest,
            Self::Real => AccountKind::Real,
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { login, server, trade_mode, margin_mode } = self;
        write!(f, "account {login} at {}, {}, {}", cleaned(server), trade_mode.kind(), margin_mode.name())
    }
}

/// What HELLO answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hello {
    pub(super) account: Guard,
    currency: Option<String>,
    said: Value,
}

impl Hello {
    /// # Errors
    /// The text says what it does not tell.
    pub(super) fn read(said: Value) -> Result<Self, String> {
        let account = Guard::deserialize(&said["account"])
            .map_err(|error| format!("HELLO does not tell the account ({})", cleaned(&error.to_string())))?;
        let is_named = (1..=SERVER_BYTES_MAX).contains(&account.server.len());
        if !is_named || !(1..=LOGIN_MAX).contains(&account.login) {
            return Err("HELLO tells an account without a login or a server".to_owned());
        }
        let currency = said["account"]["currency"].as_str().map(cleaned);
        Ok(Self { account, currency, said })
    }

    /// How many orders that it had called absent it has found at the broker afterwards.
    pub(super) fn contradictions(&self) -> u64 {
        self.said["contradictions"].as_u64().unwrap_or_default()
    }

    /// The account without its money.
    pub(super) fn report(&self) -> AccountReport {
        let Guard { login, server, trade_mode, margin_mode } = &self.account;
        AccountReport {
            currency: self.currency.clone(),
            kind: Stated::Believed(trade_mode.kind()),
            server: Stated::Believed(cleaned(server)),
            login: Stated::Believed(login.to_string()),
            margin_mode: Stated::Believed(margin_mode.name().to_owned()),
            ..AccountReport::SILENT
        }
    }

    /// What keeps orders of this symbol and volume from being executed.
    pub(super) fn obstacles(&self, symbol: &str, volume_lots: Decimal, is_hedging: bool) -> Vec<String> {
        let mut found = Vec::new();
        for (part, key, obstacle) in [
            ("terminal", "connected", "the terminal is not connected to the broker"),
            ("terminal", "trade_allowed", "algo trading is off in the terminal"),
            ("account", "trade_allowed", "the account may not trade"),
            ("account", "trade_expert", "programs may not trade on the account"),
        ] {
            if self.said[part][key].as_bool() != Some(true) {
                found.push(obstacle.to_owned());
            }
        }
        let margin_mode = self.account.margin_mode;
        if (margin_mode == MarginMode::Hedging) != is_hedging {
            let configured = if is_hedging { "hedging" } else { "netting" };
            found.push(format!("its margin mode is {}, and account_mode is \"{configured}\"", margin_mode.name()));
        }
        let said = &self.said["symbols"][symbol];
        match ["volume_min", "volume_step", "volume_max"].map(|key| decimal(&said[key])) {
            _ if !said.is_object() => {
                found.push(format!("the broker has no symbol {symbol}: name it exactly as the broker does"));
            }
            [Some(least), Some(step), Some(most)] if step > Decimal::ZERO => {
                // As the gateway looks at it.
                if volume_lots < least || volume_lots > most || !((volume_lots - least) % step).is_zero() {
                    found.push(format!(
                        "{symbol} is traded from {least} to {most} lots in steps of {step}, and decision.volume_lots is {volume_lots}"
                    ));
                }
            }
            _ => found.push(format!("which volumes of {symbol} are traded is not told")),
        }
        found
    }

    /// All of it, for a person.
    pub(super) fn text(&self, symbol: &str) -> String {
        let said = |parts: &[&str]| {
            let value = parts.iter().fold(&self.said, |value, part| &value[part]);
            value.as_str().map_or_else(|| cleaned(&value.to_string()), cleaned)
        };
        let mut text = format!(
            "{}, currency {}; terminal build {}, connected: {}, algo trading: {}; account may trade: {}, by programs: {}; package {}; \
             server's clock: {} s from UTC, {}; magic {}, comment {}; {} orders unsettled, {} contradictions",
            self.account,
            self.currency.as_deref().unwrap_or("not told"),
            said(&["terminal", "build"]),
            said(&["terminal", "connected"]),
            said(&["terminal", "trade_allowed"]),
            said(&["account", "trade_allowed"]),
            said(&["account", "trade_expert"]),
            said(&["package"]),
            said(&["clock", "offset_s"]),
            said(&["clock", "source"]),
            said(&["carriers", "magic"]),
            said(&["carriers", "comment"]),
            said(&["unsettled"]),
            said(&["contradictions"]),
        );
        text.push_str("; ");
        if self.said["symbols"][symbol].is_object() {
            let of = |key: &str| said(&["symbols", symbol, key]);
            text.push_str(&format!(
                "{symbol}: {} to {} lots in steps of {}, {} execution, {} digits",
                of("volume_min"),
                of("volume_max"),
                of("volume_step"),
                of("execution"),
                of("digits"),
            ));
        } else {
            text.push_str(&format!("the broker has no symbol {symbol}"));
        }
        text
    }
}

/// A position as it is listed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listed {
    pub(super) position: Position,
    pub(super) has_stop: bool,
    pub(super) has_target: bool,
}

/// The open positions of the account, by what stays the same as long as they are open: on a hedging account that is the ticket of the
/// order that opened one, because a broker may give it another ticket overnight. Where an account nets, a position that turns becomes
/// that of the order that has turned it, and its identifier stays that of the first.
///
/// # Errors
/// The text says why it is no list of positions.
pub(super) fn positions(data: &Value, is_hedging: bool) -> Result<Vec<Listed>, String> {
    let Some(listed) = data["positions"].as_array().filter(|listed| listed.len() <= POSITIONS_MAX) else {
        return Err("there is no list of positions".to_owned());
    };
    let unreadable = |entry: &Value| format!("a position cannot be read: {}", cleaned(&entry.to_string()));
    let positions = listed.iter().map(|entry| position(entry, is_hedging).ok_or_else(|| unreadable(entry)));
    let positions = positions.collect::<Result<Vec<Listed>, String>>()?;
    let mut tickets: Vec<Ticket> = positions.iter().map(|listed| listed.position.ticket).collect();
    tickets.sort_unstable();
    match tickets.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("two positions have the ticket {}", pair[0])),
        None => Ok(positions),
    }
}

fn position(entry: &Value, is_hedging: bool) -> Option<Listed> {
    let lasting = if is_hedging { "identifier" } else { "ticket" };
    let side = entry["side"].as_str()?;
    let has = |level: &str| decimal(&entry[level]).is_some_and(|price| price > Decimal::ZERO);
    let position = Position {
        ticket: entry[lasting].as_u64().filter(|ticket| *ticket > 0).map(Ticket)?,
        symbol: entry["symbol"].as_str().filter(|symbol| !symbol.is_empty()).map(cleaned)?,
        side: [Side::Buy, Side::Sell].into_iter().find(|known| side == known.code())?,
        volume_lots: decimal(&entry["volume"]).filter(|volume| *volume > Decimal::ZERO)?.normalize(),
        open_price: decimal(&entry["open_price"]).filter(|price| *price > Decimal::ZERO)?,
        opened_at: entry["opened_at"].as_i64().map(UtcMs),
    };
    Some(Listed { position, has_stop: has("sl"), has_target: has("tp") })
}

/// The distance between bid and ask that TICK answers.
///
/// # Errors
/// The text says why it is none, or none of now.
pub(super) fn spread(data: &Value) -> Result<Decimal, String> {
    match data["age_ms"].as_i64() {
        None => return Err("TICK does not tell how old it is".to_owned()),
        Some(age) if age > QUOTE_AGE_MAX_MS => return Err(format!("the newest quote is {age} ms old")),
        Some(_) => {}
    }
    let price = |name: &str| decimal(&data[name]).filter(|price| *price > Decimal::ZERO);
    let (Some(bid), Some(ask)) = (price("bid"), price("ask")) else {
        return Err("TICK does not tell bid and ask".to_owned());
    };
    if ask < bid { Err(format!("TICK tells an ask of {ask} below the bid of {bid}")) } else { Ok(ask - bid) }
}

/// Balance, equity and used margin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Money {
    pub(super) balance: Decimal,
    pub(super) equity: Decimal,
    pub(super) margin: Decimal,
}

/// What ACCOUNT answers.
///
/// # Errors
/// The text says what it does not tell.
pub(super) fn money(data: &Value) -> Result<Money, String> {
    let told = |name: &str| decimal(&data[name]).ok_or_else(|| format!("ACCOUNT does not tell the {name}"));
    Ok(Money { balance: told("balance")?, equity: told("equity")?, margin: told("margin")? })
}
