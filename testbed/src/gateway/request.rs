//! Reads a message: which dialect, which action, which id, and what is asked for. Pure; any bytes give a [`Parsed`], never
//! a panic.
//!
//! The dialects share one socket and no field says which is spoken. An action that only one of them knows decides;
//! everything else is `order-send`, which is the one that is asked about ids with actions that it does not know.

use rust_decimal::Decimal;
use serde_json::{Map, Value};

use super::codes;
use super::market::{PRICE_MAX, Side};

/// Unix seconds beyond this (year 5138) are refused.
const SECONDS_MAX: f64 = 100_000_000_000.0;
/// Characters of a comment at most.
const COMMENT_MAX: usize = 31;
/// Largest pipeline number.
const MAGIC_MAX: i64 = 2_147_483_647;
/// Characters of a symbol at most, as in MetaTrader.
const SYMBOL_MAX: usize = 31;
/// What `signal` orders trade, in lots: the dialect has no volume, the gateway sizes the order.
pub const SIGNAL_VOLUME: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

/// A way to speak with the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `ORDER_SEND`, the one with an id memory.
    OrderSend,
    /// `OPEN_ORDER`, `GET_POSITIONS` and so on.
    Command,
    /// `place_order` and `check_connection`.
    Signal,
    /// An advisor in the place of a gateway.
    ExpertAdvisor,
}

impl Dialect {
    /// Its name, as the configuration of a client writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OrderSend => "order-send",
            Self::Command => "command",
            Self::Signal => "signal",
            Self::ExpertAdvisor => "expert-advisor",
        }
    }
}

/// An order at the market.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub symbol: String,
    pub side: Side,
    /// Lots.
    pub volume: Decimal,
    pub sl: Option<Decimal>,
    pub tp: Option<Decimal>,
    /// Number of the pipeline, 0 where the dialect has none.
    pub magic: i64,
    /// Shown in the terminal.
    pub comment: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    Order(Order),
    Close(i64),
    KillSwitch,
    /// Balance and equity.
    Account,
    Positions,
    Heartbeat,
    /// The heartbeat of `signal`.
    Connection,
    /// Bid and ask of a symbol.
    Quote(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestError {
    /// Own code of the gateway, or that of the terminal.
    pub code: i64,
    pub text: String,
}

impl RequestError {
    #[must_use]
    pub fn new(code: i64, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// A message, as far as it could be understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    pub dialect: Dialect,
    /// Its `action`; empty when there is none.
    pub action: String,
    /// Its id, when it is one.
    pub req_id: Option<String>,
    /// Its `timestamp` in Unix milliseconds: the sender's time. No price depends on it.
    pub stated_ms: Option<i64>,
    pub request: Result<Request, RequestError>,
}

impl Parsed {
    /// Whether it wants to trade; faults count these, well-formed or not. To the market a close by ticket is an order too.
    #[must_use]
    pub fn is_order(&self) -> bool {
        matches!(
            (self.dialect, self.action.as_str()),
            (Dialect::OrderSend, "ORDER_SEND")
                | (Dialect::Command, "OPEN_ORDER" | "CLOSE_POSITION")
                | (Dialect::Signal, "place_order")
                | (Dialect::ExpertAdvisor, "TRADE")
        )
    }
}

#[must_use]
pub fn parse(raw: &[u8]) -> Parsed {
    let message = match serde_json::from_slice(raw) {
        Ok(Value::Object(message)) => message,
        Ok(_) => return unreadable("the message is no JSON object"),
        Err(error) => return unreadable(&format!("the message is no JSON: {error}")),
    };
    let action = message.get("action").and_then(Value::as_str).unwrap_or_default().to_owned();
    let dialect = match action.as_str() {
        "HEARTBEAT" | "OPEN_ORDER" | "CLOSE_POSITION" | "GET_ACCOUNT_INFO" | "GET_POSITIONS" | "KILL_SWITCH" => {
            Dialect::Command
        }
        "place_order" | "check_connection" => Dialect::Signal,
        _ => Dialect::OrderSend,
    };
    let fields = Fields { object: &message };
    let has_id = matches!(dialect, Dialect::OrderSend | Dialect::Command);
    let req_id = if has_id { fields.id().map(Some) } else { Ok(None) };
    let time = match dialect {
        Dialect::OrderSend | Dialect::ExpertAdvisor => fields.unix_time(),
        Dialect::Command => fields.required("timestamp").and_then(|_| fields.unix_time()),
        Dialect::Signal => fields.iso_time(),
    };
    let stated_ms = time.as_ref().ok().copied().flatten();
    let known_id = req_id.as_ref().ok().cloned().flatten();
    let request = req_id.map(drop).and_then(|()| match dialect {
        Dialect::OrderSend | Dialect::ExpertAdvisor => order_send(&fields, time),
        Dialect::Command => command(&fields, &action, time),
        Dialect::Signal => signal(&fields, &action, time),
    });
    Parsed { dialect, action, req_id: known_id, stated_ms, request }
}

fn unreadable(text: &str) -> Parsed {
    let request = Err(RequestError::new(codes::PARSE, format!("parse error: {text}")));
    Parsed { dialect: Dialect::OrderSend, action: String::new(), req_id: None, stated_ms: None, request }
}

type Time = Result<Option<i64>, RequestError>;

fn order_send(fields: &Fields, time: Time) -> Result<Request, RequestError> {
    let action = fields.text("action")?;
    if action != "ORDER_SEND" {
        return Err(RequestError::new(codes::MISSING, format!("unknown action '{}'", shown(action))));
    }
    time?;
    let payload = fields.inner("payload")?;
    let side = match payload.text("type")? {
        "OP_BUY" => Side::Buy,
        "OP_SELL" => Side::Sell,
        _ => return Err(RequestError::new(codes::RANGE, "type must be OP_BUY or OP_SELL")),
    };
    let comment = payload.text("comment")?;
    if comment.chars().count() > COMMENT_MAX {
        return Err(RequestError::new(codes::RANGE, format!("comment has more than {COMMENT_MAX} characters")));
    }
    let magic = payload.required("magic")?.as_i64().filter(|magic| (0..=MAGIC_MAX).contains(magic));
    let magic =
        magic.ok_or_else(|| RequestError::new(codes::RANGE, format!("magic must be an integer of 0..{MAGIC_MAX}")))?;
    payload.required("sl")?;
    payload.required("tp")?;
    let (symbol, comment) = (payload.symbol()?, comment.to_owned());
    let (volume, sl, tp) = (payload.volume()?, payload.level("sl")?, payload.level("tp")?);
    Ok(Request::Order(Order { symbol, side, volume, sl, tp, magic, comment }))
}

fn command(fields: &Fields, action: &str, time: Time) -> Result<Request, RequestError> {
    time?;
    let payload = fields.inner("payload")?;
    match action {
        "OPEN_ORDER" => {
            let direction = if payload.object.contains_key("type") { "type" } else { "side" };
            let (symbol, side) = (payload.symbol()?, payload.direction(direction)?);
            if payload.level("price")?.is_some() {
                return Err(RequestError::new(
                    codes::INVALID_PRICE,
                    "only orders at the market are played: price must be 0",
                ));
            }
            let (volume, sl, tp) = (payload.volume()?, payload.level("sl")?, payload.level("tp")?);
            Ok(Request::Order(Order { symbol, side, volume, sl, tp, magic: 0, comment: String::new() }))
        }
        "CLOSE_POSITION" => {
            let ticket = payload.required("ticket")?.as_i64().filter(|ticket| *ticket > 0);
            ticket
                .map(Request::Close)
                .ok_or_else(|| RequestError::new(codes::RANGE, "ticket must be an integer above zero"))
        }
        "GET_ACCOUNT_INFO" => Ok(Request::Account),
        "GET_POSITIONS" => Ok(Request::Positions),
        "KILL_SWITCH" => Ok(Request::KillSwitch),
        _ => Ok(Request::Heartbeat),
    }
}

fn signal(fields: &Fields, action: &str, time: Time) -> Result<Request, RequestError> {
    time?;
    if action == "check_connection" {
        return Ok(Request::Connection);
    }
    let (symbol, side) = (fields.symbol()?, fields.direction("signal")?);
    let confidence = fields.required("confidence")?.as_f64();
    confidence.ok_or_else(|| RequestError::new(codes::RANGE, "confidence must be a number"))?;
    let order = Order { symbol, side, volume: SIGNAL_VOLUME, sl: None, tp: None, magic: 0, comment: String::new() };
    Ok(Request::Order(order))
}

/// An object of the message, asked for its fields.
struct Fields<'a> {
    object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The field, which must be there; null is as good as absent.
    fn required(&self, name: &str) -> Result<&'a Value, RequestError> {
        let value = self.object.get(name).filter(|value| !value.is_null());
        value.ok_or_else(|| RequestError::new(codes::MISSING, format!("{name} is missing")))
    }

    fn text(&self, name: &str) -> Result<&'a str, RequestError> {
        self.required(name)?.as_str().ok_or_else(|| RequestError::new(codes::RANGE, format!("{name} must be a text")))
    }

    fn inner(&self, name: &str) -> Result<Fields<'a>, RequestError> {
        let object = self.required(name)?.as_object();
        object
            .map(|object| Fields { object })
            .ok_or_else(|| RequestError::new(codes::RANGE, format!("{name} must be an object")))
    }

    fn id(&self) -> Result<String, RequestError> {
        let id = self.text("req_id")?;
        let is_uuid = id.len() == 36
            && id.bytes().enumerate().all(|(place, byte)| match place {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if is_uuid { Ok(id.to_owned()) } else { Err(RequestError::new(codes::RANGE, "req_id must be a UUID")) }
    }

    fn symbol(&self) -> Result<String, RequestError> {
        let symbol = self.text("symbol")?;
        if symbol.is_empty() || symbol.chars().count() > SYMBOL_MAX {
            return Err(RequestError::new(codes::RANGE, format!("symbol must have 1 to {SYMBOL_MAX} characters")));
        }
        Ok(symbol.to_owned())
    }

    fn direction(&self, name: &str) -> Result<Side, RequestError> {
        match self.text(name)? {
            "BUY" => Ok(Side::Buy),
            "SELL" => Ok(Side::Sell),
            _ => Err(RequestError::new(codes::RANGE, format!("{name} must be BUY or SELL to trade"))),
        }
    }

    fn volume(&self) -> Result<Decimal, RequestError> {
        let volume = decimal(self.required("volume")?).map(|volume| volume.normalize());
        let is_traded =
            |volume: &Decimal| volume.scale() <= 2 && (Decimal::new(1, 2)..=Decimal::ONE_HUNDRED).contains(volume);
        let refused = || RequestError::new(codes::RANGE, "volume must be 0.01 to 100.0 lots with two decimals");
        volume.filter(is_traded).ok_or_else(refused)
    }

    /// A price level; `None` when it is absent or zero.
    fn level(&self, name: &str) -> Result<Option<Decimal>, RequestError> {
        let Some(value) = self.object.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        let price = decimal(value).filter(|price| (Decimal::ZERO..=PRICE_MAX).contains(price));
        let price = price.ok_or_else(|| RequestError::new(codes::RANGE, format!("{name} must be a price or 0")))?;
        Ok((!price.is_zero()).then(|| price.normalize()))
    }

    fn unix_time(&self) -> Time {
        let Some(value) = self.object.get("timestamp").filter(|value| !value.is_null()) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds));
        let refused = || RequestError::new(codes::RANGE, "timestamp must be Unix seconds");
        #[expect(clippy::cast_possible_truncation, reason = "seconds are limited just above")]
        seconds.map(|seconds| Some((seconds * 1000.0).round() as i64)).ok_or_else(refused)
    }

    fn iso_time(&self) -> Time {
        if !self.object.contains_key("timestamp") {
            return Ok(None);
        }
        let text = self.text("timestamp")?;
        let zoned = text.parse::<jiff::Timestamp>().ok();
        // Without an offset it is what Python's `datetime.utcnow().isoformat()` writes: UTC.
        let plain = || text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
        let time = zoned.or_else(|| plain().map(|zoned| zoned.timestamp()));
        let time = time.ok_or_else(|| RequestError::new(codes::RANGE, "timestamp must be an ISO 8601 time"))?;
        Ok(Some(time.as_millisecond()))
    }
}

/// The decimal that was written: the shortest text of the binary number that JSON made of it.
fn decimal(value: &Value) -> Option<Decimal> {
    let number = value.as_f64().filter(|_| value.is_number())?;
    number.to_string().parse().ok()
}

/// As much of a client's text as fits a log line.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}
