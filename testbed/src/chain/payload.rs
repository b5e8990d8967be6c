//! The messages of a worker: its registration, and an inference for a nonce. Each check stands where the chain has it, because
//! a client sees only the first one that fails.

use data_encoding::HEXLOWER;
use prost::Message as _;

use super::crypto::{address_of, is_address, is_signed};
use super::decimal::Decimal;
use super::emissions::{InputInference, InsertWorkerPayload, Register, WorkerDataBundle};
use super::event::Event;
use super::genesis::Arity;
use super::refusal::Refusal;
use super::state::{Ema, State, Topic};
use super::truth::{Admission, Effect};
use super::tx::Command;

/// The label of a topic with one value.
const SINGLE_LABEL: &str = "y";

/// Carries out a message. On an error the state is to be thrown away.
///
/// # Errors
/// With the code of the first check that fails.
pub(super) fn execute(state: &mut State, command: &Command, events: &mut Vec<Event>) -> Result<Effect, Refusal> {
    match command {
        Command::Register(message) => register(state, message),
        Command::Payload(message, size) => insert(state, message, *size, events),
    }
}

fn register(state: &mut State, message: &Register) -> Result<Effect, Refusal> {
    let Register { sender, topic_id, owner, is_reputer } = message;
    if owner.is_empty() {
        return Err(Refusal::emissions(24, "owner cannot be empty"));
    }
    if !is_address(owner) {
        return Err(Refusal::sdk(7, format!("invalid owner address '{owner}'")));
    }
    if *is_reputer {
        return Err(Refusal::sdk(18, "reputers are not played here"));
    }
    let fee = state.rules.registration_fee;
    let Some(topic) = state.topics.get(topic_id) else {
        return Err(Refusal::emissions(23, "topic does not exist"));
    };
    if topic.registered.contains(sender) {
        return Err(Refusal::emissions(8, "address is already registered in this topic"));
    }
    if !state.charge(sender, fee) {
        return Err(Refusal::emissions(48, "topic registrant does not have enough denom to register"));
    }
    if let Some(topic) = state.topics.get_mut(topic_id) {
        topic.registered.insert(sender.clone());
    }
    Ok(Effect::Registered { topic: *topic_id, worker: sender.clone() })
}

fn insert(
    state: &mut State,
    message: &InsertWorkerPayload,
    size: usize,
    events: &mut Vec<Event>,
) -> Result<Effect, Refusal> {
    let data = message.data.as_ref().ok_or_else(|| Refusal::sdk(18, "worker data bundle cannot be nil"))?;
    let worker = &data.worker;
    if !is_address(worker) {
        return Err(Refusal::sdk(7, format!("invalid worker address '{worker}'")));
    }
    if state.topics.get(&data.topic_id).is_some_and(|topic| !topic.may_submit(worker)) {
        return Err(Refusal::emissions(83, "Worker is not permitted to submit payload"));
    }
    let nonce = validate(data)?;
    if size > state.rules.message_bytes_max {
        return Err(Refusal::sdk(18, "the message is larger than max_serialized_msg_length"));
    }
    let fee = state.rules.data_sending_fee;
    let topic = state.topics.get(&data.topic_id).ok_or_else(|| Refusal::emissions(6, "invalid topic ID"))?;
    let Some(open) = topic.nonce(nonce) else {
        return Err(Refusal::emissions(75, "unfulfilled nonce not found"));
    };
    if !topic.is_window_open(open, state.height, state.time_ms) {
        let text = format!(
            "Worker window not open for topic: {}, nonce: {nonce}: worker nonce window not available",
            topic.id
        );
        return Err(Refusal::emissions(67, text));
    }
    if !topic.registered.contains(worker) {
        return Err(Refusal::emissions(13, "worker is not registered in this topic"));
    }
    if !state.charge(&message.sender, fee) {
        return Err(Refusal::emissions(73, "data sender does not have enough denom to pay for data sending fee"));
    }
    let bundle = data.bundle.clone().unwrap_or_default();
    if bundle.forecast.as_ref().is_some_and(|forecast| forecast.forecast_elements.is_empty()) {
        return Err(Refusal::emissions(77, "no valid forecast elements found"));
    }
    let labels_max = state.rules.labels_max;
    let active_max = state.rules.active_set_max;
    let Some(topic) = state.topics.get_mut(&data.topic_id) else {
        return Err(Refusal::emissions(6, "invalid topic ID"));
    };
    let Some(inference) = bundle.inference else {
        return Ok(Effect::Forecast { topic: topic.id, nonce, worker: worker.clone() });
    };
    let values = labelled(topic, &inference, labels_max)?;
    let kept = InputInference { value: values[0].clone(), ..inference };
    let admission = admit(topic, active_max, nonce, worker, kept)?;
    if admission != Admission::NotAdmitted {
        let name = state.emissions.type_url("EventInsertInfererPayload");
        events.push(Event::typed(
            &name[1..],
            &[("topic_id", &data.topic_id), ("nonce", &nonce), ("inferer", worker), ("value", &values[0])],
        ));
    }
    Ok(Effect::Inference { topic: data.topic_id, nonce, worker: worker.clone(), values, admission })
}

/// What can be said of a bundle without the chain's state; returns its nonce.
fn validate(data: &WorkerDataBundle) -> Result<i64, Refusal> {
    let nonce = data.nonce.as_ref().map(|nonce| nonce.block_height).filter(|height| *height > 0);
    let nonce = nonce.ok_or_else(|| Refusal::sdk(18, "nonce block height must be positive"))?;
    let key = HEXLOWER.decode(data.public_key.as_bytes()).ok().filter(|key| key.len() == 33);
    let key = key.ok_or_else(|| Refusal::sdk(8, "public key must be 66 lower-case hex digits"))?;
    let mismatch = |what: &str| Err(Refusal::sdk(4, format!("{what} does not match")));
    if address_of(&key).as_ref() != Some(&data.worker) {
        return mismatch("the address of the public key");
    }
    let bundle = data.bundle.as_ref().filter(|bundle| bundle.inference.is_some() || bundle.forecast.is_some());
    let bundle = bundle.ok_or_else(|| Refusal::sdk(18, "inference and forecast cannot both be nil"))?;
    let inference = bundle.inference.as_ref().map(|inner| (inner.topic_id, inner.block_height, &inner.inferer));
    let forecast = bundle.forecast.as_ref().map(|inner| (inner.topic_id, inner.block_height, &inner.forecaster));
    for (topic, height, author) in [inference, forecast].into_iter().flatten() {
        if *author != data.worker {
            return mismatch("the author of the inner message");
        }
        if topic != data.topic_id {
            return mismatch("the topic of the inner message");
        }
        if height != nonce {
            return mismatch("the block height of the inner message");
        }
    }
    // Over what the chain writes, not over what it read.
    if !is_signed(&key, &bundle.encode_to_vec(), &data.signature) {
        return Err(Refusal::sdk(4, "inferences forecasts bundle signature verification failed"));
    }
    let inferred = bundle.inference.iter().flat_map(|inference| {
        std::iter::once(&inference.value).chain(inference.values.iter().map(|labeled| &labeled.value))
    });
    let elements = bundle.forecast.iter().flat_map(|forecast| &forecast.forecast_elements);
    for text in inferred.chain(elements.map(|element| &element.value)) {
        if !Decimal::parse(text).is_ok_and(|value| value.is_bounded()) {
            return Err(Refusal::new("math", 8, format!("{text} is beyond 1e-40 to 1e40: out of range")));
        }
    }
    Ok(nonce)
}

/// The values of an inference: at least one.
fn labelled(topic: &Topic, inference: &InputInference, labels_max: usize) -> Result<Vec<String>, Refusal> {
    let labels: Vec<&str> = inference.values.iter().map(|labeled| labeled.label.as_str()).collect();
    if labels.contains(&"") {
        return Err(Refusal::emissions(95, "invalid label name"));
    }
    match topic.rules.arity {
        Arity::Single if labels.is_empty() => return Ok(vec![inference.value.clone()]),
        Arity::Single if labels.len() > 1 => return Err(Refusal::sdk(18, "single-arity topic takes one value")),
        Arity::Single if labels != [SINGLE_LABEL] => {
            return Err(Refusal::sdk(18, format!("single-arity label must be \"{SINGLE_LABEL}\"")));
        }
        Arity::Multi if labels.is_empty() => return Err(Refusal::emissions(99, "empty label registry")),
        Arity::Multi if labels.len() > labels_max => return Err(Refusal::emissions(98, "too many labels")),
        Arity::Single | Arity::Multi => {}
    }
    for (index, label) in labels.iter().enumerate() {
        if labels[..index].contains(label) {
            return Err(Refusal::emissions(95, format!("label {label} is given twice: invalid label name")));
        }
        let known = &topic.rules.labels;
        if topic.rules.arity == Arity::Multi && !known.is_empty() && !known.iter().any(|name| name == label) {
            return Err(Refusal::emissions(97, format!("label {label} is not in the topic's whitelist")));
        }
    }
    Ok(inference.values.iter().map(|labeled| labeled.value.clone()).collect())
}

/// A place in the active set: a free one, or that of the worker with the lowest score below.
pub(super) fn admit(
    topic: &mut Topic,
    active_max: usize,
    nonce: i64,
    worker: &str,
    inference: InputInference,
) -> Result<Admission, Refusal> {
    let key = (nonce, worker.to_owned());
    if topic.live.contains_key(&key) {
        return Err(Refusal::new("undefined", 1, "inference already submitted"));
    }
    if topic.ema.get(worker).is_some_and(|ema| ema.block_height >= nonce) {
        return Err(Refusal::emissions(78, "cannot update EMA more than once per window"));
    }
    let active: Vec<String> = topic.live.keys().filter(|(of, _)| *of == nonce).map(|(_, name)| name.clone()).collect();
    if active.len() < active_max {
        topic.live.insert(key, inference);
        return Ok(Admission::Admitted);
    }
    let lowest = active.into_iter().min_by(|a, b| topic.score_of(a).total_cmp(&topic.score_of(b)));
    match lowest.filter(|lowest| topic.score_of(worker) > topic.score_of(lowest)) {
        Some(lowest) => {
            topic.live.remove(&(nonce, lowest.clone()));
            account_for(topic, &lowest, nonce);
            topic.live.insert(key, inference);
            Ok(Admission::Evicting(lowest))
        }
        None => {
            account_for(topic, worker, nonce);
            Ok(Admission::NotAdmitted)
        }
    }
}

/// A submission that is not in the active set ends here: its worker's score is of this nonce, and no second one is taken.
fn account_for(topic: &mut Topic, worker: &str, nonce: i64) {
    let score = topic.score_of(worker);
    topic.ema.insert(worker.to_owned(), Ema { block_height: nonce, score });
}
