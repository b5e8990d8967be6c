//! The end of a block: windows close, what was active in them is stored and later scored, and new windows open.

use super::decimal::Decimal;
use super::emissions::{Emissions, InputInference};
use super::event::Event;
use super::genesis::Arity;
use super::state::{Ema, OpenNonce, State, StoredInference, Topic};

/// How much of a window's score enters a worker's.
const EMA_ALPHA: f64 = 0.1;
/// What each worker of an active set scores here.
const SCORE: f64 = 1.0;

/// Ends the block of the state's height.
pub(super) fn end_block(state: &mut State) -> Vec<Event> {
    let (height, time_ms, emissions, epochs_kept) =
        (state.height, state.time_ms, state.emissions, state.rules.epochs_kept);
    let mut events = Vec::new();
    for topic in state.topics.values_mut() {
        close_windows(topic, height, time_ms, emissions, &mut events);
        score(topic, height, epochs_kept, emissions, &mut events);
        if topic.rules.is_active && topic.is_epoch_over(height, time_ms) {
            topic.epoch_last_ended = height;
            topic.epoch_last_ms = time_ms;
            topic.nonces.insert(0, OpenNonce { height, opened_ms: time_ms, is_stale: false });
            events.push(window_event(topic, height, emissions, "EventWorkerSubmissionWindowOpened"));
        }
    }
    events.into_iter().map(Event::of_end_block).collect()
}

fn named(emissions: Emissions, event: &str) -> String {
    format!("emissions.v{}.{event}", emissions.number())
}

fn window_event(topic: &Topic, nonce: i64, emissions: Emissions, name: &str) -> Event {
    let end = nonce + topic.rules.window;
    let attributes: [(&str, &dyn super::event::Attribute); 3] =
        [("topic_id", &topic.id), ("nonce_block_height", &nonce), ("window_end_block", &end)];
    Event::typed(&named(emissions, name), &attributes)
}

fn close_windows(topic: &mut Topic, height: i64, time_ms: i64, emissions: Emissions, events: &mut Vec<Event>) {
    let is_over = |nonce: &&OpenNonce| !nonce.is_stale && topic.is_window_over(**nonce, height, time_ms);
    let over: Vec<i64> = topic.nonces.iter().filter(is_over).map(|nonce| nonce.height).collect();
    for nonce in over {
        close(topic, nonce, height, emissions, events);
        if topic.rules.keeps_stale_nonces {
            topic.nonces.iter_mut().filter(|open| open.height == nonce).for_each(|open| open.is_stale = true);
        } else {
            topic.nonces.retain(|open| open.height != nonce);
        }
        events.push(window_event(topic, nonce, emissions, "EventWorkerSubmissionWindowClosed"));
    }
}

/// What is active becomes what is stored; the live table of the window is emptied.
fn close(topic: &mut Topic, nonce: i64, height: i64, emissions: Emissions, events: &mut Vec<Event>) {
    let of_window = |(of, _): &(i64, String)| *of == nonce;
    let workers: Vec<String> = topic.live.keys().filter(|key| of_window(key)).map(|(_, name)| name.clone()).collect();
    topic.last_commit = Some((height, nonce));
    if workers.is_empty() {
        return;
    }
    let mut stored = Vec::new();
    for worker in &workers {
        if let Some(inference) = topic.live.remove(&(nonce, worker.clone())) {
            stored.push(stored_form(topic, nonce, inference));
        }
        *topic.inclusions.entry(worker.clone()).or_default() += 1;
        let score = topic.score_of(worker);
        let score = score + EMA_ALPHA * (SCORE - score);
        topic.ema.insert(worker.clone(), Ema { block_height: nonce, score });
    }
    topic.stored.insert(nonce, stored);
    topic.unscored.push(nonce);
    events.push(Event::typed(
        &named(emissions, "EventActiveInferersSet"),
        &[("topic_id", &topic.id), ("addresses", &workers), ("nonce", &nonce)],
    ));
}

fn stored_form(topic: &Topic, nonce: i64, inference: InputInference) -> StoredInference {
    let values = match topic.rules.arity {
        Arity::Multi if !inference.values.is_empty() => {
            inference.values.into_iter().map(|labeled| labeled.value).collect()
        }
        Arity::Single | Arity::Multi => vec![inference.value],
    };
    StoredInference {
        topic: topic.id,
        nonce,
        worker: inference.inferer,
        values,
        extra_data: inference.extra_data,
        proof: inference.proof,
    }
}

/// Scores come when the ground truth is there; with them the rewards, and what is older than the chain keeps goes.
fn score(topic: &mut Topic, height: i64, epochs_kept: u64, emissions: Emissions, events: &mut Vec<Event>) {
    let lag = topic.rules.ground_truth_lag;
    let due: Vec<i64> = topic.unscored.iter().copied().filter(|nonce| height >= nonce + lag).collect();
    topic.unscored.retain(|nonce| !due.contains(nonce));
    for nonce in due {
        let stored = topic.stored.get(&nonce).cloned().unwrap_or_default();
        let workers: Vec<String> = stored.into_iter().map(|inference| inference.worker).collect();
        let texts: Vec<String> = workers.iter().map(|_| text_of(SCORE)).collect();
        for (name, list) in [("EventScoresSet", "scores"), ("EventRewardsSettled", "rewards")] {
            let actor = "ACTOR_TYPE_INFERER_UNSPECIFIED".to_owned();
            events.push(Event::typed(
                &named(emissions, name),
                &[
                    ("actor_type", &actor),
                    ("topic_id", &topic.id),
                    ("block_height", &nonce),
                    ("addresses", &workers),
                    (list, &texts),
                ],
            ));
        }
        topic.scores.insert(nonce, workers.into_iter().map(|worker| (worker, SCORE)).collect());
        topic.reward_nonce = nonce;
        let kept = i64::try_from(epochs_kept).unwrap_or(i64::MAX).saturating_mul(topic.rules.epoch_length);
        topic.stored.retain(|of, _| *of >= nonce.saturating_sub(kept));
    }
}

/// A double as the chain writes it.
pub(super) fn text_of(value: f64) -> String {
    Decimal::parse(&value.to_string()).map_or_else(|_| "0".to_owned(), |decimal| decimal.to_string())
}
