//! A gateway's core without a socket, and the messages that are sent to it.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use sentinel_testbed::FaultRule;
use sentinel_testbed::gateway::{
    AccountMode, Advisor, Bar, Book, Core, Fault, Market, Now, Numbers, Outcome, Position, Prices, Trap, parse,
};
use serde_json::{Value, json};

/// 2017-01-01T00:00:00Z.
pub const T0_MS: i64 = 1_483_228_800_000;
pub const HOUR_MS: i64 = 3_600_000;

pub fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// The id with this number.
pub fn id(number: u32) -> String {
    format!("{number:08x}-0000-5000-8000-000000000000")
}

pub struct TestGateway {
    pub core: Core,
    pub now_ms: i64,
}

impl TestGateway {
    /// EURUSD always at 1.1, half a spread of 0.00005, no slippage.
    pub fn new(mode: AccountMode, faults: &[&str]) -> Self {
        Self::with(mode, faults, Prices::Fixed(d("1.1")), "0")
    }

    /// A gateway that does this in every message.
    pub fn playing(traps: &[Trap], advisor: Option<Advisor>, faults: &[&str]) -> Self {
        let Self { core, now_ms } = Self::new(AccountMode::Netting, faults);
        Self { core: core.playing(traps.to_vec(), advisor), now_ms }
    }

    pub fn netting() -> Self {
        Self::new(AccountMode::Netting, &[])
    }

    pub fn with(mode: AccountMode, faults: &[&str], prices: Prices, slippage: &str) -> Self {
        let yen = ("USDJPY".to_owned(), Prices::Fixed(d("110.1234")));
        let market = Market::new(BTreeMap::from([("EURUSD".to_owned(), prices), yen]), d("0.0001"));
        let book = Book::new(mode, d("100000"), d("10000"), Vec::new());
        let faults: Vec<FaultRule<Fault>> = faults.iter().map(|fault| fault.parse().unwrap()).collect();
        let numbers = Numbers { seq: 1, ticket: 101 };
        let core = Core::new(market, book, numbers, faults, d(slippage), fastrand::Rng::with_seed(7));
        Self { core, now_ms: T0_MS }
    }

    /// A message that arrives at its own timestamp, or now when it has none.
    pub fn process(&mut self, message: &Value) -> Outcome {
        self.handle(message.to_string().as_bytes())
    }

    pub fn handle(&mut self, raw: &[u8]) -> Outcome {
        let market_ms = parse(raw).stated_ms.unwrap_or(self.now_ms);
        self.handle_at(raw, market_ms)
    }

    /// A message that arrives at this market time, whatever its timestamp.
    pub fn handle_at(&mut self, raw: &[u8], market_ms: i64) -> Outcome {
        let replayed = BTreeMap::from([("EURUSD".to_owned(), Some(market_ms))]);
        let now = Now { wall_ms: self.now_ms, replayed };
        let arrival = self.core.receive(raw, now.clone());
        self.core.process(arrival, now)
    }

    pub fn ask(&mut self, message: &Value) -> Value {
        serde_json::from_slice(&self.process(message).reply).unwrap()
    }

    pub fn open(&self) -> Vec<&Position> {
        self.core.book().open().collect()
    }
}

/// Hours that open, peak, fall and close at these mid prices.
pub fn hours(bars: &[[&str; 4]]) -> Prices {
    let bar = |(bar, open_ms): (&[&str; 4], i64)| {
        let [open, high, low, close] = bar.map(d);
        Bar { open_ms, open, high, low, close }
    };
    let bars = bars.iter().zip((T0_MS..).step_by(3_600_000)).map(bar).collect();
    Prices::Bars { bars, interval_ms: HOUR_MS }
}

pub fn order(number: u32, kind: &str, volume: f64) -> Value {
    json!({
        "action": "ORDER_SEND", "req_id": id(number),
        "payload": {
            "symbol": "EURUSD", "type": kind, "volume": volume, "magic": 7, "comment": "sn:abc", "sl": 0, "tp": 0,
        },
    })
}

/// The order at a market time, `hours` after the first bar began, with levels.
pub fn order_at(number: u32, kind: &str, hours: f64, sl: f64, tp: f64) -> Value {
    let mut message = order(number, kind, 1.0);
    message["timestamp"] = json!(T0_MS as f64 / 1000.0 + hours * 3600.0);
    message["payload"]["sl"] = json!(sl);
    message["payload"]["tp"] = json!(tp);
    message
}

pub fn status(number: u32) -> Value {
    json!({ "action": "ORDER_STATUS", "req_id": id(number) })
}

pub fn command(action: &str, hours: f64, payload: Value) -> Value {
    let timestamp = T0_MS as f64 / 1000.0 + hours * 3600.0;
    json!({ "action": action, "req_id": id(900), "timestamp": timestamp, "payload": payload })
}
