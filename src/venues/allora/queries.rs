//! What the chain's application says, in this program's terms.
//!
//! An answer about something else than what was asked for is refused. Amounts of uallo do not fit 64 bits.

use super::query_messages::{
    AccountAnswer, CoinAnswer, InferencesAnswer, LatestInferenceAnswer, ParamsAnswer, ScoreMessage, ScoresAnswer,
    TopicAnswer, WindowAnswer,
};

/// What is so after a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At<T> {
    /// The block.
    pub height: u64,
    pub value: T,
}

/// An account that the chain knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    pub number: u64,
    /// Of its next transaction.
    pub sequence: u64,
    /// The block after which this was so.
    pub height: u64,
}

/// The price of one unit of gas, exact: uallo times 10^18.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GasPrice {
    scaled: u128,
}

impl GasPrice {
    /// What the fee market scales its decimals by.
    const SCALE: u128 = 1_000_000_000_000_000_000;

    /// From uallo per unit of gas, times 10^18.
    #[must_use]
    pub const fn from_scaled(scaled: u128) -> Self {
        Self { scaled }
    }

    /// uallo per unit of gas, times 10^18.
    #[must_use]
    pub const fn scaled(self) -> u128 {
        self.scaled
    }

    /// The least fee for a gas limit, in uallo: the product, rounded up as the fee market does it. `None` when no coin has so
    /// much.
    #[must_use]
    pub fn fee_uallo(self, gas_limit: u64) -> Option<u128> {
        let gas = u128::from(gas_limit);
        let whole = (self.scaled / Self::SCALE).checked_mul(gas)?;
        // Below 2^64 times 10^18, which fits.
        whole.checked_add((self.scaled % Self::SCALE * gas).div_ceil(Self::SCALE))
    }
}

/// Whether one worker may submit to one topic, as of the newest committed block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowStatus {
    /// The newest committed block of the endpoint that has answered.
    pub height: u64,
    /// For the newest committed block. A transaction lands in the next one at the earliest.
    pub is_open: bool,
    /// The nonce: a block height. 0: there was none.
    pub nonce: u64,
    /// First and last block of its window.
    pub start: u64,
    pub end: u64,
    /// Where the next window is expected.
    pub next_start: u64,
    pub next_end: u64,
    pub is_registered: bool,
    pub is_whitelisted: bool,
    pub is_topic_active: bool,
}

/// A worker's newest inference. It is gone when its window is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestInference {
    /// A block height.
    pub nonce: u64,
    /// A decimal, as the chain writes it.
    pub value: String,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub id: u64,
    /// What it is about, in its creator's words.
    pub metadata: String,
    /// The block at whose end its last epoch ended, which is the nonce of its newest window.
    pub epoch_last_ended: u64,
    /// In blocks.
    pub epoch_length: u64,
    /// In blocks.
    pub ground_truth_lag: u64,
    /// In blocks.
    pub window: u64,
    /// It wants several values, which this program has not.
    pub is_multi: bool,
}

impl Topic {
    /// About the block from which on the window of `nonce` has its score: scoring follows the ground truth, at the end of an epoch.
    #[must_use]
    pub fn scored_about(&self, nonce: u64) -> u64 {
        let epoch = self.epoch_length.max(1);
        nonce.saturating_add(self.ground_truth_lag.saturating_add(epoch).div_ceil(epoch).saturating_mul(epoch))
    }
}

/// Parameters of the emissions module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    pub registration_fee_uallo: u128,
    /// Charged for each submission, beside the transaction's fee.
    pub data_sending_fee_uallo: u128,
    /// For so many epochs after its rewards an inference is kept.
    pub epochs_kept: u64,
}

/// An inference that was active when its window closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredInference {
    pub worker: String,
    /// A decimal, as the chain writes it.
    pub value: String,
}

/// A worker's score: the running one, or that of one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Score {
    pub worker: String,
    /// The nonce of the newest window that is in it.
    pub nonce: u64,
    /// A decimal, as the chain writes it.
    pub score: String,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    #[error("it is not the expected message: {0}")]
    Decode(String),
    #[error("it lacks {0}")]
    Missing(&'static str),
    #[error("{0} is no whole number from 0 to 2^128")]
    Number(&'static str),
    #[error("it is about {0} and not about what was asked for")]
    Other(String),
}

/// An amount as the chain writes it: a whole number, without a sign.
pub(super) fn amount(text: &str, what: &'static str) -> Result<u128, AnswerError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AnswerError::Number(what));
    }
    text.parse().map_err(|_| AnswerError::Number(what))
}

pub(super) fn coin(answer: CoinAnswer, denom: &str, what: &'static str) -> Result<u128, AnswerError> {
    let coin = answer.coin.ok_or(AnswerError::Missing(what))?;
    if coin.denom != denom {
        return Err(AnswerError::Other(short(&coin.denom)));
    }
    amount(&coin.amount, what)
}

pub(super) fn account(answer: AccountAnswer, address: &str, height: u64) -> Result<Account, AnswerError> {
    let info = answer.info.ok_or(AnswerError::Missing("an account"))?;
    if info.address != address {
        return Err(AnswerError::Other(short(&info.address)));
    }
    Ok(Account { number: info.account_number, sequence: info.sequence, height })
}

pub(super) fn params(answer: ParamsAnswer) -> Result<Params, AnswerError> {
    let params = answer.params.ok_or(AnswerError::Missing("parameters"))?;
    Ok(Params {
        registration_fee_uallo: amount(&params.registration_fee, "the registration fee")?,
        data_sending_fee_uallo: amount(&params.data_sending_fee, "the data sending fee")?,
        epochs_kept: height(params.min_epoch_length_record_limit)?,
    })
}

pub(super) fn topic(answer: TopicAnswer, id: u64) -> Result<Topic, AnswerError> {
    let topic = answer.topic.ok_or(AnswerError::Missing("a topic"))?;
    if topic.id != id {
        return Err(AnswerError::Other(format!("topic {}", topic.id)));
    }
    Ok(Topic {
        id,
        metadata: topic.metadata,
        epoch_last_ended: height(topic.epoch_last_ended)?,
        epoch_length: height(topic.epoch_length)?,
        ground_truth_lag: height(topic.ground_truth_lag)?,
        window: height(topic.worker_submission_window)?,
        is_multi: topic.output_arity > 1,
    })
}

pub(super) fn window(answer: &WindowAnswer, at: u64) -> Result<WindowStatus, AnswerError> {
    Ok(WindowStatus {
        height: at,
        is_open: answer.is_open,
        nonce: height(answer.current_nonce_block_height)?,
        start: height(answer.window_start_block)?,
        end: height(answer.window_end_block)?,
        next_start: height(answer.next_window_start_block)?,
        next_end: height(answer.next_window_end_block)?,
        is_registered: answer.is_registered,
        is_whitelisted: answer.is_whitelisted,
        is_topic_active: answer.is_topic_active,
    })
}

pub(super) fn latest_inference(
    answer: LatestInferenceAnswer,
    topic: u64,
    worker: &str,
) -> Result<Option<LatestInference>, AnswerError> {
    let Some(inference) = answer.inference else { return Ok(None) };
    if inference.topic != topic || inference.inferer != worker {
        return Err(AnswerError::Other(format!("topic {} and {}", inference.topic, short(&inference.inferer))));
    }
    let labelled = inference.values.into_iter().next().map(|labelled| labelled.value);
    Ok(Some(LatestInference { nonce: height(inference.block_height)?, value: labelled.unwrap_or(inference.value) }))
}

/// Those of one window of a topic; an answer about anything else is refused.
pub(super) fn inferences(
    answer: InferencesAnswer,
    topic: u64,
    nonce: i64,
) -> Result<Vec<StoredInference>, AnswerError> {
    let inferences = answer.inferences.map(|answer| answer.inferences).unwrap_or_default();
    let read = inferences.into_iter().map(|inference| {
        if (inference.topic, inference.block_height) != (topic, nonce) {
            return Err(AnswerError::Other(format!("topic {} at {}", inference.topic, inference.block_height)));
        }
        let value = inference.values.into_iter().next().unwrap_or(inference.value);
        Ok(StoredInference { worker: short(&inference.inferer), value: short(&value) })
    });
    read.collect()
}

/// Those of one window of a topic.
pub(super) fn scores(answer: ScoresAnswer, topic: u64, nonce: u64) -> Result<Vec<Score>, AnswerError> {
    let scores = answer.scores.map(|answer| answer.scores).unwrap_or_default();
    let of_window = |one: ScoreMessage| match score(one, topic)? {
        one if one.nonce == nonce => Ok(one),
        other => Err(AnswerError::Other(format!("the window {}", other.nonce))),
    };
    scores.into_iter().map(of_window).collect()
}

pub(super) fn score(answer: ScoreMessage, topic: u64) -> Result<Score, AnswerError> {
    if answer.topic != topic {
        return Err(AnswerError::Other(format!("topic {}", answer.topic)));
    }
    Ok(Score { worker: short(&answer.address), nonce: height(answer.block_height)?, score: short(&answer.score) })
}

/// The nonce whose rewards were paid last; 0: none was.
pub(super) fn reward_nonce(nonce: i64) -> Result<u64, AnswerError> {
    height(nonce)
}

fn height(height: i64) -> Result<u64, AnswerError> {
    u64::try_from(height).map_err(|_| AnswerError::Number("a number of blocks"))
}

/// For a message: what a server sends may be long, or control a terminal.
fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(80).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::query_messages::{AccountMessage, CoinMessage, InferenceMessage, LabeledValueMessage};
    use super::*;

    #[test]
    fn the_least_fee_is_the_exact_product_rounded_up() {
        let fee = |scaled, gas| GasPrice::from_scaled(scaled).fee_uallo(gas);
        assert_eq!(fee(10 * GasPrice::SCALE, 216_000), Some(2_160_000));
        assert_eq!(fee(10 * GasPrice::SCALE + 1, 216_000), Some(2_160_001), "a part of a uallo is a whole one");
        assert_eq!(fee(250_000_000 * GasPrice::SCALE, 404_000), Some(101_000_000_000_000));
        assert_eq!((fee(0, 7), fee(1, 0), fee(1, 1)), (Some(0), Some(0), Some(1)));
        assert_eq!(fee(u128::MAX, 1), Some(u128::MAX / GasPrice::SCALE + 1));
    }

    proptest! {
        #[test]
        fn a_fee_is_enough_and_one_uallo_less_is_not(scaled in 0..10_u128.pow(28), gas in 0..1_000_000_000_u64) {
            let fee = GasPrice::from_scaled(scaled).fee_uallo(gas).unwrap();
            // Below 10^28 times 10^9, which fits.
            let product = scaled * u128::from(gas);
            prop_assert!(fee * GasPrice::SCALE >= product);
            prop_assert!(fee == 0 || (fee - 1) * GasPrice::SCALE < product);
        }

        #[test]
        fn no_price_overflows(scaled in any::<u128>(), gas in any::<u64>()) {
            let _ = GasPrice::from_scaled(scaled).fee_uallo(gas);
        }
    }

    #[test]
    fn an_amount_beyond_64_bits_is_exact_and_anything_else_is_none() {
        assert_eq!(amount("340282366920938463463374607431768211455", "x"), Ok(u128::MAX));
        for wrong in ["", "-1", "+1", "1.5", "1e3", " 1", "340282366920938463463374607431768211456", "١"] {
            assert_eq!(amount(wrong, "x"), Err(AnswerError::Number("x")), "{wrong}");
        }
    }

    #[test]
    fn an_answer_about_something_else_is_refused() {
        let coin =
            |denom: &str| CoinAnswer { coin: Some(CoinMessage { denom: denom.to_owned(), amount: "7".to_owned() }) };
        assert_eq!(super::coin(coin("uallo"), "uallo", "x"), Ok(7));
        assert!(matches!(super::coin(coin("uatom"), "uallo", "x"), Err(AnswerError::Other(_))));
        let info = AccountMessage { address: "allo1a".to_owned(), account_number: 3, sequence: 9 };
        let answer = AccountAnswer { info: Some(info) };
        assert_eq!(account(answer.clone(), "allo1a", 5), Ok(Account { number: 3, sequence: 9, height: 5 }));
        assert!(matches!(account(answer, "allo1b", 5), Err(AnswerError::Other(_))));
    }

    #[test]
    fn the_value_of_an_inference_is_the_labelled_one_when_there_is_one() {
        let of = |values: &[&str]| {
            let label = |value: &&str| LabeledValueMessage { label: "y".to_owned(), value: (*value).to_owned() };
            let inference = InferenceMessage {
                topic: 67,
                block_height: 100,
                inferer: "allo1a".to_owned(),
                value: "0".to_owned(),
                values: values.iter().map(label).collect(),
            };
            latest_inference(LatestInferenceAnswer { inference: Some(inference) }, 67, "allo1a").unwrap().unwrap().value
        };
        assert_eq!(of(&["-1.2E-7"]), "-1.2E-7");
        assert_eq!(of(&[]), "0", "a chain of v9 has no labels");
    }
}
