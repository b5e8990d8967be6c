//! What a revision would have changed.
//!
//! A vendor may change a bar after it was decided. The decision stands. But an operator should know when it would have been another
//! one, so the same question is asked once more with the bars as they are now, and the answer is kept in the bar cache, for
//! `sentinel why`. It is asked beside the cycles and never holds one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sentinel_actors::domain::bar::{Cleaning, RawBar, clean};
use sentinel_actors::domain::decision::Signal;
use sentinel_actors::domain::order::Side;
use sentinel_actors::domain::prediction::{ExpectedAnswer, Prediction, RawAnswer};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{FeatureSet, Model};
use tokio::task::JoinSet;

use super::cache::{BarCache, Review};

/// How often the journal is asked for the decision on a bar.
const LOOKS: u32 = 5;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Revised bars that are looked at after one fetch, the newest ones.
const REVIEWS_MAX: usize = 4;

/// A pipeline's bar before and after a revision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RevisedBar {
    pub time: UtcMs,
    pub was_close: f64,
    pub is_close: f64,
    /// Our time of the fetch that showed it.
    pub seen: UtcMs,
}

/// What a pipeline makes of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// The winner's class, when it is more probable than the threshold.
    Classes { classes: Vec<Signal>, threshold: f64 },
    /// The value itself.
    Value,
}

/// What an answer means, in words and for a comparison.
#[derive(Debug, Clone, PartialEq)]
struct Meaning {
    text: String,
    side: Option<Side>,
    value: Option<u64>,
}

impl Rule {
    const fn expected(&self) -> ExpectedAnswer {
        match self {
            Self::Classes { classes, .. } => ExpectedAnswer::Classes(classes.len()),
            Self::Value => ExpectedAnswer::Value,
        }
    }

    fn meaning(&self, row: Vec<f64>) -> Option<Meaning> {
        let prediction = Prediction::check(&RawAnswer { rows: vec![row] }, self.expected()).ok()?;
        Some(match (self, prediction) {
            (Self::Classes { classes, threshold }, Prediction::Classes(probabilities)) => {
                let (winner, confidence) = probabilities.winner();
                let signal = *classes.get(winner)?;
                let side = signal.side().filter(|_| confidence > *threshold);
                let below = if signal.side().is_some() && side.is_none() { ", not above the threshold" } else { "" };
                Meaning { text: format!("{} with confidence {confidence:.4}{below}", signal.code()), side, value: None }
            }
            (_, Prediction::Value(value)) => {
                Meaning { text: format!("a forecast of {value}"), side: None, value: Some(value.to_bits()) }
            }
            (Self::Value, Prediction::Classes(_)) => return None,
        })
    }
}

/// Asks what revisions of one pipeline's bars would have changed.
pub struct Reviewer {
    pub pipeline: String,
    /// The model's answer with which a bar was decided, from the journal; `None`: it was not. Waits for the disk.
    pub decided: Arc<dyn Fn(UtcMs) -> Option<Vec<f64>> + Send + Sync>,
    pub features: Arc<dyn FeatureSet>,
    pub model: Arc<dyn Model>,
    pub rule: Rule,
    /// Bars that the features look at.
    pub window: usize,
    /// A close may lie outside its bar's range by this much.
    pub tick: f64,
    pub deadline: Duration,
    pub cache: Arc<BarCache>,
}

/// The reviews that are under way; they end with it.
#[derive(Default)]
pub struct Reviews(Mutex<JoinSet<()>>);

impl Reviews {
    /// Looks at revised bars, each with the bars up to it as they are now. While it is still busy with earlier ones, these are only
    /// counted.
    pub fn begin(&self, reviewer: &Arc<Reviewer>, revised: Vec<(RevisedBar, Vec<RawBar>)>) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        if revised.is_empty() || !tasks.is_empty() {
            return;
        }
        let reviewer = reviewer.clone();
        tasks.spawn(async move {
            let skip = revised.len().saturating_sub(REVIEWS_MAX);
            for (bar, bars) in revised.into_iter().skip(skip) {
                reviewer.review(bar, &bars).await;
            }
        });
    }
}

impl Reviewer {
    async fn review(&self, bar: RevisedBar, bars: &[RawBar]) {
        // A bar that was not decided has nothing to be compared with.
        let Some(was) = self.answer_of(bar.time).await else { return };
        let was = self.rule.meaning(was);
        let now = self.ask(bars).await;
        let (differs, would_be) = match (&was, &now) {
            (Some(was), Ok(now)) => {
                (Some((was.side, was.value) != (now.side, now.value)), format!("{} instead of {}", now.text, was.text))
            }
            (None, Ok(now)) => (None, now.text.clone()),
            (_, Err(why)) => (None, why.clone()),
        };
        tracing::info!(
            event = "decision_reviewed",
            pipeline = self.pipeline,
            bar = %bar.time,
            differs,
            would_be,
            "a bar was changed after it was decided; the decision stays"
        );
        let RevisedBar { time, was_close, is_close, seen } = bar;
        let pipeline = self.pipeline.clone();
        let review = Review { pipeline, bar: time, seen, was_close, is_close, differs, would_be };
        let cache = self.cache.clone();
        // Without it `why` does not know; the line above said it.
        let _ = tokio::task::spawn_blocking(move || cache.note_review(&review)).await;
    }

    /// The answer with which a bar was decided. Its row may still be on its way to the disk.
    async fn answer_of(&self, bar: UtcMs) -> Option<Vec<f64>> {
        for _ in 0..LOOKS {
            let decided = self.decided.clone();
            let found = tokio::task::spawn_blocking(move || decided(bar)).await.ok()?;
            if found.is_some() {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        None
    }

    /// What the model says of the newest bar.
    async fn ask(&self, bars: &[RawBar]) -> Result<Meaning, String> {
        let bars = clean(bars, &Cleaning { tick: self.tick, times: None, window: Some(self.window) });
        let frame = self.features.build(&bars.bars).map_err(|error| chain(&error))?;
        let answer = self.model.predict(&frame, self.deadline).await.map_err(|error| chain(&error))?;
        let row = answer.rows.first().cloned().unwrap_or_default();
        self.rule.meaning(row).ok_or_else(|| "an answer that passes no check".to_owned())
    }
}
