//! Bars, features and the model: derived from time alone, so that a cycle that is run again sees the same input.

use std::time::Duration;

use sentinel_actors::domain::bar::{Bar, CleanBars, RawBar};
use sentinel_actors::domain::feature::{FeatureError, FeatureFrame, FeatureSetId};
use sentinel_actors::domain::prediction::{ModelIdentity, RawAnswer};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{
    BarRequest, BarSource, Delivered, FeatureSet, Model, ModelError, PortFuture, Quarantine, SourceError,
};

use crate::clock;
use crate::forecasts;
use crate::world::{Part, Shared, fnv};

pub const WINDOW: usize = 5;

pub struct SimSource {
    pub world: Shared,
    pub index: usize,
    pub who: String,
    /// Must never be printed.
    pub token: String,
}

const FETCH: &[(&str, f64)] = &[
    ("source_timeout", 0.004),
    ("source_error", 0.004),
    ("source_hang", 0.002),
    ("source_slow", 0.004),
    ("source_panic", 0.002),
    ("bars_null", 0.004),
    ("bars_huge", 0.002),
    ("bars_nan", 0.002),
    ("bars_stale", 0.004),
    ("bars_shuffled", 0.004),
    ("bars_duplicate", 0.004),
    ("bars_gap", 0.002),
    ("bars_short", 0.002),
    ("bars_future", 0.002),
    ("bars_none", 0.002),
    ("source_refuses", 0.003),
    ("source_busy", 0.003),
];

/// A price of six decimal places, as a vendor writes it.
fn price(seed: u64, at: i64) -> f64 {
    (1_100_000 + fnv(seed, &at.to_string()) % 10_000) as f64 / 1_000_000.0
}

/// What the bar that opens then closes at.
pub fn close(seed: u64, length_ms: i64, open: i64) -> f64 {
    price(seed, open + length_ms)
}

fn bar(seed: u64, length_ms: i64, open: i64) -> RawBar {
    let (first, last) = (price(seed, open), close(seed, length_ms, open));
    let time = UtcMs(open);
    RawBar {
        time,
        open: Some(first),
        high: Some(first.max(last) + 0.0001),
        low: Some(first.min(last) - 0.0001),
        close: Some(last),
        volume: None,
    }
}

impl SimSource {
    async fn deliver(&self, request: &BarRequest) -> Result<Vec<RawBar>, SourceError> {
        let world = &self.world;
        let options = &world.options.pipelines[self.index];
        let _guard = world.enter(&self.who, Some(options.fetch));
        let out = {
            let mut inner = world.lock();
            let now = inner.elapsed();
            if inner.alive.fetched.get(&options.name).is_none_or(|(slot, _)| *slot != request.now) {
                inner.alive.fetched.insert(options.name.clone(), (request.now, now));
            }
            inner.count("fetches");
            inner.faults_on && inner.outage.get(&options.name).is_some_and(|until| now < *until)
        };
        if out {
            return Err(SourceError::Failed("an outage".to_owned()));
        }
        let fault = world.pick("fetch", &self.who, FETCH).unwrap_or("");
        let pause = match fault {
            "source_timeout" => request.deadline,
            "source_slow" => request.deadline.mul_f64(0.8),
            _ => world.work(Part::Source, world.millis("fetch time", &self.who, 5, 80), request.deadline),
        };
        if fault == "source_hang" {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(pause).await;
        clock::change(world, &self.who).await;
        assert!(fault != "source_panic", "injected in the source");
        assert!(!self.token.is_empty());
        match fault {
            "source_timeout" => return Err(SourceError::Timeout(request.deadline)),
            "source_error" => return Err(SourceError::Failed("500".to_owned())),
            "source_refuses" => return Err(SourceError::Unauthorised("401".to_owned())),
            "source_busy" => {
                let retry_after = Some(Duration::from_secs(30));
                return Err(SourceError::RateLimited { retry_after, text: "429".to_owned() });
            }
            _ => {}
        }
        let length = i64::try_from(request.interval.length().as_millis()).unwrap();
        let newest = request.now.0.div_euclid(length) * length; // still forming
        let count = i64::try_from(request.count).unwrap();
        let mut bars: Vec<RawBar> =
            (0..count).rev().map(|back| bar(world.options.seed, length, newest - back * length)).collect();
        spoil(&mut bars, fault, length);
        Ok(bars)
    }
}

fn spoil(bars: &mut Vec<RawBar>, fault: &str, length: i64) {
    let end = bars.len();
    match fault {
        "bars_null" => bars[end - 2].close = None,
        "bars_huge" => bars[end - 2].high = Some(1e300),
        "bars_nan" => bars[end - 2].low = Some(f64::NAN),
        "bars_stale" => bars.truncate(end - 4),
        "bars_shuffled" => bars.reverse(),
        "bars_duplicate" => bars.push(bars[end - 2]),
        "bars_gap" => {
            bars.drain(end - 5..end - 3);
        }
        "bars_short" => {
            bars.drain(..end - 3);
        }
        "bars_future" => bars.iter_mut().for_each(|bar| bar.time = UtcMs(bar.time.0 + 10 * length)),
        "bars_none" => bars.clear(),
        _ => {}
    }
}

impl BarSource for SimSource {
    fn fetch<'a>(&'a self, request: &'a BarRequest) -> PortFuture<'a, Result<Delivered, SourceError>> {
        Box::pin(async move { Ok(self.deliver(request).await?.into()) })
    }
}

fn hash(seed: u64, bar: UtcMs, close: f64) -> u64 {
    fnv(seed, &format!("{}{close}", bar.0))
}

fn unit(hash: u64) -> f64 {
    (hash % 1000) as f64 / 1000.0
}

/// What the model is asked about when this bar is the newest one.
pub fn noise(seed: u64, bar: UtcMs, close: f64) -> f64 {
    unit(hash(seed, bar, close))
}

pub struct SimFeatures {
    pub world: Shared,
    pub who: String,
    pub id: FeatureSetId,
}

impl FeatureSet for SimFeatures {
    fn id(&self) -> &FeatureSetId {
        &self.id
    }

    fn columns(&self) -> &[&'static str] {
        &["change", "range", "noise"]
    }

    fn build(&self, bars: &[Bar]) -> Result<FeatureFrame, FeatureError> {
        if bars.len() < WINDOW {
            return Err(FeatureError::InsufficientHistory { have: bars.len(), need: WINDOW });
        }
        let newest = bars.last().unwrap();
        let noise = hash(self.world.options.seed, newest.time, newest.close);
        // Judged by the bars alone: a cycle that is run again fails again.
        let faults_on = {
            let pipe = self.who.split('/').next().unwrap();
            let inner = self.world.lock();
            inner.faults_on && !self.world.is_sheltered(pipe)
        };
        if faults_on && noise.is_multiple_of(300) {
            self.world.lock().fault("poison", &self.who);
            panic!("poisonous bar");
        }
        if faults_on && noise % 300 == 1 {
            self.world.lock().fault("feature_undefined", &self.who);
            return Err(FeatureError::Undefined { feature: "noise", rows_back: 0 });
        }
        let row = vec![newest.close - newest.open, newest.high - newest.low, unit(noise)];
        Ok(FeatureFrame { set: self.id.clone(), newest: newest.time, row, sequence: None, volume_absent: true })
    }
}

pub struct SimModel {
    pub world: Shared,
    pub who: String,
    /// It answers with one value instead of the probabilities of classes.
    pub is_regression: bool,
}

const PREDICT: &[(&str, f64)] = &[
    ("model_nan", 0.003),
    ("model_rows", 0.003),
    ("model_classes", 0.003),
    ("model_sum", 0.003),
    ("model_range", 0.003),
    ("model_unavailable", 0.003),
    ("model_unparseable", 0.003),
    ("model_timeout", 0.003),
    ("model_hang", 0.002),
    ("model_slow", 0.003),
    ("model_panic", 0.003),
];

const PREDICT_VALUE: &[(&str, f64)] = &[
    ("model_nan", 0.003),
    ("model_rows", 0.003),
    ("model_classes", 0.003),
    ("value_huge", 0.003),
    ("value_zero", 0.003),
    ("model_unavailable", 0.003),
    ("model_unparseable", 0.003),
    ("model_timeout", 0.003),
    ("model_hang", 0.002),
    ("model_slow", 0.003),
    ("model_panic", 0.003),
];

impl Model for SimModel {
    fn validate(&self, _: Duration) -> PortFuture<'_, Result<ModelIdentity, ModelError>> {
        Box::pin(async move {
            let _guard = self.world.enter(&self.who, Some(Duration::from_secs(1)));
            const FAULTS: &[(&str, f64)] = &[("model_invalid", 0.003), ("validate_hang", 0.001)];
            match self.world.pick("validate", &self.who, FAULTS) {
                Some("model_invalid") => return Err(ModelError::Invalid("another hash".to_owned())),
                Some("validate_hang") => std::future::pending().await,
                _ => {}
            }
            Ok(ModelIdentity { id: "sim".to_owned(), hash: "0".to_owned() })
        })
    }

    fn predict<'a>(
        &'a self,
        frame: &'a FeatureFrame,
        deadline: Duration,
    ) -> PortFuture<'a, Result<RawAnswer, ModelError>> {
        Box::pin(async move {
            let _guard = self.world.enter(&self.who, Some(Duration::from_secs(1)));
            let faults = if self.is_regression { PREDICT_VALUE } else { PREDICT };
            let fault = self.world.pick("predict", &self.who, faults).unwrap_or("");
            match fault {
                "model_hang" => std::future::pending::<()>().await,
                "model_timeout" => tokio::time::sleep(deadline).await,
                "model_slow" => tokio::time::sleep(deadline.mul_f64(0.8)).await,
                _ => {
                    let normal = self.world.millis("predict time", &self.who, 1, 20);
                    tokio::time::sleep(self.world.work(Part::Model, normal, deadline)).await;
                }
            }
            clock::change(&self.world, &self.who).await;
            let pipe = self.who.split('/').next().unwrap();
            let doomed = self.world.lock().doomed.remove(pipe);
            assert!(!doomed, "doomed");
            let noise = frame.row[2];
            let mut row = match noise {
                n if self.is_regression => vec![forecasts::value(n)],
                n if n < 0.3 => vec![0.7 + n / 10.0, 0.2 - n / 10.0, 0.1],
                n if n < 0.6 => vec![0.1, 0.2, 0.7],
                n if n < 0.9 => vec![0.2, 0.7, 0.1],
                _ => vec![0.4, 0.35, 0.25],
            };
            match fault {
                "model_nan" => row[0] = f64::NAN,
                "model_classes" => row.push(0.0),
                "model_sum" => row = vec![0.9, 0.9, 0.95],
                "value_huge" => row = vec![-3.0],
                "value_zero" => row = vec![1e-9],
                "model_range" => row = vec![-0.5, 1.0, 0.5],
                "model_rows" => return Ok(RawAnswer { rows: vec![row.clone(), row] }),
                "model_unavailable" => return Err(ModelError::Unavailable("503".to_owned())),
                "model_unparseable" => return Err(ModelError::Unparseable("half a reply".to_owned())),
                "model_timeout" => return Err(ModelError::Timeout(deadline)),
                "model_panic" => panic!("injected in the model"),
                _ => {}
            }
            Ok(RawAnswer { rows: vec![row] })
        })
    }
}

pub struct SimQuarantine(pub Shared);

impl Quarantine for SimQuarantine {
    fn keep(&self, pipeline: &str, slot: UtcMs, stage: &str, _: Option<&CleanBars>) -> String {
        let mut inner = self.0.lock();
        inner.count("quarantined");
        inner.tracker(format!("quarantine {pipeline} {slot} {stage}"));
        format!("quarantine/{pipeline}")
    }
}
