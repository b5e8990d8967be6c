//! The gateway venue against gateways that fill, refuse, lie, fall silent, die and come back, over real sockets: no order
//! arrives twice, none arrives late, and nothing is confirmed or refused that no fitting reply says.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking too")]

mod command;
mod command_orders;
mod dialect;
mod expert_advisor;

mod logged;
mod one_owner;
mod orders;
mod other_orders;
mod peer;
mod pyzmq;
mod pyzmq_traps;
mod sentinel_dialect;
mod settling;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel::venues::gateway::dialect::{DIALECTS, Dialect, Talk};
use sentinel::venues::gateway::speech::Speech;
use sentinel::venues::gateway::{Exits, GatewayAddress, GatewaySettings, GatewayVenue, Link, link};
use sentinel_actors::domain::action::Receipt;
use sentinel_actors::domain::evidence::Grade;
use sentinel_actors::domain::intent::{Basis, Intent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::{Fill, Order, Role, Side};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Evidence, FaultInjector, NoFaults, Sink as _, Submission, elapsed_now};

/// Of an exchange that comes to a good end.
const SOON: Duration = Duration::from_secs(5);
/// Of an exchange that does not.
const SHORT: Duration = Duration::from_millis(500);

/// Within which an order ends that is prepared: longer than it can be good for.
const LIFE: Duration = Duration::from_secs(3600);
const MAGIC: u32 = 20_260_101;
const NOW: UtcMs = UtcMs(1_767_225_600_250);

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn key(hour: i64) -> IntentKey {
    IntentKey::derive(Mode::Live, "demo-1", "eurusd", Basis::Bar(UtcMs(hour * 3_600_000)), Role::Open)
}

fn order() -> Order {
    Order {
        role: Role::Open,
        symbol: "EURUSD".to_owned(),
        side: Side::Buy,
        volume_lots: d("0.1"),
        stop_price: None,
        target_price: None,
        reference_price: d("1.1000"),
    }
}

fn intent(key: &IntentKey) -> Intent {
    intent_of(key, order())
}

fn intent_of(key: &IntentKey, order: Order) -> Intent {
    Intent {
        key: key.clone(),
        mode: Mode::Live,
        account: "demo-1".to_owned(),
        pipeline: "eurusd".to_owned(),
        slot: NOW,
        announced_as: None,
        basis: Basis::Bar(NOW),
        action: order.into(),
        state: IntentState::Unknown,
        receipt: None,
        awaits: None,
        grade: None,
        listed: None,
        venue_note: None,
    }
}

fn link_to(port: u16) -> Arc<Link> {
    link(GatewayAddress { host: "127.0.0.1".to_owned(), port })
}

fn venue(port: u16) -> GatewayVenue {
    venue_with(port, Exits::ByOrders, Arc::new(NoFaults))
}

fn venue_with(port: u16, exits: Exits, faults: Arc<dyn FaultInjector>) -> GatewayVenue {
    speaking("order-send", port, exits, faults)
}

/// A venue in this dialect.
fn speaking(dialect: &str, port: u16, exits: Exits, faults: Arc<dyn FaultInjector>) -> GatewayVenue {
    let dialect = DIALECTS.iter().find(|known| known.name == dialect).unwrap();
    let settings = GatewaySettings {
        dialect,
        account: "demo-1".to_owned(),
        magic: MAGIC,
        exits,
        is_hedging: false,
        max_spread: None,
        least_evidence: Grade::Id,
    };
    GatewayVenue::new(link_to(port), speech(dialect), settings, faults, "eurusd/executor")
}

/// What writes and reads a dialect whose requests stand alone.
fn speech(dialect: &Dialect) -> &'static dyn Speech {
    match dialect.talk {
        Talk::Requests(speech) => speech,
        Talk::Sessions => panic!("{} talks in sessions", dialect.name),
    }
}

async fn submit(venue: &GatewayVenue, key: &IntentKey, deadline: Duration) -> Submission {
    venue.prepare(key, crate::LIFE);
    venue.submit(&intent(key), deadline, &|| true).await
}

async fn settle(venue: &GatewayVenue, key: &IntentKey, deadline: Duration) -> Evidence {
    venue.settle(&intent(key), deadline).await
}

fn filled(ticket: u64) -> String {
    format!(r#"{{"error":false,"ticket":{ticket},"msg":"Request executed","retcode":10009,"data":null}}"#)
}

fn cached(ticket: u64) -> String {
    format!(r#"{{"error":false,"ticket":{ticket},"msg":"Cached result","retcode":10009}}"#)
}

fn failed(retcode: i64, text: &str) -> String {
    format!(r#"{{"error":true,"ticket":0,"msg":"{text}","retcode":{retcode}}}"#)
}

fn acked(submission: Submission) -> Fill {
    match submission {
        Submission::Acked(Receipt::Fill(fill)) => fill,
        other => panic!("not acked: {other:?}"),
    }
}

fn never_left(submission: Submission) -> String {
    match submission {
        Submission::NeverLeft(proof) => proof,
        other => panic!("it may have left: {other:?}"),
    }
}

fn unknown(submission: Submission) -> String {
    match submission {
        Submission::Unknown(evidence) => evidence,
        other => panic!("not unknown: {other:?}"),
    }
}

fn not_now(evidence: Evidence) -> String {
    match evidence {
        Evidence::NotNow(why) => why,
        other => panic!("not postponed: {other:?}"),
    }
}

fn undecidable(evidence: Evidence) -> String {
    match evidence {
        Evidence::Undecidable(why) => why,
        other => panic!("not undecidable: {other:?}"),
    }
}

/// Waits for a condition that other threads bring about.
async fn until(condition: impl Fn() -> bool) {
    let deadline = elapsed_now() + SOON;
    while !condition() {
        assert!(elapsed_now() < deadline, "it did not come about within {SOON:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
