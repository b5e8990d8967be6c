//! `sentinel allora status`: how a wallet stands on the chain, and what keeps it from submitting. It sends nothing.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use sentinel_actors::ports::{Clock as _, elapsed_now};
use tokio::runtime::Builder;

use super::super::prove::load;
use super::super::text::wrapped;
use super::super::{Ended, Failure, exit, read_env};
use super::standing::{Finding, ask, findings};
use crate::config::AlloraConfig;
use crate::http::{Deadline, HttpError};
use crate::system::{SystemChance, WallClock};
use crate::venues::allora::address::Address;
use crate::venues::allora::client::Client;
use crate::venues::allora::endpoints::EndpointSettings;
use crate::venues::allora::health::CoolDown;
use crate::venues::allora::wallet::{Wallet, topic_of};

/// For everything that is asked.
pub(super) const ALL_MAX: Duration = Duration::from_secs(30);
/// The width of the first column.
const LABEL: usize = 12;

/// Arguments of `sentinel allora status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// The topic; TOPIC_ID of the environment or of .env when left out.
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<u64>,
    /// The worker's address; that of the wallet when left out.
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<Address>,
    /// The configuration whose section [allora] counts.
    #[arg(long, value_name = "FILE", conflicts_with = "network")]
    pub config: Option<PathBuf>,
    /// Without a configuration: testnet or mainnet.
    #[arg(long, value_name = "NETWORK", default_value = "testnet")]
    pub network: String,
}

/// Asks the chain and prints what it says: 0 when nothing keeps the worker from submitting, 1 when something does.
///
/// # Errors
/// When the chain cannot be asked; the error knows the exit code.
pub fn run(args: &StatusArgs, out: &mut impl Write) -> Ended {
    let (config, clock) = (config(args)?, Arc::new(WallClock));
    let (address, topic) = who(args)?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| unwritten(&error))?;
    let client = client(&config, clock.clone()).map_err(|error| Failure::new(exit::CONFIG, &error, None))?;
    let until = Deadline::of(ALL_MAX, elapsed_now());
    let standing = runtime.block_on(ask(&client, &address, topic, until))?;
    let findings = findings(&config, &client, &standing, &address, clock.now());
    for finding in &findings {
        let text = match &finding.to_do {
            Some((_, to_do)) => format!("{}. What to do: {to_do}", finding.text),
            None => finding.text.clone(),
        };
        let label = format!("{:<LABEL$}", format!("{}:", finding.about));
        writeln!(out, "{}", wrapped(&label, &" ".repeat(LABEL), &text)).map_err(|error| unwritten(&error))?;
    }
    Ok(if findings.iter().any(Finding::keeps_from_submitting) { exit::FAILED } else { exit::OK })
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::new(exit::IO, error, None)
}

fn config(args: &StatusArgs) -> Result<AlloraConfig, Failure> {
    let Some(file) = &args.config else {
        return Ok(AlloraConfig::of_network(&args.network)?);
    };
    load(file)?.allora.ok_or_else(|| Failure {
        code: exit::CONFIG,
        text: format!(
            "error: {} has no section [allora]\n  what to do: `sentinel config sentinel` shows one",
            file.display()
        ),
    })
}

/// The wallet is not opened when the address is given: nothing here needs its key.
fn who(args: &StatusArgs) -> Result<(Address, u64), Failure> {
    let env = read_env()?;
    let topic = args.topic.map_or_else(|| topic_of(&env), |topic| Ok(Some(topic)))?;
    let topic = topic.ok_or_else(|| Failure {
        code: exit::USAGE,
        text: "error: no topic is given\n  what to do: give --topic, or set TOPIC_ID".to_owned(),
    })?;
    let address = args.address.map_or_else(|| Wallet::open(&env).map(|wallet| wallet.address()), Ok)?;
    Ok((address, topic))
}

pub(super) fn client(config: &AlloraConfig, clock: Arc<WallClock>) -> Result<Client, HttpError> {
    let settings = EndpointSettings {
        chain_id: config.chain_id.clone(),
        rpc: config.rpc.clone(),
        call_max: config.call_timeout,
        stale_after: config.stale_after,
        survey_every: EndpointSettings::SURVEY_EVERY,
        cool_down: CoolDown::default(),
    };
    Client::new(settings, config.emissions, clock, Arc::new(SystemChance))
}
