//! `[allora]`: the network that forecasts are submitted to, and the endpoints that it is asked at.
//!
//! The section has no part in a configuration that does not have it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeTable;

use super::env::Env;
use super::problem::{ConfigErrors, Location};
use super::reader::{Reading, Section, WhenAbsent};
use super::values::SHORT;
use crate::http::Url;
use crate::venues::allora::fees::FeeCaps;
use crate::venues::allora::messages::Emissions;
use crate::venues::allora::money::Allo;
use crate::venues::allora::signing::TxHash;

/// `[allora]`.
#[derive(Debug, Clone, PartialEq)]
pub struct AlloraConfig {
    pub network: Network,
    /// Endpoints of another chain are not used.
    pub chain_id: String,
    /// CometBFT endpoints, in the order of preference.
    pub rpc: Vec<Url>,
    /// The version of messages; `None`: what the chain speaks.
    pub emissions: Option<Emissions>,
    /// Address of a transaction's page, with `{hash}` where its hash goes.
    pub explorer: String,
    /// For one call to one endpoint.
    pub call_timeout: Duration,
    /// An endpoint with an older newest block is not used.
    pub stale_after: Duration,
    /// What one transaction, and those of 24 hours, may offer as fees, in uallo.
    pub caps: FeeCaps,
}

/// Which network; others are one of these with their own `chain_id` and `rpc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    Testnet,
    Mainnet,
}

impl Network {
    pub const NAMED: [(&str, Self); 2] = [("testnet", Self::Testnet), ("mainnet", Self::Mainnet)];

    const fn chain_id(self) -> &'static str {
        match self {
            Self::Testnet => "allora-testnet-1",
            Self::Mainnet => "allora-mainnet-1",
        }
    }

    const fn rpc(self) -> &'static str {
        match self {
            Self::Testnet => "https://allora-rpc.testnet.allora.network/",
            Self::Mainnet => "https://allora-rpc.mainnet.allora.network/",
        }
    }

    const fn explorer(self) -> &'static str {
        match self {
            Self::Testnet => "https://testnet.explorer.allora.network/explorer/transactions/{hash}",
            Self::Mainnet => "https://explorer.allora.network/explorer/transactions/{hash}",
        }
    }

    /// Who gives away coins that are worth nothing.
    #[must_use]
    pub const fn faucet(self) -> Option<&'static str> {
        match self {
            Self::Testnet => Some("https://faucet.testnet.allora.network"),
            Self::Mainnet => None,
        }
    }
}

impl AlloraConfig {
    /// A network with every default.
    ///
    /// # Errors
    /// When there is no network of that name.
    pub fn of_network(name: &str) -> Result<Self, ConfigErrors> {
        let text = format!("network = {name:?}");
        let mut reading = Reading::new(&text, PathBuf::new(), Env::default(), BTreeMap::new());
        let (document, _) = DeTable::parse_recoverable(&text);
        let config = allora(Section::new(&mut reading, "allora", Location::File, document.get_ref()));
        config.ok_or_else(|| ConfigErrors::new("--network".to_owned(), reading.problems))
    }

    /// The page of a transaction.
    #[must_use]
    pub fn transaction_page(&self, hash: &TxHash) -> String {
        self.explorer.replace(HASH, &hash.to_string())
    }
}

const HASH: &str = "{hash}";

pub(super) fn allora(mut s: Section<'_, '_>) -> Option<AlloraConfig> {
    use WhenAbsent::Default;
    let network = s.choice("network", Default("testnet"), &Network::NAMED);
    let of = network.unwrap_or(Network::Testnet);
    let chain_id = s.parsed_by("chain_id", Default(of.chain_id()), "the name of a chain", |text| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_name = (1..=50).contains(&text.len()) && text.chars().all(plain);
        if is_name { Ok(text.to_owned()) } else { Err(format!("'{text}' is not the name of a chain")) }
    });
    let rpc = s.list("rpc", of.rpc(), "a list of addresses like https://rpc.example.com/, each once", |text| {
        rpc_address(text).map_err(Into::into)
    });
    let versions = [("auto", None), ("v10", Some(Emissions::V10)), ("v9", Some(Emissions::V9))];
    let emissions = s.choice("emissions_version", Default("auto"), &versions);
    let explorer = s.parsed_by("explorer", Default(of.explorer()), "an address with {hash} in it", |text| {
        let is_address = text.starts_with("https://") && text.contains(HASH);
        if is_address {
            Ok(text.to_owned())
        } else {
            Err(format!("'{text}' is not an https address with {HASH} in it"))
        }
    });
    let call_timeout = s.duration("call_timeout", Default("5s"), SHORT);
    let stale_after = s.duration("stale_after", Default("1m"), SHORT);
    let max_fee = s.parsed::<Allo>("max_fee", Default("0.01"), "");
    let max_fee_per_day = s.parsed::<Allo>("max_fee_per_day", Default("0.1"), "");
    let max_registration = s.parsed::<Allo>("max_registration", Default("1"), "");
    if let (Some(one), Some(day)) = (max_fee, max_fee_per_day)
        && one > day
    {
        s.report("max_fee_per_day", format!("is less than one transaction may cost, {one}"));
    }
    s.finish();
    Some(AlloraConfig {
        network: network?,
        chain_id: chain_id?,
        rpc: rpc?,
        emissions: emissions?,
        explorer: explorer?,
        call_timeout: call_timeout?,
        stale_after: stale_after?,
        caps: FeeCaps { per_transaction: max_fee?.0, per_day: max_fee_per_day?.0, registration: max_registration?.0 },
    })
}

/// Nothing secret goes to an endpoint, but what it says is believed, so it is asked unencrypted only where an operator says so by
/// writing http.
fn rpc_address(text: &str) -> Result<Url, String> {
    // The text is not repeated: it may hold a key.
    let no_address = "an entry is not an address of the web; write that of CometBFT's RPC, with https";
    let url: Url = text.parse().map_err(|_| no_address.to_owned())?;
    let has_more = url.query().is_some() || url.fragment().is_some();
    match url.scheme() {
        _ if has_more || !url.username().is_empty() || url.password().is_some() => {
            Err("an address of an endpoint has no user, query or fragment".to_owned())
        }
        "https" | "http" if url.host_str().is_some() => Ok(url),
        _ => Err(no_address.to_owned()),
    }
}
