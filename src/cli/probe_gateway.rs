//! `sentinel probe-gateway`: what listens at an address, from one question that cannot trade.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::evidence::Grade;
use sentinel_actors::ports::NoFaults;
use tokio::runtime::{Builder, Runtime};

use super::text::wrapped;
use super::{Ended, Failure, exit};
use crate::venues::gateway::dialect::Dialect;
use crate::venues::gateway::identify::{Identity, identify, question};
use crate::venues::gateway::link::Exchange;
use crate::venues::gateway::{self, Exits, GatewayAddress, GatewaySettings, link};

/// For all of it. An advisor looks at its socket once per tick, and without ticks once per second.
const PROBE_MAX: Duration = Duration::from_secs(5);

/// Probes a gateway.
#[derive(Debug, Clone, clap::Args)]
pub struct ProbeGatewayArgs {
    /// Where it listens: `127.0.0.1:5555`, `gateway.example:5555` or `[::1]:5555`.
    #[arg(value_name = "HOST:PORT")]
    pub address: GatewayAt,
    /// A symbol that the account has; an advisor tells its price.
    #[arg(long, value_name = "SYMBOL", default_value = "EURUSD")]
    pub symbol: String,
}

/// An address on the command line.
#[derive(Debug, Clone)]
pub struct GatewayAt(GatewayAddress);

impl FromStr for GatewayAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("'{text}' is no address like 127.0.0.1:5555");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        match inner {
            Some(host) if host.parse::<std::net::Ipv6Addr>().is_ok() => Ok(Self(address(host, port))),
            None if !host.is_empty() && host.chars().all(is_plain) => Ok(Self(address(host, port))),
            _ => Err(wrong()),
        }
    }
}

fn address(host: &str, port: u16) -> GatewayAddress {
    GatewayAddress { host: host.to_owned(), port }
}

/// Says what listens there: 0 when it is known, 76 when that cannot be told without risk, 69 when nothing listens.
///
/// # Errors
/// When it is not known.
pub fn run(args: &ProbeGatewayArgs) -> Ended {
    let Some(question) = question(&args.symbol) else {
        let text = format!(
            "error: --symbol: '{}' is no symbol, or has a word that an advisor takes for a command",
            args.symbol
        );
        return Err(Failure { code: exit::USAGE, text });
    };
    let address = &args.address.0;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(exit::SOFTWARE, &error, None))?;
    let identity = ask(address, &question, &runtime).map_err(|why| {
        let text = format!("error: nothing was asked: {why}\n  what to do: start the gateway, or correct the address");
        Failure { code: exit::UNAVAILABLE, text }
    })?;
    match identity {
        Identity::Spoken(dialect) => {
            println!("{address}: a gateway that speaks {}", dialect.name);
            println!("{}", wrapped("  ", "  ", &capabilities(dialect)));
            if let Some(introduction) = introduction(address, dialect, &args.symbol, &runtime) {
                println!("{}", wrapped("  ", "  ", &introduction));
            }
            println!("  to use it: dialect = \"{}\" under [pipeline.venue]", dialect.name);
            Ok(exit::OK)
        }
        Identity::Foreign(name) => {
            println!("{address}: a gateway that speaks {name}, which this version does not speak");
            Ok(exit::OK)
        }
        Identity::Unclear(why) => Err(Failure { code: exit::UNDETERMINED, text: unclear(address, &why) }),
    }
}

/// What the one question tells of what listens there.
///
/// # Errors
/// Why nothing was asked.
pub(super) fn ask(address: &GatewayAddress, question: &[u8], runtime: &Runtime) -> Result<Identity, String> {
    match runtime.block_on(link(address.clone()).exchange(question, PROBE_MAX, &|| true, |_| true)) {
        Exchange::NeverLeft(why) => Err(why),
        Exchange::NoReply(why) => Ok(Identity::Unclear(why)),
        Exchange::Reply(reply) => Ok(identify(&reply)),
    }
}

/// What a gateway that is known by now says of itself, where its dialect has words for that.
fn introduction(
    address: &GatewayAddress,
    dialect: &'static Dialect,
    symbol: &str,
    runtime: &Runtime,
) -> Option<String> {
    let settings = GatewaySettings {
        dialect,
        account: String::new(),
        magic: 0,
        exits: Exits::AtBroker,
        is_hedging: false,
        max_spread: None,
        least_evidence: Grade::Id,
    };
    let venue = gateway::open(link(address.clone()), settings, Arc::new(NoFaults), "probe");
    match runtime.block_on(venue.introduction(symbol, PROBE_MAX)) {
        Ok(introduction) => introduction.map(|text| format!("it says of itself: {text}")),
        Err(error) => Some(format!("it does not say what it is: {}", error.0)),
    }
}

fn unclear(address: &GatewayAddress, why: &str) -> String {
    let text = format!(
        "{address}: it cannot be told without risk what this is. One question was sent that no known gateway or advisor trades on; \
         {why}. Nothing more was sent: some trade on any message."
    );
    let advice =
        "look into the gateway's documentation, or at the advisor in the terminal, and set the dialect by hand";
    format!("{}\n{}", wrapped("error: ", "  ", &text), wrapped("  what to do: ", "  ", advice))
}

fn capabilities(dialect: &Dialect) -> String {
    let yes = |can: bool| if can { "yes" } else { "no" };
    format!(
        "it reports positions: {}; closes one by its ticket: {}; can be asked about an order by its id: {}; tells the account's money: {}; \
         carries stops and targets: {}; takes {} to {} lots",
        yes(dialect.reports_positions),
        yes(dialect.closes_by_ticket),
        yes(dialect.asks_by_id),
        yes(dialect.tells_account),
        yes(dialect.carries_exits),
        dialect.lots.least,
        dialect.lots.most
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["127.0.0.1:5555", "gateway.example:1", "[::1]:5555"] {
            assert!(GatewayAt::from_str(good).is_ok(), "{good}");
        }
        for wrong in
            ["", "5555", "host", "host:", ":5555", "host:0", "host:65536", "::1:5555", "[::1:5", "a b:5", "tcp://a:5"]
        {
            assert!(GatewayAt::from_str(wrong).is_err(), "{wrong}");
        }
    }
}
