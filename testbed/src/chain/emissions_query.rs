//! The queries of the emissions module, for the version that the state has.

use prost::Message as _;

use super::decimal::Decimal;
use super::emissions::{
    CommitInfo, CommitReply, CountReply, Emissions, HeightReply, Inference, Inferences, InferencesReply,
    InputInference, LabeledValue, LatestInferenceReply, NetworkInferences, NetworkInferencesReply, Nonce, Nonces,
    NoncesReply, Params, ParamsReply, Score, ScoreReply, Scores, ScoresReply, Topic as TopicMessage, TopicAddress,
    TopicHeight, TopicReply, ValueBundle, ValueBundleReply, WindowStatus, WorkerAttributedValue, WorkerInference,
};
use super::epochs::text_of;
use super::genesis::Arity;
use super::proto::{Text, Truth};
use super::query::{read, unknown};
use super::refusal::Status;
use super::state::{OpenNonce, State, StoredInference, Topic};

pub(super) fn answer(state: &State, method: &str, data: &[u8]) -> Result<Vec<u8>, Status> {
    match method {
        "GetParams" => return Ok(params(state)),
        "IsWhitelistedGlobalWorker" => {
            let Text { text: _ } = read(data)?;
            return Ok(yes(false));
        }
        "IsWorkerNonceUnfulfilled"
        | "GetInferencesAtBlock"
        | "GetNetworkInferencesAtBlock"
        | "GetWorkerInferenceScoresAtBlock"
        | "GetInferenceScoresUntilBlock" => {
            let TopicHeight { topic_id, block_height } = read(data)?;
            return of_height(state, method, topic(state, topic_id)?, block_height);
        }
        _ => {}
    }
    let TopicAddress { topic_id, address } = read(data)?;
    if method == "TopicExists" {
        return Ok(yes(state.topics.contains_key(&topic_id)));
    }
    let topic = topic(state, topic_id)?;
    if let Some(reply) = of_worker(state, method, topic, &address) {
        return reply;
    }
    of_topic(state, method, topic)
}

fn topic(state: &State, id: u64) -> Result<&Topic, Status> {
    state.topics.get(&id).ok_or_else(|| Status::not_found(format!("topic {id} not found")))
}

fn yes(is_true: bool) -> Vec<u8> {
    Truth { is_true }.encode_to_vec()
}

fn params(state: &State) -> Vec<u8> {
    let rules = &state.rules;
    let params = Params {
        version: format!("v{}", state.emissions.number()),
        max_serialized_msg_length: i64::try_from(rules.message_bytes_max).unwrap_or(i64::MAX),
        registration_fee: rules.registration_fee.to_string(),
        min_epoch_length_record_limit: i64::try_from(rules.epochs_kept).unwrap_or(i64::MAX),
        data_sending_fee: rules.data_sending_fee.to_string(),
    };
    ParamsReply { params: Some(params) }.encode_to_vec()
}

/// Queries of a topic and an address; `None` when the method is none of them.
fn of_worker(state: &State, method: &str, topic: &Topic, address: &str) -> Option<Result<Vec<u8>, Status>> {
    Some(match (method, state.emissions) {
        ("IsWorkerRegisteredInTopicId", _) => Ok(yes(topic.registered.contains(address))),
        ("CanSubmitWorkerPayload", _) => Ok(yes(topic.may_submit(address))),
        ("IsWhitelistedTopicWorker", _) => {
            Ok(yes(topic.rules.whitelist.as_ref().is_some_and(|list| list.iter().any(|known| known == address))))
        }
        ("GetWorkerSubmissionWindowStatus", _) => Ok(window_status(state, topic, address).encode_to_vec()),
        ("GetWorkerLatestInputInferenceByTopicId", Emissions::V10)
        | ("GetWorkerLatestInferenceByTopicId", Emissions::V9) => match topic.latest(address) {
            Some(inference) => {
                let inference = shown(topic, inference);
                Ok(LatestInferenceReply { inference: Some(inference) }.encode_to_vec())
            }
            None => Err(Status::not_found(format!("no inference of {address} in topic {}: not found", topic.id))),
        },
        ("GetInfererScoreEma", _) => Ok(ScoreReply { score: Some(ema(topic, address)) }.encode_to_vec()),
        ("GetCountInfererInclusionsInTopic", _) => {
            let count = topic.inclusions.get(address).copied().unwrap_or_default();
            Ok(CountReply { count }.encode_to_vec())
        }
        _ => return None,
    })
}

/// A topic of one value shows it as the scalar.
fn shown(topic: &Topic, inference: &InputInference) -> InputInference {
    let mut inference = inference.clone();
    if topic.rules.arity == Arity::Single {
        inference.values.clear();
    }
    inference
}

fn ema(topic: &Topic, address: &str) -> Score {
    let (block_height, score) = topic.ema.get(address).map_or((0, 0.0), |ema| (ema.block_height, ema.score));
    Score { topic_id: topic.id, block_height, address: address.to_owned(), score: text_of(score) }
}

/// As of the state's height, which is committed; a transaction comes one block later at the earliest.
fn window_status(state: &State, topic: &Topic, address: &str) -> WindowStatus {
    let is_open = |nonce: &&OpenNonce| topic.is_window_open(**nonce, state.height, state.time_ms);
    let open = topic.nonces.iter().find(is_open);
    let next = topic.epoch_last_ended + topic.rules.epoch_length;
    WindowStatus {
        is_open: open.is_some(),
        current_nonce_block_height: open.map_or(0, |nonce| nonce.height),
        window_start_block: open.map_or(0, |nonce| nonce.height),
        window_end_block: open.map_or(0, |nonce| nonce.height + topic.rules.window),
        next_window_start_block: next,
        next_window_end_block: next + topic.rules.window,
        is_registered: topic.registered.contains(address),
        is_whitelisted: topic.may_submit(address),
        is_topic_active: topic.rules.is_active,
    }
}

fn nonces<'a>(heights: impl Iterator<Item = &'a OpenNonce>) -> Vec<u8> {
    let nonces = heights.map(|nonce| Nonce { block_height: nonce.height }).collect();
    NoncesReply { nonces: Some(Nonces { nonces }) }.encode_to_vec()
}

fn of_topic(state: &State, method: &str, topic: &Topic) -> Result<Vec<u8>, Status> {
    Ok(match method {
        "GetTopic" => topic_message(state, topic).encode_to_vec(),
        "IsTopicActive" => yes(topic.rules.is_active),
        "IsTopicWorkerWhitelistEnabled" => yes(topic.rules.whitelist.is_some()),
        "GetUnfulfilledWorkerNonces" => nonces(topic.nonces.iter()),
        "GetOpenWorkerSubmissionWindows" => {
            let is_open = |nonce: &&OpenNonce| topic.is_window_open(**nonce, state.height, state.time_ms);
            nonces(topic.nonces.iter().filter(is_open))
        }
        "GetTopicLastWorkerCommitInfo" => {
            let commit = topic
                .last_commit
                .map(|(block_height, nonce)| CommitInfo { block_height, nonce: Some(Nonce { block_height: nonce }) });
            let commit = commit.ok_or_else(|| Status::not_found("no worker commit: not found"))?;
            CommitReply { last_commit: Some(commit) }.encode_to_vec()
        }
        "GetNextChurningBlockByTopicId" => {
            HeightReply { height: topic.epoch_last_ended + topic.rules.epoch_length }.encode_to_vec()
        }
        "GetTopicRewardNonce" => HeightReply { height: topic.reward_nonce }.encode_to_vec(),
        "GetCurrentLowestInfererScore" => {
            let newest = topic.live.keys().map(|(nonce, _)| *nonce).max();
            let active = topic.live.keys().filter(|(nonce, _)| Some(*nonce) == newest).map(|(_, worker)| worker);
            let lowest = active.min_by(|a, b| topic.score_of(a).total_cmp(&topic.score_of(b)));
            let lowest = lowest.ok_or_else(|| Status::not_found("no active inferers: not found"))?;
            ScoreReply { score: Some(ema(topic, lowest)) }.encode_to_vec()
        }
        "GetLatestNetworkInferences" => {
            let newest = topic.stored.keys().next_back().copied();
            let newest = newest.ok_or_else(|| Status::not_found("network inferences not found"))?;
            network_inferences(state, topic, newest)?
        }
        _ => return Err(unknown()),
    })
}

fn topic_message(state: &State, topic: &Topic) -> TopicReply {
    let rules = &topic.rules;
    let is_v10 = state.emissions == Emissions::V10;
    let message = TopicMessage {
        id: topic.id,
        creator: String::new(),
        metadata: rules.metadata.clone(),
        loss_method: "zptae".to_owned(),
        epoch_last_ended: topic.epoch_last_ended,
        epoch_length: rules.epoch_length,
        ground_truth_lag: rules.ground_truth_lag,
        p_norm: "3".to_owned(),
        alpha_regret: "0.1".to_owned(),
        allow_negative: true,
        epsilon: "0.01".to_owned(),
        initial_regret: "0".to_owned(),
        worker_submission_window: rules.window,
        topic_type: i32::from(is_v10),
        output_arity: match rules.arity {
            _ if !is_v10 => 0,
            Arity::Single => 1,
            Arity::Multi => 2,
        },
        label_whitelist: if is_v10 { rules.labels.clone() } else { Vec::new() },
    };
    TopicReply {
        topic: Some(message),
        weight: "1".to_owned(),
        effective_revenue: "1".to_owned(),
        topic_stake: "1".to_owned(),
    }
}

fn of_height(state: &State, method: &str, topic: &Topic, height: i64) -> Result<Vec<u8>, Status> {
    let none = |what: &str| Status::not_found(format!("{what} of topic {} at block {height} not found", topic.id));
    Ok(match method {
        "IsWorkerNonceUnfulfilled" => yes(topic.nonce(height).is_some()),
        "GetInferencesAtBlock" => {
            let stored = topic.stored.get(&height).ok_or_else(|| none("inferences"))?;
            let inferences = stored.iter().map(|kept| inference(state, topic, kept)).collect();
            InferencesReply { inferences: Some(Inferences { inferences }) }.encode_to_vec()
        }
        "GetNetworkInferencesAtBlock" => network_inferences(state, topic, height)?,
        "GetWorkerInferenceScoresAtBlock" => {
            ScoresReply { scores: Some(Scores { scores: scores(topic, height) }) }.encode_to_vec()
        }
        "GetInferenceScoresUntilBlock" => {
            let until = topic.scores.range(..=height).flat_map(|(nonce, _)| scores(topic, *nonce)).collect();
            Scores { scores: until }.encode_to_vec()
        }
        _ => return Err(unknown()),
    })
}

fn scores(topic: &Topic, nonce: i64) -> Vec<Score> {
    let of_nonce = topic.scores.get(&nonce).into_iter().flatten();
    of_nonce
        .map(|(address, score)| Score {
            topic_id: topic.id,
            block_height: nonce,
            address: address.clone(),
            score: text_of(*score),
        })
        .collect()
}

fn inference(state: &State, topic: &Topic, kept: &StoredInference) -> Inference {
    let is_v10 = state.emissions == Emissions::V10;
    Inference {
        topic_id: topic.id,
        block_height: kept.nonce,
        inferer: kept.worker.clone(),
        value: if is_v10 { String::new() } else { kept.values[0].clone() },
        extra_data: kept.extra_data.clone(),
        proof: kept.proof.clone(),
        values: if is_v10 { kept.values.clone() } else { Vec::new() },
    }
}

/// What the network makes of the inferences at a nonce: here their mean.
fn network_inferences(state: &State, topic: &Topic, nonce: i64) -> Result<Vec<u8>, Status> {
    let stored = topic.stored.get(&nonce).filter(|stored| !stored.is_empty());
    let stored = stored.ok_or_else(|| Status::not_found("network inferences not found"))?;
    let numbers = stored.iter().map(|kept| Decimal::parse(&kept.values[0]).map_or(0.0, |value| value.nearest()));
    let count = u32::try_from(stored.len()).unwrap_or(u32::MAX);
    let combined = text_of(numbers.sum::<f64>() / f64::from(count));
    if state.emissions == Emissions::V9 {
        let of = |kept: &StoredInference| WorkerAttributedValue {
            worker: kept.worker.clone(),
            value: kept.values[0].clone(),
        };
        let bundle = ValueBundle {
            topic_id: topic.id,
            combined_value: combined,
            inferer_values: stored.iter().map(of).collect(),
        };
        let reply = ValueBundleReply { network_inferences: Some(bundle), inference_block_height: nonce };
        return Ok(reply.encode_to_vec());
    }
    let labeled = |(id, value): (u64, &String)| LabeledValue {
        label_id: id,
        label_name: if topic.rules.arity == Arity::Single { "y".to_owned() } else { String::new() },
        value: value.clone(),
    };
    let of = |kept: &StoredInference| WorkerInference {
        worker: kept.worker.clone(),
        values: (0..).zip(&kept.values).map(labeled).collect(),
    };
    let inferences = NetworkInferences {
        topic_id: topic.id,
        nonce,
        combined_value: vec![labeled((0, &combined))],
        inferer_values: stored.iter().map(of).collect(),
    };
    let reply = NetworkInferencesReply { network_inferences: Some(inferences), inference_block_height: nonce };
    Ok(reply.encode_to_vec())
}
