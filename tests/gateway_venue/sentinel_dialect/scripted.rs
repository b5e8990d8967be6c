//! A gateway of `sentinel/1` that follows a test's script; it answers HELLO by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sentinel::venues::gateway::dialect::DIALECTS;
use sentinel::venues::gateway::sentinel::SentinelVenue;
use sentinel::venues::gateway::{Exits, GatewaySettings, Venue as _};
use sentinel_actors::domain::evidence::Grade;
use sentinel_actors::domain::intent::{Intent, IntentKey};
use sentinel_actors::domain::order::Order;
use sentinel_actors::ports::{NoFaults, Sink as _, Submission};
use serde_json::{Value, json};

use crate::peer::{Act, Heard, Peer};
use crate::{MAGIC, SOON, intent_of, link_to};

pub(super) const LEDGER: &str = "0c0e5f9a-0000-4000-8000-000000000001";
pub(super) const BOOT: u64 = 7;
pub(super) const SEQ: u64 = 41;
pub(super) const LOGIN: u64 = 5_012_345;
pub(super) const GATEWAY_MS: i64 = 1_795_514_402_000;

/// What a gateway is; a test changes it.
#[derive(Debug, Clone)]
pub(super) struct Is {
    pub(super) ledger: String,
    pub(super) boot: Arc<AtomicU64>,
    pub(super) login: Arc<AtomicU64>,
    /// What HELLO says otherwise, by JSON pointers.
    pub(super) says: Vec<(&'static str, Value)>,
}

impl Default for Is {
    fn default() -> Self {
        let number = |number: u64| Arc::new(AtomicU64::new(number));
        Self { ledger: LEDGER.to_owned(), boot: number(BOOT), login: number(LOGIN), says: Vec::new() }
    }
}

/// Answers the newest request.
pub(super) fn say(reply: Value) -> Vec<Act> {
    // The number is put in by `gateway_that_is`.
    vec![Act::Say(usize::MAX, vec![reply.to_string().into_bytes()])]
}

fn envelope(request: &Value, ok: bool) -> Value {
    json!({
        "v": "sentinel/1", "id": request["id"], "action": request["action"], "ok": ok, "now": GATEWAY_MS, "ledger": LEDGER,
        "boot": BOOT, "seq": SEQ,
    })
}

pub(super) fn answer(request: &Value, data: &Value) -> Value {
    let mut reply = envelope(request, true);
    reply["data"] = data.clone();
    reply
}

pub(super) fn error(request: &Value, code: &str, text: &str) -> Value {
    let mut reply = envelope(request, false);
    reply["error"] = json!({ "code": code, "text": text, "lasting": false });
    reply
}

/// The Record of an order that is not known about: what it echoes is the order's.
pub(super) fn record(request: &Value) -> Value {
    let (id, said) = match request["action"].as_str() {
        Some("ORDER_STATUS") => (&request["payload"]["about"], &request["payload"]["order"]),
        _ => (&request["id"], &request["payload"]),
    };
    json!({
        "state": "unknown", "final": false, "sent": true, "replayed": false, "proof": null, "retcode": null, "retcode_external": null,
        "lasting": false, "text": "", "order": null, "deals": [], "position": null, "volume": said["volume"], "filled": null,
        "price": null, "sl": null, "tp": null, "levels_missing": false, "filling": "fok", "magic": said["magic"], "tag": 2_395_021_100_u64,
        "comment": format!("sn:{}", &id.as_str().unwrap()[..20]), "sent_at": null,
    })
}

/// The same with these fields.
pub(super) fn record_with(request: &Value, fields: &Value) -> Value {
    let mut record = record(request);
    for (name, value) in fields.as_object().unwrap() {
        record[name] = value.clone();
    }
    record
}

pub(super) fn done(request: &Value, ticket: u64) -> Value {
    let filled = record(request)["volume"].clone();
    let fields = json!({
        "state": "done", "final": true, "proof": "deals", "retcode": 10009, "order": ticket, "deals": [9102], "filled": filled,
        "price": "1.15353", "text": "Request executed",
    });
    record_with(request, &fields)
}

fn hello(request: &Value, login: u64) -> Value {
    answer(
        request,
        &json!({
            "gateway": "1.0.0", "package": "5.0.6231",
            "terminal": { "build": 6231, "connected": true, "trade_allowed": true, "tradeapi_disabled": false },
            "account": {
                "login": login, "server": "Broker-Demo", "trade_mode": "demo", "margin_mode": "hedging", "currency": "USD",
                "currency_digits": 2, "trade_allowed": true, "trade_expert": true, "fifo_close": false,
            },
            "clock": { "offset_s": 7200, "source": "measured" }, "carriers": { "magic": "intact", "comment": "intact" },
            "unsettled": 0, "contradictions": 0, "symbols": {},
        }),
    )
}

/// A gateway whose script is asked about all but HELLO.
pub(super) fn gateway(script: impl FnMut(&Value) -> Vec<Act> + Send + 'static) -> Peer {
    gateway_that_is(Is::default(), 0, script)
}

pub(super) fn gateway_that_is(is: Is, port: u16, mut script: impl FnMut(&Value) -> Vec<Act> + Send + 'static) -> Peer {
    Peer::start_at(port, move |number, heard: &Heard| {
        let request = heard.json();
        let acts = match request["action"].as_str() {
            Some("HELLO") => {
                let mut hello = hello(&request, is.login.load(Ordering::Relaxed));
                is.says.iter().for_each(|(at, value)| *hello.pointer_mut(at).unwrap() = value.clone());
                say(hello)
            }
            _ => script(&request),
        };
        let stamped = |part: Vec<u8>| match serde_json::from_slice::<Value>(&part) {
            Ok(mut reply) if reply["ledger"] == LEDGER && reply["boot"] == BOOT => {
                reply["ledger"] = json!(is.ledger);
                reply["boot"] = json!(is.boot.load(Ordering::Relaxed));
                reply.to_string().into_bytes()
            }
            _ => part,
        };
        let of_this = |act| match act {
            Act::Say(to, parts) => {
                let to = if to == usize::MAX { number } else { to };
                Act::Say(to, parts.into_iter().map(stamped).collect())
            }
            Act::Leave => Act::Leave,
        };
        acts.into_iter().map(of_this).collect()
    })
}

pub(super) fn venue(port: u16) -> SentinelVenue {
    venue_with(port, |_| {})
}

/// The same with other settings.
pub(super) fn venue_with(port: u16, change: fn(&mut GatewaySettings)) -> SentinelVenue {
    let dialect = DIALECTS.iter().find(|known| known.name == "sentinel").unwrap();
    let mut settings = GatewaySettings {
        dialect,
        account: "demo-1".to_owned(),
        magic: MAGIC,
        exits: Exits::AtBroker,
        is_hedging: true,
        max_spread: None,
        least_evidence: Grade::Id,
    };
    change(&mut settings);
    SentinelVenue::new(link_to(port), settings, Arc::new(NoFaults), "eurusd/executor")
}

/// A venue that has heard HELLO.
pub(super) async fn ready(gateway: &Peer) -> SentinelVenue {
    let venue = venue(gateway.port);
    venue.introduction("EURUSD", SOON).await.unwrap();
    venue
}

pub(super) fn intent_with(key: &IntentKey, order: Order, venue_note: Option<String>) -> Intent {
    Intent { venue_note, ..intent_of(key, order) }
}

/// As the node does it: the note is written before the order is handed over.
pub(super) async fn submit(venue: &SentinelVenue, key: &IntentKey, order: Order) -> Submission {
    let note = venue.prepare(key, crate::LIFE);
    venue.submit(&intent_with(key, order, note), SOON, &|| true).await
}
