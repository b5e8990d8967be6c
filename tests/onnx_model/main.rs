//! The ONNX adapter on real files: what it refuses and what it says then, and what it does when a file changes under it.
//! The files come from `tools/export-model/make_fixtures.py`.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking too")]

mod at_start;
mod when_the_file_changes;
mod without_manifest;

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sentinel::cli::features::{Window, rows};
use sentinel::cli::forecasts::Periods;
use sentinel::cli::run::judge;
use sentinel::config::{Config, Env, Flags};
use sentinel::features::SetInfo;
use sentinel::features::fx23::COLUMNS;
use sentinel::models::Output;
use sentinel::models::manifest::Expected;
use sentinel::models::onnx::{Fault, OnnxEngine, OnnxError, OnnxModel};
use sentinel::node::open_model;
use sentinel::sources::csv::read_bars;
use sentinel_actors::domain::bar::{Cleaning, clean};
use sentinel_actors::domain::feature::{FeatureFrame, FeatureSetId};
use sentinel_actors::domain::prediction::{AnswerFault, Probabilities};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{FaultInjector, FaultPoint, InjectedFault, Model, ModelError, NoFaults};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Of calls that take microseconds.
const DEADLINE: Duration = Duration::from_secs(1);

/// A folder with a model file and its manifest.
struct Files(tempfile::TempDir);

impl Files {
    /// A fixture under its own manifest, or under that of `good_a` when it has none.
    fn with(fixture: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.put(fixture);
        files
    }

    fn model(&self) -> PathBuf {
        self.0.path().join("model.onnx")
    }

    fn manifest(&self) -> PathBuf {
        self.0.path().join("model.json")
    }

    fn put(&self, fixture: &str) {
        let own = fixtures().join(format!("{fixture}.json"));
        let manifest = fs::read(if own.exists() { own } else { fixtures().join("good_a.json") }).unwrap();
        self.put_bytes(&onnx_bytes(fixture), &serde_json::from_slice(&manifest).unwrap());
    }

    /// Writes model and manifest, with the model's hash in the manifest.
    fn put_bytes(&self, model: &[u8], manifest: &Value) {
        let mut manifest = manifest.clone();
        manifest["sha256"] = json!(data_encoding::HEXLOWER.encode(&Sha256::digest(model)));
        replace(&self.model(), model);
        replace(&self.manifest(), manifest.to_string().as_bytes());
    }

    fn edit_manifest(&self, edit: impl FnOnce(&mut Value)) {
        let mut manifest: Value = serde_json::from_slice(&fs::read(self.manifest()).unwrap()).unwrap();
        edit(&mut manifest);
        replace(&self.manifest(), manifest.to_string().as_bytes());
    }

    fn load(&self) -> Result<OnnxModel, OnnxError> {
        self.load_with(Arc::new(NoFaults))
    }

    fn load_with(&self, faults: Arc<dyn FaultInjector>) -> Result<OnnxModel, OnnxError> {
        OnnxModel::load(&self.model(), expected(), OnnxEngine::new(), faults)
    }

    /// The error of loading, and its text with all causes.
    fn refusal(&self) -> (OnnxError, String) {
        let error = self.load().err().expect("the model must be refused");
        let text = text_of(&error);
        assert!(text.contains(&self.0.path().display().to_string()), "no file named in: {text}");
        (error, text)
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models")
}

fn onnx_bytes(fixture: &str) -> Vec<u8> {
    fs::read(fixtures().join(format!("{fixture}.onnx"))).unwrap()
}

/// Replaces a file as an exporter does: the inode changes.
fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::rename(new, path).unwrap();
}

fn text_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn features() -> FeatureSetId {
    FeatureSetId { name: "test3".into(), window: 20, made_from: None }
}

fn expected() -> Expected {
    Expected {
        features: features(),
        columns: ["feature_0", "feature_1", "feature_2"].map(String::from).to_vec(),
        output: Output::Classes(["SELL", "HOLD", "BUY"].map(String::from).to_vec()),
        samples: vec![vec![0.5, -1.0, 2.0], vec![-0.25, 0.75, 0.125]],
    }
}

fn frame(row: &[f64]) -> FeatureFrame {
    FeatureFrame { set: features(), newest: UtcMs(0), row: row.to_vec(), sequence: None, volume_absent: false }
}

async fn answer(model: &OnnxModel, row: &[f64]) -> Vec<f64> {
    let answer = model.predict(&frame(row), Duration::from_secs(1)).await.unwrap();
    Probabilities::check(&answer, 3).unwrap().values().to_vec()
}

fn fault_of(error: OnnxError) -> Fault {
    match error {
        OnnxError::Refused { fault, .. } => fault,
        other => panic!("not about the content: {other}"),
    }
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

    fn events(&self, name: &str) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].clone());
        lines.filter(|fields| fields["event"] == name).collect()
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

/// What the demo's policy acts on: a winner other than HOLD above 0.6. Each order costs durable writes, so a flood of them
/// would make the demo slow, and none would make it pointless.
#[tokio::test]
async fn the_demo_model_acts_on_some_of_its_bars_but_not_on_many() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo");
    let set = FeatureSetId { name: "fx23".into(), window: 200, made_from: None };
    let expected = Expected { features: set.clone(), columns: COLUMNS.map(String::from).to_vec(), ..expected() };
    let model = OnnxModel::load(&demo.join("model.onnx"), expected, OnnxEngine::new(), Arc::new(NoFaults)).unwrap();
    let delivered = read_bars(&demo.join("eurusd_1h_2017.csv")).unwrap();
    let bars = clean(&delivered, &Cleaning { tick: 1e-5, times: None, window: None }).bars;
    let (mut seen, mut unseen) = (0, 0);
    for (bar, row) in bars.iter().zip(rows(SetInfo::find("fx23").unwrap(), &bars, Window::Bars(200))) {
        if row.iter().any(|cell| !cell.is_finite()) {
            continue;
        }
        let frame = FeatureFrame {
            set: set.clone(),
            newest: bar.time,
            row: row.to_vec(),
            sequence: None,
            volume_absent: false,
        };
        let answer = model.predict(&frame, Duration::from_secs(1)).await.unwrap();
        let (class, confidence) = Probabilities::check(&answer, 3).unwrap().winner();
        if class != 1 && confidence > 0.6 {
            let behind_the_split = bar.time.timestamp() >= model.manifest().unwrap().out_of_sample.from;
            *if behind_the_split { &mut unseen } else { &mut seen } += 1;
        }
    }
    assert!((100..=250).contains(&(seen + unseen)), "{seen} + {unseen}");
    assert!(unseen >= 30, "{unseen} of the bars that it was not trained on");
}
