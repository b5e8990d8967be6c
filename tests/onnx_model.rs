//! The ONNX adapter on real files: what it refuses and what it says then, and what it does when a file changes under it.
//! The files come from `tools/export-model/make_fixtures.py`.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sentinel::models::manifest::Expected;
use sentinel::models::onnx::{Fault, OnnxEngine, OnnxError, OnnxModel};
use sentinel_actors::domain::feature::{FeatureFrame, FeatureSetId};
use sentinel_actors::domain::prediction::{AnswerFault, Probabilities};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Fate, Fates, Model, ModelError, NoFates, Place};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

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
        self.load_with(Arc::new(NoFates))
    }

    fn load_with(&self, fates: Arc<dyn Fates>) -> Result<OnnxModel, OnnxError> {
        OnnxModel::load(&self.model(), expected(), OnnxEngine::new(), fates)
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
    FeatureSetId { name: "test3".into(), window: 20 }
}

fn expected() -> Expected {
    Expected {
        features: features(),
        columns: ["feature_0", "feature_1", "feature_2"].map(String::from).to_vec(),
        classes: ["SELL", "HOLD", "BUY"].map(String::from).to_vec(),
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

mod at_start {
    use super::*;

    #[tokio::test]
    async fn a_good_model_is_loaded_and_answers_as_its_manifest_says() {
        let files = Files::with("good_a");
        let model = files.load().unwrap();
        let manifest = model.manifest();
        for probe in &manifest.probe {
            for (have, want) in answer(&model, &probe.row).await.iter().zip(&probe.expected) {
                assert!((have - want).abs() < 1e-5, "{have} is not {want}");
            }
        }
        let identity = model.validate().await.unwrap();
        assert_eq!((identity.id.as_str(), identity.hash), ("model.onnx", manifest.sha256));
    }

    #[test]
    fn a_missing_model_file_is_named_with_what_to_do() {
        let files = Files::with("good_a");
        fs::remove_file(files.model()).unwrap();
        let (error, text) = files.refusal();
        assert!(matches!(error, OnnxError::Unreadable { .. }));
        assert!(text.contains("model.onnx cannot be read: check that it exists"), "{text}");
    }

    #[test]
    fn a_missing_manifest_is_named_with_what_to_do() {
        let files = Files::with("good_a");
        fs::remove_file(files.manifest()).unwrap();
        let (_, text) = files.refusal();
        assert!(text.contains("model.json is missing: write it beside the model with tools/export-model"), "{text}");
    }

    #[test]
    fn a_model_that_is_not_the_one_in_the_manifest_is_refused_with_both_hashes() {
        let files = Files::with("good_a");
        replace(&files.model(), &onnx_bytes("good_b"));
        let (error, text) = files.refusal();
        let OnnxError::Hash { have, want, .. } = error else { panic!("{text}") };
        assert!(have != want && text.contains(&have) && text.contains(&want), "{text}");
        assert!(text.contains("export model and manifest again together"), "{text}");
    }

    #[test]
    fn a_file_that_is_no_onnx_model_is_refused() {
        let manifest = serde_json::from_slice(&fs::read(fixtures().join("good_a.json")).unwrap()).unwrap();
        for bytes in [&b"\xff\xfe\xfd\xfc not a model"[..], b"", b"<html>404</html>"] {
            let files = Files::with("good_a");
            files.put_bytes(bytes, &manifest);
            let (error, text) = files.refusal();
            assert!(matches!(fault_of(error), Fault::NotOnnx(_) | Fault::Empty), "{text}");
            assert!(text.contains("not an ONNX file") && text.contains("tools/export-model"), "{text}");
        }
    }

    #[test]
    fn a_truncated_model_is_refused_wherever_it_is_cut() {
        let bytes = onnx_bytes("good_a");
        let manifest = serde_json::from_slice(&fs::read(fixtures().join("good_a.json")).unwrap()).unwrap();
        let files = Files::with("good_a");
        for length in 0..bytes.len() {
            files.put_bytes(&bytes[..length], &manifest);
            // The manifest vouches for the cut file here, so that it is the content that must be found out.
            match files.load() {
                Err(error) => {
                    let text = text_of(&error);
                    assert!(text.contains("export it"), "cut at {length}: {text}");
                }
                // What the file ends with is no part of the graph.
                Ok(_) => assert!(length * 10 > bytes.len() * 9, "cut at {length} of {} and loaded", bytes.len()),
            }
        }
    }

    #[test]
    fn an_operator_that_the_node_cannot_run_is_refused_by_name_with_the_way_out() {
        for (fixture, name) in [("tree", "ai.onnx.ml.TreeEnsembleClassifier"), ("hardmax", "Hardmax")] {
            let (error, text) = Files::with(fixture).refusal();
            assert!(matches!(fault_of(error), Fault::Operator { operator } if operator == name), "{text}");
            let way_out = "serve it with MLflow (HUB) or export it with tools/export-model";
            assert!(text.contains(&format!("the operator {name}")) && text.contains(way_out), "{text}");
        }
    }

    #[test]
    fn a_model_with_other_inputs_or_outputs_is_refused_with_what_it_has() {
        for (fixture, wrong, remedy) in [
            ("wide", "takes 4 columns, the feature set has 3", "configure the features that it was trained on"),
            ("two_classes", "the answer has 2 classes, not 3", "check the training data and the classes"),
            ("two_inputs", "has 2 inputs, one is needed", "export it with one input"),
            ("double", "input is DOUBLE", "export it with a float32 input"),
        ] {
            let (_, text) = Files::with(fixture).refusal();
            assert!(text.contains(wrong) && text.contains(remedy), "{fixture}: {text}");
        }
    }

    #[test]
    fn a_model_that_answers_nan_is_refused() {
        let (error, text) = Files::with("nan").refusal();
        assert!(matches!(fault_of(error), Fault::Implausible { reason: AnswerFault::NotFinite(_), .. }), "{text}");
        assert!(text.contains("is not a finite number: check the training data"), "{text}");
    }

    #[test]
    fn a_model_whose_answers_are_no_probabilities_is_refused() {
        let (error, text) = Files::with("no_softmax").refusal();
        assert!(matches!(fault_of(error), Fault::Implausible { reason: AnswerFault::Range { .. }, .. }), "{text}");
    }

    #[test]
    fn a_model_that_answers_the_same_to_every_row_is_refused() {
        let files = Files::with("constant");
        files.edit_manifest(|manifest| {
            for probe in manifest["probe"].as_array_mut().unwrap() {
                probe["expected"] = json!([1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]);
            }
        });
        let (error, text) = files.refusal();
        assert!(matches!(fault_of(error), Fault::Constant), "{text}");
        assert!(text.contains("same answer to every probe row") && text.contains("train it again"), "{text}");
    }

    #[test]
    fn a_model_that_answers_otherwise_than_on_the_exporting_side_is_refused() {
        let files = Files::with("good_a");
        files.edit_manifest(|manifest| {
            let answer = &mut manifest["probe"][2]["expected"];
            *answer = json!([answer[1], answer[0], answer[2]]);
        });
        let (error, text) = files.refusal();
        assert!(matches!(fault_of(error), Fault::Parity { probe: 2, class: 0, .. }), "{text}");
        assert!(text.contains("probe row 2") && text.contains("export it again"), "{text}");
    }

    #[test]
    fn a_manifest_that_does_not_fit_is_refused_by_field_with_what_to_do() {
        type Edit = fn(&mut Value);
        let cases: [(Edit, &str, &str); 14] = [
            (|m| m["schema"] = json!(2), "field 'schema' is 2", "export the model again"),
            (|m| m["sha256"] = json!("ABC"), "field 'sha256'", "export the model again"),
            (|m| m["features"]["set"] = json!("fx23"), "field 'features.set' is 'fx23'", "configure the pipeline"),
            (|m| m["features"]["window"] = json!(120), "field 'features.window' is 120", "configure the pipeline"),
            (|m| m["features"]["columns"] = json!(["a"]), "field 'features.columns' has 1", "configure the pipeline"),
            (
                |m| m["features"]["columns"][1] = json!("feature_2"),
                "field 'features.columns[1]' is 'feature_2', the set has 'feature_1'",
                "configure the pipeline",
            ),
            (
                |m| m["classes"] = json!(["BUY", "HOLD", "SELL"]),
                "field 'classes' is [BUY, HOLD, SELL]",
                "in the same order",
            ),
            (|m| m["probe"] = json!([]), "field 'probe' has 0 rows", "export the model again"),
            (|m| m["probe"][1]["row"] = json!([1.0]), "field 'probe[1].row' has 1 values", "export the model again"),
            (|m| m["probe"][2] = m["probe"][0].clone(), "field 'probe[2].row' repeats", "export the model again"),
            (
                |m| m["probe"][0]["expected"] = json!([0.9, 0.9, 0.9]),
                "field 'probe[0].expected'",
                "export the model again",
            ),
            (
                |m| m["out_of_sample"]["accuracy"] = json!(51),
                "field 'out_of_sample.accuracy'",
                "export the model again",
            ),
            (
                |m| m["out_of_sample"]["from"] = m["trained"]["from"].clone(),
                "field 'out_of_sample.from' is not after trained.to",
                "export the model again",
            ),
            (|m| m["wndow"] = json!(200), "unknown field `wndow`", "correct the field"),
        ];
        for (edit, wrong, remedy) in cases {
            let files = Files::with("good_a");
            files.edit_manifest(edit);
            let (error, text) = files.refusal();
            assert!(matches!(error, OnnxError::Manifest(_)), "{text}");
            assert!(text.contains(wrong) && text.contains(remedy), "'{wrong}' or '{remedy}' not in: {text}");
        }
    }

    #[tokio::test]
    async fn a_frame_of_another_feature_set_is_not_asked() {
        let model = Files::with("good_a").load().unwrap();
        let mut other = frame(&[0.0; 3]);
        other.set.window = 21;
        for frame in [other, frame(&[0.0; 4])] {
            let asked = model.predict(&frame, Duration::from_secs(1)).await;
            assert!(matches!(asked, Err(ModelError::Invalid(_))), "{asked:?}");
        }
    }

    #[tokio::test]
    async fn a_nan_in_the_answer_passes_through_and_the_domain_refuses_it() {
        let model = Files::with("root").load().unwrap();
        let answer = model.predict(&frame(&[-1.0, 0.0, 0.0]), Duration::from_secs(1)).await.unwrap();
        assert!(matches!(Probabilities::check(&answer, 3), Err(AnswerFault::NotFinite(_))), "{answer:?}");
    }
}

mod when_the_file_changes {
    use super::*;

    const ROW: [f64; 3] = [0.5, -1.0, 2.0];

    #[tokio::test]
    async fn a_good_new_model_is_taken_up_by_the_next_validation() {
        let (log, _guard) = Log::capture();
        let files = Files::with("good_a");
        let model = files.load().unwrap();
        let (old, old_answer) = (model.validate().await.unwrap(), answer(&model, &ROW).await);
        files.put("good_b");
        assert_eq!(answer(&model, &ROW).await, old_answer, "a cycle is never asked of two models");
        let new = model.validate().await.unwrap();
        assert_ne!(new.hash, old.hash);
        assert_ne!(answer(&model, &ROW).await, old_answer);
        assert_eq!((model.swaps(), model.refusals()), (1, 0));
        let events = log.events("model_swapped");
        assert_eq!(events.len(), 1);
        assert_eq!((&events[0]["from"], &events[0]["to"]), (&json!(old.hash), &json!(new.hash)));
    }

    /// Each state of the files keeps the old model, and is reported once however many cycles see it.
    async fn keeps_the_old_model(change: impl FnOnce(&Files), wrong: &str) {
        let (log, _guard) = Log::capture();
        let files = Files::with("good_a");
        let model = files.load().unwrap();
        let (old, old_answer) = (model.validate().await.unwrap(), answer(&model, &ROW).await);
        change(&files);
        for _ in 0..4 {
            assert_eq!(model.validate().await.unwrap(), old);
            assert_eq!(answer(&model, &ROW).await, old_answer);
        }
        let events = log.events("model_refused");
        assert_eq!((events.len(), model.swaps(), model.refusals()), (1, 0, 1), "{events:?}");
        assert_eq!(events[0]["kept"], json!(old.hash));
        assert!(events[0]["error"].as_str().unwrap().contains(wrong), "{events:?}");
        files.put("good_b");
        assert_ne!(model.validate().await.unwrap(), old, "a good file after the bad one must be taken up");
    }

    #[tokio::test]
    async fn a_bad_new_model_leaves_the_old_one_working_and_is_reported_once() {
        keeps_the_old_model(|files| files.put("nan"), "is not a finite number").await;
    }

    #[tokio::test]
    async fn a_half_written_model_leaves_the_old_one_working() {
        let half = |files: &Files| {
            let bytes = onnx_bytes("good_b");
            fs::write(files.model(), &bytes[..bytes.len() / 2]).unwrap();
        };
        keeps_the_old_model(half, "still being written").await;
    }

    #[tokio::test]
    async fn a_new_model_whose_manifest_is_not_there_yet_leaves_the_old_one_working() {
        keeps_the_old_model(|files| replace(&files.model(), &onnx_bytes("good_b")), "its manifest says").await;
    }

    #[tokio::test]
    async fn a_deleted_model_goes_on_working() {
        keeps_the_old_model(|files| fs::remove_file(files.model()).unwrap(), "check that it exists").await;
    }

    #[tokio::test]
    async fn a_deleted_manifest_leaves_the_model_working() {
        keeps_the_old_model(|files| fs::remove_file(files.manifest()).unwrap(), "model.json is missing").await;
    }

    #[tokio::test]
    async fn a_touched_file_with_the_same_content_is_no_change() {
        let (log, _guard) = Log::capture();
        let files = Files::with("good_a");
        let model = files.load().unwrap();
        let old = model.validate().await.unwrap();
        files.put("good_a");
        assert_eq!(model.validate().await.unwrap(), old);
        assert_eq!((model.swaps(), model.refusals()), (0, 0));
        assert!(log.events("model_swapped").is_empty() && log.events("model_refused").is_empty());
    }

    struct PanicAtFirstSwap(std::sync::atomic::AtomicBool);

    impl Fates for PanicAtFirstSwap {
        fn at(&self, place: Place, _: &str) -> Fate {
            let first = place == Place::BeforeModelSwap && !self.0.swap(true, std::sync::atomic::Ordering::SeqCst);
            if first { Fate::Panic } else { Fate::Pass }
        }
    }

    #[tokio::test]
    async fn a_stage_that_dies_just_before_the_swap_leaves_the_swap_to_the_next_cycle() {
        let files = Files::with("good_a");
        let model = Arc::new(files.load_with(Arc::new(PanicAtFirstSwap(false.into()))).unwrap());
        let old = model.validate().await.unwrap();
        files.put("good_b");
        let (dying, old_answer) = (Arc::clone(&model), answer(&model, &ROW).await);
        let mut stage = tokio::task::JoinSet::new();
        stage.spawn(async move { dying.validate().await });
        assert!(stage.join_next().await.unwrap().unwrap_err().is_panic());
        assert_eq!((model.identity(), answer(&model, &ROW).await), (old.clone(), old_answer));
        assert_ne!(model.validate().await.unwrap(), old);
        assert_eq!(model.swaps(), 1);
    }
}
