//! The way to the Allora chain over real sockets: JSON-RPC, several endpoints, the client's questions, and the status command.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise; clippy exempts the tests but not their helpers"
)]

mod chain;
mod client;
mod endpoints;
mod node;
mod outcomes;
mod rpc;
mod status;

use std::sync::Arc;
use std::time::Duration;

use sentinel::http::{Deadline, Url};
use sentinel::venues::allora::endpoints::{EndpointSettings, Endpoints};
use sentinel::venues::allora::health::CoolDown;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Chance, Clock, PortFuture, elapsed_now};

const CHAIN: &str = "allora-testnet-1";
/// The clock of all tests, and the time of the newest block of every sound node.
const NOW: UtcMs = UtcMs(1_800_000_000_000);
/// For what must not happen: a break fails and does not hang.
const LONG: Duration = Duration::from_secs(20);
/// For one call to a node that hangs.
const CALL_MAX: Duration = Duration::from_secs(1);

struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> UtcMs {
        NOW
    }

    fn wait_until(&self, _: UtcMs) -> PortFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

struct Half;

impl Chance for Half {
    fn unit(&self) -> f64 {
        0.5
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(StoppedClock)
}

fn chance() -> Arc<dyn Chance> {
    Arc::new(Half)
}

fn until() -> Deadline {
    Deadline::of(LONG, elapsed_now())
}

/// Every question is preceded by one about how the endpoints are.
fn settings(nodes: &[&node::Node]) -> EndpointSettings {
    EndpointSettings {
        chain_id: CHAIN.to_owned(),
        rpc: nodes.iter().map(|node| node.url()).collect::<Vec<Url>>(),
        call_max: CALL_MAX,
        stale_after: Duration::from_secs(60),
        survey_every: Duration::ZERO,
        cool_down: CoolDown { first: LONG, max: 10 * LONG },
    }
}

fn endpoints(nodes: &[&node::Node]) -> Endpoints {
    Endpoints::new(settings(nodes), clock(), chance()).unwrap()
}
