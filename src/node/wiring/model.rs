//! Which model stands behind a pipeline.

use std::cell::LazyCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::bar::{Bar, Interval};
use sentinel_actors::domain::feature::FeatureFrame;
use sentinel_actors::domain::prediction::ModelIdentity;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::meters::Calls;
use sentinel_actors::ports::{FaultInjector, Model};
use sentinel_actors::status::ClockOffsets;
use tracing::warn;

use super::{NodeError, dates_of};
use crate::config::{FeaturesConfig, HubAccess, HubConfig, JobConfig, ModelConfig, PipelineConfig};
use crate::features::Prices;
use crate::http::{Access, Headers, HttpError, Secret};
use crate::models::manifest::Expected;
use crate::models::mlflow::{HubAddress, MlflowModel, MlflowSettings};
use crate::models::onnx::{OnnxEngine, OnnxModel};
use crate::models::{Output, feature_list};

/// Frames that a model server is recognised by.
const PROBES: u8 = 3;

/// The model of a pipeline. A file is loaded here; a server need not be there yet. It says its time to the one, and calls to it are counted
/// in the other of `told`.
///
/// # Errors
/// When a file, its manifest or one of the checks fails, or a secret cannot be read.
pub(super) fn model(
    pipeline: &PipelineConfig,
    engine: &LazyCell<OnnxEngine>,
    faults: Arc<dyn FaultInjector>,
    told: Option<(&Arc<ClockOffsets>, &Arc<Calls>)>,
) -> Result<Arc<dyn Model>, NodeError> {
    match &pipeline.model {
        ModelConfig::Onnx { path } => {
            let model = onnx(pipeline, path, engine, faults)?;
            if let Some(unverified) = unverified(&model) {
                let ModelIdentity { id, hash } = model.identity();
                warn!(event = "model_unverified", pipeline = pipeline.name, model = id, hash, "{unverified}");
            }
            Ok(Arc::new(model))
        }
        ModelConfig::Hub(hub) => {
            let model = mlflow(pipeline.deadlines.predict, pipeline, hub)?;
            let Some((clocks, calls)) = told else { return Ok(Arc::new(model)) };
            model.count_in(calls.clone());
            let dates = dates_of(model.host(), clocks);
            Ok(Arc::new(model.telling_dates(dates)))
        }
    }
}

/// What would keep the model of a pipeline from being used; `check` says it without starting anything. Gives what an operator must
/// know about a model that can be used.
///
/// # Errors
/// When a file, its manifest or one of the checks fails, or a secret cannot be read.
pub fn try_model(pipeline: &PipelineConfig, faults: Arc<dyn FaultInjector>) -> Result<Option<String>, NodeError> {
    match &pipeline.model {
        ModelConfig::Onnx { path } => Ok(unverified(&onnx(pipeline, path, &OnnxEngine::new(), faults)?)),
        ModelConfig::Hub(hub) => mlflow(pipeline.deadlines.predict, pipeline, hub).map(|_| None),
    }
}

/// What is not known about a model without a manifest.
fn unverified(model: &OnnxModel) -> Option<String> {
    let identity = model.identity();
    model.manifest().is_none().then(|| {
        format!(
            "the model {} has no manifest, only {}; not verified: no parity rows; its identity is its hash, {}",
            identity.id,
            feature_list::FILE,
            identity.hash
        )
    })
}

/// The model of a pipeline, and a frame that it must be able to answer.
///
/// # Errors
/// As [`try_model`].
pub fn open_model(
    pipeline: &PipelineConfig,
    faults: Arc<dyn FaultInjector>,
) -> Result<(Arc<dyn Model>, FeatureFrame), NodeError> {
    let frame = probes(pipeline).into_iter().next();
    let frame = frame.ok_or_else(|| NodeError::TooFewBars {
        pipeline: pipeline.name.clone(),
        have: 0,
        need: pipeline.features.set.window,
    })?;
    Ok((model(pipeline, &LazyCell::new(OnnxEngine::new), faults, None)?, frame))
}

fn onnx(
    pipeline: &PipelineConfig,
    path: &Path,
    engine: &OnnxEngine,
    faults: Arc<dyn FaultInjector>,
) -> Result<OnnxModel, NodeError> {
    let expected = Expected {
        features: pipeline.features.set.clone(),
        columns: columns(pipeline),
        output: output(pipeline),
        samples: probes(pipeline).into_iter().map(|frame| frame.row).collect(),
    };
    OnnxModel::load(path, expected, engine.clone(), faults)
        .map_err(|source| NodeError::Model { pipeline: pipeline.name.clone(), source: Box::new(source) })
}

fn mlflow(deadline: Duration, pipeline: &PipelineConfig, hub: &HubConfig) -> Result<MlflowModel, NodeError> {
    let text = |file: &Path| {
        std::fs::read_to_string(file).map_err(|source| NodeError::Secret {
            pipeline: pipeline.name.clone(),
            file: file.to_owned(),
            source,
        })
    };
    let refused = |source| NodeError::Hub { pipeline: pipeline.name.clone(), source: Box::new(source) };
    let secret = |file: &Path| Ok::<_, NodeError>(Secret::new(text(file)?.trim().to_owned()));
    let headers = match &hub.headers {
        Some(file) => Headers::parse(&text(file)?).map_err(|error| refused(HttpError::from(error).into()))?,
        None => Headers::default(),
    };
    let access = match &hub.access {
        HubAccess::Open => Access::Open,
        HubAccess::Bearer(file) => Access::Bearer(secret(file)?),
        HubAccess::Basic { user, password } => Access::Basic { user: user.clone(), password: secret(password)? },
    };
    let settings = MlflowSettings {
        address: HubAddress { tls: hub.tls, host: hub.host.clone(), port: hub.port },
        payload: hub.payload,
        access,
        headers,
        columns: columns(pipeline),
        features: pipeline.features.set.clone(),
        output: output(pipeline),
        deadline,
        probes: probes(pipeline),
    };
    MlflowModel::new(settings).map_err(refused)
}

fn columns(pipeline: &PipelineConfig) -> Vec<String> {
    pipeline.features.info.columns.iter().map(ToString::to_string).collect()
}

fn output(pipeline: &PipelineConfig) -> Output {
    match &pipeline.job {
        JobConfig::Order(order) => {
            Output::Classes(order.policy.classes.iter().map(|signal| signal.code().to_uppercase()).collect())
        }
        JobConfig::Forecast(forecast) => Output::Value { horizon: forecast.policy.horizon },
    }
}

/// The same frames at every start of every node: a model server is recognised by its answers to them. They come from waves
/// of three heights around an ordinary price, through the real feature code, so that they look like what the model knows.
fn probes(pipeline: &PipelineConfig) -> Vec<FeatureFrame> {
    let FeaturesConfig { info, set, .. } = &pipeline.features;
    let features = pipeline.features.build();
    let wave = |probe| wave(probe, info.prices, set.window, pipeline.interval);
    (1..=PROBES).filter_map(|probe| features.build(&wave(probe)).ok()).collect()
}

fn wave(probe: u8, prices: Prices, window: usize, interval: Interval) -> Vec<Bar> {
    let Prices { level, swing, wick } = prices;
    let height = f64::from(probe) * swing;
    let length_ms = i64::try_from(interval.length().as_millis()).unwrap_or(i64::MAX);
    let window = i32::try_from(window).unwrap_or(i32::MAX);
    (0..window)
        .map(|index| {
            let at = f64::from(index);
            let close = level + height * (at / (5.0 + f64::from(probe))).sin();
            let open = level + height * ((at - 1.0) / (5.0 + f64::from(probe))).sin();
            Bar {
                time: UtcMs(i64::from(index) * length_ms),
                open,
                high: open.max(close) + wick,
                low: open.min(close) - wick,
                close,
                volume: Some(1000.0 + 100.0 * (at / 3.0).cos()),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{SETS, SetInfo};

    fn hour() -> Interval {
        Interval::new(Duration::from_secs(3600)).unwrap()
    }

    #[test]
    fn probes_of_every_set_are_complete_and_differ_from_one_another() {
        for set in &SETS {
            for window in [set.least_bars as usize, 200] {
                let features = set.build(window, false);
                let rows: Vec<Vec<f64>> = (1..=PROBES)
                    .map(|probe| features.build(&wave(probe, set.prices, window, hour())).unwrap().row)
                    .collect();
                assert!(rows[0] != rows[1] && rows[1] != rows[2] && rows[0] != rows[2], "{} {window}", set.name);
            }
        }
    }

    #[test]
    fn probes_have_the_prices_of_the_market_that_their_set_is_for() {
        let mean_close = |name: &str, column: &str| {
            let set = SetInfo::find(name).unwrap();
            let row = set.build(200, false).build(&wave(1, set.prices, 200, hour())).unwrap().row;
            row[set.columns.iter().position(|known| *known == column).unwrap()]
        };
        let (euro, bitcoin) = (mean_close("fx23", "feature_4"), mean_close("btc9", "ma_24h"));
        assert!((1.09..1.11).contains(&euro), "{euro}");
        assert!((9_800.0..10_200.0).contains(&bitcoin), "{bitcoin}");
    }
}
