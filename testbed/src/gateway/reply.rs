//! Writes replies in the client's dialect. Pure. No reply holds more than those of the real gateways: `order-send` carries
//! no id, `command` no comment.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::{Value, json};

use super::advisor::Advisor;
use super::codes;
use super::market::{Quote, Side};
use super::request::{Dialect, Parsed, RequestError};

/// What `stranger-id` answers with: the nil UUID, which no intent has.
pub const FOREIGN_ID: &str = "00000000-0000-0000-0000-000000000000";

#[derive(Debug, Clone, PartialEq)]
pub struct PositionView {
    pub ticket: i64,
    pub symbol: String,
    pub side: Side,
    /// Lots.
    pub volume: Decimal,
    pub open_price: Decimal,
    pub current_price: Decimal,
    /// What it would earn.
    pub profit: Decimal,
}

/// The account as it is reported. Money in account currency.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountView {
    /// Without open positions.
    pub balance: Decimal,
    /// With open positions.
    pub equity: Decimal,
    /// Bound by positions.
    pub used_margin: Decimal,
}

/// An answer, before it is written in a dialect.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Filled, whole or in part.
    Filled {
        ticket: i64,
        symbol: String,
        /// Lots.
        volume: Decimal,
        /// Per unit.
        price: Decimal,
        /// Less than was ordered.
        partial: bool,
    },
    /// Accepted, not filled.
    Placed(i64),
    /// Filled before, under the same id.
    Cached(i64),
    Refused(RequestError),
    Closed(Vec<i64>),
    Account(AccountView),
    /// The account with a kind and a server that are constants.
    ConstantAccount(AccountView),
    /// The handler failed, without a code.
    Failed(&'static str),
    Quote(Quote),
    Positions(Vec<PositionView>),
    Alive,
}

impl Answer {
    /// The return code or status that the ledger notes down.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Filled { partial: true, .. } => codes::DONE_PARTIALLY.to_string(),
            Self::Filled { .. } | Self::Cached(_) => codes::DONE.to_string(),
            Self::Placed(_) => codes::PLACED.to_string(),
            Self::Refused(error) => error.code.to_string(),
            Self::Failed(_) => "failed".to_owned(),
            Self::Closed(_)
            | Self::Account(_)
            | Self::ConstantAccount(_)
            | Self::Positions(_)
            | Self::Quote(_)
            | Self::Alive => "ok".to_owned(),
        }
    }

    /// The same answer with another ticket, when it names one at all.
    #[must_use]
    pub fn with_ticket(mut self, other: Option<i64>) -> Self {
        if let (Self::Filled { ticket, .. } | Self::Placed(ticket), Some(other)) = (&mut self, other) {
            *ticket = other;
        }
        self
    }

    /// The ticket that it names, when it names one.
    #[must_use]
    pub fn ticket(&self) -> Option<i64> {
        match self {
            Self::Filled { ticket, .. } | Self::Placed(ticket) | Self::Cached(ticket) => Some(*ticket),
            _ => None,
        }
    }
}

/// The reply to a message. `req_id` is what a dialect with ids answers with; `now_ms` is wall time.
#[must_use]
pub fn render(
    parsed: &Parsed,
    advisor: Option<Advisor>,
    req_id: Option<&str>,
    now_ms: i64,
    answer: &Answer,
) -> Vec<u8> {
    let reply = match parsed.dialect {
        Dialect::ExpertAdvisor => advisor.unwrap_or(Advisor::Newer).render(answer),
        Dialect::OrderSend => order_send(answer),
        Dialect::Command => command(req_id, now_ms, answer),
        Dialect::Signal => signal(answer),
    };
    reply.to_string().into_bytes()
}

fn order_send(answer: &Answer) -> Value {
    let reply = |error: bool, ticket: i64, msg: &str, code: i64| json!({ "error": error, "ticket": ticket, "msg": msg, "retcode": code });
    match answer {
        Answer::Filled { ticket, volume, price, partial, .. } => {
            let code = if *partial { codes::DONE_PARTIALLY } else { codes::DONE };
            let mut reply = reply(*partial, *ticket, codes::text(code), code);
            reply["data"] = json!({ "volume": number(*volume), "price": number(*price) });
            reply
        }
        Answer::Placed(ticket) => reply(true, *ticket, codes::text(codes::PLACED), codes::PLACED),
        Answer::Cached(ticket) => reply(false, *ticket, "Cached: this req_id was filled before", codes::DONE),
        Answer::Refused(error) => reply(true, 0, &error.text, error.code),
        // No action of this dialect asks for anything else.
        _ => reply(true, 0, "nothing to say in this dialect", codes::MISSING),
    }
}

fn command(req_id: Option<&str>, now_ms: i64, answer: &Answer) -> Value {
    let (status, data, error) = match answer {
        Answer::Filled { ticket, volume, price, .. } => {
            let data = json!({
                "status": "SUCCESS", "ticket": ticket, "volume": number(*volume), "price": number(*price),
            });
            ("SUCCESS", data, None)
        }
        Answer::Placed(ticket) => ("PENDING", json!({ "status": "PENDING", "ticket": ticket }), None),
        // What cannot be read is refused by the socket's side; what was read is refused by the handler, which ran.
        Answer::Refused(error) if error.code == codes::MISSING || error.code == codes::RANGE => {
            ("ERROR", Value::Null, Some(error.text.clone()))
        }
        Answer::Refused(error) => {
            ("SUCCESS", json!({ "status": "ERROR", "retcode": error.code, "error": error.text }), None)
        }
        Answer::Closed(tickets) => ("SUCCESS", json!({ "status": "SUCCESS", "closed": tickets }), None),
        Answer::Account(account) => ("SUCCESS", account_data(account), None),
        Answer::ConstantAccount(account) => {
            let mut data = account_data(account);
            data["trade_mode"] = json!(2);
            data["server_name"] = json!("UNKNOWN");
            ("SUCCESS", data, None)
        }
        Answer::Failed(text) => ("SUCCESS", json!({ "status": "ERROR", "error": text }), None),
        Answer::Positions(positions) => ("SUCCESS", positions.iter().map(position_data).collect(), None),
        Answer::Alive | Answer::Cached(_) | Answer::Quote(_) => {
            ("SUCCESS", json!({ "status": "alive", "service": "sentinel paper gateway" }), None)
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this age are exact in a double")]
    let timestamp = now_ms as f64 / 1000.0;
    json!({ "req_id": req_id, "status": status, "timestamp": timestamp, "data": data, "error": error })
}

fn account_data(account: &AccountView) -> Value {
    let AccountView { balance, equity, used_margin } = *account;
    // MetaTrader reports 0 while no margin is used.
    let level =
        equity.checked_div(used_margin).map_or(Decimal::ZERO, |ratio| (ratio * Decimal::ONE_HUNDRED).round_dp(2));
    json!({
        "balance": number(balance), "equity": number(equity), "free_margin": number(equity - used_margin),
        "used_margin": number(used_margin), "margin_level": number(level), "currency": "USD", "trade_mode": 0,
        "server_name": "sentinel-paper",
    })
}

fn position_data(position: &PositionView) -> Value {
    json!({
        "ticket": position.ticket, "symbol": position.symbol, "type": position.side.code().to_uppercase(),
        "volume": number(position.volume), "open_price": number(position.open_price),
        "current_price": number(position.current_price), "profit": number(position.profit),
    })
}

fn signal(answer: &Answer) -> Value {
    match answer {
        Answer::Filled { ticket, symbol, volume, price, .. } => json!({
            "status": "success", "ticket": ticket, "symbol": symbol, "volume": number(*volume), "price": number(*price),
        }),
        Answer::Placed(ticket) => json!({ "status": "placed", "ticket": ticket }),
        Answer::Refused(error) => json!({ "status": "error", "retcode": error.code, "message": error.text }),
        _ => json!({ "status": "ok" }),
    }
}

/// A JSON number. Prices and volumes have few digits, so the double is read back as the same decimal.
fn number(value: Decimal) -> Value {
    value.to_f64().map_or(Value::Null, Value::from)
}
