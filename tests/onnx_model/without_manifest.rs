//! A model with `features.json` and no manifest: what it is asked, what is refused, and what happens when its files change.

use super::*;

/// The columns of the model, among others and in another order than it takes them.
const SET: [&str; 5] = ["feature_2", "other_a", "feature_1", "other_b", "feature_0"];
/// A row of that set. The model of `good_a` takes 0.5, -1 and 2 of it.
const ROW: [f64; 5] = [2.0, 7.0, -1.0, 9.0, 0.5];
const OWN: &str = r#"["feature_0", "feature_1", "feature_2"]"#;

/// `good_a` without its manifest, with this list.
fn plain(list: &str) -> Files {
    let files = Files::with("good_a");
    fs::remove_file(files.manifest()).unwrap();
    replace(&list_of(&files), list.as_bytes());
    files
}

fn list_of(files: &Files) -> PathBuf {
    files.model().with_file_name("features.json")
}

fn expected_of_set() -> Expected {
    let samples = vec![ROW.to_vec(), vec![0.0; SET.len()]];
    Expected { columns: SET.map(String::from).to_vec(), samples, ..expected() }
}

fn load(files: &Files) -> Result<OnnxModel, OnnxError> {
    OnnxModel::load(&files.model(), expected_of_set(), OnnxEngine::new(), Arc::new(NoFaults))
}

fn refusal(files: &Files) -> (OnnxError, String) {
    let error = load(files).err().expect("the model must be refused");
    let text = text_of(&error);
    (error, text)
}

#[tokio::test]
async fn a_model_is_asked_the_columns_that_its_list_names_in_their_order() {
    let of_manifest = answer(&Files::with("good_a").load().unwrap(), &[0.5, -1.0, 2.0]).await;
    for list in [OWN, &format!(r#"{{"features": {OWN}}}"#), &format!(r#"{{"columns": {OWN}}}"#)] {
        let model = load(&plain(list)).unwrap();
        assert_eq!(answer(&model, &ROW).await, of_manifest, "{list}");
        assert!(model.manifest().is_none());
    }
    let other_order = load(&plain(r#"["feature_2", "feature_1", "feature_0"]"#)).unwrap();
    assert_ne!(answer(&other_order, &ROW).await, of_manifest);
}

#[tokio::test]
async fn a_regression_is_asked_by_name_as_a_classifier_is() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo/btcusd.onnx");
    let set = SetInfo::find("btc9").unwrap();
    let columns: Vec<String> = set.columns.iter().map(ToString::to_string).collect();
    let row = [0.01, -0.02, 60_000.0, 59_000.0, 0.4, 0.3, 0.6, 0.98, 1.1];
    let expected = |columns: Vec<String>, samples| Expected {
        features: features(),
        columns,
        output: Output::Value { horizon: Duration::from_secs(168 * 3600) },
        samples,
    };
    let files = plain(&json!(columns).to_string());
    replace(&files.model(), &fs::read(demo).unwrap());
    let model = |columns, row: &[f64]| {
        let expected = expected(columns, vec![row.to_vec()]);
        OnnxModel::load(&files.model(), expected, OnnxEngine::new(), Arc::new(NoFaults)).unwrap()
    };
    let value = async |model: &OnnxModel, row: &[f64]| model.predict(&frame(row), DEADLINE).await.unwrap().rows;
    let straight = value(&model(columns.clone(), &row), &row).await;
    // The same set with its columns the other way round: the list still says which is which.
    let backwards: Vec<String> = columns.iter().rev().cloned().collect();
    let row_backwards: Vec<f64> = row.iter().rev().copied().collect();
    assert_eq!(value(&model(backwards, &row_backwards), &row_backwards).await, straight);
    assert_eq!((straight.len(), straight[0].len()), (1, 1));
}

#[tokio::test]
async fn without_a_manifest_the_identity_is_the_hash_of_both_files() {
    let files = plain(OWN);
    let identity = load(&files).unwrap().validate(DEADLINE).await.unwrap();
    let both = [onnx_bytes("good_a"), OWN.as_bytes().to_vec()].concat();
    assert_eq!(identity.hash, data_encoding::HEXLOWER.encode(&Sha256::digest(&both)));
    assert_eq!(identity.id, "model.onnx");
}

#[test]
fn a_list_that_does_not_fit_set_or_model_is_refused_with_what_to_do() {
    for (list, said, remedy) in [
        (
            r#"["feature_0", "featur_1", "feature_2"]"#,
            "names 'featur_1', which the feature set test3 does not have; did you mean 'feature_1'?",
            "the set has feature_2, other_a, feature_1, other_b, feature_0; correct the name",
        ),
        (r#"["feature_0", "feature_0"]"#, "names 'feature_0' twice", "name each input of the model once"),
        ("[]", "is empty", "name the columns in the order"),
        (r#"{"a": 1}"#, "features.json is none", "write the names"),
        (r#"["feature_0", "feature_1"]"#, "it takes 3 columns, features.json names 2", "name each of its inputs"),
        (
            r#"["feature_0", "feature_1", "feature_2", "other_a"]"#,
            "it takes 3 columns, features.json names 4",
            "name each of its inputs",
        ),
    ] {
        let (_, text) = refusal(&plain(list));
        assert!(text.contains(said) && text.contains(remedy), "{list}: {text}");
    }
}

#[test]
fn a_model_that_cannot_answer_a_row_of_the_pipeline_is_refused() {
    for (fixture, said) in [
        ("nan", "its answer to a row with the columns of features.json cannot be used"),
        ("two_classes", "the answer has 2 classes, not 3: check names and order"),
        ("tree", "the operator ai.onnx.ml.TreeEnsembleClassifier"),
    ] {
        let files = plain(OWN);
        replace(&files.model(), &onnx_bytes(fixture));
        let (_, text) = refusal(&files);
        assert!(text.contains(said), "{fixture}: {text}");
    }
}

#[test]
fn beside_a_manifest_the_list_must_say_the_same() {
    let files = Files::with("good_a");
    replace(&list_of(&files), OWN.as_bytes());
    assert!(files.load().unwrap().manifest().is_some(), "the manifest wins");
    for list in [r#"["feature_0", "feature_2", "feature_1"]"#, r#"["feature_0"]"#] {
        replace(&list_of(&files), list.as_bytes());
        let (_, text) = files.refusal();
        assert!(text.contains("disagree, from column 2 on: remove the list"), "{text}");
    }
    replace(&list_of(&files), b"[");
    assert!(matches!(files.refusal().0, OnnxError::FeatureList(_)));
    // A manifest that does not fit is refused for what it is, whatever the list says.
    replace(&list_of(&files), OWN.as_bytes());
    files.edit_manifest(|manifest| manifest["schema"] = json!(2));
    assert!(matches!(files.refusal().0, OnnxError::Manifest(_)));
}

#[tokio::test]
async fn a_changed_list_is_a_changed_model_that_is_used_when_it_is_found_twice() {
    let (log, _guard) = Log::capture();
    let files = plain(OWN);
    let model = load(&files).unwrap();
    let (old, old_answer) = (model.validate(DEADLINE).await.unwrap(), answer(&model, &ROW).await);
    replace(&list_of(&files), br#"["feature_2", "feature_1", "feature_0"]"#);
    assert_eq!(model.validate(DEADLINE).await.unwrap(), old, "nothing says yet that the files belong together");
    assert_eq!(answer(&model, &ROW).await, old_answer);
    let new = model.validate(DEADLINE).await.unwrap();
    assert!(new != old && answer(&model, &ROW).await != old_answer);
    assert_eq!(model.validate(DEADLINE).await.unwrap(), new);
    let events = |name| log.events(name).len();
    assert_eq!((events("model_change_seen"), events("model_swapped"), events("model_refused")), (1, 1, 0));
}

#[tokio::test]
async fn between_the_writes_of_model_and_list_the_old_pair_is_asked() {
    let files = plain(OWN);
    let model = load(&files).unwrap();
    let (old, old_answer) = (model.validate(DEADLINE).await.unwrap(), answer(&model, &ROW).await);
    replace(&files.model(), &onnx_bytes("good_b"));
    assert_eq!(model.validate(DEADLINE).await.unwrap(), old);
    replace(&list_of(&files), br#"["feature_1", "feature_0", "feature_2"]"#);
    assert_eq!(model.validate(DEADLINE).await.unwrap(), old, "the list changed since the last look");
    assert_eq!(answer(&model, &ROW).await, old_answer);
    assert_ne!(model.validate(DEADLINE).await.unwrap(), old);
    // What cannot be read leaves the new one working.
    let new = model.identity();
    fs::write(files.model(), &onnx_bytes("good_a")[..100]).unwrap();
    fs::write(list_of(&files), br#"["nobody"]"#).unwrap();
    for _ in 0..3 {
        assert_eq!(model.validate(DEADLINE).await.unwrap(), new);
    }
    assert_eq!((model.swaps(), model.refusals()), (1, 1));
}

#[tokio::test]
async fn a_model_with_a_manifest_is_not_replaced_by_one_without_while_it_is_used() {
    let (log, _guard) = Log::capture();
    let files = Files::with("good_a");
    replace(&list_of(&files), OWN.as_bytes());
    let model = files.load().unwrap();
    let old = model.validate(DEADLINE).await.unwrap();
    fs::remove_file(files.manifest()).unwrap();
    replace(&files.model(), &onnx_bytes("good_b"));
    for _ in 0..3 {
        assert_eq!(model.validate(DEADLINE).await.unwrap(), old);
    }
    let events = log.events("model_refused");
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(
        events[0]["error"].as_str().unwrap().contains("put the manifest there, or start the node anew"),
        "{events:?}"
    );
    assert!(files.load().unwrap().manifest().is_none(), "a new start may use it");
    files.put("good_b");
    assert_ne!(model.validate(DEADLINE).await.unwrap(), old);
}

/// A pipeline like that of `config/forecast.toml`, its model without a manifest.
#[test]
fn start_and_check_say_once_that_such_a_model_is_not_verified() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let files = plain(
        r#"["ret_1h", "ret_24h", "ma_24h", "ma_72h", "vol_24h", "price_pos_24h", "price_pos_72h", "ma_ratio_72_24", "exp_vol_ratio"]"#,
    );
    replace(&files.model(), &fs::read(root.join("demo/btcusd.onnx")).unwrap());
    let text = fs::read_to_string(root.join("forecast.toml")).unwrap();
    let text = text.replace("demo/btcusd_1h.csv", &root.join("demo/btcusd_1h.csv").display().to_string());
    let file = files.model().with_file_name("sentinel.toml");
    fs::write(&file, text.replace("demo/btcusd.onnx", "model.onnx")).unwrap();
    let config = Config::load(&file, &Env::default(), &Flags::default()).unwrap();
    let (log, _guard) = Log::capture();
    let judged = judge(&config.pipelines[0]);
    assert!(judged.problems.is_empty(), "{judged:?}");
    let said: Vec<&String> = judged.facts.iter().filter(|fact| fact.contains("not verified: no parity rows")).collect();
    assert!(said.len() == 1 && said[0].contains("its identity is its hash"), "{judged:?}");
    assert!(log.events("model_unverified").is_empty(), "nothing has started");
    let (model, frame) = open_model(&config.pipelines[0], Arc::new(NoFaults)).unwrap();
    assert_eq!(frame.row.len(), 9);
    drop(model);
    let events = log.events("model_unverified");
    assert_eq!((events.len(), &events[0]["pipeline"]), (1, &json!("btcusd")), "{events:?}");
    assert!(Periods::of_config(&config).unwrap().is_empty(), "only a manifest knows what it was trained on");
}
