//! The MLflow adapter against a server whose every byte a test decides, and against a real MLflow server.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking too")]

mod answers;
mod circuit;
mod connection;
mod identity;
mod real_server;
mod scripted;
mod secrets;
mod stub_hub;
mod tls;

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sentinel::config::HubPayload;
use sentinel::http::{Access, Headers};
use sentinel::models::Output;
use sentinel::models::mlflow::{HubAddress, MlflowModel, MlflowSettings};
use sentinel_actors::domain::feature::{FeatureFrame, FeatureSetId};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Model, ModelError};
use serde_json::{Value, json};

/// More than any call on loopback takes, also on a busy machine.
const LONG: Duration = Duration::from_secs(20);

const GOOD: &str = r#"{"predictions": [[0.2, 0.3, 0.5]]}"#;

fn features() -> FeatureSetId {
    FeatureSetId { name: "test3".into(), window: 20, made_from: None }
}

fn frame(first: f64) -> FeatureFrame {
    let row = vec![first, 0.25, -3.0];
    let sequence = row.repeat(60);
    FeatureFrame { set: features(), newest: UtcMs(0), row, sequence: Some(sequence), volume_absent: false }
}

/// Rows that a test's own question is not among.
fn probes() -> Vec<FeatureFrame> {
    [101.0, 102.0, 103.0].map(frame).to_vec()
}

fn settings(port: u16) -> MlflowSettings {
    MlflowSettings {
        address: HubAddress { tls: false, host: "127.0.0.1".into(), port },
        payload: HubPayload::Columns,
        access: Access::Open,
        headers: Headers::default(),
        columns: ["rsi", "macd", "hour"].map(String::from).to_vec(),
        features: features(),
        output: Output::Classes(["SELL", "HOLD", "BUY"].map(String::from).to_vec()),
        deadline: LONG,
        probes: probes(),
    }
}

fn model(port: u16) -> MlflowModel {
    MlflowModel::new(settings(port)).unwrap()
}

async fn predict(model: &MlflowModel) -> Result<Vec<Vec<f64>>, ModelError> {
    model.predict(&frame(1.0), LONG).await.map(|answer| answer.rows)
}

/// The first feature of each row that a request in columns asks about.
fn asked(body: &[u8]) -> Vec<f64> {
    let body: Value = serde_json::from_slice(body).unwrap();
    let rows = body["dataframe_split"]["data"].as_array().unwrap();
    rows.iter().map(|row| row[0].as_f64().unwrap()).collect()
}

/// The answer of a model that is no constant: its first class depends on the first feature.
fn predictions(body: &[u8], shift: f64) -> String {
    let row = |first: f64| {
        let sell = first / 1000.0 + shift;
        json!([sell, 0.3, 0.7 - sell])
    };
    json!({ "predictions": asked(body).into_iter().map(row).collect::<Vec<_>>() }).to_string()
}

/// What `sentinel check --probe` says about the model when the demo's pipeline has this hub, and all that it says.
fn check_probe(folder: &Path, hub: &str, environment: &[(&str, &Path)]) -> (String, String) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo");
    let bars = format!("{:?}", demo.join("eurusd_1h_2017.csv").to_str().unwrap());
    let text = std::fs::read_to_string(demo.join("demo.toml")).unwrap();
    let text = text.replace("\"eurusd_1h_2017.csv\"", &bars).replace("port = 5001\npayload = \"columns\"", hub);
    let text = text.replace("window = 200", &format!("window = 200\nsequence = {}", hub.contains("two_")));
    std::fs::write(folder.join("node.toml"), text).unwrap();
    let said = Command::new(env!("CARGO_BIN_EXE_sentinel"))
        .args(["check", "--probe", "--config", "node.toml"])
        .current_dir(folder)
        .env_remove("SSL_CERT_FILE")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
    let line = said.lines().find(|line| line.contains("model of")).unwrap_or_default().to_owned();
    (line, said)
}

/// Moves what the adapter takes for elapsed time, and nothing else.
async fn advance(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

/// Log lines written while a test's own subscriber is in force.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let lines = log.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || lines.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn events(&self) -> Vec<String> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"]["event"].clone());
        lines.filter_map(|event| event.as_str().map(str::to_owned)).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
