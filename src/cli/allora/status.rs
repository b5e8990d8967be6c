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
use crate::config::AlloraConfig;
use crate::http::{Deadline, HttpError};
use crate::system::{SystemChance, WallClock};
use crate::venues::allora::address::Address;
use crate::venues::allora::client::{AccountState, Client, ClientError};
use crate::venues::allora::endpoints::{EndpointHealth, EndpointSettings};
use crate::venues::allora::health::{CoolDown, Tip};
use crate::venues::allora::messages::Emissions;
use crate::venues::allora::queries::{GasPrice, LatestInference, Params, Topic, WindowStatus};
use crate::venues::allora::wallet::{Wallet, topic_of};

/// For everything that is asked.
const ALL_MAX: Duration = Duration::from_secs(30);
/// What a submission takes, about, with room to spare.
const GAS_OF_SUBMISSION: u64 = 500_000;
/// What a registration takes, likewise.
const GAS_OF_REGISTRATION: u64 = 250_000;
/// The width of the first column.
const LABEL: usize = 12;
/// uallo in one ALLO.
const ALLO: u128 = 1_000_000_000_000_000_000;

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

/// What the chain says about one worker and one topic.
struct Standing {
    tip: Tip,
    emissions: Emissions,
    account: AccountState,
    balance_uallo: u128,
    price: GasPrice,
    params: Params,
    topic: Topic,
    window: WindowStatus,
    inference: Option<LatestInference>,
}

/// One line about one thing.
struct Finding {
    about: &'static str,
    text: String,
    /// What an operator can do; `None`: all is well.
    to_do: Option<String>,
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
    let age = clock.now().since(standing.tip.time);
    let mut findings = vec![chain(&config, &standing, age)];
    findings.extend(client.endpoints().health().iter().map(endpoint));
    findings.extend(worker(&standing, &address, config.network.faucet()));
    findings.extend(submissions(&standing));
    for Finding { about, text, to_do } in &findings {
        let text = to_do.as_ref().map_or_else(|| text.clone(), |to_do| format!("{text}. What to do: {to_do}"));
        let label = format!("{:<LABEL$}", format!("{about}:"));
        writeln!(out, "{}", wrapped(&label, &" ".repeat(LABEL), &text)).map_err(|error| unwritten(&error))?;
    }
    Ok(if findings.iter().all(|finding| finding.to_do.is_none()) { exit::OK } else { exit::FAILED })
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

fn client(config: &AlloraConfig, clock: Arc<WallClock>) -> Result<Client, HttpError> {
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

async fn ask(client: &Client, address: &Address, topic: u64, until: Deadline) -> Result<Standing, ClientError> {
    Ok(Standing {
        tip: client.endpoints().latest(until).await?,
        emissions: client.emissions(until).await?,
        account: client.account(address, until).await?,
        balance_uallo: client.balance_uallo(address, until).await?,
        price: client.gas_price(until).await?,
        params: client.params(until).await?,
        topic: client.topic(topic, until).await?,
        window: client.window_status(topic, address, until).await?,
        inference: client.latest_inference(topic, address, until).await?,
    })
}

fn good(about: &'static str, text: String) -> Finding {
    Finding { about, text, to_do: None }
}

fn chain(config: &AlloraConfig, standing: &Standing, age: Duration) -> Finding {
    let Standing { tip, emissions, .. } = standing;
    let text = format!("{}, block {}, {} s old, emissions {emissions}", config.chain_id, tip.height, age.as_secs());
    good("Chain", text)
}

/// One that is not used keeps nobody from submitting while another one is.
fn endpoint(endpoint: &EndpointHealth) -> Finding {
    let text = match (&endpoint.trouble, endpoint.latency) {
        (Some(trouble), _) => format!("{} is not used: {trouble}", endpoint.name),
        (None, Some(latency)) => format!("{} answers in {} ms", endpoint.name, latency.as_millis()),
        (None, None) => endpoint.name.clone(),
    };
    good("Endpoint", text)
}

fn worker(standing: &Standing, address: &Address, faucet: Option<&str>) -> Vec<Finding> {
    let account = match standing.account {
        AccountState::Known(account) => {
            format!("{address}, number {}, next sequence {}", account.number, account.sequence)
        }
        AccountState::Unfunded => format!("{address}, which the chain does not know: nobody has sent it anything"),
    };
    let needed = needed_uallo(standing);
    let balance = format!("{} ALLO", allo(standing.balance_uallo));
    let to_do = needed.filter(|needed| standing.balance_uallo < *needed).map(|needed| {
        let from = faucet.map_or_else(String::new, |faucet| format!(", for example from {faucet}"));
        format!("send it at least {} ALLO{from}", allo(needed - standing.balance_uallo))
    });
    vec![good("Worker", account), Finding { about: "Balance", text: balance, to_do }]
}

/// For one submission, and the registration before it when there was none.
fn needed_uallo(standing: &Standing) -> Option<u128> {
    let submission =
        standing.price.fee_uallo(GAS_OF_SUBMISSION)?.checked_add(standing.params.data_sending_fee_uallo)?;
    if standing.window.is_registered {
        return Some(submission);
    }
    let registration = standing.price.fee_uallo(GAS_OF_REGISTRATION)?;
    submission.checked_add(registration)?.checked_add(standing.params.registration_fee_uallo)
}

fn submissions(standing: &Standing) -> Vec<Finding> {
    let Standing { topic, window, params, tip, inference, .. } = standing;
    let about_topic = format!("{}, a window of {} blocks every {}", topic.id, topic.window, topic.epoch_length);
    let topic_to_do = match () {
        () if topic.is_multi => {
            Some("choose another topic: this one wants several values, and a forecast is one".to_owned())
        }
        () if !window.is_topic_active => {
            Some("wait, or choose another topic: this one is not active, so it has no windows".to_owned())
        }
        () => None,
    };
    let fee = allo(params.registration_fee_uallo);
    let registered = yes_or_no(window.is_registered, "Registered", || {
        format!("let a node run with this wallet: it registers the worker, for {fee} ALLO")
    });
    let whitelisted = yes_or_no(window.is_whitelisted, "Whitelist", || {
        "ask the topic's creator to put the worker's address on its whitelist".to_owned()
    });
    let inference = match inference {
        Some(inference) => format!("{} for nonce {}", inference.value, inference.nonce),
        None => "none that is still shown: the chain clears them when a window closes".to_owned(),
    };
    vec![
        Finding { about: "Topic", text: about_topic, to_do: topic_to_do },
        registered,
        whitelisted,
        good("Window", window_text(*window, tip.height)),
        good("Inference", inference),
    ]
}

fn yes_or_no(is_so: bool, about: &'static str, to_do: impl FnOnce() -> String) -> Finding {
    Finding { about, text: if is_so { "yes" } else { "no" }.to_owned(), to_do: (!is_so).then(to_do) }
}

/// A transaction that is sent now lands in the next block at the earliest.
fn window_text(window: WindowStatus, height: u64) -> String {
    if window.is_open && height < window.end {
        return format!(
            "open for nonce {}, for {} more blocks, until {}",
            window.nonce,
            window.end - height,
            window.end
        );
    }
    match window.next_start.checked_sub(height) {
        Some(blocks) => format!("closed; the next one is expected in {blocks} blocks, at {}", window.next_start),
        None => "closed; when the next one opens is not known".to_owned(),
    }
}

/// Exact, without zeros at its end.
fn allo(uallo: u128) -> String {
    let text = format!("{}.{:018}", uallo / ALLO, uallo % ALLO);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_shown_exactly() {
        let shown = [0, 1, ALLO, 12 * ALLO + ALLO / 2, u128::MAX].map(allo);
        let expected = ["0", "0.000000000000000001", "1", "12.5", "340282366920938463463.374607431768211455"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_window_that_ends_with_this_block_is_closed_for_a_new_transaction() {
        let window = WindowStatus {
            is_open: true,
            nonce: 100,
            start: 100,
            end: 120,
            next_start: 820,
            next_end: 840,
            is_registered: true,
            is_whitelisted: true,
            is_topic_active: true,
        };
        assert_eq!(window_text(window, 119), "open for nonce 100, for 1 more blocks, until 120");
        assert_eq!(window_text(window, 120), "closed; the next one is expected in 700 blocks, at 820");
        assert_eq!(window_text(window, 821), "closed; when the next one opens is not known");
    }
}
