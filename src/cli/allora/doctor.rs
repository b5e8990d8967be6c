//! What `sentinel check --probe` asks about a pipeline that submits to a topic: the findings of `sentinel allora status`, and
//! whether environment and model fit the topic.

use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{Clock as _, elapsed_now};
use tokio::runtime::Runtime;

use super::super::read_env;
use super::standing::{Finding, ask, findings};
use super::status::{ALL_MAX, client};
use crate::config::{AlloraConfig, Env};
use crate::exit::ExitError;
use crate::http::Deadline;
use crate::system::WallClock;
use crate::venues::allora::queries::Topic;
use crate::venues::allora::wallet::{Wallet, topic_of};

/// Asks everything, and sends nothing. `horizon` is the pipeline's. Without a wallet the chain is not asked.
pub(in super::super) fn doctor(
    config: &AlloraConfig,
    topic: u64,
    horizon: Duration,
    runtime: &Runtime,
) -> Vec<Finding> {
    let env = match read_env() {
        Ok(env) => env,
        Err(error) => return vec![Finding::bad("Wallet", error.text, "correct .env")],
    };
    let mut found: Vec<Finding> = other_topic(&env, topic).into_iter().collect();
    let wallet = match Wallet::open(&env) {
        Ok(wallet) => wallet.address(),
        Err(error) => {
            found.push(failed("Wallet", &error));
            return found;
        }
    };
    found.push(Finding::good("Wallet", format!("opens, and is {wallet}")));
    let client = match client(config, Arc::new(WallClock)) {
        Ok(client) => client,
        Err(error) => {
            found.push(Finding::bad("Chain", chain(&error), "correct allora.rpc"));
            return found;
        }
    };
    let until = Deadline::of(ALL_MAX, elapsed_now());
    match runtime.block_on(ask(&client, &wallet, topic, until)) {
        Err(error) => found.push(failed("Chain", &error)),
        Ok(standing) => {
            found.extend(findings(config, &client, &standing, &wallet, WallClock.now()));
            found.push(horizon_of(&standing.topic, horizon, standing.block_ms));
        }
    }
    found
}

fn failed(about: &'static str, error: &impl ExitError) -> Finding {
    let to_do = error.advice().unwrap_or_else(|| "look at allora.rpc and at the number of the topic".to_owned());
    Finding::bad(about, chain(error), &to_do)
}

/// The configuration counts; who has set another topic in the environment expects something else.
fn other_topic(env: &Env, topic: u64) -> Option<Finding> {
    match topic_of(env) {
        Err(error) => Some(failed("Topic", &error)),
        Ok(Some(other)) if other != topic => Some(Finding::bad(
            "Topic",
            format!("the configuration has {topic}, and TOPIC_ID of the environment is {other}"),
            "remove TOPIC_ID, or write the same number in both",
        )),
        Ok(_) => None,
    }
}

/// A topic scores a forecast by the price after its ground truth's lag: a forecast for another horizon is always wrong.
fn horizon_of(topic: &Topic, horizon: Duration, block_ms: u64) -> Finding {
    let lag_s = topic.ground_truth_lag.saturating_mul(block_ms) / 1000;
    let horizon_s = horizon.as_secs();
    let text = format!(
        "the model looks {} ahead, and the topic's ground truth comes {} blocks after a window, about {}",
        shown(horizon_s),
        topic.ground_truth_lag,
        shown(lag_s)
    );
    if lag_s.abs_diff(horizon_s) > lag_s / 2 {
        let to_do = "take a model for the topic's horizon and set forecast.horizon, or choose a topic of this horizon";
        return Finding::bad("Horizon", text, to_do);
    }
    Finding::good("Horizon", text)
}

/// Whole minutes, and seconds below one.
fn shown(seconds: u64) -> String {
    let seconds = if seconds < 60 { seconds } else { seconds / 60 * 60 };
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_horizon_that_is_not_the_topics_is_a_problem() {
        let topic = Topic {
            id: 67,
            metadata: String::new(),
            epoch_last_ended: 0,
            epoch_length: 720,
            ground_truth_lag: 120_960,
            window: 20,
            is_multi: false,
        };
        let judged = |hours: u64| horizon_of(&topic, Duration::from_secs(hours * 3600), 5_000);
        assert!([84, 168, 240, 252].iter().all(|hours| !judged(*hours).needs_an_operator()));
        for hours in [24, 83, 253] {
            let finding = judged(hours);
            assert!(finding.needs_an_operator(), "{}", finding.text);
            assert!(finding.whole().contains("120960 blocks after a window, about 7days: take a model"));
        }
    }
}
