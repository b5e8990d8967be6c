//! How a worker stands on the chain: what is asked, and what it means. `sentinel allora status` and `sentinel check --probe` say the
//! same about it, because both say what is found here.

use std::time::Duration;

use sentinel_actors::domain::time::UtcMs;

use crate::config::AlloraConfig;
use crate::http::Deadline;
use crate::venues::allora::address::Address;
use crate::venues::allora::client::{AccountState, Client, ClientError};
use crate::venues::allora::clocks::{ClockReading, Disagreement};
use crate::venues::allora::endpoints::EndpointHealth;
use crate::venues::allora::health::Tip;
use crate::venues::allora::messages::Emissions;
use crate::venues::allora::money::{Allo, Purse};
use crate::venues::allora::queries::{GasPrice, LatestInference, Params, Topic, WindowStatus};

/// The time of a block is measured over so many.
const MEASURED_BLOCKS: u64 = 100;
/// What it is where it cannot be measured: blocks take 5.6 to 6 seconds.
const BLOCK_MS: u64 = 5_800;
/// A balance that lasts less long is worth a word.
const DAYS_MIN: u128 = 7;
/// More days are not counted: no price stays the same for so long.
const DAYS_MAX: u128 = 3_650;

/// What the chain says about one worker and one topic.
pub(super) struct Standing {
    tip: Tip,
    emissions: Emissions,
    account: AccountState,
    balance_uallo: u128,
    price: GasPrice,
    params: Params,
    pub topic: Topic,
    window: WindowStatus,
    inference: Option<LatestInference>,
    /// Milliseconds from block to block, above zero.
    pub block_ms: u64,
}

/// How bad it is when there is something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// It keeps the worker from submitting.
    Stops,
    /// It does too, until a node runs live, which does it by itself.
    UntilLive,
    /// It keeps nobody from submitting now.
    Later,
}

/// One line about one thing.
pub(in super::super) struct Finding {
    pub about: &'static str,
    pub text: String,
    /// What an operator can do; `None`: all is well.
    pub(super) to_do: Option<(Weight, String)>,
}

impl Finding {
    pub(super) const fn good(about: &'static str, text: String) -> Self {
        Self { about, text, to_do: None }
    }

    pub(super) fn bad(about: &'static str, text: String, to_do: &str) -> Self {
        Self { about, text, to_do: Some((Weight::Stops, to_do.to_owned())) }
    }

    /// It keeps the worker from submitting now.
    pub(super) const fn keeps_from_submitting(&self) -> bool {
        matches!(self.to_do, Some((Weight::Stops | Weight::UntilLive, _)))
    }

    /// It needs an operator, sooner or later.
    pub(in super::super) const fn needs_an_operator(&self) -> bool {
        matches!(self.to_do, Some((Weight::Stops | Weight::Later, _)))
    }

    /// What it says, and what to do.
    pub(in super::super) fn whole(&self) -> String {
        match &self.to_do {
            Some((_, to_do)) => format!("{}: {to_do}", self.text),
            None => self.text.clone(),
        }
    }
}

/// Asks the chain everything; nothing is sent.
///
/// # Errors
/// When it cannot be asked.
pub(super) async fn ask(
    client: &Client,
    address: &Address,
    topic: u64,
    until: Deadline,
) -> Result<Standing, ClientError> {
    let tip = client.endpoints().latest(until).await?;
    Ok(Standing {
        emissions: client.emissions(until).await?,
        account: client.account(address, until).await?,
        balance_uallo: client.balance_uallo(address, until).await?,
        price: client.gas_price(until).await?,
        params: client.params(until).await?,
        topic: client.topic(topic, until).await?,
        window: client.window_status(topic, address, until).await?,
        inference: client.latest_inference(topic, address, until).await?,
        block_ms: block_ms(client, tip, until).await.unwrap_or(BLOCK_MS),
        tip,
    })
}

/// By the last blocks; `None` when the chain is too young or does not say.
async fn block_ms(client: &Client, tip: Tip, until: Deadline) -> Option<u64> {
    let oldest = client.endpoints().header(tip.height.checked_sub(MEASURED_BLOCKS)?, until).await.ok()?;
    let block_ms = u64::try_from(tip.time.since(oldest.time).as_millis()).ok()? / MEASURED_BLOCKS;
    (block_ms > 0).then_some(block_ms)
}

/// What it means. `now` is this machine's time.
pub(super) fn findings(
    config: &AlloraConfig,
    client: &Client,
    standing: &Standing,
    address: &Address,
    now: UtcMs,
) -> Vec<Finding> {
    // The endpoints' clock is compared with the block's; this machine's may be wrong.
    let clocks_read = client.endpoints().clocks();
    let now = clocks_read.and_then(|(reading, _)| reading.endpoints).unwrap_or(now);
    let mut findings = vec![chain(config, standing, now.since(standing.tip.time))];
    findings.extend(clocks(clocks_read));
    findings.extend(client.endpoints().health().iter().map(endpoint));
    findings.extend(worker(standing, address, config.network.faucet()));
    findings.extend(submissions(standing));
    findings
}

fn chain(config: &AlloraConfig, standing: &Standing, age: Duration) -> Finding {
    let Standing { tip, emissions, .. } = standing;
    let text = format!("{}, block {}, {} s old, emissions {emissions}", config.chain_id, tip.height, age.as_secs());
    Finding::good("Chain", text)
}

/// A wrong clock keeps nobody from submitting.
fn clocks(read: Option<(ClockReading, Option<Disagreement>)>) -> Option<Finding> {
    let (reading, apart) = read?;
    let (text, to_do) = match apart {
        Some(apart) => (apart.to_string(), Some((Weight::Later, apart.to_do().to_owned()))),
        None if reading.endpoints.is_some() => ("this machine, the endpoints and the chain agree".to_owned(), None),
        None => ("this machine and the chain agree".to_owned(), None),
    };
    Some(Finding { about: "Clocks", text, to_do })
}

/// One that is not used keeps nobody from submitting while another one is.
fn endpoint(endpoint: &EndpointHealth) -> Finding {
    let (text, to_do) = match (&endpoint.trouble, endpoint.latency) {
        (Some(trouble), _) => {
            let to_do = "when it stays so, name another one in allora.rpc".to_owned();
            (format!("{} is not used: {trouble}", endpoint.name), Some((Weight::Later, to_do)))
        }
        (None, Some(latency)) => (format!("{} answers in {} ms", endpoint.name, latency.as_millis()), None),
        (None, None) => (endpoint.name.clone(), None),
    };
    Finding { about: "Endpoint", text, to_do }
}

fn worker(standing: &Standing, address: &Address, faucet: Option<&str>) -> Vec<Finding> {
    let account = match standing.account {
        AccountState::Known(account) => {
            format!("{address}, number {}, next sequence {}", account.number, account.sequence)
        }
        AccountState::Unfunded => format!("{address}, which the chain does not know: nobody has sent it anything"),
    };
    vec![Finding::good("Worker", account), balance(standing, faucet)]
}

/// By the same figures as the node, which refuses before the wallet is empty.
fn balance(standing: &Standing, faucet: Option<&str>) -> Finding {
    let about = "Balance";
    let text = Allo(standing.balance_uallo).to_string();
    let Ok(purse) = Purse::of(standing.balance_uallo, standing.price, &standing.params) else {
        return Finding::bad(about, text, "look at allora.rpc: the price of gas that an endpoint tells fits no fee");
    };
    let from = faucet.map_or_else(String::new, |faucet| format!(", for example from {faucet}"));
    let missing = purse.missing(standing.window.is_registered);
    if missing > 0 {
        return Finding::bad(about, text, &format!("send it at least {}{from}", Allo(missing)));
    }
    let days = purse.days_left(standing.topic.epoch_length.saturating_mul(standing.block_ms));
    if days > DAYS_MAX {
        return Finding::good(about, format!("{text}, which lasts for more than {DAYS_MAX} days"));
    }
    let windows = purse.windows_left();
    let text = format!("{text}, which lasts for {days} days, {windows} windows, at the price of now");
    let to_do = (days < DAYS_MIN).then(|| (Weight::Later, format!("send it more{from}")));
    Finding { about, text, to_do }
}

fn submissions(standing: &Standing) -> Vec<Finding> {
    let Standing { topic, window, params, tip, inference, .. } = standing;
    let about_topic = format!("{}, a window of {} blocks every {}", topic.id, topic.window, topic.epoch_length);
    let topic = match () {
        () if topic.is_multi => Finding::bad(
            "Topic",
            about_topic,
            "choose another topic: this one wants several values, and a forecast is one",
        ),
        () if !window.is_topic_active => Finding::bad(
            "Topic",
            about_topic,
            "wait, or choose another topic: this one is not active, so it has no windows",
        ),
        () => Finding::good("Topic", about_topic),
    };
    let fee = Allo(params.registration_fee_uallo);
    let registered = yes_or_no(window.is_registered, "Registered", Weight::UntilLive, || {
        format!("let a node run with this wallet: it registers the worker, for {fee}")
    });
    let whitelisted = yes_or_no(window.is_whitelisted, "Whitelist", Weight::Stops, || {
        "ask the topic's creator to put the worker's address on its whitelist".to_owned()
    });
    let inference = match inference {
        Some(inference) => format!("{} for nonce {}", inference.value, inference.nonce),
        None => "none that is still shown: the chain clears them when a window closes".to_owned(),
    };
    vec![
        topic,
        registered,
        whitelisted,
        Finding::good("Window", window_text(*window, tip.height)),
        Finding::good("Inference", inference),
    ]
}

fn yes_or_no(is_so: bool, about: &'static str, weight: Weight, to_do: impl FnOnce() -> String) -> Finding {
    let text = if is_so { "yes" } else { "no" }.to_owned();
    Finding { about, text, to_do: (!is_so).then(|| (weight, to_do())) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_ends_with_this_block_is_closed_for_a_new_transaction() {
        let window = WindowStatus {
            height: 100,
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
