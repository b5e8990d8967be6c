//! Which model stands behind a pipeline.

use std::cell::LazyCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::bar::Bar;
use sentinel_actors::domain::feature::FeatureFrame;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{FaultInjector, Model};

use super::NodeError;
use crate::config::{HubAccess, HubConfig, ModelConfig, PipelineConfig};
use crate::models::manifest::Expected;
use crate::models::mlflow::{Access, HubAddress, MlflowModel, MlflowSettings, Secret};
use crate::models::onnx::{OnnxEngine, OnnxModel};

/// Frames that a model server is recognised by.
const PROBES: u8 = 3;

/// The model of a pipeline. A file is loaded here; a server need not be there yet.
///
/// # Errors
/// When a file, its manifest or one of the checks fails, or a secret cannot be read.
pub(super) fn model(
    pipeline: &PipelineConfig,
    engine: &LazyCell<OnnxEngine>,
    faults: Arc<dyn FaultInjector>,
) -> Result<Arc<dyn Model>, NodeError> {
    match &pipeline.model {
        ModelConfig::Onnx { path } => Ok(Arc::new(onnx(pipeline, path, engine, faults)?)),
        ModelConfig::Hub(hub) => Ok(Arc::new(mlflow(pipeline.deadlines.predict, pipeline, hub)?)),
    }
}

/// What would keep the model of a pipeline from being used; `check` says it without starting anything.
///
/// # Errors
/// When a file, its manifest or one of the checks fails, or a secret cannot be read.
pub fn try_model(pipeline: &PipelineConfig, faults: Arc<dyn FaultInjector>) -> Result<(), NodeError> {
    model(pipeline, &LazyCell::new(OnnxEngine::new), faults).map(drop)
}

fn onnx(
    pipeline: &PipelineConfig,
    path: &Path,
    engine: &OnnxEngine,
    faults: Arc<dyn FaultInjector>,
) -> Result<OnnxModel, NodeError> {
    let expected =
        Expected { features: pipeline.features.set.clone(), columns: columns(pipeline), classes: classes(pipeline) };
    OnnxModel::load(path, expected, engine.clone(), faults)
        .map_err(|source| NodeError::Model { pipeline: pipeline.name.clone(), source: Box::new(source) })
}

fn mlflow(deadline: Duration, pipeline: &PipelineConfig, hub: &HubConfig) -> Result<MlflowModel, NodeError> {
    let secret = |file: &Path| {
        let text = std::fs::read_to_string(file).map_err(|source| NodeError::Secret {
            pipeline: pipeline.name.clone(),
            file: file.to_owned(),
            source,
        })?;
        Ok::<_, NodeError>(Secret::new(text.trim().to_owned()))
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
        columns: columns(pipeline),
        features: pipeline.features.set.clone(),
        classes: classes(pipeline),
        deadline,
        probes: probes(pipeline),
    };
    MlflowModel::new(settings)
        .map_err(|source| NodeError::Hub { pipeline: pipeline.name.clone(), source: Box::new(source) })
}

fn columns(pipeline: &PipelineConfig) -> Vec<String> {
    pipeline.features.info.columns.iter().map(ToString::to_string).collect()
}

fn classes(pipeline: &PipelineConfig) -> Vec<String> {
    pipeline.policy.classes.iter().map(|signal| signal.code().to_uppercase()).collect()
}

/// The same frames at every start of every node: a model server is recognised by its answers to them. They come from waves
/// of three heights through the real feature code, so that they look like what the model knows.
fn probes(pipeline: &PipelineConfig) -> Vec<FeatureFrame> {
    let features = pipeline.features.build();
    (1..=PROBES).filter_map(|probe| features.build(&wave(probe, pipeline)).ok()).collect()
}

fn wave(probe: u8, pipeline: &PipelineConfig) -> Vec<Bar> {
    let height = f64::from(probe) * 0.002;
    let length_ms = i64::try_from(pipeline.interval.length().as_millis()).unwrap_or(i64::MAX);
    let window = i32::try_from(pipeline.features.set.window).unwrap_or(i32::MAX);
    (0..window)
        .map(|index| {
            let at = f64::from(index);
            let close = 1.1 + height * (at / (5.0 + f64::from(probe))).sin();
            let open = 1.1 + height * ((at - 1.0) / (5.0 + f64::from(probe))).sin();
            Bar {
                time: UtcMs(i64::from(index) * length_ms),
                open,
                high: open.max(close) + 0.0005,
                low: open.min(close) - 0.0005,
                close,
                volume: Some(1000.0 + 100.0 * (at / 3.0).cos()),
            }
        })
        .collect()
}
